"""What a method answers, `Attribution`, and what a method is, `Method`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike

from explgraph.base.arrays import F4, F8, frozen
from explgraph.base.errors import ExplGraphError, check_finite, check_shape, require
from explgraph.base.frames import middles, seen_along
from explgraph.base.layer import LayerSpec
from explgraph.base.records import Record

if TYPE_CHECKING:
    pass


@dataclass(frozen=True, eq=False, slots=True)
class Attribution(Record):
    """How much each pixel of a photo has to do with a network's answer.

    Attributes
    ----------
    values
        (H_in, W_in) network pixels of the photo as given; larger: more in favour of the target.
    method
        The method's name.
    target
        What was asked about, for people.
    signed
        Whether values below 0 speak against the target; otherwise they are magnitudes.
    settings
        The method's options, the seed and whatever else decides the values: JSON values.
    image
        The photo's name.
    frame
        (2, 2) from network pixels to the photo's unit square, per axis (y, x):
        ``unit = frame[:, 0] + frame[:, 1] * px``. Where a box was cut out of the photo, "the photo"
        is what the box cuts out.
    photo_size
        (height, width) of the photo, pixels; None where unknown.
    """

    values: F4
    method: str
    target: str
    signed: bool
    settings: Mapping[str, Any]
    image: str
    frame: F8
    photo_size: tuple[int, int] | None = None

    def __post_init__(self) -> None:
        check_shape("Attribution.values", self.values, (None, None))
        check_shape("Attribution.frame", self.frame, (2, 2))
        check_finite("Attribution.values", self.values)
        object.__setattr__(self, "values", frozen(self.values, np.float32))
        object.__setattr__(self, "frame", frozen(self.frame, np.float64))
        object.__setattr__(self, "settings", MappingProxyType(dict(self.settings)))

    def __repr__(self) -> str:
        height, width = self.values.shape
        return f"<Attribution {self.method} of {self.target} in {self.image!r}, {height}x{width}>"

    def upsampled(self, size: tuple[int, int] | None = None) -> F4:
        """Return the values on the photo's pixels.

        Parameters
        ----------
        size
            (height, width) of the result, which shows the whole photo; None: `photo_size`.

        Returns
        -------
        (height, width): bilinear between the centres of network pixels, constant beyond the
        outermost; 0 where the network did not see the photo.

        Raises
        ------
        ExplGraphError
            If no size is known.
        """
        size = size or self.photo_size
        if size is None:
            raise ExplGraphError("the photo's size is unknown: give size=(height, width)")
        require(min(size) > 0, f"size must be positive, got {size}")
        places = [middles(count) for count in size]
        (y, seen_y), (x, seen_x) = seen_along(self.frame, places, self.values.shape)
        result: F4 = resampled(self.values, y - 0.5, x - 0.5) * np.outer(seen_y, seen_x)
        return result


def on_pixels(cells: ArrayLike, layer: LayerSpec, size: tuple[int, int]) -> F4:
    """Lay the values of a layer's cells over the network's input.

    A cell's value stands at the centre of its receptive field; between, values are bilinear, and
    beyond the outermost centres constant. Stretching the map over the input, as is common, shifts
    it wherever paddings do not happen to put the centres there: by 9 pixels at the border in
    SqueezeNet.

    Parameters
    ----------
    cells
        (H, W).
    layer
        Of these cells.
    size
        (H_in, W_in).

    Returns
    -------
    (H_in, W_in).
    """
    rows, columns = (
        (np.arange(count, dtype=np.float64) + 0.5 - offset) / stride
        for count, offset, stride in zip(size, layer.offset, layer.stride, strict=True)
    )
    return resampled(cells, rows, columns)


def resampled(values: ArrayLike, rows: F8, columns: F8) -> F4:
    """Read a map (H, W) at fractional rows (h,) and columns (w,): bilinear, constant outside."""
    from scipy.ndimage import map_coordinates

    places = np.meshgrid(rows, columns, indexing="ij")
    read = map_coordinates(np.asarray(values, dtype=np.float64), places, order=1, mode="nearest")
    return np.asarray(read, dtype=np.float32)
