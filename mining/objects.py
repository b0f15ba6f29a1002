"""Where objects are in photos, as a network sees them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from explgraph.base.arrays import F4, F8, U1
from explgraph.base.errors import require
from explgraph.base.frames import is_inside, mirrored_yx, to_unit
from explgraph.base.layer import LayerSpec
from explgraph.peaks.structures import PeakSet

Flags = NDArray[np.bool_]


class Objects(NamedTuple):
    """Objects in N photos.

    Attributes
    ----------
    away
        N arrays (height, width): how far a pixel of the photo is from the object, network pixels;
        0 on it, infinite where there is none.
    frames
        (N, 2, 2) from network pixels to the unit square of each photo, as in `PeakSet`.
    width
        Of the network's input, pixels.
    """

    away: tuple[F8, ...]
    frames: F8
    width: int

    @classmethod
    def of(cls, peaks: PeakSet, masks: Sequence[Flags]) -> Objects:
        """Take masks (height, width) of N photos, each of which covers the whole photo.

        Raises
        ------
        ExplGraphError
            If they are not as many as the photos, or not such arrays.
        """
        require(
            len(masks) == len(peaks),
            f"objects needs a mask for each of the {len(peaks)} photos, got {len(masks)}",
        )
        for name, mask in zip(peaks.images, masks, strict=True):
            require(
                np.ndim(mask) == 2 and np.size(mask) > 0,
                f"the object's mask of {name} must have shape (height, width), got "
                f"{np.shape(mask)}",
            )
        away = [_away(mask, frame) for mask, frame in zip(masks, peaks.frames, strict=True)]
        return cls(tuple(away), peaks.frames, peaks.input_size[1])

    def take(self, photos: Flags) -> Objects:
        """Return those of some photos."""
        away = tuple(self.away[i] for i in np.flatnonzero(photos))
        return Objects(away, self.frames[photos], self.width)

    def hold(self, yx: F4, mirrored: U1, layer: LayerSpec) -> Flags:
        """Tell which peaks of a layer lie on the object, or nearer to it than half a cell.

        Parameters
        ----------
        yx
            (C, 2, K, N) where they are, network pixels of the orientation that was taken.
        mirrored
            (N,) which photos are seen mirrored.
        layer
            The layer.

        Returns
        -------
        (C, K, N)
        """
        places = yx.transpose(3, 0, 2, 1).astype(np.float64)
        unit = to_unit(self.frames, mirrored_yx(places, mirrored, self.width))
        reach = float(np.mean(layer.stride)) / 2
        held = np.zeros(places.shape[:-1], dtype=bool)
        for i, away in enumerate(self.away):
            size = np.array(away.shape)
            y, x = np.moveaxis(np.clip(unit[i] * size, 0, size - 1).astype(np.intp), -1, 0)
            held[i] = (away[y, x] <= reach) & is_inside(unit[i])
        return held.transpose(1, 2, 0)


def _away(mask: Flags, frame: F8) -> F8:
    """Return (height, width) the distance of each pixel to the object, network pixels."""
    from scipy.ndimage import distance_transform_edt

    mask = np.asarray(mask, dtype=bool)
    if not mask.any():
        return np.full(mask.shape, np.inf)
    pixel = 1 / (np.array(mask.shape) * frame[:, 1])
    return np.asarray(distance_transform_edt(~mask, sampling=pixel))
