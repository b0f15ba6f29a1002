"""Photos to peaks: the network runs batch by batch, and its dense maps are dropped at once."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import NamedTuple, TypedDict

import numpy as np
import torch
from torch import Tensor

from .backbones import Backbone
from .errors import require
from .images import ImageSource, open_images
from .loading import Batches, Progress, iterate_batches
from .peaks import find_peaks
from .sketch import MirrorSketch
from .storage import PathLike
from .structures import F2, F4, LayerSpec, Peaks, PeakSet, look_layer

N_PEAKS = 8
_LEAST_SCALE = 0.05  # of the layer's median: a filter silent on the background is no outlier for it


class ReadOptions(TypedDict, total=False):
    """How photos are read and shown to the network; every entry may be left out.

    Attributes
    ----------
    boxes, label
        File of object boxes (CSV, COCO or VOC), and the only label to take: each box is an item.
    batch_size
        Photos per forward pass (32).
    strict
        Stop at a photo that cannot be read, rather than skip, name and count it (False).
    progress
        Progress bar on a terminal, or a function of (done, total) (True).
    workers
        Threads that decode (as many as cores, at most 8).
    deterministic
        One photo at a time on one thread: the network's rounding, too, is then the same wherever
        it runs on this machine. Several times slower (False).
    mirror
        Look at every photo's mirror image as well (True).
    maps
        Keep response maps of one layer as well, which parts are located with (False).
    """

    boxes: PathLike | None
    label: str | None
    batch_size: int
    strict: bool
    progress: Progress
    workers: int | None
    deterministic: bool
    mirror: bool
    maps: bool


class ChannelStatistics(NamedTuple):
    """Per layer, (C,) m_c and s_c of the response max((a - m_c) / s_c, 0) (Eq. 1)."""

    mean: tuple[F4, ...]
    scale: tuple[F4, ...]


def channel_statistics(
    net: Backbone, images: object, layers: Sequence[LayerSpec], options: ReadOptions
) -> ChannelStatistics:
    """Measure every channel's mean and standard deviation over all cells of some photos.

    m_c is 0 for a rectified layer. s_c is at least a twentieth of its layer's median, so that a
    channel which is silent on these photos does not drown the others.
    """
    sums = [np.zeros((2, layer.channels)) for layer in layers]
    cells = np.zeros(len(layers))
    with _batches(net, open_images(images), options) as batches, _rounding(options):
        for batch in batches:
            maps = net.capture(batch.tensor, [layer.name for layer in layers])
            for i, layer in enumerate(layers):
                values = maps[layer.name].double()
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
        means.append((np.zeros_like(mean) if layer.rectified else mean).astype(np.float32))
        scales.append(scale.astype(np.float32))
    return ChannelStatistics(tuple(means), tuple(scales))


def extract_peaks(
    net: Backbone,
    source: ImageSource,
    layers: Sequence[LayerSpec],
    statistics: ChannelStatistics,
    options: ReadOptions,
) -> PeakSet:
    """Run the network over photos and keep their peaks.

    Returns
    -------
    The photos that could be read, in order; ``header["skipped"]`` names the others.

    Raises
    ------
    ExplGraphError
        If no photo can be read, or a layer gives NaN.
    """
    shots: list[_Shot] = []
    frames, sizes, index = [], [], []
    camera = _Camera(
        net, layers, statistics, options.get("mirror", True), options.get("maps", False)
    )
    with _batches(net, source, options) as batches, _rounding(options):
        for batch in batches:
            shots.append(camera.shoot(batch.tensor))
            frames.append(batch.frames)
            sizes.append(batch.photo_size)
            index += batch.indices
        skipped = list(batches.skipped.names)
    return PeakSet(
        images=tuple(source.names[i] for i in index),
        frames=np.concatenate(frames),
        input_size=net.input_size,
        peaks=_joined([shot.peaks for shot in shots]),
        mirrored=_joined([s.mirrored for s in shots if s.mirrored is not None]) or None,
        sketch=np.concatenate([s.sketch for s in shots]) if camera.mirror else None,
        channel_mean=statistics.mean,
        channel_scale=statistics.scale,
        header={**net.to_json(), "skipped": skipped},
        maps=np.concatenate([s.maps for s in shots]) if camera.keeps_maps else None,
        photo_size=np.concatenate(sizes),
    )


class _Shot(NamedTuple):
    """One batch's share of a `PeakSet`."""

    peaks: tuple[Peaks, ...]
    mirrored: tuple[Peaks, ...] | None
    sketch: F4
    maps: F2


