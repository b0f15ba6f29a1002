"""Profiles of filters whose mean outputs are known, and their picture."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

import explgraph as eg
from explgraph.base.errors import ExplGraphError
from explgraph.base.layer import LayerSpec
from explgraph.explanations.pictures.profile import draw_filter_profile
from explgraph.explanations.profiles import FilterProfile, filter_profile
from explgraph.networks.preprocess import Preprocess
from tests.support.planted import planted_graph

ORANGE = (0xD5, 0x5E, 0x00)


def profile(mean, **more):
    mean = np.asarray(mean, np.float32)
    layer = LayerSpec("a", len(mean), (4, 4), (8.0, 8.0), (4.0, 4.0), (16, 16))
    return FilterProfile("photo.png", layer, mean, mean * 2, **more)


def test_filter_profile__means_and_maxima_of_a_known_layer():
    """Filter c has weight c on red alone: its map is c times the photo's red."""
    conv = nn.Conv2d(3, 5, 3, padding=1, bias=False)
    conv.weight.data.zero_()
    conv.weight.data[:, 0, 1, 1] = torch.arange(5.0)
    net = eg.Backbone(
        nn.Sequential(conv, nn.ReLU()), Preprocess((16, 16), mean=[0] * 3, std=[1] * 3), name="r"
    )
    photo = np.zeros((16, 16, 3), np.uint8)
    photo[:, :4, 0] = 255
    found = filter_profile(net, photo, "1")
    np.testing.assert_allclose(found.mean, np.arange(5) / 4, atol=1e-6)
    np.testing.assert_allclose(found.largest, np.arange(5), atol=1e-6)
    assert list(found.table["filter"]) == [4, 3, 2, 1, 0]


def test_level__is_the_distance_from_the_background():
    found = profile(
        [1, 5, 9],
        background_mean=np.float32([1, 1, 10]),
        background_scale=np.float32([1, 2, 0.5]),
    )
    np.testing.assert_allclose(found.level, [0, 2, -2])
    np.testing.assert_allclose(profile([1, 5, 9]).level, [1, 5, 9])


def test_outstanding__against_the_rule_by_hand():
    """Median 3, median absolute deviation 1: the limit is 3 + 3.5 * 1.4826 = 8.19."""
    found = profile([1, 2, 3, 4, 5, 8.1, 8.3, 2, 3, 3, 3, 20])
    level = np.sort(found.mean)
    median = (level[5] + level[6]) / 2
    deviation = np.median(np.abs(level - median))
    limit = median + 3.5 * 1.4826 * deviation
    assert (median, deviation) == (3, 1)
    assert list(found.outstanding) == [11, 6]
    assert all(found.mean[i] > limit for i in found.outstanding)
    table = found.table
    assert list(table["outstanding"]) == [True, True] + [False] * 10
    assert len(profile([2, 2, 2, 2]).outstanding) == 0
    assert list(profile([0, 0, 0, 7]).outstanding) == [3]


@pytest.fixture
def known():
    """A network of one layer, photos, and a planted graph of the layer's 8 filters."""
    torch.manual_seed(0)
    module = nn.Sequential(nn.Conv2d(3, 8, 5, stride=4, padding=2), nn.ReLU())
    net = eg.Backbone(module, Preprocess((224, 224)), name="test", device="cpu")
    photos = np.random.default_rng(0).integers(0, 256, (2, 50, 60, 3), dtype=np.uint8)
    graph = replace(
        planted_graph(1, 8, 3), layers=net.layers()[-1:], header={"weight_hash": net.weight_hash}
    )
    return net, photos, graph


def test_filter_profile__with_a_graph_compares_with_its_background(known):
    net, photos, graph = known
    node = int(graph.ranking()[0])
    named = graph.rename({node: "dorsal fin"})
    found = filter_profile(net, photos[0], "1", graph=named)
    bare = filter_profile(net, photos[0], "1")
    want = (bare.mean - graph.channel_mean[0]) / graph.channel_scale[0]
    np.testing.assert_allclose(found.level, want, rtol=1e-6)
    assert found.nodes[int(graph.node_channel[node])][0] == "dorsal fin"
    assert [len(names) for names in found.nodes] == [3] * 8
    assert "dorsal fin, 1/" in " ".join(found.table["nodes"])


