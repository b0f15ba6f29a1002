"""Dense maps of a few layers for all photos of a category, as they are and mirrored."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as nnf

from explgraph.base.arrays import F8
from explgraph.base.frames import mirrored_yx, to_pixels
from explgraph.base.layer import LayerSpec
from explgraph.networks.backbone import Backbone
from explgraph.peaks.reading import ReadOptions, read_batches
from explgraph.peaks.statistics import channel_moments
from explgraph.photos.images import open_images

VIEWS = 2
"""A photo as given, then its mirror image."""


@dataclass(frozen=True, eq=False, slots=True)
class DenseLayer:
    """One layer's output for N photos.

    Attributes
    ----------
    layer
        The layer.
    values
        (2, N, C, H, W) float16: the photos as given and mirrored, divided by ``scale``.
    mean, scale
        (C,) float32 mean and standard deviation over all cells of the background photos, the mean
        divided by the deviation.
    """

    layer: LayerSpec
    values: Tensor
    mean: Tensor
    scale: Tensor


@dataclass(frozen=True, eq=False, slots=True)
class DenseMaps:
    """The outputs of L layers for N photos.

    Attributes
    ----------
    layers
        L layers, lowest first.
    frames
        (N, 2, 2) from network pixels to the photo's unit square, per axis (y, x):
        ``unit = frames[:, :, 0] + frames[:, :, 1] * px``.
    input_size
        (H_in, W_in) of the network's input, pixels.
    """

    layers: tuple[DenseLayer, ...]
    frames: F8
    input_size: tuple[int, int]

    def __len__(self) -> int:
        return len(self.frames)

    def to_cells(self, layer: LayerSpec, view: int, photo: int, yx: F8) -> F8:
        """Return where points lie on a layer's grid: 0 is the middle of the first cell.

        Parameters
        ----------
        layer
            The layer.
        view
            0 for the photo as given, 1 for its mirror image.
        photo
            Its index.
        yx
            (..., 2) in the unit square of that view: a mirrored photo has its own.
        """
        pixels = to_pixels(self.frames[photo], mirrored_yx(yx, view == 1))
        pixels = mirrored_yx(pixels, view == 1, self.input_size[1])
        return np.asarray((pixels - layer.offset) / layer.stride)


def dense_maps(
    net: Backbone,
    images: object,
    layers: Sequence[str],
    *,
    background: object | None = None,
    batch_size: int | None = None,
) -> DenseMaps:
    """Run the network over photos and keep the maps of some layers.

    They stay in memory: two bytes for each cell of each channel, photo and view.

    Parameters
    ----------
    net
        The network.
    images
        N photos, in any form that `open_images` takes; each must be readable.
    layers
        Names.
    background
        Photos of anything, for the channels' mean and deviation; None: the photos themselves.
    batch_size
        Photos per run of the network.

    Raises
    ------
    ExplGraphError
        If a photo cannot be read, a layer is unknown, never fires or gives NaN.
    """
    specs = net.select(layers)
    names = [layer.name for layer in specs]
    reference = images if background is None else background
    options: ReadOptions = {"batch_size": batch_size, "strict": True}
    moments = channel_moments(net, reference, specs, options)
    means, scales = (tuple(map(torch.from_numpy, values)) for values in moments)
    source = open_images(images)
    kept = [
        torch.empty((VIEWS, len(source), layer.channels, *layer.grid), dtype=torch.float16)
        for layer in specs
    ]
    frames = np.empty((len(source), 2, 2))
    for batch in read_batches(net, source, options):
        frames[batch.indices] = batch.frames
        for view, tensor in enumerate((batch.tensor, batch.tensor.flip(3))):
            found = net.capture(tensor, names)
            for name, values, scale in zip(names, kept, scales, strict=True):
                scaled = found[name].cpu() / scale[:, None, None]
                values[view, batch.indices] = scaled.to(torch.float16)
    together = zip(specs, kept, means, scales, strict=True)
    maps = tuple(DenseLayer(spec, v, mean / scale, scale) for spec, v, mean, scale in together)
    return DenseMaps(maps, frames, net.input_size)


def sample(maps: Tensor, cells: Tensor) -> Tensor:
    """Read maps between their cells, bilinearly; outside, as at the border.

    Parameters
    ----------
    maps
        (B, C, H, W) float32.
    cells
        (B, ..., 2) positions (y, x) in cells, 0 = the middle of the first one.

    Returns
    -------
    (B, C, ...)
    """
    size = torch.tensor(maps.shape[2:], dtype=torch.float32)
    within = 2 * cells.float() / (size - 1) - 1  # -1 and 1: the middles of the outermost cells
    flat = within.flip(-1).reshape(len(cells), 1, -1, 2)
    found = nnf.grid_sample(maps, flat, padding_mode="border", align_corners=True)
    return found.reshape(len(maps), maps.shape[1], *cells.shape[1:-1])
