"""Mining by an executor's workers: filters and groups of photos as units of work.

`explgraph.base.running.crew` has the rules that units keep. Workers read peaks from the spool by
themselves. What a step needs besides (its nodes, the photos' poses, where the nodes above are) is
written once into a file that they share. Ranges of filters are cut as one process cuts them, and
sums over groups of photos are added up in the groups' order, so the graph has the same bytes.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

import numba
import numpy as np

from explgraph.base import __version__
from explgraph.base.arrays import U1
from explgraph.base.running.crew import Crew
from explgraph.base.running.kept import Kept
from explgraph.base.running.shared import Shared
from explgraph.peaks.structures import PeakSet, PeakSource, group_firsts
from mining.align import Each
from mining.config import RESULTS
from mining.cpu import CpuEngine
from mining.em import Mixture, PeakColumns
from mining.engine import Kernels, Photos
from mining.guides import Placed
from mining.pose import Regressions

from .steps import MinedLayer, Told

T = TypeVar("T")

_STEPS = 4  # ranges of filters in a unit: a worker's threads have something to share
_STAGE = "mining"
_RESULTS = (Mixture, MinedLayer, Placed, Regressions, Told)


@dataclass(frozen=True, eq=False, slots=True)
class PoolEngine:
    """See `mining.engine.Engine`: what `CpuEngine` does, by workers."""

    own: CpuEngine
    crew: Crew

    @property
    def source(self) -> PeakSource:
        """The photos' peaks, both ways."""
        return self.own.source

    @property
    def mirrored(self) -> U1:
        """(N,) which photos are seen mirrored."""
        return self.own.mirrored

    @property
    def is_here(self) -> bool:
        """No: what tasks find comes back."""
        return False

    def columns(self, layer: int, first: int, last: int) -> PeakColumns:
        """Return filters' peaks, here."""
        return self.own.columns(layer, first, last)

    def by_filters(
        self, layer: int, mixture: Mixture, task: Callable[[int, int, Kernels], T]
    ) -> list[T]:
        """Let workers run the task."""
        count, size = len(mixture.noise), _STEPS * self.own.step
        ranges = [(first, min(first + size, count)) for first in range(0, count, size)]
        with self.crew.share(_Work(self.own, layer, task), "mining's work") as shared:
            parts = self.crew.map_kept(_STAGE, FilterUnit(shared), ranges, self._kept(shared))
        return [result for part in parts for result in part]

    def over_groups(self, task: Callable[[Photos], T]) -> Iterator[T]:
        """Let workers run the task."""
        with self.crew.share(_Groups(self.own, task), "mining's work") as shared:
            numbers = [(number,) for number in range(len(group_firsts(self.source)))]
            kept = self._kept(shared)
            yield from self.crew.map_kept(_STAGE, PhotosUnit(shared), numbers, kept)

    def _kept(self, shared: Shared[Any]) -> Kept[Any]:
        """Return where results are kept: by all that decides them, the program's version, too."""
        said = [shared.digest, RESULTS, __version__, numba.__version__, np.__version__]
        key = hashlib.sha256(json.dumps(said).encode()).hexdigest()
        return Kept(self.crew.folder.absolute(), key, _RESULTS)


@dataclass(frozen=True, eq=False, slots=True)
class _Work(Generic[T]):
    engine: CpuEngine
    layer: int
    task: Callable[[int, int, Kernels], T]


@dataclass(frozen=True, slots=True)
class FilterUnit(Generic[T]):
    """Some filters' peaks to what a step makes of them."""

    work: Shared[_Work[T]]

    def __call__(self, first: int, last: int) -> list[T]:
        """Return the results of the ranges from filter ``first`` to ``last`` - 1."""
        work = self.work.get()
        return work.engine.in_range(work.layer, first, last, work.task)


@dataclass(frozen=True, eq=False, slots=True)
class _Groups(Generic[T]):
    engine: CpuEngine
    task: Callable[[Photos], T]


@dataclass(frozen=True, slots=True)
class PhotosUnit(Generic[T]):
    """A group of photos, each one way, to its part of the edges."""

    work: Shared[_Groups[T]]

    def __call__(self, number: int) -> T:
        """Return what the task makes of a group, given by number."""
        work = self.work.get()
        return work.task(work.engine.group(number))


@dataclass(frozen=True, slots=True)
class GroupUnit(Generic[T]):
    """A group of photos, both ways, to what they say of facing."""

    work: Shared[tuple[PeakSource, Callable[[PeakSet, int], T]]]

    def __call__(self, number: int) -> T:
        """Return what the task makes of a group, given by number, and its first photo's index."""
        peaks, task = self.work.get()
        return task(peaks.group(number), group_firsts(peaks)[number])


def by_workers(crew: Crew) -> Each:
    """Return what goes through groups of photos, each where there is a worker for it."""

    def each(peaks: PeakSource, task: Callable[[PeakSet, int], Any]) -> list[Any]:
        numbers = [(number,) for number in range(len(group_firsts(peaks)))]
        with crew.share((peaks, task), "mining's work") as shared:
            return crew.map("facing", GroupUnit(shared), numbers)

    return each
