"""A photo's pose: what its top layer says at a glance of where all nodes are (model step 4).

The pose is a handful of numbers, read off the photo's peaks by a linear map. Each node is displaced
by a linear function of it (Eq. 1). Both are learnt from the nodes' own places, without labels: a
node finds itself wrongly in many photos, but its errors differ from photo to photo, and what the
whole photo looks like predicts the part of its movement that it shares with the others.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

from explgraph.base.arrays import F4, F8, Array, beside, evenly, namespace_of, on_host
from explgraph.base.errors import check_shape
from explgraph.base.jit import jit
from explgraph.base.layer import LayerSpec
from explgraph.base.threads import map_ranges, one_blas_thread
from explgraph.peaks.structures import GROUP, Peaks

from .config import MiningConfig
from .em import PeakColumns
from .pooling import GRID, pool_peaks

MOST_PHOTOS = 1000
"""Photos whose components are looked for; the others are seen by what these have shown."""

MOST_WEIGHT = 3.0
"""Of a photo in a node's regression, where the mean is 1."""

_CHANNELS = 64  # pooled at a time: bounds the memory
_PHOTOS = 32  # projected by one thread
_PHOTOS_PER_TERM = 5
_LEAST_VARIANCE = 1e-9  # of a component, per photo: below, photos differ by rounding
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
        pose: F4 = self.of(peaks.yx, peaks.weight, input_size)
        return pose

    def of(self, yx: Array, weight: Array, input_size: tuple[int, int]) -> Array:
        """Do so from the arrays of `Peaks`, where they are."""
        xp, (n, channels, _) = namespace_of(weight), weight.shape
        room = {"dtype": xp.float64, "device": weight.device}
        product, square = xp.zeros((n, len(self.offset)), **room), xp.zeros(n, **room)
        if len(self.offset) == 0:
            return xp.asarray(product, dtype=xp.float32)
        check_shape("PoseMap.weight", self.weight, (channels * GRID**2, None))
        for first in range(0, channels, _CHANNELS):
            own = slice(first, min(first + _CHANNELS, channels))
            pooled = pool_peaks(yx[:, own], weight[:, own], input_size)
            rows = self.weight[own.start * GRID**2 : own.stop * GRID**2]
            _project_all(pooled, beside(rows.astype(np.float64), pooled), product, square)
        length = xp.sqrt(xp.clip(square, _TINY, None))[:, None]
        pose = product / length - beside(self.offset, product)
        return xp.asarray(xp.where(square[:, None] > 0, pose, 0.0), dtype=xp.float32)


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

    def on_host(self) -> PoseBasis:
        """Return the same in arrays of NumPy."""
        return PoseBasis(*(on_host(array) for array in self))

    @property
    def code(self) -> F8:
        """(N, R) components in units of the photos' own variation.

        A component that photos hardly differ in has to move a node far to be believed.
        """
        return self.values * self.scale


class Regressions(NamedTuple):
    """What photos' components say of where P nodes are.

    ``move (P, R, 2)`` pixels for one unit of each component of the code; ``constant (P, 2)``;
    ``share (P,)`` the nodes' mean score: how much each counts among the others.
    """

    move: F8
    constant: F8
    share: F8

    @classmethod
    def joined(cls, parts: Sequence[Regressions]) -> Regressions:
        """Put those of several runs of filters together."""
        return cls(*(np.concatenate(arrays) for arrays in zip(*parts, strict=True)))


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

    def arrays(self) -> dict[str, NDArray[Any]]:
        """Return all of it by name."""
        arrays: dict[str, NDArray[Any]] = {"pose": self.pose}
        arrays |= {"weight": self.map.weight, "offset": self.map.offset}
        for i, (node, constant) in enumerate(zip(self.node, self.constant, strict=True)):
            arrays |= {f"node.{i}": node, f"constant.{i}": constant}
        return arrays

    @classmethod
    def of(cls, arrays: Mapping[str, NDArray[Any]]) -> Self:
        """Return what `arrays` was made of."""
        layers = range(sum(name.startswith("node.") for name in arrays))
        return cls(
            np.array(arrays["pose"]),
            PoseMap(np.array(arrays["weight"]), np.array(arrays["offset"])),
            tuple(np.array(arrays[f"node.{i}"]) for i in layers),
            tuple(np.array(arrays[f"constant.{i}"]) for i in layers),
        )


