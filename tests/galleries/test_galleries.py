"""Galleries: tiles show the right pixels of the right photos, with the right badges."""

from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image
from scipy.ndimage import label, maximum_filter

from explgraph.base.arrays import NONE
from explgraph.base.errors import ExplGraphError
from explgraph.drawing.canvas import font_for
from explgraph.drawing.look import COLORS
from explgraph.galleries.filter_page import filter_rows
from explgraph.galleries.galleries import (
    draw_filter,
    draw_node,
    filter_gallery,
    node_gallery,
    node_tiles,
)
from explgraph.galleries.strongest import strongest_peaks
from explgraph.galleries.tiles import cut_tile, cut_tiles, field_note, input_places
from explgraph.peaks.structures import Peaks, PeakSet
from explgraph.photos.boxes import Box
from explgraph.photos.images import ImageItem, ImageSource, LoadedImage, open_images
from tests.support.planted import planted_graph
from tests.support.planted_dots import is_magenta, photo_with_dot, pixels_of, planted_matches

GREY = np.array((0xD9, 0xDB, 0xDF))
WHOLE = np.array([[0.0, 1.0], [0.0, 1.0]])
NODE_TILE, FILTER_TILE = 160, 128


def dots_at(places, side: int = 320) -> tuple[np.ndarray, np.ndarray]:
    """(N, side, side, 3) photos and (N, 2) their dots, unit square.

    A quarter of a pixel off the dots' centres: a tile of even size about a centre could begin at
    either of two pixels.
    """
    photos = np.stack([photo_with_dot(y, x, side, side) for y, x in places])
    return photos, (np.array(places) + 0.75) / side


def graph_with_field(share: float, *shape: int, side: int = 224):
    graph = planted_graph(*shape)
    field = (round(share * side),) * 2
    return replace(graph, layers=tuple(replace(spec, field=field) for spec in graph.layers))


def crop(photo: np.ndarray, y: int, x: int, side: int) -> np.ndarray:
    """A square whose pixel (side / 2 - 1, side / 2 - 1) is pixel (y, x), grey outside."""
    padded = np.empty((photo.shape[0] + 2 * side, photo.shape[1] + 2 * side, 3), dtype=np.uint8)
    padded[:] = GREY
    padded[side:-side, side:-side] = photo
    top, left = y + 1 + side // 2, x + 1 + side // 2
    return padded[top : top + side, left : left + side]


@pytest.mark.parametrize("is_mirrored", [False, True])
def test_node_gallery__tiles_are_the_fields(tmp_path, is_mirrored):
    # Half of the photo's 320 pixels are as large as a tile: nothing is resampled.
    places = [(100, 90), (200, 250), (160, 160), (40, 300), (310, 8), (150, 20), (99, 222), (9, 9)]
    photos, yx = dots_at(places)
    graph = graph_with_field(0.5, 1, 1, 1)
    source = open_images(photos)
    found = planted_matches(graph, source.names, yx)
    found = replace(found, mirrored=np.full(8, is_mirrored))
    tiles = node_tiles(graph, found, source, 0, range(8))
    for tile, photo, (y, x) in zip(tiles, photos, places, strict=True):
        wanted = crop(photo, y, x, NODE_TILE)
        np.testing.assert_array_equal(tile.image, wanted[:, ::-1] if is_mirrored else wanted)
        assert np.allclose(tile.yx, NODE_TILE / 2, atol=1)
    node_gallery(graph, found, source, tmp_path / "new" / "g.png", 0, patches=7)
    assert dots_in(tmp_path / "new" / "g.png") == 7


def dots_in(path) -> int:
    """How many dots are in the middle of a white ring."""
    picture = pixels_of(path)
    labels, count = label(is_magenta(picture))
    white = maximum_filter(picture.min(axis=-1), 2 * 7 + 1)
    return sum(white[labels == i].min() == 255 for i in range(1, count + 1))


