"""Peaks by torch operations: the same as the kernel's, and nothing dense goes to the host."""

import numpy as np
import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st

from explgraph.base.errors import ExplGraphError
from explgraph.base.layer import LayerSpec
from explgraph.peaks import finding as peaks
from explgraph.peaks.finding_torch import find_peaks
from tests.support import oracle

KINDS = ["different", "plateaus", "rectified", "equal"]
MEAN = np.array([0, 0.25, -0.5], dtype=np.float32)
SCALE = np.array([1, 0.5, 3], dtype=np.float32)


def make_layer(channels, grid, stride=(8.0, 4.0), offset=(3.5, 1.5)):
    return LayerSpec("maps", channels, grid, stride, offset, (9, 9))


def make_maps(kind, rng, shape):
    """Maps of one kind: all different, with equal neighbours, with many zeros, all equal."""
    if kind == "different":
        return rng.normal(0, 2, shape).astype(np.float32)
    if kind == "plateaus":
        return rng.choice(np.array([-1, 0, 0.5, 1, 1.75], dtype=np.float32), shape)
    if kind == "rectified":
        return np.maximum(rng.normal(-1, 1, shape), 0).astype(np.float32)
    return np.full(shape, 2, dtype=np.float32)


def assert_same(ours, theirs):
    """The same bits: the order of peaks and ties between them hang on the last one."""
    assert ours.weight.shape == theirs.weight.shape
    assert ours.weight.tobytes() == theirs.weight.tobytes()
    assert ours.yx.tobytes() == theirs.yx.tobytes()


@settings(max_examples=20, deadline=None)
@given(
    grid=st.tuples(st.integers(1, 13), st.integers(1, 13)),
    kind=st.sampled_from(KINDS),
    n_peaks=st.integers(1, 8),
    seed=st.integers(0, 99),
)
@example(grid=(1, 1), kind="equal", n_peaks=1, seed=0)
@example(grid=(1, 6), kind="plateaus", n_peaks=8, seed=0)
@example(grid=(5, 1), kind="rectified", n_peaks=3, seed=0)
@example(grid=(2, 2), kind="equal", n_peaks=8, seed=0)
@example(grid=(13, 13), kind="plateaus", n_peaks=8, seed=0)
def test_peaks__are_the_kernels(grid, kind, n_peaks, seed):
    layer, maps = make_layer(3, grid), make_maps(kind, np.random.default_rng(seed), (4, 3, *grid))
    found = find_peaks(torch.from_numpy(maps), layer, MEAN, SCALE, n_peaks)
    assert_same(found, peaks.find_peaks(maps, layer, MEAN, SCALE, n_peaks))


@pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no GPU")
@pytest.mark.parametrize("kind", KINDS)
def test_gpu__finds_the_kernels_peaks(rng, kind):
    layer, maps = make_layer(3, (13, 13)), make_maps(kind, rng, (4, 3, 13, 13))
    found = find_peaks(torch.from_numpy(maps).cuda(), layer, MEAN, SCALE)
    expected = peaks.find_peaks(maps, layer, MEAN, SCALE)
    np.testing.assert_allclose(found.weight, expected.weight, rtol=3e-7)
    np.testing.assert_allclose(found.yx, expected.yx, rtol=3e-7)


def test_peaks__equal_the_loops(rng):
    layer = make_layer(2, (5, 6))
    maps = make_maps("plateaus", rng, (3, 2, 5, 6))
    mean, scale = np.array([0.1, -0.5]), np.array([0.5, 3])
    found = find_peaks(torch.from_numpy(maps), layer, mean, scale, 6)
    expected = oracle.find_peaks(maps, layer, mean, scale, 6)
    for i, c in np.ndindex(3, 2):
        count = len(expected[i][c])
        assert count > 0
        assert not found.weight[i, c, count:].any()
        here = np.column_stack([found.yx[i, c, :count], found.weight[i, c, :count]])
        np.testing.assert_allclose(here, expected[i][c], rtol=1e-6)


def test_order__of_equal_weights_is_that_of_cells():
    maps = torch.zeros(1, 1, 1, 7)
    maps[0, 0, 0, [0, 2, 4, 6]] = torch.tensor([1.0, 3.0, 1.0, 3.0])
    found = find_peaks(maps, make_layer(1, (1, 7)), np.zeros(1), np.ones(1), 3)
    assert found.weight[0, 0].tolist() == [3, 3, 1]
    np.testing.assert_allclose(found.yx[0, 0, :, 1], [1.5 + 4 * 2, 1.5 + 4 * 6, 1.5])


def test_order__is_that_of_rounded_weights():
    """Two cells that differ in their last bit, but not when they are divided by the deviation."""
    low = np.float32(1.98)
    maps = np.zeros((1, 1, 1, 3), dtype=np.float32)
    maps[0, 0, 0, [0, 2]] = low, np.nextafter(low, np.float32(2))
    layer, mean, scale = make_layer(1, (1, 3)), np.zeros(1), np.array([1.9])
    found = find_peaks(torch.from_numpy(maps), layer, mean, scale, 2)
    assert found.weight[0, 0, 0] == found.weight[0, 0, 1]
    assert found.yx[0, 0, 0, 1] == 1.5
    assert_same(found, peaks.find_peaks(maps, layer, mean, scale, 2))


def test_response_that_rounds_to_nothing__is_no_peak():
    maps = torch.full((1, 1, 3, 3), 1e-30)
    found = find_peaks(maps, make_layer(1, (3, 3)), np.zeros(1), np.full(1, 1e30))
    assert not found.weight.any()
    assert not found.yx.any()


def test_memory_order__does_not_matter(rng):
    maps = torch.from_numpy(make_maps("different", rng, (4, 3, 5, 6)))
    layer = make_layer(3, (5, 6))
    scattered = maps.contiguous(memory_format=torch.channels_last)
    found = [find_peaks(m, layer, np.zeros(3), np.ones(3)) for m in (maps, scattered)]
    assert_same(*found)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_maps_that_are_not_finite__are_refused(bad):
    maps = torch.zeros(3, 2, 4, 4)
    maps[1, 1, 3, 0] = bad
    with pytest.raises(ExplGraphError, match=r"layer maps gave NaN .* for 1 of 3 images"):
        find_peaks(maps, make_layer(2, (4, 4)), np.zeros(2), np.ones(2))


def test_maps_of_another_shape__are_refused():
    with pytest.raises(
        ExplGraphError, match=r"maps must have shape .*3, 4, 4.* got \(1, 3, 4, 5\)"
    ):
        find_peaks(torch.zeros(1, 3, 4, 5), make_layer(3, (4, 4)), np.zeros(3), np.ones(3))
