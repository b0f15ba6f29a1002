"""Does a node mean one part? Counted on photos whose every pixel is labelled."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from explgraph.base.arrays import F8, NONE
from explgraph.base.errors import require
from explgraph.base.frames import is_inside, mirrored_yx
from explgraph.base.renamed import renamed
from explgraph.base.text import plain
from explgraph.graphs.graph import ExplanatoryGraph
from explgraph.graphs.matches import Matches, check_nodes
from explgraph.peaks.structures import PeakSet
from explgraph.photos.masks import Labels, PartMasks

from .tables import raw_peaks

if TYPE_CHECKING:
    import pandas as pd


SCORE_SHARE = 0.3
"""A node is judged by its best photos, as many as carry this share of its total score."""


@dataclass(frozen=True, slots=True)
class Purity:
    """How pure nodes are, to be read beside its two controls.

    Attributes
    ----------
    nodes
        Number of nodes judged.
    purity
        Mean over the nodes of the share of a node's best photos in which its most frequent part
        lies under it. A photo in which the background does counts against every part.
    frozen
        Control: the same, had each node stayed at its mean position over these photos.
    chance
        Control: the share of the object's pixels that belong to the node's most frequent part.
    parts
        Number of different parts that are some node's most frequent one.
    """

    nodes: int
    purity: float
    frozen: float
    chance: float
    parts: int


@renamed(matches="found")
def part_purity(found: Matches, masks: PartMasks, *, nodes: NDArray[Any] | None = None) -> Purity:
    """Measure which parts lie under nodes in their best photos.

    Parameters
    ----------
    found
        P nodes in N photos.
    masks
        Of the same photos, in the same order.
    nodes
        Indices of the nodes to judge; default: all. Nodes that never fire are passed over.

    Returns
    -------
    The figures, with nodes held still and chance beside them.

    Raises
    ------
    ExplGraphError
        If the masks are not of these photos, or no node ever fires.
    """
    chosen = np.arange(len(found.node_layer)) if nodes is None else np.asarray(nodes)
    firing = chosen[found.score[:, chosen].any(axis=0)]
    require(len(firing) > 0, "purity needs a node that fires in at least one photo")
    best = [leading_photos(found.score[:, node]) for node in firing]
    labels = node_labels(found.take(nodes=firing), masks)
    frozen = _labels_at(_frozen_yx(found, firing, best), masks)
    n_parts, share = len(masks.parts), object_shares(masks)
    parts, figures = [], []
    for column, photos in enumerate(best):
        part, purity = majority(labels[photos, column], n_parts)
        held_still = majority(frozen[photos, column], n_parts).share
        parts.append(part)
        figures.append((purity, held_still, float(share[photos, part].mean())))
    purity, held_still, chance = np.mean(figures, axis=0).tolist()
    return Purity(len(parts), purity, held_still, chance, len(set(parts)))


def node_labels(matches: Matches, masks: PartMasks) -> Labels:
    """Return (N, P) the part under every node, in every photo; `NONE` for the background.

    Raises
    ------
    ExplGraphError
        If the masks are not of the matched photos.
    """
    check_photos(matches.images, masks)
    return _labels_at(matches.yx.astype(np.float64), masks)


def check_photos(images: tuple[str, ...], masks: PartMasks) -> None:
    """Raise `ExplGraphError` unless the masks are those of some photos, in the same order."""
    require(
        images == masks.images,
        f"the masks are of {len(masks)} photos ({', '.join(masks.images[:2])}, ...), not of these "
        f"{len(images)} ({', '.join(images[:2])}, ...) in this order: read_masks(folder, "
        "matches.images)",
    )


class Majority(NamedTuple):
    """The most frequent part among some labels, and its share of all of them."""

    part: int
    share: float


def majority(labels: Labels, n_parts: int) -> Majority:
    """Return the most frequent part; of equally frequent ones the first.

    Parameters
    ----------
    labels
        (n,) labels, n >= 1; `NONE` counts in the total only.
    n_parts
        Number of parts.
    """
    count = np.bincount(labels[labels != NONE], minlength=n_parts)
    part = int(count.argmax())
    return Majority(part, float(count[part]) / len(labels))


def leading_photos(score: NDArray[np.floating]) -> NDArray[np.intp]:
    """Return a node's best photos, best first, as many as carry 30 % of its total (N,) score.

    Of equal scores the first photo goes first; nothing for a node that never fires.
    """
    order = np.argsort(-score, kind="stable")
    total = np.cumsum(score[order], dtype=np.float64)
    if total[-1] <= 0:
        return order[:0]
    return order[: int(np.searchsorted(total, SCORE_SHARE * total[-1])) + 1]


def label_at(yx: F8, mask: Labels) -> Labels:
    """Return (...,) the labels of a mask's pixels at (..., 2) positions in the unit square.

    The square's far edges belong to the last pixels. What lies outside of the photo (a network's
    input may be filled up around it) is background.
    """
    size = np.array(mask.shape)
    y, x = np.moveaxis(np.clip(np.floor(yx * size).astype(np.intp), 0, size - 1), -1, 0)
    return np.where(is_inside(yx), mask[y, x], np.int16(NONE))


def object_shares(masks: PartMasks) -> F8:
    """Return (N, n_parts) the share of the object's pixels that each part takes in each photo."""
    n_parts = len(masks.parts)
    counts = [np.bincount(mask[mask != NONE], minlength=n_parts) for mask in masks.labels]
    count = np.array(counts, dtype=np.float64).reshape(-1, n_parts)
    shares: F8 = count / np.maximum(count.sum(axis=1, keepdims=True), 1)
    return shares


