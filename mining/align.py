"""Mirror alignment: which photos to mirror so that all face the same way (model step 3)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from explgraph.base.arrays import F4, F8, I1, I8, evenly
from explgraph.base.errors import check_shape, require
from explgraph.base.threads import one_blas_thread, rows_times
from explgraph.peaks.structures import Peaks, PeakSet, PeakSource, group_firsts

MOST_PHOTOS = 1000
"""Photos that are compared with each other; the others are compared with what these agree on."""

FACING_LAYERS = 2
"""How many of the topmost layers tell which way a photo faces."""

GRID = 2, 4
"""Rows and columns of places in the photo at which they are asked."""

_RIDGE = 2.0  # lambda
_POWER_STEPS = 200
_SWEEPS = 100


class Facing(NamedTuple):
    """Which way N photos face.

    Attributes
    ----------
    votes
        (N,) g_i: what the other photos say of each, above 0 if it is to be taken as given, below 0
        if mirrored; about 1 where they are sure, 0 of a photo that says nothing.
    weight
        (D,) with which the moments of any photo say the same of it: see `facing_votes`.
    """

    votes: F4
    weight: F4

    @property
    def signs(self) -> I1:
        """(N,) +1 as given, -1 to be mirrored: the votes' signs, +1 where they are 0."""
        return np.where(self.votes < 0, -1, 1).astype(np.int8)


Each = Callable[[PeakSource, Callable[[PeakSet, int], Any]], Sequence[Any]]
"""Calls a task with each group of photos and the index of its first, and gives the results."""


def _each(peaks: PeakSource, task: Callable[[PeakSet, int], Any]) -> list[Any]:
    firsts = group_firsts(peaks)
    return [task(peaks.group(number), first) for number, first in enumerate(firsts)]


def facing(peaks: PeakSource, each: Each = _each) -> Facing:
    """Choose an orientation for every photo: all face the same way, and that way is left.

    `agreed_facing` makes the photos agree and leaves open which way they face. Here the upper half
    of the top layer's response decides: it lies left of the middle, in the mean over the photos.
    For animals this is where heads are. What counts is what the photos show, not their order, so
    that graphs of different photos of one category face alike, and a filter means the same in both.

    Parameters
    ----------
    peaks
        Of N photos. Of more than `MOST_PHOTOS`, as many are compared, at even distances; the others
        are asked what the regression on these says.
    each
        Goes through the groups of photos; what it calls can be pickled.

    Returns
    -------
    Votes 0 and signs +1 without mirrored peaks.
    """
    n = len(peaks)
    if peaks.n_views == 1 or n == 0:
        return Facing(np.zeros(n, dtype=np.float32), np.zeros(0, dtype=np.float32))
    sample = evenly(n, MOST_PHOTOS)
    compared = each(peaks, Comparing(sample))
    moments, turn = (np.concatenate(parts) for parts in zip(*compared, strict=True))
    agreed = agreed_facing(moments)
    if np.sum(agreed.signs * turn) > 0:  # they face right
        agreed = Facing(-agreed.votes, -agreed.weight)
    if len(sample) == n:
        return agreed
    votes = np.concatenate(each(peaks, Asking(agreed.weight)))
    votes[sample] = agreed.votes
    return Facing(votes, agreed.weight)


