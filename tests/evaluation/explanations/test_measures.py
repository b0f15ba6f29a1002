"""Insertion, deletion, pointing and energy: by hand on networks whose answer is a known sum."""

import dataclasses
import json
import math
from itertools import pairwise

import numpy as np
import pytest
import torch
from torch import nn

from explgraph.base.errors import ExplGraphError
from explgraph.base.layer import LayerSpec
from explgraph.evaluation.explanations.measures import (
    InsertionDeletion,
    box_mask,
    energy_in_box,
    grid_cells,
    insertion_deletion,
    on_grid,
    pointing_game,
    question_curves,
)
from explgraph.explanations.attribution import on_pixels
from explgraph.explanations.questions import ask
from explgraph.networks.backbone import Backbone
from explgraph.networks.preprocess import Preprocess
from explgraph.photos.boxes import Box

SIDE = 4
SAME = Preprocess((SIDE, SIDE), mean=(0, 0, 0), std=(1, 1, 1))
BLACK = torch.zeros(3, SIDE, SIDE)


class Sum(nn.Module):
    """Class 0 has the weighted sum of the red pixels for its logit, class 1 has nought."""

    def __init__(self, weights):
        super().__init__()
        self.weights = nn.Parameter(torch.tensor(weights, dtype=torch.float32))

    def forward(self, batch):
        total = (batch[:, 0] * self.weights).sum(dim=(1, 2))
        return torch.stack([total, torch.zeros_like(total)], dim=1)


def sum_net(weights, preprocess=SAME):
    return Backbone(Sum(weights), preprocess, name="sum", device="cpu")


def sigmoid(x):
    return 1 / (1 + math.exp(-x))


@pytest.fixture
def weights(rng):
    return rng.normal(0, 2, (SIDE, SIDE)).round(3)


@pytest.fixture
def photo(rng):
    return rng.integers(1, 256, (SIDE, SIDE, 3), dtype=np.uint8)


def by_hand(weights, photo, order):
    """The two curves, pixel by pixel, in a given order of pixels."""
    worth = (weights * photo[..., 0] / 255).ravel()
    shown = [sum(worth[i] for i in order[:k]) for k in range(len(order) + 1)]
    return [sigmoid(s) for s in shown], [sigmoid(shown[-1] - s) for s in shown]


def test_curves__of_a_sum_are_those_by_hand(weights, photo, rng):
    values = rng.permutation(SIDE * SIDE).reshape(SIDE, SIDE)
    found = insertion_deletion(
        sum_net(weights), photo, values, 0, baseline=BLACK, steps=SIDE * SIDE, batch_size=3
    )
    insertion, deletion = by_hand(weights, photo, np.argsort(-values.ravel()))
    np.testing.assert_allclose(found.curves, [insertion, deletion], atol=1e-6)
    by_trapezia = [
        sum((a + b) / 2 for a, b in pairwise(curve)) / (SIDE * SIDE)
        for curve in (insertion, deletion)
    ]
    assert [found.insertion, found.deletion] == pytest.approx(by_trapezia, abs=1e-6)
    assert found.difference == pytest.approx(by_trapezia[0] - by_trapezia[1], abs=1e-6)
    assert json.loads(json.dumps(found.to_json()))["curves"] == found.curves.tolist()


def test_target__without_one_is_the_class_that_the_photo_is_given(weights, photo):
    net = sum_net(-np.abs(weights))
    found = insertion_deletion(net, photo, weights, baseline=BLACK, steps=2)
    total = -(np.abs(weights) * photo[..., 0] / 255).sum()
    assert found.curves[0, -1] == pytest.approx(sigmoid(-total), abs=1e-6)
    assert found.curves[0, 0] == pytest.approx(0.5)


def test_steps__show_the_pixels_that_are_due():
    """Red of 255 everywhere; steps of three pixels at two of eight, and of one at sixteen."""
    photo = np.full((SIDE, SIDE, 3), 255, dtype=np.uint8)
    values = -np.arange(SIDE * SIDE).reshape(SIDE, SIDE)
    net = sum_net(np.ones((SIDE, SIDE)))
    for steps in (1, 3, 5, 16, 40):
        found = insertion_deletion(net, photo, values, 0, baseline=BLACK, steps=steps)
        shown = [math.floor(k * SIDE * SIDE / steps + 0.5) for k in range(steps + 1)]
        np.testing.assert_allclose(found.curves[0], [sigmoid(n) for n in shown], atol=1e-6)


