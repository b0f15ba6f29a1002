"""Explanatory graphs of pretrained CNNs: ``import explgraph as eg``.

The names below are loaded when first used, so that importing the package stays fast.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mining import MiningConfig as MiningConfig

    from .backbones import Backbone as Backbone
    from .backbones import load_backbone as load_backbone
    from .drawing import draw_graph as draw_graph
    from .errors import ExplGraphError as ExplGraphError
    from .export import export_graph as export_graph
    from .export import to_networkx as to_networkx
    from .graph import ExplanatoryGraph as ExplanatoryGraph
    from .images import open_images as open_images
    from .pipeline import extract as extract
    from .pipeline import match as match
    from .pipeline import mine as mine
    from .sheet import contact_sheet as contact_sheet
    from .structures import LayerSpec as LayerSpec
    from .structures import Matches as Matches
    from .structures import Peaks as Peaks
    from .structures import PeakSet as PeakSet

__version__ = "0.1.0"

_HOME = {
    "Backbone": "explgraph.backbones",
    "ExplGraphError": "explgraph.errors",
    "ExplanatoryGraph": "explgraph.graph",
    "LayerSpec": "explgraph.structures",
    "Matches": "explgraph.structures",
    "MiningConfig": "mining",
    "PeakSet": "explgraph.structures",
    "Peaks": "explgraph.structures",
    "contact_sheet": "explgraph.sheet",
    "draw_graph": "explgraph.drawing",
    "export_graph": "explgraph.export",
    "extract": "explgraph.pipeline",
    "load_backbone": "explgraph.backbones",
    "match": "explgraph.pipeline",
    "mine": "explgraph.pipeline",
    "open_images": "explgraph.images",
    "to_networkx": "explgraph.export",
}
__all__ = [*_HOME]


def __getattr__(name: str) -> object:
    if name not in _HOME:
        raise AttributeError(f"module 'explgraph' has no attribute {name!r}")
    module = import_module(_HOME[name])
    # `mining` and `aog` are common words: another distribution may have put its own there.
    if module.__name__ in ("mining", "aog") and getattr(module, "DISTRIBUTION", None) != __name__:
        raise ImportError(
            f"'{module.__name__}' at {module.__file__} is not explgraph's: another distribution "
            "shadows it. Reinstall explgraph in a clean environment."
        )
    return getattr(module, name)


def __dir__() -> list[str]:
    return sorted({*globals(), *_HOME})
