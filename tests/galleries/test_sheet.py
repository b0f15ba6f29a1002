from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from explgraph.base.errors import ExplGraphError
from explgraph.drawing.patches import best_photos
from explgraph.galleries.sheet import best_nodes, contact_sheet
from explgraph.photos.boxes import Box
from explgraph.photos.images import ImageItem, ImageSource, open_images
from tests.support.plain import plain_groups
from tests.support.planted import near_border, planted_graph
from tests.support.planted_dots import is_magenta, photo_with_dot, pixels_of, planted_matches


@pytest.fixture
def dots() -> tuple[np.ndarray, np.ndarray]:
    """(5, H, W, 3) photos and (5, 2) their dots, unit square."""
    places = np.array([(30, 40), (60, 100), (80, 81), (5, 7), (115, 150)])
    photos = np.stack([photo_with_dot(y, x) for y, x in places])
    return photos, (places + 0.5) / (120, 160)


def rings(sheet: np.ndarray) -> list[tuple[int, int]]:
    """Top-left corners of 4 by 4 magenta squares in the middle of a ring (white 6 pixels away)."""
    found = []
    mask = is_magenta(sheet)
    for y, x in np.argwhere(mask):
        inside = mask[y : y + 4, x : x + 4]
        white = [sheet[y - 4, x + 1], sheet[y + 7, x + 1], sheet[y + 1, x - 4], sheet[y + 1, x + 7]]
        if inside.shape == (4, 4) and inside.all() and np.min(white) > 225:
            found.append((int(y), int(x)))
    return found


def test_best_nodes__are_those_of_highest_gain_and_the_borders_last():
    graph = planted_graph(2, 3, 2)
    members = [[i for i in range(12) if graph.node_layer[i] == layer] for layer in (1, 0)]
    ranked = [sorted(m, key=lambda i: (near_border(graph, i), -graph.gain[i])) for m in members]
    assert best_nodes(graph, 2) == ranked[0][:2] + ranked[1][:2]


def test_best_nodes__are_of_every_part_group():
    graph = planted_graph(2, 30, 2)
    group = np.where(graph.gain < np.quantile(graph.gain, 0.2), 1, 0)  # the ranking has them last
    bare = {group[node] for node in best_nodes(graph, 6)}
    grouped = graph.having(groups=plain_groups(graph, group, gain=np.array([2.0, 1.0])))
    best = best_nodes(grouped, 6)
    assert bare == {0}
    for rows in (best[:6], best[6:]):
        assert {int(group[node]) for node in rows} == {0, 1}
    assert [int(graph.node_layer[node]) for node in best] == [1] * 6 + [0] * 6


@pytest.mark.parametrize("is_mirrored", [False, True])
def test_contact_sheet__the_nodes_place_is_in_every_ring(tmp_path, dots, is_mirrored):
    photos, yx = dots
    graph = planted_graph(3, 4, 2)
    source = open_images(photos)
    matches = planted_matches(graph, source.names, yx)
    matches = replace(matches, mirrored=np.full(5, is_mirrored))
    contact_sheet(graph, matches, source, tmp_path / "new" / "s.png", nodes_per_layer=2, patches=4)
    assert len(rings(pixels_of(tmp_path / "new" / "s.png"))) == 3 * 2 * 4


def test_contact_sheet__shows_the_best_photos_of_its_nodes(tmp_path, rng):
    graph = planted_graph(2, 3, 2)
    photos = np.stack([np.full((40, 40, 3), 10 * (1 + i), dtype=np.uint8) for i in range(10)])
    source = open_images(photos)
    matches = planted_matches(graph, source.names, np.full((10, 2), 0.5))
    score = np.round(rng.uniform(0, 3, (10, 12)))  # ties, and photos without a peak
    matches = replace(matches, score=score)
    for nodes, patches in ((None, 9), ([7], 3)):
        options = {"nodes": nodes, "nodes_per_layer": 2, "patches": patches}
        contact_sheet(graph, matches, source, tmp_path / "s.png", **options)
        sheet = pixels_of(tmp_path / "s.png")
        areas = [(sheet == 10 * (1 + i)).all(axis=-1).sum() for i in range(10)]
        chosen = best_nodes(graph, 2) if nodes is None else nodes
        shown = Counter(i for node in chosen for i in best_photos(matches, node, patches))
        assert [round(area / 112**2) for area in areas] == [shown[i] for i in range(10)]


def test_contact_sheet__loads_each_photo_once_and_only_those_it_shows(tmp_path, dots):
    photos, yx = dots
    loads = Counter()

    def read(photo: int) -> Image.Image:
        loads[photo] += 1
        return Image.fromarray(photos[photo])

    # The source has the photos in another order, and one that was not matched.
    names = ("e", "extra", "d", "c", "b", "a")
    index = (4, 0, 3, 2, 1, 0)
    items = [ImageItem(name, photo) for name, photo in zip(names, index, strict=True)]
    graph = planted_graph(2, 3, 2)
    matches = planted_matches(graph, ("a", "b", "c", "d", "e"), yx)
    contact_sheet(graph, matches, ImageSource(items, read), tmp_path / "s.png", patches=2)
    assert loads == {3: 1, 4: 1}
    assert len(rings(pixels_of(tmp_path / "s.png"))) == 2 * 12


def test_contact_sheet__boxes(tmp_path, dots):
    photos, yx = dots
    items = [ImageItem("p#0", 1, Box(20, 60, 110, 140))]
    source = ImageSource(items, lambda i: Image.fromarray(photos[i]))
    graph = planted_graph(1, 1, 1)
    matches = planted_matches(graph, ("p#0",), yx[1:2])
    contact_sheet(graph, matches, source, tmp_path / "s.png")
    assert len(rings(pixels_of(tmp_path / "s.png"))) == 1


def test_contact_sheet__odd_names_do_not_break_it(tmp_path, dots):
    photos, yx = dots
    graph = planted_graph(2, 1, 1).rename({0: "long name " * 9, 1: "a\nb\x00 口"})
    layers = tuple(replace(spec, name="deep.module." * 5 + "end") for spec in graph.layers)
    graph = replace(graph, layers=layers)
    source = open_images(photos)
    contact_sheet(graph, planted_matches(graph, source.names, yx), source, tmp_path / "s.png")
    assert pixels_of(tmp_path / "s.png").shape[1] > 600


def test_contact_sheet__names_what_is_wrong(tmp_path, dots):
    photos, yx = dots
    graph = planted_graph(2, 3, 2)
    source = open_images(photos)
    matches = planted_matches(graph, source.names, yx)
    with pytest.raises(ExplGraphError, match="match this graph"):
        contact_sheet(planted_graph(2, 3, 3), matches, source, tmp_path / "s.png")
    with pytest.raises(ExplGraphError, match=r"nodes \[12, -1\] do not exist"):
        contact_sheet(graph, matches, source, tmp_path / "s.png", nodes=[12, 0, -1])
    with pytest.raises(ExplGraphError, match="patches must be at least 1"):
        contact_sheet(graph, matches, source, tmp_path / "s.png", patches=0)
    with pytest.raises(ExplGraphError, match="4 images were given"):
        contact_sheet(graph, matches, open_images(photos[:4]), tmp_path / "s.png")
    assert not list(tmp_path.iterdir())
