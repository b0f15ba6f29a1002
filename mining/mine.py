"""Peaks to an explanatory graph: orientation, layers from the top down, edges."""

from __future__ import annotations

import logging
import platform
from collections.abc import Sequence

import numba
import numpy as np

from explgraph import __version__
from explgraph.errors import require
from explgraph.graph import ExplanatoryGraph
from explgraph.structures import I4, LayerSpec, Peaks, PeakSet

from .align import mirror_signs
from .config import MiningConfig
from .edges import edge_columns, fires
from .layers import LayerMiner, MinedLayer

_log = logging.getLogger("explgraph")


def mine_peaks(
    peaks: PeakSet, *, config: MiningConfig | None = None, seed: int = 0
) -> ExplanatoryGraph:
    """Mine the explanatory graph of the photos whose peaks are given.

    Parameters
    ----------
    peaks
        Of N >= 2 photos of one category. With mirrored peaks, all photos are first brought to one
        orientation.
    config
        Hyper-parameters; None takes the defaults.
    seed
        Of the nodes' first positions.

    Returns
    -------
    The graph, L layers. Equal input gives equal bytes in its file, for any number of threads.

    Raises
    ------
    ExplGraphError
        If there are fewer than two photos, the seed is negative, or no filter fires often enough
        to gain anything.
    """
    config = config or MiningConfig()
    require(
        isinstance(seed, int | np.integer) and seed >= 0,
        f"the seed must be a whole number from 0 on, got {seed!r}",
    )
    require(
        len(peaks) >= 2,
        f"mining needs at least 2 photos of one category, got {len(peaks)}: one photo cannot show "
        "what stays the same",
    )
    mirrored = orientation(peaks)
    mined = mine_layers(oriented_peaks(peaks, mirrored), peaks.input_size, config, seed)
    counts = [len(layer.mixture) for layer in mined]
    require(
        sum(counts) > 0,
        "no node explains the peaks better than noise does: give more photos of one category",
    )
    for spec, count in zip(peaks.layers, counts, strict=True):
        _log.info("layer %s: %d nodes", spec.name, count)
    return _assemble(peaks, mined, config, seed)


def orientation(peaks: PeakSet) -> I4:
    """Return (N,) 1 for the photos to mirror so that all face the same way, 0 for the others."""
    if peaks.mirrored is None or peaks.sketch is None:
        return np.zeros(len(peaks), dtype=np.int32)
    return (mirror_signs(peaks.sketch) < 0).astype(np.int32)


def oriented_peaks(peaks: PeakSet, mirrored: I4) -> tuple[Peaks, ...]:
    """Return each layer's peaks in the orientation that ``mirrored (N,)`` says."""
    if peaks.mirrored is None or not mirrored.any():
        return peaks.peaks
    flip = mirrored.astype(bool)[:, None, None]
    return tuple(
        Peaks(
            given.layer,
            np.where(flip[..., None], other.yx, given.yx),
            np.where(flip, other.weight, given.weight),
        )
        for given, other in zip(peaks.peaks, peaks.mirrored, strict=True)
    )


def mine_layers(
    peaks: Sequence[Peaks], input_size: tuple[int, int], config: MiningConfig, seed: int
) -> list[MinedLayer]:
    """Mine L layers of oriented peaks from the top down; the result is lowest first."""
    coarsest = min(_cells(p.layer) for p in peaks)
    mined: list[MinedLayer] = []
    above: MinedLayer | None = None
    for index in reversed(range(len(peaks))):
        density = config.density_top if _cells(peaks[index].layer) == coarsest else config.density
        rng = np.random.default_rng([seed, index])
        above = LayerMiner.of(peaks[index], input_size, config, above).mine(density, rng)
        mined.append(above)
    return mined[::-1]


def _cells(layer: LayerSpec) -> int:
    return layer.grid[0] * layer.grid[1]


def _assemble(
    peaks: PeakSet, mined: Sequence[MinedLayer], config: MiningConfig, seed: int
) -> ExplanatoryGraph:
    offsets = np.cumsum([0, *(len(layer.mixture) for layer in mined)])
    score = np.concatenate([layer.score for layer in mined])
    mean_score = score.mean(axis=1)
    return ExplanatoryGraph(
        layers=peaks.layers,
        input_size=peaks.input_size,
        channel_mean=peaks.channel_mean,
        channel_scale=peaks.channel_scale,
        noise=tuple(layer.mixture.noise.astype(np.float32) for layer in mined),
        node_layer=np.repeat(np.arange(len(mined), dtype=np.int32), np.diff(offsets)),
        node_channel=np.concatenate([layer.mixture.channel for layer in mined]),
        node_part=np.concatenate([_part_numbers(layer) for layer in mined]),
        mu=np.concatenate([layer.mixture.mu for layer in mined]),
        spread=np.concatenate([layer.spread for layer in mined]),
        weight=np.concatenate([layer.mixture.weight for layer in mined]),
        score=mean_score,
        support=fires(score, mean_score).mean(axis=1),
        gain=np.concatenate([layer.gain for layer in mined]),
        **edge_columns(mined, offsets),
        header={
            **peaks.header,
            "config": config.to_json(),
            "n_images": len(peaks),
            "seed": int(seed),
            "versions": {
                "explgraph": __version__,
                "numba": numba.__version__,
                "numpy": np.__version__,
                "python": platform.python_version(),
            },
        },
    )


def _part_numbers(layer: MinedLayer) -> I4:
    """Return each node's number in its filter, from 0 in their order (falling gain)."""
    mixture = layer.mixture
    return (np.arange(len(mixture)) - mixture.start[mixture.channel]).astype(np.int32)
