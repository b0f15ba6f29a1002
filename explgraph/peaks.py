"""Feature maps to activation peaks: what mining sees of a network (model step 2)."""

from __future__ import annotations

import numpy as np
from numba import prange

from ._jit import jit
from .errors import ExplGraphError, check_shape
from .structures import F4, LayerSpec, Peaks


def find_peaks(maps: F4, layer: LayerSpec, mean: F4, scale: F4, n_peaks: int = 8) -> Peaks:
    """Split every channel map into its local maxima and keep the strongest.

    A cell is a peak when its response f = max((a - m_c) / s_c, 0) is positive and no smaller than
    its 8 neighbours'; of equal neighbours the lowest index (row by row) wins. The position is
    refined below the cell by a parabola through the neighbours, along each axis, by at most half a
    cell.

    Parameters
    ----------
    maps
        (N, C, H, W) outputs of the layer.
    layer
        The layer; its stride and offset give positions in network pixels.
    mean, scale
        (C,) m_c and s_c.
    n_peaks
        K. Where a map has fewer peaks, the rest of its K places have weight 0.

    Returns
    -------
    Peaks by falling weight; of equal weights, the lowest cell index first.

    Raises
    ------
    ExplGraphError
        If the maps hold NaN or infinities.
    """
    check_shape("maps", maps, (None, layer.channels, *layer.grid))
    n, channels = maps.shape[:2]
    yx = np.zeros((n, channels, n_peaks, 2), dtype=np.float32)
    weight = np.zeros((n, channels, n_peaks), dtype=np.float32)
    finite = _find_peaks(  # type: ignore[no-untyped-call]
        np.ascontiguousarray(maps, dtype=np.float32),
        np.asarray(mean, dtype=np.float64),
        np.asarray(scale, dtype=np.float64),
        np.array([layer.offset, layer.stride], dtype=np.float64),
        yx,
        weight,
    )
    if not finite.all():
        raise ExplGraphError(
            f"layer {layer.name} gave NaN or infinite values for {int((~finite).sum())} of {n} "
            "images: check the network's weights and the images' values"
        )
    return Peaks(layer, yx, weight)


@jit
def parabola_offset(left: float, centre: float, right: float) -> float:
    """Return where a parabola through three cells has its top, in cells from the centre."""
    curvature = left - 2.0 * centre + right
    if curvature >= 0.0:
        return 0.0
    return min(max(0.5 * (left - right) / curvature, -0.5), 0.5)


@jit
def _is_peak(cells: F4, i: int, j: int) -> bool:
    height, width = cells.shape
    value = cells[i, j]
    for di in range(-1, 2):
        for dj in range(-1, 2):
            y, x = i + di, j + dj
            if (di == 0 and dj == 0) or y < 0 or x < 0 or y >= height or x >= width:
                continue
            earlier = di < 0 or (di == 0 and dj < 0)
            if cells[y, x] > value or (earlier and cells[y, x] == value):
                return False
    return True


@jit
def _place(cells: F4, i: int, j: int) -> tuple[float, float]:
    """Return the refined (row, column) of a peak; at the map's border the cell's own."""
    y, x = float(i), float(j)
    if 0 < i < cells.shape[0] - 1:
        y += parabola_offset(float(cells[i - 1, j]), float(cells[i, j]), float(cells[i + 1, j]))
    if 0 < j < cells.shape[1] - 1:
        x += parabola_offset(float(cells[i, j - 1]), float(cells[i, j]), float(cells[i, j + 1]))
    return y, x


@jit(parallel=True)
def _find_peaks(maps, mean, scale, geometry, yx, weight):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN202
    """Fill ``yx`` and ``weight``; return (N,) whether all values of an image are finite."""
    n, channels, height, width = maps.shape
    n_peaks = weight.shape[2]
    finite = np.ones((n, channels), dtype=np.bool_)
    for row in prange(n * channels):
        image, c = row // channels, row % channels
        cells = maps[image, c]
        found = 0
        for i in range(height):
            for j in range(width):
                if not np.isfinite(cells[i, j]):
                    finite[image, c] = False
                if not cells[i, j] > mean[c] or not _is_peak(cells, i, j):
                    continue
                value = np.float32((cells[i, j] - mean[c]) / scale[c])
                if found == n_peaks and value <= weight[image, c, n_peaks - 1]:
                    continue
                # insertion into the list of the strongest so far; equal values stay in cell order
                k = found if found < n_peaks else n_peaks - 1
                while k > 0 and weight[image, c, k - 1] < value:
                    weight[image, c, k] = weight[image, c, k - 1]
                    yx[image, c, k] = yx[image, c, k - 1]
                    k -= 1
                y, x = _place(cells, i, j)
                weight[image, c, k] = value
                yx[image, c, k, 0] = geometry[0, 0] + geometry[1, 0] * y
                yx[image, c, k, 1] = geometry[0, 1] + geometry[1, 1] * x
                found = min(found + 1, n_peaks)
    rows = np.ones(n, dtype=np.bool_)
    for image in range(n):
        rows[image] = finite[image].all()
    return rows
