"""CPU loops of the mixture: a filter's photos lie side by side, as lanes.

Arrays are those of some filters. Peaks are ``weight (C, K, N)`` and ``yx (C, 2, K, N)``; nodes of
filter c are ``start[c]:start[c + 1]``; the prior of a node in a photo is ``shift (P, 2, N)``,
``half_precision (P,)``, ``kappa (P, N)``. Photos are gone through `GROUP` at a time, so that what
a filter's nodes need of them stays in the processor's cache. Innermost loops run over photos, in
float32 and each for itself, so that the compiler computes as many at once as the machine has lanes.
Sums over photos are in float64 and in a fixed order: neither threads nor lanes change a bit.
"""

# ruff: noqa: ANN001, ANN202, PLR0913
# mypy: disallow-untyped-defs=False, disallow-untyped-calls=False

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from explgraph.base.arrays import F4, F8, I4
from explgraph.base.jit import jit
from explgraph.peaks.structures import GROUP

from ._lanes import (
    add_explained,
    add_gain,
    add_joint,
    add_moments,
    add_moments_of_four,
    add_scaled,
    copy_to,
    fill,
    share,
    shift_from,
    take_better,
    total,
)
from ._math import height, held_out

TINY = 1e-12
LEAST_NOISE = 1e-6  # a peak out of every node's reach keeps a finite likelihood
MASS, DOWN, RIGHT, SQUARE, OFFER = range(5)

_AT_ONCE = 4  # peaks of a photo

_ZERO, _ONE = np.float32(0.0), np.float32(1.0)


class Filter(NamedTuple):
    """One filter's part of the arrays: peaks, its n nodes, their prior."""

    peak_weight: F4
    yx: F4
    mu: F8
    weight: F8
    shift: F4
    half_precision: F4
    kappa: F4


class Room(NamedTuple):
    """Where one filter's photos are worked on, `GROUP` (G) lanes at a time.

    Attributes
    ----------
    place
        (n, 2, G) mu + nu.
    amplitude
        (n, G) pi_V / (2 pi S^2).
    joint
        (n, K, G) pi_V N(p; mu_V + nu_V, S_V^2 I).
    density, scale
        (K, G) P(p), and F / P(p).
    normaliser
        (G,) Z.
    explained, gain
        (G,) sums over a photo's peaks: F r of all nodes, and F log(P(p) area).
    moments
        (5, G) one node's sums over a photo's peaks: F r times 1, dy, dx and |d|^2; and its offer.
    best
        (4, G) one node's best peak in a photo: its score, number (-1: none), y and x.
    tops, fraction
        (G,) for intermediate values.
    """

    place: F4
    amplitude: F4
    joint: F4
    density: F4
    scale: F4
    normaliser: F4
    explained: F4
    gain: F4
    moments: F4
    best: F4
    tops: F4
    fraction: I4


@jit
def gather(weight, yx, mirrored_weight, mirrored_yx, flip, first, out_weight, out_yx):
    """Fill (C', K, N) and (C', 2, K, N) from filters ``first`` on of (N, C, K) and (N, C, K, 2).

    Photos with ``flip (N,)`` are taken as mirrored.
    """
    n_filters, n_peaks, n = out_weight.shape
    for i in range(n):
        for c in range(n_filters):
            for k in range(n_peaks):
                if flip[i]:
                    out_weight[c, k, i] = mirrored_weight[i, first + c, k]
                    out_yx[c, 0, k, i] = mirrored_yx[i, first + c, k, 0]
                    out_yx[c, 1, k, i] = mirrored_yx[i, first + c, k, 1]
                else:
                    out_weight[c, k, i] = weight[i, first + c, k]
                    out_yx[c, 0, k, i] = yx[i, first + c, k, 0]
                    out_yx[c, 1, k, i] = yx[i, first + c, k, 1]


@jit
def fit(peaks, nodes, prior, area, max_iter, tol, closing, sums, response, trace):
    """Run EM on every filter by itself; the nodes' mu, weight and noise change in place.

    A filter stops when a step adds no more than ``tol`` times what all its steps have added.

    Fills, for the mixture that results, or without ``closing`` for the one before the last step,

    sums (P, 5)
        Of each node: the response R_V that it explains; the sum of F r (p - mu - nu), y and x; of
        F r |p - mu - nu|^2; and of R_iV kappa_iV / Z_i, the minoriser's factor.
    response (C, 2)
        Response that nodes explain, and all of it.
    trace (C, max_iter + 1)
        Objective before the first step and after each: peak-weighted log-likelihood over uniform
        noise. After the last step, or the last but one without ``closing``, it stays.
    """
    start, _, _, noise = nodes
    for c in range(len(noise)):
        own = filter_of(peaks, nodes, prior, c)
        rows = slice(start[c], start[c + 1])
        room = _room(own)
        for k in range(len(own.peak_weight)):
            response[c, 1] += total(own.peak_weight[k])
        trace[c, :] = _expect(own, noise[c], area, room, sums[rows], response[c])
        for step in range(1, max_iter + 1):
            noise[c] = maximise(own, noise[c], sums[rows], response[c])
            if step == max_iter and not closing:
                break
            trace[c, step:] = _expect(own, noise[c], area, room, sums[rows], response[c])
            if trace[c, step] - trace[c, step - 1] <= tol * (trace[c, step] - trace[c, 0]):
                break


