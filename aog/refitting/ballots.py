"""One template's votes in all photos, nearly as `aog.evidence.vote_maps` casts them, kept small.

Votes of one width are impulses on a grid, blurred at once: that takes a fortieth of the time of
casting them one by one. What is kept is the level of their logarithm, a byte for each place.
"""

from __future__ import annotations

import numpy as np

from aog.answers import GRID
from aog.config import PartConfig
from aog.evidence import vote_heights
from aog.sight import Sight
from aog.templates import Template
from explgraph.base.arrays import F4, F8, U1
from explgraph.base.threads import map_ranges

from . import _kernels

_FINE = 1.7  # points of the impulses' grid for each standard deviation, at least
_REACH = 3.5  # standard deviations, as of the votes
_RATIO = 1.25  # between the widths that are told apart
_PHOTOS = 16  # that a thread does at a time
LEVELS = 256


def cast(template: Template, seen: Sight, scale: F4, config: PartConfig) -> U1:
    """Return (N, V, G * G) the levels of a template's votes.

    Parameters
    ----------
    template
        With Q patterns.
    seen
        N photos in V views.
    scale
        (P,) of all nodes, as in `Habits`.
    config
        Hyper-parameters.
    """
    n, v, _ = seen.score.shape
    result = np.empty((n, v, GRID * GRID), dtype=np.uint8)
    ballot = _Ballot(template, seen, scale, config, GRID)

    def some(first: int, last: int) -> None:
        votes = ballot.votes(seen.yx[first:last], seen.score[first:last])
        result[first:last] = _levels(votes, config).reshape(last - first, v, -1)

    map_ranges(some, n, _PHOTOS)
    return result


def votes_of(template: Template, seen: Sight, scale: F4, config: PartConfig, grid: int) -> F4:
    """Return (N, V, G, G) a template's votes themselves, G = ``grid``."""
    return _Ballot(template, seen, scale, config, grid).votes(seen.yx, seen.score)


class _Ballot:
    """How one template's patterns vote on a grid."""

    def __init__(
        self, template: Template, seen: Sight, scale: F4, config: PartConfig, grid: int
    ) -> None:
        least = config.width * float(np.sqrt(seen.input_size[0] * seen.input_size[1]))
        number = np.rint(np.log(template.spread / least) / np.log(_RATIO)).astype(np.int64)
        kinds, width = np.unique(number, return_inverse=True)
        cell = np.array(seen.input_size) / grid
        spread = least * _RATIO ** kinds.astype(np.float64) / cell[:, None]
        fine = int(np.ceil(_FINE / spread.min(initial=_FINE)))
        self._step, self._grid = cell / fine, grid
        self._pad, self._blurs = _blurs(spread, grid, fine)
        height = vote_heights(template.weight, template.spread, least)
        self._patterns = (template.node, template.displacement, height, scale[template.node], width)

    def votes(self, yx: F4, score: F4) -> F4:
        """Return (n, V, G, G) of n photos."""
        n, v, p = score.shape
        down, across = self._blurs
        points = down.shape[2], across.shape[2]
        impulses = np.zeros((n * v, len(down), *points), dtype=np.float32)
        views = yx.reshape(n * v, p, 2), score.reshape(n * v, p)
        _kernels.cast_impulses(*views, *self._patterns, self._step, self._pad, impulses)
        votes = np.zeros((n * v, self._grid, self._grid), dtype=np.float32)
        for k in range(len(down)):
            votes += down[k] @ (impulses[:, k] @ across[k].T)
        result: F4 = votes.reshape(n, v, self._grid, self._grid)
        return result


def powers(exponent: float, config: PartConfig) -> F4:
    """Return (256,) what votes of each level, with the floor, are raised to a power."""
    low, step = _scale(config)
    table: F4 = np.exp(exponent * (low + step * np.arange(LEVELS))).astype(np.float32)
    return table


def _levels(votes: F4, config: PartConfig) -> U1:
    low, step = _scale(config)
    level = (np.log(votes + np.float32(config.floor)) - np.float32(low)) / np.float32(step)
    return np.asarray(np.clip(np.rint(level), 0, LEVELS - 1), dtype=np.uint8)


def _scale(config: PartConfig) -> tuple[float, float]:
    """Return the logarithm at level 0, and that between two levels; votes are 1 at most."""
    low, high = np.log(config.floor), np.log(1 + config.floor)
    return float(low), float((high - low) / (LEVELS - 1))


def _blurs(spread: F8, grid: int, fine: int) -> tuple[int, F4]:
    """Return how far the impulses' grid goes beyond the corner, and the bells at its points.

    The bells are (2, L, G, E): along y and x, of L widths, at G cells, of E points, ``fine`` of
    them for each cell; ``spread (2, L)`` in cells. To share an impulse out among two points makes
    it wider, by a sixth of the square of what is between them on average.
    """
    pad = int(np.ceil(_REACH * fine * spread.max(initial=0))) + 1
    points = (np.arange(grid * fine + 2 * pad + 1) - pad) / fine
    wide = spread[..., None, None]
    own = np.sqrt(wide**2 - 1 / (6 * fine**2))
    apart = np.abs(np.arange(grid)[:, None] + 0.5 - points)
    bells = wide / own * np.exp(-0.5 * (apart / own) ** 2)
    return pad, np.where(apart > _REACH * wide, 0, bells).astype(np.float32)
