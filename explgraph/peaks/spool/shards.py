"""Shards of a spool: fixed ranges of the source, each made without the others.

A shard's file is a function of the key of the extraction and of its photos alone. Whoever makes it,
in whatever order and however often, writes the same bytes, under a temporary name that is renamed.
Its header says what it is: the key's SHA-256, which photos it covers, which of them were skipped.
So what one process has finished is known to all others, whether or not a manifest names it yet.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from explgraph.base.errors import ExplGraphError
from explgraph.base.files import Overdue, read_arrays, write_arrays
from explgraph.base.formats.columns import shard_columns
from explgraph.base.formats.headers import ShardHeader
from explgraph.base.json_text import typed
from explgraph.base.layer import LayerSpec
from explgraph.base.progress import stage
from explgraph.base.schema import Columns
from explgraph.networks.backbone import Backbone
from explgraph.peaks.extraction import N_PEAKS, PeakBatch, PeakRows, no_photos, peak_batches
from explgraph.peaks.reading import ReadOptions
from explgraph.peaks.statistics import ChannelStatistics
from explgraph.photos.images import ImageSource
from explgraph.photos.loading import Skipped

from .manifest import SHARD, Shard, sha256_of, shard_name


@dataclass(frozen=True, slots=True)
class Begun:
    """A shard that ends before its range does, and the photos that it has."""

    shard: Shard
    arrays: dict[str, NDArray[Any]]


@dataclass(frozen=True, eq=False, slots=True)
class ShardMaker:
    """What makes shards of photos, and reads those that were made.

    Attributes
    ----------
    net, layers, statistics, options
        As of `explgraph.peaks.extraction.extract_peaks`.
    folder
        Where the files are.
    stamp
        SHA-256 of the key of the extraction.
    size
        Photos of the source in each shard, but for the last one: `span_size`.
    alone
        Whether nobody else makes the same shards. Only then is one written before its time: it
        could take the place of another's that is whole.
    """

    net: Backbone
    layers: tuple[LayerSpec, ...]
    statistics: ChannelStatistics
    options: ReadOptions
    folder: Path
    stamp: str
    size: int
    alone: bool = True

    def path(self, number: int) -> Path:
        """Return the file of a shard."""
        return self.folder / shard_name(number)

    def found(self, number: int, names: Sequence[str]) -> Begun | None:
        """Return the shard that is there; None if it is damaged, or one of another extraction.

        Parameters
        ----------
        names
            Of all photos in its range.
        """
        path, first = self.path(number), number * self.size
        if not path.is_file():
            return None
        try:
            columns = self._columns()
            arrays, header = read_arrays(path, SHARD, (columns, {"K": N_PEAKS}))
            said: ShardHeader = typed(header, "its header", ShardHeader)
        except ExplGraphError:
            return None
        given = names[: said.next - first]
        read = [name for name in given if name not in said.skipped]
        if said.stamp != self.stamp or said.first != first or list(said.images) != read:
            return None
        if len(arrays["frames"]) != len(read) or not 0 < said.next - first <= len(names):
            return None
        shard = Shard(path.name, sha256_of(path), first, said.next, len(read), tuple(said.skipped))
        channels = channel_arrays(self.statistics)
        return Begun(shard, {name: a for name, a in arrays.items() if name not in channels})

    def make(
        self,
        source: ImageSource,
        spans: Sequence[range],
        skipped: Skipped,
        begun: Begun | None = None,
        offset: int = 0,
    ) -> Iterator[Shard]:
        """Run the network over photos and write their shards, each when the next one is begun.

        Every few seconds, and after an error or an interrupt, one is written before its time, with
        the batches until then; as ``begun`` it is added to, and becomes what it would have been.

        Parameters
        ----------
        source
            Photos.
        spans
            Those of each shard, by index in the source; the first may be the rest of a range.
        skipped
            To which photos are added that cannot be read.
        begun
            What there is of that range.
        offset
            Of the source's first photo among all of the extraction.

        Yields
        ------
        Each shard whose file was written, one before its time more than once.
        """
        work = _Writing(self, source, offset, iter(spans), begun)
        overdue = Overdue()
        with peak_batches(
            self.net, source, self.layers, self.statistics, self.options, spans
        ) as batches:
            try:
                for batch in batches:
                    begins = batch.indices[0]
                    while begins >= work.end:
                        yield work.written(work.end)
                        work.go_on()
                    if self.alone and work.rows.indices and overdue:
                        with overdue.kept():
                            made = work.written(begins)
                        yield made
                    work.append(batch, begins)
            except (Exception, KeyboardInterrupt):
                if self.alone and work.before:
                    yield work.written(work.following, work.before)
                raise
            finally:
                skipped.join(batches.skipped)
        yield work.written(work.end)
        while work.go_on():
            yield work.written(work.end)

    def _columns(self) -> Columns:
        return shard_columns(self.layers, mirror=self.options.get("mirror", True))


class _Writing:
    """Shards one after the other, of which one is at work.

    Attributes
    ----------
    rows
        Its photos so far.
    end
        Where its range ends.
    before, following
        How many photos it had before the last batch, and where that one begins.
    """

    def __init__(
        self,
        maker: ShardMaker,
        source: ImageSource,
        offset: int,
        spans: Iterator[range],
        begun: Begun | None,
    ) -> None:
        self._maker, self._source, self._offset, self._spans = maker, source, offset, spans
        self.rows = PeakRows(min(maker.size, len(source)), axis=1)
        self.go_on()
        if begun is not None:
            self._first = begun.shard.first - offset
            missed = set(begun.shard.skipped)
            known = range(self._first, begun.shard.next - offset)
            items = source.items
            self.rows.restore(begun.arrays, [i for i in known if items[i].name not in missed])

    def go_on(self) -> bool:
        """Begin the next shard; False if there is none."""
        span = next(self._spans, None)
        if span is None:
            return False
        self._first, self.end = span.start, span.stop
        self.rows.indices.clear()
        self.before = self.following = 0
        return True

    def append(self, batch: PeakBatch, begins: int) -> None:
        """Add a batch."""
        self.before, self.following = len(self.rows.indices), begins
        self.rows.append(batch)

    def written(self, end: int, count: int | None = None) -> Shard:
        """Write the first ``count`` photos (None: all), of the range until before ``end``."""
        maker, items, indices = self._maker, self._source.items, self.rows.indices[:count]
        first, following = self._first + self._offset, end + self._offset
        missed = sorted(set(range(self._first, end)).difference(indices))
        skipped = [items[i].name for i in missed]
        arrays = (
            self.rows.arrays(count) if indices else no_photos(maker.layers, maker.options, "CNK")
        )
        path = maker.path(first // maker.size)
        header = {
            "first": first,
            "images": [items[i].name for i in indices],
            "next": following,
            "skipped": skipped,
            "stamp": maker.stamp,
        }
        with stage("writing"):
            write_arrays(path, SHARD, {**arrays, **channel_arrays(maker.statistics)}, header)
        return Shard(path.name, sha256_of(path), first, following, len(indices), tuple(skipped))


def channel_arrays(statistics: ChannelStatistics) -> dict[str, NDArray[Any]]:
    """Return channel statistics as files name them."""
    return {
        f"channel_{kind}.{i}": array
        for kind, layers in zip(("mean", "scale"), statistics, strict=True)
        for i, array in enumerate(layers)
    }