@jit
def filter_of(peaks, nodes, prior, c):
    """Return what belongs to filter c: its peaks, its n nodes and their prior."""
    (weight, yx), (start, mu, node_weight, _), (shift, half_precision, kappa) = peaks, nodes, prior
    rows = slice(start[c], start[c + 1])
    return Filter(
        weight[c],
        yx[c],
        mu[rows],
        node_weight[rows],
        shift[rows],
        half_precision[rows],
        kappa[rows],
    )


@jit
def _room(own):
    """Return the arrays that a filter's photos are worked on in, a group at a time."""
    n, k = len(own.mu), len(own.peak_weight)
    return Room(
        place=np.empty((n, 2, GROUP), dtype=np.float32),
        amplitude=np.empty((n, GROUP), dtype=np.float32),
        joint=np.empty((n, k, GROUP), dtype=np.float32),
        density=np.empty((k, GROUP), dtype=np.float32),
        scale=np.empty((k, GROUP), dtype=np.float32),
        normaliser=np.empty(GROUP, dtype=np.float32),
        explained=np.empty(GROUP, dtype=np.float32),
        gain=np.empty(GROUP, dtype=np.float32),
        moments=np.empty((5, GROUP), dtype=np.float32),
        best=np.empty((4, GROUP), dtype=np.float32),
        tops=np.empty(GROUP, dtype=np.float32),
        fraction=np.empty(GROUP, dtype=np.int32),
    )


@jit
def _expect(own, noise, area, room, sums, response):
    """Fill a filter's ``sums (n, 5)`` and explained response; return its objective."""
    objective = 0.0
    sums[:] = 0.0
    response[0] = 0.0
    n = own.peak_weight.shape[1]
    for first in range(0, n, GROUP):
        last = min(first + GROUP, n)
        lanes = last - first
        _explain(own, noise, area, first, last, room)
        objective += total(room.gain[:lanes])
        response[0] += total(room.explained[:lanes])
        for v in range(len(own.mu)):
            _moments(own, v, first, last, room)
            offer = room.moments[4, :lanes]
            share(own.kappa[v, first:last], room.normaliser, room.explained, offer)
            for row in range(5):
                sums[v, row] += total(room.moments[row, :lanes])
    return objective


@jit
def _explain(own, noise, area, first, last, room):
    """Fill ``room`` but for moments and best peaks, for the photos first..last - 1."""
    _densities(own, noise, area, first, last, room)
    _weigh(own, noise, area, first, last, room)


@jit
def _densities(own, noise, area, first, last, room):
    """Fill Z, places, amplitudes and densities for the photos first..last - 1 (Eq. 4 and 5)."""
    lanes = last - first
    fill(room.normaliser[:lanes], _ZERO)
    for v in range(len(own.mu)):
        add_scaled(own.kappa[v, first:last], np.float32(own.weight[v]), room.normaliser)
    for k in range(len(room.density)):
        fill(room.density[k, :lanes], np.float32(noise / area))
    for v in range(len(own.mu)):
        top = np.float32(own.weight[v] * (1.0 - noise)) * height(own.half_precision[v])
        fill(room.tops[:lanes], top)
        share(own.kappa[v, first:last], room.normaliser, room.tops, room.amplitude[v, :lanes])
        for axis in range(2):
            shift_from(
                own.shift[v, axis, first:last], np.float32(own.mu[v, axis]), room.place[v, axis]
            )
        for k in range(len(own.peak_weight)):
            y, x = own.yx[0, k, first:last], own.yx[1, k, first:last]
            add_joint(
                y, x, room.place[v, 0], room.place[v, 1], own.half_precision[v], room.amplitude[v],
                room.joint[v, k], room.density[k],
            )  # fmt: skip


@jit
def _weigh(own, noise, area, first, last, room):
    """Fill F / P(p), and sums over each photo's peaks: F r of all nodes, and F log(P(p) area)."""
    uniform, log_area = np.float32(noise / area), np.float32(np.log(area))
    bits = room.density.view(np.int32)
    fill(room.explained[: last - first], _ZERO)
    fill(room.gain[: last - first], _ZERO)
    for k in range(len(own.peak_weight)):
        weight = own.peak_weight[k, first:last]
        add_gain(weight, bits[k], log_area, room.fraction, room.gain)
        add_explained(weight, room.density[k], uniform, room.scale[k], room.explained)


