"""The parse of one photo: a graph's nodes, drawn where they are found in it."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Unpack, get_args

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from explgraph.base.arrays import F4, I8
from explgraph.base.errors import check_options, index_of, require, unknown_name
from explgraph.base.files import PathLike
from explgraph.drawing.graph.draw import Level
from explgraph.drawing.patches import load_each
from explgraph.drawing.pictures import check_picture_name, save_picture
from explgraph.graphs.choice import (
    NodeChoice,
    best_of_layers,
    find_node,
    places_in,
    shown_first,
    steadiest_parents,
)
from explgraph.graphs.graph import ExplanatoryGraph
from explgraph.graphs.matches import Matches, check_nodes, fires
from explgraph.photos.images import open_images

from .photo_groups import GroupsPage, moving_groups, shown_groups
from .photo_page import MatchPage, Parsed
from .tiles import input_places

NODES_PER_LAYER = 12
"""Nodes drawn of each layer unless another number is asked for."""

LEAST_DISTANCE = 0.05
"""Of two nodes of a layer, in sides of the network's input: nearer ones would hide each other."""


def draw_match(
    graph: ExplanatoryGraph,
    found: Matches,
    images: object,
    path: PathLike | None = None,
    photo: int | str = 0,
    *,
    level: Level | None = None,
    parents_per_node: int = 1,
    **choice: Unpack[NodeChoice],
) -> Image.Image:
    """Draw on a photo where a graph's part groups are, or its nodes with lines to their parents.

    A group is a circle at the place that its nodes agree on, with its name; the less sure they are
    than usually, the paler it is. Beneath is what lies there. Groups that hardly move are left out.

    A node has the colour and the shape of its layer; its area tells its score in this photo. Each
    layer has a smaller photo of its own beneath, with numbered nodes and their list.

    Drawn are nodes that fire in this photo (they score half of their mean or more), from the top
    layer down: of each layer the first of `ExplanatoryGraph.top`, so that every part group has
    some. In a graph without groups these are the nodes in the better half of
    `ExplanatoryGraph.ranking`, of these those with a parent among the nodes drawn, so that lines
    show, and of these the highest scores. A node within `LEAST_DISTANCE` of one of its layer that
    is drawn already is left out: else many nodes of one part would hide the other parts.

    Parameters
    ----------
    graph
        The graph.
    found
        Where its P nodes are in N photos.
    images
        The photos, in any form that `open_images` takes.
    path
        File to write, .png or .jpg; None: none.
    photo
        Name of the photo, or its index in ``found``; the first by default.
    level
        "groups" or "nodes". None: groups, where the graph has part groups, unless ``choice`` asks
        for nodes.
    parents_per_node
        Lines drawn from each node: to the parents, among the nodes drawn, that it moves with most
        steadily.
    **choice
        Which nodes, as `explgraph.graphs.choice.NodeChoice`: ``nodes``, only these;
        ``nodes_per_layer``, at most so many (12; None: all); ``min_score``, with at least this
        score in this photo; ``around``, only this node (index, id ``layer/filter/part`` or user's
        name), its ancestors and its descendants. That node is always drawn, and marked with a
        cross: without a peak, at the place predicted.

    Returns
    -------
    The picture, which a notebook shows.

    Raises
    ------
    ExplGraphError
        If graph, matches and photos do not belong together, the photo or the node does not exist,
        or no node has the score asked for.
    """
    check_options("draw_match", choice, NodeChoice)
    check_picture_name(path)
    require(parents_per_node >= 0, f"parents_per_node must not be negative: {parents_per_node}")
    check_nodes(graph, found)
    row = find_photo(found, photo)
    source = open_images(images)
    if _level(graph, level, choice) == "groups":
        groups = shown_groups(graph, found, row)
        require(len(groups) > 0, "there is nothing to draw: the graph has no part groups that move")
        ((_, loaded),) = load_each(source, [found.images[row]])
        return save_picture(GroupsPage(found, row, groups, loaded).draw(), path)
    around = choice.get("around")
    focus = None if around is None else find_node(graph, around)
    nodes = choose_nodes(graph, found, row, focus, **choice)
    drawn = graph.select(nodes)
    edges = steadiest_parents(drawn, parents_per_node)
    parsed = Parsed(
        graph=graph,
        found=found,
        photo=row,
        nodes=nodes,
        lines=np.stack([drawn.edge_child[edges], drawn.edge_parent[edges]], axis=1),
        focus=focus,
    )
    ((_, loaded),) = load_each(source, [found.images[row]])
    return save_picture(MatchPage(parsed, loaded).draw(), path)


