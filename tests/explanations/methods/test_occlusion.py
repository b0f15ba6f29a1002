"""Occlusion, left-out segments and segments alone, on networks whose answers are known."""

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

import explgraph as eg
from explgraph.base.errors import ExplGraphError
from explgraph.explanations.answers import answer, explain
from explgraph.explanations.questions import ask
from explgraph.explanations.segments import Cutting, cut, score_segments
from explgraph.networks.preprocess import Preprocess

SIDE = 24
COLOURS = np.array([[[220, 30, 30], [30, 200, 40]], [[30, 40, 210], [230, 220, 40]]], np.uint8)
SMALL = {"sigma": 0.0, "min_size": 20}  # unsmoothed, plain quarters are cut exactly


def plain(pixels):
    """RGB in 0..1."""
    return torch.from_numpy(np.asarray(pixels, dtype=np.float32).transpose(2, 0, 1) / 255)


def shown(mean=0.0, std=1.0):
    return Preprocess((SIDE, SIDE), mean=[mean] * 3, std=[std] * 3)


def linear_net(weight):
    """Logits are weighted sums of the input's numbers, ``weight`` (classes, 3, SIDE, SIDE)."""
    net = nn.Sequential(nn.Flatten(), nn.Linear(3 * SIDE * SIDE, len(weight), bias=False))
    net[1].weight.data = torch.from_numpy(weight.reshape(len(weight), -1)).float()
    return eg.Backbone(net, shown(), name="linear", device="cpu")


def quarters():
    """A photo of four plain quarters."""
    return np.kron(COLOURS, np.ones((SIDE // 2, SIDE // 2, 1), np.uint8))


def quarter_of():
    """(SIDE, SIDE) which quarter a pixel is in: 0 1 above 2 3."""
    half = np.arange(SIDE) >= SIDE // 2
    return 2 * half[:, None] + half


@pytest.fixture
def photo(rng):
    return rng.integers(0, 256, (SIDE, SIDE, 3), dtype=np.uint8)


@pytest.fixture
def weight(rng):
    return rng.normal(size=(3, 3, SIDE, SIDE))


def test_occlusion__of_a_network_of_grey_images(photo, rng):
    weight = rng.normal(size=(2, SIDE * SIDE)).astype(np.float32)
    module = nn.Sequential(nn.Flatten(), nn.Linear(SIDE * SIDE, 2, bias=False))
    module[1].weight.data = torch.from_numpy(weight)
    net = eg.Backbone(module, Preprocess((SIDE, SIDE), mean=[0.0], std=[1.0]), device="cpu")
    found = explain(net, photo, 1, method="occlusion", window=6, stride=6, baseline="black")
    grey = np.asarray(net.preprocess(Image.fromarray(photo))[0][0])
    lost = (grey * weight[1].reshape(SIDE, SIDE)).reshape(4, 6, 4, 6).sum((1, 3))
    np.testing.assert_allclose(found.values[::6, ::6], lost, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(("window", "stride"), [(6, 3), (6, 6), (5, 2), (24, 24), (7, 5)])
@pytest.mark.parametrize("batch_size", [1, 7])
def test_occlusion__of_a_linear_network(photo, weight, window, stride, batch_size):
    net = linear_net(weight)
    options = {"window": window, "stride": stride, "baseline": "black"}
    found = explain(net, photo, 1, "occlusion", batch_size=batch_size, **options)
    worth = (weight[1] * plain(photo).numpy()).sum(0)
    total, covered = np.zeros((SIDE, SIDE)), np.zeros((SIDE, SIDE))
    starts = range(0, SIDE - window + stride, stride)
    for y in starts:
        for x in starts:
            where = slice(y, y + window), slice(x, x + window)  # the last ones are cut off
            total[where] += worth[where].sum()
            covered[where] += 1
    np.testing.assert_allclose(found.values, total / covered, atol=1e-4)


def test_occlusion__defaults_depend_on_the_input(photo, weight):
    settings = explain(linear_net(weight), photo, 0, "occlusion").settings
    assert (settings["window"], settings["stride"], settings["baseline"]) == (3, 1, "mean")


def test_occlusion__is_captums(photo):
    captum = pytest.importorskip("captum.attr")
    torch.manual_seed(0)
    module = nn.Sequential(
        nn.Conv2d(3, 6, 3, padding=1), nn.ReLU(), nn.AdaptiveAvgPool2d(2), nn.Flatten(),
        nn.Linear(24, 4),
    )  # fmt: skip
    net = eg.Backbone(module, shown(), name="small", device="cpu")
    found = explain(net, photo, 2, "occlusion", window=8, stride=4, baseline="mean")
    inputs = plain(photo)[None]
    with torch.no_grad():
        want = captum.Occlusion(module.eval()).attribute(
            inputs,
            (3, 8, 8),
            strides=(3, 4, 4),
            baselines=inputs.mean((2, 3), keepdim=True).expand_as(inputs),
            target=2,
        )
    np.testing.assert_allclose(found.values, want[0, 1], atol=1e-5)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"window": 4, "stride": 5}, "stride 5, window 4"),
        ({"window": 25}, "window 25, side 24"),
        ({"stride": 0}, "stride 0"),
        ({"baseline": "gray"}, "unknown baseline 'gray'; the nearest are grey"),
    ],
)
def test_occlusion__options_are_checked(photo, weight, options, message):
    with pytest.raises(ExplGraphError, match=message):
        explain(linear_net(weight), photo, 0, "occlusion", **options)


