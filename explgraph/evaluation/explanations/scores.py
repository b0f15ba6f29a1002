"""The scores of explanations, photo by photo, and the table that compares them."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from explgraph.base.arrays import F8
from explgraph.base.figures import standard_error
from explgraph.base.layer import LayerSpec
from explgraph.base.text import plain

from .measures import STEPS, Grid

if TYPE_CHECKING:
    import pandas as pd


MEASURES = (
    "insertion", "deletion", "difference", "pointing", "energy", "sensitivity", "randomised",
    "seconds",
)  # fmt: skip
"""What is measured of each explanation of each photo, see `ExplanationStudy`."""
PAIRED = ("difference", "pointing")
"""Measures whose gain over the row to beat is given."""
ALL = "all"


@dataclass(frozen=True, slots=True)
class ExplanationProtocol:
    """How explanations are measured.

    Attributes
    ----------
    n_photos
        Of each category, the first ones; None: all.
    baseline, steps
        Of insertion and deletion, see
        `explgraph.evaluation.explanations.measures.insertion_deletion`.
    grid
        Cells on which all explanations are compared, as there; also a layer by name. None: at the
        network's pixels.
    levels, draws
        Of the noise, see `explgraph.evaluation.explanations.checks.noise_sensitivity`. 0 draws: not
        measured.
    randomise
        Whether to explain the network without the weights of its upper half as well.
    seed, batch_size
        Of all.
    """

    n_photos: int | None = 50
    baseline: str = "blur"
    steps: int = STEPS
    grid: Grid | str | None = None
    levels: int = 4
    draws: int = 2
    randomise: bool = True
    seed: int = 0
    batch_size: int | None = None

    def to_json(self) -> dict[str, Any]:
        """Return the fields as JSON values; a layer by its name."""
        grid = self.grid.name if isinstance(self.grid, LayerSpec) else self.grid
        fields = {name: getattr(self, name) for name in self.__dataclass_fields__}
        return fields | {"grid": list(grid) if isinstance(grid, tuple) else grid}


Protocol = ExplanationProtocol
"""Its former name."""


@dataclass(frozen=True, eq=False, slots=True)
class ExplanationStudy:
    """How good explanations are, photo by photo.

    The measures, in the order of `MEASURES`:

    - ``insertion``, ``deletion``: areas under the curves of the class that the network gives the
      photo; the larger, and the smaller, the better; ``difference``: insertion - deletion;
    - ``pointing``, ``energy``: see `pointing_game` and `energy_in_box`; NaN where no box is known;
    - ``sensitivity``: the largest relative change under small noise;
    - ``randomised``: rank correlation with the explanation of the network whose upper half of
      layers has lost its weights; near 1, the explanation hardly hangs on what was learned;
    - ``seconds`` that the explanation took.

    Attributes
    ----------
    photos
        By category, N names.
    scores
        By category and row, (N, 8); NaN where something does not apply or was refused.
    refused
        By category and row, why an explanation was not possible, and for how many photos.
    against
        The row to beat.
    protocol
        How it was measured.
    """

    photos: Mapping[str, tuple[str, ...]]
    scores: Mapping[str, Mapping[str, F8]]
    refused: Mapping[str, Mapping[str, str]]
    against: str
    protocol: ExplanationProtocol = field(default_factory=ExplanationProtocol)

    @property
    def table(self) -> pd.DataFrame:
        """One row per category (and ``all`` photos of several) and explanation.

        Columns: ``category``, ``row``, ``photos`` that were explained; for each of `MEASURES` its
        mean over the photos, and its standard error as ``insertion_se`` etc.; ``difference_gain``
        and ``pointing_gain``, the mean gain over the row to beat on the photos that both explain,
        with the standard error of the paired differences. What does not apply is NaN.
        """
        import pandas as pd

        return pd.DataFrame(self._lines())

    @property
    def each(self) -> pd.DataFrame:
        """One row per photo and explanation: ``category``, ``photo``, ``row``, and `MEASURES`."""
        import pandas as pd

        return pd.DataFrame(
            [
                {"category": category, "photo": photo, "row": row, **_named(values)}
                for category, rows in self.scores.items()
                for row, scores in rows.items()
                for photo, values in zip(self.photos[category], scores.tolist(), strict=True)
            ]
        )

    def to_json(self) -> dict[str, Any]:
        """Return the table, the protocol and what was refused as JSON values; NaN is null."""
        return {
            "photos": {category: len(names) for category, names in self.photos.items()},
            "against": self.against,
            "protocol": self.protocol.to_json(),
            "refused": {category: dict(rows) for category, rows in self.refused.items()},
            "table": [plain(line) for line in self._lines()],
        }

    def _lines(self) -> list[dict[str, Any]]:
        several = {ALL: _together(self.scores)} if len(self.scores) > 1 else {}
        return [
            {"category": category, "row": row, **_line(scores, rows.get(self.against))}
            for category, rows in {**self.scores, **several}.items()
            for row, scores in rows.items()
        ]


def _together(scores: Mapping[str, Mapping[str, F8]]) -> dict[str, F8]:
    """Return by row the scores of all categories' photos; a row may be missing in some of them."""
    rows = dict.fromkeys(row for found in scores.values() for row in found)
    return {
        row: np.concatenate(
            [
                found.get(row, np.full_like(next(iter(found.values())), np.nan))
                for found in scores.values()
            ]
        )
        for row in rows
    }


def _named(values: list[float]) -> dict[str, float]:
    return dict(zip(MEASURES, values, strict=True))


def _line(scores: F8, against: F8 | None) -> dict[str, Any]:
    """Return the figures of one explanation: means and errors (N, 8), and paired gains."""
    line: dict[str, Any] = {"photos": int(np.isfinite(scores[:, 0]).sum())}
    for name, values in zip(MEASURES, scores.T, strict=True):
        line[name], line[f"{name}_se"] = mean_and_error(values)
    for name in PAIRED:
        column = MEASURES.index(name)
        gains = np.full(1, np.nan) if against is None else (scores - against)[:, column]
        line[f"{name}_gain"], line[f"{name}_gain_se"] = mean_and_error(gains)
    return line


def mean_and_error(values: F8) -> tuple[float, float]:
    """Return the mean of the values that are there, and its standard error.

    NaN stands for a missing value. One value has no standard error, and none no mean: NaN.

    >>> mean_and_error(np.array([1.0, 3.0, np.nan]))
    (2.0, 1.0)
    """
    known = values[np.isfinite(values)]
    if len(known) == 0:
        return math.nan, math.nan
    return float(known.mean()), standard_error(known)
