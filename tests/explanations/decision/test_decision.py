"""One decision, by hand on the hills of `tests.hills`."""

import dataclasses
import json
import math

import numpy as np
import pytest
import torch
from PIL import Image

from explgraph.base.errors import ExplGraphError
from explgraph.explanations.decision.decision import Decision, decide, explain_decision
from explgraph.explanations.evidence import class_evidence
from explgraph.explanations.questions import ask
from tests.support.hills import A, B, S, hills_graph, hills_matches, hills_net, hills_photos


@pytest.fixture(scope="module")
def net():
    return hills_net()


def decision(net, photo=None, target=None, found=None, graph=None, **options) -> Decision:
    photo = hills_photos(1)[0] if photo is None else photo
    found = hills_matches(1) if found is None else found
    graph = hills_graph(net) if graph is None else graph
    return explain_decision(graph, net, photo, target, found=found, **options)


def by_node(found, column):
    """The column of the table in the order A, B, S."""
    return found.table[column].loc[[A, B, S]].to_numpy()


DROPS = {0: (300, 0, 0), 1: (0, 225, 0), 2: (0, 0, 285)}  # in 1/255: without A, B, S


@pytest.mark.parametrize("target", DROPS)
def test_drop__is_weights_times_activation(net, target):
    found = decision(net, target=target)
    np.testing.assert_allclose(255 * by_node(found, "drop"), DROPS[target], atol=1e-3)
    np.testing.assert_allclose(255 * found.logit, (300, 226, 285)[target], rtol=1e-5)
    assert int(found.nodes[0]) == int(np.argmax(DROPS[target]))
    assert found.predicted == 0
    # Behind a linear rest the first order is all there is.
    np.testing.assert_allclose(by_node(found, "estimate"), by_node(found, "drop"), atol=1e-6)
    assert found.correlation == pytest.approx(1)


def test_drop__is_that_of_class_evidence(net):
    photos, found = hills_photos(1), hills_matches(1)
    means = class_evidence(hills_graph(net), found, net, photos, target=1)
    np.testing.assert_allclose(by_node(decision(net, target=1), "drop"), means.drop, atol=1e-6)


def test_probability__is_the_softmax_of_the_photo(net):
    logits = np.array([300, 226, 285]) / 255
    found = decision(net)
    assert found.target.index == 0
    assert found.probability == pytest.approx(np.exp(logits[0]) / np.exp(logits).sum(), rel=1e-5)


def test_nodes__of_one_peak_share_its_drop_by_score(net):
    """Hill B's node is put on hill A's peak, with a third of the score there."""
    plain = hills_matches(1, [[0.9, 0.3, 1]])
    found = decision(net, found=dataclasses.replace(plain, peak=np.array([[0, 0, 0]])))
    np.testing.assert_allclose(255 * by_node(found, "drop"), [300, 300, 0], atol=1e-3)
    np.testing.assert_allclose(by_node(found, "share"), [0.75, 0.25, 1], rtol=1e-6)
    peak = by_node(found, "peak")
    assert peak[A] == peak[B] != peak[S]
    assert found.nodes.tolist() == [A, B, S]  # equal drops: the higher score first
    assert (found.table["drop"] * found.table["share"]).sum() * 255 == pytest.approx(300, abs=1e-3)


def test_nodes__that_were_not_found_have_no_row(net):
    found = decision(net, found=hills_matches(1, [[1, 0, 1]]))
    assert sorted(found.nodes.tolist()) == [A, S]
    nothing = decision(net, found=hills_matches(1, [[0, 0, 0]]))
    assert len(nothing.nodes) == len(nothing.kept) == len(nothing.table) == 0
    assert math.isnan(nothing.correlation)
    assert nothing.kept_predicted == 1  # what its bias says with nothing left


def test_nodes__are_measured_where_asked_for_by_index_id_or_name(net):
    graph = hills_graph(net).rename({S: "spot"})
    for name in (S, "1/1/0", "spot"):
        found = decision(net, graph=graph, target=2, nodes=[name])
        np.testing.assert_allclose(by_node(found, "drop"), [np.nan, np.nan, 285 / 255], atol=1e-5)
        assert int(found.nodes[0]) == S
        assert np.isfinite(found.estimate).all()
    with pytest.raises(ExplGraphError, match="nearest"):
        decision(net, nodes=["spit"])


