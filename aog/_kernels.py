"""CPU loop of the votes: in threads over views, each of which owns its maps."""

# ruff: noqa: ANN001, ANN202, PLR0913
# mypy: disallow-untyped-defs=False, disallow-untyped-calls=False

from __future__ import annotations

import math

import numpy as np

from explgraph.base.jit import jit

_REACH = 3.5  # standard deviations: beyond, a vote is below .003 of its height


@jit
def strength(score, scale):
    """How much of its vote a pattern casts: the root of its score's share of its best."""
    return math.sqrt(min(score / scale, 1.0)) if scale > 0.0 and score > 0.0 else 0.0


@jit
def cast_votes(
    first, last, yx, score, start, node, displacement, spread, weight, scale, cell, votes
):
    """Add to ``votes (B, T, G, G)`` those of T templates in views first <= b < last (Eq. 9).

    Parameters: peaks ``yx (B, P, 2)`` and ``score (B, P)`` of all nodes; the patterns as in
    `AndOrGraph`, where ``weight`` is a vote's height; ``cell (2,)`` a cell's height and width in
    network pixels.
    """
    n_templates, grid = votes.shape[1:3]
    row, column = np.empty(grid), np.empty(grid)
    for b in range(first, last):
        for t in range(n_templates):
            for q in range(start[t], start[t + 1]):
                v = node[q]
                height = weight[q] * strength(score[b, v], scale[q])
                if height <= 0.0:
                    continue
                y0, y1 = _bell(
                    row, (yx[b, v, 0] + displacement[q, 0]) / cell[0], spread[q] / cell[0]
                )
                x0, x1 = _bell(
                    column, (yx[b, v, 1] + displacement[q, 1]) / cell[1], spread[q] / cell[1]
                )
                for i in range(y0, y1):
                    for j in range(x0, x1):
                        votes[b, t, i, j] += height * row[i] * column[j]


@jit
def _bell(values, middle, spread):
    """Fill the cells within reach with a bell of height 1; return the first and the one after."""
    first = max(0, math.ceil(middle - 0.5 - _REACH * spread))
    stop = min(len(values), math.floor(middle - 0.5 + _REACH * spread) + 1)
    for i in range(first, stop):
        z = (i + 0.5 - middle) / spread
        values[i] = math.exp(-0.5 * z * z)
    return first, stop
