"""The evidence for where a part is, on a grid: what its templates' patterns and looks say."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from explgraph.base.arrays import F4, F8
from explgraph.base.threads import over_rows

from . import _kernels
from .answers import GRID
from .config import PartConfig
from .looks import alikeness, cosines, on_grid, over_window
from .sight import Sight
from .structures import AndOrGraph

_PHOTOS = 64  # whose templates' terms are held at a time
_PRIOR = 2  # hidden photos' worth of what is known of visibility without any


class Evidence(NamedTuple):
    """Log density of a part's place, up to a constant for each photo.

    ``place (N, V, G, G)`` summed over templates, and ``blind`` the same without what places look
    like; ``template (N, V, T)`` each one's share, log of the sum over places; ``alike
    (N, V, G, G)`` how much each place looks like the part: what visibility is judged by.
    """

    place: F8
    blind: F8
    template: F8
    alike: F8


class Terms(NamedTuple):
    """What speaks for each place, before it is weighed.

    ``votes (N, V, T, G, G)``; ``alike (N, V, G, G)`` and ``scene (N, V, T)`` cosines, or None where
    there are no maps; ``trait (N, V, G, G)`` too, or None where the part has no trait.
    """

    votes: F8
    alike: F4 | None
    scene: F4 | None
    trait: F4 | None


def evidence(aog: AndOrGraph, seen: Sight, look_mean: F4, config: PartConfig) -> Evidence:
    """Add up what speaks for each place, view and template (Eq. 10).

    Terms that the part or the photos lack (no maps, one view) are left out; without maps a place is
    alike as far as patterns vote for it.
    """
    some = [
        seen.take(slice(first, first + _PHOTOS)) for first in range(0, max(len(seen), 1), _PHOTOS)
    ]
    each = [weigh(aog, one, terms(aog, one, look_mean, config), config) for one in some]
    return Evidence(*map(np.concatenate, zip(*each, strict=True)))


def terms(aog: AndOrGraph, seen: Sight, look_mean: F4, config: PartConfig) -> Terms:
    """Return the terms of Eq. 10."""
    votes = vote_maps(aog, seen, config)
    if seen.maps is None or aog.look.shape[-1] == 0:
        return Terms(votes, None, None, None)
    looks = aog.look.reshape(-1, aog.look.shape[-1])
    vectors = np.concatenate([looks, aog.trait.reshape(-1, looks.shape[1])])
    each = cosines(seen.maps, look_mean, vectors)
    likeness = over_window(each[..., : len(looks)], seen.layer)
    mean = np.einsum("nvthw,t->nvhw", likeness, _shares(aog))
    alike, trait = on_grid(mean, seen.layer, seen.input_size, GRID), None
    if len(aog.trait) > 0:
        trait = on_grid(each[..., -1], seen.layer, seen.input_size, GRID)
    return Terms(votes, alike, alikeness(seen.maps, aog.scene), trait)


def weigh(aog: AndOrGraph, seen: Sight, found: Terms, config: PartConfig) -> Evidence:
    """Return Eq. 10, with the views' own probabilities, summed over templates."""
    total = config.vote * np.log(found.votes + config.floor)
    if found.scene is not None:
        total += config.scene * found.scene[..., None, None]
    clicks = aog.clicks.sum()
    sure = clicks / (clicks + config.doubt)
    total *= sure
    total += view_odds(seen, config)[:, :, None, None, None] + np.log(_shares(aog))[:, None, None]
    blind = np.logaddexp.reduce(total, axis=2)
    look = sure * _look(found, aog.trait_share, config)
    total += look[:, :, None]
    alike = found.votes.max(axis=2) if found.alike is None else found.alike
    return Evidence(
        place=blind + look,
        blind=blind,
        template=np.logaddexp.reduce(total, axis=(3, 4)),
        alike=(alike if found.trait is None else found.trait).astype(np.float64),
    )


def _look(found: Terms, trait_share: float, config: PartConfig) -> F8:
    """Return (N, V, G, G) what the look of places counts: like the clicked ones, and the trait."""
    if found.alike is None:
        return np.zeros((*found.votes.shape[:2], GRID, GRID))
    alike = found.alike.astype(np.float64)
    if found.trait is not None:
        alike = (1 - trait_share) * alike + trait_share * found.trait
    return config.look * alike


