"""Graph comparison, against cases small enough to be computed by hand and plain loops."""

import dataclasses
import itertools
import json
import math

import numpy as np
import pytest

from explgraph.base.arrays import NONE
from explgraph.base.errors import ExplGraphError
from explgraph.graphs import comparison
from explgraph.graphs.comparison import compare
from tests.support.plain import plain_matches
from tests.support.planted import planted_graph

DIAGONAL = math.sqrt(2)
N = 6
SPOTS = np.array([[0.2, 0.3], [0.5, 0.5], [0.8, 0.6]])  # far apart: no two count as one


def make_graph(n_layers=1, channels=2, parts=3, **changes):
    """``parts`` nodes in each filter, all of mean score 1; the first node is the best."""
    graph = planted_graph(n_layers, channels, parts)
    count = len(graph)
    changes = {"gain": np.arange(count, 0, -1.0), "mu": np.full((count, 2), 112.0)} | changes
    return dataclasses.replace(graph, score=np.ones(count), **changes)


def make_matches(graph, yx, score=None, mirrored=None):
    """Nodes at ``yx (P, 2)`` in all photos, or at ``yx (N, P, 2)``; firing unless told."""
    yx = np.asarray(yx, dtype=float)
    yx = np.broadcast_to(yx, (N, *yx.shape)) if yx.ndim == 2 else yx
    shape = yx.shape[:2]
    score = np.ones(shape) if score is None else score
    mirrored = np.zeros(shape[0]) if mirrored is None else mirrored
    names = (f"{i}.jpg" for i in range(shape[0]))
    return plain_matches(names, yx, score, graph.node_layer, mirrored=mirrored)


@pytest.fixture
def graph():
    """Two filters of three nodes."""
    return make_graph()


@pytest.fixture
def matches(graph):
    return make_matches(graph, np.tile(SPOTS, (2, 1)))


def moved(matches, node, dy, dx=0.0):
    yx = matches.yx.copy()
    yx[:, node] += np.array([dy, dx], dtype=np.float32)
    return dataclasses.replace(matches, yx=yx)


# -- found again -----------------------------------------------------------------------------------


def test_a_graph_finds_itself(graph, matches):
    found = compare(graph, graph, matches, matches)
    assert found.by_filter
    assert found.found == 1
    assert found.control == pytest.approx(1 / 3)  # one of the filter's three nodes
    assert found.node_a.tolist() == found.node_b.tolist() == [0, 1, 2, 3, 4, 5]
    assert found.distance.tolist() == [0] * 6
    assert found.photos.tolist() == [N] * 6


def test_nodes_may_have_changed_places_in_their_filter(graph, matches):
    order = [2, 0, 1, 4, 3, 5]
    shuffled = make_matches(graph, matches.yx[0, order])
    found = compare(graph, graph, matches, shuffled)
    assert found.found == 1
    assert found.node_b.tolist() == [1, 2, 0, 4, 3, 5]
    assert found.pairs["id_b"].iloc[0] == graph.node_id(1)


def test_nodes_of_another_filter_are_no_partners(graph):
    """Where filter 0 fires in A, filter 1 fires in B."""
    here, there = SPOTS * 0.4, SPOTS * 0.4 + 0.5
    ours = make_matches(graph, np.concatenate([here, there]))
    theirs = make_matches(graph, np.concatenate([there, here]))
    assert compare(graph, graph, ours, ours).found == 1
    assert compare(graph, graph, ours, theirs).found == 0


@pytest.mark.parametrize(("distance", "is_found"), [(0.0499, True), (0.0501, False)])
@pytest.mark.parametrize("direction", [(1, 0), (0, -1), (0.6, 0.8)])
def test_a_pair_counts_below_a_twentieth_of_the_diagonal(
    graph, matches, distance, is_found, direction
):
    shift = distance * DIAGONAL * np.array(direction)
    found = compare(graph, graph, matches, moved(matches, 1, *shift))
    assert found.distance == pytest.approx([0, distance, 0, 0, 0, 0], abs=1e-6)
    assert found.is_found.tolist() == [True, is_found, True, True, True, True]
    assert found.found == pytest.approx(1 if is_found else 5 / 6)
    assert found.control == pytest.approx((6 if is_found else 5) / 6 / 3)


def test_the_distance_is_the_median_over_photos_where_both_fire():
    """Distances 0, .01, .03, .06 where both fire (median .02), and a diagonal where one does."""
    graph = make_graph(channels=1, parts=1)
    away = np.array([0, 0.01, 0.03, 0.06, 1, 1]) * DIAGONAL
    ours = make_matches(graph, np.zeros((N, 1, 2)), [[1], [1], [1], [0.5], [0.499], [1]])
    theirs = make_matches(graph, np.stack([away, 0 * away], 1)[:, None], [[1]] * 5 + [[0.3]])
    found = compare(graph, graph, ours, theirs)
    assert found.photos.tolist() == [4]
    assert found.distance == pytest.approx([0.02], abs=1e-6)
    assert found.found == 1


