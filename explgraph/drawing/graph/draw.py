"""Pictures of a graph in our own layout, written as DOT text and rendered by Graphviz."""

from __future__ import annotations

from contextlib import nullcontext
from typing import Literal, Unpack, get_args

from explgraph.base.errors import require, unknown_name
from explgraph.base.files import PathLike
from explgraph.drawing.rendering import Drawing, picture_format, render
from explgraph.drawing.thumbnails import open_thumbnails
from explgraph.graphs.choice import NodeChoice, choose, strongest_parents
from explgraph.graphs.graph import ExplanatoryGraph
from explgraph.graphs.matches import Matches

from .layers import layers_text
from .places import places_text

Arrangement = Literal["layers", "places"]
"""How a graph is drawn: in layers with edges, or each layer's nodes where they lie in the photo."""


def draw_graph(
    graph: ExplanatoryGraph,
    path: PathLike | None = None,
    *,
    thumbnails: bool = False,
    found: Matches | None = None,
    images: object = None,
    arrangement: Arrangement = "layers",
    parents_per_node: int = 3,
    **choice: Unpack[NodeChoice],
) -> Drawing:
    """Draw a graph, or a part of it: in layers, or each layer's nodes where they lie in the photo.

    A node shows its layer, filter and part number, and the user's name for it; with ``thumbnails``
    it is the patch of the photo in which it scores best, in the graph's own orientation, framed in
    its layer's colour. All pictures are in the file that is written.

    In layers, with the top layer above, a line leads from a child up to its parent in the colour of
    the child's layer; the more often both fire together, against chance, the wider and darker it
    is. Its mean displacement (child minus parent, network pixels) is written on it in drawings
    of few lines, and always in its tooltip in SVG. By places, every layer has a panel: the
    network's input with each node at its mean place, and a circle of its spread's radius. Labels
    and pictures that would lie on each other are moved aside, with a line to the place, those of
    lower rank first; if there is no room, a dot remains.

    Parameters
    ----------
    graph
        The graph.
    path
        File to write; its suffix says how: svg, pdf, png, or dot for Graphviz' own text, which
        ``neato -n2`` draws and which holds no thumbnails. Missing folders are made.
        None: no file; the drawing is SVG.
    thumbnails
        Show the nodes as pictures, from ``found`` and ``images``.
    found
        Where the graph's nodes are in N photos, for thumbnails.
    images
        The photos that ``found`` names, and perhaps others, in any form that `open_images` takes.
        Each is loaded once at most.
    arrangement
        "layers" or "places".
    parents_per_node
        Lines drawn from each node in layers: to its parents, among the nodes drawn, with the
        highest co-activation. Other edges are left out of the picture.
    **choice
        ``nodes``, ``nodes_per_layer``, ``min_score``, ``around``: which nodes to draw, see
        `explgraph.graphs.choice.NodeChoice`.

    Returns
    -------
    The drawing, which a notebook shows.

    Raises
    ------
    ExplGraphError
        If the suffix or the arrangement is unknown, the node ``around`` does not exist, no node is
        left to draw, or thumbnails are asked for without matches and photos of this graph.
    """
    suffix = picture_format(path, thumbnails=thumbnails)
    if arrangement not in get_args(Arrangement):
        raise unknown_name("arrangement", arrangement, get_args(Arrangement))
    require(parents_per_node >= 0, f"parents_per_node must not be negative: {parents_per_node}")
    kept = choose(graph, **choice)
    require(len(kept) > 0, "there is nothing to draw: the graph has no nodes")
    with open_thumbnails(graph, found, images) if thumbnails else nullcontext() as tiles:
        if arrangement == "places":
            text = places_text(kept, graph, tiles)
        else:
            text = layers_text(kept, strongest_parents(kept, parents_per_node), graph, tiles)
        drawing = render(text, suffix)
    return drawing.save(path)
