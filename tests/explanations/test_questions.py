"""What is asked: targets by every name they have, the places of filters and nodes, baselines."""

import dataclasses

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from explgraph.base.errors import ExplGraphError
from explgraph.explanations.answers import available_methods
from explgraph.explanations.questions import (
    ClassTarget,
    FilterTarget,
    Objective,
    ask,
    class_names,
    find_target,
)
from explgraph.explanations.segments import score_segments
from explgraph.graphs.matches import Matches
from explgraph.graphs.node import Node
from explgraph.networks.backbone import Backbone
from explgraph.networks.preprocess import Preprocess
from explgraph.photos.images import open_images
from tests.support.asking import SIDE, Plain, backbone, noise_photo
from tests.support.plain import plain_graph

NAMES = ("ant", "bee", "cat", "Dog", "ant")
STRIDE = 4


class Bright(nn.Module):
    """Cells of 4x4 pixels; filter 0 answers to light, filter 1 to darkness; in place after it."""

    class_names = ("light", "dark")

    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(3, 2, 6, stride=STRIDE, padding=1, bias=False)
        with torch.no_grad():
            self.conv.weight[0] = 1 / 108
            self.conv.weight[1] = -1 / 108
        self.relu = nn.ReLU(inplace=True)

    def forward(self, x):
        return self.relu(self.conv(x)).amax(dim=(2, 3))


def bright_net(fit="stretch"):
    """A photo's black is 0, its white 1."""
    levels = Preprocess((SIDE, SIDE), fit=fit, mean=(0, 0, 0), std=(1, 1, 1))
    return Backbone(Bright(), levels, name="bright", device="cpu")


def spot(row, column, height=64, width=96):
    """A black photo with a white square of a tenth about a place of the unit square."""
    photo = np.zeros((height, width, 3), np.uint8)
    y, x = round(row * height), round(column * width)
    photo[y - height // 16 : y + height // 16, x - width // 16 : x + width // 16] = 255
    return photo


# Classes


def test_ask__a_class_is_its_logit():
    net = backbone(Plain())
    question = ask(net, noise_photo(), 3)
    batch = torch.randn(4, 3, SIDE, SIDE)
    expected = net.module(batch)[:, 3]
    assert question.target == ClassTarget(3)
    assert question.target.label == "class 3"
    torch.testing.assert_close(question.objective(batch), expected)
    torch.testing.assert_close(question.scores(batch), expected.detach())


def test_ask__without_a_target_takes_the_top_class():
    net = backbone(Plain())
    pixels, _ = net.preprocess(Image.fromarray(noise_photo(4)))
    assert ask(net, noise_photo(4)).target.index == int(net.module(pixels[None]).argmax())


@pytest.mark.parametrize("given", [1, "bee", " BEE", "1", np.int64(1), ClassTarget(1)])
def test_find_target__knows_a_class_by_index_and_name(given):
    net = backbone(Plain())
    net.module.class_names = NAMES
    assert find_target(net, given) == ClassTarget(1, "bee")
    assert find_target(net, given).label == "bee (1)"


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ("beee", "nearest are bee"),
        ("ant", r"several classes.*\[0, 4\]"),
        (5, "classes 0..4"),
        (-1, "classes 0..4"),
        ("conv1", "nearest"),
        ("conv9/3", "unknown layer 'conv9'"),
        ("conv1/x", "layer/number"),
        (("conv1", 6), "filters 0..5"),
        (("conv1", 2, 3), "layer, number"),
        (None, "name the target"),
    ],
)
def test_find_target__says_what_does_not_exist(given, said):
    net = backbone(Plain())
    net.module.class_names = NAMES
    with pytest.raises(ExplGraphError, match=said):
        find_target(net, given)


def test_class_names__of_public_weights_and_of_nothing():
    public = Backbone(Plain(), name="squeezenet1_1", input_size=(SIDE, SIDE), device="cpu")
    assert class_names(public)[340] == "zebra"
    assert class_names(backbone(Plain())) is None
    # Names of another number than the logits are not these classes' names.
    assert find_target(public, 3) == ClassTarget(3, "")
    with pytest.raises(ExplGraphError, match="names of this network's classes are unknown"):
        find_target(public, "zebra")


def test_ask__a_network_without_logits_has_no_classes():
    net = backbone(nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU()))
    with pytest.raises(ExplGraphError, match=r"logits of shape \(B, classes\)"):
        ask(net, noise_photo())
    assert ask(net, noise_photo(), ("0", 1)).target.channel == 1


# Filters


@pytest.mark.parametrize("given", [("conv", 0), "conv/0"])
def test_ask__a_filter_is_asked_about_where_it_is_strongest(given):
    question = ask(bright_net(), spot(0.3, 0.7), given)
    assert question.target.cell == (int(0.3 * SIDE / STRIDE), int(0.7 * SIDE / STRIDE))
    assert question.target.label == "filter 0 of conv"