def _level(graph: ExplanatoryGraph, level: Level | None, choice: NodeChoice) -> str:
    if level is not None:
        if level not in get_args(Level):
            raise unknown_name("level", level, get_args(Level))
        asked = [key for key, value in choice.items() if value is not None]
        fits = level == "nodes" or not asked
        require(fits, f"{asked} choose nodes: leave them out with level='groups'")
        return level
    # All nodes of each layer is a choice, too.
    chosen = any(value is not None or key == "nodes_per_layer" for key, value in choice.items())
    has_groups = graph.groups is not None and len(moving_groups(graph.groups)) > 0
    return "groups" if has_groups and not chosen else "nodes"


def find_photo(found: Matches, photo: int | str) -> int:
    """Return the row of a photo given by name or index.

    Raises
    ------
    ExplGraphError
        If there is none, naming the nearest ones.
    """
    return index_of("photo", photo, found.images, f"{len(found)} photos were matched")


def choose_nodes(
    graph: ExplanatoryGraph,
    found: Matches,
    photo: int,
    focus: int | None = None,
    **choice: Unpack[NodeChoice],
) -> NDArray[np.intp]:
    """Choose the nodes worth drawing in one photo; see `draw_match`.

    Parameters
    ----------
    graph, found
        P nodes in N photos.
    photo
        Which of them.
    focus
        Index of the node that ``choice`` calls ``around``, or None.
    **choice
        As in `draw_match`.

    Returns
    -------
    Ascending indices.
    """
    per_layer = choice.get("nodes_per_layer", NODES_PER_LAYER)
    require(
        per_layer is None or per_layer >= 1, f"nodes_per_layer must be at least 1, got {per_layer}"
    )
    score = found.score[photo]
    allowed = _asked_for(graph, focus, choice.get("nodes"))
    allowed &= _firing(graph, score, allowed, choice.get("min_score"))
    places = input_places(found.take(np.array([photo])), np.arange(len(graph)), graph.input_size)[0]
    chosen = [] if focus is None else [focus]
    has_groups = graph.groups is not None
    by_layer = shown_first(graph) if has_groups else best_of_layers(graph)
    for layer, ranked in reversed(list(enumerate(by_layer))):
        nodes = ranked if has_groups else _by_worth(graph, score, ranked, chosen)
        room = len(graph) if per_layer is None else per_layer
        room -= focus is not None and int(graph.node_layer[focus]) == layer
        for node in nodes[allowed[nodes]].tolist():
            mine = [other for other in chosen if graph.node_layer[other] == layer]
            away = np.linalg.norm(places[mine] - places[node], axis=1).min(initial=np.inf)
            if room > 0 and node != focus and away >= LEAST_DISTANCE:
                chosen.append(node)
                room -= 1
    return np.array(sorted(chosen), dtype=np.intp)


def _asked_for(
    graph: ExplanatoryGraph, focus: int | None, nodes: Iterable[str | int] | None
) -> NDArray[np.bool_]:
    """Return (P,) the nodes named, or those of a node's family."""
    if focus is not None:
        require(nodes is None, "nodes and around are two ways to choose: give one of them")
        return _family(graph, focus)
    if nodes is None:
        return np.ones(len(graph), dtype=bool)
    allowed = np.zeros(len(graph), dtype=bool)
    allowed[[find_node(graph, node) for node in nodes]] = True
    return allowed


def _firing(
    graph: ExplanatoryGraph, score: F4, allowed: NDArray[np.bool_], least: float | None
) -> NDArray[np.bool_]:
    """Return (P,) the nodes that fire, and score ``least`` at least."""
    firing = fires(score[:, None], graph.score)[:, 0]
    if least is None:
        return firing
    highest = score[allowed & firing].max(initial=0)
    require(
        highest >= least,
        f"no node fires in this photo with a score of at least {least}: the highest is "
        f"{highest:.4g}",
    )
    return firing & (score >= least)


def _by_worth(graph: ExplanatoryGraph, score: F4, nodes: I8, drawn: list[int]) -> I8:
    """Return a layer's ranked nodes, those to be drawn first first."""
    is_worse = np.arange(len(nodes)) >= (len(nodes) + 1) // 2
    has_parent = np.zeros(len(graph), dtype=bool)
    has_parent[graph.edge_child[np.isin(graph.edge_parent, drawn)]] = True
    order = np.lexsort((-score[nodes], ~has_parent[nodes], is_worse))
    return nodes[order]


def _family(graph: ExplanatoryGraph, node: int) -> NDArray[np.bool_]:
    """Return (P,) which nodes are a node, its ancestors and its descendants."""
    family = np.zeros(len(graph), dtype=bool)
    family[places_in(graph, graph.family(node))] = True
    return family
