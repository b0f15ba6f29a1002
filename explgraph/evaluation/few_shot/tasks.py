"""Where a part is, from a few clicks: the tasks, and the figures of whoever answers them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from explgraph.base.arrays import F8
from explgraph.base.errors import check_finite, check_shape, require, unknown_name
from explgraph.base.figures import standard_error
from explgraph.photos.annotations import PhotoSize, photo_shapes

from .splits import PartSplits, held_out

if TYPE_CHECKING:
    import pandas as pd

    from explgraph.photos.annotations import Annotations


Index = NDArray[np.intp]

OTHER_PART = "other part"
NEAR, FAR = 0.1, 0.2
"""Normalised distances within which a prediction counts as correct (PCK)."""

_KEYS = ["category", "part", "clicks", "seed", "row"]
_FIGURES = ["distance", "median", "pck10", "pck20"]


@dataclass(frozen=True, eq=False, slots=True)
class Task:
    """A part, clicked in k photos, to be found in M others of the same category.

    Attributes
    ----------
    category, part
        Names.
    clicks
        k.
    seed
        Which of several choices of k photos this is.
    train
        (k,) indices of the clicked photos among the category's.
    yx
        (k, 2) the clicked centres, unit square of the photo as given.
    size
        (k, 2) full height and width of the part there, unit square; NaN where unknown.
    test
        (M,) indices of the photos to find the part in.
    truth
        M arrays (instances, 2) of where it is: to be read by nobody who answers.
    photo_size
        (M, 2) height and width of those photos, pixels.
    """

    category: str
    part: str
    clicks: int
    seed: int
    train: Index
    yx: F8
    size: F8
    test: Index
    truth: tuple[F8, ...]
    photo_size: F8

    def __post_init__(self) -> None:
        check_shape("Task.train", self.train, (self.clicks,))
        check_shape("Task.yx", self.yx, (self.clicks, 2))
        check_shape("Task.size", self.size, (self.clicks, 2))
        check_shape("Task.photo_size", self.photo_size, (len(self.test), 2))
        require(len(self.truth) == len(self.test), "Task needs the truth of each test photo")


class Locator(Protocol):
    """Answers the tasks of one category."""

    @property
    def name(self) -> str:
        """What it is called in the log."""
        ...

    def __call__(self, task: Task) -> Mapping[str, F8]:
        """Return, by the name of a row of the table, (M, 2) points in the unit square."""
        ...


def tasks(
    images: Sequence[str],
    annotations: Annotations,
    photo_size: PhotoSize,
    splits: PartSplits,
    *,
    category: str = "photos",
) -> list[Task]:
    """Pose the tasks of one category.

    A task is tested on every photo with at least one visible instance of the part, apart from the
    clicked photos and those of their groups. Of several instances in a clicked photo, the one that
    is annotated first is clicked.

    Parameters
    ----------
    images
        The category's photos, in the order that the tasks' indices count.
    annotations
        Parts in these photos; those of other photos are left out.
    photo_size
        (height, width) of the photos in pixels, or one pair for each photo's name.
    splits
        Which photos are clicked, as `explgraph.evaluation.few_shot.splits.read_splits` reads it, of
        this category.
    category
        Its name.

    Raises
    ------
    ExplGraphError
        If a part or a clicked photo is unknown, the part is not annotated in it, a photo's size is
        not known, or no photo is left to test on.
    """
    wanted = frozenset(images)
    known = annotations.take(np.array([name in wanted for name in annotations.image], dtype=bool))
    result = []
    for part, by_clicks in splits.items():
        marks = _marks(known.of(part), photo_size)
        for clicks, by_seed in by_clicks.items():
            for seed, training in by_seed.items():
                test = held_out(known, part, training)
                key = _Key(category, part, clicks, seed)
                result.append(_task(key, images, marks, training, test))
    return result


class _Key(NamedTuple):
    """What tells tasks apart."""

    category: str
    part: str
    clicks: int
    seed: int


class _Marks(NamedTuple):
    """A part's instances in one photo."""

    yx: F8  # (instances, 2), unit square
    size: F8  # (instances, 2), unit square
    photo_size: F8  # (2,), pixels


def _marks(annotations: Annotations, photo_size: PhotoSize) -> dict[str, _Marks]:
    """Return the instances of one part by photo, in the annotations' order."""
    rows: dict[str, list[int]] = {}
    for row, name in enumerate(annotations.image):
        rows.setdefault(name, []).append(row)
    unit, shape = annotations.unit(photo_size), photo_shapes(photo_size, annotations.image)
    size = annotations.size / shape
    return {
        name: _Marks(unit[chosen], size[chosen], shape[chosen[0]]) for name, chosen in rows.items()
    }


def _task(
    key: _Key,
    images: Sequence[str],
    marks: Mapping[str, _Marks],
    training: Sequence[str],
    test: Sequence[str],
) -> Task:
    where = f"splits of {key.category}, {key.part}, {key.clicks} clicks, seed {key.seed}"
    require(len(training) == key.clicks, f"{where}: expected {key.clicks} photos, got {training}")
    for name in training:
        if name not in marks:
            raise unknown_name("photo", name, marks, f"{where}: the part must be annotated in it")
    place = {name: i for i, name in enumerate(images)}
    return Task(
        *key,
        train=np.array([place[name] for name in training]),
        yx=np.array([marks[name].yx[0] for name in training]),
        size=np.array([marks[name].size[0] for name in training]),
        test=np.array([place[name] for name in test]),
        truth=tuple(marks[name].yx for name in test),
        photo_size=np.array([marks[name].photo_size for name in test]),
    )


