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

from explgraph.base.arrays import F4, F8, I8, U1, first_half
from explgraph.base.errors import check_shape, require
from explgraph.base.jit import jit
from explgraph.base.threads import map_ranges
from explgraph.graphs.graph import ExplanatoryGraph
from explgraph.graphs.kinds import KINDS, node_kinds
from explgraph.graphs.matches import Matches
from explgraph.peaks.structures import Peaks, PeakSet

from ._math import bump, height
from .matching import LayerMatch, match_peaks, walk_layers
from .objects import Objects

Flags = NDArray[np.bool_]

STRONG = 0.5
"""A strong peak responds more than this share of its map's strongest."""

_LEAST_NOISE = 1e-6  # as in EM: a peak out of every node's reach keeps a finite likelihood
_BISECTIONS = 40
_FILTERS = 16  # that one thread works on


@dataclass(frozen=True, slots=True)
class Shares:
    """Shares of a response. NaN where nothing responds, or what they ask is not known.

    Attributes
    ----------
    explained
        Share that nodes explain; the rest is left to noise.
    part, texture, background
        Share that nodes of each kind explain, together ``explained``; NaN where `node_kinds` does
        not tell them apart.
    on_object
        Share that lies on the object: the most that nodes which lie there can explain. NaN, as the
        next two, where the object's place was not given.
    of_object, of_rest
        Share of the response on the object, and of that beside it, that nodes explain.
    """

    explained: float
    part: float = math.nan
    texture: float = math.nan
    background: float = math.nan
    on_object: float = math.nan
    of_object: float = math.nan
    of_rest: float = math.nan


@dataclass(frozen=True, slots=True)
class LayerShares:
    """The shares of L layers, and of all of them together.

    Attributes
    ----------
    layers
        L shares, lowest layer first.
    overall
        Of the response of all layers.
    """

    layers: tuple[Shares, ...]
    overall: Shares


@dataclass(frozen=True, slots=True)
class ExplainedShare:
    """The explained share of the response, counted in three ways.

    Attributes
    ----------
    all_peaks
        All peaks that are kept of each map count.
    strong_peaks
        Those that respond more than half as much as the map's strongest.
    strongest_peak
        The strongest alone.
    """

    all_peaks: LayerShares
    strong_peaks: LayerShares
    strongest_peak: LayerShares


COUNTS = ("all_peaks", "strong_peaks", "strongest_peak")
"""The three ways of `ExplainedShare`."""


def explained_share(
    graph: ExplanatoryGraph,
    peaks: PeakSet,
    *,
    groups: Sequence[str] | None = None,
    noise_from: PeakSet | None = None,
    filters: Sequence[I8] | None = None,
    found: Matches | None = None,
    objects: Sequence[Flags] | None = None,
) -> ExplainedShare:
    """Measure which share of the response of photos a graph explains.

    The share of a layer is sum F(x) (1 - P(noise | x)) / sum F(x) over its peaks x that count,
    under the normalised mixture (Eq. 5). Its noise weight pi_0 is fitted, filter by filter, by the
    likelihood of photos that are not counted: in two halves of the photos, each under the pi_0 of
    the other. Nodes stay as they are. Where `node_kinds` tells nodes apart, what is explained is
    divided among the kinds by the nodes' responsibilities.

    A single wide node explains everything: the share means something only beside that of nodes that
    are shuffled over filters (`shuffled_filters`) and that of photos of other things.

    Parameters
    ----------
    graph
        P nodes, L layers.
    peaks
        N photos that mining has not seen. With mirrored peaks, each is taken the way that the graph
        explains better, as in matching.
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
    objects
        N arrays (height, width), where in each photo the object is, e.g. ``mask != NONE``; each
        covers the whole upright photo. A peak within half a cell of it lies on it. With them, the
        share of the response that lies on the object is told, and how much of that is explained.

    Returns
    -------
    `ExplainedShare`

    Raises
    ------
    ExplGraphError
        If the layers differ, ``groups``, ``filters``, ``found`` or ``objects`` do not fit, or there
        are no two groups to divide.
    """
    _check_filters(graph, filters)
    require(
        found is None or found.images == peaks.images,
        f"the matches are of other photos than the {len(peaks)} whose peaks are given, or in "
        "another order: match these peaks, or leave `found` out",
    )
    where = None if objects is None else Objects.of(peaks, objects)
    kinds = node_kinds(graph).kind
    kind = np.zeros(len(graph), dtype=np.int64)
    if kinds is not None:
        kind = np.argmax([kinds == name for name in KINDS], axis=0)
    photos = (
        _halves(graph, peaks, where, found, groups)
        if noise_from is None
        else (
            _Photos.seen(graph, peaks, where, found),
            _Photos.seen(graph, noise_from, None, None),
        )
    )
    mass = np.zeros((len(COUNTS), len(graph.layers), 2, len(KINDS) + 1))
    layers = (_peak_odds(graph, each, kind, filters) for each in photos)
    for one, other in zip(*layers, strict=True):
        noise = graph.noise[one.layer].astype(np.float64)
        for count in range(len(COUNTS)):
            mine, theirs = one.counted(count), other.counted(count)
            mass[count, one.layer] += _masses(mine, _fit_noise(theirs, noise))
            if noise_from is None:
                mass[count, one.layer] += _masses(theirs, _fit_noise(mine, noise))
    known = (kinds is not None, objects is not None)
    return ExplainedShare(
        *(
            LayerShares(
                tuple(_shares(row, *known) for row in rows), _shares(rows.sum(axis=0), *known)
            )
            for rows in mass
        )
    )


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


