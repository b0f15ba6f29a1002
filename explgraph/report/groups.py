"""What a report's page knows of part groups: the rows of its first screen, the graph of groups."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any

import numpy as np

from explgraph.base.arrays import I8, NONE
from explgraph.base.text import one_line
from explgraph.graphs.choice import groups_of
from explgraph.graphs.graph import ExplanatoryGraph
from explgraph.graphs.groups import Group, PartGroups, region
from explgraph.graphs.matches import Matches
from explgraph.groups.grouping import group_places, part_groups
from explgraph.groups.naming import name_groups
from explgraph.photos.annotations import Annotations

from .nodes import best_of_cells

_DOTS = 120  # most nodes on the small map of a group
_SURE = ((0.45, "sure"), (0.3, "fairly sure"), (0.0, "less sure"))  # of the agreement
_UNSURE = 0.2  # of the side: what a photo in which nodes do not agree is away
_BACKGROUND = 0.2  # contrast up to which a group lies on the background as well


def grouped(
    graph: ExplanatoryGraph, found: Matches, annotations: Annotations | None
) -> ExplanatoryGraph:
    """Return a graph with part groups: its own or of these photos, named by annotations."""
    if graph.groups is None:
        graph = graph.having(groups=part_groups(graph, found))
    return graph if annotations is None else name_groups(graph, found, annotations)


def group_rows(
    graph: ExplanatoryGraph, evidence: Mapping[int, float] | None
) -> list[dict[str, Any]]:
    """Return what the page tells of each group, by number; pictures are not among it.

    ``folded`` says why a group is not among those shown first: "still" or "background".
    """
    if graph.groups is None:
        return []
    rank = np.empty(len(graph), dtype=np.int64)
    rank[graph.ranking()] = np.arange(len(graph)) + 1
    side = float(np.sqrt(np.prod(graph.input_size)))
    why = [_folded(graph, group) for group in graph.groups]
    regions = _regions(graph.groups, np.argsort([bool(word) for word in why], kind="stable"))
    return [
        {
            "number": group.number,
            "name": one_line(graph.groups.names[group.number]),
            "region": regions[group.number],
            "nodes": len(group.nodes),
            "best": int(rank[group.nodes].min()),
            "y": round(group.yx[0], 4),
            "x": round(group.yx[1], 4),
            "spread": round(group.spread / side, 4),
            "agreement": round(group.sureness, 3),
            "sure": next(word for least, word in _SURE if group.sureness >= least),
            "layers": _by_layer(graph, group),
            "dots": _dots(graph, group),
            "evidence": _evidence(group, evidence),
            "folded": why[group.number],
        }
        for group in graph.groups
        if len(group.nodes)
    ]


def _regions(groups: PartGroups, order: I8) -> list[str]:
    """Say where each group lies; those without a name that lie alike are numbered, in an order."""
    words = [region(*group.yx) for group in groups]
    unnamed = Counter(word for word, name in zip(words, groups.names, strict=True) if not name)
    seen, result = Counter[str](), list(words)
    for i in order.tolist():
        if not groups.names[i] and unnamed[words[i]] > 1:
            seen[words[i]] += 1
            result[i] = f"{words[i]} {seen[words[i]]}"
    return result


def usual_photo(graph: ExplanatoryGraph, found: Matches) -> int:
    """Return the photo in which the groups lie nearest to their usual places.

    Of those in which nodes score well, half of all; where there are such, none that the graph sees
    mirrored: left would be right in it.
    """
    if graph.groups is None or not len(graph.groups):
        return 0
    places = group_places(graph, found)
    usual = np.median(places.canonical_yx, axis=0)
    away = np.hypot(*(places.canonical_yx - usual).transpose(2, 0, 1))
    weight = np.sqrt(np.maximum(graph.groups.gain, 0)) + 1e-6
    agreement = places.sureness / np.maximum(places.sureness.mean(axis=0), 1e-6)
    strange = ((away + _UNSURE * (1 - agreement)) * weight).sum(axis=1)
    score = found.score.mean(axis=1, dtype=np.float64)
    return int(np.lexsort((strange, places.mirrored, score < np.median(score)))[0])


def _by_layer(graph: ExplanatoryGraph, group: Group) -> list[list[int]]:
    """Return layer and number of nodes, of layers that have any."""
    layers, counts = np.unique(graph.node_layer[group.nodes], return_counts=True)
    return [list(pair) for pair in zip(layers.tolist(), counts.tolist(), strict=True)]


def _dots(graph: ExplanatoryGraph, group: Group) -> list[list[float]]:
    """Return layer, y and x (unit square, the graph's orientation) of some of a group's nodes."""
    some = group.nodes[:_DOTS]
    yx = graph.mu[some] / np.array(graph.input_size, dtype=np.float32)
    layers = graph.node_layer[some].tolist()
    return [
        [layer, round(y, 3), round(x, 3)] for layer, (y, x) in zip(layers, yx.tolist(), strict=True)
    ]


def _evidence(group: Group, evidence: Mapping[int, float] | None) -> dict[str, float] | None:
    """Return how much the logit of the class drops without a node, on average, and of how many."""
    drops = [float(evidence[n]) for n in group.nodes.tolist() if n in evidence] if evidence else []
    drops = [drop for drop in drops if np.isfinite(drop)]
    return {"drop": round(float(np.mean(drops)), 4), "nodes": len(drops)} if drops else None


def _folded(graph: ExplanatoryGraph, group: Group) -> str:
    if groups_of(graph).is_still(group.number):
        return "still"
    if graph.contrast is not None and float(np.median(graph.contrast[group.nodes])) <= _BACKGROUND:
        return "background"
    return ""


def cells(graph: ExplanatoryGraph) -> list[dict[str, int]]:
    """Return the cells of the graph of groups: layer, group, how many nodes, and the best node."""
    if graph.groups is None:
        return []
    return [
        {
            "layer": layer,
            "group": group,
            "nodes": int(
                np.count_nonzero((graph.node_layer == layer) & (graph.groups.node_group == group))
            ),
            "best": node,
        }
        for (layer, group), node in sorted(best_of_cells(graph).items())
    ]


def cell_lines(graph: ExplanatoryGraph) -> dict[str, list[list[float]]]:
    """Return the summed edges of cells: layer and group of children, and of parents, and figures.

    ``moves``: how many edges, and their median steadiness, network pixels. ``made``: the mean share
    of a parent's response that the child's cell carries, and of how many parents that is the mean.
    """
    if graph.groups is None:
        return {}
    group, layer = graph.groups.node_group, graph.node_layer
    result: dict[str, list[list[float]]] = {"moves": []}
    for ends, mine in _between(group, layer, graph.edge_child, graph.edge_parent):
        steady = float(np.median(graph.edge_spread[mine]))
        result["moves"].append([*ends, len(mine), round(steady, 1)])
    effects = graph.effects
    if effects is not None and len(effects):
        known = effects.parents
        result["made"] = []
        for ends, mine in _between(group, layer, effects.child, effects.parent):
            n = int(np.count_nonzero((layer[known] == ends[2]) & (group[known] == ends[3])))
            carried = float(effects.effect[mine].sum(dtype=np.float64)) / n
            result["made"].append([*ends, round(carried, 4), n])
    return result


def _between(
    group: np.ndarray[Any, Any],
    layer: np.ndarray[Any, Any],
    child: np.ndarray[Any, Any],
    parent: np.ndarray[Any, Any],
) -> list[tuple[tuple[int, int, int, int], I8]]:
    """Gather edges by the cells that they join; those of nodes without a group are left out."""
    inside = np.flatnonzero((group[child] != NONE) & (group[parent] != NONE))
    ends = np.stack([layer[child], group[child], layer[parent], group[parent]], axis=1)[inside]
    kinds, which = np.unique(ends, axis=0, return_inverse=True)
    return [
        ((int(a), int(b), int(c), int(d)), inside[which.ravel() == i])
        for i, (a, b, c, d) in enumerate(kinds.tolist())
    ]
