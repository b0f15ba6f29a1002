"""What the mining photos show of a graph's nodes and edges, gone through a group at a time."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from explgraph.base.arrays import F4, F8, I4, Array, beside, namespace_of, on_host
from explgraph.base.jit import jit
from explgraph.base.threads import map_ranges
from explgraph.graphs.graph import ExplanatoryGraph
from explgraph.graphs.matches import fires
from explgraph.peaks.structures import Peaks

from .engine import Photos
from .matching import find_places

_EDGES = 4096  # that one thread goes through


def described(
    graph: ExplanatoryGraph, groups: Iterable[tuple[Peaks, ...] | Photos]
) -> ExplanatoryGraph:
    """Fill in how often nodes fire, how edges lie, and how often both of their ends fire.

    The displacement of an edge is the mean of p_child - p_parent over the photos, weighted by the
    product of both scores; the spread is the standard deviation per axis about it. Co-activation is
    how often both fire, over what chance would give.

    Parameters
    ----------
    graph
        P nodes with their scores, E edges.
    groups
        The mining photos' peaks, in the graph's orientation, group by group, on any device.
    """
    child, parent = graph.edge_child, graph.edge_parent
    base = graph.mu[child] - graph.mu[parent]  # sums about it are sums of small numbers
    relation, both = np.zeros((len(child), 2, 4)), np.zeros((len(child), 1))
    fired, n = np.zeros(len(graph)), 0
    for peaks in groups:
        yx, score = find_places(graph, peaks)
        active = fires(score, beside(graph.score, score))
        n += active.shape[1]
        fired += on_host(active.sum(1))
        _over_edges(_relate, child, parent, base, relation, yx, score)
        _over_edges(_meet, child, parent, base, both, active)
    chance = fired[child] * fired[parent] / n
    offset, spread = _relation(relation)
    together = np.divide(both[:, 0], chance, out=np.zeros_like(chance), where=chance > 0)
    return replace(
        graph,
        support=(fired / n).astype(np.float32),
        edge_displacement=(base + offset).astype(np.float32),
        edge_spread=spread.astype(np.float32),
        edge_coactivation=together.astype(np.float32),
    )


def _relation(sums: F8) -> tuple[F8, F8]:
    """Return means (E, 2) and deviations per axis (E,) from `_relate`'s sums.

    Where no photo shows both ends, all photos count alike.
    """
    met = sums[:, 0, 0] > 0
    weight, down, right, square = np.where(met[:, None], sums[:, 0], sums[:, 1]).T
    mean = np.stack([down, right], axis=1) / weight[:, None]
    variance = np.maximum(square / weight - np.square(mean).sum(axis=1), 0)
    return mean, np.sqrt(variance / 2)


def _over_edges(
    function: Callable[..., None],
    child: I4,
    parent: I4,
    base: F4,
    out: F8,
    *nodes: Array,
) -> None:
    """Run a loop over edges in threads, some edges each; or add what its twin gives on a device."""

    def some(first: int, last: int) -> None:
        edges = slice(first, last)
        function(child[edges], parent[edges], base[edges], out[edges], *nodes)

    if isinstance(nodes[0], np.ndarray):
        map_ranges(some, len(child), _EDGES)
        return
    for first in range(0, len(child), _EDGES):
        edges = slice(first, first + _EDGES)
        ends = (beside(ends[edges], nodes[0]) for ends in (child, parent, base))
        out[edges] += on_host(_TWINS[function](*ends, *nodes))


@jit
def _relate(child: I4, parent: I4, base: F4, sums: F8, yx: F4, score: F4) -> None:
    """Add sums of w, w dy, w dx, w |d|^2 to (E, 2, 4): w by both scores, and w = 1."""
    for e in range(len(child)):
        c, p = child[e], parent[e]
        for i in range(score.shape[1]):
            weight = float(score[c, i]) * score[p, i]
            dy = yx[c, 0, i] - yx[p, 0, i] - base[e, 0]
            dx = yx[c, 1, i] - yx[p, 1, i] - base[e, 1]
            square = dy * dy + dx * dx
            sums[e, 0, 0] += weight
            sums[e, 0, 1] += weight * dy
            sums[e, 0, 2] += weight * dx
            sums[e, 0, 3] += weight * square
            sums[e, 1, 0] += 1.0
            sums[e, 1, 1] += dy
            sums[e, 1, 2] += dx
            sums[e, 1, 3] += square


@jit
def _meet(child: I4, parent: I4, base: F4, sums: F8, active: NDArray[np.bool_]) -> None:
    """Add to (E, 1) in how many photos both ends fire."""
    for e in range(len(child)):
        for i in range(active.shape[1]):
            if active[child[e], i] and active[parent[e], i]:
                sums[e, 0] += 1.0


def _relation_sums(child: Array, parent: Array, base: Array, yx: Array, score: Array) -> Array:
    """Return (E, 2, 4) what `_relate` adds."""
    xp = namespace_of(yx)
    offset = xp.asarray(yx[child] - yx[parent] - base[..., None], dtype=xp.float64)
    weight = xp.asarray(score[child], dtype=xp.float64) * score[parent]
    dy, dx = offset[:, 0], offset[:, 1]
    terms = xp.stack([xp.ones_like(dy), dy, dx, dy * dy + dx * dx], axis=1)
    return xp.stack([xp.sum(weight[:, None] * terms, axis=2), xp.sum(terms, axis=2)], axis=1)


def _meetings(child: Array, parent: Array, base: Array, active: Array) -> Array:
    """Return (E, 1) what `_meet` adds."""
    return (active[child] & active[parent]).sum(1)[:, None]


_TWINS: dict[Callable[..., None], Callable[..., Array]] = {
    _relate: _relation_sums,
    _meet: _meetings,
}
