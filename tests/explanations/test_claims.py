"""The cells that nodes claim: from the peaks on which they were matched back to the maps."""

import dataclasses

import numpy as np
import pytest

from explgraph.base.arrays import NONE
from explgraph.base.errors import ExplGraphError
from explgraph.base.layer import LayerSpec
from explgraph.explanations.claims import claimed_maxima, layer_cells
from explgraph.peaks.finding import find_peaks
from explgraph.peaks.structures import PeakSet
from mining import match_peaks
from tests.peaks.test_watershed import by_hand
from tests.support.plain import plain_graph, plain_matches

N, CHANNELS, PARTS, GRID, STRIDE = 12, 5, 4, 14, 16.0
SIDE = int(GRID * STRIDE)
LAYER = LayerSpec("maps", CHANNELS, (GRID, GRID), (STRIDE, STRIDE), (8.0, 8.0), (31, 31))
NODES = np.arange(CHANNELS * PARTS)
ALL = np.arange(N)


@pytest.fixture(scope="module")
def case():
    """Maps of N photos as given, their graph with nodes here and there, and matches.

    Places are at peaks, as they are with a pull of 1.
    """
    rng = np.random.default_rng(0)
    maps = rng.normal(0, 1, (N, CHANNELS, GRID, GRID)).astype(np.float32)
    mean, scale = (rng.uniform(*ends, CHANNELS).astype(np.float32) for ends in ((-1, 1), (0.5, 2)))
    graph = plain_graph(
        (LAYER,),
        (SIDE, SIDE),
        statistics=((mean,), (scale,)),
        nodes=(np.zeros(len(NODES)), NODES // PARTS, NODES % PARTS),
        mu=rng.uniform(0, SIDE, (len(NODES), 2)),
        header={"config": {"pull": 1.0}},
    )
    graph = dataclasses.replace(graph, weight=np.full(len(NODES), 1 / PARTS))
    peaks = PeakSet(
        images=tuple(f"{i}.png" for i in range(N)),
        frames=np.tile([0, 1 / SIDE], (N, 2, 1)),
        input_size=(SIDE, SIDE),
        peaks=(find_peaks(maps, LAYER, mean, scale),),
        mirrored=(find_peaks(maps[..., ::-1], LAYER, mean, scale),),
        channel_mean=(mean,),
        channel_scale=(scale,),
    )
    return maps, graph, match_peaks(graph, peaks)


def cells_of(maps, graph):
    return layer_cells(maps, graph.channel_mean[0], graph.channel_scale[0])


def as_seen(maps, matches):
    """The maps in the orientation in which the graph sees the photos."""
    mirrored = matches.mirrored.astype(bool)[:, None, None, None]
    return np.where(mirrored, maps[..., ::-1], maps)


def test_cells__have_their_response_and_their_top(case):
    maps, graph, _ = case
    mean, scale = graph.channel_mean[0], graph.channel_scale[0]
    cells = cells_of(maps, graph)
    assert np.array_equal(cells.basin, by_hand(maps, mean))
    expected = (maps - mean[:, None, None]) / scale[:, None, None]
    np.testing.assert_allclose(cells.response, np.maximum(expected, 0), rtol=1e-5, atol=1e-6)
    assert cells.response.dtype == np.float32


def test_claims__are_the_maxima_on_which_nodes_were_matched(case):
    """In either orientation: the maximum's cell is half a cell from the node's place at most."""
    maps, graph, matches = case
    assert 0 < matches.mirrored.sum() < N
    cells = cells_of(as_seen(maps, matches), graph)
    tops = claimed_maxima(graph, matches, ALL, cells, NODES)
    assert np.array_equal(tops != NONE, matches.score > 0)
    assert len(set(matches.peak.ravel().tolist())) > 5
    found = (matches.canonical_yx * SIDE - LAYER.offset) / STRIDE
    apart = np.abs(found - np.stack(np.divmod(tops, GRID), axis=-1))
    assert apart[tops != NONE].max() <= 0.5 + 1e-4


def test_claims__of_some_photos_and_nodes_are_part_of_all(case):
    maps, graph, matches = case
    seen = as_seen(maps, matches)
    rows, nodes = np.array([7, 2, 3]), np.array([19, 4, 5, 0])
    part = claimed_maxima(graph, matches, rows, cells_of(seen[rows], graph), nodes)
    full = claimed_maxima(graph, matches, ALL, cells_of(seen, graph), NODES)
    assert np.array_equal(part, full[np.ix_(rows, nodes)])


def one_spot(score, n_photos=20):
    """A graph of one node, matches on the strongest peak of each photo, and one spot of 2."""
    graph = plain_graph(
        (LayerSpec("spot", 1, (3, 3), (8, 8), (4, 4), (9, 9)),),
        (24, 24),
        nodes=(np.zeros(1), np.zeros(1), np.zeros(1)),
        mu=np.full((1, 2), 12.0),
    )
    shape = (n_photos, 1)
    found = plain_matches(map(str, range(n_photos)), 0.5, np.reshape(score, shape))
    maps = np.zeros((*shape, 3, 3), dtype=np.float32)
    maps[:, 0, 1, 2] = 2
    return graph, found, maps


def claims_of_spots(graph, matches, maps):
    return claimed_maxima(graph, matches, np.arange(len(maps)), cells_of(maps, graph), [0])


def test_claims__of_scores_up_to_the_response_are_accepted():
    """Rounding included: the network's response may differ a little from batch to batch."""
    assert np.all(claims_of_spots(*one_spot(np.linspace(1.99, 2.01, 20))) == 5)


@pytest.mark.parametrize("wrong", [1, 2])
def test_claims__larger_than_the_response_are_counted(wrong):
    """One of twenty is forgiven, two are not."""
    score = np.ones(20)
    score[:wrong] = 2.1
    case = one_spot(score)
    if wrong == 1:
        assert np.all(claims_of_spots(*case) == 5)
        return
    with pytest.raises(
        ExplGraphError,
        match="2 of the 20 peaks of layer spot on which nodes were found are missing",
    ):
        claims_of_spots(*case)


@pytest.mark.parametrize("wrong", [1, 2])
def test_claims__of_peaks_that_do_not_exist_are_counted(wrong):
    graph, matches, maps = one_spot(np.ones(20))
    peak = matches.peak.copy()
    peak[:wrong] = 1
    case = graph, dataclasses.replace(matches, peak=peak), maps
    if wrong == 1:
        assert claims_of_spots(*case).ravel().tolist() == [NONE] + [5] * 19
        return
    with pytest.raises(ExplGraphError, match="2 of the 20 peaks"):
        claims_of_spots(*case)
