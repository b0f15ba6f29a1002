"""Peaks to an explanatory graph: alignment, mining, matching."""

DISTRIBUTION = "explgraph"
