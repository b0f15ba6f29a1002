"""Edges of a mined graph: how often both ends fire, and where they lie to one another."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from explgraph.firing import fires
from explgraph.structures import F4

from .layers import MinedLayer

_BLOCK = 4096  # edges at a time: bounds the temporaries


def edge_columns(mined: Sequence[MinedLayer], offsets: NDArray[np.int64]) -> dict[str, Any]:
    """Return the edge arrays of an `ExplanatoryGraph`; layers lowest first, at node ``offsets``.

    The displacement of an edge is the mean of p_child - p_parent over the mining photos, weighted
    by the product of both scores; the spread is the standard deviation per axis about it.
    """
    child = np.concatenate(
        [
            np.repeat(np.arange(len(layer.mixture)), layer.parent.shape[1]) + offsets[i]
            for i, layer in enumerate(mined)
        ]
    )
    parent = np.concatenate(
        [layer.parent.ravel().astype(np.int64) + offsets[i + 1] for i, layer in enumerate(mined)]
    )
    yx = np.concatenate([layer.yx for layer in mined])
    score = np.concatenate([layer.score for layer in mined])
    active = fires(score, score.mean(axis=1))
    displacement = np.zeros((len(child), 2))
    spread, coactivation = np.zeros(len(child)), np.zeros(len(child))
    for first in range(0, len(child), _BLOCK):
        rows = slice(first, first + _BLOCK)
        c, p = child[rows], parent[rows]
        displacement[rows], spread[rows] = _relation(yx[c] - yx[p], score[c] * score[p])
        chance = active[c].mean(axis=1) * active[p].mean(axis=1)
        both = (active[c] & active[p]).mean(axis=1)
        coactivation[rows] = np.divide(both, chance, out=np.zeros_like(both), where=chance > 0)
    return {
        "edge_child": child,
        "edge_parent": parent,
        "edge_displacement": displacement,
        "edge_spread": spread,
        "edge_coactivation": coactivation,
    }


def _relation(offset: F4, weight: F4) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the weighted mean (E, 2) and deviation per axis (E,) of offsets (E, N, 2)."""
    weight = np.where(weight.sum(axis=1, keepdims=True) > 0, weight, 1).astype(np.float64)
    total = weight.sum(axis=1)
    mean = (weight[..., None] * offset).sum(axis=1) / total[:, None]
    square = (weight[..., None] * (offset - mean[:, None]) ** 2).sum(axis=(1, 2)) / total
    return mean, np.sqrt(square / 2)
