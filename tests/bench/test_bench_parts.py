"""Parts beside matching: ``pytest tests/bench --benchmark-only``. No time is asserted.

200 photos of as many nodes and maps as squeezenet1_0 has; one part, three clicks. What it is to be
read beside is `test_bench__parts_match`: finding the nodes in the same photos, both ways.
"""

import numpy as np
import pytest

from aog import fit_clicks, locate
from aog.clicks import Clicks
from explgraph.base.arrays import NONE
from explgraph.graphs.graph_arrays import graph_hash
from explgraph.graphs.matches import Matches, Views
from mining import match_peaks, mine_peaks
from tests.support.planted_peaks import SIDE, planted_peaks

N, CHANNELS = 200, 256


@pytest.fixture(scope="module")
def planted():
    peaks = planted_peaks(n_images=N, strides=(8, 8, 16), channels=CHANNELS).peaks
    return mine_peaks(peaks), peaks


@pytest.fixture(scope="module")
def found(planted):
    """Matches with views; maps are noise, whose likeness takes as long as that of photos."""
    graph, peaks = planted
    plain, rng = match_peaks(graph, peaks), np.random.default_rng(0)
    layer, p = graph.layers[-1], len(graph)
    maps = rng.exponential(1, (N, 2, *layer.grid, layer.channels)).astype(np.float16)
    views = Views(
        layer,
        graph.input_size,
        peaks.frames,
        np.stack([plain.yx * SIDE] * 2, axis=1),
        np.stack([plain.score] * 2, axis=1),
        np.zeros((N, 2)),
        maps,
    )
    return Matches(
        plain.images,
        plain.yx,
        plain.score,
        plain.log_density,
        np.full((N, p), NONE),
        plain.mirrored,
        plain.node_layer,
        {"graph_hash": graph_hash(graph)},
        views=views,
    )


@pytest.fixture(scope="module")
def clicks():
    return [Clicks("part", np.arange(3), np.full((3, 2), 0.5), np.full((3, 2), np.nan))]


def measure(benchmark, function, *arguments):
    return benchmark.pedantic(function, arguments, rounds=5, warmup_rounds=1)


def test_bench__parts_match(benchmark, planted):
    assert len(measure(benchmark, match_peaks, *planted)) == N


def test_bench__parts_fit(benchmark, planted, found, clicks):
    assert measure(benchmark, fit_clicks, planted[0], found, clicks).names == ("part",)


def test_bench__parts_locate(benchmark, planted, found, clicks):
    parts = fit_clicks(planted[0], found, clicks)
    assert len(measure(benchmark, locate, parts, found)) == N
