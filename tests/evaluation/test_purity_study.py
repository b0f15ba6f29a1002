"""The purity study: its rows, against figures worked out by hand on a graph of three nodes."""

import json
from dataclasses import replace

import numpy as np
import pytest

from explgraph.base.arrays import NONE
from explgraph.base.errors import ExplGraphError
from explgraph.base.layer import LayerSpec
from explgraph.evaluation.purity import Purity, study_purity
from explgraph.peaks.structures import Peaks, PeakSet
from explgraph.photos.masks import PartMasks
from tests.support.plain import plain_graph, plain_matches

SIDE, N = 16, 4
LAYER = LayerSpec("top", 1, (4, 4), (4, 4), (2, 2), (8, 8))
NAMES = tuple(f"{i}.png" for i in range(N))
ROWS = ["raw peaks", "raw peaks, 200 best", "nodes", "nodes, 200 best"]


@pytest.fixture(scope="module")
def masks():
    """The left half is the head, the right half the tail, the top row background."""
    mask = np.array([[NONE] * 2, [0, 1], [0, 1], [0, 1]])
    return PartMasks(NAMES, ("head", "tail"), (mask,) * N)


@pytest.fixture(scope="module")
def peaks():
    """One filter: equally strong on the head in two photos, on the tail in one, above in one."""
    yx = np.array([[8, 4], [8, 4], [8, 12], [1, 4]], np.float32)
    return PeakSet(
        images=NAMES,
        frames=np.tile([[0, 1 / SIDE]] * 2, (N, 1, 1)),
        input_size=(SIDE, SIDE),
        peaks=(Peaks(LAYER, yx[:, None, None], np.ones((N, 1, 1), np.float32)),),
        mirrored=None,
        channel_mean=(np.zeros(1),),
        channel_scale=(np.ones(1),),
    )


def graph_of(gain):
    p = len(gain)
    nodes = np.zeros(p), np.zeros(p), np.arange(p)
    return plain_graph((LAYER,), (SIDE, SIDE), nodes, mu=np.full((p, 2), 8.0), gain=np.array(gain))


def matches_of(yx):
    """Nodes that score the same in every photo, at (N, P) places."""
    return plain_matches(NAMES, yx, np.ones((N, len(yx[0]))))


HEAD, TAIL, ABOVE = (0.5, 0.2), (0.5, 0.8), (0.1, 0.2)
# 30 % of a total of 4 is carried by the first two photos: the second node is there on the head and
# on the tail, the third above and on the tail.
MATCHES = matches_of([[HEAD, HEAD, ABOVE], [HEAD, TAIL, TAIL], *[[HEAD, HEAD, HEAD]] * 2])


def test_study_purity__figures_by_hand(peaks, masks):
    study = study_purity({7: (graph_of([3, 2, 1]), MATCHES)}, peaks, masks, category="birds")
    table = study.table.set_index("row")
    assert list(table.index) == ROWS
    assert set(table["category"]) == {"birds"}
    assert set(table["seed"]) == {7}
    # The filter's two best photos, the first ones, have the head under it.
    assert table.loc["raw peaks", ["nodes", "purity", "parts"]].tolist() == [1, 1, 1]
    assert table.loc["nodes", "nodes"] == 3
    assert table.loc["nodes", "purity"] == pytest.approx((1 + 0.5 + 0.5) / 3)
    assert table.loc["nodes", "chance"] == 0.5
    assert table.loc["nodes", "parts"] == 2  # head, head (the first of equals), tail


def test_study_purity__gap_closed_is_the_share_of_what_peaks_leave(masks, peaks):
    """Raw peaks at .5, nodes at 2/3: a third of the way to 1."""
    moved = replace(peaks.peaks[0], yx=peaks.peaks[0].yx[[0, 2, 1, 3]])
    study = study_purity({0: (graph_of([3, 2, 1]), MATCHES)}, replace(peaks, peaks=(moved,)), masks)
    table = study.table.set_index("row")
    assert table.loc["raw peaks", "purity"] == 0.5
    assert table.loc["nodes", "gap_closed"] == pytest.approx((2 / 3 - 0.5) / 0.5)
    assert table.loc["raw peaks":"raw peaks, 200 best", "gap_closed"].isna().all()
    figures = study.to_json()["seeds"]["0"]
    assert figures["raw peaks"]["gap_closed"] is None
    assert figures["nodes"]["gap_closed"] == pytest.approx(1 / 3)


def test_study_purity__no_gap_is_left_to_close(peaks, masks):
    """Raw peaks at 1: what nodes gain cannot be said, and JSON has null for it."""
    study = study_purity({0: (graph_of([3, 2, 1]), MATCHES)}, peaks, masks)
    assert study.table["gap_closed"].isna().all()
    assert json.loads(json.dumps(study.to_json(), allow_nan=False))["photos"] == N


def test_study_purity__200_best_nodes_are_the_first_of_the_ranking(peaks, masks):
    """201 nodes: the one of the lowest gain is impure, the others are pure."""
    gain = np.arange(201.0) + 1
    places = [[HEAD] * 201 for _ in range(N)]
    places[1][0] = TAIL
    study = study_purity({0: (graph_of(gain), matches_of(places))}, peaks, masks)
    table = study.table.set_index("row")
    assert table.loc["nodes, 200 best", ["nodes", "purity"]].tolist() == [200, 1]
    assert table.loc["nodes", "purity"] == pytest.approx(200.5 / 201)


def test_study_purity__raw_maps_are_the_first_row_of_every_seed(peaks, masks):
    maps = Purity(448, 0.2, 0.1, 0.25, 5)
    mined = {seed: (graph_of([3, 2, 1]), MATCHES) for seed in (0, 1)}
    study = study_purity(mined, peaks, masks, maps=maps)
    assert study.table["row"].tolist() == ["raw maps", *ROWS] * 2
    assert study.table["seed"].tolist() == [0] * 5 + [1] * 5
    assert study.rows[1]["raw maps"] == maps


def test_study_purity__refuses_what_does_not_fit(peaks, masks):
    with pytest.raises(ExplGraphError, match="at least one graph"):
        study_purity({}, peaks, masks)
    with pytest.raises(ExplGraphError, match="seed 0: the matches have 3 nodes"):
        study_purity({0: (graph_of([2, 1]), MATCHES)}, peaks, masks)
    other = PartMasks(NAMES[::-1], masks.parts, masks.labels)
    with pytest.raises(ExplGraphError, match="in this order"):
        study_purity({0: (graph_of([3, 2, 1]), MATCHES)}, peaks, other)
