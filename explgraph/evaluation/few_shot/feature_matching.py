"""Baselines without a graph: how much a photo looks like clicked ones, in places and as a whole.

Every photo is looked at in two views, as given and mirrored, on the grid of `aog.answers`: all rows
have the same two rules for an answer, the peak and the posterior median.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import product

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as nnf

from aog.answers import GRID, cell_centres, nearest_point, posterior, strongest_point
from explgraph.base.arrays import F4, F8
from explgraph.base.errors import unknown_name

from .maps import VIEWS, DenseLayer, DenseMaps, sample
from .tasks import Task

MATCHING = 25.0
"""Log odds for one unit of mean cosine between the surroundings of two points."""
SIMILARITY = 40.0
"""Log odds for one unit of cosine between two whole photos."""
PRIOR = 1.5
"""Log odds for one unit of the logarithm of the position prior."""
REACH = 0.18
"""Standard deviation of the position prior, sides of the unit square."""
ANYWHERE = 0.05
"""Added to the position prior, whose maximum is 1: the part may be anywhere."""
TOP_SHARE = 0.7
"""Weight of the top layer's cosines; the lower layers share the rest."""

PLAIN = "nearest neighbour"
WITH_PRIOR = f"{PLAIN} + prior"
WITH_SIMILARITY = f"{PLAIN} + prior + similarity"
AVERAGED = "averaged matching + prior + similarity"
TRANSFER = "whole-photo transfer"
MEDIAN = ", posterior median"
"""Ends the name of a row whose answer is not the peak but the nearest point to all that may be."""

_WINDOW = np.array(list(product((-1, 0, 1), repeat=2)))  # (9, 2) cells around a point
_CHUNK = 16  # photos compared at once

Click = tuple[int, float, float]
"""A photo's index, and the clicked point (y, x) in it, unit square."""


class FeatureMatching:
    """Finds parts where the network's features are most like those at the clicks.

    Rows, each with the peak and with the posterior median as its answer (there, ``L`` is
    `local_similarity`, ``S`` is `whole_similarity`, ``P`` the prior ``(exp(-d^2 / 2 r^2) +
    .05)^1.5`` at the distance d from a click, and t counts the clicks):

    - nearest neighbour: ``25 mean_t L_t``;
    - with prior: ``25 mean_t L_t + log mean_t P_t``;
    - with prior and similarity: ``log mean_t P_t exp(25 L_t + 40 S_t)``;
    - averaged matching with prior and similarity: ``25 mean_t L_t + log mean_t P_t exp(40 S_t)``.

    Whole-photo transfer looks at no place at all: its answer is the mean of the clicked points and
    of their mirror images, each weighted by ``exp(40 S_t)`` of its view.

    Parameters
    ----------
    maps
        The category's photos.
    tasks
        What will be asked: all their clicks are compared with all photos at once.
    """

    name = "feature matching"

    def __init__(self, maps: DenseMaps, tasks: Iterable[Task]) -> None:
        clicks = list(dict.fromkeys(click for task in tasks for click in clicks_of(task)))
        photos = list(dict.fromkeys(photo for photo, _, _ in clicks))
        self._click = {click: i for i, click in enumerate(clicks)}
        self._photo = {photo: i for i, photo in enumerate(photos)}
        self._local = local_similarity(maps, clicks)
        self._whole = whole_similarity(maps.layers[-1], photos)

    def __call__(self, task: Task) -> dict[str, F8]:
        """Return the rows of the class docstring for one task.

        Raises
        ------
        ExplGraphError
            If a click was not among those of the tasks given at first.
        """
        local, whole = self._similarities(task)
        rows = {}
        for name, evidence in _evidence(local, whole, task.yx).items():
            rows[name] = strongest_point(evidence).yx
            rows[name + MEDIAN] = nearest_point(posterior(evidence)).yx
        rows[TRANSFER] = _transfer(whole, task.yx)
        return rows

    def _similarities(self, task: Task) -> tuple[F4, F4]:
        """Return (k, M, 2, G, G) local and (k, M, 2) whole similarity of the test photos."""
        clicks = clicks_of(task)
        for click in clicks:
            if click not in self._click:
                raise unknown_name("click", str(click), map(str, self._click))
        rows = [self._click[click] for click in clicks]
        photos = [self._photo[photo] for photo, _, _ in clicks]
        return self._local[rows][:, task.test], self._whole[photos][:, task.test]


def clicks_of(task: Task) -> list[Click]:
    """Return the clicks of a task, in order."""
    return [(int(i), float(y), float(x)) for i, (y, x) in zip(task.train, task.yx, strict=True)]


def _evidence(local: F4, whole: F4, yx: F8) -> dict[str, NDArray[np.floating]]:
    """Return the (M, 2, G, G) evidence of each row that has some."""
    square = np.sum((cell_centres() - yx[:, None]) ** 2, axis=-1).reshape(-1, 1, 1, GRID, GRID)
    prior = PRIOR * np.log(np.exp(-square / (2 * REACH**2)) + ANYWHERE)
    matching = MATCHING * local
    similar = SIMILARITY * whole[..., None, None]
    average = matching.mean(axis=0)
    return {
        PLAIN: average,
        WITH_PRIOR: average + _soft_maximum(prior),
        WITH_SIMILARITY: _soft_maximum(matching + prior + similar),
        AVERAGED: average + _soft_maximum(prior + similar),
    }


