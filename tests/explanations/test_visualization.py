"""Activation maximisation, of filters whose favourite picture is known."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

import explgraph as eg
from explgraph.base.errors import ExplGraphError
from explgraph.demo.animals.drawing import SPECIES, draw_animal, draw_background
from explgraph.demo.run import MODEL
from explgraph.explanations.questions import ask
from explgraph.explanations.targets import FilterTarget
from explgraph.explanations.visualization import Shaking, _Palette, visualize
from explgraph.networks.preprocess import Preprocess
from tests.support.planted import planted_graph

SIDE = 48
STILL = Shaking(0.0, 0.0, 0.0)


def backbone(module, transform=None):
    return eg.Backbone(module, transform or Preprocess((SIDE, SIDE)), name="test", device="cpu")


def filters(*kernels, bias=0.0):
    """A layer of given kernels (3, k, k), rectified."""
    weight = torch.tensor(np.stack(kernels), dtype=torch.float32)
    conv = nn.Conv2d(3, len(kernels), weight.shape[-1], padding=weight.shape[-1] // 2)
    conv.weight.data, conv.bias.data = weight, torch.full((len(kernels),), float(bias))
    # A second layer lets the first have overlapping fields and be mined.
    return nn.Sequential(conv, nn.ReLU())


def colour(channel):
    kernel = np.zeros((3, 3, 3))
    kernel[channel, 1, 1] = 1.0
    kernel[[c for c in range(3) if c != channel], 1, 1] = -0.5
    return kernel


def stripes(axis):
    """Alternating rows or columns, four pixels a period."""
    wave = np.array([-1.0, -1.0, 1.0, 1.0, -1.0, -1.0, 1.0])
    kernel = np.broadcast_to(wave[:, None] if axis == 0 else wave, (7, 7))
    return np.stack([kernel - kernel.mean()] * 3)


def test_visualize__a_filter_of_a_colour_gets_that_colour():
    net = backbone(filters(*(colour(c) for c in range(3))))
    for channel in range(3):
        mean = visualize(net, ("1", channel), steps=30, shaking=STILL).mean((0, 1))
        assert mean.argmax() == channel
        assert mean[channel] - np.median(mean) > 5


def test_visualize__a_network_of_grey_images_gets_no_colours():
    net = eg.Backbone(
        nn.Sequential(nn.Conv2d(1, 2, 3, padding=1), nn.ReLU()),
        Preprocess((SIDE, SIDE), mean=[0.5], std=[0.25]), device="cpu",
    )  # fmt: skip
    picture = visualize(net, ("1", 0), steps=2)
    assert (picture == picture[..., :1]).all() and picture.std() > 0


def test_visualize__a_filter_of_stripes_gets_stripes_of_its_direction_and_width():
    net = backbone(filters(stripes(0), stripes(1)))
    for axis in (0, 1):
        picture = visualize(net, ("1", axis), steps=40, shaking=STILL).mean(2)
        power = np.abs(np.fft.fft2(picture - picture.mean())) ** 2
        peak = np.abs(np.fft.fftfreq(SIDE))[list(np.unravel_index(power.argmax(), power.shape))]
        wanted = np.abs(np.fft.fft(stripes(0)[0, :, 0], 480))[:240].argmax() / 480
        assert peak[axis] == pytest.approx(wanted, abs=0.1)
        assert peak[1 - axis] < 0.06


def graph_of(net):
    """A planted graph of the only layer of a network of 224 pixels, 8 filters, nodes anywhere."""
    graph = planted_graph(1, 8, 3)
    return replace(graph, layers=net.layers(), header={"weight_hash": net.weight_hash})


@pytest.mark.parametrize("index", [0, 10, 23])
def test_visualize__a_node_is_drawn_where_it_lies(index):
    torch.manual_seed(0)
    module = nn.Sequential(nn.Conv2d(3, 8, 15, stride=4, padding=7))
    net = eg.Backbone(module, Preprocess((224, 224)), name="test", device="cpu")
    graph = graph_of(net).rename({index: "毛皮"})
    picture = visualize(net, "毛皮", graph=graph, steps=30, shaking=STILL).astype(float)
    change = np.abs(picture - np.median(picture, axis=(0, 1))).sum(2)
    rows, columns = np.indices(change.shape)
    y, x = graph.mu[index]
    near = (np.abs(rows - y) < 7) & (np.abs(columns - x) < 7)
    assert change[near].mean() > 3 * change[~near].mean()
    half = visualize(net, graph.node(index), size=(112, 168), steps=30, shaking=STILL)
    change = np.abs(half - np.median(half, axis=(0, 1))).sum(2)[:, :]
    rows, columns = np.indices(change.shape)
    near = (np.abs(rows - y / 2) < 7) & (np.abs(columns - x * 0.75) < 7)
    assert change[near].mean() > 2 * change[~near].mean()


def test_visualize__a_cell_may_be_named():
    torch.manual_seed(0)
    net = backbone(nn.Sequential(nn.Conv2d(3, 4, 9, padding=4), nn.ReLU()))
    target = FilterTarget(net.layers()[-1], 1, (10, 36))
    still = visualize(net, target, steps=20, shaking=STILL).astype(float)
    change = np.abs(still - np.median(still, axis=(0, 1))).sum(2)
    rows, columns = np.indices(change.shape)
    near = (np.abs(rows - 10) <= 4) & (np.abs(columns - 36) <= 4)
    assert change[near].mean() > 5 * change[~near].mean()


def test_visualize__wakes_a_filter_that_does_not_answer_at_first():
    net = backbone(filters(stripes(0), bias=-40.0))
    start = ask(net, visualize(net, ("1", 0), steps=1), ("1", 0))
    assert float(start.scores(start.inputs)) == 0
    end = ask(net, visualize(net, ("1", 0), steps=60), ("1", 0))
    assert float(end.scores(end.inputs)) > 1


@pytest.mark.parametrize("species", ["fish", "zebra"])
def test_visualize__a_class_answers_far_more_strongly_than_to_any_drawing(species):
    net, index = eg.load_backbone(MODEL), SPECIES.index(species)
    drawn = [draw_animal(species, seed=seed).image for seed in range(12)]
    noise = np.random.default_rng(0).integers(0, 256, (128, 128, 3), dtype=np.uint8)
    others = [*drawn, *(draw_background(seed) for seed in range(4)), noise]

    def logit(picture):
        question = ask(net, picture, index)
        return float(question.scores(question.inputs))

    best = max(map(logit, others))
    assert best > 0
    picture = visualize(net, index, steps=60)
    assert logit(picture) > 1.5 * best
    assert int(ask(net, picture, None).target.index) == index


def test_visualize__is_deterministic_and_follows_the_seed():
    net = eg.load_backbone(MODEL)
    state = torch.get_rng_state()
    first, again, other = (visualize(net, 0, steps=2, seed=s) for s in (0, 0, 1))
    np.testing.assert_array_equal(first, again)
    assert (first != other).any()
    assert torch.equal(state, torch.get_rng_state())
    assert (first.dtype, first.shape) == (np.uint8, (128, 128, 3))


def test_visualize__leaves_the_network_as_it_was():
    net = eg.load_backbone(MODEL)
    net.module.train()
    before = {name: value.clone() for name, value in net.module.state_dict().items()}
    with torch.inference_mode():
        visualize(net, ("stage3.relu1", 3), steps=2)
    assert all(child.training for child in net.module.modules())
    assert all(torch.equal(before[name], value) for name, value in net.module.state_dict().items())
    assert not any(child._forward_hooks for child in net.module.modules())
    assert all(p.grad is None and p.requires_grad for p in net.module.parameters())


def test_visualize__contrast_is_held_at_that_of_photos():
    picture = visualize(eg.load_backbone(MODEL), 0, steps=60)
    assert 25 < picture.std() < 64


def test_visualize__sizes():
    net = eg.load_backbone(MODEL)
    assert visualize(net, ("stage1.relu1", 0), size=(40, 64), steps=1).shape == (40, 64, 3)
    fixed = nn.Sequential(nn.Conv2d(3, 2, 3), nn.Flatten(), nn.Linear(2 * 46 * 46, 3))
    with pytest.raises(ExplGraphError, match="Leave `size` out"):
        visualize(backbone(fixed), 0, size=(64, 64), steps=1)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"steps": 0}, "steps must be at least 1"),
        ({"size": (4, 100)}, "size must be at least 8 x 8"),
        ({"target": 77}, "there is no class 77"),
        ({"target": ("stage4.relu2", 500)}, "there is no filter 500"),
        ({"target": None}, "name the target"),
    ],
)
def test_visualize__arguments_are_checked(options, message):
    with pytest.raises(ExplGraphError, match=message):
        visualize(eg.load_backbone(MODEL), **{"target": 0, "steps": 1, **options})


@pytest.mark.parametrize("order", ["RGB", "BGR"])
def test_palette__is_the_preprocessing(rng, order):
    preprocess = Preprocess((16, 16))

    def transform(photo):
        inputs, _ = preprocess(photo)
        return inputs if order == "RGB" else inputs.flip(0) * 3 - 1

    net = eg.Backbone(nn.Conv2d(3, 2, 3), transform, name="test", device="cpu")
    pixels = rng.integers(0, 256, (16, 16, 3), dtype=np.uint8)
    want = transform(Image.fromarray(pixels))
    found = _Palette(net)(torch.from_numpy(pixels.transpose(2, 0, 1) / 255).float())
    np.testing.assert_allclose(found[0], want, atol=1e-4)
