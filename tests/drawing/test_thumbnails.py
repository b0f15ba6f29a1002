"""Nodes as pictures: the right patch of the right photo on the right node, in one file."""

import io
import re
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from explgraph.base.errors import ExplGraphError
from explgraph.drawing.graph.draw import draw_graph
from explgraph.drawing.look import COLORS
from explgraph.drawing.patches import OUTSIDE
from explgraph.drawing.thumbnails import TILE, medallion
from explgraph.graphs.graph_arrays import graph_hash
from explgraph.photos.images import open_images
from tests.support.painted_photos import DARK, colors, halves, painted, pictures
from tests.support.planted import planted_graph

NEAR = 14  # of 255: JPEG is not exact


@pytest.fixture(scope="module")
def world():
    """12 nodes in 2 layers; even ones are seen best in photo 0, odd ones in photo 1, mirrored."""
    graph = planted_graph(2, 3, 2)
    return (graph, *painted(graph, np.arange(12) % 2, mirrored=[1]))


def draw(world, path, **options):
    graph, photos, found = world
    draw_graph(graph, path, thumbnails=True, found=found, images=photos, **options)


def assert_shows(picture, node):
    left, right = halves(picture)
    if node % 2:  # the photo was mirrored, and so is the picture
        left, right = right, left
    np.testing.assert_allclose(left, colors(12)[node], atol=NEAR)
    np.testing.assert_allclose(right, DARK, atol=NEAR)


@pytest.mark.parametrize("arrangement", ["layers", "places"])
def test_draw_graph__each_node_shows_its_own_patch(world, tmp_path, arrangement):
    draw(world, tmp_path / "g.svg", arrangement=arrangement)
    found = pictures(tmp_path / "g.svg")
    assert set(found) == {world[0].node_id(i) for i in range(12)}
    for node in range(12):
        picture = found[world[0].node_id(node)][1]
        assert picture.shape == (TILE, TILE, 3)
        assert_shows(picture, node)


@pytest.mark.parametrize(
    "choice",
    [{"nodes_per_layer": 2}, {"around": 7, "nodes_per_layer": 1}, {"around": "features.3/2/1"}],
)
def test_draw_graph__a_part_of_the_graph_shows_the_same_patches(world, tmp_path, choice):
    draw(world, tmp_path / "g.svg", **choice)
    found = pictures(tmp_path / "g.svg")
    assert 1 < len(found) < 12
    for node in range(12):
        if world[0].node_id(node) in found:
            assert_shows(found[world[0].node_id(node)][1], node)


@pytest.mark.parametrize("arrangement", ["layers", "places"])
def test_draw_graph__svg_refers_to_nothing_outside(world, tmp_path, arrangement):
    draw(world, tmp_path / "g.svg", arrangement=arrangement)
    text = (tmp_path / "g.svg").read_text(encoding="utf-8")
    addresses = re.findall(r'href="([^"]*)"', text)
    assert len(addresses) == 12
    assert all(a.startswith(("data:", "#")) for a in addresses)
    assert "DOCTYPE" not in text
    assert "<svg " in text  # not <ns0:svg
    assert list(tmp_path.iterdir()) == [tmp_path / "g.svg"]


def test_draw_graph__svg_is_the_same_twice(world, tmp_path):
    for name in ("a.svg", "b.svg"):
        draw(world, tmp_path / name)
    assert (tmp_path / "a.svg").read_bytes() == (tmp_path / "b.svg").read_bytes()


@pytest.mark.parametrize("arrangement", ["layers", "places"])
def test_draw_graph__png_shows_the_pictures(world, tmp_path, arrangement):
    draw(world, tmp_path / "g.png", arrangement=arrangement)
    pixels = np.asarray(Image.open(tmp_path / "g.png").convert("RGB")).astype(int)
    for color in colors(12):
        assert (np.abs(pixels - color).max(axis=-1) < 20).sum() > 20, color


def test_draw_graph__pdf_holds_the_pictures(world, tmp_path):
    draw(world, tmp_path / "g.pdf")
    assert (tmp_path / "g.pdf").read_bytes().count(b"/Subtype /Image") >= 12


def test_draw_graph__a_node_without_a_peak_says_so(tmp_path):
    graph = planted_graph(2, 3, 2)
    photos, found = painted(graph, np.where(np.arange(12) == 4, -1, 0))
    draw((graph, photos, found), tmp_path / "g.svg")
    picture = pictures(tmp_path / "g.svg")["features.3/2/0"][1]
    grey = np.array([int(OUTSIDE[i : i + 2], 16) for i in (1, 3, 5)])
    is_grey = np.abs(picture - grey).max(axis=-1) < NEAR
    assert is_grey[:20].all()
    assert 0.6 < is_grey.mean() < 0.97  # the rest is text


class Counted:
    """Photos that count how often each was asked for."""

    def __init__(self, photos):
        self.photos, self.asked = photos, []

    def __len__(self):
        return len(self.photos)

    def __getitem__(self, index):
        self.asked.append(index)
        return self.photos[index]


def test_draw_graph__loads_each_photo_once(world, tmp_path):
    graph, photos, found = world
    counted = Counted(photos)
    draw((graph, counted, found), tmp_path / "g.svg")
    assert sorted(counted.asked) == [0, 1]


