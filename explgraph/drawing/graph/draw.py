"""Pictures of a graph in our own layout, written as DOT text and rendered by Graphviz."""

from __future__ import annotations

from contextlib import nullcontext
from typing import Literal, Unpack, cast, get_args

import numpy as np

from explgraph.base.arrays import NONE
from explgraph.base.errors import check_options, require, unknown_name
from explgraph.base.files import PathLike
from explgraph.drawing.rendering import Drawing, picture_format, render
from explgraph.drawing.thumbnails import open_thumbnails
from explgraph.graphs.attributes import MOVES_WITH, EdgeKind
from explgraph.graphs.choice import NodeChoice, choose, groups_of
from explgraph.graphs.graph import ExplanatoryGraph
from explgraph.graphs.matches import Matches

from .group_lines import Cells, group_lines
from .groups import groups_text
from .layers import layers_text
from .lines import lines_of
from .places import places_text

Arrangement = Literal["layers", "places"]
"""How a graph is drawn: in layers with edges, or each layer's nodes where they lie in the photo."""

Level = Literal["groups", "nodes"]
"""What is drawn of a graph: its part groups, or its nodes."""

MOST_NODES = 60
"""More nodes than that are drawn as groups, unless `draw_graph` is told otherwise."""


class GraphView(NodeChoice, total=False):
    """What to draw of a graph, and how; every entry may be left out.

    Attributes
    ----------
    level
        "groups" or "nodes". None: groups, where the graph has part groups and more than 60 nodes
        would be drawn in layers; else nodes.
    arrangement
        "layers" (default) or "places" of the nodes; groups are in layers.
    parents_per_node
        Lines drawn from each node in layers, 3 by default: to the parents, among the nodes drawn,
        that it moves with most steadily; with edges "is made of" lines to each node, from those
        that carry most of its response, or inhibit it more. Likewise lines from or to each cell of
        the graph of groups, those of at least 15 % of all that it has.
    edges
        "moves with" (default), or "is made of", which graphs know by `edge_effects`.
    nodes, around, min_score, nodes_per_layer
        Which nodes: see `explgraph.graphs.choice.NodeChoice`.
    """

    level: Level | None
    arrangement: Arrangement
    parents_per_node: int
    edges: EdgeKind


def draw_graph(
    graph: ExplanatoryGraph,
    path: PathLike | None = None,
    *,
    thumbnails: bool = False,
    found: Matches | None = None,
    images: object = None,
    **view: Unpack[GraphView],
) -> Drawing:
    """Draw a graph, or a part of it: its part groups, or its nodes, in layers or where they lie.

    The graph of groups has a row for each layer, the top layer above, and a column for each part
    group, in their order; a cell has the number of the group's nodes in that layer, and with
    ``thumbnails`` the best of them by group gain. A line is all edges from the nodes of one cell to
    those of another; the more they are, or the more of the response they carry, the wider it is.

    A node shows its layer, filter and part number, and the user's name for it; with ``thumbnails``
    it is the patch of the photo in which it scores best, in the graph's own orientation, framed in
    its layer's colour. All pictures are in the file that is written.

    In layers, with the top layer above, a line leads from a child up to its parent in the colour of
    the child's layer; the steadier the child keeps its place to the parent, the wider and darker it
    is. Its mean displacement (child minus parent, network pixels) is written on it in drawings
    of few lines, and always in its tooltip in SVG. With ``edges="is made of"`` the width is how
    much of the parent's response the child's cells carry, written in per cent; where they inhibit
    it, the line is dashed. By places, every layer has a panel: the
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
    **view
        ``level``, ``arrangement``, ``edges``, ``parents_per_node``, and which nodes to draw:
        ``nodes``, ``nodes_per_layer``, ``min_score``, ``around``: see `GraphView`.

    Returns
    -------
    The drawing, which a notebook shows.

    Raises
    ------
    ExplGraphError
        If the suffix, the level, the arrangement or the edges are unknown, there are no groups or
        no effects to draw, the node ``around`` does not exist, no node is left to draw, or
        thumbnails are asked for without matches and photos of this graph.
    """
    check_options("draw_graph", view, GraphView)
    suffix = picture_format(path, thumbnails=thumbnails)
    arrangement, parents = view.get("arrangement", "layers"), view.get("parents_per_node", 3)
    if arrangement not in get_args(Arrangement):
        raise unknown_name("arrangement", arrangement, get_args(Arrangement))
    require(parents >= 0, f"parents_per_node must not be negative: {parents}")
    kept = choose(graph, **node_choice(view))
    require(len(kept) > 0, "there is nothing to draw: the graph has no nodes")
    level = _level(kept, view.get("level"), arrangement)
    edges = view.get("edges", MOVES_WITH)
    with open_thumbnails(graph, found, images) if thumbnails else nullcontext() as tiles:
        if level == "groups":
            cells = Cells.of(kept)
            sums = group_lines(kept, cells, edges, parents)
            text = groups_text(kept, cells, sums, graph, tiles)
        elif arrangement == "places":
            text = places_text(kept, graph, tiles)
        else:
            text = layers_text(kept, lines_of(kept, edges, parents), graph, tiles)
        drawing = render(text, suffix)
    return drawing.save(path)


def node_choice(view: GraphView) -> NodeChoice:
    """Return which nodes a view asks for, without how they are drawn."""
    how = ("level", "arrangement", "parents_per_node", "edges")
    return cast("NodeChoice", {key: value for key, value in view.items() if key not in how})


def _level(graph: ExplanatoryGraph, level: Level | None, arrangement: Arrangement) -> Level:
    """Return what to draw of the nodes that were chosen."""
    if level is None:
        has_groups = graph.groups is not None and bool(np.any(graph.groups.node_group != NONE))
        many = len(graph) > MOST_NODES and arrangement == "layers"
        return "groups" if has_groups and many else "nodes"
    if level not in get_args(Level):
        raise unknown_name("level", level, get_args(Level))
    if level == "groups":
        require(arrangement == "layers", 'level="groups" has no places: leave arrangement out')
        inside = groups_of(graph).node_group != NONE
        require(bool(inside.any()), "there is nothing to draw: no node drawn is in a part group")
    return level
