"""Splits for measuring few-shot localisation: which photos are clicked, which are looked at after.

A split file is JSON: category -> part -> number of clicks -> seed -> names of the clicked images.
Crops of one photo are a *group*, and a group lies on one side.

For folds of the clicked photos themselves nothing is needed here: give scikit-learn's `GroupKFold`
as the ``cv`` of its `GridSearchCV`, and `Annotations.group` as ``groups`` to its ``fit``.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from explgraph.base.errors import ExplGraphError, require, unknown_name
from explgraph.base.files import PathLike
from explgraph.base.foreign import read_foreign
from explgraph.base.json_text import decode_json

if TYPE_CHECKING:
    from explgraph.photos.annotations import Annotations


PartSplits = Mapping[str, Mapping[int, Mapping[int, Sequence[str]]]]
"""Of one category: part -> number of clicks -> seed -> names of the images to click."""

_LEVELS = ("category", "part", "number of clicks", "seed")


def read_splits(path: PathLike) -> dict[str, PartSplits]:
    """Read a split file.

    Returns
    -------
    Category -> part -> number of clicks -> seed -> names of images, as many as clicks.

    Raises
    ------
    ExplGraphError
        If the file is missing or of another form; the message says where in the file.
    """
    source = Path(path)
    content = decode_json(read_foreign(source), str(source))
    splits: dict[str, dict[str, dict[int, dict[int, Sequence[str]]]]] = {}
    for (category, part, clicks, seed), images in _leaves(source, content):
        where = f"{source} > {category} > {part} > {clicks} > {seed}"
        names = _names(where, images, _whole(where, "number of clicks", clicks))
        of_part = splits.setdefault(category, {}).setdefault(part, {})
        of_part.setdefault(int(clicks), {})[_whole(where, "seed", seed)] = names
    return dict(splits)


def _leaves(
    source: Path, content: object, keys: tuple[str, ...] = ()
) -> Iterator[tuple[tuple[str, ...], object]]:
    """Yield what lies below the four levels of keys."""
    if len(keys) == len(_LEVELS):
        yield keys, content
        return
    if not isinstance(content, dict) or not content:
        place = " > ".join((str(source), *keys))
        raise ExplGraphError(
            f"{place}: expected an object with each {_LEVELS[len(keys)]} as a key, got "
            f"{str(content)[:60]}. A split file holds {' -> '.join(_LEVELS)} -> names of images"
        )
    for key, value in content.items():
        yield from _leaves(source, value, (*keys, key))


def _whole(where: str, kind: str, text: str) -> int:
    # Python takes digits of all scripts, and balks at thousands of them.
    require(
        re.fullmatch("[0-9]{1,9}", text) is not None,
        f"{where}: the {kind} must be a whole number below 10^9, got {text[:60]!r}",
    )
    return int(text)


def _names(where: str, images: object, clicks: int) -> tuple[str, ...]:
    is_list = isinstance(images, list) and all(isinstance(name, str) for name in images)
    names: tuple[str, ...] = tuple(images) if isinstance(images, list) and is_list else ()
    require(
        0 < clicks == len(set(names)) == len(names),
        f"{where}: expected a list of {clicks} different names of images, got {str(images)[:80]}",
    )
    return names


def held_out(annotations: Annotations, part: str, training: Collection[str]) -> list[str]:
    """Return the images to measure a part on after some were clicked.

    Parameters
    ----------
    annotations
        Visible instances of all parts.
    part
        The part.
    training
        Names of the clicked images.

    Returns
    -------
    Sorted names of the images with at least one instance of the part, but for the clicked ones and
    all others of their groups.

    Raises
    ------
    ExplGraphError
        If the part is unknown, a clicked image is not annotated, or no image is left.
    """
    group_of = dict(zip(annotations.image, annotations.group, strict=True))
    for image in training:
        if image not in group_of:
            raise unknown_name("training image", image, group_of)
    used = {group_of[image] for image in training}
    images = {image for image in annotations.of(part).image if group_of[image] not in used}
    require(
        len(images) > 0,
        f"no image with the part {part!r} is left to measure on: all belong to the groups of the "
        f"{len(training)} clicked images",
    )
    return sorted(images)
