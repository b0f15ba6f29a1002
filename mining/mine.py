"""Peaks to an explanatory graph: orientation, layers from the top down, edges."""

from __future__ import annotations

import logging
import platform
from collections.abc import Callable, Sequence
from functools import partial
from time import perf_counter
from typing import Any, NamedTuple

import numba
import numpy as np

from explgraph.base import __version__
from explgraph.base.arrays import F4, I4, I8
from explgraph.base.errors import require
from explgraph.base.files import Stages
from explgraph.base.formats.columns import MINED_STAGE, NODES_STAGE, poses_stage
from explgraph.base.layer import LayerSpec
from explgraph.base.progress import Stage, stage
from explgraph.base.running.crew import Crew
from explgraph.base.schema import Columns, Sizes
from explgraph.graphs.graph import ExplanatoryGraph
from explgraph.peaks.structures import PeakSource

from .align import Facing, facing
from .config import MiningConfig
from .described import Telling, completed
from .devices import engine_for, usable_device
from .em import Mixture
from .engine import Device, Engine
from .guides import Arrays, Block
from .layers import Above, LayerMiner
from .pose import PoseBasis, PoseMap, Poses, fit_poses, pose_basis
from .work.pool import by_workers
from .work.steps import MinedLayer

_log = logging.getLogger("explgraph")


def mine_peaks(
    peaks: PeakSource,
    *,
    config: MiningConfig | None = None,
    seed: int = 0,
    stages: Stages | None = None,
    device: Device = "cpu",
    crew: Crew | None = None,
) -> ExplanatoryGraph:
    """Mine the explanatory graph of the photos whose peaks are given.

    Parameters
    ----------
    peaks
        Of N >= 2 photos of one category: a `PeakSet`, or a spool. With mirrored peaks, all photos
        are first brought to one orientation.
    config
        Hyper-parameters; None takes the defaults.
    seed
        Of the nodes' first positions.
    stages
        Where finished steps are kept, so that an interrupted run goes on from them.
    device
        "cpu", "cuda" (a GPU, with ``explgraph[cuda]``), or "auto": "cuda" where that works.
    crew
        Workers that share the work of the CPU; the graph has the same bytes.

    Returns
    -------
    The graph, L layers. On the CPU equal input gives equal bytes in its file, for any number of
    threads; a GPU gives the same up to rounding.

    Raises
    ------
    ExplGraphError
        If there are fewer than two photos, the seed is negative, the device cannot be used, or no
        filter fires often enough to gain anything.
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
    graph = mined_graph(peaks, config, seed, stages, device, crew)
    counts = np.bincount(graph.node_layer, minlength=len(graph.layers))
    for spec, count in zip(graph.layers, counts, strict=True):
        _log.info("layer %s: %d nodes", spec.name, count)
    return graph


def mined_graph(
    peaks: PeakSource,
    config: MiningConfig,
    seed: int,
    stages: Stages | None = None,
    device: Device = "cpu",
    crew: Crew | None = None,
) -> ExplanatoryGraph:
    """Do as `mine_peaks` with what is known to be right, and without a message."""
    with stage("mining") as whole:
        whole.note, where = "orientation", usable_device(device)
        faces = facing(peaks) if crew is None else facing(peaks, by_workers(crew))
        engine = engine_for(where, peaks, (faces.signs < 0).astype(np.uint8), crew)
        mined = mine_layers(engine, config, seed, stages, crew)
        require(
            any(len(layer.mixture) > 0 for layer in mined.layers),
            "no node explains the peaks better than noise does: give more photos of one category",
        )
        whole.note = "edges"
        graph = _assemble(peaks, faces, mined, config, seed)
        return completed(graph, engine.over_groups(Telling(graph)))


class Mined(NamedTuple):
    """What mining finds: L layers, lowest first, and the map to poses (of 0 numbers if none)."""

    layers: tuple[MinedLayer, ...]
    pose_map: PoseMap


def mine_layers(
    engine: Engine,
    config: MiningConfig,
    seed: int,
    stages: Stages | None = None,
    crew: Crew | None = None,
) -> Mined:
    """Mine L layers of photos that face one way: nodes, then poses, then parents, top down.

    A crew's journal is told of each step.
    """
    peaks = engine.source
    miners = [LayerMiner(engine, i, config) for i in range(len(peaks.layers))]
    rounds = config.pose_rounds if config.pose_rank > 0 else 0
    total = 2 * len(miners) + rounds * (1 + len(miners))
    with stage("mining", total, unit="steps") as steps:
        run = _Run(miners, config, seed, stages, steps, crew)
        blocks, pose_map = run.blocks()
        return Mined(run.layers(blocks), pose_map)


class _Run:
    """Mining step by step; steps that ``stages`` holds are not computed again, ``steps`` counts."""

    def __init__(
        self,
        miners: Sequence[LayerMiner],
        config: MiningConfig,
        seed: int,
        stages: Stages | None,
        steps: Stage,
        crew: Crew | None,
    ) -> None:
        self.miners, self.n = miners, len(miners[0].source)
        self.config, self.seed, self.stages, self.steps = config, seed, stages, steps
        self.crew = crew

    def blocks(self) -> tuple[list[Block], PoseMap]:
        """Return each layer's nodes and the map to poses, as they are before edges."""
        still = np.zeros((self.n, 0), dtype=np.float32)
        spread = self.config.spread_start
        blocks = [
            self._block(f"start.{miner.index}", miner, still, spread, partial(self._start, miner))
            for miner in self.miners
        ]
        basis = self._basis()
        if basis is None:
            return blocks, PoseMap.none()
        narrowing = self.config.spread_top / self.config.spread_start
        for step in range(1, self.config.pose_rounds + 1):
            poses = self._poses(f"poses.{step}", blocks, basis)
            spread = self.config.spread_start * narrowing ** (step / self.config.pose_rounds)
            for i, miner in enumerate(self.miners):
                follow = partial(miner.follow, blocks[i], poses, spread)
                blocks[i] = self._block(f"follow.{step}.{i}", miner, poses.pose, spread, follow)
        return blocks, poses.map

    def layers(self, blocks: Sequence[Block]) -> tuple[MinedLayer, ...]:
        """Return the finished layers, lowest first, from the top down."""
        mined: list[MinedLayer] = []
        above: Above | None = None
        for miner, block in zip(reversed(self.miners), reversed(blocks), strict=True):
            n_upper = len(mined[-1].mixture) if mined else 0
            mined.append(self._finished(miner, block, above, n_upper))
            if miner.index > 0:
                above = miner.above(mined[-1], block.guide.pose, above)
        return tuple(mined[::-1])

    def _stage(
        self,
        name: str,
        miner: LayerMiner | None,
        form: tuple[Columns, Sizes],
        compute: Callable[[], Arrays],
    ) -> Arrays:
        self.steps.note = "poses" if miner is None else f"layer {miner.layer.name}"
        found = None if self.stages is None else self.stages.load(name, *form)
        if found is not None:
            self.steps.skip()
            self._tell(name, miner, state="found")
            return found
        began = perf_counter()
        arrays = compute()
        if self.stages is not None:
            self.stages.save(name, arrays)
        self.steps.reach(self.steps.done + 1)
        self._tell(name, miner, state="ended", seconds=round(perf_counter() - began, 3))
        return arrays

    def _tell(self, name: str, miner: LayerMiner | None, **line: object) -> None:
        if self.crew is not None:
            layers = self.miners if miner is None else [miner]
            names, filters = zip(*((m.layer.name, m.layer.channels) for m in layers), strict=True)
            layer = {"layers": names, "filters": sum(filters)}
            self.crew.note(stage="mining", step=name, **layer, **line)

    def _block(
        self, name: str, miner: LayerMiner, pose: F4, spread: float, compute: Callable[[], Block]
    ) -> Block:
        form = NODES_STAGE, {"C": miner.layer.channels, "Q": pose.shape[1]}
        arrays = self._stage(name, miner, form, lambda: compute().arrays())
        return miner.block(Mixture.of(arrays), np.array(arrays["node_pose"]), pose, spread)

    def _finished(
        self, miner: LayerMiner, block: Block, above: Above | None, n_upper: int
    ) -> MinedLayer:
        def compute() -> Arrays:
            return miner.finish(block, above).arrays()

        sizes = {"C": miner.layer.channels, "Q": block.guide.node_pose.shape[2], "U": n_upper}
        name = f"mined.{miner.index}"
        return MinedLayer.of(self._stage(name, miner, (MINED_STAGE, sizes), compute))

    def _start(self, miner: LayerMiner) -> Block:
        coarsest = min(_cells(m.layer) for m in self.miners)
        top = _cells(miner.layer) == coarsest
        density = self.config.density_top if top else self.config.density
        return miner.start(density, np.random.default_rng([self.seed, miner.index]))

    def _basis(self) -> PoseBasis | None:
        if self.config.pose_rank == 0:
            return None
        top = self.miners[-1]
        return pose_basis(top.columns, top.layer, self.n, top.source.input_size, self.config)

    def _poses(self, name: str, blocks: Sequence[Block], basis: PoseBasis) -> Poses:
        def compute() -> Arrays:
            pairs = zip(self.miners, blocks, strict=True)
            moves = [miner.regress(block, basis) for miner, block in pairs]
            return fit_poses(basis, moves, self.config).arrays()

        form = poses_stage([len(block.mixture) for block in blocks]), {"N": self.n}
        return Poses.of(self._stage(name, None, form, compute))


