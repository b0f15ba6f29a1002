"""A graph drawn in layers, the top layer above, as DOT text whose positions are all fixed.

Graphviz lays out nothing. Lengths are points; DOT measures y upwards from the bottom,
`explgraph.drawing.graph.layers_layout` downwards from the top.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from explgraph.base.arrays import F8
from explgraph.base.text import cut_beginning
from explgraph.drawing.dot import (
    Markup,
    Value,
    attributes,
    escape_markup,
    escape_tooltip,
    point,
    quoted,
)
from explgraph.drawing.legend import Item, Legend, line_item
from explgraph.drawing.look import EMPTY, INK, TIMES, layer_color, with_opacity
from explgraph.drawing.page import Page, layer_cluster, layer_heading, title_of
from explgraph.drawing.thumbnails import Thumbnails
from explgraph.graphs.attributes import edge_attributes
from explgraph.graphs.graph import ExplanatoryGraph

from .layers_layout import Layout, Sizes, lay_out, order_nodes, place_labels
from .nodes import PICTURE_NOTE, Looks, node_statements

_NOTE = "parts that its filters respond to; a line leads up to a part that moves along"
_SIDE = 54.0  # of a thumbnail
_NODE_GAP = (13.0, 10.0)
_HEADING_WIDTH, _MIN_WIDTH = 116.0, 560.0
_LEGEND_COLUMNS = 24  # of a layer's name in the legend
_WIDTHS, _OPACITIES = (0.5, 3.0), (0.2, 0.9)  # of lines, at the lowest and highest co-activation
_CROWD = 200  # more lines than that are drawn thinner and paler
_SAMPLES, _DECIMALS = 4, (1, 2, 3)
_EDGE_LABEL = (12.0, 54.0)  # height and width, room around it included
_MAX_EDGE_LABELS = 24  # more of them only hide each other


def layers_text(
    graph: ExplanatoryGraph,
    edges: NDArray[np.int64],
    whole: ExplanatoryGraph,
    thumbnails: Thumbnails | None,
) -> str:
    """Return the drawing of a graph in layers as DOT text.

    Parameters
    ----------
    graph
        What to draw, at least one node.
    edges
        Indices of the edges to draw.
    whole
        The graph that ``graph`` is a part of, for the counts in the captions.
    thumbnails
        Pictures of the nodes, or None.
    """
    band = np.unique(graph.node_layer, return_inverse=True)[1].astype(np.int32)
    order = order_nodes(band, graph.edge_child[edges], graph.edge_parent[edges], graph.mu[:, 1])
    if thumbnails is None:
        looks = Looks.as_labels(graph)
    else:
        files = thumbnails.save(thumbnails.cut(graph, range(len(graph))))
        looks = Looks.as_cards(graph, files, _SIDE)
    cell = (looks.size[0] + _NODE_GAP[0], looks.size[1] + _NODE_GAP[1])
    layout = lay_out(band, order, Sizes(cell, _HEADING_WIDTH, _MIN_WIDTH))
    scale = Scale.of(graph.edge_coactivation[edges])
    legend = Legend.of(_explained(graph, edges, scale, looks, whole), layout.size[1])
    page = Page(layout.size, title_of(graph), _NOTE, legend)
    lines = [
        *page.begin(),
        *_bands(graph, whole, layout, page.base, looks.are_pictures),
        *_nodes(graph, looks, layout, page.base),
        *_edges(graph, edges, scale, layout, page.base),
        "}",
    ]
    return "\n".join(lines) + "\n"


@dataclass(frozen=True, slots=True)
class Scale:
    """From co-activation to the look of a line, linear between two bounds."""

    low: float
    high: float
    strength: float

    @classmethod
    def of(cls, values: NDArray[np.floating]) -> Scale:
        """Scale lines to their values; more lines are drawn thinner and paler."""
        # Percentiles: a few extreme edges must not make all the others look alike.
        low, high = np.percentile(values, [5, 95]) if len(values) else (1.0, 1.0)
        return cls(float(low), float(high), min(1.0, (_CROWD / max(len(values), 1)) ** 0.2))

    def look(self, value: float, color: str) -> tuple[float, str]:
        """Return the width of a line and its colour with opacity."""
        spread = self.high - self.low
        share = min(max((value - self.low) / spread, 0.0), 1.0) if spread > 0 else 0.5
        (thin, thick), (pale, dark) = _WIDTHS, _OPACITIES
        opacity = self.strength * (pale + share * (dark - pale))
        width = self.strength * (thin + share * (thick - thin))
        return width, with_opacity(color, opacity)

    def samples(self) -> dict[str, float]:
        """Return values for a legend, lowest first, by what they are written as: no two alike."""
        step = (self.high - self.low) / (_SAMPLES - 1)
        decimals = next((d for d in _DECIMALS if step >= 10.0**-d), _DECIMALS[-1])
        values = np.linspace(self.low, self.high, _SAMPLES).tolist()
        return {f"{value:.{decimals}f}{TIMES}": value for value in values}


def _explained(
    graph: ExplanatoryGraph,
    edges: NDArray[np.int64],
    scale: Scale,
    looks: Looks,
    whole: ExplanatoryGraph,
) -> list[list[Item] | str]:
    """Return the groups of a legend: what lines, their colours, and nodes mean."""
    counts = (
        f"{len(graph):,} of {len(whole):,} nodes, "
        f"{len(edges):,} of {len(whole.edge_child):,} edges."
    )
    node = "A node is layer/filter/part; its colour is its layer's."
    if looks.are_pictures:
        node = PICTURE_NOTE
    if not len(edges):
        return [f"{counts} {node}"]
    ends = graph.node_layer[np.stack([graph.edge_child[edges], graph.edge_parent[edges]], -1)]
    pairs = [
        line_item(" → ".join(_named(graph, layer) for layer in pair), 2.0, layer_color(pair[0]))
        for pair in np.unique(ends, axis=0)[::-1].tolist()
    ]
    samples = [line_item(text, *scale.look(value, INK)) for text, value in scale.samples().items()]
    place = "label" if len(edges) <= _MAX_EDGE_LABELS else "tooltip, in SVG,"
    return [
        [*samples, Item("as often together as by chance (co-activation)")],
        [*pairs, Item("child → parent: a line has its child's colour")],
        f"{counts} {node}",
        f"A line joins a child (below) to a parent (above); its {place} tells how far the child "
        "is from the parent (dy, dx; network pixels).",
    ]


def _named(graph: ExplanatoryGraph, layer: int) -> str:
    return cut_beginning(graph.layers[layer].name, _LEGEND_COLUMNS)


def _bands(
    graph: ExplanatoryGraph,
    whole: ExplanatoryGraph,
    layout: Layout,
    base: float,
    has_pictures: bool,
) -> Iterator[str]:
    """Yield a cluster for each layer, labelled at its left."""
    shown = np.unique(graph.node_layer).tolist()
    for layer, (top, left, bottom, right) in zip(shown, layout.bands, strict=True):
        heading = layer_heading(graph, whole, layer, _HEADING_WIDTH, has_pictures=has_pictures)
        values: dict[str, Value] = {
            "bb": f"{point(left, base - bottom)},{point(right, base - top)}",
            "lp": point(left + _HEADING_WIDTH / 2, base - (top + bottom) / 2),
            "label": heading,
            "style": "filled",
            "color": EMPTY,
        }
        yield layer_cluster(graph, layer, values)


def _nodes(graph: ExplanatoryGraph, looks: Looks, layout: Layout, base: float) -> Iterator[str]:
    """Yield the nodes with their scalar attributes."""
    for node, (identity, values) in enumerate(node_statements(graph)):
        y, x = layout.yx[node]
        shown: dict[str, Value] = {
            "label": looks.labels[node],
            "pos": point(x, base - y),
            "height": looks.size[0] / 72,
            "width": looks.widths[node] / 72,
        }
        yield f"{quoted(identity)} {attributes(shown | values)};"


def _edges(
    graph: ExplanatoryGraph, edges: NDArray[np.int64], scale: Scale, layout: Layout, base: float
) -> Iterator[str]:
    """Yield the edges: curves that leave and arrive upright."""
    curves = _curves(layout.yx[graph.edge_child[edges]], layout.yx[graph.edge_parent[edges]])
    is_labelled = len(edges) <= _MAX_EDGE_LABELS
    places = place_labels(curves, _EDGE_LABEL) if is_labelled else curves[:, 0]
    known = list(edge_attributes(graph))
    for edge, curve, (y, x) in zip(edges.tolist(), curves, places, strict=True):
        child, parent, values = graph.edge_child[edge], graph.edge_parent[edge], known[edge]
        ends = graph.node_id(child), graph.node_id(parent)
        displacement = f"{values['dy_px']:+.0f}, {values['dx_px']:+.0f} px"
        color = layer_color(int(graph.node_layer[child]))
        width, line_color = scale.look(values["coactivation"], color)
        shown: dict[str, Value] = {
            "tooltip": escape_tooltip(
                f"{ends[0]} → {ends[1]}\n"
                f"co-activation {values['coactivation']:.2f} {TIMES} chance\n"
                f"dy, dx = {displacement} (± {values['spread_px']:.0f} px)"
            ),
            "pos": " ".join(point(x, base - y) for y, x in curve),
            "penwidth": width,
            "color": line_color,
        }
        if is_labelled:
            shown |= {"label": _on_white(displacement), "lp": point(x, base - y)}
        yield f"{quoted(ends[0])} -> {quoted(ends[1])} {attributes(shown | values)};"


def _curves(child: F8, parent: F8) -> F8:
    """(E, 4, 2) Bezier control points from (E, 2) children to (E, 2) parents."""
    middle = (child[:, 0] + parent[:, 0]) / 2
    low, high = np.stack([middle, child[:, 1]], -1), np.stack([middle, parent[:, 1]], -1)
    return np.stack([child, low, high, parent], axis=1)


def _on_white(text: str) -> Markup:
    """Return an edge's label, with a background that keeps it apart from the lines."""
    table = '<TABLE BORDER="0" CELLBORDER="0" CELLPADDING="1" CELLSPACING="0" BGCOLOR="#FFFFFFD0">'
    return Markup(f"{table}<TR><TD>{escape_markup(text)}</TD></TR></TABLE>")