def agreed_facing(moments: F4) -> Facing:
    """Choose orientations that make photos agree, by how much each is like the others.

    K = M M' tells of two photos whether they face alike. The start are the signs z of its leading
    eigenvector, swept by z <- sign(K z), one photo at a time, until nothing changes. Then each
    photo is turned the way that a ridge regression on all others says, until all agree:

        P = (K + lambda t I)^-1,   g_i = z_i - (P z)_i / P_ii = - sum_j!=i P_ij z_j / P_ii

    with t the mean of K's diagonal: no photo confirms itself. As P is symmetric, to turn one photo
    after the other lowers sum_i!=j P_ij z_i z_j, and comes to an end.

    Parameters
    ----------
    moments
        (N, D) of N photos, as from `mirror_moments`.

    Returns
    -------
    -z is as good as z: the first photo of which something is known is taken as given.
    """
    check_shape("moments", moments, (None, None))
    n = len(moments)
    if not np.any(moments):
        return Facing(*(np.zeros(size, dtype=np.float32) for size in moments.shape))
    with one_blas_thread():
        rows = moments.astype(np.float64)
        gram = rows @ rows.T
        penalised = gram + _RIDGE * np.trace(gram) / n * np.eye(n)
        precision = np.linalg.inv(penalised)
        precision = (precision + precision.T) / 2
        signs = _swept(-precision, _swept(gram, np.where(_leading(gram) < 0, -1.0, 1.0)))
        say = precision @ signs
        votes, weight = signs - say / np.diag(precision), rows.T @ say
    known = rows.any(axis=1)
    votes[~known] = 0.0
    if votes[known][0] < 0:
        votes, weight = -votes, -weight
    return Facing(votes.astype(np.float32), weight.astype(np.float32))


def facing_votes(weight: F4, peaks: PeakSet) -> F4:
    """Return (N,) which way photos face, by what the photos of the mining agreed on.

    Above 0 as given, below 0 mirrored. A photo's vote does not depend on the others, to the last
    bit.

    Parameters
    ----------
    weight
        (D,) of `Facing`.
    peaks
        Of N photos, both ways, of the layers that the graph was mined from.

    Raises
    ------
    ExplGraphError
        If the weights are not of such layers.
    """
    moments = mirror_moments(peaks)
    require(
        moments.shape[1] == len(weight),
        f"the graph's `facing` has {len(weight)} numbers, but {moments.shape[1]} are known of its "
        "layers' peaks: mine the graph anew",
    )
    return rows_times(moments, weight[:, None])[:, 0]


def mirror_moments(peaks: PeakSet) -> F4:
    """Return (N, D) what changes sign when a photo is mirrored: where filters respond.

    Of each filter of the `FACING_LAYERS` topmost layers, r = (sum_k F_k^2)^1/2 is its response to
    the photo and x = sum_k F_k^2 x_k / sum_k F_k^2 where it lies, left or right of the middle.

    *On the object*: d = r x of the photo as given less that of the mirrored one, less what a shift
    of the whole object would make of it, which is the multiple of the sum of both r that is nearest
    to d. *In the photo*: its response by `GRID` places, sum_k F_k^2 t_b(y_k, x_k) / r with tents
    t_b between their middles, given less mirrored.

    The first does not mind where the object lies; the second knows more of what lies at the frame
    of objects that are cut out. All four, of each layer and kind, are scaled to one length.

    Parameters
    ----------
    peaks
        Of N photos, both ways.
    """
    assert peaks.mirrored is not None
    layers = zip(peaks.peaks[-FACING_LAYERS:], peaks.mirrored[-FACING_LAYERS:], strict=True)
    blocks = [block for pair in layers for block in _changes(*pair, peaks.input_size)]
    return np.concatenate(blocks, axis=1, dtype=np.float32)


def _changes(given: Peaks, other: Peaks, input_size: tuple[int, int]) -> tuple[F8, F8]:
    """Return what a layer's filters say on the object, (N, C), and in the photo, (N, C * B)."""
    first, second = (_moments(peaks, input_size) for peaks in (given, other))
    change, shift = first.moment - second.moment, first.response + second.response
    away = _over((change * shift).sum(axis=1), (shift**2).sum(axis=1))
    on_object = change - away[:, None] * shift
    # Of a photo to which one filter responds, nothing but rounding is left.
    on_object[_length(on_object) <= 1e-9 * _length(change)] = 0.0
    return _unit(on_object), _unit(first.place - second.place)


class _Moments(NamedTuple):
    """Of N photos and C filters: r and r x, (N, C), and the response by B places, (N, C * B)."""

    response: F8
    moment: F8
    place: F8


