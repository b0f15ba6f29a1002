"""What a report's page knows of nodes and edges: which are shown, where they go, their facts.

Everything is plain JSON. Node numbers on the page are places in the list of the nodes shown.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from explgraph.base.arrays import I8
from explgraph.base.errors import require
from explgraph.base.text import printable
from explgraph.drawing.graph.layers_layout import Sizes, lay_out, order_nodes
from explgraph.drawing.look import COLORS
from explgraph.graphs.choice import places_in, strongest_parents
from explgraph.graphs.graph import ExplanatoryGraph

if TYPE_CHECKING:
    import pandas as pd


TILE = 64.0
"""Side of a node's picture, in units of the layout."""

PARENTS = 3
"""Lines drawn up from each node."""

MARKERS = ("circle", "square", "triangle", "diamond", "inverted_triangle", "hex")
"""Shapes of the layers' marks on photos, lowest first: colour is not all that tells them apart."""

_CELL = (TILE + 22, TILE + 12)  # height and width: room for the label below, and gaps
_LEAST_WIDTH = 560.0
_STEPS = (5, 10, 20, 40, 100, 200, 400)  # nodes per layer that the page can be set to
_RANGE = (5, 95)  # percentiles of the co-activation that the thinnest and widest lines stand for


@dataclass(frozen=True, slots=True)
class Gallery:
    """The pictures of a node.

    Attributes
    ----------
    thumbnail
        ``data:`` address of its best patch.
    strip
        ``data:`` address of its best patches side by side; "" if it is found in no photo.
    patches
        For each patch: the photo's name, the score, and whether it is shown mirrored.
    """

    thumbnail: str
    strip: str
    patches: Sequence[tuple[str, float, bool]]


def page_nodes(graph: ExplanatoryGraph, count: int) -> I8:
    """Return the indices, ascending, of the nodes to show: the best of each layer, linked.

    Raises
    ------
    ExplGraphError
        If there are more layers with nodes than nodes to show.
    """
    sizes = np.bincount(graph.node_layer)
    present = int(np.count_nonzero(sizes))
    require(
        count >= present,
        f"nodes must be at least {present}, one for each layer, got {count}",
    )
    fitting = [k for k in range(1, int(sizes.max()) + 1) if np.minimum(sizes, k).sum() <= count]
    return places_in(graph, graph.best(fitting[-1], linked=True))


def layer_rows(graph: ExplanatoryGraph, shown: ExplanatoryGraph) -> list[dict[str, Any]]:
    """Return what the page knows of each layer that has nodes, lowest first."""
    return [
        {
            "name": printable(graph.layers[layer].name),
            "color": COLORS[layer % len(COLORS)],
            "marker": MARKERS[layer % len(MARKERS)],
            "grid": list(graph.layers[layer].grid),
            "nodes": int(np.count_nonzero(graph.node_layer == layer)),
        }
        for layer in np.unique(shown.node_layer).tolist()
    ]


def layouts(shown: ExplanatoryGraph) -> list[dict[str, Any]]:
    """Lay the graph out for each number of nodes per layer that the page can be set to.

    Few nodes get a drawing of their own, instead of what is left of a drawing of many. Each has
    all the nodes of the one before.

    Returns
    -------
    From few nodes to all; each with ``per_layer``, ``nodes`` (places in the list), their ``x`` and
    ``y``, the ``bands`` of the layers (top, left, bottom, right) and the ``size`` (height, width);
    y downwards, units of `TILE`.
    """
    most = int(np.bincount(shown.node_layer).max())
    result, part = [], shown
    for per_layer in sorted({min(step, most) for step in (*_STEPS, most)}, reverse=True):
        part = part.best(per_layer, linked=True)
        nodes = places_in(shown, part).tolist()
        result.append({"per_layer": per_layer, "nodes": nodes, **_laid_out(part)})
    return result[::-1]


