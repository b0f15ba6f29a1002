"""Photos as a graph sees them, and the cells of a layer that its nodes claim there."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from explgraph.base.arrays import F4, F8, I4, I8, NONE
from explgraph.base.errors import require
from explgraph.base.layer import LayerSpec
from explgraph.base.progress import Progress
from explgraph.graphs.graph import ExplanatoryGraph
from explgraph.graphs.matches import Matches, check_nodes
from explgraph.networks.backbone import Backbone
from explgraph.networks.intervention import Gradients
from explgraph.peaks.finding import responses
from explgraph.peaks.watershed import basins, ranked_maxima
from explgraph.photos.images import open_images
from explgraph.photos.loading import iterate_batches

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
        (B, C_in, H_in, W_in) network inputs, mirrored where ``matches.mirrored`` says so.
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


Mask = NDArray[np.bool_]
"""(C * H * W,) some cells of a layer, filter by filter and row by row."""


class SeenLayer(NamedTuple):
    """A layer of a graph in one photo.

    Attributes
    ----------
    number, spec
        Which layer of the graph it is.
    maps
        (C, H, W) the layer's output, float32 on the CPU.
    mean
        (C, 1, 1) m_c: where a filter's output is this, its response is 0.
    first_order
        (C * H * W,) gradient of the class's logit times the output above m_c; 0 where no class is
        asked about.
    peak
        (C * H * W,) place of the maximum that each active cell belongs to; `NONE` for the others.
    nodes
        (p,) the layer's nodes that were found in the photo.
    tops
        (p,) the places of the maxima on which they were found; several may share one.
    """

    number: int
    spec: LayerSpec
    maps: Tensor
    mean: Tensor
    first_order: F8
    peak: I8
    nodes: I8
    tops: I8

    @property
    def peaks(self) -> I8:
        """(k,) the places of the maxima that nodes claim, each once."""
        return np.unique(self.tops)

    def cells(self, peaks: I8) -> Mask:
        """Return the cells that belong to any of some maxima."""
        chosen = np.zeros(len(self.peak) + 1, dtype=bool)  # the last: NONE
        chosen[peaks] = True
        return chosen[self.peak]

    def excess(self, cells: I8) -> F8:
        """Return the output above m_c at some cells, by their places."""
        mean = self.mean.flatten()[cells // self.maps[0].numel()]
        return np.asarray((self.maps.flatten()[cells].double() - mean.double()).numpy())

    def estimates(self, peaks: I8) -> F8:
        """Return (k,) the drop of the logit to first order if a maximum's cells were removed."""
        active = self.peak != NONE
        sums = np.bincount(self.peak[active], self.first_order[active], len(self.peak))
        return np.asarray(sums[peaks], dtype=np.float64)


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


def seen_photos(
    matches: Matches, net: Backbone, images: object, *, progress: Progress = True
) -> Iterator[SeenPhotos]:
    """Read the photos of some matches, batch by batch, in the order of the matches.

    Parameters
    ----------
    matches
        P nodes in N photos.
    net
        The network.
    images
        The photos, and perhaps others, in any form that `open_images` takes.
    progress
        As for `iterate_batches`.

    Raises
    ------
    ExplGraphError
        If a photo is not among the images or cannot be read.
    """
    source = open_images(images).named(matches.images, of="matches")
    size = net.batch_size()
    with iterate_batches(
        source, net.preprocess, batch_size=size, strict=True, progress=progress
    ) as batches:
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


def seen_layers(
    graph: ExplanatoryGraph,
    matches: Matches,
    rows: NDArray[np.intp],
    seen: Gradients | Mapping[str, Tensor],
    index: int,
) -> Iterator[SeenLayer]:
    """Yield a layer of a graph in each of B photos.

    Parameters
    ----------
    graph, matches
        P nodes in N photos.
    rows
        (B,) some of the photos.
    seen
        The network's outputs on them, by layer, and perhaps their gradients.
    index
        Of the layer.

    Raises
    ------
    ExplGraphError
        As `claimed_maxima`.
    """
    spec, mean = (
        graph.layers[index],
        torch.tensor(graph.channel_mean[index], device="cpu")[:, None, None],
    )
    maps = (seen.maps if isinstance(seen, Gradients) else seen)[spec.name].cpu()
    cells = layer_cells(maps.numpy(), graph.channel_mean[index], graph.channel_scale[index])
    nodes = np.flatnonzero(graph.node_layer == index)
    tops = np.empty((len(rows), 0), dtype=np.int32)
    if len(nodes):
        tops = claimed_maxima(graph, matches, rows, cells, nodes)
    first_order = np.broadcast_to(np.float64(0), (len(maps), maps[0].numel()))
    if isinstance(seen, Gradients):
        gradients = seen.gradients[spec.name].cpu().double()
        first_order = (gradients * (maps.double() - mean.double())).flatten(1).numpy()
    first = np.prod(spec.grid) * np.arange(spec.channels)  # cell of each filter's map
    for i, basin in enumerate(cells.basin):
        exists = tops[i] != NONE
        yield SeenLayer(
            number=index,
            spec=spec,
            maps=maps[i],
            mean=mean,
            first_order=first_order[i],
            peak=np.where(basin == NONE, NONE, basin + first[:, None, None]).ravel(),
            nodes=nodes[exists],
            tops=(tops[i] + first[graph.node_channel[nodes]])[exists],
        )


def without_cells(maps: Tensor, mean: Tensor, masks: NDArray[np.bool_]) -> Tensor:
    """Return (V, C, H, W): an output (C, H, W) with the cells of each of V masks at m_c (C, 1, 1).

    There the response is 0.
    """
    return torch.where(torch.from_numpy(masks).reshape(-1, *maps.shape), mean, maps)
