"""Peaks to an explanatory graph: alignment, mining, matching."""

from .ahead import compile_ahead
from .config import RESULTS, MiningConfig
from .explained import explained_share
from .matching import match_peaks
from .mine import mine_peaks

DISTRIBUTION = "explgraph"

__all__ = [
    "RESULTS",
    "MiningConfig",
    "compile_ahead",
    "explained_share",
    "match_peaks",
    "mine_peaks",
]
