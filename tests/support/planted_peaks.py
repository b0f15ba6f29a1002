"""Peaks with a known graph behind them: limbs that move on their own, filters that see several.

Every photo has a displacement for each of a few limbs. A planted node belongs to one limb: in each
photo it lies at its mean, plus its limb's displacement, plus jitter. A filter has one node per limb
(so the filters of a layer mix the limbs, as real ones do), peaks that nothing explains, and photos
in which a node is missing.
"""

from dataclasses import dataclass

import numpy as np

from explgraph.base.layer import LayerSpec
from explgraph.peaks.structures import Peaks, PeakSet

SIDE = 128
N_PEAKS = 5


@dataclass(frozen=True)
class Planted:
    """What was planted, and the peaks that came of it.

    ``mu`` (L, C, limbs, 2) are the means, ``yx`` (L, C, limbs, N, 2) the places in the photos and
    ``seen`` (L, C, limbs, N) whether there was a peak.
    """

    peaks: PeakSet
    mu: np.ndarray
    yx: np.ndarray
    seen: np.ndarray

    @property
    def means(self):
        """(L, C, limbs, 2) means of the places that were seen."""
        seen = self.seen[..., None]
        return (self.yx * seen).sum(axis=3) / seen.sum(axis=3)


def planted_peaks(
    n_images=24, strides=(8, 16), channels=5, seed=0, limbs=2, move=9.0, jitter=1.0, missing=0.1
):
    """Plant a graph: ``strides`` gives the layers, lowest first. Mirrored peaks as well.

    The limbs' means lie far apart in every filter, so that a node can only be one of them.
    """
    rng = np.random.default_rng(seed)
    shape = (len(strides), channels, limbs)
    pose = rng.normal(0, 1, (limbs, n_images, 2)).clip(-1.8, 1.8)
    # All limbs move equally far.
    pose = (pose - pose.mean(axis=1, keepdims=True)) / pose.std(axis=(1, 2), keepdims=True) * move
    rows = rng.uniform(0.35, 0.65, shape) * SIDE
    # Limbs side by side from left to right, in a different order in every filter.
    order = rng.permuted(np.tile(np.arange(limbs), (*shape[:2], 1)), axis=-1)
    columns = (order + rng.uniform(0.3, 0.7, shape)) / limbs * 0.8 * SIDE + 0.1 * SIDE
    mu = np.stack([rows, columns], axis=-1)
    yx = mu[..., None, :] + pose + rng.normal(0, jitter, (*shape, n_images, 2))
    seen = rng.random((*shape, n_images)) >= missing
    layers = tuple(layer_spec(i, stride, channels) for i, stride in enumerate(strides))
    peaks = tuple(_with_noise(rng, layer, yx[i], seen[i]) for i, layer in enumerate(layers))
    return Planted(peak_set(peaks), mu, yx, seen)


def layer_spec(index, stride, channels, side=SIDE):
    return LayerSpec(
        name=f"layer{index}",
        channels=channels,
        grid=(side // stride, side // stride),
        stride=(stride, stride),
        offset=(stride / 2, stride / 2),
        field=(3 * stride, 3 * stride),
    )


def _with_noise(rng, layer, yx, seen):
    """Peaks (N, C, K) of planted places (C, limbs, N, 2), and weak ones anywhere."""
    channels, limbs, n = seen.shape
    weight = np.where(seen, rng.uniform(1, 2, seen.shape), 0).transpose(2, 0, 1)
    noise = rng.uniform(0.05, 0.2, (n, channels, N_PEAKS - limbs))
    anywhere = rng.uniform(0, SIDE, (*noise.shape, 2))
    weight = np.concatenate([weight, noise], axis=2)
    places = np.concatenate([yx.transpose(2, 0, 1, 3), anywhere], axis=2)
    order = np.argsort(-weight, axis=2)
    weight = np.take_along_axis(weight, order, axis=2)
    places = np.take_along_axis(places, order[..., None], axis=2)
    return Peaks(layer, np.where(weight[..., None] > 0, places, 0), weight)


def peak_set(peaks, *, mirror=True, side=SIDE, header=None):
    """Put layers of peaks into a set; the mirrored photos' peaks are exact mirror images."""
    n, channels = len(peaks[0]), [p.layer.channels for p in peaks]
    return PeakSet(
        images=tuple(f"{i:03d}.png" for i in range(n)),
        frames=np.tile([[0, 1 / side], [0, 1 / side]], (n, 1, 1)),
        input_size=(side, side),
        peaks=peaks,
        mirrored=tuple(mirror_image(p, side) for p in peaks) if mirror else None,
        channel_mean=tuple(np.zeros(c) for c in channels),
        channel_scale=tuple(np.ones(c) for c in channels),
        header={"model": "planted", "weight_hash": "0" * 64, "skipped": []} | (header or {}),
    )


def mirror_image(peaks, side=SIDE):
    """The peaks of the mirrored photos, in their own pixels."""
    yx = peaks.yx.copy()
    yx[..., 1] = np.where(peaks.weight > 0, side - yx[..., 1], 0)
    return Peaks(peaks.layer, yx, peaks.weight)


def chosen(condition, first, second):
    """Peaks of the first where a photo fulfils the condition (N,), else of the second."""
    rows = condition[:, None, None]
    yx = np.where(rows[..., None], first.yx, second.yx)
    return Peaks(first.layer, yx, np.where(rows, first.weight, second.weight))


def random_peaks(rng, n_images=4, channels=3, n_peaks=4, stride=16, side=SIDE, empty=0.2):
    """Peaks at random, some filters of some photos with fewer or none."""
    shape = (n_images, channels, n_peaks)
    weight = -np.sort(-rng.gamma(1.5, 1.0, shape), axis=2)
    count = rng.integers(0, n_peaks + 1, shape[:2])
    count[rng.random(shape[:2]) < empty] = 0
    weight[np.arange(n_peaks) >= count[..., None]] = 0
    yx = np.where(weight[..., None] > 0, rng.uniform(0, side, (*shape, 2)), 0)
    return Peaks(layer_spec(0, stride, channels, side), yx, weight)
