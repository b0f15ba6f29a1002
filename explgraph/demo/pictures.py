"""The demo's pictures: the graph drawn, its nodes looked at, and the page to explore it."""

from __future__ import annotations

from collections import Counter

import numpy as np

from explgraph.drawing.graph.draw import Arrangement, draw_graph
from explgraph.explanations.explained import explained_maps
from explgraph.explanations.pictures.explained import draw_explained
from explgraph.galleries.galleries import draw_filter, draw_node
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
"""Nodes of each part on the contact sheet, and in each layer of the picture of the graph."""


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
    _draw_graphs(result)
    best = {node.node for nodes in result.best.values() for node in nodes}
    nodes = sorted(best, key=lambda node: (-graph.node_layer[node], node))
    draw_nodes(graph, found, unseen, out / "nodes.png", nodes=nodes)
    first = nodes[0]
    draw_node(graph, found, unseen, out / "node.png", first)
    layer, channel = int(graph.node_layer[first]), int(graph.node_channel[first])
    draw_filter(graph, found, peaks, unseen, out / "filter.png", layer, channel)
    draw_match(graph, found, unseen, out / "photo.png", 0)
    some = open_images([out / "unseen" / unseen.names[0]])
    maps = explained_maps(graph, net, some)
    draw_explained(maps, some, out / "explained.png", 0)
    write_report(
        graph,
        found,
        unseen,
        out / "report.html",
        title=f"What the demo network has learned of a {result.species}",
        peaks=peaks,
        annotations=annotations,
    )


def _draw_graphs(result: DemoResult) -> None:
    """Draw the best nodes of each part: by name, and as what they look like."""
    graph, nodes = result.graph, _nodes_of_each_part(result.graph)
    unseen = open_images(result.out / "unseen")
    arrangements: tuple[tuple[str, Arrangement], ...] = (
        ("thumbnails", "layers"),
        ("places", "places"),
    )
    for suffix in ("svg", "png"):
        draw_graph(graph, result.out / f"graph.{suffix}", nodes=nodes)
        for name, arrangement in arrangements:
            draw_graph(
                graph,
                result.out / f"{name}.{suffix}",
                thumbnails=True,
                found=result.matches,
                images=unseen,
                arrangement=arrangement,
                nodes=nodes,
            )


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
