"""Pictures of a graph in our own layout, written as DOT text and rendered by Graphviz.

Every position is fixed in the text, so Graphviz lays out nothing. Lengths are points; DOT measures
y upwards from the bottom, `explgraph.layout` downwards from the top.
"""

from __future__ import annotations

import math
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from .dot import (
    Markup,
    Value,
    attributes,
    background_line,
    background_text,
    escape_markup,
    escape_tooltip,
    point,
    printable,
    quoted,
)
from .errors import require, unknown_name
from .export import edge_attributes, node_attributes, prune
from .graph import ExplanatoryGraph
from .layout import Layout, Sizes, lay_out, order_nodes, place_labels
from .storage import PathLike, write_bytes
from .structures import F8

PICTURE_FORMATS = ("dot", "svg", "pdf", "png")

_PNG_DPI, _MAX_PNG_PIXELS = 144, 12e6

# Okabe and Ito's palette, which colour-blind people can tell apart; lowest layer first. Its yellow
# and black are left out: too pale for a line, and the colour of the text.
COLORS = ("#0072B2", "#009E73", "#E69F00", "#D55E00", "#CC79A7", "#56B4E9")
_TIMES = "\N{MULTIPLICATION SIGN}"
_FONT = "Helvetica,Arial,sans-serif"
_INK, _FAINT, _BAND = "#222222", "#6B6B6B", "#F5F6F8"
_FONT_SIZE, _SMALL, _HEADING = 9, 7, 12
_CHARACTER = 0.63  # width of a character over the font size, on the wide side
_LAYER_CHARACTERS = 14  # longer layer names lose their beginning in a node's label
_NAME_CHARACTERS = 18  # longer user's names lose their end
_NODE_HEIGHT, _NODE_PADDING, _NODE_GAP = 25.0, 10.0, (13.0, 10.0)
_HEADING_WIDTH, _MIN_WIDTH = 116.0, 560.0
_LEGEND_HEIGHT = 44.0
_WIDTHS, _OPACITIES = (0.5, 3.0), (0.2, 0.9)  # of lines, at the lowest and highest co-activation
_CROWD = 200  # more lines than that are drawn thinner and paler
_EDGE_LABEL = (12.0, 54.0)  # height and width, room around it included
_MAX_EDGE_LABELS = 24  # more of them only hide each other


def draw_graph(
    graph: ExplanatoryGraph,
    path: PathLike,
    *,
    nodes_per_layer: int | None = None,
    min_score: float | None = None,
    around: str | int | None = None,
    parents_per_node: int = 3,
) -> None:
    """Draw a graph, or a part of it, in layers with the top layer above.

    A node shows its layer, filter and part number, and the user's name for it. A line leads from a
    child up to its parent; the more often both fire together, against chance, the wider and darker
    it is. Its mean displacement (child minus parent, network pixels) is written on it in drawings
    of few lines, and always in its tooltip in SVG.

    Parameters
    ----------
    graph
        The graph.
    path
        File to write; its suffix says how: svg, pdf, png, or dot for Graphviz' own text, which
        ``neato -n2`` draws. Missing folders are made.
    nodes_per_layer, min_score, around
        Which nodes to draw: as in `explgraph.export.prune`, ``around`` being its ``family_of``.
    parents_per_node
        Lines drawn from each node: to its parents, among the nodes drawn, with the highest
        co-activation. Other edges are left out of the picture.

    Raises
    ------
    ExplGraphError
        If the suffix is unknown, the node ``around`` does not exist, or no node is left to draw.
    """
    suffix = Path(path).suffix.lower().removeprefix(".")
    if suffix not in PICTURE_FORMATS:
        valid = [f".{s}" for s in PICTURE_FORMATS]
        raise unknown_name("picture format", f".{suffix}", valid, f"Valid: {', '.join(valid)}")
    require(parents_per_node >= 0, f"parents_per_node must not be negative: {parents_per_node}")
    kept = prune(graph, nodes_per_layer=nodes_per_layer, min_score=min_score, family_of=around)
    require(len(kept) > 0, "there is nothing to draw: the graph has no nodes")
    text = dot_text(kept, strongest_parents(kept, parents_per_node), whole=graph)
    write_bytes(path, text.encode() if suffix == "dot" else render(text, suffix))


