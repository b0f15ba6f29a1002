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
from .sight import Sight, spread_rows
from .structures import AndOrGraph

_TRUST = 0.25  # in the graph: it errs in many photos alike, and the next leg may be the other one
VIEW_GRID = 14
"""Cells along a side: only sums over all places are needed."""
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

    def totals(self, views: Index, click: int) -> F8:
        """Return (W,) that of each view of one clicked photo, the others being seen so."""
        each = np.repeat(views[None], self.odds.shape[1], axis=0)
        each[:, click] = np.arange(len(each))
        return np.array([self.total(one) for one in each])


class ClickTerms(NamedTuple):
    """What speaks for each place, by candidates; both (T, N, V, G, G).

    ``support`` of patterns and scene, logarithm; ``alike`` what the place looks like, cosines.
    """

    support: F8
    alike: F4


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
        Photos without a click, see `witnesses`; if there is none, the graph alone is asked.
    look_mean
        (C,) as in `Parts`.
    """
    trusted = graph_says(of_click)
    if len(seen) == 0:
        return _normalised(trusted)
    terms = click_terms(candidates, seen, look_mean, config)
    return settled_views(supported(terms, of_click.shape, seen, config), trusted, len(seen), config)


def witnesses(count: int) -> NDArray[np.intp]:
    """Return the rows, of all photos, of those that are asked: without those that are clicked.

    Which they are does not hang on the clicks, so that one more click asks the same photos again.
    """
    return spread_rows(count, _MOST_PHOTOS)


def settled_views(support: Support, trusted: F8, n_photos: int, config: PartConfig) -> F8:
    """Return (k, W) the same from what ``n_photos`` say; ``trusted (k, W)`` says the graph."""
    if n_photos == 0 or trusted.shape[1] == 1 or config.others == 0:
        return _normalised(trusted)
    k = len(trusted)
    chosen = np.asarray(trusted.argmax(axis=1))
    worth = min(1.0, k * config.others / n_photos)
    odds = trusted.copy()
    for _ in range(_MOST_ROUNDS):
        before = chosen.copy()
        for click in range(k):
            odds[click] = trusted[click] + worth * support.totals(chosen, click)
            chosen[click] = odds[click].argmax()
        if np.array_equal(chosen, before):
            break
    return _normalised(odds)


def graph_says(of_click: F8) -> F8:
    """Return log probabilities of views as they are trusted."""
    return _TRUST * of_click


def _normalised(odds: F8) -> F8:
    """Return probabilities (k, W) of log odds, up to a constant for each row."""
    return np.asarray(np.exp(odds - np.logaddexp.reduce(odds, axis=1)[:, None]))


def click_terms(
    candidates: AndOrGraph, seen: Sight, look_mean: F4, config: PartConfig
) -> ClickTerms:
    """Weigh what speaks for each place as Eq. 10 does, template by template."""
    votes = config.vote * np.log(vote_maps(candidates, seen, config, VIEW_GRID) + config.floor)
    support = np.moveaxis(votes, 2, 0)
    if seen.maps is None or candidates.look.shape[-1] == 0:
        return ClickTerms(support, np.zeros((len(candidates), 1, 1, 1, 1), dtype=np.float32))
    looks = candidates.look.reshape(-1, candidates.look.shape[-1])
    each = over_window(cosines(seen.maps, look_mean, looks), seen.layer)
    alike = on_grid(each, seen.layer, seen.input_size, VIEW_GRID)
    scene = alikeness(seen.maps, candidates.scene)
    support = support + config.scene * np.moveaxis(scene, 2, 0)[..., None, None]
    return ClickTerms(support, np.moveaxis(alike, 2, 0))


def supported(terms: ClickTerms, shape: Sequence[int], seen: Sight, config: PartConfig) -> Support:
    """Return what photos say of k clicks with W views each, ``shape``."""
    clicks = shape[0]
    sure = clicks / (clicks + config.doubt)
    most = terms.support.max(axis=0)
    odds = np.exp(sure * (terms.support - most)).astype(np.float32)
    rest = sure * most + view_odds(seen, config)[:, :, None, None] - np.log(clicks)
    look = np.broadcast_to(terms.alike * (sure * config.look / clicks), odds.shape)
    return Support(
        odds.reshape(*shape, *odds.shape[1:]),
        look.reshape(*shape, *odds.shape[1:]).astype(np.float32),
        rest.astype(np.float32),
    )
