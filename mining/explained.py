"""How much of what a network's filters say a graph explains, and by what kind of node.

Everything is counted on peaks: the strongest places of each filter in each photo, with their
response F. What other places respond is not looked at.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from explgraph.base.arrays import F4, F8, I1, I8, first_half
from explgraph.base.errors import check_shape, require
from explgraph.base.jit import jit
from explgraph.base.threads import map_ranges
from explgraph.graphs.graph import ExplanatoryGraph
from explgraph.graphs.matches import Matches, fires
from explgraph.peaks.structures import Peaks, PeakSet

from ._math import bump, height
from .matching import LayerMatch, match_peaks, walk_layers

Flags = NDArray[np.bool_]

PLACES_LIMIT = 2.0
"""A part node has fewer strong places in a photo, in the mean: its own, and seldom another."""

STRAY_LIMIT = math.sqrt(0.5)
"""A part node strays less than this: as if peaks lay about the prediction as the model says."""

_STRONG = 0.5  # of the response of the node's own peak
_LEAST_NOISE = 1e-6  # as in EM: a peak out of every node's reach keeps a finite likelihood
_BISECTIONS = 40
_FILTERS = 16  # that one thread works on


@dataclass(frozen=True, slots=True)
class Shares:
    """Who explains a response; the three add up to 1. NaN where nothing responds.

    Attributes
    ----------
    part, texture
        Share that part nodes and texture nodes explain.
    unexplained
        Share that is left to noise.
    """

    part: float
    texture: float
    unexplained: float

    @property
    def explained(self) -> float:
        """What nodes of either kind explain."""
        return self.part + self.texture


@dataclass(frozen=True, slots=True)
class ExplainedShare:
    """The explained share of the response, in L layers and in all of them together.

    Attributes
    ----------
    layers
        L shares, lowest layer first.
    overall
        Of the response of all layers.
    """

    layers: tuple[Shares, ...]
    overall: Shares


@dataclass(frozen=True, eq=False, slots=True)
class NodeKinds:
    """Which of P nodes are textures, and why; see `node_kinds`.

    Attributes
    ----------
    places
        (P,) strong places of the node's filter in a photo in which it fires; 0 if it never does.
    stray
        (P,) how far peaks lie from where the node is predicted: 0 = there, 1 = anywhere.
    texture
        (P,) whether the node is a texture; the others are parts.
    """

    places: F8
    stray: F8
    texture: Flags


def explained_share(
    graph: ExplanatoryGraph,
    peaks: PeakSet,
    *,
    texture: Flags,
    groups: Sequence[str] | None = None,
    noise_from: PeakSet | None = None,
    filters: Sequence[I8] | None = None,
    found: Matches | None = None,
) -> ExplainedShare:
    """Measure which share of the response of photos a graph explains.

    The share of a layer is sum F(x) (1 - P(noise | x)) / sum F(x) over all its peaks x, under the
    normalised mixture (Eq. 5). Its noise weight pi_0 is fitted, filter by filter, by the likelihood
    of photos that are not counted: in two halves of the photos, each under the pi_0 of the other.
    Nodes stay as they are. What is explained is divided among nodes by their responsibilities.

    A single wide node explains everything: the share means something only beside that of nodes that
    are shuffled over filters (`shuffled_filters`) and that of photos of other things.

    Parameters
    ----------
    graph
        P nodes, L layers.
    peaks
        Photos that mining has not seen. With mirrored peaks, each is taken the way that the graph
        explains better, as in matching.
    texture
        (P,) which nodes count as texture, e.g. of `node_kinds`.
    groups
        A name for each photo: photos of one group (crops of one picture) lie in one half. Default:
        each photo on its own.
    noise_from
        Fit pi_0 on these photos instead, and count all of ``peaks`` under it.
    filters
        L permutations (C,): the nodes of filter c are given the peaks of filter ``filters[l][c]``,
        and are expected where their own filters' photos say. Default: their own.
    found
        The graph's matches in these ``peaks``, where they are known: they say which photos are seen
        mirrored, and the peaks need not be matched once more.

    Returns
    -------
    `ExplainedShare`

    Raises
    ------
    ExplGraphError
        If the layers differ, ``texture``, ``groups``, ``filters`` or ``found`` do not fit, or there
        are no two groups to divide.
    """
    check_shape("texture", texture, (len(graph),))
    _check_filters(graph, filters)
    mass = np.zeros((len(graph.layers), 3))
    photos: tuple[tuple[PeakSet, Matches | None], ...]
    if noise_from is not None:
        photos = ((peaks, found), (noise_from, None))
    else:
        first = first_half(peaks.images if groups is None else groups)
        check_shape("groups", first, (len(peaks),))
        photos = tuple(
            (peaks.take(half), None if found is None else found.take(half))
            for half in (first, ~first)
        )
    layers = (_peak_odds(graph, _oriented(graph, *each), texture, filters) for each in photos)
    for one, other in zip(*layers, strict=True):
        noise = graph.noise[one.layer].astype(np.float64)
        mass[one.layer] += _masses(one, _fit_noise(other, noise))
        if noise_from is None:
            mass[one.layer] += _masses(other, _fit_noise(one, noise))
    return ExplainedShare(tuple(_shares(row) for row in mass), _shares(mass.sum(axis=0)))


def node_kinds(
    graph: ExplanatoryGraph, peaks: PeakSet, *, found: Matches | None = None
) -> NodeKinds:
    """Tell part nodes from texture nodes.

    A part node has one strong place in a photo, and lies where it is predicted. A texture node's
    filter fires at many places, of which the node happens to take the nearest. Two figures say so:

    *Stray.* Let d be the way from where the node is predicted (mu + nu, by its parents or its own
    mean) to a peak, and N = exp(-|d|^2 / (2 S^2)). The stray is the square root of
    (sum F N |d|^2 / (2 S^2)) / (sum F N) over all peaks of the node's filter in all photos, without
    competition from other nodes. By chance, where peaks lie anywhere, this is 1: the window's own
    moment. Where they are spread by sigma per axis about the prediction, it is
    sigma / sqrt(sigma^2 + S^2): 0 for a node that is always there, sqrt(1/2) for one that strays as
    much as the model allows for.

    *Places.* In a photo in which the node fires, its own peak and all peaks of its filter that
    respond at least half as strongly, but for those that are another part's: on which another node
    of the filter fires whose stray is small. The mean over these photos, weighted by score.

    A node is a part if its stray is below sqrt(1/2) and its places are below 2, and a texture
    otherwise.

    Parameters
    ----------
    graph
        P nodes.
    peaks
        Photos of the graph's category, such as those that it was mined from. With mirrored peaks,
        each is taken the way that the graph explains better.
    found
        The graph's matches in these ``peaks``, as in `explained_share`.

    Returns
    -------
    Of each node, whether it is texture, and its filter's strong places.

    Raises
    ------
    ExplGraphError
        If the layers differ, or ``found`` is of other photos.
    """
    stray, places = np.ones(len(graph)), np.zeros(len(graph))
    for layer in walk_layers(graph, _oriented(graph, peaks, found)):
        columns, start, rows = layer.columns, layer.mixture.start, layer.rows
        predicted, half_precision = layer.inference.predicted, layer.prior.half_precision
        stray[rows] = _stray(*columns, start, predicted, half_precision)
        score = layer.inference.score
        weight = np.where(fires(score, graph.score[rows]), score, 0).astype(np.float64)
        weight /= np.maximum(weight.sum(axis=1, keepdims=True), np.finfo(np.float64).tiny)
        stable = stray[rows] < STRAY_LIMIT
        places[rows] = _places(columns.weight, start, layer.inference.peak, weight, stable)
    return NodeKinds(places, stray, (stray >= STRAY_LIMIT) | (places >= PLACES_LIMIT))


def shuffled_filters(graph: ExplanatoryGraph, *, seed: int = 0) -> tuple[I8, ...]:
    """Give every filter's nodes the peaks of another filter of the layer: a control.

    Returns
    -------
    L permutations (C,) for `explained_share`. Filters that have nodes exchange peaks among
    themselves, in one cycle, so that none keeps its own unless it is the only one. Filters without
    nodes explain nothing either way and keep theirs.
    """
    result = []
    for index, layer in enumerate(graph.layers):
        rng = np.random.default_rng([seed, index])
        filters = np.arange(layer.channels)
        cycle = rng.permutation(np.unique(graph.node_channel[graph.node_layer == index]))
        filters[cycle] = np.roll(cycle, 1)
        result.append(filters)
    return tuple(result)


class _PeakOdds(NamedTuple):
    """Peaks of layer ``layer``: ``response (C, K, N)``, and ``odds (C, K, N, 2)``.

    The density of a peak's place under the part nodes and under the texture nodes of its filter,
    over that of uniform noise, before pi_0 is applied: they are sum pi_V N(p) area / (1 - pi_0).
    """

    layer: int
    response: F8
    odds: F8


def _peak_odds(
    graph: ExplanatoryGraph,
    peaks: tuple[Peaks, ...],
    texture: Flags,
    filters: Sequence[I8] | None,
) -> Iterator[_PeakOdds]:
    area = float(graph.input_size[0] * graph.input_size[1])
    for found in walk_layers(graph, peaks):
        weight, yx = found.columns
        if filters is not None:
            weight, yx = weight[filters[found.layer]], yx[filters[found.layer]]
        density = _densities(
            yx,
            found.mixture.start,
            found.inference.predicted,
            found.prior.half_precision,
            _node_shares(found),
            texture[found.rows],
        )
        yield _PeakOdds(found.layer, weight.astype(np.float64), density * area)


def _oriented(graph: ExplanatoryGraph, peaks: PeakSet, found: Matches | None) -> tuple[Peaks, ...]:
    """Return each photo's peaks the way that the graph explains better, or explained them."""
    if found is None:
        found = match_peaks(graph, peaks)
    require(
        found.images == peaks.images,
        f"the matches are of {len(found)} photos, the peaks of {len(peaks)} others or in another "
        "order: match these peaks, or leave `found` out",
    )
    return peaks.oriented(found.mirrored)


