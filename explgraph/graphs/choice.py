"""Which nodes and edges of a graph are meant: by name, by rank, by score, around a node."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TypedDict

import numpy as np

from explgraph.base.arrays import I8, NONE
from explgraph.base.errors import require, unknown_name

from .graph import ExplanatoryGraph


class NodeChoice(TypedDict, total=False):
    """Which nodes of a graph to draw or to write; every entry may be left out.

    Conditions are applied in the order below.

    Attributes
    ----------
    nodes
        Keep these (indices, ids or user's names); not together with ``around``.
    around
        A node, by index, id ``layer/filter/part`` or user's name: keep it, its ancestors and its
        descendants. The node itself survives the other conditions: it is kept whatever its score,
        and is alone in its layer.
    min_score
        Keep nodes with at least this score.
    nodes_per_layer
        Keep so many nodes of each layer: the best by `ExplanatoryGraph.ranking`, below the top
        layer those first that have a parent among the nodes kept, so that edges show.
    """

    nodes: Iterable[str | int] | None
    around: str | int | None
    min_score: float | None
    nodes_per_layer: int | None


def choose(
    graph: ExplanatoryGraph,
    *,
    nodes: Iterable[str | int] | None = None,
    around: str | int | None = None,
    min_score: float | None = None,
    nodes_per_layer: int | None = None,
) -> ExplanatoryGraph:
    """Return the part of a graph that a `NodeChoice` asks for.

    Raises
    ------
    ExplGraphError
        If a node does not exist, a number is out of range, or no node is left.
    """
    require(
        nodes is None or around is None, "nodes and around are two ways to choose: give one of them"
    )
    require(
        nodes_per_layer is None or nodes_per_layer >= 1,
        f"nodes_per_layer must be at least 1, got {nodes_per_layer}",
    )
    kept, focus = graph, NONE
    if nodes is not None:
        kept = graph.select([find_node(graph, node) for node in nodes])
        require(len(kept) > 0, "nodes is empty: name at least one, or leave it out for all")
    if around is not None:
        focus = find_node(graph, around)
        kept = graph.family(focus)
    if min_score is not None:
        kept = kept.select((places_in(graph, kept) == focus) | (kept.score >= min_score))
    if nodes_per_layer is not None:
        kept = kept.best(nodes_per_layer, linked=True)
    highest = graph.score.max(initial=0)
    require(
        len(kept) > 0 or len(graph) == 0,
        f"no node has a score of at least {min_score}: the highest is {highest:.4g}",
    )
    return kept


def best_of_layers(graph: ExplanatoryGraph, count: int | None = None) -> list[I8]:
    """Return by layer, lowest first, its best nodes in the order of `ExplanatoryGraph.ranking`.

    Parameters
    ----------
    graph
        The graph.
    count
        How many of each layer, at most; default: all.
    """
    ranking = graph.ranking
    layer = graph.node_layer[ranking]
    return [ranking[layer == index][:count] for index in range(len(graph.layers))]


def places_in(whole: ExplanatoryGraph, part: ExplanatoryGraph) -> I8:
    """Return (P,) the indices in a graph of the P nodes of a part of it."""
    place = {key: node for node, key in enumerate(_keys(whole))}
    return np.array([place[key] for key in _keys(part)], dtype=np.int64)


def _keys(graph: ExplanatoryGraph) -> Iterator[tuple[int, int, int]]:
    """Yield what a node is called in a graph and in every part of it."""
    arrays = (graph.node_layer, graph.node_channel, graph.node_part)
    return zip(*(array.tolist() for array in arrays), strict=True)


def find_node(graph: ExplanatoryGraph, node: str | int) -> int:
    """Return the index of a node given by index, id or user's name (the lowest on a tie).

    Raises
    ------
    ExplGraphError
        If there is none, naming the nearest ones.
    """
    if not isinstance(node, str):
        require(0 <= node < len(graph), f"node {node} does not exist: the graph has {len(graph)}")
        return int(node)
    ids = {graph.node_id(i): i for i in range(len(graph))}
    names = {name: i for i, name in sorted(graph.names.items(), reverse=True)}
    if node not in ids and node not in names:
        raise unknown_name("node", node, [*names, *ids], "graph.nodes lists them")
    return ids[node] if node in ids else names[node]


def strongest_parents(graph: ExplanatoryGraph, count: int) -> I8:
    """Return the indices of each node's ``count`` edges of highest co-activation, ascending.

    On a tie the edge with the lower index wins.
    """
    n_edges = len(graph.edge_child)
    order = np.lexsort((np.arange(n_edges), -graph.edge_coactivation, graph.edge_child))
    child = graph.edge_child[order]
    rank = np.arange(n_edges) - np.searchsorted(child, child)
    return np.sort(order[rank < count])
