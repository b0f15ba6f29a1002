"""Splits for measuring few-shot localisation: which photos are clicked, which are looked at after.

A split file is JSON: category -> part -> number of clicks -> seed -> names of the clicked images.
Crops of one photo are a *group*, and a group lies on one side.

For folds of the clicked photos themselves nothing is needed here: give scikit-learn's `GroupKFold`
as the ``cv`` of its `GridSearchCV`, and `Annotations.group` as ``groups`` to its ``fit``.
"""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from explgraph.base.errors import ExplGraphError, require, unknown_name
from explgraph.base.files import PathLike, write_bytes

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
    require(source.is_file(), f"{source} is not a file")
    try:
        content = json.loads(source.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ExplGraphError(f"{source} is not JSON ({error})") from error
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
    require(text.isdecimal(), f"{where}: the {kind} must be a whole number, got {text!r}")
    return int(text)


def _names(where: str, images: object, clicks: int) -> tuple[str, ...]:
    is_list = isinstance(images, list) and all(isinstance(name, str) for name in images)
    names: tuple[str, ...] = tuple(images) if isinstance(images, list) and is_list else ()
    require(
        0 < clicks == len(set(names)) == len(names),
        f"{where}: expected a list of {clicks} different names of images, got {str(images)[:80]}",
    )
    return names


def write_splits(path: PathLike, splits: Mapping[str, PartSplits]) -> None:
    """Write the splits of some categories as `read_splits` reads them."""
    write_bytes(path, (json.dumps(splits, indent=1) + "\n").encode())


def make_splits(
    annotations: Annotations,
    parts: Collection[str] | None = None,
    clicks: Collection[int] = (1, 3, 5),
    seeds: Collection[int] = range(5),
) -> PartSplits:
    """Choose the images to click, for one category.

    Images are chosen from those with exactly one instance of the part, at most one of a group. They
    are drawn by a hash of seed, part, group and name: the same on every machine, whatever the order
    of the annotations. Of a seed, fewer clicks are the first of more clicks.

    Parameters
    ----------
    annotations
        Of one category.
    parts
        Which parts; default: all.
    clicks
        Numbers of images to click.
    seeds
        Each gives another choice.

    Raises
    ------
    ExplGraphError
        If a part is unknown or has too few groups for that many clicks.
    """
    require(all(count > 0 for count in clicks), f"clicks must be above 0, got {sorted(clicks)}")
    return {
        part: _part_splits(annotations.of(part), part, clicks, seeds)
        for part in (annotations.parts() if parts is None else parts)
    }


def _part_splits(
    marks: Annotations, part: str, clicks: Collection[int], seeds: Collection[int]
) -> dict[int, dict[int, tuple[str, ...]]]:
    count = Counter(marks.image)
    group_of = {
        image: group
        for image, group in zip(marks.image, marks.group, strict=True)
        if count[image] == 1
    }
    groups = len(set(group_of.values()))
    require(
        groups >= max(clicks, default=0),
        f"part {part!r}: {max(clicks, default=0)} clicks need as many photos with exactly one "
        f"instance, no two of them of one group, got {groups}: annotate more photos or ask for "
        "fewer clicks",
    )
    drawn = {seed: _drawn(group_of, part, seed) for seed in seeds}
    return {k: {seed: order[:k] for seed, order in drawn.items()} for k in clicks}


def _drawn(group_of: Mapping[str, str], part: str, seed: int) -> tuple[str, ...]:
    """Return images in an order as good as random, one of each group."""

    def draw(image: str) -> bytes:
        # The group too: crops of different categories are often called alike, 0001.jpg and so on.
        text = "\n".join((str(seed), part, group_of[image], image))
        return hashlib.sha256(text.encode()).digest()

    first: dict[str, str] = {}
    for image in sorted(group_of, key=draw):
        first.setdefault(group_of[image], image)
    return tuple(first.values())


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
