"""Clicks: positions worked out by hand, and every way in which they may not fit the photos."""

import math

import numpy as np
import pytest

from aog.clicks import Clicks, check_clicks
from explgraph.base.errors import ExplGraphError
from explgraph.photos.annotations import Annotations

IMAGES = ("a.jpg", "b/1.jpg", "c.jpg")
SIZES = {"a.jpg": (10, 20), "b/1.jpg": (4, 2), "c.jpg": (1, 1)}


def marks(*rows):
    """Return annotations from rows of image, part, x, y[, width, height]."""
    full = [(*row, math.nan, math.nan)[:6] for row in rows]
    return Annotations(
        image=tuple(row[0] for row in full),
        part=tuple(row[1] for row in full),
        yx=np.array([[row[3], row[2]] for row in full], dtype=float).reshape(-1, 2),
        size=np.array([[row[5], row[4]] for row in full], dtype=float).reshape(-1, 2),
        group=tuple(row[0] for row in full),
    )


def test_check_clicks__by_hand():
    given = marks(
        ("b/1.jpg", "head", 1, 0, 1, 3),
        ("nowhere.jpg", "tail", 1, 1),  # another part: passed over
        ("a.jpg", "head", 9.5, 2),
    )
    clicks = check_clicks(given, "head", IMAGES, SIZES)
    assert clicks.part == "head"
    assert clicks.index.tolist() == [1, 0]
    # Pixel x = 1 of two: its centre lies at 1.5 / 2. Pixel y = 0 of four: .5 / 4.
    np.testing.assert_array_equal(clicks.yx, [[0.125, 0.75], [0.25, 0.5]])
    np.testing.assert_array_equal(clicks.size, [[0.75, 0.5], [np.nan, np.nan]])
    assert len(clicks) == 2
    with pytest.raises(ValueError, match="read-only"):
        clicks.yx[0, 0] = 1


def test_check_clicks__one_size_for_all_photos():
    clicks = check_clicks(marks(("c.jpg", "head", 5, 5)), "head", IMAGES, (10, 20))
    np.testing.assert_array_equal(clicks.yx, [[0.55, 0.275]])


def test_check_clicks__the_rim_of_the_photo_is_inside():
    """Integers are centres: 10 rows of pixels span -.5 to 9.5, and 20 columns -.5 to 19.5."""
    for x, y, unit in ((-0.5, -0.5, [0, 0]), (19.5, 9.5, [1, 1])):
        clicks = check_clicks(marks(("a.jpg", "head", x, y)), "head", IMAGES, SIZES)
        np.testing.assert_array_equal(clicks.yx, [unit])


def test_check_clicks__boxes_in_photos():
    """The photo's name is enough where it has one box; positions stay those in the photo."""
    items = ("a.jpg#0", "b/1.jpg#0", "b/1.jpg#1", "c.jpg#0")
    given = marks(("b/1.jpg#1", "head", 0, 0), ("a.jpg", "head", 0, 0), ("b/1.jpg#0", "head", 1, 3))
    clicks = check_clicks(given, "head", items, SIZES)
    assert clicks.index.tolist() == [2, 0, 1]
    np.testing.assert_array_equal(clicks.yx, [[0.125, 0.25], [0.05, 0.025], [0.875, 0.75]])
    of_items = {name: SIZES[name[:-2]] for name in items}
    again = check_clicks(given, "head", items, of_items)
    np.testing.assert_array_equal(again.yx, clicks.yx)
    with pytest.raises(ExplGraphError, match=r"'b/1\.jpg' has 2 boxes: .* 'b/1\.jpg#0' to 'b/1"):
        check_clicks(marks(("b/1.jpg", "head", 0, 0)), "head", items, SIZES)


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([], "there are no annotations: mark the part"),
        ([("a.jpg", "tail", 1, 1)], "unknown part 'head'; the nearest are tail"),
        (
            [("b/2.jpg", "head", 1, 1)],
            r"unknown image in the .*'b/2\.jpg'; the nearest are b/1\.jpg",
        ),
        ([("a.jpg#0", "head", 1, 1)], r"unknown image .*'a\.jpg#0'; the nearest are a\.jpg"),
        ([("a.jpg", "head", 19.51, 1)], r"x = 19\.51, y = 1 .*'head' lies .*'a\.jpg', .* 20 wide"),
        ([("a.jpg", "head", -0.51, 1)], r"x = -0\.51"),
        ([("a.jpg", "head", 1, 15)], "y = 15 .* and 10 high once upright. Are x and y swapped"),
        ([("a.jpg", "head", 1, -0.6)], r"y = -0\.6"),
        (
            [("a.jpg", "head", 1, 1), ("c.jpg", "head", 0, 0), ("a.jpg", "head", 2, 2)],
            r"two clicks for the part 'head' in 'a\.jpg': keep one .* \(a\.jpg#0, a\.jpg#1\)",
        ),
    ],
)
def test_check_clicks__what_does_not_fit(rows, message):
    with pytest.raises(ExplGraphError, match=message):
        check_clicks(marks(*rows), "head", IMAGES, SIZES)


def test_check_clicks__two_clicks_by_two_names_for_one_box():
    given = marks(("a.jpg", "head", 1, 1), ("a.jpg#0", "head", 2, 2))
    with pytest.raises(ExplGraphError, match=r"two clicks for the part 'head' in 'a\.jpg#0'"):
        check_clicks(given, "head", ("a.jpg#0", "c.jpg#0"), SIZES)


def test_check_clicks__size_of_the_photo_unknown():
    given = marks(("a.jpg", "head", 1, 1))
    with pytest.raises(
        ExplGraphError, match=r"unknown photo 'a\.jpg'; .*Its size in pixels is need"
    ):
        check_clicks(given, "head", IMAGES, {"c.jpg": (1, 1)})
    with pytest.raises(ExplGraphError, match=r"the size of 'a\.jpg' must be .height, width. above"):
        check_clicks(given, "head", IMAGES, (0, 5))


def test_clicks__fields_that_do_not_fit():
    with pytest.raises(ExplGraphError, match="yx must have shape"):
        Clicks("head", np.array([1, 2]), np.zeros((1, 2)), np.zeros((2, 2)))
    with pytest.raises(ExplGraphError, match="yx must be finite"):
        Clicks("head", np.array([1]), np.full((1, 2), np.nan), np.zeros((1, 2)))