def strongest_parents(graph: ExplanatoryGraph, count: int) -> NDArray[np.int64]:
    """Return the indices of each node's ``count`` edges of highest co-activation, ascending.

    On a tie the edge with the lower index wins.
    """
    n_edges = len(graph.edge_child)
    order = np.lexsort((np.arange(n_edges), -graph.edge_coactivation, graph.edge_child))
    child = graph.edge_child[order]
    rank = np.arange(n_edges) - np.searchsorted(child, child)
    return np.sort(order[rank < count])


def render(text: str, suffix: str) -> bytes:
    """Let Graphviz render a drawing whose positions are all fixed."""
    import pygraphviz

    drawing = pygraphviz.AGraph(string=text)
    drawing.has_layout = True  # as for `neato -n2`: take the positions from the text
    if suffix == "png":
        _, _, width, height = (float(v) for v in drawing.graph_attr["bb"].split(","))
        largest = 72 * math.sqrt(_MAX_PNG_PIXELS / (width * height))
        drawing.graph_attr["dpi"] = f"{min(_PNG_DPI, largest):.1f}"
    return bytes(drawing.draw(format=suffix))


def dot_text(graph: ExplanatoryGraph, edges: NDArray[np.int64], *, whole: ExplanatoryGraph) -> str:
    """Return the drawing of a graph as DOT text with all positions fixed.

    Parameters
    ----------
    graph
        What to draw, at least one node.
    edges
        Indices of the edges to draw.
    whole
        The graph that ``graph`` is a part of, for the counts in the captions.
    """
    shown, inverse = np.unique(graph.node_layer, return_inverse=True)
    band = inverse.astype(np.int32)
    order = order_nodes(band, graph.edge_child[edges], graph.edge_parent[edges], graph.mu[:, 1])
    labels = [_Label.of(graph, node) for node in range(len(graph))]
    width = max(label.width for label in labels)
    cell = (_NODE_HEIGHT + _NODE_GAP[0], width + _NODE_GAP[1])
    layout = lay_out(band, order, Sizes(cell, _HEADING_WIDTH, _MIN_WIDTH))
    scale = _Scale.of(graph.edge_coactivation[edges])
    lines = [
        "digraph explgraph {",
        *_defaults(layout, _legend(graph, scale, len(edges), whole)),
        *_bands(graph, whole, shown, layout),
        *_nodes(graph, labels, layout),
        *_edges(graph, edges, scale, layout),
        "}",
    ]
    return "\n".join(lines) + "\n"


@dataclass(frozen=True, slots=True)
class _Scale:
    """From co-activation to the look of a line, linear between two bounds."""

    low: float
    high: float
    strength: float

    @classmethod
    def of(cls, values: NDArray[np.floating]) -> _Scale:
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
        return width, f"{color}{round(255 * opacity):02X}"


@dataclass(frozen=True, slots=True)
class _Label:
    """A node's two lines: the user's name over "layer/filter/part", or "layer/" over the rest."""

    above: str
    below: str
    is_named: bool

    @classmethod
    def of(cls, graph: ExplanatoryGraph, node: int) -> _Label:
        layer = graph.layers[graph.node_layer[node]].name
        if len(layer) > _LAYER_CHARACTERS:
            layer = "…" + layer[1 - _LAYER_CHARACTERS :]
        number = f"{graph.node_channel[node]}/{graph.node_part[node]}"
        name = " ".join(printable(graph.names.get(node, "")).split())
        if len(name) > _NAME_CHARACTERS:
            name = name[: _NAME_CHARACTERS - 1].rstrip() + "…"
        return cls(name, f"{layer}/{number}", True) if name else cls(f"{layer}/", number, False)

    @property
    def width(self) -> float:
        """Points that the node needs."""
        large, small = (self.above, self.below) if self.is_named else (self.below, self.above)
        return _NODE_PADDING + _CHARACTER * max(
            _FONT_SIZE * _columns(large), _SMALL * _columns(small)
        )

    def markup(self) -> Markup:
        above, below = escape_markup(self.above), escape_markup(self.below)
        small = f'<FONT POINT-SIZE="{_SMALL}" COLOR="{_FAINT}">{{}}</FONT>'
        if self.is_named:
            return Markup(f"<B>{above}</B><BR/>{small.format(below)}")
        return Markup(f"{small.format(above)}<BR/><B>{below}</B>")


