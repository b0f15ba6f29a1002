"""Edges: what is lost of a node's response without nodes below, by how these are chosen."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from explgraph.base.arrays import F8, I8, NONE, first_half
from explgraph.base.errors import require
from explgraph.base.figures import correlation
from explgraph.base.text import plain
from explgraph.explanations.claims import (
    SeenLayer,
    check_same_network,
    seen_layers,
    seen_photos,
    without_cells,
)
from explgraph.explanations.effects import (
    PARENTS,
    PhotoEffects,
    edge_effects,
    effects_in_photos,
    resting,
    shared_photos,
)
from explgraph.graphs.effects import EdgeEffects
from explgraph.graphs.graph import ExplanatoryGraph
from explgraph.graphs.matches import Matches, fires
from explgraph.groups.coincidence import coincidence
from explgraph.groups.observed import Observed, observed
from explgraph.networks.backbone import Backbone
from explgraph.networks.intervention import Rest
from explgraph.networks.sections import Sections

if TYPE_CHECKING:
    import pandas as pd


EFFECT, MOVES, COINCIDE = "largest effect", "moves with", "best coincidence"
NEAR, RANDOM = "random of the 45 nearest", "random"
ROWS = (EFFECT, MOVES, COINCIDE, NEAR, RANDOM)

_PHOTOS = 20  # of each half, for a parent
_LEAST_PHOTOS = 5  # of each half in which a parent fires
_NEAREST = 3  # times the children


@dataclass(frozen=True, eq=False, slots=True)
class EdgeStudy:
    """What is lost of nodes' responses without some children, chosen on other photos.

    Attributes
    ----------
    n_children
        How many are taken away at once.
    parents
        (K,) the nodes in question.
    lost
        By row of `ROWS`, (K,) mean share of the parent's response that is lost; NaN for parents
        that have not so many children of the kind.
    cells
        By row, (K,) mean number of cells that are emptied.
    again
        (K,) how many of the children of largest effect are such in the other half of the photos as
        well, share.
    again_by_chance
        (K,) the same for children drawn at random.
    single
        (M, 2) of single children in single photos: the effect to first order, and what is lost.
    """

    n_children: int
    parents: I8
    lost: Mapping[str, F8]
    cells: Mapping[str, F8]
    again: F8
    again_by_chance: F8
    single: F8 = field(repr=False)

    @property
    def correlation(self) -> float:
        """Pearson's, of effects to first order and what is lost without single children."""
        return correlation(*self.single.T)

    @property
    def table(self) -> pd.DataFrame:
        """One row for each way to choose children.

        Columns: ``row``; ``lost``, mean share of the parents' response, with its standard ``error``
        and the number of ``parents``; ``cells``, mean number emptied; of the row "largest effect"
        also ``again``, the share of these children that the other half of the photos gives as well,
        ``by_chance``, and ``correlation`` with exact removals.
        """
        import pandas as pd

        lines = []
        for row in ROWS:
            known = self.lost[row][np.isfinite(self.lost[row])]
            line: dict[str, Any] = {
                "row": row,
                "lost": known.mean() if len(known) else np.nan,
                "error": known.std(ddof=1) / np.sqrt(len(known)) if len(known) > 1 else np.nan,
                "parents": len(known),
                "cells": np.nanmean(self.cells[row]) if len(known) else np.nan,
            }
            if row == EFFECT:
                line |= {
                    "again": np.nanmean(self.again),
                    "by_chance": np.nanmean(self.again_by_chance),
                    "correlation": self.correlation,
                }
            lines.append(line)
        return pd.DataFrame(lines)

    def to_json(self) -> dict[str, Any]:
        """Return every figure as JSON values; what does not apply is null."""
        return {
            "n_children": self.n_children,
            "rows": [plain(line) for line in self.table.to_dict(orient="records")],
            "parents": self.parents.tolist(),
            "lost": {row: [plain(v) for v in self.lost[row].tolist()] for row in ROWS},
        }


