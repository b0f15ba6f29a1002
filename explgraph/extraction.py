"""Photos to peaks: the network runs batch by batch, and its dense maps are dropped at once."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple, Self, TypedDict, get_args

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from . import peaks as cpu_peaks
from . import torch_peaks
from .backbones import Backbone
from .errors import require
from .images import ImageSource, open_images
from .loading import Batch, Batches, Progress, Skipped, iterate_batches
from .sketch import MirrorSketch
from .storage import PathLike
from .structures import F2, F4, F8, I4, LayerSpec, Peaks, PeakSet, look_layer

N_PEAKS = 8
Precision = Literal["float32", "bfloat16", "float16"]
_LEAST_SCALE = 0.05  # of the layer's median: a filter silent on the background is no outlier for it


class ReadOptions(TypedDict, total=False):
    """How photos are read and shown to the network; every entry may be left out.

    Attributes
    ----------
    boxes, label
        File of object boxes (CSV, COCO or VOC), and the only label to take: each box is an item.
    batch_size
        Photos per forward pass (32).
    strict
        Stop at a photo that cannot be read, rather than skip, name and count it (False).
    progress
        Progress bar on a terminal, or a function of (done, total) (True).
    workers
        Threads that decode (as many as cores, at most 8).
    deterministic
        One photo at a time on one thread: the network's rounding, too, is then the same wherever
        it runs on this machine. Several times slower (False).
    mirror
        Look at every photo's mirror image as well (True).
    maps
        Keep response maps of one layer as well, which parts are located with (False).
    precision
        What the network computes in: "bfloat16" and "float16" are faster on hardware made for them.
        All that follows is done in "float32", the default.
    """

    boxes: PathLike | None
    label: str | None
    batch_size: int
    strict: bool
    progress: Progress
    workers: int | None
    deterministic: bool
    mirror: bool
    maps: bool
    precision: Precision


class ChannelStatistics(NamedTuple):
    """Per layer, (C,) m_c and s_c of the response max((a - m_c) / s_c, 0) (Eq. 1)."""

    mean: tuple[F4, ...]
    scale: tuple[F4, ...]


def channel_statistics(
    net: Backbone, images: object, layers: Sequence[LayerSpec], options: ReadOptions
) -> ChannelStatistics:
    """Measure every channel's mean and standard deviation over all cells of some photos.

    m_c is 0 for a rectified layer. s_c is at least a twentieth of its layer's median, so that a
    channel which is silent on these photos does not drown the others.
    """
    sums = [np.zeros((2, layer.channels)) for layer in layers]
    cells = np.zeros(len(layers))
    with _batches(net, open_images(images), options) as batches, _rounding(options):
        for batch in batches:
            maps = _capture(net, batch.tensor, layers, options)
            for i, layer in enumerate(layers):
                values = maps[i].double()
                sums[i][0] += values.sum(dim=(0, 2, 3)).cpu().numpy()
                sums[i][1] += values.square().sum(dim=(0, 2, 3)).cpu().numpy()
                cells[i] += values.numel() / layer.channels
    means, scales = [], []
    for layer, (first, second), n in zip(layers, sums, cells, strict=True):
        mean = first / n
        require(
            bool(np.isfinite(second).all()),
            f"layer {layer.name} gave NaN or infinite values: check the network's weights",
        )
        scale = np.sqrt(np.maximum(second / n - mean**2, 0))
        require(bool((scale > 0).any()), f"layer {layer.name} never fires: leave it out of layers")
        scale = np.maximum(scale, _LEAST_SCALE * np.median(scale[scale > 0]))
        means.append((np.zeros_like(mean) if layer.rectified else mean).astype(np.float32))
        scales.append(scale.astype(np.float32))
    return ChannelStatistics(tuple(means), tuple(scales))


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
        _batches(net, source, options), _Camera(net, layers, statistics, options).shoot
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
        with _rounding(self.options):
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
        maps = _capture(self.net, photos, self.layers, self.options)
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


def _capture(
    net: Backbone, photos: Tensor, layers: Sequence[LayerSpec], options: ReadOptions
) -> list[Tensor]:
    """Return the layers' outputs, float32, of a network that computes as precisely as asked."""
    precision = options.get("precision", "float32")
    require(
        precision in get_args(Precision),
        f"precision must be one of {', '.join(get_args(Precision))}, got {precision!r}",
    )
    kind = getattr(torch, precision)
    with torch.autocast(net.device.type, kind, enabled=precision != "float32"):
        maps = net.capture(photos, [layer.name for layer in layers])
    if precision == "float16":
        for name, values in maps.items():
            require(
                bool(values.isfinite().all()),
                f"layer {name} gave NaN or infinite values in float16, whose largest number is "
                "65504: use precision='bfloat16' or 'float32'",
            )
    return [maps[layer.name] for layer in layers]


def batch_size(options: ReadOptions) -> int:
    """Return how many photos the network sees at once."""
    return 1 if options.get("deterministic", False) else options.get("batch_size", 32)


def _batches(net: Backbone, source: ImageSource, options: ReadOptions) -> Batches:
    return iterate_batches(
        source,
        net.preprocess,
        batch_size=batch_size(options),
        workers=options.get("workers"),
        strict=options.get("strict", False),
        progress=options.get("progress", True),
    )


@contextmanager
def _rounding(options: ReadOptions) -> Iterator[None]:
    """Keep the network on one thread while `deterministic` asks for it."""
    if not options.get("deterministic", False):
        yield
        return
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)
