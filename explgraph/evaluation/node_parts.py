"""Which part a node lies on, where it fires: the truth that groups and kinds are held against."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import distance_transform_edt

from explgraph.base.arrays import F8, I8, NONE
from explgraph.graphs.graph import ExplanatoryGraph
from explgraph.graphs.matches import Matches, check_nodes, fires
from explgraph.photos.masks import Labels, PartMasks

from .purity import check_photos

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
        """(P,) "part" (.6 of the photos on one), "background" (.5 on none), else "texture"."""
        is_part, is_background = self.share >= PART, self.shares[:, -1] >= BACKGROUND
        return np.where(is_part, "part", np.where(is_background, "background", "texture"))


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
    check_photos(found.images, masks)
    n_parts = len(masks.parts)
    yx = found.yx if found.peak_yx is None else found.peak_yx
    firing = fires(found.score.T, graph.score).T
    cells = np.array([layer.stride for layer in graph.layers], dtype=np.float64)
    tolerance = (cells / graph.input_size / 2).mean(axis=1)[graph.node_layer]
    count = np.zeros((len(graph), n_parts + 1))
    for photo, mask in enumerate(masks.labels):
        nodes = np.flatnonzero(firing[photo])
        part = nearest_part(yx[photo, nodes].astype(np.float64), mask, tolerance[nodes])
        np.add.at(count, (nodes, np.where(part == NONE, n_parts, part)), 1)
    return NodeParts(count / np.maximum(count.sum(axis=1, keepdims=True), 1))


def nearest_part(yx: F8, mask: Labels, tolerance: F8) -> Labels:
    """Return (n,) the part nearest to each place, `NONE` if none is within tolerance.

    Parameters
    ----------
    yx
        (n, 2) unit square of the photo.
    mask
        (height, width) its labels.
    tolerance
        (n,) share of the photo's side.
    """
    size = np.array(mask.shape)
    if not (mask != NONE).any():
        return np.full(len(yx), NONE, dtype=np.int16)
    away, nearest = distance_transform_edt(mask == NONE, return_indices=True)
    y, x = np.clip(np.floor(yx * size).astype(np.intp), 0, size - 1).T
    part = mask[tuple(nearest[:, y, x])]
    return np.where(away[y, x] <= tolerance * size.mean(), part, np.int16(NONE))