def test_objective__of_a_filter_is_its_own_output_whatever_follows():
    """The ReLU behind the layer works in place; darkness is negative light."""
    net = bright_net()
    question = ask(net, spot(0.3, 0.7), ("conv", 1))
    batch = torch.randn(3, 3, SIDE, SIDE)
    maps = nn.functional.conv2d(batch, net.module.conv.weight, stride=STRIDE, padding=1)
    row, column = question.target.cell
    torch.testing.assert_close(question.objective(batch), maps[:, 1, row, column])
    anywhere = Objective(net.module, find_target(net, ("conv", 1)))
    torch.testing.assert_close(anywhere(batch), maps[:, 1].amax((1, 2)))


def test_find_target__takes_a_filter_at_a_cell():
    net = bright_net()
    target = FilterTarget(net.layers()[0], 1, (2, 3))
    assert ask(net, spot(0.3, 0.7), target).target.cell == (2, 3)
    with pytest.raises(ExplGraphError, match="8 rows"):
        find_target(net, FilterTarget(net.layers()[0], 1, (8, 0)))


# Nodes


def graph_of(net, mu=(0.5, 0.5)):
    """One node of the filter for light."""
    (layer,) = net.select(["conv"])
    return plain_graph(
        (layer,),
        (SIDE, SIDE),
        nodes=(np.zeros(1), np.zeros(1), np.zeros(1)),
        mu=np.array([mu]) * SIDE,
        header={"weight_hash": net.weight_hash},
    )


def matches_of(graph, yx, *, score=0.1, mirrored=0, frame=((0, 1 / SIDE), (0, 1 / SIDE))):
    return Matches(
        images=("other", "000000"),
        yx=np.array([[(0.1, 0.1)], [yx]]),
        score=np.array([[0.0], [score]]),
        log_density=np.zeros((2, 1)),
        peak=np.array([[-1], [0 if score else -1]]),
        mirrored=np.array([0, mirrored]),
        node_layer=graph.node_layer,
        frames=np.array([((0, 1), (0, 1)), frame]),
    )


def test_ask__a_node_is_its_filter_on_the_peak_on_which_it_was_found():
    net = bright_net()
    graph = graph_of(net)
    found = matches_of(graph, (0.4, 0.6))  # on the way from where it is expected to the peak
    question = ask(net, spot(0.3, 0.7), Node(graph, 0), found=found)
    assert question.target.cell == (2, 5)
    assert question.target.label == "node conv/0/0"
    assert not question.mirrored


def test_ask__a_node_without_a_peak_is_asked_about_where_it_is_predicted():
    net = bright_net()
    graph = graph_of(net)
    found = matches_of(graph, (0.6, 0.2), score=0)
    assert ask(net, spot(0.3, 0.7), Node(graph, 0), found=found).target.cell == (4, 1)
    mirrored = matches_of(graph, (0.6, 0.2), score=0, mirrored=1)
    assert ask(net, spot(0.3, 0.7), Node(graph, 0), found=mirrored).target.cell == (4, 6)
    outside = matches_of(graph, (1.2, -0.1), score=0)
    assert ask(net, spot(0.3, 0.7), Node(graph, 0), found=outside).target.cell == (7, 0)


def test_ask__a_node_seen_in_the_mirrored_photo_is_asked_about_there():
    net = bright_net()
    graph = graph_of(net)
    found = matches_of(graph, (0.3, 0.7), mirrored=1)
    photo = spot(0.3, 0.7)
    question = ask(net, photo, "conv/0/0", graph=graph, found=found)
    assert question.mirrored
    assert question.target.cell == (2, 2)
    assert np.array_equal(np.asarray(question.image), photo[:, ::-1])
    given = ask(net, photo, ("conv", 0)).inputs
    torch.testing.assert_close(question.inputs, given.flip(3))


def test_ask__finds_the_node_itself_where_no_matches_are_given():
    net = bright_net()
    graph = graph_of(net, mu=(0.3, 0.7))
    question = ask(net, spot(0.3, 0.7), "conv/0/0", graph=graph)
    row, column = question.target.cell
    assert (row, column if not question.mirrored else 7 - column) == (2, 5)


def test_ask__knows_nodes_by_the_users_names():
    net = bright_net()
    graph = graph_of(net).rename({"conv/0/0": "пятно"})
    found = matches_of(graph, (0.3, 0.7))
    assert (
        ask(net, spot(0.3, 0.7), "пятно", graph=graph, found=found).target.name
        == "пятно (conv/0/0)"
    )
    assert ask(net, spot(0.3, 0.7), "dark", graph=graph).target == ClassTarget(1, "dark")
    with pytest.raises(ExplGraphError, match="unknown node 'conv/0/7'; the nearest are"):
        ask(net, spot(0.3, 0.7), "conv/0/7", graph=graph)


