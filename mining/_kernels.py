"""CPU loops of the mixture: parallel over filters, each of which owns its rows of the output.

Within a filter every sum runs over photos and peaks in order, in float64: the number of threads
cannot change a bit. Arrays are those of one layer, filters first: peaks ``weight (C, N, K)``,
``yx (C, N, K, 2)``; nodes of filter c are ``start[c]:start[c + 1]``; the prior of a node in a photo
is ``shift (P, N, 2)``, ``var (P, N)``, ``kappa (P, N)``.
"""
# ruff: noqa: ANN001, ANN202, PLR0913
# mypy: disallow-untyped-defs=False, disallow-untyped-calls=False

from __future__ import annotations

import math

import numpy as np
from numba import prange

from explgraph._jit import jit

from ._math import bump, height, log_normal_2d

_Y, _X, _HALF_PRECISION, _SHARE, _AMPLITUDE = range(5)


@jit
def _look_up(first, stop, image, mu, weight, noise, shift, var, kappa, nodes):
    """Fill ``nodes (5, n)`` with what a photo's peaks need of a filter's n nodes; return Z.

    Rows: predicted y and x (mu + nu), 1 / (2 S^2), the share pi_V / (1 - pi_0) (Eq. 4), and
    pi_V / (2 pi S^2).
    """
    total = 0.0
    for v in range(first, stop):
        i = v - first
        nodes[_Y, i] = mu[v, 0] + shift[v, image, 0]
        nodes[_X, i] = mu[v, 1] + shift[v, image, 1]
        nodes[_HALF_PRECISION, i] = 0.5 / var[v, image]
        nodes[_SHARE, i] = weight[v] * kappa[v, image]
        total += nodes[_SHARE, i]
    for i in range(stop - first):
        if total > 0.0:
            nodes[_SHARE, i] /= total
        nodes[_AMPLITUDE, i] = (1.0 - noise) * nodes[_SHARE, i] * height(nodes[_HALF_PRECISION, i])
    return total


@jit
def _joint_densities(y, x, nodes, joint):
    """Fill pi_V N(p; mu_V + nu_V, S_V^2 I) of a filter's nodes at one place; return their sum."""
    total = 0.0
    for i in range(nodes.shape[1]):
        dy, dx = y - nodes[_Y, i], x - nodes[_X, i]
        joint[i] = nodes[_AMPLITUDE, i] * bump(dy, dx, nodes[_HALF_PRECISION, i])
        total += joint[i]
    return total


@jit(parallel=True)
def e_step(peak_weight, peak_yx, start, mu, weight, noise, shift, var, kappa, area):
    """Sum the statistics of one EM step.

    Returns
    -------
    objective (C,)
        Peak-weighted log-likelihood of each filter, over that of uniform noise.
    noise_mass (C,), total_mass (C,)
        Response that noise explains, and all of it.
    mass (P,), offer (P,)
        Response R_V that a node explains; and sum_i R_i kappa_iV / Z_i, the minoriser's factor.
    pull (P, 3)
        sum F r (p - nu) / S^2 (y, x), and sum F r / S^2.
    square (P,)
        sum F r |p - mu - nu|^2.
    """
    channels, n, n_peaks = peak_weight.shape
    n_nodes = mu.shape[0]
    objective = np.zeros(channels)
    noise_mass = np.zeros(channels)
    total_mass = np.zeros(channels)
    mass = np.zeros(n_nodes)
    offer = np.zeros(n_nodes)
    pull = np.zeros((n_nodes, 3))
    square = np.zeros(n_nodes)
    for c in prange(channels):
        first, stop = start[c], start[c + 1]
        nodes = np.zeros((5, stop - first))
        joint = np.zeros(stop - first)
        moments = np.zeros((4, stop - first))
        for image in range(n):
            if peak_weight[c, image, 0] <= 0.0:
                continue
            normaliser = _look_up(
                first, stop, image, mu, weight, noise[c], shift, var, kappa, nodes
            )
            explained = 0.0
            moments[:] = 0.0
            for k in range(n_peaks):
                f = float(peak_weight[c, image, k])
                if f <= 0.0:
                    break
                y, x = float(peak_yx[c, image, k, 0]), float(peak_yx[c, image, k, 1])
                signal = _joint_densities(y, x, nodes, joint)
                density = signal + noise[c] / area
                objective[c] += f * math.log(density * area)
                total_mass[c] += f
                explained += f * signal / density
                _add_moments(f / density, y, x, nodes, joint, moments)
            noise_mass[c] -= explained
            for v in range(first, stop):
                i = v - first
                precision = 2.0 * nodes[_HALF_PRECISION, i]
                mass[v] += moments[0, i]
                pull[v, 0] += precision * (moments[1, i] + moments[0, i] * mu[v, 0])
                pull[v, 1] += precision * (moments[2, i] + moments[0, i] * mu[v, 1])
                pull[v, 2] += precision * moments[0, i]
                square[v] += moments[3, i]
                if normaliser > 0.0:
                    offer[v] += explained * kappa[v, image] / normaliser
        noise_mass[c] += total_mass[c]
    return objective, noise_mass, total_mass, mass, offer, pull, square


@jit
def _add_moments(scale, y, x, nodes, joint, moments):
    """Add F r and its moments about the predicted place: sums of 1, dy, dx, |d|^2."""
    for i in range(len(joint)):
        resp = scale * joint[i]
        dy, dx = y - nodes[_Y, i], x - nodes[_X, i]
        moments[0, i] += resp
        moments[1, i] += resp * dy
        moments[2, i] += resp * dx
        moments[3, i] += resp * (dy * dy + dx * dx)


