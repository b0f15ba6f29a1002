"""CPU loops of refits: votes as impulses, and templates' votes added up by their levels."""

# ruff: noqa: ANN001, ANN202, PLR0913
# mypy: disallow-untyped-defs=False, disallow-untyped-calls=False

from __future__ import annotations

import math

from aog._kernels import strength
from explgraph.base.jit import jit


@jit
def cast_impulses(yx, score, node, displacement, height, scale, width, step, pad, impulses):
    """Add to ``impulses (B, L, E, E)`` the votes of one template's Q patterns in B views.

    Each is shared out among the four nearest points of a grid with ``step (2,)`` network pixels
    between them, whose first point lies ``pad`` steps before the corner; those beyond it are lost.

    Parameters: peaks ``yx (B, P, 2)`` and ``score (B, P)`` of all nodes; of the patterns ``node``,
    ``height``, ``scale``, ``width (Q,)``, which of the L widths a vote has, and
    ``displacement (Q, 2)``.
    """
    last = impulses.shape[2] - 1
    for b in range(len(yx)):
        for q in range(len(node)):
            v = node[q]
            share = height[q] * strength(score[b, v], scale[q])
            if share <= 0.0:
                continue
            y = (yx[b, v, 0] + displacement[q, 0]) / step[0] + pad
            x = (yx[b, v, 1] + displacement[q, 1]) / step[1] + pad
            if y < 0.0 or x < 0.0 or y >= last or x >= last:
                continue
            i, j = math.floor(y), math.floor(x)
            down, right = y - i, x - j
            own = impulses[b, width[q]]
            own[i, j] += share * (1.0 - down) * (1.0 - right)
            own[i, j + 1] += share * (1.0 - down) * right
            own[i + 1, j] += share * down * (1.0 - right)
            own[i + 1, j + 1] += share * down * right


@jit
def add_levels(levels, table, factor, total):
    """Add to ``total (B, V, M)`` what ``levels (B, V, M)`` of M places stand for in a table.

    ``table (256,)``; each view's, times ``factor (B, V)``.
    """
    for b in range(levels.shape[0]):
        for v in range(levels.shape[1]):
            own, given, share = total[b, v], levels[b, v], factor[b, v]
            for m in range(len(given)):
                own[m] += share * table[given[m]]


@jit
def sum_levels(levels, table, weight, result):
    """Set ``result (B, V)`` to the sum over places of what levels stand for, by ``weight``."""
    for b in range(levels.shape[0]):
        for v in range(levels.shape[1]):
            given, heavy = levels[b, v], weight[b, v]
            total = table[0] * 0
            for m in range(len(given)):
                total += heavy[m] * table[given[m]]
            result[b, v] = total
