"""Which part a node lies on, where it fires: the truth that groups and kinds are held against."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from explgraph.base.arrays import F8, I8, NONE
from explgraph.graphs.graph import ExplanatoryGraph
from explgraph.graphs.matches import Matches, check_nodes, fires
from explgraph.groups.naming import parts_under
from explgraph.photos.masks import PartMasks

PART, BACKGROUND = 0.6, 0.5
"""Shares of a node's places: on one part, it is a part node; on none, it is background."""


class NodeParts(NamedTuple):
    """Where P nodes lie in the photos in which they fire.

    Attributes
    ----------
    shares
        (P, n_parts + 1) share of the photos in which a node lies on each part, and last on none;
        0 for a node that fires nowhere.
    """

    shares: F8

    @property
    def part(self) -> I8:
        """(P,) the part that each node lies on most often."""
        return np.asarray(self.shares[:, :-1].argmax(axis=1))

    @property
    def share(self) -> F8:
        """(P,) in how many of the photos it does so."""
        return np.asarray(self.shares[:, :-1].max(axis=1))

    @property
    def kind(self) -> NDArray[np.str_]:
        """(P,) "background" (.5 of the photos on none), else "part" (.6 on one), else "texture".

        Empty for a node that fires nowhere.
        """
        on_object = np.where(self.share >= PART, "part", "texture")
        kind = np.where(self.shares[:, -1] >= BACKGROUND, "background", on_object)
        return np.where(self.shares.any(axis=1), kind, "")


def node_parts(graph: ExplanatoryGraph, found: Matches, masks: PartMasks) -> NodeParts:
    """Count on which parts nodes lie, in the photos in which they fire.

    A node lies on the part that is nearest to its peak, within half a cell of its layer: as much as
    a place on a layer's grid can be told.

    Parameters
    ----------
    graph
        P nodes.
    found
        Where they are in N photos.
    masks
        Of these photos, in the same order.

    Raises
    ------
    ExplGraphError
        If matches or masks do not fit.
    """
    check_nodes(graph, found)
    label = parts_under(graph, found, masks)
    firing = fires(found.score.T, graph.score).T
    parts = (*range(len(masks.parts)), NONE)
    count = np.stack([(firing & (label == part)).sum(axis=0) for part in parts], axis=1)
    return NodeParts(count / np.maximum(count.sum(axis=1, keepdims=True), 1))