class _Camera:
    """Takes batches of network inputs to peaks."""

    def __init__(
        self,
        net: Backbone,
        layers: Sequence[LayerSpec],
        statistics: ChannelStatistics,
        mirror: bool,
        keeps_maps: bool,
    ) -> None:
        self.net, self.layers, self.statistics, self.mirror = net, layers, statistics, mirror
        self.keeps_maps = keeps_maps
        self.sketch = MirrorSketch(layers[-1].channels, layers[-1].grid)

    def shoot(self, batch: Tensor) -> _Shot:
        peaks, top, look = self._peaks(batch)
        if not self.mirror:
            none = np.zeros((len(batch), 0), dtype=np.float32)
            return _Shot(peaks, None, none, self._kept(look))
        mirrored, mirrored_top, mirrored_look = self._peaks(batch.flip(3))
        sketch = self.sketch(top, mirrored_top).numpy()
        return _Shot(peaks, mirrored, sketch, self._kept(look, mirrored_look))

    def _kept(self, *views: Tensor) -> F2:
        """Return (B, V, H, W, C) the maps to keep; V = 0 where none are wanted."""
        if not self.keeps_maps:
            return np.zeros((len(views[0]), 0, 0, 0, 0), dtype=np.float16)
        largest = torch.finfo(torch.float16).max
        both = torch.stack(views, dim=1).clamp(max=largest).permute(0, 1, 3, 4, 2)
        return np.asarray(both.to(torch.float16).numpy())

    def _peaks(self, batch: Tensor) -> tuple[tuple[Peaks, ...], Tensor, Tensor]:
        """Return the peaks of all layers, and the responses of the top one and of `look_layer`."""
        maps = self.net.capture(batch, [layer.name for layer in self.layers])
        peaks = tuple(
            find_peaks(maps[layer.name].cpu().numpy(), layer, mean, scale, N_PEAKS)
            for layer, mean, scale in zip(self.layers, *self.statistics, strict=True)
        )
        return peaks, self._response(maps, -1), self._response(maps, look_layer(self.layers))

    def _response(self, maps: Mapping[str, Tensor], index: int) -> Tensor:
        """Return a layer's response (Eq. 1)."""
        mean, scale = (torch.tensor(s[index])[:, None, None] for s in self.statistics)
        return ((maps[self.layers[index].name].cpu() - mean) / scale).clamp(min=0)


def _joined(parts: Sequence[tuple[Peaks, ...]]) -> tuple[Peaks, ...]:
    """Put the batches of each layer together."""
    return tuple(
        Peaks(
            layers[0].layer,
            np.concatenate([p.yx for p in layers]),
            np.concatenate([p.weight for p in layers]),
        )
        for layers in zip(*parts, strict=True)
    )


def _batches(net: Backbone, source: ImageSource, options: ReadOptions) -> Batches:
    return iterate_batches(
        source,
        net.preprocess,
        batch_size=1 if options.get("deterministic", False) else options.get("batch_size", 32),
        workers=options.get("workers"),
        strict=options.get("strict", False),
        progress=options.get("progress", True),
    )


@contextmanager
def _rounding(options: ReadOptions) -> Iterator[None]:
    """Keep the network on one thread while `deterministic` asks for it."""
    if not options.get("deterministic", False):
        yield
        return
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)
