"""A conv layer that can be mined, and the layer that tells what places look like."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .arrays import F8, I8

FINE = 10
"""Cells along the shorter side of a layer that tells what places look like."""


@dataclass(frozen=True, slots=True)
class LayerSpec:
    """A conv layer that can be mined: its channels and where its cells look.

    Attributes
    ----------
    name
        Dotted module name, as in ``model.named_modules()``.
    channels
        C.
    grid
        (H, W) for the network's input size.
    stride
        (y, x) distance of neighbouring cells' receptive-field centres, network pixels.
    offset
        (y, x) centre of the first cell's receptive field, network pixels from the outer corner.
    field
        (y, x) size of the receptive field along the spatial path, network pixels.
    rectified
        Whether the layer's output is never negative (it ends in a ReLU).
    global_context
        Whether a gate (squeeze-and-excitation) lets every cell see the whole image as well.
    """

    name: str
    channels: int
    grid: tuple[int, int]
    stride: tuple[float, float]
    offset: tuple[float, float]
    field: tuple[int, int]
    rectified: bool = True
    global_context: bool = False

    def centres(self, axis: int) -> F8:
        """Return where the receptive fields of rows (axis 0) or columns have their centres, px."""
        return np.asarray(self.offset[axis] + self.stride[axis] * np.arange(self.grid[axis]))

    def nearest(self, axis: int, px: NDArray[np.floating]) -> I8:
        """Return the row (axis 0) or column nearest to network pixels, of two the later one."""
        cell = np.floor((px - self.offset[axis]) / self.stride[axis] + 0.5)
        return np.asarray(cell.clip(0, self.grid[axis] - 1).astype(np.int64))

    def to_json(self) -> dict[str, Any]:
        """Return the fields as JSON values."""
        return {
            name: list(value) if isinstance(value, tuple) else value
            for name, value in asdict(self).items()
        }

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> LayerSpec:
        """Rebuild a layer from `to_json`'s value."""
        pairs: dict[str, Any] = {
            k: tuple(v) if isinstance(v, list) else v for k, v in values.items()
        }
        return cls(**pairs)


def look_layer(layers: Sequence[LayerSpec]) -> int:
    """Return which layer tells what a place looks like: the deepest that is fine enough.

    Deep layers know most of what things are, but a grid of seven by seven cells hardly tells the
    places of a head's size apart. If none has `FINE` cells along a side, the finest is taken.
    """
    fine = [i for i, layer in enumerate(layers) if min(layer.grid) >= FINE]
    return fine[-1] if fine else max(range(len(layers)), key=lambda i: (min(layers[i].grid), i))
