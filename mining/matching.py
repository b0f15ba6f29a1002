"""A mined graph on new photos: where each node is, and which way the photo faces."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from explgraph.errors import ExplGraphError, require
from explgraph.graph import ExplanatoryGraph, graph_hash
from explgraph.matches import Matches, Views
from explgraph.structures import F4, F8, I1, I4, NONE, Peaks, PeakSet, look_layer

from .config import MiningConfig
from .em import I8, Inference, Mixture, PeakColumns, infer, places
from .layers import side_variance
from .parents import Prior, plain_prior, predict
from .pose import PoseMap, pose_shift


class Found(NamedTuple):
    """All P nodes in N photos of one orientation.

    ``yx (P, N, 2)`` network pixels, between prediction and peak, and ``peak_yx`` likewise, on the
    peak; ``score``, ``log_density``, ``peak (P, N)``; ``gain (N,)`` the log-likelihood of each
    photo's peaks over uniform noise, per unit of response.
    """

    yx: F4
    peak_yx: F4
    score: F4
    log_density: F4
    peak: I1
    gain: F8


class LayerMatch(NamedTuple):
    """The P_l nodes of one layer in N photos, and the mixture in which they were found.

    ``layer`` its index; ``rows (P_l,)`` its nodes in the graph; ``columns`` its peaks;
    ``mixture`` and ``prior`` of its nodes; ``inference`` their peaks and scores; ``yx (P_l, N, 2)``
    where they are, network pixels.
    """

    layer: int
    rows: I8
    columns: PeakColumns
    mixture: Mixture
    prior: Prior
    inference: Inference
    yx: F4


def match_peaks(graph: ExplanatoryGraph, peaks: PeakSet, *, views: bool = False) -> Matches:
    """Find every node of a graph in photos whose peaks are given.

    A photo with mirrored peaks is seen the way that the graph explains better: the larger
    log-likelihood over noise per unit of response decides, the photo as given in a tie.

    Parameters
    ----------
    graph
        P nodes, L layers.
    peaks
        N photos, of the same L layers.
    views
        Keep what was found both ways, for `aog.fit_parts` and `aog.locate`; ``peaks`` must have
        its ``maps``.

    Returns
    -------
    Positions in the unit square of each photo as given.

    Raises
    ------
    ExplGraphError
        If the layers differ, or maps are missing.
    """
    require(
        peaks.layers == graph.layers and peaks.input_size == graph.input_size,
        f"the peaks are of layers {[p.layer.name for p in peaks.peaks]} at {peaks.input_size}, the "
        f"graph has {[layer.name for layer in graph.layers]} at {graph.input_size}",
    )
    chosen = find_nodes(graph, peaks.peaks)
    seen = [chosen]
    mirrored = np.zeros(len(peaks), dtype=np.uint8)
    if peaks.mirrored is not None:
        other = find_nodes(graph, peaks.mirrored)
        seen.append(other)
        mirrored = (other.gain > chosen.gain).astype(np.uint8)
        chosen = _choose(chosen, other, mirrored)
    return Matches(
        images=peaks.images,
        yx=_in_photo(chosen.yx, mirrored, peaks),
        score=chosen.score.T,
        log_density=chosen.log_density.T,
        peak=chosen.peak.T,
        mirrored=mirrored,
        node_layer=graph.node_layer,
        header={
            "model": graph.header.get("model"),
            "weight_hash": graph.header.get("weight_hash"),
            "graph_hash": graph_hash(graph),
            "skipped": peaks.header.get("skipped", []),
        },
        photo_size=peaks.photo_size,
        views=_views(peaks, seen) if views else None,
    )


def _views(peaks: PeakSet, seen: Sequence[Found]) -> Views:
    if peaks.maps is None:
        raise ExplGraphError("views need maps: extract the peaks with maps=True")
    return Views(
        layer=peaks.layers[look_layer(peaks.layers)],
        input_size=peaks.input_size,
        frames=peaks.frames,
        yx=np.stack([np.swapaxes(found.peak_yx, 0, 1) for found in seen], axis=1),
        score=np.stack([found.score.T for found in seen], axis=1),
        gain=np.stack([found.gain for found in seen], axis=1),
        maps=peaks.maps,
    )


def find_nodes(graph: ExplanatoryGraph, peaks: tuple[Peaks, ...]) -> Found:
    """Infer all nodes, layer by layer from the top down, in photos of one orientation."""
    n = len(peaks[0])
    shape = (len(graph), n)
    yx, peak_yx = (np.zeros((*shape, 2), dtype=np.float32) for _ in range(2))
    score, log_density = np.zeros(shape, dtype=np.float32), np.zeros(shape, dtype=np.float32)
    peak = np.full(shape, NONE, dtype=np.int8)
    gain, response = np.zeros(n), np.zeros(n)
    for found in walk_layers(graph, peaks):
        yx[found.rows] = found.yx
        peak_yx[found.rows] = places(*found[2:6], pull=1.0)
        score[found.rows] = found.inference.score
        log_density[found.rows] = found.inference.log_density
        peak[found.rows] = found.inference.peak
        gain += found.inference.gain.sum(axis=0)
        response += found.columns.weight.sum(axis=(0, 2), dtype=np.float64)
    gain /= np.maximum(response, np.finfo(np.float64).tiny)
    return Found(yx, peak_yx, score, log_density, peak, gain)


def walk_layers(graph: ExplanatoryGraph, peaks: tuple[Peaks, ...]) -> Iterator[LayerMatch]:
    """Infer the nodes of one layer after the other, from the top down.

    Parameters
    ----------
    graph
        P nodes, L layers.
    peaks
        L layers of the same photos, all in one orientation (each photo's own, if need be).

    Yields
    ------
    Each layer, once the nodes above have said where its own are to be looked for.
    """
    yx = np.zeros((len(graph), len(peaks[0]), 2), dtype=np.float32)
    area = float(graph.input_size[0] * graph.input_size[1])
    config = MiningConfig.from_json(graph.header.get("config", {}))
    pose = PoseMap(graph.pose_weight, graph.pose_offset)(peaks[-1], graph.input_size)
    for index in reversed(range(len(graph.layers))):
        columns = PeakColumns.of(peaks[index])
        rows = np.flatnonzero(graph.node_layer == index)
        mixture = _mixture(graph, index, rows)
        prior = _prior(graph, config, rows, pose, yx)
        found = infer(columns, mixture, prior, area)
        yx[rows] = places(columns, mixture, prior, found, config.pull)
        yield LayerMatch(index, rows, columns, mixture, prior, found, yx[rows])


def _mixture(graph: ExplanatoryGraph, index: int, rows: NDArray[np.int64]) -> Mixture:
    counts = np.bincount(graph.node_channel[rows], minlength=graph.layers[index].channels)
    return Mixture(
        np.concatenate([[0], np.cumsum(counts)]).astype(np.int64),
        graph.mu[rows].astype(np.float64),
        graph.weight[rows].astype(np.float64),
        graph.noise[index].astype(np.float64),
    )


def _prior(graph: ExplanatoryGraph, config: MiningConfig, rows: I8, pose: F4, yx: F4) -> Prior:
    """Return the prior of a layer's nodes: from their parents, or else from the photos' pose.

    ``pose (N, Q)``; ``yx (P, N, 2)`` all nodes, of which those above are found.
    """
    first = int(rows[0]) if len(rows) else 0
    start = np.searchsorted(graph.edge_child, np.arange(first, first + len(rows) + 1))
    parent: I4 = graph.edge_parent[start[0] : start[-1]].copy()  # writable, as in mining
    spread = config.spread_top if pose.shape[1] > 0 else config.spread_start
    alone = plain_prior(
        pose_shift(pose, graph.node_pose[rows]), side_variance(spread, graph.input_size)
    )
    if len(parent) == 0:
        return alone
    displacement = yx - graph.mu[:, None]
    variance = side_variance(config.spread, graph.input_size)
    prior = predict(start - start[0], parent, displacement, np.full(len(graph), variance))
    orphan = (np.diff(start) == 0)[:, None]  # a subgraph may have lost a node's parents
    return Prior(
        np.where(orphan[..., None], alone.shift, prior.shift),
        np.where(orphan, alone.var, prior.var),
        np.where(orphan, alone.kappa, prior.kappa),
    )


def _choose(given: Found, other: Found, mirrored: NDArray[np.uint8]) -> Found:
    flip = mirrored.astype(bool)
    return Found(
        np.where(flip[None, :, None], other.yx, given.yx),
        np.where(flip[None, :, None], other.peak_yx, given.peak_yx),
        np.where(flip[None], other.score, given.score),
        np.where(flip[None], other.log_density, given.log_density),
        np.where(flip[None], other.peak, given.peak),
        np.where(flip, other.gain, given.gain),
    )


def _in_photo(yx: F4, mirrored: NDArray[np.uint8], peaks: PeakSet) -> F4:
    """Take (P, N, 2) network pixels of the chosen orientation to (N, P, 2) units of the photo."""
    pixels = np.swapaxes(yx, 0, 1).astype(np.float64)
    flip = mirrored.astype(bool)
    pixels[flip, :, 1] = peaks.input_size[1] - pixels[flip, :, 1]
    frames = peaks.frames[:, None]
    return (frames[..., 0] + frames[..., 1] * pixels).astype(np.float32)