def _cells(layer: LayerSpec) -> int:
    return layer.grid[0] * layer.grid[1]


def _assemble(
    peaks: PeakSource, faces: Facing, found: Mined, config: MiningConfig, seed: int
) -> ExplanatoryGraph:
    """Return the graph, but for what `described` fills in."""
    mined, pose_map = found
    offsets = np.cumsum([0, *(len(layer.mixture) for layer in mined)])
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
        score=np.concatenate([layer.score for layer in mined]),
        support=np.zeros(offsets[-1], dtype=np.float32),
        gain=np.concatenate([layer.gain for layer in mined]),
        pose_weight=pose_map.weight,
        pose_offset=pose_map.offset,
        node_pose=np.concatenate([layer.node_pose for layer in mined]),
        **_edges(mined, offsets),
        facing=faces.weight,
        photo_sureness=np.abs(faces.votes),
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


def _edges(mined: Sequence[MinedLayer], offsets: I8) -> dict[str, Any]:
    """Return the edge arrays of the graph, of which only the ends are known yet."""
    child = np.concatenate(
        [
            np.repeat(np.arange(len(layer.mixture)), layer.parent.shape[1]) + offsets[i]
            for i, layer in enumerate(mined)
        ]
    )
    parent = np.concatenate(
        [layer.parent.ravel().astype(np.int64) + offsets[i + 1] for i, layer in enumerate(mined)]
    )
    unknown = np.zeros(len(child), dtype=np.float32)
    return {
        "edge_child": child,
        "edge_parent": parent,
        "edge_displacement": np.zeros((len(child), 2), dtype=np.float32),
        "edge_spread": unknown,
        "edge_correlation": unknown,
    }
