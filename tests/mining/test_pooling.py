"""Pooled peaks: by hand, and against loops over cells."""

import numpy as np
import pytest

from mining.pooling import pool_peaks
from tests.support import oracle
from tests.support.planted_peaks import SIDE, random_peaks

CENTRES = np.array([16, 48, 80, 112])  # of the cells on a side of 128 pixels


def pooled(places, weights=None, input_size=(SIDE, SIDE)):
    """(4, 4) cells, from the peaks of one filter in one photo."""
    places = np.array(places, dtype=float).reshape(1, 1, -1, 2)
    weights = np.ones(places.shape[2]) if weights is None else np.array(weights, dtype=float)
    return pool_peaks(places, weights.reshape(1, 1, -1), input_size).reshape(4, 4)


def test_pooling__a_peak_on_a_cells_centre_is_that_cells_alone():
    for row, y in enumerate(CENTRES):
        for column, x in enumerate(CENTRES):
            cells = pooled([(y, x)])
            assert cells[row, column] == 1
            assert cells.sum() == 1


def test_pooling__shares_a_peak_among_the_four_nearest_cells():
    """A quarter of the way from row 0 to row 1, half of it from column 2 to column 3."""
    cells = pooled([(24, 96)], [4])
    expected = np.zeros((4, 4))
    expected[0, 2:], expected[1, 2:] = 8 * 0.75 * 0.5, 8 * 0.25 * 0.5  # 4^1.5 = 8
    np.testing.assert_allclose(cells, expected)


@pytest.mark.parametrize(
    "place, cell", [((0, 0), (0, 0)), ((3, 127.9), (0, 3)), ((128, 60), (3, 1))]
)
def test_pooling__at_the_border_a_peak_is_the_outermost_cells(place, cell):
    assert pooled([place])[cell] == pytest.approx(1 if cell != (3, 1) else 0.625)
    assert pooled([place]).sum() == pytest.approx(1)


def test_pooling__weights_count_to_the_power_of_one_and_a_half():
    cells = pooled([(16, 16), (16, 16), (112, 112)], [4, 1, 0.25])
    assert (cells[0, 0], cells[3, 3]) == (9, 0.125)


def test_pooling__measures_shares_of_either_side():
    wide = pooled([(24, 192)], input_size=(SIDE, 2 * SIDE))
    np.testing.assert_allclose(wide, pooled([(24, 96)]))


@pytest.mark.parametrize("seed", range(3))
def test_pooling__equals_the_loops(seed):
    peaks = random_peaks(np.random.default_rng(seed))
    found = pool_peaks(peaks.yx, peaks.weight, (SIDE, SIDE))
    np.testing.assert_allclose(found, oracle.pool_peaks(peaks, SIDE), rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize("n, channels, k", [(0, 3, 4), (2, 0, 4), (2, 3, 0)])
def test_pooling__of_nothing_is_nothing(n, channels, k):
    found = pool_peaks(np.zeros((n, channels, k, 2)), np.zeros((n, channels, k)), (SIDE, SIDE))
    assert found.shape == (n, channels * 16)
    assert not found.any()
