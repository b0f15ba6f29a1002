"""Explanatory graphs of pretrained CNNs: ``import explgraph as eg``.

The names below are loaded when first used, so that importing the package stays fast.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from aog import AndOrGraph as AndOrGraph
    from aog import Localizations as Localizations
    from aog import Parse as Parse
    from aog import PartConfig as PartConfig
    from aog import Parts as Parts
    from aog import confidence_region as confidence_region
    from aog import locate as locate
    from aog import parse as parse
    from aog import region_share as region_share
    from mining import MiningConfig as MiningConfig
    from mining import explained_share as explained_share
    from mining import node_kinds as node_kinds

    from .annotations import Annotations as Annotations
    from .annotations import read_annotations as read_annotations
    from .annotations import write_annotations as write_annotations
    from .attribution import Attribution as Attribution
    from .backbones import Backbone as Backbone
    from .backbones import load_backbone as load_backbone
    from .comparison import compare as compare
    from .decision import Decision as Decision
    from .decision import explain_decision as explain_decision
    from .decision_drawing import draw_decision as draw_decision
    from .drawing import draw_graph as draw_graph
    from .errors import ExplGraphError as ExplGraphError
    from .estimator import PartLocalizer as PartLocalizer
    from .evidence import class_evidence as class_evidence
    from .explanation_checks import noise_sensitivity as noise_sensitivity
    from .explanation_checks import randomisation_check as randomisation_check
    from .explanation_measures import energy_in_box as energy_in_box
    from .explanation_measures import insertion_deletion as insertion_deletion
    from .explanation_measures import pointing_game as pointing_game
    from .explanation_sheets import explanation_sheet as explanation_sheet
    from .explanation_study import study_explanations as study_explanations
    from .explanations import available_methods as available_methods
    from .explanations import explain as explain
    from .export import export_graph as export_graph
    from .export import to_networkx as to_networkx
    from .facts import describe_node as describe_node
    from .facts import node_facts as node_facts
    from .fidelity import fidelity_curve as fidelity_curve
    from .filter_profile_drawing import draw_filter_profile as draw_filter_profile
    from .filter_profiles import filter_profile as filter_profile
    from .gallery import filter_gallery as filter_gallery
    from .gallery import node_gallery as node_gallery
    from .graph import ExplanatoryGraph as ExplanatoryGraph
    from .heatmap_drawing import draw_explained as draw_explained
    from .heatmaps import ExplainedMaps as ExplainedMaps
    from .heatmaps import explained_maps as explained_maps
    from .images import open_images as open_images
    from .masks import read_masks as read_masks
    from .match_photo import draw_match as draw_match
    from .matches import Matches as Matches
    from .nodes import Node as Node
    from .part_drawing import draw_parts as draw_parts
    from .part_photos import draw_parse as draw_parse
    from .part_photos import part_sheet as part_sheet
    from .pipeline import extract as extract
    from .pipeline import fit_parts as fit_parts
    from .pipeline import match as match
    from .pipeline import mine as mine
    from .purity import part_purity as part_purity
    from .report import write_report as write_report
    from .segment_drawing import draw_segments as draw_segments
    from .segments import score_segments as score_segments
    from .sheet import contact_sheet as contact_sheet
    from .structures import LayerSpec as LayerSpec
    from .structures import Peaks as Peaks
    from .structures import PeakSet as PeakSet
    from .texture_drawing import draw_texture as draw_texture
    from .texture_probe import probe_texture as probe_texture
    from .texture_results import TextureProbe as TextureProbe
    from .visualization import visualize as visualize

__version__ = "0.1.0"

_HOME = {
    "AndOrGraph": "aog",
    "Annotations": "explgraph.annotations",
    "Attribution": "explgraph.attribution",
    "Backbone": "explgraph.backbones",
    "Decision": "explgraph.decision",
    "ExplGraphError": "explgraph.errors",
    "ExplainedMaps": "explgraph.heatmaps",
    "ExplanatoryGraph": "explgraph.graph",
    "LayerSpec": "explgraph.structures",
    "Localizations": "aog",
    "Matches": "explgraph.matches",
    "MiningConfig": "mining",
    "Node": "explgraph.nodes",
    "Parse": "aog",
    "PartConfig": "aog",
    "PartLocalizer": "explgraph.estimator",
    "Parts": "aog",
    "PeakSet": "explgraph.structures",
    "Peaks": "explgraph.structures",
    "TextureProbe": "explgraph.texture_results",
    "available_methods": "explgraph.explanations",
    "class_evidence": "explgraph.evidence",
    "compare": "explgraph.comparison",
    "confidence_region": "aog",
    "contact_sheet": "explgraph.sheet",
    "describe_node": "explgraph.facts",
    "draw_decision": "explgraph.decision_drawing",
    "draw_explained": "explgraph.heatmap_drawing",
    "draw_filter_profile": "explgraph.filter_profile_drawing",
    "draw_graph": "explgraph.drawing",
    "draw_match": "explgraph.match_photo",
    "draw_parse": "explgraph.part_photos",
    "draw_parts": "explgraph.part_drawing",
    "draw_segments": "explgraph.segment_drawing",
    "draw_texture": "explgraph.texture_drawing",
    "energy_in_box": "explgraph.explanation_measures",
    "explain": "explgraph.explanations",
    "explain_decision": "explgraph.decision",
    "explained_maps": "explgraph.heatmaps",
    "explained_share": "mining",
    "explanation_sheet": "explgraph.explanation_sheets",
    "export_graph": "explgraph.export",
    "extract": "explgraph.pipeline",
    "fidelity_curve": "explgraph.fidelity",
    "filter_gallery": "explgraph.gallery",
    "filter_profile": "explgraph.filter_profiles",
    "fit_parts": "explgraph.pipeline",
    "insertion_deletion": "explgraph.explanation_measures",
    "load_backbone": "explgraph.backbones",
    "locate": "aog",
    "match": "explgraph.pipeline",
    "mine": "explgraph.pipeline",
    "node_facts": "explgraph.facts",
    "node_gallery": "explgraph.gallery",
    "node_kinds": "mining",
    "noise_sensitivity": "explgraph.explanation_checks",
    "open_images": "explgraph.images",
    "parse": "aog",
    "part_purity": "explgraph.purity",
    "part_sheet": "explgraph.part_photos",
    "pointing_game": "explgraph.explanation_measures",
    "probe_texture": "explgraph.texture_probe",
    "randomisation_check": "explgraph.explanation_checks",
    "read_annotations": "explgraph.annotations",
    "read_masks": "explgraph.masks",
    "region_share": "aog",
    "score_segments": "explgraph.segments",
    "study_explanations": "explgraph.explanation_study",
    "to_networkx": "explgraph.export",
    "visualize": "explgraph.visualization",
    "write_annotations": "explgraph.annotations",
    "write_report": "explgraph.report",
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
