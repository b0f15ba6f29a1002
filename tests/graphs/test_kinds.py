"""Kinds of nodes, by planted figures."""

import numpy as np
import pytest

from explgraph.base.layer import LayerSpec
from explgraph.graphs.kinds import node_kinds
from tests.support.plain import plain_graph, plain_groups

LAYER = LayerSpec("layer", 100, (8, 8), (8.0, 8.0), (4.0, 4.0), (16, 16))


def graph_of(contrast=None, gain=None):
    count = 100
    nodes = (np.zeros(count), np.arange(count), np.zeros(count))
    graph = plain_graph((LAYER,), (64, 64), nodes, mu=np.full((count, 2), 32))
    if contrast is not None:
        graph = graph.having(contrast=contrast)
    if gain is not None:
        graph = graph.having(groups=plain_groups(graph, np.zeros(count, dtype=int), node_gain=gain))
    return graph


def planted(parts, textures):
    """So many parts, then textures; the rest is background of a part's group gain."""
    contrast = np.where(np.arange(100) < parts + textures, 0.5, 0.4)
    gain = np.full(100, 0.7)
    gain[parts : parts + textures] = 0.6
    return graph_of(contrast, gain)


def test_kinds__by_contrast_then_by_group_gain():
    kinds = node_kinds(planted(30, 20))
    assert kinds.reliable
    assert kinds.reason == ""
    assert kinds.kind.tolist() == ["part"] * 30 + ["texture"] * 20 + ["background"] * 50
    assert kinds.table.columns.tolist() == ["contrast", "group_gain", "kind"]
    assert kinds.table.loc[30].tolist() == pytest.approx([0.5, 0.6, "texture"])
    assert repr(kinds) == "<NodeKinds of 100 nodes: 30 part, 20 texture, 50 background>"


@pytest.mark.parametrize(
    ("parts", "textures", "told"),
    [
        (5, 5, True),  # 90 % background
        (90, 5, True),
        (4, 40, False),  # hardly any part, as in photos
        (40, 4, False),
        (56, 40, False),  # hardly any background
        (96, 0, False),
        (0, 0, False),
    ],
)
def test_kinds__are_told_where_each_is_true_of_some_and_none_of_all(parts, textures, told):
    kinds = node_kinds(planted(parts, textures))
    assert kinds.reliable == told
    assert (kinds.kind is None) == (not told)
    shares = f"{parts}% part, {textures}% texture, {100 - parts - textures}% background"
    assert (shares in kinds.reason) == (not told)
    assert kinds.contrast is not None
    assert kinds.group_gain is not None
    assert ("kind" in kinds.table) == told


def test_kinds__say_what_is_missing():
    assert node_kinds(graph_of()).reason == "the graph has no contrast: mine with background photos"
    kinds = node_kinds(graph_of(np.ones(100)))
    assert kinds.reason == "the graph has no part groups"
    assert kinds.table.columns.tolist() == ["contrast"]
    assert repr(kinds) == "<NodeKinds: not told apart, the graph has no part groups>"


def test_kinds__of_no_nodes():
    kinds = node_kinds(planted(30, 20).select(np.zeros(0, dtype=int)))
    assert not kinds.reliable
