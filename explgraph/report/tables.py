"""The figures of a report: what nodes are, how much they explain, how well they follow parts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from explgraph.base.arrays import I8
from explgraph.base.text import counted, digits, percent, printable
from explgraph.evaluation.protocol import GRAPH, RAW_MIRRORED
from explgraph.evaluation.tables import Evaluation, evaluate, raw_peaks
from explgraph.graphs.graph import ExplanatoryGraph
from explgraph.graphs.kinds import NodeKinds, node_kinds
from explgraph.graphs.matches import Matches
from explgraph.peaks.structures import PeakSet
from explgraph.photos.annotations import Annotations, photo_of
from mining.explained import COUNTS, ExplainedShare, LayerShares, explained_share


@dataclass(frozen=True, eq=False, slots=True)
class Figures:
    """What was measured of a graph; None where that was not asked for.

    Attributes
    ----------
    kinds
        Which nodes are parts, texture and background, if that can be told.
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
        return Figures(node_kinds(graph), evaluation=evaluation)
    seen = found if found.images == peaks.images else None
    groups = [photo_of(name) for name in peaks.images]
    is_divisible = len(set(groups)) > 1  # each half's noise is fitted on the other
    explained = explained_share(graph, peaks, groups=groups, found=seen) if is_divisible else None
    return Figures(node_kinds(graph), explained, evaluation)


_TIMES, _UNKNOWN = "\N{MULTIPLICATION SIGN}", "\N{EN DASH}"
_EXPLAINED = (
    "Explained is the share of the filters' response in these photos that nodes predict; the rest "
    "is left to noise. First all kept peaks of each map count, then those above half of its "
    "strongest, then the strongest alone. Nodes of the wrong filters explain some of it, too: "
    "compare with “explgraph evaluate --measures explained”."
)
_TRACKING = (
    "Tracking ratio of the 100 nodes that follow a part best, chosen on one half of the photos and "
    "measured on the other: 0 is perfect. Read it beside the still point, a point that never moves "
    "in the orientation in which the graph sees the photos: a row that is not below it shows that "
    "orientation, and not that its nodes follow the part."
)


@dataclass(frozen=True, slots=True)
class Table:
    """A table of the page.

    Attributes
    ----------
    caption, note
        What it shows, and how to read it.
    head, rows
        Text; the first column names the row.
    """

    caption: str
    note: str
    head: Sequence[str]
    rows: Sequence[Sequence[str]]


def summary(graph: ExplanatoryGraph, shown: int, photos: int) -> str:
    """Say in a sentence or two what the page shows."""
    layers = len(np.unique(graph.node_layer))
    mined = graph.header.get("n_images")
    return (
        f"{counted(len(graph), 'node')} in {counted(layers, 'layer')}, "
        f"{counted(len(graph.edge_child), 'edge')}"
        + (f", mined from {counted(int(mined), 'photo')}" if mined is not None else "")
        + f". {'All nodes' if shown == len(graph) else f'{shown:,} of the nodes'} are shown in "
        f"pictures, as found in {counted(photos, 'photo')}."
    )


def shown_doubts(graph: ExplanatoryGraph) -> list[dict[str, str]]:
    """Return what to doubt: each ``sentence`` with its ``severity``."""
    return [
        {"severity": doubt.severity, "sentence": printable(doubt.sentence)}
        for doubt in graph.doubts
    ]


def about(graph: ExplanatoryGraph, found: Matches) -> dict[str, str]:
    """Return what is known of where the graph came from, by name."""
    header: Mapping[str, Any] = graph.header
    preprocess: Mapping[str, Any] = header.get("preprocess") or {}
    versions: Mapping[str, Any] = header.get("versions") or {}
    height, width = graph.input_size
    fit = preprocess.get("fit")
    known = {
        "Network": header.get("model"),
        "Weights (SHA-256)": str(header.get("weight_hash", ""))[:16],
        "Input": f"{height} by {width} px" + (f", {fit}" if fit else ""),
        "Photos mined": header.get("n_images"),
        "Photos shown": len(found),
        "Photos seen mirrored": f"{found.mirrored.mean():.0%}" if len(found) else None,
        "Seed": header.get("seed"),
        "explgraph": versions.get("explgraph"),
    }
    return {key: printable(str(v)) for key, v in known.items() if v is not None and v != ""}


def tables(graph: ExplanatoryGraph, chosen: I8, figures: Figures) -> list[Table]:
    """Return the page's tables: the layers, and how well nodes follow parts if that is known."""
    result = [_layers(graph, chosen, figures)]
    if figures.evaluation is not None:
        result.append(_parts(figures.evaluation))
    return result


def _layers(graph: ExplanatoryGraph, chosen: I8, figures: Figures) -> Table:
    explained, kind = figures.explained, figures.kinds and figures.kinds.kind
    child = graph.node_layer[graph.edge_child]
    rows = []
    for i, layer in enumerate(graph.layers):
        mine = graph.node_layer == i
        row = [
            printable(layer.name),
            f"{layer.grid[0]} {_TIMES} {layer.grid[1]}",
            f"{layer.channels:,}",
            f"{np.count_nonzero(mine):,}",
            f"{np.count_nonzero(mine[chosen]):,}",
            f"{np.count_nonzero(child == i):,}",
        ]
        if kind is not None:
            row.append(f"{np.count_nonzero(mine & (kind == 'part')):,}")
        if explained is not None:
            row.append(_counts([counted.layers[i].explained for counted in _counted(explained)]))
        rows.append(row)
    head = ["layer", "cells", "filters", "nodes", "in pictures", "edges to parents"]
    total = ["all layers", "", f"{sum(layer.channels for layer in graph.layers):,}"]
    total += [f"{len(graph):,}", f"{len(chosen):,}", f"{len(child):,}"]
    if kind is not None:
        head.append("part nodes")
        total.append(f"{np.count_nonzero(kind == 'part'):,}")
    if explained is not None:
        head.append("explained")
        total.append(_counts([counted.overall.explained for counted in _counted(explained)]))
    note = "" if explained is None else _EXPLAINED
    return Table("Layers, the top one above", note, head, [*rows[::-1], total])


def _counted(explained: ExplainedShare) -> list[LayerShares]:
    return [getattr(explained, count) for count in COUNTS]


def _counts(shares: Sequence[float]) -> str:
    return " / ".join(percent(share, _UNKNOWN) for share in shares)


def _parts(evaluation: Evaluation) -> Table:
    rows = [
        [
            f"{part.part}: {name}",
            f"{tracking.nodes:,}",
            digits(tracking.t100, 2, _UNKNOWN),
            digits(tracking.constant, 2, _UNKNOWN),
            f"{sum(part.photos):,}",
        ]
        for part in evaluation.parts
        for name, tracking in part.tracking.items()
    ]
    head = ["part: what follows it", "nodes", "tracking ratio", "still point", "photos"]
    return Table("How well nodes follow annotated parts", _TRACKING, head, rows)
