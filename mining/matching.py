"""A mined graph on new photos: where each node is, and which way the photo faces."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import NamedTuple

import numpy as np

from explgraph.base.arrays import F4, F8, I1, I4, I8, NONE, U1, Array, beside, namespace_of, on_host
from explgraph.base.errors import ExplGraphError, require
from explgraph.base.frames import mirrored_yx, to_unit
from explgraph.base.layer import look_layer
from explgraph.base.progress import stage
from explgraph.graphs.graph import ExplanatoryGraph
from explgraph.graphs.graph_arrays import graph_hash
from explgraph.graphs.matches import Matches, Views, odds_of_gain, odds_of_votes
from explgraph.peaks.structures import Peaks, PeakSet

from .align import facing_votes
from .config import MiningConfig
from .cpu import CpuPhotos
from .devices import photos_on
from .em import Inference, Mixture, PeakColumns
from .engine import Device, Photos
from .layers import side_variance
from .parents import Prior, plain_prior
from .pose import PoseMap, pose_shift


class Found(NamedTuple):
    """All P nodes in N photos of one orientation.

    ``yx (P, 2, N)`` network pixels, between prediction and peak, and ``peak_yx`` likewise, on the
    peak; ``score``, ``log_density``, ``peak (P, N)``; ``gain (N,)`` the log-likelihood of each
    photo's peaks over uniform noise, per unit of response.
    """

    yx: F4
    peak_yx: F4
    score: F4
    log_density: F4
    peak: I1
    gain: F8

    @classmethod
    def joined(cls, parts: Sequence[Found]) -> Found:
        """Put groups of photos together."""
        return cls(*(np.concatenate(arrays, axis=-1) for arrays in zip(*parts, strict=True)))


class LayerMatch(NamedTuple):
    """The P_l nodes of one layer in N photos, and the mixture in which they were found.

    ``layer`` its index; ``rows (P_l,)`` its nodes in the graph; ``columns`` its peaks;
    ``mixture`` and ``prior`` of its nodes; ``inference`` their peaks and scores; ``yx (P_l, 2, N)``
    where they are, network pixels. Arrays of photos are where the photos' peaks are.
    """

    layer: int
    rows: I8
    columns: PeakColumns
    mixture: Mixture
    prior: Prior
    inference: Inference
    yx: F4


def match_peaks(
    graph: ExplanatoryGraph, peaks: PeakSet, *, views: bool = False, device: Device = "cpu"
) -> Matches:
    """Find every node of a graph in photos whose peaks are given.

    What is found in a photo does not depend on the other photos, to the last bit.

    A photo with mirrored peaks is seen the way that is more probable, as given in a tie: by where
    its filters respond (Eq. 11), or, of graphs of earlier versions, by how well its peaks are
    explained both ways.

    Parameters
    ----------
    graph
        P nodes, L layers.
    peaks
        N photos, of the same L layers.
    views
        Keep what was found both ways, for `aog.fit_parts` and `aog.locate`; ``peaks`` must have
        its ``maps``.
    device
        As in `mine_peaks`. A GPU finds the same up to rounding.

    Returns
    -------
    Positions in the unit square of each photo as given.

    Raises
    ------
    ExplGraphError
        If the layers differ, maps are missing, or the device cannot be used.
    """
    require(
        peaks.layers == graph.layers and peaks.input_size == graph.input_size,
        f"the peaks are of layers {[p.layer.name for p in peaks.peaks]} at {peaks.input_size}, the "
        f"graph has {[layer.name for layer in graph.layers]} at {graph.input_size}",
    )
    with stage("matching"):
        facing, seen = _seen(graph, list(peaks.groups()) or [peaks], views, device)
        mirrored = (facing < 0).astype(np.uint8)
        chosen = _choose(seen[0], seen[-1], mirrored)
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
        frames=peaks.frames,
        views=_views(peaks, seen) if views else None,
        peak_yx=_in_photo(chosen.peak_yx, mirrored, peaks),
        facing=facing,
    )


def _seen(
    graph: ExplanatoryGraph, groups: Sequence[PeakSet], views: bool, device: Device
) -> tuple[F8, list[Found]]:
    """Return log odds of the photos as given, and what is found as given and mirrored.

    Where the graph tells which way photos face, and both views are not asked for, nodes are looked
    for in the more probable one alone.
    """

    def look(*ways: Sequence[tuple[Peaks, ...]]) -> list[Found]:
        return [find_nodes(graph, way, device) for way in ways]

    given = [group.peaks for group in groups]
    other = [group.mirrored for group in groups if group.mirrored is not None]
    if not other:
        (found,) = look(given)
        return odds_of_gain(found.gain[:, None]), [found]
    if graph.facing is None or graph.facing.size == 0:
        seen = look(given, other)
        return odds_of_gain(np.stack([found.gain for found in seen], axis=1)), seen
    weight = graph.facing
    odds = [odds_of_votes(facing_votes(weight, group)) for group in groups]
    if views:
        return np.concatenate(odds), look(given, other)
    turned = [group.oriented(own < 0) for group, own in zip(groups, odds, strict=True)]
    return np.concatenate(odds), look(turned)


def _views(peaks: PeakSet, seen: Sequence[Found]) -> Views:
    if peaks.maps is None:
        raise ExplGraphError("views need maps: extract the peaks with maps=True")
    return Views(
        layer=peaks.layers[look_layer(peaks.layers)],
        input_size=peaks.input_size,
        frames=peaks.frames,
        yx=np.stack([found.peak_yx.transpose(2, 0, 1) for found in seen], axis=1),
        score=np.stack([found.score.T for found in seen], axis=1),
        gain=np.stack([found.gain for found in seen], axis=1),
        maps=peaks.maps,
    )


def find_nodes(
    graph: ExplanatoryGraph, groups: Sequence[tuple[Peaks, ...]], device: Device = "cpu"
) -> Found:
    """Infer all nodes, layer by layer from the top down, in groups of photos of one orientation."""
    size = graph.input_size
    return Found.joined([_find_nodes(graph, photos_on(device, own, size)) for own in groups])


def find_places(graph: ExplanatoryGraph, peaks: tuple[Peaks, ...] | Photos) -> tuple[Array, Array]:
    """Return (P, 2, N) where nodes are, network pixels, and (P, N) their scores."""
    found = sorted(walk_layers(graph, peaks), key=lambda layer: layer.layer)
    xp = namespace_of(found[0].yx)
    return (
        xp.concat([layer.yx for layer in found]),
        xp.concat([layer.inference.score for layer in found]),
    )


def _find_nodes(graph: ExplanatoryGraph, photos: Photos) -> Found:
    n = len(photos)
    shape = (len(graph), n)
    yx, peak_yx = (np.zeros((len(graph), 2, n), dtype=np.float32) for _ in range(2))
    score, log_density = np.zeros(shape, dtype=np.float32), np.zeros(shape, dtype=np.float32)
    peak = np.full(shape, NONE, dtype=np.int8)
    gain, response = np.zeros(n), np.zeros(n)
    for found in walk_layers(graph, photos):
        inference, rows = found.inference, found.rows
        yx[rows], peak_yx[rows] = on_host(found.yx), on_host(inference.found)
        score[rows], peak[rows] = on_host(inference.score), on_host(inference.peak)
        log_density[rows] = on_host(inference.log_density(found.prior))
        gain += _sum_by_photo(inference.gain)
        response += _sum_by_photo(found.columns.weight)
    gain /= np.maximum(response, np.finfo(np.float64).tiny)
    return Found(yx, peak_yx, score, log_density, peak, gain)


def _sum_by_photo(values: Array) -> F8:
    """Return (N,) the sums of (..., N), one after the other.

    NumPy adds up a single photo in another order than one among others.
    """
    if not isinstance(values, np.ndarray):
        flat = values.reshape(-1, values.shape[-1]).double()
        return on_host(flat.sum(0))
    total = np.zeros(values.shape[-1])
    for each in values.reshape(-1, values.shape[-1]) if total.size else ():
        total += each
    return total


def walk_layers(graph: ExplanatoryGraph, peaks: tuple[Peaks, ...] | Photos) -> Iterator[LayerMatch]:
    """Infer the nodes of one layer after the other, from the top down.

    Parameters
    ----------
    graph
        P nodes, L layers.
    peaks
        L layers of the same photos, all in one orientation (each photo's own, if need be); or these
        on some device.

    Yields
    ------
    Each layer, once the nodes above have said where its own are to be looked for.
    """
    photos = CpuPhotos(peaks, graph.input_size) if isinstance(peaks, tuple) else peaks
    config = MiningConfig.from_json(graph.header.get("config", {}))
    pose = photos.pose(PoseMap(graph.pose_weight, graph.pose_offset))
    xp, shape = namespace_of(pose), (len(graph), 2, len(photos))
    displacement = xp.zeros(shape, dtype=xp.float32, device=pose.device)
    for index in reversed(range(len(graph.layers))):
        rows = np.flatnonzero(graph.node_layer == index)
        mixture = _mixture(graph, index, rows)
        prior = _prior(
            graph, config, rows, pose, partial(photos.predict, displacement=displacement)
        )
        columns = photos.columns(index)
        found = photos.infer(columns, mixture, prior)
        yx = found.places(config.pull)
        displacement[rows] = yx - beside(graph.mu[rows, :, None], yx)
        yield LayerMatch(index, rows, columns, mixture, prior, found, yx)


def _mixture(graph: ExplanatoryGraph, index: int, rows: I8) -> Mixture:
    counts = np.bincount(graph.node_channel[rows], minlength=graph.layers[index].channels)
    return Mixture(
        np.concatenate([[0], np.cumsum(counts)]).astype(np.int64),
        graph.mu[rows].astype(np.float64),
        graph.weight[rows].astype(np.float64),
        graph.noise[index].astype(np.float64),
    )


def _prior(
    graph: ExplanatoryGraph,
    config: MiningConfig,
    rows: I8,
    pose: Array,
    predict: Callable[..., Prior],
) -> Prior:
    """Return the prior of a layer's nodes: from their parents, or else from the photos' pose.

    ``pose (N, Q)``; ``predict`` says it from the displacements of the nodes above, which are found.
    """
    first = int(rows[0]) if len(rows) else 0
    start = np.searchsorted(graph.edge_child, np.arange(first, first + len(rows) + 1))
    parent: I4 = graph.edge_parent[start[0] : start[-1]].copy()  # writable, as in mining
    spread = config.spread_top if pose.shape[1] > 0 else config.spread_start
    node_pose = beside(graph.node_pose[rows].copy(), pose)
    alone = plain_prior(pose_shift(pose, node_pose), side_variance(spread, graph.input_size))
    if len(parent) == 0:
        return alone
    variance = side_variance(config.spread, graph.input_size)
    prior = predict(start - start[0], parent, variance=variance)
    orphan = np.diff(start) == 0  # a subgraph may have lost a node's parents
    prior.shift[orphan] = alone.shift[orphan]
    prior.half_precision[orphan] = alone.half_precision[orphan]
    return prior


def _choose(given: Found, other: Found, mirrored: U1) -> Found:
    """Take each photo the way that is explained better; photos are the last axis of all arrays."""
    flip = mirrored.astype(bool)
    return Found(*(np.where(flip, b, a) for a, b in zip(given, other, strict=True)))  # type: ignore[call-overload]


def _in_photo(yx: F4, mirrored: U1, peaks: PeakSet) -> F4:
    """Take (P, 2, N) network pixels of the chosen orientation to (N, P, 2) units of the photo."""
    pixels = yx.transpose(2, 0, 1).astype(np.float64)
    given = mirrored_yx(pixels, mirrored, peaks.input_size[1])
    return to_unit(peaks.frames, given).astype(np.float32)
