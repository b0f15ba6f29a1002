"""Mining on the CPU: compiled loops, in threads."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

import numpy as np

from explgraph.base.arrays import F8, I4, I8, U1
from explgraph.base.threads import map_ranges
from explgraph.peaks.structures import PeakSource

from .em import Fit, Mixture, PeakColumns, fit, held_out_gain, infer
from .engine import Kernels
from .guides import Block, Placed
from .parents import Companions, choose_parents
from .pose import Regressions, regress

T = TypeVar("T")

_FILTERS = 16  # that a thread works on at a time, if there are few photos
_PHOTOS = 4096  # times filters that a thread works on at a time, if there are many


@dataclass(frozen=True, eq=False, slots=True)
class CpuEngine:
    """See `mining.engine.Engine`."""

    source: PeakSource
    mirrored: U1

    def by_filters(
        self, layer: int, mixture: Mixture, task: Callable[[int, int, Kernels], T]
    ) -> list[T]:
        """Run the task in threads."""
        height, width = self.source.input_size

        def some(first: int, last: int) -> T:
            block = self.source.block(layer, first, last)
            peaks = PeakColumns.gather(block, first, last, self.mirrored)
            return task(first, last, CpuKernels(peaks, float(height * width)))

        size = max(1, min(_FILTERS, _PHOTOS // len(self.source)))
        return map_ranges(some, len(mixture.noise), size)


@dataclass(frozen=True, eq=False, slots=True)
class CpuKernels:
    """See `mining.engine.Kernels`; ``area`` is the network input's, square pixels."""

    peaks: PeakColumns
    area: float

    def fit(self, block: Block, *, max_iter: int, tol: float, closing: bool) -> Fit:
        """Run EM."""
        mixture, guide = block
        arguments = self.peaks, mixture, guide.prior, self.area
        return fit(*arguments, max_iter=max_iter, tol=tol, closing=closing)

    def held_out_gain(self, block: Block, sums: F8) -> F8:
        """Return (P,) gains."""
        mixture, guide = block
        return held_out_gain(self.peaks, mixture, guide.prior, self.area, sums)

    def score(self, block: Block) -> F8:
        """Return (P,) mean scores."""
        score: F8 = self._all(block, pull=1).score.mean(axis=1, dtype=np.float64)
        return score

    def place(self, block: Block, pull: float, nodes: I8) -> Placed:
        """Find some nodes."""
        return self._all(block, pull).take(nodes)

    def regress(self, block: Block, code: F8, penalty: float) -> Regressions:
        """Regress places on components."""
        return regress(code, *self._all(block, pull=1), penalty)

    def choose_parents(self, block: Block, upper: Companions, pull: float, n_parents: int) -> I4:
        """Return (P, M) parents."""
        return choose_parents(*self._all(block, pull), upper, n_parents)

    def _all(self, block: Block, pull: float) -> Placed:
        """Find all nodes."""
        mixture, guide = block
        found = infer(self.peaks, mixture, guide.prior, self.area)
        displacement = found.places(pull) - mixture.mu.astype(np.float32)[..., None]
        return Placed(displacement, found.score)
