"""Stability: the nodes that other photos, or another seed, would have given as well."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from explgraph.base.errors import require
from explgraph.graphs.comparison import Comparison, compare
from explgraph.peaks.structures import PeakSet
from mining import MiningConfig, match_peaks, mine_peaks

if TYPE_CHECKING:
    import pandas as pd


OTHER_HALF, OTHER_SEED = "other half of the photos", "other seed"
SEED_STEP = 1000
"""The other seed is so much larger."""

_EVERY = 5  # one group in so many is held out

_log = logging.getLogger("explgraph")


@dataclass(frozen=True, slots=True)
class StabilityStudy:
    """How many nodes of a category are found again by mining once more.

    Attributes
    ----------
    category
        What the photos show.
    mined, held_out
        Numbers of photos to mine from, and of those that the graphs are compared on.
    comparisons
        By seed, then by kind: `OTHER_HALF`, `OTHER_SEED`.
    """

    category: str
    mined: int
    held_out: int
    comparisons: Mapping[int, Mapping[str, Comparison]]

    @property
    def table(self) -> pd.DataFrame:
        """One row per seed and kind.

        Columns: ``category``, ``seed``, ``kind``; ``nodes``, the judged nodes of the first graph;
        ``found`` and ``control`` of its 100 best nodes, ``found_all`` and ``control_all`` of all
        (see `explgraph.graphs.comparison.Share`); ``same_side``, the share of the held-out photos
        that both graphs see in the same orientation.
        """
        import pandas as pd

        return pd.DataFrame(
            [
                {"category": self.category, "seed": seed, "kind": kind, **_figures(found)}
                for seed, kinds in self.comparisons.items()
                for kind, found in kinds.items()
            ]
        )

    def to_json(self) -> dict[str, Any]:
        """Return every figure of every seed as JSON values."""
        return {
            "category": self.category,
            "mined": self.mined,
            "held_out": self.held_out,
            "seeds": {
                str(seed): {kind: found.to_json() for kind, found in kinds.items()}
                for seed, kinds in self.comparisons.items()
            },
        }


def _figures(found: Comparison) -> dict[str, Any]:
    best, every = found.share(), found.share(None)
    return {
        "nodes": every.nodes,
        "found": best.found,
        "control": best.control,
        "found_all": every.found,
        "control_all": every.control,
        "same_side": found.same_side,
    }


def study_stability(
    peaks: PeakSet,
    *,
    groups: Sequence[str] | None = None,
    seeds: Sequence[int] = (0,),
    category: str = "photos",
    config: MiningConfig | None = None,
) -> StabilityStudy:
    """Mine twice, match both graphs on photos that neither has seen, and compare them.

    A fifth of the photos is held out. Each seed gives two comparisons: graphs of two disjoint
    halves of the other photos, and two graphs of all of them, the second with the seed plus 1000.

    Parameters
    ----------
    peaks
        N photos of one category.
    groups
        N names; photos with the same one, such as crops of one photo, stay together. Default: each
        photo by itself. Sorted as strings, every fifth group is held out, and the others go to the
        halves by turns.
    seeds
        Two comparisons are made for each.
    category
        What the study is called.
    config
        Hyper-parameters of all graphs.

    Raises
    ------
    ExplGraphError
        If there is no seed, there are too few groups of photos, or a half cannot be mined.
    """
    require(len(set(seeds)) == len(seeds) > 0, f"seeds must be different numbers, got {seeds}")
    names = peaks.images if groups is None else tuple(groups)
    require(len(names) == len(peaks), f"{len(names)} groups are given for {len(peaks)} photos")
    split = _split(names)
    half_a, half_b, held_out = (peaks.take(part) for part in split)
    rest = peaks.take(~split.held_out)
    comparisons: dict[int, dict[str, Comparison]] = {}
    for seed in seeds:
        _log.info("%s: mining four graphs for seed %d", category, seed)
        other = seed + SEED_STEP
        comparisons[seed] = {
            OTHER_HALF: _mine_and_compare((half_a, half_b), held_out, (seed, seed), config),
            OTHER_SEED: _mine_and_compare((rest, rest), held_out, (seed, other), config),
        }
    return StabilityStudy(category, len(rest), len(held_out), comparisons)


def _mine_and_compare(
    peaks: tuple[PeakSet, PeakSet],
    held_out: PeakSet,
    seeds: tuple[int, int],
    config: MiningConfig | None,
) -> Comparison:
    """Compare the graphs of two sets of peaks on photos held out from both."""
    graph_a, graph_b = (
        mine_peaks(part, config=config, seed=seed) for part, seed in zip(peaks, seeds, strict=True)
    )
    return compare(graph_a, graph_b, match_peaks(graph_a, held_out), match_peaks(graph_b, held_out))


class _Split(NamedTuple):
    """(N,) each: which photos are in the halves, and which are held out from both."""

    half_a: NDArray[np.bool_]
    half_b: NDArray[np.bool_]
    held_out: NDArray[np.bool_]


def _split(names: Sequence[str]) -> _Split:
    """Split photos by their group names."""
    groups = sorted(set(names))
    held_out = groups[_EVERY - 1 :: _EVERY]
    rest = [group for i, group in enumerate(groups) if (i + 1) % _EVERY]
    require(len(held_out) > 0, f"a fifth of {len(groups)} groups of photos is none: give more")
    chosen = (set(part) for part in (rest[::2], rest[1::2], held_out))
    return _Split(*(np.array([name in part for name in names]) for part in chosen))
