import numpy as np
import pytest

from explgraph.base.frames import (
    composed,
    is_inside,
    middles,
    mirrored_frame,
    mirrored_yx,
    seen_along,
    to_pixels,
    to_unit,
)

LOW = np.array([[0.25, 0.01], [0.5, 0.02]])  # of an input of 50 by 25 pixels
HIGH = np.array([[0.0, 0.02], [0.1, 0.04]])


def test_to_unit__axes_of_positions():
    np.testing.assert_allclose(to_unit(LOW, np.array([10.0, 5.0])), [0.35, 0.6])
    frames, px = np.stack([LOW, HIGH]), np.array([[10.0, 5.0], [20.0, 0.0]])
    each = [to_unit(LOW, px[0]), to_unit(HIGH, px[1])]
    np.testing.assert_array_equal(to_unit(frames, px), each)
    many = np.stack([px, px + 1, px + 2], axis=1)
    np.testing.assert_array_equal(to_unit(frames, many)[:, 0], each)
    np.testing.assert_array_equal(to_unit(frames, many)[1], to_unit(HIGH, many[1]))


def test_to_pixels__goes_back():
    px = np.random.default_rng(0).uniform(0, 50, (2, 7, 2))
    frames = np.stack([LOW, HIGH])
    np.testing.assert_allclose(to_pixels(frames, to_unit(frames, px)), px)


def test_composed__one_after_the_other():
    px = np.array([[3.0, 4.0], [5.0, 0.0]])
    np.testing.assert_allclose(
        to_unit(composed(HIGH, LOW), px), to_unit(HIGH, to_unit(LOW, px)), rtol=1e-15
    )


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_mirrored_yx__only_what_is_flipped(dtype):
    yx = np.array([[[0.1, 0.2], [0.3, 0.4]], [[0.5, 0.25], [0.7, 0.75]]], dtype=dtype)
    found = mirrored_yx(yx, np.array([0, 1], dtype=np.uint8))
    assert found.dtype == dtype
    np.testing.assert_array_equal(found[0], yx[0])
    np.testing.assert_array_equal(found[1], np.array([[0.5, 0.75], [0.7, 0.25]], dtype=dtype))
    np.testing.assert_array_equal(mirrored_yx(yx[0] * 10, True, 8)[:, 1], 8 - yx[0, :, 1] * 10)


def test_mirrored_frame__of_the_mirrored_photo():
    px = np.array([12.0, 4.0])
    there = to_unit(mirrored_frame(LOW, 25), mirrored_yx(px, True, 25))
    np.testing.assert_allclose(there, mirrored_yx(to_unit(LOW, px), True))


def test_is_inside__rims_and_tolerance():
    yx = np.array([[0.0, 1.0], [0.5, 1.001], [-0.001, 0.5], [np.nan, 0.5]])
    assert is_inside(yx).tolist() == [True, False, False, False]
    assert is_inside(yx, tolerance=0.01).tolist() == [True, True, True, False]
    assert is_inside(np.array([[9.0, 3.0], [3.0, 9.0]]), (10, 5)).tolist() == [True, False]


def test_seen_along__what_the_network_saw():
    (y, seen_y), (x, seen_x) = seen_along(LOW, (middles(4), middles(2)), (50, 25))
    np.testing.assert_allclose(y, [-12.5, 12.5, 37.5, 62.5])
    np.testing.assert_allclose(x, [-12.5, 12.5])
    assert seen_y.tolist() == [False, True, True, False]
    assert seen_x.tolist() == [False, True]
