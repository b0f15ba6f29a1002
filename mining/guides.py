"""Nodes of a layer and what predicts where they are in a photo: its pose, or their parents."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from explgraph.base.arrays import F4, F8, I4, I8, Array, beside

from .em import Inference, Mixture
from .parents import Prior, flat_prior, plain_prior, predict
from .pose import pose_shift

Arrays = Mapping[str, NDArray[Any]]


class Placed(NamedTuple):
    """Where nodes are in the mining photos: ``displacement (P, 2, N)``, ``score (P, N)``.

    The displacement is p_V - mu_V, network pixels.
    """

    displacement: Array
    score: Array

    @classmethod
    def of(cls, found: Inference, mu: F8, pull: float) -> Placed:
        """Return where nodes were found that are ``mu (P, 2)`` in the mean, wherever ``found`` is.

        ``pull`` is that of `Inference.places`.
        """
        mean = beside(mu.astype(np.float32), found.found)
        return cls(found.places(pull) - mean[..., None], found.score)

    def take(self, nodes: I8) -> Placed:
        """Select nodes by index."""
        return Placed(self.displacement[nodes], self.score[nodes])

    def photos(self, photos: I8 | slice) -> Placed:
        """Select photos."""
        return Placed(*(array[..., photos] for array in self))

    @classmethod
    def joined(cls, parts: Sequence[Placed], axis: int = 0) -> Placed:
        """Put those of several runs of filters together, or of photos: ``axis`` -1."""
        return cls(*(np.concatenate(arrays, axis) for arrays in zip(*parts, strict=True)))


@dataclass(frozen=True, eq=False, slots=True)
class Guide:
    """What predicts a layer's P nodes in N photos: their parents, or else the photos' pose.

    Attributes
    ----------
    variance
        S^2, square network pixels.
    pose, node_pose
        (N, Q) and (P, 2, Q).
    parent, above
        (P, M) rows of ``above``, the nodes of the layer above among which parents are. M = 0: none.
    """

    variance: float
    pose: F4
    node_pose: F4
    parent: I4
    above: Placed | None = None

    def take(self, nodes: I8 | slice) -> Guide:
        """Select nodes."""
        return replace(self, node_pose=self.node_pose[nodes], parent=self.parent[nodes])

    def photos(self, photos: I8 | slice) -> Guide:
        """Select photos; of the nodes above those are kept that are parents."""
        if self.above is None or len(self.parent) == 0:
            return replace(self, pose=self.pose[photos], above=None)
        rows = np.unique(self.parent)
        some = (np.stack([array[row][..., photos] for row in rows]) for array in self.above)
        parent = np.searchsorted(rows, self.parent).astype(np.int32)
        return replace(self, pose=self.pose[photos], parent=parent, above=Placed(*some))

    @property
    def prior(self) -> Prior:
        """What is known of the nodes in the photos."""
        n_nodes, n_parents = self.parent.shape
        if self.above is not None:
            start = np.arange(n_nodes + 1, dtype=np.int64) * n_parents
            return predict(start, self.parent.ravel(), self.above.displacement, self.variance)
        if self.pose.shape[1] == 0:
            return flat_prior(n_nodes, len(self.pose), self.variance)
        return plain_prior(pose_shift(self.pose, self.node_pose), self.variance)


class Block(NamedTuple):
    """Nodes, and what predicts them."""

    mixture: Mixture
    guide: Guide

    def arrays(self) -> Arrays:
        """Return the nodes by name, for `LayerMiner.block`."""
        return {**self.mixture.nodes._asdict(), "node_pose": self.guide.node_pose}

    def take(self, nodes: I8) -> Block:
        """Select nodes by index; the weights of what is left of a filter sum to 1."""
        return Block(self.mixture.select(nodes), self.guide.take(nodes))

    def filters(self, first: int, last: int) -> Block:
        """Return filters ``first`` to ``last`` - 1 alone."""
        rows = self.mixture.rows(first, last)
        return Block(self.mixture.filters(first, last), self.guide.take(rows))

    @classmethod
    def joined(cls, parts: Sequence[Block]) -> Block:
        """Put runs of filters together, that are guided alike."""
        guide = replace(
            parts[0].guide,
            node_pose=np.concatenate([part.guide.node_pose for part in parts]),
            parent=np.concatenate([part.guide.parent for part in parts]),
        )
        return cls(Mixture.joined([part.mixture for part in parts]), guide)