def test_nodes_that_never_fire_together_are_no_pair():
    graph = make_graph(channels=1, parts=1)
    early = (np.arange(N) < 3).astype(float)[:, None]
    ours, theirs = (make_matches(graph, [[0.5, 0.5]], score) for score in (early, 1 - early))
    found = compare(graph, graph, ours, theirs)
    assert (found.found, found.control) == (0, 0)
    assert found.node_b.tolist() == [NONE]
    assert found.id_b == ("",)
    assert np.isnan(found.distance).all()
    assert found.photos.tolist() == [0]


@pytest.mark.parametrize(("common", "is_found"), [(2, False), (3, True)])
def test_a_pair_needs_three_common_photos(common, is_found):
    graph = make_graph(channels=1, parts=1)
    fires = (np.arange(N) < common).astype(float)[:, None]
    ours, theirs = make_matches(graph, [[0.5, 0.5]]), make_matches(graph, [[0.5, 0.5]], fires)
    found = compare(graph, graph, ours, theirs)
    assert found.found == found.control == float(is_found)


def test_a_score_of_zero_never_fires(graph, matches):
    """Even where the mean score is 0 too."""
    silent = dataclasses.replace(matches, score=np.zeros((N, 6)))
    nothing = dataclasses.replace(graph, score=np.zeros(6))
    with pytest.raises(ExplGraphError, match="no node of the first graph fires in 3 of the 6"):
        compare(nothing, graph, silent, matches)


def test_nodes_that_seldom_fire_are_not_judged(graph, matches):
    score = np.ones((N, 6))
    score[2:, 0] = 0
    found = compare(graph, graph, dataclasses.replace(matches, score=score), matches)
    assert found.node_a.tolist() == [1, 2, 3, 4, 5]
    assert found.rank.tolist() == [1, 2, 3, 4, 5]
    assert found.found == 1


def test_pairs_are_one_to_one_and_least_in_all():
    """A at 0 and .03, B at .02 and .065: .02 + .035 in all. The nearest two would leave .065."""
    graph = make_graph(channels=1, parts=2)
    ours = make_matches(graph, np.array([[0, 0], [0.03, 0]]) * DIAGONAL)
    theirs = make_matches(graph, np.array([[0.02, 0], [0.065, 0]]) * DIAGONAL)
    found = compare(graph, graph, ours, theirs)
    assert found.node_b.tolist() == [0, 1]
    assert found.distance == pytest.approx([0.02, 0.035], abs=1e-6)
    assert found.found == 1


def test_control_is_the_mean_over_all_nodes_of_the_filter():
    """A: two nodes. B: three, of which two lie near the first and none near the second."""
    a, b = make_graph(channels=1, parts=2), make_graph(channels=1, parts=3)
    ours = make_matches(a, [[0.1, 0.1], [0.9, 0.9]])
    theirs = make_matches(b, [[0.1, 0.12], [0.1, 0.08], [0.5, 0.5]])
    found = compare(a, b, ours, theirs)
    assert found.chance.tolist() == pytest.approx([2 / 3, 0])
    assert found.control == pytest.approx(1 / 3)
    assert found.found == 1 / 2


def test_a_filter_without_nodes_in_the_other_graph_is_not_found(graph, matches):
    first = np.arange(3)
    part = graph.select(first)
    found = compare(graph, part, matches, matches.take(nodes=first))
    assert found.found == 1 / 2
    assert found.control == pytest.approx((1 / 3 + 0) / 2)
    assert found.node_b.tolist() == [0, 1, 2, NONE, NONE, NONE]


