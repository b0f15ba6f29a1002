"""What mining and matching will compile, compiled while the network is still running."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from explgraph.base.arrays import F4
from explgraph.base.layer import LayerSpec
from explgraph.peaks.structures import Peaks, PeakSet

from .config import MiningConfig
from .em import Mixture, PeakColumns, fit, held_out_gain, infer
from .matching import match_peaks
from .mine import mined_graph
from .parents import flat_prior

_PHOTOS, _FILTERS, _PEAKS = 12, 2, 8
_SIDE = 32


def compile_ahead() -> Iterator[None]:
    """Compile one loop after the other, by mining a graph of next to nothing and matching it.

    Loops that are compiled already, or lie on disk, take no time.

    Yields
    ------
    Nothing, after each step; the longest takes a few seconds.
    """
    peaks = _next_to_nothing()
    columns = PeakColumns.of(peaks.peaks[0])
    mixture = Mixture.at(np.full((_FILTERS, 2), _SIDE / 2), _FILTERS)
    prior, area = flat_prior(_FILTERS, _PHOTOS, variance=1.0), float(_SIDE**2)
    fitted = fit(columns, mixture, prior, area, max_iter=1, tol=0.0)
    yield
    infer(columns, mixture, prior, area)
    yield
    held_out_gain(columns, mixture, prior, area, fitted.sums)
    yield
    graph = mined_graph(peaks, MiningConfig(), 0)
    yield
    match_peaks(graph, peaks)
    yield


def _next_to_nothing() -> PeakSet:
    """Return peaks here and there in two layers, both ways."""
    layers = tuple(
        LayerSpec(
            name=str(stride), channels=_FILTERS, grid=(_SIDE // stride, _SIDE // stride),
            stride=(stride, stride), offset=(stride / 2, stride / 2), field=(stride, stride),
        )
        for stride in (4, 8)
    )  # fmt: skip
    rng = np.random.default_rng(0)

    def view() -> tuple[Peaks, ...]:
        shape = (_PHOTOS, _FILTERS, _PEAKS)
        weight: F4 = -np.sort(-rng.random(shape, dtype=np.float32), axis=2)
        yx = _SIDE * rng.random((*shape, 2), dtype=np.float32)
        return tuple(Peaks(layer, yx, weight) for layer in layers)

    one = (np.ones(_FILTERS, dtype=np.float32),) * 2
    return PeakSet(
        images=tuple(map(str, range(_PHOTOS))),
        input_size=(_SIDE, _SIDE),
        channel_mean=one,
        channel_scale=one,
        peaks=view(),
        mirrored=view(),
        frames=np.tile(np.array([[0.0, 1.0 / _SIDE]] * 2), (_PHOTOS, 1, 1)),
        photo_size=np.full((_PHOTOS, 2), _SIDE, dtype=np.int32),
        header={},
    )
