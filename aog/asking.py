"""Which photo to ask about next: the one whose answer is worth most for all the others.

A strategy is a function of what is known, `Known`, that says what an answer is worth for each
photo. `next_photos` takes the best, one after the other, and looks that they are not all alike.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.stats import rankdata

from explgraph.base.arrays import F4, F8

from .looks import cells_of, unit_vectors
from .sight import Sight

_ALIKE = 4.0  # power of a cosine: beyond, photos are like each other
_HIDDEN = 0.3  # of the worth of a photo in which the part is judged to be hidden
_BEST = 10  # photos whose mean score is a node's measure
_TINY = 1e-9
_BLOCK = 512  # photos of which cosines with all others are held at a time


class Known(NamedTuple):
    """What is known of one part in N photos.

    ``features (N, D)`` unit vectors, the nearer the more photos are alike; ``confidence (N,)`` of
    the answers, or None before the first click; ``answered (N,)`` whether a person said something,
    skipped photos included; ``clear (N,)`` of `clearness`; ``visible (N,)`` whether the part is
    judged to be seen, or None before the first click.
    """

    features: F4
    confidence: F4 | None
    answered: NDArray[np.bool_]
    clear: F8
    visible: NDArray[np.bool_] | None = None


Strategy = Callable[[Known], F8]
"""Returns (N,) what an answer in each photo is worth; those that are answered are passed over."""


def photo_features(seen: Sight) -> F4:
    """Return (N, C) unit vectors of what photos show: mean responses, less those of all photos.

    Of both views, so that a photo and its mirror image are the same; without maps, of the nodes'
    scores.
    """
    if seen.maps is None:
        own: NDArray[np.floating] = seen.score.mean(axis=1)
    else:
        own = np.stack([cells.mean(axis=0) for cells in cells_of(seen.maps)])
    return unit_vectors((own - own.mean(axis=0)).astype(np.float32))


def clearness(seen: Sight) -> F8:
    """Return (N,) how clearly the graph sees each photo, 0 to 1, before anything is clicked.

    The mean of three ranks: how strongly nodes score for their own measure, how near to their
    usual places they are, and how sure the photo's view is.
    """
    rows = np.arange(len(seen))
    score, yx = seen.score[rows, seen.facing], seen.yx[rows, seen.facing]
    best = np.sort(score, axis=0)[-_BEST:].mean(axis=0)
    strength = np.minimum(np.divide(score, best, out=np.zeros_like(score), where=best > 0), 1)
    off = np.linalg.norm(yx - np.median(yx, axis=0), axis=-1)
    strayed = (strength * off).sum(axis=1) / np.maximum(strength.sum(axis=1), _TINY)
    sure = np.abs(seen.odds - seen.odds[:, :1]).max(axis=1)
    ranks = [rankdata(values) for values in (strength.mean(axis=1), -strayed, sure)]
    return np.asarray(np.mean(ranks, axis=0) / len(seen), dtype=np.float64)


def clearest(known: Known) -> F8:
    """Value the photo that is seen most clearly: before anything is known."""
    return known.clear


def least_sure(known: Known) -> F8:
    """Value the photo whose answer is least sure."""
    return _doubt(known)


def behind_the_answered(known: Known) -> F8:
    """Value a photo by how far it falls short of the answered ones, with all that are like it.

    As the papers do: an answer lifts what is like it to where the answered photos are.
    """
    if known.confidence is None or not known.answered.any():
        return clearest(known)
    sure = known.confidence.astype(np.float64)
    lift = np.clip(sure[known.answered].mean() - sure, 0, None)
    return np.asarray(lift * _likeness_to(known, np.ones(len(sure))))


def unlike_the_answered(known: Known) -> F8:
    """Value the photo that is least like any that was answered: poses that were not seen yet."""
    if not known.answered.any():
        return clearest(known)
    nearest = (known.features @ known.features[known.answered].T).max(axis=1)
    return np.asarray(1.0 - nearest, dtype=np.float64)


def doubtful_new_poses(known: Known) -> F8:
    """Value doubt, where the photo is unlike the answered ones and likely to show the part."""
    return np.asarray(_doubt(known) * unlike_the_answered(known) * _shown(known))


def _shown(known: Known) -> F8:
    """Return (N,) how probable it is that a click comes of it: a rough guess."""
    if known.visible is None:
        return np.ones(len(known.features))
    return np.where(known.visible, 1.0, _HIDDEN)


STRATEGIES: Mapping[str, Strategy] = MappingProxyType(
    {
        "least sure": least_sure,
        "behind the answered": behind_the_answered,
        "unlike the answered": unlike_the_answered,
        "doubtful new poses": doubtful_new_poses,
    }
)
"""What `explgraph.evaluation.asking.study_asking` compares."""


def next_photos(
    known: Known,
    n: int,
    strategy: Strategy | None = None,
    among: NDArray[np.bool_] | None = None,
) -> tuple[F8, list[int]]:
    """Return (N,) what answers are worth, and the rows of at most ``n`` photos, best first.

    Parameters
    ----------
    strategy
        None: `clearest` before the first click, `doubtful_new_poses` after it.
    among
        (N,) photos that may be asked about; None: all without an answer.
    """
    if strategy is None:
        strategy = clearest if known.confidence is None else doubtful_new_poses
    value = strategy(known)
    open_ = ~known.answered if among is None else among & ~known.answered
    left = np.where(open_, value, -np.inf)
    rows: list[int] = []
    for _ in range(min(n, int(open_.sum()))):
        best = int(left.argmax())
        rows.append(best)
        # Another one that is like it would be asked in vain; what is left may be negative.
        nearness = np.clip(known.features @ known.features[best], 0, 1) ** _ALIKE
        left = left - nearness * np.abs(value[best])
        left[best] = -np.inf
    return value, rows


def _doubt(known: Known) -> F8:
    if known.confidence is None:
        return np.ones(len(known.features))
    return np.asarray(1.0 - known.confidence.astype(np.float64))


def _likeness_to(known: Known, weight: F8) -> F8:
    """Return (N,) how much each photo is like those without an answer, by their weight."""
    open_ = np.where(known.answered, 0.0, weight).astype(np.float32)
    result = np.zeros(len(open_))
    for first in range(0, len(open_), _BLOCK):
        rows = slice(first, first + _BLOCK)
        cosine = np.clip(known.features[rows] @ known.features.T, 0, None)
        result[rows] = cosine**_ALIKE @ open_
    return result / max(1, len(open_))
