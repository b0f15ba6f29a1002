"""EM of some filters' mixtures under a fixed prior, and where their nodes are then."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

from explgraph.base.arrays import F4, F8, I1, I4, I8, NONE, U1, Array, namespace_of
from explgraph.peaks.structures import PeakBlock, Peaks

from . import _kernels
from .parents import Prior

_FIRST_NOISE = 0.1


class PeakColumns(NamedTuple):
    """Peaks of C filters, one photo beside the other: ``weight (C, K, N)``, ``yx (C, 2, K, N)``.

    They are where the device wants them.
    """

    weight: Array
    yx: Array

    @classmethod
    def gather(cls, block: PeakBlock, first: int, last: int, mirrored: U1) -> Self:
        """Take filters ``first`` to ``last`` - 1 of a layer; ``mirrored (N,)`` says which way."""
        n, _, k = block.weight.shape
        columns = cls(
            np.empty((last - first, k, n), dtype=np.float32),
            np.empty((last - first, 2, k, n), dtype=np.float32),
        )
        _kernels.gather(*block[:4], mirrored, first - block.first, *columns)
        return columns

    @classmethod
    def of(cls, peaks: Peaks) -> Self:
        """Take all filters of a layer, photos as given."""
        block = PeakBlock(peaks.weight, peaks.yx, peaks.weight, peaks.yx, 0)
        as_given = np.zeros(len(peaks), dtype=np.uint8)
        return cls.gather(block, 0, peaks.layer.channels, as_given)

    @property
    def n_images(self) -> int:
        """N."""
        return int(self.weight.shape[2])

    def some(self, photos: Array | slice) -> PeakColumns:
        """Return the peaks of some photos; no copy of all."""
        return PeakColumns(*(np.ascontiguousarray(array[..., photos]) for array in self))

    def by_photo(self, photos: Array | slice) -> tuple[Array, Array]:
        """Return some photos' places (N, C, K, 2) and weights (N, C, K), as in `Peaks`."""
        xp = namespace_of(self.weight)
        yx = xp.permute_dims(self.yx[..., photos], (3, 0, 2, 1))
        return yx, xp.permute_dims(self.weight[..., photos], (2, 0, 1))


class Nodes(NamedTuple):
    """A `Mixture` as the kernels take it."""

    start: I8
    mu: F8
    weight: F8
    noise: F8


