"""The graph type: tables, subgraphs, names, files."""

import dataclasses
import itertools

import numpy as np
import pytest

from explgraph.base.errors import ExplGraphError
from explgraph.graphs.graph import ExplanatoryGraph
from tests.support.damage import cut, put, rewrite
from tests.support.planted import planted_graph

NODE_ARRAYS = (
    "node_layer",
    "node_channel",
    "node_part",
    "mu",
    "node_pose",
    "spread",
    "weight",
    "score",
    "support",
    "gain",
)
POSE_MAP = ("pose_weight", "pose_offset")
EDGE_ARRAYS = ("edge_displacement", "edge_spread", "edge_correlation")
PER_LAYER = ("channel_mean", "channel_scale", "noise")
NOT_WHOLE = "not a whole explgraph graph file"


@pytest.fixture
def graph():
    return planted_graph().rename({3: "left ear", "features.6/2/1": "hoof"})


def same_graphs(ours, theirs):
    assert (ours.layers, ours.input_size) == (theirs.layers, theirs.input_size)
    assert dict(ours.names) == dict(theirs.names)
    assert dict(ours.header) == dict(theirs.header)
    for name in (*NODE_ARRAYS, *POSE_MAP, "edge_child", "edge_parent", *EDGE_ARRAYS):
        assert np.array_equal(getattr(ours, name), getattr(theirs, name)), name
    for name in PER_LAYER:
        for a, b in zip(getattr(ours, name), getattr(theirs, name), strict=True):
            assert np.array_equal(a, b)


# -- tables ----------------------------------------------------------------------------------------


def test_nodes__are_a_table(graph):
    table = graph.nodes
    assert list(table.index) == list(range(len(graph)))
    assert table.index.name == "node"
    row = table.loc[29]
    assert row["id"] == graph.node_id(29) == "features.6/1/2"
    assert (row["layer"], row["channel"], row["part"]) == ("features.6", 1, 2)
    np.testing.assert_allclose([row["y"], row["x"]], graph.mu[29] / 224, rtol=1e-6)
    np.testing.assert_allclose([row["y_px"], row["x_px"]], graph.mu[29])
    assert table["name"][3] == "left ear"
    assert table["name"][4] == ""
    for column, name in (("spread_px", "spread"), ("gain", "gain"), ("support", "support")):
        assert np.array_equal(table[column], getattr(graph, name))


def test_edges__are_a_table(graph):
    table = graph.edges
    assert np.array_equal(table["child"], graph.edge_child)
    assert np.array_equal(table["parent"], graph.edge_parent)
    assert np.array_equal(table[["dy_px", "dx_px"]], graph.edge_displacement)
    assert np.array_equal(table["correlation"], graph.edge_correlation)


def test_parents__are_those_of_the_edges(graph):
    for node in (0, 23, 24, 47, 48, 71):
        expected = [
            p for c, p in zip(graph.edge_child, graph.edge_parent, strict=True) if c == node
        ]
        assert graph.parents(node).tolist() == expected


def test_repr__counts_nodes_and_edges(graph):
    text = "<ExplanatoryGraph 72 nodes (features.3: 24, features.6: 24, features.9: 24), 240 edges>"
    assert repr(graph) == text


# -- subgraphs -------------------------------------------------------------------------------------


def check_subgraph(part, graph, nodes):
    """The nodes, and exactly the edges among them; the map to poses is the whole graph's."""
    nodes = list(nodes)
    for name in POSE_MAP:
        assert np.array_equal(getattr(part, name), getattr(graph, name))
    for name in NODE_ARRAYS:
        assert np.array_equal(getattr(part, name), getattr(graph, name)[nodes])
    edges = zip(graph.edge_child, graph.edge_parent, strict=True)
    kept = [i for i, (c, p) in enumerate(edges) if c in nodes and p in nodes]
    assert [nodes[c] for c in part.edge_child] == graph.edge_child[kept].tolist()
    assert [nodes[p] for p in part.edge_parent] == graph.edge_parent[kept].tolist()
    for name in EDGE_ARRAYS:
        assert np.array_equal(getattr(part, name), getattr(graph, name)[kept])
    assert {nodes[i]: text for i, text in part.names.items()} == {
        i: text for i, text in graph.names.items() if i in nodes
    }


@pytest.mark.parametrize("kind", ["list", "array", "mask", "range"])
def test_select__takes_indices_or_a_mask(graph, kind, rng):
    nodes = sorted(rng.choice(len(graph), 40, replace=False).tolist())
    mask = np.isin(np.arange(len(graph)), nodes)
    given = {"list": nodes[::-1], "array": np.array(nodes), "mask": mask, "range": range(10, 60)}
    check_subgraph(graph.select(given[kind]), graph, range(10, 60) if kind == "range" else nodes)


@pytest.mark.parametrize("kind", [list, lambda mask: mask])
def test_select__takes_a_column_of_truth_values(graph, kind):
    mask = graph.nodes["gain"] > graph.nodes["gain"].median()
    part = graph.select(kind(mask))
    check_subgraph(part, graph, np.flatnonzero(mask).tolist())


