"""Are nodes what `node_kinds` calls them? Counted on photos whose every pixel is labelled."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from explgraph.base.arrays import NONE, first_half
from explgraph.base.errors import require
from explgraph.base.text import plain
from explgraph.graphs.graph import ExplanatoryGraph
from explgraph.graphs.kinds import KINDS, node_kinds
from explgraph.graphs.matches import Matches, fires
from explgraph.groups.contrast import node_contrast
from explgraph.groups.grouping import part_groups
from explgraph.groups.naming import parts_under
from explgraph.peaks.structures import PeakSet
from explgraph.photos.masks import PartMasks
from mining import MiningConfig, match_peaks, mine_peaks

if TYPE_CHECKING:
    import pandas as pd


Flags = NDArray[np.bool_]

ON_PART = 0.6
"""A node is truly a part if so large a share of its peaks lies on one and the same part."""

ON_BACKGROUND = 0.5
"""It is truly background if so large a share of its peaks lies on no part."""


@dataclass(frozen=True, slots=True)
class KindAgreement:
    """How far `node_kinds` agrees with masks.

    Attributes
    ----------
    nodes
        Number of nodes that fire in the photos with masks.
    part, texture, background
        Shares of these nodes that truly are so.
    kappa
        Cohen's kappa of the three kinds; 0 is chance. NaN where `node_kinds` tells none.
    accuracy
        Share of the nodes that are called what they are; NaN likewise.
    frequent
        Control: the same, had all been called what most of them are.
    contrast_auc
        How well contrast ranks nodes on the object above those on the background: the area under
        the curve, .5 is chance.
    group_gain_auc
        How well group gain ranks part nodes above all others.
    gain_auc
        Control: how well `ExplanatoryGraph.gain` does.
    """

    nodes: int
    part: float
    texture: float
    background: float
    kappa: float
    accuracy: float
    frequent: float
    contrast_auc: float
    group_gain_auc: float
    gain_auc: float


@dataclass(frozen=True, slots=True)
class KindsStudy:
    """How far kinds agree with masks in photos that were not mined.

    Attributes
    ----------
    category
        What the photos show.
    photos
        Number of photos mined from, and measured.
    seeds
        By seed of mining.
    """

    category: str
    photos: tuple[int, int]
    seeds: Mapping[int, KindAgreement]

    @property
    def table(self) -> pd.DataFrame:
        """One row per seed: ``category``, ``seed`` and the figures of `KindAgreement`."""
        import pandas as pd

        return pd.DataFrame(
            [
                {"category": self.category, "seed": seed, **asdict(found)}
                for seed, found in self.seeds.items()
            ]
        )

    def to_json(self) -> dict[str, Any]:
        """Return every figure of every seed as JSON values; NaN is null."""
        mined, measured = self.photos
        return {
            "category": self.category,
            "photos": {"mined": mined, "measured": measured},
            "seeds": {str(seed): plain(asdict(found)) for seed, found in self.seeds.items()},
        }


def study_kinds(
    peaks: PeakSet,
    background: PeakSet,
    masks: PartMasks,
    *,
    groups: Sequence[str] | None = None,
    seeds: Sequence[int] = (0,),
    category: str = "photos",
    config: MiningConfig | None = None,
) -> KindsStudy:
    """Mine half of the photos, and compare its nodes' kinds with the other half's masks.

    Masks enter nothing that is compared.

    Parameters
    ----------
    peaks
        N photos of one category.
    background
        Photos of other things, extracted with the same network and channel statistics.
    masks
        Of the N photos, in the same order.
    groups, seeds, category, config
        As in `study_explained`.

    Raises
    ------
    ExplGraphError
        If there are no seeds, masks or groups do not fit, or a half has too few photos.
    """
    names = list(peaks.images if groups is None else groups)
    require(len(names) == len(peaks), f"groups needs {len(peaks)} names, got {len(names)}")
    require(len(seeds) > 0, "study_kinds needs at least one seed, got none")
    mined = first_half(names)
    seen, unseen = peaks.take(mined), peaks.take(~mined)
    rows = np.flatnonzero(~mined).tolist()
    truth = PartMasks(
        tuple(masks.images[i] for i in rows), masks.parts, tuple(masks.labels[i] for i in rows)
    )
    found = {}
    for seed in seeds:
        graph = mine_peaks(seen, config=config, seed=seed)
        graph = grouped(graph, match_peaks(graph, seen), match_peaks(graph, background))
        found[int(seed)] = kind_agreement(graph, match_peaks(graph, unseen), truth)
    return KindsStudy(category, (len(seen), len(unseen)), found)


def grouped(graph: ExplanatoryGraph, found: Matches, background: Matches) -> ExplanatoryGraph:
    """Return a graph that knows its contrast and part groups."""
    graph = graph.having(contrast=node_contrast(graph, found, background))
    return graph.having(groups=part_groups(graph, found))


def kind_agreement(graph: ExplanatoryGraph, found: Matches, masks: PartMasks) -> KindAgreement:
    """Compare a graph's kinds with masks of photos in which its nodes were found.

    Raises
    ------
    ExplGraphError
        If matches or masks do not fit, contrast or groups are unknown, or no node ever fires.
    """
    truth = true_kinds(graph, found, masks)
    told = truth != ""
    require(bool(told.any()), "kinds need a node that fires in at least one photo with masks")
    truth, kinds = truth[told], node_kinds(graph)
    contrast, group_gain = kinds.contrast, kinds.group_gain
    require(contrast is not None and group_gain is not None, kinds.reason)
    shares = {name: float(np.mean(truth == name)) for name in KINDS}
    kappa = accuracy = math.nan
    if kinds.kind is not None:
        kappa, accuracy = _agreement(truth, kinds.kind[told])
    part, on_object = truth == "part", truth != "background"
    return KindAgreement(
        nodes=len(truth),
        **shares,
        kappa=kappa,
        accuracy=accuracy,
        frequent=max(shares.values()),
        contrast_auc=_auc(np.asarray(contrast)[told], on_object),
        group_gain_auc=_auc(np.asarray(group_gain)[told], part),
        gain_auc=_auc(graph.gain[told], part),
    )


def true_kinds(graph: ExplanatoryGraph, found: Matches, masks: PartMasks) -> NDArray[np.str_]:
    """Tell (P,) what nodes are by masks: where the peaks lie on which they fire.

    A peak lies on the nearest part within half a cell. "background" if half of the peaks or more
    lie on none, else "part" if .6 or more lie on one and the same, else "texture"; empty for a node
    that never fires.
    """
    label = parts_under(graph, found, masks)
    fire = fires(found.score.T, graph.score).T
    count = np.stack(
        [(fire & (label == part)).sum(axis=0) for part in (NONE, *range(len(masks.parts)))]
    )
    total = count.sum(axis=0)
    share = count / np.maximum(total, 1)
    on_object = np.where(share[1:].max(axis=0) >= ON_PART, "part", "texture")
    kind = np.where(share[0] >= ON_BACKGROUND, "background", on_object)
    return np.where(total > 0, kind, "")


def _agreement(truth: NDArray[np.str_], told: NDArray[np.str_]) -> tuple[float, float]:
    """Return Cohen's kappa, and the share of nodes that both call the same."""
    accuracy = float(np.mean(truth == told))
    chance = sum(float(np.mean(truth == name) * np.mean(told == name)) for name in KINDS)
    return (accuracy - chance) / (1 - chance) if chance < 1 else math.nan, accuracy


def _auc(figure: NDArray[np.floating], wanted: Flags) -> float:
    """Return how often a wanted node has the larger figure of a pair, ties as halves."""
    from scipy.stats import rankdata

    n, rest = np.count_nonzero(wanted), np.count_nonzero(~wanted)
    if not n or not rest:
        return math.nan
    rank = rankdata(figure)
    return float((rank[wanted].sum() - n * (n + 1) / 2) / (n * rest))
