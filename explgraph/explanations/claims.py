"""Photos as a graph sees them, and the cells of a layer that its nodes claim there."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from explgraph.base.arrays import F4, I4, NONE
from explgraph.base.errors import require
from explgraph.graphs.graph import ExplanatoryGraph
from explgraph.graphs.matches import Matches, check_nodes
from explgraph.networks.backbone import Backbone
from explgraph.peaks.finding import responses
from explgraph.peaks.watershed import basins, ranked_maxima
from explgraph.photos.images import open_images
from explgraph.photos.loading import iterate_batches

_BATCH = 32
# Of the peaks. The rounding of another batch may merge or reorder equal ones. Measured on birds,
# cats and zebras: none; where photos were swapped, mirrored or cropped otherwise: 14 to 27 %.
_MOST_WRONG = 0.05
_ROUNDING = 1.01


class SeenPhotos(NamedTuple):
    """B photos in the orientation in which the graph sees them.

    Attributes
    ----------
    rows
        (B,) their rows in the matches.
    tensor
        (B, 3, H_in, W_in) network inputs, mirrored where ``matches.mirrored`` says so.
    """

    rows: NDArray[np.intp]
    tensor: Tensor


class Cells(NamedTuple):
    """One layer in B photos.

    Attributes
    ----------
    response
        (B, C, H, W) max(a - m_c, 0) / s_c (Eq. 1).
    basin
        (B, C, H, W) index of the maximum that each active cell belongs to, see `basins`.
    """

    response: F4
    basin: I4


def check_same_network(graph: ExplanatoryGraph, matches: Matches, net: Backbone) -> None:
    """Check that a graph, its matches and a network belong together.

    Raises
    ------
    ExplGraphError
        If the matches have other nodes, or the network other weights or layers.
    """
    check_nodes(graph, matches)
    check_network(graph, net)


def check_network(graph: ExplanatoryGraph, net: Backbone) -> None:
    """Raise `ExplGraphError` if a network has other weights or layers than a graph's.

    A graph that does not know the weights it was mined from is believed.
    """
    ours, theirs = net.weight_hash, graph.header.get("weight_hash", net.weight_hash)
    specs = net.select([layer.name for layer in graph.layers])
    require(
        ours == theirs and specs == graph.layers and net.input_size == graph.input_size,
        f"the graph was mined from another network (model {graph.header.get('model')!r}, weights "
        f"{str(theirs)[:12]}..., input {graph.input_size}) than this one ({net.name!r}, "
        f"{ours[:12]}..., {net.input_size}): load the one it was mined from",
    )


def seen_photos(matches: Matches, net: Backbone, images: object) -> Iterator[SeenPhotos]:
    """Read the photos of some matches, batch by batch, in the order of the matches.

    Parameters
    ----------
    matches
        P nodes in N photos.
    net
        The network.
    images
        The photos, and perhaps others, in any form that `open_images` takes.

    Raises
    ------
    ExplGraphError
        If a photo is not among the images or cannot be read.
    """
    source = open_images(images).named(matches.images, of="matches")
    with iterate_batches(source, net.preprocess, batch_size=_BATCH, strict=True) as batches:
        for batch in batches:
            rows = np.array(batch.indices, dtype=np.intp)
            flip = matches.mirrored[rows].astype(bool)
            tensor = batch.tensor
            tensor[flip] = tensor[flip].flip(3)
            yield SeenPhotos(rows, tensor)


def layer_cells(maps: F4, mean: F4, scale: F4) -> Cells:
    """Compute the responses and basins of (B, C, H, W) outputs of a layer.

    Parameters
    ----------
    maps
        The outputs.
    mean, scale
        (C,) m_c and s_c of the graph.
    """
    return Cells(responses(maps, mean, scale), basins(maps, mean))


def claimed_maxima(
    graph: ExplanatoryGraph,
    matches: Matches,
    rows: NDArray[np.intp],
    cells: Cells,
    nodes: NDArray[Any],
) -> I4:
    """Find the local maxima on which nodes of one layer were found.

    Parameters
    ----------
    graph, matches
        P nodes in N photos.
    rows
        (B,) some of the photos.
    cells
        The nodes' layer in these photos.
    nodes
        n nodes of that layer.

    Returns
    -------
    (B, n) indices as in ``cells.basin``; `NONE` for a node without a peak.

    Raises
    ------
    ExplGraphError
        If more than a twentieth of the peaks do not exist or are weaker than the scores on them,
        which no score can be: the matches are not of these photos.
    """
    peak, score = (a[np.ix_(rows, nodes)] for a in (matches.peak, matches.score))
    channel = graph.node_channel[nodes]
    tops = ranked_maxima(cells.basin, cells.response, channel, peak)
    maps = cells.response.reshape(*cells.response.shape[:2], -1)
    strength = maps[np.arange(len(rows))[:, None], channel, tops]
    fits = (tops != NONE) & (score <= _ROUNDING * strength)
    found = peak != NONE
    wrong, total = int(np.sum(found & ~fits)), int(found.sum())
    layer = graph.layers[graph.node_layer[nodes[0]]].name
    require(
        wrong <= max(1, _MOST_WRONG * total),
        f"{wrong} of the {total} peaks of layer {layer} on which nodes were found are missing, or "
        "weaker than the nodes' scores: the matches are of other photos, or those were read in "
        "another way (boxes, fit)",
    )
    return tops
