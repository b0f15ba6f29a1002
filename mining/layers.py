"""One layer: EM, poses, parents, pruning. The layer above, if any, is finished and fixed."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple, Self, TypeVar

import numpy as np

from explgraph.base.arrays import F4, F8, I4, I8
from explgraph.base.layer import LayerSpec
from explgraph.peaks.structures import PeakSource

from .config import MiningConfig
from .em import Mixture, PeakColumns
from .engine import Engine, Kernels
from .filters import Filters, by_gain
from .guides import Arrays, Block, Guide, Placed
from .parents import Companions, surest
from .pose import PoseBasis, Poses, Regressions

T = TypeVar("T")


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


class Above(NamedTuple):
    """The nodes of the layer above among which parents are: their indices, and where they are."""

    nodes: I8
    placed: Placed


def side_variance(share: float, input_size: tuple[int, int]) -> float:
    """Return the variance, square network pixels, of a spread given as a share of the side."""
    return (share * min(input_size)) ** 2


@dataclass
class LayerMiner:
    """Mines one layer in three steps: `start`, `follow` the poses, `finish` under the layer above.

    Each step goes once through the filters, some at a time, and does with a filter
    all that needs its own peaks alone. Nothing of the size of nodes times photos is kept but where
    the surest nodes are, for the layer below.

    Attributes
    ----------
    engine
        What computes, for N photos.
    index
        Which of their layers this is.
    objective
        (T + 1,) of each EM block so far, its value before the first step and after each one.
    """

    engine: Engine
    index: int
    config: MiningConfig
    objective: list[F8] = field(default_factory=list)

    @property
    def layer(self) -> LayerSpec:
        """The layer."""
        return self.source.layers[self.index]

    @property
    def source(self) -> PeakSource:
        """The photos' peaks."""
        return self.engine.source

    def columns(self, first: int, last: int) -> PeakColumns:
        """Return the peaks of filters ``first`` to ``last`` - 1, all photos facing one way."""
        return self.engine.columns(self.index, first, last)

    def block(self, mixture: Mixture, node_pose: F4, pose: F4, spread: float) -> Block:
        """Return nodes that the photos' ``pose (N, Q)`` predicts."""
        parent = np.zeros((len(mixture), 0), dtype=np.int32)
        return Block(mixture, Guide(self._variance(spread), pose, node_pose, parent))

    def start(self, density: float, rng: np.random.Generator) -> Block:
        """Fit nodes from random cells, knowing nothing of where they are in a photo."""
        mixture = Mixture.at(self._first_places(density, rng), self.layer.channels)
        still = np.zeros((len(mixture), 2, 0), dtype=np.float32)
        nowhere = np.zeros((len(self.source), 0), dtype=np.float32)

        block = self.block(mixture, still, nowhere, self.config.spread_start)
        return Block.joined(self._by_filters(block, _fit_and_merge))

    def regress(self, block: Block, basis: PoseBasis) -> Regressions:
        """Regress where nodes are found on what the photos look like."""
        code = basis.code

        def some(filters: Filters) -> Regressions:
            return filters.regress(code)

        return Regressions.joined(self._by_filters(block, some))

    def follow(self, block: Block, poses: Poses, spread: float) -> Block:
        """Fit nodes that move with the photos' pose."""
        mixture = block.mixture.moved(poses.constant[self.index])

        moved = self.block(mixture, poses.node[self.index], poses.pose, spread)
        return Block.joined(self._by_filters(moved, _fit_and_merge))

    def finish(self, block: Block, above: Above | None) -> MinedLayer:
        """Choose parents, drop what gains nothing over noise, order by gain.

        The best node of a filter stays whatever it gains: a filter without nodes would be missing
        from all that the graph says of the network. Without parents in the configuration the layer
        above is not looked at.
        """
        if above is not None and (len(above.nodes) == 0 or self.config.n_parents == 0):
            above = None
        upper, variance = above and above.placed, self._variance(self.config.spread)
        companions = upper and Companions.of(*upper)

        def some(filters: Filters) -> MinedLayer:
            if upper is None or companions is None:
                fitted = filters.settle()
            else:
                for left in reversed(range(self.config.parent_rounds)):
                    filters.link(upper, companions, variance)
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

        mined = MinedLayer.joined(self._by_filters(block, some))
        parent = mined.parent if above is None else above.nodes[mined.parent].astype(np.int32)
        return mined._replace(parent=parent)

    def above(self, mined: MinedLayer, poses: F4, above: Above | None) -> Above:
        """Return what the layer below needs of this one, once it is mined.

        ``poses (N, Q)`` of the photos, and the ``above`` that this layer was finished with.
        """
        nodes = surest(mined.score, self.config.n_candidates)
        chosen = np.zeros(len(mined.mixture), dtype=np.bool_)
        chosen[nodes] = True
        block = Block(mined.mixture, self._guide(mined, poses, above))

        def some(filters: Filters) -> Placed:
            return filters.place(np.flatnonzero(chosen[filters.rows]))

        return Above(nodes, Placed.joined(self._by_filters(block, some)))

    def _guide(self, mined: MinedLayer, poses: F4, above: Above | None) -> Guide:
        """Return what predicts the nodes of the finished layer."""
        config = self.config
        spread = config.spread_top if poses.shape[1] > 0 else config.spread_start
        if above is None or mined.parent.shape[1] == 0:
            return Guide(self._variance(spread), poses, mined.node_pose, mined.parent)
        parent = np.searchsorted(above.nodes, mined.parent).astype(np.int32)
        return Guide(self._variance(config.spread), poses, mined.node_pose, parent, above.placed)

    def _by_filters(self, block: Block, task: Callable[[Filters], T]) -> list[T]:
        """Run a task on some filters at a time."""
        objectives: dict[int, list[F8]] = {}

        def some(first: int, last: int, kernels: Kernels) -> T:
            filters = Filters(
                kernels,
                block.filters(first, last),
                block.mixture.rows(first, last),
                self.source.input_size,
                self.config,
            )
            result = task(filters)
            objectives[first] = filters.objective
            return result

        results = self.engine.by_filters(self.index, block.mixture, some)
        parts = [objectives[first] for first in sorted(objectives)]
        self.objective += [np.sum(traces, axis=0) for traces in zip(*parts, strict=True)]
        return results

    def _variance(self, spread: float) -> float:
        return side_variance(spread, self.source.input_size)

    def _first_places(self, density: float, rng: np.random.Generator) -> F8:
        """Return (C * n, 2) centres of distinct random cells, n in each filter."""
        height, width = self.layer.grid
        each = int(np.ceil(density * height * width))
        cells = np.concatenate(
            [rng.permutation(height * width)[:each] for _ in range(self.layer.channels)]
        )
        grid = np.stack(np.divmod(cells, width), axis=1)
        places: F8 = np.array(self.layer.offset) + np.array(self.layer.stride) * grid
        return places


def _fit_and_merge(filters: Filters) -> Block:
    filters.settle(closing=False)
    filters.merge()
    return filters.block
