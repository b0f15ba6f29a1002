"""Answers on photos: marks lie where they should, in the right colours."""

from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from aog.drawing.photos import draw_parse, part_sheet
from aog.parsing import Parse
from explgraph.base.errors import ExplGraphError
from explgraph.drawing.look import COLORS
from explgraph.drawing.pictures import save_picture
from explgraph.photos.boxes import Box
from explgraph.photos.images import ImageItem, ImageSource
from tests.support.parts_by_hand import GRID, answers

GREY, MARGIN, ROOM, TILE, GAP = 100, 24, 640, 168, 14
TOP = MARGIN + 54
YELLOW, CYAN = (255, 212, 0), (0, 229, 255)


def source_of(*names, height=100, width=200, value=GREY):
    photo = Image.new("RGB", (width, height), (value, value + 1, value))
    items = [ImageItem(name, i) for i, name in enumerate(names)]
    return ImageSource(items, lambda _: photo)


def pixels_of(path: Path) -> np.ndarray:
    with Image.open(path) as image:
        return np.asarray(image).astype(int)


def rgb(color: str) -> tuple[int, ...]:
    return tuple(int(color[i : i + 2], 16) for i in (1, 3, 5))


def near(pixel: np.ndarray, color: tuple[int, ...], within: int = 12) -> bool:
    return bool(np.abs(pixel - color).max() < within)


THIN = 40
"""Reducing a picture changes the colour of a thin line by less than that."""


def parse_of(where, peak=((0.25, 0.25),), vote=((0.25, 0.75),), layer=(1,), **changes) -> Parse:
    k = len(peak)
    fields = {
        "answer": where,
        "node": np.arange(k),
        "ids": tuple(f"layer/{i}/0" for i in range(k)),
        "layer": np.array(layer),
        "peak": np.array(peak).reshape(k, 2),
        "vote": np.array(vote).reshape(k, 2),
        "score": np.ones(k),
        "contribution": np.linspace(0.2, 0.1, k),
        "total": 0.5,
        "fired": 7,
    }
    return Parse(**{**fields, **changes})


