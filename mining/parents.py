"""Parents: which nodes of the layer above move with a node, and where they say that it is."""
# ruff: noqa: ANN001, ANN202
# mypy: disallow-untyped-defs=False, disallow-untyped-calls=False

from __future__ import annotations

import math
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

import numpy as np
from numba import get_num_threads, prange
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from explgraph._jit import jit
from explgraph.structures import F4, F8, I4

_BLOCK = 1024  # rows of a matrix product that one thread computes alone


class Prior(NamedTuple):
    """What is known of P nodes in N photos before the peaks are looked at.

    ``shift (P, N, 2)`` is nu, ``var (P, N)`` is S^2, both network pixels; ``kappa (P, N)`` says how
    well the parents agree.
    """

    shift: F4
    var: F4
    kappa: F4

    def take(self, nodes: NDArray[np.int64]) -> Prior:
        """Select nodes by index."""
        return Prior(self.shift[nodes], self.var[nodes], self.kappa[nodes])


def plain_prior(shift: F4, variance: float) -> Prior:
    """Return the prior of nodes without parents: shifts (P, N, 2), one variance (square pixels)."""
    shape = shift.shape[:2]
    return Prior(
        shift, np.full(shape, variance, dtype=np.float32), np.ones(shape, dtype=np.float32)
    )


def flat_prior(n_nodes: int, n_images: int, variance: float) -> Prior:
    """Return the prior of nodes of which nothing is known but their mean position."""
    return plain_prior(np.zeros((n_nodes, n_images, 2), dtype=np.float32), variance)


@jit(parallel=True)
def _predict(start, parent, displacement, var):
    """Return shift (P, N, 2), var (P, N), kappa (P, N); see `predict`."""
    n_nodes, n_images = len(start) - 1, displacement.shape[1]
    shift = np.zeros((n_nodes, n_images, 2), dtype=np.float32)
    out_var = np.zeros((n_nodes, n_images), dtype=np.float32)
    kappa = np.zeros((n_nodes, n_images), dtype=np.float32)
    for v in prange(n_nodes):
        count = start[v + 1] - start[v]
        precision, log_var = 0.0, 0.0
        for e in range(start[v], start[v + 1]):
            precision += 1.0 / var[parent[e]] / count
            log_var += math.log(var[parent[e]]) / count
        for i in range(n_images):
            y, x, square = 0.0, 0.0, 0.0
            for e in range(start[v], start[v + 1]):
                u = parent[e]
                share = 1.0 / (var[u] * precision * count)
                dy, dx = float(displacement[u, i, 0]), float(displacement[u, i, 1])
                y += share * dy
                x += share * dx
                square += (dy * dy + dx * dx) / (var[u] * count)
            disagreement = square - precision * (y * y + x * x)  # mean |nu - d|^2 / s^2
            shift[v, i, 0], shift[v, i, 1] = y, x
            out_var[v, i] = 1.0 / precision
            kappa[v, i] = math.exp(-math.log(precision) - log_var - 0.5 * max(disagreement, 0.0))
    return shift, out_var, kappa


def predict(start: NDArray[np.int64], parent: I4, displacement: F4, var: F8) -> Prior:
    """Combine what the parents say of each node (Eq. 2-3).

    Parameters
    ----------
    start, parent
        (P + 1,), (E,) the parents of node v are ``parent[start[v]:start[v + 1]]``.
    displacement
        (U, N, 2) p_U - mu_U of the layer above.
    var
        (U,) s_U^2.
    """
    return Prior(*_predict(start, parent, displacement, var))


def surest(score: F4, count: int) -> NDArray[np.int64]:
    """Return the rising indices of the ``count`` nodes of highest total score, from (U, N).

    Ties go to the lower index.
    """
    order = np.argsort(-score.sum(axis=1, dtype=np.float64), kind="stable")
    return np.sort(order[:count])


def choose_parents(
    displacement: F4, score: F4, upper_displacement: F4, upper_score: F4, n_parents: int
) -> I4:
    """Choose the upper nodes whose displacements agree best with each node's over the images.

    The disagreement of V and U is the mean over photos of |d_V - d_U|^2, weighted by the product of
    both scores, so that a photo in which either is missing says nothing. Matrix products give it.

    Parameters
    ----------
    displacement, score
        (P, N, 2), (P, N) of the nodes.
    upper_displacement, upper_score
        (U, N, 2), (U, N) of the layer above.
    n_parents
        M; all U when there are fewer.

    Returns
    -------
    (P, M) upper indices, rising.
    """
    m = min(n_parents, len(upper_score))
    result = np.empty((len(score), m), dtype=np.int32)
    upper = _Moments.of(upper_displacement, upper_score)

    def block(first: int) -> None:
        rows = slice(first, first + _BLOCK)
        own = _Moments.of(displacement[rows], score[rows])
        cost = own.disagreement(upper)
        part = np.argpartition(cost, m - 1, axis=1)[:, :m] if m < cost.shape[1] else None
        result[rows] = np.sort(part, axis=1) if part is not None else np.arange(m)

    # Blocks of fixed size, each on one BLAS thread: the same bytes for any number of threads.
    with threadpool_limits(1), ThreadPoolExecutor(get_num_threads()) as pool:
        list(pool.map(block, range(0, len(score), _BLOCK)))
    return result


class _Moments(NamedTuple):
    """Score-weighted displacements, ready for the products."""

    weight: F4
    first_y: F4
    first_x: F4
    second: F4

    @classmethod
    def of(cls, displacement: F4, score: F4) -> _Moments:
        y, x = displacement[..., 0], displacement[..., 1]
        return cls(score, score * y, score * x, score * (y * y + x * x))

    def disagreement(self, upper: _Moments) -> F4:
        weight = self.weight @ upper.weight.T
        square = self.second @ upper.weight.T + self.weight @ upper.second.T
        square -= 2 * (self.first_y @ upper.first_y.T + self.first_x @ upper.first_x.T)
        never = np.full_like(square, np.inf)  # no photo shows both
        mean: F4 = np.divide(square, weight, out=never, where=weight > 0)
        return mean