def test_cut_tile__a_small_field_has_a_frame_in_what_is_around_it():
    photo = photo_with_dot(60, 80, 120, 160)
    loaded = LoadedImage(Image.fromarray(photo), WHOLE, (120, 160))
    tile = cut_tile(loaded, np.array([0.5, 0.5]), (0.05, 0.1), 80)
    # 0.1 becomes 0.25: 40 of 160 pixels wide, 15 of 120 high, drawn twice as large.
    assert tile.image.size == (80, 30)
    assert tile.yx == pytest.approx((15, 40))
    assert tile.field == pytest.approx((40 - 16, 15 - 6, 40 + 16, 15 + 6))
    assert not tile.is_whole


def test_cut_tile__a_large_field_shows_the_whole_photo():
    photo = photo_with_dot(60, 40, 120, 160)
    loaded = LoadedImage(Image.fromarray(photo), WHOLE, (120, 160))
    tile = cut_tile(loaded, np.array([0.5, 0.25]), (1.2, 1.2), 160)
    np.testing.assert_array_equal(np.asarray(tile.image), photo)
    assert tile.yx == pytest.approx((60, 40))
    # 144 by 192 pixels about (60, 40): only its right border, at 136, is within the photo.
    assert tile.field == pytest.approx((40 - 96, 60 - 72, 136, 132))
    assert tile.is_whole
    mirrored = tile.mirrored()
    np.testing.assert_array_equal(np.asarray(mirrored.image), photo[:, ::-1])
    assert mirrored.yx == pytest.approx((60, 120))
    assert mirrored.field == pytest.approx((24, 60 - 72, 160 - (40 - 96), 132))


@pytest.mark.parametrize("share", [0.25, 0.5, 0.99])
def test_cut_tile__a_field_of_its_own_has_no_frame(share):
    loaded = LoadedImage(Image.new("RGB", (400, 200)), WHOLE, (200, 400))
    tile = cut_tile(loaded, np.array([0.4, 0.7]), (share, share), 100)
    assert tile.field is None
    assert tile.image.size == (100, 50)
    assert tile.yx == pytest.approx((25, 50))


def test_cut_tile__of_a_box_and_of_tiny_photos():
    frame = np.array([[0.25, 0.5], [0.5, 0.25]])  # the box: rows 50 to 150, columns 200 to 300
    box = photo_with_dot(20, 60, 100, 100)
    tile = cut_tile(
        LoadedImage(Image.fromarray(box), frame, (200, 400)), np.array([0.35, 0.65]), (0.2, 0.1), 40
    )
    np.testing.assert_array_equal(np.asarray(tile.image), box[0:40, 40:80])
    sliver = LoadedImage(Image.new("RGB", (1, 400)), WHOLE, (400, 1))
    assert cut_tile(sliver, np.array([0.5, 0.5]), (0.5, 0.5), 160).image.size == (1, 160)


def test_field_note__says_what_is_shown():
    layer = planted_graph(1, 1, 1).layers[0]
    loaded = LoadedImage(Image.new("RGB", (100, 100)), WHOLE, (100, 100))
    tiles = {s: cut_tile(loaded, np.array([0.5, 0.5]), (s, s), 50) for s in (0.1, 0.5, 1.5)}
    notes = {s: field_note(layer, (224, 224), [tile]) for s, tile in tiles.items()}
    assert "(the frame)" in notes[0.1]
    assert "just that" in notes[0.5]
    assert "whole photo is shown" in notes[1.5]
    assert not any("mirrored" in note for note in notes.values())
    assert "mirrored" in field_note(layer, (224, 224), [tiles[0.5].mirrored()])


def test_node_gallery__loads_only_what_it_shows_and_takes_boxes(tmp_path):
    photos, yx = dots_at([(100, 90), (200, 250), (160, 160)])
    loads = Counter()

    def read(photo: int) -> Image.Image:
        loads[photo] += 1
        return Image.fromarray(photos[photo])

    items = [ImageItem(name, i) for name, i in (("c", 2), ("x", 0), ("b", 1), ("a", 0))]
    source = ImageSource([*items[:3], ImageItem("a#0", 0, Box(20, 30, 200, 250))], read)
    graph = graph_with_field(0.5, 2, 1, 1)
    found = planted_matches(graph, ("a#0", "b", "c"), yx)
    found = replace(found, score=np.array([[2, 0], [0, 0], [1, 0]], dtype=np.float32))
    node_gallery(graph, found, source, tmp_path / "g.png", graph.node_id(0))
    assert loads == {0: 1, 2: 1}
    node_gallery(graph, found, source, tmp_path / "none.jpg", 1)  # it is found nowhere
    assert loads == {0: 1, 2: 1}
    assert pixels_of(tmp_path / "none.jpg").shape[0] < 320