@pytest.mark.parametrize(
    "nodes, message",
    [
        ([0, 72], r"node \[72\] does not exist: 0\.\.71 do"),
        ([-73], r"node \[-73\] does not exist"),
        (np.ones(5, dtype=bool), r"the mask of nodes must have shape \(72\)"),
    ],
    ids=["index", "negative", "mask"],
)
def test_select__of_nodes_that_do_not_exist_is_refused(graph, nodes, message):
    with pytest.raises(ExplGraphError, match=message):
        graph.select(nodes)


def test_select__of_nothing_is_an_empty_graph(graph, tmp_path):
    empty = graph.select([])
    assert len(empty) == len(empty.edge_child) == 0
    assert len(empty.nodes) == 0
    empty.save(tmp_path / "empty.safetensors")
    same_graphs(ExplanatoryGraph.load(tmp_path / "empty.safetensors"), empty)


def test_select__twice_is_select_once(graph):
    once = graph.select(range(20, 60)).select(range(5, 30))
    same_graphs(once, graph.select(range(25, 50)))


def rank_key(graph, v):
    """Those within a tenth of the side of the border come last, then falling gain, then index."""
    near = any(
        p < 0.1 * s or p > 0.9 * s for p, s in zip(graph.mu[v], graph.input_size, strict=True)
    )
    return near, -graph.gain[v], v


def layer_nodes(graph, layer):
    return [v for v in range(len(graph)) if graph.node_layer[v] == layer]


def test_ranking__is_by_gain_and_leaves_the_border_to_the_last(graph):
    expected = sorted(range(len(graph)), key=lambda v: rank_key(graph, v))
    assert graph.ranking().tolist() == expected
    border = [rank_key(graph, v)[0] for v in expected]
    assert 0 < sum(border) < len(graph)


def test_ranking__of_equals_takes_the_first():
    graph = planted_graph()
    equal = dataclasses.replace(graph, gain=np.ones(len(graph)), mu=np.full_like(graph.mu, 112))
    assert equal.ranking().tolist() == list(range(len(graph)))


@pytest.mark.parametrize("count", [0, 1, 4, 100])
def test_best__are_the_first_of_each_layer(graph, count):
    best = []
    for layer in range(3):
        nodes = layer_nodes(graph, layer)
        best += sorted(nodes, key=lambda v: rank_key(graph, v))[:count]
    check_subgraph(graph.best(count), graph, sorted(best))


@pytest.mark.parametrize("count", [1, 5, 100])
def test_best__linked_takes_children_of_what_is_taken_first(graph, count):
    chosen = set()
    for layer in (2, 1, 0):
        nodes = layer_nodes(graph, layer)
        tied = {v for v in nodes if chosen & set(graph.parents(v).tolist())}
        nodes.sort(key=lambda v: (v not in tied, *rank_key(graph, v)))
        chosen |= set(nodes[:count])
    check_subgraph(graph.best(count, linked=True), graph, sorted(chosen))


@pytest.mark.parametrize("node", [0, 30, 71])
def test_family__is_a_node_its_ancestors_and_descendants(graph, node):
    edges = list(zip(graph.edge_child.tolist(), graph.edge_parent.tolist(), strict=True))

    def reach(start, pairs):
        found = {start}
        for _ in range(3):
            found |= {b for a, b in pairs if a in found}
        return found

    family = reach(node, edges) | reach(node, [(p, c) for c, p in edges])
    check_subgraph(graph.family(node), graph, sorted(family))


@pytest.mark.parametrize("node", [-1, 72])
def test_family__of_no_node_is_refused(graph, node):
    with pytest.raises(ExplGraphError, match=f"node {node} does not exist"):
        graph.family(node)


# -- names -----------------------------------------------------------------------------------------


def test_rename__adds_to_the_names_there_are(graph):
    again = graph.rename({0: "tail", "features.3/1/0": "ear"})
    assert again.names == {0: "tail", 3: "ear", 31: "hoof"}
    assert graph.names == {3: "left ear", 31: "hoof"}


@pytest.mark.parametrize("key", [72, -1, "features.3/8/0"])
def test_rename__of_no_node_is_refused(graph, key):
    with pytest.raises(ExplGraphError, match="unknown node"):
        graph.rename({key: "tail"})


# -- files -----------------------------------------------------------------------------------------


def test_file__round_trip(graph, tmp_path):
    graph.save(tmp_path / "a.safetensors")
    again = ExplanatoryGraph.load(tmp_path / "a.safetensors")
    same_graphs(again, graph)
    again.save(tmp_path / "b.safetensors")
    assert (tmp_path / "a.safetensors").read_bytes() == (tmp_path / "b.safetensors").read_bytes()


def test_file__memory_order_does_not_matter(graph, tmp_path):
    wide = np.repeat(graph.mu, 2, axis=0)
    other = dataclasses.replace(
        graph,
        mu=wide[::2],
        edge_displacement=np.asfortranarray(graph.edge_displacement),
        score=graph.score[::-1].copy()[::-1],
    )
    for name, value in (("a", graph), ("b", other)):
        value.save(tmp_path / name)
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


