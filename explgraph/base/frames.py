"""Frames: where an input of the network lies in its photo, and both seen in a mirror.

A frame ``(2, 2)`` holds for each axis (y, x) where something starts in the unit square around it
and how long one of its units is there: ``unit = frame[:, 0] + frame[:, 1] * px``. Most frames take
network pixels to the unit square of a photo; that of an object's box takes the unit square of the
box to that of the whole photo.

Leading axes of frames and flips are those of the first axes of positions: frames (N, 2, 2) serve
positions (N, 2) as well as (N, P, 2).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeVar

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .arrays import F8
from .errors import require

F = TypeVar("F", bound=np.floating[Any])


def check_frames(name: str, frames: NDArray[np.floating]) -> None:
    """Raise `ExplGraphError` unless a unit of each frame (..., 2, 2) has a length above 0."""
    require(bool((frames[..., 1] > 0).all()), f"{name} must have lengths (..., 1) above 0")


def to_unit(frames: NDArray[np.floating], px: NDArray[np.floating]) -> F8:
    """Take positions (..., 2) from pixels of the frames (..., 2, 2) to their unit squares."""
    start, length = _starts_and_lengths(frames, px)
    return np.asarray(start + length * px)


def to_pixels(frames: NDArray[np.floating], unit: NDArray[np.floating]) -> F8:
    """Take positions (..., 2) from the unit squares of frames (..., 2, 2) to the frames' pixels."""
    start, length = _starts_and_lengths(frames, unit)
    return np.asarray((unit - start) / length)


def composed(outer: F8, inner: F8) -> F8:
    """Return the frame (2, 2) that takes by ``inner``, then by ``outer``."""
    return np.stack([outer[:, 0] + outer[:, 1] * inner[:, 0], outer[:, 1] * inner[:, 1]], axis=1)


def mirrored_frame(frame: F8, width: int) -> F8:
    """Return a photo's frame (2, 2) once it and its input, ``width`` pixels wide, are mirrored."""
    start, length = frame[1]
    return np.stack([frame[0], [1 - start - length * width, length]])


def mirrored_yx(yx: NDArray[F], flip: ArrayLike, width: float = 1.0) -> NDArray[F]:
    """Return positions (..., 2), mirrored left to right where ``flip`` (...) says so.

    Parameters
    ----------
    yx
        In what is ``width`` wide: the unit square, or pixels of an input.
    """
    turned = np.asarray(flip, dtype=bool)
    turned = turned.reshape(turned.shape + (1,) * (yx.ndim - 1 - turned.ndim))
    x = np.where(turned, width - yx[..., 1], yx[..., 1])
    return np.stack([yx[..., 0], x], axis=-1)


def is_inside(
    yx: NDArray[np.floating], size: ArrayLike = 1.0, tolerance: float = 0.0
) -> NDArray[np.bool_]:
    """Tell which positions (..., 2) lie within 0 and ``size`` along both axes, rims included."""
    inside = (yx >= -tolerance) & (yx <= np.asarray(size) + tolerance)
    return np.asarray(inside.all(axis=-1))


def middles(count: int) -> F8:
    """Return (count,) the middles of equal cells that divide the unit: of pixels, of a grid."""
    return np.asarray((np.arange(count) + 0.5) / count)


def grid_points(rows: F8, columns: F8) -> F8:
    """Return (H, W, 2) the points where rows (H,) and columns (W,) meet."""
    return np.stack(np.meshgrid(rows, columns, indexing="ij"), axis=-1)


def seen_along(
    frame: F8, places: Sequence[F8], input_size: Sequence[int]
) -> list[tuple[F8, NDArray[np.bool_]]]:
    """Take rows and columns of a picture of the photo to pixels of the network's input.

    Parameters
    ----------
    frame
        (2, 2) of the photo.
    places
        Where the rows (H,) and the columns (W,) are, unit square of the photo.
    input_size
        (H_in, W_in).

    Returns
    -------
    For each axis network pixels and whether the network saw them.
    """
    found = []
    for (start, length), unit, side in zip(frame, places, input_size, strict=True):
        px = (unit - start) / length
        found.append((px, (px >= 0) & (px <= side)))
    return found


def _starts_and_lengths(frames: NDArray[Any], yx: NDArray[Any]) -> tuple[NDArray[Any], ...]:
    """Return starts and lengths, with the axes that positions have beyond the frames'."""
    shape = frames.shape[:-2] + (1,) * (yx.ndim - 1 - (frames.ndim - 2)) + (2,)
    return frames[..., 0].reshape(shape), frames[..., 1].reshape(shape)
