"""Do part groups mean parts? Against labels that they never saw, and what simpler groups reach."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any, NamedTuple
from zlib import crc32

import numpy as np
from numpy.typing import NDArray

from explgraph.base.arrays import I8, NONE, first_half
from explgraph.base.text import plain
from explgraph.graphs.choice import groups_of
from explgraph.graphs.graph import ExplanatoryGraph
from explgraph.graphs.groups import PartGroups
from explgraph.graphs.matches import Matches, check_nodes
from explgraph.groups.grouping import CONTRAST, part_groups
from explgraph.groups.observed import observed
from explgraph.peaks.structures import PeakSet
from explgraph.photos.masks import PartMasks
from explgraph.pipeline import grouped
from mining import match_peaks, mine_peaks

from .node_parts import NodeParts, node_parts
from .tracking import SHARE_LIMIT, tracking_ratio
from .truth import PartTruth

if TYPE_CHECKING:
    import pandas as pd


GROUPS, KMEANS, RANDOM = "part groups", "k-means of places", "random groups"
BY_GROUP, BY_GAIN = "first 20 by group", "first 20 by gain"
FIGURES = ("group gain", "gain", "contrast")
"""What nodes are ranked by, to find those that follow a part."""

SHOWN = 20
_SURE, _OWN = 0.4, 0.5  # of a node's places on one part: to be judged, to show it
_SEED = 0


@dataclass(frozen=True, slots=True)
class GroupFigures:
    """How one way to group, to choose or to rank nodes fares; NaN where a figure does not apply.

    Attributes
    ----------
    groups
        How many groups there are.
    inside
        Share of the nodes of contrast that are in one.
    stability
        Adjusted mutual information of the groups from either half of the photos. It says nothing
        about meaning: read it beside the other figures.
    ami
        Adjusted mutual information of groups and true parts, over nodes in groups that lie on one
        part in .4 of the photos: 0 is chance, 1 is the same division.
    purity
        Share of these nodes whose part is the most frequent one of their group.
    parts
        Different parts that are some group's most frequent one; of nodes that are shown, different
        parts on which one of them lies in half of the photos.
    background
        Share of the nodes shown that lie on the background in half of the photos.
    auc
        By part, how well a figure tells the nodes that follow it (tracking ratio below .8 on half
        of the photos) from the others: .5 is chance.
    """

    groups: float = math.nan
    inside: float = math.nan
    stability: float = math.nan
    ami: float = math.nan
    purity: float = math.nan
    parts: float = math.nan
    background: float = math.nan
    auc: Mapping[str, float] | None = None


@dataclass(frozen=True, slots=True)
class GroupStudy:
    """How part groups fare beside their controls, in one category.

    Attributes
    ----------
    category
        What the photos show.
    rows
        By seed and row: part groups, k-means of the nodes' mean places with as many groups, and
        random ones; the first nodes shown by `ExplanatoryGraph.top` and by gain; what nodes are
        ranked by.
    """

    category: str
    rows: Mapping[int, Mapping[str, GroupFigures]]

    @property
    def table(self) -> pd.DataFrame:
        """One row per seed and row; AUC as columns ``auc <part>``; empty columns are left out."""
        import pandas as pd

        table = pd.DataFrame(
            [
                {"category": self.category, "seed": seed, "row": row, **_line(figures)}
                for seed, rows in self.rows.items()
                for row, figures in rows.items()
            ]
        )
        return table.dropna(axis="columns", how="all")

    def to_json(self) -> dict[str, Any]:
        """Return every figure of every seed as JSON values; what does not apply is null."""
        seeds = {
            str(seed): {row: plain(_line(figures)) for row, figures in rows.items()}
            for seed, rows in self.rows.items()
        }
        return {"category": self.category, "seeds": seeds}


def _line(figures: GroupFigures) -> dict[str, float]:
    line = {name: value for name, value in asdict(figures).items() if name != "auc"}
    return line | {f"auc {part}": value for part, value in (figures.auc or {}).items()}


class Labelled(NamedTuple):
    """Photos whose parts are known, and where a graph's nodes are in them.

    Attributes
    ----------
    found
        P nodes in N photos.
    masks
        Of these photos.
    """

    found: Matches
    masks: PartMasks


def measure_groups(
    graph: ExplanatoryGraph,
    found: Matches,
    *,
    labelled: Labelled | None = None,
    marks: Sequence[PartTruth] = (),
    photo_groups: Sequence[str] | None = None,
) -> dict[str, GroupFigures]:
    """Measure a graph's part groups beside their controls.

    Parameters
    ----------
    graph
        A graph with groups.
    found
        Where its nodes are in the photos that groups are made from.
    labelled
        Photos with masks, these or, better, others; None: nothing is said of true parts.
    marks
        Annotated parts in the photos of ``found``, for AUC.
    photo_groups
        A name for each photo: photos of one group lie in one half. Default: each on its own.

    Returns
    -------
    Figures by row, as in `GroupStudy`.

    Raises
    ------
    ExplGraphError
        If the graph has no groups, or matches, masks and marks do not fit.
    """
    check_nodes(graph, found)
    groups = groups_of(graph)
    half = first_half(found.images if photo_groups is None else photo_groups)
    halves = [part_groups(graph, found.take(images)) for images in (half, ~half)]
    truth = None if labelled is None else node_parts(graph, *labelled)
    rows = {GROUPS: _grouped(graph, groups.node_group, [h.node_group for h in halves], truth)}
    for row, make in ((KMEANS, _kmeans), (RANDOM, _random)):
        label = make(graph, found, groups)
        again = [make(graph, found.take(images), groups) for images in (half, ~half)]
        rows[row] = _grouped(graph, label, again, truth)
    if truth is not None:
        rows[BY_GROUP] = _shown(truth, graph.top(SHOWN))
        rows[BY_GAIN] = _shown(truth, graph.ranking()[:SHOWN])
    if marks:
        rows |= _followers(graph, groups, found, marks)
    return rows


def _grouped(
    graph: ExplanatoryGraph, label: NDArray[Any], again: list[NDArray[Any]], truth: NodeParts | None
) -> GroupFigures:
    from sklearn.metrics import adjusted_mutual_info_score

    inside = label != NONE
    both = np.all([one != NONE for one in again], axis=0)
    can = np.ones(len(graph), dtype=bool) if graph.contrast is None else graph.contrast > CONTRAST
    figures = GroupFigures(
        groups=len(np.unique(label[inside])),
        inside=float(inside.sum()) / max(int(can.sum()), 1),
        stability=float(adjusted_mutual_info_score(*(one[both] for one in again))),
    )
    if truth is None:
        return figures
    judged = inside & (truth.share >= _SURE)
    part, own = truth.part[judged], label[judged]
    leading = {g: int(np.bincount(part[own == g]).argmax()) for g in np.unique(own).tolist()}
    right = [leading[g] == true for g, true in zip(own.tolist(), part.tolist(), strict=True)]
    return replace(
        figures,
        ami=float(adjusted_mutual_info_score(part, own)),
        purity=sum(right) / len(right) if right else math.nan,
        parts=len(set(leading.values())),
    )


def _kmeans(graph: ExplanatoryGraph, found: Matches, groups: PartGroups) -> I8:
    """Return (P,) as many groups of the same nodes by where they lie in the mean."""
    from sklearn.cluster import KMeans

    seen = observed(graph, found)
    total = np.maximum(seen.weight.sum(axis=1), 1e-9)
    place = (seen.yx * seen.weight[:, None]).sum(axis=2) / total[:, None]
    inside = groups.node_group != NONE
    label = np.full(len(graph), NONE, dtype=np.int64)
    count = len(np.unique(groups.node_group[inside]))
    if count:
        found_groups = KMeans(count, n_init=10, random_state=_SEED).fit_predict(place[inside])
        label[inside] = found_groups
    return label


def _random(graph: ExplanatoryGraph, found: Matches, groups: PartGroups) -> I8:
    """Return (P,) groups as large as the true ones, of nodes drawn at random."""
    rng = np.random.default_rng([_SEED, crc32("\n".join(found.images).encode())])
    inside = groups.node_group != NONE
    label = np.full(len(graph), NONE, dtype=np.int64)
    label[inside] = rng.permutation(groups.node_group[inside])
    return label


def _shown(truth: NodeParts, nodes: I8) -> GroupFigures:
    """Return on how many parts some nodes lie, and how many of them on none."""
    own = nodes[truth.share[nodes] >= _OWN]
    return GroupFigures(
        parts=len(np.unique(truth.part[own])),
        background=float(np.mean(truth.kind[nodes] == "background")),
    )


def _followers(
    graph: ExplanatoryGraph, groups: PartGroups, found: Matches, marks: Sequence[PartTruth]
) -> Iterator[tuple[str, GroupFigures]]:
    """Yield by figure how well it tells the nodes that follow each part."""
    from sklearn.metrics import roc_auc_score

    figures = dict(zip(FIGURES, (groups.node_gain, graph.gain, graph.contrast), strict=True))
    follow = {mark.part: tracking_ratio(found, mark)[1] < SHARE_LIMIT for mark in marks}
    both = {part: nodes for part, nodes in follow.items() if 0 < nodes.sum() < len(nodes)}
    for name, figure in figures.items():
        if figure is not None:
            auc = {part: float(roc_auc_score(nodes, figure)) for part, nodes in both.items()}
            yield name, GroupFigures(auc=auc)


def study_groups(
    peaks: PeakSet,
    *,
    background: PeakSet | None = None,
    masks: PartMasks | None = None,
    marks: Sequence[PartTruth] = (),
    photo_groups: Sequence[str] | None = None,
    seeds: Sequence[int] = (0,),
    category: str = "photos",
) -> GroupStudy:
    """Mine a graph for each seed, and measure its part groups in the photos it was mined from.

    Labels are used for measuring only.

    Parameters
    ----------
    peaks
        N photos.
    background
        Photos of anything, for contrast; None: all nodes are grouped.
    masks
        Of the same photos; None: nothing is said of true parts.
    marks
        Annotated parts, for how well group gain finds the nodes that follow them.
    photo_groups
        As in `measure_groups`.
    seeds
        Of mining.
    category
        What the study is called.

    Raises
    ------
    ExplGraphError
        If there are fewer than two photos, or masks and marks do not fit.
    """
    rows = {}
    for seed in seeds:
        graph = grouped(mine_peaks(peaks, seed=seed), peaks, background=background)
        found = match_peaks(graph, peaks)
        labelled = None if masks is None else Labelled(found, masks)
        rows[seed] = measure_groups(
            graph, found, labelled=labelled, marks=marks, photo_groups=photo_groups
        )
    return GroupStudy(category, rows)
