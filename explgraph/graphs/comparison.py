"""Do two graphs find the same nodes? Judged by where nodes fire on the same photos.

Two halves of the photos, two seeds, two training states, two networks: nodes have no names that
both graphs share, but the places at which they fire can be compared in any photo.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from explgraph.base.arrays import F4, F8, NONE
from explgraph.base.errors import require
from explgraph.base.renamed import renamed
from explgraph.base.text import plain
from explgraph.graphs.choice import best_of_layers

from .graph import ExplanatoryGraph
from .matches import Matches, fires

if TYPE_CHECKING:
    import pandas as pd


NEAR = 0.05
"""Two nodes are the same if half of the photos show them nearer than this, by the diagonal."""

MIN_PHOTOS = 3
"""Nodes are compared only if both fire in so many photos."""

N_BEST = 100
N_PER_LAYER = 500

_DIAGONAL = math.sqrt(2)  # of the unit square
_BLOCK = 1 << 22  # distances at a time: bounds the temporaries to some ten MB


class Share(NamedTuple):
    """How many of some nodes of A are found again in B, and what chance would give.

    ``nodes`` is their number; ``found`` the share whose partner counts; ``control`` the share had
    each been given a random node of those it could have been paired with; ``distance`` the median
    over the nodes with a partner, in diagonals. Shares of no nodes are NaN.
    """

    nodes: int
    found: float
    control: float
    distance: float


@dataclass(frozen=True, eq=False, slots=True)
class Comparison:
    """Which nodes of a graph A are found again in a graph B; n nodes of A are judged.

    Judged are nodes that fire in `MIN_PHOTOS` photos or more; with different networks, or layers,
    the best ones of each layer.

    Attributes
    ----------
    node_a
        (n,) the judged nodes, in the order of ``graph_a.ranking``: best first.
    rank
        (n,) their places in that order among all nodes, 0 the best.
    node_b
        (n,) the partners; `NONE` without one.
    id_a, id_b
        n node names, layer/filter/part; "" without a partner.
    distance
        (n,) median distance to the partner over the photos in which both fire, in diagonals of the
        photo; NaN without a partner.
    photos
        (n,) number of these photos.
    chance
        (n,) share of the nodes of B that a node could have been paired with which would count:
        the control of each node.
    n_photos
        Number of photos.
    same_side
        Share of the photos that both graphs see in the same orientation. In the others a filter
        is not the same: it saw the mirrored photo for one of the graphs.
    by_filter
        Whether nodes were paired within filters: both graphs are of the same network and layers.
    """

    node_a: NDArray[np.int64]
    rank: NDArray[np.int64]
    node_b: NDArray[np.int64]
    id_a: tuple[str, ...]
    id_b: tuple[str, ...]
    distance: F8
    photos: NDArray[np.int64]
    chance: F8
    n_photos: int
    same_side: float
    by_filter: bool

    @property
    def is_found(self) -> NDArray[np.bool_]:
        """(n,) whether the partner counts: its median distance is below `NEAR`."""
        return self.distance < NEAR

    @property
    def found(self) -> float:
        """Share of the judged nodes whose partner counts."""
        return self.share(None).found

    @property
    def control(self) -> float:
        """The same share, were each node given a random partner (see `Share`)."""
        return self.share(None).control

    @property
    def pairs(self) -> pd.DataFrame:
        """One row per judged node of A, best first.

        Columns: ``node_a``, ``node_b`` (`NONE` without a partner), ``id_a``, ``id_b``, ``distance``
        (diagonals), ``photos`` and ``found``.
        """
        import pandas as pd

        return pd.DataFrame(
            {
                "node_a": self.node_a,
                "node_b": self.node_b,
                "id_a": self.id_a,
                "id_b": self.id_b,
                "distance": self.distance,
                "photos": self.photos,
                "found": self.is_found,
            }
        )

    def share(self, best: int | None = N_BEST) -> Share:
        """Count over the ``best`` nodes of A by ``graph_a.ranking``; None: over all.

        Of these nodes, those that are not judged do not count: see `Share.nodes`.
        """
        among = np.full(len(self.rank), True) if best is None else self.rank < best
        paired = self.distance[among & (self.node_b != NONE)]
        return Share(
            nodes=int(among.sum()),
            found=_mean(self.is_found[among]),
            control=_mean(self.chance[among]),
            distance=float(np.median(paired)) if len(paired) else math.nan,
        )

    @property
    def table(self) -> pd.DataFrame:
        """Two rows, "100 best nodes" and "all nodes"; see `Share` for the columns."""
        import pandas as pd

        rows = {f"{N_BEST} best nodes": self.share(), "all nodes": self.share(None)}
        columns = ["nodes", "found", "control", "median distance"]
        return pd.DataFrame(rows.values(), index=[*rows]).set_axis(columns, axis=1)

    def to_json(self) -> dict[str, Any]:
        """Return the figures as JSON values; what could not be measured is null."""
        return {
            "photos": self.n_photos,
            "same_side": self.same_side,
            "by_filter": self.by_filter,
            "near": NEAR,
            "best": plain(self.share()._asdict()),
            "all": plain(self.share(None)._asdict()),
        }


@renamed(matches_a="found_a", matches_b="found_b")
def compare(
    graph_a: ExplanatoryGraph,
    graph_b: ExplanatoryGraph,
    found_a: Matches,
    found_b: Matches,
    *,
    per_layer: int = N_PER_LAYER,
) -> Comparison:
    """Find the nodes of one graph again in another, by where they fire on the same photos.

    A node fires where it scores at least half its mean over its mining photos. The distance of two
    nodes is the median over the photos in which both fire, in diagonals of the photo. Nodes are
    paired one to one, such that the distances add up to the least; a pair counts when its distance
    is below .05. Beside it stands a control: the share when each node is given a random one of the
    nodes of B that it could have been paired with.

    Graphs of the same network and layers are compared filter by filter. Others are compared layer
    by layer across filters: layers of the same name, where one graph has all names of the other,
    else counted from the top.

    Parameters
    ----------
    graph_a, graph_b
        P_a and P_b nodes.
    found_a, found_b
        Each graph's nodes in the same N photos, best in photos that neither graph was mined from:
        ``eg.match(graph, net, photos)``.
    per_layer
        When filters differ: the nodes compared in each layer of either graph, the best by
        ``graph.ranking``. Time and memory grow with its square.

    Returns
    -------
    The pairs, with their distances and the control.

    Raises
    ------
    ExplGraphError
        If matches are not of these graphs or not of the same photos, or no node of A
        fires in three photos.
    """
    found_a, found_b = _of_same_photos(graph_a, graph_b, found_a, found_b)
    by_filter = _have_same_filters(graph_a, graph_b)
    groups = _filters(graph_a, graph_b) if by_filter else _layers(graph_a, graph_b, per_layer)
    partners = _find(_Firing.of(graph_a, found_a), _Firing.of(graph_b, found_b), groups)
    ranking = graph_a.ranking()
    rank = np.flatnonzero(partners.judged[ranking])
    require(
        len(rank) > 0,
        f"no node of the first graph fires in {MIN_PHOTOS} of the {len(found_a)} photos: give "
        "more photos of what it was mined from",
    )
    node_a = ranking[rank]
    node_b = partners.node[node_a]
    return Comparison(
        node_a=node_a,
        rank=rank,
        node_b=node_b,
        id_a=tuple(graph_a.node_id(node) for node in node_a),
        id_b=tuple("" if node == NONE else graph_b.node_id(node) for node in node_b),
        distance=partners.distance[node_a],
        photos=partners.photos[node_a],
        chance=partners.chance[node_a],
        n_photos=len(found_a),
        same_side=float(np.mean(found_a.mirrored == found_b.mirrored)),
        by_filter=by_filter,
    )


# -- what is compared ------------------------------------------------------------------------------


class _Firing(NamedTuple):
    """Where P nodes are in N photos, ``yx (P, N, 2)``, and whether they fire, ``fires (P, N)``."""

    yx: F4
    fires: NDArray[np.bool_]

    @classmethod
    def of(cls, graph: ExplanatoryGraph, matches: Matches) -> _Firing:
        yx = np.ascontiguousarray(np.swapaxes(matches.yx, 0, 1))
        return cls(yx, fires(matches.score.T, graph.score))

    def take(self, nodes: NDArray[np.int64]) -> _Firing:
        return _Firing(self.yx[nodes], self.fires[nodes])


Groups = Iterator[tuple[NDArray[np.int64], NDArray[np.int64]]]
"""Nodes of A, and the nodes of B that they may be paired with."""


def _of_same_photos(
    graph_a: ExplanatoryGraph,
    graph_b: ExplanatoryGraph,
    found_a: Matches,
    found_b: Matches,
) -> tuple[Matches, Matches]:
    """Check the matches, and bring the second to the order of the first one's photos."""
    for which, graph, found in (("a", graph_a, found_a), ("b", graph_b, found_b)):
        require(
            np.array_equal(graph.node_layer, found.node_layer),
            f"found_{which} is not of graph_{which}: it has {len(found.node_layer)} nodes, "
            f"the graph has {len(graph)}. Match that graph: eg.match(graph_{which}, net, photos)",
        )
    row = {name: i for i, name in enumerate(found_b.images)}
    apart = set(found_a.images) ^ set(row)
    require(
        not apart and len(row) == len(found_a) == len(found_b),
        f"both graphs must be matched on the same photos, each once, but {len(apart)} of the names "
        f"are in one of the matches only, such as {min(apart, default='none')!r}: "
        f"{len(found_a)} photos against {len(found_b)}",
    )
    order = np.array([row[name] for name in found_a.images], dtype=np.int64)
    return found_a, found_b.take(images=order)


