"""Galleries: what a node sees in the photos in which it scores best, and what a filter mixes."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from PIL import Image

from explgraph.base.errors import require
from explgraph.base.files import PathLike
from explgraph.drawing.patches import best_photos
from explgraph.drawing.pictures import check_picture_name, save_picture
from explgraph.graphs.choice import find_node
from explgraph.graphs.graph import ExplanatoryGraph
from explgraph.graphs.matches import Matches, check_nodes
from explgraph.peaks.structures import PeakSet
from explgraph.photos.images import ImageSource, open_images

from .filter_page import TILE as FILTER_TILE
from .filter_page import FilterPage, filter_rows
from .node_page import TILE as NODE_TILE
from .node_page import NodePage
from .strongest import filter_nodes, find_layer, strongest_peaks
from .tiles import Place, Tile, cut_tiles, field_note

_ORDER_NOTE = (
    "Below, the photos in which it scores best. The number is its score: the response there, in "
    "standard deviations of the filter, times how sure it is that the response is this node's."
)


def draw_node(
    graph: ExplanatoryGraph,
    found: Matches,
    images: object,
    path: PathLike | None = None,
    node: int | str | None = None,
    *,
    patches: int = 24,
) -> Image.Image:
    """Draw what a node sees in the photos in which it scores best, and what is known of it.

    Each photo is cut to the receptive field of the node's layer around the node's place. Fields of
    less than a quarter of the photo's sides are shown with what is around them and have a frame;
    where a field is larger than the photo, the whole photo is shown. Photos that the graph sees
    mirrored are mirrored.

    Parameters
    ----------
    graph
        The graph.
    found
        Where its P nodes are in N photos.
    images
        The photos that ``found`` names, and perhaps others, in any form that `open_images` takes.
        Each is loaded once at most.
    path
        File to write, .png or .jpg; None: none.
    node
        Index, id ``layer/filter/part``, or the name that you gave it. None: the best one, the first
        of `ExplanatoryGraph.ranking`.
    patches
        Photos shown, highest score first (on a tie the first photo first). Photos without a peak of
        the node (score 0) are not shown.

    Returns
    -------
    The picture, which a notebook shows.

    Raises
    ------
    ExplGraphError
        If graph, matches and photos do not belong together, or the node does not exist.
    """
    check_picture_name(path)
    require(patches >= 1, f"patches must be at least 1, got {patches}")
    check_nodes(graph, found)
    require(len(graph) > 0, "there is nothing to draw: the graph has no nodes")
    index = int(graph.ranking()[0]) if node is None else find_node(graph, node)
    photos = best_photos(found, index, patches)
    tiles = node_tiles(graph, found, open_images(images), index, photos)
    layer = graph.layers[graph.node_layer[index]]
    notes = [_ORDER_NOTE, field_note(layer, graph.input_size, tiles)] if tiles else []
    page = NodePage(graph, found, index, len(tiles), " ".join(notes))
    for photo, tile in zip(photos, tiles, strict=True):
        page.add(tile, float(found.score[photo, index]), found.images[photo])
    return save_picture(page.canvas.image, path)


node_gallery = draw_node
"""Old name of `draw_node`."""


def node_tiles(
    graph: ExplanatoryGraph, found: Matches, source: ImageSource, node: int, photos: Sequence[int]
) -> list[Tile]:
    """Cut what a node sees out of some of the matched photos; for the arguments see above."""
    layer = graph.layers[graph.node_layer[node]]
    places = [Place(photo, found.yx[photo, node].astype(np.float64)) for photo in photos]
    return cut_tiles(layer, graph.input_size, found, source, places, NODE_TILE)


def draw_filter(
    graph: ExplanatoryGraph,
    found: Matches,
    peaks: PeakSet,
    images: object,
    path: PathLike | None = None,
    layer: int | str | None = None,
    channel: int | None = None,
    *,
    patches: int = 8,
) -> Image.Image:
    """Draw the parts that a filter mixes: its nodes side by side, against its raw peaks.

    The first row has the photos in which the filter's strongest peak is highest, wherever it is; a
    badge tells which node claims that peak. Below, each node of the filter has a row of the photos
    in which it scores best. What a tile shows is as in `draw_node`.

    Parameters
    ----------
    graph
        The graph.
    found
        Where its P nodes are in N photos.
    peaks
        The peaks of these photos: ``extract(net, images, background=graph)``.
    images
        The photos that ``found`` names, and perhaps others, in any form that `open_images` takes.
    path
        File to write, .png or .jpg; None: none.
    layer
        Name of the layer, or its index in the graph. None: that of the best node.
    channel
        The filter; one without nodes shows its raw peaks. None: that of the layer's best node.
    patches
        Photos in a row, at most.

    Returns
    -------
    The picture, which a notebook shows.

    Raises
    ------
    ExplGraphError
        If graph, matches, peaks and photos do not belong together, or there is no such filter.
    """
    check_picture_name(path)
    require(patches >= 1, f"patches must be at least 1, got {patches}")
    check_nodes(graph, found)
    index, channel = _filter(graph, layer, channel)
    spec = graph.layers[index]
    require(
        0 <= channel < spec.channels,
        f"filter {channel} does not exist: {spec.name} has 0 to {spec.channels - 1}",
    )
    strongest = strongest_peaks(graph, found, peaks, index, channel)
    rows = filter_rows(
        graph, found, strongest, filter_nodes(graph, index, channel).tolist(), patches
    )
    places = [place for row in rows for place in row.places]
    source = open_images(images)
    tiles = cut_tiles(spec, graph.input_size, found, source, places, FILTER_TILE)
    page = FilterPage(graph, strongest, rows, field_note(spec, graph.input_size, tiles))
    page.add_heading(index, channel)
    start = 0
    for row in rows:
        page.add(row, tiles[start : start + len(row.places)], found)
        start += len(row.places)
    return save_picture(page.canvas.image, path)


filter_gallery = draw_filter
"""Old name of `draw_filter`."""


def _filter(
    graph: ExplanatoryGraph, layer: int | str | None, channel: int | None
) -> tuple[int, int]:
    """Return the layer and channel named; what is not named is that of the best node."""
    require(layer is not None or channel is None, "name the layer of the filter, too")
    nodes = graph.ranking()
    if layer is not None:
        index = find_layer(graph, layer)
        if channel is not None:
            return index, channel
        nodes = nodes[graph.node_layer[nodes] == index]
    require(len(nodes) > 0, "no node says which filter is worth drawing: name one")
    return int(graph.node_layer[nodes[0]]), int(graph.node_channel[nodes[0]])