def _laid_out(part: ExplanatoryGraph) -> dict[str, Any]:
    """Return the places of the nodes of a part, of its layers' bands, and the drawing's size."""
    _, inverse = np.unique(part.node_layer, return_inverse=True)
    band = inverse.astype(np.int32)
    edges = strongest_parents(part, PARENTS)
    ends = part.edge_child[edges], part.edge_parent[edges]
    order = order_nodes(band, *ends, part.mu[:, 1])
    placed = lay_out(band, order, Sizes(_CELL, min_width=_LEAST_WIDTH))
    return {
        "x": placed.yx[:, 1].round(1).tolist(),
        "y": placed.yx[:, 0].round(1).tolist(),
        "bands": placed.bands.round(1).tolist(),
        "size": [round(length, 1) for length in placed.size],
    }


def node_columns(
    graph: ExplanatoryGraph,
    facts: pd.DataFrame,
    chosen: I8,
    galleries: Mapping[int, Gallery],
) -> dict[str, list[Any]]:
    """Return what the page knows of its nodes, by column.

    Parameters
    ----------
    graph
        The whole graph.
    facts
        `explgraph.graphs.facts.node_facts` of it.
    chosen
        The nodes shown.
    galleries
        Their pictures, by node.
    """
    _, layer = np.unique(graph.node_layer[chosen], return_inverse=True)
    rank = np.empty(len(graph), dtype=np.int64)
    rank[graph.ranking()] = np.arange(len(graph)) + 1
    mine = facts.loc[chosen]
    numbers = ("fires", "mean_score", "best_score", "y", "x", "y_spread", "x_spread", "sure_px")
    columns: dict[str, list[Any]] = {
        "id": [printable(text) for text in mine["id"]],
        "name": [" ".join(printable(text).split()) for text in mine["name"]],
        "layer": layer.tolist(),
        "filter": graph.node_channel[chosen].tolist(),
        "rank": rank[chosen].tolist(),
        "score": _rounded(graph.score[chosen].tolist()),
        **{name: _rounded(mine[name].tolist()) for name in numbers},
        "parents": [[printable(text) for text in ids] for ids in mine["parents"]],
        "others": [[printable(text) for text in ids] for ids in mine["others"]],
    }
    columns |= {
        name: _rounded(mine[name].tolist()) for name in ("contrast", "group_gain") if name in mine
    }
    if "kind" in mine:
        columns["kind"] = mine["kind"].tolist()
    mine_galleries = [galleries[node] for node in chosen.tolist()]
    columns["thumbnail"] = [gallery.thumbnail for gallery in mine_galleries]
    columns["strip"] = [gallery.strip for gallery in mine_galleries]
    columns["patches"] = [
        [[printable(photo), round(score, 4), mirrored] for photo, score, mirrored in g.patches]
        for g in mine_galleries
    ]
    return columns


def _rounded(values: Sequence[float]) -> list[float | None]:
    """Round to four significant digits; JSON has no NaN."""
    return [float(f"{value:.4g}") if math.isfinite(value) else None for value in values]


def edge_columns(shown: ExplanatoryGraph) -> dict[str, Any]:
    """Return the edges among the nodes shown, by child and then by falling co-activation.

    ``strength`` is the co-activation between two bounds, 0 to 1: what the width and the opacity of
    a line stand for. ``bounds`` are these two.
    """
    together = shown.edge_coactivation.astype(np.float64)
    order = np.lexsort((np.arange(len(together)), -together, shown.edge_child))
    # Percentiles: a few extreme edges must not make all the others look alike.
    low, high = np.percentile(together, _RANGE).tolist() if len(together) else (1.0, 1.0)
    span = high - low if high > low else 1.0
    strength = np.clip((together - low) / span, 0, 1) if high > low else np.full(len(together), 0.5)
    return {
        "child": shown.edge_child[order].tolist(),
        "parent": shown.edge_parent[order].tolist(),
        "coactivation": together[order].round(2).tolist(),
        "strength": strength[order].round(3).tolist(),
        "bounds": [round(low, 2), round(high, 2)],
        "most": PARENTS,
    }