@pytest.mark.parametrize("seed", range(4))
def test_random_nodes__against_plain_loops(seed, monkeypatch):
    rng = np.random.default_rng(seed)
    a, b = make_graph(2, 3, 4), make_graph(2, 3, 3)
    place = rng.uniform(0, 1, (2, 3, 1, 2)) + rng.normal(0, 0.06, (2, 3, 4, 2))
    ours, theirs = (
        make_matches(
            graph,
            place[:, :, :parts].reshape(-1, 2) + rng.normal(0, 0.03, (9, len(graph), 2)),
            rng.uniform(0, 1, (9, len(graph))),
        )
        for graph, parts in ((a, 4), (b, 3))
    )
    monkeypatch.setattr(comparison, "_BLOCK", 40)
    found = compare(a, b, ours, theirs)
    chance, total, count = [], 0.0, 0
    for group in range(6):
        nodes_a, nodes_b = range(4 * group, 4 * group + 4), range(3 * group, 3 * group + 3)
        apart = {pair: median_distance(ours, theirs, *pair) for pair in grid(nodes_a, nodes_b)}
        chance += [np.mean([apart[i, j] < 0.05 for j in nodes_b]) for i in nodes_a]
        cost = {pair: min(value, 1.0) for pair, value in apart.items()}
        total += min(
            sum(cost[pair] for pair in zip(order, nodes_b, strict=True))
            for order in itertools.permutations(nodes_a, 3)
        )
        count += 3
    paired = found.node_b != NONE
    assert found.chance == pytest.approx(np.array(chance)[found.node_a])
    assert found.distance[paired].sum() + (count - paired.sum()) == pytest.approx(total, rel=1e-5)
    assert 0 < found.found < 1
    for i, j, distance in zip(found.node_a, found.node_b, found.distance, strict=True):
        if j != NONE:
            assert distance == pytest.approx(median_distance(ours, theirs, i, j), rel=1e-5)


def grid(first, second):
    return itertools.product(first, second)


def median_distance(ours, theirs, i, j):
    apart = [
        math.dist(ours.yx[n, i], theirs.yx[n, j]) / DIAGONAL
        for n in range(len(ours))
        if ours.score[n, i] >= 0.5 and theirs.score[n, j] >= 0.5
    ]
    return float(np.median(apart)) if len(apart) >= 3 else math.inf


# -- other networks --------------------------------------------------------------------------------


def other_network(graph, **changes):
    return dataclasses.replace(graph, header={**graph.header, "weight_hash": "1" * 64}, **changes)


def test_other_networks_are_paired_across_filters(graph):
    """The nodes of the two filters have changed places: six to choose from, one of them right."""
    spots = np.concatenate([SPOTS * 0.4, SPOTS * 0.4 + 0.5])
    ours, theirs = make_matches(graph, spots), make_matches(graph, spots[[3, 4, 5, 0, 1, 2]])
    found = compare(graph, other_network(graph), ours, theirs)
    assert not found.by_filter
    assert found.found == 1
    assert found.node_b.tolist() == [3, 4, 5, 0, 1, 2]
    assert found.control == pytest.approx(1 / 6)


def test_graphs_without_a_hash_are_paired_across_filters(graph, matches):
    unknown = dataclasses.replace(graph, header={})
    assert not compare(unknown, unknown, matches, matches).by_filter


def test_other_layers_of_a_network_are_paired_across_filters(graph, matches):
    wider = dataclasses.replace(graph, layers=(dataclasses.replace(graph.layers[0], field=(9, 9)),))
    assert not compare(graph, wider, matches, matches).by_filter


def renamed(graph, *names):
    layers = (dataclasses.replace(s, name=n) for s, n in zip(graph.layers, names, strict=True))
    return dataclasses.replace(graph, layers=tuple(layers))


@pytest.mark.parametrize(
    ("names_a", "names_b", "partner"),
    [
        ("xy", "xy", [0, 1]),
        ("xy", "yx", [1, 0]),  # names go before order
        ("xy", "yz", [0, 1]),  # neither has all of the other's: by order
        ("x", "xy", [0]),
        ("z", "xy", [1]),  # from the top
        ("xy", "z", [None, 0]),
    ],
)
def test_layers_correspond_by_name_or_from_the_top(names_a, names_b, partner):
    """One node in each layer, all at one place. Nodes of layers without a partner do not count."""
    a, b = (renamed(make_graph(len(names), 1, 1), *names) for names in (names_a, names_b))
    ours, theirs = (make_matches(g, np.full((len(g), 2), 0.5)) for g in (a, b))
    found = compare(a, other_network(b), ours, theirs)
    expected = {node: other for node, other in enumerate(partner) if other is not None}
    assert dict(zip(found.node_a, found.node_b, strict=True)) == expected
    assert found.found == 1


def test_only_the_best_of_each_layer_are_compared_across_filters():
    graph = make_graph(2, 1, 4)
    ours = make_matches(graph, np.tile(np.linspace(0, 1, 4)[:, None], (2, 2)))
    found = compare(graph, other_network(graph), ours, ours, per_layer=2)
    assert found.node_a.tolist() == [0, 1, 4, 5]
    assert found.rank.tolist() == [0, 1, 4, 5]
    assert found.control == pytest.approx(1 / 2)


# -- photos ----------------------------------------------------------------------------------------


def test_the_order_of_photos_does_not_matter(graph, rng):
    ours, theirs = (make_matches(graph, rng.uniform(0, 1, (N, 6, 2))) for _ in range(2))
    order = rng.permutation(N)
    expected = compare(graph, graph, ours, theirs)
    found = compare(graph, graph, ours, theirs.take(images=order))
    assert np.array_equal(found.node_b, expected.node_b)
    assert np.array_equal(found.distance, expected.distance)


