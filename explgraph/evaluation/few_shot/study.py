"""The few-shot protocol in one run: every locator answers the same tasks of the same photos."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np

from explgraph.base.arrays import F8
from explgraph.base.errors import require, unknown_name
from explgraph.networks.backbone import Backbone
from explgraph.photos.images import ImageSource, open_images

from .tasks import FewShotStudy, Locator, Score, Task, score, tasks

if TYPE_CHECKING:
    from explgraph.photos.annotations import Annotations

    from .maps import DenseMaps
    from .splits import PartSplits


CROP_CENTRE = "centre of the photo"
MEAN_OF_CLICKS = "mean of the clicks"
MEAN_OF_TRUTH = "mean of all true positions"
"""A ceiling for constants: it has seen the labels."""

_log = logging.getLogger("explgraph")


@dataclass(frozen=True, eq=False, slots=True)
class FewShotCategory:
    """What a locator may look at before it is asked: everything but the truth.

    Attributes
    ----------
    name
        What the photos show.
    net
        The network.
    images
        N photos, in the order that the tasks' indices count.
    background
        Photos of anything; None where none were given.
    tasks
        What will be asked.
    layers
        Names of the layers to look at, lowest first.
    batch_size
        Photos per run of the network.
    """

    name: str
    net: Backbone
    images: ImageSource
    background: object | None
    tasks: tuple[Task, ...]
    layers: tuple[str, ...]
    batch_size: int | None


LocatorFactory = Callable[[FewShotCategory], Locator]
"""Prepares a locator for one category: whatever does not depend on a single task is done here."""


class Constants:
    """The rows that look at no photo: the centre, the mean of the clicks, the mean of the truth."""

    name = "constants"

    def __call__(self, task: Task) -> dict[str, F8]:
        """Return one point for all photos, by row."""
        points = {
            CROP_CENTRE: np.array([0.5, 0.5]),
            MEAN_OF_CLICKS: task.yx.mean(axis=0),
            MEAN_OF_TRUTH: np.mean([instances[0] for instances in task.truth], axis=0),
        }
        return {row: np.tile(yx, (len(task.test), 1)) for row, yx in points.items()}


def constants(_category: FewShotCategory) -> Locator:
    """Prepare nothing: see `Constants`."""
    return Constants()


def matching(category: FewShotCategory) -> Locator:
    """Prepare `FeatureMatching`."""
    from .feature_matching import FeatureMatching

    return FeatureMatching(_maps(category), category.tasks)


def raw_units(category: FewShotCategory) -> Locator:
    """Prepare `RawUnitGraph`."""
    from .raw_units import RawUnitGraph

    return RawUnitGraph(_maps(category))


def grad_cam(category: FewShotCategory) -> Locator:
    """Prepare `GradCam`."""
    from .grad_cam import GradCam

    return GradCam(
        category.net, category.images, category.layers[-1], batch_size=category.batch_size
    )


def _maps(category: FewShotCategory) -> DenseMaps:
    from .maps import dense_maps

    return dense_maps(
        category.net,
        category.images,
        category.layers,
        background=category.background,
        batch_size=category.batch_size,
    )


BASELINES: tuple[LocatorFactory, ...] = (constants, grad_cam, matching, raw_units)
"""All rows beside which a method has to be read."""


def study_few_shot(
    net: Backbone,
    images: Mapping[str, object],
    annotations: Mapping[str, Annotations],
    splits: Mapping[str, PartSplits],
    *,
    background: object | None = None,
    locators: Sequence[LocatorFactory] = BASELINES,
    layers: Literal["auto"] | Sequence[str] = "auto",
    batch_size: int | None = None,
) -> FewShotStudy:
    """Let locators find parts from a few clicks, and measure them.

    Parameters
    ----------
    net
        The network.
    images
        By category, its photos, in any form that `open_images` takes; each must be readable.
    annotations
        By category, the parts in its photos.
    splits
        By category, which photos are clicked; those of other categories are left out.
    background
        Photos of anything, for what is a strong response; None: each category's own photos.
    locators
        Who answers. One category and one locator at a time are in memory.
    layers
        Names, or "auto" for the network's last conv stages.
    batch_size
        Photos per run of the network.

    Raises
    ------
    ExplGraphError
        If there is no category, one has no annotations or splits, or these do not fit its photos.
    """
    require(len(locators) > 0, "a study needs a locator")
    posed = pose_tasks(
        net,
        images,
        annotations,
        splits,
        background=background,
        layers=layers,
        batch_size=batch_size,
    )
    return FewShotStudy(tuple(score for category in posed for score in _scores(category, locators)))


def pose_tasks(
    net: Backbone,
    images: Mapping[str, object],
    annotations: Mapping[str, Annotations],
    splits: Mapping[str, PartSplits],
    *,
    background: object | None = None,
    layers: Literal["auto"] | Sequence[str] = "auto",
    batch_size: int | None = None,
) -> Iterator[FewShotCategory]:
    """Open the photos of each category and pose its tasks; see `study_few_shot`."""
    require(len(images) > 0, "a study needs a category")
    for name in images:
        if name not in splits:
            raise unknown_name("category", name, splits, "the splits have no photos of it to click")
        if name not in annotations:
            raise unknown_name("category", name, annotations, "it is not annotated")
    chosen = tuple(layer.name for layer in net.select(layers))
    for name, photos in images.items():
        source = open_images(photos)
        size = source.photo_sizes(annotations[name].image)
        posed = tasks(source.names, annotations[name], size, splits[name], category=name)
        yield FewShotCategory(name, net, source, background, tuple(posed), chosen, batch_size)


def _scores(category: FewShotCategory, factories: Sequence[LocatorFactory]) -> Iterator[Score]:
    for prepare in factories:
        locator = prepare(category)
        _log.info("%s: %s, %d tasks", category.name, locator.name, len(category.tasks))
        for task in category.tasks:
            yield from score(task, locator(task))
