"""Looks and scenes: bilinear values by hand, cosines by loops, grids by np.interp."""

import numpy as np
import pytest

from aog.looks import (
    WINDOW,
    alikeness,
    cosines,
    from_grid,
    look_at,
    on_grid,
    over_window,
    scene_of,
)
from explgraph.base.layer import LayerSpec
from tests.support.planted_parts import cosine

LAYER = LayerSpec("top", 2, (4, 5), (10.0, 20.0), (5.0, 10.0), (30, 30))
"""Cell (i, j) looks at pixel (5 + 10 i, 10 + 20 j)."""


def unit(vector):
    return np.asarray(vector) / np.linalg.norm(vector)


@pytest.fixture
def maps(rng):
    """(3, 2, 4, 5, 2) of which one cell is exactly the mean."""
    result = rng.uniform(0, 2, (3, 2, *LAYER.grid, LAYER.channels)).astype(np.float16)
    result[0, 0, 2, 2] = MEAN
    return result


MEAN = np.array([0.5, 0.25], dtype=np.float32)


def around(cells, y, x, height, width):
    """The nine cells around one; beyond the rim the nearest."""
    return [
        cells[min(max(y + dy, 0), height - 1), min(max(x + dx, 0), width - 1)]
        for dy in (-1, 0, 1)
        for dx in (-1, 0, 1)
    ]


# -- looks -----------------------------------------------------------------------------------------


def test_window__row_by_row():
    assert WINDOW[0] == (-1, -1)
    assert WINDOW[1] == (-1, 0)
    assert WINDOW[4] == (0, 0)
    assert WINDOW[8] == (1, 1)


def test_look_at__a_cells_centre_is_the_cells_around(maps):
    view = maps[1, 0]
    found = look_at(view, MEAN, LAYER, np.array([15.0, 50.0]))  # cell (1, 2)
    expected = [unit(c.astype(float) - MEAN) for c in around(view, 1, 2, 4, 5)]
    np.testing.assert_allclose(found, expected, atol=1e-6)
    assert found.dtype == np.float32


def test_look_at__between_cells_it_is_interpolated_by_hand():
    """At (7.5, 15): a quarter of the way down from cell 0, a quarter of the way right."""
    view = np.zeros((4, 5, 2), dtype=np.float16)
    view[0, 0], view[0, 1], view[1, 0], view[1, 1] = (4, 0), (8, 0), (0, 4), (0, 0)
    found = look_at(view, np.zeros(2, np.float32), LAYER, np.array([7.5, 15.0]))
    # .75 * .75 * 4 + .75 * .25 * 8 = 3.75 and .25 * .75 * 4 = .75
    np.testing.assert_allclose(found[4], unit([3.75, 0.75]), rtol=1e-6)
    # One cell to the right: (.75 * 8 * .75, 0), both of whose values lie in the first channel.
    np.testing.assert_allclose(found[5], [1, 0], atol=1e-6)
    # One row down: cell (1, 0) alone counts, .75 * .75 * 4 in the second channel.
    np.testing.assert_allclose(found[7], [0, 1], atol=1e-6)
    # Two rows and columns on there is nothing: zero stays zero.
    np.testing.assert_array_equal(
        look_at(view, np.zeros(2, np.float32), LAYER, np.array([35, 90])), 0
    )


def test_look_at__interpolates_before_it_scales():
    """Long and short vectors: the mean of unit vectors would be another one."""
    view = np.zeros((4, 5, 2), dtype=np.float16)
    view[1, 1], view[1, 2] = (10, 0), (0, 1)
    found = look_at(view, np.zeros(2, np.float32), LAYER, np.array([15.0, 40.0]))
    np.testing.assert_allclose(found[4], unit([10, 1]), rtol=1e-6)


def test_look_at__beyond_the_rim_the_nearest_cell_counts(maps):
    view = maps[2, 1]
    inside = look_at(view, MEAN, LAYER, np.array([35.0, 90.0]))
    np.testing.assert_allclose(look_at(view, MEAN, LAYER, np.array([39.9, 99.0]))[8], inside[8])
    expected = [unit(c.astype(float) - MEAN) for c in around(view, 3, 4, 4, 5)]
    np.testing.assert_allclose(inside, expected, atol=1e-6)


# -- likeness --------------------------------------------------------------------------------------


def likeness(maps, mean, look, layer):
    return over_window(cosines(maps, mean, look.reshape(-1, len(mean))), layer)