def test_node_gallery__odd_names_do_not_break_it(tmp_path):
    name = "long/" * 60 + "口 é\n.jpg"
    photo = Image.new("RGB", (3, 200))
    source = ImageSource([ImageItem(name, 0)], lambda _: photo)
    graph = graph_with_field(0.2, 2, 1, 2).rename({0: "Голова 頭 " * 20, 1: "a\nb\x00"})
    graph = replace(
        graph, layers=tuple(replace(s, name="deep.module." * 20 + "end") for s in graph.layers)
    )
    found = planted_matches(graph, (name,), np.full((1, 2), 0.5))
    for node in (0, 1, 3):
        node_gallery(graph, found, source, tmp_path / "g.png", node)
    assert pixels_of(tmp_path / "g.png").shape[1] == 2 * 28 + 5 * NODE_TILE + 4 * 14


def test_input_places__undo_frames_and_mirroring():
    graph = planted_graph(1, 1, 1)
    found = planted_matches(graph, ("a", "b"), np.array([[0.3, 0.4], [0.3, 0.4]]))
    found = replace(found, mirrored=np.array([0, 1]))
    node = np.array([0])
    assert input_places(found, node, (200, 100))[:, 0] == pytest.approx(
        np.array([[0.3, 0.4], [0.3, 0.6]])
    )
    # Both see the box of rows .2 to .7 and columns .2 to .6, as 200 by 100 network pixels.
    frames = np.array([[[0.2, 0.5 / 200], [0.2, 0.4 / 100]]] * 2)
    found = replace(found, frames=frames)
    assert input_places(found, node, (200, 100))[:, 0] == pytest.approx(
        np.array([[0.2, 0.5], [0.2, 0.5]])
    )


def planted_peaks(graph, names, rng, mirrored: bool = True) -> PeakSet:
    """Random peaks, falling along K, some missing; photos are letterboxed at random."""
    n = len(names)

    def layers():
        result = []
        for spec in graph.layers:
            weight = -np.sort(-rng.gamma(1, 1, (n, spec.channels, 3)), axis=-1)
            weight[rng.random((n, spec.channels)) < 0.2] = 0
            yx = rng.uniform(20, 200, (n, spec.channels, 3, 2)) * (weight > 0)[..., None]
            result.append(Peaks(spec, yx, weight))
        return tuple(result)

    start, scale = rng.uniform(-0.2, 0.1, (n, 2)), rng.uniform(0.8, 1.2, (n, 2)) / 224
    return PeakSet(
        images=names,
        frames=np.stack([start, scale], axis=-1),
        input_size=graph.input_size,
        peaks=layers(),
        mirrored=layers() if mirrored else None,
        channel_mean=graph.channel_mean,
        channel_scale=graph.channel_scale,
    )


