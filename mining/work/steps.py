"""What is done with some of a layer's filters, apart from all others: tasks that can be pickled.

An engine does them wherever the filters' peaks are, in threads or in other processes.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Generic, NamedTuple, Self, TypeVar

import numpy as np
from numpy.typing import NDArray

from explgraph.base.arrays import F4, F8, I4, I8
from mining.config import MiningConfig
from mining.em import Mixture
from mining.engine import Kernels, enough
from mining.filters import Filters, by_gain
from mining.guides import Arrays, Block, Placed
from mining.parents import Companions
from mining.pose import Regressions

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Step(Generic[T]):
    """A task for all filters of a layer, a range of them at a time.

    Attributes
    ----------
    block
        The nodes of all of them.
    input_size, config
        As of `Filters`.
    task
        What is done with some filters.
    """

    block: Block
    input_size: tuple[int, int]
    config: MiningConfig
    task: Callable[[Filters], T]

    def __call__(self, first: int, last: int, kernels: Kernels) -> tuple[T, list[F8]]:
        """Return what the task gives for filters ``first`` to ``last`` - 1, and their objective."""
        own, rows = self.block.filters(first, last), self.block.mixture.rows(first, last)
        filters = Filters(kernels, own, rows, self.input_size, self.config)
        return self.task(filters), filters.objective


class MinedLayer(NamedTuple):
    """A layer's P nodes and what is known of them.

    Attributes
    ----------
    mixture
        The nodes; in a filter by falling gain.
    node_pose
        (P, 2, Q) how far one unit of pose moves them, network pixels. Q = 0 without poses.
    parent
        (P, M) their parents: nodes of the layer above, rising. M = 0 without parents.
    gain
        (P,) held-out gain in log-likelihood over noise.
    spread
        (P,) standard deviation per axis about the predicted position, network pixels.
    score
        (P,) mean over the photos of response times responsibility.
    """

    mixture: Mixture
    node_pose: F4
    parent: I4
    gain: F8
    spread: F8
    score: F8

    def arrays(self) -> Arrays:
        """Return all of it by name."""
        return {**self.mixture.nodes._asdict(), **dict(zip(_MINED, self[1:], strict=True))}

    @classmethod
    def of(cls, arrays: Arrays) -> Self:
        """Return what `arrays` was made of."""
        return cls(Mixture.of(arrays), *(np.array(arrays[name]) for name in _MINED))

    @classmethod
    def joined(cls, parts: Sequence[MinedLayer]) -> Self:
        """Put runs of filters together."""
        return cls(
            Mixture.joined([part.mixture for part in parts]),
            *(np.concatenate([getattr(part, name) for part in parts]) for name in _MINED),
        )


_MINED = MinedLayer._fields[1:]


def fit_and_merge(filters: Filters) -> tuple[Mixture, F4]:
    """Fit nodes, make one of those that come to lie together; return them and how they move."""
    filters.settle(closing=False)
    filters.merge()
    mixture, guide = filters.block
    return mixture, guide.node_pose


@dataclass(frozen=True, slots=True)
class Regress:
    """Regresses nodes' places on the photos' ``code (N, R)``."""

    code: F8

    def __call__(self, filters: Filters) -> Regressions:
        """Return the regressions of some filters' nodes."""
        return filters.regress(self.code)


@dataclass(frozen=True, slots=True)
class Place:
    """Finds nodes in all photos: those that ``chosen`` says of a layer's P nodes."""

    chosen: NDArray[np.bool_]

    def __call__(self, filters: Filters) -> Placed:
        """Return where those of some filters are."""
        return filters.place(np.flatnonzero(self.chosen[filters.rows]))


@dataclass(frozen=True, eq=False, slots=True)
class PlaceHere:
    """Finds a layer's ``nodes``, by rising index, and writes where they are into ``placed``."""

    nodes: I8
    placed: Placed

    def __call__(self, filters: Filters) -> None:
        """Write where those of some filters are."""
        rows = slice(*np.searchsorted(self.nodes, [filters.rows.start, filters.rows.stop]))
        found = filters.place(self.nodes[rows] - filters.rows.start)
        for whole, part in zip(self.placed, found, strict=True):
            whole[rows] = part


@dataclass(frozen=True, eq=False)
class Upper:
    """Nodes of the layer above among which parents are, that predict within ``variance``."""

    placed: Placed
    variance: float
    companions: Companions = field(init=False, repr=False)

    def __post_init__(self) -> None:
        some = self.placed.photos(enough(self.placed.score.shape[1]))
        object.__setattr__(self, "companions", Companions.of(*some))

    def __reduce__(self) -> tuple[object, ...]:
        """Travel without what is made of the rest: it is four times as large."""
        return Upper, (self.placed, self.variance)


@dataclass(frozen=True, slots=True)
class Finish:
    """Chooses parents among those ``upper``, if any, and drops nodes that gain nothing."""

    upper: Upper | None

    def __call__(self, filters: Filters) -> MinedLayer:
        """Return some filters' nodes, those of each by falling gain."""
        if self.upper is None:
            fitted = filters.settle()
        else:
            for left in reversed(range(filters.config.parent_rounds)):
                filters.link(self.upper.placed, self.upper.companions, self.upper.variance)
                fitted = filters.settle(closing=left == 0)
        filters.prune(fitted)
        fitted = filters.settle()
        gain = filters.gain(fitted)
        mixture, guide = filters.block
        order = by_gain(mixture, gain)
        return MinedLayer(
            mixture=mixture.select(order),
            node_pose=guide.node_pose[order],
            parent=guide.parent[order],
            gain=gain[order],
            spread=fitted.spread[order],
            score=filters.score()[order],
        )


class Told(NamedTuple):
    """What a group of n photos shows of P nodes and E edges: sums over the photos.

    ``relation (E, 2, 4)`` and ``product (E, 1)`` of edges, ``fired``, ``level`` and ``square (P,)``
    of nodes.
    """

    relation: F8
    product: F8
    fired: F8
    level: F8
    square: F8
    n: int

    def plus(self, other: Told) -> Told:
        """Return the sums over these photos, and then others."""
        return Told(
            self.relation + other.relation,
            self.product + other.product,
            self.fired + other.fired,
            self.level + other.level,
            self.square + other.square,
            self.n + other.n,
        )