def _node_shares(found: LayerMatch) -> F8:
    """Return (P, N) pi_V / (1 - pi_0): w_V kappa_V, normalised in each filter and photo (Eq. 4)."""
    share = found.mixture.weight[:, None] * found.prior.kappa
    total = np.zeros((len(found.mixture.noise), share.shape[1]))
    np.add.at(total, found.mixture.channel, share)
    total = total[found.mixture.channel]
    return np.divide(share, total, out=np.zeros_like(share), where=total > 0)


def _fit_noise(peaks: _PeakOdds, fallback: F8) -> F8:
    """Return (C,) the pi_0 that maximises sum F log(pi_0 + (1 - pi_0) odds) in each filter.

    The sum is concave in pi_0, so its slope falls: halving the interval finds where it is zero.
    Filters without a peak keep the ``fallback``.
    """
    odds = peaks.odds.sum(axis=3)
    low, high = np.full(len(odds), _LEAST_NOISE), np.full(len(odds), 1 - _LEAST_NOISE)
    for _ in range(_BISECTIONS):
        noise = (low + high) / 2
        pi = noise[:, None, None]
        slope = np.sum(peaks.response * (1 - odds) / (pi + (1 - pi) * odds), axis=(1, 2))
        low, high = np.where(slope > 0, noise, low), np.where(slope > 0, high, noise)
    return np.where(peaks.response.any(axis=(1, 2)), (low + high) / 2, fallback)


