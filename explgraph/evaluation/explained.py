"""How much of unseen photos a graph explains, beside nodes of other filters and other photos."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from explgraph.base.arrays import first_half
from explgraph.base.errors import require
from explgraph.base.text import plain
from explgraph.graphs.graph import ExplanatoryGraph
from explgraph.graphs.kinds import KINDS, NodeKinds, node_kinds
from explgraph.peaks.structures import PeakSet
from explgraph.pipeline import grouped
from mining import MiningConfig, match_peaks, mine_peaks
from mining.explained import COUNTS, ExplainedShare, Shares, explained_share, shuffled_filters

if TYPE_CHECKING:
    import pandas as pd


GRAPH, SHUFFLED, BACKGROUND = "graph", "shuffled filters", "background photos"
ALL_LAYERS = "all layers"


@dataclass(frozen=True, slots=True)
class SeedShares:
    """What the graph of one seed explains.

    Attributes
    ----------
    nodes
        How many there are.
    kinds
        What they are; see `node_kinds`.
    rows
        By row, ``graph``, ``shuffled filters`` and ``background photos``.
    """

    nodes: int
    kinds: NodeKinds
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
    def margins(self) -> dict[str, float]:
        """By count, how far the graph's explained share lies above that of the higher control.

        Over all layers; the mean over seeds. NaN where a control has no response.
        """
        return {
            count: float(
                np.mean([_margins(self.layers, s, count)[ALL_LAYERS] for s in self.seeds.values()])
            )
            for count in COUNTS
        }

    @property
    def table(self) -> pd.DataFrame:
        """One row per seed, count, layer (and ``all layers``) and row.

        Columns: ``category``, ``seed``, ``count`` (of `ExplainedShare`), ``layer``, ``row``, the
        shares of `Shares`, and ``margin``, how far the graph's explained share lies above that of
        the higher control; NaN in other rows.
        """
        import pandas as pd

        return pd.DataFrame(self._lines())

    def to_json(self) -> dict[str, Any]:
        """Return every line of the table, margins and kinds as JSON values; NaN is null."""
        mined, measured, background = self.photos
        return {
            "category": self.category,
            "photos": {"mined": mined, "measured": measured, "background": background},
            "margins": plain(self.margins),
            "seeds": {str(seed): _kinds_json(found) for seed, found in self.seeds.items()},
            "table": [plain(line) for line in self._lines()],
        }

    def _lines(self) -> list[dict[str, Any]]:
        return [
            {
                "category": self.category,
                "seed": seed,
                "count": count,
                "layer": layer,
                "row": row,
                **asdict(shares),
                "margin": _margins(self.layers, found, count)[layer] if row == GRAPH else math.nan,
            }
            for seed, found in self.seeds.items()
            for count in COUNTS
            for row, share in found.rows.items()
            for layer, shares in _by_layer(self.layers, share, count).items()
        ]


def study_explained(
    peaks: PeakSet,
    background: PeakSet,
    *,
    groups: Sequence[str] | None = None,
    seeds: Sequence[int] = (0,),
    category: str = "photos",
    config: MiningConfig | None = None,
    objects: Sequence[NDArray[np.bool_]] | None = None,
) -> ExplainedStudy:
    """Mine half of the photos and measure how much of the other half the graph explains.

    Halves: the distinct groups, sorted as strings, by turns. Kinds of nodes are told apart, where
    they can be, by the half that was mined and the background.

    Parameters
    ----------
    peaks
        Photos of one category.
    background
        Photos of other things, extracted with the same network and channel statistics, and with
        mirrored peaks if the photos have them: without, they are matched as given, and the control
        is too easy to beat.
    groups
        A name for each photo; photos of one group (crops of one picture) stay together. Default:
        each photo on its own.
    seeds
        Of mining; one graph each.
    category
        What the study is called.
    config
        Of mining; None takes the defaults.
    objects
        For each photo where the object is, as in `explained_share`.

    Raises
    ------
    ExplGraphError
        If there are no seeds, ``groups`` or ``objects`` do not fit, a half has too few photos or
        groups to be mined or divided, or the background is of other layers.
    """
    names = np.array(peaks.images if groups is None else groups, dtype=object)
    require(len(names) == len(peaks), f"groups needs {len(peaks)} names, got {len(names)}")
    require(len(seeds) > 0, "study_explained needs at least one seed, got none")
    require(
        background.layers == peaks.layers,
        f"the background is of layers {[layer.name for layer in background.layers]}, the photos of "
        f"{[layer.name for layer in peaks.layers]}: extract both in the same way",
    )
    require(
        objects is None or len(objects) == len(peaks),
        f"objects needs a mask for each of the {len(peaks)} photos, got {len(objects or ())}",
    )
    mined = first_half(names.tolist())
    seen, unseen = peaks.take(mined), peaks.take(~mined)
    measured = _Measured(
        unseen,
        background,
        names[~mined].tolist(),
        None if objects is None else [objects[i] for i in np.flatnonzero(~mined).tolist()],
    )
    return ExplainedStudy(
        category=category,
        photos=(len(seen), len(unseen), len(background)),
        layers=tuple(layer.name for layer in peaks.layers),
        seeds={
            int(seed): _measure(mine_peaks(seen, config=config, seed=seed), seen, measured, seed)
            for seed in seeds
        },
    )


class _Measured(NamedTuple):
    """Photos of the category and of other things; groups of the former, and their objects."""

    unseen: PeakSet
    background: PeakSet
    groups: Sequence[str]
    objects: Sequence[NDArray[np.bool_]] | None


def _measure(graph: ExplanatoryGraph, seen: PeakSet, measured: _Measured, seed: int) -> SeedShares:
    unseen, background, groups, objects = measured
    graph = grouped(graph, seen, background=background)
    found = match_peaks(graph, unseen)
    own, shuffled = (
        explained_share(graph, unseen, groups=groups, filters=filters, found=found, objects=objects)
        for filters in (None, shuffled_filters(graph, seed=seed))
    )
    return SeedShares(
        nodes=len(graph),
        kinds=node_kinds(graph),
        rows={
            GRAPH: own,
            SHUFFLED: shuffled,
            BACKGROUND: explained_share(graph, background),
        },
    )


def _kinds_json(found: SeedShares) -> dict[str, Any]:
    kind = found.kinds.kind
    counts = None if kind is None else {name: int(np.sum(kind == name)) for name in KINDS}
    return {"nodes": found.nodes, "kinds": counts, "no_kinds_because": found.kinds.reason or None}


def _by_layer(layers: Sequence[str], share: ExplainedShare, count: str) -> dict[str, Shares]:
    counted = getattr(share, count)
    return {**dict(zip(layers, counted.layers, strict=True)), ALL_LAYERS: counted.overall}


def _margins(layers: Sequence[str], found: SeedShares, count: str) -> dict[str, float]:
    rows = {row: _by_layer(layers, share, count) for row, share in found.rows.items()}
    return {
        layer: shares.explained
        - float(np.max([rows[row][layer].explained for row in (SHUFFLED, BACKGROUND)]))
        for layer, shares in rows[GRAPH].items()
    }
