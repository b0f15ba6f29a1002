"""How photos are fed to a network, and which part of a photo it then sees."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Sequence
from typing import Any, Literal

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from explgraph.base.arrays import F4, F8
from explgraph.base.errors import ExplGraphError, require
from explgraph.base.frames import middles, to_unit
from explgraph.base.layer import check_input_size

Fit = Literal["stretch", "letterbox", "crop"]
FITS: tuple[Fit, ...] = ("stretch", "letterbox", "crop")
IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)
# Of luma, by its weights of red, green and blue.
GREY_MEAN, GREY_STD = (0.459,), (0.226,)

_log = logging.getLogger("explgraph")


class Preprocess:
    """Makes the network's input of a photo; safe to call from several threads.

    Parameters
    ----------
    input_size
        (H_in, W_in) of the network's input, pixels.
    fit
        "stretch" resizes the whole photo, aspect not kept; "letterbox" keeps the aspect and fills
        up with the mean colour; "crop" keeps the aspect and cuts the middle out.
    mean, std
        Per channel, of values in 0..1: three for RGB, or one each for grey inputs, made of a
        photo's luma (.299 red, .587 green, .114 blue).

    Raises
    ------
    ExplGraphError
        If ``fit`` is unknown, the size is not positive, or there are neither three nor one of the
        means and deviations.
    """

    def __init__(
        self,
        input_size: tuple[int, int] = (224, 224),
        *,
        fit: Fit = "stretch",
        mean: Sequence[float] = IMAGENET_MEAN,
        std: Sequence[float] = IMAGENET_STD,
    ) -> None:
        require(fit in FITS, f"fit must be one of {', '.join(FITS)}, got {fit!r}")
        check_input_size(input_size)
        self.input_size = (int(input_size[0]), int(input_size[1]))
        self.fit = fit
        self.mean, self.std = tuple(map(float, mean)), tuple(map(float, std))
        require(
            len(self.mean) == len(self.std) and len(self.mean) in (1, 3),
            "mean and std must have three values each (RGB) or one (grey), got "
            f"{len(self.mean)} and {len(self.std)}",
        )
        require(
            bool(np.isfinite([*self.mean, *self.std]).all()) and min(self.std) > 0,
            f"mean must be finite and std above 0, got {self.mean} and {self.std}",
        )

    @property
    def channels(self) -> int:
        """C_in of the network's input: 3 for RGB, 1 for grey."""
        return len(self.mean)

    def __call__(self, image: Image.Image) -> tuple[Tensor, F8]:
        """Make the network's input of one photo.

        Parameters
        ----------
        image
            Upright, RGB.

        Returns
        -------
        input
            (C_in, H_in, W_in) float32.
        frame
            (2, 2), per axis (y, x): ``unit = frame[:, 0] + frame[:, 1] * px`` takes network pixels
            to the photo's unit square.
        """
        size, start = self._placement(image)
        coloured = image.convert("RGB" if self.channels > 1 else "L")
        resized = coloured.resize((size[1], size[0]), Image.Resampling.BILINEAR)
        values = np.asarray(resized, dtype=np.float32).reshape(*size, self.channels)
        mean, std = np.array(self.mean, np.float32), np.array(self.std, np.float32)
        pixels: F4 = (values / np.float32(255) - mean) / std
        result = np.zeros((*self.input_size, self.channels), np.float32)  # mean colour
        ours, theirs = zip(*map(_overlap, start, size, self.input_size), strict=True)
        result[ours] = pixels[theirs]
        frame = np.array([[-s / n, 1 / n] for s, n in zip(start, size, strict=True)])
        return torch.from_numpy(np.ascontiguousarray(result.transpose(2, 0, 1))), frame

    def _placement(self, image: Image.Image) -> tuple[tuple[int, int], tuple[int, int]]:
        """Return (y, x) the size to give the whole photo and where its corner goes."""
        if self.fit == "stretch":
            return self.input_size, (0, 0)
        (high, wide), (h, w) = self.input_size, (image.height, image.width)
        choose = min if self.fit == "letterbox" else max
        scale = choose(high / h, wide / w)
        size = (max(1, round(h * scale)), max(1, round(w * scale)))
        return size, ((high - size[0]) // 2, (wide - size[1]) // 2)

    def to_json(self) -> dict[str, Any]:
        """Return what a file's header records."""
        return {
            "fit": self.fit,
            "input_size": list(self.input_size),
            "mean": list(self.mean),
            "std": list(self.std),
        }


def _overlap(start: int, size: int, room: int) -> tuple[slice, slice]:
    """Return where a strip from ``start`` on shows in ``room``, there and in the strip itself."""
    first, last = max(start, 0), min(start + size, room)
    return slice(first, last), slice(first - start, last - start)


class TransformPreprocess:
    """A user's transform as a preprocessing: positions go back through what it does to coordinates.

    What it does is found by pushing coordinate ramps of the photo's size through it, once per size.

    Parameters
    ----------
    transform
        Takes an RGB ``PIL.Image`` and returns a float tensor (C_in, H_in, W_in), always of one
        size: C_in is 3, or 1 for networks of grey images.
    input_size
        (H_in, W_in) expected; None takes what the transform returns.

    Raises
    ------
    ExplGraphError
        If the transform fails, returns anything else, or gives different sizes for different
        photos; on the first photo, if it is random, flips, rotates or bends.
    """

    _PROBES = ((320, 240), (240, 320))

    def __init__(
        self,
        transform: Callable[[Image.Image], Any],
        input_size: tuple[int, int] | None = None,
    ) -> None:
        shapes = [tuple(run_transform(transform, _grey(size)).shape) for size in self._PROBES]
        sizes = {shape[1:] for shape in shapes}
        require(
            len(sizes) == 1,
            f"the transform gives photos of different shape different sizes {sorted(sizes)}: let "
            "it resize to a fixed (height, width), e.g. Resize((224, 224))",
        )
        found = sizes.pop()
        require(
            input_size is None or tuple(input_size) == found,
            f"the transform makes inputs of {found}, but input_size is {input_size}",
        )
        self.input_size = (int(found[0]), int(found[1]))
        self.channels = int(shapes[0][0])
        self._transform = transform
        self._frames: dict[tuple[int, int], F8] = {}
        self._lock = threading.Lock()
        self._warned = False

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in vars(self).items() if name != "_lock"}

    def __setstate__(self, state: dict[str, Any]) -> None:
        vars(self).update(state, _lock=threading.Lock())

    def __call__(self, image: Image.Image) -> tuple[Tensor, F8]:
        """Make the network's input of one photo, as `Preprocess` does."""
        frame = self._frame(image.size)
        result = run_transform(self._transform, image)
        require(
            tuple(result.shape[1:]) == self.input_size,
            f"the transform gave a photo of {image.size} the size {tuple(result.shape[1:])} "
            f"instead of {self.input_size}: let it resize to a fixed (height, width)",
        )
        return result, frame

    def _frame(self, size: tuple[int, int]) -> F8:
        with self._lock:
            if size not in self._frames:
                frame = find_frame(self._transform, size)
                self._warn_of_crop(frame)
                self._frames[size] = frame
            return self._frames[size]

    def _warn_of_crop(self, frame: F8) -> None:
        corners = np.clip(to_unit(frame, np.outer((0.0, 1.0), self.input_size)), 0, 1)
        share = corners[1] - corners[0]
        if not self._warned and np.any(share < 0.99):
            self._warned = True
            _log.warning(
                "the transform cuts photos: the network sees %.0f %% of the height and %.0f %% of "
                "the width of the first one, and nothing is found outside. "
                "Resize((height, width)) without a crop shows it the whole photo",
                100 * share[0],
                100 * share[1],
            )

    def to_json(self) -> dict[str, Any]:
        """Return what a file's header records: the transform itself is code and stays outside."""
        name = getattr(self._transform, "__name__", type(self._transform).__name__)
        return {"fit": "transform", "input_size": list(self.input_size), "transform": name}