def test_filter_profile__errors(known):
    net, photos, graph = known
    with pytest.raises(ExplGraphError, match="the graph has no layer '0'; it has 1"):
        filter_profile(net, photos[0], "0", graph=graph)
    with pytest.raises(ExplGraphError, match="unknown layer"):
        filter_profile(net, photos[0], "stage9")
    with pytest.raises(ExplGraphError, match="one photo"):
        filter_profile(net, photos, "1")
    other = replace(graph, header={"weight_hash": "0" * 64})
    with pytest.raises(ExplGraphError, match="another network"):
        filter_profile(net, photos[0], "1", graph=other)
    larger = replace(graph, input_size=(net.input_size[0] + 8, net.input_size[1]))
    with pytest.raises(ExplGraphError, match="another network"):
        filter_profile(net, photos[0], "1", graph=larger)
    with pytest.raises(ExplGraphError, match="mean and its scale, or neither"):
        profile([1, 2], background_mean=np.float32([0, 0]))
    with pytest.raises(ExplGraphError, match="must be finite"):
        profile([1, np.nan])


def orange(path):
    pixels = np.asarray(Image.open(path).convert("RGB"))
    return np.all(pixels == ORANGE, axis=-1)


@pytest.mark.parametrize("size", [(300, 100), (100, 300)])
def test_draw_filter_profile__bars_are_as_long_as_levels(tmp_path, size):
    values = np.full(20, 1.0)
    values[[3, 17]] = 10, 5
    found = profile(values + np.linspace(0, 0.1, 20))
    draw_filter_profile(found, source(size), tmp_path / "new" / "p.png")
    pixels = orange(tmp_path / "new" / "p.png")
    chart = pixels[96:300, 290:]
    columns = np.flatnonzero(chart[60:].any(0))
    heights = [int(chart[:, c].sum()) for c in columns]
    assert max(heights) > 150
    middle = (columns - columns.min()) < (columns.max() - columns.min()) / 2
    tall, low = (np.median(np.array(heights)[side]) for side in (middle, ~middle))
    assert low / tall == pytest.approx(5 / 10, abs=0.04)
    listed = pixels[330:, 110:330]
    lengths = sorted({int(row.sum()) for row in listed if row.sum() > 20})
    assert lengths[0] / lengths[-1] == pytest.approx(5 / 10, abs=0.03)


def source(size):
    from explgraph.photos.images import ImageItem, ImageSource

    picture = Image.new("RGB", size, (10, 120, 200))
    return ImageSource([ImageItem("photo.png", 0)], lambda index: picture)


def test_draw_filter_profile__is_the_same_again_and_takes_any_names(tmp_path):
    names = (("斑馬的耳朵 " * 30,), (), *[("left\near", "b", "c", "d")] * 4)
    found = profile([9, 8, 1, 1, 1, 1], nodes=names)
    for name in ("a.png", "b.png"):
        draw_filter_profile(found, source((40, 40)), tmp_path / name, most=1)
    assert (tmp_path / "a.png").read_bytes() == (tmp_path / "b.png").read_bytes()
    draw_filter_profile(profile([0.0, 0, 0]), source((40, 40)), tmp_path / "flat.jpg")
    draw_filter_profile(profile([-3.0, -2, -9]), source((40, 40)), tmp_path / "below.jpg")


def test_draw_filter_profile__errors(tmp_path):
    with pytest.raises(ExplGraphError, match=r"photo of the profile.* 1 images were given"):
        draw_filter_profile(profile([1]), np.zeros((1, 8, 8, 3), np.uint8), tmp_path / "a.png")
    with pytest.raises(ExplGraphError, match="unknown picture format"):
        draw_filter_profile(profile([1]), source((9, 9)), tmp_path / "a.svg")
    with pytest.raises(ExplGraphError, match="most must not be negative"):
        draw_filter_profile(profile([1]), source((9, 9)), tmp_path / "a.png", most=-1)
