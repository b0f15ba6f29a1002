"""And-Or graphs over the nodes of an explanatory graph: from a few clicks to parts in photos."""

from .config import PartConfig
from .fitting import fit_parts
from .inference import locate
from .structures import AndOrGraph, Localizations, Parts

DISTRIBUTION = "explgraph"

__all__ = ["AndOrGraph", "Localizations", "PartConfig", "Parts", "fit_parts", "locate"]
