"""What is kept of the photos while parts are fitted to them over and over."""

from __future__ import annotations

from functools import cached_property
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from aog.candidates import Habits, habits_of
from aog.click_views import witnesses
from aog.config import PartConfig
from aog.evidence import view_odds
from aog.learnt import UsualCells, direction, usual_cells
from aog.looks import lengths
from aog.sight import Sight, spread_rows
from explgraph.base.arrays import F4, F8, singles
from explgraph.base.threads import map_ranges
from explgraph.graphs.graph import ExplanatoryGraph

_TAUGHT_BY = 256  # photos that tell a trait, and what cells look like: more change little
_PHOTOS = 8  # that a thread does at a time

Rows = NDArray[np.intp]


class Glances(NamedTuple):
    """What maps say of vectors: ``cosine (n, V, H, W, K)``, and of scenes ``scene (n, V, S)``."""

    cosine: F4
    scene: F4


class Photos:
    """N photos in V views, and what of them does not hang on any click; computed when asked for."""

    def __init__(self, graph: ExplanatoryGraph, seen: Sight, config: PartConfig) -> None:
        self.graph, self.seen, self.config = graph, seen, config

    @cached_property
    def habits(self) -> Habits:
        """What all photos tell of the nodes."""
        return habits_of(self.graph, self.seen)

    @cached_property
    def usual(self) -> UsualCells:
        """Cells of all photos, and of some photos how they differ."""
        return usual_cells(self.seen, _TAUGHT_BY)

    @cached_property
    def odds(self) -> F8:
        """(N, V) the log probability of each view by itself."""
        return view_odds(self.seen, self.config)

    @cached_property
    def teachers(self) -> Rows:
        """Some rows, evenly spread: of photos that tell what a part looks like."""
        return spread_rows(len(self.seen), _TAUGHT_BY)

    @cached_property
    def witnesses(self) -> Rows:
        """Fewer, of photos that tell which way clicked ones are seen."""
        return witnesses(len(self.seen))

    @cached_property
    def witnessed(self) -> Sight:
        """These photos, without their maps."""
        yx, score, odds, turned, frames, _, layer, input_size = self.seen
        bare = Sight(yx, score, odds, turned, frames, None, layer, input_size)
        return bare.take(self.witnesses)

    @cached_property
    def lengths(self) -> tuple[F4, F4]:
        """(N, V * H * W) of cells less the mean of all, and (N, V) of whole views."""
        maps = self.seen.maps
        assert maps is not None
        n, v, height, width, channels = maps.shape
        cell = np.empty((n, v * height * width), dtype=np.float32)
        view = np.empty((n, v), dtype=np.float32)

        def some(first: int, last: int) -> None:
            room = np.empty((v * height * width, channels), dtype=np.float32)
            for row in range(first, last):
                cells = singles(maps[row].reshape(room.shape), room)
                cell[row] = lengths(cells, self.usual.mean)
                view[row] = np.linalg.norm(cells.reshape(v, -1), axis=1)

        map_ranges(some, n, _PHOTOS)
        return cell, np.maximum(view, np.float32(1e-9))

    def glance(self, rows: Rows, vectors: F4, scenes: F4) -> Glances:
        """Look over the maps of n photos once.

        Parameters
        ----------
        rows
            (n,) of photos.
        vectors
            (K, C) what cells, less the mean, are compared with.
        scenes
            (S, D) unit vectors that whole views are compared with.
        """
        maps, mean = self.seen.maps, self.usual.mean
        assert maps is not None
        _, v, height, width, channels = maps.shape
        cosine = np.empty((len(rows), v, height, width, len(vectors)), dtype=np.float32)
        scene = np.empty((len(rows), v, len(scenes)), dtype=np.float32)
        of_cell, of_view = self.lengths
        columns, views = np.ascontiguousarray(vectors.T), np.ascontiguousarray(scenes.T)
        offset = mean @ columns

        def some(first: int, last: int) -> None:
            room = np.empty((v * height * width, channels), dtype=np.float32)
            for i in range(first, last):
                row = rows[i]
                cells = singles(maps[row].reshape(room.shape), room)
                product = (cells @ columns - offset) / of_cell[row][:, None]
                cosine[i] = product.reshape(cosine.shape[1:])
                if len(scenes):
                    scene[i] = cells.reshape(v, -1) @ views / of_view[row][:, None]

        map_ranges(some, len(rows), _PHOTOS)
        return Glances(cosine, scene)

    def direction(self, rows: Rows, weight: F4) -> F8:
        """Return (C,) the weighted sum of the cells of some photos, as `aog.learnt.direction` does.

        Parameters
        ----------
        rows
            (n,) of photos.
        weight
            (n, V * H * W) of their cells.
        """
        maps, (of_cell, _) = self.seen.maps, self.lengths
        assert maps is not None
        channels = maps.shape[-1]

        def some(first: int, last: int) -> F8:
            room = np.empty((weight.shape[1], channels), dtype=np.float32)
            total = np.zeros(channels)
            for i in range(first, last):
                cells = singles(maps[rows[i]].reshape(room.shape), room)
                total += direction(cells, weight[i], of_cell[rows[i]], self.usual.mean)
            return total

        return np.asarray(np.sum(map_ranges(some, len(rows), _PHOTOS), axis=0), dtype=np.float64)

    def prepare(self) -> None:
        """Compute all of it."""
        for name in ("habits", "usual", "odds", "teachers", "witnessed", "lengths"):
            getattr(self, name)
