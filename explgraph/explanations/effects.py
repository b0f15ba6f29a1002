"""What a node's response is made of: the effects of the nodes below on it (Eq. 15)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from explgraph.base.arrays import F4, F8, I8, NONE
from explgraph.base.errors import require, unknown_name
from explgraph.base.progress import Progress, watched
from explgraph.graphs.choice import find_node, largest_effects
from explgraph.graphs.effects import EdgeEffects
from explgraph.graphs.graph import ExplanatoryGraph
from explgraph.graphs.matches import Matches, fires
from explgraph.networks.backbone import Backbone
from explgraph.networks.sections import Sections, apart

from .claims import SeenLayer, check_same_network, seen_layers, seen_photos

PARENTS = 60
"""Nodes whose children are looked for unless others are asked for: the first of `top`."""

Parents = Literal["all"] | Sequence[str | int] | None


def edge_effects(
    graph: ExplanatoryGraph,
    found: Matches,
    net: Backbone,
    images: object,
    *,
    parents: Parents = None,
    n_photos: int = 20,
    n_children: int | None = 15,
    progress: Progress = True,
) -> EdgeEffects:
    """Measure what nodes' responses are made of: edges "is made of", beside those that move along.

    The effect of a child on a parent in a photo is the share of the parent's response that would be
    gone, to first order, if the child's cells fell to their filter's m_c: the sum over the cells
    that ascend to the child's peak of d f / d a times (a - m_c), over f, where f is the parent's
    response at its peak. Children are nodes of the mined layer next below. Layers that lie next to
    each other are nearly linear, and the effect is that of removing the cells.

    It says what a response is made of. It does not say that two nodes lie on the same part: cells
    can only act where the parent's field is.

    Parameters
    ----------
    graph
        P nodes.
    found
        Where they are in N photos.
    net
        The network that the graph was mined from.
    images
        These photos, and perhaps others, in any form that `explgraph.open_images` takes.
    parents
        Indices, ids or names of the nodes whose children are wanted; None: the 60 nodes to look at
        first (`ExplanatoryGraph.top`); "all": every node. Those of the lowest layer have none.
    n_photos
        How many photos count for a parent, at most: of those in which it fires the ones in which
        most nodes of the graph do.
    n_children
        How many are kept for each parent: those that carry most of its response, counted over all
        of the parent's photos, and beside them those that inhibit it more than the least of these
        carries; None: all that ever fire with it.
    progress
        Show on standard error how far it is; or a function that is called with the number of photos
        read and their total.

    Returns
    -------
    The edges. Keep them with ``graph.having(effects=...)``.

    Raises
    ------
    ExplGraphError
        If the graph, matches, network and images do not belong together, or a node does not exist.

    Examples
    --------
    >>> effects = eg.edge_effects(graph, found, net, "photos/zebra")  # doctest: +SKIP
    >>> effects.table.head()  # child, parent, effect, photos  # doctest: +SKIP
    >>> graph.having(effects=effects).save("zebra.safetensors")  # doctest: +SKIP
    """
    check_same_network(graph, found, net)
    require(n_photos >= 1, f"n_photos must be at least 1, got {n_photos}")
    require(
        n_children is None or n_children >= 1, f"n_children must be at least 1, got {n_children}"
    )
    wanted = _parents(graph, parents)
    counts = shared_photos(graph, found, n_photos)
    counts[:, ~wanted] = False
    rows = np.flatnonzero(counts.any(axis=1))
    sums = _Sums(graph, wanted)
    part, counts = found.take(images=rows), counts[rows]
    firing = fires(part.score.T, graph.score).T
    names = [layer.name for layer in graph.layers[: _highest(graph, wanted) + 1]]
    with watched(progress):
        for batch in seen_photos(part, net, images, progress=progress) if len(rows) else ():
            sections = Sections(net, batch.tensor, names, rest=resting(graph))
            layers = [
                list(seen_layers(graph, part, batch.rows, sections.maps, index))
                for index in range(len(names))
            ]
            for below, above in pairwise(layers):
                for one in effects_in_photos(sections, below, above, counts[batch.rows]):
                    sums.add(one, firing[batch.rows])
    return sums.edges(n_children)


def _parents(graph: ExplanatoryGraph, parents: Parents) -> NDArray[np.bool_]:
    """Mark (P,) the nodes whose children are wanted; none of the lowest layer."""
    wanted = np.zeros(len(graph), dtype=bool)
    if parents is None:
        wanted[graph.top(PARENTS)] = True
    elif isinstance(parents, str):
        if parents != "all":
            raise unknown_name("parents", parents, ["all"], "Or give a list of nodes")
        wanted[:] = True
    else:
        wanted[[find_node(graph, node) for node in parents]] = True
    return wanted & (graph.node_layer > 0)


def resting(graph: ExplanatoryGraph) -> dict[str, F4]:
    """Return by layer (C,) m_c, where a filter's response is 0."""
    names = (layer.name for layer in graph.layers)
    return dict(zip(names, graph.channel_mean, strict=True))


def _highest(graph: ExplanatoryGraph, wanted: NDArray[np.bool_]) -> int:
    """Return the highest layer of the parents."""
    return int(graph.node_layer[wanted].max(initial=0))


def shared_photos(graph: ExplanatoryGraph, found: Matches, photos: int) -> NDArray[np.bool_]:
    """Mark (N, P) the photos that count for each node, at most so many of those in which it fires.

    Those come first in which most of the graph's nodes fire, so that nodes share photos, and
    children fire where their parents do; of equal ones the first.
    """
    firing = fires(found.score.T, graph.score).T
    order = np.argsort(-firing.sum(axis=1), kind="stable")
    counted = np.zeros_like(firing)
    counted[order] = firing[order] & (np.cumsum(firing[order], axis=0) <= photos)
    return counted


