"""Photos to peaks in files: for more photos than memory holds, and for runs that may be cut off.

The network runs batch by batch, and every few hundred photos a shard file is written. In it filters
come before photos, so that mining reads the peaks of some filters in one piece. A manifest tells
what is there. Both are written under other names and renamed: whatever happens, the folder holds
whole shards and says which. A shard ends where a batch does, so one that is made later, or again,
is made of the same batches and has the same bytes. So is one that was written before its time, so
that not more than some seconds of work are lost, and is added to when the run goes on.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from explgraph.base.errors import ExplGraphError, require
from explgraph.base.files import (
    Overdue,
    PathLike,
    Stages,
    read_arrays,
    whole_file,
    write_arrays,
)
from explgraph.base.formats.columns import CHANNELS, layer_arrays, shard_columns
from explgraph.base.formats.headers import StatisticsKey
from explgraph.base.json_text import typed
from explgraph.base.layer import LayerSpec
from explgraph.base.progress import stage
from explgraph.networks.backbone import Backbone
from explgraph.peaks.extraction import N_PEAKS, PeakRows, peak_batches
from explgraph.peaks.reading import ReadOptions, batch_size
from explgraph.peaks.statistics import KEPT, ChannelStatistics, channel_statistics
from explgraph.peaks.structures import GROUP
from explgraph.photos.images import ImageSource, open_images

from .folder import STATISTICS, SUMS, begin, check_resume, check_same, digest_of, run_key
from .manifest import MANIFEST, SHARD, Manifest, Shard, sha256_of, shard_name
from .reading import SpooledPeaks, assembled
from .retrying import SKIPPED, forget_statistics, is_outdated, whole_shards

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
        again; so are all from the first on that skipped a photo which can be read now. In the end
        the files are the same, byte by byte, as those of a single run.

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
    manifest = whole_shards(begin(job.folder, job.key(), resume), net, source, job.folder)
    for number, shard in enumerate(manifest.shards):
        if not shard.is_whole(job.folder):
            _log.warning("%s is missing or damaged: it is made again", job.folder / shard.file)
            *_, made = job.shards(number, shard.first, shard.next, size=shard.next - shard.first)
            manifest = manifest.having(made)
            manifest.write(job.folder)
    begun = job.begun(manifest)
    number = len(manifest.shards) - (begun is not None)
    first = manifest.shards[-1].next if manifest.shards else 0
    for made in job.shards(number, first, len(source), job.shard_size(), begun):
        manifest = manifest.having(made, complete=made.next == len(source))
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

    With ``resume``, those in the folder are taken, or the sums that an interrupted run left; unless
    a photo that was skipped can be read now.

    Raises
    ------
    ExplGraphError
        As `spool_peaks`, and as `channel_statistics`.
    """
    source, path = open_images(images), Path(folder) / STATISTICS
    key = run_key(net, source, layers, options)
    sums = Stages(path.parent, {"statistics": key})
    if any(path.with_name(name).exists() for name in (STATISTICS, MANIFEST, SUMS)):
        check_resume(path.parent, resume)
    if path.exists():
        kept = _kept_statistics(path, key)
        if kept is not None and not is_outdated(path, net, source):
            sums.drop(KEPT)  # of a process that was killed before it did
            return kept
        if kept is not None:
            forget_statistics(path)
    skipped: list[str] = []
    found = channel_statistics(net, source, layers, options, sums, skipped)
    write_arrays(path, "statistics", _arrays_of(found), {"key": key, SKIPPED: skipped})
    sums.drop(KEPT)
    return found


def _kept_statistics(path: Path, key: Mapping[str, Any]) -> ChannelStatistics | None:
    """Return what an earlier run measured of the same photos, or None if its file is damaged."""
    try:
        arrays, header = read_arrays(path, "statistics")
        with whole_file(path, "statistics"):
            key_layers = typed(header["key"], "its key", StatisticsKey).layers
            rows = layer_arrays(CHANNELS, arrays, key_layers)
    except ExplGraphError as error:
        _log.warning("channel statistics are measured again: %s", error)
        return None
    check_same(path.parent, header["key"], key)
    return ChannelStatistics(rows["channel_mean"], rows["channel_scale"])


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

    def begun(self, manifest: Manifest) -> Shard | None:
        """Return the last shard, if it was written before its time and can be added to."""
        last = manifest.shards[-1] if manifest.shards else None
        if last is None or last.next == len(self.source) or last.photos >= self.shard_size():
            return None
        return last

    def shards(
        self, number: int, first: int, last: int, size: int, begun: Shard | None = None
    ) -> Iterator[Shard]:
        """Extract the images ``first`` to ``last`` - 1 and write shards of ``size`` photos.

        A shard is written when the batch after it is there, or the end: then it is known how far
        images were skipped, and all shards together cover the source. Every few seconds, and after
        an error or an interrupt, one is written before its time, under the same number; as
        ``begun`` it is then added to.
        """
        if first == last:
            return
        rest, offset = self.source.take(range(first, last)), first
        first = first if begun is None else begun.first
        buffer, overdue = PeakRows(min(size, last - first), axis=1), Overdue()
        if begun is not None:
            self._restore(buffer, begun)
        before = following = 0  # what the last batch was added to, and where it begins
        with peak_batches(self.net, rest, self.layers, self.statistics, self.options) as batches:
            try:
                for batch in batches:
                    begins = offset + batch.indices[0]
                    if buffer.is_full:
                        yield self._write(number, buffer, first, begins)
                        number, first, before = number + 1, begins, 0
                        buffer.indices.clear()
                    elif buffer.indices and overdue:
                        with overdue.kept():
                            made = self._write(number, buffer, first, begins)
                        yield made
                    before, following = len(buffer.indices), begins
                    buffer.append(batch, offset)
            except (Exception, KeyboardInterrupt):
                if before:
                    yield self._write(number, buffer, first, following, before)
                raise
        yield self._write(number, buffer, first, last)

    def _restore(self, buffer: PeakRows, begun: Shard) -> None:
        """Take up the photos of a shard that is to be added to."""
        columns = shard_columns(self.layers, mirror=self.options.get("mirror", True))
        sizes = {"N": begun.photos, "K": N_PEAKS}
        arrays, header = read_arrays(self.folder / begun.file, SHARD, (columns, sizes))
        for name in _arrays_of(self.statistics):
            del arrays[name]
        items = self.source.items
        indices = [i for i in range(begun.first, begun.next) if items[i].name not in begun.skipped]
        require(
            header["images"] == [items[i].name for i in indices],
            f"{self.folder / begun.file} holds other photos than {MANIFEST} says: make it anew",
        )
        buffer.restore(arrays, indices)

    def _write(
        self, number: int, buffer: PeakRows, first: int, following: int, count: int | None = None
    ) -> Shard:
        """Write ``count`` photos (None: all) of the buffer, of images ``first`` to ``following``.

        The last of these is not meant.
        """
        path = self.folder / shard_name(number)
        items, indices = self.source.items, buffer.indices[:count]
        names = [items[i].name for i in indices]
        arrays = {**buffer.arrays(count), **_arrays_of(self.statistics)}
        with stage("writing"):
            write_arrays(path, SHARD, arrays, {"images": names})
        missed = sorted(set(range(first, following)).difference(indices))
        return Shard(
            file=path.name,
            sha256=sha256_of(path),
            first=first,
            next=following,
            photos=len(names),
            skipped=tuple(items[i].name for i in missed),
        )
