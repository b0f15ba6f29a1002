"""What photos are like, by their peaks, before a graph is mined of them: copies, silence, size."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from explgraph.base.arrays import F4, F8
from explgraph.base.formats.material import Material
from explgraph.base.jit import jit

from .structures import Peaks, PeakSet, PeakSource

SAME = 0.5
"""A photo repeats another if more than this share of the filters fire strongest at one place."""

EARLIER = 512
"""Photos that each is compared with, those before it: copies mostly follow each other."""

_NEAR = 0.05  # of the side: one place
_FILTERS = 64  # of each layer, at even distances
_TRIED, _HOPELESS = 32, 0.125  # filters after which a pair with a smaller share is let go
_LEAST_PIXELS = 0.25  # of the photo, for one of the network
_NAMED = 3


def survey(peaks: PeakSource) -> Material:
    """Measure what is known of N photos before they are mined.

    Two photos are compared by where filters fire strongest, in a twentieth of the side: a photo
    repeats an earlier one, as given or mirrored, if of the filters that fire in one of them more
    than `SAME` do so at the same place.

    Parameters
    ----------
    peaks
        Of N photos. Each is compared with the `EARLIER` ones before it.
    """
    repeated: list[str] = []
    silenced: list[str] = []
    fired = [np.zeros(layer.channels, dtype=bool) for layer in peaks.layers]
    enlarged, seen = 0, deque[F4](maxlen=EARLIER)
    for group in peaks.groups():
        repeated += _named(group, _likeness(group, seen) > SAME)
        fires = [one.weight[..., 0] > 0 for one in group.peaks]
        silenced += _named(group, ~np.any([own.any(axis=1) for own in fires], axis=0))
        for every, own in zip(fired, fires, strict=True):
            every |= own.any(axis=0)
        enlarged += int(np.sum(_pixels(group) < _LEAST_PIXELS))
    return Material(
        repeats=len(repeated),
        repeated=tuple(repeated[:_NAMED]),
        silent=len(silenced),
        silenced=tuple(silenced[:_NAMED]),
        enlarged=enlarged,
        dead_filters=tuple(int(np.sum(~own)) for own in fired),
    )


def _named(group: PeakSet, flags: NDArray[np.bool_]) -> list[str]:
    return [group.images[i] for i in np.flatnonzero(flags).tolist()]


def _pixels(group: PeakSet) -> F8:
    """Return (n,) how many pixels of a photo there are for one of the network, along a side."""
    if group.photo_size is None:
        return np.ones(len(group))
    return np.asarray((group.photo_size * np.abs(group.frames[:, :, 1])).max(axis=1))


def _likeness(group: PeakSet, seen: deque[F4]) -> F8:
    """Return (n,) the largest share of filters that an earlier photo has at one place.

    ``seen`` holds (V, F, 2) of each photo before, and then of these as well.
    """
    views = [group.peaks] if group.mirrored is None else [group.peaks, group.mirrored]
    own = np.stack([_places(view, group.input_size) for view in views], axis=1)
    every = np.concatenate([np.stack(seen), own]) if seen else own
    seen.extend(own)
    return _largest_share(every, len(every) - len(own))


def _places(layers: Sequence[Peaks], input_size: tuple[int, int]) -> F4:
    """Return (N, F, 2) where filters fire strongest, share of the side; NaN where they do not.

    Layers take turns: the first filters are of all of them.
    """
    places: list[F4] = []
    turn: list[int] = []
    for peaks in layers:
        count = peaks.layer.channels
        chosen = np.unique(np.linspace(0, count - 1, min(count, _FILTERS)).round().astype(int))
        unit = peaks.yx[:, chosen, 0] / np.array(input_size, dtype=np.float32)
        places.append(np.where(peaks.weight[:, chosen, :1] > 0, unit, np.float32(np.nan)))
        turn += range(len(chosen))
    return np.concatenate(places, axis=1)[:, np.argsort(turn, kind="stable")]


def compile_ahead() -> None:
    """Compile what `survey` calls."""
    _largest_share(np.zeros((1, 1, 1, 2), dtype=np.float32), 1)


@jit
def _largest_share(places: F4, first: int) -> F8:
    """Compare photos from ``first`` on with those before each; ``places`` (N, V, F, 2).

    A photo is seen as given, the other in each of its V views.
    """
    n, views, filters = places.shape[:3]
    result = np.zeros(n - first)
    for i in range(first, n):
        for j in range(max(i - EARLIER, 0), i):
            for view in range(views):
                either, both = 0, 0
                for f in range(filters):
                    in_one, in_other = places[i, 0, f, 0] >= 0, places[j, view, f, 0] >= 0
                    either += in_one or in_other
                    if in_one and in_other:
                        dy = places[i, 0, f, 0] - places[j, view, f, 0]
                        dx = places[i, 0, f, 1] - places[j, view, f, 1]
                        both += dy * dy + dx * dx <= _NEAR * _NEAR
                    if f + 1 == _TRIED and both < _HOPELESS * either:
                        both = 0
                        break
                if both > result[i - first] * either:
                    result[i - first] = both / either
    return result
