"""What a transform does to coordinates, seen by pushing coordinate ramps through it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from .errors import ExplGraphError, require
from .structures import F8

# A coin flipped so often shows the same side in less than one of a hundred transforms.
_REPEATS = 8
_EDGE = 2  # output pixels at a border whose resampling kernel is cut off there
_HELP = "Use a transform that only resizes, crops, pads and normalises"

Transform = Callable[[Image.Image], Any]


def run_transform(transform: Transform, image: Image.Image) -> Tensor:
    """Run a transform and check what it returns.

    Returns
    -------
    (3, H, W) float32.

    Raises
    ------
    ExplGraphError
        If it fails or returns anything but a float tensor of that shape.
    """
    try:
        result = transform(image)
    except Exception as error:
        raise ExplGraphError(
            f"the transform failed on an RGB photo of {image.width} x {image.height}: {error}"
        ) from error
    require(
        isinstance(result, Tensor) and result.ndim == 3 and result.shape[0] == 3,
        "the transform must return a tensor (3, H, W), got "
        + (f"{tuple(result.shape)}" if hasattr(result, "shape") else type(result).__name__),
    )
    require(
        result.is_floating_point(),
        f"the transform must return floats, got {result.dtype}: end it with ToTensor and Normalize",
    )
    tensor: Tensor = result.detach().to(torch.float32)
    return tensor


def find_frame(transform: Transform, size: tuple[int, int]) -> F8:
    """Find where a transform takes the coordinates of photos of one size.

    Parameters
    ----------
    transform
        Takes an RGB photo, returns (3, H, W).
    size
        (width, height) of the photo, as ``PIL.Image.size``.

    Returns
    -------
    (2, 2), per axis (y, x): unit of the photo = frame[:, 0] + frame[:, 1] * output pixels.

    Raises
    ------
    ExplGraphError
        If the transform is random, changes colours by more than a scale and an offset, flips,
        rotates, or is not affine.
    """
    black, white = (_respond(transform, Image.new("RGB", size, (v, v, v))) for v in (0, 255))
    span = white - black
    # Padding does not answer to the photo's values.
    seen = span.abs() > 0.99 * span.abs().max()
    require(bool(seen.any()), f"the transform's result does not depend on the photo. {_HELP}")
    rows = []
    for axis in (0, 1):
        ramp = _ramp(size, axis)
        value = _respond(transform, ramp)
        if axis == 1:  # once is enough: whatever is random moves both axes or shows in one of them
            _refuse_random(transform, ramp, value)
        unit = torch.where(seen, (value - black) / torch.where(seen, span, 1.0), torch.nan)
        rows.append(_fit(unit.numpy(), axis, size[1 - axis]))
    return np.array(rows)


def _respond(transform: Transform, image: Image.Image) -> Tensor:
    """(H, W) the transform's output, channels averaged: the probes are grey."""
    return run_transform(transform, image).to(torch.float64).mean(dim=0)


def _ramp(size: tuple[int, int], axis: int) -> Image.Image:
    """Make a grey photo whose value says how far down (axis 0) or right (axis 1) a pixel is."""
    width, height = size
    n = (height, width)[axis]
    values = np.round((np.arange(n) + 0.5) / n * 255).astype(np.uint8)
    plane = np.broadcast_to(values[:, None] if axis == 0 else values, (height, width))
    return Image.fromarray(np.ascontiguousarray(np.repeat(plane[..., None], 3, axis=2)))


def _refuse_random(transform: Transform, ramp: Image.Image, value: Tensor) -> None:
    for _ in range(_REPEATS):
        again = _respond(transform, ramp)
        if again.shape != value.shape or not torch.allclose(again, value, atol=1e-4):
            raise ExplGraphError(
                "the transform is random: the same photo gives different inputs. "
                f"{_HELP}, without the augmentation of training"
            )


def _fit(unit: F8, axis: int, n: int) -> tuple[float, float]:
    """Fit ``unit = a + b px`` along one axis of an (H, W) plane of coordinates, NaN = padding.

    ``n`` is the photo's length along the axis, pixels.
    """
    # Beyond the outermost pixel centres the photo is held constant: no coordinate to be read.
    margin = 1 / n + 1 / 255
    inside = np.isfinite(unit) & (unit > margin) & (unit < 1 - margin)
    for side in (0, 1):
        inside &= np.roll(inside, _EDGE, side) & np.roll(inside, -_EDGE, side)
    ys, xs = np.nonzero(inside)
    require(len(ys) >= 16, f"the transform leaves too little of a photo to follow. {_HELP}")
    across, along = (xs, ys) if axis == 0 else (ys, xs)
    design = np.stack([np.ones(len(ys)), along + 0.5, across + 0.5], axis=1)
    target = unit[ys, xs]
    start, slope, skew = map(float, np.linalg.lstsq(design, target, rcond=None)[0])
    error = float(np.abs(design @ (start, slope, skew) - target).max())
    length = float(np.ptp(along)) + 1
    name = "vertically" if axis == 0 else "horizontally"
    if abs(skew) * (np.ptp(across) + 1) > 0.02 and error < 0.02:
        raise ExplGraphError(f"the transform rotates, shears or transposes photos. {_HELP}")
    require(
        error < 1.5 / 255 + 1.5 / n + 0.5 / length,
        f"the transform bends photos or changes their colours unevenly: its coordinates are off a "
        f"straight line by {error:.3f} of the photo. {_HELP}",
    )
    require(
        bool(slope > 0), f"the transform flips photos {name}. {_HELP}: mining mirrors by itself"
    )
    return start, slope
