"""The figures of a report: what nodes are, how much they explain, how well they follow parts."""

from __future__ import annotations

from dataclasses import dataclass

from mining.explained import ExplainedShare, NodeKinds, explained_share, node_kinds

from .annotations import Annotations
from .evaluation import Evaluation, evaluate, raw_peaks
from .graph import ExplanatoryGraph
from .marks import photo_of
from .matches import Matches
from .protocol import GRAPH, RAW_MIRRORED
from .structures import PeakSet


@dataclass(frozen=True, eq=False, slots=True)
class Figures:
    """What was measured of a graph; None where that was not asked for.

    Attributes
    ----------
    kinds
        Which nodes are parts and which texture.
    explained
        The share of the photos' response that nodes explain.
    evaluation
        How well nodes follow annotated parts, beside raw peaks.
    """

    kinds: NodeKinds | None = None
    explained: ExplainedShare | None = None
    evaluation: Evaluation | None = None


def measure(
    graph: ExplanatoryGraph,
    found: Matches,
    peaks: PeakSet | None,
    annotations: Annotations | None,
) -> Figures:
    """Measure what can be measured of a graph in some photos.

    Parameters
    ----------
    graph, found
        P nodes in N photos.
    peaks
        The peaks of the same photos; without them only parts are measured, without raw peaks.
    annotations
        Parts of these photos.

    Raises
    ------
    ExplGraphError
        If peaks, matches and annotations do not belong together.
    """
    evaluation = None
    if annotations is not None:
        rows = {GRAPH: found}
        if peaks is not None:
            rows = {RAW_MIRRORED: raw_peaks(peaks, found.mirrored), **rows}
        ranks = {GRAPH: graph.gain}
        evaluation = evaluate(rows, annotations, photo_size=found.photo_sizes, rank=ranks)
    if peaks is None:
        return Figures(evaluation=evaluation)
    kinds = node_kinds(graph, peaks)
    groups = [photo_of(name) for name in peaks.images]
    is_divisible = len(set(groups)) > 1  # each half's noise is fitted on the other
    explained = (
        explained_share(graph, peaks, texture=kinds.texture, groups=groups)
        if is_divisible
        else None
    )
    return Figures(kinds, explained, evaluation)
