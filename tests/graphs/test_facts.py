"""Node facts, on a graph of four nodes whose figures are worked out by hand."""

import math

import numpy as np
import pandas as pd
import pytest

from explgraph.base.errors import ExplGraphError
from explgraph.base.layer import LayerSpec
from explgraph.graphs.facts import describe_node, node_facts
from explgraph.graphs.graph import ExplanatoryGraph
from explgraph.graphs.matches import Matches
from tests.support.plain import plain_groups, plain_matches
from tests.support.planted import planted_graph

SIDE = 100
LOW = LayerSpec("low", 2, (10, 10), (10, 10), (5, 5), (20, 20))
TOP = LayerSpec("top", 1, (5, 5), (20, 20), (10, 10), (60, 60))


@pytest.fixture(scope="module")
def graph():
    """Filter 0 of the lower layer has nodes 0 and 1, filter 1 node 2; node 3 is above."""
    return ExplanatoryGraph(
        layers=(LOW, TOP),
        input_size=(SIDE, SIDE),
        channel_mean=(np.zeros(2), np.zeros(1)),
        channel_scale=(np.ones(2), np.ones(1)),
        noise=(np.zeros(2), np.zeros(1)),
        node_layer=np.array([0, 0, 0, 1]),
        node_channel=np.array([0, 0, 1, 0]),
        node_part=np.array([0, 1, 0, 0]),
        mu=np.array([[20, 20], [50, 60], [50, 50], [50, 50]]),
        spread=np.array([7, 8, 9, 10]),
        weight=np.full(4, 0.5),
        score=np.array([4, 4, 4, 4]),
        support=np.full(4, 0.5),
        gain=np.array([4, 1, 2, 3]),
        pose_weight=np.zeros((0, 0)),
        pose_offset=np.zeros(0),
        node_pose=np.zeros((4, 2, 0)),
        edge_child=np.array([0, 2]),
        edge_parent=np.array([3, 3]),
        edge_displacement=np.zeros((2, 2)),
        edge_spread=np.ones(2),
        edge_correlation=np.ones(2),
        names={1: "left eye"},
    )


@pytest.fixture(scope="module")
def matches():
    """Two photos, the second mirrored. Node 2 never scores."""
    return Matches(
        images=("a.png", "b.png"),
        yx=np.array(
            [[[0.2, 0.3], [0.5, 0.5], [0, 0], [0, 0]], [[0.6, 0.1], [1, 1], [1, 1], [1, 1]]]
        ),
        score=np.array([[6, 1.5, 0, 2], [2, 0, 0, 2]]),
        log_density=np.array([[-5, -4, -3, -2], [-9, -9, -9, -4]]),
        peak=np.array([[0, 1, -1, 0], [0, -1, -1, 0]]),
        mirrored=np.array([0, 1]),
        node_layer=np.array([0, 0, 0, 1]),
    )  # fmt: skip


def test_node_facts__how_often_and_how_strongly(graph, matches):
    """A node fires from half of 4 on: node 0 in both photos (6 and 2), node 1 in none (1.5)."""
    facts = node_facts(graph, matches)
    assert facts.index.name == "node"
    assert facts["fires"].tolist() == [1, 0, 0, 1]
    assert facts["mean_score"].tolist() == [4, 0.75, 0, 2]
    assert facts["best_score"].tolist() == [6, 1.5, 0, 2]


def test_node_facts__where_it_fires_in_the_graphs_own_orientation(graph, matches):
    """Node 0: (.2, .3) with weight 6, and (.6, 1 - .1) with weight 2."""
    row = node_facts(graph, matches).loc[0]
    assert row["y"] == pytest.approx((6 * 0.2 + 2 * 0.6) / 8)
    assert row["x"] == pytest.approx((6 * 0.3 + 2 * 0.9) / 8)
    assert row["y_spread"] == pytest.approx(math.sqrt((6 * 0.1**2 + 2 * 0.3**2) / 8))
    assert row["x_spread"] == pytest.approx(math.sqrt((6 * 0.15**2 + 2 * 0.45**2) / 8))


def test_node_facts__of_a_node_that_never_scores_its_place_is_unknown(graph, matches):
    row = node_facts(graph, matches).loc[2]
    assert all(math.isnan(row[name]) for name in ("y", "x", "y_spread", "x_spread", "log_density"))


def test_node_facts__how_sure_its_place_is(graph, matches):
    """The density counts where the node fires, every such photo the same."""
    facts = node_facts(graph, matches)
    assert facts["sure_px"].tolist() == [7, 8, 9, 10]
    assert facts["log_density"].tolist()[::3] == [-7, -3]
    assert math.isnan(facts["log_density"][1])


