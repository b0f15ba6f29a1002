"""Peaks of many photos, made of those of a few: without a network, and without torch in memory."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from explgraph.peaks.structures import Peaks, PeakSet

Array = NDArray[Any]

_MOVE = 2.0  # network pixels


def repeated(peaks: PeakSet, n: int) -> PeakSet:
    """Return peaks of n photos that resemble those given: they repeat, each time a little moved.

    Memory is that of the result.
    """
    rng = np.random.default_rng(0)

    def moved(layers: tuple[Peaks, ...]) -> tuple[Peaks, ...]:
        return tuple(
            Peaks(p.layer, _repeated(p.yx, n, rng, _MOVE), _repeated(p.weight, n, rng))
            for p in layers
        )

    def rows(array: Array) -> Array:
        return _repeated(array, n, rng)

    return replace(
        peaks,
        images=tuple(f"{i:06d}" for i in range(n)),
        frames=rows(peaks.frames),
        peaks=moved(peaks.peaks),
        mirrored=None if peaks.mirrored is None else moved(peaks.mirrored),
        photo_size=None if peaks.photo_size is None else rows(peaks.photo_size),
    )


def _repeated(array: Array, n: int, rng: np.random.Generator, noise: float = 0.0) -> Array:
    """Return n rows; those after the given ones are moved by ``noise``, where they are not 0."""
    result = np.empty((n, *array.shape[1:]), array.dtype)
    for first in range(0, n, len(array)):
        part = result[first : first + len(array)]
        part[:] = array[: len(part)]
        if first > 0 and noise > 0:
            part += (noise * (part > 0)) * rng.standard_normal(part.shape, dtype=np.float32)
    return result
