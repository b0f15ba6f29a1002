"""What is a strong response of a channel: its mean and scale over some photos."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from explgraph.base.arrays import F4
from explgraph.base.errors import require
from explgraph.base.files import Overdue, Stages
from explgraph.base.formats.columns import sums_stage
from explgraph.base.layer import LayerSpec
from explgraph.networks.backbone import Backbone
from explgraph.photos.images import open_images
from explgraph.photos.loading import Batch, is_usable

from .reading import ReadOptions, captured, read_batches, steady_rounding

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
    found = channel_moments(net, images, layers, options, kept, skipped)
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
    rest = source.take(range(sums.first, len(source)))
    with read_batches(net, rest, options, "background") as batches, steady_rounding(options):
        for batch in batches:
            sums.add(batch, captured(net, batch.tensor, layers, options))
    if skipped is not None:
        skipped += [source.names[i] for i in sums.missed_before(len(source))]
    means, scales = [], []
    for layer, (first, second), n in zip(layers, sums.each, sums.cells, strict=True):
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
        self._kept, self._overdue = kept, Overdue()
        self.first = 0
        self._missed: list[int] = []
        self.each = [np.zeros((2, layer.channels)) for layer in layers]
        self.cells = np.zeros(len(layers))
        found = None if kept is None else kept.load(KEPT, sums_stage(layers), {})
        missed = [] if found is None else found["missed"].tolist()
        if found is not None and not any(map(is_usable, missed)):
            self._missed = missed
            self.first, self.cells = int(found["first"][0]), found["cells"].copy()
            self.each = [found[f"sums.{i}"].copy() for i in range(len(layers))]
        self._next = self.first

    def missed_before(self, following: int) -> list[int]:
        """Return which photos could not be used, if the next that can is ``following``."""
        return [*self._missed, *range(self._next, following)]

    def add(self, batch: Batch, maps: Sequence[Tensor]) -> None:
        if self._kept is not None and self._overdue:
            # All but this batch: whoever goes on then has a photo that can be read.
            sums = {f"sums.{i}": each for i, each in enumerate(self.each)}
            first = self.first + batch.indices[0]
            places = {
                "first": np.array([first]),
                "missed": np.array(self.missed_before(first), dtype=np.int64),
            }
            with self._overdue.kept():
                self._kept.save(KEPT, {**places, "cells": self.cells, **sums})
        for index in batch.indices:
            self._missed = self.missed_before(self.first + index)
            self._next = self.first + index + 1
        for i, values in enumerate(maps):
            for row, power in enumerate((values, values.square())):
                # Added up in float64, without a copy of the maps in it.
                total = power.sum(dim=(0, 2, 3), dtype=torch.float64)
                self.each[i][row] += total.cpu().numpy()
            self.cells[i] += values.numel() / values.shape[1]
