"""Nodes of one filter that EM has brought to the same place become one."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from explgraph._jit import jit
from explgraph.structures import F8

from .em import I8, Mixture


@jit
def _absorb(start: I8, mu: F8, weight: F8, rank: I8, square: float) -> tuple[NDArray[np.bool_], F8]:
    """Go through each filter's nodes in the order of ``rank``; see `merge_nodes`."""
    kept = np.zeros(len(mu), dtype=np.bool_)
    total = weight.copy()
    for c in range(len(start) - 1):
        for i in range(start[c], start[c + 1]):
            v = rank[i]
            nearest, best = -1, square
            for u in range(start[c], start[c + 1]):
                distance = (mu[v, 0] - mu[u, 0]) ** 2 + (mu[v, 1] - mu[u, 1]) ** 2
                if kept[u] and distance < best:
                    nearest, best = u, distance
            if nearest >= 0:
                total[nearest] += weight[v]
            else:
                kept[v] = True
    return kept, total


def merge_nodes(mixture: Mixture, radius: float) -> tuple[Mixture, NDArray[np.int64]]:
    """Merge nodes of a filter whose mean positions are nearer than ``radius`` network pixels.

    The heavier node stays where it is and takes the weight of those merged into it; of equal ones
    the first. A node is merged into the nearest that stays.

    Returns
    -------
    The mixture of the nodes that stay, and their rising indices.
    """
    rank = np.lexsort((np.arange(len(mixture)), -mixture.weight, mixture.channel))
    kept, weight = _absorb(mixture.start, mixture.mu, mixture.weight, rank, float(radius) ** 2)
    nodes = np.flatnonzero(kept)
    merged = Mixture(mixture.start, mixture.mu, weight, mixture.noise)
    return merged.select(nodes), nodes
