"""What is a strong response of a channel: its mean and scale over some photos."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from explgraph.base.arrays import F4
from explgraph.base.errors import require
from explgraph.base.layer import LayerSpec
from explgraph.networks.backbone import Backbone
from explgraph.photos.images import open_images

from .reading import ReadOptions, captured, read_batches, steady_rounding

_LEAST_SCALE = 0.05  # of the layer's median: a filter silent on the background is no outlier for it


class ChannelStatistics(NamedTuple):
    """Per layer, (C,) m_c and s_c of the response max((a - m_c) / s_c, 0) (Eq. 1)."""

    mean: tuple[F4, ...]
    scale: tuple[F4, ...]


def channel_statistics(
    net: Backbone, images: object, layers: Sequence[LayerSpec], options: ReadOptions
) -> ChannelStatistics:
    """Measure what responses are normalised by: `channel_moments`, but m_c is 0 if rectified."""
    found = channel_moments(net, images, layers, options)
    mean = tuple(
        np.zeros_like(values) if layer.rectified else values
        for layer, values in zip(layers, found.mean, strict=True)
    )
    return ChannelStatistics(mean, found.scale)


def channel_moments(
    net: Backbone, images: object, layers: Sequence[LayerSpec], options: ReadOptions
) -> ChannelStatistics:
    """Measure every channel's mean and standard deviation over all cells of some photos.

    The deviation is at least a twentieth of its layer's median, so that a channel which is silent
    on these photos does not drown the others.
    """
    sums = [np.zeros((2, layer.channels)) for layer in layers]
    cells = np.zeros(len(layers))
    reading = read_batches(net, open_images(images), options, called="background")
    with reading as batches, steady_rounding(options):
        for batch in batches:
            maps = captured(net, batch.tensor, layers, options)
            for i, layer in enumerate(layers):
                values = maps[i].double()
                sums[i][0] += values.sum(dim=(0, 2, 3)).cpu().numpy()
                sums[i][1] += values.square().sum(dim=(0, 2, 3)).cpu().numpy()
                cells[i] += values.numel() / layer.channels
    means, scales = [], []
    for layer, (first, second), n in zip(layers, sums, cells, strict=True):
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
