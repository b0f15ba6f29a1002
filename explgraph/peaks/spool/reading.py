"""Peaks in the shard files of a spool folder, as mining reads them."""

from __future__ import annotations

import hashlib
from bisect import bisect_right
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import lru_cache
from itertools import accumulate
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open

from explgraph.base.arrays import F4, F8, I4, frozen
from explgraph.base.errors import ExplGraphError, require
from explgraph.base.files import OpenFile, opened
from explgraph.base.formats.columns import CHANNELS, PEAK_SET, conform_layers, layer_arrays
from explgraph.base.frames import check_frames
from explgraph.base.layer import LayerSpec
from explgraph.base.schema import conform
from explgraph.base.writing import room_in
from explgraph.peaks.structures import GROUP, PeakBlock, Peaks, PeakSet

from .manifest import SHARD, Manifest, Shard

_FIELDS = ("weight", "yx")


@dataclass(frozen=True, eq=False, slots=True)
class SpooledPeaks:
    """Peaks of N photos that stay in files: an `explgraph.peaks.structures.PeakSource`.

    Memory is that of what was asked for last, beside the photos' names, frames and sizes.

    Attributes
    ----------
    folder
        The spool folder.
    manifest
        What is in it.
    images, frames, photo_size, channel_mean, channel_scale, header
        As of `PeakSet`.
    """

    folder: Path
    manifest: Manifest
    images: tuple[str, ...]
    frames: F8
    photo_size: I4
    channel_mean: tuple[F4, ...]
    channel_scale: tuple[F4, ...]
    header: Mapping[str, Any] = field(init=False, repr=False)
    _first: tuple[int, ...] = field(init=False, repr=False)  # photo of each shard

    def __post_init__(self) -> None:
        columns = {name: PEAK_SET[name] for name in ("frames", "photo_size")}
        conform(self, columns, {"N": len(self.images)})
        check_frames("SpooledPeaks.frames", self.frames)
        conform_layers(self, CHANNELS, self.layers)
        skipped = [name for shard in self.manifest.shards for name in shard.skipped]
        header = {**self.manifest.key["network"], "skipped": skipped}
        object.__setattr__(self, "header", header)
        counts = [shard.photos for shard in self.manifest.shards]
        object.__setattr__(self, "_first", tuple(accumulate(counts, initial=0)))

    def __len__(self) -> int:
        return len(self.images)

    @property
    def input_size(self) -> tuple[int, int]:
        """(H_in, W_in) of the network's input, pixels."""
        return self.manifest.known.input_size

    @property
    def layers(self) -> tuple[LayerSpec, ...]:
        """The L layers, lowest first."""
        return tuple(self.manifest.known.layers)

    @property
    def n_views(self) -> int:
        """2 with the mirrored photos, else 1."""
        return 2 if self.manifest.known.mirror else 1

    @property
    def digest(self) -> str:
        """SHA-256 of the manifest, and so of all peaks."""
        return hashlib.sha256(self.manifest.to_bytes()).hexdigest()

    def block(self, layer: int, first: int, last: int) -> PeakBlock:
        """Read the peaks of a layer's filters ``first`` to ``last`` - 1 in all photos.

        Raises
        ------
        ExplGraphError
            If there are no such filters, or a shard cannot be read any more.
        """
        channels = self.layers[layer].channels
        require(
            0 <= first < last <= channels,
            f"the layer has filters 0 to {channels - 1}, got {first} to {last - 1}",
        )
        everyone = range(len(self))
        views = [self._filters(kind, layer, everyone, first, last) for kind in self._kinds]
        return PeakBlock(*views[0], *views[-1], first)

    def groups(self) -> Iterator[PeakSet]:
        """Read all photos in order, `GROUP` at a time."""
        return (self.group(number) for number in range(-(-len(self) // GROUP)))

    def group(self, number: int) -> PeakSet:
        """Read one of these, by its number from 0."""
        start = number * GROUP
        return self._photos(range(start, min(start + GROUP, len(self))))

    def room(self, shape: tuple[int, ...]) -> F4:
        """Return zeros that are written into, in a file of the folder that goes with them."""
        return room_in(self.folder, shape)

    def __reduce__(self) -> tuple[object, ...]:
        """Travel as the name of the folder: what is in it is read where it arrives."""
        return reopened, (str(self.folder.absolute()), self.digest)

    def load(self) -> PeakSet:
        """Read all photos into memory."""
        return self._photos(range(len(self)))

    @property
    def _kinds(self) -> tuple[str, ...]:
        return ("peaks", "mirrored")[: self.n_views]

    def _photos(self, photos: range) -> PeakSet:
        rows = slice(photos.start, photos.stop)
        views = [
            tuple(self._layer(kind, i, spec, photos) for i, spec in enumerate(self.layers))
            for kind in self._kinds
        ]
        return PeakSet(
            images=self.images[rows],
            frames=self.frames[rows],
            input_size=self.input_size,
            peaks=views[0],
            mirrored=views[1] if self.n_views == 2 else None,
            channel_mean=self.channel_mean,
            channel_scale=self.channel_scale,
            header=self.header,
            photo_size=self.photo_size[rows],
        )

    def _layer(self, kind: str, index: int, spec: LayerSpec, photos: range) -> Peaks:
        weight, yx = self._filters(kind, index, photos, 0, spec.channels)
        return Peaks(spec, yx, weight)

    def _filters(
        self, kind: str, layer: int, photos: range, first: int, last: int
    ) -> tuple[F4, F4]:
        """Return (n, C', K) weights and (n, C', K, 2) places of some photos and filters."""
        shape = (len(photos), last - first, self.manifest.known.n_peaks)
        weight, yx = np.empty(shape, np.float32), np.empty((*shape, 2), np.float32)
        for own, array in zip(_FIELDS, (weight, yx), strict=True):
            name = f"{kind}.{layer}.{own}"
            for rows, part in self._slices(name, photos, slice(first, last)):
                array[rows] = np.moveaxis(part, 0, 1)
        return frozen(weight, np.float32), frozen(yx, np.float32)

    def _slices(
        self, name: str, photos: range, *before: slice
    ) -> Iterator[tuple[slice, NDArray[Any]]]:
        """Yield an array's share of each shard, and the rows among ``photos`` that it is for.

        ``before`` selects along the axes that precede the photos'.
        """
        for number in range(bisect_right(self._first, photos.start) - 1, len(self._first) - 1):
            shard, start = self.manifest.shards[number], self._first[number]
            if start >= photos.stop:
                return
            rows = range(max(start, photos.start), min(start + shard.photos, photos.stop))
            if len(rows) > 0:
                inside = slice(rows.start - start, rows.stop - start)
                to = slice(rows.start - photos.start, rows.stop - photos.start)
                with _readable(self.folder / shard.file) as path, safe_open(path, "numpy") as file:
                    part = file.get_slice(name)[(*before, inside)]
                yield to, part


def assembled(folder: Path, manifest: Manifest) -> SpooledPeaks:
    """Return the peaks of a complete spool whose shards are known to be whole."""
    images: list[str] = []
    frames, sizes = [], []
    statistics: dict[str, F4] = {}
    for shard in manifest.shards:
        with _shard(folder, manifest, shard) as file:
            images += file.header["images"]
            frames.append(file.tensors.get_tensor("frames"))
            sizes.append(file.tensors.get_tensor("photo_size"))
            for name in file.names:
                if name.startswith("channel_"):
                    statistics.setdefault(name, file.tensors.get_tensor(name))
    return SpooledPeaks(
        folder=folder,
        manifest=manifest,
        images=tuple(images),
        frames=np.concatenate(frames),
        photo_size=np.concatenate(sizes),
        **layer_arrays(CHANNELS, statistics, manifest.known.layers),
    )


@lru_cache(2)
def reopened(folder: str, digest: str) -> SpooledPeaks:
    """Return the peaks of a complete spool whose manifest is known.

    Raises
    ------
    ExplGraphError
        If it is not there, or another by now.
    """
    manifest = Manifest.read(Path(folder))
    found = assembled(Path(folder), manifest)
    require(found.digest == digest, f"{folder} holds other peaks by now: run it again")
    return found


@contextmanager
def _shard(folder: Path, manifest: Manifest, shard: Shard) -> Iterator[OpenFile]:
    """Open a shard that is as the manifest says."""
    with (
        _readable(folder / shard.file) as path,
        opened(path, SHARD, manifest.columns(shard)) as file,
    ):
        named = len(file.header["images"])
        require(named == shard.photos, f"it names {named} photos, expected {shard.photos}")
        yield file


@contextmanager
def _readable(path: Path) -> Iterator[Path]:
    """Let what goes wrong in a shard say what to do."""
    try:
        yield path
    except (ExplGraphError, SafetensorError, OSError) as error:
        raise ExplGraphError(
            f"{path} cannot be read ({error}): extract once more into its folder with resume=True "
            "(--resume), which makes it again"
        ) from error
