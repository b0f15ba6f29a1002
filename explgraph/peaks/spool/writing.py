"""Photos to peaks in files: for more photos than memory holds, and for runs that may be cut off.

The network runs batch by batch, and every few hundred photos a shard file is written. In it filters
come before photos, so that mining reads the peaks of some filters in one piece. A manifest tells
what is there. Both are written under other names and renamed: whatever happens, the folder holds
whole shards and says which. A shard ends where a batch does, so one that is made later, or again,
is made of the same batches and has the same bytes.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from explgraph.base.errors import ExplGraphError, require
from explgraph.base.files import PathLike, read_arrays, whole_file, write_arrays
from explgraph.base.layer import LayerSpec
from explgraph.networks.backbone import Backbone
from explgraph.peaks.extraction import N_PEAKS, PeakRows, peak_batches
from explgraph.peaks.reading import ReadOptions, batch_size
from explgraph.peaks.statistics import ChannelStatistics, channel_statistics
from explgraph.peaks.structures import GROUP
from explgraph.photos.images import ImageSource, open_images

from .folder import (
    MANIFEST,
    SHARD,
    STATISTICS,
    Shard,
    begin,
    check_resume,
    check_same,
    digest_of,
    run_key,
    sha256_of,
)
from .reading import SpooledPeaks, assembled

_log = logging.getLogger("explgraph")


def spool_peaks(
    net: Backbone,
    source: ImageSource,
    layers: Sequence[LayerSpec],
    statistics: ChannelStatistics,
    options: ReadOptions,
    folder: PathLike,
    *,
    resume: bool = False,
) -> SpooledPeaks:
    """Run the network over photos and keep their peaks in a folder, a shard in memory at a time.

    Parameters
    ----------
    net, source, layers, statistics, options
        As of `explgraph.peaks.extraction.extract_peaks`.
    folder
        Where the files go; other files in it are left alone.
    resume
        Go on with what is in the folder, if there is anything. A missing or damaged shard is made
        again. In the end the files are the same, byte by byte, as those of a single run.

    Returns
    -------
    The peaks, in the order of the source, read from the files when asked for.

    Raises
    ------
    ExplGraphError
        If the folder holds a spool and ``resume`` is not set, or holds that of another extraction
        (the message names what differs); if ``options`` ask for maps; or as `extract_peaks`.
    """
    require(
        not options.get("maps", False),
        "a spool holds no response maps (maps=True): parts are located from matches, so match with "
        "views=True instead",
    )
    job = _Job(net, source, tuple(layers), statistics, options, Path(folder))
    manifest = begin(job.folder, job.key(), resume)
    for number, shard in enumerate(manifest.shards):
        if not shard.is_whole(job.folder):
            _log.warning("%s is missing or damaged: it is made again", job.folder / shard.file)
            (made,) = job.shards(number, shard.first, shard.next, size=shard.next - shard.first)
            shards = (*manifest.shards[:number], made, *manifest.shards[number + 1 :])
            manifest = replace(manifest, shards=shards)
            manifest.write(job.folder)
    first = manifest.shards[-1].next if manifest.shards else 0
    for made in job.shards(len(manifest.shards), first, len(source), size=job.shard_size()):
        complete = made.next == len(source)
        manifest = replace(manifest, shards=(*manifest.shards, made), complete=complete)
        manifest.write(job.folder)
    return assembled(job.folder, manifest)


def spool_statistics(
    net: Backbone,
    images: object,
    layers: Sequence[LayerSpec],
    options: ReadOptions,
    folder: PathLike,
    *,
    resume: bool = False,
) -> ChannelStatistics:
    """Measure channel statistics as `channel_statistics` does, and keep them in a spool folder.

    With ``resume``, those in the folder are taken.

    Raises
    ------
    ExplGraphError
        As `spool_peaks`, and as `channel_statistics`.
    """
    source, path = open_images(images), Path(folder) / STATISTICS
    key = run_key(net, source, layers, options)
    if path.exists() or path.with_name(MANIFEST).exists():
        check_resume(path.parent, resume)
    if path.exists():
        kept = _kept_statistics(path, key, len(layers))
        if kept is not None:
            return kept
    found = channel_statistics(net, source, layers, options)
    write_arrays(path, "statistics", _arrays_of(found), {"key": key})
    return found


def _kept_statistics(path: Path, key: Mapping[str, Any], n_layers: int) -> ChannelStatistics | None:
    """Return what an earlier run measured of the same photos, or None if its file is damaged."""
    try:
        arrays, header = read_arrays(path, "statistics")
    except ExplGraphError as error:
        _log.warning("channel statistics are measured again: %s", error)
        return None
    with whole_file(path, "statistics"):
        check_same(path.parent, header["key"], key)
        mean, scale = (
            tuple(arrays[f"channel_{kind}.{i}"] for i in range(n_layers))
            for kind in ("mean", "scale")
        )
    return ChannelStatistics(mean, scale)


def _arrays_of(statistics: ChannelStatistics) -> dict[str, NDArray[Any]]:
    return {
        f"channel_{kind}.{i}": array
        for kind, layers in zip(("mean", "scale"), statistics, strict=True)
        for i, array in enumerate(layers)
    }


@dataclass(frozen=True, eq=False, slots=True)
class _Job:
    """An extraction: what `spool_peaks` is given."""

    net: Backbone
    source: ImageSource
    layers: tuple[LayerSpec, ...]
    statistics: ChannelStatistics
    options: ReadOptions
    folder: Path

    def key(self) -> dict[str, Any]:
        """Return JSON values of everything that decides the peaks."""
        measured = (array.tobytes() for part in self.statistics for array in part)
        return {
            **run_key(self.net, self.source, self.layers, self.options),
            "channel_statistics": digest_of(measured),
            "mirror": self.options.get("mirror", True),
            "n_peaks": N_PEAKS,
        }

    def shard_size(self) -> int:
        """Return how many photos a shard holds: whole batches, at least one."""
        batch = batch_size(self.net, self.options)
        return max(GROUP // batch, 1) * batch

    def shards(self, number: int, first: int, last: int, size: int) -> Iterator[Shard]:
        """Extract the images ``first`` to ``last`` - 1 and write shards of ``size`` photos.

        A shard is written when the batch after it is there, or the end: then it is known how far
        images were skipped, and all shards together cover the source.
        """
        if first == last:
            return
        rest = self.source.take(range(first, last))
        buffer, start = PeakRows(min(size, last - first), axis=1), first
        with peak_batches(self.net, rest, self.layers, self.statistics, self.options) as batches:
            for batch in batches:
                if buffer.is_full:
                    following = first + batch.indices[0]
                    yield self._write(number, buffer, start, following)
                    number, start = number + 1, following
                buffer.append(batch, first)
        yield self._write(number, buffer, start, last)

    def _write(self, number: int, buffer: PeakRows, first: int, following: int) -> Shard:
        """Write the photos of the buffer, of images ``first`` to ``following`` - 1; empty it."""
        path = self.folder / f"{SHARD}-{number:05d}.safetensors"
        items = self.source.items
        names = [items[i].name for i in buffer.indices]
        arrays = {**buffer.arrays(), **_arrays_of(self.statistics)}
        write_arrays(path, SHARD, arrays, {"images": names})
        missed = sorted(set(range(first, following)).difference(buffer.indices))
        buffer.indices.clear()
        return Shard(
            file=path.name,
            sha256=sha256_of(path),
            first=first,
            next=following,
            photos=len(names),
            skipped=tuple(items[i].name for i in missed),
        )
