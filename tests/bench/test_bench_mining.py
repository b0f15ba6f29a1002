"""How long mining's parts take: ``pytest tests/bench --benchmark-only``. No time is asserted.

Every part runs once before it is measured, so that compiling is left out. Parts run on one thread,
whole layers and whole runs on as many as Numba may use.
"""

import numpy as np
import pytest

from explgraph.peaks.finding import find_peaks
from mining import MiningConfig, match_peaks, mine_peaks
from mining.cpu import CpuEngine
from mining.em import Mixture, PeakColumns, fit, held_out_gain, infer
from mining.layers import LayerMiner
from mining.parents import Companions, choose_parents, flat_prior, predict
from tests.bench.repeats import repeated
from tests.support.planted_peaks import SIDE, layer_spec, planted_peaks

AREA = float(SIDE * SIDE)
N_IMAGES, CHANNELS, PARTS = 100, 256, 10
STRIDES = (8, 8, 16)
UPPER, PARENTS = 600, 15  # as by default


@pytest.fixture(scope="module")
def planted():
    return planted_peaks(n_images=N_IMAGES, strides=STRIDES, channels=CHANNELS).peaks


@pytest.fixture(scope="module")
def mixture():
    places = np.random.default_rng(0).uniform(0, SIDE, (CHANNELS * PARTS, 2))
    return Mixture.at(places, CHANNELS)


@pytest.fixture(scope="module")
def em(planted, mixture):
    """What EM's parts are given: peaks, nodes, their prior, the input's area."""
    prior = flat_prior(len(mixture), N_IMAGES, 19.0**2)
    return PeakColumns.of(planted.peaks[0]), mixture, prior, AREA


def measure(benchmark, function, *arguments, rounds=5, **options):
    return benchmark.pedantic(function, arguments, options, rounds=rounds, warmup_rounds=1)


def test_bench__peaks(benchmark):
    maps = np.random.default_rng(0).normal(0, 1, (32, CHANNELS, 16, 16)).astype(np.float32)
    layer = layer_spec(0, 8, CHANNELS)
    found = measure(benchmark, find_peaks, maps, layer, np.zeros(CHANNELS), np.ones(CHANNELS))
    assert found.weight.shape == (32, CHANNELS, 8)


def test_bench__e_step(benchmark, em):
    fitted = measure(benchmark, fit, *em, max_iter=0, tol=0.0)
    assert fitted.trace.shape == (CHANNELS, 1)


def test_bench__em_block(benchmark, em):
    config = MiningConfig()
    fitted = measure(benchmark, fit, *em, max_iter=config.max_iter, tol=config.tol)
    assert fitted.trace.shape == (CHANNELS, config.max_iter + 1)


def test_bench__inference(benchmark, em):
    found = measure(benchmark, infer, *em)
    assert found.score.shape == (CHANNELS * PARTS, N_IMAGES)


def test_bench__held_out_gain(benchmark, em):
    sums = fit(*em, max_iter=0, tol=0.0).sums
    assert measure(benchmark, held_out_gain, *em, sums).shape == (CHANNELS * PARTS,)


def moving(n_nodes):
    """Displacements and scores."""
    rng = np.random.default_rng(0)
    displacement = rng.normal(0, 10, (n_nodes, 2, N_IMAGES)).astype(np.float32)
    return displacement, rng.random((n_nodes, N_IMAGES), dtype=np.float32)


def test_bench__choice_of_parents(benchmark):
    upper = Companions.of(*moving(UPPER))
    chosen = measure(benchmark, choose_parents, *moving(CHANNELS * PARTS), upper, PARENTS)
    assert chosen.shape == (CHANNELS * PARTS, PARENTS)


def test_bench__prediction(benchmark):
    rng = np.random.default_rng(0)
    start = np.arange(CHANNELS * PARTS + 1, dtype=np.int64) * PARENTS
    parent = rng.integers(0, UPPER, start[-1]).astype(np.int32)
    prior = measure(benchmark, predict, start, parent, moving(UPPER)[0], 160.0)
    assert prior.kappa.shape == (CHANNELS * PARTS, N_IMAGES)


def test_bench__layer(benchmark, planted):
    """A layer from its first cells to its nodes, under a finished layer above; without poses."""
    rng, as_given = np.random.default_rng(0), np.zeros(N_IMAGES, dtype=np.uint8)
    engine, config = CpuEngine(planted, as_given), MiningConfig()
    upper, layer = (LayerMiner(engine, i, config) for i in (2, 1))
    without_poses = np.zeros((N_IMAGES, 0), dtype=np.float32)
    above = upper.above(upper.finish(upper.start(0.05, rng), None), without_poses, None)

    def mine_layer():
        layer.objective.clear()
        return layer.finish(layer.start(0.025, np.random.default_rng(0)), above)

    mined = measure(benchmark, mine_layer)
    assert mined.parent.shape == (len(mined.mixture), PARENTS)


@pytest.mark.parametrize("photos", [50, 200, 1000])
def test_bench__mining(benchmark, planted, photos):
    """Photos beyond the planted ones resemble them."""
    peaks = repeated(planted, photos)
    assert len(measure(benchmark, mine_peaks, peaks, rounds=3)) >= CHANNELS


def test_bench__matching(benchmark, planted):
    graph = mine_peaks(planted)
    found = measure(benchmark, match_peaks, graph, planted, rounds=3)
    assert len(found) == N_IMAGES