def test_cut__finds_the_four_quarters_whatever_the_normalisation():
    weight = np.zeros((2, 3, SIDE, SIDE))
    for mean, std in ((0.0, 1.0), (0.5, 0.2)):
        net = eg.Backbone(linear_net(weight).module, shown(mean, std), name="n", device="cpu")
        labels = cut(ask(net, quarters(), 0), Cutting(**SMALL))
        np.testing.assert_array_equal(labels, quarter_of())


@pytest.mark.parametrize("method", ["leave_one_out", "segments"])
@pytest.mark.parametrize("baseline", ["black", "mean"])
def test_segment_methods__of_a_linear_network_give_each_segment_its_part(weight, method, baseline):
    """Linear: what a segment takes away is what it brings alone."""
    net, photo = linear_net(weight), quarters()
    question = ask(net, photo, 2, batch_size=3)
    found = answer(question, method, baseline=baseline, **SMALL)
    pixels = plain(photo).numpy()
    if baseline == "mean":
        pixels = pixels - pixels.mean((1, 2), keepdims=True)
    worth = (weight[2] * pixels).sum(0)
    labels = cut(question, Cutting(**SMALL))
    for segment in range(4):
        own = labels == segment
        np.testing.assert_allclose(found.values[own], worth[own].sum(), atol=1e-3)


class Both(nn.Module):
    """Class 0: red and green are both there; class 1: red or green is."""

    def forward(self, x):
        red = (x[:, 0] * (x[:, 1] < 0.3) * (x[:, 2] < 0.3)).mean((1, 2))
        green = (x[:, 1] * (x[:, 0] < 0.3) * (x[:, 2] < 0.3)).mean((1, 2))
        return torch.stack([torch.minimum(red, green), torch.maximum(red, green)], dim=1)


def both_net():
    return eg.Backbone(Both(), shown(), name="both", device="cpu")


def corners(values):
    """Return the value in the middle of each quarter."""
    return [float(values[y, x]) for y in (6, 18) for x in (6, 18)]


def test_segment_methods__tell_need_from_sufficiency():
    """Class 0 needs two quarters together: alone neither does anything. Class 1 needs neither."""
    net, photo = both_net(), quarters()
    alone, without = (
        [corners(explain(net, photo, c, m, baseline="black", **SMALL).values) for c in (0, 1)]
        for m in ("segments", "leave_one_out")
    )
    assert np.allclose(alone[0], 0)
    assert without[0][0] > 0.1
    assert without[0][1] > 0.1
    assert np.allclose(without[0][2:], 0)
    assert min(alone[1][:2]) > 0.1
    assert without[1][1] == pytest.approx(0, abs=1e-6)  # red is there


def test_score_segments__tells_class_and_score_of_each():
    photo = quarters()
    found = score_segments(
        both_net(), photo, 1, baseline="black", cutting=Cutting(**SMALL), batch_size=3
    )
    assert len(found) == 4
    table = found.table
    assert list(table["score"]) == sorted(table["score"], reverse=True)
    np.testing.assert_allclose(table["share"], 0.25)
    np.testing.assert_allclose(sorted(table["y"]), [0.25, 0.25, 0.75, 0.75])
    np.testing.assert_allclose(table[["y", "x"]].iloc[0], [0.25, 0.25])
    assert table["score"].iloc[0] == pytest.approx(220 / 255 / 4)
    assert table["gain"].iloc[0] == table["score"].iloc[0]
    assert found.nothing == 0
    assert list(table["class"][:2]) == [1, 1]
    want = 1 / (1 + np.exp(-table["score"].iloc[0]))
    assert table["probability"].iloc[0] == pytest.approx(want, rel=1e-5)
    assert found.whole == pytest.approx(max(found.score))
    assert (found.top_whole, found.names) == (1, None)
    assert set(table["class_name"]) == {""}


def test_score_segments__names_classes_and_needs_none_for_filters():
    net = both_net()
    net.module.class_names = ["pair", "one"]
    named = score_segments(net, quarters(), "one", cutting=Cutting(**SMALL)).table
    assert set(named["class_name"]) <= {"pair", "one"}
    torch.manual_seed(0)
    maps = nn.Sequential(nn.Conv2d(3, 4, 3, padding=1), nn.ReLU())
    no_classes = eg.Backbone(maps, shown(), name="maps", device="cpu")
    found = score_segments(no_classes, quarters(), ("1", 2), cutting=Cutting(**SMALL))
    assert found.top is None
    assert list(found.table) == ["segment", "y", "x", "share", "score", "gain"]
    assert found.target == "filter 2 of 1"


@pytest.mark.parametrize(
    ("cutting", "message"),
    [
        (Cutting(scale=0), "scale must be above 0"),
        (Cutting(sigma=-1), "sigma must not be negative"),
        (Cutting(min_size=0), "min_size must be at least 1"),
    ],
)
def test_score_segments__settings_are_checked(cutting, message):
    with pytest.raises(ExplGraphError, match=message):
        score_segments(both_net(), quarters(), 0, cutting=cutting)


def test_methods__leave_the_network_as_it_was(photo, weight):
    net = linear_net(weight)
    net.module.train()
    before = [p.clone() for p in net.module.parameters()]
    for method in ("occlusion", "leave_one_out", "segments"):
        first, again = (explain(net, photo, 0, method).values for _ in range(2))
        np.testing.assert_array_equal(first, again)
    assert net.module.training
    assert all(torch.equal(a, b) for a, b in zip(before, net.module.parameters(), strict=True))
    assert all(p.grad is None and p.requires_grad for p in net.module.parameters())


def test_import_extra__names_the_extra():
    from explgraph.base.errors import import_extra

    with pytest.raises(ExplGraphError, match=r"package no_such_thing .*explgraph\[explain\]'"):
        import_extra("no_such_thing.sub", "explain")
