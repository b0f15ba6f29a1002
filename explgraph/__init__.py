"""Explanatory graphs of pretrained CNNs: ``import explgraph as eg``.

The names below are loaded when first used, so that importing the package stays fast.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

from explgraph.base import __version__ as __version__

if TYPE_CHECKING:
    from aog import AndOrGraph as AndOrGraph
    from aog import ClickedPhotos as ClickedPhotos
    from aog import Localizations as Localizations
    from aog import Parse as Parse
    from aog import PartConfig as PartConfig
    from aog import Parts as Parts
    from aog import confidence_region as confidence_region
    from aog import fit_parts as fit_parts
    from aog import locate as locate
    from aog import parse as parse
    from aog import region_share as region_share
    from aog.drawing.draw import draw_parts as draw_parts
    from aog.drawing.photos import draw_answers as draw_answers
    from aog.drawing.photos import draw_parse as draw_parse
    from aog.drawing.photos import part_sheet as part_sheet
    from aog.files import write_answers as write_answers
    from explgraph.base.errors import DoubtfulDataWarning as DoubtfulDataWarning
    from explgraph.base.errors import ExplGraphError as ExplGraphError
    from explgraph.base.layer import LayerSpec as LayerSpec
    from explgraph.drawing.graph.draw import draw_graph as draw_graph
    from explgraph.evaluation.explanations.checks import noise_sensitivity as noise_sensitivity
    from explgraph.evaluation.explanations.checks import randomisation_check as randomisation_check
    from explgraph.evaluation.explanations.measures import energy_in_box as energy_in_box
    from explgraph.evaluation.explanations.measures import insertion_deletion as insertion_deletion
    from explgraph.evaluation.explanations.measures import pointing_game as pointing_game
    from explgraph.evaluation.explanations.study import study_explanations as study_explanations
    from explgraph.evaluation.fidelity import fidelity_curve as fidelity_curve
    from explgraph.evaluation.purity import part_purity as part_purity
    from explgraph.evaluation.tables import evaluate as evaluate
    from explgraph.explanations.answers import available_methods as available_methods
    from explgraph.explanations.answers import explain as explain
    from explgraph.explanations.attribution import Attribution as Attribution
    from explgraph.explanations.decision.decision import Decision as Decision
    from explgraph.explanations.decision.decision import explain_decision as explain_decision
    from explgraph.explanations.effects import edge_effects as edge_effects
    from explgraph.explanations.evidence import class_evidence as class_evidence
    from explgraph.explanations.explained import ExplainedMaps as ExplainedMaps
    from explgraph.explanations.explained import explained_maps as explained_maps
    from explgraph.explanations.pictures.decision import draw_decision as draw_decision
    from explgraph.explanations.pictures.explained import draw_explained as draw_explained
    from explgraph.explanations.pictures.profile import draw_filter_profile as draw_filter_profile
    from explgraph.explanations.pictures.segments import draw_segments as draw_segments
    from explgraph.explanations.pictures.sheet import draw_explanations as draw_explanations
    from explgraph.explanations.pictures.sheet import explanation_sheet as explanation_sheet
    from explgraph.explanations.pictures.texture import draw_texture as draw_texture
    from explgraph.explanations.pictures.trace import draw_trace as draw_trace
    from explgraph.explanations.profiles import filter_profile as filter_profile
    from explgraph.explanations.segments import score_segments as score_segments
    from explgraph.explanations.texture.probe import probe_texture as probe_texture
    from explgraph.explanations.texture.results import TextureProbe as TextureProbe
    from explgraph.explanations.trace import Trace as Trace
    from explgraph.explanations.trace import trace as trace
    from explgraph.explanations.visualization import visualize as visualize
    from explgraph.galleries.galleries import draw_filter as draw_filter
    from explgraph.galleries.galleries import draw_node as draw_node
    from explgraph.galleries.galleries import filter_gallery as filter_gallery
    from explgraph.galleries.galleries import node_gallery as node_gallery
    from explgraph.galleries.groups import draw_groups as draw_groups
    from explgraph.galleries.photo import draw_match as draw_match
    from explgraph.galleries.sheet import contact_sheet as contact_sheet
    from explgraph.galleries.sheet import draw_nodes as draw_nodes
    from explgraph.graphs.comparison import compare as compare
    from explgraph.graphs.effects import EdgeEffects as EdgeEffects
    from explgraph.graphs.facts import describe_node as describe_node
    from explgraph.graphs.facts import node_facts as node_facts
    from explgraph.graphs.graph import ExplanatoryGraph as ExplanatoryGraph
    from explgraph.graphs.groups import Group as Group
    from explgraph.graphs.groups import GroupPlaces as GroupPlaces
    from explgraph.graphs.groups import PartGroups as PartGroups
    from explgraph.graphs.kinds import node_kinds as node_kinds
    from explgraph.graphs.matches import Matches as Matches
    from explgraph.graphs.node import Node as Node
    from explgraph.groups.contrast import node_contrast as node_contrast
    from explgraph.groups.grouping import group_places as group_places
    from explgraph.groups.grouping import part_groups as part_groups
    from explgraph.groups.naming import name_groups as name_groups
    from explgraph.labelling.session import LabelSession as LabelSession
    from explgraph.labelling.structures import StaleAnswer as StaleAnswer
    from explgraph.networks.backbone import Backbone as Backbone
    from explgraph.networks.backbone import load_backbone as load_backbone
    from explgraph.networks.preprocess import Preprocess as Preprocess
    from explgraph.peaks.structures import Peaks as Peaks
    from explgraph.peaks.structures import PeakSet as PeakSet
    from explgraph.photos.annotation_files import read_annotations as read_annotations
    from explgraph.photos.annotation_files import write_annotations as write_annotations
    from explgraph.photos.annotations import Annotations as Annotations
    from explgraph.photos.boxes import read_boxes as read_boxes
    from explgraph.photos.fiftyone import to_fiftyone as to_fiftyone
    from explgraph.photos.images import open_images as open_images
    from explgraph.photos.masks import read_masks as read_masks
    from explgraph.report.writing import write_report as write_report
    from mining import MiningConfig as MiningConfig
    from mining import explained_share as explained_share

    from .estimator import PartLocalizer as PartLocalizer
    from .export import export_graph as export_graph
    from .export import to_networkx as to_networkx
    from .pipeline import extract as extract
    from .pipeline import match as match
    from .pipeline import mine as mine


_HOME = {
    "AndOrGraph": "aog",
    "Annotations": "explgraph.photos.annotations",
    "Attribution": "explgraph.explanations.attribution",
    "Backbone": "explgraph.networks.backbone",
    "ClickedPhotos": "aog",
    "Decision": "explgraph.explanations.decision.decision",
    "EdgeEffects": "explgraph.graphs.effects",
    "DoubtfulDataWarning": "explgraph.base.errors",
    "ExplGraphError": "explgraph.base.errors",
    "ExplainedMaps": "explgraph.explanations.explained",
    "ExplanatoryGraph": "explgraph.graphs.graph",
    "Group": "explgraph.graphs.groups",
    "GroupPlaces": "explgraph.graphs.groups",
    "LabelSession": "explgraph.labelling.session",
    "LayerSpec": "explgraph.base.layer",
    "Localizations": "aog",
    "Matches": "explgraph.graphs.matches",
    "MiningConfig": "mining",
    "Node": "explgraph.graphs.node",
    "Parse": "aog",
    "PartConfig": "aog",
    "PartGroups": "explgraph.graphs.groups",
    "PartLocalizer": "explgraph.estimator",
    "Parts": "aog",
    "PeakSet": "explgraph.peaks.structures",
    "Peaks": "explgraph.peaks.structures",
    "Preprocess": "explgraph.networks.preprocess",
    "StaleAnswer": "explgraph.labelling.structures",
    "TextureProbe": "explgraph.explanations.texture.results",
    "Trace": "explgraph.explanations.trace",
    "available_methods": "explgraph.explanations.answers",
    "class_evidence": "explgraph.explanations.evidence",
    "compare": "explgraph.graphs.comparison",
    "confidence_region": "aog",
    "contact_sheet": "explgraph.galleries.sheet",
    "describe_node": "explgraph.graphs.facts",
    "draw_answers": "aog.drawing.photos",
    "draw_decision": "explgraph.explanations.pictures.decision",
    "draw_explained": "explgraph.explanations.pictures.explained",
    "draw_explanations": "explgraph.explanations.pictures.sheet",
    "draw_filter": "explgraph.galleries.galleries",
    "draw_filter_profile": "explgraph.explanations.pictures.profile",
    "draw_graph": "explgraph.drawing.graph.draw",
    "draw_groups": "explgraph.galleries.groups",
    "draw_match": "explgraph.galleries.photo",
    "draw_node": "explgraph.galleries.galleries",
    "draw_nodes": "explgraph.galleries.sheet",
    "draw_parse": "aog.drawing.photos",
    "draw_parts": "aog.drawing.draw",
    "draw_segments": "explgraph.explanations.pictures.segments",
    "draw_texture": "explgraph.explanations.pictures.texture",
    "draw_trace": "explgraph.explanations.pictures.trace",
    "edge_effects": "explgraph.explanations.effects",
    "energy_in_box": "explgraph.evaluation.explanations.measures",
    "evaluate": "explgraph.evaluation.tables",
    "explain": "explgraph.explanations.answers",
    "explain_decision": "explgraph.explanations.decision.decision",
    "explained_maps": "explgraph.explanations.explained",
    "explained_share": "mining",
    "explanation_sheet": "explgraph.explanations.pictures.sheet",
    "export_graph": "explgraph.export",
    "extract": "explgraph.pipeline",
    "fidelity_curve": "explgraph.evaluation.fidelity",
    "filter_gallery": "explgraph.galleries.galleries",
    "filter_profile": "explgraph.explanations.profiles",
    "fit_parts": "aog",
    "group_places": "explgraph.groups.grouping",
    "insertion_deletion": "explgraph.evaluation.explanations.measures",
    "load_backbone": "explgraph.networks.backbone",
    "locate": "aog",
    "match": "explgraph.pipeline",
    "mine": "explgraph.pipeline",
    "name_groups": "explgraph.groups.naming",
    "node_contrast": "explgraph.groups.contrast",
    "node_facts": "explgraph.graphs.facts",
    "node_gallery": "explgraph.galleries.galleries",
    "node_kinds": "explgraph.graphs.kinds",
    "noise_sensitivity": "explgraph.evaluation.explanations.checks",
    "open_images": "explgraph.photos.images",
    "parse": "aog",
    "part_groups": "explgraph.groups.grouping",
    "part_purity": "explgraph.evaluation.purity",
    "part_sheet": "aog.drawing.photos",
    "pointing_game": "explgraph.evaluation.explanations.measures",
    "probe_texture": "explgraph.explanations.texture.probe",
    "randomisation_check": "explgraph.evaluation.explanations.checks",
    "read_annotations": "explgraph.photos.annotation_files",
    "read_boxes": "explgraph.photos.boxes",
    "read_masks": "explgraph.photos.masks",
    "region_share": "aog",
    "score_segments": "explgraph.explanations.segments",
    "study_explanations": "explgraph.evaluation.explanations.study",
    "to_fiftyone": "explgraph.photos.fiftyone",
    "to_networkx": "explgraph.export",
    "trace": "explgraph.explanations.trace",
    "visualize": "explgraph.explanations.visualization",
    "write_annotations": "explgraph.photos.annotation_files",
    "write_answers": "aog.files",
    "write_report": "explgraph.report.writing",
}
__all__ = [*_HOME]


def __getattr__(name: str) -> object:
    if name not in _HOME:
        raise AttributeError(f"module 'explgraph' has no attribute {name!r}")
    top = _HOME[name].split(".")[0]
    # `mining` and `aog` are common words: another distribution may have put its own there.
    if top != __name__ and getattr(import_module(top), "DISTRIBUTION", None) != __name__:
        raise ImportError(
            f"'{top}' at {import_module(top).__file__} is not explgraph's: another distribution "
            "shadows it. Reinstall explgraph in a clean environment."
        )
    return getattr(import_module(_HOME[name]), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *_HOME})
