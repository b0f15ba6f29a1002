"""Part groups: which nodes' peaks coincide, and what place they agree on (Eq. 12-14)."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from explgraph.base.arrays import F4, I8, NONE
from explgraph.base.errors import check_shape
from explgraph.graphs.choice import groups_of
from explgraph.graphs.graph import ExplanatoryGraph
from explgraph.graphs.groups import GroupPlaces, PartGroups
from explgraph.graphs.matches import Matches

from .coincidence import coincidence
from .consensus import Consensus, consensus, followed, settled
from .observed import Observed, observed, to_photos

CONTRAST = 0.2
"""Nodes of less contrast are in no group: they fire on the background as well."""

_CAP = 0.2  # of the side: above, all distances are alike
_CUT = 0.165  # of the side: mean distance at which two groups are no longer one
_LEAST, _LEAST_SHARE = 8, 0.02  # nodes of a group; of the nodes that are grouped
_SOFT = 0.01  # of the side: added to both errors of the group gain
_HIGHEST = np.sqrt(2.0)  # of a weight


def part_groups(
    graph: ExplanatoryGraph, found: Matches, *, contrast: NDArray[np.floating] | None = None
) -> PartGroups:
    """Group the nodes of a graph that lie on the same part of the object.

    Two nodes are near if their peaks coincide, offset included (Eq. 12); average linkage joins them
    up to a mean distance of .165 of the side. A group's place in a photo is what its nodes agree on
    (Eq. 13). No labels enter.

    Parameters
    ----------
    graph
        P nodes.
    found
        Where they are in N photos of the category, best those that it was mined from.
    contrast
        (P,) as `node_contrast` gives it; None: the graph's own. Nodes of at most .2 are in no
        group. Where it is unknown all nodes are grouped, and some groups are of the background.

    Returns
    -------
    The groups, by falling gain; ``places`` tells where they are in these photos. Keep them with
    ``graph.having(groups=...)``.

    Raises
    ------
    ExplGraphError
        If the matches or the contrast are not of this graph's nodes, or there are no photos.

    Examples
    --------
    >>> groups = eg.part_groups(graph, found)  # doctest: +SKIP
    >>> groups.table  # name, nodes, place, sureness  # doctest: +SKIP
    >>> graph.having(groups=groups).save("zebra.safetensors")  # doctest: +SKIP
    """
    seen, side = observed(graph, found), _side(graph)
    if contrast is None:
        contrast = graph.contrast
    grouped = np.ones(len(graph), dtype=bool)
    if contrast is not None:
        check_shape("contrast", contrast, (len(graph),))
        grouped = np.asarray(contrast > CONTRAST)
    grouped &= seen.weight.any(axis=1)
    members = _clusters(seen, np.flatnonzero(grouped), side)
    gain = np.array([graph.gain[nodes].sum() for nodes in members])
    members = [members[i] for i in np.argsort(-gain, kind="stable")]
    group = np.full(len(graph), NONE, dtype=np.int32)
    offset = np.zeros((len(graph), 2), dtype=np.float32)
    places: list[Consensus] = []
    for number, nodes in enumerate(members):
        place, own = settled(Observed(seen.yx[nodes], seen.weight[nodes]), side)
        group[nodes], offset[nodes] = number, own
        places.append(place)
    yx, spread = _usual(places)
    return PartGroups(
        input_size=graph.input_size,
        node_group=group,
        node_offset=offset,
        node_gain=_group_gain(seen, places, side),
        yx=yx,
        spread=spread,
        sureness=np.array([place.mass.mean() / _HIGHEST for place in places], dtype=np.float32),
        gain=np.sort(gain)[::-1].astype(np.float32),
        places=_in_photos(graph, found, places, yx),
    )


def group_places(graph: ExplanatoryGraph, found: Matches) -> GroupPlaces:
    """Find a graph's part groups in photos: an answer for each group, as matches are for nodes.

    Parameters
    ----------
    graph
        A graph with G groups.
    found
        Where its nodes are in N photos.

    Returns
    -------
    Places and how sure they are; a group none of whose nodes fires is at its usual place, at 0.

    Raises
    ------
    ExplGraphError
        If the graph has no groups, or the matches are not of its nodes.

    Examples
    --------
    >>> where = eg.group_places(graph, eg.match(graph, net, "photos/new"))  # doctest: +SKIP
    >>> where.yx[0], where.sureness[0]  # of each group in the first photo  # doctest: +SKIP
    """
    groups, seen, side = groups_of(graph), observed(graph, found), _side(graph)
    places = []
    for number in range(len(groups)):
        nodes = np.flatnonzero(groups.node_group == number)
        own = Observed(seen.yx[nodes], seen.weight[nodes])
        places.append(consensus(own, groups.node_offset[nodes], side))
    return _in_photos(graph, found, places, groups.yx)


def compile_ahead() -> None:
    """Compile what makes groups, unless it is compiled already."""
    ones = np.ones((2, 2), dtype=np.float32)
    seen = Observed(np.ones((2, 2, 2), dtype=np.float32), ones)
    coincidence(seen, 1.0, _CAP)
    settled(seen, 1.0)


def _side(graph: ExplanatoryGraph) -> float:
    """Return S: the input's side, of one that is not square the side of a square as large."""
    return float(np.sqrt(graph.input_size[0] * graph.input_size[1]))


