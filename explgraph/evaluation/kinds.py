"""Are nodes what `node_kinds` calls them? Counted on photos whose every pixel is labelled."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from explgraph.base.arrays import first_half
from explgraph.base.errors import require
from explgraph.base.text import plain
from explgraph.graphs.graph import ExplanatoryGraph
from explgraph.graphs.kinds import KINDS, node_kinds
from explgraph.graphs.matches import Matches
from explgraph.peaks.structures import PeakSet
from explgraph.photos.masks import PartMasks
from explgraph.pipeline import grouped
from mining import MiningConfig, match_peaks, mine_peaks

from .node_parts import node_parts

if TYPE_CHECKING:
    import pandas as pd


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
        graph = grouped(graph, seen, background=background)
        found[int(seed)] = kind_agreement(graph, match_peaks(graph, unseen), truth)
    return KindsStudy(category, (len(seen), len(unseen)), found)


def kind_agreement(graph: ExplanatoryGraph, found: Matches, masks: PartMasks) -> KindAgreement:
    """Compare a graph's kinds with masks of photos in which its nodes were found.

    Raises
    ------
    ExplGraphError
        If matches or masks do not fit, contrast or groups are unknown, or no node ever fires.
    """
    from sklearn.metrics import cohen_kappa_score

    truth = node_parts(graph, found, masks).kind
    told = truth != ""
    require(bool(told.any()), "kinds need a node that fires in at least one photo with masks")
    truth, kinds = truth[told], node_kinds(graph)
    contrast, group_gain = kinds.contrast, kinds.group_gain
    require(contrast is not None and group_gain is not None, kinds.reason)
    shares = {name: float(np.mean(truth == name)) for name in KINDS}
    kappa = accuracy = math.nan
    if kinds.kind is not None:
        kappa = float(cohen_kappa_score(truth, kinds.kind[told]))
        accuracy = float(np.mean(truth == kinds.kind[told]))
    part, on_object = truth == "part", truth != "background"
    return KindAgreement(
        nodes=len(truth),
        **shares,
        kappa=kappa,
        accuracy=accuracy,
        frequent=max(shares.values()),
        contrast_auc=_auc(on_object, np.asarray(contrast)[told]),
        group_gain_auc=_auc(part, np.asarray(group_gain)[told]),
        gain_auc=_auc(part, graph.gain[told]),
    )


def _auc(wanted: NDArray[np.bool_], figure: NDArray[np.floating]) -> float:
    """Return the area under the curve; NaN where all nodes are alike."""
    from sklearn.metrics import roc_auc_score

    return float(roc_auc_score(wanted, figure)) if len(np.unique(wanted)) == 2 else math.nan
