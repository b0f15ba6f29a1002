"""A graph's figures with all the rows that belong beside them, over several seeds and categories.

`evaluation` measures matches that are there; this mines and matches what it takes to fill the
table of a method: raw peaks, a mixture without edges, the graph, and a supervised ceiling.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from explgraph.base.errors import require
from explgraph.peaks.structures import PeakSet
from explgraph.photos.annotations import Annotations, PhotoSize
from mining import MiningConfig, match_peaks, mine_peaks

from .ceiling import ridge_features
from .tables import Evaluation, PartEvaluation, evaluate, raw_peaks

if TYPE_CHECKING:
    import pandas as pd


RAW, RAW_MIRRORED, NO_EDGES, GRAPH = "raw peaks", "raw peaks, mirrored", "no edges", "graph"
CEILING = "supervised ceiling"
OTHER_PARTS, MEAN = "other parts", "mean"

PLAIN: dict[str, Any] = {
    "pose_rank": 0,
    "n_parents": 0,
    "spread_start": 0.15,
    "merge": 0.0,
    "pull": 1.0,
}
"""Settings of the row without edges: every layer a plain mixture of its peaks, at the spread that
serves such a mixture best."""

_log = logging.getLogger("explgraph")


@dataclass(frozen=True, slots=True)
class Study:
    """All figures of one category.

    Attributes
    ----------
    category
        What the photos show.
    photos
        N.
    evaluations
        By seed. The supervised ceiling does not depend on it: only the first seed's has it.
    """

    category: str
    photos: int
    evaluations: Mapping[int, Evaluation]

    @property
    def table(self) -> pd.DataFrame:
        """One row per part, row of the table and seed.

        Columns: ``category``, ``part``, ``seed``, ``row``, ``nodes``, ``t100``, ``t100_unique``,
        ``constant``, ``share``, ``instability``, ``frozen``. What does not apply is NaN.
        """
        import pandas as pd

        return pd.DataFrame(
            [
                {"category": self.category, "part": part.part, "seed": seed, **line}
                for seed, evaluation in self.evaluations.items()
                for part in evaluation.parts
                for line in _lines(part)
            ]
        )

    @property
    def mirror_table(self) -> pd.DataFrame:
        """One row per row of the table that mirrors photos, and seed; empty without heads.

        Columns: ``category``, ``row``, ``seed``, ``agreement``, ``majority``, ``photos``.
        """
        import pandas as pd

        columns = ["category", "row", "seed", "agreement", "majority", "photos"]
        lines = [
            (self.category, row, seed, found.agreement, found.majority, found.photos)
            for seed, evaluation in self.evaluations.items()
            for row, found in evaluation.mirror.items()
        ]
        return pd.DataFrame(lines, columns=columns)

    def to_json(self) -> dict[str, Any]:
        """Return every figure of every seed as JSON values."""
        return {
            "category": self.category,
            "photos": self.photos,
            "seeds": {str(seed): found.to_json() for seed, found in self.evaluations.items()},
        }


def _lines(part: PartEvaluation) -> list[dict[str, Any]]:
    lines: list[dict[str, Any]] = [
        {
            "row": row,
            "nodes": found.nodes,
            "t100": found.t100,
            "t100_unique": found.t100_unique,
            "constant": found.constant,
            "share": found.share,
            "instability": part.instability[row].nodes,
            "frozen": part.instability[row].frozen,
        }
        for row, found in part.tracking.items()
    ]
    if part.ceiling is not None:
        lines.append({"row": CEILING, "t100": part.ceiling})
    return lines


def study_peaks(
    peaks: PeakSet,
    annotations: Annotations,
    photo_size: PhotoSize,
    *,
    category: str = "photos",
    seeds: Sequence[int] = (0, 1, 2),
    parts: Sequence[str] | None = None,
    config: MiningConfig | None = None,
) -> Study:
    """Mine, match and measure from stored peaks.

    Parameters
    ----------
    peaks
        N photos of one category, with their mirror images.
    annotations
        Parts in these photos; used for measuring only.
    photo_size
        (height, width) of the photos in pixels, or one pair for each photo's name.
    category
        What the study is called.
    seeds
        One graph is mined for each, and one without edges.
    parts
        The parts to measure; default: all that are annotated.
    config
        Hyper-parameters of the graph, and apart from the edges of the row without them.

    Raises
    ------
    ExplGraphError
        If there is no seed, the mirror images are missing, a part is annotated in too few photos,
        or the photos cannot be mined.
    """
    require(len(set(seeds)) == len(seeds) > 0, f"seeds must be different numbers, got {seeds}")
    config = config or MiningConfig()
    features = ridge_features(peaks)
    evaluations: dict[int, Evaluation] = {}
    for seed in seeds:
        _log.info("%s: mining with seed %d", category, seed)
        graph = mine_peaks(peaks, config=config, seed=seed)
        plain = mine_peaks(peaks, config=replace(config, **PLAIN), seed=seed)
        found = match_peaks(graph, peaks)
        evaluations[seed] = evaluate(
            {
                RAW: raw_peaks(peaks),
                RAW_MIRRORED: raw_peaks(peaks, found.mirrored),
                NO_EDGES: match_peaks(plain, peaks),
                GRAPH: found,
            },
            annotations,
            photo_size=photo_size,
            rank={NO_EDGES: plain.gain, GRAPH: graph.gain},
            features=None if evaluations else features,
            parts=parts,
        )
    return Study(category, len(peaks), evaluations)


def seed_means(table: pd.DataFrame) -> pd.DataFrame:
    """Average `Study.table` over seeds, in its order: one row per category, part and row."""
    keys = ["category", "part", "row"]
    return table.groupby(keys, sort=False, as_index=False).mean().drop(columns="seed")


def category_means(means: pd.DataFrame) -> pd.DataFrame:
    """Average `seed_means` over categories.

    Parts that not every category has (front legs, feet) stand together as "other parts": they are
    averaged within each category first, so that every category counts once.

    Returns
    -------
    One row per category, part and row, then the same with the category "mean".
    """
    import pandas as pd

    common = means.groupby("part")["category"].nunique() == means["category"].nunique()
    place = means["part"].where(means["part"].map(common), OTHER_PARTS)
    keys = ["category", "part", "row"]
    within = means.assign(part=place).groupby(keys, sort=False, as_index=False).mean()
    across = within.drop(columns="category").groupby(keys[1:], sort=False, as_index=False).mean()
    return pd.concat([within, across.assign(category=MEAN)], ignore_index=True)
