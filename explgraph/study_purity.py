"""Purity of a graph's nodes, beside the raw peaks and raw maps that it was mined from."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from .errors import require
from .evaluation import raw_peaks
from .graph import ExplanatoryGraph
from .masks import PartMasks
from .matches import Matches
from .purity import Purity, part_purity
from .structures import PeakSet

if TYPE_CHECKING:
    import pandas as pd

N_BEST = 200
"""Nodes, and raw peaks, that are judged beside all of them."""

RAW_MAPS, RAW_PEAKS, NODES = "raw maps", "raw peaks", "nodes"


@dataclass(frozen=True, slots=True)
class PurityStudy:
    """How pure nodes are, beside raw peaks and raw maps.

    Attributes
    ----------
    category
        What the photos show.
    photos
        N.
    rows
        By seed and row: ``raw maps`` (one for each filter, where they were measured), ``raw peaks``
        (the strongest peak of each filter), ``raw peaks, 200 best`` (by mean score), ``nodes``, and
        ``nodes, 200 best`` (by `ExplanatoryGraph.ranking`).
    """

    category: str
    photos: int
    rows: Mapping[int, Mapping[str, Purity]]

    @property
    def table(self) -> pd.DataFrame:
        """One row per seed and row of the table.

        Columns: ``category``, ``seed``, ``row``, ``nodes``, ``purity``, ``frozen``, ``chance``,
        ``parts`` as in `Purity`; ``gap_closed``, what nodes gain over the same selection of raw
        peaks, as a share of what there is to gain: (nodes - peaks) / (1 - peaks); NaN elsewhere.
        """
        import pandas as pd

        return pd.DataFrame(
            [
                {"category": self.category, "seed": seed, "row": row, **line}
                for seed, rows in self.rows.items()
                for row, line in _lines(rows).items()
            ]
        )

    def to_json(self) -> dict[str, Any]:
        """Return every figure of every seed as JSON values; what does not apply is null."""
        return {
            "category": self.category,
            "photos": self.photos,
            "seeds": {
                str(seed): {
                    row: {k: None if math.isnan(v) else v for k, v in line.items()}
                    for row, line in _lines(rows).items()
                }
                for seed, rows in self.rows.items()
            },
        }


def study_purity(
    mined: Mapping[int, tuple[ExplanatoryGraph, Matches]],
    peaks: PeakSet,
    masks: PartMasks,
    *,
    maps: Purity | None = None,
    category: str = "photos",
) -> PurityStudy:
    """Measure graphs that are mined and matched already.

    Parameters
    ----------
    mined
        By seed, a graph and where its nodes are in the photos of ``peaks``.
    peaks
        N photos, as matched.
    masks
        Their parts, in the same order.
    maps
        The row of raw maps, from `map_purity`: it takes a run of the network. None: no such row.
    category
        What the study is called.

    Raises
    ------
    ExplGraphError
        If no graph is given, a graph and its matches have different nodes, the photos differ, or
        nothing ever fires.
    """
    require(len(mined) > 0, "study_purity needs at least one graph with its matches, got none")
    raw = raw_peaks(peaks)
    strongest = np.argsort(-raw.score.mean(axis=0), kind="stable")[:N_BEST]
    common = {} if maps is None else {RAW_MAPS: maps}
    common |= {
        RAW_PEAKS: part_purity(raw, masks),
        _best(RAW_PEAKS): part_purity(raw, masks, nodes=strongest),
    }
    rows = {}
    for seed, (graph, matches) in mined.items():
        require(
            matches.node_layer.tolist() == graph.node_layer.tolist(),
            f"seed {seed}: the matches have {len(matches.node_layer)} nodes that are not this "
            f"graph's {len(graph)}: match this graph",
        )
        rows[seed] = common | {
            NODES: part_purity(matches, masks),
            _best(NODES): part_purity(matches, masks, nodes=graph.ranking[:N_BEST]),
        }
    return PurityStudy(category, len(peaks), rows)


def _best(row: str) -> str:
    return f"{row}, {N_BEST} best"


def _lines(rows: Mapping[str, Purity]) -> dict[str, dict[str, float]]:
    peaks_of = {NODES: RAW_PEAKS, _best(NODES): _best(RAW_PEAKS)}
    return {
        row: {
            **asdict(found),
            "gap_closed": _gap_closed(found.purity, rows[peaks_of[row]].purity)
            if row in peaks_of
            else math.nan,
        }
        for row, found in rows.items()
    }


def _gap_closed(purity: float, peaks: float) -> float:
    return (purity - peaks) / (1 - peaks) if peaks < 1 else math.nan
