"""Annotations of one part, prepared for measuring: photos that count, halves, label orientation."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from explgraph.base.arrays import F8, U1, first_half
from explgraph.base.errors import check_finite, check_shape, require, unknown_name
from explgraph.photos.annotations import PhotoSize

if TYPE_CHECKING:
    from explgraph.photos.annotations import Annotations


_FEWEST_GROUPS = 2


@dataclass(frozen=True, eq=False, slots=True)
class PartTruth:
    """Where one part truly is. Photos are ordered by name, so results do not depend on their order.

    Attributes
    ----------
    part
        Name of the part.
    images
        n names: the photos with exactly one visible instance of the part.
    yx
        (n, 2) its centre, unit square, in the orientation of the photo as given.
    half
        (n,) 0 for half A, 1 for half B. A group (several crops of one photo) lies in one half.
    group
        n names: the group of each photo.
    faces_right
        (n,) whether the animal looks to the right: the head, or without a head the part, lies right
        of the middle. Mirroring these photos gives the *label orientation*, head on the left.
    instance_image
        A names: the photos of all visible instances, also where there are several.
    instance_yx
        (A, 2) their centres, as `yx`.
    """

    part: str
    images: tuple[str, ...]
    yx: F8
    half: U1
    group: tuple[str, ...]
    faces_right: NDArray[np.bool_]
    instance_image: tuple[str, ...]
    instance_yx: F8

    def __post_init__(self) -> None:
        n = len(self.images)
        check_shape("PartTruth.yx", self.yx, (n, 2))
        check_shape("PartTruth.half", self.half, (n,))
        check_shape("PartTruth.faces_right", self.faces_right, (n,))
        check_shape("PartTruth.instance_yx", self.instance_yx, (len(self.instance_image), 2))
        check_finite("PartTruth.instance_yx", self.instance_yx)
        require(len(self.group) == n, f"PartTruth needs {n} groups, got {len(self.group)}")
        require(
            list(self.images) == sorted(set(self.images)),
            "PartTruth.images must be different names in sorted order; use part_truth()",
        )

    def __len__(self) -> int:
        return len(self.images)


def part_truth(
    annotations: Annotations,
    part: str,
    photo_size: PhotoSize,
    *,
    head: str = "head",
    images: Collection[str] | None = None,
) -> PartTruth:
    """Prepare the annotations of one part for measuring.

    Parameters
    ----------
    annotations
        Visible instances of all parts, in pixels whose integers are pixel centres.
    part
        The part to measure.
    photo_size
        (height, width) of the photos in pixels, or one pair for each photo's name.
    head
        The part that says which way the animal looks. Photos in which it is not annotated (or all
        of them, when the name does not exist) take the part itself; of several heads, the one
        nearest to the part.
    images
        The photos to use, e.g. the ones that were matched; default: all.

    Returns
    -------
    `PartTruth`. Halves: the distinct groups of the photos with exactly one instance, sorted as
    strings, alternately A, B, A, B, ...

    Raises
    ------
    ExplGraphError
        If the part does not exist, a photo's size is unknown, or the photos with exactly one
        instance come from fewer than two groups, so that one half would be empty.
    """
    if part not in annotations.part:
        raise unknown_name("part", part, annotations.parts())
    used = annotations if images is None else annotations.take(_is_in(annotations.image, images))
    names, parts = (np.array(column, dtype=object) for column in (used.image, used.part))
    unit = used.unit(photo_size)
    chosen = np.flatnonzero(parts == part)
    photos, first, count = np.unique(names[chosen], return_index=True, return_counts=True)
    single = chosen[first[count == 1]]
    group = tuple(used.group[i] for i in single)
    require(
        len(set(group)) >= _FEWEST_GROUPS,
        f"part {part!r}: measuring needs photos with exactly one instance from at least "
        f"{_FEWEST_GROUPS} different groups, got {len(set(group))}: annotate more photos",
    )
    heads = parts == head
    return PartTruth(
        part=part,
        images=tuple(photos[count == 1]),
        yx=unit[single],
        half=(~first_half(group)).astype(np.uint8),
        group=group,
        faces_right=_faces_right(names[single], unit[single], names[heads], unit[heads]),
        instance_image=tuple(names[chosen]),
        instance_yx=unit[chosen],
    )


def _is_in(names: Sequence[str], images: Collection[str]) -> NDArray[np.bool_]:
    wanted = frozenset(images)
    return np.array([name in wanted for name in names], dtype=bool)


def _faces_right(
    names: NDArray[Any], yx: F8, head_names: NDArray[Any], head_yx: F8
) -> NDArray[np.bool_]:
    """Return (n,) whether the head, or without one the part itself, lies right of the middle."""
    side: NDArray[np.bool_] = yx[:, 1] > 0.5
    for i, name in enumerate(names):
        heads = head_yx[head_names == name]
        if len(heads):
            nearest = int(np.argmin(np.linalg.norm(heads - yx[i], axis=1)))
            side[i] = heads[nearest, 1] > 0.5
    return side
