"""A graph drawn in layers, the top layer above, as DOT text whose positions are all fixed.

Graphviz lays out nothing. Lengths are points; DOT measures y upwards from the bottom,
`explgraph.drawing.graph.layers_layout` downwards from the top.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

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
from explgraph.drawing.look import EMPTY, layer_color
from explgraph.drawing.page import Page, layer_cluster, layer_heading, title_of
from explgraph.drawing.thumbnails import Thumbnails
from explgraph.graphs.choice import effects_of
from explgraph.graphs.graph import ExplanatoryGraph

from .layers_layout import Layout, Sizes, lay_out, order_nodes, place_labels
from .lines import Lines
from .nodes import PICTURE_NOTE, Looks, node_statements

_NOTES = {
    True: "parts that its filters respond to; a line leads up to a part that moves along",
    False: "parts that its filters respond to; a line leads up from what a response is made of",
}
_SIDE = 54.0  # of a thumbnail
_NODE_GAP = (13.0, 10.0)
_HEADING_WIDTH, _MIN_WIDTH = 116.0, 560.0
_LEGEND_COLUMNS = 24  # of a layer's name in the legend
_EDGE_LABEL = (12.0, 54.0)  # height and width, room around it included
_MAX_EDGE_LABELS = 24  # more of them only hide each other


def layers_text(
    graph: ExplanatoryGraph,
    lines: Lines,
    whole: ExplanatoryGraph,
    thumbnails: Thumbnails | None,
) -> str:
    """Return the drawing of a graph in layers as DOT text.

    Parameters
    ----------
    graph
        What to draw, at least one node.
    lines
        Between its nodes.
    whole
        The graph that ``graph`` is a part of, for the counts in the captions.
    thumbnails
        Pictures of the nodes, or None.
    """
    band = np.unique(graph.node_layer, return_inverse=True)[1].astype(np.int32)
    child, parent = (ends.astype(np.int32) for ends in (lines.child, lines.parent))
    order = order_nodes(band, child, parent, graph.mu[:, 1])
    if thumbnails is None:
        looks = Looks.as_labels(graph)
    else:
        files = thumbnails.save(thumbnails.cut(graph, range(len(graph))))
        looks = Looks.as_cards(graph, files, _SIDE)
    cell = (looks.size[0] + _NODE_GAP[0], looks.size[1] + _NODE_GAP[1])
    layout = lay_out(band, order, Sizes(cell, _HEADING_WIDTH, _MIN_WIDTH))
    legend = Legend.of(_explained(graph, lines, looks, whole), layout.size[1])
    page = Page(layout.size, title_of(graph), _NOTES[lines.is_steadiness], legend)
    text = [
        *page.begin(),
        *_bands(graph, whole, layout, page.base, looks.are_pictures),
        *_nodes(graph, looks, layout, page.base),
        *_edges(graph, lines, layout, page.base),
        "}",
    ]
    return "\n".join(text) + "\n"


def _explained(
    graph: ExplanatoryGraph, lines: Lines, looks: Looks, whole: ExplanatoryGraph
) -> list[list[Item] | str]:
    """Return the groups of a legend: what lines, their colours, and nodes mean."""
    total = len(whole.edge_child) if lines.is_steadiness else len(effects_of(whole))
    counts = f"{len(graph):,} of {len(whole):,} nodes, {len(lines):,} of {total:,} edges."
    node = "A node is layer/filter/part; its colour is its layer's."
    if looks.are_pictures:
        node = PICTURE_NOTE
    if not len(lines):
        return [f"{counts} {node}"]
    ends = graph.node_layer[np.stack([lines.child, lines.parent], -1)]
    pairs = [
        line_item(" → ".join(_named(graph, layer) for layer in pair), 2.0, layer_color(pair[0]))
        for pair in np.unique(ends, axis=0)[::-1].tolist()
    ]
    samples, meaning = lines.legend()
    place = "label" if len(lines) <= _MAX_EDGE_LABELS else "tooltip, in SVG,"
    told = (
        "how far the child is from the parent (dy, dx; network pixels)"
        if lines.is_steadiness
        else "how much of it"
    )
    return [
        samples,
        [*pairs, Item("child → parent: a line has its child's colour")],
        f"{counts} {node}",
        f"{meaning}; its {place} tells {told}.",
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


def _edges(graph: ExplanatoryGraph, lines: Lines, layout: Layout, base: float) -> Iterator[str]:
    """Yield the edges: curves that leave and arrive upright."""
    curves = _curves(layout.yx[lines.child], layout.yx[lines.parent])
    is_labelled, scale = len(lines) <= _MAX_EDGE_LABELS, lines.scale
    places = place_labels(curves, _EDGE_LABEL) if is_labelled else curves[:, 0]
    for i, (curve, (y, x)) in enumerate(zip(curves, places, strict=True)):
        ends = graph.node_id(lines.child[i]), graph.node_id(lines.parent[i])
        color = layer_color(int(graph.node_layer[lines.child[i]]))
        value = float(lines.value[i])
        width, line_color = scale.look(abs(value), color)
        shown: dict[str, Value] = {
            "tooltip": escape_tooltip(f"{ends[0]} → {ends[1]}\n{lines.tooltip[i]}"),
            "pos": " ".join(point(x, base - y) for y, x in curve),
            "penwidth": width,
            "color": line_color,
        }
        if value < 0:
            shown["style"] = "dashed"
        if is_labelled:
            shown |= {"label": _on_white(lines.label[i]), "lp": point(x, base - y)}
        yield f"{quoted(ends[0])} -> {quoted(ends[1])} {attributes({**shown, **lines.known[i]})};"


def _curves(child: F8, parent: F8) -> F8:
    """(E, 4, 2) Bezier control points from (E, 2) children to (E, 2) parents."""
    middle = (child[:, 0] + parent[:, 0]) / 2
    low, high = np.stack([middle, child[:, 1]], -1), np.stack([middle, parent[:, 1]], -1)
    return np.stack([child, low, high, parent], axis=1)


def _on_white(text: str) -> Markup:
    """Return an edge's label, with a background that keeps it apart from the lines."""
    table = '<TABLE BORDER="0" CELLBORDER="0" CELLPADDING="1" CELLSPACING="0" BGCOLOR="#FFFFFFD0">'
    return Markup(f"{table}<TR><TD>{escape_markup(text)}</TD></TR></TABLE>")
