"""Mining on a GPU against mining on the CPU; in Numba's simulator where there is no GPU."""

import dataclasses
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from explgraph.base.errors import ExplGraphError
from explgraph.peaks.structures import PeakBlock, Peaks, PeakSet
from mining import MiningConfig, match_peaks, mine_peaks
from mining.described import Telling, completed
from mining.devices import cuda_missing, engine_for
from mining.em import Mixture
from mining.guides import Block, Guide, Placed
from mining.parents import Companions
from tests.support.planted_peaks import SIDE, layer_spec, peak_set, planted_peaks

ROOT = Path(__file__).resolve().parents[2]
MISSING = cuda_missing()
SIMULATED = "NUMBA_ENABLE_CUDASIM" in os.environ
N, CHANNELS, UPPER = 13, 5, 9
NO_PEAKS, NO_NODES = 1, 3  # filters
EMPTY = 4  # a photo

on_gpu = pytest.mark.skipif(bool(MISSING), reason=f"needs {MISSING}, or the simulator")


@pytest.fixture(autouse=True)
def small_blocks(monkeypatch):
    """The simulator's threads are slow; N is more than a block has, and no multiple of it."""
    if SIMULATED:
        sizes = {"LANES": 5, "TEAMS": 2, "THREADS": 10, "_PARTIAL": (5, 2, 6)}
        for name, size in sizes.items():
            monkeypatch.setattr(f"mining._cuda.{name}", size)


