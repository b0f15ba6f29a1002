"""EM of one layer's mixtures under a fixed prior: steps, objective, stopping rule."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from explgraph.structures import F4, F8, I4, Peaks

from . import _kernels
from .parents import Prior

I8 = NDArray[np.int64]

_TINY = 1e-12
_LEAST_NOISE = 1e-6  # a peak out of every node's reach keeps a finite likelihood
_FIRST_NOISE = 0.1


class PeakColumns(NamedTuple):
    """One layer's peaks, filters first: ``weight (C, N, K)``, ``yx (C, N, K, 2)``."""

    weight: F4
    yx: F4

    @classmethod
    def of(cls, peaks: Peaks) -> PeakColumns:
        """Put the filters of a layer's peaks first."""
        # Always copies: Numba would compile everything again for a read-only view.
        return cls(
            np.array(np.swapaxes(peaks.weight, 0, 1), order="C"),
            np.array(np.swapaxes(peaks.yx, 0, 1), order="C"),
        )

    @property
    def n_images(self) -> int:
        """N."""
        return int(self.weight.shape[1])


@dataclass(frozen=True, eq=False, slots=True)
class Mixture:
    """The mixtures of all C filters of a layer (Eq. 5), P nodes in all.

    Attributes
    ----------
    start
        (C + 1,) the nodes of filter c are ``start[c]:start[c + 1]``.
    mu
        (P, 2) mean positions, network pixels.
    weight
        (P,) w_V; sums to 1 in a filter.
    noise
        (C,) pi_0.
    """

    start: I8
    mu: F8
    weight: F8
    noise: F8

    def __len__(self) -> int:
        return len(self.mu)

    @property
    def columns(self) -> tuple[I8, F8, F8, F8]:
        """start, mu, weight, noise: as the kernels take them."""
        return self.start, self.mu, self.weight, self.noise

    @property
    def channel(self) -> I4:
        """(P,) filter of each node."""
        return np.repeat(np.arange(len(self.start) - 1, dtype=np.int32), np.diff(self.start))

    def select(self, order: I8) -> Mixture:
        """Keep some nodes, filter by filter; the weights of what is left of a filter sum to 1."""
        counts = np.bincount(self.channel[order], minlength=len(self.start) - 1)
        start = np.concatenate([[0], np.cumsum(counts)]).astype(np.int64)
        weight = _normalised(self.weight[order], start)
        return Mixture(start, self.mu[order], weight, self.noise)

    def moved(self, shift: F8) -> Mixture:
        """Move mean positions by (P, 2)."""
        return Mixture(self.start, self.mu + shift, self.weight, self.noise)

    @classmethod
    def at(cls, places: F8, n_channels: int) -> Mixture:
        """Start with equal nodes at (P, 2) places, as many in each of the filters."""
        each = len(places) // n_channels
        return cls(
            np.arange(n_channels + 1, dtype=np.int64) * each,
            places.astype(np.float64),
            np.full(len(places), 1.0 / each),
            np.full(n_channels, _FIRST_NOISE),
        )


class Statistics(NamedTuple):
    """What `_kernels.e_step` sums; see there."""

    objective: F8
    noise_mass: F8
    total_mass: F8
    mass: F8
    offer: F8
    pull: F8
    square: F8


class Inference(NamedTuple):
    """What `_kernels.infer` finds; see there."""

    peak: NDArray[np.int8]
    score: F4
    log_density: F4
    gain: F8


def e_step(peaks: PeakColumns, mixture: Mixture, prior: Prior, area: float) -> Statistics:
    """Return the statistics of the peaks under the mixture; ``area`` in square network pixels."""
    return Statistics(*_kernels.e_step(*peaks, *mixture.columns, *prior, area))


def m_step(mixture: Mixture, stats: Statistics) -> Mixture:
    """Return the parameters that maximise the minoriser of the objective: it cannot fall.

    mu and pi_0 are weighted means. The shares pi_V of a photo are normalised there by Z = sum w
    kappa; bounding log Z by its tangent gives w_V = R_V / sum_i (R_i kappa_iV / Z_i), without an
    inner loop.
    """
    alive = (stats.mass > _TINY) & (stats.offer > 0)
    weight = np.divide(stats.mass, stats.offer, out=np.zeros_like(stats.mass), where=alive)
    mu = mixture.mu.copy()
    mu[alive] = stats.pull[alive, :2] / stats.pull[alive, 2:]
    fired = stats.total_mass > 0
    noise = np.divide(stats.noise_mass, stats.total_mass, out=mixture.noise.copy(), where=fired)
    return Mixture(
        mixture.start,
        mu,
        _normalised(weight, mixture.start),
        np.clip(noise, _LEAST_NOISE, 1.0 - _LEAST_NOISE),
    )


def fit(
    peaks: PeakColumns, mixture: Mixture, prior: Prior, area: float, *, max_iter: int, tol: float
) -> tuple[Mixture, Statistics, list[float]]:
    """Run EM under a fixed prior.

    Stops after ``max_iter`` steps, or when a step adds less than ``tol`` times what all have added.

    Returns
    -------
    The mixture, its statistics, and the objective (peak-weighted log-likelihood over uniform noise)
    before each step and after the last one.
    """
    stats = e_step(peaks, mixture, prior, area)
    objective = [float(stats.objective.sum())]
    for _ in range(max_iter):
        mixture = m_step(mixture, stats)
        stats = e_step(peaks, mixture, prior, area)
        objective.append(float(stats.objective.sum()))
        if objective[-1] - objective[-2] <= tol * (objective[-1] - objective[0]):
            break
    return mixture, stats, objective


def infer(peaks: PeakColumns, mixture: Mixture, prior: Prior, area: float) -> Inference:
    """Find each node in each photo."""
    return Inference(*_kernels.infer(*peaks, *mixture.columns, *prior, area))


def places(
    peaks: PeakColumns, mixture: Mixture, prior: Prior, inference: Inference, pull: float
) -> F4:
    """Return (P, N, 2) where nodes are, network pixels.

    ``pull`` of the way from where they are predicted to their peak; as predicted without one.
    """
    yx: F4 = _kernels.places(
        peaks.yx, mixture.start, mixture.mu, prior.shift, inference.peak, float(pull)
    )
    return yx


def held_out_gain(
    peaks: PeakColumns, mixture: Mixture, prior: Prior, area: float, stats: Statistics
) -> F8:
    """Return (P,) the nodes' gain in log-likelihood over noise per photo, each held out in turn."""
    gain: F8 = _kernels.held_out_gain(*peaks, *mixture.columns, *prior, area, stats.pull)
    return gain / np.float64(peaks.n_images)


def _normalised(weight: F8, start: I8) -> F8:
    """Scale each filter's weights to sum to 1."""
    channel = np.repeat(np.arange(len(start) - 1), np.diff(start))
    sums = np.bincount(channel, weights=weight, minlength=len(start) - 1)[channel]
    return np.divide(weight, sums, out=np.zeros_like(weight), where=sums > 0)
