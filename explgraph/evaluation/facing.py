"""Are photos brought to one orientation rightly? The signs of mining against the head's side."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from explgraph.base.arrays import F4
from explgraph.base.errors import ExplGraphError, require
from explgraph.base.text import plain
from explgraph.peaks.structures import PeakSet
from mining.align import agreed_facing, mirror_moments

from .tracking import head_sides
from .truth import PartTruth

if TYPE_CHECKING:
    import pandas as pd


ALL, HALVES, THIRDS = "all photos", "random halves", "random thirds"
LOWER = "layers one stage lower"
UNSURE = 0.25
"""A photo whose vote is nearer to 0 may well face the other way."""

_DIVISIONS = ((ALL, 1, 1), (HALVES, 2, 3), (THIRDS, 3, 2))  # into how many, and how often


@dataclass(frozen=True, slots=True)
class FacingFigures:
    """How often photos are turned rightly, in cases made of the same photos.

    Attributes
    ----------
    cases
        How many: each is aligned by itself.
    photos
        Mean number of its photos whose head lies clearly on one side: these are judged.
    agreement
        Mean share of them that face alike once turned. Which way is left open: .5 is chance.
    worst, tenth
        The least of the cases, and the tenth percentile.
    majority
        Control: the share that faces the more frequent way as given.
    unsure
        Share of them whose vote is below `UNSURE`.
    unsure_agreement, sure_agreement
        The agreement of these, and of the others; NaN without any.
    """

    cases: int
    photos: float
    agreement: float
    worst: float
    tenth: float
    majority: float
    unsure: float
    unsure_agreement: float
    sure_agreement: float


@dataclass(frozen=True, slots=True)
class FacingStudy:
    """How often photos of one category are turned rightly.

    Attributes
    ----------
    category
        What the photos show.
    rows
        By seed, and by how the photos were divided: all of them, random halves, random thirds, and
        all again by layers one stage lower.
    """

    category: str
    rows: Mapping[int, Mapping[str, FacingFigures]]

    @property
    def table(self) -> pd.DataFrame:
        """One row per seed and division, with the figures of `FacingFigures`."""
        import pandas as pd

        return pd.DataFrame(
            [
                {"category": self.category, "seed": seed, "row": row, **asdict(figures)}
                for seed, rows in self.rows.items()
                for row, figures in rows.items()
            ]
        )

    def to_json(self) -> dict[str, Any]:
        """Return every figure of every seed as JSON values."""
        seeds = {
            str(seed): {row: plain(asdict(figures)) for row, figures in rows.items()}
            for seed, rows in self.rows.items()
        }
        return {"category": self.category, "seeds": seeds}


def study_facing(
    peaks: PeakSet, head: PartTruth, *, seeds: Sequence[int] = (0,), category: str = "photos"
) -> FacingStudy:
    """Compare the orientations that mining chooses with the side on which the head is.

    Few photos are harder than many, and one category is one case: so random halves and thirds of
    the photos are aligned as well, each by itself, and all of them by layers one stage lower than
    those that were mined. In every case photos are mirrored at random, which must not change the
    answer. Labels are used for measuring only.

    Parameters
    ----------
    peaks
        N photos, with their mirror images.
    head
        Truth of the head, in some of these photos.
    seeds
        Of the divisions.
    category
        What the study is called.

    Raises
    ------
    ExplGraphError
        If the photos were not seen mirrored, or fewer than two heads lie clearly on one side.
    """
    if peaks.mirrored is None:
        raise ExplGraphError("facing needs mirrored photos: extract the peaks with mirror=True")
    side = np.zeros(len(peaks))
    place = {name: i for i, name in enumerate(peaks.images)}
    for name, right in zip(head.images, head_sides(head), strict=True):
        if name in place:
            side[place[name]] = right
    known = int(np.count_nonzero(side))
    require(known >= 2, f"facing needs two photos whose head is clearly on one side, got {known}")
    rows = {int(seed): _rows(peaks, side, np.random.default_rng([seed])) for seed in seeds}
    return FacingStudy(category, rows)


def _rows(
    peaks: PeakSet, side: NDArray[np.floating], rng: np.random.Generator
) -> dict[str, FacingFigures]:
    moments = mirror_moments(peaks)
    rows = {
        row: _figures(list(_cases(moments, side, parts, times, rng)))
        for row, parts, times in _DIVISIONS
    }
    if len(peaks.layers) > 1:
        lower = mirror_moments(_without_top(peaks))
        rows[LOWER] = _figures(list(_cases(lower, side, 1, 1, rng)))
    return rows


def _without_top(peaks: PeakSet) -> PeakSet:
    assert peaks.mirrored is not None
    return replace(
        peaks,
        peaks=peaks.peaks[:-1],
        mirrored=peaks.mirrored[:-1],
        channel_mean=peaks.channel_mean[:-1],
        channel_scale=peaks.channel_scale[:-1],
        maps=None,
    )


class _Case(NamedTuple):
    """What comes of some photos: of those that are judged, which are right, and which unsure."""

    is_right: NDArray[np.bool_]
    is_unsure: NDArray[np.bool_]
    majority: float


def _cases(
    moments: F4, side: NDArray[np.floating], parts: int, times: int, rng: np.random.Generator
) -> Iterator[_Case]:
    """Yield what comes of random parts of the photos; parts without a judged photo are left out."""
    for _ in range(times):
        for photos in np.array_split(rng.permutation(len(moments)), parts):
            own = np.sort(photos)
            if side[own].any():
                yield _case(moments[own], side[own], rng)


def _case(moments: F4, side: NDArray[np.floating], rng: np.random.Generator) -> _Case:
    turned = rng.choice(np.array([-1, 1], dtype=np.float32), len(moments))
    votes = agreed_facing(moments * turned[:, None]).votes * turned
    judged = side != 0
    is_right = (votes * side)[judged] > 0
    right = float(np.mean(side[judged] > 0))
    return _Case(
        is_right if is_right.mean() >= 0.5 else ~is_right,
        np.abs(votes[judged]) < UNSURE,
        max(right, 1 - right),
    )


def _figures(cases: Sequence[_Case]) -> FacingFigures:
    agreement = [float(case.is_right.mean()) for case in cases]
    is_right = np.concatenate([case.is_right for case in cases])
    is_unsure = np.concatenate([case.is_unsure for case in cases])
    return FacingFigures(
        cases=len(cases),
        photos=len(is_right) / len(cases),
        agreement=float(np.mean(agreement)),
        worst=min(agreement),
        tenth=float(np.percentile(agreement, 10)),
        majority=float(np.mean([case.majority for case in cases])),
        unsure=float(is_unsure.mean()),
        unsure_agreement=_mean(is_right[is_unsure]),
        sure_agreement=_mean(is_right[~is_unsure]),
    )


def _mean(flags: NDArray[np.bool_]) -> float:
    return float(flags.mean()) if flags.size else float("nan")
