"""A filter's strongest response in each photo, and which of its nodes, if any, claims it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from explgraph.base.arrays import F8, NONE
from explgraph.base.errors import index_of, require
from explgraph.base.frames import mirrored_yx, to_unit
from explgraph.graphs.graph import ExplanatoryGraph
from explgraph.graphs.matches import Matches
from explgraph.peaks.structures import PeakSet


@dataclass(frozen=True, slots=True)
class StrongestPeaks:
    """The strongest peak of one filter in each of N photos, seen as the graph sees the photo.

    Attributes
    ----------
    weight
        (N,) response there; 0 where the filter has no peak.
    yx
        (N, 2) place, unit square of the photo as given.
    share
        (N, 2) place in the network's input, shares of its sides, in the graph's orientation.
    claimed_by
        (N,) the node that was found on it, of several the one with the highest score; or `NONE`.
    """

    weight: F8
    yx: F8
    share: F8
    claimed_by: NDArray[np.intp]

    def best(self, count: int) -> list[int]:
        """Return the photos, at most ``count``, with the highest responses, highest first."""
        order = np.argsort(-self.weight, kind="stable")[:count]
        return [int(photo) for photo in order if self.weight[photo] > 0]

    def share_of(self, node: int) -> float:
        """Return the share of the photos with a peak in which a node, or `NONE`, claims it."""
        has_peak = self.weight > 0
        return float(np.mean(self.claimed_by[has_peak] == node)) if has_peak.any() else 0.0


def filter_nodes(graph: ExplanatoryGraph, layer: int, channel: int) -> NDArray[np.intp]:
    """Return the nodes of a filter, part 0 first."""
    return np.flatnonzero((graph.node_layer == layer) & (graph.node_channel == channel))


def find_layer(graph: ExplanatoryGraph, layer: int | str) -> int:
    """Return the index of a layer given by name or index.

    Raises
    ------
    ExplGraphError
        If there is none, naming those that there are.
    """
    names = [spec.name for spec in graph.layers]
    return index_of("layer", layer, names, f"The graph has {', '.join(names)}")


def strongest_peaks(
    graph: ExplanatoryGraph, found: Matches, peaks: PeakSet, layer: int, channel: int
) -> StrongestPeaks:
    """Find the strongest peak of a filter in each matched photo.

    Parameters
    ----------
    graph, found
        P nodes in N photos.
    peaks
        The peaks of these photos, and perhaps of others, mirrored ones too where the graph sees a
        photo mirrored.
    layer, channel
        Indices of the layer and of its filter.

    Raises
    ------
    ExplGraphError
        If the peaks are not of the graph's layers, or lack a photo or its mirrored peaks.
    """
    rows = _rows(graph, found, peaks)
    flip = np.zeros(len(peaks), dtype=bool)
    flip[rows] = found.mirrored
    seen = peaks.oriented_layer(layer, flip)
    weight = seen.weight[rows, channel, 0].astype(np.float64)  # weights fall along K
    pixels = seen.yx[rows, channel, 0].astype(np.float64)
    size = np.array(peaks.input_size, dtype=np.float64)
    share = pixels / size
    given = mirrored_yx(pixels, found.mirrored, peaks.input_size[1])
    return StrongestPeaks(
        weight=weight,
        yx=to_unit(peaks.frames[rows], given),
        share=share,
        claimed_by=_claims(found, filter_nodes(graph, layer, channel)),
    )


def _rows(graph: ExplanatoryGraph, found: Matches, peaks: PeakSet) -> NDArray[np.intp]:
    """Return (N,) the matched photos' rows in the peaks."""
    require(
        peaks.layers == graph.layers and peaks.input_size == graph.input_size,
        "the peaks are of other layers or another input size than the graph's: extract them with "
        "the network that the graph was mined from, and background=graph",
    )
    row = {name: i for i, name in enumerate(peaks.images)}
    missing = [name for name in found.images if name not in row]
    require(
        not missing,
        f"{len(missing)} of the {len(found)} matched photos have no peaks, the first is "
        f"{missing[:1]}: extract the peaks of the photos that were matched",
    )
    require(
        peaks.mirrored is not None or not found.mirrored.any(),
        "the graph sees some of the photos mirrored, but there are no mirrored peaks: extract them "
        "with mirror=True",
    )
    return np.array([row[name] for name in found.images], dtype=np.intp)


def _claims(found: Matches, nodes: NDArray[np.intp]) -> NDArray[np.intp]:
    if len(nodes) == 0:
        return np.full(len(found), NONE, dtype=np.intp)
    score = np.where(found.peak[:, nodes] == 0, found.score[:, nodes], 0)
    return np.where(score.max(axis=1) > 0, nodes[score.argmax(axis=1)], NONE)