def test_strongest_peaks__against_loops_over_photos(rng):
    graph = planted_graph(2, 4, 3)
    names = tuple("abcdefghijkl")
    peaks = planted_peaks(graph, names, rng)
    some = names[3:] + names[:1]  # in another order than the peaks, and not all of them
    found = planted_matches(graph, some, rng.uniform(0, 1, (10, 2)))
    found = replace(
        found,
        score=rng.gamma(1, 1, (10, 24)) * (rng.random((10, 24)) < 0.7),
        peak=rng.integers(-1, 2, (10, 24)),
        mirrored=rng.integers(0, 2, 10),
    )
    for layer, channel in ((0, 1), (1, 3)):
        strongest = strongest_peaks(graph, found, peaks, layer, channel)
        own = [i for i in range(24) if (i // 12, i % 12 // 3) == (layer, channel)]
        for i, name in enumerate(some):
            row, flip = names.index(name), bool(found.mirrored[i])
            seen = (peaks.mirrored if flip else peaks.peaks)[layer]
            assert strongest.weight[i] == seen.weight[row, channel, 0]
            y, x = (float(v) for v in seen.yx[row, channel, 0])
            assert strongest.share[i] == pytest.approx((y / 224, x / 224))
            given = (y, 224 - x if flip else x)
            (y0, dy), (x0, dx) = peaks.frames[row]
            assert strongest.yx[i] == pytest.approx((y0 + dy * given[0], x0 + dx * given[1]))
            claims = [j for j in own if found.peak[i, j] == 0 and found.score[i, j] > 0]
            best = max(claims, key=lambda j, i=i: found.score[i, j], default=NONE)
            assert strongest.claimed_by[i] == best
        shown = strongest.best(99)
        assert list(strongest.weight[shown]) == sorted(
            (w for w in strongest.weight if w > 0), reverse=True
        )
        total = sum(strongest.share_of(node) for node in [*own, NONE])
        assert total == pytest.approx(1)


def test_strongest_peaks__name_what_does_not_fit(rng):
    graph = planted_graph(2, 4, 3)
    peaks = planted_peaks(graph, tuple("abc"), rng, mirrored=False)
    found = planted_matches(graph, tuple("abd"), np.full((3, 2), 0.5))
    with pytest.raises(ExplGraphError, match=r"1 of the 3 matched photos have no peaks.*'d'"):
        strongest_peaks(graph, found, peaks, 0, 0)
    found = replace(found, images=tuple("abc"), mirrored=np.array([0, 1, 0]))
    with pytest.raises(ExplGraphError, match="no mirrored peaks"):
        strongest_peaks(graph, found, peaks, 0, 0)
    other = planted_graph(3, 4, 3)
    with pytest.raises(ExplGraphError, match="other layers"):
        strongest_peaks(
            other, planted_matches(other, tuple("abc"), np.full((3, 2), 0.5)), peaks, 0, 0
        )


def two_parts(rng):
    """Two nodes of one filter in six photos, whose dot is where the strongest peak is."""
    places = [(80, 70), (200, 250), (160, 160), (60, 200), (250, 100), (150, 80)]
    photos, yx = dots_at(places, 256)
    graph = graph_with_field(0.5, 1, 2, 2).select([0, 1])
    source = open_images(photos)
    peaks = planted_peaks(graph, source.names, rng)
    weight = np.zeros((6, 2, 3))
    weight[:, :, 0] = np.array([3, 6, 1, 5, 2, 4])[:, None]
    pixels = np.zeros((6, 2, 3, 2))
    pixels[:, :, 0] = (yx * 224)[:, None]
    frames = np.tile([[0, 1 / 224]], (6, 2, 1))
    mine = Peaks(graph.layers[0], pixels, weight)
    peaks = replace(peaks, peaks=(mine,), mirrored=None, frames=frames)
    found = planted_matches(graph, source.names, yx)
    peak = np.array([[0, 1], [1, 0], [1, 1], [0, 0], [0, 1], [2, 2]])
    return photos, places, graph, source, peaks, replace(found, peak=peak)


def test_filter_gallery__raw_peaks_highest_first_and_who_claims_them(tmp_path, rng):
    photos, places, graph, source, peaks, found = two_parts(rng)
    found = replace(found, score=np.array([[1, 5.0]] * 3 + [[5.0, 1]] * 3))
    strongest = strongest_peaks(graph, found, peaks, 0, 0)
    rows = filter_rows(graph, found, strongest, [0, 1], 5)
    assert [row.node for row in rows] == [NONE, 0, 1]
    order = [[1, 3, 5, 0, 4], [3, 4, 5, 0, 1], [0, 1, 2, 3, 4]]
    assert [[place.photo for place in row.places] for row in rows] == order
    assert rows[0].claims == [1, 0, NONE, 0, 0]
    shown = [place for row in rows for place in row.places]
    tiles = cut_tiles(graph.layers[0], graph.input_size, found, source, shown, FILTER_TILE)
    for tile, place in zip(tiles, shown, strict=True):
        wanted = crop(photos[place.photo], *places[place.photo], FILTER_TILE)
        np.testing.assert_array_equal(tile.image, wanted)
    filter_gallery(graph, found, peaks, source, tmp_path / "f.png", 0, 0, patches=5)
    assert dots_in(tmp_path / "f.png") == 3 * 5
    picture, nobody = pixels_of(tmp_path / "f.png"), "#9A9DA3"
    rgb = [tuple(int(c[i : i + 2], 16) for i in (1, 3, 5)) for c in (*COLORS[:2], nobody)]
    areas = [(picture == color).all(axis=-1).sum() for color in rgb]
    assert areas[0] - areas[1] > 400  # two badges more
    assert areas[2] > 200  # one


def test_galleries__without_a_file_are_returned_by_default_of_the_best_node(rng):
    _, _, graph, source, peaks, found = two_parts(rng)
    best = int(graph.ranking()[0])
    layer, channel = int(graph.node_layer[best]), int(graph.node_channel[best])
    same(draw_node(graph, found, source), draw_node(graph, found, source, node=best))
    whole = draw_filter(graph, found, peaks, source)
    same(whole, draw_filter(graph, found, peaks, source, layer=layer, channel=channel))
    same(whole, draw_filter(graph, found, peaks, source, layer=layer))
    with pytest.raises(ExplGraphError, match="name the layer of the filter, too"):
        draw_filter(graph, found, peaks, source, channel=0)


def same(one, other):
    np.testing.assert_array_equal(np.asarray(one), np.asarray(other))


def test_filter_gallery__a_filter_without_nodes_shows_its_raw_peaks(tmp_path, rng):
    _, _, graph, source, peaks, found = two_parts(rng)
    for layer in (0, graph.layers[0].name):
        filter_gallery(graph, found, peaks, source, tmp_path / "f.png", layer, 1, patches=4)
        assert dots_in(tmp_path / "f.png") == 4
    silent = replace(peaks.peaks[0], weight=np.zeros((6, 2, 3)))
    peaks = replace(peaks, peaks=(silent,))
    filter_gallery(graph, found, peaks, source, tmp_path / "f.png", 0, 1)
    assert dots_in(tmp_path / "f.png") == 0


def test_galleries__name_what_is_wrong(tmp_path, rng):
    photos, _, graph, source, peaks, found = two_parts(rng)
    path = tmp_path / "g.png"
    with pytest.raises(ExplGraphError, match="match this graph"):
        node_gallery(planted_graph(1, 2, 2), found, source, path, 0)
    with pytest.raises(ExplGraphError, match="node 2 does not exist"):
        node_gallery(graph, found, source, path, 2)
    with pytest.raises(ExplGraphError, match="unknown node 'head'"):
        node_gallery(graph, found, source, path, "head")
    with pytest.raises(ExplGraphError, match="patches must be at least 1"):
        node_gallery(graph, found, source, path, 0, patches=0)
    with pytest.raises(ExplGraphError, match=r"unknown picture format '\.gif'"):
        node_gallery(graph, found, source, tmp_path / "g.gif", 0)
    with pytest.raises(ExplGraphError, match="5 images were given"):
        node_gallery(graph, found, open_images(photos[:5]), path, 0)
    with pytest.raises(ExplGraphError, match=r"unknown layer 'feat'.*features\.3"):
        filter_gallery(graph, found, peaks, source, path, "feat", 0)
    with pytest.raises(ExplGraphError, match=r"there is no layer 1: 0\.\.0 are there"):
        filter_gallery(graph, found, peaks, source, path, 1, 0)
    with pytest.raises(ExplGraphError, match=r"filter 2 does not exist: features\.3 has 0 to 1"):
        filter_gallery(graph, found, peaks, source, path, 0, 2)
    with pytest.raises(ExplGraphError, match="patches must be at least 1"):
        filter_gallery(graph, found, peaks, source, path, 0, 0, patches=0)
    assert not list(tmp_path.iterdir())


def test_font_for__ascii_is_the_same_everywhere_and_other_scripts_get_their_letters():
    plain, other = font_for("head 1/2", 14), font_for("Голова", 14)
    assert plain.getname()[0] == font_for("…", 14).getname()[0]
    if other.getname() == plain.getname():
        pytest.skip("this machine has no font with Cyrillic letters")
    masks = {bytes(other.getmask(letter)) for letter in "Голва"}
    assert len(masks) == 5  # not five times the same box
