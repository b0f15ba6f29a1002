"""One layer: EM, poses, parents, pruning. The layer above, if any, is finished and fixed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import NamedTuple, TypeVar

import numpy as np

from explgraph.base.arrays import F4, F8, I8
from explgraph.base.layer import LayerSpec
from explgraph.peaks.structures import PeakSource

from .config import MiningConfig
from .em import Mixture, PeakColumns
from .engine import Engine
from .filters import Filters
from .guides import Block, Guide, Placed
from .parents import surest
from .pose import PoseBasis, Poses, Regressions
from .work.steps import Finish, MinedLayer, Place, PlaceHere, Regress, Step, Upper, fit_and_merge

T = TypeVar("T")


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

        return self._fitted(self.block(mixture, still, nowhere, self.config.spread_start))

    def regress(self, block: Block, basis: PoseBasis) -> Regressions:
        """Regress where nodes are found on what the photos look like."""
        return Regressions.joined(self._by_filters(block, Regress(basis.code)))

    def follow(self, block: Block, poses: Poses, spread: float) -> Block:
        """Fit nodes that move with the photos' pose."""
        mixture = block.mixture.moved(poses.constant[self.index])

        return self._fitted(self.block(mixture, poses.node[self.index], poses.pose, spread))

    def _fitted(self, block: Block) -> Block:
        parts = self._by_filters(block, fit_and_merge)
        mixtures, node_poses = zip(*parts, strict=True)
        mixture = Mixture.joined(mixtures)
        parent = np.zeros((len(mixture), 0), dtype=np.int32)
        guide = replace(block.guide, node_pose=np.concatenate(node_poses), parent=parent)
        return Block(mixture, guide)

    def finish(self, block: Block, above: Above | None) -> MinedLayer:
        """Choose parents, drop what gains nothing over noise, order by gain.

        The best node of a filter stays whatever it gains: a filter without nodes would be missing
        from all that the graph says of the network. Without parents in the configuration the layer
        above is not looked at.
        """
        if above is not None and (len(above.nodes) == 0 or self.config.n_parents == 0):
            above = None
        upper = None if above is None else Upper(above.placed, self._variance(self.config.spread))
        mined = MinedLayer.joined(self._by_filters(block, Finish(upper)))
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
        if not self.engine.is_here:
            return Above(nodes, Placed.joined(self._by_filters(block, Place(chosen))))
        n, room = len(self.source), self.source.room
        placed = Placed(room((len(nodes), 2, n)), room((len(nodes), n)))
        self._by_filters(block, PlaceHere(nodes, placed))
        return Above(nodes, placed)

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
        step = Step(block, self.source.input_size, self.config, task)
        parts = self.engine.by_filters(self.index, block.mixture, step)
        traces = zip(*(objective for _, objective in parts), strict=True)
        self.objective += [np.sum(trace, axis=0) for trace in traces]
        return [result for result, _ in parts]

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
