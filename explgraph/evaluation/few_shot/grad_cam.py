"""Without any click: where a classifier sees the evidence of a category's class (Grad-CAM)."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from explgraph.base.arrays import F8
from explgraph.base.frames import to_unit
from explgraph.base.layer import LayerSpec
from explgraph.networks.backbone import Backbone
from explgraph.networks.intervention import logit_gradients, observe
from explgraph.photos.images import ImageSource, open_images
from explgraph.photos.loading import Batches, iterate_batches

from .tasks import Task

FREQUENT_CLASS = "Grad-CAM centroid, the category's most frequent class"
OWN_CLASS = "Grad-CAM centroid, each photo's own class"


class GradCam:
    """Takes the centroid of a class's evidence for the part: the same for all parts and clicks.

    No labels choose the class. Rows: the class that the network gives most of the category's
    photos, and that which it gives each photo (a bird may be of many classes).

    Parameters
    ----------
    net
        A classifier.
    images
        The category's N photos, in any form that `open_images` takes.
    layer
        Whose cells speak for the class: the network's last one.
    batch_size
        Photos per run of the network.

    Attributes
    ----------
    centroids
        By row, (N, 2) in the unit square.
    """

    name = "Grad-CAM"

    def __init__(
        self, net: Backbone, images: object, layer: str, *, batch_size: int | None = None
    ) -> None:
        source = open_images(images)
        targets = {
            FREQUENT_CLASS: frequent_class(net, source, layer, batch_size=batch_size),
            OWN_CLASS: None,
        }
        self.centroids = {
            row: centroids(net, source, layer, target, batch_size=batch_size)
            for row, target in targets.items()
        }

    def __call__(self, task: Task) -> dict[str, F8]:
        """Return the centroids in the test photos."""
        return {row: yx[task.test] for row, yx in self.centroids.items()}


def frequent_class(
    net: Backbone, images: object, layer: str, *, batch_size: int | None = None
) -> int:
    """Return the class that most photos are given; of equally frequent ones, the first.

    ``layer`` is any layer of the network.

    Raises
    ------
    ExplGraphError
        If the network is no classifier, or a photo cannot be read.
    """
    with _batches(net, open_images(images), batch_size) as batches:
        best = [observe(net, batch.tensor, [layer]).logits.argmax(dim=1) for batch in batches]
    return int(torch.cat(best).bincount().argmax())


def centroids(
    net: Backbone, images: object, layer: str, target: int | None, *, batch_size: int | None = None
) -> F8:
    """Find the middle of what speaks for a class.

    The Grad-CAM of a layer: the sum of its channels, each weighted by
    the mean over cells of the logit's gradient, where it is positive. The answer is the centre of
    mass of the cells with more than half of the maximum, the middle of the photo where nothing
    speaks for the class.

    Parameters
    ----------
    net
        A classifier.
    images
        N photos, each of which must be readable.
    layer
        Name.
    target
        The class; None: each photo's own top-1.
    batch_size
        Photos per run of the network.

    Returns
    -------
    (N, 2) unit square.

    Raises
    ------
    ExplGraphError
        As `frequent_class`, and if there is no such class.
    """
    (spec,) = net.select([layer])
    found = []
    with _batches(net, open_images(images), batch_size) as batches:
        for batch in batches:
            seen = logit_gradients(net, batch.tensor, [layer], target)
            weight = seen.gradients[layer].mean(dim=(2, 3), keepdim=True)
            evidence = (weight * seen.maps[layer]).sum(dim=1).clamp(min=0)
            pixels = _centre_of_mass(spec, evidence.cpu().double())
            # Where nothing speaks for the class there is no centre.
            found.append(np.nan_to_num(to_unit(batch.frames, pixels), nan=0.5))
    return np.concatenate(found)


def _centre_of_mass(layer: LayerSpec, evidence: Tensor) -> NDArray[np.float64]:
    """Return (B, 2) the centre of the cells above half of the maximum, network pixels, or NaN."""
    strong = torch.where(evidence > evidence.amax(dim=(1, 2), keepdim=True) / 2, evidence, 0)
    mass = strong.sum(dim=(1, 2))
    rows, columns = (torch.arange(size, dtype=torch.float64) for size in layer.grid)
    y = (strong.sum(dim=2) @ rows) / mass
    x = (strong.sum(dim=1) @ columns) / mass
    return np.asarray(layer.offset + torch.stack([y, x], dim=1).numpy() * layer.stride)


def _batches(net: Backbone, source: ImageSource, batch_size: int | None) -> Batches:
    size = net.batch_size(batch_size)
    return iterate_batches(source, net.preprocess, batch_size=size, strict=True)
