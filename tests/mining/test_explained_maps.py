"""What nodes explain cell by cell: by hand, and against loops over cells, filters and nodes."""

import dataclasses

import numba
import numpy as np
import pytest

from explgraph.base.errors import ExplGraphError
from explgraph.base.frames import grid_points
from explgraph.base.layer import LayerSpec
from explgraph.peaks.finding import find_peaks
from explgraph.peaks.structures import PeakSet
from mining import MiningConfig, explained_share
from mining.explained_maps import explain_cells
from mining.matching import walk_layers
from tests.support import oracle
from tests.support.plain import plain_graph
from tests.support.planted import planted_graph

SIDE = 64
SPREAD = 8.0  # S of the graphs built by hand, pixels
TOP = LayerSpec("top", 2, (5, 4), (13.0, 16.0), (6.0, 9.0), (40, 40))


def spots(photos, layer=TOP):
    """(N, C, H, W) maps from [{(filter, row, column): F, ...}, ...], and their peaks."""
    maps = np.zeros((len(photos), layer.channels, *layer.grid), dtype=np.float32)
    for i, photo in enumerate(photos):
        for cell, value in photo.items():
            maps[(i, *cell)] = value
    zeros, ones = np.zeros(layer.channels), np.ones(layer.channels)
    return maps, find_peaks(maps, layer, zeros, ones)


def one_layer(mu, channel, layer=TOP, noise=0.1, spread=SPREAD):
    """A graph of nodes at places of one layer, without edges and poses; S is 8 px."""
    count, channel = len(mu), np.array(channel)
    graph = plain_graph(
        (layer,),
        (SIDE, SIDE),
        nodes=(np.zeros(count), channel, np.arange(count)),
        mu=np.array(mu),
        header={"config": MiningConfig(spread_start=spread / SIDE).to_json()},
    )
    weight = 1 / np.bincount(channel, minlength=layer.channels)[channel]
    return dataclasses.replace(graph, weight=weight, noise=(np.full(layer.channels, noise),))


def everything(graph):
    return np.ones(len(graph), dtype=bool)


@pytest.fixture(scope="module")
def world():
    """A graph of two layers with parents and poses, and dense maps of six photos with their peaks.

    Each filter has a blob near each of its nodes, of another strength in every photo.
    """
    rng = np.random.default_rng(4)
    low = LayerSpec("low", 3, (9, 8), (23.0, 26.0), (12.0, 17.0), (60, 70))
    top = LayerSpec("top", 3, (5, 4), (44.0, 52.0), (21.0, 30.0), (120, 130))
    graph = dataclasses.replace(planted_graph(2, 3, 2, parents=3), layers=(low, top))
    assert len(graph.edge_child) == 18
    assert graph.node_pose.any()
    maps, peaks = [], []
    for index, layer in enumerate(graph.layers):
        cells = grid_points(layer.centres(0), layer.centres(1))
        dense = np.maximum(rng.normal(-0.3, 0.3, (6, 3, *layer.grid)), 0)
        for node in np.flatnonzero(graph.node_layer == index):
            place = graph.mu[node] + rng.normal(0, 15, (6, 1, 1, 2))
            blob = np.exp(-np.square(cells - place).sum(axis=-1) / 30**2)
            dense[:, graph.node_channel[node]] += rng.uniform(1, 2, (6, 1, 1)) * blob
        maps.append(dense.astype(np.float32))
        peaks.append(find_peaks(maps[-1], layer, np.zeros(3), np.ones(3)))
    return graph, tuple(peaks), maps


def loops(graph, peaks, maps, counted):
    """Per layer (2, N, H, W), cell by cell, filter by filter, node by node."""
    area = graph.input_size[0] * graph.input_size[1]
    result = [
        np.zeros((2, len(m), *layer.grid)) for m, layer in zip(maps, graph.layers, strict=True)
    ]
    for found in walk_layers(graph, peaks):
        layer, total = graph.layers[found.layer], result[found.layer]
        for i, c, h, w in np.ndindex(*maps[found.layer].shape):
            response = float(maps[found.layer][i, c, h, w])
            if response == 0:
                continue
            place = np.array(
                [
                    layer.offset[0] + h * layer.stride[0],
                    layer.offset[1] + w * layer.stride[1],
                ]
            )
            terms = oracle.terms(found.mixture, found.prior, c, i, place)
            density = sum(terms.values()) + found.mixture.noise[c] / area
            ours = sum(value for v, value in terms.items() if counted[found.rows[v]])
            total[0, i, h, w] += response * ours / density
            total[1, i, h, w] += response * (1 - ours / density)
    return result


@pytest.mark.parametrize("every", [1, 5])
def test_cells__equal_the_loops(world, every):
    graph, peaks, maps = world
    counted = np.arange(len(graph)) % every == 0
    found = explain_cells(graph, peaks, maps, counted)
    for pair, expected in zip(found, loops(graph, peaks, maps, counted), strict=True):
        assert expected[0].max() > 0.1  # there is something to compare
        np.testing.assert_allclose(np.stack(pair), expected, rtol=2e-5, atol=2e-5)
        assert pair.explained.dtype == np.float32


def test_cells__add_up_to_the_response(world):
    graph, peaks, maps = world
    for pair, response in zip(
        explain_cells(graph, peaks, maps, everything(graph)), maps, strict=True
    ):
        np.testing.assert_allclose(sum(pair), response.sum(axis=1), rtol=1e-5, atol=1e-6)


