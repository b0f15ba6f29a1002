"""Which cells of a response map belong to which peak: a watershed without a free radius."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from explgraph.base.arrays import F4, F8, I4, NONE
from explgraph.base.errors import check_shape
from explgraph.base.jit import jit
from explgraph.base.threads import over_rows


def basins(maps: F4, mean: F4) -> I4:
    """Let each active cell ascend to a local maximum.

    A cell goes to the highest of its 8 neighbours and itself, of equal ones to the first (row by
    row), until it is at the top. The tops are those that `explgraph.peaks.finding.find_peaks` calls
    peaks.

    Parameters
    ----------
    maps
        (B, C, H, W) outputs of a layer.
    mean
        (C,) m_c; a cell is active where its output is larger.

    Returns
    -------
    (B, C, H, W) index ``y * W + x`` of the maximum that each active cell belongs to; `NONE` for the
    others.
    """
    check_shape("maps", maps, (None, len(mean), None, None))
    rows, (height, width) = maps.shape[0] * maps.shape[1], maps.shape[2:]
    labels = np.empty((rows, height * width), dtype=np.int32)
    flat = np.ascontiguousarray(maps, dtype=np.float32).reshape(rows, height, width)
    over_rows(_basins, rows, flat, np.asarray(mean, dtype=np.float64), labels)
    return labels.reshape(maps.shape)


def ranked_maxima(
    basin: I4, response: F4, channel: NDArray[np.integer], rank: NDArray[np.integer]
) -> I4:
    """Find local maxima by their place in the order in which `find_peaks` gives its peaks.

    Parameters
    ----------
    basin
        (B, C, H, W) from `basins`.
    response
        (B, C, H, W); maxima are counted within a map by falling response, of equal ones the first
        cell first.
    channel
        (n,) the maps in which maxima are looked for.
    rank
        (B, n) which one is wanted, 0 the strongest, or `NONE`.

    Returns
    -------
    (B, n) indices as in ``basin``; `NONE` where none is wanted or a map has not so many.
    """
    photos, channels = basin.shape[:2]
    labels = basin.reshape(photos * channels, -1)
    row, cell = np.nonzero(labels == np.arange(labels.shape[1]))
    # Sorting is stable and the cells rise: of equal maxima the first stays first.
    order = np.lexsort((-response.reshape(labels.shape)[row, cell], row))
    first = np.searchsorted(row, np.arange(len(labels) + 1))
    wanted = np.arange(photos)[:, None] * channels + channel
    exists = (rank != NONE) & (rank < np.diff(first)[wanted])
    found = np.full(rank.shape, NONE, dtype=np.int32)
    found[exists] = cell[order][(first[wanted] + rank)[exists]]
    return found


@jit
def _step(cells: F4, i: int, j: int) -> int:
    """Return the index of the highest of a cell and its neighbours, of equal ones the first."""
    height, width = cells.shape
    best, top = -np.inf, 0
    for y in range(max(i - 1, 0), min(i + 2, height)):
        for x in range(max(j - 1, 0), min(j + 2, width)):
            if cells[y, x] > best:
                best, top = cells[y, x], y * width + x
    return top


@jit
def _climb(up: I4) -> None:
    """Let every cell point to its top, where ``up (H * W,)`` is its first step or `NONE`."""
    for start in range(len(up)):
        if up[start] < 0:
            continue
        top = start
        while up[top] != top:
            top = up[top]
        cell = start
        while cell != top:
            above = up[cell]
            up[cell] = top
            cell = above


@jit
def _basins(start: int, stop: int, maps: F4, mean: F8, labels: I4) -> None:
    """Fill rows of ``labels (B * C, H * W)`` from ``maps (B * C, H, W)``; ``mean (C,)``."""
    height, width = maps.shape[1:]
    for row in range(start, stop):
        cells, least = maps[row], mean[row % len(mean)]
        for i in range(height):
            for j in range(width):
                active = cells[i, j] > least
                labels[row, i * width + j] = _step(cells, i, j) if active else NONE
        _climb(labels[row])
