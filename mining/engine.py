"""What mining computes with: the seam between its steps and the device that does the work."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Literal, Protocol, TypeVar

from explgraph.base.arrays import F8, I4, I8, U1, Array, evenly
from explgraph.peaks.structures import Peaks, PeakSource, group_firsts

from .em import Fit, Inference, Mixture, PeakColumns
from .guides import Block, Placed
from .parents import Companions, Prior
from .pose import PoseMap, Regressions

T = TypeVar("T")

ENOUGH = 4096
"""Photos from which nodes' movements are regressed, and parents chosen: of more, as many are taken.

What is asked are means over photos: from so many they are sure to a sixtieth of the photos'
deviation. Nodes themselves are fitted to all photos.
"""

Device = Literal["auto", "cpu", "cuda"]


class Kernels(Protocol):
    """What is computed from the peaks of some filters, which lie where the device wants them.

    Every method takes the filters' P nodes as they are now; what it returns is on the host.
    """

    def fit(self, block: Block, *, max_iter: int, tol: float, closing: bool) -> Fit:
        """Run EM; see `em.fit`."""

    def merge(self, mixture: Mixture, radius: float) -> tuple[Mixture, I8]:
        """Merge nodes that lie together; see `filters.merge_nodes`."""

    def held_out_gain(self, block: Block, sums: F8) -> F8:
        """Return (P,) what the nodes gain over noise; see `em.held_out_gain`."""

    def score(self, block: Block) -> F8:
        """Return (P,) the nodes' mean scores over the photos."""

    def place(self, block: Block, pull: float, nodes: I8) -> Placed:
        """Find some of the nodes, given by index; ``pull`` as in `em.Inference.places`."""

    def regress(self, block: Block, code: F8, penalty: float) -> Regressions:
        """Regress where the nodes' peaks are on the photos' components; see `pose.regress`."""

    def choose_parents(self, block: Block, upper: Companions, pull: float, n_parents: int) -> I4:
        """Return (P, M) rows of ``upper``; see `parents.choose_parents`."""


class Photos(Protocol):
    """N photos' peaks of all layers, each photo one way, and where to look for nodes in them.

    Arrays of photos are where the device wants them; those of nodes alone are on the host.
    """

    def __len__(self) -> int: ...

    def columns(self, layer: int) -> PeakColumns:
        """Return a layer's peaks."""

    def pose(self, pose_map: PoseMap) -> Array:
        """Return (N, Q) the photos' poses."""

    def predict(self, start: I8, parent: I4, displacement: Array, variance: float) -> Prior:
        """Say where nodes are expected; see `parents.predict`."""

    def infer(self, peaks: PeakColumns, mixture: Mixture, prior: Prior) -> Inference:
        """Find a layer's nodes; see `em.infer`."""


class Engine(Protocol):
    """A device at work on the peaks of some photos, all facing one way."""

    @property
    def source(self) -> PeakSource:
        """The photos' peaks, both ways."""

    @property
    def is_here(self) -> bool:
        """Whether tasks run in this process, and may write where others read."""

    def columns(self, layer: int, first: int, last: int) -> PeakColumns:
        """Return the peaks of filters ``first`` to ``last`` - 1 of a layer, on the device."""

    def over_groups(self, task: Callable[[Photos], T]) -> Iterator[T]:
        """Yield ``task(photos)`` of each group of photos, in their order."""

    def by_filters(
        self, layer: int, mixture: Mixture, task: Callable[[int, int, Kernels], T]
    ) -> list[T]:
        """Call ``task(first, last, kernels)`` for ranges of a layer's filters.

        Returns the results in the filters' order. The layer's ``mixture`` says how much there is to
        do.
        """


def enough(n: int) -> I8 | slice:
    """Return `ENOUGH` of n photos, or all of them as a slice, which makes no copies."""
    return slice(None) if n <= ENOUGH else evenly(n, ENOUGH)


def oriented_groups(peaks: PeakSource, mirrored: U1) -> Iterator[tuple[Peaks, ...]]:
    """Yield each group of photos' peaks, the way that ``mirrored (N,)`` says."""
    return (oriented_group(peaks, mirrored, n) for n in range(len(group_firsts(peaks))))


def oriented_group(peaks: PeakSource, mirrored: U1, number: int) -> tuple[Peaks, ...]:
    """Return one of these, by its number from 0."""
    group, first = peaks.group(number), group_firsts(peaks)[number]
    return group.oriented(mirrored[first : first + len(group)])