def _grey(size: tuple[int, int]) -> Image.Image:
    return Image.new("RGB", size, (128, 128, 128))


# A coin flipped so often shows the same side in less than one of a hundred transforms.
_REPEATS = 8
_EDGE = 2  # output pixels at a border whose resampling kernel is cut off there
_HELP = "Use a transform that only resizes, crops, pads and normalises"

Transform = Callable[[Image.Image], Any]


def run_transform(transform: Transform, image: Image.Image) -> Tensor:
    """Run a transform and check what it returns.

    Returns
    -------
    (C, H, W) float32, C 3 or 1.

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
        isinstance(result, Tensor) and result.ndim == 3 and result.shape[0] in (1, 3),
        "the transform must return a tensor (3, H, W), or (1, H, W) for grey inputs, got "
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
        Takes an RGB photo, returns (C, H, W).
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
    values = np.round(middles(n) * 255).astype(np.uint8)
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


AnyPreprocess = Preprocess | TransformPreprocess


def preprocessing(
    transform: Callable[[Image.Image], Any] | None,
    input_size: tuple[int, int] | None,
    fit: Fit,
    channels: int,
) -> AnyPreprocess:
    """Return what feeds photos to a network of so many ``channels``, as `Backbone` is told of it.

    Raises
    ------
    ExplGraphError
        If what it is told contradicts itself.
    """
    if transform is None:
        mean, std = (GREY_MEAN, GREY_STD) if channels == 1 else (IMAGENET_MEAN, IMAGENET_STD)
        return Preprocess(input_size or (224, 224), fit=fit, mean=mean, std=std)
    require(
        fit == "stretch",
        f"fit={fit!r} and a transform exclude each other: the transform decides how photos fit",
    )
    if isinstance(transform, Preprocess | TransformPreprocess):
        require(
            input_size in (None, transform.input_size),
            f"the preprocessing makes inputs of {transform.input_size}, but input_size is "
            f"{input_size}",
        )
        return transform
    return TransformPreprocess(transform, input_size)
