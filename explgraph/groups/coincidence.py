"""How nearly the peaks of two nodes coincide, over all photos in which both fire."""

from __future__ import annotations

import numpy as np

from explgraph.base.arrays import F4
from explgraph.base.jit import jit
from explgraph.base.threads import map_ranges

from .observed import Observed

_ROWS = 8  # that one thread works on


def coincidence(seen: Observed, side: float, cap: float) -> F4:
    """Return (P, P) D, the mean distance of two nodes' peaks, in units of the side (Eq. 12).

    D_UV = sum_i w_U w_V min(|q_U - q_V|, cap S) / (S sum_i w_U w_V). Their usual offset is in it:
    nodes that move together at a distance do not coincide. Two nodes that never fire in the same
    photo are ``cap`` apart.

    Parameters
    ----------
    seen
        P nodes in N photos.
    side
        S, pixels.
    cap
        Above which all distances are alike, share of the side.
    """
    n_nodes = len(seen.weight)
    y, x, weight = (np.ascontiguousarray(a.T) for a in (seen.yx[:, 0], seen.yx[:, 1], seen.weight))
    result = np.full((n_nodes, n_nodes), cap, dtype=np.float32)

    def some(first: int, last: int) -> None:
        _coincidence(first, last, y, x, weight, np.float32(side), np.float32(cap), result)

    map_ranges(some, n_nodes, _ROWS)
    upper = np.triu_indices(n_nodes, 1)
    result[upper[::-1]] = result[upper]
    return result


@jit
def _coincidence(
    first: int,
    last: int,
    y: F4,
    x: F4,
    weight: F4,
    side: np.float32,
    cap: np.float32,
    result: F4,
) -> None:
    """Fill the rows ``first`` to ``last`` of a triangle; arrays (N, P), so that nodes are lanes."""
    n, n_nodes = weight.shape
    total, both = np.empty(n_nodes, dtype=np.float32), np.empty(n_nodes, dtype=np.float32)
    most = cap * side
    for u in range(first, last):
        total[:] = 0
        both[:] = 0
        for i in range(n):
            own = weight[i, u]
            if own > 0:
                for v in range(u, n_nodes):
                    dy, dx = y[i, u] - y[i, v], x[i, u] - x[i, v]
                    product = own * weight[i, v]
                    total[v] += product * min(np.sqrt(dy * dy + dx * dx), most)
                    both[v] += product
        for v in range(u, n_nodes):
            if both[v] > 0:
                result[u, v] = total[v] / (side * both[v])
        result[u, u] = 0
