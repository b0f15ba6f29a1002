"""Class evidence: how much of a class's logit hangs on a node's activation."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from explgraph.base.arrays import F8, I4, I8, NONE
from explgraph.base.errors import require
from explgraph.base.figures import correlation
from explgraph.base.renamed import renamed
from explgraph.base.text import plain
from explgraph.graphs.choice import best_of_layers
from explgraph.graphs.graph import ExplanatoryGraph
from explgraph.graphs.matches import Matches, fires
from explgraph.networks.backbone import Backbone
from explgraph.networks.intervention import Gradients, Rest, logit_gradients

from .claims import (
    SeenLayer,
    SeenPhotos,
    check_same_network,
    seen_layers,
    seen_photos,
    without_cells,
)

if TYPE_CHECKING:
    import pandas as pd


PER_LAYER = 10
"""Best nodes of each layer whose exact drop is measured when none are named."""

_EXACT = ("drop", "control", "same_filter")
_FIGURES = ("photos", "cells", "logit", "estimate", *_EXACT)


@dataclass(frozen=True, eq=False, slots=True)
class ClassEvidence:
    """What P nodes add to a class's logit: means over the photos that count for each.

    Attributes
    ----------
    target
        The class; None: each photo's own top-1.
    ids
        P names, layer/filter/part.
    photos
        (P,) how many photos count: those in which the node fires, its best ones. Where there are
        none, all other figures are NaN.
    cells
        (P,) cells of the peak's basin.
    logit
        (P,) the class's logit, unedited.
    estimate
        (P,) the drop to first order: gradient times activation above m_c, summed over the cells.
    drop
        (P,) the logit's drop when the cells are set to m_c; NaN for nodes that were not asked for.
    control
        (P,) its drop when as many other active cells are set to their m_c: of the same filter if it
        has so many, else of the whole layer.
    same_filter
        (P,) share of the photos in which the control is of the same filter.
    """

    target: int | None
    ids: tuple[str, ...]
    photos: I4
    cells: F8
    logit: F8
    estimate: F8
    drop: F8
    control: F8
    same_filter: F8

    @property
    def table(self) -> pd.DataFrame:
        """One row per node, index ``node``; the columns are ``id`` and the attributes (P,)."""
        import pandas as pd

        columns = {name: getattr(self, name) for name in _FIGURES}
        return pd.DataFrame({"id": self.ids, **columns}).rename_axis("node")

    @property
    def correlation(self) -> float:
        """Pearson's, of estimate and exact drop over the nodes that have both; NaN below three."""
        return correlation(self.drop, self.estimate)

    def to_json(self) -> dict[str, Any]:
        """Return every figure as JSON values, a row for each node; what does not apply is null."""
        rows = self.table.reset_index().to_dict(orient="records")
        return {
            "target": self.target,
            "correlation": plain(self.correlation),
            "nodes": [plain(row) for row in rows],
        }


@renamed(matches="found", photos="n_photos")
def class_evidence(
    graph: ExplanatoryGraph,
    found: Matches,
    net: Backbone,
    images: object,
    *,
    target: int | None = None,
    nodes: Sequence[int] | None = None,
    n_photos: int = 10,
    seed: int = 0,
) -> ClassEvidence:
    """Measure how much a class's logit drops when nodes' activations are removed.

    In a photo in which a node fires, the cells that ascend to the peak on which it was found are
    set to the channel's m_c, where the response is 0; all else stays. An estimate to first order
    costs one pass forth and back for all nodes together; the exact drop is measured for some.

    Parameters
    ----------
    graph
        P nodes.
    found
        Where they are in N photos.
    net
        The network; a classifier.
    images
        These photos, and perhaps others, in any form that `explgraph.open_images` takes.
    target
        Index of the class; None: each photo's own top-1.
    nodes
        Indices of the nodes whose exact drop is wanted; default: the 10 best of each layer, by
        `ExplanatoryGraph.ranking`.
    n_photos
        How many photos count for a node, at most: the best of those in which it scores at least
        half of its mean score over the photos it was mined from.
    seed
        Of the control's cells.

    Returns
    -------
    How much hangs on each node, beside as many other cells.

    Raises
    ------
    ExplGraphError
        If the graph, matches, network and images do not belong together, a node or the class does
        not exist, or the network returns no logits.
    """
    check_same_network(graph, found, net)
    require(n_photos >= 1, f"n_photos must be at least 1, got {n_photos}")
    asked = _asked(graph, nodes)
    counts = _best_photos(graph, found, n_photos)
    rows = np.flatnonzero(counts.any(axis=1))
    part, counts = found.take(images=rows), counts[rows]
    names = [layer.name for layer in graph.layers]
    rests = [Rest(net, name) for name in names]
    totals = {name: np.zeros(len(graph)) for name in _FIGURES}
    for batch in seen_photos(part, net, images) if len(rows) else ():
        gradients = logit_gradients(net, batch.tensor, names, target)
        for index in np.unique(graph.node_layer):
            for photo in _photos(graph, part, batch, gradients, int(index)):
                seen, tops = photo.layer.nodes, photo.layer.tops
                mine = counts[photo.row, seen]
                _add(totals, seen[mine], photo.estimates(tops[mine]))
                exact = mine & asked[seen]
                rng = np.random.default_rng([seed, int(rows[photo.row]), int(index)])
                if exact.any():
                    _add(totals, seen[exact], photo.drops(tops[exact], rests[index], rng))
    return _summary(graph, totals, asked, target)


