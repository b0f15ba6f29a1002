"""And-Or graphs over the nodes of an explanatory graph: from a few clicks to parts in photos."""

from .answers import confidence_region, region_share
from .clicked import ClickedPhotos
from .config import PartConfig
from .fitting import fit_clicks, fit_parts
from .inference import locate
from .parsing import Parse, parse
from .structures import AndOrGraph, Localizations, Parts

DISTRIBUTION = "explgraph"

__all__ = [
    "AndOrGraph",
    "ClickedPhotos",
    "Localizations",
    "Parse",
    "PartConfig",
    "Parts",
    "confidence_region",
    "fit_clicks",
    "fit_parts",
    "locate",
    "parse",
    "region_share",
]