@dataclass(frozen=True, eq=False, slots=True)
class Mixture:
    """The mixtures of C filters of a layer (Eq. 5), P nodes in all.

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
    def nodes(self) -> Nodes:
        """The same arrays, as the kernels take them."""
        return Nodes(self.start, self.mu, self.weight, self.noise)

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

    def filters(self, first: int, last: int) -> Mixture:
        """Return filters ``first`` to ``last`` - 1 alone, as copies."""
        rows = self.rows(first, last)
        return Mixture(
            self.start[first : last + 1] - rows.start,
            self.mu[rows].copy(),
            self.weight[rows].copy(),
            self.noise[first:last].copy(),
        )

    def rows(self, first: int, last: int) -> slice:
        """Return which nodes are those of filters ``first`` to ``last`` - 1."""
        return slice(int(self.start[first]), int(self.start[last]))

    def moved(self, shift: F8) -> Mixture:
        """Move mean positions by (P, 2)."""
        return Mixture(self.start, self.mu + shift, self.weight, self.noise)

    @classmethod
    def of(cls, arrays: Mapping[str, NDArray[Any]]) -> Self:
        """Return the mixture of the `Nodes` given by name."""
        return cls(*(np.array(arrays[name]) for name in Nodes._fields))

    @classmethod
    def joined(cls, parts: Sequence[Mixture]) -> Mixture:
        """Put runs of filters together again."""
        counts = np.concatenate([np.diff(part.start) for part in parts])
        return cls(
            np.concatenate([[0], np.cumsum(counts)]).astype(np.int64),
            *(np.concatenate([p.nodes[field] for p in parts]) for field in (1, 2, 3)),
        )

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


class Fit(NamedTuple):
    """What `_kernels.fit` finds: a mixture, its ``sums``, ``response`` and ``trace``; see there."""

    mixture: Mixture
    sums: F8
    response: F8
    trace: F8

    @classmethod
    def joined(cls, parts: Sequence[Fit]) -> Fit:
        """Put runs of filters together."""
        return cls(
            Mixture.joined([part.mixture for part in parts]),
            *(np.concatenate([part[field] for part in parts]) for field in (1, 2, 3)),
        )

    @property
    def mass(self) -> F8:
        """(P,) response that each node explains."""
        mass: F8 = self.sums[:, _kernels.MASS]
        return mass

    @property
    def spread(self) -> F8:
        """(P,) standard deviation per axis about the predicted position, network pixels."""
        mass = np.maximum(self.mass, np.finfo(np.float64).tiny)
        spread: F8 = np.sqrt(self.sums[:, _kernels.SQUARE] / (2 * mass))
        return spread


class Inference(NamedTuple):
    """What `_kernels.infer` finds; see there."""

    peak: I1
    score: F4
    predicted: F4
    found: F4
    gain: F4

    def places(self, pull: float) -> F4:
        """Return (P, 2, N) where nodes are, network pixels.

        ``pull`` of the way from where they are predicted to their peak; as predicted without one.
        """
        return self.predicted + pull * (self.found - self.predicted)

    def log_density(self, prior: Prior) -> F4:
        """Return (P, N) log N(p; mu + nu, S^2 I) at the peak, or where the node is predicted."""
        xp = namespace_of(self.found)
        square = xp.sum(xp.square(self.found - self.predicted), axis=1)
        half_precision = prior.half_precision[:, None]
        log_density: F4 = xp.log(half_precision / np.pi) - square * half_precision
        return log_density


def fit(
    peaks: PeakColumns,
    mixture: Mixture,
    prior: Prior,
    area: float,
    *,
    max_iter: int,
    tol: float,
    closing: bool = True,
) -> Fit:
    """Run EM under a fixed prior, filter by filter.

    A filter stops after ``max_iter`` steps, or when a step adds less than ``tol`` times what all
    have added. ``area`` is the network input's, square pixels. Without ``closing``, the statistics
    are those before the last step, whose gain nobody asks for.
    """
    channels, n_nodes = len(mixture.noise), len(mixture)
    result = Fit(
        Mixture.of(mixture.nodes._asdict()),
        np.zeros((n_nodes, 5)),
        np.zeros((channels, 2)),
        np.zeros((channels, max_iter + 1)),
    )
    _kernels.fit(peaks, result.mixture.nodes, prior, area, max_iter, tol, closing, *result[1:])
    return result


def infer(peaks: PeakColumns, mixture: Mixture, prior: Prior, area: float) -> Inference:
    """Find each node in each photo."""
    n_nodes, n = len(mixture), peaks.n_images
    result = Inference(
        np.full((n_nodes, n), NONE, dtype=np.int8),
        np.zeros((n_nodes, n), dtype=np.float32),
        np.zeros((n_nodes, 2, n), dtype=np.float32),
        np.zeros((n_nodes, 2, n), dtype=np.float32),
        np.zeros((len(mixture.noise), n), dtype=np.float32),
    )
    _kernels.infer(peaks, mixture.nodes, prior, area, *result)
    return result


def held_out_gain(peaks: PeakColumns, mixture: Mixture, prior: Prior, area: float, sums: F8) -> F8:
    """Return (P,) the nodes' gain in log-likelihood over noise per photo, each held out in turn."""
    gain = np.zeros(len(mixture))
    _kernels.held_out_gain(peaks, mixture.nodes, prior, area, sums, gain)
    return gain / np.float64(peaks.n_images)


def _normalised(weight: F8, start: I8) -> F8:
    """Scale each filter's weights to sum to 1."""
    channel = np.repeat(np.arange(len(start) - 1), np.diff(start))
    sums = np.bincount(channel, weights=weight, minlength=len(start) - 1)[channel]
    return np.divide(weight, sums, out=np.zeros_like(weight), where=sums > 0)
