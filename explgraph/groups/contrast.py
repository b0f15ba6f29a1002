"""Contrast: whether a node belongs to the category's photos, or fires on anything."""

from __future__ import annotations

import numpy as np

from explgraph.base.arrays import F4
from explgraph.base.errors import require
from explgraph.graphs.graph import ExplanatoryGraph
from explgraph.graphs.matches import Matches, check_nodes

_SOFT = 0.001  # of a score: added to both means


def node_contrast(graph: ExplanatoryGraph, found: Matches, background: Matches) -> F4:
    """Tell how much stronger nodes score in the category's photos than on the background.

    ln of (mean score in the one + .001) / (mean score in the other + .001): 0 is a node that fires
    on anything, .7 one that scores twice as strongly where the category is.

    Parameters
    ----------
    graph
        P nodes.
    found
        Where they are in photos of the category.
    background
        Where the same nodes are in photos of anything else.

    Returns
    -------
    (P,) the contrast; keep it with ``graph.having(contrast=...)``.

    Raises
    ------
    ExplGraphError
        If matches are not of this graph's nodes, or there are no photos.

    Examples
    --------
    >>> streets = eg.match(graph, net, "photos/streets")  # doctest: +SKIP
    >>> contrast = eg.node_contrast(graph, found, streets)  # doctest: +SKIP
    """
    means = []
    for matches, called in ((found, "the matches"), (background, "the matches of the background")):
        check_nodes(graph, matches, called=called)
        require(len(matches) > 0, f"{called} have no photo: contrast needs some of both kinds")
        means.append(matches.score.mean(axis=0, dtype=np.float64) + _SOFT)
    return np.asarray(np.log(means[0] / means[1]), dtype=np.float32)