def test_mirrored_photo__is_run_as_the_graph_sees_it(net):
    plain = decision(net)
    photos = hills_photos(1, [True])
    # The network's classes look at places: the photo as given shows it neither hill.
    other = decision(net, photos[0], target=0, found=hills_matches(1, mirrored=[True]))
    assert other.mirrored
    assert not plain.mirrored
    np.testing.assert_allclose(by_node(other, "drop"), by_node(plain, "drop"), atol=1e-6)
    assert other.logit == pytest.approx(plain.logit)


# The kept set: softmax of (300, 226, 285) / 255 and what is left of it


def test_kept__is_the_node_that_the_class_hangs_on(net):
    found = decision(net)
    assert found.kept.tolist() == [A]
    alone = np.exp(np.array([300, 1, 0]) / 255)
    assert found.kept_predicted == 0
    assert found.kept_probability == pytest.approx(alone[0] / alone.sum(), rel=1e-5)
    assert found.table["kept"].loc[A]
    assert found.table["kept"].sum() == 1


def test_kept__is_verified_against_all_subsets(net):
    """Both hills are needed for a class that adds them up; no smaller set will do."""
    both = hills_net()
    with torch.no_grad():
        weight = both.module[-1].weight
        weight[0] = 2 * weight[0] + 2 * weight[1]  # 600 + 300
        weight[2] = 0
        both.module[-1].bias.copy_(torch.tensor([-700, 0, 0]) / 255)
    # Class 0: 900 / 255 - 700 / 255 = 200; class 1: 226. Green counts for nothing.
    weights = np.array([600, 450, 0])
    found = decision(both)
    assert found.predicted == 0
    assert sorted(found.kept.tolist()) == [A, B]
    assert weights.sum() > 700 > weights.max()


def test_kept__is_empty_where_another_class_is_predicted(net):
    found = decision(net, target=2)
    assert found.kept.tolist() == []
    assert found.predicted == 0
    assert found.kept_predicted == 0  # of all claimed cells


def test_kept__names_the_best_node_of_a_peak(net):
    plain = hills_matches(1, [[0.3, 0.9, 1]])
    found = decision(net, found=dataclasses.replace(plain, peak=np.array([[0, 0, 0]])))
    assert found.kept.tolist() == [B]


# What may go wrong, and what is written


def test_network__is_as_before(net):
    before = {name: value.clone() for name, value in net.module.state_dict().items()}
    net.module.train()
    decision(net)
    assert net.module.training
    assert all(not m._forward_hooks for m in net.module.modules())
    assert all(p.grad is None and p.requires_grad for p in net.module.parameters())
    after = net.module.state_dict()
    assert all(torch.equal(after[name], value) for name, value in before.items())


def test_batch_size__changes_nothing(net):
    small, large = decision(net, batch_size=1), decision(net, batch_size=32)
    assert small.table.equals(large.table)
    np.testing.assert_array_equal(small.map.values, large.map.values)


def test_photo__is_known_by_name_among_many(net):
    matches = hills_matches(2, [[0, 0, 1], [1, 1, 1]])
    photo = Image.fromarray(hills_photos(1)[0])
    question = ask(net, photo, 0)
    named = dataclasses.replace(matches, images=("other", question.name))
    assert len(decide(question, hills_graph(net), named).nodes) == 3


@pytest.mark.parametrize(
    ("target", "words"), [(("1", 0), "a decision is for a class"), (7, "no class 7")]
)
def test_target__must_be_a_class(net, target, words):
    with pytest.raises(ExplGraphError, match=words):
        decision(net, target=target)


def test_matches__of_another_graph_are_refused(net):
    found = hills_matches(1)
    with pytest.raises(ExplGraphError, match="match this graph"):
        decision(net, found=found.take(nodes=np.array([0, 1])))


def test_to_json__has_every_figure(net):
    found = decision(net, nodes=[A])
    written = json.loads(json.dumps(found.to_json(), allow_nan=False))
    assert written["target"] == {"index": 0, "name": ""}
    assert written["kept"] == ["1/0/0"]
    rows = {row["node"]: row for row in written["nodes"]}
    assert rows[A]["drop"] == pytest.approx(300 / 255)
    assert rows[B]["drop"] is None
    assert repr(found).startswith("<Decision for class 0 in '000000': 1 of 3 nodes measured, 1 ")
