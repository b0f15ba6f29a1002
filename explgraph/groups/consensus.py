"""The place that a group's nodes agree on in each photo, and how well it predicts nodes."""

from __future__ import annotations

import math
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
_WEISZFELD = 8  # steps
_NEAREST = 1e-4  # of the side: a median may lie on a place itself
_NODES = 64  # that one thread works on


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
    """Find in each photo the mode of q_V - o_V, the place that n nodes say a group is at (Eq. 13).

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
    still = np.zeros(seen.yx.shape[1:], dtype=np.float32)
    start, _ = followed(seen, still, side, math.inf)
    offset: F4 = (start - np.median(start, axis=0)).astype(np.float32)
    for _ in range(_ROUNDS):
        place = consensus(seen, offset, side)
        offset, _ = followed(seen, place.yx, side, math.inf)
    return consensus(seen, offset, side), offset


def followed(seen: Observed, place: F4, side: float, cap: float) -> tuple[F4, F4]:
    """Let nodes follow a place: return (P, 2) their offsets from it, and (P,) how far they stray.

    The offset o is the weighted spatial median of q_V - c, by Weiszfeld's steps; the error is
    sum_i w min(|q_V - c - o|, cap S) / (S sum_i w), in units of the side, as if the node belonged
    to the group. A node without weight has offset 0 and the error ``cap``.

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
    n_nodes = len(seen.weight)
    offset, error = np.zeros((2, n_nodes), dtype=np.float32), np.empty(n_nodes, dtype=np.float32)
    known = np.isfinite(place[0])

    def some(first: int, last: int) -> None:
        # Photos before nodes: the nodes are the lanes that are computed side by side.
        yx = np.ascontiguousarray((seen.yx[first:last] - place)[:, :, known].transpose(2, 1, 0))
        weight = np.ascontiguousarray(seen.weight[first:last, known].T)
        least, most = np.float32(_NEAREST * side), np.float32(cap * side)
        _follow(yx, weight, least, most, offset[:, first:last], error[first:last])

    map_ranges(some, n_nodes, _NODES)
    return np.ascontiguousarray(offset.T), error / np.float32(side)


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
def _follow(yx: F4, weight: F4, least: np.float32, most: np.float32, offset: F4, error: F4) -> None:
    """Fill ``offset (2, n)`` and ``error (n,)`` of ``yx (N, 2, n)`` and ``weight (N, n)``."""
    n, n_nodes = weight.shape
    y, x, total = offset[0], offset[1], np.empty(n_nodes, dtype=np.float32)
    sums = np.empty((2, n_nodes), dtype=np.float32)
    for step in range(_WEISZFELD + 1):
        total[:] = 0
        sums[:] = 0
        for i in range(n):
            for v in range(n_nodes):
                dy, dx = yx[i, 0, v] - y[v], yx[i, 1, v] - x[v]
                away = np.float32(1.0) if step == 0 else np.sqrt(dy * dy + dx * dx)  # the mean
                w = weight[i, v] / max(away, least)
                sums[0, v] += w * yx[i, 0, v]
                sums[1, v] += w * yx[i, 1, v]
                total[v] += w
        for v in range(n_nodes):
            if total[v] > 0:
                y[v], x[v] = sums[0, v] / total[v], sums[1, v] / total[v]
    total[:] = 0
    error[:] = 0
    for i in range(n):
        for v in range(n_nodes):
            dy, dx = yx[i, 0, v] - y[v], yx[i, 1, v] - x[v]
            error[v] += weight[i, v] * min(np.sqrt(dy * dy + dx * dx), most)
            total[v] += weight[i, v]
    for v in range(n_nodes):
        error[v] = error[v] / total[v] if total[v] > 0 else most
