"""Photos to peaks in files: for more photos than memory holds, and for runs that may be cut off.

The network runs batch by batch, and every few hundred photos a shard file is written. In it filters
come before photos, so that mining reads the peaks of some filters in one piece. A manifest tells
what is there. Both are written under other names and renamed: whatever happens, the folder holds
whole shards. Each covers a fixed range of the source, see `explgraph.peaks.spool.shards`: one that
is made later, or again, has the same bytes.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from explgraph.base.errors import ExplGraphError, require
from explgraph.base.files import PathLike, Stages, read_arrays, whole_file, write_arrays
from explgraph.base.formats.columns import CHANNELS, layer_arrays
from explgraph.base.formats.headers import StatisticsKey
from explgraph.base.json_text import typed
from explgraph.base.layer import LayerSpec
from explgraph.base.running.crew import Crew
from explgraph.networks.backbone import Backbone
from explgraph.peaks.extraction import N_PEAKS
from explgraph.peaks.reading import ReadOptions, span_size, spans_of
from explgraph.peaks.statistics import (
    KEPT,
    ChannelStatistics,
    channel_statistics,
    kept_name,
)
from explgraph.photos.images import ImageSource, open_images
from explgraph.photos.loading import Skipped

from .folder import STATISTICS, SUMS, begin, check_resume, check_same, digest_of, run_key
from .manifest import MANIFEST, Manifest, Shard, shard_name
from .reading import SpooledPeaks, assembled
from .retrying import SKIPPED, forget_statistics, has_healed, is_outdated
from .shards import Begun, ShardMaker, channel_arrays
from .units import Measuring, make_shards, statistics_by_workers

_FEW = 32  # shards that are listed one by one

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
    crew: Crew | None = None,
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
        again; so is one that skipped a photo which can be read now. In the end
        the files are the same, byte by byte, as those of a single run.
    crew
        Workers that make the shards; None: this process does.

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
    place, key = Path(folder), _key(net, source, layers, statistics, options)
    manifest = begin(place, key, resume)
    maker = ShardMaker(
        net,
        tuple(layers),
        statistics,
        options,
        place,
        digest_of([json.dumps(key, sort_keys=True).encode()]),
        span_size(net, options),
    )
    there = _there(maker, source, manifest)
    listed, skipped = _Listed(manifest, place, len(source)), Skipped()
    listed.add(*(begun.shard for begun in there.values()))
    if crew is not None:
        listed.by_workers(crew, maker, source, skipped)
        return listed.whole(skipped)
    with listed.now_and_then() as add:
        for spans, begun in _left(maker, len(source), there):
            for shard in maker.make(source, spans, skipped, begun):
                add(shard)
    return listed.whole(skipped)


def _key(
    net: Backbone,
    source: ImageSource,
    layers: Sequence[LayerSpec],
    statistics: ChannelStatistics,
    options: ReadOptions,
) -> dict[str, Any]:
    """Return JSON values of everything that decides the peaks."""
    measured = (array.tobytes() for part in statistics for array in part)
    return {
        **run_key(net, source, layers, options),
        "channel_statistics": digest_of(measured),
        "mirror": options.get("mirror", True),
        "n_peaks": N_PEAKS,
    }


def _there(maker: ShardMaker, source: ImageSource, manifest: Manifest) -> dict[int, Begun]:
    """Return the shards that earlier runs left, whole or begun; others are removed.

    Those are damaged, or miss a photo that can be read now.
    """
    there: dict[int, Begun] = {}
    for number, span in enumerate(spans_of(maker.size, 0, len(source))):
        found = maker.found(number, [item.name for item in source.items[span.start : span.stop]])
        if found is None and number < len(manifest.shards):
            _log.warning("%s is missing or damaged: it is made again", maker.path(number))
        elif found is not None and has_healed(maker.net, source, found.shard):
            maker.path(number).unlink()
        elif found is not None:
            there[number] = found if found.shard.next < span.stop else Begun(found.shard, {})
    return there


def _left(
    maker: ShardMaker, count: int, there: Mapping[int, Begun]
) -> Iterator[tuple[list[range], Begun | None]]:
    """Yield runs of photos to be seen, each with what there is of its first shard."""
    run: list[range] = []
    before: Begun | None = None
    for number, span in enumerate(spans_of(maker.size, 0, count)):
        begun = there.get(number)
        if begun is not None and run:
            yield run, before
            run, before = [], None
        if begun is None:
            run.append(span)
        elif begun.shard.next < span.stop:
            run, before = [range(begun.shard.next, span.stop)], begun
    if run:
        yield run, before


class _Listed:
    """The manifest, kept up to date: it lists the shards from the first one to the first gap."""

    def __init__(self, manifest: Manifest, folder: Path, count: int) -> None:
        self._folder, self._count, self._written = folder, count, manifest
        self._key, self._shards = manifest.key, dict[str, Shard]()

    def add(self, *made: Shard) -> None:
        """List shards, in place of those of their names."""
        self._shards |= {shard.file: shard for shard in made}
        found = self._manifest()
        if found != self._written:
            found.write(self._folder)
            self._written = found

    def by_workers(
        self, crew: Crew, maker: ShardMaker, source: ImageSource, skipped: Skipped
    ) -> None:
        """Let workers make the shards that are not there."""
        ends = {shard.file: shard.next for shard in self._shards.values()}
        spans = spans_of(maker.size, 0, self._count)
        left = [s for i, s in enumerate(spans) if ends.get(shard_name(i)) != s.stop]

        with self.now_and_then() as add:

            def done(made: Shard, missed: Skipped) -> None:
                skipped.join(missed)
                add(made)

            make_shards(crew, maker, source, left, done)

    @contextmanager
    def now_and_then(self) -> Iterator[Callable[[Shard], None]]:
        """Give what notes shards; they are listed when there are some more, and at the end.

        The list is written as a whole each time: of many shards, after each would be a square.
        Shards that are not in it yet are found by what they say themselves.
        """
        noted: list[Shard] = []

        def add(made: Shard) -> None:
            noted.append(made)
            self._shards[made.file] = made
            if _FEW * len(noted) >= len(self._shards):
                noted.clear()
                self.add()

        try:
            yield add
        finally:
            self.add()

    def _manifest(self) -> Manifest:
        at, listed = 0, list[Shard]()
        while at < self._count and (shard := self._shards.get(shard_name(len(listed)))):
            if shard.first != at:
                break
            listed.append(shard)
            at = shard.next
        return Manifest(self._key, tuple(listed), at == self._count > 0)

    def whole(self, skipped: Skipped) -> SpooledPeaks:
        """Return the peaks, now that all shards are there, and say which photos were skipped.

        Raises
        ------
        ExplGraphError
            If no photo could be read.
        """
        manifest = self._manifest()
        require(
            any(shard.photos for shard in manifest.shards),
            f"none of the {self._count} images can be used"
            + (f": {skipped}" if skipped.names else ""),
        )
        skipped.report(self._count)
        return assembled(self._folder, manifest)


def spool_statistics(
    net: Backbone,
    images: object,
    layers: Sequence[LayerSpec],
    options: ReadOptions,
    folder: PathLike,
    *,
    resume: bool = False,
    crew: Crew | None = None,
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
    sums = Stages(path.parent.absolute(), {"statistics": key})
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
    found = (
        channel_statistics(net, source, layers, options, sums, skipped)
        if crew is None
        else statistics_by_workers(
            crew, Measuring(net, tuple(layers), options, sums), source, skipped
        )
    )
    write_arrays(path, "statistics", channel_arrays(found), {"key": key, SKIPPED: skipped})
    for number in range(-(-len(source) // span_size(net, options))):
        sums.drop(kept_name(number))
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
