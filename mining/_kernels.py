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

from ._math import log_normal_2d, normal_2d


@jit
def _node_shares(first, stop, image, weight, kappa, shares):
    """Fill pi_V / (1 - pi_0) of a filter's nodes in one photo (Eq. 4); return their normaliser Z."""
    total = 0.0
    for v in range(first, stop):
        shares[v - first] = weight[v] * kappa[v, image]
        total += shares[v - first]
    if total > 0.0:
        for v in range(first, stop):
            shares[v - first] /= total
    return total


@jit
def _joint_densities(first, stop, image, y, x, mu, shift, var, shares, signal, out):
    """Fill pi_V N(p; mu_V + nu_V, S_V^2) of a filter's nodes at one place; return their sum."""
    total = 0.0
    for v in range(first, stop):
        dy = y - mu[v, 0] - shift[v, image, 0]
        dx = x - mu[v, 1] - shift[v, image, 1]
        value = signal * shares[v - first] * normal_2d(dy, dx, var[v, image])
        out[v - first] = value
        total += value
    return total


@jit(parallel=True)
def e_step(peak_weight, peak_yx, start, mu, weight, noise, shift, var, kappa, area):
    """Sum the statistics of one EM step.

    Returns
    -------
    objective (C,)
        Peak-weighted log-likelihood of each filter, relative to uniform noise.
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
        shares = np.zeros(stop - first)
        joint = np.zeros(stop - first)
        for image in range(n):
            if peak_weight[c, image, 0] <= 0.0:
                continue
            normaliser = _node_shares(first, stop, image, weight, kappa, shares)
            explained = 0.0
            for k in range(n_peaks):
                f = float(peak_weight[c, image, k])
                if f <= 0.0:
                    break
                y, x = float(peak_yx[c, image, k, 0]), float(peak_yx[c, image, k, 1])
                signal = _joint_densities(
                    first, stop, image, y, x, mu, shift, var, shares, 1.0 - noise[c], joint
                )
                density = signal + noise[c] / area
                objective[c] += f * math.log(density * area)
                total_mass[c] += f
                explained += f * signal / density
                for v in range(first, stop):
                    if joint[v - first] <= 0.0:
                        continue
                    resp = f * joint[v - first] / density
                    py, px = y - shift[v, image, 0], x - shift[v, image, 1]
                    mass[v] += resp
                    pull[v, 0] += resp * py / var[v, image]
                    pull[v, 1] += resp * px / var[v, image]
                    pull[v, 2] += resp / var[v, image]
                    square[v] += resp * ((py - mu[v, 0]) ** 2 + (px - mu[v, 1]) ** 2)
            if normaliser > 0.0:
                for v in range(first, stop):
                    offer[v] += explained * kappa[v, image] / normaliser
            noise_mass[c] -= explained
        noise_mass[c] += total_mass[c]
    return objective, noise_mass, total_mass, mass, offer, pull, square


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
        Log of the node's normal density at its place.
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
        shares = np.zeros(stop - first)
        joint = np.zeros(stop - first)
        for image in range(n):
            _node_shares(first, stop, image, weight, kappa, shares)
            for v in range(first, stop):
                log_density[v, image] = log_normal_2d(0.0, 0.0, var[v, image])
            for k in range(n_peaks):
                f = float(peak_weight[c, image, k])
                if f <= 0.0:
                    break
                y, x = float(peak_yx[c, image, k, 0]), float(peak_yx[c, image, k, 1])
                signal = _joint_densities(
                    first, stop, image, y, x, mu, shift, var, shares, 1.0 - noise[c], joint
                )
                density = signal + noise[c] / area
                gain[c, image] += f * math.log(density * area)
                for v in range(first, stop):
                    value = np.float32(f * joint[v - first] / density)
                    if value > score[v, image]:
                        score[v, image] = value
                        peak[v, image] = k
                        log_density[v, image] = log_normal_2d(
                            y - mu[v, 0] - shift[v, image, 0],
                            x - mu[v, 1] - shift[v, image, 1],
                            var[v, image],
                        )
    return peak, score, log_density, gain


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
        shares = np.zeros(stop - first)
        joint = np.zeros(stop - first)
        resp = np.zeros((stop - first, n_peaks))
        for image in range(n):
            _node_shares(first, stop, image, weight, kappa, shares)
            resp[:] = 0.0
            for k in range(n_peaks):
                f = float(peak_weight[c, image, k])
                if f <= 0.0:
                    break
                y, x = float(peak_yx[c, image, k, 0]), float(peak_yx[c, image, k, 1])
                signal = _joint_densities(
                    first, stop, image, y, x, mu, shift, var, shares, 1.0 - noise[c], joint
                )
                density = signal + noise[c] / area
                for v in range(first, stop):
                    resp[v - first, k] = f * joint[v - first] / density
            for v in range(first, stop):
                own = resp[v - first]
                if own.sum() <= 0.0:
                    continue
                odds = max(shares[v - first] * (1.0 - noise[c]), 1e-300) * area / noise[c]
                result[v] += own.sum() * math.log(odds) + _photo_gain(
                    own, peak_yx[c, image], shift[v, image], var[v, image], pull[v], area
                )
    return result


@jit
def _photo_gain(resp, places, shift, var, pull, area):
    """Sum F r log N(p; mu + nu, S^2) over one photo's peaks, mu being the other photos' mean."""
    y_sum, x_sum, precision = pull[0], pull[1], pull[2]
    for k in range(len(resp)):
        y_sum -= resp[k] * (places[k, 0] - shift[0]) / var
        x_sum -= resp[k] * (places[k, 1] - shift[1]) / var
        precision -= resp[k] / var
    if precision <= 1e-6 * pull[2]:  # the node lives from this photo alone: it predicts nothing
        return -resp.sum() * math.log(area)
    gain = 0.0
    for k in range(len(resp)):
        if resp[k] > 0.0:
            dy = places[k, 0] - y_sum / precision - shift[0]
            dx = places[k, 1] - x_sum / precision - shift[1]
            gain += resp[k] * log_normal_2d(dy, dx, var)
    return gain
