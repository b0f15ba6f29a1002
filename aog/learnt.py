"""What a part looks like in photos that nobody clicked: learnt from where it probably is there."""

from __future__ import annotations

from dataclasses import replace
from typing import NamedTuple

import numpy as np

from explgraph.base.arrays import F4, F8, singles

from .answers import GRID, mass_near, nearest_point, posterior
from .config import PartConfig
from .evidence import (
    Evidence,
    as_given,
    evidence,
    expected_likeness,
    threshold_beside,
    visible_from,
)
from .looks import cells_of, cosines, from_grid, lengths, on_grid, unit_vectors
from .sight import Sight, spread_rows
from .structures import AndOrGraph

_ROWS, _COLUMNS = 3, 4  # every third row and every fourth column serve the covariance
_RIDGE = 2.0  # of the mean variance: what is added to each channel's


class UsualCells(NamedTuple):
    """The responses of the look layer, over cells of all photos and views.

    ``mean (C,)`` of the responses; then of their unit vectors, less that mean: ``middle (C,)``, and
    ``whitening (C, C)``, the inverse of their covariance with a ridge. C = 0 without maps.
    """

    mean: F4
    middle: F4
    whitening: F4


def usual_cells(seen: Sight, most: int | None = None) -> UsualCells:
    """Describe what cells look like whatever is on them.

    Parameters
    ----------
    seen
        N photos.
    most
        Of which so many at most, evenly spread, tell all but the mean; None: all of them.
    """
    if seen.maps is None:
        nothing = np.zeros(0, dtype=np.float32)
        return UsualCells(nothing, nothing, np.zeros((0, 0), dtype=np.float32))
    channels = seen.maps.shape[-1]
    sums = np.zeros(channels)
    for cells in cells_of(seen.maps):
        sums += cells.sum(axis=0, dtype=np.float64)
    mean = np.asarray(sums / (seen.maps.size // channels), dtype=np.float32)
    # The same cells of all photos: nothing hangs on the order that photos come in.
    rows = spread_rows(len(seen), most or len(seen))
    chosen = seen.maps[rows, :, ::_ROWS, ::_COLUMNS].reshape(-1, channels)
    cells = unit_vectors(singles(chosen) - mean)
    middle = cells.mean(axis=0)
    cells -= middle
    covariance = cells.T @ cells / np.float32(len(cells))
    ridge = _RIDGE * float(np.trace(covariance)) / channels
    # Without any variance there is nothing to whiten.
    covariance[np.diag_indices(channels)] += ridge if ridge > 0 else 1.0
    return UsualCells(mean, middle, np.linalg.inv(covariance))


def learn(
    aog: AndOrGraph,
    seen: Sight,
    usual: UsualCells,
    config: PartConfig,
    *,
    hidden: Sight | None = None,
) -> AndOrGraph:
    """Return a part with what photos without a click teach: its trait, and when it is visible.

    Parameters
    ----------
    aog
        Fitted to clicks, without a trait.
    seen
        N photos without a click. With none the part stays as it is.
    usual
        Cells of all photos.
    config
        Hyper-parameters.
    hidden
        Photos in which the part is known not to be visible.
    """
    if len(seen) == 0:
        return aog
    found = evidence(aog, seen, usual.mean, config)
    if seen.maps is not None and config.learnt > 0:
        trait = _trait(found.place, seen, usual)
        each = cosines(seen.maps, usual.mean, trait[None])[..., 0]
        alike = on_grid(each, seen.layer, seen.input_size, GRID).astype(np.float64)
        share = config.learnt * _confidence(found, seen) ** 2
        aog = replace(aog, trait=trait, trait_share=share)
        found = found._replace(alike=alike)
    aog, here = replace(aog, visible_from=visible_from(found)), expected_likeness(found)
    if hidden is None or len(hidden) == 0:
        return aog
    absent = expected_likeness(evidence(aog, hidden, usual.mean, config))
    return replace(aog, visible_from=threshold_beside(aog.visible_from, here, absent))


def _confidence(found: Evidence, seen: Sight) -> float:
    """Return the mean confidence of the answers that a part would give in photos without a click.

    What is learnt where the part hardly is found is learnt from other places as well.
    """
    probability = posterior(as_given(found, seen))
    return float(mass_near(probability, nearest_point(probability).yx).mean())


def _trait(place: F8, seen: Sight, usual: UsualCells) -> F4:
    """Return (C,) the unit vector that tells cells where the part is from all others (Eq. 10b).

    Parameters
    ----------
    place
        (N, V, G, G) log density of the part's place.
    """
    odds = np.exp(place - place.max(axis=(1, 2, 3), keepdims=True))
    odds /= odds.sum(axis=(1, 2, 3), keepdims=True)
    share = from_grid(odds.astype(np.float32), seen.layer, seen.input_size)
    here = np.zeros(len(usual.mean))
    for cells, weight in zip(cells_of(np.asarray(seen.maps)), share, strict=True):
        here += direction(cells, weight.reshape(-1), lengths(cells, usual.mean), usual.mean)
    return trait_of(here / len(seen), usual)


def direction(cells: F4, weight: F4, length: F4, mean: F4) -> F8:
    """Return (C,) the weighted sum of the unit vectors of cells (n, C) less their mean.

    Without a copy of them; ``length (n,)`` as `lengths` says.
    """
    per_length = weight / length
    return np.asarray(per_length @ cells - per_length.sum() * mean)


def trait_of(here: F8, usual: UsualCells) -> F4:
    """Return the trait from (C,) the mean of the cells where the part is, see `direction`."""
    return unit_vectors(usual.whitening @ (here - usual.middle).astype(np.float32))
