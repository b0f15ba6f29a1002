"""The And-Or graph on raw units: each step by hand or by loops, then a planted part."""

import numpy as np
import pytest
import torch

from explgraph.base.layer import LayerSpec
from explgraph.evaluation.few_shot import raw_units
from explgraph.evaluation.few_shot.maps import DenseLayer, DenseMaps
from explgraph.evaluation.few_shot.raw_kernels import most_voted, place_units, strongest_near
from explgraph.evaluation.few_shot.raw_units import (
    K_TEMPLATES,
    ONE_TEMPLATE,
    RawLayer,
    RawUnitGraph,
    Units,
    learn_template,
    parse,
)
from tests.evaluation.few_shot.test_feature_matching import task_of


def spec_of(name, channels, cells):
    stride = 224 / cells
    return LayerSpec(
        name, channels, (cells, cells), (stride, stride), (stride / 2, stride / 2), (40, 40)
    )


def layer_of(given, name="layer", mean=0.0):
    both = torch.as_tensor(np.stack([given, given[..., ::-1]]), dtype=torch.float16)
    ones = torch.ones(given.shape[1])
    return DenseLayer(spec_of(name, given.shape[1], given.shape[-1]), both, mean * ones, ones)


def maps_of(*layers):
    frames = np.tile([[0.0, 1 / 224]] * 2, (layers[0].values.shape[1], 1, 1))
    return DenseMaps(layers, frames, (224, 224))


def test_strongest_near__is_the_best_of_the_window(rng):
    values = rng.normal(size=(3, 6, 7)).astype(np.float32)
    reach, bend = np.array([2, 1], dtype=np.int32), np.array([0.1, 0.3])
    best, cell = np.empty_like(values), np.empty((*values.shape, 2), dtype=np.int32)
    strongest_near(values, reach, bend, best, cell)
    for c, y, x in np.ndindex(values.shape):
        inside = [
            (values[c, v, u] - 0.1 * (v - y) ** 2 - 0.3 * (u - x) ** 2, v, u)
            for v in range(max(0, y - 2), min(6, y + 3))
            for u in range(max(0, x - 1), min(7, x + 2))
        ]
        assert best[c, y, x] == pytest.approx(max(inside)[0], abs=1e-6)
        assert tuple(cell[c, y, x]) == max(inside)[1:]


def test_place_units__weighs_response_way_and_parents():
    """Of three places: 10, 12 and 11, less .1 for each squared pixel, less 2 for each pixel from
    where the one parent that fires would have the unit, 3 pixels to the right of its place.
    """
    response = np.array([[[10.0, 12.0, 11.0]]], dtype=np.float32)
    at = np.array([[[50, 50], [50, 50], [50, 46], [50, 53]]], dtype=float)
    moved = np.array([[[0.0, 3.0], [np.nan, np.nan]]])
    best, value = np.empty((1, 1), dtype=np.int32), np.empty((1, 1))
    price = np.array([0.1, 2.0])
    place_units(response, at, price, moved, np.array([[0, 1, -1]]), best, value)
    # 10 - 0 - 6, 12 - 1.6 - 14, 11 - .9 - 0
    assert best[0, 0] == 2
    assert value[0, 0] == pytest.approx(10.1)
    place_units(response, at, price, moved, np.array([[-1, -1]]), best, value)
    assert best[0, 0] == 1
    assert value[0, 0] == pytest.approx(10.4)


def test_most_voted__is_where_those_that_fire_agree():
    points = np.array([[[50.5, 60.5], [52.5, 60.5], [51.5, 61.5], [150.5, 20.5]]] * 2)
    fires = np.array([[True, True, True, True], [False, False, False, True]])
    best = np.empty((3, 2))
    most_voted(
        np.concatenate([points, points[:1]]), np.concatenate([fires, np.zeros((1, 4), bool)]), best
    )
    assert np.linalg.norm(best[0] - (51.5, 60.5)) < 2
    np.testing.assert_allclose(best[1], [150.5, 20.5])
    assert np.isnan(best[2]).all()


def test_layer__response_is_a_deviation_where_a_cell_fires():
    given = np.zeros((1, 1, 28, 28))
    given[0, 0, 3, 4], given[0, 0, 3, 5] = 2.0, 0.25
    layer = RawLayer(layer_of(given, mean=0.5), (224, 224))
    assert layer.response[0, 0, 0, 3, 3:6].tolist() == [-3, 1.5, -0.25]
    assert layer.reach.tolist() == [4, 4]
    # 3 to the left and 2 up of the cell that fires: 24 and 16 pixels of a field of 40.
    assert layer.support[0, 1, 1] == pytest.approx(0.15 - (24**2 + 16**2) / (2 * 40**2))
    assert layer.support[0, 20, 20] == pytest.approx(-0.3)