class _Photos(NamedTuple):
    """Photos as the graph sees them, and where their objects are."""

    peaks: tuple[Peaks, ...]
    mirrored: U1
    objects: Objects | None

    @classmethod
    def seen(
        cls,
        graph: ExplanatoryGraph,
        peaks: PeakSet,
        objects: Objects | None,
        found: Matches | None,
    ) -> _Photos:
        """Take each photo the way that the graph explains better, or explained it."""
        if found is None:
            found = match_peaks(graph, peaks)
        return cls(peaks.oriented(found.mirrored), found.mirrored, objects)


def _halves(
    graph: ExplanatoryGraph,
    peaks: PeakSet,
    objects: Objects | None,
    found: Matches | None,
    groups: Sequence[str] | None,
) -> tuple[_Photos, ...]:
    first = first_half(peaks.images if groups is None else groups)
    check_shape("groups", first, (len(peaks),))
    return tuple(
        _Photos.seen(
            graph,
            peaks.take(half),
            None if objects is None else objects.take(half),
            None if found is None else found.take(half),
        )
        for half in (first, ~first)
    )


class _PeakOdds(NamedTuple):
    """Peaks of layer ``layer``: ``response (C, K, N)``, ``odds (C, K, N, 3)``, ``on (C, K, N)``.

    The odds are the density of a peak's place under the nodes of each kind of its filter, over that
    of uniform noise, before pi_0 is applied: they are sum pi_V N(p) area / (1 - pi_0). ``on`` tells
    which peaks lie on the object.
    """

    layer: int
    response: F8
    odds: F8
    on: Flags

    def counted(self, count: int) -> _PeakOdds:
        """Leave the response of those peaks alone that count; see `ExplainedShare`."""
        most = self.response.max(axis=1, keepdims=True, initial=0)
        counts = (
            np.ones(self.response.shape, dtype=bool),
            self.response > STRONG * most,
            np.arange(self.response.shape[1])[:, None] == self.response.argmax(axis=1)[:, None],
        )[count]
        return self._replace(response=np.where(counts, self.response, 0.0))


def _peak_odds(
    graph: ExplanatoryGraph, photos: _Photos, kind: I8, filters: Sequence[I8] | None
) -> Iterator[_PeakOdds]:
    area = float(graph.input_size[0] * graph.input_size[1])
    for found in walk_layers(graph, photos.peaks):
        weight, yx = found.columns
        if filters is not None:
            weight, yx = weight[filters[found.layer]], yx[filters[found.layer]]
        density = _densities(
            yx,
            found.mixture.start,
            found.inference.predicted,
            found.prior.half_precision,
            _node_shares(found),
            kind[found.rows],
        )
        on = np.zeros(weight.shape, dtype=bool)
        if photos.objects is not None:
            on = photos.objects.hold(yx, photos.mirrored, graph.layers[found.layer])
        yield _PeakOdds(found.layer, weight.astype(np.float64), density * area, on)


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
    odds, result = peaks.odds.sum(axis=3), fallback.copy()

    def some(first: int, last: int) -> None:
        _halve(peaks.response[first:last], odds[first:last], result[first:last])

    map_ranges(some, len(odds), _FILTERS)
    return result


