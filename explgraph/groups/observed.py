"""Where nodes were found in photos, and how much each of these places counts."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from explgraph.base.arrays import F4, F8
from explgraph.base.errors import require
from explgraph.base.frames import mirrored_yx, to_pixels, to_unit
from explgraph.graphs.graph import ExplanatoryGraph
from explgraph.graphs.matches import Matches, check_nodes, fires

_MOST = 2.0  # times its mean score: what is above counts no more


class Observed(NamedTuple):
    """P nodes in N photos, in the graph's orientation.

    Attributes
    ----------
    yx
        (P, 2, N) the peaks on which nodes were found, network pixels.
    weight
        (P, N) w = sqrt(min(score / mean score, 2)) where the node fires, else 0.
    """

    yx: F4
    weight: F4


def observed(graph: ExplanatoryGraph, found: Matches) -> Observed:
    """Return where the peaks of nodes are, and what they count.

    Raises
    ------
    ExplGraphError
        If the matches are not of this graph's nodes, or there are no photos.
    """
    check_nodes(graph, found)
    require(len(found) > 0, "part groups need at least one matched photo, got none")
    places = found.yx if found.peak_yx is None else found.peak_yx
    score = found.score.T
    ratio = score / np.maximum(graph.score, np.finfo(np.float32).tiny)[:, None]
    weight = np.sqrt(np.minimum(ratio, np.float32(_MOST))) * fires(score, graph.score)
    yx = to_graph(graph, found, places.astype(np.float64))
    return Observed(
        np.ascontiguousarray(yx.transpose(1, 2, 0), dtype=np.float32),
        np.ascontiguousarray(weight, dtype=np.float32),
    )


def to_graph(graph: ExplanatoryGraph, found: Matches, yx: F8) -> F8:
    """Take (N, P, 2) units of the photos to network pixels in the graph's orientation."""
    frames, width = _frames(graph, found), graph.input_size[1]
    return mirrored_yx(to_pixels(frames, yx), found.mirrored, width)


def to_photos(graph: ExplanatoryGraph, found: Matches, yx: F8) -> F8:
    """Take (N, P, 2) network pixels in the graph's orientation to units of the photos."""
    frames, width = _frames(graph, found), graph.input_size[1]
    return to_unit(frames, mirrored_yx(yx, found.mirrored, width))


def _frames(graph: ExplanatoryGraph, found: Matches) -> F8:
    """Return (N, 2, 2); where they are unknown, photos are taken to have been stretched."""
    if found.frames is not None:
        return found.frames
    stretched = np.array([[0.0, 1 / side] for side in graph.input_size])
    return np.tile(stretched, (len(found), 1, 1))
