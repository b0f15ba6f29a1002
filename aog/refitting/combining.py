"""What poses, looks and the trait say together (Eq. 10), and the answers that follow."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from aog.answers import GRID, distances, mass_near, refine
from aog.config import PartConfig
from aog.looks import on_grid
from aog.sight import Sight
from explgraph.base.arrays import F4, F8, I4, U1
from explgraph.base.threads import map_ranges

from . import _kernels
from .ballots import powers
from .photos import Rows

_PHOTOS = 16  # that a thread does at a time
_TINY = np.float32(1e-37)  # where votes weigh so much that without any there is no place at all


@dataclass(slots=True)
class Votes:
    """What is kept of one template in all photos.

    ``levels (N, V, G * G)`` of its votes, see `ballots`; ``scene (N, V)`` cosines.
    """

    levels: U1
    scene: F4


class Weights(NamedTuple):
    """How evidence is weighed: ``share (T,)`` of the clicks; ``sure`` and ``trait`` shares, too."""

    share: F8
    sure: float
    trait: float


class Findings(NamedTuple):
    """What is found in n photos.

    ``probability (n, G, G)`` of places in the photo as given, ``answer (n, 2)`` unit square,
    ``confidence (n,)``; ``alike (n,)`` how much the place looks like the part; ``template`` and
    ``view (n,)`` that count most; ``view_place (n, V, G, G)`` where the part is in each view.
    """

    probability: F4
    answer: F8
    confidence: F4
    alike: F4
    template: I4
    view: I4
    view_place: F4


class Balance:
    """Weighs the evidence in n photos.

    Parameters
    ----------
    each
        Of T templates.
    rows
        (n,) of the photos.
    seen
        All photos.
    odds
        (N, V) of views.
    config
        Hyper-parameters.
    """

    def __init__(
        self, each: Sequence[Votes], rows: Rows, seen: Sight, odds: F8, config: PartConfig
    ) -> None:
        self._each, self._rows, self._seen, self._odds = each, rows, seen, odds
        self._config = config

    def find(self, weights: Weights, alike: F4, trait: F4 | None) -> Findings:
        """Return what is found.

        Parameters
        ----------
        alike
            (n, V, H, W) how much cells look like the clicked ones, cosines.
        trait
            The same of the trait; None: there is none.
        """
        n, v = len(self._rows), alike.shape[1]
        result = Findings(
            probability=np.empty((n, GRID, GRID), dtype=np.float32),
            answer=np.empty((n, 2)),
            confidence=np.empty(n, dtype=np.float32),
            alike=np.empty(n, dtype=np.float32),
            template=np.empty(n, dtype=np.int32),
            view=np.empty(n, dtype=np.int32),
            view_place=np.empty((n, v, GRID, GRID), dtype=np.float32),
        )
        table = powers(weights.sure * self._config.vote, self._config)

        def some(first: int, last: int) -> None:
            rows = slice(first, last)
            own = None if trait is None else trait[rows]
            found = self._found(self._rows[rows], weights, table, (alike[rows], own))
            for name in Findings._fields:
                getattr(result, name)[rows] = getattr(found, name)

        map_ranges(some, n, _PHOTOS)
        return result

    def _found(
        self, rows: Rows, weights: Weights, table: F4, looks: tuple[F4, F4 | None]
    ) -> Findings:
        seen, config = self._seen, self._config
        n, v = len(rows), looks[0].shape[1]
        factor = self._factors(rows, weights)
        blind = np.zeros((n, v, GRID * GRID), dtype=np.float32)
        levels = [one.levels[rows] for one in self._each]
        for own, share in zip(levels, factor, strict=True):
            _kernels.add_levels(own, table, share, blind)
        alike, trait = (
            None if one is None else on_grid(one, seen.layer, seen.input_size, GRID)
            for one in looks
        )
        assert alike is not None
        likeness = alike if trait is None else trait
        if trait is not None:
            alike = (1 - np.float32(weights.trait)) * alike + np.float32(weights.trait) * trait
        look = np.float32(weights.sure * config.look) * alike.reshape(n, v, -1)
        heavy = np.exp(look - look.max(axis=(1, 2), keepdims=True))
        place = blind * heavy
        place /= np.maximum(place.sum(axis=(1, 2), keepdims=True), _TINY)
        by_template = np.empty((len(levels), n, v), dtype=np.float32)
        for own, share, result in zip(levels, factor, by_template, strict=True):
            _kernels.sum_levels(own, table, heavy, result)
            result *= share
        expected = (blind * likeness.reshape(n, v, -1)).sum(axis=(1, 2))
        expected /= np.maximum(blind.sum(axis=(1, 2)), _TINY)
        view_place = place.reshape(n, v, GRID, GRID)
        probability = self._as_given(view_place, rows)
        flat = probability.reshape(n, -1)
        answer, _ = refine(-(flat @ distances(GRID)).reshape(probability.shape))
        return Findings(
            probability=probability,
            answer=answer,
            confidence=mass_near(probability, answer).astype(np.float32),
            alike=expected,
            template=by_template.sum(axis=2).argmax(axis=0),
            view=by_template.sum(axis=0).argmax(axis=1),
            view_place=view_place,
        )

    def _factors(self, rows: Rows, weights: Weights) -> F4:
        """Return (T, n, V) what each template's votes count, up to a constant for each photo."""
        scene = np.stack([one.scene[rows] for one in self._each])
        log = weights.sure * self._config.scene * scene + self._odds[rows]
        log += np.log(weights.share)[:, None, None]
        return np.asarray(np.exp(log - log.max(axis=(0, 2), keepdims=True)), dtype=np.float32)

    def _as_given(self, place: F4, rows: Rows) -> F4:
        """Return (n, G, G) of ``place (n, V, G, G)``: the sum of both views, as given."""
        if place.shape[1] > 1:
            return np.asarray(place[:, 0] + place[:, 1, :, ::-1])
        turned = self._seen.turned[rows, 0, None, None]
        return np.where(turned, place[:, 0, :, ::-1], place[:, 0])
