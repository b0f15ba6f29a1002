"""Effects of places, by hand on the hills of `tests.hills`, on two layers, and on real ones."""

import itertools
import math
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from explgraph import load_backbone, match
from explgraph.base.errors import ExplGraphError
from explgraph.explanations.decision.decision import explain_decision
from explgraph.explanations.decision.places import (
    PlaceEffects,
    banzhaf_values,
    graph_explanation,
    place_effects,
)
from explgraph.explanations.decision.removal import SeenPhoto, matches_of, nearest_cells
from explgraph.explanations.questions import ask
from explgraph.networks.backbone import Backbone
from explgraph.networks.preprocess import Preprocess
from tests.support.hills import (
    GREEN,
    HILL_A,
    HILL_B,
    RED,
    SIDE,
    SPOT,
    hills_graph,
    hills_matches,
    hills_net,
    hills_photo,
    hills_photos,
)
from tests.support.plain import plain_graph, plain_matches


@pytest.fixture(scope="module")
def net():
    return hills_net()


def seen_hills(net, target=0, found=None):
    question = ask(net, hills_photo(), target)
    return SeenPhoto(question, hills_graph(net), hills_matches(1) if found is None else found)


@pytest.mark.parametrize(
    ("target", "hill", "weight"), [(0, HILL_A, 1), (1, HILL_B, 1.5), (2, SPOT, 1.9)]
)
def test_alone__is_what_nodes_within_a_cell_of_the_place_add(net, target, hill, weight):
    alone = 255 * place_effects(seen_hills(net, target)).alone
    expected = np.zeros((SIDE, SIDE))
    for y, x in itertools.product(range(SIDE), repeat=2):
        near = (value for (i, j), value in hill.items() if abs(i - y) <= 1 and abs(j - x) <= 1)
        expected[y, x] = weight * sum(near)
    np.testing.assert_allclose(alone, expected, atol=1e-3)


@pytest.mark.parametrize(("target", "hill", "weight"), [(0, HILL_A, 1), (1, HILL_B, 1.5)])
def test_top__is_what_the_nodes_of_the_place_add(net, target, hill, weight):
    expected = np.zeros((SIDE, SIDE))
    for place, value in hill.items():
        expected[place] = weight * value
    found = 255 * place_effects(seen_hills(net, target)).top
    np.testing.assert_allclose(found, expected, atol=1e-3)


def test_alone__leaves_cells_that_no_node_claims(net):
    found = hills_matches(1, [[0, 1, 1]])
    assert np.abs(place_effects(seen_hills(net, 0, found)).alone).max() < 1e-6
    assert np.abs(place_effects(seen_hills(net, 1, found)).alone).max() > 0.5


def test_in_company__is_largest_on_the_hill_and_the_same_with_the_same_seed(net):
    one, two, other = (
        place_effects(seen_hills(net, 1), seed=seed).in_company for seed in (0, 0, 1)
    )
    assert np.unravel_index(one.argmax(), one.shape) in {(4, 3), (4, 4), (5, 3), (5, 4)}
    np.testing.assert_array_equal(one, two)
    assert not np.array_equal(one, other)


def test_values__are_the_smoothed_mean_of_the_shares():
    """One place of nine says it all: what smoothing leaves there and gives its neighbours."""
    one, none = np.zeros((5, 5)), np.zeros((5, 5))
    one[2, 2] = 7
    other = -3 * one
    left, next_to = 1 / (1 + 2 * math.exp(-2) + 2 * math.exp(-8)), math.exp(-2)
    values = PlaceEffects(one, one, none).values
    np.testing.assert_allclose(values[2, 1:4], 2 / 3 * left**2 * np.array([next_to, 1, next_to]))
    assert values.sum() == pytest.approx(2 / 3)
    np.testing.assert_allclose(PlaceEffects(one, other, other).values, -values / 2)


def test_banzhaf_values__over_all_subsets_are_the_mean_marginal_contribution():
    """A game of four places: 2 for the first, 6 for the first two together, -1 for the last."""

    def game(there):
        return 2.0 * there[0] + 6.0 * (there[0] and there[1]) - there[3]

    subsets = list(itertools.product((False, True), repeat=4))
    emptied = ~np.array(subsets).reshape(-1, 2, 2)
    values = np.array([game(there) for there in subsets])
    np.testing.assert_allclose(banzhaf_values(emptied, values), [[2 + 3, 3], [0, -1]])


def test_banzhaf_values__of_a_place_that_is_always_there_is_nothing():
    emptied = np.array([[[True, False]], [[False, False]]])
    np.testing.assert_allclose(banzhaf_values(emptied, np.array([1.0, 5.0])), [[4, 0]])


# Layers below the top one


