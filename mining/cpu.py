"""Mining and matching on the CPU: compiled loops, in threads."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import reduce
from typing import TypeVar

import numpy as np

from explgraph.base.arrays import F4, F8, I4, I8, U1
from explgraph.base.threads import map_ranges
from explgraph.peaks.structures import PeakBlock, Peaks, PeakSource, group_firsts

from .em import Fit, Inference, Mixture, PeakColumns, fit, held_out_gain, infer
from .engine import Kernels, Photos, enough, oriented_group
from .filters import merge_nodes
from .guides import Block, Placed
from .parents import Companions, Prior, choose_parents, predict
from .pose import PoseMap, Regressions, regress

T = TypeVar("T")

_FILTERS = 16  # that a thread works on at a time, if there are few photos
_PHOTOS = 4096  # times filters that a thread works on at a time, if there are many
_AT_ONCE = 4096  # photos in which nodes are found at a time


@dataclass(frozen=True, eq=False, slots=True)
class CpuEngine:
    """See `mining.engine.Engine`."""

    source: PeakSource
    mirrored: U1

    @property
    def is_here(self) -> bool:
        """Yes: in threads."""
        return True

    def by_filters(
        self, layer: int, mixture: Mixture, task: Callable[[int, int, Kernels], T]
    ) -> list[T]:
        """Run the task in threads."""
        return self.in_range(layer, 0, len(mixture.noise), task)

    @property
    def step(self) -> int:
        """How many filters are taken at a time: products round by it, so nothing else decides."""
        return max(1, min(_FILTERS, _PHOTOS // len(self.source)))

    def in_range(
        self, layer: int, start: int, stop: int, task: Callable[[int, int, Kernels], T]
    ) -> list[T]:
        """Run the task on filters ``start``, a multiple of `step`, to ``stop`` - 1."""
        height, width = self.source.input_size

        def some(first: int, last: int) -> T:
            peaks = self.columns(layer, start + first, start + last)
            return task(start + first, start + last, CpuKernels(peaks, float(height * width)))

        return map_ranges(some, stop - start, self.step)

    def columns(self, layer: int, first: int, last: int) -> PeakColumns:
        """Return filters' peaks."""
        block = self.source.block(layer, first, last)
        return PeakColumns.gather(block, first, last, self.mirrored)

    def over_groups(self, task: Callable[[Photos], T]) -> Iterator[T]:
        """Yield ``task(photos)`` of each group."""
        return (task(self.group(number)) for number in range(len(group_firsts(self.source))))

    def group(self, number: int) -> CpuPhotos:
        """Return a group of photos, by its number from 0."""
        peaks = oriented_group(self.source, self.mirrored, number)
        return CpuPhotos(peaks, self.source.input_size)


@dataclass(frozen=True, eq=False, slots=True)
class CpuPhotos:
    """See `mining.engine.Photos`."""

    peaks: tuple[Peaks, ...]
    input_size: tuple[int, int]

    def __len__(self) -> int:
        return len(self.peaks[0])

    def columns(self, layer: int) -> PeakColumns:
        """Return a layer's peaks, some filters brought in each thread."""
        peaks = self.peaks[layer]
        block = PeakBlock(peaks.weight, peaks.yx, peaks.weight, peaks.yx, 0)
        as_given = np.zeros(len(self), dtype=np.uint8)

        def some(first: int, last: int) -> PeakColumns:
            return PeakColumns.gather(block, first, last, as_given)

        columns = map_ranges(some, peaks.layer.channels, _FILTERS)
        return PeakColumns(*(np.concatenate(arrays) for arrays in zip(*columns, strict=True)))

    def pose(self, pose_map: PoseMap) -> F4:
        """Return (N, Q) poses."""
        return pose_map(self.peaks[-1], self.input_size)

    def predict(self, start: I8, parent: I4, displacement: F4, variance: float) -> Prior:
        """Say where nodes are expected."""
        return predict(start, parent, displacement, variance)

    def infer(self, peaks: PeakColumns, mixture: Mixture, prior: Prior) -> Inference:
        """Find a layer's nodes, some filters in each thread."""
        height, width = self.input_size

        def some(first: int, last: int) -> Inference:
            rows = mixture.rows(first, last)
            columns = PeakColumns(*(array[first:last] for array in peaks))
            own = Prior(*(array[rows] for array in prior))
            return infer(columns, mixture.filters(first, last), own, float(height * width))

        found = map_ranges(some, len(mixture.noise), _FILTERS)
        return Inference(*(np.concatenate(arrays) for arrays in zip(*found, strict=True)))


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

    def merge(self, mixture: Mixture, radius: float) -> tuple[Mixture, I8]:
        """Merge nodes."""
        return merge_nodes(mixture, radius)

    def held_out_gain(self, block: Block, sums: F8) -> F8:
        """Return (P,) gains."""
        mixture, guide = block
        return held_out_gain(self.peaks, mixture, guide.prior, self.area, sums)

    def score(self, block: Block) -> F8:
        """Return (P,) mean scores."""
        sums = (part.score.sum(axis=1, dtype=np.float64) for part in self._parts(block, pull=1))
        total: F8 = reduce(np.add, sums)
        return total / self.peaks.n_images

    def place(self, block: Block, pull: float, nodes: I8) -> Placed:
        """Find some nodes."""
        return Placed.joined([part.take(nodes) for part in self._parts(block, pull)], axis=-1)

    def regress(self, block: Block, code: F8, penalty: float) -> Regressions:
        """Regress places on components."""
        photos = enough(len(code))
        return regress(code[photos], *self._found(block, 1, photos), penalty)

    def choose_parents(self, block: Block, upper: Companions, pull: float, n_parents: int) -> I4:
        """Return (P, M) parents."""
        found = self._found(block, pull, enough(self.peaks.n_images))
        return choose_parents(*found, upper, n_parents)

    def _parts(self, block: Block, pull: float) -> Iterator[Placed]:
        """Find all nodes, in some photos at a time."""
        n = self.peaks.n_images
        if n <= _AT_ONCE:
            yield self._found(block, pull, slice(None))
            return
        for first in range(0, n, _AT_ONCE):
            yield self._found(block, pull, slice(first, first + _AT_ONCE))

    def _found(self, block: Block, pull: float, photos: I8 | slice) -> Placed:
        """Find all nodes in some photos."""
        mixture, guide, peaks = *block, self.peaks
        if not (isinstance(photos, slice) and photos == slice(None)):
            guide, peaks = guide.photos(photos), peaks.some(photos)
        found = infer(peaks, mixture, guide.prior, self.area)
        return Placed.of(found, mixture.mu, pull)
