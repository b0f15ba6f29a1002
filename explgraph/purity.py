"""Does a node mean one part? Counted on photos whose every pixel is labelled."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from .errors import require
from .masks import Labels, PartMasks
from .matches import Matches
from .measures import mirror_yx
from .structures import F8, NONE

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


def part_purity(matches: Matches, masks: PartMasks, *, nodes: NDArray[Any] | None = None) -> Purity:
    """Measure which parts lie under nodes in their best photos.

    Parameters
    ----------
    matches
        P nodes in N photos.
    masks
        Of the same photos, in the same order.
    nodes
        Indices of the nodes to judge; default: all. Nodes that never fire are passed over.

    Raises
    ------
    ExplGraphError
        If the masks are not of these photos, or no node ever fires.
    """
    chosen = np.arange(len(matches.node_layer)) if nodes is None else np.asarray(nodes)
    firing = chosen[matches.score[:, chosen].any(axis=0)]
    require(len(firing) > 0, "purity needs a node that fires in at least one photo")
    best = [best_photos(matches.score[:, node]) for node in firing]
    labels = node_labels(matches.take(nodes=firing), masks)
    frozen = _labels_at(_frozen_yx(matches, firing, best), masks)
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


def best_photos(score: NDArray[np.floating]) -> NDArray[np.intp]:
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
    inside = np.all((yx >= 0) & (yx <= 1), axis=-1)
    return np.where(inside, mask[y, x], np.int16(NONE))


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
        mirror_yx(matches.yx[photos, node].astype(np.float64), flip[photos]).mean(axis=0)
        for node, photos in zip(nodes, best, strict=True)
    ]
    everywhere = np.broadcast_to(np.array(canonical), (len(matches), len(nodes), 2))
    return mirror_yx(everywhere, flip[:, None])