@jit(parallel=True)
def infer(peak_weight, peak_yx, start, mu, weight, noise, shift, var, kappa, area):
    """Find each node in each photo (model step 5, Eq. 6).

    Returns
    -------
    peak (P, N)
        The peak with the highest F(p) r(p), the strongest of equals; -1 where no peak of the filter
        lies within the node's reach.
    score (P, N)
        That value; 0 where there is none.
    log_density (P, N)
        Log of the node's normal density at that peak, or where it is predicted without one.
    gain (C, N)
        sum F log(P(p) area) of each filter and photo: log-likelihood over uniform noise.
    """
    channels, n, n_peaks = peak_weight.shape
    n_nodes = mu.shape[0]
    peak = np.full((n_nodes, n), -1, dtype=np.int8)
    score = np.zeros((n_nodes, n), dtype=np.float32)
    log_density = np.zeros((n_nodes, n), dtype=np.float32)
    gain = np.zeros((channels, n))
    for c in prange(channels):
        first, stop = start[c], start[c + 1]
        nodes = np.zeros((5, stop - first))
        joint = np.zeros(stop - first)
        for image in range(n):
            _look_up(first, stop, image, mu, weight, noise[c], shift, var, kappa, nodes)
            for k in range(n_peaks):
                f = float(peak_weight[c, image, k])
                if f <= 0.0:
                    break
                y, x = float(peak_yx[c, image, k, 0]), float(peak_yx[c, image, k, 1])
                density = _joint_densities(y, x, nodes, joint) + noise[c] / area
                gain[c, image] += f * math.log(density * area)
                for v in range(first, stop):
                    value = np.float32(f * joint[v - first] / density)
                    if value > score[v, image]:
                        score[v, image] = value
                        peak[v, image] = k
            for v in range(first, stop):
                i, k = v - first, peak[v, image]
                dy = float(peak_yx[c, image, k, 0]) - nodes[_Y, i] if k >= 0 else 0.0
                dx = float(peak_yx[c, image, k, 1]) - nodes[_X, i] if k >= 0 else 0.0
                log_density[v, image] = log_normal_2d(dy, dx, nodes[_HALF_PRECISION, i])
    return peak, score, log_density, gain


@jit(parallel=True)
def places(peak_yx, start, mu, shift, peak, pull):
    """Return (P, N, 2) where nodes are: between their prediction and their peak, if any (Eq. 7)."""
    n_nodes, n = peak.shape
    yx = np.zeros((n_nodes, n, 2), dtype=np.float32)
    for c in prange(len(start) - 1):
        for v in range(start[c], start[c + 1]):
            for image in range(n):
                k = peak[v, image]
                for axis in range(2):
                    predicted = mu[v, axis] + shift[v, image, axis]
                    stray = peak_yx[c, image, k, axis] - predicted if k >= 0 else 0.0
                    yx[v, image, axis] = predicted + pull * stray
    return yx


@jit(parallel=True)
def held_out_gain(peak_weight, peak_yx, start, mu, weight, noise, shift, var, kappa, area, pull):
    """Return (P,) each node's gain in log-likelihood over noise, every photo held out in its turn.

    The sum over peaks of F r log(pi_V N(p; mu_V + nu_V, S^2) area / pi_0), where mu_V leaves out
    what the photo itself has added to it. ``pull`` is that of `e_step`.
    """
    channels, n, n_peaks = peak_weight.shape
    result = np.zeros(mu.shape[0])
    for c in prange(channels):
        first, stop = start[c], start[c + 1]
        nodes = np.zeros((5, stop - first))
        joint = np.zeros(stop - first)
        resp = np.zeros((stop - first, n_peaks))
        for image in range(n):
            _look_up(first, stop, image, mu, weight, noise[c], shift, var, kappa, nodes)
            resp[:] = 0.0
            for k in range(n_peaks):
                f = float(peak_weight[c, image, k])
                if f <= 0.0:
                    break
                y, x = float(peak_yx[c, image, k, 0]), float(peak_yx[c, image, k, 1])
                density = _joint_densities(y, x, nodes, joint) + noise[c] / area
                resp[:, k] = joint * (f / density)
            for v in range(first, stop):
                own, node = resp[v - first], nodes[:, v - first]
                if own.sum() > 0.0:
                    odds = node[_SHARE] * (1.0 - noise[c]) * area / noise[c]
                    result[v] += _photo_gain(own, peak_yx[c, image], mu[v], node, pull[v], odds)
    return result


@jit
def _photo_gain(resp, places, mu, node, pull, odds):
    """Sum F r log(odds N(p; mu + nu, S^2)) over one photo's peaks, mu being the others' mean.

    0 for a node that lives from this photo alone: it predicts nothing.
    """
    precision = 2.0 * node[_HALF_PRECISION]
    y_sum, x_sum, rest = pull[0], pull[1], pull[2]
    for k in range(len(resp)):
        y_sum -= resp[k] * precision * (places[k, 0] - node[_Y] + mu[0])
        x_sum -= resp[k] * precision * (places[k, 1] - node[_X] + mu[1])
        rest -= resp[k] * precision
    gain = 0.0
    if rest <= 1e-6 * pull[2]:
        return gain
    for k in range(len(resp)):
        if resp[k] > 0.0:
            dy = places[k, 0] - node[_Y] + mu[0] - y_sum / rest
            dx = places[k, 1] - node[_X] + mu[1] - x_sum / rest
            gain += resp[k] * (math.log(odds) + log_normal_2d(dy, dx, node[_HALF_PRECISION]))
    return gain
