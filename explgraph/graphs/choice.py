"""Which nodes and edges of a graph are meant: by name, by rank, by score, around a node."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from typing import Literal, TypedDict, get_args

import numpy as np
from numpy.typing import NDArray

from explgraph.base.arrays import F4, I4, I8, NONE
from explgraph.base.errors import ExplGraphError, require, unknown_name

from .effects import EdgeEffects
from .graph import ExplanatoryGraph
from .groups import PartGroups

By = Literal["gain", "group gain", "contrast", "score", "support"]
"""What nodes are ranked by."""

_BORDER = 0.1  # share of the side


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


def ranked(graph: ExplanatoryGraph, by: By = "gain") -> I8:
    """Return what `ExplanatoryGraph.ranking` does."""
    if by not in get_args(By):
        raise unknown_name("figure", by, get_args(By))
    gain = None if graph.groups is None else graph.groups.node_gain
    known: dict[str, F4 | None] = {"group gain": gain, "contrast": graph.contrast}
    figure: F4 | None = known[by] if by in known else getattr(graph, by)
    if figure is None:
        missing = "part groups" if by == "group gain" else "contrast: mine with background photos"
        raise ExplGraphError(f"nodes cannot be ranked by {by}: the graph has no {missing}")
    return np.lexsort((np.arange(len(graph)), -figure, at_border(graph)))


def at_border(graph: ExplanatoryGraph) -> NDArray[np.bool_]:
    """(P,) which nodes lie within a tenth of the side of the border, where padding holds them."""
    share = graph.mu / np.array(graph.input_size, dtype=np.float32)
    return np.asarray(np.minimum(share, 1 - share).min(axis=1, initial=1) < _BORDER)


def seated(graph: ExplanatoryGraph, count: int) -> I8:
    """Return what `ExplanatoryGraph.top` does: seats by divisors (Sainte-Lague) over groups."""
    require(count >= 1, f"count must be at least 1, got {count}")
    ranking = graph.ranking()
    if graph.groups is None:
        return ranking[:count]
    waiting = [_by_turns(graph, ranked(graph, "group gain"), g) for g in range(len(graph.groups))]
    root = [math.sqrt(max(gain, 0.0)) for gain in graph.groups.gain.tolist()]
    taken, result = [0] * len(waiting), list[int]()
    while len(result) < count:
        left = [g for g, nodes in enumerate(waiting) if taken[g] < len(nodes)]
        if not left:
            break
        group = max(left, key=lambda g: (root[g] / (2 * taken[g] + 1), -g))
        result.append(int(waiting[group][taken[group]]))
        taken[group] += 1
    rest = ranking[graph.groups.node_group[ranking] == NONE]
    return np.array([*result, *rest[: count - len(result)].tolist()], dtype=np.int64)


def shown_first(graph: ExplanatoryGraph, count: int | None = None) -> list[I8]:
    """Return by layer, lowest first, the nodes to look at first, of every part group some.

    Those of `ExplanatoryGraph.top`, each layer's own; without groups they are its best.

    Parameters
    ----------
    graph
        The graph.
    count
        How many of each layer, at most; default: all.
    """
    order = seated(graph, max(len(graph), 1))
    layer = graph.node_layer[order]
    return [order[layer == index][:count] for index in range(len(graph.layers))]


def _by_turns(graph: ExplanatoryGraph, ranking: I8, group: int) -> I8:
    """Return a group's nodes, the best of each layer first, then the second of each, and so on."""
    assert graph.groups is not None
    mine: I8 = ranking[graph.groups.node_group[ranking] == group]
    layer = graph.node_layer[mine]
    turn = np.zeros(len(mine), dtype=np.int64)
    for index in np.unique(layer):
        turn[layer == index] = np.arange(np.count_nonzero(layer == index))
    return mine[np.argsort(turn, kind="stable")]


def best_nodes(graph: ExplanatoryGraph, per_layer: int, *, linked: bool = False) -> I8:
    """Return the nodes of `ExplanatoryGraph.best`, rising."""
    chosen = np.zeros(len(graph), dtype=bool)
    for nodes in reversed(best_of_layers(graph)):
        if linked:
            has_parent = np.zeros(len(graph), dtype=bool)
            has_parent[graph.edge_child[chosen[graph.edge_parent]]] = True
            nodes = nodes[np.argsort(~has_parent[nodes], kind="stable")]
        chosen[nodes[:per_layer]] = True
    return np.flatnonzero(chosen)


