"""What is a strong response of a channel: its mean and scale over some photos."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from explgraph.base.arrays import F4, F8
from explgraph.base.errors import require
from explgraph.base.files import Overdue, Stages
from explgraph.base.formats.columns import sums_stage
from explgraph.base.layer import LayerSpec
from explgraph.networks.backbone import Backbone
from explgraph.photos.images import open_images
from explgraph.photos.loading import Batch, Skipped, is_usable

from .reading import ReadOptions, captured, read_batches, span_size, spans_of, steady_rounding

_LEAST_SCALE = 0.05  # of the layer's median: a filter silent on the background is no outlier for it
KEPT = "background"
"""The stage under whose name sums are kept."""


class ChannelStatistics(NamedTuple):
    """Per layer, (C,) m_c and s_c of the response max((a - m_c) / s_c, 0) (Eq. 1)."""

    mean: tuple[F4, ...]
    scale: tuple[F4, ...]


def channel_statistics(
    net: Backbone,
    images: object,
    layers: Sequence[LayerSpec],
    options: ReadOptions,
    kept: Stages | None = None,
    skipped: list[str] | None = None,
) -> ChannelStatistics:
    """Measure what responses are normalised by: `channel_moments`, but m_c is 0 if rectified."""
    return rectified(layers, channel_moments(net, images, layers, options, kept, skipped))


def rectified(layers: Sequence[LayerSpec], found: ChannelStatistics) -> ChannelStatistics:
    """Return moments with the mean 0 where a layer's outputs are rectified."""
    mean = tuple(
        np.zeros_like(values) if layer.rectified else values
        for layer, values in zip(layers, found.mean, strict=True)
    )
    return ChannelStatistics(mean, found.scale)


def channel_moments(
    net: Backbone,
    images: object,
    layers: Sequence[LayerSpec],
    options: ReadOptions,
    kept: Stages | None = None,
    skipped: list[str] | None = None,
) -> ChannelStatistics:
    """Measure every channel's mean and standard deviation over all cells of some photos.

    The deviation is at least a twentieth of its layer's median, so that a channel which is silent
    on these photos does not drown the others. While it is measured, sums are ``kept`` now and then;
    from those that are there already it goes on, to the same last bit. The names of photos that
    cannot be used are added to ``skipped``; sums are not gone on from if one of them can by now.
    """
    source, told = open_images(images), Skipped()
    sums = _Sums(layers, kept, partial(is_usable, source, net.preprocess))
    for spans in sums.left(span_size(net, options), len(source)):
        with read_batches(net, source, options, KEPT, spans) as batches, steady_rounding(options):
            for batch in batches:
                while batch.indices[0] >= spans[0].stop:
                    sums.end_span()
                    del spans[0]
                sums.add(batch, captured(net, batch.tensor, layers, options))
            told.join(batches.skipped)
        sums.end_span()
    told.report(len(source))
    if skipped is not None:
        skipped += [source.items[i].name for i in sums.missed_before(len(source))]
    return moments(layers, sums.total)


class SpanSums(NamedTuple):
    """What is added up over the cells of some photos, for L layers.

    ``each`` of every layer (2, C) sums of responses and of their squares; ``cells (L,)``.
    """

    each: tuple[F8, ...]
    cells: F8

    @classmethod
    def none(cls, layers: Sequence[LayerSpec]) -> SpanSums:
        """Return the sums over no photos."""
        return cls(tuple(np.zeros((2, layer.channels)) for layer in layers), np.zeros(len(layers)))

    def add(self, other: SpanSums) -> None:
        """Add the sums over other photos: span by span in their order, whoever made them."""
        for own, theirs in zip(self.each, other.each, strict=True):
            own += theirs
        self.cells[:] += other.cells

    def add_maps(self, maps: Sequence[Tensor]) -> None:
        """Add a batch."""
        for i, values in enumerate(maps):
            for row, power in enumerate((values, values.square())):
                # Added up in float64, without a copy of the maps in it.
                total = power.sum(dim=(0, 2, 3), dtype=torch.float64)
                self.each[i][row] += total.cpu().numpy()
            self.cells[i] += values.numel() / values.shape[1]

    def arrays(self, name: str) -> dict[str, NDArray[Any]]:
        """Return all of it by names that begin thus."""
        rows = {f"{name}.{i}": row for i, row in enumerate(self.each)}
        return {**rows, f"{name}.cells": self.cells}

    @classmethod
    def of(cls, arrays: Mapping[str, NDArray[Any]], name: str) -> SpanSums:
        """Return what `arrays` was made of."""
        cells = arrays[f"{name}.cells"]
        return cls(tuple(arrays[f"{name}.{i}"].copy() for i in range(len(cells))), cells.copy())


