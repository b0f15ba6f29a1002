"""The best nodes of layers, and the nodes of a part in the whole graph."""

import numpy as np
import pytest

from explgraph.graphs.choice import best_of_layers, choose, places_in
from tests.support.planted import near_border, planted_graph


@pytest.mark.parametrize("count", [1, 5, None])
def test_best_of_layers__by_gain_those_near_the_border_last(count):
    graph = planted_graph()
    found = best_of_layers(graph, count)
    assert len(found) == len(graph.layers)
    for layer, nodes in enumerate(found):
        members = np.flatnonzero(graph.node_layer == layer).tolist()
        members.sort(key=lambda i: (near_border(graph, i), -graph.gain[i]))
        assert nodes.tolist() == members[:count]


def test_places_in__are_where_the_nodes_came_from():
    graph = planted_graph()
    nodes = [3, 30, 31, 70]
    assert places_in(graph, choose(graph, nodes=nodes)).tolist() == nodes
    assert places_in(graph, graph).tolist() == list(range(len(graph)))
