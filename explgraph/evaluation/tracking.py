"""Does a node follow a part? Counted with labels that mining never saw.

All distances are measured on the photo stretched to 224 x 224 pixels: the unit square times 224.
For photos of that size these are the photo's own pixels; for others it keeps figures comparable,
and it is the square that the networks see by default.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from explgraph.base.arrays import F8, I8
from explgraph.base.errors import check_finite, check_shape, require, unknown_name
from explgraph.base.figures import nothing_to_average
from explgraph.base.frames import mirrored_yx
from explgraph.graphs.matches import Matches

from .truth import PartTruth

SIDE_PX = 224.0
DIAG_PX = SIDE_PX * math.sqrt(2)

N_TRACKING = 100
N_SHARE = 5000
SHARE_LIMIT = 0.8
SAME_DISTANCE = 0.02 * DIAG_PX
SAME_PHOTOS = 0.8
HEAD_OFFSET_PX = 22.0
N_BEST_IMAGES = 20
N_STABLE_NODES = 167

_ROUNDING_PX = 1e-6  # a head annotated at exactly 22 px counts, whatever the unit square's rounding
_CHUNK = 2048  # nodes at a time: bounds the memory to a few MB per 100 photos


@dataclass(frozen=True, slots=True)
class Tracking:
    """How well the nodes of one set of matches follow one part.

    Attributes
    ----------
    nodes
        P, to be quoted beside every other figure.
    t100
        Mean over half B of the tracking ratio of the 100 nodes with the lowest ratio on half A
        (all nodes if fewer).
    t100_unique
        The same for the first 100 nodes that are no repetitions (see `unique_nodes`).
    unique
        How many such nodes there were, at most 100.
    share
        Share of the 5,000 nodes of highest rank with a ratio below .8 on half B.
    constant
        Control: the ratio of a point that never moves (see `constant_ratio`).
    """

    nodes: int
    t100: float
    t100_unique: float
    unique: int
    share: float
    constant: float


@dataclass(frozen=True, slots=True)
class MirrorAgreement:
    """How often the inferred orientation agrees with the side on which the head is.

    Attributes
    ----------
    agreement
        Share of half B's photos; NaN without photos.
    majority
        Share of these photos whose head lies on the more frequent side: what a constant reaches.
    photos
        Number of these photos.
    """

    agreement: float
    majority: float
    photos: int


@dataclass(frozen=True, slots=True)
class Instability:
    """Location instability, in units of the diagonal, which says nothing without its control.

    Attributes
    ----------
    nodes
        Mean standard deviation of the distance from node to landmark.
    frozen
        The same for the same nodes on the same images, each held at its mean position.
    """

    nodes: float
    frozen: float


def tracking_ratio(matches: Matches, truth: PartTruth) -> F8:
    """Compute how far each node strays from a part, relative to the part's own movement.

    In a half of n photos, over the ceil(n / 2) photos with the node's highest scores,
    ``rho = mean |c - p - D| / mean |l - C|``: 1 is no better than a constant, 0 is perfect.
    c is the part's centre and p the node's position, both in the graph's orientation, D the
    coordinate-wise median of c - p; l is the part's centre in label orientation (head on the left,
    equal for every method) and C its coordinate-wise median.

    Parameters
    ----------
    matches
        P nodes in N photos; all photos of ``truth`` must be among them.
    truth
        The part.

    Returns
    -------
    (2, P) for halves A and B. Infinite where the part does not move at all over the node's photos.
    Of equal scores (such as 0, no peak), the photo whose name sorts first goes first.

    Raises
    ------
    ExplGraphError
        If a photo of ``truth`` was not matched, or a score or position is not finite.
    """
    rows = _rows(matches, truth.images)
    flip = matches.mirrored[rows].astype(bool)
    centre = SIDE_PX * mirrored_yx(truth.yx, flip)
    label = SIDE_PX * mirrored_yx(truth.yx, truth.faces_right)
    ratio = np.empty((2, len(matches.node_layer)))
    for half in (0, 1):
        inside = np.flatnonzero(truth.half == half)
        for start in range(0, ratio.shape[1], _CHUNK):
            nodes = slice(start, start + _CHUNK)
            score = matches.score[rows[inside], nodes]
            yx = matches.yx[rows[inside], nodes].astype(np.float64)
            check_finite("Matches.score", score)
            check_finite("Matches.yx", yx)
            offset = centre[inside, None] - SIDE_PX * mirrored_yx(yx, flip[inside])
            ratio[half, nodes] = _ratio(score, offset, label[inside])
    return ratio


def _ratio(score: NDArray[np.floating], offset: F8, label: F8) -> F8:
    """Return (P,) rho of one half from (n, P) scores, (n, P, 2) c - p and (n, 2) label centres."""
    n_best = math.ceil(len(score) / 2)
    best = np.argsort(-score, axis=0, kind="stable")[:n_best]
    strays = distance_from_median(np.take_along_axis(offset, best[..., None], axis=0))
    moves = distance_from_median(label[best])
    return np.where(moves > 0, strays / np.where(moves > 0, moves, 1), np.inf)


def distance_from_median(yx: F8) -> F8:
    """Return (P,) the mean distance of (n, P, 2) points from their coordinate-wise median."""
    distance: F8 = np.linalg.norm(yx - np.median(yx, axis=0), axis=-1).mean(axis=0)
    return distance


def constant_ratio(matches: Matches, truth: PartTruth) -> float:
    """Compute the tracking ratio of a point that never moves, over all photos of half B.

    It depends on the orientations alone: 1 where they are the label orientation, more where they
    are wrong. Orientations that put the *part* on one side, rather than the head, make it less than
    1 (.72 to .86 for the reference's feet and front legs): figures that are below 1, yet not below
    this, show an orientation and not that a node follows the part.
    """
    half_b = truth.half == 1
    flip = matches.mirrored[_rows(matches, truth.images)].astype(bool)
    strays, moves = (
        float(distance_from_median(SIDE_PX * mirrored_yx(truth.yx, side)[half_b, None])[0])
        for side in (flip, truth.faces_right)
    )
    return strays / moves if moves > 0 else math.inf


def ranking(ratio: F8) -> NDArray[np.intp]:
    """Return (P,) node indices by rising ratio on half A; of equal ones, lowest index first."""
    return np.argsort(ratio[0], kind="stable")


def t100(ratio: F8) -> float:
    """Return the mean over half B of the ratio of the 100 nodes with the lowest ratio on half A."""
    return float(ratio[1, ranking(ratio)[:N_TRACKING]].mean())


def unique_nodes(
    matches: Matches, order: NDArray[np.integer[Any]], count: int = N_TRACKING
) -> NDArray[np.intp]:
    """Go down a ranking and pass over nodes that repeat a better one.

    A node repeats another when the two lie within .02 of the diagonal of each other on more than
    80 % of the photos. A node is compared with the ones already taken, so a chain of slowly
    shifting nodes does not vanish with its first link.

    Parameters
    ----------
    matches
        P nodes in N photos; all photos count.
    order
        Node indices, best first.
    count
        How many to find.

    Returns
    -------
    At most ``count`` node indices, best first.
    """
    yx = np.empty((min(count, len(order)), len(matches), 2), dtype=np.float32)
    limit = np.float32((SAME_DISTANCE / SIDE_PX) ** 2)
    taken: list[int] = []
    for node in order:
        if len(taken) == count:
            break
        candidate = matches.yx[:, node]
        near = np.sum((yx[: len(taken)] - candidate) ** 2, axis=-1) <= limit
        if np.any(near.mean(axis=1) > SAME_PHOTOS):
            continue
        yx[len(taken)] = candidate
        taken.append(int(node))
    return np.array(taken, dtype=np.intp)


def tracking_share(ratio: F8, rank: NDArray[np.floating]) -> float:
    """Return the share of the 5,000 nodes of highest rank with a ratio below .8 on half B.

    Parameters
    ----------
    ratio
        (2, P) from `tracking_ratio`.
    rank
        (P,) the higher the better, e.g. ``graph.gain``. Of equal ones, lowest index first.
    """
    check_shape("rank", rank, (ratio.shape[1],))
    check_finite("rank", rank)
    top = np.argsort(-rank, kind="stable")[:N_SHARE]
    return float(np.mean(ratio[1, top] < SHARE_LIMIT))


def tracking(matches: Matches, truth: PartTruth, rank: NDArray[np.floating]) -> Tracking:
    """Summarise how well nodes follow a part; ``rank`` as for `tracking_share`."""
    require(len(matches.node_layer) > 0, "measuring needs at least one node, got none")
    ratio = tracking_ratio(matches, truth)
    unique = unique_nodes(matches, ranking(ratio))
    return Tracking(
        nodes=ratio.shape[1],
        t100=t100(ratio),
        t100_unique=float(ratio[1, unique].mean()),
        unique=len(unique),
        share=tracking_share(ratio, rank),
        constant=constant_ratio(matches, truth),
    )


def mirror_agreement(matches: Matches, head: PartTruth) -> MirrorAgreement:
    """Compare the inferred orientation with the side on which the head is.

    Photos count whose head centre is at least 22 px from the middle. Which orientation means left
    is unknown to a graph: it is fixed on half A (not exchanged on a tie) and scored on half B.

    Parameters
    ----------
    matches
        N photos; all photos of ``head`` must be among them.
    head
        Truth of the head.
    """
    rows = _rows(matches, head.images)
    side = head_sides(head)
    clear, is_right = side != 0, side > 0
    agrees = matches.mirrored[rows].astype(bool) == is_right
    half_a, half_b = clear & (head.half == 0), clear & (head.half == 1)
    photos = int(half_b.sum())
    if photos == 0:
        return MirrorAgreement(math.nan, math.nan, 0)
    exchanged = half_a.any() and agrees[half_a].mean() < 0.5
    agreement = float(agrees[half_b].mean())
    right = float(is_right[half_b].mean())
    return MirrorAgreement(1 - agreement if exchanged else agreement, max(right, 1 - right), photos)


def head_sides(head: PartTruth) -> I8:
    """Return (n,) 1 where the head lies right of the middle, -1 left, 0 within 22 px of it."""
    from_middle = SIDE_PX * (head.yx[:, 1] - 0.5)
    clear = np.abs(from_middle) >= HEAD_OFFSET_PX - _ROUNDING_PX
    return np.where(clear, np.where(from_middle > 0, 1, -1), 0)


def location_instability(matches: Matches, landmarks: Sequence[PartTruth]) -> Instability:
    """Compute the papers' location instability, with its frozen-position control.

    Per layer, the 167 nodes with the highest mean score over their 20 best photos; per node, these
    photos without those that lack the landmark; the standard deviation (N - 1) of the distance from
    node to landmark (the nearest of several) over them, by the diagonal; mean over landmarks, nodes
    and layers. A node with fewer than two such photos does not count for that landmark.

    The control holds each node at its mean position, in the graph's orientation, over the same 20
    photos: a measure by which it does no worse than the nodes does not show that they follow
    anything.

    Parameters
    ----------
    matches
        P nodes in N photos.
    landmarks
        One or more parts.
    """
    order = np.argsort(np.array(matches.images, dtype=object))
    flip = matches.mirrored.astype(bool)
    marks = [SIDE_PX * mirrored_yx(_instances(matches, part), flip) for part in landmarks]
    layers = []
    for layer in np.unique(matches.node_layer):
        nodes = np.flatnonzero(matches.node_layer == layer)
        score = matches.score[np.ix_(order, nodes)]
        check_finite("Matches.score", score)
        stable, best = _best(score)
        images, nodes = order[best], nodes[stable]
        yx = SIDE_PX * mirrored_yx(matches.yx[images, nodes].astype(np.float64), flip[images])
        check_finite("Matches.yx", yx)
        frozen = np.broadcast_to(yx.mean(axis=0), yx.shape)
        deviation = [[_deviation(at, mark[images]) for mark in marks] for at in (yx, frozen)]
        layers.append(_mean(_mean(np.array(deviation), axis=1), axis=1))
    nodes_px, frozen_px = _mean(np.array(layers).reshape(-1, 2), axis=0)
    return Instability(nodes=float(nodes_px) / DIAG_PX, frozen=float(frozen_px) / DIAG_PX)


def _best(score: NDArray[np.floating]) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Choose the nodes with the highest mean over their best images, from (N, P) scores.

    Returns the nodes' indices (p,) and, for each, its best images (n, p).
    """
    images = np.argsort(-score, axis=0, kind="stable")[:N_BEST_IMAGES]
    mean = np.take_along_axis(score, images, axis=0).mean(axis=0, dtype=np.float64)
    nodes = np.argsort(-mean, kind="stable")[:N_STABLE_NODES]
    return nodes, images[:, nodes]


def _deviation(yx: F8, marks: F8) -> F8:
    """Return (P,) the deviation of the distance from (n, P, 2) nodes to (n, P, I, 2) landmarks.

    Landmarks that are missing are NaN; an image without any does not count. NaN with one image or
    none.
    """
    distance = np.linalg.norm(yx[:, :, None] - marks, axis=-1)
    with nothing_to_average():
        return np.asarray(np.nanstd(np.nanmin(distance, axis=2), axis=0, ddof=1))


def _mean(values: F8, axis: int) -> F8:
    """Return the mean over the values that are not NaN; NaN where there are none."""
    with nothing_to_average():
        return np.asarray(np.nanmean(values, axis=axis))


def _instances(matches: Matches, truth: PartTruth) -> F8:
    """Return (N, I, 2) the unit positions of all instances of a part, NaN where there are fewer."""
    row = {name: i for i, name in enumerate(matches.images)}
    found: list[list[NDArray[np.float64]]] = [[] for _ in matches.images]
    for name, yx in zip(truth.instance_image, truth.instance_yx, strict=True):
        if name in row:
            found[row[name]].append(yx)
    result = np.full((len(found), max(1, *map(len, found)), 2), np.nan)
    for i, instances in enumerate(found):
        for j, yx in enumerate(instances):
            result[i, j] = yx
    return result


def _rows(matches: Matches, images: Sequence[str]) -> NDArray[np.intp]:
    """Return the rows of ``images`` among the matched photos."""
    row = {name: i for i, name in enumerate(matches.images)}
    for name in images:
        if name not in row:
            raise unknown_name(
                "photo", name, matches.images, "build the truth with images=matches.images"
            )
    return np.array([row[name] for name in images], dtype=np.intp)
