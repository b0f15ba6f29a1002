"""How nearly the peaks of two nodes coincide, over all photos in which both fire."""

from __future__ import annotations

import numpy as np

from explgraph.base.arrays import F4
from explgraph.base.jit import jit
from explgraph.base.threads import map_ranges

from .observed import Observed

_NODES = 64  # that one thread works on


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
    result = np.full((n_nodes, n_nodes), cap, dtype=np.float32)

    def some(first: int, last: int) -> None:
        # A copy of some nodes' places stays in the processor's cache while all others go by.
        columns = (seen.yx[first:last, 0], seen.yx[first:last, 1], seen.weight[first:last])
        own = np.stack([np.ascontiguousarray(column.T) for column in columns])
        _coincidence(first, own, seen.yx, seen.weight, np.float32(side), np.float32(cap), result)

    map_ranges(some, n_nodes, _NODES)
    upper = np.triu_indices(n_nodes, 1)
    result[upper[::-1]] = result[upper]
    return result


@jit
def _coincidence(
    first: int, own: F4, yx: F4, weight: F4, side: np.float32, cap: np.float32, result: F4
) -> None:
    """Fill some columns of the upper triangle: of the nodes from ``first`` on, ``own (3, N, n)``.

    Its photos come before nodes, so that these are the lanes.
    """
    n, count = own.shape[1:]
    total, both = np.empty(count, dtype=np.float32), np.empty(count, dtype=np.float32)
    most = cap * side
    for u in range(first + count):
        total[:] = 0
        both[:] = 0
        for i in range(n):
            factor, at_y, at_x = weight[u, i], yx[u, 0, i], yx[u, 1, i]
            if factor > 0:
                for v in range(count):
                    dy, dx = at_y - own[0, i, v], at_x - own[1, i, v]
                    product = factor * own[2, i, v]
                    total[v] += product * min(np.sqrt(dy * dy + dx * dx), most)
                    both[v] += product
        for v in range(max(u - first, 0), count):
            if both[v] > 0:
                result[u, first + v] = total[v] / (side * both[v])
            if u == first + v:
                result[u, u] = 0