@pytest.mark.slow
@pytest.mark.skipif(not MISSING, reason="the tests below run here themselves")
def test_cuda__all_of_it_in_the_simulator():
    pytest.importorskip("array_api_compat")
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", __file__]
    environment = os.environ | {"NUMBA_ENABLE_CUDASIM": "1"}
    done = subprocess.run(
        command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert " passed" in done.stdout


# -- filters with all that can be missing ----------------------------------------------------------


def random_layer(rng, n_peaks):
    """Peaks of N photos and CHANNELS filters, falling; some photos and one filter have none."""
    weight = -np.sort(-rng.gamma(1.5, 1.0, (N, CHANNELS, n_peaks)), axis=2)
    count = rng.integers(0, n_peaks + 1, (N, CHANNELS, 1))
    count[:, NO_PEAKS], count[EMPTY] = 0, 0
    weight[np.arange(n_peaks) >= count] = 0
    yx = np.where(weight[..., None] > 0, rng.uniform(0, SIDE, (*weight.shape, 2)), 0)
    return Peaks(layer_spec(0, 16, CHANNELS), yx, weight)


def random_nodes(rng, guide_kind):
    """A block with 0 to 4 nodes a filter, one of them of no weight."""
    counts = np.array([4, 2, 3, 0, 1])
    start = np.concatenate([[0], np.cumsum(counts)])
    weight = rng.uniform(0.1, 1, start[-1])
    weight[2] = 0
    weight /= np.add.reduceat(np.append(weight, 0), start[:-1])[np.repeat(range(5), counts)]
    mu = rng.uniform(0.2 * SIDE, 0.8 * SIDE, (start[-1], 2))
    mixture = Mixture(start, mu, weight, rng.uniform(0.1, 0.4, CHANNELS))
    return Block(mixture, random_guide(rng, guide_kind, len(mixture)))


def random_guide(rng, kind, n_nodes):
    rank, m = {"flat": (0, 0), "pose": (3, 0), "parents": (3, 4)}[kind]
    return Guide(
        variance=20.0**2,
        pose=rng.normal(0, 1, (N, rank)).astype(np.float32),
        node_pose=rng.normal(0, 5, (n_nodes, 2, rank)).astype(np.float32),
        parent=np.sort(rng.integers(0, UPPER, (n_nodes, m)), axis=1).astype(np.int32),
        above=random_above(rng) if m else None,
    )


def random_above(rng):
    """In one photo the upper nodes disagree so much that kappa is 0."""
    displacement = rng.normal(0, 10, (UPPER, 2, N)).astype(np.float32)
    displacement[:, :, 7] *= 1e3
    return Placed(displacement, rng.gamma(1.0, 1.0, (UPPER, N)).astype(np.float32))


def both(peaks, block, task, mirrored=None):
    """What a task ``(kernels, block of some filters, rows)`` gives on the CPU and on the GPU."""
    mirrored = np.zeros(N, dtype=np.uint8) if mirrored is None else mirrored

    def some(first, last, kernels):
        return task(kernels, block.filters(first, last), block.mixture.rows(first, last))

    engines = (engine_for(device, peaks, mirrored) for device in ("cpu", "cuda"))
    cpu, cuda = (engine.by_filters(0, block.mixture, some) for engine in engines)
    assert len(cpu) == len(cuda) == 1
    return cpu[0], cuda[0]


def problem(seed, kind="pose", n_peaks=5):
    rng = np.random.default_rng(seed)
    peaks = peak_set((random_layer(rng, n_peaks),), mirror=False)
    return peaks, random_nodes(rng, kind)


def assert_fits_agree(actual, expected):
    """Within what `mining.cuda` says: 0.001 pixels, 1e-5 of the objective or so."""
    np.testing.assert_allclose(actual.mixture.mu, expected.mixture.mu, atol=1e-3)
    np.testing.assert_allclose(actual.mixture.weight, expected.mixture.weight, atol=1e-5)
    np.testing.assert_allclose(actual.mixture.noise, expected.mixture.noise, atol=1e-5)
    rounding = 1e-5 * np.abs(expected.trace) + 1e-6 * expected.response[:, 1:]
    assert (np.abs(actual.trace - expected.trace) <= rounding).all()
    np.testing.assert_allclose(actual.response, expected.response, rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(actual.sums, expected.sums, rtol=1e-4, atol=1e-3)


# -- every kernel ----------------------------------------------------------------------------------


@on_gpu
@pytest.mark.parametrize(
    ("kind", "n_peaks", "closing"),
    [("flat", 5, True), ("pose", 10, False), ("parents", 5, True)],  # 10: more than at once
)
def test_fit__agrees(kind, n_peaks, closing):
    peaks, block = problem(1, kind, n_peaks)
    expected, actual = both(
        peaks, block, lambda kernels, own, _: kernels.fit(own, max_iter=3, tol=0, closing=closing)
    )
    moved = np.abs(expected.mixture.mu - block.mixture.mu)
    assert moved.max() > 1  # else agreement says nothing
    assert_fits_agree(actual, expected)
    assert actual.response[NO_PEAKS].tolist() == [0, 0]
    assert actual.response[NO_NODES, 1] > 0


@on_gpu
def test_fit__stops_each_filter_at_the_same_step():
    peaks, block = problem(2)
    expected, actual = both(
        peaks, block, lambda kernels, own, _: kernels.fit(own, max_iter=4, tol=0.2, closing=True)
    )
    steps = [
        (np.diff(fitted.trace, axis=1) != 0).sum(axis=1).tolist() for fitted in (expected, actual)
    ]
    assert steps[0] == steps[1]
    assert len(set(steps[0])) > 1
    assert_fits_agree(actual, expected)


@on_gpu
@pytest.mark.parametrize(("kind", "n_peaks"), [("pose", 10), ("parents", 5)])
def test_place_and_score__agree(kind, n_peaks):
    peaks, block = problem(3, kind, n_peaks)
    some = np.array([0, 3, 7])

    def task(kernels, own, _):
        return kernels.place(own, 0.5, some), kernels.score(own)

    (expected, expected_score), (actual, score) = both(peaks, block, task)
    assert expected.displacement.shape == (3, 2, N)
    np.testing.assert_allclose(actual.displacement, expected.displacement, rtol=1e-5, atol=1e-3)
    np.testing.assert_allclose(actual.score, expected.score, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(score, expected_score, rtol=1e-4, atol=1e-6)
    assert not actual.score[:, EMPTY].any()


@on_gpu
@pytest.mark.parametrize("kind", ["flat", "parents"])
def test_held_out_gain__agrees(kind):
    peaks, block = problem(4, kind)

    def task(kernels, own, _):
        fitted = kernels.fit(own, max_iter=1, tol=0, closing=True)
        return kernels.held_out_gain(own._replace(mixture=fitted.mixture), fitted.sums)

    expected, actual = both(peaks, block, task)
    assert np.ptp(expected) > 0.01
    np.testing.assert_allclose(actual, expected, rtol=1e-4, atol=1e-5)


@on_gpu
def test_regress__agrees(rng):
    peaks, block = problem(5)
    code = rng.normal(0, 1, (N, 4))
    expected, actual = both(peaks, block, lambda kernels, own, _: kernels.regress(own, code, 3.0))
    assert np.abs(expected.move).max() > 0.5
    for name in expected._fields:
        np.testing.assert_allclose(
            getattr(actual, name), getattr(expected, name), rtol=1e-4, atol=1e-4
        )


@on_gpu
@pytest.mark.parametrize("m", [3, UPPER])
def test_choose_parents__agrees(rng, m):
    peaks, block = problem(6)
    upper = Companions.of(*random_above(rng))
    expected, actual = both(
        peaks, block, lambda kernels, own, _: kernels.choose_parents(own, upper, 0.25, m)
    )
    assert actual.dtype == np.int32
    assert expected.shape == (len(block.mixture), m)
    np.testing.assert_array_equal(actual, expected)


@on_gpu
def test_merge__is_the_same(rng):
    """The same lines, in another order of filters: not a bit differs."""
    mixture = Mixture.at(rng.uniform(0, 30, (4 * CHANNELS, 2)), CHANNELS)
    mixture = dataclasses.replace(mixture, weight=rng.permutation(np.tile([0.1, 0.4], 10)))
    peaks = peak_set((random_layer(rng, 2),), mirror=False)
    block = Block(mixture, random_guide(rng, "flat", len(mixture)))
    (expected, kept), (merged, actual) = both(
        peaks, block, lambda kernels, own, _: kernels.merge(own.mixture, 9.0)
    )
    assert 0 < len(kept) < len(mixture)
    np.testing.assert_array_equal(actual, kept)
    for ours, theirs in zip(merged.nodes, expected.nodes, strict=True):
        np.testing.assert_array_equal(ours, theirs)


# -- the engine ------------------------------------------------------------------------------------


@on_gpu
def test_by_filters__takes_photos_mirrored_and_filters_from_a_part_of_the_layer(rng, monkeypatch):
    given = peak_set((random_layer(rng, 4),))
    mirrored = rng.integers(0, 2, N).astype(np.uint8)
    source = PartByPart(given)
    seen = []
    engine = engine_for("cuda", source, mirrored)
    monkeypatch.setattr(engine, "_work", 2 * N * (4 * 128 + 256))  # two filters at a time
    mixture = random_nodes(rng, "flat").mixture
    engine.by_filters(0, mixture, lambda first, last, kernels: seen.append((first, last, kernels)))
    assert [pair[:2] for pair in seen] == [(0, 2), (2, 4), (4, 5)]
    flip = mirrored.astype(bool)[:, None, None]
    weight = np.where(flip, given.mirrored[0].weight, given.peaks[0].weight)
    yx = np.where(flip[..., None], given.mirrored[0].yx, given.peaks[0].yx)
    for first, last, kernels in seen:
        own = slice(first, last)
        np.testing.assert_array_equal(kernels.peaks.weight.cpu(), weight[:, own].transpose(1, 2, 0))
        np.testing.assert_array_equal(kernels.peaks.yx.cpu(), yx[:, own].transpose(1, 3, 2, 0))
    engine.by_filters(0, mixture, lambda *_: None)
    whole = engine.columns(0, 1, 5)
    np.testing.assert_array_equal(whole.weight.cpu(), weight[:, 1:].transpose(1, 2, 0))
    assert source.asked == 3  # peaks stay on the GPU, in whatever ranges they are asked for
    (photos,) = engine.groups()
    np.testing.assert_array_equal(photos.columns(0).yx.cpu(), yx.transpose(1, 3, 2, 0))
    assert len(photos) == N


@on_gpu
def test_groups__without_room_are_brought_again(rng, monkeypatch):
    given = peak_set((random_layer(rng, 4), random_layer(rng, 3)))
    mirrored = rng.integers(0, 2, N).astype(np.uint8)
    engine = engine_for("cuda", given, mirrored)
    monkeypatch.setattr(engine, "_left", N * CHANNELS * 4 * 12)  # for the first layer alone
    expected = [engine.columns(layer, 0, CHANNELS) for layer in (0, 1)]
    assert [bool(kept) for kept in engine._layers.values()] == [True, False]
    (photos,) = engine.groups()
    for layer, columns in enumerate(expected):
        for ours, theirs in zip(photos.columns(layer), columns, strict=True):
            np.testing.assert_array_equal(ours.cpu(), theirs.cpu())


class PartByPart:
    """Peaks as a spool gives them: the filters that are asked for alone."""

    def __init__(self, peaks):
        self.peaks, self.asked = peaks, 0
        self.layers, self.input_size = peaks.layers, peaks.input_size

    def __len__(self):
        return len(self.peaks)

    def block(self, layer, first, last):
        self.asked += 1
        whole = self.peaks.block(layer, first, last)
        return PeakBlock(*(array[:, first:last] for array in whole[:4]), first)


@on_gpu
def test_mine_peaks__finds_the_same_graph():
    peaks = planted_peaks(n_images=11, strides=(16, 32), channels=2).peaks
    config = MiningConfig(n_parents=1, pose_terms=2, max_iter=2, pose_rounds=1)
    expected, actual = (mine_peaks(peaks, config=config, device=d) for d in ("cpu", "cuda"))
    assert len(expected.edge_child) > 0
    assert len(actual) == len(expected)
    for name in ("node_layer", "node_channel", "edge_child", "edge_parent"):
        np.testing.assert_array_equal(getattr(actual, name), getattr(expected, name))
    for name in ("mu", "spread", "weight", "score", "gain", "node_pose", "edge_displacement"):
        np.testing.assert_allclose(
            getattr(actual, name), getattr(expected, name), rtol=1e-3, atol=1e-3, err_msg=name
        )


@pytest.fixture(scope="module")
def mined():
    """A graph in which some nodes have lost a parent, others both, and photos both ways."""
    planted = planted_peaks(n_images=12, strides=(16, 32), channels=4).peaks
    config = MiningConfig(n_parents=2, pose_terms=2, max_iter=2, pose_rounds=1)
    graph = mine_peaks(planted, config=config)
    lost = graph.edge_parent[graph.edge_child == 0]
    flip = np.arange(len(planted)) % 2
    peaks = dataclasses.replace(
        planted, peaks=planted.oriented(flip), mirrored=planted.oriented(1 - flip)
    )
    return graph.select(np.setdiff1d(np.arange(len(graph)), lost)), peaks


@on_gpu
def test_match_peaks__finds_the_same(mined):
    graph, peaks = mined
    expected, actual = (match_peaks(graph, peaks, device=d) for d in ("cpu", "cuda"))
    parents = np.bincount(graph.edge_child, minlength=len(graph))[graph.node_layer == 0]
    assert set(parents) == {0, 1}
    assert len(set(expected.mirrored)) == 2
    np.testing.assert_array_equal(actual.mirrored, expected.mirrored)
    np.testing.assert_array_equal(actual.peak, expected.peak)
    assert (expected.peak >= 0).any()
    np.testing.assert_allclose(actual.yx, expected.yx, atol=1e-5)
    np.testing.assert_allclose(actual.score, expected.score, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(actual.log_density, expected.log_density, rtol=1e-3, atol=1e-3)


@on_gpu
def test_described__is_the_same(mined):
    graph, peaks = mined
    mirrored = np.arange(len(peaks), dtype=np.uint8) % 2
    expected, actual = (
        completed(graph, engine_for(device, peaks, mirrored).over_groups(Telling(graph)))
        for device in ("cpu", "cuda")
    )
    assert np.ptp(expected.edge_spread) > 0
    for name in ("support", "edge_displacement", "edge_spread", "edge_correlation"):
        np.testing.assert_allclose(
            getattr(actual, name), getattr(expected, name), rtol=1e-3, atol=1e-4, err_msg=name
        )


@on_gpu
def test_match_peaks__of_no_photos_or_no_nodes(mined):
    graph, peaks = mined
    none = peaks.take(np.zeros(0, dtype=int))
    assert match_peaks(graph, none, device="cuda").yx.shape == (0, len(graph), 2)
    found = match_peaks(graph.select([]), peaks, device="cuda")
    assert found.yx.shape == (len(peaks), 0, 2)


@on_gpu
def test_mine_peaks__brings_every_filters_peaks_once(monkeypatch):
    peaks = planted_peaks(n_images=8, strides=(16, 32), channels=2).peaks
    asked, block = [], PeakSet.block
    monkeypatch.setattr(
        PeakSet, "block", lambda self, *which: asked.append(which) or block(self, *which)
    )
    config = MiningConfig(n_parents=1, pose_terms=1, max_iter=1, pose_rounds=1)
    assert len(mine_peaks(peaks, config=config, device="cuda").edge_child) > 0
    assert sorted(asked) == [(0, 0, 2), (1, 0, 2)]


# -- which device ----------------------------------------------------------------------------------


def test_engine_for__unknown_device():
    with pytest.raises(ExplGraphError, match="unknown device 'gpu'"):
        engine_for("gpu", peak_set((random_layer(np.random.default_rng(0), 2),)), np.zeros(N))


@pytest.mark.parametrize("missing", ["a GPU that PyTorch finds", "Numba's CUDA target"])
def test_engine_for__says_what_cuda_needs(monkeypatch, missing):
    monkeypatch.setattr("mining.devices.cuda_missing", lambda: missing)
    peaks = planted_peaks(n_images=4).peaks
    with pytest.raises(ExplGraphError, match=f"needs {missing}.*use device='cpu'"):
        mine_peaks(peaks, device="cuda")
    graph = mine_peaks(peaks)
    with pytest.raises(ExplGraphError, match=f"needs {missing}.*use device='cpu'"):
        match_peaks(graph, peaks, device="cuda")


def test_cuda_missing__looks_for_the_gpu_then_for_numba(monkeypatch):
    monkeypatch.setattr("mining.cuda._IS_SIMULATED", False)
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    assert "GPU" in cuda_missing()
    monkeypatch.setattr("torch.cuda.is_available", lambda: True)
    monkeypatch.setattr("mining.cuda.find_spec", lambda name: None if "numba" in name else name)
    assert "Numba's CUDA target" in cuda_missing()
    monkeypatch.setattr("mining.cuda.find_spec", lambda name: None)
    assert cuda_missing().startswith("array-api-compat: pip install 'explgraph[cuda]'")
    monkeypatch.setattr("mining.cuda.find_spec", lambda name: object())
    assert cuda_missing() == ""


@pytest.mark.parametrize(("missing", "name"), [("a GPU", "CpuEngine"), ("", "CudaEngine")])
def test_engine_for__auto_takes_the_gpu_where_it_works(monkeypatch, missing, name):
    monkeypatch.setattr("mining.devices.cuda_missing", lambda: missing)
    monkeypatch.setattr(
        "mining.cuda.CudaEngine", type("CudaEngine", (), {"__init__": lambda *_: None})
    )
    engine = engine_for("auto", planted_peaks(n_images=4).peaks, np.zeros(4, dtype=np.uint8))
    assert type(engine).__name__ == name
