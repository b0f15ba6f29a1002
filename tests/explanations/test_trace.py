"""One chain from the class to pixels: by hand on two linear layers, and on a trained network."""

import json

import numpy as np
import pytest
import torch

import explgraph as eg
from explgraph.base.arrays import NONE
from explgraph.base.errors import ExplGraphError
from explgraph.explanations.trace import trace
from tests.explanations.test_effects import ON_A, ON_B, A, B, its_graph, its_matches, two_layers
from tests.support.hills import SIDE, hills_photo


@pytest.fixture(scope="module")
def net():
    """Class 0 sums the map of `ON_A`'s filter, class 1 that of the other; class 2 is against."""
    net = two_layers()
    with torch.no_grad():
        weight = net.module[5].weight.zero_().view(3, 2, SIDE * SIDE)
        weight[0, 0] = weight[1, 1] = 1
        weight[2] = -1
        net.module[5].bias.fill_(0.5)
    return net


def traced(net, target=0, mirrored=False, **options):
    photo = hills_photo()[:, ::-1] if mirrored else hills_photo()
    found = its_matches(1, mirrored=np.array([mirrored]))
    one = eg.open_images(photo[None]).renamed(["000000"])
    return trace(its_graph(net), net, one, target, found=found, **options)


@pytest.mark.parametrize("mirrored", [False, True])
def test_trace__of_hills_runs_through_hill_a(net, mirrored):
    """Above hill A are 200, 240 and 100 of the class's 840; the node there has 240 itself."""
    chain = traced(net, mirrored=mirrored)
    assert chain.nodes.tolist() == [ON_A, A]  # hill B has no way through this node
    assert chain.logit == pytest.approx(840 / 255 + 0.5)
    assert chain.baseline == pytest.approx(0.5)
    through = 540 / 840
    np.testing.assert_allclose(chain.share, [through, through * 300 / 240], rtol=1e-5)
    np.testing.assert_allclose(chain.evidence, [through, 600 / 840], rtol=1e-5)
    assert chain.child.tolist() == [1, 0] or chain.child.tolist() == [0, 1]
    edges = chain.edges
    assert edges.child.tolist() == ["1/0/0", "3/0/0"]
    assert edges.parent.tolist() == ["3/0/0", "class 0"]
    np.testing.assert_allclose(edges.effect, [300 / 240, through], rtol=1e-5)
    np.testing.assert_allclose(edges.carried, [through * 300 / 240, through], rtol=1e-5)
    at = 1.5 / SIDE, 2.5 / SIDE
    np.testing.assert_allclose(chain.yx[0], (at[0], 1 - at[1] if mirrored else at[1]), rtol=1e-6)
    # Hill A's peak is its own pixel, at (1, 1).
    values = chain.map.values[:, ::-1] if mirrored else chain.map.values
    assert values[1, 1] == pytest.approx(chain.share[1], rel=1e-5)
    assert np.count_nonzero(values) == 1


def test_layers__say_what_is_lost_without_the_traces_cells(net):
    chain = traced(net)
    assert chain.layers.layer.tolist() == ["3", "1"]
    assert chain.cells.tolist() == [2, 3]
    np.testing.assert_allclose(255 * chain.drop, [540, 540], rtol=1e-5)
    assert (chain.control < 0.6 * chain.drop).all()
    again = traced(net, seed=1)
    assert again.control[1] != chain.control[1]
    assert (again.drop == chain.drop).all()


def test_nodes__are_at_most_so_many_and_the_largest(net):
    chain = traced(net, target=1)
    # Both hills have a way through the upper node of this class: it is found at hill B.
    assert chain.nodes.tolist() == [ON_B, B]
    assert traced(net, target=1, n_nodes=1).nodes.tolist() == [ON_B, B]


def test_trace__is_a_network_of_plain_attributes(net):
    chain = traced(net)
    network = chain.to_networkx()
    assert set(network) == {"class", "3/0/0", "1/0/0"}
    assert list(network.edges) == [("3/0/0", "class"), ("1/0/0", "3/0/0")]
    assert network.edges["1/0/0", "3/0/0"]["effect"] == pytest.approx(300 / 240)
    rows = [*network.nodes.values(), *network.edges.values(), network.graph]
    assert {type(value) for row in rows for value in row.values()} == {float, str}
    value = json.loads(json.dumps(chain.to_json(), allow_nan=False))
    assert value["target"] == {"index": 0, "name": ""}
    assert [row["id"] for row in value["nodes"]] == ["3/0/0", "1/0/0"]
    assert [row["layer"] for row in value["layers"]] == ["3", "1"]


def test_class__that_nothing_speaks_for_is_refused(net):
    with pytest.raises(ExplGraphError, match="3 adds nothing to class 2 in this photo"):
        traced(net, target=2)
    with pytest.raises(ExplGraphError, match="there is no class 3"):
        traced(net, target=3)
    with pytest.raises(ExplGraphError, match="n_nodes must be at least 1, got 0"):
        traced(net, n_nodes=0)


def test_trace__of_a_trained_network_beats_its_control(world):
    photo = world.photos[0]
    chain = trace(world.graph, world.net, photo)
    n, layers = len(chain.nodes), world.graph.node_layer[chain.nodes]
    assert n == 10
    assert layers.tolist() == [1] * 5 + [0] * 5
    assert (np.diff(chain.share)[layers[1:] == layers[:-1]] <= 0).all()
    assert (chain.parent[layers[chain.child] == 1] == NONE).all()
    assert (layers[chain.parent[layers[chain.child] == 0]] == 1).all()
    # What runs through a node is what runs through the nodes above it, by what it carries there.
    for i in np.flatnonzero(layers == 0):
        mine = chain.child == i
        assert chain.carried[mine].sum() == pytest.approx(chain.share[i], rel=0.1, abs=2e-3)
    assert chain.drop[1] > 2 * max(chain.control[1], 0)
    again = trace(world.graph, world.net, photo)
    assert again.table.equals(chain.table)
    np.testing.assert_array_equal(again.map.values, chain.map.values)