def test_candidates__add_the_support_of_the_first_place():
    given = np.zeros((1, 1, 28, 28))
    given[0, 0, 3, 4] = 2.0
    layer = RawLayer(layer_of(given), (224, 224))
    score, cell = layer.candidates(0)
    assert cell[0, 1, 1].tolist() == [3, 4]
    expected = 1.5 * 2 - 0.35 * (16**2 + 24**2) / 19600 + 5 * layer.support[0, 1, 1]
    assert score[0, 1, 1] == pytest.approx(expected, abs=1e-5)


def units_of(values):
    n = len(values)
    none, pairs = np.zeros(n), np.zeros((n, 2))
    return Units(np.arange(n), pairs.astype(np.int32), pairs, none, none, np.array(values))


@pytest.mark.parametrize(("fall", "kept"), [(1.0, 1), (0.5, 2), (0.21, 10)])
def test_best_units__are_as_many_as_the_ranking_is_sharp(fall, kept):
    """Of 2,000 the best 200, of which the worst is the floor, 7: .4 / fall^2, rounded up."""
    values = np.full(2000, 7.0)
    values[:199] += np.exp(-fall * np.sqrt(np.arange(199)))
    assert len(raw_units._best_units(units_of(values)).channel) == kept


def test_best_units__of_a_single_peak_is_one():
    assert len(raw_units._best_units(units_of([5.0, *[0.0] * 99])).channel) == 1


def test_best_at_each_cell__drops_worse_units_of_the_same_channel():
    value = np.array([1, 5, 3, 4, 2, 0], dtype=np.float32)  # channels of 3 units
    cell = np.array([[[0, 0], [0, 0], [1, 1]], [[0, 0], [1, 0], [1, 0]]], dtype=np.int32)
    assert raw_units._best_at_each_cell(value, cell, (2, 2)).tolist() == [1, 3, 2, 4]


def test_parents__are_the_nearest_above():
    found = raw_units._parents(np.array([[0.0, 0.0]]), np.array([[9.0, 0], [1, 1], [0, 5]]))
    assert found.tolist() == [[1, 2, 0, *[-1] * 12]]


def test_clipped_box__moves_its_middle():
    boxes = np.array([[10.0, 100.0], [220.0, 5.0]])
    found = raw_units._middle_of_clipped_box(boxes, np.array([40.0, 20.0]))
    np.testing.assert_allclose(found, [[15, 100], [212, 7.5]])
    same = raw_units._middle_of_clipped_box(boxes, np.full(2, np.nan))
    np.testing.assert_allclose(same, boxes)


@pytest.fixture
def planted(rng):
    """Two layers of maps in which a constellation sits at (11, 8); in the others it is moved by
    (2, 3) cells of the lower layer, and mirrored.
    """
    low, high = np.zeros((3, 10, 28, 28)), np.zeros((3, 6, 14, 14))
    for channel in range(10):
        dy, dx = rng.integers(-4, 5, 2)
        for photo, (y, x) in enumerate([(11, 8), (13, 11)]):
            low[photo, channel, y + dy, x + dx] = 6
        low[2, channel, 11 + dy, 27 - (8 + dx)] = 6
    for channel in range(6):
        dy, dx = rng.integers(-2, 3, 2)
        for photo, (y, x) in enumerate([(5, 4), (6, 5)]):
            high[photo, channel, y + dy, x + dx] = 6
        high[2, channel, 5 + dy, 13 - (4 + dx)] = 6
    return maps_of(layer_of(low, "low"), layer_of(high, "high"))


def test_parse__follows_the_constellation(planted):
    layers = [RawLayer(layer, (224, 224)) for layer in planted.layers]
    click = np.array([92.0, 68.0])  # the middle of cell (11, 8) of the lower layer
    template = learn_template(layers, [(0, click)], np.full(2, np.nan))
    assert {int(c) for c in template.layers[0].channel} <= set(range(10))
    here = parse(layers, template, 0, np.array([0, 1]))
    np.testing.assert_allclose(here.yx[0], click, atol=4)
    np.testing.assert_allclose(here.yx[1], [108, 92], atol=10)
    mirrored = parse(layers, template, 1, np.array([2]))
    np.testing.assert_allclose(mirrored.yx[0], click, atol=4)
    assert mirrored.score[0] > parse(layers, template, 0, np.array([2])).score[0]


def test_graph__answers_in_the_photo_as_given(planted):
    task = task_of([0], [(92 / 224, 68 / 224)], [1, 2])
    rows = RawUnitGraph(planted)(task)
    assert set(rows) == {ONE_TEMPLATE, K_TEMPLATES}
    for yx in rows.values():
        np.testing.assert_allclose(yx[0], np.array([108, 92]) / 224, atol=0.05)
        np.testing.assert_allclose(yx[1], np.array([92, 156]) / 224, atol=0.02)


def test_graph__of_two_clicks_merges_or_chooses(planted):
    task = task_of([0, 1], [(92 / 224, 68 / 224), (108 / 224, 92 / 224)], [2])
    rows = RawUnitGraph(planted)(task)
    for yx in rows.values():
        np.testing.assert_allclose(yx[0], np.array([92, 156]) / 224, atol=0.1)
