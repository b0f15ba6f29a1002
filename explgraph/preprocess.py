"""From a photo to the network's input, and the way back for positions."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Sequence
from typing import Any, Literal

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from .errors import require
from .ramp import find_frame, run_transform
from .structures import F4, F8

Fit = Literal["stretch", "letterbox", "crop"]
FITS: tuple[Fit, ...] = ("stretch", "letterbox", "crop")
IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)

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
        Per channel, of RGB values in 0..1.

    Raises
    ------
    ExplGraphError
        If ``fit`` is unknown or the size is not positive.
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
        require(min(input_size) > 0, f"input_size must be positive, got {input_size}")
        self.input_size = (int(input_size[0]), int(input_size[1]))
        self.fit = fit
        self.mean, self.std = tuple(map(float, mean)), tuple(map(float, std))

    def __call__(self, image: Image.Image) -> tuple[Tensor, F8]:
        """Make the network's input of one photo.

        Parameters
        ----------
        image
            Upright, RGB.

        Returns
        -------
        input
            (3, H_in, W_in) float32.
        frame
            (2, 2), per axis (y, x): ``unit = frame[:, 0] + frame[:, 1] * px`` takes network pixels
            to the photo's unit square.
        """
        size, start = self._placement(image)
        resized = image.convert("RGB").resize((size[1], size[0]), Image.Resampling.BILINEAR)
        mean, std = np.array(self.mean, np.float32), np.array(self.std, np.float32)
        pixels: F4 = (np.asarray(resized, dtype=np.float32) / np.float32(255) - mean) / std
        result = np.zeros((*self.input_size, 3), dtype=np.float32)  # normalised mean colour
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
        Takes an RGB ``PIL.Image`` and returns a float tensor (3, H_in, W_in), always of one size.
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
        sizes = {tuple(run_transform(transform, _grey(size)).shape[1:]) for size in self._PROBES}
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
        self._transform = transform
        self._frames: dict[tuple[int, int], F8] = {}
        self._lock = threading.Lock()
        self._warned = False

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
        corners = np.clip([frame[:, 0], frame[:, 0] + frame[:, 1] * self.input_size], 0, 1)
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