def test_difference__of_the_reverse_order_is_its_negative(weights, photo, rng):
    values = rng.permutation(SIDE * SIDE).reshape(SIDE, SIDE).astype(float)
    one, other = (
        insertion_deletion(sum_net(weights), photo, v, 0, steps=SIDE * SIDE)
        for v in (values, -values)
    )
    np.testing.assert_allclose(one.curves[0], other.curves[1][::-1], atol=1e-6)
    assert one.difference == pytest.approx(-other.difference, abs=1e-6)
    assert abs(one.difference) > 0.01


def test_order__by_worth_is_the_best_of_all(weights, photo, rng):
    net = sum_net(weights)

    def difference(values):
        return insertion_deletion(net, photo, values, 0, baseline=BLACK, steps=16).difference

    best = difference(weights * photo[..., 0])
    others = [difference(rng.normal(size=(SIDE, SIDE))) for _ in range(30)]
    assert best > max(others)


def test_equal_values__go_in_reading_order(weights, photo):
    net = sum_net(weights)
    options = {"baseline": BLACK, "steps": 16}
    tied = insertion_deletion(net, photo, np.zeros((SIDE, SIDE)), 0, **options)
    reading = insertion_deletion(net, photo, -np.arange(16.0).reshape(SIDE, SIDE), 0, **options)
    np.testing.assert_array_equal(tied.curves, reading.curves)


@pytest.mark.parametrize("batch_size", [1, 7, 100])
def test_batch_size__does_not_matter(weights, photo, batch_size):
    net = sum_net(weights)
    found = insertion_deletion(net, photo, weights, 0, steps=10, batch_size=batch_size)
    alone = insertion_deletion(net, photo, weights, 0, steps=10)
    np.testing.assert_allclose(found.curves, alone.curves, atol=1e-6)


def test_baselines__are_what_is_shown_first_and_last(photo):
    net = sum_net(np.ones((SIDE, SIDE)))
    red = photo[..., 0] / 255
    own = torch.full((3, SIDE, SIDE), 0.25)
    for baseline, total in (("mean", red.sum()), ("black", 0), ("white", 16), (own, 4)):
        found = insertion_deletion(net, photo, red, 0, baseline=baseline, steps=4)
        assert found.curves[0, 0] == found.curves[1, -1] == pytest.approx(sigmoid(total), abs=1e-5)
        assert found.curves[1, 0] == found.curves[0, -1] == pytest.approx(sigmoid(red.sum()))


def test_filters__are_measured_by_their_output(photo):
    """The filter passes red on, at the cell where it is largest."""
    conv = nn.Conv2d(3, 2, 3, padding=1, bias=False)
    with torch.no_grad():
        conv.weight.zero_()
        conv.weight[1, 0, 1, 1] = 3
    net = Backbone(nn.Sequential(conv, nn.ReLU()), SAME, name="red", device="cpu")
    red = photo[..., 0] / 255
    found = insertion_deletion(net, photo, red, ("1", 1), baseline=BLACK, steps=16)
    np.testing.assert_allclose(found.curves[0, 1:], 3 * red.max(), rtol=1e-6)
    np.testing.assert_allclose(found.curves[:, 0], [0, 3 * red.max()], rtol=1e-6)
    np.testing.assert_allclose(found.curves[1, 1:], 0)


def test_values__are_of_the_photo_as_given_where_it_is_asked_about_mirrored(weights, photo, rng):
    """As for a node that a graph sees mirrored; the network is the same from both sides."""
    question = ask(sum_net(weights + weights[:, ::-1]), photo, 0)
    mirrored = dataclasses.replace(question, inputs=question.inputs.flip(3), mirrored=True)
    values = rng.permutation(16).reshape(SIDE, SIDE)
    given, other = (question_curves(q, values, steps=16).curves for q in (question, mirrored))
    np.testing.assert_allclose(other, given, atol=1e-6)
    turned = question_curves(mirrored, values[:, ::-1], steps=16).curves
    assert np.abs(turned - given).max() > 0.01


def test_network__is_left_as_it_was(weights, photo):
    net = sum_net(weights)
    net.module.train()
    before = {k: v.clone() for k, v in net.module.state_dict().items()}
    insertion_deletion(net, photo, weights, 0, steps=3)
    assert net.module.training
    assert net.module.weights.grad is None
    assert all(torch.equal(v, before[k]) for k, v in net.module.state_dict().items())


