"""Answers on photos: marks lie where they should, in the right colours."""

from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from scipy.ndimage import label

from aog.drawing.photos import draw_parse, marked_answers, marked_parse, part_sheet
from aog.parsing import Parse
from explgraph.base.errors import ExplGraphError
from explgraph.drawing.look import COLORS
from explgraph.drawing.pictures import save_picture
from explgraph.photos.boxes import Box
from explgraph.photos.images import ImageItem, ImageSource
from tests.support.parts_by_hand import GRID, answers

GREY = 100
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


def marked(parse: Parse, source=None) -> np.ndarray:
    """The photo's pixels, with the marks."""
    source = source or source_of(*parse.answer.images)
    return np.asarray(marked_parse(parse, source.load(0))).astype(int)


def corner_region(where):
    """The same answers with all of the probability in the lower right quarter of the photo."""
    probability = np.zeros((len(where), GRID, GRID))
    probability[:, GRID // 2 :, GRID // 2 :] = 4 / GRID**2
    return replace(where, probability=probability)


def at(pixels: np.ndarray, y: float, x: float) -> np.ndarray:
    """The pixel at a place of a photo."""
    return pixels[round(y * len(pixels)), round(x * pixels.shape[1])]


def is_white_line(pixels: np.ndarray, y: float, x: float) -> bool:
    """Tell whether there is white to within a pixel of a place."""
    row, column = round(y * len(pixels)), round(x * pixels.shape[1])
    around = pixels[row - 1 : row + 2, column - 1 : column + 2]
    return bool((around.min(axis=-1) > 255 - THIN).any())


def test_draw_parse__marks_lie_at_their_places():
    where = answers(yx=np.array([[0.6, 0.5]]), size=np.array([[0.5, 0.25]]))
    pixels = marked(parse_of(where))
    assert near(at(pixels, 0.25, 0.25), rgb(COLORS[1]))  # the peak
    assert near(at(pixels, 0.25, 0.5), rgb(COLORS[1]), THIN)  # on the way to the vote
    assert near(at(pixels, 0.25, 0.78), (GREY, GREY + 1, GREY))  # beyond it
    assert near(at(pixels, 0.6, 0.5), (255, 255, 255))  # the answer
    assert is_white_line(pixels, 0.6, 0.375)  # its box: left, and lower side
    assert is_white_line(pixels, 0.85, 0.45)
    assert not is_white_line(pixels, 0.6, 0.4)
    assert near(at(pixels, 0.6, 0.7), (GREY, GREY + 1, GREY))


def test_draw_parse__outside_of_the_region_is_dimmed():
    where = corner_region(answers(size=np.full((1, 2), np.nan)))
    pixels = marked(parse_of(where))
    assert near(at(pixels, 0.8, 0.7), (GREY, GREY + 1, GREY))
    for y, x in ((0.8, 0.3), (0.1, 0.1), (0.4, 0.9)):
        assert near(at(pixels, y, x), (62, 62, 62))
    assert is_white_line(pixels, 0.8, 0.5)  # the region's left side


def test_draw_parse__the_best_patterns_disc_is_the_largest():
    peaks = ((0.2, 0.2), (0.2, 0.8))
    pixels = marked(parse_of(answers(), peaks, peaks, (0, 3)))
    counts = [(np.abs(pixels - rgb(COLORS[i])).max(axis=-1) < 12).sum() for i in (0, 3)]
    assert counts[0] > 1.5 * counts[1] > 0


def test_draw_parse__the_best_pattern_lies_on_top_and_a_long_list_has_room(tmp_path):
    peaks = np.full((40, 2), 0.2)
    layers = np.array([3] + [0] * 39)
    crowd = parse_of(answers(), peaks, peaks, layers)
    photo = marked(crowd)
    assert near(at(photo, 0.2, 0.2), rgb(COLORS[3]))
    draw_parse(crowd, source_of("a.jpg"), tmp_path / "new" / "p.png")
    pixels = pixels_of(tmp_path / "new" / "p.png")
    is_key = np.abs(pixels - rgb(COLORS[0])).max(axis=-1) < 12
    shown, all_of_it = ((p == (GREY, GREY + 1, GREY)).all(axis=-1).sum() for p in (pixels, photo))
    assert shown == all_of_it > 0
    assert label(is_key)[1] == 2 * 39  # a square and a bar in each row of the list
    below = pixels[np.flatnonzero(is_key.any(axis=1))[-1] + 60 : -4]  # the counts and the note
    assert (below < 180).any()


def test_draw_parse__lists_every_pattern_with_its_share(tmp_path):
    peaks = np.full((5, 2), 0.2)
    draw_parse(
        parse_of(answers(), peaks, peaks, (0, 1, 2, 3, 0)), source_of("a.jpg"), tmp_path / "p.png"
    )
    pixels = pixels_of(tmp_path / "p.png")
    areas = [(pixels == rgb(color)).all(axis=-1).sum() for color in COLORS[1:4]]
    bars = (np.array(areas) - 11 * 11) / 9  # a square, and a bar nine pixels high
    # Contributions .2, .175, .15, .125, .1: the second has 7/8 of the first one's 90 pixels.
    np.testing.assert_allclose(bars, [90 * 0.875, 90 * 0.75, 90 * 0.625], atol=2)


def test_draw_parse__of_no_pattern_and_of_what_is_not_visible():
    nothing = np.zeros((0, 2))
    where = answers(visible=np.zeros(1), mirrored=np.ones(1))
    silent = parse_of(where, nothing, nothing, np.zeros(0), total=0.0, fired=0)
    assert near(at(marked(silent), 0.5, 0.5), (255, 255, 255))


def test_draw_parse__of_a_box_is_placed_by_the_whole_photo():
    photo = Image.new("RGB", (300, 300), (GREY, GREY + 1, GREY))
    source = ImageSource([ImageItem("p#0", 0, Box(100, 150, 150, 250))], lambda _: photo)
    where = answers(("p#0",), yx=np.array([[0.4, 0.6]]), size=np.full((1, 2), np.nan))
    where = replace(where, frames=np.array([[[1 / 3, 1 / 6], [0.5, 1 / 3]]]))
    pixels = marked(parse_of(where, ((0.4, 0.8),), ((0.4, 0.8),)), source)
    assert near(at(pixels, 0.4, 0.3), (255, 255, 255))
    assert near(at(pixels, 0.4, 0.9), rgb(COLORS[1]))


def tiles_of(where, *names) -> list[np.ndarray]:
    """The pixels of each photo, with the marks."""
    photos = marked_answers(where, source_of(*names, width=100)).values()
    return [np.asarray(photo).astype(int) for photo in photos]


def test_part_sheet__crosses_lie_on_the_answers(tmp_path, rng):
    names = tuple("abcdefg")
    yx = rng.uniform(0.2, 0.8, (7, 2))
    where = answers(names, yx=yx, size=np.full((7, 2), np.nan))
    photos = (*names[::-1], "other")
    tiles = tiles_of(where, *photos)
    for tile, place in zip(tiles, yx, strict=True):
        inside = tile[8:-8, 8:-8]  # within the outline of the whole photo
        cross = np.argwhere(np.abs(inside - YELLOW).max(axis=-1) < 12)
        np.testing.assert_allclose(cross.mean(axis=0) + 8, place * len(tile), atol=1.5)
    part_sheet(where, source_of(*photos, width=100), tmp_path / "new" / "s.png", columns=3)
    pixels = pixels_of(tmp_path / "new" / "s.png")
    yellow = [(each == YELLOW).all(axis=-1).sum() for each in (pixels, *tiles)]
    assert yellow[0] == sum(yellow[1:]) + 7 * 8 * 8  # and a key beneath each


def test_part_sheet__parts_have_colours_and_what_is_not_visible_has_none():
    where = answers(
        ("a", "a", "b", "b"),
        parts=("head", "tail") * 2,
        yx=np.array([[0.3, 0.3], [0.7, 0.7]] * 2),
        visible=np.array([1, 0, 0, 0]),
        size=np.full((4, 2), np.nan),
    )
    first, second = tiles_of(where, "a", "b")
    assert near(at(first, 0.3, 0.3), YELLOW)
    assert near(at(first, 0.7, 0.7), (GREY, GREY + 1, GREY))
    assert np.ptp(second) < 6  # nothing is marked
    assert second.mean() > GREY + 50  # and it is pale
    first, _ = tiles_of(replace(where, visible=np.ones(4)), "a", "b")
    assert near(at(first, 0.7, 0.7), CYAN)


def test_part_sheet__regions_and_boxes():
    where = corner_region(answers(yx=np.array([[0.25, 0.25]]), size=np.array([[0.2, 0.3]])))
    (shown,) = tiles_of(where, "a.jpg")
    side = len(shown)
    yellow = np.abs(shown - YELLOW).max(axis=-1) < 60
    assert yellow[round(0.7 * side), side // 2 - 1 : side // 2 + 2].any()  # the region's left side
    # Its inside; the last of its 16 cells is not needed for nine tenths.
    assert not yellow[round(0.55 * side) : round(0.85 * side), round(0.55 * side) : -8].any()
    rows, columns = np.nonzero(yellow[: side // 2 - 3, : side // 2 - 3])
    assert (rows.min(), rows.max()) == pytest.approx((0.15 * side, 0.35 * side), abs=2)
    assert (columns.min(), columns.max()) == pytest.approx((0.1 * side, 0.4 * side), abs=2)


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
    part_sheet(answers(("a",)), source_of("a"), tmp_path / "t.png")
    assert pixels_of(tmp_path / "s.png").shape[1] == pixels_of(tmp_path / "t.png").shape[1]


def test_pictures__name_what_is_wrong(tmp_path):
    with pytest.raises(
        ExplGraphError, match=r"photo of the answers: 'a\.jpg'.* 1 images were given"
    ):
        draw_parse(parse_of(answers()), source_of("b.jpg"), tmp_path / "p.png")
    with pytest.raises(ExplGraphError, match="1 images were given"):
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
