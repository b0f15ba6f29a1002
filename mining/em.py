"""EM of one layer's mixture under fixed parents: steps, objective, stopping rule."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from explgraph.structures import F4, F8, I4

from . import _kernels
from .parents import Prior

_TINY = 1e-12
_LEAST_NOISE = 1e-6  # a peak far from every node keeps a finite likelihood


class PeakColumns(NamedTuple):
    """One layer's peaks, filters first: ``weight (C, N, K)``, ``yx (C, N, K, 2)``."""

    weight: F4
    yx: F4


@dataclass(frozen=True, eq=False, slots=True)
class Mixture:
    """The mixtures of all C filters of a layer; nodes of filter c are ``start[c]:start[c + 1]``.

    Attributes
    ----------
    start
        (C + 1,).
    mu
        (P, 2) network pixels.
    weight
        (P,) w_V; sums to 1 in a filter.
    noise
        (C,) pi_0.
    var
        (P,) s_V^2: the variance at the top layer, a descriptive moment below.
    """

    start: NDArray[np.int64]
    mu: F8
    weight: F8
    noise: F8
    var: F8

    def __len__(self) -> int:
        return len(self.mu)

    @property
    def channel(self) -> I4:
        """(P,) filter of each node."""
        return np.repeat(np.arange(len(self.start) - 1, dtype=np.int32), np.diff(self.start))

    def select(self, keep: NDArray[np.bool_]) -> Mixture:
        """Keep some nodes (mask (P,)); the weights of a filter's rest are scaled to sum to 1."""
        counts = np.add.reduceat(np.append(keep, False).astype(np.int64), self.start[:-1])
        counts[np.diff(self.start) == 0] = 0
        start = np.concatenate([[0], np.cumsum(counts)])
        kept = Mixture(start, self.mu[keep], self.weight[keep], self.noise, self.var[keep])
        return replace(kept, weight=_normalised(kept.weight, start))


class Statistics(NamedTuple):
    """What `_kernels.e_step` sums; see there."""

    objective: F8
    noise_mass: F8
    total_mass: F8
    mass: F8
    offer: F8
    pull: F8
    square: F8


def e_step(peaks: PeakColumns, mixture: Mixture, prior: Prior, area: float) -> Statistics:
    """Return the statistics of the mixture under its parameters."""
    m = mixture
    return Statistics(
        *_kernels.e_step(*peaks, m.start, m.mu, m.weight, m.noise, *prior, area)
    )


def infer(
    peaks: PeakColumns, mixture: Mixture, prior: Prior, area: float
) -> tuple[NDArray[np.int8], F4, F4]:
    """Return peak (P, N), score (P, N) and log density (P, N); see `_kernels.infer`."""
    m = mixture
    peak, score, log_density = _kernels.infer(
        *peaks, m.start, m.mu, m.weight, m.noise, *prior, area
    )
    return peak, score, log_density


def m_step(
    mixture: Mixture, stats: Statistics, var_range: tuple[float, float]
) -> Mixture:
    """Return the parameters that maximise the minoriser of the objective.

    w_V is a minorise-maximise step: log Z is bounded by its tangent, so the photo-dependent
    normaliser costs no inner loop and the objective cannot fall.
    """
    start = mixture.start
    alive = stats.mass > _TINY
    safe = np.where(alive, stats.mass, 1.0)
    weight = np.where(alive, stats.mass / np.where(stats.offer > 0, stats.offer, 1.0), 0.0)
    mu = np.where(
        alive[:, None],
        stats.pull[:, :2] / np.where(alive, stats.pull[:, 2], 1.0)[:, None],
        mixture.mu,
    )
    # sum F r |p - mu_new - nu|^2 from the sum about the old mu (exact where S is one per node)
    shift = mu - mixture.mu
    square = stats.square - stats.mass * (shift**2).sum(axis=1)
    var = np.where(alive, np.clip(square / (2 * safe), *var_range), mixture.var)
    fired = stats.total_mass > 0
    noise = np.where(
        fired, stats.noise_mass / np.where(fired, stats.total_mass, 1.0), mixture.noise
    )
    return Mixture(
        start, mu, _normalised(weight, start), np.clip(noise, _LEAST_NOISE, 1.0), var
    )


def _normalised(weight: F8, start: NDArray[np.int64]) -> F8:
    """Scale each filter's weights to sum to 1."""
    counts = np.diff(start)
    sums = np.add.reduceat(np.append(weight, 0.0), start[:-1])
    sums[counts == 0] = 0.0
    spread = np.repeat(sums, counts)
    result: F8 = np.divide(weight, spread, out=np.zeros_like(weight), where=spread > 0)
    return result