# -- grids -----------------------------------------------------------------------------------------


def test_cells__of_an_even_grid():
    assert grid_cells((2, 3), (2, 6)).tolist() == [[0, 0, 1, 1, 2, 2], [3, 3, 4, 4, 5, 5]]
    assert grid_cells((1, 2), (1, 5)).tolist() == [[0, 0, 1, 1, 1]]  # the halves meet at 2.5


def test_cells__of_a_layer_lie_round_their_centres():
    """Pixels at 0.5, 1.5, ...; the centres meet at 4 and at 4.5. Outside the nearest counts."""
    for offset, n_left in ((2, 4), (2.5, 4), (2.6, 5)):
        layer = LayerSpec("top", 1, (1, 2), (1, 4), (0.5, offset), (1, 5))
        assert grid_cells(layer, (1, 10)).tolist() == [[0] * n_left + [1] * (10 - n_left)]


def test_values__are_averaged_over_cells():
    values = np.arange(8.0).reshape(2, 4)
    np.testing.assert_allclose(on_grid(values, (1, 2), (2, 4)), [[2.5, 4.5]])
    np.testing.assert_allclose(on_grid([[3, 1]], (1, 2), (2, 4)), [[3, 1]])
    np.testing.assert_allclose(on_grid(values, None, (2, 4)), values)


def test_values__that_were_laid_out_from_cells_are_the_cells_again(rng):
    layer = LayerSpec("top", 1, (3, 4), (4, 4), (2.5, 3.5), (5, 5))
    cells = rng.normal(size=(3, 4))
    laid_out = on_pixels(cells, layer, (16, 20))
    np.testing.assert_allclose(on_grid(laid_out, layer, (16, 20)), cells, atol=1e-6)
    other = laid_out + np.arange(20) / 100
    members = grid_cells(layer, (16, 20))
    means = [other[members == cell].mean() for cell in range(12)]
    np.testing.assert_allclose(on_grid(other, layer, (16, 20)).ravel(), means, atol=1e-6)


def test_grid__shows_the_pixels_of_a_cell_together():
    """Four cells of four pixels; in eight steps one is due at every second, half of it being due.

    The order of the cells, by worth 1, 10, 100 and 1000 per pixel: 1000, 1, 100, 10.
    """
    worth = np.kron([[1, 10], [100, 1000]], np.ones((2, 2))) / 1000
    photo = np.full((SIDE, SIDE, 3), 255, dtype=np.uint8)
    found = insertion_deletion(
        sum_net(worth), photo, np.array([[3, 1], [2, 4]]), 0, baseline=BLACK, steps=8, grid=(2, 2)
    )
    sums = [0, 4, 4, 4.004, 4.004, 4.404, 4.404, 4.444, 4.444]
    np.testing.assert_allclose(found.curves[0], [sigmoid(s) for s in sums], atol=1e-6)


def test_grid__compares_pixels_and_cells_on_the_same_cells(weights, photo, rng):
    cells = rng.permutation(4).reshape(2, 2)
    fine = np.kron(cells, np.ones((2, 2))) + rng.permutation(16).reshape(SIDE, SIDE) / 1000
    one, other = (
        insertion_deletion(sum_net(weights), photo, v, 0, steps=16, grid=(2, 2))
        for v in (cells, fine)
    )
    np.testing.assert_array_equal(one.curves, other.curves)


# -- places ----------------------------------------------------------------------------------------

VALUES = np.array([[0, 1, 0, -4], [2, 5, 1, 0], [0, 1, 0, 0], [0, 0, 0, 0]], dtype=float)


def test_mask__holds_pixels_whose_centres_are_inside():
    assert np.argwhere(box_mask(Box(0.4, 0.6, 2.5, 2), (3, 3))).tolist() == [[0, 1], [1, 1]]
    two = box_mask([Box(0, 0, 1, 1), Box(2, 2, 9, 9)], (3, 3))
    assert np.argwhere(two).tolist() == [[0, 0], [2, 2]]


@pytest.mark.parametrize(
    ("boxes", "hit", "energy"),
    [
        (Box(1, 1, 2, 2), 1, 0.5),
        (Box(1, 0, 2, 3), 1, 0.8),
        (Box(0, 2, 2, 4), 0, 0.1),  # what speaks against the target counts as nothing
        ([Box(0, 1, 1, 2), Box(1, 1, 2, 2)], 1, 0.6),
        (Box(-9, -9, 9, 9), 1, 1),
    ],
)
def test_places__are_those_by_hand(boxes, hit, energy):
    assert pointing_game(VALUES, boxes) == hit
    assert energy_in_box(VALUES, boxes) == pytest.approx(energy)


