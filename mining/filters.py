"""The nodes of all filters of a layer: ordered, and merged where they are the same."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace

import numpy as np

from explgraph.base.arrays import F8, I8, Array
from explgraph.base.jit import jit

from .config import MiningConfig
from .em import Fit, Mixture
from .engine import Kernels
from .guides import Block, Placed
from .parents import Companions
from .pose import Regressions


@dataclass
class Filters:
    """Filters at work: their peaks in all photos, and their nodes, which the steps change.

    Attributes
    ----------
    kernels
        Compute, from these filters' peaks in N photos.
    block
        Their nodes as they are now.
    rows
        Which of the layer's nodes they were at first.
    input_size
        (H_in, W_in), pixels.
    objective
        Of each EM block so far, the sum over the filters before its first step and after each one.
    """

    kernels: Kernels
    block: Block
    rows: slice
    input_size: tuple[int, int]
    config: MiningConfig
    objective: list[F8] = field(default_factory=list)

    def settle(self, *, closing: bool = True) -> Fit:
        """Run an EM block; return its statistics, as of `em.fit`."""
        fitted = self.kernels.fit(
            self.block, max_iter=self.config.max_iter, tol=self.config.tol, closing=closing
        )
        self.objective.append(fitted.trace.sum(axis=0))
        self.block = self.block._replace(mixture=fitted.mixture)
        return fitted

    def merge(self) -> None:
        """Make nodes of a filter that have come to lie together one."""
        mixture, guide = self.block
        merged, keep = self.kernels.merge(mixture, self.config.merge * min(self.input_size))
        self.block = Block(merged, guide.take(keep))

    def link(self, above: Placed, companions: Companions, variance: float) -> None:
        """Choose parents among the nodes above, which predict within ``variance``.

        ``companions`` are the same nodes.
        """
        pull, n_parents = self.config.pull, self.config.n_parents
        chosen = self.kernels.choose_parents(self.block, companions, pull, n_parents)
        guide = replace(self.block.guide, variance=variance, parent=chosen, above=above)
        self.block = self.block._replace(guide=guide)

    def gain(self, fitted: Fit) -> F8:
        """Return (P,) the held-out gain over noise, from the statistics of the last block."""
        return self.kernels.held_out_gain(self.block, fitted.sums)

    def prune(self, fitted: Fit) -> None:
        """Drop nodes that gain nothing over noise, but for the best of a filter."""
        gain = self.gain(fitted)
        order = by_gain(self.block.mixture, gain)
        order = order[fitted.mass[order] > 0]  # the others explain nothing at all
        best = np.diff(self.block.mixture.channel[order], prepend=-1) > 0
        self.block = self.block.take(order[best | (gain[order] > 0)])

    def score(self) -> F8:
        """Return (P,) mean scores."""
        return self.kernels.score(self.block)

    def place(self, nodes: I8) -> Placed:
        """Find some of the nodes, given by index, in the photos."""
        return self.kernels.place(self.block, self.config.pull, nodes)

    def regress(self, code: F8) -> Regressions:
        """Regress where the nodes' peaks are on the photos' components."""
        return self.kernels.regress(self.block, code, self.config.pose_penalty)


def by_gain(mixture: Mixture, gain: F8) -> I8:
    """Return node indices by filter, then falling gain."""
    return np.lexsort((np.arange(len(gain)), -gain, mixture.channel))


@jit
def absorb(first: int, last: int, mu: F8, rank: I8, square: float, kept: Array, total: F8) -> None:
    """Go through one filter's nodes, ``rank[first:last]``, in that order; see `merge_nodes`."""
    for i in range(first, last):
        v = rank[i]
        nearest, best = -1, square
        for u in range(first, last):
            distance = (mu[v, 0] - mu[u, 0]) ** 2 + (mu[v, 1] - mu[u, 1]) ** 2
            if kept[u] and distance < best:
                nearest, best = u, distance
        if nearest >= 0:
            total[nearest] += total[v]
        else:
            kept[v] = True


@jit
def _absorb(start: I8, mu: F8, rank: I8, square: float, kept: Array, total: F8) -> None:
    for c in range(len(start) - 1):
        absorb(start[c], start[c + 1], mu, rank, square, kept, total)


def merge_nodes(
    mixture: Mixture, radius: float, absorb_all: Callable[..., None] = _absorb
) -> tuple[Mixture, I8]:
    """Merge nodes of a filter whose mean positions are nearer than ``radius`` network pixels.

    The heavier node stays where it is and takes the weight of those merged into it; of equal ones
    the first. A node is merged into the nearest that stays.

    Parameters
    ----------
    mixture
        Of some filters.
    radius
        Network pixels.
    absorb_all
        Runs `absorb` on every filter, given (C + 1,) where each one's nodes begin and all that
        `absorb` takes after that; fills (P,) which nodes stay, and (P,) their weights.

    Returns
    -------
    The mixture of the nodes that stay, and their rising indices.
    """
    rank = np.lexsort((np.arange(len(mixture)), -mixture.weight, mixture.channel))
    kept, weight = np.zeros(len(mixture), dtype=np.bool_), mixture.weight.copy()
    absorb_all(mixture.start, mixture.mu, rank, float(radius) ** 2, kept, weight)
    nodes = np.flatnonzero(kept)
    merged = Mixture(mixture.start, mixture.mu, weight, mixture.noise)
    return merged.select(nodes), nodes
