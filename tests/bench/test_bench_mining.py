"""How long mining's parts take: ``pytest tests/bench --benchmark-only``. No time is asserted.

Every part runs once before it is measured, so that compiling is left out.
"""

import numpy as np
import pytest

from explgraph.peaks import find_peaks
from mining import match_peaks, mine_peaks
from mining.em import Mixture, PeakColumns, e_step, infer
from mining.parents import choose_parents, flat_prior, predict
from tests.planted_peaks import SIDE, layer_spec, planted_peaks

AREA = float(SIDE * SIDE)
N_IMAGES, CHANNELS, PARTS = 100, 256, 10


@pytest.fixture(scope="module")
def planted():
    return planted_peaks(n_images=N_IMAGES, strides=(8, 8, 16), channels=CHANNELS).peaks


@pytest.fixture(scope="module")
def mixture():
    places = np.random.default_rng(0).uniform(0, SIDE, (CHANNELS * PARTS, 2))
    return Mixture.at(places, CHANNELS)


def measure(benchmark, function, *arguments, rounds=5):
    return benchmark.pedantic(function, arguments, rounds=rounds, warmup_rounds=1)


def test_bench__peaks(benchmark):
    maps = np.random.default_rng(0).normal(0, 1, (32, CHANNELS, 16, 16)).astype(np.float32)
    layer = layer_spec(0, 8, CHANNELS)
    found = measure(benchmark, find_peaks, maps, layer, np.zeros(CHANNELS), np.ones(CHANNELS))
    assert found.weight.shape == (32, CHANNELS, 8)


@pytest.mark.parametrize("step", [e_step, infer])
def test_bench__densities(benchmark, planted, mixture, step):
    columns = PeakColumns.of(planted.peaks[0])
    prior = flat_prior(len(mixture), N_IMAGES, 19.0**2)
    assert measure(benchmark, step, columns, mixture, prior, AREA) is not None


def moving(n_nodes):
    rng = np.random.default_rng(0)
    displacement = rng.normal(0, 10, (n_nodes, N_IMAGES, 2)).astype(np.float32)
    return displacement, rng.random((n_nodes, N_IMAGES), dtype=np.float32)


def test_bench__choice_of_parents(benchmark):
    chosen = measure(benchmark, choose_parents, *moving(CHANNELS * PARTS), *moving(600), 15)
    assert chosen.shape == (CHANNELS * PARTS, 15)


def test_bench__prediction(benchmark):
    rng = np.random.default_rng(0)
    start = np.arange(CHANNELS * PARTS + 1, dtype=np.int64) * 15
    parent = rng.integers(0, 600, start[-1]).astype(np.int32)
    displacement, _ = moving(600)
    prior = measure(benchmark, predict, start, parent, displacement, np.full(600, 160.0))
    assert prior.kappa.shape == (CHANNELS * PARTS, N_IMAGES)


def test_bench__mining(benchmark, planted):
    graph = measure(benchmark, mine_peaks, planted, rounds=3)
    assert len(graph) > CHANNELS


def test_bench__matching(benchmark, planted):
    graph = mine_peaks(planted)
    found = measure(benchmark, match_peaks, graph, planted, rounds=3)
    assert len(found) == N_IMAGES