def _masses(peaks: _PeakOdds, noise: F8) -> F8:
    """Return (2, 4) the response that nodes of each kind and noise (C,) explain.

    First that of peaks beside the object, then that of peaks on it.
    """
    result = np.zeros((2, len(KINDS) + 1))
    _add_masses(peaks.response, peaks.odds, peaks.on, noise, result)
    return result


def _shares(mass: F8, kinds_known: bool, objects_known: bool) -> Shares:
    """Return the shares of (2, 4) masses, as `_masses` gives them."""
    beside, on = mass
    by_kind = mass[:, :-1].sum(axis=0)
    total = mass.sum()
    kinds = zip(KINDS, (by_kind / total).tolist(), strict=True) if kinds_known and total > 0 else ()
    where = {
        "on_object": _ratio(on.sum(), total),
        "of_object": _ratio(on[:-1].sum(), on.sum()),
        "of_rest": _ratio(beside[:-1].sum(), beside.sum()),
    }
    return Shares(_ratio(by_kind.sum(), total), **dict(kinds), **(where if objects_known else {}))


def _ratio(share: float, whole: float) -> float:
    return float(share / whole) if whole > 0 else math.nan


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


def _densities(yx: F4, start: I8, predicted: F4, half_precision: F4, share: F8, kind: I8) -> F8:
    """Return (C, K, N, 3) sum share_V N(p; mu_V + nu_V, S_V^2 I) of the nodes of each kind.

    ``yx (C, 2, K, N)``; nodes' ``predicted (P, 2, N)``, ``share (P, N)`` and ``kind (P,)``.
    """
    channels, _, n_peaks, n = yx.shape
    density = np.zeros((channels, n_peaks, n, len(KINDS)))

    def some(first: int, last: int) -> None:
        arrays = (predicted, half_precision, share, kind, density[first:last])
        _add_densities(yx[first:last], start[first : last + 1], *arrays)

    map_ranges(some, channels, _FILTERS)
    return density


# CPU loops over some filters: within a filter every sum runs in order.


@jit
def _add_densities(
    yx: F4, start: I8, predicted: F4, half_precision: F4, share: F8, kind: I8, density: F8
) -> None:
    channels, _, n_peaks, n = yx.shape
    for c in range(channels):
        for v in range(start[c], start[c + 1]):
            precision = half_precision[v]
            for k in range(n_peaks):
                for i in range(n):
                    dy = yx[c, 0, k, i] - predicted[v, 0, i]
                    dx = yx[c, 1, k, i] - predicted[v, 1, i]
                    bell = height(precision) * bump(dy, dx, precision)
                    density[c, k, i, kind[v]] += share[v, i] * bell


@jit
def _halve(response: F8, odds: F8, result: F8) -> None:
    channels, n_peaks, n = response.shape
    for c in range(channels):
        if not response[c].any():
            continue
        low, high = _LEAST_NOISE, 1 - _LEAST_NOISE
        for _ in range(_BISECTIONS):
            noise, slope = (low + high) / 2, 0.0
            for k in range(n_peaks):
                for i in range(n):
                    if response[c, k, i] > 0.0:
                        q = odds[c, k, i]
                        slope += response[c, k, i] * (1 - q) / (noise + (1 - noise) * q)
            if slope > 0.0:
                low = noise
            else:
                high = noise
        result[c] = (low + high) / 2


@jit
def _add_masses(response: F8, odds: F8, on: Flags, noise: F8, result: F8) -> None:
    channels, n_peaks, n = response.shape
    for c in range(channels):
        for k in range(n_peaks):
            for i in range(n):
                if response[c, k, i] > 0.0:
                    own = odds[c, k, i]
                    scale = response[c, k, i] / (noise[c] + (1 - noise[c]) * own.sum())
                    row = 1 if on[c, k, i] else 0
                    for kind in range(len(own)):
                        result[row, kind] += scale * (1 - noise[c]) * own[kind]
                    result[row, len(own)] += scale * noise[c]