def test_available_methods_and_segments__are_asked_about_nodes_as_well():
    net = bright_net()
    graph = graph_of(net)
    assert available_methods(net, spot(0.3, 0.7), "conv/0/0", graph=graph)["saliency"] is None
    with pytest.raises(ExplGraphError):
        available_methods(net, spot(0.3, 0.7), "conv/0/0")  # nodes need a graph
    pytest.importorskip("skimage")
    segments = score_segments(net, spot(0.3, 0.7), "conv/0/0", graph=graph)
    assert segments.target == "node conv/0/0"


def test_ask__refuses_a_graph_of_another_network():
    net = bright_net()
    other = dataclasses.replace(graph_of(net), header={"weight_hash": "0" * 64})
    with pytest.raises(ExplGraphError, match="other weights"):
        ask(net, spot(0.3, 0.7), Node(other, 0))
    with pytest.raises(ExplGraphError, match="another network"):
        ask(net, spot(0.3, 0.7), Node(other, 0), found=matches_of(other, (0.3, 0.7)))


# Photos


def test_ask__frames_lead_to_the_photo():
    """A photo of 64 x 96 letterboxed: the upper edge of the network's input lies outside of it."""
    net = bright_net(fit="letterbox")
    question = ask(net, spot(0.3, 0.7), ("conv", 0))
    y, x = question.frame[:, 0] + question.frame[:, 1] * SIDE / 2
    assert (y, x) == pytest.approx((0.5, 0.5), abs=0.03)
    assert question.frame[0, 0] < -0.2
    assert question.frame[1, 0] == 0


def test_ask__takes_one_photo_in_any_form(tmp_path):
    net = bright_net()
    pixels = spot(0.3, 0.7)
    Image.fromarray(pixels).save(tmp_path / "one.png")
    expected = ask(net, pixels, 0).inputs
    forms = [
        Image.fromarray(pixels),
        Image.open(tmp_path / "one.png"),
        tmp_path / "one.png",
        [tmp_path / "one.png"],
        tmp_path,
        pixels[None],
        open_images(tmp_path),
    ]
    for form in forms:
        torch.testing.assert_close(ask(net, form, 0).inputs, expected)
    assert ask(net, forms[1], 0).name == "one.png"
    with pytest.raises(ExplGraphError, match="2 images"):
        ask(net, np.stack([pixels, pixels]), 0)


def test_ask__works_in_inference_mode_and_leaves_the_network_alone():
    net = backbone(Plain())
    net.module.train()
    net.module.head.eval()
    modes = [module.training for module in net.module.modules()]
    with torch.inference_mode():
        question = ask(net, noise_photo(), ("conv2", 1))
    question.objective(question.inputs.clone().requires_grad_()).sum().backward()
    net.module.zero_grad()
    assert [module.training for module in net.module.modules()] == modes
    assert not any(module._forward_hooks for module in net.module.modules())


def test_objective__runs_the_network_as_in_evaluation():
    """With dropout in training mode every pass would be another."""
    torch.manual_seed(0)
    module = nn.Sequential(nn.Conv2d(3, 4, SIDE), nn.Dropout(0.5), nn.Flatten())
    net = backbone(module.train())
    question = ask(net, noise_photo(), 2)
    expected = module[0](question.inputs)[0, 2, 0, 0].detach()
    assert module.training
    torch.testing.assert_close(question.scores(question.inputs)[0], expected)


def test_scores__are_batched():
    net = backbone(Plain())
    sizes = []
    question = ask(net, noise_photo(), 0, batch_size=3)
    handle = net.module.register_forward_hook(lambda m, x, y: sizes.append(len(x[0])))
    question.scores(torch.zeros(8, 3, SIDE, SIDE))
    handle.remove()
    assert sizes == [3, 3, 2]
    with pytest.raises(ExplGraphError, match="batch_size"):
        ask(net, noise_photo(), 0, batch_size=0)


# Baselines


def test_baseline__flat_colours_are_preprocessed_as_photos_are():
    net = backbone(Plain())
    question = ask(net, noise_photo(height=20, width=50), 0)
    for kind, level in (("black", 0), ("grey", 128), ("white", 255)):
        pixels = np.full((20, 50, 3), level, np.uint8)
        torch.testing.assert_close(question.baseline(kind), ask(net, pixels, 0).inputs)


def test_baseline__mean_and_blur_keep_the_mean_colour():
    question = ask(backbone(Plain()), noise_photo(), 0)
    mean = question.inputs.mean((2, 3))
    flat, blurred = question.baseline("mean"), question.baseline("blur")
    torch.testing.assert_close(flat, mean[:, :, None, None].expand_as(flat))
    torch.testing.assert_close(blurred.mean((2, 3)), mean, atol=0.05, rtol=0)
    assert float(blurred.std()) < 0.3 * float(question.inputs.std())
    with pytest.raises(ExplGraphError, match="unknown baseline 'blurr'; the nearest are blur"):
        question.baseline("blurr")
