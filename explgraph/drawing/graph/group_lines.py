"""The lines of a graph of groups: all edges of one kind from the nodes of a cell to another's."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import get_args

import numpy as np
from numpy.typing import NDArray

from explgraph.base.arrays import F8, I8, NONE
from explgraph.base.errors import unknown_name
from explgraph.base.text import counted
from explgraph.drawing.legend import Item, line_item
from explgraph.drawing.look import FAINT
from explgraph.graphs.attributes import MOVES_WITH, EdgeKind
from explgraph.graphs.choice import effects_of, groups_of
from explgraph.graphs.graph import ExplanatoryGraph

from .lines import percent

LEAST_SHARE = 0.15
"""Lines of less than this share of all that a cell has are left out."""

_WIDTHS = (0.6, 7.0)


@dataclass(frozen=True, eq=False, slots=True)
class Cells:
    """The cells of a graph of groups: C of them, where a group has nodes in a layer.

    Attributes
    ----------
    layer, group
        (C,) which layer and which group; by layer, then by group.
    count
        (C,) how many nodes.
    best
        (C,) the node that stands for them, the best by group gain.
    node_cell
        (P,) each node's cell; `NONE` for nodes in no group.
    """

    layer: I8
    group: I8
    count: I8
    best: I8
    node_cell: I8

    @classmethod
    def of(cls, graph: ExplanatoryGraph) -> Cells:
        """Find the cells of a graph."""
        groups = groups_of(graph)
        inside = np.flatnonzero(groups.node_group != NONE)
        keys = np.stack([graph.node_layer[inside], groups.node_group[inside]], axis=-1)
        cells, place, count = np.unique(
            keys.astype(np.int64), axis=0, return_inverse=True, return_counts=True
        )
        node_cell = np.full(len(graph), NONE, dtype=np.int64)
        node_cell[inside] = place.reshape(-1)
        order = np.argsort(-groups.node_gain, kind="stable")
        best = np.array([order[node_cell[order] == cell][0] for cell in range(len(cells))])
        return cls(cells[:, 0], cells[:, 1], count, best.astype(np.int64), node_cell)

    def __len__(self) -> int:
        return len(self.layer)


@dataclass(frozen=True, eq=False, slots=True)
class GroupLines:
    """M lines from a cell up to another one.

    Attributes
    ----------
    child, parent
        (M,) cells.
    value
        (M,) how many edges they are, or what share of the parents' response the children carry.
    is_count
        Which of the two.
    detail
        M lines for a tooltip.
    note
        What the lines are, in a sentence.
    """

    child: I8
    parent: I8
    value: F8
    is_count: bool
    detail: Sequence[str]
    note: str

    def __len__(self) -> int:
        return len(self.child)

    def label(self, line: int) -> str:
        """Return what is written on a line."""
        return self.written(float(self.value[line]))

    def written(self, value: float) -> str:
        """Return a value as people read it."""
        return f"{value:,.0f}" if self.is_count else percent(value)

    def width(self, value: float) -> float:
        """Return a line's width: its square is in proportion to the value, but for the least."""
        most = float(np.abs(self.value).max(initial=0)) or 1.0
        return max(_WIDTHS[0], _WIDTHS[1] * float(np.sqrt(abs(value) / most)))

    def legend(self) -> list[Item]:
        """Return samples of lines, and what they mean."""
        most = float(np.abs(self.value).max(initial=0))
        samples = {self.written(v): v for v in (most, most / 4, most / 16)}
        items = [line_item(text, self.width(v), FAINT) for text, v in samples.items()]
        if np.any(self.value < 0):
            items.append(line_item("inhibits", 2.0, FAINT, style="dashed"))
        said = "edges between nodes of two cells that move together"
        if not self.is_count:
            said = "of the response of a cell's nodes carried by the nodes of the other below"
        return [*items, Item(said)]