def _have_same_filters(graph_a: ExplanatoryGraph, graph_b: ExplanatoryGraph) -> bool:
    ours, theirs = (graph.header.get("weight_hash") for graph in (graph_a, graph_b))
    return ours is not None and ours == theirs and graph_a.layers == graph_b.layers


def _filters(graph_a: ExplanatoryGraph, graph_b: ExplanatoryGraph) -> Groups:
    """Group the nodes of each filter; the graphs have the same layers."""
    widest = max(layer.channels for layer in graph_a.layers)
    key_a, key_b = (
        graph.node_layer.astype(np.int64) * widest + graph.node_channel
        for graph in (graph_a, graph_b)
    )
    for key in np.unique(key_a):
        yield np.flatnonzero(key_a == key), np.flatnonzero(key_b == key)


def _layers(graph_a: ExplanatoryGraph, graph_b: ExplanatoryGraph, per_layer: int) -> Groups:
    """Group the best nodes of layers that correspond."""
    names_a, names_b = ([layer.name for layer in g.layers] for g in (graph_a, graph_b))
    both = set(names_a) & set(names_b)
    if len(both) == min(len(names_a), len(names_b)):
        pairs = [(names_a.index(name), names_b.index(name)) for name in sorted(both)]
    else:
        depth = min(len(names_a), len(names_b))
        pairs = [(len(names_a) - i, len(names_b) - i) for i in range(1, depth + 1)]
    best_a, best_b = (best_of_layers(graph, per_layer) for graph in (graph_a, graph_b))
    for a, b in pairs:
        yield best_a[a], best_b[b]