def family(graph: ExplanatoryGraph, node: int) -> NDArray[np.bool_]:
    """Mark (P,) a node, its ancestors and its descendants."""
    require(0 <= node < len(graph), f"node {node} does not exist: 0..{len(graph) - 1} do")
    reach = _reachable(node, graph.edge_child, graph.edge_parent, len(graph))
    return reach | _reachable(node, graph.edge_parent, graph.edge_child, len(graph))


def _reachable(start: int, source: I4, target: I4, n_nodes: int) -> NDArray[np.bool_]:
    """Mark (P,) the nodes that paths of edges source -> target lead to from ``start``."""
    seen = np.zeros(n_nodes, dtype=bool)
    seen[start] = True
    while True:
        before = np.count_nonzero(seen)
        seen[target[seen[source]]] = True
        if np.count_nonzero(seen) == before:
            return seen


def best_of_layers(graph: ExplanatoryGraph, count: int | None = None) -> list[I8]:
    """Return by layer, lowest first, its best nodes in the order of `ExplanatoryGraph.ranking`.

    Parameters
    ----------
    graph
        The graph.
    count
        How many of each layer, at most; default: all.
    """
    ranking = graph.ranking()
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
    """Return the index of a node given by index, id or user's name.

    Of several nodes of one name it is the best: the first of them in `ExplanatoryGraph.ranking`.

    Raises
    ------
    ExplGraphError
        If there is none, naming the nearest ones.
    """
    if not isinstance(node, str):
        require(0 <= node < len(graph), f"node {node} does not exist: the graph has {len(graph)}")
        return int(node)
    ids = {graph.node_id(i): i for i in range(len(graph))}
    if node in ids:
        return ids[node]
    called = [i for i, name in graph.names.items() if name == node]
    if not called:
        raise unknown_name("node", node, [*graph.names.values(), *ids], "graph.nodes lists them")
    if len(called) == 1:
        return called[0]
    ranking = graph.ranking()
    return int(ranking[np.isin(ranking, called)][0])


def steadiest_parents(graph: ExplanatoryGraph, count: int) -> I8:
    """Return the indices of each node's ``count`` steadiest edges "moves with", ascending.

    Those with the smallest `ExplanatoryGraph.edge_spread`; on a tie the edge with the lower index.
    """
    return _first_of(graph.edge_child, graph.edge_spread, count)


def largest_effects(effects: EdgeEffects, count: int) -> I8:
    """Return the indices of each parent's largest edges "is made of", ascending.

    The ``count`` that carry most of its response, and of those that inhibit it as many, as far as
    they take away more than the least of these carries. What counts is the effect times the photos
    in which both fire: what the child carries over all of the parent's photos. On a tie the edge
    with the lower index wins.
    """
    carried = effects.effect.astype(np.float64) * effects.photos
    carriers, others = np.flatnonzero(carried > 0), np.flatnonzero(carried < 0)
    best = carriers[_first_of(effects.parent[carriers], -carried[carriers], count)]
    least = np.full(effects.parent.max(initial=-1) + 1, np.inf)
    np.minimum.at(least, effects.parent[best], carried[best])
    least[np.bincount(effects.parent[best], minlength=len(least)) < count] = 0
    worst = others[_first_of(effects.parent[others], carried[others], count)]
    worst = worst[-carried[worst] > least[effects.parent[worst]]]
    return np.sort(np.concatenate([best, worst]))


def _first_of(node: I4, figure: NDArray[np.floating], count: int) -> I8:
    """Return (k,) the places of each node's ``count`` smallest figures, ascending."""
    n_edges = len(node)
    order = np.lexsort((np.arange(n_edges), figure, node))
    rank = np.arange(n_edges) - np.searchsorted(node[order], node[order])
    return np.sort(order[rank < count])


def groups_of(graph: ExplanatoryGraph) -> PartGroups:
    """Return a graph's groups.

    Raises
    ------
    ExplGraphError
        If it has none.
    """
    require(
        graph.groups is not None,
        "the graph has no part groups: graph.having(groups=eg.part_groups(graph, found))",
    )
    assert graph.groups is not None
    return graph.groups


def effects_of(graph: ExplanatoryGraph) -> EdgeEffects:
    """Return a graph's edges "is made of".

    Raises
    ------
    ExplGraphError
        If it has none.
    """
    require(
        graph.effects is not None,
        'the graph has no edges "is made of": graph.having(effects=eg.edge_effects(graph, found, '
        "net, images)), or 'explgraph effects'",
    )
    assert graph.effects is not None
    return graph.effects