def _columns(text: str) -> int:
    """Return how many Latin characters are as wide as ``text``: East Asian ones count twice."""
    return sum(2 if unicodedata.east_asian_width(c) in "WF" else 1 for c in text)


def _tint(color: str, share: float) -> str:
    """Mix a colour with white; ``share`` of it stays."""
    channels = (int(color[i : i + 2], 16) for i in (1, 3, 5))
    return "#" + "".join(f"{round(255 - share * (255 - c)):02X}" for c in channels)


def _defaults(layout: Layout, legend: str) -> list[str]:
    height, width = layout.size
    graph: dict[str, Value] = {
        "bb": f"0,0,{width:.1f},{height + _LEGEND_HEIGHT:.1f}",
        "outputorder": "edgesfirst",
        "splines": "line",
        "fontname": _FONT,
        "_background": legend,
    }
    node: dict[str, Value] = {
        "shape": "box",
        "style": "rounded,filled",
        "fixedsize": "shape",
        "height": _NODE_HEIGHT / 72,
        "fontname": _FONT,
        "fontsize": _FONT_SIZE,
        "fontcolor": _INK,
    }
    edge: dict[str, Value] = {
        "dir": "none",
        "fontname": _FONT,
        "fontsize": _SMALL,
        "fontcolor": _INK,
    }
    kinds = {"graph": graph, "node": node, "edge": edge}
    return [f"{kind} {attributes(values)};" for kind, values in kinds.items()]


def _legend(graph: ExplanatoryGraph, scale: _Scale, n_edges: int, whole: ExplanatoryGraph) -> str:
    """Return the drawing operations of the lines of text at the bottom, with samples of edges."""
    lines = [
        f"{len(graph):,} of {len(whole):,} nodes, {n_edges:,} of {len(whole.edge_child):,} edges. "
        "A node is layer/filter/part; its colour is its layer's.",
        "A line joins a child (below) to a parent (above); its "
        f"{'label' if n_edges <= _MAX_EDGE_LABELS else 'tooltip, in SVG,'} "
        "tells how far the child is from the parent (dy, dx; network pixels).",
    ]
    operations = [
        background_text(line, 2, y, 8, _FONT, _FAINT)
        for line, y in zip(lines, (13, 2), strict=True)
    ]
    if n_edges:
        for i, value in enumerate(np.linspace(scale.low, scale.high, 4).tolist()):
            x = 2 + 62 * i
            operations.append(background_line([(x, 27), (x + 24, 27)], *scale.look(value, _INK)))
            operations.append(background_text(f"{value:.1f}{_TIMES}", x + 28, 24.5, 8, _FONT, _INK))
        caption = "as often together as by chance (co-activation)"
        operations.append(background_text(caption, 252, 24.5, 8, _FONT, _FAINT))
    return "".join(operations)


