"""Mirror alignment: which photos to mirror so that all face the same way (model step 3)."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from explgraph.base.arrays import F4, F8, Array, Put, namespace_of, on_host
from explgraph.base.errors import check_shape
from explgraph.base.threads import one_blas_thread
from explgraph.peaks.structures import Peaks, PeakSource

MOST_PHOTOS = 1000
"""Photos that are compared with each other; the others are compared with what these agree on."""

_POWER_STEPS = 200
_SWEEPS = 100
_BLOCK = 256


def facing_signs(peaks: PeakSource, put: Put = on_host) -> NDArray[np.int8]:
    """Choose an orientation for every photo: all face the same way, and that way is left.

    `mirror_signs` makes the photos agree and leaves open which way they face. Here the upper half
    of the top layer's response decides: it lies left of the middle, in the mean over the photos.
    For animals this is where heads are. What counts is what the photos show, not their order, so
    that graphs of different photos of one category face alike, and a filter means the same in both.

    Parameters
    ----------
    peaks
        Of N photos.
    put
        Brings sketches and the top layer's peaks to the device that computes.

    Returns
    -------
    (N,) +1 as given, -1 to be mirrored. All +1 without mirrored peaks or a sketch.
    """
    if peaks.n_views == 1 or len(peaks) == 0:
        return np.ones(len(peaks), dtype=np.int8)
    sketches: list[F4] = []
    turns: list[F8] = []  # how much further right the upper half lies as given than mirrored
    for group in peaks.groups():
        if group.mirrored is None or group.sketch is None:
            return np.ones(len(peaks), dtype=np.int8)
        given, other = (
            _upper_lean(p[-1], peaks.input_size, put) for p in (group.peaks, group.mirrored)
        )
        turns.append(on_host(given - other))
        sketches.append(group.sketch)
    signs = mirror_signs(sketches, put)
    faces_right = np.sum(signs * np.concatenate(turns)) > 0
    return -signs if faces_right else signs


def _upper_lean(peaks: Peaks, input_size: tuple[int, int], put: Put) -> Array:
    """Return (N,) how far right of the middle the response in each photo's upper half lies.

    Responses are squared, for the strong ones are reliable, and each photo's add up to 1, so that
    none speaks for all. Measured on birds, cats and zebras, two halves of the photos always agree
    by it; by a fixed function of the sketch, such as its sum of cubes, they often do not.
    """
    height, width = input_size
    weight, yx = put(peaks.weight), put(peaks.yx)
    xp = namespace_of(weight)
    energy = xp.asarray(weight, dtype=xp.float64) ** 2
    is_upper = yx[..., 0] < height / 2
    moment = xp.sum(energy * is_upper * (yx[..., 1] - width / 2), axis=(1, 2))
    return moment / xp.clip(xp.sum(energy, axis=(1, 2)), xp.finfo(xp.float64).tiny, None)


def mirror_signs(sketches: Sequence[F4], put: Put = on_host) -> NDArray[np.int8]:
    """Choose orientations that make photos agree: z that maximises z' K z with K = sketch sketch'.

    The signs of the leading eigenvector of K, by power iteration, then sweeps z <- sign(K z), one
    photo at a time, until nothing changes. Of more than `MOST_PHOTOS`, as many are taken at even
    distances; the others then get the sign by which they agree with the sum of these.

    Parameters
    ----------
    sketches
        (n, D) of each group of photos, N in all: a random projection of what changes sign when a
        photo is mirrored.
    put
        As in `facing_signs`.

    Returns
    -------
    (N,) +1 or -1. -z is as good as z; the first photo that is not symmetric has +1.
    """
    for sketch in sketches:
        check_shape("sketch", sketch, (None, sketches[0].shape[-1]))
    n = sum(len(sketch) for sketch in sketches)
    if n == 0:
        return np.ones(0, dtype=np.int8)
    sample = np.unique(np.linspace(0, n - 1, min(n, MOST_PHOTOS)).astype(np.int64))
    with one_blas_thread():
        chosen = _rows(sketches, sample)
        gram = _gram(put(chosen))
        agreed = on_host(_sweep(gram, _leading(gram))).astype(np.int8)
        if len(sample) < n:
            common = agreed @ chosen
            facing = np.concatenate([sketch @ common for sketch in sketches])
            signs = np.where(facing < 0, -1, 1).astype(np.int8)
            signs[sample] = agreed
        else:
            signs = agreed
    moved = np.flatnonzero(np.concatenate([sketch.any(axis=1) for sketch in sketches]))
    return signs * signs[moved[0]] if len(moved) else signs


def _rows(sketches: Sequence[F4], photos: NDArray[np.int64]) -> F4:
    """Return the sketches of some photos, given by rising index."""
    first = np.cumsum([0, *(len(sketch) for sketch in sketches)])
    return np.concatenate(
        [
            sketch[photos[(photos >= first[g]) & (photos < first[g + 1])] - first[g]]
            for g, sketch in enumerate(sketches)
        ]
    )


def _gram(rows: Array) -> Array:
    """Return all inner products in float64, of some rows at a time: the others stay float32."""
    xp = namespace_of(rows)
    blocks = [slice(first, first + _BLOCK) for first in range(0, len(rows), _BLOCK)]
    gram = xp.empty((len(rows), len(rows)), dtype=xp.float64, device=rows.device)
    for a in blocks:
        own = xp.asarray(rows[a], dtype=xp.float64)
        for b in blocks:
            gram[a, b] = own @ xp.asarray(rows[b], dtype=xp.float64).T
    return gram


def _leading(gram: Array) -> Array:
    """Return the leading eigenvector, scaled to largest entry 1 (K has no negative eigenvalue)."""
    # An even start could be orthogonal to the answer; a fixed uneven one is not, in practice.
    xp = namespace_of(gram)
    numbers = xp.arange(1, len(gram) + 1, dtype=xp.float64, device=gram.device)
    vector = 1.0 + xp.sin(12.9898 * numbers)
    for _ in range(_POWER_STEPS):
        image = gram @ vector
        size = xp.max(xp.abs(image))
        if size == 0.0:
            break
        image /= size
        if xp.max(xp.abs(image - vector)) < 1e-12:
            return image
        vector = image
    return vector


def _sweep(gram: Array, leading: Array) -> Array:
    """Return the signs (N,) of a vector, turned one after the other until all agree with the rest.

    What the others say of each photo is kept up to date: few are turned.
    """
    xp = namespace_of(gram)
    others = xp.where(xp.eye(len(gram), dtype=xp.bool, device=gram.device), 0.0, gram)
    current = xp.where(leading < 0, -xp.ones_like(leading), 1.0)
    for _ in range(_SWEEPS):
        others_say, i, is_settled = others @ current, 0, True
        while len(wrong := xp.nonzero(others_say[i:] * current[i:] < 0)[0]):
            i += int(wrong[0])
            current[i] = -current[i]
            others_say += 2 * current[i] * others[i]
            i, is_settled = i + 1, False
        if is_settled:
            break
    return current