def _masses(peaks: _PeakOdds, noise: F8) -> F8:
    """Return (3,) the response that part nodes, texture nodes and noise (C,) explain."""
    pi = noise[:, None, None]
    density = pi + (1 - pi) * peaks.odds.sum(axis=3)
    scale = peaks.response / density
    by_kind = np.sum((scale * (1 - pi))[..., None] * peaks.odds, axis=(0, 1, 2))
    return np.append(by_kind, np.sum(scale * pi))


def _shares(mass: F8) -> Shares:
    total = mass.sum()
    return Shares(*(mass / total).tolist()) if total > 0 else Shares(math.nan, math.nan, math.nan)


def _check_filters(graph: ExplanatoryGraph, filters: Sequence[I8] | None) -> None:
    if filters is None:
        return
    require(
        len(filters) == len(graph.layers),
        f"filters needs one permutation for each of the {len(graph.layers)} layers, got "
        f"{len(filters)}",
    )
    for layer, order in zip(graph.layers, filters, strict=True):
        require(
            np.array_equal(np.sort(order), np.arange(layer.channels)),
            f"filters of {layer.name} must be a permutation of 0..{layer.channels - 1}",
        )


def _densities(
    yx: F4, start: I8, predicted: F4, half_precision: F4, share: F8, texture: Flags
) -> F8:
    """Return (C, K, N, 2) sum share_V N(p; mu_V + nu_V, S_V^2 I) of part and of texture nodes.

    ``yx (C, 2, K, N)``; nodes' ``predicted (P, 2, N)`` and ``share (P, N)``.
    """
    channels, _, n_peaks, n = yx.shape
    density = np.zeros((channels, n_peaks, n, 2))

    def some(first: int, last: int) -> None:
        arrays = (predicted, half_precision, share, texture, density[first:last])
        _add_densities(yx[first:last], start[first : last + 1], *arrays)

    map_ranges(some, channels, _FILTERS)
    return density