def test_node_facts__who_it_is_and_with_whom(graph, matches):
    facts = node_facts(graph, matches)
    assert facts["id"].tolist() == ["low/0/0", "low/0/1", "low/1/0", "top/0/0"]
    assert facts["layer"].tolist() == ["low", "low", "low", "top"]
    assert facts["filter"].tolist() == [0, 0, 1, 0]
    assert facts["name"].tolist() == ["", "left eye", "", ""]
    assert facts["parents"].tolist() == [("top/0/0",), (), ("top/0/0",), ()]
    assert facts["others"].tolist() == [("low/0/1",), ("low/0/0",), (), ()]
    assert facts["nearest_px"].tolist()[:2] == [50, 50]  # 30 down, 40 to the right
    assert facts["nearest_px"].isna().tolist() == [False, False, True, True]
    assert {"kind", "contrast", "group_gain", "evidence"}.isdisjoint(facts.columns)


def test_node_facts__others_are_those_of_the_same_filter_and_layer_nearest_first(rng):
    """Against a plain search through all nodes, over many filters."""
    graph = planted_graph(n_layers=2, channels=5, parts=4)
    p = len(graph)
    found = plain_matches("a", rng.uniform(size=(1, p, 2)), np.ones((1, p)), graph.node_layer)
    facts = node_facts(graph, found)
    for node in range(p):
        same = [
            (math.dist(graph.mu[other], graph.mu[node]), graph.node_id(other))
            for other in range(p)
            if other != node
            and graph.node_id(other).rsplit("/", 1)[0] == graph.node_id(node).rsplit("/", 1)[0]
        ]
        assert facts["others"][node] == tuple(name for _, name in sorted(same))
        assert facts["nearest_px"][node] == pytest.approx(min(same)[0], rel=1e-6)


@pytest.fixture
def told(graph):
    """The graph, its nodes a part, two textures and background."""
    groups = plain_groups(graph, [0, 0, 0, 0], node_gain=np.array([0.75, 0.5, 0.5, 0]))
    return graph.having(contrast=np.array([1.0, 1, 1, 0.25]), groups=groups)


def test_node_facts__kinds_where_they_are_known_and_evidence_if_given(graph, told, matches):
    facts = node_facts(told, matches, evidence={0: 0.5, 3: -0.1})
    assert facts["kind"].tolist() == ["part", "texture", "texture", "background"]
    assert facts["contrast"].tolist() == [1, 1, 1, 0.25]
    assert facts["group_gain"].tolist() == [0.75, 0.5, 0.5, 0]
    facts = node_facts(graph.having(contrast=told.contrast), matches, evidence={0: 0.5, 3: -0.1})
    assert {"kind", "group_gain"}.isdisjoint(facts.columns)
    assert facts["contrast"].tolist() == [1, 1, 1, 0.25]
    assert facts["evidence"].tolist()[::3] == [0.5, -0.1]
    assert facts["evidence"].isna().tolist() == [False, True, True, False]
    series = node_facts(graph, matches, evidence=pd.Series([0.25], index=[2]))
    assert series["evidence"][2] == 0.25


def test_describe_node__says_the_figures_in_words(told, matches):
    text = describe_node(told, matches, 0, evidence={0: 0.5})
    assert text.splitlines() == [
        "low/0/0: a node of filter 0 of layer low, number 1 of 4 in the graph's ranking.",
        "It fires in 100% of 2 photos; mean score 4, best 6.",
        "It lies in the upper middle of the photo: y 0.30 +- 0.17, x 0.45 +- 0.26 (unit square, "
        "the graph's own orientation).",
        "Its place is sure to 7 px about the prediction; mean log density where it fires -7.00.",
        "It moves with 1 node above: top/0/0.",
        "Its filter mixes it with 1 other node, the nearest 50 px away: low/0/1 (left eye).",
        'It is in part group 0, "middle": number 1 of 4 nodes by group gain.',
        "It is a part: contrast 1.00, group gain 0.75.",
        "Without its activation the class logit falls by 0.500.",
    ]


def test_facts__say_the_part_group(told, matches):
    groups = plain_groups(told, [0, 0, -1, 1], node_gain=np.array([0.1, 0.9, 0, 0.5]))
    graph = told.having(groups=groups).rename(groups={1: "ear"})
    assert node_facts(graph, matches)["group"].tolist() == [0, 0, -1, 1]
    lines = [describe_node(graph, matches, node).splitlines()[-2] for node in range(4)]
    assert "number 2 of 2 nodes" in lines[0] and "number 1 of 2 nodes" in lines[1]
    assert lines[2] == "It is in no part group."
    assert 'part group 1, "ear": number 1 of 1 node ' in lines[3]


