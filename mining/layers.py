"""One layer: EM, parents, pruning. The layer above, if any, is finished and fixed."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np

from explgraph.structures import F4, F8, I4, LayerSpec, Peaks

from .config import MiningConfig
from .em import I8, Inference, Mixture, PeakColumns, e_step, fit, held_out_gain, infer, places
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
        parent = np.zeros((len(mixture), 0), dtype=np.int32)
        mixture, found = self._settle(mixture, parent)
        if self.above is not None:
            mixture, parent = self._link(mixture, found)
        return self._prune(mixture, parent)

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
        return np.array(self.layer.offset) + np.array(self.layer.stride) * grid

    def _prior(self, parent: I4) -> Prior:
        has_parents = self.above is not None and parent.shape[1] > 0
        return layer_prior(
            parent,
            self.above.displacement if self.above is not None else None,
            len(parent),
            self.peaks.n_images,
            layer_variance(self.config, self.input_size, has_parents),
        )

    def _settle(self, mixture: Mixture, parent: I4) -> tuple[Mixture, MinedLayer]:
        """Run an EM block under some parents and find the nodes."""
        prior = self._prior(parent)
        mixture, objective = fit(
            self.peaks,
            mixture,
            prior,
            self._area,
            max_iter=self.config.max_iter,
            tol=self.config.tol,
        )
        self.objective.append(objective)
        return mixture, self._found(mixture, parent, prior)

    def _found(self, mixture: Mixture, parent: I4, prior: Prior) -> MinedLayer:
        stats = e_step(self.peaks, mixture, prior, self._area)
        found: Inference = infer(self.peaks, mixture, prior, self._area)
        mass = np.maximum(stats.mass, np.finfo(np.float64).tiny)
        return MinedLayer(
            mixture,
            parent,
            held_out_gain(self.peaks, mixture, prior, self._area, stats),
            np.sqrt(stats.square / (2 * mass)),
            places(self.peaks, mixture, prior, found),
            found.score,
            self.objective,
        )

    def _link(self, mixture: Mixture, found: MinedLayer) -> tuple[Mixture, I4]:
        assert self.above is not None
        upper = self.above
        candidates = mobile_candidates(upper.yx, upper.score, self.config.n_candidates)
        parent = found.parent
        for _ in range(self.config.parent_rounds):
            choice = choose_parents(
                found.displacement,
                found.score,
                upper.displacement[candidates],
                upper.score[candidates],
                self.config.n_parents,
            )
            chosen = candidates[choice].astype(np.int32)
            if np.array_equal(chosen, parent):
                break
            parent = chosen
            mixture, found = self._settle(mixture, parent)
        return mixture, parent

    def _prune(self, mixture: Mixture, parent: I4) -> MinedLayer:
        """Drop nodes that gain nothing over noise; order the others by gain; fit once more."""
        before = self._found(mixture, parent, self._prior(parent))
        keep = _by_gain(mixture, before.gain)
        _, layer = self._settle(mixture.select(keep), parent[keep])
        order = _by_gain(layer.mixture, layer.gain, prune=False)
        return layer._replace(
            mixture=layer.mixture.select(order),
            parent=layer.parent[order],
            gain=layer.gain[order],
            spread=layer.spread[order],
            yx=layer.yx[order],
            score=layer.score[order],
        )


def _by_gain(mixture: Mixture, gain: F8, *, prune: bool = True) -> I8:
    """Return node indices by filter, then falling gain; those without gain are left out."""
    order = np.lexsort((np.arange(len(gain)), -gain, mixture.channel))
    return order[gain[order] > 0] if prune else order
