"""The lines of a graph drawn in layers: edges of one kind, how they look and what they say."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, get_args

import numpy as np
from numpy.typing import NDArray

from explgraph.base.arrays import F8, I8
from explgraph.base.errors import unknown_name
from explgraph.base.text import counted
from explgraph.drawing.legend import Item, line_item
from explgraph.drawing.look import INK, with_opacity
from explgraph.graphs.attributes import (
    IS_MADE_OF,
    MOVES_WITH,
    EdgeKind,
    edge_attributes,
    effect_attributes,
)
from explgraph.graphs.choice import effects_of, largest_effects, steadiest_parents
from explgraph.graphs.graph import ExplanatoryGraph

_WIDTHS, _OPACITIES = (0.5, 3.0), (0.2, 0.9)  # of lines, the least and the most telling
_CROWD = 200  # more lines than that are drawn thinner and paler
_SAMPLES = 4


@dataclass(frozen=True, eq=False, slots=True)
class Lines:
    """M lines from a child up to a parent.

    Attributes
    ----------
    child, parent
        (M,) nodes.
    value
        (M,) what a line's look tells: how steady an edge is, px, or what share a child carries.
    is_steadiness
        Whether a small value is drawn wide.
    label, tooltip
        M short texts, and M lines for a tooltip.
    known
        M times the edge's plain attributes.
    """

    child: I8
    parent: I8
    value: F8
    is_steadiness: bool
    label: Sequence[str]
    tooltip: Sequence[str]
    known: Sequence[Mapping[str, Any]]

    def __len__(self) -> int:
        return len(self.child)

    @property
    def scale(self) -> Scale:
        """From a line's value to its look."""
        scale = Scale.of(np.abs(self.value), falling=self.is_steadiness)
        return scale if self.is_steadiness else replace(scale, low=0.0)

    def legend(self) -> tuple[list[Item], str]:
        """Return samples of lines with what they mean, and a sentence about all."""
        scale = self.scale
        if self.is_steadiness:
            samples = {f"{value:.3g} px": value for value in scale.samples()}
            items = [line_item(text, *scale.look(v, INK)) for text, v in samples.items()]
            return [*items, Item("how steadily the child keeps its place to the parent")], (
                "A line joins a child (below) to a parent (above) that it moves with"
            )
        samples = {percent(value): value for value in scale.samples()[1:]}  # nothing is no line
        items = [line_item(text, *scale.look(v, INK)) for text, v in samples.items()]
        if np.any(self.value < 0):
            middle = scale.look(scale.high, INK)
            items.append(line_item("inhibits", *middle, style="dashed"))
        return [*items, Item("of the parent's response carried by the child's cells")], (
            "A line joins a child (below) to a parent (above) whose response it is a part of"
        )


def lines_of(graph: ExplanatoryGraph, edges: EdgeKind, count: int) -> Lines:
    """Return the lines of a kind: so many up from each node, or up to each node."""
    if edges not in get_args(EdgeKind):
        raise unknown_name("kind of edges", edges, get_args(EdgeKind))
    return moves_with(graph, count) if edges == MOVES_WITH else is_made_of(graph, count)


def moves_with(graph: ExplanatoryGraph, parents_per_node: int) -> Lines:
    """Return the steadiest edges up from each node."""
    edges = steadiest_parents(graph, parents_per_node)
    every = list(edge_attributes(graph))
    known = [{"kind": MOVES_WITH, **every[edge]} for edge in edges]
    where = [f"{one['dy_px']:+.0f}, {one['dx_px']:+.0f} px" for one in known]
    return Lines(
        child=graph.edge_child[edges].astype(np.int64),
        parent=graph.edge_parent[edges].astype(np.int64),
        value=graph.edge_spread[edges].astype(np.float64),
        is_steadiness=True,
        label=where,
        tooltip=[
            f"moves with it: steady within {one['spread_px']:.1f} px\ndy, dx = {at}"
            for one, at in zip(known, where, strict=True)
        ],
        known=known,
    )


def is_made_of(graph: ExplanatoryGraph, children_per_node: int) -> Lines:
    """Return the edges of largest effect up to each node.

    Raises
    ------
    ExplGraphError
        If the graph knows no effects.
    """
    effects = effects_of(graph)
    edges = largest_effects(effects, children_per_node)
    every = list(effect_attributes(effects))
    known = [{"kind": IS_MADE_OF, **every[edge]} for edge in edges]
    return Lines(
        child=effects.child[edges].astype(np.int64),
        parent=effects.parent[edges].astype(np.int64),
        value=effects.effect[edges].astype(np.float64),
        is_steadiness=False,
        label=[percent(one["effect"]) for one in known],
        tooltip=[
            f"{'carries' if one['effect'] >= 0 else 'inhibits:'} {percent(one['effect'])} of its "
            f"response\nmean of {counted(one['photos'], 'photo')}"
            for one in known
        ],
        known=known,
    )


def percent(share: float) -> str:
    """Write a share, with a minus sign as wide as a digit."""
    text = f"{share:.0%}" if abs(share) >= 0.01 or share == 0 else f"{share:.1%}"
    return text.replace("-", "\N{MINUS SIGN}")


@dataclass(frozen=True, slots=True)
class Scale:
    """From a value to the look of a line, linear between two bounds.

    Attributes
    ----------
    low, high
        Values of the thinnest and the widest line; where a small value is telling, high is less.
    strength
        1, or less where there are many lines.
    """

    low: float
    high: float
    strength: float

    @classmethod
    def of(cls, values: NDArray[np.floating], *, falling: bool = False) -> Scale:
        """Scale lines to their values; more lines are drawn thinner and paler."""
        # Percentiles: a few extreme edges must not make all the others look alike.
        low, high = np.percentile(values, [5, 95]) if len(values) else (1.0, 1.0)
        ends = (high, low) if falling else (low, high)
        strength = min(1.0, (_CROWD / max(len(values), 1)) ** 0.2)
        return cls(float(ends[0]), float(ends[1]), strength)

    def look(self, value: float, color: str) -> tuple[float, str]:
        """Return the width of a line and its colour with opacity."""
        spread = self.high - self.low
        share = min(max((value - self.low) / spread, 0.0), 1.0) if spread else 0.5
        (thin, thick), (pale, dark) = _WIDTHS, _OPACITIES
        opacity = self.strength * (pale + share * (dark - pale))
        width = self.strength * (thin + share * (thick - thin))
        return width, with_opacity(color, opacity)

    def samples(self) -> list[float]:
        """Return values for a legend, from the thinnest line to the widest."""
        return [float(value) for value in np.linspace(self.low, self.high, _SAMPLES)]
