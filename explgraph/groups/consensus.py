"""The place that a group's nodes agree on in each photo, and how well it predicts nodes."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from explgraph.base.arrays import F4, F8
from explgraph.base.jit import jit
from explgraph.base.threads import map_ranges

from .observed import Observed

BAND = 0.08  # of the side: within which nodes agree
_WIDEST = 0.24  # of the side, at the first step
_STEPS = 8
_ROUNDS = 2  # of places, then offsets
_WEISZFELD = 16
_NODES = 32  # that one thread works on


class Consensus(NamedTuple):
    """One group in N photos.

    Attributes
    ----------
    yx
        (2, N) where its nodes agree that it is, network pixels.
    mass
        (N,) sum of w exp(-|q - o - c|^2 / (2 (.08 S)^2)) over its nodes, over their number.
    """

    yx: F4
    mass: F8


def consensus(seen: Observed, offset: F4, side: float) -> Consensus:
    """Find in each photo the mode of q_V - o_V, the place that n nodes say a group is at (Eq. 10).

    Mean shift from the weighted mean, 8 steps, the band narrowing from .24 to .08 of the side.
    Where none fires the place is NaN and the mass 0.

    Parameters
    ----------
    seen
        n nodes in N photos.
    offset
        (n, 2) o_V, pixels.
    side
        S, pixels.
    """
    said = seen.yx - offset[:, :, None]
    yx, mass = np.empty((2, seen.weight.shape[1]), dtype=np.float32), np.empty(seen.weight.shape[1])
    bands = side * np.geomspace(_WIDEST, BAND, _STEPS)
    _mean_shift(said, seen.weight, bands, yx, mass)
    return Consensus(yx, mass)


def settled(seen: Observed, side: float) -> tuple[Consensus, F4]:
    """Find a group's places in N photos and its nodes' offsets (n, 2) from them, by turns."""
    start = _medians(seen.yx, seen.weight)
    offset: F4 = (start - np.median(start, axis=0)).astype(np.float32)
    for _ in range(_ROUNDS):
        place = consensus(seen, offset, side)
        offset = _medians(seen.yx - np.nan_to_num(place.yx), _where(seen, place))
    return consensus(seen, offset, side), offset


def _where(seen: Observed, place: Consensus) -> F4:
    """Return (n, N) the weights, 0 where the group has no place."""
    return np.asarray(seen.weight * np.isfinite(place.yx[0]), dtype=np.float32)


def errors(seen: Observed, place: F4, side: float, cap: float) -> F8:
    """Return (P,) how far nodes lie from where a place predicts them, in units of the side.

    sum_i w min(|q_V - c - o|, cap S) / (S sum_i w) with o the spatial median of q_V - c: as if the
    node belonged to the group. 0 weight gives ``cap``.

    Parameters
    ----------
    seen
        P nodes in N photos.
    place
        (2, N) c, pixels, NaN where there is none; zeros for a place that never moves.
    side
        S, pixels.
    cap
        Share of the side.
    """
    known = np.isfinite(place[0])
    apart = np.ascontiguousarray(seen.yx[:, :, known] - place[:, known])
    weight = np.ascontiguousarray(seen.weight[:, known])
    centre = _medians(apart, weight)
    away = np.hypot(*(apart - centre[:, :, None]).transpose(1, 0, 2)).astype(np.float64)
    total = weight.sum(axis=1, dtype=np.float64)
    mean = (weight * np.minimum(away, cap * side)).sum(axis=1) / np.where(total > 0, total, 1)
    return np.where(total > 0, mean / side, cap)


def _medians(yx: F4, weight: F4) -> F4:
    """Return (P, 2) the weighted spatial medians of (P, 2, N) places, by Weiszfeld's steps."""
    result = np.zeros((len(yx), 2), dtype=np.float32)

    def some(first: int, last: int) -> None:
        _weiszfeld(yx[first:last], weight[first:last], result[first:last])

    map_ranges(some, len(yx), _NODES)
    return result


@jit
def _mean_shift(said: F4, weight: F4, bands: F8, yx: F4, mass: F8) -> None:
    n_nodes, _, n = said.shape
    for i in range(n):
        y, x, total = 0.0, 0.0, 0.0
        for v in range(n_nodes):
            w = weight[v, i]
            y, x, total = y + w * said[v, 0, i], x + w * said[v, 1, i], total + w
        if total == 0:
            yx[0, i], yx[1, i], mass[i] = np.nan, np.nan, 0.0
            continue
        y, x = y / total, x / total
        for band in bands:
            next_y, next_x, total = 0.0, 0.0, 0.0
            for v in range(n_nodes):
                w = weight[v, i]
                if w > 0:
                    dy, dx = said[v, 0, i] - y, said[v, 1, i] - x
                    near = w * np.exp(-(dy * dy + dx * dx) / (2 * band * band))
                    next_y, next_x = next_y + near * said[v, 0, i], next_x + near * said[v, 1, i]
                    total += near
            if total > 1e-12:
                y, x = next_y / total, next_x / total
        total = 0.0
        for v in range(n_nodes):
            dy, dx = said[v, 0, i] - y, said[v, 1, i] - x
            total += weight[v, i] * np.exp(-(dy * dy + dx * dx) / (2 * bands[-1] * bands[-1]))
        yx[0, i], yx[1, i], mass[i] = y, x, total / n_nodes


@jit
def _weiszfeld(yx: F4, weight: F4, result: F4) -> None:
    n_nodes, _, n = yx.shape
    for v in range(n_nodes):
        y, x, total = 0.0, 0.0, 0.0
        for i in range(n):
            w = weight[v, i]
            y, x, total = y + w * yx[v, 0, i], x + w * yx[v, 1, i], total + w
        if total == 0:
            continue
        y, x = y / total, x / total
        for _ in range(_WEISZFELD):
            next_y, next_x, total = 0.0, 0.0, 0.0
            for i in range(n):
                if weight[v, i] > 0:
                    dy, dx = yx[v, 0, i] - y, yx[v, 1, i] - x
                    w = weight[v, i] / max(np.sqrt(dy * dy + dx * dx), 1e-3)
                    next_y, next_x = next_y + w * yx[v, 0, i], next_x + w * yx[v, 1, i]
                    total += w
            y, x = next_y / total, next_x / total
        result[v, 0], result[v, 1] = y, x