def _clusters(seen: Observed, nodes: I8, side: float) -> list[I8]:
    """Return the nodes of each group that is large enough."""
    from scipy.cluster.hierarchy import fcluster, linkage
    from scipy.spatial.distance import squareform

    if len(nodes) < 2:
        return []
    own = Observed(seen.yx[nodes], seen.weight[nodes])
    apart = coincidence(own, side, _CAP)
    label = fcluster(linkage(squareform(apart, checks=False), "average"), _CUT, "distance")
    least = max(_LEAST, _LEAST_SHARE * len(nodes))
    counts = np.bincount(label)
    return [nodes[label == number] for number in np.flatnonzero(counts >= least)]


def _group_gain(seen: Observed, places: list[Consensus], side: float) -> F4:
    """Return (P,) ln (still error + .01) / (least error by a group + .01) (Eq. 14)."""
    _, still = followed(seen, np.zeros(seen.yx.shape[1:], dtype=np.float32), side, _CAP)
    if not places:
        return np.zeros(len(still), dtype=np.float32)
    best = np.min([followed(seen, place.yx, side, _CAP)[1] for place in places], axis=0)
    return np.asarray(np.log((still + _SOFT) / (best + _SOFT)), dtype=np.float32)


def _usual(places: list[Consensus]) -> tuple[F4, F4]:
    """Return (G, 2) where groups usually are and (G,) how far they stray, network pixels."""
    yx, spread = np.zeros((len(places), 2)), np.zeros(len(places))
    for number, place in enumerate(places):
        yx[number] = np.nanmedian(place.yx, axis=1)
        spread[number] = np.sqrt(np.nanmean((place.yx - yx[number][:, None]) ** 2))
    return yx.astype(np.float32), spread.astype(np.float32)


def _in_photos(
    graph: ExplanatoryGraph, found: Matches, places: list[Consensus], usual: F4
) -> GroupPlaces:
    """Bring the groups' places to the photos as given."""
    n = len(found)
    yx = np.zeros((n, len(places), 2))
    for number, place in enumerate(places):
        known = np.isfinite(place.yx).all(axis=0)
        yx[:, number] = np.where(known, place.yx, usual[number][:, None]).T
    mass = np.array([place.mass for place in places]).reshape(len(places), n).T
    return GroupPlaces(
        images=found.images,
        yx=to_photos(graph, found, yx).astype(np.float32),
        sureness=mass / _HIGHEST,
        mirrored=found.mirrored,
    )
