"""Photos to peaks, and to matches, by an executor's workers; what comes of them is put together.

Each unit is a fixed range of the photos, so that the network rounds as it does in one process.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TypeVar

from explgraph.base.layer import LayerSpec
from explgraph.base.progress import PHOTOS, stage
from explgraph.base.running.crew import Crew
from explgraph.base.running.shared import Shared
from explgraph.graphs.graph import ExplanatoryGraph
from explgraph.graphs.matches import Matches
from explgraph.networks.backbone import Backbone
from explgraph.peaks.extraction import peaks_of
from explgraph.peaks.reading import ReadOptions, span_size, spans_of
from explgraph.peaks.spool.units import NETWORK, Measuring, quiet, statistics_by_workers
from explgraph.peaks.statistics import ChannelStatistics
from explgraph.peaks.structures import PeakSet
from explgraph.photos.images import ImageSource, open_images
from explgraph.photos.loading import Skipped
from mining import match_peaks
from mining.engine import Device

T = TypeVar("T")


@dataclass(frozen=True, eq=False, slots=True)
class Looking:
    """How photos are looked at: as of `explgraph.peaks.extraction.extract_peaks`.

    With a ``graph``, its nodes are found in them, ``views`` and ``device`` as of `match_peaks`.
    """

    net: Backbone
    layers: tuple[LayerSpec, ...]
    statistics: ChannelStatistics
    options: ReadOptions
    graph: ExplanatoryGraph | None = None
    views: bool = False
    device: Device = "cpu"


@dataclass(frozen=True, slots=True)
class PhotosUnit:
    """A range of photos to their peaks, or to what a graph finds in them."""

    work: Shared[Looking]

    def __call__(self, source: ImageSource) -> tuple[PeakSet | Matches, Skipped]:
        """Return that, and which photos were skipped."""
        own = self.work.get()
        peaks, skipped = peaks_of(own.net, source, own.layers, own.statistics, own.options)
        if own.graph is None:
            return peaks, skipped
        return match_peaks(own.graph, peaks, views=own.views, device=own.device), skipped


def measuring(crew: Crew) -> Callable[..., ChannelStatistics]:
    """Return what does as `channel_statistics`."""

    def measure(
        net: Backbone, images: object, layers: Sequence[LayerSpec], options: ReadOptions
    ) -> ChannelStatistics:
        work = Measuring(net, tuple(layers), options)
        return statistics_by_workers(crew, work, open_images(images), [])

    return measure


def extract_by_workers(crew: Crew, work: Looking, source: ImageSource) -> PeakSet:
    """Do as `extract_peaks`."""
    parts, skipped = _looked(crew, work, source)
    peaks = PeakSet.joined([part for part in parts if isinstance(part, PeakSet)])
    return replace(peaks, header={**peaks.header, "skipped": list(skipped.names)})


def match_by_workers(crew: Crew, work: Looking, source: ImageSource) -> Matches:
    """Do so, and then as `match_peaks`; ``work`` has a graph."""
    parts, skipped = _looked(crew, work, source)
    found = Matches.joined([part for part in parts if isinstance(part, Matches)])
    return replace(found, header={**found.header, "skipped": list(skipped.names)})


def _looked(
    crew: Crew, work: Looking, source: ImageSource
) -> tuple[Sequence[PeakSet | Matches], Skipped]:
    spans = spans_of(span_size(work.net, work.options), 0, len(source))
    own = replace(work, options=quiet(work.options))
    with crew.share(own, NETWORK) as shared, stage(PHOTOS, len(source)) as photos:

        def done(number: int, _result: object) -> None:
            photos.reach(photos.done + len(spans[number]))

        units = [(source.take(span),) for span in spans]
        found = crew.map(PHOTOS, PhotosUnit(shared), units, done)
    skipped = Skipped()
    for _, missed in found:
        skipped.join(missed)
    skipped.report(len(source))
    return [part for part, _ in found], skipped
