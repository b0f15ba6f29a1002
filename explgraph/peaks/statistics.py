"""What is a strong response of a channel: its mean and scale over some photos."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
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
from explgraph.photos.loading import Batch, is_usable

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
    source = open_images(images)
    sums = _Sums(layers, kept, partial(is_usable, source, net.preprocess))
    spans = spans_of(span_size(net, options), sums.first, len(source))
    with (
        read_batches(net, source, options, "background", spans) as batches,
        steady_rounding(options),
    ):
        for batch in batches:
            while batch.indices[0] >= spans[0].stop:
                sums.end_span()
                del spans[0]
            sums.add(batch, captured(net, batch.tensor, layers, options))
        batches.skipped.report(len(source))
    sums.end_span()
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


class _Sums:
    """Sums over the photos so far, of which the next to be seen is ``first``."""

    def __init__(
        self, layers: Sequence[LayerSpec], kept: Stages | None, is_usable: Callable[[int], bool]
    ) -> None:
        self._kept, self._overdue, self._layers = kept, Overdue(), layers
        self.first = 0
        self._missed: list[int] = []
        self.total, self._span = SpanSums.none(layers), SpanSums.none(layers)
        found = None if kept is None else kept.load(KEPT, sums_stage(layers), {})
        missed = [] if found is None else found["missed"].tolist()
        if found is not None and not any(map(is_usable, missed)):
            self._missed, self.first = missed, int(found["first"][0])
            self.total, self._span = SpanSums.of(found, "total"), SpanSums.of(found, "span")
        self._next = self.first

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