def corner_region(where):
    """The same answers with all of the probability in the lower right quarter of the photo."""
    probability = np.zeros((len(where), GRID, GRID))
    probability[:, GRID // 2 :, GRID // 2 :] = 4 / GRID**2
    return replace(where, probability=probability)


def at(pixels: np.ndarray, y: float, x: float) -> np.ndarray:
    """The pixel at a place of a photo twice as wide as high, ROOM pixels wide."""
    return pixels[MARGIN + round(y * ROOM / 2), MARGIN + round(x * ROOM)]


def is_white_line(pixels: np.ndarray, y: float, x: float) -> bool:
    """Tell whether there is white to within a pixel of a place."""
    row, column = MARGIN + round(y * ROOM / 2), MARGIN + round(x * ROOM)
    around = pixels[row - 1 : row + 2, column - 1 : column + 2]
    return bool((around.min(axis=-1) > 255 - THIN).any())


def test_draw_parse__marks_lie_at_their_places(tmp_path):
    where = answers(yx=np.array([[0.6, 0.5]]), size=np.array([[0.5, 0.25]]))
    draw_parse(parse_of(where), source_of("a.jpg"), tmp_path / "new" / "p.png")
    pixels = pixels_of(tmp_path / "new" / "p.png")
    assert near(at(pixels, 0.25, 0.25), rgb(COLORS[1]))  # the peak
    assert near(at(pixels, 0.25, 0.5), rgb(COLORS[1]), THIN)  # on the way to the vote
    assert near(at(pixels, 0.25, 0.78), (GREY, GREY + 1, GREY))  # beyond it
    assert near(at(pixels, 0.6, 0.5), (255, 255, 255))  # the answer
    assert is_white_line(pixels, 0.6, 0.375)  # its box: left, and lower side
    assert is_white_line(pixels, 0.85, 0.45)
    assert not is_white_line(pixels, 0.6, 0.4)
    assert near(at(pixels, 0.6, 0.7), (GREY, GREY + 1, GREY))


def test_draw_parse__outside_of_the_region_is_dimmed(tmp_path):
    where = corner_region(answers(size=np.full((1, 2), np.nan)))
    draw_parse(parse_of(where), source_of("a.jpg"), tmp_path / "p.png")
    pixels = pixels_of(tmp_path / "p.png")
    assert near(at(pixels, 0.8, 0.7), (GREY, GREY + 1, GREY))
    for y, x in ((0.8, 0.3), (0.1, 0.1), (0.4, 0.9)):
        assert near(at(pixels, y, x), (62, 62, 62))
    assert is_white_line(pixels, 0.8, 0.5)  # the region's left side


def test_draw_parse__the_best_patterns_disc_is_the_largest(tmp_path):
    peaks = ((0.2, 0.2), (0.2, 0.8))
    draw_parse(parse_of(answers(), peaks, peaks, (0, 3)), source_of("a.jpg"), tmp_path / "p.png")
    pixels = pixels_of(tmp_path / "p.png")[:, : MARGIN + ROOM]
    counts = [(np.abs(pixels - rgb(COLORS[i])).max(axis=-1) < 12).sum() for i in (0, 3)]
    assert counts[0] > 1.5 * counts[1] > 0


def test_draw_parse__the_best_pattern_lies_on_top_and_a_long_list_has_room(tmp_path):
    peaks = np.full((40, 2), 0.2)
    layers = np.array([3] + [0] * 39)
    draw_parse(parse_of(answers(), peaks, peaks, layers), source_of("a.jpg"), tmp_path / "p.png")
    pixels = pixels_of(tmp_path / "p.png")
    assert near(at(pixels, 0.2, 0.2), rgb(COLORS[3]))
    keys = pixels[:, ROOM + 2 * MARGIN + 3]  # a column through the squares before the names
    is_key = np.abs(keys - rgb(COLORS[0])).max(axis=-1) < 12
    assert np.count_nonzero(np.diff(is_key.astype(int)) == 1) == 39
    below = pixels[np.flatnonzero(is_key)[-1] + 60 : -4]  # the counts and the note
    assert (below[:, ROOM + 2 * MARGIN :] < 180).any()


def test_draw_parse__lists_every_pattern_with_its_share(tmp_path):
    peaks = np.full((5, 2), 0.2)
    draw_parse(
        parse_of(answers(), peaks, peaks, (0, 1, 2, 3, 0)), source_of("a.jpg"), tmp_path / "p.png"
    )
    panel = pixels_of(tmp_path / "p.png")[:, ROOM + 2 * MARGIN :]
    bars = [
        (np.abs(panel[:, 230:] - rgb(color)).max(axis=-1) < 12).any(axis=0).sum()
        for color in COLORS[1:4]
    ]
    # Contributions .2, .175, .15, .125, .1: the second has 7/8 of the first one's 90 pixels.
    np.testing.assert_allclose(bars, [90 * 0.875, 90 * 0.75, 90 * 0.625], atol=2)


def test_draw_parse__of_no_pattern_and_of_what_is_not_visible(tmp_path):
    nothing = np.zeros((0, 2))
    where = answers(visible=np.zeros(1), mirrored=np.ones(1))
    silent = parse_of(where, nothing, nothing, np.zeros(0), total=0.0, fired=0)
    draw_parse(silent, source_of("a.jpg"), tmp_path / "p.png")
    assert near(at(pixels_of(tmp_path / "p.png"), 0.5, 0.5), (255, 255, 255))


def test_draw_parse__of_a_box_is_placed_by_the_whole_photo(tmp_path):
    photo = Image.new("RGB", (300, 300), (GREY, GREY + 1, GREY))
    source = ImageSource([ImageItem("p#0", 0, Box(100, 150, 150, 250))], lambda _: photo)
    where = answers(("p#0",), yx=np.array([[0.4, 0.6]]), size=np.full((1, 2), np.nan))
    where = replace(where, frames=np.array([[[1 / 3, 1 / 6], [0.5, 1 / 3]]]))
    draw_parse(parse_of(where, ((0.4, 0.8),), ((0.4, 0.8),)), source, tmp_path / "p.png")
    pixels = pixels_of(tmp_path / "p.png")
    assert near(at(pixels, 0.4, 0.3), (255, 255, 255))
    assert near(at(pixels, 0.4, 0.9), rgb(COLORS[1]))


def tile(pixels: np.ndarray, index: int, columns: int, captions: int = 1) -> np.ndarray:
    row, column = divmod(index, columns)
    top = TOP + row * (TILE + (captions + 1) * 17 + GAP + 4)
    left = MARGIN + column * (TILE + GAP)
    return pixels[top : top + TILE, left : left + TILE]


def test_part_sheet__crosses_lie_on_the_answers(tmp_path, rng):
    names = tuple("abcdefg")
    yx = rng.uniform(0.2, 0.8, (7, 2))
    where = answers(names, yx=yx, size=np.full((7, 2), np.nan))
    source = source_of(*names[::-1], "other", width=100)
    part_sheet(where, source, tmp_path / "new" / "s.png", columns=3)
    pixels = pixels_of(tmp_path / "new" / "s.png")
    assert pixels.shape[1] == 2 * MARGIN + 3 * TILE + 2 * GAP
    for i in range(7):
        inside = tile(pixels, i, 3)[8:-8, 8:-8]  # within the outline of the whole photo
        marked = np.argwhere(np.abs(inside - YELLOW).max(axis=-1) < 12)
        np.testing.assert_allclose(marked.mean(axis=0) + 8, yx[i] * TILE, atol=1.5)


def test_part_sheet__parts_have_colours_and_what_is_not_visible_has_none(tmp_path):
    where = answers(
        ("a", "a", "b", "b"),
        parts=("head", "tail") * 2,
        yx=np.array([[0.3, 0.3], [0.7, 0.7]] * 2),
        visible=np.array([1, 0, 0, 0]),
        size=np.full((4, 2), np.nan),
    )
    part_sheet(where, source_of("a", "b", width=100), tmp_path / "s.png")
    pixels = pixels_of(tmp_path / "s.png")
    first, second = (tile(pixels, i, 3, captions=2) for i in (0, 1))
    assert near(first[round(0.3 * TILE), round(0.3 * TILE)], YELLOW)
    assert near(first[round(0.7 * TILE), round(0.7 * TILE)], (GREY, GREY + 1, GREY))
    assert np.ptp(second) < 6  # nothing is marked
    assert second.mean() > GREY + 50  # and it is pale
    part_sheet(
        replace(where, visible=np.ones(4)), source_of("a", "b", width=100), tmp_path / "t.png"
    )
    first = tile(pixels_of(tmp_path / "t.png"), 0, 3, captions=2)
    assert near(first[round(0.7 * TILE), round(0.7 * TILE)], CYAN)


def test_part_sheet__regions_and_boxes(tmp_path):
    where = corner_region(answers(yx=np.array([[0.25, 0.25]]), size=np.array([[0.2, 0.3]])))
    part_sheet(where, source_of("a.jpg", width=100), tmp_path / "s.png")
    shown = tile(pixels_of(tmp_path / "s.png"), 0, 3)
    yellow = np.abs(shown - YELLOW).max(axis=-1) < 60
    assert yellow[round(0.7 * TILE), TILE // 2 - 1 : TILE // 2 + 2].any()  # the region's left side
    # Its inside; the last of its 16 cells is not needed for nine tenths.
    assert not yellow[round(0.55 * TILE) : round(0.85 * TILE), round(0.55 * TILE) : -8].any()
    rows, columns = np.nonzero(yellow[: TILE // 2 - 3, : TILE // 2 - 3])
    assert (rows.min(), rows.max()) == pytest.approx((0.15 * TILE, 0.35 * TILE), abs=2)
    assert (columns.min(), columns.max()) == pytest.approx((0.1 * TILE, 0.4 * TILE), abs=2)


def test_part_sheet__loads_each_photo_once(tmp_path):
    loads = Counter()

    def read(photo: int) -> Image.Image:
        loads[photo] += 1
        return Image.new("RGB", (30, 60))

    source = ImageSource([ImageItem(name, i) for i, name in enumerate("abc")], read)
    where = answers(("b", "b", "c"), parts=("head", "tail", "head"))
    part_sheet(where, source, tmp_path / "s.png")
    assert loads == {1: 1, 2: 1}


def test_part_sheet__odd_names_and_tiny_photos_do_not_break_it(tmp_path):
    name, part = "long/" * 40 + "é 口\n.jpg", "a very long name of a part " * 3
    where = answers((name, "b"), parts=(part, "x"))
    part_sheet(where, source_of(name, "b", width=1, height=400), tmp_path / "s.png")
    draw_parse(parse_of(where.take([0])), source_of(name, width=400, height=1), tmp_path / "p.png")
    assert pixels_of(tmp_path / "s.png").shape[1] == 2 * MARGIN + 3 * TILE + 2 * GAP


def test_pictures__name_what_is_wrong(tmp_path):
    with pytest.raises(ExplGraphError, match=r"'a.jpg', which is not among the 1 images given"):
        draw_parse(parse_of(answers()), source_of("b.jpg"), tmp_path / "p.png")
    with pytest.raises(ExplGraphError, match="not among the 1 images"):
        part_sheet(answers(), source_of("b.jpg"), tmp_path / "p.png")
    with pytest.raises(ExplGraphError, match="no answers to show"):
        part_sheet(answers(()), source_of("a.jpg"), tmp_path / "p.png")
    with pytest.raises(ExplGraphError, match="columns must be at least 1"):
        part_sheet(answers(), source_of("a.jpg"), tmp_path / "p.png", columns=0)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(("suffix", "magic"), [(".png", b"\x89PNG"), (".jpg", b"\xff\xd8")])
def test_save__the_suffix_says_how(suffix, magic, tmp_path):
    path = tmp_path / f"sheet{suffix}"
    save_picture(Image.new("RGB", (4, 4)), path)
    assert path.read_bytes().startswith(magic)


def test_save__unknown_formats_are_refused(tmp_path):
    with pytest.raises(ExplGraphError, match=r"unknown picture format '\.gif'"):
        save_picture(Image.new("RGB", (4, 4)), tmp_path / "sheet.gif")
