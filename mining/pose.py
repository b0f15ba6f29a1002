"""A photo's pose: what its top layer says at a glance of where all nodes are (model step 4).

The pose is a handful of numbers, read off the photo's peaks by a linear map. Each node is displaced
by a linear function of it (Eq. 1). Both are learnt from the nodes' own places, without labels: a
node finds itself wrongly in many photos, but its errors differ from photo to photo, and what the
whole photo looks like predicts the part of its movement that it shares with the others.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numba import get_num_threads, prange
from threadpoolctl import threadpool_limits

from explgraph._jit import jit
from explgraph.errors import check_shape
from explgraph.pooling import GRID, pool_peaks
from explgraph.structures import F4, F8, Peaks

from .config import MiningConfig

_CHANNELS = 64  # pooled at a time: bounds the memory
_NODES = 2048  # regressions that one thread solves alone
_PHOTOS_PER_TERM = 5
_LEAST_VARIANCE = 1e-9  # of a component, per photo: below, photos differ by rounding
_MOST_WEIGHT = 3.0  # of a photo in a node's regression, where the mean is 1
_CONSTANT_PENALTY = 1e-2  # a node that is seen nowhere stays where it is
_TINY = np.finfo(np.float64).tiny


@dataclass(frozen=True, eq=False, slots=True)
class PoseMap:
    """The linear map from a photo's pooled peaks x, scaled to length 1, to its pose.

    The pose is ``x @ weight - offset``. That of a photo without peaks is 0: nothing is known.

    Attributes
    ----------
    weight
        (D, Q).
    offset
        (Q,) the mean of the mining photos, so that poses have mean 0, and variance 1, over them.
    """

    weight: F4
    offset: F4

    @classmethod
    def none(cls) -> PoseMap:
        """Return the map to poses of no numbers."""
        return cls(np.zeros((0, 0), dtype=np.float32), np.zeros(0, dtype=np.float32))

    def __call__(self, peaks: Peaks, input_size: tuple[int, int]) -> F4:
        """Return (N, Q) poses of photos, from the top layer's peaks in the photos' orientation.

        A photo's pose does not depend on the others, to the last bit.

        Raises
        ------
        ExplGraphError
            If the map is not one from peaks of this layer.
        """
        product = np.zeros((len(peaks), len(self.offset)))
        if len(self.offset) == 0:
            return product.astype(np.float32)
        check_shape("PoseMap.weight", self.weight, (peaks.layer.channels * GRID**2, None))
        square = np.zeros(len(peaks))
        first = 0
        for pooled in _pooled(peaks, input_size):
            last = first + pooled.shape[1]
            _project(pooled, self.weight[first:last].astype(np.float64), product, square)
            first = last
        pose = product / np.sqrt(np.maximum(square, _TINY))[:, None] - self.offset
        return np.where(square[:, None] > 0, pose, 0).astype(np.float32)


class PoseBasis(NamedTuple):
    """The R leading principal components of N photos' pooled peaks.

    ``values (N, R)`` the photos' components, of mean 0 and variance 1, uncorrelated; ``scale (R,)``
    their standard deviations in the photos, largest first, the squares adding up to 1;
    ``weight (D, R)`` and ``offset (R,)`` the map to ``values``, as in `PoseMap`.
    """

    values: F8
    scale: F8
    weight: F8
    offset: F8


class Poses(NamedTuple):
    """Poses of N photos and the nodes' displacement by them.

    ``pose (N, Q)``; ``map`` from pooled peaks to it; ``node`` of each layer (P, 2, Q), pixels for
    one unit of pose; ``constant`` of each layer (P, 2), the regressions' constants, which
    belong to the mean positions.
    """

    pose: F4
    map: PoseMap
    node: tuple[F4, ...]
    constant: tuple[F8, ...]


def pose_basis(peaks: Peaks, input_size: tuple[int, int], config: MiningConfig) -> PoseBasis | None:
    """Find the principal components of the top layer's pooled peaks.

    Parameters
    ----------
    peaks
        Top layer, N photos that face one way. Those without peaks are left out, their values are 0.
    input_size
        (H_in, W_in), pixels.
    config
        ``pose_terms`` is R, at most a fifth of the number of photos.

    Returns
    -------
    None where there are too few photos, or all look alike.
    """
    with threadpool_limits(1):  # the same bytes for any number of threads
        products = sum(
            (pooled @ pooled.T for pooled in _pooled(peaks, input_size)),
            start=np.zeros((len(peaks), len(peaks))),
        )
        length = np.sqrt(np.diagonal(products))
        seen = np.flatnonzero(length > 0)
        similarity = products[np.ix_(seen, seen)] / np.outer(length[seen], length[seen])
        vectors, variances = _components(similarity, config.pose_terms)
        if len(variances) == 0:
            return None
        vectors *= np.sqrt(len(peaks))  # orthonormal over the photos -> variance 1
        # From photos to features: the components are sums of the photos' own rows.
        rows = vectors / variances
        scaled = np.zeros((len(peaks), len(variances)))
        scaled[seen] = rows / length[seen, None]
        weight = np.concatenate([pooled.T @ scaled for pooled in _pooled(peaks, input_size)])
        values = np.zeros_like(scaled)
        values[seen] = vectors
        offset = (similarity @ rows).mean(axis=0)
    return PoseBasis(values, np.sqrt(variances / variances.sum()), weight, offset)


def fit_poses(
    basis: PoseBasis,
    displacement: Sequence[F4],
    score: Sequence[F4],
    config: MiningConfig,
) -> Poses:
    """Regress every node's displacement on the photos' components; keep what nodes have in common.

    A ridge regression for each node, photos weighted by its score; then the Q directions in the
    space of photos that carry most of what all regressions predict (reduced-rank regression).

    Parameters
    ----------
    basis
        Of N photos.
    displacement, score
        By layer, (P, N, 2) p_V - mu_V and (P, N).
    config
        ``pose_rank`` is Q, at most R; ``pose_penalty``.
    """
    terms = len(basis.scale)
    # Components in units of the photos' own variation: a component that photos hardly differ in
    # has to move a node far to be believed.
    code = basis.values * basis.scale
    moved, constants = [], []
    carried = np.zeros((terms, terms))
    with threadpool_limits(1):  # the same bytes for any number of threads
        for layer_displacement, layer_score in zip(displacement, score, strict=True):
            fitted = _ridge(code, layer_displacement, layer_score, config.pose_penalty)
            move = fitted[:, :-1] * basis.scale[:, None]  # for one unit of each component
            share = layer_score.mean(axis=1, dtype=np.float64)
            carried += np.einsum("p,pra,psa->rs", share, move, move)
            moved.append(move)
            constants.append(fitted[:, -1])
        axes = _upright(np.linalg.eigh(carried)[1][:, ::-1][:, : config.pose_rank])
        weight, offset = basis.weight @ axes, basis.offset @ axes
        return Poses(
            pose=(basis.values @ axes).astype(np.float32),
            map=PoseMap(weight.astype(np.float32), offset.astype(np.float32)),
            node=tuple(
                np.einsum("pra,rq->paq", m, axes).astype(np.float32, order="C") for m in moved
            ),
            constant=tuple(constants),
        )


@jit(parallel=True)
def pose_shift(pose: F4, node: F4) -> F4:
    """Return (P, N, 2) the displacement of nodes (P, 2, Q) in photos of pose (N, Q), pixels."""
    shift = np.zeros((len(node), len(pose), 2), dtype=np.float32)
    for v in prange(len(node)):
        for i in range(len(pose)):
            for axis in range(2):
                total = 0.0
                for q in range(pose.shape[1]):
                    total += float(node[v, axis, q]) * float(pose[i, q])
                shift[v, i, axis] = total
    return shift


@jit(parallel=True)
def _project(pooled: F8, weight: F8, product: F8, square: F8) -> None:
    """Add ``pooled @ weight`` to ``product (N, Q)``, and the rows' squares to ``square (N,)``.

    A matrix product of the library would round a photo differently with others beside it.
    """
    for i in prange(len(pooled)):
        for d in range(pooled.shape[1]):
            value = pooled[i, d]
            if value > 0.0:
                square[i] += value * value
                for q in range(weight.shape[1]):
                    product[i, q] += value * weight[d, q]


def _components(similarity: F8, terms: int) -> tuple[F8, F8]:
    """Return the leading eigenvectors (n, R) and eigenvalues (R,) of a centred (n, n) matrix."""
    n = len(similarity)
    terms = min(terms, n // _PHOTOS_PER_TERM)
    if terms == 0:
        return np.zeros((n, 0)), np.zeros(0)
    centred = similarity - similarity.mean(axis=0)
    centred -= centred.mean(axis=1, keepdims=True)
    variances, vectors = np.linalg.eigh(centred)
    order = np.arange(n)[::-1][:terms]
    order = order[variances[order] > _LEAST_VARIANCE * n]
    return _upright(vectors[:, order]), variances[order]


def _ridge(code: F8, displacement: F4, score: F4, penalty: float) -> F8:
    """Return (P, R + 1, 2) weighted ridge regressions on (N, R) codes, the constant last.

    Blocks of fixed size, each on one BLAS thread if the caller sees to it: the same bytes for any
    number of threads.
    """
    n, terms = code.shape
    design = np.concatenate([code, np.ones((n, 1))], axis=1)
    outer = (design[:, :, None] * design[:, None, :]).reshape(n, -1)
    ridge = np.diag([*[penalty] * terms, _CONSTANT_PENALTY])
    result = np.empty((len(score), terms + 1, 2))

    def block(first: int) -> None:
        rows = slice(first, first + _NODES)
        own = score[rows].astype(np.float64)
        weight = np.minimum(own / np.maximum(own.mean(axis=1, keepdims=True), _TINY), _MOST_WEIGHT)
        normal = (weight @ outer).reshape(-1, terms + 1, terms + 1) + ridge
        target = np.stack([(weight * displacement[rows, :, a]) @ design for a in (0, 1)], axis=-1)
        result[rows] = np.linalg.solve(normal, target)

    with ThreadPoolExecutor(get_num_threads()) as pool:
        list(pool.map(block, range(0, len(score), _NODES)))
    return result


def _pooled(peaks: Peaks, input_size: tuple[int, int]) -> Iterator[F8]:
    """Yield (N, channels * cells) pooled peaks, block by block of channels."""
    for first in range(0, peaks.layer.channels, _CHANNELS):
        block = slice(first, first + _CHANNELS)
        yield pool_peaks(peaks.yx[:, block], peaks.weight[:, block], input_size)


def _upright(vectors: F8) -> F8:
    """Return eigenvectors (columns) with their largest entry positive: signs are arbitrary."""
    largest = np.take_along_axis(vectors, np.abs(vectors).argmax(axis=0)[None], axis=0)
    return vectors * np.where(largest < 0, -1.0, 1.0)
