"""Which way clicked photos are seen: judged by what the graph says of each, and by all others."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from explgraph.base.arrays import F4, F8

from .config import PartConfig
from .evidence import view_odds, vote_maps
from .looks import alikeness, cosines, on_grid, over_window
from .sight import Sight
from .structures import AndOrGraph

_TRUST = 0.25  # in the graph: it errs in many photos alike, and the next leg may be the other one
_GRID = 14  # cells along a side: only sums over all places are needed
_MOST_PHOTOS = 64  # more change nothing
_MOST_ROUNDS = 10

Index = NDArray[np.int64]


class Support(NamedTuple):
    """How well N photos go with each of k clicks, in each of its photo's W views.

    ``odds (k, W, N, V, G, G)`` of patterns and scene, up to a factor for each place; ``look`` of
    the same shape, what a click adds to the log odds; ``rest (N, V, G, G)`` what every choice of
    views has in common, logarithm.
    """

    odds: F4
    look: F4
    rest: F4

    def total(self, views: Index) -> float:
        """Return the log evidence of all photos if the clicked ones are seen so, ``views (k,)``."""
        rows = np.arange(len(views))
        with np.errstate(divide="ignore"):
            log_odds = np.log(self.odds[rows, views].sum(axis=0, dtype=np.float64))
        log_odds += self.look[rows, views].sum(axis=0) + self.rest
        return float(np.logaddexp.reduce(log_odds.reshape(len(log_odds), -1), axis=1).sum())


def view_probability(
    candidates: AndOrGraph, of_click: F8, seen: Sight, look_mean: F4, config: PartConfig
) -> F8:
    """Return (k, W) how much each view of each clicked photo counts, given those of the others.

    Views are those that make the evidence of all photos largest, all photos together counting like
    ``config.others`` of them for each click: found by turning one clicked photo after the other,
    until none wants to be turned (Eq. 11a).

    Parameters
    ----------
    candidates
        k x W templates, those of a click's views side by side.
    of_click
        (k, W) log probability of the views by the graph alone.
    seen
        Photos without a click; if there is none, the graph alone is asked.
    look_mean
        (C,) as in `Parts`.
    """
    k, n_views = of_click.shape
    trusted = _TRUST * of_click
    chosen = np.asarray(of_click.argmax(axis=1))
    few = np.unique(np.linspace(0, len(seen) - 1, min(len(seen), _MOST_PHOTOS)).astype(np.intp))
    if n_views == 1 or len(few) == 0 or config.others == 0:
        return _normalised(trusted)
    support = _support(candidates, of_click.shape, seen.take(few), look_mean, config)
    worth = min(1.0, k * config.others / len(few))
    odds = trusted.copy()
    for _ in range(_MOST_ROUNDS):
        before = chosen.copy()
        for click in range(k):
            for view in range(n_views):
                chosen[click] = view
                odds[click, view] = trusted[click, view] + worth * support.total(chosen)
            chosen[click] = odds[click].argmax()
        if np.array_equal(chosen, before):
            break
    return _normalised(odds)


def _normalised(odds: F8) -> F8:
    """Return probabilities (k, W) of log odds, up to a constant for each row."""
    return np.asarray(np.exp(odds - np.logaddexp.reduce(odds, axis=1)[:, None]))


def _support(
    candidates: AndOrGraph,
    shape: Sequence[int],
    seen: Sight,
    look_mean: F4,
    config: PartConfig,
) -> Support:
    """Weigh what speaks for each place as Eq. 10 does, template by template."""
    clicks = shape[0]
    sure = clicks / (clicks + config.doubt)
    votes = config.vote * np.log(vote_maps(candidates, seen, config, _GRID) + config.floor)
    support = np.moveaxis(votes, 2, 0)
    look: NDArray[np.floating] = np.zeros((len(candidates), 1, 1, 1, 1))
    if seen.maps is not None and candidates.look.shape[-1] > 0:
        looks = candidates.look.reshape(-1, candidates.look.shape[-1])
        each = over_window(cosines(seen.maps, look_mean, looks), seen.layer)
        alike = on_grid(each, seen.layer, seen.input_size, _GRID)
        look = np.moveaxis(alike, 2, 0) * (sure * config.look / clicks)
        scene = alikeness(seen.maps, candidates.scene)
        support = support + config.scene * np.moveaxis(scene, 2, 0)[..., None, None]
    most = support.max(axis=0)
    odds = np.exp(sure * (support - most)).astype(np.float32)
    rest = sure * most + view_odds(seen, config)[:, :, None, None] - np.log(clicks)
    return Support(
        odds.reshape(*shape, *odds.shape[1:]),
        np.broadcast_to(look, odds.shape).reshape(*shape, *odds.shape[1:]).astype(np.float32),
        rest.astype(np.float32),
    )