def _soft_maximum(values: NDArray[np.floating]) -> NDArray[np.floating]:
    """Return the logarithm of the mean of exp(values) along the first axis."""
    from scipy.special import logsumexp

    return np.asarray(logsumexp(values, axis=0, b=1 / len(values)))


def _transfer(whole: F4, yx: F8) -> F8:
    """Return (M, 2) the weighted mean of k clicks and of their mirror images."""
    odds = np.exp(SIMILARITY * (whole - whole.max(axis=(0, 2), keepdims=True)))
    weight = odds / odds.sum(axis=(0, 2), keepdims=True)
    views = np.stack([yx, yx * (1, -1) + (0, 1)], axis=1)
    return np.asarray(np.einsum("kmv,kvd->md", weight, views))


def local_similarity(maps: DenseMaps, clicks: Sequence[Click]) -> F4:
    """Compare the surroundings of every point of every photo with those of clicked points.

    The cosine between the features at a click and at a point, mean over the windows of 3 x 3 cells
    around both. Half of it is between the responses as they are, half between their deviations from
    the background's mean, in units of its standard deviation. Of several layers, the top one counts
    for `TOP_SHARE`. Cells outside of the photo are left out.

    Parameters
    ----------
    maps
        N photos.
    clicks
        T points in these photos as given.

    Returns
    -------
    (T, N, 2, G, G) on the grid of `aog.answers`, each view in its own coordinates.
    """
    total = np.zeros((len(clicks), len(maps), VIEWS, GRID, GRID), dtype=np.float32)
    top = len(maps.layers) - 1
    for i, layer in enumerate(maps.layers):
        share = 1.0 if top == 0 else TOP_SHARE if i == top else (1 - TOP_SHARE) / top
        for deviation in (False, True):
            windows = _windows(maps, layer, clicks, deviation)
            for view, start in product(range(VIEWS), range(0, len(maps), _CHUNK)):
                photos = range(start, min(start + _CHUNK, len(maps)))
                features = _features(
                    layer, layer.values[view, photos.start : photos.stop], deviation
                )
                cosine = _on_grid(maps, layer, view, photos, _window_cosine(features, windows))
                total[:, photos.start : photos.stop, view] += (share / 2) * cosine
    return total


def _features(layer: DenseLayer, values: Tensor, deviation: bool) -> Tensor:
    """Return (B, C, H, W) what cosines are taken of."""
    if deviation:
        return values.float() - layer.mean[:, None, None]
    return values.float() * layer.scale[:, None, None]


def _windows(
    maps: DenseMaps, layer: DenseLayer, clicks: Sequence[Click], deviation: bool
) -> Tensor:
    """Return (T, 9, C) unit features around the clicks, one cell from each other."""
    found = []
    for photo, y, x in clicks:
        cells = maps.to_cells(layer.layer, 0, photo, np.array([y, x])) + _WINDOW
        features = _features(layer, layer.values[0, photo : photo + 1], deviation)
        found.append(sample(features, torch.from_numpy(cells)[None])[0].T)
    return nnf.normalize(torch.stack(found), dim=2)


def _window_cosine(features: Tensor, windows: Tensor) -> Tensor:
    """Return (B, T, H, W) the mean cosine over the windows around each cell and each click."""
    b, c, h, w = features.shape
    t, places, _ = windows.shape
    unit = nnf.normalize(features, dim=1).reshape(b, c, h * w)
    cosine = (windows.reshape(t * places, c) @ unit).reshape(b, t, places, h, w)
    padded = nnf.pad(cosine, (1, 1, 1, 1))
    inside = nnf.pad(torch.ones(h, w), (1, 1, 1, 1))
    total, count = torch.zeros((b, t, h, w)), torch.zeros((h, w))
    for place, (dy, dx) in enumerate((_WINDOW + 1).tolist()):
        total += padded[:, :, place, dy : dy + h, dx : dx + w]
        count += inside[dy : dy + h, dx : dx + w]
    return total / count


def _on_grid(
    maps: DenseMaps, layer: DenseLayer, view: int, photos: range, values: Tensor
) -> NDArray[np.float32]:
    """Return (T, B, G, G) maps (B, T, H, W) of a layer, read at the cells of the answers' grid."""
    centres = cell_centres()
    cells = [maps.to_cells(layer.layer, view, photo, centres) for photo in photos]
    found = sample(values, torch.from_numpy(np.stack(cells)))
    return np.asarray(found.reshape(*found.shape[:2], GRID, GRID).transpose(0, 1).numpy())


def whole_similarity(layer: DenseLayer, photos: Sequence[int]) -> F4:
    """Compare whole photos: the cosine of a layer's deviations from the background, cell by cell.

    Parameters
    ----------
    layer
        N photos.
    photos
        P of them.

    Returns
    -------
    (P, N, 2) similarity of those photos as given with both views of every photo.
    """
    mean = layer.mean[:, None, None]
    chosen = nnf.normalize((layer.values[0, photos].float() - mean).flatten(1), dim=1)
    found = []
    for view in layer.values:
        parts = (nnf.normalize((p.float() - mean).flatten(1), dim=1) for p in view.split(_CHUNK))
        found.append(torch.cat([chosen @ part.T for part in parts], dim=1))
    return np.asarray(torch.stack(found, dim=2).numpy())