def study_edges(
    graph: ExplanatoryGraph,
    found: Matches,
    net: Backbone,
    images: object,
    *,
    groups: Sequence[str] | None = None,
    n_parents: int | None = None,
    n_children: int = 15,
    seed: int = 0,
) -> EdgeStudy:
    """Measure what is lost of nodes' responses when the cells of some nodes below are emptied.

    Children are chosen in one half of the photos; in the other half the cells that ascend to their
    peaks are set to m_c, and the network is run up to the parent. Rows: the children of largest
    effect (`edge_effects`); those that move with the parent most steadily; those whose peaks
    coincide with its own most nearly; and, as controls, random ones of those nearest to it, and
    random ones of the whole layer.

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
    groups
        N names; photos with the same one stay in one half. Default: each photo by itself.
    n_parents
        None: the 60 nodes to look at first (`ExplanatoryGraph.top`), those that pages and pictures
        show; else so many of each pair of layers, drawn at random. Only nodes above the lowest
        layer that fire in five photos of each half.
    n_children
        How many are taken away at once.
    seed
        Of what is random.

    Raises
    ------
    ExplGraphError
        If the graph, matches, network and images do not belong together, or no parent is left.
    """
    check_same_network(graph, found, net)
    require(n_parents is None or n_parents >= 1, f"n_parents must be at least 1, got {n_parents}")
    require(n_children >= 1, f"n_children must be at least 1, got {n_children}")
    first = first_half(found.images if groups is None else groups)
    halves = found.take(images=first), found.take(images=~first)
    rng = np.random.default_rng(seed)
    parents = _parents(graph, halves, n_parents, rng)
    require(
        len(parents) > 0,
        f"no node above the lowest layer fires in {_LEAST_PHOTOS} photos of both halves",
    )
    here, there = (
        edge_effects(
            graph, half, net, images, parents=parents.tolist(), n_photos=_PHOTOS,
            n_children=n_children, progress=False,
        )
        for half in halves
    )  # fmt: skip
    choice = {
        parent: _choice(graph, halves[0], here, parent, n_children, rng)
        for parent in parents.tolist()
    }
    lost = _lost(graph, halves[1], net, images, choice)
    best = [[_children(one, parent) for one in (here, there)] for parent in parents.tolist()]
    below = np.bincount(graph.node_layer)[graph.node_layer[parents] - 1]
    return EdgeStudy(
        n_children=n_children,
        parents=parents,
        lost={row: lost.means(row, 0) for row in ROWS},
        cells={row: lost.means(row, 1) for row in ROWS},
        again=np.array([len(np.intersect1d(one, two)) / n_children for one, two in best]),
        again_by_chance=np.minimum(n_children / below, 1.0),
        single=np.array(lost.single).reshape(-1, 2),
    )


def _parents(
    graph: ExplanatoryGraph,
    halves: tuple[Matches, Matches],
    most: int | None,
    rng: np.random.Generator,
) -> I8:
    """Choose nodes of each layer but the lowest, ascending."""
    often = [fires(half.score.T, graph.score).sum(axis=1) >= _LEAST_PHOTOS for half in halves]
    if most is None:
        shown: I8 = np.sort(graph.top(PARENTS))
        kept: I8 = shown[(graph.node_layer[shown] > 0) & often[0][shown] & often[1][shown]]
        return kept
    chosen = []
    for layer in range(1, len(graph.layers)):
        nodes = np.flatnonzero((graph.node_layer == layer) & often[0] & often[1])
        chosen.append(np.sort(rng.permutation(nodes)[:most]))
    return np.concatenate(chosen) if chosen else np.empty(0, dtype=np.int64)


def _children(effects: EdgeEffects, parent: int) -> I8:
    """Return the nodes that carry most of a parent's response; those that inhibit it left out."""
    mine = (effects.parent == parent) & (effects.effect > 0)
    return np.asarray(effects.child[mine], dtype=np.int64)


def _choice(
    graph: ExplanatoryGraph,
    found: Matches,
    effects: EdgeEffects,
    parent: int,
    count: int,
    rng: np.random.Generator,
) -> dict[str, I8]:
    """Choose a parent's children in some photos, by row; a row that has too few is left out."""
    below = np.flatnonzero(graph.node_layer == graph.node_layer[parent] - 1)
    edges = np.flatnonzero(graph.edge_parent == parent)
    steady = edges[np.argsort(graph.edge_spread[edges], kind="stable")]
    apart = np.linalg.norm(graph.mu[below] - graph.mu[parent], axis=1)
    near = below[np.argsort(apart, kind="stable")][: _NEAREST * count]
    ranked = {
        EFFECT: _children(effects, parent),
        MOVES: graph.edge_child[steady].astype(np.int64),
        COINCIDE: below[np.argsort(_apart(graph, found, parent, below), kind="stable")],
        NEAR: rng.permutation(near),
        RANDOM: rng.permutation(below),
    }
    return {row: nodes[:count] for row, nodes in ranked.items() if len(nodes) >= count}


def _apart(graph: ExplanatoryGraph, found: Matches, parent: int, below: I8) -> F8:
    """Return (n,) how far the peaks of nodes below are from a parent's, on the average."""
    seen, nodes = observed(graph, found), np.append(below, parent)
    own = Observed(seen.yx[nodes], seen.weight[nodes])
    side = float(np.sqrt(graph.input_size[0] * graph.input_size[1]))
    return np.asarray(coincidence(own, side, 0.2)[-1, :-1], dtype=np.float64)


