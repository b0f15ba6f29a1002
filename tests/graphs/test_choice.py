"""The best nodes of layers, and the nodes of a part in the whole graph."""

from dataclasses import replace

import numpy as np
import pytest

from explgraph.graphs.choice import (
    best_of_layers,
    choose,
    largest_effects,
    places_in,
    steadiest_parents,
)
from explgraph.graphs.effects import EdgeEffects
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


def test_steadiest_parents__against_a_naive_choice():
    graph = planted_graph(parents=7)
    spread = np.round(graph.edge_spread / 8)  # many ties
    graph = replace(graph, edge_spread=spread)
    wanted = []
    for child in range(len(graph)):
        edges = [e for e in range(len(graph.edge_child)) if graph.edge_child[e] == child]
        wanted += sorted(edges, key=lambda e: (spread[e], e))[:2]
    assert steadiest_parents(graph, 2).tolist() == sorted(wanted)
    assert len(steadiest_parents(graph, 0)) == 0
    assert len(steadiest_parents(graph, 99)) == len(graph.edge_child)


def test_largest_effects__are_what_carries_most_and_what_inhibits_more_than_that():
    effect = np.array([0.1, -0.5, 0.3, -0.05, 0.2, 0.2, 0.9, -0.15, -0.3, 0.0, -0.1])
    parent = np.array([3, 3, 3, 3, 5, 5, 5, 5, 5, 6, 6])
    photos = np.array([9, 9, 9, 9, 9, 9, 1, 9, 9, 9, 9])
    effects = EdgeEffects(np.arange(11), parent, effect, photos)
    assert largest_effects(effects, 1).tolist() == [1, 2, 4, 8, 10]
    assert largest_effects(effects, 2).tolist() == [0, 1, 2, 4, 5, 8, 10]
    assert largest_effects(effects, 9).tolist() == [0, 1, 2, 3, 4, 5, 6, 7, 8, 10]
    assert largest_effects(effects.take([]), 2).tolist() == []
