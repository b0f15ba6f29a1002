"""The demo's pictures: the graph drawn, its nodes looked at, and the page to explore it."""

from __future__ import annotations

from collections import Counter

import numpy as np

from explgraph.drawing.graph.draw import GraphView, draw_graph
from explgraph.explanations.explained import explained_maps
from explgraph.explanations.pictures.explained import draw_explained
from explgraph.galleries.galleries import draw_filter, draw_node
from explgraph.galleries.groups import draw_groups
from explgraph.galleries.photo import draw_match
from explgraph.galleries.sheet import draw_nodes
from explgraph.graphs.graph import ExplanatoryGraph
from explgraph.networks.backbone import Backbone
from explgraph.peaks.structures import PeakSet
from explgraph.photos.annotations import Annotations
from explgraph.photos.images import open_images
from explgraph.report.writing import write_report

from .result import DemoResult

PER_PART = 2
"""Nodes of each part in each layer of the picture of nodes, and of those that follow it best."""

NODES_PER_LAYER = 6
"""Rows of each layer on the contact sheet."""


def write_pictures(
    result: DemoResult, net: Backbone, peaks: PeakSet, annotations: Annotations
) -> None:
    """Write all pictures and the report into the demo's folder.

    Parameters
    ----------
    result
        What was mined and measured.
    net
        The network.
    peaks, annotations
        Of the unseen drawings.
    """
    out, graph, found = result.out, result.graph, result.matches
    unseen = open_images(out / "unseen")
    title = f"What the demo network has learned of a {result.species}"
    if graph.groups is not None and len(graph.groups):
        draw_groups(graph, found, unseen, out / "parts_at_a_glance.png", title=title)
    _draw_graphs(result)
    draw_nodes(graph, found, unseen, out / "nodes.png", nodes_per_layer=NODES_PER_LAYER)
    draw_node(graph, found, unseen, out / "node.png")
    layer, channel = mixing_filter(graph)
    draw_filter(graph, found, peaks, unseen, out / "filter.png", layer, channel)
    draw_match(graph, found, unseen, out / "photo.png", 0)
    draw_match(graph, found, unseen, out / "photo_nodes.png", 0, level="nodes")
    some = open_images([out / "unseen" / unseen.names[0]])
    maps = explained_maps(graph, net, some)
    draw_explained(maps, some, out / "explained.png", 0)
    write_report(
        graph,
        found,
        unseen,
        out / "report.html",
        title=title,
        peaks=peaks,
        annotations=annotations,
    )


def _draw_graphs(result: DemoResult) -> None:
    """Draw the graph of part groups, and the best nodes of each part as what they look like."""
    graph, nodes = result.graph, _nodes_of_each_part(result.graph)
    unseen = open_images(result.out / "unseen")
    views: dict[str, GraphView] = {
        "graph": {},
        "thumbnails": {"level": "nodes", "nodes": nodes},
        "places": {"arrangement": "places", "nodes": nodes},
    }
    for suffix in ("svg", "png"):
        for name, view in views.items():
            path = result.out / f"{name}.{suffix}"
            found = result.matches
            draw_graph(graph, path, thumbnails=True, found=found, images=unseen, **view)


def mixing_filter(graph: ExplanatoryGraph) -> tuple[int, int]:
    """Return the layer and number of the filter whose nodes bear the most names; the best of some.

    What it mixes is what a graph takes apart.
    """
    names: dict[tuple[int, int], set[str]] = {}
    gain: dict[tuple[int, int], float] = {}
    for node in range(len(graph)):
        key = int(graph.node_layer[node]), int(graph.node_channel[node])
        names.setdefault(key, set()).update({graph.names.get(node, "")} - {""})
        gain[key] = gain.get(key, 0.0) + float(graph.gain[node])
    return max(names, key=lambda key: (len(names[key]), gain[key]))


def _nodes_of_each_part(graph: ExplanatoryGraph) -> list[int]:
    """Return the best nodes of each layer and part; no part counts as one more."""
    chosen: list[int] = []
    taken: Counter[tuple[int, str]] = Counter()
    for node in np.argsort(-graph.gain, kind="stable").tolist():
        group = (int(graph.node_layer[node]), graph.names.get(node, ""))
        if taken[group] < PER_PART:
            taken[group] += 1
            chosen.append(node)
    return chosen