# -- pairing ---------------------------------------------------------------------------------------


class _Partners(NamedTuple):
    """For each of P nodes of A: `Comparison`'s node_b, distance, photos, chance; and if judged."""

    judged: NDArray[np.bool_]
    node: NDArray[np.int64]
    distance: F8
    photos: NDArray[np.int64]
    chance: F8


def _find(a: _Firing, b: _Firing, groups: Groups) -> _Partners:
    """Pair the nodes of each group that fire often enough."""
    from scipy.optimize import linear_sum_assignment

    size = len(a.fires)
    judged, node = np.zeros(size, dtype=bool), np.full(size, NONE, dtype=np.int64)
    distance, chance = np.full(size, np.nan), np.zeros(size)
    photos = np.zeros(size, dtype=np.int64)
    often = a.fires.sum(axis=1) >= MIN_PHOTOS
    for candidates, nodes_b in groups:
        nodes_a = candidates[often[candidates]]
        judged[nodes_a] = True
        if len(nodes_a) == 0 or len(nodes_b) == 0:
            continue
        apart, common = _distances(a.take(nodes_a), b.take(nodes_b))
        chance[nodes_a] = np.mean(apart < NEAR, axis=1)
        # Nodes that cannot be compared are as bad a pair as any: a whole diagonal apart.
        rows, columns = linear_sum_assignment(np.minimum(apart, 1))
        comparable = np.isfinite(apart[rows, columns])
        rows, columns = rows[comparable], columns[comparable]
        node[nodes_a[rows]] = nodes_b[columns]
        distance[nodes_a[rows]] = apart[rows, columns]
        photos[nodes_a[rows]] = common[rows, columns]
    return _Partners(judged, node, distance, photos, chance)


def _distances(a: _Firing, b: _Firing) -> tuple[F8, NDArray[np.int64]]:
    """Return (p, q) the nodes' median distances, and in how many photos both fire.

    Distances are in diagonals, infinite where there are too few photos.
    """
    shape = (len(a.fires), len(b.fires))
    distance, photos = np.empty(shape), np.empty(shape, dtype=np.int64)
    step = max(1, _BLOCK // b.fires.size)
    for first in range(0, shape[0], step):
        rows = slice(first, first + step)
        both = a.fires[rows, None] & b.fires[None]
        apart = np.linalg.norm(a.yx[rows, None] - b.yx[None], axis=-1) / _DIAGONAL
        photos[rows] = both.sum(axis=-1)
        distance[rows] = _median(np.where(both, apart, np.inf), photos[rows])
    return np.where(photos >= MIN_PHOTOS, distance, np.inf), photos


def _median(values: NDArray[np.floating[Any]], count: NDArray[np.int64]) -> F8:
    """Return the median of the ``count (...)`` finite ones of ``values (..., N)``, or infinity."""
    ordered = np.sort(values, axis=-1)
    middle = np.stack([(count - 1) // 2, count // 2], axis=-1)
    median: F8 = np.take_along_axis(ordered, middle, axis=-1).mean(axis=-1, dtype=np.float64)
    return median


def _mean(values: NDArray[Any]) -> float:
    return float(np.mean(values)) if len(values) else math.nan
