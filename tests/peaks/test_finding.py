"""Maps to peaks, against loops that look at every cell."""

import numpy as np
import pytest

from explgraph.base.errors import ExplGraphError
from explgraph.base.layer import LayerSpec
from explgraph.peaks.finding import find_peaks, responses
from tests.support import oracle


def make_layer(channels, grid, stride=(8.0, 4.0), offset=(3.5, 1.5)):
    return LayerSpec("maps", channels, grid, stride, offset, (9, 9))


def unit_peaks(maps, n_peaks=8):
    channels, *grid = maps.shape[1:]
    layer = make_layer(channels, tuple(grid))
    return find_peaks(maps, layer, np.zeros(channels), np.ones(channels), n_peaks)


@pytest.mark.parametrize("grid", [(1, 1), (1, 6), (5, 1), (2, 2), (6, 7)])
@pytest.mark.parametrize("n_peaks", [1, 3, 8])
def test_peaks__equal_the_loops(rng, grid, n_peaks):
    layer = make_layer(3, grid)
    # Few different values: many neighbours and many peaks of one map are equal.
    maps = rng.choice(np.array([-1, 0, 0.5, 1, 1.75], dtype=np.float32), (4, 3, *grid))
    maps[0] = rng.normal(0, 2, (3, *grid))
    mean, scale = np.array([0, 0.25, -0.5]), np.array([1, 0.5, 3])
    found = find_peaks(maps, layer, mean, scale, n_peaks)
    expected = oracle.find_peaks(maps, layer, mean, scale, n_peaks)
    assert found.weight.shape == (4, 3, n_peaks)
    for i, c in np.ndindex(4, 3):
        count = len(expected[i][c])
        assert np.all(found.weight[i, c, count:] == 0)
        assert np.all(found.yx[i, c, count:] == 0)
        here = np.column_stack([found.yx[i, c, :count], found.weight[i, c, :count]])
        np.testing.assert_allclose(here, np.reshape(expected[i][c], (count, 3)), rtol=1e-6)


def test_peaks__of_wide_maps_equal_the_loops(rng):
    """Several times as many cells as a processor looks at side by side, and many peaks."""
    layer = make_layer(2, (27, 35))
    maps = np.maximum(rng.normal(0, 1, (2, 2, 27, 35)), 0).astype(np.float32)
    found = find_peaks(maps, layer, np.zeros(2), np.ones(2))
    expected = oracle.find_peaks(maps, layer, np.zeros(2), np.ones(2))
    for i, c in np.ndindex(2, 2):
        here = np.column_stack([found.yx[i, c], found.weight[i, c]])
        np.testing.assert_allclose(here, expected[i][c], rtol=1e-6)


@pytest.mark.parametrize("threads", [2, 3, 7])
def test_peaks__are_the_same_for_any_number_of_threads(rng, threads, monkeypatch):
    maps = rng.normal(0, 1, (5, 4, 6, 9)).astype(np.float32)
    monkeypatch.setattr("explgraph.base.threads.get_num_threads", lambda: 1)
    alone = unit_peaks(maps)
    monkeypatch.setattr("explgraph.base.threads.get_num_threads", lambda: threads)
    together = unit_peaks(maps)
    assert alone.yx.tobytes() == together.yx.tobytes()
    assert alone.weight.tobytes() == together.weight.tobytes()


@pytest.mark.parametrize("offset", [1e-9, -1e-9])
def test_mean__counts_in_double_precision(offset):
    """The cell is .1 in single precision: larger than .1, and smaller than .1 + 2e-9."""
    cell = float(np.float32(0.1))
    layer = make_layer(1, (1, 1))
    maps = np.full((1, 1, 1, 1), cell, dtype=np.float32)
    found = find_peaks(maps, layer, np.array([cell + offset]), np.ones(1))
    np.testing.assert_allclose(found.weight[0, 0, 0], max(-offset, 0), rtol=1e-6)


def test_response_that_rounds_to_nothing__is_no_peak():
    maps = np.full((1, 1, 3, 3), 1e-30, dtype=np.float32)
    found = find_peaks(maps, make_layer(1, (3, 3)), np.zeros(1), np.full(1, 1e30))
    assert not found.weight.any()
    assert not found.yx.any()


def test_plateau__is_one_peak_at_its_first_cell():
    maps = np.zeros((1, 1, 5, 5), dtype=np.float32)
    maps[0, 0, 2, 1:4] = 2
    found = unit_peaks(maps)
    assert np.count_nonzero(found.weight) == 1
    # The row's parabola through (0, 2, 2) has its top half a cell to the right of the first.
    np.testing.assert_allclose(found.yx[0, 0, 0], [3.5 + 8 * 2, 1.5 + 4 * 1.5])


def test_position__is_the_top_of_a_parabola():
    y, x = np.mgrid[:7, :7]
    maps = (10 - (y - 3.3) ** 2 - (x - 2.6) ** 2)[None, None].astype(np.float32)
    found = unit_peaks(maps)
    assert np.count_nonzero(found.weight) == 1
    np.testing.assert_allclose(found.yx[0, 0, 0], [3.5 + 8 * 3.3, 1.5 + 4 * 2.6], rtol=1e-5)


def test_mirrored_maps__give_mirrored_peaks(rng):
    maps = rng.normal(0, 1, (3, 2, 6, 9)).astype(np.float32)
    given, other = unit_peaks(maps, 20), unit_peaks(maps[..., ::-1], 20)
    width = 2 * 1.5 + 4 * 8  # the first and the last cell's centres lie symmetric in it
    assert np.array_equal(given.weight, other.weight)
    mirrored = np.where(other.weight > 0, width - other.yx[..., 1], 0)
    np.testing.assert_allclose(mirrored, given.yx[..., 1], atol=1e-4)


def test_channel_that_never_fires__has_no_peak():
    found = unit_peaks(np.full((2, 3, 4, 4), -1, dtype=np.float32))
    assert not found.weight.any()
    assert not found.yx.any()


def test_memory_order__does_not_matter(rng):
    maps = rng.normal(0, 1, (4, 3, 5, 6)).astype(np.float32)
    scattered = np.asfortranarray(maps)
    assert np.array_equal(unit_peaks(maps).yx, unit_peaks(scattered).yx)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_maps_that_are_not_finite__are_refused(rng, bad):
    maps = rng.normal(0, 1, (3, 2, 4, 4)).astype(np.float32)
    maps[1, 1, 3, 0] = bad
    with pytest.raises(ExplGraphError, match=r"layer maps gave NaN .* for 1 of 3 images"):
        unit_peaks(maps)


def test_maps_of_another_shape__are_refused():
    layer = make_layer(3, (4, 4))
    with pytest.raises(ExplGraphError, match="maps must have shape"):
        find_peaks(np.zeros((1, 3, 4, 5), dtype=np.float32), layer, np.zeros(3), np.ones(3))


def test_responses__are_rounded_as_the_peaks_weights(rng):
    maps = rng.normal(3, 1, (2, 4, 6, 5)).astype(np.float32)
    mean, scale = (rng.uniform(0.1, 1, 4).astype(np.float32) for _ in range(2))
    found = responses(maps, mean, scale)
    peaks = find_peaks(maps, make_layer(4, (6, 5)), mean, scale, 1)
    np.testing.assert_array_equal(found.max(axis=(2, 3)), peaks.weight[..., 0])
    assert found.dtype == np.float32
    assert responses(maps, mean + 9, scale).max() == 0
