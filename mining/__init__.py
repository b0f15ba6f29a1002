"""Peaks to an explanatory graph: alignment, mining, matching."""

from .config import MiningConfig
from .matching import match_peaks
from .mine import mine_peaks

DISTRIBUTION = "explgraph"

__all__ = ["MiningConfig", "match_peaks", "mine_peaks"]
