"""How graphs and matches show themselves in a notebook: what they hold, in a few lines."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from explgraph.base import markup
from explgraph.base.text import counted, cut_beginning, photos_named

from .choice import choose, steadiest_parents

if TYPE_CHECKING:
    from .graph import ExplanatoryGraph
    from .matches import Matches


_BEST, _LINES = 6, 2  # nodes drawn of each layer, lines up from each
_SIDE, _GAP, _HEADING = 150, 24, 20  # pixels of a layer's panel, between two, above
_NAME = 24  # characters of a layer's name
_LINE, _NODE = "#0072B2", "#D55E00"


def graph_html(graph: ExplanatoryGraph) -> str:
    """Return a graph's counts by layer, and a picture of its best nodes."""
    n_layers = len(graph.layers)
    nodes = np.bincount(graph.node_layer, minlength=n_layers).tolist()
    edges = np.bincount(graph.node_layer[graph.edge_child], minlength=n_layers).tolist()
    rows = [
        (
            layer.name,
            f"{layer.grid[0]} x {layer.grid[1]}",
            layer.channels,
            len(np.unique(graph.node_channel[graph.node_layer == i])),
            nodes[i],
            edges[i],
        )
        for i, layer in enumerate(graph.layers)
    ]
    head = ("layer", "grid", "filters", "with nodes", "nodes", "edges up")
    told = [(doubt.kind, doubt.sentence) for doubt in graph.doubts]
    doubts = [markup.html_table(("to doubt", ""), told, text=2)] if told else []
    groups = [] if graph.groups is None else [graph.groups.html_table()]
    size = f"{graph.input_size[0]} x {graph.input_size[1]}"
    return markup.shown(
        "Explanatory graph",
        f"{len(graph):,} nodes, {len(graph.edge_child):,} edges; network "
        f"{graph.header.get('model', 'unknown')}, input {size} px",
        *doubts,
        *groups,
        markup.html_table(head, rows[::-1]),
        _drawing(graph) if len(graph) else "",
    )


def _drawing(graph: ExplanatoryGraph) -> str:
    """Return each layer's best nodes where they lie in the photo, and lines to their parents."""
    kept = choose(graph, nodes_per_layer=_BEST)
    scale = _SIDE / max(graph.input_size)
    height, width = (side * scale for side in graph.input_size)
    shift = np.stack([np.full(len(kept), _HEADING), kept.node_layer * (width + _GAP)], axis=1)
    y, x = (kept.mu * scale + shift).T
    marks = []
    for i, layer in enumerate(graph.layers):
        left = i * (width + _GAP)
        marks.append(
            f'<text x="{left:.1f}" y="{_HEADING - 6}" fill="{markup.INK}" font-family="sans-serif" '
            f'font-size="11">{markup.escaped(cut_beginning(layer.name, _NAME))}</text>'
            f'<rect x="{left + 0.5:.1f}" y="{_HEADING + 0.5}" width="{width - 1:.1f}" '
            f'height="{height - 1:.1f}" fill="{markup.PAPER}" stroke="{markup.FAINT}"/>'
        )
    for edge in steadiest_parents(kept, _LINES):
        child, parent = kept.edge_child[edge], kept.edge_parent[edge]
        marks.append(
            f'<line x1="{x[child]:.1f}" y1="{y[child]:.1f}" x2="{x[parent]:.1f}" '
            f'y2="{y[parent]:.1f}" stroke="{_LINE}" stroke-opacity=".5"/>'
        )
    for node in range(len(kept)):
        marks.append(
            f'<circle cx="{x[node]:.1f}" cy="{y[node]:.1f}" r="4" fill="{_NODE}">'
            f"<title>{markup.escaped(kept.names.get(node) or kept.node_id(node))}</title></circle>"
        )
    return markup.drawing(
        marks,
        (len(graph.layers) * (width + _GAP) - _GAP, height + _HEADING),
        f"The {_BEST} best nodes of each layer where they lie in the photo, lowest layer on the "
        "left, and lines to their parents",
    )


def matches_html(matches: Matches) -> str:
    """Return in how many photos the nodes of each layer were found, and how strongly."""
    rows = []
    for layer in np.unique(matches.node_layer)[::-1].tolist():
        score = matches.score[:, matches.node_layer == layer]
        found = f"{(score > 0).mean():.0%}" if score.size else "-"
        rows.append((layer, score.shape[1], found, float(score.mean()) if score.size else 0.0))
    return markup.shown(
        "Matches",
        f"{counted(len(matches.node_layer), 'node')} in {photos_named(matches.images)}, "
        f"{int(matches.mirrored.sum()):,} of them seen mirrored",
        markup.html_table(("layer", "nodes", "with a peak", "mean score"), rows, text=0),
    )