def test_likeness__equals_the_loops(maps, rng):
    look = rng.normal(0, 1, (3, 9, 2))
    look = (look / np.linalg.norm(look, axis=2, keepdims=True)).astype(np.float32)
    found = likeness(maps, MEAN, look, LAYER)
    assert found.shape == (3, 2, 3, 4, 5)
    cells = maps.astype(float) - MEAN
    for n, v, t, y, x in np.ndindex(*found.shape):
        nine = around(cells[n, v], y, x, 4, 5)
        expected = np.mean([cosine(own, want) for own, want in zip(nine, look[t], strict=True)])
        assert found[n, v, t, y, x] == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize("cell", [(1, 2), (0, 0), (3, 4), (2, 0)])
def test_likeness__of_the_clicked_cell_is_one(maps, cell):
    place = np.array([5.0, 10.0]) + np.array(cell) * [10, 20]
    look = look_at(maps[1, 1], MEAN, LAYER, place)
    found = likeness(maps, MEAN, look[None], LAYER)
    assert found[1, 1, 0][cell] == pytest.approx(1, abs=1e-5)
    assert found.max() <= 1 + 1e-5
    assert np.count_nonzero(found > 1 - 1e-4) == 1


# -- scenes ----------------------------------------------------------------------------------------


def test_scene__is_the_whole_view_scaled_and_not_centred(maps):
    found = scene_of(maps[2, 0])
    assert found.dtype == np.float16
    flat = [float(maps[2, 0, y, x, c]) for y in range(4) for x in range(5) for c in range(2)]
    np.testing.assert_allclose(found, unit(flat), atol=2e-4)
    np.testing.assert_array_equal(scene_of(np.zeros((2, 2, 3))), np.zeros(12))


def test_alikeness__equals_the_loops(maps):
    scenes = np.stack([scene_of(maps[0, 1]), scene_of(maps[2, 0]), np.zeros(40, np.float16)])
    found = alikeness(maps, scenes)
    assert found.shape == (3, 2, 3)
    for n, v in np.ndindex(3, 2):
        expected = [cosine(maps[n, v].astype(float).ravel(), s.astype(float)) for s in scenes]
        np.testing.assert_allclose(found[n, v], expected, atol=2e-3)
    assert found[0, 1, 0] == pytest.approx(1, abs=1e-3)
    assert (found[..., 2] == 0).all()


# -- onto the grid ---------------------------------------------------------------------------------


def test_on_grid__equals_np_interp_along_each_axis(rng):
    values = rng.normal(0, 1, (2, 3, 4, 5)).astype(np.float32)
    found = on_grid(values, LAYER, (40, 100), 7)
    assert found.shape == (2, 3, 7, 7)
    rows, columns = 5 + 10 * np.arange(4), 10 + 20 * np.arange(5)
    y, x = (np.arange(7) + 0.5) / 7 * 40, (np.arange(7) + 0.5) / 7 * 100
    for n, v in np.ndindex(2, 3):
        wide = np.stack([np.interp(x, columns, row) for row in values[n, v]])
        expected = np.stack([np.interp(y, rows, wide[:, j]) for j in range(7)], axis=1)
        np.testing.assert_allclose(found[n, v], expected, atol=1e-5)


def test_on_grid__cells_that_do_not_reach_the_rim_keep_the_nearest_value():
    layer = LayerSpec("top", 1, (2, 1), (8.0, 8.0), (12.0, 16.0), (3, 3))
    values = np.array([[1.0], [3.0]], dtype=np.float32)
    found = on_grid(values, layer, (32, 32), 8)  # the grid's rows look at 2, 6, 10, 14, ...
    expected = [1, 1, 1, 1.5, 2.5, 3, 3, 3]
    np.testing.assert_allclose(found, np.tile(np.array(expected)[:, None], (1, 8)), rtol=1e-6)


def test_from_grid__is_the_transpose_of_on_grid(rng):
    """What a cell gives to the grid's cells it is given of them."""
    cells = rng.normal(0, 1, (2, 4, 5)).astype(np.float32)
    grid = rng.normal(0, 1, (2, 7, 7)).astype(np.float32)
    there = (on_grid(cells, LAYER, (40, 100), 7) * grid).sum()
    back = (cells * from_grid(grid, LAYER, (40, 100))).sum()
    assert back == pytest.approx(there, rel=1e-4)
    odds = np.full((1, 7, 7), 1 / 49, dtype=np.float32)
    assert from_grid(odds, LAYER, (40, 100)).sum() == pytest.approx(1, rel=1e-5)