def _shifted(is_usable: Callable[[int], bool], first: int, index: int) -> bool:
    return is_usable(first + index)


def moments(layers: Sequence[LayerSpec], sums: SpanSums) -> ChannelStatistics:
    """Return means and deviations, from sums over all photos."""
    means, scales = [], []
    for layer, (first, second), n in zip(layers, *sums, strict=True):
        mean = first / n
        require(
            bool(np.isfinite(second).all()),
            f"layer {layer.name} gave NaN or infinite values: check the network's weights",
        )
        scale = np.sqrt(np.maximum(second / n - mean**2, 0))
        require(bool((scale > 0).any()), f"layer {layer.name} never fires: leave it out of layers")
        scale = np.maximum(scale, _LEAST_SCALE * np.median(scale[scale > 0]))
        means.append(mean.astype(np.float32))
        scales.append(scale.astype(np.float32))
    return ChannelStatistics(tuple(means), tuple(scales))


def kept_name(number: int) -> str:
    """Return the stage that holds the sums of a span."""
    return f"{KEPT}.{number}"


def kept_span(
    kept: Stages | None, layers: Sequence[LayerSpec], number: int, is_usable: Callable[[int], bool]
) -> tuple[SpanSums, list[int]] | None:
    """Return what a worker kept of a span: its sums, and which of its photos could not be used.

    None if there is nothing, or if one of these can be used by now.
    """
    columns = {n: c for n, c in sums_stage(layers).items() if n.startswith(("span.", "missed"))}
    found = None if kept is None else kept.load(kept_name(number), columns, {})
    missed: list[int] = [] if found is None else found["missed"].tolist()
    if found is None or any(map(is_usable, missed)):
        return None
    return SpanSums.of(found, "span"), missed


class Begun(NamedTuple):
    """What one process kept: sums over the spans before the one at work, and over that one.

    The next photo to be seen is ``first``; which of those before ``missed`` out.
    """

    first: int
    missed: list[int]
    total: SpanSums
    span: SpanSums


def kept_sums(
    kept: Stages | None, layers: Sequence[LayerSpec], is_usable: Callable[[int], bool]
) -> Begun:
    """Return that; nothing if there is none, or if a photo that was missed can be used by now."""
    found = None if kept is None else kept.load(KEPT, sums_stage(layers), {})
    missed: list[int] = [] if found is None else found["missed"].tolist()
    if found is None or any(map(is_usable, missed)):
        return Begun(0, [], SpanSums.none(layers), SpanSums.none(layers))
    first, (total, span) = int(found["first"][0]), (SpanSums.of(found, n) for n in _SUMS)
    return Begun(first, missed, total, span)


_SUMS = ("total", "span")


class _Sums:
    """Sums over the photos so far, of which the next to be seen is ``first``."""

    def __init__(
        self, layers: Sequence[LayerSpec], kept: Stages | None, is_usable: Callable[[int], bool]
    ) -> None:
        self._kept, self._overdue, self._layers = kept, Overdue(), layers
        self._is_usable = is_usable
        self.first, self._missed, self.total, self._span = kept_sums(kept, layers, is_usable)
        self._next = self.first

    def left(self, size: int, count: int) -> Iterator[list[range]]:
        """Yield runs of spans that nobody kept; when it goes on, they must have been added."""
        run: list[range] = []
        for span in spans_of(size, self.first, count):
            start = span.start
            found = None
            if start % size == 0:
                usable = partial(_shifted, self._is_usable, start)
                found = kept_span(self._kept, self._layers, start // size, usable)
            if found is None:
                run.append(span)
                continue
            if run:
                yield run
                run = []
            self._missed = [*self.missed_before(start), *(start + i for i in found[1])]
            self._next = span.stop
            self.total.add(found[0])
        if run:
            yield run

    def missed_before(self, following: int) -> list[int]:
        """Return which photos could not be used, if the next that can is ``following``."""
        return [*self._missed, *range(self._next, following)]

    def end_span(self) -> None:
        """Add the span at work to the total: another begins, or there is none any more."""
        self.total.add(self._span)
        self._span = SpanSums.none(self._layers)

    def add(self, batch: Batch, maps: Sequence[Tensor]) -> None:
        if self._kept is not None and self._overdue:
            # All but this batch: whoever goes on then has a photo that can be read.
            first = batch.indices[0]
            places = {
                "first": np.array([first]),
                "missed": np.array(self.missed_before(first), dtype=np.int64),
            }
            sums = {**self.total.arrays("total"), **self._span.arrays("span")}
            with self._overdue.kept():
                self._kept.save(KEPT, {**places, **sums})
        for index in batch.indices:
            self._missed = self.missed_before(index)
            self._next = index + 1
        self._span.add_maps(maps)
