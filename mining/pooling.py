"""A photo's peaks as one row of numbers: how much each filter fires in each part of the photo."""

from __future__ import annotations

import math

import numpy as np

from explgraph.base.arrays import F4, F8, Array, namespace_of
from explgraph.base.jit import jit

GRID = 4


def pool_peaks(yx: Array, weight: Array, input_size: tuple[int, int]) -> Array:
    """Share out peaks among the cells of a coarse grid.

    Of grids from 2 to 13 cells wide, powers 1/2 to 3, and 1 to 8 peaks, a regression from these
    numbers predicted the places of heads and feet about best (squeezenet1_0; birds, cats, zebras).

    Parameters
    ----------
    yx, weight
        (N, C, K, 2) network pixels and (N, C, K), as in `Peaks`.
    input_size
        (H_in, W_in), pixels.

    Returns
    -------
    (N, C * 16): the weights to the power 1.5, shared out linearly among the four nearest cells of a
    4 x 4 grid over the network's input.
    """
    n, channels, _ = weight.shape
    scale = GRID / input_size[0], GRID / input_size[1]
    if not isinstance(weight, np.ndarray):
        return _product(yx, weight, scale).reshape(n, channels * GRID**2)
    pooled = np.zeros((n, channels, GRID, GRID))
    # Copies: Numba would compile everything again for a read-only or a strided view.
    place, strength = (np.array(a, dtype=np.float32, order="C") for a in (yx, weight))
    _pool(place, strength, *scale, pooled)
    return pooled.reshape(n, channels * GRID**2)


@jit
def _pool(yx: F4, weight: F4, per_row: float, per_column: float, pooled: F8) -> None:
    """Fill (N, C, 4, 4); a cell of the grid measures 1 / per_row by 1 / per_column pixels."""
    n, channels, n_peaks = weight.shape
    for i in range(n):
        for c in range(channels):
            for k in range(n_peaks):
                f = float(weight[i, c, k])
                if f <= 0.0:
                    break
                strength = f * math.sqrt(f)
                y = min(max(yx[i, c, k, 0] * per_row - 0.5, 0.0), GRID - 1.0)
                x = min(max(yx[i, c, k, 1] * per_column - 0.5, 0.0), GRID - 1.0)
                top, left = min(int(y), GRID - 2), min(int(x), GRID - 2)
                down, right = strength * (y - top), x - left
                up = strength - down
                pooled[i, c, top, left] += up * (1.0 - right)
                pooled[i, c, top, left + 1] += up * right
                pooled[i, c, top + 1, left] += down * (1.0 - right)
                pooled[i, c, top + 1, left + 1] += down * right


def _product(yx: Array, weight: Array, scale: tuple[float, float]) -> Array:
    """Return what `_pool` fills: strengths times tents over the grid's rows and columns."""
    xp = namespace_of(weight)
    strength = xp.clip(xp.asarray(weight, dtype=xp.float64), 0, None) ** 1.5
    cells = xp.arange(GRID, dtype=xp.float64, device=weight.device)
    place = xp.asarray(yx, dtype=xp.float64)
    down, right = (
        xp.clip(
            1 - xp.abs(xp.clip(place[..., i, None] * scale[i] - 0.5, 0, GRID - 1) - cells), 0, 1
        )
        for i in (0, 1)
    )
    return xp.matrix_transpose(down * strength[..., None]) @ right