def _bands(
    graph: ExplanatoryGraph, whole: ExplanatoryGraph, shown: NDArray[np.int32], layout: Layout
) -> Iterator[str]:
    """Yield a cluster for each layer, labelled at its left."""
    base = layout.size[0] + _LEGEND_HEIGHT
    for layer, (top, left, bottom, right) in zip(shown.tolist(), layout.bands, strict=True):
        values = {
            "bb": f"{point(left, base - bottom)},{point(right, base - top)}",
            "lp": point(left + _HEADING_WIDTH / 2, base - (top + bottom) / 2),
            "label": _heading(graph, whole, layer),
            "style": "filled",
            "color": _BAND,
        }
        members = "; ".join(
            quoted(graph.node_id(i)) for i in np.flatnonzero(graph.node_layer == layer).tolist()
        )
        yield f"subgraph cluster_{layer} {{ graph {attributes(values)}; {members}; }}"


def _heading(graph: ExplanatoryGraph, whole: ExplanatoryGraph, layer: int) -> Markup:
    spec = graph.layers[layer]
    size = int(min(_HEADING, max(_SMALL, _HEADING_WIDTH / _CHARACTER / len(spec.name))))
    counts = [int(np.sum(g.node_layer == layer)) for g in (graph, whole)]
    color = COLORS[layer % len(COLORS)]
    return Markup(
        f'<FONT POINT-SIZE="{size}" COLOR="{color}"><B>{escape_markup(spec.name)}</B></FONT>'
        '<BR/><FONT POINT-SIZE="3"> <BR/></FONT>'
        f'<FONT POINT-SIZE="8" COLOR="{_FAINT}">{spec.grid[0]}{_TIMES}{spec.grid[1]} grid, '
        f"{spec.channels:,} filters<BR/>{counts[0]:,} of {counts[1]:,} nodes</FONT>"
    )


def _nodes(graph: ExplanatoryGraph, labels: list[_Label], layout: Layout) -> Iterator[str]:
    """Yield the nodes with their scalar attributes; the layer's and user's names are shown only."""
    base = layout.size[0] + _LEGEND_HEIGHT
    for node, values in enumerate(node_attributes(graph)):
        color = COLORS[values["layer_index"] % len(COLORS)]
        identity = graph.node_id(node)
        y, x = layout.yx[node]
        tooltip = (
            f"{values['name']}\n{identity}\n".lstrip("\n")
            + f"position y {values['y']:.2f}, x {values['x']:.2f} of the photo "
            f"(± {values['spread_px']:.0f} px)\nscore {values['score']:.3g}, "
            f"fires in {values['support']:.0%} of the photos, gain {values['gain']:.3g}"
        )
        shown: dict[str, Value] = {
            "label": labels[node].markup(),
            "tooltip": escape_tooltip(tooltip),
            "pos": point(x, base - y),
            "width": labels[node].width / 72,
            "color": color,
            "fillcolor": _tint(color, 0.14),
        }
        numbers = {key: v for key, v in values.items() if key not in ("layer", "name")}
        yield f"{quoted(identity)} {attributes(shown | numbers)};"


def _edges(
    graph: ExplanatoryGraph, edges: NDArray[np.int64], scale: _Scale, layout: Layout
) -> Iterator[str]:
    """Yield the edges: curves that leave and arrive upright."""
    base = layout.size[0] + _LEGEND_HEIGHT
    curves = _curves(layout.yx[graph.edge_child[edges]], layout.yx[graph.edge_parent[edges]])
    is_labelled = len(edges) <= _MAX_EDGE_LABELS
    places = place_labels(curves, _EDGE_LABEL) if is_labelled else curves[:, 0]
    known = list(edge_attributes(graph))
    for edge, curve, (y, x) in zip(edges.tolist(), curves, places, strict=True):
        child, parent, values = graph.edge_child[edge], graph.edge_parent[edge], known[edge]
        ends = graph.node_id(child), graph.node_id(parent)
        displacement = f"{values['dy_px']:+.0f}, {values['dx_px']:+.0f} px"
        color = COLORS[graph.node_layer[child] % len(COLORS)]
        width, line_color = scale.look(values["coactivation"], color)
        shown: dict[str, Value] = {
            "tooltip": escape_tooltip(
                f"{ends[0]} → {ends[1]}\n"
                f"co-activation {values['coactivation']:.2f} {_TIMES} chance\n"
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
