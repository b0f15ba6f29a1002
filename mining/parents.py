"""Parents: which nodes of the layer above move with a node, and where they say that it is."""

# ruff: noqa: ANN001, ANN202
# mypy: disallow-untyped-defs=False, disallow-untyped-calls=False

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from explgraph.base.arrays import F4, F8, I4, I8, Array, namespace_of, on_host
from explgraph.base.jit import jit

from ._math import agreement

_ZERO = np.float32(0.0)


class Prior(NamedTuple):
    """What is known of P nodes in N photos before the peaks are looked at.

    ``shift (P, 2, N)`` is nu, network pixels; ``half_precision (P,)`` is 1 / (2 S^2), per square
    pixel; ``kappa (P, N)`` says how well the parents agree.
    """

    shift: F4
    half_precision: F4
    kappa: F4


def plain_prior(shift: Array, variance: float) -> Prior:
    """Return the prior of nodes without parents: shifts (P, 2, N), one variance (square pixels)."""
    xp, (n_nodes, _, n) = namespace_of(shift), shift.shape
    kind = {"dtype": xp.float32, "device": shift.device}
    return Prior(shift, xp.full((n_nodes,), 0.5 / variance, **kind), xp.ones((n_nodes, n), **kind))


def flat_prior(n_nodes: int, n_images: int, variance: float) -> Prior:
    """Return the prior of nodes of which nothing is known but their mean position."""
    return plain_prior(np.zeros((n_nodes, 2, n_images), dtype=np.float32), variance)


@jit
def _predict(start, parent, displacement, variance, shift, kappa):
    """Fill shift (P, 2, N) and kappa (P, N); see `predict`."""
    n = displacement.shape[2]
    square = np.empty(n, dtype=np.float32)
    for v in range(len(start) - 1):
        count = start[v + 1] - start[v]
        if count == 0:
            continue
        share, y, x = np.float32(1.0 / count), shift[v, 0], shift[v, 1]
        square[:] = _ZERO
        for e in range(start[v], start[v + 1]):
            dy, dx = displacement[parent[e], 0], displacement[parent[e], 1]
            for i in range(n):
                y[i] += share * dy[i]
                x[i] += share * dx[i]
                square[i] += share * (dy[i] * dy[i] + dx[i] * dx[i])
        for i in range(n):
            kappa[v, i] = agreement(square[i], y[i], x[i], variance)


def predict(start: I8, parent: I4, displacement: F4, variance: float) -> Prior:
    """Combine what the parents say of each node (Eq. 2-3).

    Parameters
    ----------
    start, parent
        (P + 1,), (E,) the parents of node v are ``parent[start[v]:start[v + 1]]``. Without any, a
        node is expected at its mean position.
    displacement
        (U, 2, N) p_U - mu_U of the layer above, network pixels.
    variance
        s^2, square pixels: that of each parent, and so of what they say together.
    """
    n_nodes, n = len(start) - 1, displacement.shape[2]
    prior = flat_prior(n_nodes, n, variance)
    _predict(start, parent, displacement, float(variance), prior.shift, prior.kappa)
    return prior


def surest(score: F8, count: int) -> NDArray[np.int64]:
    """Return the rising indices of the ``count`` nodes of highest score (U,).

    Ties go to the lower index.
    """
    order = np.argsort(-score, kind="stable")
    return np.sort(order[:count])


class Companions(NamedTuple):
    """U nodes of the layer above in N photos, ready to be compared with those below.

    ``weight (U, N)`` their scores; ``moments (U, 4 N)`` scores times 1, |d|^2, dy and dx.
    """

    weight: F4
    moments: F4

    @classmethod
    def of(cls, displacement: Array, score: Array) -> Companions:
        """Prepare displacements (U, 2, N) and scores (U, N)."""
        y, x = displacement[:, 0], displacement[:, 1]
        moments = (score, score * (y * y + x * x), score * y, score * x)
        return cls(score, namespace_of(score).concat(moments, axis=1))


def choose_parents(displacement: Array, score: Array, upper: Companions, n_parents: int) -> I4:
    """Choose the upper nodes whose displacements agree best with each node's over the images.

    The disagreement of V and U is the mean over photos of |d_V - d_U|^2, weighted by the product of
    both scores, so that a photo in which either is missing says nothing. Matrix products give it.

    Parameters
    ----------
    displacement, score
        (P, 2, N), (P, N) of the nodes.
    upper
        U nodes of the layer above.
    n_parents
        M; all U when there are fewer.

    Returns
    -------
    (P, M) upper indices, rising.
    """
    n_upper = len(upper.weight)
    m = min(n_parents, n_upper)
    if m == n_upper:
        return np.tile(np.arange(m, dtype=np.int32), (len(score), 1))
    xp, y, x = namespace_of(score), displacement[:, 0], displacement[:, 1]
    own = (score * (y * y + x * x), score, -2 * score * y, -2 * score * x)
    square = xp.concat(own, axis=1) @ upper.moments.T
    weight = score @ upper.weight.T
    met = weight > 0
    cost = xp.where(met, square / xp.where(met, weight, 1.0), xp.inf)  # inf: no photo shows both
    return np.sort(on_host(_cheapest(cost, m)), axis=1).astype(np.int32)


def _cheapest(cost: Array, m: int) -> Array:
    """Return (P, m) columns of lowest cost, in any order."""
    if isinstance(cost, np.ndarray):
        return np.argpartition(cost, m - 1, axis=1)[:, :m]
    return namespace_of(cost).argsort(cost, axis=1, stable=True)[:, :m]  # of equals the first
