"""Photos to peaks: the network runs batch by batch, and its dense maps are dropped at once."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from explgraph.base.arrays import F2, F4, F8, I4
from explgraph.base.formats.columns import PEAK_SET, of_map, peak_columns
from explgraph.base.layer import LayerSpec, look_layer
from explgraph.base.schema import sized
from explgraph.networks.backbone import Backbone
from explgraph.photos.images import ImageSource
from explgraph.photos.loading import Batch, Batches, Skipped

from . import finding as cpu_peaks
from . import finding_torch as torch_peaks
from .reading import ReadOptions, captured, read_batches, span_size, spans_of, steady_rounding
from .statistics import ChannelStatistics
from .structures import Peaks, PeakSet, row_fields

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
    maps
        (B, V, H, W, C) response maps of one layer; None without `maps`.
    """

    indices: list[int]
    frames: F8
    photo_size: I4
    peaks: tuple[Peaks, ...]
    mirrored: tuple[Peaks, ...] | None
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
    spans: Sequence[range] | None = None,
) -> PeakBatches:
    """Run the network over photos and give their peaks batch by batch, in order.

    ``spans`` as of `explgraph.photos.loading.iterate_batches`.

    Memory is that of a few batches, for any number of photos. Use it in a ``with`` block where an
    exception may leave the loop and be kept.

    Raises
    ------
    ExplGraphError
        While iterating: if no photo can be read, or a layer gives NaN.
    """
    batches = read_batches(net, source, options, spans=spans)
    return PeakBatches(batches, _Camera(net, layers, statistics, options).shoot)


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
    peaks, skipped = peaks_of(net, source, layers, statistics, options)
    skipped.report(len(source))
    return peaks


def peaks_of(
    net: Backbone,
    source: ImageSource,
    layers: Sequence[LayerSpec],
    statistics: ChannelStatistics,
    options: ReadOptions,
) -> tuple[PeakSet, Skipped]:
    """Do as `extract_peaks`, but say nothing of photos that cannot be read: it may be all."""
    rows, spans = PeakRows(len(source)), spans_of(span_size(net, options), 0, len(source))
    with peak_batches(net, source, layers, statistics, options, spans) as batches:
        for batch in batches:
            rows.append(batch)
        skipped = batches.skipped
    arrays = rows.arrays() if rows.indices else no_photos(layers, options)
    peaks = PeakSet(
        images=tuple(source.items[i].name for i in rows.indices),
        input_size=net.input_size,
        channel_mean=statistics.mean,
        channel_scale=statistics.scale,
        header=peak_header(net, options, skipped),
        **row_fields(layers, arrays),
    )
    return peaks, skipped


def no_photos(
    layers: Sequence[LayerSpec], options: ReadOptions, axes: str = "NCK"
) -> dict[str, NDArray[Any]]:
    """Return the arrays of no photos, named as in files of a `PeakSet`.

    ``axes`` are those of peaks, in their order.
    """
    mirror = options.get("mirror", True)
    columns = {**peak_columns(layers, axes), **PEAK_SET}
    looks = {**of_map(layers[look_layer(layers)]), "V": 2 if mirror else 1}
    wanted = sized(columns, {"N": 0, "K": N_PEAKS, **looks})
    return {
        name: np.empty([int(length) for length in column.shape], column.dtype)
        for name, column in wanted.items()
        if (mirror or not name.startswith("mirrored")) and (name != "maps" or options.get("maps"))
    }


class PeakRows:
    """The photos of some batches, in arrays that are allocated once for up to ``size`` photos.

    Pages that are never written, as those of photos that cannot be read, take no memory.

    Parameters
    ----------
    size
        How many photos there is room for.
    axis
        Along which axis of their arrays peaks have the photos: 0, or 1 after the filters.

    Attributes
    ----------
    indices
        The photos, by index in the source; cleared, the arrays are filled anew.
    """

    def __init__(self, size: int, axis: int = 0) -> None:
        self.indices: list[int] = []
        self._size, self._axis = size, axis
        self._rows: dict[str, tuple[NDArray[Any], int]] = {}  # photos first, and where they were

    @property
    def is_full(self) -> bool:
        """Whether there is no room for another photo."""
        return len(self.indices) == self._size

    def append(self, batch: PeakBatch) -> None:
        """Add a batch."""
        for name in ("frames", "photo_size", "maps"):
            if getattr(batch, name) is not None:
                self._fill(name, getattr(batch, name), 0)
        for name in ("peaks", "mirrored"):
            for i, peaks in enumerate(getattr(batch, name) or ()):
                self._fill(f"{name}.{i}.weight", peaks.weight, self._axis)
                self._fill(f"{name}.{i}.yx", peaks.yx, self._axis)
        self.indices += batch.indices

    def _fill(self, name: str, part: NDArray[Any], axis: int) -> None:
        if name not in self._rows:
            shape = (*part.shape[1 : axis + 1], self._size, *part.shape[axis + 1 :])
            self._rows[name] = np.moveaxis(np.empty(shape, part.dtype), axis, 0), axis
        rows, first = self._rows[name][0], len(self.indices)
        rows[first : first + len(part)] = part

    def restore(self, arrays: Mapping[str, NDArray[Any]], indices: Sequence[int]) -> None:
        """Add photos that `arrays` gave once."""
        for name, array in arrays.items():
            axis = self._axis if name.startswith(("peaks.", "mirrored.")) else 0
            self._fill(name, np.moveaxis(array, axis, 0), axis)
        self.indices += indices

    def arrays(self, n: int | None = None) -> dict[str, NDArray[Any]]:
        """Return views of the first ``n`` photos (None: all), named as in files of a `PeakSet`."""
        n = len(self.indices) if n is None else n
        return {name: np.moveaxis(rows[:n], 0, axis) for name, (rows, axis) in self._rows.items()}


class _View(NamedTuple):
    """One view of B photos: peaks, and (B, H, W, C) maps to keep."""

    peaks: tuple[Peaks, ...]
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

    def shoot(self, batch: Batch) -> PeakBatch:
        """Return what is kept of a batch of photos."""
        photos = batch.tensor.to(self.net.device)
        with steady_rounding(self.options):
            given = self._view(photos)
            other = self._view(photos.flip(3)) if self.options.get("mirror", True) else None
        looks = [view.look for view in (given, other) if view and view.look is not None]
        return PeakBatch(
            indices=batch.indices,
            frames=batch.frames,
            photo_size=batch.photo_size,
            peaks=given.peaks,
            mirrored=None if other is None else other.peaks,
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
        return _View(peaks, look)

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
