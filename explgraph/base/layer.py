"""A conv layer that can be mined, and the layer that tells what places look like."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Annotated, Any

import numpy as np
from msgspec import Meta
from numpy.typing import NDArray

from .arrays import F8, I8
from .errors import require
from .json_text import typed

MOST_PIXELS = 16384
"""Along a side of a network's input: what a file that asks for more would take is no network's."""

Side = Annotated[int, Meta(ge=1, le=MOST_PIXELS)]
_Length = Annotated[int, Meta(ge=1)]
# So that places divided by strides are numbers.
_Pitch = Annotated[float, Meta(ge=1e-6, le=1e9)]
_Start = Annotated[float, Meta(ge=-1e9, le=1e9)]

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
    channels: _Length
    grid: tuple[Side, Side]
    stride: tuple[_Pitch, _Pitch]
    offset: tuple[_Start, _Start]
    field: tuple[_Length, _Length]
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
        """Return the fields as JSON values: of what may be a fraction, floats."""
        return {
            **asdict(self),
            "grid": list(self.grid),
            "stride": [float(step) for step in self.stride],
            "offset": [float(start) for start in self.offset],
            "field": list(self.field),
        }

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> LayerSpec:
        """Rebuild a layer from `to_json`'s value.

        Raises
        ------
        ExplGraphError
            If something is missing, or of another type.
        """
        layer: LayerSpec = typed(values, "a layer", cls)
        return layer


def check_input_size(size: Sequence[int]) -> None:
    """Raise `ExplGraphError` unless these are height and width that a network's input may have."""
    sides = tuple(size)
    require(
        len(sides) == 2 and all(1 <= side <= MOST_PIXELS for side in sides),
        f"input_size must be a height and a width of 1 to {MOST_PIXELS} pixels, got {sides}",
    )


def look_layer(layers: Sequence[LayerSpec]) -> int:
    """Return which layer tells what a place looks like: the deepest that is fine enough.

    Deep layers know most of what things are, but a grid of seven by seven cells hardly tells the
    places of a head's size apart. If none has `FINE` cells along a side, the finest is taken.
    """
    fine = [i for i, layer in enumerate(layers) if min(layer.grid) >= FINE]
    return fine[-1] if fine else max(range(len(layers)), key=lambda i: (min(layers[i].grid), i))
