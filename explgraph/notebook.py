"""How graphs, matches and peaks show themselves in a notebook: what they hold, in a few lines."""

from __future__ import annotations

import base64
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from . import markup

if TYPE_CHECKING:
    from .graph import ExplanatoryGraph
    from .matches import Matches
    from .structures import PeakSet

_BEST, _NAMED = 6, 3  # nodes drawn of each layer, photos named
_PICTURE = 620  # pixels


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
    size = f"{graph.input_size[0]} x {graph.input_size[1]}"
    return markup.shown(
        "Explanatory graph",
        f"{len(graph):,} nodes, {len(graph.edge_child):,} edges; network "
        f"{graph.header.get('model', 'unknown')}, input {size} px",
        markup.table(head, rows[::-1]),
        _drawing(graph) if len(graph) else "",
    )


def _drawing(graph: ExplanatoryGraph) -> str:
    from .drawing import draw_graph

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "graph.svg"
        draw_graph(graph, path, nodes_per_layer=_BEST, parents_per_node=2)
        code = base64.b64encode(path.read_bytes()).decode()
    alternative = f"Drawing of the {_BEST} best nodes of each layer and the edges between them"
    return markup.picture(f"data:image/svg+xml;base64,{code}", alternative, _PICTURE)


def matches_html(matches: Matches) -> str:
    """Return in how many photos the nodes of each layer were found, and how strongly."""
    rows = []
    for layer in np.unique(matches.node_layer)[::-1].tolist():
        score = matches.score[:, matches.node_layer == layer]
        found = f"{(score > 0).mean():.0%}" if score.size else "-"
        rows.append((layer, score.shape[1], found, float(score.mean()) if score.size else 0.0))
    return markup.shown(
        "Matches",
        f"{_count(len(matches.node_layer), 'node')} in {_photos(matches.images)}, "
        f"{int(matches.mirrored.sum()):,} of them seen mirrored",
        markup.table(("layer", "nodes", "with a peak", "mean score"), rows, text=0),
    )


def peaks_html(peaks: PeakSet) -> str:
    """Return how many peaks the filters of each layer have."""
    rows = [
        (
            one.layer.name,
            f"{one.layer.grid[0]} x {one.layer.grid[1]}",
            one.layer.channels,
            float((one.weight > 0).sum(axis=2).mean()) if one.weight.size else 0.0,
            f"{(one.weight[..., 0] > 0).mean():.0%}" if one.weight.size else "-",
        )
        for one in reversed(peaks.peaks)
    ]
    head = ("layer", "grid", "filters", "peaks of a map", "maps that fire")
    ways = "photos and their mirror images" if peaks.mirrored is not None else "photos as given"
    return markup.shown(
        "Activation peaks", f"{_photos(peaks.images)}; {ways}", markup.table(head, rows)
    )


def _photos(images: tuple[str, ...]) -> str:
    names = ", ".join(images[:_NAMED]) + (", ..." if len(images) > _NAMED else "")
    return f"{_count(len(images), 'photo')} ({names})" if images else "no photos"


def _count(number: int, noun: str) -> str:
    return f"{number:,} {noun}{'' if number == 1 else 's'}"
