"""Places of parts in FiftyOne's samples, as key points; FiftyOne itself is the user's."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from importlib import import_module
from pathlib import PurePath
from typing import Any, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from explgraph.base.errors import ExplGraphError, require

from .annotations import photo_of
from .part_places import PREDICTED, PartPlaces


class Placed(Protocol):
    """What `Localizations` and `PartPlaces` have in common."""

    @property
    def images(self) -> tuple[str, ...]:
        """Names of photos."""

    @property
    def parts(self) -> tuple[str, ...]:
        """Names of parts."""

    @property
    def yx(self) -> NDArray[np.floating]:
        """Centres, unit squares of the photos."""

    @property
    def confidence(self) -> NDArray[np.floating]:
        """How surely they are known."""

    @property
    def visible(self) -> NDArray[np.generic]:
        """Whether the parts are to be seen."""


@runtime_checkable
class Session(Protocol):
    """What of a `LabelSession` is needed here."""

    def places(self) -> PartPlaces:
        """Return what is known of all parts."""


def to_fiftyone(samples: Iterable[Any], where: Placed | Session, field: str = "parts") -> int:
    """Fill a field of FiftyOne's samples with key points: where parts are in their photos.

    A sample is matched by its ``filepath``, whose end must be a photo's name with its folders:
    "/data/photos/sub/a.jpg" is the photo "sub/a.jpg" of the folder "/data/photos". Samples of other
    photos stay as they are.

    Parameters
    ----------
    samples
        A FiftyOne dataset or view. Samples are saved one by one.
    where
        Answers of `locate`, or a `LabelSession`: then what people said has confidence 1.
    field
        Gets a ``fiftyone.Keypoints`` with one ``Keypoint`` for each visible part: ``label``, its
        one point in 0..1 as x, y, its ``confidence``, and ``answer``, which is "here" or "right"
        where a person said so and else "predicted".

    Returns
    -------
    How many samples were filled; also those of photos in which no part is visible.

    Raises
    ------
    ExplGraphError
        If FiftyOne cannot be imported, no sample is of a photo, or two are of the same one.

    Examples
    --------
    >>> import fiftyone  # doctest: +SKIP
    >>> dataset = fiftyone.Dataset.from_images_dir("photos")  # doctest: +SKIP
    >>> eg.to_fiftyone(dataset, eg.locate(parts, found))  # doctest: +SKIP
    200
    """
    try:
        fiftyone: Any = import_module("fiftyone")
    except ImportError as error:
        raise ExplGraphError(f"FiftyOne cannot be imported ({error}): pip install it") from error
    placed: Placed = where.places() if isinstance(where, Session) else where
    some = list(samples) if iter(samples) is samples else samples
    rows: dict[str, list[int]] = {photo_of(name): [] for name in placed.images}
    for row in np.flatnonzero(placed.visible):
        rows[photo_of(placed.images[row])].append(int(row))
    paths: dict[str, str] = {}
    for sample in some:
        photo = _photo(sample.filepath, rows)
        require(
            photo is None or paths.setdefault(photo, sample.filepath) == sample.filepath,
            f"the photo {photo!r} may be {sample.filepath} or {paths.get(photo or '')}: select the "
            "samples of the folder of photos",
        )
    require(len(paths) > 0, f"no sample is one of the photos, such as {next(iter(rows), '')!r}")
    count = 0
    for sample in some:
        photo = _photo(sample.filepath, rows)
        if photo is not None:
            points = [_point(fiftyone, placed, row) for row in rows[photo]]
            sample[field] = fiftyone.Keypoints(keypoints=points)
            sample.save()
            count += 1
    return count


def _photo(filepath: str, names: Collection[str]) -> str | None:
    """Return the longest end of a path that is a photo's name."""
    parts = PurePath(filepath).parts
    ends = ("/".join(parts[first:]) for first in range(len(parts)))
    return next((end for end in ends if end in names), None)


def _point(fiftyone: Any, placed: Placed, row: int) -> object:  # noqa: ANN401  a module
    y, x = placed.yx[row].tolist()
    answers: Sequence[str] | None = getattr(placed, "answers", None)
    return fiftyone.Keypoint(
        label=placed.parts[row],
        points=[(x, y)],
        confidence=[float(placed.confidence[row])],
        answer=PREDICTED if answers is None else answers[row],
    )
