"""Which way clicked photos are seen, from what is kept of each click."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from aog.click_views import (
    VIEW_GRID,
    ClickTerms,
    Index,
    Support,
    graph_says,
    settled_views,
    supported,
)
from aog.looks import on_grid, over_window
from aog.templates import Template
from explgraph.base.arrays import F8

from .ballots import votes_of
from .photos import Photos


def click_terms(views: Sequence[Template], photos: Photos) -> ClickTerms:
    """Return what speaks for each place by the W views of one click, of the photos that tell it."""
    seen, config = photos.witnessed, photos.config
    cast = [votes_of(one, seen, photos.habits.scale, config, VIEW_GRID) for one in views]
    support = config.vote * np.log(np.stack(cast) + np.float32(config.floor))
    looks = np.concatenate([one.look for one in views])
    scenes = np.stack([one.scene.astype(np.float32) for one in views])
    shown = photos.glance(photos.witnesses, looks, scenes)
    alike = on_grid(over_window(shown.cosine, seen.layer), seen.layer, seen.input_size, VIEW_GRID)
    support += config.scene * np.moveaxis(shown.scene, 2, 0)[..., None, None]
    return ClickTerms(support, np.moveaxis(alike, 2, 0))


def view_shares(
    terms: Sequence[ClickTerms], of_click: F8, photos: Photos, taken: NDArray[np.bool_]
) -> F8:
    """Return (k, W) how much each view of k clicked photos counts, as `view_probability` does.

    Parameters
    ----------
    terms
        Of each click.
    of_click
        (k, W) log probability of the views by the graph alone.
    photos
        All of them.
    taken
        (N,) which of them are clicked, or said not to show the part: these tell nothing.
    """
    trusted = graph_says(of_click)
    left = np.flatnonzero(~taken[photos.witnesses])
    together = ClickTerms(*(np.concatenate(each)[:, left] for each in zip(*terms, strict=True)))
    support = supported(together, of_click.shape, photos.witnessed.take(left), photos.config)
    return settled_views(_QuickSupport(*support), trusted, len(left), photos.config)


class _QuickSupport(Support):
    """Adds up what all other clicks say once for all views of one."""

    def totals(self, views: Index, click: int) -> F8:
        """Return as `Support.totals` does, but for rounding."""
        rows = np.arange(len(views))
        odds, look = self.odds[rows, views].sum(axis=0), self.look[rows, views].sum(axis=0)
        odds -= self.odds[click, views[click]]
        look += self.rest - self.look[click, views[click]]
        result = []
        for own, alike in zip(self.odds[click], self.look[click], strict=True):
            with np.errstate(divide="ignore"):
                log = np.log(np.maximum(odds + own, own)) + (look + alike)
            log = log.reshape(len(log), -1)
            most = log.max(axis=1)
            result.append(float((np.log(np.exp(log - most[:, None]).sum(axis=1)) + most).sum()))
        return np.array(result)
