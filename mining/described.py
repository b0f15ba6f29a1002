"""What the mining photos show of a graph's nodes and edges, gone through a group at a time."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from functools import reduce

import numpy as np

from explgraph.base.arrays import F4, F8, I4, Array, beside, namespace_of, on_host
from explgraph.base.jit import jit
from explgraph.base.threads import map_ranges
from explgraph.graphs.graph import ExplanatoryGraph
from explgraph.graphs.matches import fires
from explgraph.peaks.structures import Peaks

from .engine import Photos
from .matching import find_places
from .work.steps import Told

_EDGES = 4096  # that one thread goes through
_LEAST = 1e-6  # deviation of log(1 + score): below, a node scores the same everywhere


def described(
    graph: ExplanatoryGraph, groups: Iterable[tuple[Peaks, ...] | Photos]
) -> ExplanatoryGraph:
    """Fill in how often nodes fire, how edges lie, and how their ends' scores go together.

    The displacement of an edge is the mean of p_child - p_parent over the photos, weighted by the
    product of both scores; the spread is the standard deviation per axis about it. The correlation
    is Pearson's of log(1 + score), of which each photo's mean over all nodes is taken off: what a
    photo shows strongly, it shows strongly of everything.

    Parameters
    ----------
    graph
        P nodes with their scores, E edges.
    groups
        The mining photos' peaks, in the graph's orientation, group by group, on any device.
    """
    return completed(graph, map(Telling(graph), groups))


@dataclass(frozen=True, slots=True)
class Telling:
    """Adds up what a group of photos shows of a graph; can be pickled."""

    graph: ExplanatoryGraph

    def __call__(self, peaks: tuple[Peaks, ...] | Photos) -> Told:
        """Return the sums over some photos."""
        graph = self.graph
        child, parent, base = graph.edge_child, graph.edge_parent, _base(graph)
        relation, product = np.zeros((len(child), 2, 4)), np.zeros((len(child), 1))
        yx, score = find_places(graph, peaks)
        active = fires(score, beside(graph.score, score))
        _over_edges(_relate, child, parent, base, relation, yx, score)
        strength = _strength(score)
        _over_edges(_multiply, child, parent, base, product, strength)
        fired, level, square = (
            np.asarray(on_host(array.sum(1)), dtype=np.float64)
            for array in (active, strength, strength * strength)
        )
        return Told(relation, product, fired, level, square, int(active.shape[1]))


def _base(graph: ExplanatoryGraph) -> F4:
    """Return (E, 2) about what displacements are added up: sums of small numbers."""
    return graph.mu[graph.edge_child] - graph.mu[graph.edge_parent]


def completed(graph: ExplanatoryGraph, parts: Iterable[Told]) -> ExplanatoryGraph:
    """Do as `described` with what groups of photos told, in their order."""
    child, parent = graph.edge_child, graph.edge_parent
    relation, product, fired, level, square, n = reduce(Told.plus, parts)
    offset, spread = _relation(relation)
    mean = level / n
    deviation = np.sqrt(np.maximum(square / n - mean**2, 0))
    common = product[:, 0] / n - mean[child] * mean[parent]
    both = deviation[child] * deviation[parent]
    varies = np.minimum(deviation[child], deviation[parent]) > _LEAST
    correlation = np.divide(common, both, out=np.zeros_like(both), where=varies)
    return replace(
        graph,
        support=(fired / n).astype(np.float32),
        edge_displacement=(_base(graph) + offset).astype(np.float32),
        edge_spread=spread.astype(np.float32),
        edge_correlation=np.clip(correlation, -1, 1).astype(np.float32),
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


def _strength(score: Array) -> Array:
    """Return (P, N) log(1 + score) in float64, less its mean over the nodes of each photo."""
    xp = namespace_of(score)
    strength = xp.log1p(xp.asarray(score, dtype=xp.float64))
    return strength - xp.mean(strength, axis=0)


@jit
def _multiply(child: I4, parent: I4, base: F4, sums: F8, strength: F8) -> None:
    """Add to (E, 1) the products of both ends' strengths."""
    for e in range(len(child)):
        for i in range(strength.shape[1]):
            sums[e, 0] += strength[child[e], i] * strength[parent[e], i]


def _relation_sums(child: Array, parent: Array, base: Array, yx: Array, score: Array) -> Array:
    """Return (E, 2, 4) what `_relate` adds."""
    xp = namespace_of(yx)
    offset = xp.asarray(yx[child] - yx[parent] - base[..., None], dtype=xp.float64)
    weight = xp.asarray(score[child], dtype=xp.float64) * score[parent]
    dy, dx = offset[:, 0], offset[:, 1]
    terms = xp.stack([xp.ones_like(dy), dy, dx, dy * dy + dx * dx], axis=1)
    return xp.stack([xp.sum(weight[:, None] * terms, axis=2), xp.sum(terms, axis=2)], axis=1)


def _products(child: Array, parent: Array, base: Array, strength: Array) -> Array:
    """Return (E, 1) what `_multiply` adds."""
    return (strength[child] * strength[parent]).sum(1)[:, None]


_TWINS: dict[Callable[..., None], Callable[..., Array]] = {
    _relate: _relation_sums,
    _multiply: _products,
}
