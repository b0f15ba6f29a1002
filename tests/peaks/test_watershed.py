"""Watershed against an ascent written as plain loops, and against the peaks of `find_peaks`."""

import itertools

import numpy as np
import pytest

from explgraph.base.arrays import NONE
from explgraph.base.errors import ExplGraphError
from explgraph.base.layer import LayerSpec
from explgraph.peaks.finding import find_peaks
from explgraph.peaks.watershed import basins, ranked_maxima


def ascend(cells, y, x):
    """Go to the highest cell around, of equal ones the first, until there is no higher one."""
    height, width = cells.shape
    while True:
        around = itertools.product(
            range(max(y - 1, 0), min(y + 2, height)), range(max(x - 1, 0), min(x + 2, width))
        )
        best = max(around, key=lambda p: (cells[p], -p[0], -p[1]))
        if best == (y, x):
            return y * width + x
        y, x = best


def by_hand(maps, mean=0):
    labels = np.full(maps.shape, NONE)
    for b, c, y, x in np.argwhere(maps > np.reshape(mean, (-1, 1, 1))):
        labels[b, c, y, x] = ascend(maps[b, c], y, x)
    return labels


@pytest.mark.parametrize("grid", [(1, 1), (1, 7), (6, 1), (2, 2), (7, 9)])
def test_basins__equal_the_loops(rng, grid):
    smooth = rng.normal(0, 1, (3, 4, *grid)).astype(np.float32)
    # Few different values: plateaus, and cells with several equal ways up.
    steps = rng.choice(np.array([-1, 0, 0.5, 1, 2], dtype=np.float32), (20, 4, *grid))
    for maps in (smooth, steps):
        found = basins(maps, np.zeros(4))
        assert found.shape == maps.shape
        assert found.dtype == np.int32
        assert np.array_equal(found, by_hand(maps))


def test_basins__are_of_the_cells_above_their_filters_mean(rng):
    maps = rng.choice(np.array([-1, 0, 0.5, 1, 2], dtype=np.float32), (5, 3, 7, 9))
    mean = np.array([-0.5, 0.5, -2])
    found = basins(maps, mean)
    assert np.array_equal(found != NONE, maps > mean[:, None, None])
    assert np.array_equal(found, by_hand(maps, mean))


def test_basins__of_a_row_of_two_hills():
    """0 1 3 2 2 4 0: the first 2 goes left to the 3, the second right to the 4."""
    maps = np.array([0, 1, 3, 2, 2, 4, 0], dtype=np.float32).reshape(1, 1, 1, 7)
    assert basins(maps, np.zeros(1)).ravel().tolist() == [-1, 2, 2, 2, 5, 5, -1]


def test_basins__of_a_plateau_belong_to_its_first_cell():
    maps = np.full((1, 1, 3, 4), 2, dtype=np.float32)
    assert np.all(basins(maps, np.zeros(1)) == 0)


def test_basins__of_a_map_that_does_not_fire_are_none():
    assert np.all(basins(np.full((2, 3, 4, 5), -1, dtype=np.float32), np.zeros(3)) == NONE)


def test_basins__do_not_depend_on_the_memory_order(rng):
    maps = rng.normal(0, 1, (2, 3, 5, 6)).astype(np.float32)
    mean = np.zeros(3)
    assert np.array_equal(basins(np.asfortranarray(maps), mean), basins(maps, mean))


@pytest.mark.parametrize("shape", [(3, 4, 5), (2, 4, 4, 5)])
def test_basins__need_maps_of_all_filters(shape):
    with pytest.raises(ExplGraphError, match="maps must have shape"):
        basins(np.zeros(shape, dtype=np.float32), np.zeros(3))


# -- maxima by strength ----------------------------------------------------------------------------


def test_maxima__of_a_row_of_four_hills():
    """0 3 0 5 1 3 0 4: the two of height 3 are equal, and the first goes first."""
    response = np.array([0, 3, 0, 5, 1, 3, 0, 4], dtype=np.float32).reshape(1, 1, 1, 8)
    rank = np.array([[0, 1, 2, 3, 4, NONE]])
    found = ranked_maxima(basins(response, np.zeros(1)), response, np.zeros(6, dtype=int), rank)
    assert found.dtype == np.int32
    assert found.tolist() == [[3, 7, 1, 5, NONE, NONE]]


def test_maxima__are_looked_up_in_their_own_map_and_photo():
    response = np.zeros((2, 2, 3, 3), dtype=np.float32)
    response[0, 0, 0, 0] = response[0, 1, 1, 1] = response[1, 0, 2, 2] = 1
    found = ranked_maxima(
        basins(response, np.zeros(2)), response, np.array([1, 0]), np.zeros((2, 2), dtype=np.int8)
    )
    assert found.tolist() == [[4, 0], [NONE, 8]]


@pytest.mark.parametrize("flat", [False, True])
def test_maxima__are_counted_as_find_peaks_does(rng, flat):
    """Every peak leads to a maximum, to none twice, and no maximum is left."""
    values = np.array([-1, 0.5, 1, 2], dtype=np.float32)
    shape = (5, 6, 8, 9)
    maps = rng.choice(values, shape) if flat else rng.normal(0, 1, shape).astype(np.float32)
    mean, scale = rng.normal(0, 0.1, 6), rng.uniform(0.5, 2, 6)
    layer = LayerSpec("maps", 6, (8, 9), (16.0, 8.0), (3.5, 1.5), (9, 9))
    peaks = find_peaks(maps, layer, mean, scale, n_peaks=72)
    response = ((maps - mean[:, None, None]) / scale[:, None, None]).astype(np.float32)
    labels = basins(maps, mean)
    channel, k = np.divmod(np.arange(6 * 72), 72)
    rank = np.where(peaks.weight[:, channel, k] > 0, k, NONE)
    found = ranked_maxima(labels, response, channel, rank)
    assert np.array_equal(found != NONE, rank != NONE)
    for image in range(5):
        is_peak = found[image] != NONE
        c, top = channel[is_peak], found[image, is_peak]
        # A peak is refined by half a cell at most: no other maximum is so near.
        cells = (peaks.yx[image, c, k[is_peak]] - [3.5, 1.5]) / [16, 8]
        assert np.abs(cells - np.stack(np.divmod(top, 9), axis=1)).max() <= 0.5 + 1e-5
        of_map = labels[image].reshape(6, -1)
        expected = {(i, t) for i in range(6) for t in set(of_map[i].tolist()) - {NONE}}
        assert sorted(zip(c.tolist(), top.tolist(), strict=True)) == sorted(expected)
