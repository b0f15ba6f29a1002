"""Units of extraction for other processes: the photos of a shard to its file, to their sums.

They are pure and idempotent, see `explgraph.base.running.crew`: a shard, or sums, that are there
already, whole and of the same key, are not made again, whoever made them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial

import numpy as np

from explgraph.base.errors import require
from explgraph.base.files import Stages
from explgraph.base.layer import LayerSpec
from explgraph.base.progress import PHOTOS, stage
from explgraph.base.running.crew import Crew
from explgraph.base.running.shared import Shared
from explgraph.networks.backbone import Backbone
from explgraph.peaks.reading import (
    ReadOptions,
    captured,
    read_batches,
    span_size,
    spans_of,
    steady_rounding,
)
from explgraph.peaks.statistics import (
    KEPT,
    ChannelStatistics,
    SpanSums,
    kept_name,
    kept_span,
    kept_sums,
    moments,
    rectified,
)
from explgraph.photos.images import ImageSource
from explgraph.photos.loading import Skipped, is_usable

from .manifest import Shard
from .shards import ShardMaker

NETWORK = "the network, with its preprocessing,"
"""What cannot be sent to other processes, if it cannot."""


@dataclass(frozen=True, slots=True)
class ShardUnit:
    """Makes a shard; ``first`` is its first photo's index among all."""

    maker: Shared[ShardMaker]

    def __call__(self, source: ImageSource, first: int) -> tuple[Shard, Skipped]:
        """Return the shard of these photos, and which of them were skipped now."""
        maker, skipped = self.maker.get(), Skipped()
        found = maker.found(first // maker.size, source.names)
        done = 0 if found is None else found.shard.next - first
        if found is not None and done == len(source):
            return found.shard, skipped
        *_, made = maker.make(source, [range(done, len(source))], skipped, found, first)
        return made, skipped


def make_shards(
    crew: Crew,
    maker: ShardMaker,
    source: ImageSource,
    spans: Sequence[range],
    add: Callable[[Shard, Skipped], None],
) -> None:
    """Let workers make the shards of some spans; ``add`` is told of each."""
    own = replace(maker, options=quiet(maker.options), folder=maker.folder.absolute(), alone=False)
    total = sum(map(len, spans))
    with crew.share(own, NETWORK) as shared, stage(PHOTOS, total) as photos:

        def done(number: int, result: tuple[Shard, Skipped]) -> None:
            add(*result)
            photos.reach(photos.done + len(spans[number]))

        units = ((source.take(span), span.start) for span in spans)
        crew.run(PHOTOS, ShardUnit(shared), units, done, {"units": len(spans)})


def quiet(options: ReadOptions) -> ReadOptions:
    """Return options of a worker, whose progress nobody sees."""
    kept = options.copy()
    kept["progress"] = False
    kept.pop("boxes", None)  # the items have them
    kept.pop("label", None)
    return kept


@dataclass(frozen=True, eq=False, slots=True)
class Measuring:
    """What measures channel statistics; sums of each span are ``kept``, if anywhere."""

    net: Backbone
    layers: tuple[LayerSpec, ...]
    options: ReadOptions
    kept: Stages | None = None


@dataclass(frozen=True, slots=True)
class SumsUnit:
    """Adds up responses over the photos of a span."""

    work: Shared[Measuring]

    def __call__(self, source: ImageSource, number: int) -> tuple[SpanSums, list[int], Skipped]:
        """Return their sums, the indices of those that cannot be read, and what was skipped now."""
        work = self.work.get()
        net, kept = work.net, work.kept
        found = kept_span(kept, work.layers, number, partial(is_usable, source, net.preprocess))
        if found is not None:
            return *found, Skipped()
        sums, seen, skipped = SpanSums.none(work.layers), set[int](), Skipped()
        options, spans = work.options, [range(len(source))]
        with read_batches(net, source, options, KEPT, spans) as batches, steady_rounding(options):
            for batch in batches:
                sums.add_maps(captured(net, batch.tensor, work.layers, options))
                seen.update(batch.indices)
            skipped.join(batches.skipped)
        missed = sorted(set(range(len(source))) - seen)
        if kept is not None:
            lacking = {"missed": np.array(missed, dtype=np.int64)}
            kept.save(kept_name(number), {**sums.arrays("span"), **lacking})
        return sums, missed, skipped


def statistics_by_workers(
    crew: Crew, work: Measuring, source: ImageSource, skipped: list[str]
) -> ChannelStatistics:
    """Measure what `channel_statistics` does, each span where there is a worker for it.

    Spans are added up in their order, after those that one process has kept. The names of photos
    that cannot be used are added to ``skipped``.
    """
    size = span_size(work.net, work.options)
    begun = kept_sums(work.kept, work.layers, partial(is_usable, source, work.net.preprocess))
    whole = begun.first // size  # the span at work is a unit of others
    spans = spans_of(size, whole * size, len(source))
    own, total, told = replace(work, options=quiet(work.options)), begun.total, Skipped()
    with crew.share(own, NETWORK) as shared, stage(KEPT, len(source)) as photos:
        photos.skip(whole * size)

        def done(number: int, _result: object) -> None:
            photos.reach(photos.done + len(spans[number]))

        units = [(source.take(span), whole + number) for number, span in enumerate(spans)]
        found = crew.map(KEPT, SumsUnit(shared), units, done)
    skipped += [source.items[i].name for i in begun.missed if i < whole * size]
    for span, (sums, missed, now) in zip(spans, found, strict=True):
        total.add(sums)
        skipped += [source.items[span.start + i].name for i in missed]
        told.join(now)
    told.report(len(source))
    require(len(skipped) < len(source), f"none of the {len(source)} images can be used")
    return rectified(work.layers, moments(work.layers, total))
