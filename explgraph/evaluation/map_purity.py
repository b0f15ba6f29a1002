"""How pure whole activation maps are: what a filter means before it is split into nodes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from explgraph.base.arrays import F4, F8
from explgraph.base.errors import require
from explgraph.base.frames import grid_points, to_unit
from explgraph.base.layer import LayerSpec
from explgraph.base.progress import Progress
from explgraph.networks.backbone import Backbone
from explgraph.peaks.structures import PeakSet
from explgraph.photos.images import open_images
from explgraph.photos.loading import iterate_batches
from explgraph.photos.masks import Labels, PartMasks

from .purity import Purity, check_photos, label_at, leading_photos, object_shares

_REGION = 0.5  # of a map's maximum: the cells above it are the activated region


def map_purity(
    net: Backbone,
    images: object,
    peaks: PeakSet,
    masks: PartMasks,
    *,
    batch_size: int | None = None,
    progress: Progress = True,
) -> Purity:
    """Measure which parts lie under the whole activated regions of filters.

    A filter's score in a photo is its strongest response there; it is judged by its best photos, as
    `part_purity` judges a node. The activated region are the cells whose response is above half of
    the map's maximum in that photo. A cell has the label of the pixel at the centre of its
    receptive field, and every photo counts the same: the filter's purity is the mean over its best
    photos of the share of the region that its most frequent part takes. A region of one cell makes
    this the purity of the strongest peak.

    The control ``frozen`` takes the region of the filter's mean map over its best photos (each map
    divided by its maximum) instead.

    Parameters
    ----------
    net
        The network that gave the peaks.
    images
        The photos, in any form that `open_images` takes. The network sees them once more, because
        peaks hold no maps; no more than a batch of maps is in memory.
    peaks
        Peaks of N of these photos, which tell the layers and the scores.
    masks
        Of the photos of ``peaks``, in the same order.
    batch_size, progress
        As in `ReadOptions`.

    Raises
    ------
    ExplGraphError
        If the masks or the photos are not those of the peaks, or no filter ever fires.
    """
    check_photos(peaks.images, masks)
    regions = [_Regions(i, peaks, masks) for i in range(len(peaks.layers))]
    source, row = open_images(images), {name: i for i, name in enumerate(peaks.images)}
    names = [layer.name for layer in peaks.layers]
    seen = 0
    with iterate_batches(
        source, net.preprocess, batch_size=net.batch_size(batch_size), progress=progress
    ) as batches:
        for batch in batches:
            known = [i for i, index in enumerate(batch.indices) if source.names[index] in row]
            if known:
                rows = np.array([row[source.names[batch.indices[i]]] for i in known])
                maps: Mapping[str, Tensor] = net.capture(batch.tensor[known], names)
                for layer, name in zip(regions, names, strict=True):
                    layer.add(rows, maps[name].cpu().numpy())
            seen += len(known)
    require(
        seen == len(peaks),
        f"only {seen} of the {len(peaks)} photos of the peaks are among the images: give the "
        "images that the peaks were extracted from",
    )
    return _summary([layer.figures() for layer in regions])


class _Figures(NamedTuple):
    """(c,) figures of the c filters of a layer that fire at all, and their most frequent parts."""

    part: NDArray[np.intp]
    purity: F8
    frozen: F8
    chance: F8


class _Regions:
    """Gathers what parts lie under one layer's regions, batch by batch."""

    def __init__(self, index: int, peaks: PeakSet, masks: PartMasks) -> None:
        layer = peaks.layers[index]
        self._floor = peaks.channel_mean[index][:, None, None]
        self._best = _best_rows(peaks.peaks[index].weight[:, :, 0])
        self._cells = _cell_labels(layer, peaks.frames, masks)
        self._shares = object_shares(masks)
        self._under = np.zeros((layer.channels, len(masks.parts)))
        self._mean_map = np.zeros((layer.channels, *layer.grid))

    def add(self, rows: NDArray[np.intp], maps: F4) -> None:
        """Take in (B, C, H, W) maps of the photos at B rows of the peaks."""
        response = np.maximum(maps - self._floor, 0)
        top = response.max(axis=(2, 3), keepdims=True)
        response /= np.where(top > 0, top, 1)
        for image, photo in enumerate(rows):
            filters = np.flatnonzero(self._best[photo])
            relative = response[image, filters]
            self._mean_map[filters] += relative
            self._under[filters] += self._part_shares(relative > _REGION, photo)

    def _part_shares(self, region: NDArray[np.bool_], photo: int) -> F8:
        """Return (c, n_parts) the share of c regions (c, H, W) that each part takes in a photo."""
        is_part = self._cells[photo].ravel()[:, None] == np.arange(self._under.shape[1])
        inside = region.reshape(len(region), is_part.shape[0]).astype(np.float64)
        size = np.maximum(inside.sum(axis=1, keepdims=True), 1)
        shares: F8 = inside @ is_part.astype(np.float64) / size
        return shares

    def figures(self) -> _Figures:
        """Judge the filters once all photos are in."""
        top = self._mean_map.max(axis=(1, 2), keepdims=True)
        region = self._mean_map > _REGION * top
        frozen = np.zeros_like(self._under)
        for photo, best in enumerate(self._best):
            frozen[best] += self._part_shares(region[best], photo)
        part, count = self._under.argmax(axis=1), self._best.sum(axis=0)
        fires = np.flatnonzero(count)
        chance = (self._best.T.astype(np.float64) @ self._shares)[fires, part[fires]]
        return _Figures(
            part[fires],
            self._under.max(axis=1)[fires] / count[fires],
            frozen.max(axis=1)[fires] / count[fires],
            chance / count[fires],
        )


def _best_rows(score: F4) -> NDArray[np.bool_]:
    """Mark (N, C) the best photos of each filter."""
    best = np.zeros(score.shape, dtype=bool)
    for channel in range(score.shape[1]):
        best[leading_photos(score[:, channel]), channel] = True
    return best


def _cell_labels(layer: LayerSpec, frames: F8, masks: PartMasks) -> Labels:
    """Return (N, H, W) the label at the centre of each cell's receptive field."""
    centres = grid_points(layer.centres(0), layer.centres(1))
    labels = [
        label_at(to_unit(frame, centres), mask)
        for frame, mask in zip(frames, masks.labels, strict=True)
    ]
    return np.stack(labels)


def _summary(layers: list[_Figures]) -> Purity:
    part, purity, frozen, chance = (np.concatenate(column) for column in zip(*layers, strict=True))
    require(len(part) > 0, "purity needs a filter that fires in at least one photo")
    return Purity(
        nodes=len(part),
        purity=float(purity.mean()),
        frozen=float(frozen.mean()),
        chance=float(chance.mean()),
        parts=len(set(part.tolist())),
    )
