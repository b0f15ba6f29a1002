"""Photos with a part painted over: pixels checked one by one."""

import numpy as np
import pytest
from PIL import Image

from explgraph.base.errors import ExplGraphError
from explgraph.evaluation.few_shot.reliability import hide_part
from explgraph.photos.annotations import Annotations
from explgraph.photos.images import open_images

HEIGHT, WIDTH = 40, 60
GREY, PAINT = 90, 200


def annotations(marks):
    """Marks ``(image, part, y, x, height, width)``."""
    return Annotations(
        image=tuple(m[0] for m in marks),
        part=tuple(m[1] for m in marks),
        yx=np.array([m[2:4] for m in marks], dtype=float),
        size=np.array([m[4:6] for m in marks], dtype=float),
        group=tuple(m[0] for m in marks),
    )


def photos(count):
    return open_images([np.full((HEIGHT, WIDTH, 3), GREY, np.uint8) for _ in range(count)])


def textures(height=100, width=100):
    return open_images([np.full((height, width, 3), PAINT, np.uint8)])


def painted(image):
    """Return the first and last row and column of the paint, and how many pixels it has."""
    rows, columns = np.nonzero(np.asarray(image)[..., 0] == PAINT)
    return rows.min(), rows.max(), columns.min(), columns.max(), len(rows)


def test_hide_part__paints_the_box_and_nothing_else():
    """A box of 5 x 9 pixels about pixel (10, 20) has rows 8 to 12 and columns 16 to 24."""
    marks = annotations([("000000", "head", 10, 20, 4, 8), ("000000", "tail", 30, 50, 4, 4)])
    found = hide_part(photos(1), marks, "head", textures())
    assert found.rows == [0]
    assert painted(found.hidden[0]) == (8, 12, 16, 24, 45)
    assert set(np.unique(found.hidden[0])) == {GREY, PAINT}


@pytest.mark.parametrize("seed", range(8))
def test_hide_part__the_control_has_as_much_paint_clear_of_the_part(seed):
    marks = annotations([("000000", "head", 10, 20, 10, 20)])
    found = hide_part(photos(1), marks, "head", textures(), seed=seed)
    hidden, control = (np.asarray(p[0])[..., 0] == PAINT for p in (found.hidden, found.control))
    assert control.sum() == hidden.sum() == 11 * 21
    assert (control & hidden).sum() <= 0.1 * hidden.sum()


def test_hide_part__a_box_that_sticks_out_is_cut():
    marks = annotations([("000000", "head", 0, 59, 8, 8)])
    found = hide_part(photos(1), marks, "head", textures())
    assert painted(found.hidden[0]) == (0, 4, 55, 59, 25)


def test_hide_part__small_textures_are_enlarged():
    marks = annotations([("000000", "head", 10, 20, 10, 20)])
    found = hide_part(photos(1), marks, "head", textures(6, 5))
    assert painted(found.hidden[0])[-1] == 11 * 21


def test_hide_part__leaves_out_what_cannot_be_used():
    nan = float("nan")
    marks = annotations(
        [
            ("000000", "head", 20, 30, 30, 50),  # no room elsewhere
            ("000001", "head", 10, 20, 4, 4),
            ("000001", "head", 30, 20, 4, 4),  # twice
            ("000002", "head", 10, 20, nan, nan),  # no size
            ("000004", "head", 10, 20, 4, 4),  # no such photo
            ("000003", "head", 10, 20, 4, 4),
        ]
    )
    assert hide_part(photos(4), marks, "head", textures()).rows == [3]
    with pytest.raises(ExplGraphError, match="no photo with exactly one box of it, and room"):
        hide_part(photos(3), marks, "head", textures())
    with pytest.raises(ExplGraphError, match="unknown part 'heed'"):
        hide_part(photos(4), marks, "heed", textures())


def test_hide_part__textures_differ_by_seed_and_photos_stay_as_they_are():
    noise = np.random.default_rng(0).integers(0, 255, (80, 80, 3), dtype=np.uint8)
    marks, source = annotations([("000000", "head", 10, 20, 8, 8)]), photos(1)
    first, again, other = (
        np.asarray(hide_part(source, marks, "head", open_images([noise]), seed=s).hidden[0])
        for s in (0, 0, 1)
    )
    np.testing.assert_array_equal(first, again)
    assert (first != other).any()
    assert (np.asarray(source.load(0).image) == GREY).all()
    assert isinstance(source.load(0).image, Image.Image)
