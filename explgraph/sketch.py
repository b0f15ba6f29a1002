"""A small record of what changes in a photo's maps when it is mirrored (model step 3)."""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

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
    """

    def __init__(self, channels: int, grid: tuple[int, int]) -> None:
        rng = np.random.default_rng(_SEED)
        size = channels * grid[0] * grid[1]
        self._bucket = torch.from_numpy(rng.integers(0, SKETCH_SIZE, size))
        self._sign = torch.from_numpy(rng.choice(np.array([-1, 1], dtype=np.float32), size))
        self._kernels = [_gaussian(_BLUR * side) for side in grid]

    def __call__(self, responses: Tensor, mirrored: Tensor) -> Tensor:
        """Return (B, D) sketches of responses (B, C, H, W) of photos and of their mirror images."""
        given, other = self._smooth(responses.square()), self._smooth(mirrored.square())
        length = (given.square() + other.square()).sum(dim=(2, 3), keepdim=True).sqrt()
        even = length.clamp(min=torch.finfo(length.dtype).tiny).sqrt()
        size = (length / even).square().sum(dim=1, keepdim=True).sqrt()
        difference = (given - other) / even / size.clamp(min=torch.finfo(size.dtype).tiny)
        sketch = torch.zeros(len(difference), SKETCH_SIZE)
        return sketch.index_add_(1, self._bucket, difference.flatten(1) * self._sign)

    def _smooth(self, maps: Tensor) -> Tensor:
        batch, channels, height, width = maps.shape
        rows, columns = self._kernels
        flat = maps.reshape(batch * channels, 1, height, width)
        flat = functional.conv2d(flat, rows.view(1, 1, -1, 1), padding=(len(rows) // 2, 0))
        flat = functional.conv2d(flat, columns.view(1, 1, 1, -1), padding=(0, len(columns) // 2))
        return flat.reshape(maps.shape)


def _gaussian(sigma: float) -> Tensor:
    """Return a normalised 1-D Gaussian that reaches to three standard deviations."""
    reach = math.ceil(3 * sigma)
    kernel = torch.exp(-torch.arange(-reach, reach + 1).float().square() / (2 * sigma**2))
    return kernel / kernel.sum()
