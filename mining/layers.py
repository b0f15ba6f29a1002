"""Mine the layers of a graph from the top down."""

from __future__ import annotations

import logging
from dataclasses import replace
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from explgraph.structures import F4, F8, I4, LayerSpec, Peaks

from .config import MiningConfig
from .em import Mixture, PeakColumns, Statistics, e_step, infer, m_step
from .parents import Prior, choose_parents, flat_prior, predict

log = logging.getLogger("explgraph")


class MinedLayer(NamedTuple):
    """A layer's nodes and where they are in the mining photos.

    ``parent (P, M)`` are indices into the layer above, ``displacement (P, N, 2)`` is p_V - mu_V,
    ``score (P, N)``; ``objective`` the peak-weighted log-likelihood after each step, a list a block.
    """

    mixture: Mixture
    parent: I4
    displacement: F4
    score: F4
    objective: list[list[float]]


def columns(peaks: Peaks) -> PeakColumns:
    """Put the filters first, as the kernels want them."""
    return PeakColumns(
        np.ascontiguousarray(np.swapaxes(peaks.weight, 0, 1)),
        np.ascontiguousarray(np.swapaxes(peaks.yx, 0, 1)),
    )


def nodes_per_filter(layer: LayerSpec, coarsest: int, config: MiningConfig) -> int:
    cells = layer.grid[0] * layer.grid[1]
    density = config.density_top if cells == coarsest else config.density
    return max(1, int(np.ceil(density * cells)))


class LayerMiner:
    """EM and parent choice of one layer."""

    def __init__(self, peaks: Peaks, input_size: tuple[int, int], config: MiningConfig) -> None:
        side = min(input_size)
        self.layer = peaks.layer
        self.peaks = columns(peaks)
        self.config = config
        self.area = float(input_size[0] * input_size[1])
        self.var_range = (max(self.layer.stride) ** 2, (config.spread_max * side) ** 2)
        self.var_start = (config.spread_start * side) ** 2
        self.objective: list[list[float]] = []

    def start(self, n_nodes: int, rng: np.random.Generator) -> Mixture:
        channels = self.layer.channels
        height, width = self.layer.grid
        cells = np.concatenate(
            [rng.permutation(height * width)[:n_nodes] for _ in range(channels)]
        )
        grid = np.stack(np.divmod(cells, width), axis=1)
        mu = np.array(self.layer.offset) + np.array(self.layer.stride) * grid
        n = channels * n_nodes
        return Mixture(
            np.arange(channels + 1, dtype=np.int64) * n_nodes,
            mu.astype(np.float64),
            np.full(n, 1.0 / n_nodes),
            np.full(channels, 0.1),
            np.full(n, self.var_start),
        )

    def fit(self, mixture: Mixture, prior: Prior | None) -> Mixture:
        history: list[float] = []
        free = prior is None
        for _ in range(self.config.max_iter):
            here = self.prior(mixture) if free else prior
            stats = e_step(self.peaks, mixture, here, self.area)
            history.append(float(stats.objective.sum()))
            mixture = m_step(mixture, stats, self.var_range)
            if len(history) > 1 and history[-1] - history[-2] <= self.config.tol * abs(history[-1]):
                break
        self.objective.append(history)
        return mixture

    def prior(self, mixture: Mixture) -> Prior:
        return flat_prior(len(mixture), self.peaks.weight.shape[1], mixture.var)

    def find(self, mixture: Mixture, prior: Prior) -> tuple[F4, F4]:
        peak, score, _ = infer(self.peaks, mixture, prior, self.area)
        channel = mixture.channel
        n = np.arange(peak.shape[1])
        at = self.peaks.yx[channel[:, None], n[None, :], np.maximum(peak, 0)]
        own = at - mixture.mu[:, None].astype(np.float32)
        displacement = np.where((peak >= 0)[..., None], own, prior.shift)
        return displacement, score


def mine_layer(miner, n_nodes, above, rng):
    config = miner.config
    mixture = miner.start(n_nodes, rng)
    if above is None or config.n_parents == 0:
        mixture = miner.fit(mixture, None)
        disp, score = miner.find(mixture, miner.prior(mixture))
        return MinedLayer(mixture, np.zeros((len(mixture), 0), np.int32), disp, score, miner.objective)
    n_img = miner.peaks.weight.shape[1]
    prior = flat_prior(len(mixture), n_img, mixture.var)
    mixture = miner.fit(mixture, prior)
    disp, score = miner.find(mixture, prior)
    parent = None
    for _ in range(config.parent_rounds):
        new = choose_parents(disp, score, above.displacement, above.score, config.n_parents)
        if parent is not None and np.array_equal(new, parent):
            break
        parent = new
        st = np.arange(len(mixture) + 1, dtype=np.int64) * parent.shape[1]
        prior = predict(st, parent.ravel(), above.displacement, above.mixture.var)
        mixture = miner.fit(mixture, prior)
        disp, score = miner.find(mixture, prior)
    return MinedLayer(mixture, parent, disp, score, miner.objective)
