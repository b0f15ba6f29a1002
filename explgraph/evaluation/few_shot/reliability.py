"""Does an And-Or graph know how sure it is: regions that hold the part, parts that are hidden."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from aog import fit_clicks, locate
from aog.answers import GRID, cell_centres, confidence_region, region_share
from aog.clicks import Clicks
from explgraph.base.arrays import F8
from explgraph.base.errors import require
from explgraph.photos.images import ImageSource, open_images
from explgraph.pipeline import match

from .and_or import mine_category
from .study import FewShotCategory
from .tasks import NEAR, Task, normalised_distances

if TYPE_CHECKING:
    import pandas as pd

    from explgraph.graphs.graph import ExplanatoryGraph
    from explgraph.graphs.matches import Matches
    from explgraph.photos.annotations import Annotations


LEVEL = 0.9
"""Probability of the regions."""

_BANDWIDTH = 0.05  # of the density of true centres, unit square

_log = logging.getLogger("explgraph")


@dataclass(frozen=True, slots=True)
class Reliability:
    """The figures of one task.

    Attributes
    ----------
    category, part, clicks, seed
        The task.
    coverage
        Share of the photos whose region of 90 % holds the true centre.
    area
        Median area of that region, share of the photo.
    constant_area
        Control: area of the best region that is the same for all photos and holds as many true
        centres. It has seen them.
    confidence
        Mean of the confidences, to be read beside ``near``: the share of the answers within a tenth
        of the diagonal.
    near
        See ``confidence``.
    auroc
        How well the evidence tells photos in which the part is painted over from those in which as
        much is painted over elsewhere: .5 is chance.
    seen, seen_hidden
        Share of the latter and of the former that are called visible.
    """

    category: str
    part: str
    clicks: int
    seed: int
    coverage: float
    area: float
    constant_area: float
    confidence: float
    near: float
    auroc: float
    seen: float
    seen_hidden: float


@dataclass(frozen=True, slots=True)
class ReliabilityStudy:
    """The figures of several tasks.

    Attributes
    ----------
    tasks
        One entry for each.
    """

    tasks: tuple[Reliability, ...]

    @property
    def table(self) -> pd.DataFrame:
        """One row per task, with the fields of `Reliability` as columns."""
        import pandas as pd

        return pd.DataFrame([asdict(one) for one in self.tasks])

    @property
    def summary(self) -> pd.DataFrame:
        """Average over seeds: one row per category, part and number of clicks."""
        keys = ["category", "part", "clicks"]
        return self.table.drop(columns="seed").groupby(keys, sort=False, as_index=False).mean()

    def to_json(self) -> list[dict[str, Any]]:
        """Return the table as JSON values."""
        return [asdict(one) for one in self.tasks]


class _Occluded(NamedTuple):
    """Photos with a part painted over: their rows, and their matches."""

    rows: NDArray[np.intp]
    hidden: Matches
    control: Matches


def study_reliability(
    categories: Iterable[FewShotCategory], annotations: Mapping[str, Annotations], textures: object
) -> ReliabilityStudy:
    """Mine each category's graph, and fit and question an And-Or graph for each task.

    Parameters
    ----------
    categories
        Their photos and tasks, from `explgraph.evaluation.few_shot.study.pose_tasks`.
    annotations
        By category, with sizes: what is painted over.
    textures
        Photos of anything else, which the paint is cut from.

    Raises
    ------
    ExplGraphError
        If no photo of a part can be painted over, or as `extract` and `mine`.
    """
    found: list[Reliability] = []
    for category in categories:
        _log.info("%s: reliability, %d tasks", category.name, len(category.tasks))
        found += _category(category, annotations[category.name], textures)
    return ReliabilityStudy(tuple(found))


def _category(
    category: FewShotCategory, annotations: Annotations, textures: object
) -> list[Reliability]:
    graph, found = mine_category(category)
    paint = open_images(textures)
    occluded: dict[str, _Occluded] = {}
    for part in dict.fromkeys(task.part for task in category.tasks):
        photos = hide_part(category.images, annotations, part, paint)
        occluded[part] = _Occluded(
            np.array(photos.rows),
            *(
                match(graph, category.net, images, views=True, batch_size=category.batch_size)
                for images in (photos.hidden, photos.control)
            ),
        )
    return [_reliability(task, graph, found, occluded[task.part]) for task in category.tasks]


def _reliability(
    task: Task, graph: ExplanatoryGraph, found: Matches, occluded: _Occluded
) -> Reliability:
    from sklearn.metrics import roc_auc_score

    clicks = Clicks(task.part, task.train, task.yx, task.size)
    parts = fit_clicks(graph, found, [clicks])
    where = locate(parts, found.take(task.test))
    region = confidence_region(where, LEVEL)
    inside = np.array(
        [_holds(one, instances) for one, instances in zip(region, task.truth, strict=True)]
    )
    distance = normalised_distances(task, where.yx.astype(np.float64))
    rows = np.flatnonzero(np.isin(occluded.rows, task.test))
    hidden, control = (locate(parts, m.take(rows)) for m in (occluded.hidden, occluded.control))
    evidence = np.concatenate([hidden.evidence, control.evidence])
    return Reliability(
        task.category,
        task.part,
        task.clicks,
        task.seed,
        coverage=float(inside.mean()),
        area=float(np.median(region_share(where, LEVEL))),
        constant_area=constant_region_area(task.truth, float(inside.mean())),
        confidence=float(where.confidence.mean()),
        near=float((distance <= NEAR).mean()),
        auroc=float(roc_auc_score(np.repeat([0, 1], len(rows)), evidence)),
        seen=float(control.visible.mean()),
        seen_hidden=float(hidden.visible.mean()),
    )


def _holds(region: NDArray[np.bool_], instances: F8) -> bool:
    """Return whether a region (G, G) holds one of the true centres, unit square."""
    cell = np.clip((instances * GRID).astype(int), 0, GRID - 1)
    return bool(region[cell[:, 0], cell[:, 1]].any())


def constant_region_area(truth: Sequence[F8], coverage: float) -> float:
    """Return the area of the best region that is the same for all photos.

    Cells are taken by the density of the true centres around them, until as large a share of the
    photos as asked for has a true centre inside.

    Parameters
    ----------
    truth
        M arrays (instances, 2) of true centres, unit square.
    coverage
        Share of the photos, 0..1.
    """
    centres = np.concatenate(truth)
    squares = ((cell_centres(GRID)[:, None] - centres[None]) ** 2).sum(axis=-1)
    density = np.exp(-squares / (2 * _BANDWIDTH**2)).sum(axis=1)
    rank = np.empty(len(density), dtype=int)
    rank[np.argsort(-density, kind="stable")] = np.arange(len(density))
    place = rank.reshape(GRID, GRID)
    cells = [np.clip((one * GRID).astype(int), 0, GRID - 1) for one in truth]
    needed = np.sort([place[one[:, 0], one[:, 1]].min() + 1 for one in cells])
    last = max(int(np.ceil(coverage * len(needed))) - 1, 0)
    return float(needed[last] / len(density))


_MOST_OVERLAP = 0.1  # of the box, with the one that is painted over instead
_DRAWS = 200

_Box = tuple[int, int, int, int]  # y0, x0, height, width, whole pixels


class OccludedPhotos(NamedTuple):
    """n photos, each painted over in two ways.

    ``rows (n,)`` in the collection; ``hidden`` with texture over the part's box; ``control``
    with the same texture over a box of the same size elsewhere.
    """

    rows: list[int]
    hidden: list[Image.Image]
    control: list[Image.Image]


def hide_part(
    photos: ImageSource,
    annotations: Annotations,
    part: str,
    textures: ImageSource,
    *,
    seed: int = 0,
) -> OccludedPhotos:
    """Paint a part over with the texture of other photos.

    Parameters
    ----------
    photos
        N whole photos.
    annotations
        Of the part, with sizes. Photos with exactly one instance are used, if there is room for a
        box of that size elsewhere: at most a tenth of it may cover the part.
    part
        Name.
    textures
        Photos of anything, which the paint is cut from.
    seed
        Of texture and place.

    Raises
    ------
    ExplGraphError
        If the part is unknown, or no photo can be used.
    """
    marks = annotations.of(part)
    row_of = {name: i for i, name in enumerate(photos.names)}
    rng = np.random.default_rng(seed)
    result = OccludedPhotos([], [], [])
    for i, name in sorted(enumerate(marks.image), key=lambda pair: pair[1]):
        if name not in row_of or marks.image.count(name) > 1 or np.isnan(marks.size[i]).any():
            continue
        photo = photos.load(row_of[name]).image
        box = _whole_box(marks.yx[i], marks.size[i], photo)
        other = _elsewhere(box, photo, rng)
        if other is None:
            continue
        texture = _cut(textures.load(int(rng.integers(len(textures)))).image, box, rng)
        result.rows.append(row_of[name])
        result.hidden.append(_painted(photo, box, texture))
        result.control.append(_painted(photo, other, texture))
    require(
        len(result.rows) > 0,
        f"part {part!r}: no photo with exactly one box of it, and room for another",
    )
    return result


def _whole_box(yx: NDArray[np.float64], size: NDArray[np.float64], photo: Image.Image) -> _Box:
    """Return the pixels of a box that lie in the photo; an integer is the centre of a pixel."""
    limit = np.array([photo.height, photo.width])
    low = np.clip(np.round(yx - size / 2), 0, limit - 1).astype(int)
    high = np.clip(np.round(yx + size / 2) + 1, low + 1, limit).astype(int)
    return int(low[0]), int(low[1]), int(high[0] - low[0]), int(high[1] - low[1])


def _elsewhere(box: _Box, photo: Image.Image, rng: np.random.Generator) -> _Box | None:
    """Draw a box of the same size that keeps clear of the part, or None if there is no room."""
    y, x, height, width = box
    for _ in range(_DRAWS):
        top = int(rng.integers(photo.height - height + 1))
        left = int(rng.integers(photo.width - width + 1))
        overlap = max(0, height - abs(top - y)) * max(0, width - abs(left - x))
        if overlap <= _MOST_OVERLAP * height * width:
            return top, left, height, width
    return None


def _cut(photo: Image.Image, box: _Box, rng: np.random.Generator) -> Image.Image:
    """Cut a piece of a box's size out of a photo, which is enlarged if it is too small."""
    _, _, height, width = box
    scale = max(1.0, height / photo.height, width / photo.width)
    if scale > 1:
        photo = photo.resize(
            (max(width, round(photo.width * scale)), max(height, round(photo.height * scale)))
        )
    top = int(rng.integers(photo.height - height + 1))
    left = int(rng.integers(photo.width - width + 1))
    return photo.crop((left, top, left + width, top + height))


def _painted(photo: Image.Image, box: _Box, texture: Image.Image) -> Image.Image:
    result = photo.copy()
    result.paste(texture, (box[1], box[0]))
    return result