# CPU loops over some filters: within a filter every sum runs in order.


@jit
def _add_densities(
    yx: F4, start: I8, predicted: F4, half_precision: F4, share: F8, texture: Flags, density: F8
) -> None:
    channels, _, n_peaks, n = yx.shape
    for c in range(channels):
        for v in range(start[c], start[c + 1]):
            kind = 1 if texture[v] else 0
            precision = half_precision[v]
            for k in range(n_peaks):
                for i in range(n):
                    dy = yx[c, 0, k, i] - predicted[v, 0, i]
                    dx = yx[c, 1, k, i] - predicted[v, 1, i]
                    bell = height(precision) * bump(dy, dx, precision)
                    density[c, k, i, kind] += share[v, i] * bell


@jit
def _stray(weight: F4, yx: F4, start: I8, predicted: F4, half_precision: F4) -> F8:
    """Return (P,) the stray of each node; 1 where no peak is within reach. See `node_kinds`."""
    channels, n_peaks, n = weight.shape
    stray = np.ones(len(predicted))
    for c in range(channels):
        for v in range(start[c], start[c + 1]):
            total, square = np.float64(0.0), np.float64(0.0)
            for i in range(n):
                for k in range(n_peaks):
                    dy = yx[c, 0, k, i] - predicted[v, 0, i]
                    dx = yx[c, 1, k, i] - predicted[v, 1, i]
                    near = weight[c, k, i] * bump(dy, dx, half_precision[v])
                    total += near
                    square += near * (dy * dy + dx * dx) * half_precision[v]
            if total > 0.0:
                stray[v] = math.sqrt(square / total)
    return stray


@jit
def _places(response: F4, start: I8, peak: I1, weight: F8, stable: Flags) -> F8:
    """Return (P,) the places of each node, its photos' weights (P, N) adding up to 1."""
    channels, n_peaks, n = response.shape
    places = np.zeros(len(peak))
    for c in range(channels):
        taken = np.zeros(n_peaks, dtype=np.bool_)  # by stable nodes that fire there
        for i in range(n):
            taken[:] = False
            for v in range(start[c], start[c + 1]):
                if stable[v] and weight[v, i] > 0.0:
                    taken[peak[v, i]] = True
            for v in range(start[c], start[c + 1]):
                if weight[v, i] > 0.0:
                    own = response[c, :, i]
                    places[v] += weight[v, i] * _count_places(own, taken, peak[v, i])
    return places


@jit
def _count_places(response: F4, taken: Flags, own: int) -> int:
    """Count a node's own peak, and those about as strong that no other part takes."""
    count = 1
    for k in range(len(response)):
        if k != own and not taken[k] and response[k] >= _STRONG * response[own]:
            count += 1
    return count