class _InPhoto(NamedTuple):
    """Two neighbouring layers in one photo (1, 3, H_in, W_in), and which nodes fire (P,) in it."""

    below: SeenLayer
    above: SeenLayer
    photo: Tensor
    rest: Rest
    firing: NDArray[np.bool_]

    def top(self, parent: int) -> int:
        """Return the peak on which a parent was found; `NONE` without one."""
        where = np.flatnonzero(self.above.nodes == parent)
        return int(self.above.tops[where[0]]) if len(where) else NONE

    def cells(self, children: I8) -> NDArray[np.bool_]:
        """Return which cells belong to the peaks of those children that fire."""
        firing = children[self.firing[children]]
        return self.below.cells(self.below.tops[np.isin(self.below.nodes, firing)])

    def lost(self, tops: Sequence[int], masks: Sequence[NDArray[np.bool_]]) -> F8:
        """Return what share of a peak's response is lost without each of some masks' cells."""
        if not masks:
            return np.empty(0)
        variants = without_cells(self.below.maps, self.below.mean, np.stack(masks))
        found = self.rest.maps(self.photo, variants, self.above.spec.name).cpu()
        at = np.array(tops)
        value = found.flatten(1)[np.arange(len(at)), at].double().numpy()
        whole = self.above.excess(at)
        mean = self.above.maps.flatten()[at].double().numpy() - whole
        return np.asarray(1 - (value - mean) / whole)


class _Lost:
    """What is lost of parents' responses, by parent and row; and beside estimates, by pair."""

    def __init__(self, choice: Mapping[int, Mapping[str, I8]]) -> None:
        self.choice = choice
        self._sums: dict[tuple[int, str], F8] = {}
        self.single: list[tuple[float, float]] = []

    def add(self, here: _InPhoto, parents: Sequence[int]) -> None:
        """Take each row's children of some parents away in one photo."""
        asked = [
            (parent, row, here.top(parent), here.cells(children))
            for parent in parents
            for row, children in self.choice[parent].items()
        ]
        shares = here.lost([one[2] for one in asked], [one[3] for one in asked])
        for (parent, row, _, mask), share in zip(asked, shares.tolist(), strict=True):
            # A response cannot lose more than all it has.
            figures = np.array([min(share, 1.0), float(mask.sum()), 1.0])
            self._sums[parent, row] = self._sums.get((parent, row), np.zeros(3)) + figures

    def add_single(self, here: _InPhoto, one: PhotoEffects) -> None:
        """Take children of the first and the last row away, one by one, beside the estimates."""
        for parent, effect in zip(one.parents.tolist(), one.effect, strict=True):
            known = dict(zip(one.children.tolist(), effect.tolist(), strict=True))
            asked = {c for row in (EFFECT, RANDOM) for c in self.choice[parent].get(row, ())}
            children = sorted(c for c in asked if here.firing[c] and c in known)
            masks = [here.cells(np.array([child])) for child in children]
            shares = here.lost([here.top(parent)] * len(masks), masks)
            estimates = [known[child] for child in children]
            self.single += zip(estimates, shares.tolist(), strict=True)

    def means(self, row: str, figure: int) -> F8:
        """Return (K,) the means over photos of a figure; NaN where there is none."""
        found = [self._sums.get((parent, row)) for parent in self.choice]
        return np.array([np.nan if one is None else one[figure] / one[2] for one in found])


def _lost(
    graph: ExplanatoryGraph,
    found: Matches,
    net: Backbone,
    images: object,
    choice: Mapping[int, Mapping[str, I8]],
) -> _Lost:
    """Empty each row's children in the photos that count for a parent; single ones in its first."""
    wanted = np.zeros(len(graph), dtype=bool)
    wanted[list(choice)] = True
    counts = shared_photos(graph, found, _PHOTOS) & wanted
    rows = np.flatnonzero(counts.any(axis=1))
    part, counts = found.take(images=rows), counts[rows]
    firing = fires(part.score.T, graph.score).T
    names = [layer.name for layer in graph.layers]
    rests = [Rest(net, name) for name in names]
    result = _Lost(choice)
    for batch in seen_photos(part, net, images, progress=False):
        sections = Sections(net, batch.tensor, names, rest=resting(graph))
        layers = [
            list(seen_layers(graph, part, batch.rows, sections.maps, index))
            for index in range(len(names))
        ]
        for below, above in pairwise(layers):
            photos = [
                _InPhoto(one, two, batch.tensor[i : i + 1], rests[one.number], firing[row])
                for i, (row, one, two) in enumerate(zip(batch.rows, below, above, strict=True))
            ]
            for row, here in zip(batch.rows, photos, strict=True):
                result.add(here, here.above.nodes[counts[row, here.above.nodes]].tolist())
            mine = counts[batch.rows] & wanted
            first = mine & (np.cumsum(mine, axis=0) == 1)
            for one in effects_in_photos(sections, below, above, first):
                result.add_single(photos[one.photo], one)
                wanted[one.parents] = False
    return result
