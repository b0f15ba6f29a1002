"""How much of unseen photos a graph explains, beside nodes of other filters and other photos."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from explgraph.base.arrays import first_half
from explgraph.base.errors import require
from explgraph.base.text import plain
from explgraph.peaks.structures import PeakSet
from mining import MiningConfig, mine_peaks
from mining.explained import ExplainedShare, Shares, explained_share, node_kinds, shuffled_filters

if TYPE_CHECKING:
    import pandas as pd


GRAPH, SHUFFLED, BACKGROUND = "graph", "shuffled filters", "background photos"
ALL_LAYERS = "all layers"


@dataclass(frozen=True, slots=True)
class SeedShares:
    """What the graph of one seed explains.

    Attributes
    ----------
    nodes, part_nodes
        Number of nodes, and of part nodes among them, by layer and in ``all layers``.
    rows
        By row, ``graph``, ``shuffled filters`` and ``background photos``.
    """

    nodes: Mapping[str, int]
    part_nodes: Mapping[str, int]
    rows: Mapping[str, ExplainedShare]


@dataclass(frozen=True, slots=True)
class ExplainedStudy:
    """The explained share of unseen photos, beside its two controls.

    Attributes
    ----------
    category
        What the photos show.
    photos
        Number of photos mined from, measured, and of the background.
    layers
        L names, lowest first.
    seeds
        By seed of mining.
    """

    category: str
    photos: tuple[int, int, int]
    layers: tuple[str, ...]
    seeds: Mapping[int, SeedShares]

    @property
    def margin(self) -> float:
        """How far the graph's explained share lies above that of the higher control.

        Over all layers; the mean over seeds. NaN where a control has no response.
        """
        return float(np.mean([_margin(found) for found in self.seeds.values()]))

    @property
    def table(self) -> pd.DataFrame:
        """One row per seed, layer (and ``all layers``) and row.

        Columns: ``category``, ``seed``, ``layer``, ``row``; ``part``, ``texture``, ``unexplained``,
        shares of the response that add up to 1; ``explained``, part and texture together;
        ``nodes`` and ``part_nodes`` of the layer.
        """
        import pandas as pd

        return pd.DataFrame(self._lines())

    def to_json(self) -> dict[str, Any]:
        """Return every line of the table and the margin as JSON values; NaN is null."""
        mined, measured, background = self.photos
        return {
            "category": self.category,
            "photos": {"mined": mined, "measured": measured, "background": background},
            "margin": plain(self.margin),
            "table": [plain(line) for line in self._lines()],
        }

    def _lines(self) -> list[dict[str, Any]]:
        return [
            {
                "category": self.category,
                "seed": seed,
                "layer": layer,
                "row": row,
                **asdict(shares),
                "explained": shares.explained,
                "nodes": found.nodes[layer],
                "part_nodes": found.part_nodes[layer],
            }
            for seed, found in self.seeds.items()
            for row, share in found.rows.items()
            for layer, shares in _by_layer(self.layers, share).items()
        ]


def study_explained(
    peaks: PeakSet,
    background: PeakSet,
    *,
    groups: Sequence[str] | None = None,
    seeds: Sequence[int] = (0,),
    category: str = "photos",
    config: MiningConfig | None = None,
) -> ExplainedStudy:
    """Mine half of the photos and measure how much of the other half the graph explains.

    Halves: the distinct groups, sorted as strings, by turns. Part and texture nodes are told apart
    on the half that was mined.

    Parameters
    ----------
    peaks
        Photos of one category.
    background
        Photos of other things, extracted with the same network and channel statistics. Without
        mirrored peaks they are matched as given.
    groups
        A name for each photo; photos of one group (crops of one picture) stay together. Default:
        each photo on its own.
    seeds
        Of mining; one graph each.
    category
        What the study is called.
    config
        Of mining; None takes the defaults.

    Raises
    ------
    ExplGraphError
        If there are no seeds, ``groups`` does not fit, a half has too few photos or groups to be
        mined or divided, or the background is of other layers.
    """
    names = np.array(peaks.images if groups is None else groups, dtype=object)
    require(len(names) == len(peaks), f"groups needs {len(peaks)} names, got {len(names)}")
    require(len(seeds) > 0, "study_explained needs at least one seed, got none")
    require(
        background.layers == peaks.layers,
        f"the background is of layers {[layer.name for layer in background.layers]}, the photos of "
        f"{[layer.name for layer in peaks.layers]}: extract both in the same way",
    )
    mined = first_half(names.tolist())
    seen, unseen = peaks.take(mined), peaks.take(~mined)
    return ExplainedStudy(
        category=category,
        photos=(len(seen), len(unseen), len(background)),
        layers=tuple(layer.name for layer in peaks.layers),
        seeds={
            int(seed): _measure(seen, unseen, background, names[~mined].tolist(), config, seed)
            for seed in seeds
        },
    )


def _measure(
    seen: PeakSet,
    unseen: PeakSet,
    background: PeakSet,
    groups: Sequence[str],
    config: MiningConfig | None,
    seed: int,
) -> SeedShares:
    graph = mine_peaks(seen, config=config, seed=seed)
    texture = node_kinds(graph, seen).texture
    shuffled = shuffled_filters(graph, seed=seed)
    layer_of = [*(graph.node_layer == i for i in range(len(graph.layers))), graph.node_layer >= 0]
    names = [*(layer.name for layer in graph.layers), ALL_LAYERS]
    return SeedShares(
        nodes={name: int(rows.sum()) for name, rows in zip(names, layer_of, strict=True)},
        part_nodes={
            name: int((rows & ~texture).sum()) for name, rows in zip(names, layer_of, strict=True)
        },
        rows={
            GRAPH: explained_share(graph, unseen, texture=texture, groups=groups),
            SHUFFLED: explained_share(
                graph, unseen, texture=texture, groups=groups, filters=shuffled
            ),
            BACKGROUND: explained_share(graph, background, texture=texture),
        },
    )


def _by_layer(layers: Sequence[str], share: ExplainedShare) -> dict[str, Shares]:
    return {**dict(zip(layers, share.layers, strict=True)), ALL_LAYERS: share.overall}


def _margin(found: SeedShares) -> float:
    explained = {row: share.overall.explained for row, share in found.rows.items()}
    return explained[GRAPH] - float(np.max([explained[SHUFFLED], explained[BACKGROUND]]))