def _labels_at(yx: F8, masks: PartMasks) -> Labels:
    """Return (N, P) the labels at (N, P, 2) positions, a photo's in its own mask."""
    labels = [label_at(at, mask) for at, mask in zip(yx, masks.labels, strict=True)]
    return np.stack(labels)


def _frozen_yx(matches: Matches, nodes: NDArray[Any], best: list[NDArray[np.intp]]) -> F8:
    """Return (N, p, 2) the mean position of p nodes over their best photos, in every photo.

    The mean is taken in the graph's orientation.
    """
    flip = matches.mirrored.astype(bool)
    canonical = [
        mirrored_yx(matches.yx[photos, node].astype(np.float64), flip[photos]).mean(axis=0)
        for node, photos in zip(nodes, best, strict=True)
    ]
    everywhere = np.broadcast_to(np.array(canonical), (len(matches), len(nodes), 2))
    return mirrored_yx(everywhere, flip)


N_BEST = 200
"""Nodes, and raw peaks, that are judged beside all of them."""

RAW_MAPS, RAW_PEAKS, NODES = "raw maps", "raw peaks", "nodes"


@dataclass(frozen=True, slots=True)
class PurityStudy:
    """How pure nodes are, beside raw peaks and raw maps.

    Attributes
    ----------
    category
        What the photos show.
    photos
        N.
    rows
        By seed and row: ``raw maps`` (one for each filter, where they were measured), ``raw peaks``
        (the strongest peak of each filter), ``raw peaks, 200 best`` (by mean score), ``nodes``, and
        ``nodes, 200 best`` (by `ExplanatoryGraph.ranking`).
    """

    category: str
    photos: int
    rows: Mapping[int, Mapping[str, Purity]]

    @property
    def table(self) -> pd.DataFrame:
        """One row per seed and row of the table.

        Columns: ``category``, ``seed``, ``row``, ``nodes``, ``purity``, ``frozen``, ``chance``,
        ``parts`` as in `Purity`; ``gap_closed``, what nodes gain over the same selection of raw
        peaks, as a share of what there is to gain: (nodes - peaks) / (1 - peaks); NaN elsewhere.
        """
        import pandas as pd

        return pd.DataFrame(
            [
                {"category": self.category, "seed": seed, "row": row, **line}
                for seed, rows in self.rows.items()
                for row, line in _lines(rows).items()
            ]
        )

    def to_json(self) -> dict[str, Any]:
        """Return every figure of every seed as JSON values; what does not apply is null."""
        return {
            "category": self.category,
            "photos": self.photos,
            "seeds": {str(seed): plain(_lines(rows)) for seed, rows in self.rows.items()},
        }


def study_purity(
    mined: Mapping[int, tuple[ExplanatoryGraph, Matches]],
    peaks: PeakSet,
    masks: PartMasks,
    *,
    maps: Purity | None = None,
    category: str = "photos",
) -> PurityStudy:
    """Measure graphs that are mined and matched already.

    Parameters
    ----------
    mined
        By seed, a graph and where its nodes are in the photos of ``peaks``.
    peaks
        N photos, as matched.
    masks
        Their parts, in the same order.
    maps
        The row of raw maps, from `map_purity`: it takes a run of the network. None: no such row.
    category
        What the study is called.

    Raises
    ------
    ExplGraphError
        If no graph is given, a graph and its matches have different nodes, the photos differ, or
        nothing ever fires.
    """
    require(len(mined) > 0, "study_purity needs at least one graph with its matches, got none")
    raw = raw_peaks(peaks)
    strongest = np.argsort(-raw.score.mean(axis=0), kind="stable")[:N_BEST]
    common = {} if maps is None else {RAW_MAPS: maps}
    common |= {
        RAW_PEAKS: part_purity(raw, masks),
        _best(RAW_PEAKS): part_purity(raw, masks, nodes=strongest),
    }
    rows = {}
    for seed, (graph, matches) in mined.items():
        check_nodes(graph, matches, called=f"seed {seed}: the matches")
        rows[seed] = common | {
            NODES: part_purity(matches, masks),
            _best(NODES): part_purity(matches, masks, nodes=graph.ranking()[:N_BEST]),
        }
    return PurityStudy(category, len(peaks), rows)


def _best(row: str) -> str:
    return f"{row}, {N_BEST} best"


def _lines(rows: Mapping[str, Purity]) -> dict[str, dict[str, float]]:
    peaks_of = {NODES: RAW_PEAKS, _best(NODES): _best(RAW_PEAKS)}
    return {
        row: {
            **asdict(found),
            "gap_closed": _gap_closed(found.purity, rows[peaks_of[row]].purity)
            if row in peaks_of
            else math.nan,
        }
        for row, found in rows.items()
    }


def _gap_closed(purity: float, peaks: float) -> float:
    return (purity - peaks) / (1 - peaks) if peaks < 1 else math.nan