def test_places__of_ties_and_of_maps_without_structure_are_chance():
    box = Box(0, 0, 2, 4)
    assert pointing_game(np.array([[7, 0, 0, 0], [0, 7, 0, 0], [0, 0, 7, 0.0]]), box) == 2 / 3
    for value in (0.0, 3.0, -1.0):
        even = np.full((8, 4), value)
        assert pointing_game(even, box) == energy_in_box(even, box) == 0.25


# -- what is refused -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"values": np.zeros((3, 4))}, r"must have the shape \(4, 4\).*got \(3, 4\)"),
        ({"values": np.full((4, 4), np.nan)}, "must be finite, but 16 of its 16"),
        ({"grid": (2, 2), "values": np.zeros((3, 3))}, r"or \(2, 2\) of the grid, got \(3, 3\)"),
        ({"grid": (5, 5)}, "5 x 5 cells is too fine"),
        ({"steps": 0}, "steps must be at least 1, got 0"),
        ({"baseline": "blurred"}, "unknown baseline 'blurred'; the nearest are blur"),
        ({"baseline": torch.zeros(3, 5, 5)}, r"baseline must have the shape \(3, 4, 4\)"),
    ],
)
def test_options__that_make_no_sense_are_refused(weights, photo, options, message):
    arguments = {"values": np.zeros((SIDE, SIDE)), **options}
    with pytest.raises(ExplGraphError, match=message):
        insertion_deletion(sum_net(weights), photo, target=0, **arguments)


def test_boxes__outside_of_the_map_are_refused():
    with pytest.raises(ExplGraphError, match="no pixel of a map of 4 x 4"):
        pointing_game(VALUES, Box(7, 7, 9, 9))
    with pytest.raises(ExplGraphError, match="must be finite"):
        energy_in_box(np.full((2, 2), np.inf), Box(0, 0, 1, 1))


def test_curves__must_be_two():
    with pytest.raises(ExplGraphError, match="curves must have shape"):
        InsertionDeletion(np.zeros((3, 4)))


# -- Quantus, where it defines the same ------------------------------------------------------------


def quantus():
    return pytest.importorskip("quantus")


def test_deletion__equals_quantus_pixel_flipping(weights, photo, rng):
    """Quantus flips features of all channels: it is shown red alone."""

    class Red(nn.Module):
        def forward(self, red):
            return net.module(red.expand(-1, 3, -1, -1))

    net, values = sum_net(weights), rng.permutation(16).reshape(SIDE, SIDE) + 1.0
    metric = quantus().PixelFlipping(
        features_in_step=2, normalise=False, perturb_baseline=0.0, disable_warnings=True
    )
    red = (photo[..., 0] / np.float32(255))[None, None]
    (theirs,) = metric(
        model=Red().eval(), x_batch=red, y_batch=np.array([0]), a_batch=values[None, None],
        channel_first=True, softmax=True, device="cpu",
    )  # fmt: skip
    ours = insertion_deletion(net, photo, values, 0, baseline=BLACK, steps=8)
    np.testing.assert_allclose(ours.curves[1, 1:], theirs, atol=1e-6)


@pytest.mark.parametrize("seed", range(5))
def test_places__equal_quantus(seed):
    rng = np.random.default_rng(seed)
    values, box = rng.random((9, 7)), Box(*sorted(rng.integers(0, 4, 2)), 6, 7)
    mask = np.zeros((1, 1, 9, 7))
    mask[0, 0, int(box.y0) : 6, int(box.x0) : 7] = 1
    options = {"normalise": False, "abs": False, "disable_warnings": True}
    batch = {
        "model": nn.Identity(), "x_batch": np.zeros((1, 1, 9, 7)), "y_batch": np.array([0]),
        "a_batch": values[None, None], "s_batch": mask, "channel_first": True, "device": "cpu",
    }  # fmt: skip
    assert quantus().PointingGame(**options)(**batch) == [pointing_game(values, box)]
    (theirs,) = quantus().RelevanceMassAccuracy(**options)(**batch)
    assert theirs == pytest.approx(energy_in_box(values, box))