def two_layers():
    """Hills' photo in layer "1", and once more in layer "3", before a linear head."""
    copies = [nn.Conv2d(3, 2, 3, padding=1, bias=False), nn.Conv2d(2, 2, 3, padding=1, bias=False)]
    head = nn.Linear(2 * SIDE * SIDE, 2, bias=False)
    with torch.no_grad():
        for conv in copies:
            conv.weight.zero_()
            conv.weight[RED, RED, 1, 1] = conv.weight[GREEN, GREEN, 1, 1] = 1
        head.weight.zero_()
        head.weight.view(2, 2, SIDE, SIDE)[0] = 1
    module = nn.Sequential(
        copies[0], nn.ReLU(inplace=True), copies[1], nn.ReLU(), nn.Flatten(), head
    )
    look = Preprocess((SIDE, SIDE), mean=(0, 0, 0), std=(1, 1, 1))
    net = Backbone(module, look, name="two", device="cpu")
    graph = plain_graph(
        net.select(["1", "3"]),
        (SIDE, SIDE),
        nodes=(np.array([0, 1]), np.array([RED, GREEN]), np.zeros(2)),
        mu=np.full((2, 2), SIDE / 2),
        score=np.full(2, 0.01),
        header={"model": "two", "weight_hash": net.weight_hash},
    )
    found = plain_matches(("000000",), 0.5, np.full((1, 2), 0.01), (0, 1))
    return net, graph, found


def test_emptied__changes_all_layers_at_once():
    """Hill A is claimed in the lower layer, the spot in the upper one, hill B in neither."""
    net, graph, found = two_layers()
    seen = SeenPhoto(ask(net, hills_photo(), 0), graph, found)
    places = np.zeros((4, SIDE, SIDE), dtype=bool)
    places[1, 1, 1] = places[2, 1, 4] = True
    places[3] = True
    logits = 255 * seen.emptied(places)[:, 0]
    np.testing.assert_allclose(logits, [600, 400, 450, 150], atol=1e-3)
    assert all(not module._forward_hooks for module in net.module.modules())
    upper = 255 * seen.emptied(places, seen.layers[-1:])[:, 0]
    np.testing.assert_allclose(upper, [600, 600, 450, 450], atol=1e-3)  # hill A is claimed below


@pytest.mark.shared
def test_nearest_cells__are_nearest_in_a_real_network(shared: Path):
    """27 rows of a lower layer over the 13 of the top one."""
    weights = shared / "models" / "squeezenet1_1.safetensors"
    lower, top = load_backbone("squeezenet1_1", weights, device="cpu").select(
        ["features.7", "features.12"]
    )
    for axis, places in enumerate(nearest_cells(lower, top)):
        centres = lower.offset[axis] + lower.stride[axis] * np.arange(lower.grid[axis])
        tops = top.offset[axis] + top.stride[axis] * np.arange(top.grid[axis])
        gap = np.abs(centres[:, None] - tops)
        np.testing.assert_allclose(gap[np.arange(len(places)), places], gap.min(axis=1))
    assert len(places) > top.grid[1]


# As an explanation


def test_map__of_a_mirrored_photo_is_of_the_photo_as_given(net):
    (photo,), graph = hills_photos(1, [True]), hills_graph(net)
    mirrored = explain_decision(graph, net, photo, 0, found=hills_matches(1, mirrored=[True]))
    plain = explain_decision(graph, net, photo, 0, found=match(graph, net, [photo], mirror=False))
    assert mirrored.mirrored
    assert not plain.mirrored
    np.testing.assert_array_equal(mirrored.map.values, plain.map.values)
    assert mirrored.logit != pytest.approx(plain.logit)


def test_graph_explanation__is_the_map_of_a_decision(net):
    graph, question = hills_graph(net), ask(net, hills_photo(), 1)
    found = matches_of(question, graph, mirror=False)
    answer = graph_explanation(graph)(question)
    decision = explain_decision(graph, net, hills_photo(), 1, found=found)
    np.testing.assert_array_equal(answer.values, decision.map.values)
    assert answer.method == "graph"
    assert answer.signed
    assert answer.values.shape == (SIDE, SIDE)
    assert answer.settings["layers"] == ["1"]
    # Cells are pixels here, so that the map is the places themselves.
    np.testing.assert_allclose(answer.values, decision.places.values, rtol=1e-5)


def test_graph_explanation__is_for_classes_alone(net):
    with pytest.raises(ExplGraphError, match="a decision is for a class"):
        graph_explanation(hills_graph(net))(ask(net, hills_photo(), ("1", 0)))


def test_graph_explanation__of_every_cell_hangs_on_no_node(net):
    """The control: with no node found at all, it says what a graph that claims every cell says."""
    question, graph = ask(net, hills_photo(), 0), hills_graph(net)
    none = hills_matches(1, [[0, 0, 0]])
    assert not place_effects(SeenPhoto(question, graph, none)).values.any()
    empty, full = (
        place_effects(SeenPhoto(question, graph, found, every_cell=True)).values
        for found in (none, hills_matches(1))
    )
    np.testing.assert_array_equal(empty, full)
    np.testing.assert_array_equal(
        graph_explanation(graph, every_cell=True)(question).values, empty.astype(np.float32)
    )
    assert np.unravel_index(full.argmax(), full.shape) in HILL_A
