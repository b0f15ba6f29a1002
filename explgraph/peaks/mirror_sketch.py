"""A small record of what changes in a photo's maps when it is mirrored (model step 3)."""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor

SKETCH_SIZE = 4096  # float32 values a photo: 16 kB
_BLUR = 0.075  # standard deviation of the smoothing, share of the map's side
_SEED = 20180205


class MirrorSketch:
    """Projects f - g, the difference of a photo's response maps and its mirror image's.

    Responses are squared, for the strong places are the reliable ones, and smoothed, so that a part
    need not lie in the same cell of two photos to count. Each filter's maps are divided by the root
    of their length in this photo, so that no filter speaks for all, and the whole is scaled to
    length 1. A fixed random signed hashing (count sketch) keeps inner products:
    <sketch_i, sketch_j> estimates <f_i - g_i, f_j - g_j>.

    Parameters
    ----------
    channels, grid
        C and (H, W) of the layer.
    device
        Where the responses are.
    """

    def __init__(
        self, channels: int, grid: tuple[int, int], device: torch.device | str = "cpu"
    ) -> None:
        rng = np.random.default_rng(_SEED)
        size = channels * grid[0] * grid[1]
        self._bucket = torch.from_numpy(rng.integers(0, SKETCH_SIZE, size)).to(device)
        sign = rng.choice(np.array([-1, 1], dtype=np.float32), size)
        self._sign = torch.from_numpy(sign).to(device)
        self._rows, self._columns = (_smoothing(side).to(device) for side in grid)

    def __call__(self, responses: Tensor, mirrored: Tensor) -> Tensor:
        """Return (B, D) sketches of responses (B, C, H, W) of photos and of their mirror images."""
        given, other = self._smooth(responses.square()), self._smooth(mirrored.square())
        length = (given.square() + other.square()).sum(dim=(2, 3), keepdim=True).sqrt()
        even = length.clamp(min=torch.finfo(length.dtype).tiny).sqrt()
        size = (length / even).square().sum(dim=1, keepdim=True).sqrt()
        difference = (given - other) / even / size.clamp(min=torch.finfo(size.dtype).tiny)
        # In float64, so that it does not show in which order a GPU adds up.
        sketch = torch.zeros(
            len(difference), SKETCH_SIZE, dtype=torch.float64, device=length.device
        )
        signed = (difference.flatten(1) * self._sign).double()
        return sketch.index_add_(1, self._bucket, signed).float()

    def _smooth(self, maps: Tensor) -> Tensor:
        return self._rows @ maps @ self._columns


def _smoothing(side: int) -> Tensor:
    """Return the symmetric (side, side) matrix that smooths along an axis; outside all is 0.

    Its Gaussian reaches to three standard deviations and sums to 1.
    """

    def gaussian(distance: Tensor) -> Tensor:
        return torch.exp(-distance.float().square() / (2 * sigma**2))

    sigma = _BLUR * side
    reach = math.ceil(3 * sigma)
    cells = torch.arange(side)
    away = (cells[:, None] - cells).abs()
    whole = gaussian(torch.arange(-reach, reach + 1)).sum()
    return gaussian(away).where(away <= reach, 0) / whole