def _shares(aog: AndOrGraph) -> F4:
    """Return (T,) each template's share of the clicks."""
    return np.asarray(aog.clicks / aog.clicks.sum(), dtype=np.float32)


def as_given(found: Evidence, seen: Sight) -> F8:
    """Return (N, V, G, G) the evidence as `posterior` expects it: the second view mirrored."""
    if found.place.shape[1] > 1:
        return found.place
    turned = seen.turned[:, 0, None, None, None]
    return np.where(turned, found.place[..., ::-1], found.place)


def expected_likeness(found: Evidence) -> F8:
    """Return (N,) how much the part's place looks like the part, over all places it may have.

    Where that may be is told without a look: else the likest place would be asked how alike it is.
    """
    cells = (1, 2, 3)
    odds = np.exp(found.blind - found.blind.max(axis=cells, keepdims=True))
    return np.asarray((odds * found.alike).sum(axis=cells) / odds.sum(axis=cells))


def visible_from(found: Evidence) -> float:
    """Return the likeness from which on a part counts as visible, see `threshold`."""
    return threshold(expected_likeness(found), likeness_elsewhere(found.alike))


def likeness_elsewhere(alike: NDArray[np.floating]) -> F8:
    """Return (N,) what three quarters of the cells of ``alike (N, V, G, G)`` fall short of."""
    return np.asarray(np.quantile(alike.reshape(len(alike), -1), 0.75, axis=1))


def threshold(here: NDArray[np.floating], elsewhere: NDArray[np.floating]) -> float:
    """Return the likeness from which on a part counts as visible.

    A third of the way from what three quarters of a photo's cells fall short of to what the photos
    show where the part should be (medians over the photos): where a part is hidden, its best place
    is no better than the better cells elsewhere.

    Parameters
    ----------
    here, elsewhere
        (N,) of photos: `expected_likeness` and `likeness_elsewhere`.
    """
    low = float(np.median(elsewhere))
    return low + (float(np.median(here)) - low) / 3


def threshold_beside(
    usual: float, here: NDArray[np.floating], absent: NDArray[np.floating]
) -> float:
    """Return that likeness where photos are known in which the part is hidden.

    Half way from these to what the other photos show (medians), and ``usual``, what `threshold`
    says, counts like `_PRIOR` hidden photos.

    Parameters
    ----------
    here, absent
        `expected_likeness` in other photos, and in those where it is hidden.
    """
    between = (float(np.median(absent)) + float(np.median(here))) / 2
    return (_PRIOR * usual + len(absent) * between) / (_PRIOR + len(absent))


def vote_maps(aog: AndOrGraph, seen: Sight, config: PartConfig, grid: int = GRID) -> F8:
    """Return (N, V, T, G, G) the votes of each template's patterns (Eq. 9), G = ``grid``."""
    n, v, p = seen.score.shape
    side = np.sqrt(seen.input_size[0] * seen.input_size[1])
    votes = np.zeros((n * v, len(aog), grid, grid))
    over_rows(
        _kernels.cast_votes,
        n * v,
        seen.yx.reshape(n * v, p, 2),
        seen.score.reshape(n * v, p),
        aog.start,
        aog.node,
        aog.displacement,
        aog.spread,
        vote_heights(aog.weight, aog.spread, config.width * side),
        aog.scale,
        np.array(seen.input_size) / grid,
        votes,
    )
    return votes.reshape(n, v, len(aog), grid, grid)


def vote_heights(weight: NDArray[Any], spread: NDArray[Any], least_spread: float) -> F4:
    """Return (Q,) the heights of the votes: the wider, the lower, so that all hold as much."""
    return np.asarray(weight * (least_spread / spread) ** 2, dtype=np.float32)


def view_odds(seen: Sight, config: PartConfig) -> F8:
    """Return (N, V) the log probability of each view (Eq. 11)."""
    odds = config.view * seen.odds
    return np.asarray(odds - np.logaddexp.reduce(odds, axis=1)[:, None])