def group_lines(graph: ExplanatoryGraph, cells: Cells, edges: EdgeKind, count: int) -> GroupLines:
    """Return the lines of a kind: so many up from each cell, or up to each cell, at most."""
    if edges not in get_args(EdgeKind):
        raise unknown_name("kind of edges", edges, get_args(EdgeKind))
    kind = _moves_with if edges == MOVES_WITH else _is_made_of
    return kind(graph, cells, count)


def _moves_with(graph: ExplanatoryGraph, cells: Cells, count: int) -> GroupLines:
    """Count the mined edges between cells, and keep from each cell the lines of most."""
    ends = cells.node_cell[np.stack([graph.edge_child, graph.edge_parent], axis=-1)]
    inside = np.flatnonzero((ends != NONE).all(axis=-1))
    pairs, place = _pairs(ends[inside])
    edges = np.bincount(place, minlength=len(pairs)).astype(np.float64)
    kept = _largest(pairs[:, 0], edges, count)
    spread = graph.edge_spread[inside]
    steady = [float(np.median(spread[place == pair])) for pair in kept]
    return GroupLines(
        child=pairs[kept, 0],
        parent=pairs[kept, 1],
        value=edges[kept],
        is_count=True,
        detail=[
            f"{counted(int(n), 'edge')}\nsteady within {px:.1f} px (median)"
            for n, px in zip(edges[kept], steady, strict=True)
        ],
        note=f"The lines are {edges[kept].sum():,.0f} of the {edges.sum():,.0f} edges between "
        f"groups; those of less than {LEAST_SHARE:.0%} of the edges up from a cell are left out.",
    )


def _is_made_of(graph: ExplanatoryGraph, cells: Cells, count: int) -> GroupLines:
    """Sum up the effects of a cell's nodes on a parent, mean over the parents of a cell.

    Parents are those whose children are known; to each cell the largest sums are kept. An effect is
    a mean over the photos in which the child fires, too: it counts by how many of the parent's
    photos these are, or children that take turns would carry the response several times.
    """
    effects = effects_of(graph)
    photos = np.zeros(len(graph))
    np.maximum.at(photos, effects.parent, effects.photos)
    effect = effects.effect * effects.photos / np.maximum(photos[effects.parent], 1)
    ends = cells.node_cell[np.stack([effects.child, effects.parent], axis=-1)]
    inside = np.flatnonzero((ends != NONE).all(axis=-1))
    pairs, place = _pairs(ends[inside])
    known = cells.node_cell[effects.parents]
    parents = np.bincount(known[known != NONE], minlength=len(cells))
    total = np.bincount(place, weights=effect[inside], minlength=len(pairs))
    share = total / np.maximum(parents[pairs[:, 1]], 1)
    kept = _largest(pairs[:, 1], np.abs(share), count)
    return GroupLines(
        child=pairs[kept, 0],
        parent=pairs[kept, 1],
        value=share[kept],
        is_count=False,
        detail=[
            f"{percent(share[pair])} of its response\n"
            f"mean of {counted(int(parents[pairs[pair, 1]]), 'node')} above"
            for pair in kept
        ],
        note=f"What the responses of {parents.sum():,} nodes are made of; lines of less than "
        f"{LEAST_SHARE:.0%} of what is known of a cell are left out. Shares may come to more than "
        "100%: other nodes inhibit, and two nodes may share cells.",
    )


def _pairs(ends: NDArray[np.int64]) -> tuple[I8, I8]:
    """Return the pairs of cells that edges join, each once, and each edge's pair."""
    pairs, place = np.unique(ends, axis=0, return_inverse=True)
    return pairs, place.reshape(-1)


def _largest(end: I8, value: F8, count: int) -> NDArray[np.intp]:
    """Return the pairs with the largest values at each end, ascending; the small ones are left."""
    total = np.bincount(end, weights=value, minlength=1)
    order = np.lexsort((np.arange(len(end)), -value, end))
    rank = np.empty(len(end), dtype=np.int64)
    rank[order] = np.arange(len(end)) - np.searchsorted(end[order], end[order])
    return np.flatnonzero((rank < count) & (value >= LEAST_SHARE * total[end]) & (value > 0))