def _asked(graph: ExplanatoryGraph, nodes: Sequence[int] | None) -> NDArray[np.bool_]:
    """Mark (P,) the nodes whose exact drop is wanted."""
    asked = np.zeros(len(graph), dtype=bool)
    if nodes is None:
        asked[np.concatenate(best_of_layers(graph, PER_LAYER))] = True
        return asked
    wrong = [node for node in nodes if not 0 <= node < len(graph)]
    require(not wrong, f"nodes {wrong[:3]} do not exist: 0..{len(graph) - 1} do")
    asked[list(nodes)] = True
    return asked


def _best_photos(graph: ExplanatoryGraph, matches: Matches, photos: int) -> NDArray[np.bool_]:
    """Mark (N, P) the photos that count for a node; of equal scores the first photo goes first."""
    place = np.argsort(np.argsort(-matches.score, axis=0, kind="stable"), axis=0)
    return fires(matches.score.T, graph.score).T & (place < photos)


class _Photo(NamedTuple):
    """One layer in one photo: ``row`` in the matches, ``tensor (1, C_in, H_in, W_in)``."""

    row: int
    tensor: Tensor
    logit: float
    target: int
    layer: SeenLayer

    def estimates(self, tops: I8) -> dict[str, F8]:
        """Return by figure (n,) what needs no further pass, of nodes by their maxima."""
        peak = self.layer.peak
        size = np.bincount(peak[peak != NONE], minlength=len(peak))[tops].astype(np.float64)
        one: F8 = np.ones(len(tops))
        change = self.layer.estimates(tops)
        return {"photos": one, "cells": size, "logit": self.logit * one, "estimate": change}

    def drops(self, tops: I8, rest: Rest, rng: np.random.Generator) -> dict[str, F8]:
        """Return by figure (n,) what the rest of the network says to each node's removal."""
        layer = self.layer
        removed = layer.peak == tops[:, None]
        controls = [self._control(mask, top, rng) for mask, top in zip(removed, tops, strict=True)]
        masks = np.concatenate([np.zeros_like(removed[:1]), removed, [c.cells for c in controls]])
        variants = without_cells(layer.maps, layer.mean, masks)
        logits = rest.logits(self.tensor, variants)[:, self.target].double().cpu().numpy()
        drop, control = (logits[0] - logits[1:]).reshape(2, -1)
        same = np.array([c.same_filter for c in controls], dtype=np.float64)
        return {"drop": drop, "control": control, "same_filter": same}

    def _control(self, removed: NDArray[np.bool_], top: int, rng: np.random.Generator) -> _Control:
        """Choose as many active cells outside of a basin as it has."""
        others = np.flatnonzero((self.layer.peak != NONE) & ~removed)
        area = self.layer.maps[0].numel()
        siblings = others[others // area == top // area]
        n_cells = int(removed.sum())
        same = len(siblings) >= n_cells
        pool = siblings if same else others
        cells = np.zeros_like(removed)
        cells[rng.permutation(pool)[:n_cells]] = True
        return _Control(cells, same)


class _Control(NamedTuple):
    cells: NDArray[np.bool_]
    same_filter: bool


def _photos(
    graph: ExplanatoryGraph, matches: Matches, batch: SeenPhotos, found: Gradients, index: int
) -> Iterator[_Photo]:
    """Yield a batch's photos, one layer of each."""
    layers = seen_layers(graph, matches, batch.rows, found, index)
    for i, (row, layer) in enumerate(zip(batch.rows, layers, strict=True)):
        target = int(found.target[i])
        tensor, logit = batch.tensor[i : i + 1], float(found.logits[i, target])
        yield _Photo(int(row), tensor, logit, target, layer)


def _add(totals: dict[str, F8], nodes: NDArray[np.intp], figures: dict[str, F8]) -> None:
    for name, values in figures.items():
        totals[name][nodes] += values


def _summary(
    graph: ExplanatoryGraph, totals: dict[str, F8], asked: NDArray[np.bool_], target: int | None
) -> ClassEvidence:
    photos = totals.pop("photos")
    count = np.where(photos > 0, photos, np.nan)
    means = {name: total / count for name, total in totals.items()}
    exact = {name: np.where(asked, means.pop(name), np.nan) for name in _EXACT}
    ids = tuple(graph.node_id(node) for node in range(len(graph)))
    return ClassEvidence(target, ids, photos.astype(np.int32), **means, **exact)
