"""The evidence for where a part is, on a grid: what its templates' patterns and looks say."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from explgraph.structures import F4, F8

from . import _kernels
from .answers import GRID
from .config import PartConfig
from .looks import alikeness, likeness, on_grid
from .sight import Sight
from .structures import AndOrGraph


class Evidence(NamedTuple):
    """Log density of a part's place, up to a constant for each photo.

    ``place (N, V, G, G)`` summed over templates; ``template (N, V, T)`` each one's share, log of
    the sum over places; ``answer (N, V, G, G)`` how well a place answers to the part, whatever else
    the photo shows: what visibility is judged by.
    """

    place: F8
    template: F8
    answer: F8


def evidence(aog: AndOrGraph, seen: Sight, look_mean: F4, config: PartConfig) -> Evidence:
    """Add up what speaks for each place, view and template (Eq. 3).

    Terms that the part or the photos lack (no maps, one view) are left out.
    """
    votes = vote_maps(aog, seen, config)
    answer = config.vote * np.log(votes + config.floor)
    total = answer.copy()
    if seen.maps is not None and aog.look.shape[-1] > 0:
        share = (aog.clicks / aog.clicks.sum()).astype(np.float32)
        alike = likeness(seen.maps, look_mean, aog.look, seen.layer)
        look = on_grid(np.einsum("nvthw,t->nvhw", alike, share), seen.layer, seen.input_size, GRID)
        answer += config.look * look[:, :, None]
        total += config.look * look[:, :, None]
        total += config.scene * alikeness(seen.maps, aog.scene)[..., None, None]
    clicks = aog.clicks.sum()
    total *= clicks / (clicks + config.doubt)
    total += _facing(seen, config)[:, :, None, None, None]
    total += np.log(aog.clicks / clicks)[:, None, None]
    place = np.logaddexp.reduce(total, axis=2)
    template = np.logaddexp.reduce(total.reshape(*total.shape[:3], -1), axis=3)
    return Evidence(place, template, answer.max(axis=2))


def vote_maps(aog: AndOrGraph, seen: Sight, config: PartConfig) -> F8:
    """Return (N, V, T, G, G) the votes of each template's patterns (Eq. 1)."""
    n, v, p = seen.score.shape
    side = np.sqrt(seen.input_size[0] * seen.input_size[1])
    votes: F8 = _kernels.cast_votes(  # type: ignore[no-untyped-call]
        seen.yx.reshape(n * v, p, 2),
        seen.score.reshape(n * v, p),
        aog.start,
        aog.node,
        aog.displacement,
        aog.spread,
        vote_heights(aog, config.width * side),
        aog.scale,
        np.array(seen.input_size) / GRID,
        GRID,
    )
    return votes.reshape(n, v, len(aog), GRID, GRID)


def vote_heights(aog: AndOrGraph, least_spread: float) -> F4:
    """Return (Q,) the heights of the votes: the wider, the lower, so that all hold as much."""
    return np.asarray(aog.weight * (least_spread / aog.spread) ** 2, dtype=np.float32)


def _facing(seen: Sight, config: PartConfig) -> F8:
    """Return (N, V) the log probability of each view, by how well the graph explains it (Eq. 2)."""
    odds = config.facing * seen.gain
    return np.asarray(odds - np.logaddexp.reduce(odds, axis=1)[:, None])
