"""Does a node mean one part? Counted on photos whose every pixel is labelled."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from .errors import check_shape, require
from .measures import mirror_yx
from .structures import F8, NONE, Matches

SCORE_SHARE = 0.3
"""A node is judged by its best photos, as many as carry this share of its total score."""

Labels = NDArray[np.signedinteger[Any]]


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


def part_purity(
    matches: Matches, masks: Labels, n_parts: int, *, nodes: NDArray[Any] | None = None
) -> Purity:
    """Measure which parts lie under nodes in their best photos.

    Parameters
    ----------
    matches
        P nodes in N photos.
    masks
        (N, S, S) which of ``n_parts`` parts is seen at each pixel of the photos, upright and in the
        order of ``matches.images``; `NONE` for anything else.
    n_parts
        Number of parts.
    nodes
        Indices of the nodes to judge; default: all. Nodes that never fire are passed over.

    Raises
    ------
    ExplGraphError
        If the masks do not fit the photos, hold other labels, or no node ever fires.
    """
    chosen = np.arange(len(matches.node_layer)) if nodes is None else np.asarray(nodes)
    firing = [int(node) for node in chosen if matches.score[:, node].any()]
    require(bool(firing), "purity needs a node that fires in at least one photo")
    labels = node_labels(matches, masks, n_parts)
    share = _object_shares(masks, n_parts)
    found = []
    for node in firing:
        photos = best_photos(matches.score[:, node])
        frozen = _labels_at(_frozen_yx(matches, node, photos), masks[photos])
        part, purity = majority(labels[photos, node], n_parts)
        controls = majority(frozen, n_parts).share, float(share[photos, part].mean())
        found.append((part, (purity, *controls)))
    purity, frozen_purity, chance = np.mean([figures for _, figures in found], axis=0).tolist()
    return Purity(len(found), purity, frozen_purity, chance, len({part for part, _ in found}))


def node_labels(matches: Matches, masks: Labels, n_parts: int) -> Labels:
    """Return (N, P) the label of the pixel under every node, in every photo."""
    side = masks.shape[-1]
    check_shape("masks", masks, (len(matches), side, side))
    low, high = (int(masks.min()), int(masks.max())) if masks.size else (NONE, NONE)
    require(
        low >= NONE and high < n_parts,
        f"masks must hold labels from {NONE} to {n_parts - 1}, got {low} to {high}",
    )
    return _labels_at(matches.yx.astype(np.float64), masks)


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


def _labels_at(yx: F8, masks: Labels) -> Labels:
    """Return the labels (n, ...) of the pixels at (n, ..., 2) unit positions in n masks."""
    side = masks.shape[-1]
    y, x = np.moveaxis(np.clip(np.floor(yx * side).astype(np.intp), 0, side - 1), -1, 0)
    photo = np.arange(len(masks)).reshape(-1, *[1] * (y.ndim - 1))
    labels: Labels = masks[photo, y, x]
    return labels


def _frozen_yx(matches: Matches, node: int, photos: NDArray[np.intp]) -> F8:
    """Return (n, 2) a node's mean position in the graph's orientation, in each photo's own."""
    flip = matches.mirrored[photos].astype(bool)
    yx = mirror_yx(matches.yx[photos, node].astype(np.float64), flip)
    return mirror_yx(np.broadcast_to(yx.mean(axis=0), yx.shape), flip)


def _object_shares(masks: Labels, n_parts: int) -> F8:
    """Return (N, n_parts) the share of the object's pixels that each part takes."""
    count = np.stack([(masks == part).sum(axis=(1, 2)) for part in range(n_parts)], axis=1)
    shares: F8 = count / np.maximum(count.sum(axis=1, keepdims=True), 1)
    return shares