def test_nodes__share_what_all_explain(world):
    """Nodes and the others explain together what all do: the others do not make way."""
    graph, peaks, maps = world
    some = np.arange(len(graph)) % 2 == 0
    whole, one, other = (
        explain_cells(graph, peaks, maps, mask) for mask in (everything(graph), some, ~some)
    )
    for all_, a, b in zip(whole, one, other, strict=True):
        assert min(a.explained.max(), b.explained.max()) > 0.1
        np.testing.assert_allclose(a.explained + b.explained, all_.explained, atol=1e-5)


def test_node__explains_its_own_blob_and_not_another():
    """On the node (1, 1) = (19, 25) q = 64^2 / (2 pi 8^2) = 10.186: 9.1674 / 9.2674 = .98921.

    (3, 3) = (45, 57) is |(26, 32)| = 41 px away, where q exp(-13.28) = 1.7e-5. Filter 1 has no
    node: whatever it says stays unexplained, be it on the node's place.
    """
    graph = one_layer([(19.0, 25.0)], [0])
    maps, peaks = spots([{(0, 1, 1): 3, (0, 3, 3): 2, (1, 1, 1): 5}])
    (pair,) = explain_cells(graph, (peaks,), [maps], everything(graph))
    assert pair.explained[0, 1, 1] == pytest.approx(3 * 0.98921, abs=1e-4)
    assert pair.unexplained[0, 1, 1] == pytest.approx(3 * 0.01079 + 5, abs=1e-4)
    assert pair.explained[0, 3, 3] == pytest.approx(2 * 9 * 1.735e-5, rel=1e-2)
    assert pair.unexplained[0, 3, 3] == pytest.approx(2, abs=1e-3)
    silent = np.ones(TOP.grid, dtype=bool)
    silent[1, 1] = silent[3, 3] = False
    assert not np.stack(pair)[:, 0, silent].any()


def test_cells__that_are_peaks_sum_to_the_explained_share():
    """Single cells are peaks at their centres; pi_0 is that of filters silent in other photos."""
    graph = one_layer([(19, 25), (40, 40), (30, 30)], [0, 0, 1])
    photos = [
        {(0, 1, 1): 3, (0, 3, 3): 2, (1, 1, 1): 5},
        {(0, 2, 2): 1, (0, 4, 0): 2, (1, 3, 0): 4},
    ]
    maps, peaks = spots(photos)
    nothing = spots([{}])[1]
    sets = [peak_set(graph, p) for p in (peaks, nothing)]
    share = explained_share(graph, sets[0], noise_from=sets[1]).all_peaks.overall
    assert 0.05 < share.explained < 0.95
    (pair,) = explain_cells(graph, (peaks,), [maps], everything(graph))
    sums = np.array([m.sum(dtype=np.float64) for m in pair])
    np.testing.assert_allclose(sums / sums.sum(), [share.explained, 1 - share.explained], rtol=1e-5)
    assert sums.sum() == pytest.approx(17, rel=1e-6)


def peak_set(graph, peaks):
    return PeakSet(
        images=tuple(map(str, range(len(peaks)))),
        frames=np.tile([0, 1 / SIDE], (len(peaks), 2, 1)),
        input_size=(SIDE, SIDE),
        peaks=(peaks,),
        mirrored=None,
        channel_mean=graph.channel_mean,
        channel_scale=graph.channel_scale,
    )


def test_centres__by_hand():
    assert TOP.centres(0).tolist() == [6, 19, 32, 45, 58]
    assert TOP.centres(1).tolist() == [9, 25, 41, 57]


def test_graph_without_noise__leaves_what_is_beyond_reach():
    """The node at (6, 9) is twelve S away from (58, 57) along each axis: its density there is 0."""
    graph = one_layer([(6, 9)], [0], noise=0.0, spread=4.0)
    maps, peaks = spots([{(0, 0, 0): 1, (0, 4, 3): 1}])
    (pair,) = explain_cells(graph, (peaks,), [maps], everything(graph))
    assert pair.explained[0, 0, 0] == 1
    assert pair.unexplained[0, 4, 3] == 1
    assert np.isfinite(pair).all()


def test_no_photos__give_no_maps(world):
    graph, peaks, maps = world
    none = tuple(p.take(slice(0)) for p in peaks)
    for pair, layer in zip(
        explain_cells(graph, none, [m[:0] for m in maps], everything(graph)),
        graph.layers,
        strict=True,
    ):
        assert pair.explained.shape == pair.unexplained.shape == (0, *layer.grid)


def test_cells__do_not_depend_on_threads_or_on_other_photos(world):
    graph, peaks, maps = world
    expected = explain_cells(graph, peaks, maps, everything(graph))
    before = numba.get_num_threads()
    numba.set_num_threads(min(2, before))
    try:
        again = explain_cells(graph, peaks, maps, everything(graph))
    finally:
        numba.set_num_threads(before)
    alone = explain_cells(
        graph, tuple(p.take(slice(2, 3)) for p in peaks), [m[2:3] for m in maps], everything(graph)
    )
    for a, b, c in zip(expected, again, alone, strict=True):
        assert np.array_equal(np.stack(a), np.stack(b))
        np.testing.assert_allclose(np.stack(c), np.stack(a)[:, 2:3], rtol=1e-5, atol=1e-6)


def test_shapes__that_do_not_fit_are_named(world):
    graph, peaks, maps = world
    with pytest.raises(ExplGraphError, match="counted must have shape"):
        explain_cells(graph, peaks, maps, np.ones(3, dtype=bool))
    with pytest.raises(ExplGraphError, match="the response of top must have shape"):
        explain_cells(graph, peaks, [maps[0], maps[1][:, :, :2]], everything(graph))
