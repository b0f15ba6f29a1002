"""Peaks to an explanatory graph: orientation, layers from the top down, edges."""

from __future__ import annotations

import logging
import platform
from collections.abc import Sequence
from typing import NamedTuple

import numba
import numpy as np

from explgraph import __version__
from explgraph.errors import require
from explgraph.firing import fires
from explgraph.graph import ExplanatoryGraph
from explgraph.structures import I4, LayerSpec, Peaks, PeakSet

from .align import facing_signs
from .config import MiningConfig
from .edges import edge_columns
from .layers import Block, LayerMiner, MinedLayer
from .pose import PoseMap, fit_poses, pose_basis

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
    counts = [len(layer.mixture) for layer in mined.layers]
    require(
        sum(counts) > 0,
        "no node explains the peaks better than noise does: give more photos of one category",
    )
    for spec, count in zip(peaks.layers, counts, strict=True):
        _log.info("layer %s: %d nodes", spec.name, count)
    return _assemble(peaks, mined, config, seed)


def orientation(peaks: PeakSet) -> I4:
    """Return (N,) 1 for the photos to mirror so that all face the same way, 0 for the others."""
    return (facing_signs(peaks) < 0).astype(np.int32)


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


class Mined(NamedTuple):
    """What mining finds: L layers, lowest first, and the map to poses (of 0 numbers if none)."""

    layers: tuple[MinedLayer, ...]
    pose_map: PoseMap


def mine_layers(
    peaks: Sequence[Peaks], input_size: tuple[int, int], config: MiningConfig, seed: int
) -> Mined:
    """Mine L layers of oriented peaks: nodes, then poses, then parents from the top down."""
    miners = [LayerMiner.of(p, input_size, config) for p in peaks]
    coarsest = min(_cells(p.layer) for p in peaks)
    blocks = [
        miner.start(
            config.density_top if _cells(miner.layer) == coarsest else config.density,
            np.random.default_rng([seed, index]),
        )
        for index, miner in enumerate(miners)
    ]
    blocks, pose_map = _follow_poses(miners, blocks, peaks[-1], config)
    mined: list[MinedLayer] = []
    for miner, block in zip(reversed(miners), reversed(blocks), strict=True):
        mined.append(miner.finish(block, mined[-1] if mined else None))
    return Mined(tuple(mined[::-1]), pose_map)


def _follow_poses(
    miners: Sequence[LayerMiner], blocks: Sequence[Block], top: Peaks, config: MiningConfig
) -> tuple[list[Block], PoseMap]:
    """Fit poses and the nodes under them, in turn, while the spread narrows."""
    basis = pose_basis(top, miners[-1].input_size, config) if config.pose_rank > 0 else None
    current = list(blocks)
    if basis is None:
        return current, PoseMap.none()
    narrowing = config.spread_top / config.spread_start
    for step in range(1, config.pose_rounds + 1):
        placed = [miner.place(block, pull=1) for miner, block in zip(miners, current, strict=True)]
        poses = fit_poses(
            basis, [p.displacement for p in placed], [p.score for p in placed], config
        )
        spread = config.spread_start * narrowing ** (step / config.pose_rounds)
        current = [
            miner.follow(block, poses, index, spread)
            for index, (miner, block) in enumerate(zip(miners, current, strict=True))
        ]
    return current, poses.map


def _cells(layer: LayerSpec) -> int:
    return layer.grid[0] * layer.grid[1]


def _assemble(peaks: PeakSet, found: Mined, config: MiningConfig, seed: int) -> ExplanatoryGraph:
    mined, pose_map = found
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
        pose_weight=pose_map.weight,
        pose_offset=pose_map.offset,
        node_pose=np.concatenate([layer.node_pose for layer in mined]),
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