@jit
def _moments(own, v, first, last, room):
    """Fill, for a node, the sums over each photo's peaks of F r times 1, dy, dx and |d|^2."""
    lanes, peaks = last - first, len(own.peak_weight)
    place_y, place_x = room.place[v, 0], room.place[v, 1]
    for row in range(4):
        fill(room.moments[row, :lanes], _ZERO)
    alone = peaks - peaks % _AT_ONCE  # the first of those that are left over
    for k in range(0, alone, _AT_ONCE):
        add_moments_of_four(
            k, first, last, own.yx[0], own.yx[1], place_y, place_x, room.joint[v], room.scale,
            room.moments,
        )  # fmt: skip
    for k in range(alone, peaks):
        y, x = own.yx[0, k, first:last], own.yx[1, k, first:last]
        add_moments(y, x, place_y, place_x, room.joint[v, k], room.scale[k], room.moments)


@jit
def maximise(own, noise, sums, response):
    """Take a filter's nodes to the parameters that maximise the minoriser; return its new noise.

    mu and pi_0 are weighted means. The shares pi_V of a photo are normalised there by Z = sum w
    kappa; bounding log Z by its tangent gives w_V = R_V / sum_i (R_i kappa_iV / Z_i), without an
    inner loop. The objective cannot fall.
    """
    whole = 0.0
    for v in range(len(own.mu)):
        own.weight[v] = 0.0
        if sums[v, MASS] > TINY and sums[v, OFFER] > 0.0:
            own.weight[v] = sums[v, MASS] / sums[v, OFFER]
            own.mu[v, 0] += sums[v, DOWN] / sums[v, MASS]
            own.mu[v, 1] += sums[v, RIGHT] / sums[v, MASS]
        whole += own.weight[v]
    if whole > 0.0:
        for v in range(len(own.mu)):
            own.weight[v] /= whole
    if response[1] > 0.0:
        noise = min(max(1.0 - response[0] / response[1], LEAST_NOISE), 1.0 - LEAST_NOISE)
    return noise


@jit
def infer(peaks, nodes, prior, area, peak, score, predicted, found, gain):
    """Find each node in each photo (model step 5, Eq. 6).

    Fills

    peak (P, N)
        The peak with the highest F(p) r(p), the strongest of equals; -1 where no peak of the filter
        lies within the node's reach.
    score (P, N)
        That value; 0 where there is none.
    predicted, found (P, 2, N)
        mu + nu; and that peak's place, or where the node is predicted without one.
    gain (C, N)
        sum F log(P(p) area) of each filter and photo: log-likelihood over uniform noise.
    """
    start, _, _, noise = nodes
    n = score.shape[1]
    for c in range(len(noise)):
        own = filter_of(peaks, nodes, prior, c)
        room = _room(own)
        for first in range(0, n, GROUP):
            last = min(first + GROUP, n)
            _explain(own, noise[c], area, first, last, room)
            copy_to(room.gain, gain[c, first:last])
            for v in range(len(own.mu)):
                row = start[c] + v
                _best_peak(own, v, first, last, room)
                copy_to(room.best[0], score[row, first:last])
                copy_to(room.best[1], peak[row, first:last])
                for axis in range(2):
                    copy_to(room.place[v, axis], predicted[row, axis, first:last])
                    copy_to(room.best[2 + axis], found[row, axis, first:last])


@jit
def _best_peak(own, v, first, last, room):
    """Fill, for a node, score, number and place of its best peak in each photo."""
    best = room.best
    fill(best[0], _ZERO)
    fill(best[1], -_ONE)
    copy_to(room.place[v, 0], best[2])
    copy_to(room.place[v, 1], best[3])
    for k in range(len(own.peak_weight)):
        y, x = own.yx[0, k, first:last], own.yx[1, k, first:last]
        take_better(np.float32(k), room.joint[v, k], room.scale[k], y, x, best)


@jit
def held_out_gain(peaks, nodes, prior, area, sums, gain):
    """Fill (P,) each node's gain in log-likelihood over noise, every photo held out in its turn.

    The sum over peaks of F r log(pi_V N(p; mu_V + nu_V, S^2) area / pi_0), where mu_V leaves out
    what the photo itself has added to it. ``sums`` is that of `fit`.
    """
    start, _, _, noise = nodes
    n = peaks[0].shape[2]
    for c in range(len(noise)):
        own = filter_of(peaks, nodes, prior, c)
        room = _room(own)
        for first in range(0, n, GROUP):
            last = min(first + GROUP, n)
            _explain(own, noise[c], area, first, last, room)
            for v in range(len(own.mu)):
                _moments(own, v, first, last, room)
                row, odds = start[c] + v, area / noise[c]
                precision = own.half_precision[v]
                amplitude = room.amplitude[v, : last - first]
                gain[row] += _gain(room.moments, amplitude, odds, sums[row], precision)


@jit
def _gain(moments, amplitude, odds, sums, half_precision):
    """Sum `held_out` over photos."""
    gain = 0.0
    for i in range(len(amplitude)):
        photo = moments[0, i], moments[1, i], moments[2, i], moments[3, i]
        gain += held_out(photo, amplitude[i], odds, sums, half_precision)
    return gain
