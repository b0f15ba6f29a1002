"""Matches as parts need them: every photo seen one or two ways, in network pixels."""

from __future__ import annotations

import warnings
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from explgraph.base.arrays import F2, F4, F8
from explgraph.base.errors import require
from explgraph.base.layer import LayerSpec
from explgraph.graphs.graph import ExplanatoryGraph
from explgraph.graphs.graph_arrays import graph_hash
from explgraph.graphs.matches import Matches


class Sight(NamedTuple):
    """N photos in V views each; positions are network pixels of the view.

    ``yx (N, V, P, 2)`` the peaks of all nodes and ``score (N, V, P)``; ``odds (N, V)`` the log
    probability of each view, up to a constant; ``turned (N, V)`` whether it is the mirrored photo;
    ``frames (N, 2, 2)`` from network pixels to the photo's unit square; ``maps (N, V, H, W, C)`` of
    the top layer ``layer``, or None.
    """

    yx: F4
    score: F4
    odds: F8
    turned: NDArray[np.bool_]
    frames: F8
    maps: F2 | None
    layer: LayerSpec
    input_size: tuple[int, int]

    def __len__(self) -> int:
        return len(self.odds)

    def take(self, rows: NDArray[np.intp] | slice) -> Sight:
        """Select photos by index; a slice copies nothing."""
        # Not `_replace`: it counts fields by `len`, which is here that of the photos.
        return Sight(
            self.yx[rows],
            self.score[rows],
            self.odds[rows],
            self.turned[rows],
            self.frames[rows],
            None if self.maps is None else self.maps[rows],
            self.layer,
            self.input_size,
        )

    @property
    def unit_frames(self) -> F8:
        """(N, 2, 2) from the unit square of the network's input to the photo's."""
        frames = self.frames.copy()
        frames[..., 1] *= np.array(self.input_size)
        return frames

    @property
    def facing(self) -> NDArray[np.int64]:
        """(N,) the view that is more probable, the first in a tie."""
        return np.asarray(self.odds.argmax(axis=1))


def sight(graph: ExplanatoryGraph, found: Matches) -> Sight:
    """Take matches to views.

    Matches without views give one view, in the orientation that was chosen, and no maps: what is
    located with them is less sure.

    Raises
    ------
    ExplGraphError
        If the matches are those of another graph, or of boxes and without views.
    """
    require(
        found.header.get("graph_hash") == graph_hash(graph),
        "the matches are those of another graph: match the photos with this one (that of parts is "
        "parts.graph)",
    )
    views = found.views
    if views is not None:
        n, v = views.gain.shape
        turned = np.tile(np.arange(v) == 1, (n, 1))
        return Sight(
            views.yx,
            views.score,
            _odds(found, v),
            turned,
            views.frames,
            views.maps,
            views.layer,
            views.input_size,
        )
    require(
        not any("#" in name for name in found.images),
        "parts of boxes in photos need matches with views: match(..., views=True)",
    )
    height, width = graph.input_size
    yx = found.canonical_yx * np.array([height, width], dtype=np.float32)
    frame = np.array([[0.0, 1 / height], [0.0, 1 / width]])
    return Sight(
        yx[:, None],
        found.score[:, None],
        np.zeros((len(found), 1)),
        found.mirrored.astype(bool)[:, None],
        np.tile(frame, (len(found), 1, 1)),
        None,
        graph.layers[-1],
        graph.input_size,
    )


def _odds(found: Matches, views: int) -> F8:
    """Return (N, V): half of the log odds speaks for the view as given, half against the other."""
    if views == 1 or found.facing is None:
        return np.zeros((len(found), views))
    return np.asarray(found.facing[:, None] * np.array([0.5, -0.5]))


def warn_without_views(found: Matches) -> None:
    """Tell the caller of a public function that its answers would be better with views."""
    if found.views is None:
        warnings.warn(
            "the matches have no views, so parts are found less surely, by the nodes alone: "
            "match(graph, net, images, views=True) keeps what parts need",
            UserWarning,
            stacklevel=3,
        )


def spread_rows(count: int, most: int) -> NDArray[np.intp]:
    """Return at most so many of ``count`` rows, evenly spread."""
    return np.unique(np.linspace(0, count - 1, min(count, most)).astype(np.intp))
