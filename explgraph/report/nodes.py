"""What a report's page knows of nodes and edges: which have pictures, where they lie, their facts.

Everything is plain JSON. Nodes go by their index in the graph.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from explgraph.base.arrays import I8, NONE
from explgraph.base.errors import require
from explgraph.base.text import one_line, printable
from explgraph.drawing.look import COLORS
from explgraph.evaluation.tracking import unique_nodes
from explgraph.graphs.graph import ExplanatoryGraph
from explgraph.graphs.matches import Matches

if TYPE_CHECKING:
    import pandas as pd


SHAPES = {
    "circle": "M-6 0a6 6 0 1 0 12 0a6 6 0 1 0-12 0",
    "square": "M-5.5-5.5h11v11h-11z",
    "triangle": "M0-7L6.5 5h-13z",
    "diamond": "M0-7L5 0L0 7L-5 0z",
    "inverted_triangle": "M0 7L6.5-5h-13z",
    "hex": "M-3.5-6h7l3.5 6l-3.5 6h-7l-3.5-6z",
}
"""Outlines (SVG) of the layers' marks on photos, lowest layer first: colour is not all that tells.
"""

BORDER = 0.1
"""Share of the side within which zero padding makes filters fire: `ExplanatoryGraph.ranking`."""


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
    """Return the nodes that get pictures, the first to be shown first.

    They are those of `ExplanatoryGraph.top`, and the best of each group in each layer.

    Raises
    ------
    ExplGraphError
        If fewer than one is asked for.
    """
    require(count >= 1, f"nodes must be at least 1, got {count}")
    seats = graph.top(count)
    more = [node for node in best_of_cells(graph).values() if node not in set(seats.tolist())]
    return np.array([*seats.tolist(), *more], dtype=np.int64)


def best_of_cells(graph: ExplanatoryGraph) -> dict[tuple[int, int], int]:
    """Return by layer and group the node of highest group gain."""
    if graph.groups is None:
        return {}
    best: dict[tuple[int, int], int] = {}
    for group in graph.groups:
        for node in group.nodes.tolist():
            best.setdefault((int(graph.node_layer[node]), group.number), node)
    return best


def layer_rows(graph: ExplanatoryGraph) -> list[dict[str, Any]]:
    """Return what the page knows of each layer, lowest first."""
    return [
        {
            "name": printable(layer.name),
            "color": COLORS[i % len(COLORS)],
            "shape": list(SHAPES.values())[i % len(SHAPES)],
            "grid": list(layer.grid),
            "nodes": int(np.count_nonzero(graph.node_layer == i)),
        }
        for i, layer in enumerate(graph.layers)
    ]


def node_columns(
    graph: ExplanatoryGraph, found: Matches, facts: pd.DataFrame, shown: I8
) -> dict[str, list[Any]]:
    """Return what the page knows of all P nodes, by column.

    Parameters
    ----------
    graph, found
        The graph, and where its nodes are.
    facts
        `explgraph.graphs.facts.node_facts` of it.
    shown
        The nodes with pictures, best first.
    """
    rank = np.empty(len(graph), dtype=np.int64)
    rank[graph.ranking()] = np.arange(len(graph)) + 1
    numbers = ["fires", "mean_score", "best_score", "y", "x", "y_spread", "x_spread", "sure_px"]
    numbers += [name for name in ("contrast", "group_gain", "evidence") if name in facts]
    share = graph.mu / np.array(graph.input_size, dtype=np.float32)
    columns: dict[str, list[Any]] = {
        "id": [printable(text) for text in facts["id"]],
        "name": [one_line(text) for text in facts["name"]],
        "layer": graph.node_layer.tolist(),
        "filter": graph.node_channel.tolist(),
        "rank": rank.tolist(),
        "score": rounded(graph.score.tolist()),
        **{name: rounded(facts[name].tolist()) for name in numbers},
        "border": (np.minimum(share, 1 - share).min(axis=1) < BORDER).astype(int).tolist(),
        "repeats": _repeats(found, shown).astype(int).tolist(),
        "group": [NONE] * len(graph),
    }
    if graph.groups is not None:
        columns["group"] = graph.groups.node_group.tolist()
    if "kind" in facts:
        columns["kind"] = facts["kind"].tolist()
    return columns


def _repeats(found: Matches, shown: I8) -> np.ndarray[Any, np.dtype[np.bool_]]:
    """Mark (P,) the nodes shown that lie where a better one lies, in nearly all photos."""
    repeats = np.zeros(len(found.node_layer), dtype=bool)
    repeats[shown] = True
    repeats[unique_nodes(found, shown, len(shown))] = False
    return repeats


def picture_columns(shown: I8, galleries: Mapping[int, Gallery]) -> dict[str, list[Any]]:
    """Return the pictures of some nodes, by column."""
    mine = [galleries[node] for node in shown.tolist()]
    return {
        "node": shown.tolist(),
        "thumbnail": [gallery.thumbnail for gallery in mine],
        "strip": [gallery.strip for gallery in mine],
        "patches": [
            [[printable(photo), round(score, 4), mirrored] for photo, score, mirrored in g.patches]
            for g in mine
        ],
    }


def rounded(values: Sequence[float], places: int = 4) -> list[float | None]:
    """Round to some significant digits; JSON has no NaN."""
    return [float(f"{value:.{places}g}") if math.isfinite(value) else None for value in values]


def edge_columns(graph: ExplanatoryGraph) -> dict[str, dict[str, list[Any]]]:
    """Return the edges by kind, each the best of a child, or of a parent, first.

    ``moves``: ``child``, ``parent`` and ``value``, how steady the distance of the two is, network
    pixels, by child and then the steadiest first. ``made``, where effects are known: ``value`` is
    the share of the parent's response that the child carries, by parent and then the largest first.
    """
    order = np.lexsort((graph.edge_parent, graph.edge_spread, graph.edge_child))
    kinds = {
        "moves": {
            "child": graph.edge_child[order].tolist(),
            "parent": graph.edge_parent[order].tolist(),
            "value": graph.edge_spread[order].astype(np.float64).round(1).tolist(),
        }
    }
    if graph.effects is not None and len(graph.effects):
        kinds["made"] = {
            "child": graph.effects.child.tolist(),
            "parent": graph.effects.parent.tolist(),
            "value": rounded(graph.effects.effect.tolist(), 3),
        }
    return kinds
