"""What mining computes with: the seam between its steps and the device that does the work."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal, Protocol, TypeVar

from explgraph.base.arrays import F8, I4, I8

from .em import Fit, Mixture
from .guides import Block, Placed
from .parents import Companions
from .pose import Regressions

T = TypeVar("T")

Device = Literal["auto", "cpu", "cuda"]


class Kernels(Protocol):
    """What is computed from the peaks of some filters, which lie where the device wants them.

    Every method takes the filters' P nodes as they are now; what it returns is on the host.
    """

    def fit(self, block: Block, *, max_iter: int, tol: float, closing: bool) -> Fit:
        """Run EM; see `em.fit`."""

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


class Engine(Protocol):
    """A device at work on the peaks of some photos, all facing one way."""

    def by_filters(
        self, layer: int, mixture: Mixture, task: Callable[[int, int, Kernels], T]
    ) -> list[T]:
        """Call ``task(first, last, kernels)`` for ranges of a layer's filters.

        Returns the results in the filters' order. The layer's ``mixture`` says how much there is to
        do.
        """
