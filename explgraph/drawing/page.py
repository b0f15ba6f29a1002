"""The page that a graph is drawn on: defaults, title, background, and headings of layers."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np

from explgraph.base.text import columns, cut_beginning, one_line
from explgraph.graphs.graph import ExplanatoryGraph

from .dot import Markup, Value, attributes, background, escape_markup, quoted
from .legend import TITLE_HEIGHT, Legend, draw_title
from .look import FAINT, FONT, FONT_SIZE, HEADING, INK, NOTE, SMALL, TIMES, WIDE, layer_color
from .patches import patch_share


@dataclass(frozen=True, slots=True)
class Page:
    """A page: what is drawn lies between its title and its legend.

    Attributes
    ----------
    size
        (height, width) of what is drawn, points.
    title, note
        What it is called, and what it shows in a few words.
    legend
        What stands below.
    """

    size: tuple[float, float]
    title: str
    note: str
    legend: Legend

    @property
    def base(self) -> float:
        """Upper edge of what is drawn, measured upwards from the bottom of the page."""
        return self.size[0] + self.legend.height

    def begin(self, operations: str = "") -> list[str]:
        """Return the first lines of the DOT text; the operations belong to its background too."""
        height = self.base + TITLE_HEIGHT
        node: dict[str, Value] = {
            "shape": "box",
            "style": "rounded,filled",
            "fixedsize": "shape",
            "margin": "0",
        }
        edge: dict[str, Value] = {"dir": "none"}
        title = draw_title(self.title, self.note, height)
        return [
            f"digraph {quoted(self.title)} {{",
            *defaults((height, self.size[1]), node | lettering(FONT_SIZE), edge | lettering(SMALL)),
            background(f"{title}{operations}{self.legend.draw()}"),
        ]


def defaults(
    size: tuple[float, float], node: Mapping[str, Value], edge: Mapping[str, Value]
) -> list[str]:
    """Return what holds for a page of (height, width) points and all nodes and edges on it."""
    graph: dict[str, Value] = {
        "bb": f"0,0,{size[1]:.1f},{size[0]:.1f}",
        "outputorder": "edgesfirst",
        "splines": "line",
        "fontname": FONT,
    }
    kinds = {"graph": graph, "node": node, "edge": edge}
    return [f"{kind} {attributes(values)};" for kind, values in kinds.items()]


def lettering(size: float) -> dict[str, Value]:
    """Return the attributes of labels in type of some size, points."""
    return {"fontname": FONT, "fontsize": size, "fontcolor": INK}


def title_of(graph: ExplanatoryGraph, what: str = "Explanatory graph") -> str:
    """Return what a drawing of a graph is called."""
    model = one_line(str(graph.header.get("model") or ""))
    return f"{what} of {model}" if model else what


def layer_heading(
    graph: ExplanatoryGraph,
    whole: ExplanatoryGraph,
    layer: int,
    room: float,
    *,
    has_pictures: bool,
) -> Markup:
    """Return a layer's name and what it is, in its colour, for a room of some width (points)."""
    spec = graph.layers[layer]
    size = int(min(HEADING, max(SMALL, room / WIDE / max(columns(spec.name), 1))))
    name = escape_markup(cut_beginning(spec.name, int(room / WIDE / size)))
    counts = [int(np.sum(g.node_layer == layer)) for g in (graph, whole)]
    lines = [
        f"{spec.grid[0]}{TIMES}{spec.grid[1]} grid, {spec.channels:,} filters",
        f"{counts[0]:,} of {counts[1]:,} nodes",
    ]
    if has_pictures:
        lines.append(f"patches: {patch_share(spec, graph.input_size):.0%} of the photo")
    return Markup(
        f'<FONT POINT-SIZE="{size}" COLOR="{layer_color(layer)}"><B>{name}</B>'
        '</FONT><BR/><FONT POINT-SIZE="3"> <BR/></FONT>'
        f'<FONT POINT-SIZE="{NOTE:g}" COLOR="{FAINT}">{"<BR/>".join(lines)}</FONT>'
    )


def layer_cluster(graph: ExplanatoryGraph, layer: int, values: dict[str, Value]) -> str:
    """Return the statement that puts a layer's nodes into a cluster with some attributes."""
    members = np.flatnonzero(graph.node_layer == layer).tolist()
    return cluster(layer, map(graph.node_id, members), values)


def cluster(number: int, members: Iterable[str], values: dict[str, Value]) -> str:
    """Return the statement that puts what has these names into a cluster with some attributes."""
    named = "; ".join(map(quoted, members))
    return f"subgraph cluster_{number} {{ graph {attributes(values)}; {named}; }}"