class PhotoEffects(NamedTuple):
    """The effects of n nodes on m nodes of the layer above, in one photo.

    Attributes
    ----------
    photo
        Which of the B photos.
    parents
        (m,) nodes that were found in the photo.
    children
        (n,) the nodes of the layer below that were found in it.
    effect
        (m, n) shares of the parents' responses.
    """

    photo: int
    parents: I8
    children: I8
    effect: F8


def effects_in_photos(
    sections: Sections,
    below: Sequence[SeenLayer],
    above: Sequence[SeenLayer],
    wanted: NDArray[np.bool_],
) -> Iterator[PhotoEffects]:
    """Yield the effects on the peaks of a layer in B photos: some peaks of each at a time.

    Parameters
    ----------
    sections
        The network on the B photos, cut at both layers.
    below, above
        The layers in each photo.
    wanted
        (B, P) the parents that are asked about in each photo.
    """
    asked = [
        _Asked(lower, upper, upper.nodes[mine[upper.nodes]])
        for lower, upper, mine in zip(below, above, wanted, strict=True)
    ]
    names = above[0].spec.name, below[0].spec.name
    for turn in range(max(len(one.owner) for one in asked)):
        gradients = sections.gradients(*names, [one.peaks_in(turn) for one in asked])
        for i, one in enumerate(asked):
            if turn < len(one.owner):
                yield one.effects(i, turn, gradients[i])


class _Asked:
    """A photo in which peaks of a layer are asked about, those that see apart in one turn."""

    def __init__(self, below: SeenLayer, above: SeenLayer, parents: I8) -> None:
        self.below, self.above = below, above
        tops = above.tops[np.isin(above.nodes, parents)]
        self.peaks, self._of_parent = np.unique(tops, return_inverse=True)
        self._parents = parents
        self.owner = apart(below.spec, above.spec, self.peaks)
        claimed, self._of_child = np.unique(below.tops, return_inverse=True)
        slot = np.full(len(below.peak) + 1, len(claimed))  # the last: NONE
        slot[claimed] = np.arange(len(claimed))
        self._slot, self._n_claimed = slot[below.peak], len(claimed)

    def peaks_in(self, turn: int) -> I8:
        """Return the peaks whose turn it is."""
        return self.peaks[self._numbers(turn)]

    def _numbers(self, turn: int) -> I8:
        if turn >= len(self.owner):
            return np.empty(0, dtype=np.int64)
        return np.setdiff1d(self.owner[turn], NONE)

    def effects(self, photo: int, turn: int, gradient: F4) -> PhotoEffects:
        """Return the effects on the peaks whose turn it is, by ``gradient (H, W, C)``."""
        owner, numbers = self.owner[turn].ravel(), self._numbers(turn)
        places = np.flatnonzero(owner != NONE)
        own = gradient.reshape(len(owner), -1)[places]
        at, channel = np.nonzero(own)
        cells = channel * len(owner) + places[at]
        carried = own[at, channel] * self.below.excess(cells)
        width = self._n_claimed + 1
        where = np.searchsorted(numbers, owner[places[at]]) * width + self._slot[cells]
        sums = np.bincount(where, carried, len(numbers) * width).reshape(-1, width)
        shares = sums[:, self._of_child] / self.above.excess(self.peaks[numbers])[:, None]
        mine = np.isin(self._of_parent, numbers)
        rows = np.searchsorted(numbers, self._of_parent[mine])
        return PhotoEffects(photo, self._parents[mine], self.below.nodes, shares[rows])


class _Sums:
    """Effects added up over photos: a row for each parent, a column for each node below."""

    def __init__(self, graph: ExplanatoryGraph, wanted: NDArray[np.bool_]) -> None:
        layer = graph.node_layer
        self.parents = np.flatnonzero(wanted)
        self.first = np.searchsorted(layer, np.arange(len(graph.layers)))  # node of each layer
        self._layer, self._row = layer, np.cumsum(wanted) - 1
        shape = (len(self.parents), int(np.bincount(layer, minlength=1).max()))
        self._total, self._photos = np.zeros(shape), np.zeros(shape, dtype=np.int32)

    def add(self, one: PhotoEffects, firing: NDArray[np.bool_]) -> None:
        """Add the effects in a photo of the children that fire (B, P) in it."""
        fires_too = firing[one.photo, one.children]
        rows = self._row[one.parents][:, None]
        children = one.children[fires_too]
        columns = children - self.first[self._layer[children]]
        self._total[rows, columns] += one.effect[:, fires_too]
        self._photos[rows, columns] += 1

    def edges(self, most: int | None) -> EdgeEffects:
        """Return the edges of each parent, at most so many, the largest first."""
        child, parent, effect, photos = [], [], [], []
        for row, node in enumerate(self.parents.tolist()):
            columns = np.flatnonzero(self._photos[row])
            count = self._photos[row, columns]
            mean = self._total[row, columns] / count
            order = np.argsort(-np.abs(mean), kind="stable")
            child.append(columns[order] + self.first[self._layer[node] - 1])
            parent.append(np.full(len(order), node))
            effect.append(mean[order])
            photos.append(count[order])
        found = EdgeEffects(*map(_joined, (child, parent, effect, photos)))
        return found if most is None else found.take(largest_effects(found, most))


def _joined(rows: list[NDArray[Any]]) -> NDArray[Any]:
    return np.concatenate(rows) if rows else np.empty(0)