def test_describe_node__the_figures_alone_where_kinds_are_not_known(graph, told, matches):
    """All of them would be background; or part groups are missing."""
    same = told.having(contrast=np.zeros(4))
    said = describe_node(same, matches, 1).splitlines()[-1]
    assert (
        said == "Contrast 0.00, group gain 0.50; whether it is a part is not known of this graph."
    )
    said = describe_node(graph.having(contrast=told.contrast), matches, 3).splitlines()[-1]
    assert said == "Contrast 0.25; whether it is a part is not known of this graph."


def test_describe_node__by_id_and_by_name(told, matches):
    by_name = describe_node(told, matches, "left eye", evidence={0: 0.5})
    assert by_name == describe_node(told, matches, "low/0/1")
    assert by_name.startswith('low/0/1 ("left eye"): ')
    assert "It has no parents" in by_name
    said = "It is texture, now here, now there on the object: contrast 1.00, group gain 0.50."
    assert said in by_name
    assert "logit" not in by_name  # no evidence is known of it
    unmeasured = pd.Series([0.5, np.nan], index=[0, 1])
    assert by_name == describe_node(told, matches, "low/0/1", evidence=unmeasured)
    assert "density" not in by_name


def test_describe_node__that_is_found_nowhere(graph, matches):
    text = describe_node(graph, matches, 2)
    assert "It is found in none of 2 photos." in text
    assert "It is the only node of its filter." in text
    assert "nan" not in text


@pytest.mark.parametrize(
    ("yx", "said"),
    [
        ((0.5, 0.5), "in the middle of"),
        ((0.5, 0.1), "in the left third of"),
        ((0.9, 0.9), "in the lower right of"),
        ((0.1, 0.5), "in the upper middle of"),
    ],
)
def test_describe_node__place_in_words(graph, yx, said):
    found = plain_matches("a", yx, np.ones((1, 4)), graph.node_layer)
    assert said in describe_node(graph, found, 0)


def test_describe_node__names_only_a_few(rng):
    graph = planted_graph(n_layers=2, channels=2, parts=9, parents=8)
    found = plain_matches("a", 0.5, np.ones((1, len(graph))), graph.node_layer)
    text = describe_node(graph, found, 0)
    assert "with 8 nodes above: " in text
    assert " and 3 more." in text
    assert text.count("features.") == 1 + 1 + 5 + 5  # id, layer, parents, others


def test_node_facts__without_matches_are_what_the_graph_knows(graph):
    """Mean places are 20 and 60 px of 100; support .5 and mean score 4 of the mining photos."""
    facts = node_facts(graph)
    assert facts["fires"].tolist() == [0.5] * 4
    assert facts["mean_score"].tolist() == [4] * 4
    assert facts["y"].tolist() == pytest.approx([0.2, 0.5, 0.5, 0.5])
    assert facts["x"].tolist() == pytest.approx([0.2, 0.6, 0.5, 0.5])
    assert facts["sure_px"].tolist() == [7, 8, 9, 10]
    assert facts["others"].tolist() == [("low/0/1",), ("low/0/0",), (), ()]
    unknown = {"best_score", "y_spread", "x_spread", "log_density"}
    assert unknown.isdisjoint(facts.columns)


def test_describe_node__without_matches(graph):
    assert describe_node(graph, None, "low/1/0").splitlines() == [
        "low/1/0: a node of filter 1 of layer low, number 3 of 4 in the graph's ranking.",
        "It fires in 50% of the photos it was mined from; mean score 4.",
        "It lies in the middle of the photo: y 0.50, x 0.50 (unit square, the graph's own "
        "orientation).",
        "Its place is sure to 9 px about the prediction.",
        "It moves with 1 node above: top/0/0.",
        "It is the only node of its filter.",
    ]


def test_facts__refuse_what_does_not_fit(graph, matches):
    with pytest.raises(ExplGraphError, match="3 nodes that are not this graph's 4"):
        node_facts(graph, matches.take(nodes=np.arange(3)))
    with pytest.raises(ExplGraphError, match="at least one matched photo"):
        node_facts(graph, matches.take(images=np.arange(0)))
    with pytest.raises(ExplGraphError, match="unknown node 'right eye'"):
        describe_node(graph, matches, "right eye")
