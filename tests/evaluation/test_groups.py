"""What is said of part groups, where the truth is planted."""

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from explgraph.base.arrays import NONE
from explgraph.base.errors import ExplGraphError
from explgraph.evaluation import groups as module
from explgraph.evaluation.groups import GROUPS, KMEANS, RANDOM, Labelled, measure_groups
from explgraph.evaluation.node_parts import node_parts
from explgraph.evaluation.tracking import tracking_ratio
from explgraph.evaluation.truth import part_truth
from explgraph.photos.masks import PartMasks
from tests.support.plain import plain_graph, plain_matches


@pytest.fixture(scope="module")
def rows(world):
    size = (world.photos.shape[1], world.photos.shape[2])
    marks = [part_truth(world.marks, "head", size, images=world.found.images)]
    labelled = Labelled(world.found, world.masks)
    return measure_groups(world.graph, world.found, labelled=labelled, marks=marks), marks[0]


def test_groups__mean_parts_more_than_chance_does(rows):
    rows, _ = rows
    assert rows[GROUPS].ami > 0.4
    assert abs(rows[RANDOM].ami) < 0.1
    assert abs(rows[RANDOM].stability) < 0.1
    assert rows[GROUPS].purity > rows[RANDOM].purity
    assert rows[GROUPS].groups == rows[KMEANS].groups == rows[RANDOM].groups
    assert 0.5 < rows[GROUPS].inside <= 1


def test_shown__by_group_are_more_parts_than_by_gain(world, rows):
    rows, _ = rows
    assert rows["first 20 by group"].parts > rows["first 20 by gain"].parts
    truth = node_parts(world.graph, world.found, world.masks)
    top = world.graph.top(20)
    assert rows["first 20 by group"].background == (truth.shares[top, -1] >= 0.5).mean()
    assert rows["first 20 by group"].parts == len(set(truth.part[top[truth.share[top] >= 0.5]]))


def test_followers__is_the_area_under_the_curve(world, rows):
    rows, head = rows
    follow = tracking_ratio(world.found, head)[1] < 0.8
    for name, figure in (
        ("group gain", world.graph.groups.node_gain),
        ("gain", world.graph.gain),
        ("contrast", world.graph.contrast),
    ):
        assert rows[name].auc == {"head": pytest.approx(roc_auc_score(follow, figure))}


def test_grouped__by_hand(world):
    """Two parts, three groups: what is judged, the purity, and the parts that are some group's."""
    graph = world.graph
    shares = np.zeros((len(graph), 3))
    label = np.full(len(graph), NONE)
    # group 0: three of part 0, one of part 1; group 1: one of part 1; group 2: one hardly on any
    for node, (group, part, share) in enumerate(
        [(0, 0, 0.9), (0, 0, 0.8), (0, 0, 0.4), (0, 1, 0.6), (1, 1, 1.0), (2, 0, 0.39)]
    ):
        label[node], shares[node, part] = group, share
    found = module._grouped(graph, label, [label, label], module.NodeParts(shares))
    assert found.purity == pytest.approx(4 / 5)
    assert found.parts == 2
    assert found.stability == 1
    nodes = int((graph.contrast > 0.2).sum())
    assert found.inside == pytest.approx(6 / nodes)


def test_study__has_a_row_for_each_seed(world):
    study = module.study_groups(world.peaks, seeds=(0, 1), category="fish")
    table = study.table
    assert set(table["seed"]) == {0, 1} and (table["category"] == "fish").all()
    assert "ami" not in table and "stability" in table  # nothing is said without labels
    data = study.to_json()
    assert data["seeds"]["1"][GROUPS]["ami"] is None
    assert data["seeds"]["0"][GROUPS]["groups"] >= 2


def test_measure__needs_groups(world):
    from dataclasses import replace

    with pytest.raises(ExplGraphError, match="has no part groups"):
        measure_groups(replace(world.graph, groups=None), world.found)


# -- the truth -------------------------------------------------------------------------------------


def test_node_parts__counts_photos_in_which_a_node_fires(world):
    layer = world.graph.layers[:1]
    graph = plain_graph(
        layer, (8, 8), tuple(np.array([[0, 0], [0, 1], [0, 0]])), mu=np.zeros((2, 2))
    )
    mask = np.full((8, 8), NONE, dtype=np.int16)
    mask[:4, :4] = 1
    yx = np.full((4, 2, 2), 0.1)
    yx[2, 0] = 0.9  # off the object
    score = np.ones((4, 2))
    score[3, 0] = 0.4  # does not fire
    score[:, 1] = 0
    names = [f"{i}.png" for i in range(4)]
    found = plain_matches(names, yx, score)
    parts = node_parts(graph, found, PartMasks(tuple(names), ("head", "tail"), (mask,) * 4))
    np.testing.assert_allclose(parts.shares, [[0, 2 / 3, 1 / 3], [0, 0, 0]])
    assert parts.kind.tolist() == ["part", ""]
    assert parts.part[0] == 1
