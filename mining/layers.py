"""One layer: EM, poses, parents, pruning. The layer above, if any, is finished and fixed."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np

from explgraph.structures import F4, F8, I4, LayerSpec, Peaks

from .config import MiningConfig
from .em import I8, Mixture, PeakColumns, Statistics, fit, held_out_gain, infer, places
from .merging import merge_nodes
from .parents import Prior, choose_parents, flat_prior, plain_prior, predict, surest
from .pose import Poses, pose_shift


class MinedLayer(NamedTuple):
    """A layer's P nodes and what is known of them in the N mining photos.

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
    displacement, score
        (P, N, 2) p_V - mu_V, network pixels, and (P, N), of the mining photos.
    objective
        Of each EM block, its value before the first step and after each one.
    """

    mixture: Mixture
    node_pose: F4
    parent: I4
    gain: F8
    spread: F8
    displacement: F4
    score: F4
    objective: list[list[float]]

    @property
    def yx(self) -> F4:
        """(P, N, 2) p_V, network pixels."""
        return self.displacement + self.mixture.mu.astype(np.float32)[:, None]


class Block(NamedTuple):
    """An EM block's outcome: nodes, what predicts them, and the statistics under it."""

    mixture: Mixture
    node_pose: F4
    parent: I4
    prior: Prior
    stats: Statistics


class Placed(NamedTuple):
    """Where nodes are in the mining photos: ``displacement (P, N, 2)``, ``score (P, N)``."""

    displacement: F4
    score: F4


def side_variance(share: float, input_size: tuple[int, int]) -> float:
    """Return the variance, square network pixels, of a spread given as a share of the side."""
    return (share * min(input_size)) ** 2


@dataclass
class LayerMiner:
    """Mines one layer in three steps: `start`, `follow` the poses, `finish` under the layer above.

    The steps share the layer's peaks and record the objective.
    """

    layer: LayerSpec
    peaks: PeakColumns
    input_size: tuple[int, int]
    config: MiningConfig
    objective: list[list[float]] = field(default_factory=list)

    @classmethod
    def of(cls, peaks: Peaks, input_size: tuple[int, int], config: MiningConfig) -> LayerMiner:
        """Prepare to mine a layer."""
        return cls(peaks.layer, PeakColumns.of(peaks), input_size, config)

    def start(self, density: float, rng: np.random.Generator) -> Block:
        """Fit nodes from random cells, knowing nothing of where they are in a photo."""
        mixture = Mixture.at(self._first_places(density, rng), self.layer.channels)
        n = len(mixture)
        variance = side_variance(self.config.spread_start, self.input_size)
        return self._settle(
            mixture,
            np.zeros((n, 2, 0), dtype=np.float32),
            np.zeros((n, 0), dtype=np.int32),
            flat_prior(n, self.peaks.n_images, variance),
        )

    def follow(self, block: Block, poses: Poses, index: int, spread: float) -> Block:
        """Fit nodes that move with the photos' pose; this is layer ``index`` of the poses."""
        mixture = block.mixture.moved(poses.constant[index])
        node_pose = poses.node[index]
        prior = plain_prior(
            pose_shift(poses.pose, node_pose), side_variance(spread, self.input_size)
        )
        return self._settle(mixture, node_pose, block.parent, prior)

    def finish(self, block: Block, above: MinedLayer | None) -> MinedLayer:
        """Merge nodes, choose parents, drop what gains nothing over noise, order by gain.

        The best node of a filter stays whatever it gains: a filter without nodes would be missing
        from all that the graph says of the network. Without parents in the configuration the layer
        above is not looked at.
        """
        block = self._merge(block)
        if above is not None and len(above.mixture) and self.config.n_parents > 0:
            block = self._link(block, above)
        gain = self._gain(block)
        order = _by_gain(block.mixture, gain)
        order = order[block.stats.mass[order] > 0]  # the others explain nothing at all
        best = np.diff(block.mixture.channel[order], prepend=-1) > 0
        block = self._keep(block, order[best | (gain[order] > 0)])
        gain = self._gain(block)
        placed = self.place(block, self.config.pull)
        mass = np.maximum(block.stats.mass, np.finfo(np.float64).tiny)
        order = _by_gain(block.mixture, gain)
        return MinedLayer(
            mixture=block.mixture.select(order),
            node_pose=block.node_pose[order],
            parent=block.parent[order],
            gain=gain[order],
            spread=np.sqrt(block.stats.square / (2 * mass))[order],
            displacement=placed.displacement[order],
            score=placed.score[order],
            objective=self.objective,
        )

    def place(self, block: Block, pull: float) -> Placed:
        """Find the nodes in the mining photos; ``pull`` as in `em.places`."""
        found = infer(self.peaks, block.mixture, block.prior, self._area)
        yx = places(self.peaks, block.mixture, block.prior, found, pull)
        yx -= block.mixture.mu.astype(np.float32)[:, None]
        return Placed(yx, found.score)

    @property
    def _area(self) -> float:
        return float(self.input_size[0] * self.input_size[1])

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

    def _settle(self, mixture: Mixture, node_pose: F4, parent: I4, prior: Prior) -> Block:
        """Run an EM block under a prior."""
        mixture, stats, objective = fit(
            self.peaks,
            mixture,
            prior,
            self._area,
            max_iter=self.config.max_iter,
            tol=self.config.tol,
        )
        self.objective.append(objective)
        return Block(mixture, node_pose, parent, prior, stats)

    def _merge(self, block: Block) -> Block:
        """Make nodes of a filter that have come to lie together one."""
        radius = self.config.merge * min(self.input_size)
        mixture, keep = merge_nodes(block.mixture, radius)
        return self._keep(block, keep, mixture) if len(keep) < len(block.mixture) else block

    def _keep(self, block: Block, nodes: I8, mixture: Mixture | None = None) -> Block:
        """Fit some of the nodes again without the others."""
        return self._settle(
            block.mixture.select(nodes) if mixture is None else mixture,
            block.node_pose[nodes],
            block.parent[nodes],
            block.prior.take(nodes),
        )

    def _link(self, block: Block, above: MinedLayer) -> Block:
        """Choose parents and run a block under them, until the choice stays or rounds run out."""
        candidates = surest(above.score, self.config.n_candidates)
        upper = Placed(above.displacement[candidates], above.score[candidates])
        variance = side_variance(self.config.spread, self.input_size)
        for _ in range(self.config.parent_rounds):
            choice = choose_parents(
                *self.place(block, self.config.pull), *upper, self.config.n_parents
            )
            parent = candidates[choice].astype(np.int32)
            if np.array_equal(parent, block.parent):
                break
            start = np.arange(len(parent) + 1, dtype=np.int64) * parent.shape[1]
            prior = predict(
                start, parent.ravel(), above.displacement, np.full(len(above.score), variance)
            )
            block = self._settle(block.mixture, block.node_pose, parent, prior)
        return block

    def _gain(self, block: Block) -> F8:
        return held_out_gain(self.peaks, block.mixture, block.prior, self._area, block.stats)


def _by_gain(mixture: Mixture, gain: F8) -> I8:
    """Return node indices by filter, then falling gain."""
    return np.lexsort((np.arange(len(gain)), -gain, mixture.channel))
