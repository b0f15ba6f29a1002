"""Matching of features, on maps in which every place can be told from every other."""

import numpy as np
import pytest
import torch

from explgraph.base.errors import ExplGraphError
from explgraph.base.layer import LayerSpec
from explgraph.evaluation.few_shot.feature_matching import (
    ANYWHERE,
    AVERAGED,
    MEDIAN,
    PLAIN,
    PRIOR,
    REACH,
    SIMILARITY,
    TOP_SHARE,
    TRANSFER,
    WITH_PRIOR,
    WITH_SIMILARITY,
    FeatureMatching,
    local_similarity,
    whole_similarity,
)
from explgraph.evaluation.few_shot.maps import DenseLayer, DenseMaps
from explgraph.evaluation.few_shot.tasks import Task

GRID, FINE, CHANNELS = 7, 28, 12


def layer_of(given, mean=0.0, scale=1.0):
    spec = LayerSpec("top", given.shape[1], given.shape[2:], (8.0, 8.0), (4.0, 4.0), (16, 16))
    both = torch.as_tensor(np.stack([given, given[..., ::-1]]), dtype=torch.float16)
    ones = torch.ones(given.shape[1])
    return DenseLayer(spec, both, mean * ones, scale * ones)


def maps_of(given, **statistics):
    side = 8 * given.shape[-1]
    frames = np.tile([[0.0, 1 / side]] * 2, (len(given), 1, 1))
    return DenseMaps((layer_of(given, **statistics),), frames, (side, side))


def task_of(train, yx, test):
    k, m = len(train), len(test)
    return Task(
        "thing", "part", k, 0, np.array(train), np.array(yx, dtype=float), np.full((k, 2), np.nan),
        np.array(test), tuple(np.zeros((1, 2)) for _ in test), np.ones((m, 2)),
    )  # fmt: skip


@pytest.fixture
def scene(rng):
    """A pattern of 5 x 5 cells, its middle at cell (3, 2), (2, 4) and, mirrored, (3, 3)."""
    pattern = rng.random((CHANNELS, 5, 5)) ** 3
    photos = 0.01 * rng.random((3, CHANNELS, GRID, GRID))
    photos[0, :, 1:6, 0:5] = pattern
    photos[1, :, 0:5, 2:7] = pattern
    photos[2, :, 1:6, 1:6] = pattern[..., ::-1]
    return photos


def centre(y, x):
    return ((y + 0.5) / GRID, (x + 0.5) / GRID)


@pytest.mark.parametrize("row", [PLAIN, WITH_PRIOR, WITH_SIMILARITY, AVERAGED])
def test_rows__find_the_clicked_surroundings_also_mirrored(scene, row):
    task = task_of([0], [centre(3, 2)], [1, 2])
    rows = FeatureMatching(maps_of(scene), [task])(task)
    for name in (row, row + MEDIAN):
        np.testing.assert_allclose(rows[name], [centre(2, 4), centre(3, 3)], atol=0.08)


def by_hand(features, window, at):
    """Return the mean cosine of nine clicked vectors with those around a cell, inside the map."""
    cosines = []
    for (dy, dx), vector in window.items():
        y, x = at[0] + dy, at[1] + dx
        if 0 <= y < FINE and 0 <= x < FINE:
            other = features[:, y, x]
            cosines.append(vector @ other / np.linalg.norm(vector) / np.linalg.norm(other))
    return np.mean(cosines)


@pytest.mark.parametrize("at", [(9, 20), (0, 0), (13, 27)])
@pytest.mark.parametrize("view", [0, 1])
def test_local_similarity__is_half_raw_and_half_from_the_mean(rng, at, view):
    """The maps have the cells of the answers' grid, so that nothing lies between them."""
    fine = rng.random((2, 5, FINE, FINE)).astype(np.float16).astype(float)
    maps = maps_of(fine, mean=0.25, scale=2.0)
    found = local_similarity(maps, [(0, 6.5 / FINE, 3.5 / FINE)])
    expected = 0.0
    for features in (fine * 2.0, fine - 0.25):
        window = {
            (dy, dx): features[0][:, 6 + dy, 3 + dx] for dy in (-1, 0, 1) for dx in (-1, 0, 1)
        }
        seen = features[1][..., ::-1] if view else features[1]
        expected += by_hand(seen, window, at) / 2
    assert found[0, 1, view][at] == pytest.approx(expected, abs=1e-5)
    assert found[0, 0, 0, 6, 3] == pytest.approx(1, abs=1e-5)


def test_local_similarity__counts_the_top_layer_for_most(rng):
    fine = rng.random((2, 5, FINE, FINE))
    low, top = maps_of(fine), maps_of(fine[:, :, ::-1])
    both = DenseMaps((*low.layers, *top.layers), low.frames, low.input_size)
    click = [(0, 6.5 / FINE, 3.5 / FINE)]
    expected = 0.3 * local_similarity(low, click) + TOP_SHARE * local_similarity(top, click)
    np.testing.assert_allclose(local_similarity(both, click), expected, atol=1e-5)


def test_whole_similarity__is_the_cosine_of_deviations():
    photos = np.zeros((2, 2, GRID, GRID))
    photos[0, 0, 0, 0], photos[1, 0, 0, 6] = 3, 4
    photos[1, 1, 0, 6] = 3
    found = whole_similarity(layer_of(photos), [0])
    np.testing.assert_allclose(found, [[[1, 0], [0, 0.8]]], atol=1e-3)
    moved = whole_similarity(layer_of(photos + 1, mean=1.0), [0])
    np.testing.assert_allclose(moved, found, atol=1e-3)


def test_transfer__weighs_clicks_and_their_mirror_images():
    photos = np.zeros((3, 1, GRID, GRID))
    photos[0, 0, 0, 0] = photos[1, 0, 3, 3] = 1
    photos[2, 0, 0, 6] = 1  # the first photo, mirrored
    task = task_of([0, 1], [(0.2, 0.1), (0.9, 0.9)], [2])
    rows = FeatureMatching(maps_of(photos), [task])(task)
    odds = np.exp(SIMILARITY * np.array([1.0, 0, 0, 0]))
    points = np.array([(0.2, 0.9), (0.2, 0.1), (0.9, 0.9), (0.9, 0.1)])
    np.testing.assert_allclose(rows[TRANSFER], [odds @ points / odds.sum()], atol=1e-6)


def test_prior__decides_where_nothing_else_does():
    """All features are alike, so the posterior is the prior: its median is near the click."""
    photos = np.ones((2, 1, GRID, GRID))
    task = task_of([0], [(0.25, 0.5)], [1])
    rows = FeatureMatching(maps_of(photos), [task])(task)
    np.testing.assert_allclose(rows[WITH_PRIOR], [[0.25, 0.5]], atol=0.02)
    axis = (np.arange(28) + 0.5) / 28
    cells = np.stack(np.meshgrid(axis, axis, indexing="ij"), axis=-1).reshape(-1, 2)
    square = np.sum((cells - (0.25, 0.5)) ** 2, axis=1)
    weight = (np.exp(-square / (2 * REACH**2)) + ANYWHERE) ** PRIOR
    far = np.linalg.norm(cells[:, None] - cells, axis=-1) @ weight
    np.testing.assert_allclose(rows[WITH_PRIOR + MEDIAN][0], cells[far.argmin()], atol=0.02)


def test_locator__answers_only_for_clicks_it_was_told_of(scene):
    task = task_of([0], [centre(3, 2)], [1])
    other = task_of([1], [centre(3, 2)], [0])
    with pytest.raises(ExplGraphError, match="click"):
        FeatureMatching(maps_of(scene), [task])(other)