def pose_basis(
    columns: Callable[[int, int], PeakColumns],
    layer: LayerSpec,
    n: int,
    input_size: tuple[int, int],
    config: MiningConfig,
) -> PoseBasis | None:
    """Find the principal components of the top layer's pooled peaks.

    Parameters
    ----------
    columns
        Gives the peaks of the top layer's filters first..last - 1 in the photos, facing one way,
        on the device that computes.
    layer
        The top layer.
    n
        N photos. Those without peaks are left out, their values are 0. Of more than `MOST_PHOTOS`,
        as many are taken at even distances; they show what there is to see.
    input_size
        (H_in, W_in), pixels.
    config
        ``pose_terms`` is R, at most a fifth of the number of photos.

    Returns
    -------
    None where there are too few photos, or all look alike.
    """
    sample = evenly(n, MOST_PHOTOS)
    few = max(1, _CHANNELS * len(sample) // n)  # filters of which all photos are brought at once

    def blocks(first: int, last: int) -> Iterator[PeakColumns]:
        for start in range(first, last, few):
            yield columns(start, min(start + few, last))

    def pool(own: PeakColumns, photos: NDArray[np.int64] | slice) -> Array:
        return pool_peaks(*own.by_photo(photos), input_size)

    def sampled() -> Iterator[Array]:
        for first in range(0, layer.channels, _CHANNELS):
            own = blocks(first, min(first + _CHANNELS, layer.channels))
            parts = [pool(some, sample) for some in own]
            yield namespace_of(parts[0]).concat(parts, axis=1)

    with one_blas_thread():
        basis = _basis(sampled, len(sample), config)
        if basis is None or len(sample) == n:
            return basis and basis.on_host()
        xp, row = namespace_of(basis.weight), 0
        room = {"dtype": xp.float64, "device": basis.weight.device}
        product, square = xp.zeros((n, len(basis.scale)), **room), xp.zeros(n, **room)
        for own in blocks(0, layer.channels):
            weight = basis.weight[row : row + len(own.weight) * GRID**2]
            for first in range(0, n, GROUP):
                photos = slice(first, min(first + GROUP, n))
                pooled = pool(own, photos)
                product[photos] += pooled @ weight
                square[photos] += xp.sum(xp.square(pooled), axis=1)
            row += len(weight)
    values = product / xp.sqrt(xp.clip(square, _TINY, None))[:, None] - basis.offset
    return basis._replace(values=xp.where(square[:, None] > 0, values, 0.0)).on_host()


def _basis(pooled: Callable[[], Iterator[Array]], n: int, config: MiningConfig) -> PoseBasis | None:
    """Return the basis of n photos, pooled as often as asked, some filters at a time."""
    products = _sum(block @ block.T for block in pooled())
    xp = namespace_of(products)
    length = xp.sqrt(xp.linalg.diagonal(products))
    seen = xp.nonzero(length > 0)[0]
    similarity = products[seen][:, seen] / (length[seen][:, None] * length[seen])
    vectors, variances = _components(similarity, config.pose_terms)
    if len(variances) == 0:
        return None
    vectors *= n**0.5  # orthonormal over the photos -> variance 1
    # From photos to features: the components are sums of the photos' own rows.
    rows = vectors / variances
    scaled = xp.zeros((n, len(variances)), dtype=xp.float64, device=rows.device)
    scaled[seen] = rows / length[seen][:, None]
    weight = xp.concat([block.T @ scaled for block in pooled()])
    values = xp.zeros_like(scaled)
    values[seen] = vectors
    offset = xp.mean(similarity @ rows, axis=0)
    return PoseBasis(values, xp.sqrt(variances / xp.sum(variances)), weight, offset)


def _sum(arrays: Iterator[Array]) -> Array:
    total = next(arrays)
    for array in arrays:
        total += array
    return total


def regress(code: Array, displacement: Array, score: Array, penalty: float) -> Regressions:
    """Regress every node's displacement on the photos' components, with weights and a penalty.

    Parameters
    ----------
    code
        (N, R) of `PoseBasis`.
    displacement, score
        (P, 2, N) p_V - mu_V, and (P, N), the photos' weights.
    penalty
        Of the squared coefficients, against photos of weight 1.

    Returns
    -------
    Where the arrays were.
    """
    xp, (n, terms) = namespace_of(score), code.shape
    low = np.tril_indices(terms + 1)
    ones = xp.ones((n, 1), dtype=code.dtype, device=code.device)
    design = xp.concat([code, ones], axis=1)
    outer = design[:, low[0]] * design[:, low[1]]
    ridge = beside(np.diag([*[penalty] * terms, _CONSTANT_PENALTY])[low], code)
    share = xp.mean(score, axis=1, dtype=xp.float64)
    weight = xp.clip(score / xp.clip(share, _TINY, None)[:, None], None, MOST_WEIGHT)
    target = xp.stack([(weight * displacement[:, i]) @ design for i in (0, 1)], axis=-1)
    fitted = _solved(weight @ outer + ridge, target)
    return Regressions(fitted[:, :-1], fitted[:, -1], share)


def fit_poses(basis: PoseBasis, layers: Sequence[Regressions], config: MiningConfig) -> Poses:
    """Keep what the nodes' movements have in common.

    The Q directions in the space of photos that carry most of what all regressions predict
    (reduced-rank regression).

    Parameters
    ----------
    basis
        Of N photos.
    layers
        Each layer's regressions on ``basis.code``.
    config
        ``pose_rank`` is Q, at most R.
    """
    terms = len(basis.scale)
    moves = [r.move * basis.scale[:, None] for r in layers]  # for one unit of each component
    carried = np.zeros((terms, terms))
    with one_blas_thread():
        for move, regressions in zip(moves, layers, strict=True):
            flat = move.transpose(0, 2, 1).reshape(-1, terms)
            carried += (flat * np.repeat(regressions.share, 2)[:, None]).T @ flat
        axes = _upright(np.linalg.eigh(carried)[1][:, ::-1][:, : config.pose_rank])
        weight, offset = basis.weight @ axes, basis.offset @ axes
        return Poses(
            pose=(basis.values @ axes).astype(np.float32),
            map=PoseMap(weight.astype(np.float32), offset.astype(np.float32)),
            node=tuple(
                np.ascontiguousarray(m.transpose(0, 2, 1) @ axes, dtype=np.float32) for m in moves
            ),
            constant=tuple(r.constant for r in layers),
        )


def pose_shift(pose: Array, node: Array) -> Array:
    """Return (P, 2, N) the displacement of nodes (P, 2, Q) in photos of pose (N, Q), pixels."""
    if not isinstance(node, np.ndarray):
        moves = (node[:, :, q, None] * pose[:, q] for q in range(pose.shape[1]))
        return sum(moves, start=node.new_zeros((*node.shape[:2], len(pose))))
    shift = np.zeros((len(node), 2, len(pose)), dtype=np.float32)
    _shift(np.ascontiguousarray(pose.T), node, shift)
    return shift


@jit
def _shift(pose: F4, node: F4, shift: F4) -> None:
    """Fill (P, 2, N) from poses (Q, N); a photo by itself, whatever lies beside it."""
    for v in range(len(node)):
        for axis in range(2):
            own = shift[v, axis]
            for q in range(len(pose)):
                for i in range(len(own)):
                    own[i] += node[v, axis, q] * pose[q, i]


def _project_all(pooled: Array, weight: Array, product: Array, square: Array) -> None:
    """Run `_project` on all photos, in threads; or do the same where they are."""
    if not isinstance(pooled, np.ndarray):
        product += pooled @ weight
        square += (pooled * pooled).sum(1)
        return

    def some(first: int, last: int) -> None:
        photos = slice(first, last)
        _project(pooled[photos], weight, product[photos], square[photos])

    map_ranges(some, len(pooled), _PHOTOS)


@jit
def _project(pooled: F8, weight: F8, product: F8, square: F8) -> None:
    """Add ``pooled @ weight`` to ``product (N, Q)``, and the rows' squares to ``square (N,)``.

    A matrix product of the library would round a photo differently with others beside it.
    """
    for i in range(len(pooled)):
        for d in range(pooled.shape[1]):
            value = pooled[i, d]
            if value > 0.0:
                square[i] += value * value
                for q in range(weight.shape[1]):
                    product[i, q] += value * weight[d, q]


def _solved(normal: Array, target: Array) -> Array:
    """Return the solutions (P, T, 2) of `_solve`; it works in the target itself."""
    if isinstance(normal, np.ndarray):
        _solve(normal, target)
        return target
    xp, terms = namespace_of(normal), target.shape[1]
    down, right = np.tril_indices(terms)
    whole = xp.zeros((len(normal), terms, terms), dtype=normal.dtype, device=normal.device)
    whole[:, down, right] = whole[:, right, down] = normal
    return xp.linalg.solve(whole, target)


@jit
def _solve(normal: F8, target: F8) -> None:
    """Solve P positive definite equations of T unknowns with two right sides, in place.

    ``normal (P, T (T + 1) / 2)`` holds the lower triangles row by row; Cholesky's factors.
    """
    for own, x in zip(normal, target):  # noqa: B905  Numba knows no strict
        for a in range(len(x)):
            row = a * (a + 1) // 2
            for b in range(a + 1):
                other = b * (b + 1) // 2
                value = own[row + b]
                for k in range(b):
                    value -= own[row + k] * own[other + k]
                own[row + b] = value / own[other + b] if b < a else np.sqrt(value)
            for axis in range(2):
                for k in range(a):
                    x[a, axis] -= own[row + k] * x[k, axis]
                x[a, axis] /= own[row + a]
        for a in range(len(x) - 1, -1, -1):
            for axis in range(2):
                for k in range(a + 1, len(x)):
                    x[a, axis] -= own[k * (k + 1) // 2 + a] * x[k, axis]
                x[a, axis] /= own[a * (a + 1) // 2 + a]


def _components(similarity: Array, terms: int) -> tuple[Array, Array]:
    """Return the leading eigenvectors (n, R) and eigenvalues (R,) of a centred (n, n) matrix."""
    xp, n = namespace_of(similarity), len(similarity)
    terms = min(terms, n // _PHOTOS_PER_TERM)
    if terms == 0:
        return similarity[:, :0], similarity.reshape(-1)[:0]
    centred = similarity - xp.mean(similarity, axis=0)
    centred -= xp.mean(centred, axis=1, keepdims=True)
    variances, vectors = xp.linalg.eigh(centred)
    order = xp.arange(n - 1, n - 1 - terms, -1, device=similarity.device)
    order = order[variances[order] > _LEAST_VARIANCE * n]
    return _upright(vectors[:, order]), variances[order]


def _upright(vectors: Array) -> Array:
    """Return eigenvectors (columns) with their largest entry positive: signs are arbitrary."""
    xp = namespace_of(vectors)
    largest = xp.take_along_axis(vectors, xp.argmax(xp.abs(vectors), axis=0)[None], axis=0)
    return xp.where(largest < 0, -vectors, vectors)
