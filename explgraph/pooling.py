"""A photo's peaks as one row of numbers: how much each filter fires in each part of the photo."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from .structures import F8

GRID = 4
_POWER = 1.5


def pool_peaks(
    yx: NDArray[np.floating], weight: NDArray[np.floating], input_size: tuple[int, int]
) -> F8:
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
    n, channels = weight.shape[:2]
    place = yx / np.array(input_size, dtype=np.float64) * GRID - 0.5
    place = np.clip(place, 0, GRID - 1)
    corner = np.minimum(place.astype(np.intp), GRID - 2)
    fraction = place - corner
    row = np.arange(n * channels).reshape(n, channels, 1)
    strength = weight.astype(np.float64) ** _POWER
    pooled = np.zeros(n * channels * GRID**2)
    for down in (0, 1):
        for right in (0, 1):
            share = np.abs(1 - down - fraction[..., 0]) * np.abs(1 - right - fraction[..., 1])
            cell = (row * GRID + corner[..., 0] + down) * GRID + corner[..., 1] + right
            pooled += np.bincount(cell.ravel(), (strength * share).ravel(), minlength=len(pooled))
    return pooled.reshape(n, channels * GRID**2)