def normalised_distances(task: Task, yx: F8) -> F8:
    """Return (M,) how far predictions are from the nearest true instance.

    In pixels of the photo, divided by the length of its diagonal.

    Parameters
    ----------
    task
        With M test photos.
    yx
        (M, 2) predictions, unit square.

    Raises
    ------
    ExplGraphError
        If there is not one finite prediction for each test photo.
    """
    check_shape("predictions", yx, (len(task.test), 2))
    check_finite("predictions", yx)
    pairs = zip(task.truth, yx, task.photo_size, strict=True)
    nearest = [np.linalg.norm((true - at) * size, axis=1).min() for true, at, size in pairs]
    return np.asarray(nearest / np.linalg.norm(task.photo_size, axis=1))


@dataclass(frozen=True, eq=False, slots=True)
class Score:
    """What one row of the table reaches in one task.

    Attributes
    ----------
    category, part, clicks, seed
        Of the task.
    row
        Name of the row.
    distances
        (M,) normalised distance in each test photo.
    """

    category: str
    part: str
    clicks: int
    seed: int
    row: str
    distances: F8


def score(task: Task, answers: Mapping[str, F8]) -> list[Score]:
    """Measure what a `Locator` answered to a task."""
    return [
        Score(task.category, task.part, task.clicks, task.seed, row, normalised_distances(task, yx))
        for row, yx in answers.items()
    ]


@dataclass(frozen=True, eq=False, slots=True)
class FewShotStudy:
    """The figures of several locators on the same tasks.

    Attributes
    ----------
    scores
        One for each task and row.
    """

    scores: tuple[Score, ...]

    @property
    def table(self) -> pd.DataFrame:
        """One row per task and row of the table.

        Columns: ``category``, ``part``, ``clicks``, ``seed``, ``row``; ``distance``, the mean over
        test photos of the normalised distance, and ``median``, the median; ``pck10`` and ``pck20``,
        the share of photos within a normalised distance of .1 and of .2; ``photos``, their number.
        """
        import pandas as pd

        lines = [
            {
                **{key: getattr(one, key) for key in _KEYS},
                "distance": one.distances.mean(),
                "median": np.median(one.distances),
                "pck10": np.mean(one.distances <= NEAR),
                "pck20": np.mean(one.distances <= FAR),
                "photos": len(one.distances),
            }
            for one in self.scores
        ]
        return pd.DataFrame(lines, columns=[*_KEYS, *_FIGURES, "photos"])

    def summary(self, categories: Sequence[str] | None = None) -> pd.DataFrame:
        """Average the table over seeds, then over categories.

        Parts that not every category has (front legs, feet) stand together as "other part": they
        are averaged within each category first, so that every category counts once.

        Parameters
        ----------
        categories
            Those to average; default: all.

        Returns
        -------
        Columns: ``part``, ``clicks``, ``row``, ``distance``, ``median``, ``pck10``, ``pck20``.

        Raises
        ------
        ExplGraphError
            If a category is unknown.
        """
        keys = ["part", "clicks", "row"]
        seeds = self._cells(categories).groupby(["category", *keys], sort=False, as_index=False)
        means = seeds[_FIGURES].mean().groupby(keys, sort=False, as_index=False)
        return means[_FIGURES].mean()

    def paired(self, row: str, other: str, categories: Sequence[str] | None = None) -> pd.DataFrame:
        """Compare two rows on the same tasks.

        Parameters
        ----------
        row, other
            Names of rows; a negative difference says that ``row`` is the better one.
        categories
            Those to compare on; default: all.

        Returns
        -------
        Columns: ``part``, ``clicks``, ``difference``, the mean over categories and seeds of
        ``row``'s distance minus ``other``'s; ``error_seeds``, its standard error over the seeds'
        averages over categories; ``error_categories``, its standard error over the categories'
        averages over seeds. NaN where there is one seed, or one category, only.

        Raises
        ------
        ExplGraphError
            If a row or a category is unknown.
        """
        import pandas as pd

        cells = self._cells(categories)
        for name in (row, other):
            if name not in set(cells["row"]):
                raise unknown_name("row", name, dict.fromkeys(cells["row"]))
        keys = ["part", "clicks", "category", "seed"]
        first, second = (
            cells[cells["row"] == name].set_index(keys)["distance"] for name in (row, other)
        )
        lines = []
        for (part, clicks), found in (first - second).groupby(["part", "clicks"], sort=False):
            grid = found.unstack("seed")
            lines.append(
                {
                    "part": part,
                    "clicks": clicks,
                    "difference": grid.to_numpy().mean(),
                    "error_seeds": standard_error(grid.mean(axis=0).to_numpy()),
                    "error_categories": standard_error(grid.mean(axis=1).to_numpy()),
                }
            )
        return pd.DataFrame(lines)

    def _cells(self, categories: Sequence[str] | None) -> pd.DataFrame:
        """Return the table with each category's parts under the names they share with others."""
        table = self.table
        known = list(dict.fromkeys(table["category"]))
        for name in categories or ():
            if name not in known:
                raise unknown_name("category", name, known)
        table = table[table["category"].isin(known if categories is None else list(categories))]
        shared = table.groupby("part")["category"].nunique() == table["category"].nunique()
        part = table["part"].where(table["part"].map(shared), OTHER_PART)
        by = table.assign(part=part).groupby(_KEYS, sort=False, as_index=False)
        return by[_FIGURES].mean()

    def to_json(self) -> dict[str, Any]:
        """Return the table and the summary over all categories as JSON values."""
        frames = {"tasks": self.table, "means": self.summary()}
        return {name: frame.to_dict(orient="records") for name, frame in frames.items()}