def _moments(peaks: Peaks, input_size: tuple[int, int]) -> _Moments:
    energy = peaks.weight.astype(np.float64) ** 2
    total = energy.sum(axis=2)
    response = np.sqrt(total)
    unit = peaks.yx / np.array(input_size)
    moment = _over((energy * (unit[..., 1] - 0.5)).sum(axis=2), response)
    rows, columns = (_tents(unit[..., axis], count) for axis, count in enumerate(GRID))
    inside = [
        np.einsum("nck,nck->nc", own, column)
        for own in (energy * row for row in rows)
        for column in columns
    ]
    place = [_over(sums, response) for sums in inside]
    size = total.shape[1] * len(place)
    return _Moments(response, moment, np.stack(place, axis=-1).reshape(len(total), size))


def _tents(unit: F8, count: int) -> list[F8]:
    """Return how near places (...) are to the middles of so many parts of an axis, 1 in all."""
    at = np.clip(unit * count - 0.5, 0, count - 1)
    return [np.clip(1 - np.abs(at - part), 0, None) for part in range(count)]


def _over(a: F8, b: F8) -> F8:
    return np.asarray(np.divide(a, b, out=np.zeros_like(a), where=b > 0))


def _unit(rows: F8) -> F8:
    length = _length(rows)[:, None]
    return np.divide(rows, length, out=np.zeros_like(rows), where=length > 0)


def _length(rows: F8) -> F8:
    return np.asarray(np.sqrt((rows**2).sum(axis=1)))


@dataclass(frozen=True, slots=True)
class Comparing:
    """Takes the moments of some ``photos``, by rising index, that lie in a group."""

    photos: I8

    def __call__(self, group: PeakSet, first: int) -> tuple[F4, F8]:
        """Return theirs, and how much further right they lean than their mirror images."""
        photos = self.photos
        own = group.take(photos[(photos >= first) & (photos < first + len(group))] - first)
        assert own.mirrored is not None
        given, other = (_upper_lean(p[-1], own.input_size) for p in (own.peaks, own.mirrored))
        return mirror_moments(own), given - other


@dataclass(frozen=True, slots=True)
class Asking:
    """Asks every photo of a group what a regression, of ``weight (D,)``, says."""

    weight: F4

    def __call__(self, group: PeakSet, _first: int) -> F4:
        """Return (n,) votes."""
        return facing_votes(self.weight, group)


def _upper_lean(peaks: Peaks, input_size: tuple[int, int]) -> F8:
    """Return (N,) how far right of the middle the response in each photo's upper half lies.

    Responses are squared, for the strong ones are reliable, and each photo's add up to 1, so that
    none speaks for all. Measured on birds, cats and zebras, two halves of the photos always agree
    by it.
    """
    height, width = input_size
    energy = peaks.weight.astype(np.float64) ** 2
    is_upper = peaks.yx[..., 0] < height / 2
    moment = (energy * is_upper * (peaks.yx[..., 1] - width / 2)).sum(axis=(1, 2))
    return _over(moment, energy.sum(axis=(1, 2)))


def _leading(gram: F8) -> F8:
    """Return the leading eigenvector, scaled to largest entry 1 (K has no negative eigenvalue)."""
    # An even start could be orthogonal to the answer; a fixed uneven one is not, in practice.
    vector = 1.0 + np.sin(12.9898 * np.arange(1, len(gram) + 1, dtype=np.float64))
    for _ in range(_POWER_STEPS):
        image = gram @ vector
        image /= np.max(np.abs(image))
        if np.max(np.abs(image - vector)) < 1e-12:
            return image
        vector = image
    return vector


def _swept(likeness: F8, signs: F8) -> F8:
    """Return signs (N,), turned one after the other until all agree with the rest.

    What the others say of each photo is kept up to date: few are turned.
    """
    others = likeness.copy()
    np.fill_diagonal(others, 0.0)
    current = signs.copy()
    for _ in range(_SWEEPS):
        others_say, is_settled = others @ current, True
        for i in range(len(current)):
            if others_say[i] * current[i] < 0:
                current[i] = -current[i]
                others_say += 2 * current[i] * others[i]
                is_settled = False
        if is_settled:
            break
    return current