def test_file__holds_no_paths_and_no_times(graph, tmp_path):
    (tmp_path / "one").mkdir()
    graph.save(tmp_path / "one" / "a.safetensors")
    graph.save(tmp_path / "b.safetensors")
    one = (tmp_path / "one" / "a.safetensors").read_bytes()
    assert one == (tmp_path / "b.safetensors").read_bytes()
    assert str(tmp_path).encode() not in one


@pytest.mark.parametrize("share", [0.02, 0.5, 0.99])
def test_file__truncated(graph, tmp_path, share):
    path = tmp_path / "a.safetensors"
    graph.save(path)
    whole = path.read_bytes()
    path.write_bytes(whole[: int(share * len(whole))])
    with pytest.raises(ExplGraphError, match=NOT_WHOLE):
        ExplanatoryGraph.load(path)


@pytest.mark.parametrize(
    ("entry", "change"),
    [
        *((name, None) for name in ("mu", "pose_weight", "edge_parent", "noise.2")),
        *((name, None) for name in ("layers", "input_size", "names")),
        ("extra", lambda _: np.zeros(3)),
        ("names", lambda _: {"a": "b"}),
        ("input_size", lambda _: [224]),
        ("layers", lambda _: [[1]]),
        ("layers", lambda _: [{"name": 3}]),
    ],
)
def test_file__whose_entries_make_no_graph_is_refused(graph, tmp_path, entry, change):
    graph.save(tmp_path / "a")
    rewrite(tmp_path / "a", "graph", entry, change)
    with pytest.raises(ExplGraphError, match=NOT_WHOLE):
        ExplanatoryGraph.load(tmp_path / "a")


# -- what is no graph ------------------------------------------------------------------------------


NO_FILTER = "a node names a filter that its layer does not have"
DISORDER = "nodes must be ordered by layer, then filter"


@pytest.mark.parametrize(
    ("name", "change", "message"),
    [
        *((n, put(5, np.nan), f"{n} must be finite") for n in (*NODE_ARRAYS[3:], *EDGE_ARRAYS)),
        *((n, put(5, np.inf), f"{n} must be finite") for n in (*NODE_ARRAYS[3:], *EDGE_ARRAYS)),
        *((n, put(1, np.nan), f"{n} must be finite") for n in POSE_MAP),
        *((n, cut, "must have shape") for n in (*NODE_ARRAYS[1:], "edge_parent", *EDGE_ARRAYS)),
        *((n, cut, n) for n in PER_LAYER),
        *((n, lambda rows: tuple(row[1:] for row in rows), n) for n in PER_LAYER),
        ("pose_weight", lambda _: np.zeros((128, 3)), r"pose_weight must have shape \(any, 2\)"),
        ("node_pose", lambda _: np.zeros((72, 2, 3)), r"node_pose must have shape \(72, 2, 2\)"),
        ("node_layer", put(5, 3), "node_layer must be at most 2"),
        ("node_layer", put(5, -1), "node_layer must be at least 0"),
        ("node_channel", put(5, 8), NO_FILTER),
        ("node_channel", put(5, -1), "node_channel must be at least 0"),
        ("node_layer", np.flip, DISORDER),
        ("node_channel", np.flip, DISORDER),
        ("edge_parent", put(5, 72), "edge_parent must be at most 71"),
        ("edge_child", put(5, -1), "edge_child must be at least 0"),
        ("edge_child", put(5, 40), "edges must be by child"),
        ("edge_parent", put(0, 1), "a parent must lie in a layer above"),
        ("names", lambda _: {72: "ear"}, "do not exist"),
    ],
)
def test_graph__of_what_does_not_fit_is_refused(graph, name, change, message):
    with pytest.raises(ExplGraphError, match=message):
        dataclasses.replace(graph, **{name: change(getattr(graph, name))})


def test_graph__poses_have_one_length(graph):
    with pytest.raises(ExplGraphError, match=r"pose_weight must have shape \(any, 3\)"):
        dataclasses.replace(graph, pose_offset=np.zeros(3))


def test_graph__may_have_no_poses(graph, tmp_path):
    without = dataclasses.replace(
        graph,
        pose_weight=np.zeros((0, 0)),
        pose_offset=np.zeros(0),
        node_pose=np.zeros((72, 2, 0)),
    )
    without.save(tmp_path / "a.safetensors")
    same_graphs(ExplanatoryGraph.load(tmp_path / "a.safetensors"), without)
    assert without.select([3, 5]).node_pose.shape == (2, 2, 0)


def test_graph__is_frozen(graph):
    for name in (*NODE_ARRAYS, *POSE_MAP, "edge_child", "edge_parent", *EDGE_ARRAYS):
        with pytest.raises(ValueError, match="read-only"):
            getattr(graph, name)[0] = 0
    for row in itertools.chain(*(getattr(graph, name) for name in PER_LAYER)):
        assert not row.flags.writeable
    with pytest.raises(TypeError):
        graph.header["seed"] = 1
