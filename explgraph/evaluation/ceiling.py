"""A supervised reference: what ridge regression from the mined layers' peaks says about a part."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from explgraph.base.arrays import F8
from explgraph.base.errors import ExplGraphError, check_shape, require, unknown_name
from explgraph.base.frames import mirrored_yx
from explgraph.peaks.structures import Peaks, PeakSet
from mining.pooling import pool_peaks

from .tracking import SIDE_PX, distance_from_median
from .truth import PartTruth

_CHANNEL_BLOCK = 64
_OUTER_FOLDS = 10
_INNER_FOLDS = 5
_PENALTIES = np.logspace(-3, 2, 11)
_FEWEST_GROUPS = 4


@dataclass(frozen=True, eq=False, slots=True)
class RidgeFeatures:
    """Features of N photos as given and mirrored, rotated to as many dimensions as there are rows.

    Ridge regression depends on its features through their inner products alone, so the rotation
    changes no prediction.

    Attributes
    ----------
    images
        N names, in order.
    values
        (2, N, 2 N) of the photos as given, and of their mirror images.
    """

    images: tuple[str, ...]
    values: F8

    def __post_init__(self) -> None:
        check_shape("RidgeFeatures.values", self.values, (2, len(self.images), None))


def ridge_features(peaks: PeakSet) -> RidgeFeatures:
    """Pool peaks to features for `supervised_ceiling`.

    Each layer's features (`pool_peaks`) are scaled to length 1 per photo.

    Parameters
    ----------
    peaks
        N photos.

    Raises
    ------
    ExplGraphError
        If the peaks of the mirrored photos are missing.
    """
    if peaks.mirrored is None:
        raise ExplGraphError(
            "ridge_features needs the peaks of the mirrored photos too: extract with mirror=True"
        )
    n = len(peaks)
    products = np.zeros((2 * n, 2 * n))
    for as_given, mirrored in zip(peaks.peaks, peaks.mirrored, strict=True):
        layer = _products(as_given, mirrored, peaks.input_size)
        length = np.sqrt(np.diag(layer))
        length[length == 0] = 1
        products += layer / np.outer(length, length)
    values, vectors = np.linalg.eigh(products)
    rotated: F8 = vectors * np.sqrt(np.maximum(values, 0))
    return RidgeFeatures(peaks.images, rotated.reshape(2, n, 2 * n))


def _products(as_given: Peaks, mirrored: Peaks, input_size: tuple[int, int]) -> F8:
    """Return (2 N, 2 N) inner products of one layer's pooled peaks, given before mirrored."""
    n = len(as_given)
    total = np.zeros((2 * n, 2 * n))
    for start in range(0, as_given.layer.channels, _CHANNEL_BLOCK):
        block = slice(start, start + _CHANNEL_BLOCK)
        pooled = np.concatenate(
            [
                pool_peaks(p.yx[:, block], p.weight[:, block], input_size)
                for p in (as_given, mirrored)
            ]
        )
        total += pooled @ pooled.T
    return total


def supervised_ceiling(
    features: RidgeFeatures, truth: PartTruth, mirrored: NDArray[Any] | None = None
) -> float:
    """Compute the tracking ratio that a regression trained with labels reaches on half B.

    ``mean |c - prediction| / mean |l - C|`` over all photos of half B, with the denominator of
    `tracking_ratio` over the same photos. A regression has no score, so there is no better half of
    the photos to take; it is trained on positions, so no constant offset is taken off either.
    Every photo is predicted by a regression that saw no photo of its group: ten folds, with the
    penalty chosen by five folds within.

    Parameters
    ----------
    features
        From `ridge_features`; all photos of ``truth`` must be among them.
    truth
        The part.
    mirrored
        (n,) photos of ``truth`` to take mirrored: the orientation in which the regression works.
        Default: the label orientation, as if the side of the head were known, so that a constant
        has a ratio of about 1 and nothing is lost to wrong mirroring.

    Raises
    ------
    ExplGraphError
        If a photo has no features or there are fewer than four groups of photos.
    """
    flip = truth.faces_right if mirrored is None else np.asarray(mirrored).astype(bool)
    check_shape("mirrored", flip, (len(truth),))
    require(
        len(set(truth.group)) >= _FEWEST_GROUPS,
        f"a supervised ceiling needs photos of {truth.part!r} from at least {_FEWEST_GROUPS} "
        f"different groups, got {len(set(truth.group))}",
    )
    row = {name: i for i, name in enumerate(features.images)}
    for name in truth.images:
        if name not in row:
            raise unknown_name("photo", name, features.images, "it has no features")
    chosen = features.values[flip.astype(np.intp), [row[name] for name in truth.images]]
    target = SIDE_PX * mirrored_yx(truth.yx, flip)
    error = np.linalg.norm(target - _cross_predict(chosen, target, truth.group), axis=1)
    half_b = truth.half == 1
    label = SIDE_PX * mirrored_yx(truth.yx, truth.faces_right)[half_b]
    return float(error[half_b].mean() / distance_from_median(label[:, None])[0])


def _cross_predict(features: F8, target: F8, group: tuple[str, ...]) -> F8:
    """Return (n, 2) predictions for each photo by a ridge regression without its group."""
    _, number = np.unique(np.array(group, dtype=object), return_inverse=True)
    predicted = np.empty_like(target)
    for train, test in _folds(number, _OUTER_FOLDS):
        errors = np.zeros(len(_PENALTIES))
        for fit, check in _folds(number[train], _INNER_FOLDS):
            tried = _ridge(features[train[fit]], target[train[fit]], features[train[check]])
            errors += np.sum((tried - target[train[check]]) ** 2, axis=(1, 2))
        best = np.argmin(errors)
        predicted[test] = _ridge(features[train], target[train], features[test])[best]
    return predicted


def _ridge(features: F8, target: F8, new: F8) -> F8:
    """Return (penalties, m, 2) predictions of ridge regressions with an intercept, for m new rows.

    The penalties are in units of the features' total variance, whatever their scale. There are
    more features than photos, so the regression is solved in the space of the n photos.
    """
    centred = features - features.mean(axis=0)
    values, vectors = np.linalg.eigh(centred @ centred.T)
    values = np.maximum(values, 0)
    mean = target.mean(axis=0)
    rotated = vectors.T @ (target - mean)
    # Without any peak the variance is 0, and any penalty gives the mean.
    penalties = _PENALTIES * (values.mean() or 1.0)
    weights = rotated / (values + penalties[:, None])[..., None]
    predicted: F8 = (new - features.mean(axis=0)) @ centred.T @ vectors @ weights + mean
    return predicted


def _folds(
    number: NDArray[np.integer[Any]], count: int
) -> Iterator[tuple[NDArray[np.intp], NDArray[np.intp]]]:
    """Yield (training, test) indices; photos of one group stay together."""
    from sklearn.model_selection import GroupKFold

    n_groups = len(np.unique(number))
    yield from GroupKFold(min(count, n_groups)).split(number[:, None], groups=number)
