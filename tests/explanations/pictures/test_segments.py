"""Segments as a picture: what is coloured where, and which of them stand by themselves."""

import dataclasses

import numpy as np
import pytest
from PIL import Image

from explgraph.base.errors import ExplGraphError
from explgraph.explanations.pictures.segments import draw_segments
from explgraph.explanations.segments import Segments

LEFT, TOP = 28, 28 + 64 + 2 * 18 + 20 + 42  # of the first tile's picture, below two lines of note
STEP, SIDE = 224 + 20, 224
SEEN = np.array([[0, 1 / 8], [0, 1 / 8]])
COLORS = ((200, 40, 40), (40, 200, 40), (40, 40, 200), (200, 200, 40))


def quarters(**changes):
    """Four quarters of an input of 8 x 8: the first adds most, the last speaks against."""
    rows, columns = np.indices((8, 8)) // 4
    known = {
        "image": "q.png", "target": "zebra (1)", "labels": 2 * rows + columns, "frame": SEEN,
        "score": np.array([5.0, 3.0, 1.0, -3.0]), "whole": 6.0, "nothing": 1.0,
        "top": np.array([1, 0, 1, 0]), "probability": np.array([0.9, 0.5, 0.3, 0.2]),
        "top_whole": 1, "names": ("horse", "zebra"),
    }  # fmt: skip
    return Segments(**{**known, **changes})


def photo(height=448, width=448):
    rows, columns = np.indices((height, width))
    quarter = 2 * (rows * 2 // height) + columns * 2 // width
    return np.array(COLORS, dtype=np.uint8)[quarter]


def drawn(tmp_path, segments, shown=None, **options):
    path = tmp_path / "s.png"
    draw_segments(segments, (photo() if shown is None else shown)[None], path, **options)
    with Image.open(path) as picture:
        return np.asarray(picture).astype(int)


def tile(pixels, number, height=SIDE):
    row, column = divmod(number, 4)
    top, left = TOP + row * (42 + height + 36), LEFT + column * STEP
    return pixels[top : top + height, left : left + SIDE]


def corner(picture, quarter):
    """The pixel in the middle of a quarter."""
    row, column = divmod(quarter, 2)
    height, width = picture.shape[:2]
    return picture[height * (1 + 2 * row) // 4, width * (1 + 2 * column) // 4]


def test_map__is_orange_for_blue_against_and_nothing_in_between(tmp_path):
    shown = tile(drawn(tmp_path, quarters()), 1)
    red_over_blue = [corner(shown, i)[0] - corner(shown, i)[2] for i in range(4)]
    assert red_over_blue[0] > red_over_blue[1] > 50
    assert red_over_blue[2] == 0  # adds nothing: grey
    assert red_over_blue[3] < -50


def test_best__stand_by_themselves_in_their_order(tmp_path):
    score = np.array([1.0, 7.0, 3.0, 5.0])
    pixels = drawn(tmp_path, quarters(score=score), best=3)
    for place, segment in enumerate((1, 3, 2), start=2):
        shown = tile(pixels, place)
        for quarter in range(4):
            if quarter == segment:
                assert tuple(corner(shown, quarter)) == COLORS[quarter]
            else:
                assert corner(shown, quarter).min() > 210
    assert (tile(pixels, 5) == 255).all()  # no more than the best three


def test_what_the_network_did_not_see__is_pale(tmp_path):
    """It sees the middle half of a wide photo."""
    frame = np.array([[0, 1 / 8], [0.25, 0.5 / 8]])
    pixels = drawn(tmp_path, quarters(frame=frame), photo(448, 896))
    shown = tile(pixels, 1, height=112)
    assert shown[30, 10].min() > 200
    assert np.ptp(shown[30, 70]) > 50
    alone = tile(pixels, 2, height=112)
    assert tuple(alone[20, 70]) == COLORS[0]
    assert alone[20, 10].min() > 210


def test_filters__have_no_classes(tmp_path):
    plain = quarters(top=None, probability=None, top_whole=None, names=None)
    pixels = drawn(tmp_path, plain, best=1)
    assert tuple(corner(tile(pixels, 2), 0)) == COLORS[0]
    assert pixels.shape == drawn(tmp_path, quarters(), best=1).shape


def test_best__may_be_none_and_all_scores_alike(tmp_path):
    even = dataclasses.replace(quarters(), score=np.ones(4))
    shown = tile(drawn(tmp_path, even, best=0), 1)
    assert np.ptp(shown, axis=-1).max() == 0  # grey


@pytest.mark.parametrize(
    ("name", "many", "best", "said"),
    [
        ("s.svg", 1, 6, "unknown picture format"),
        ("s.png", 2, 6, "one photo, got 2"),
        ("s.png", 1, -1, "negative"),
    ],
)
def test_draw__refuses(tmp_path, name, many, best, said):
    with pytest.raises(ExplGraphError, match=said):
        draw_segments(quarters(), np.stack([photo()] * many), tmp_path / name, best=best)
    assert not list(tmp_path.iterdir())