def test_orientation_in_which_graphs_see_photos_is_compared(graph, matches):
    turned = dataclasses.replace(matches, mirrored=np.array([1, 0, 0, 1, 0, 0]))
    assert compare(graph, graph, matches, matches).same_side == 1
    assert compare(graph, graph, matches, turned).same_side == pytest.approx(4 / 6)


# -- figures ---------------------------------------------------------------------------------------


@pytest.fixture
def many():
    """A graph of 120 nodes, one in each filter, whose ten best and ten last have moved away."""
    count = 120
    gain = np.random.default_rng(0).permutation(count) + 1.0
    graph = make_graph(1, count, 1, gain=gain)
    yx = np.full((count, 2), 0.2)
    moved_yx = yx.copy()
    moved_yx[(gain > count - 10) | (gain <= 10)] = 0.8
    return compare(graph, graph, make_matches(graph, yx), make_matches(graph, moved_yx))


def test_share_is_of_the_best_nodes_by_rank(many):
    assert many.share() == (100, 0.9, 0.9, 0.0)
    assert many.share(best=10).found == 0
    assert many.share(best=10).distance == pytest.approx(0.6)
    assert many.share(best=20).found == 0.5
    assert many.share(best=None) == (120, pytest.approx(100 / 120), pytest.approx(100 / 120), 0.0)
    assert many.found == many.control == pytest.approx(100 / 120)


def test_share_of_no_nodes_is_unknown(many):
    share = many.share(best=0)
    assert share.nodes == 0
    assert all(math.isnan(value) for value in share[1:])


def test_table_has_the_best_and_all_nodes(many):
    table = many.table
    assert table.index.tolist() == ["100 best nodes", "all nodes"]
    assert table.columns.tolist() == ["nodes", "found", "control", "median distance"]
    assert table["nodes"].tolist() == [100, 120]
    assert table.loc["100 best nodes", "found"] == 0.9


def test_pairs_are_a_table_best_node_first(graph, matches):
    turned = dataclasses.replace(graph, gain=np.arange(6.0))
    pairs = compare(turned, graph, matches, matches).pairs
    assert pairs.columns.tolist() == [
        "node_a", "node_b", "id_a", "id_b", "distance", "photos", "found",
    ]  # fmt: skip
    assert pairs["node_a"].tolist() == [5, 4, 3, 2, 1, 0]
    assert pairs["id_a"].tolist() == [graph.node_id(node) for node in (5, 4, 3, 2, 1, 0)]
    assert pairs["found"].all()


def test_json_has_no_nan(graph, matches):
    silent = dataclasses.replace(matches, score=np.zeros((N, 6)))
    values = json.loads(
        json.dumps(compare(graph, graph, matches, silent).to_json(), allow_nan=False)
    )
    assert values == {
        "photos": N,
        "same_side": 1.0,
        "by_filter": True,
        "near": 0.05,
        "best": {"nodes": 6, "found": 0.0, "control": 0.0, "distance": None},
        "all": {"nodes": 6, "found": 0.0, "control": 0.0, "distance": None},
    }


# -- errors ----------------------------------------------------------------------------------------


def test_without_matches__python_asks_for_them(graph, matches):
    for given in ((), (matches,)):
        with pytest.raises(TypeError, match="found_b"):
            compare(graph, graph, *given)


def test_matches__go_by_their_old_names_too(graph, matches):
    named = compare(graph, graph, matches_a=matches, matches_b=matches)
    assert named.to_json() == compare(graph, graph, matches, matches).to_json()


def test_matches_of_another_graph__are_an_error(graph, matches):
    with pytest.raises(ExplGraphError, match="found_b is not of graph_b: it has 6 nodes"):
        compare(graph, make_graph(parts=2), matches, matches)


@pytest.mark.parametrize(
    "names", [("0.jpg",) * N, ("0.jpg", "1.jpg", "2.jpg", "3.jpg", "4.jpg", "x.jpg")]
)
def test_other_photos__are_an_error(graph, matches, names):
    with pytest.raises(ExplGraphError, match="matched on the same photos"):
        compare(graph, graph, matches, dataclasses.replace(matches, images=names))
    with pytest.raises(ExplGraphError, match="matched on the same photos"):
        compare(graph, graph, dataclasses.replace(matches, images=names), matches)


def test_fewer_photos__are_an_error(graph, matches):
    with pytest.raises(ExplGraphError, match="6 photos against 3"):
        compare(graph, graph, matches, matches.take(images=np.arange(3)))
