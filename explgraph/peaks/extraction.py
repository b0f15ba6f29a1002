"""Photos to peaks: the network runs batch by batch, and its dense maps are dropped at once."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from explgraph.base.arrays import F2, F4, F8, I4
from explgraph.base.layer import LayerSpec, look_layer
from explgraph.networks.backbone import Backbone
from explgraph.photos.images import ImageSource
from explgraph.photos.loading import Batch, Batches, Skipped

from . import finding as cpu_peaks
from . import finding_torch as torch_peaks
from .mirror_sketch import MirrorSketch
from .reading import ReadOptions, captured, read_batches, steady_rounding
from .statistics import ChannelStatistics
from .structures import Peaks, PeakSet

N_PEAKS = 8


@dataclass(frozen=True, eq=False, slots=True)
class PeakBatch:
    """What is kept of B photos: the fields of a `PeakSet`, for one run of the network.

    Attributes
    ----------
    indices
        B indices into the source, rising.
    frames
        (B, 2, 2) from network pixels to the whole photo's unit square.
    photo_size
        (B, 2) height and width of the whole photos, pixels.
    peaks
        L layers, lowest first.
    mirrored
        The same for the mirrored photos; None without `mirror`.
    sketch
        (B, D) mirror sketches; None without `mirror`.
    maps
        (B, V, H, W, C) response maps of one layer; None without `maps`.
    """

    indices: list[int]
    frames: F8
    photo_size: I4
    peaks: tuple[Peaks, ...]
    mirrored: tuple[Peaks, ...] | None
    sketch: F4 | None
    maps: F2 | None


class PeakBatches(Iterator[PeakBatch]):
    """The iterator that `peak_batches` returns.

    Leaving it early (the end of a ``with`` block, `close`, or the last reference gone) cancels what
    is not decoded yet and joins the threads.
    """

    def __init__(self, batches: Batches, shoot: Callable[[Batch], PeakBatch]) -> None:
        self._batches, self._shoot = batches, shoot

    @property
    def skipped(self) -> Skipped:
        """The photos skipped so far."""
        return self._batches.skipped

    def __next__(self) -> PeakBatch:
        return self._shoot(next(self._batches))

    def close(self) -> None:
        """Stop: no more batches come, and no thread is left."""
        self._batches.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()


def peak_batches(
    net: Backbone,
    source: ImageSource,
    layers: Sequence[LayerSpec],
    statistics: ChannelStatistics,
    options: ReadOptions,
) -> PeakBatches:
    """Run the network over photos and give their peaks batch by batch, in order.

    Memory is that of a few batches, for any number of photos. Use it in a ``with`` block where an
    exception may leave the loop and be kept.

    Raises
    ------
    ExplGraphError
        While iterating: if no photo can be read, or a layer gives NaN.
    """
    return PeakBatches(
        read_batches(net, source, options), _Camera(net, layers, statistics, options).shoot
    )


def peak_header(net: Backbone, options: ReadOptions, skipped: Skipped) -> dict[str, Any]:
    """Return what the header of a `PeakSet` records: the network and the photos skipped.

    The precision is named only where it is not the default.
    """
    header = {**net.to_json(), "skipped": list(skipped.names)}
    precision = options.get("precision", "float32")
    return header if precision == "float32" else {**header, "precision": precision}


def extract_peaks(
    net: Backbone,
    source: ImageSource,
    layers: Sequence[LayerSpec],
    statistics: ChannelStatistics,
    options: ReadOptions,
) -> PeakSet:
    """Run the network over photos and keep their peaks.

    Returns
    -------
    The photos that could be read, in order; ``header["skipped"]`` names the others.

    Raises
    ------
    ExplGraphError
        If no photo can be read, or a layer gives NaN.
    """
    index: list[int] = []
    rows = _Rows(len(source))
    with peak_batches(net, source, layers, statistics, options) as batches:
        for batch in batches:
            index += batch.indices
            rows.append(batch)
        header = peak_header(net, options, batches.skipped)
    return PeakSet(
        images=tuple(source.names[i] for i in index),
        input_size=net.input_size,
        channel_mean=statistics.mean,
        channel_scale=statistics.scale,
        header=header,
        **rows.fields(layers),
    )


class _Rows:
    """The fields of a `PeakSet` that have a row for each photo, allocated once for N photos.

    Pages that are never written, as those of photos that cannot be read, take no memory.
    """

    def __init__(self, size: int) -> None:
        self._size, self._filled = size, 0
        self._arrays: dict[tuple[str, int, str], NDArray[Any]] = {}

    def append(self, batch: PeakBatch) -> None:
        """Fill the next rows."""
        for name in ("frames", "photo_size", "sketch", "maps"):
            self._fill((name, 0, ""), getattr(batch, name))
        for name in ("peaks", "mirrored"):
            for i, peaks in enumerate(getattr(batch, name) or ()):
                self._fill((name, i, "yx"), peaks.yx)
                self._fill((name, i, "weight"), peaks.weight)
        self._filled += len(batch.indices)

    def _fill(self, key: tuple[str, int, str], part: NDArray[Any] | None) -> None:
        if part is None:
            return
        if key not in self._arrays:
            self._arrays[key] = np.empty((self._size, *part.shape[1:]), dtype=part.dtype)
        self._arrays[key][self._filled : self._filled + len(part)] = part

    def fields(self, layers: Sequence[LayerSpec]) -> dict[str, Any]:
        """Return the filled rows by name."""
        rows = {key: array[: self._filled] for key, array in self._arrays.items()}
        result: dict[str, Any] = {
            name: rows.get((name, 0, "")) for name in ("frames", "photo_size", "sketch", "maps")
        }
        for name in ("peaks", "mirrored"):
            result[name] = tuple(
                Peaks(layer, rows[name, i, "yx"], rows[name, i, "weight"])
                for i, layer in enumerate(layers)
                if (name, i, "yx") in rows
            )
        return {**result, "mirrored": result["mirrored"] or None}


class _View(NamedTuple):
    """One view of B photos: peaks, (B, C, H, W) top responses, (B, H, W, C) maps to keep."""

    peaks: tuple[Peaks, ...]
    top: Tensor
    look: F2 | None


class _Camera:
    """Takes batches of network inputs to peaks; dense maps stay where the network runs."""

    def __init__(
        self,
        net: Backbone,
        layers: Sequence[LayerSpec],
        statistics: ChannelStatistics,
        options: ReadOptions,
    ) -> None:
        self.net, self.layers, self.statistics, self.options = net, layers, statistics, options
        self.sketch = MirrorSketch(layers[-1].channels, layers[-1].grid, net.device)

    def shoot(self, batch: Batch) -> PeakBatch:
        """Return what is kept of a batch of photos."""
        photos = batch.tensor.to(self.net.device)
        with steady_rounding(self.options):
            given = self._view(photos)
            other = self._view(photos.flip(3)) if self.options.get("mirror", True) else None
            sketch = None if other is None else self.sketch(given.top, other.top).cpu().numpy()
        looks = [view.look for view in (given, other) if view and view.look is not None]
        return PeakBatch(
            indices=batch.indices,
            frames=batch.frames,
            photo_size=batch.photo_size,
            peaks=given.peaks,
            mirrored=None if other is None else other.peaks,
            sketch=sketch,
            maps=np.stack(looks, axis=1) if looks else None,
        )

    def _view(self, photos: Tensor) -> _View:
        maps = captured(self.net, photos, self.layers, self.options)
        peaks = tuple(
            _find_peaks(values, layer, mean, scale)
            for values, layer, mean, scale in zip(maps, self.layers, *self.statistics, strict=True)
        )
        look = None
        if self.options.get("maps", False):
            index = look_layer(self.layers)
            response = self._response(maps[index], index).clamp(max=torch.finfo(torch.float16).max)
            look = np.asarray(response.permute(0, 2, 3, 1).half().cpu().numpy())
        return _View(peaks, self._response(maps[-1], -1), look)

    def _response(self, maps: Tensor, index: int) -> Tensor:
        """Return a layer's response (Eq. 1)."""
        mean, scale = (
            torch.tensor(values[index], device=maps.device)[:, None, None]
            for values in self.statistics
        )
        return ((maps - mean) / scale).clamp(min=0)


def _find_peaks(maps: Tensor, layer: LayerSpec, mean: F4, scale: F4) -> Peaks:
    """Find peaks where the maps are."""
    if maps.device.type == "cpu":
        return cpu_peaks.find_peaks(maps.numpy(), layer, mean, scale, N_PEAKS)
    return torch_peaks.find_peaks(maps, layer, mean, scale, N_PEAKS)