def test_draw_graph__boxes_in_photos(tmp_path):
    graph = planted_graph(2, 3, 2)
    photos, found = painted(graph, np.zeros(12, dtype=int))
    boxes = tmp_path / "boxes.csv"
    rows = ["image,x,y,width,height", "000000,160,120,320,240", "000000,165,110,300,200"]
    boxes.write_text("\n".join(rows))
    source = open_images(photos, boxes=boxes)
    assert source.names == ("000000#0", "000000#1")
    found = replace(found, images=("000000#1",))
    draw((graph, source, found), tmp_path / "g.svg")
    drawn = pictures(tmp_path / "g.svg")
    for node in range(12):
        picture = drawn[graph.node_id(node)][1]
        np.testing.assert_allclose(halves(picture)[0], colors(12)[node], atol=NEAR)


@pytest.mark.parametrize("arrangement", ["layers", "places"])
def test_draw_graph__users_names_stand_beneath(world, tmp_path, arrangement):
    graph, photos, found = world
    named = graph.rename({0: 'a <b>&amp;</b> "\\', 1: "ohr", 2: "two\nlines\x00", 3: "x" * 40})
    draw((named, photos, found), tmp_path / "g.svg", arrangement=arrangement)
    text = re.sub(r"data:[^\"]*", "", (tmp_path / "g.svg").read_text(encoding="utf-8"))
    assert ">ohr</text>" in text
    assert ">two lines</text>" in text
    assert re.search(">x{5,12}…</text>", text)
    assert len(pictures(tmp_path / "g.svg")) == 12


def test_draw_graph__needs_matches_and_photos_of_this_graph(world, tmp_path):
    graph, photos, found = world
    path = tmp_path / "g.svg"
    with pytest.raises(ExplGraphError, match="needs found and images: give found="):
        draw_graph(graph, path, thumbnails=True)
    with pytest.raises(ExplGraphError, match="needs images"):
        draw_graph(graph, path, thumbnails=True, found=found)
    with pytest.raises(ExplGraphError, match="needs found"):
        draw_graph(graph, path, thumbnails=True, images=photos)
    with pytest.raises(ExplGraphError, match="6 nodes that are not this graph's 12"):
        draw((graph, photos, found.take(nodes=np.arange(6))), path)
    other = replace(found, header={"graph_hash": graph_hash(planted_graph(2, 3, 2, seed=1))})
    with pytest.raises(ExplGraphError, match="match this graph"):
        draw((graph, photos, other), path)
    with pytest.raises(ExplGraphError, match="unknown photo of the matches"):
        draw((graph, photos[:1], found), path)
    with pytest.raises(ExplGraphError, match=r"DOT text cannot hold thumbnails: write \.svg"):
        draw(world, tmp_path / "g.dot")
    assert not list(tmp_path.iterdir())


def test_draw_graph__own_matches_have_its_hash(world, tmp_path):
    graph, photos, found = world
    mine = replace(found, header={"graph_hash": graph_hash(graph)})
    draw((graph.rename({0: "ear"}), photos, mine), tmp_path / "g.svg")  # a name is no other graph


def test_draw_graph__without_thumbnails_photos_are_left_alone(world, tmp_path):
    graph, photos, found = world
    counted = Counted(photos)
    draw_graph(graph, tmp_path / "a.svg", found=found, images=counted)
    draw_graph(graph, tmp_path / "b.svg")
    assert counted.asked == []
    assert (tmp_path / "a.svg").read_bytes() == (tmp_path / "b.svg").read_bytes()


def test_draw_graph__four_hundred_pictures_stay_small(tmp_path):
    graph = planted_graph(4, 25, 4)
    noise = np.random.default_rng(0).integers(0, 256, (40, 120, 160, 3), dtype=np.uint8)
    names = tuple(f"{i:06d}" for i in range(40))
    rng = np.random.default_rng(1)
    found = replace(
        painted(graph.select(range(12)), np.zeros(12, dtype=int))[1],
        images=names,
        yx=rng.random((40, 400, 2)),
        score=rng.random((40, 400)),
        log_density=np.zeros((40, 400)),
        peak=np.zeros((40, 400)),
        mirrored=np.zeros(40),
        node_layer=graph.node_layer,
    )
    draw((graph, noise, found), tmp_path / "g.svg")
    assert len(pictures(tmp_path / "g.svg")) == 400
    # Noise is the worst that JPEG can meet: photos take less than half of it.
    assert (tmp_path / "g.svg").stat().st_size < 12e6


@pytest.mark.shared
def test_draw_graph__photos_of_a_folder(tmp_path, shared):
    folder = shared / "animalpart" / "bird"
    graph = planted_graph(2, 3, 2)
    _, found = painted(graph, np.arange(12) % 2)
    names = tuple(p.name for p in sorted(folder.iterdir())[:2])
    draw((graph, folder, replace(found, images=names)), tmp_path / "g.svg")
    assert len(pictures(tmp_path / "g.svg")) == 12
    assert (tmp_path / "g.svg").stat().st_size < 300_000


def test_medallion__is_a_disc_with_a_rim():
    tile = Image.new("RGB", (TILE, TILE), (10, 200, 30))
    picture = np.asarray(medallion(tile, COLORS[0]))
    rim = [int(COLORS[0][i : i + 2], 16) for i in (1, 3, 5)]
    middle = TILE // 2
    assert picture[middle, middle].tolist() == [10, 200, 30]
    assert picture[0, 0].tolist() == picture[-1, -1].tolist() == [255, 255, 255]
    np.testing.assert_allclose(picture[middle, 2], rim, atol=2)
    np.testing.assert_allclose(picture[middle, 9], [10, 200, 30], atol=2)
    buffer = io.BytesIO()
    medallion(tile.convert("L"), COLORS[0]).save(buffer, "JPEG")  # grey pictures too
