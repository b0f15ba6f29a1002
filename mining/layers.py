"""One layer: EM, parents, pruning. The layer above, if any, is finished and fixed."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np

from explgraph.structures import F4, F8, I4, LayerSpec, Peaks

from .config import MiningConfig
from .em import I8, Mixture, PeakColumns, Statistics, fit, held_out_gain, infer, places
from .parents import Prior, choose_parents, flat_prior, mobile_candidates, predict


class MinedLayer(NamedTuple):
    """A layer's P nodes and what is known of them in the N mining photos.

    Attributes
    ----------
    mixture
        The nodes; in a filter by falling gain.
    parent
        (P, M) their parents: nodes of the layer above, rising. M = 0 without parents.
    gain
        (P,) held-out gain in log-likelihood over noise.
    spread
        (P,) standard deviation per axis about the predicted position, network pixels.
    yx, score
        (P, N, 2), (P, N) of the mining photos.
    objective
        Of each EM block, its value before the first step and after each one.
    """

    mixture: Mixture
    parent: I4
    gain: F8
    spread: F8
    yx: F4
    score: F4
    objective: list[list[float]]

    @property
    def displacement(self) -> F4:
        """(P, N, 2) p_V - mu_V."""
        return self.yx - self.mixture.mu.astype(np.float32)[:, None]


def layer_prior(
    parent: I4, upper_displacement: F4 | None, n_nodes: int, n_images: int, variance: float
) -> Prior:
    """Return the prior of a layer's nodes: from their parents, or flat where there are none.

    Parameters
    ----------
    parent
        (P, M).
    upper_displacement
        (U, N, 2) of the layer above; None without one.
    n_nodes, n_images
        P, N.
    variance
        s^2 of every parent, or of the nodes themselves without parents; square network pixels.
    """
    if upper_displacement is None or parent.shape[1] == 0:
        return flat_prior(n_nodes, n_images, variance)
    start = np.arange(n_nodes + 1, dtype=np.int64) * parent.shape[1]
    upper_variance = np.full(len(upper_displacement), variance)
    return predict(start, parent.ravel(), upper_displacement, upper_variance)


def layer_variance(config: MiningConfig, input_size: tuple[int, int], has_parents: bool) -> float:
    """Return s^2 of a layer, square network pixels."""
    share = config.spread if has_parents else config.spread_top
    return (share * min(input_size)) ** 2


class _Block(NamedTuple):
    """An EM block's outcome: the mixture, under which parents and prior, with its statistics."""

    mixture: Mixture
    parent: I4
    prior: Prior
    stats: Statistics


@dataclass
class LayerMiner:
    """Mines one layer; the steps share its peaks and record the objective."""

    layer: LayerSpec
    peaks: PeakColumns
    input_size: tuple[int, int]
    config: MiningConfig
    above: MinedLayer | None
    objective: list[list[float]] = field(default_factory=list)

    @classmethod
    def of(
        cls,
        peaks: Peaks,
        input_size: tuple[int, int],
        config: MiningConfig,
        above: MinedLayer | None,
    ) -> LayerMiner:
        """Prepare to mine a layer below ``above``; without parents that one is not looked at."""
        usable = (
            above if config.n_parents > 0 and above is not None and len(above.mixture) else None
        )
        return cls(peaks.layer, PeakColumns.of(peaks), input_size, config, usable)

    def mine(self, density: float, rng: np.random.Generator) -> MinedLayer:
        """Fit without parents, then with parents chosen and chosen anew, then prune."""
        mixture = Mixture.at(self._first_places(density, rng), self.layer.channels)
        block = self._settle(mixture, np.zeros((len(mixture), 0), dtype=np.int32))
        if self.above is not None:
            block = self._link(block, self.above)
        return self._prune(block)

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

    def _prior(self, parent: I4) -> Prior:
        has_parents = self.above is not None and parent.shape[1] > 0
        return layer_prior(
            parent,
            self.above.displacement if self.above is not None else None,
            len(parent),
            self.peaks.n_images,
            layer_variance(self.config, self.input_size, has_parents),
        )

    def _settle(self, mixture: Mixture, parent: I4) -> _Block:
        """Run an EM block under some parents."""
        prior = self._prior(parent)
        mixture, stats, objective = fit(
            self.peaks,
            mixture,
            prior,
            self._area,
            max_iter=self.config.max_iter,
            tol=self.config.tol,
        )
        self.objective.append(objective)
        return _Block(mixture, parent, prior, stats)

    def _link(self, block: _Block, upper: MinedLayer) -> _Block:
        """Choose parents and run a block under them, until the choice stays or rounds run out."""
        candidates = mobile_candidates(upper.yx, upper.score, self.config.n_candidates)
        displacement, score = upper.displacement[candidates], upper.score[candidates]
        for _ in range(self.config.parent_rounds):
            found = infer(self.peaks, block.mixture, block.prior, self._area)
            yx = places(self.peaks, block.mixture, block.prior, found)
            yx -= block.mixture.mu.astype(np.float32)[:, None]
            choice = choose_parents(yx, found.score, displacement, score, self.config.n_parents)
            parent = candidates[choice].astype(np.int32)
            if np.array_equal(parent, block.parent):
                break
            block = self._settle(block.mixture, parent)
        return block

    def _prune(self, block: _Block) -> MinedLayer:
        """Drop nodes that gain nothing over noise, fit once more, and order the rest by gain."""
        gain = self._gain(block)
        keep = _by_gain(block.mixture, gain)
        keep = keep[gain[keep] > 0]
        block = self._settle(block.mixture.select(keep), block.parent[keep])
        gain = self._gain(block)
        found = infer(self.peaks, block.mixture, block.prior, self._area)
        yx = places(self.peaks, block.mixture, block.prior, found)
        mass = np.maximum(block.stats.mass, np.finfo(np.float64).tiny)
        order = _by_gain(block.mixture, gain)
        return MinedLayer(
            mixture=block.mixture.select(order),
            parent=block.parent[order],
            gain=gain[order],
            spread=np.sqrt(block.stats.square / (2 * mass))[order],
            yx=yx[order],
            score=found.score[order],
            objective=self.objective,
        )

    def _gain(self, block: _Block) -> F8:
        return held_out_gain(self.peaks, block.mixture, block.prior, self._area, block.stats)


def _by_gain(mixture: Mixture, gain: F8) -> I8:
    """Return node indices by filter, then falling gain."""
    return np.lexsort((np.arange(len(gain)), -gain, mixture.channel))
