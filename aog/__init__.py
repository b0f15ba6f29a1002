"""And-Or graphs over the nodes of an explanatory graph: so far their data types."""

from .structures import AndOrGraph, Localizations

DISTRIBUTION = "explgraph"

__all__ = ["AndOrGraph", "Localizations"]
