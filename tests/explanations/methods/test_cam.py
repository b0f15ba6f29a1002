"""Class activation maps: by hand, equal to each other where theory says so, and at their places."""

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as nnf

from explgraph.base.errors import ExplGraphError
from explgraph.explanations.answers import answer, methods, reasons
from explgraph.explanations.attribution import on_pixels
from explgraph.explanations.methods.cam import cam_cells, front_layer, grad_cam_cells, pooled_head
from explgraph.explanations.questions import ask
from explgraph.networks.backbone import load_backbone
from tests.support.asking import ConvolutionLast, Plain, backbone, noise_photo
from tests.support.networks import random_backbone

attr = pytest.importorskip("captum.attr")


def scaled(cells):
    positive = np.maximum(np.asarray(cells), 0)
    return positive / positive.max()


# Grad-CAM


def test_grad_cam__is_captums_on_the_layers_cells():
    net = backbone(Plain())
    question = ask(net, noise_photo(), 2)
    for layer in ("conv1", "relu2"):
        expected = attr.LayerGradCam(net.module.eval(), net.module.get_submodule(layer)).attribute(
            question.inputs.clone().requires_grad_(), target=2, relu_attributions=True
        )
        found = grad_cam_cells(question, layer)
        torch.testing.assert_close(found, expected[0, 0].detach(), atol=1e-5, rtol=0)


def test_grad_cam__is_the_papers_formula():
    """Of a layer that an in-place ReLU follows: its own output counts, also below 0."""
    net = backbone(Plain())
    question = ask(net, noise_photo(), 2)
    module = net.module
    maps = module.conv2(module.conv1(question.inputs).relu()).detach().requires_grad_()
    logit = module.head(maps.relu().mean((2, 3)))[0, 2]
    (gradient,) = torch.autograd.grad(logit, maps)
    expected = (gradient.mean((2, 3), keepdim=True) * maps).sum(1).relu()[0].detach()
    torch.testing.assert_close(grad_cam_cells(question, "conv2"), expected, atol=1e-6, rtol=1e-4)


def test_grad_cam__takes_the_top_layer_of_the_classes_and_the_one_in_front_of_a_filter():
    net = backbone(Plain())
    for target, layer in ((0, "relu2"), (("relu2", 1), "relu1"), (("conv2", 1), "relu1")):
        question = ask(net, noise_photo(), target)
        assert front_layer(net, question.target).name == layer
        assert answer(question, "grad_cam").settings["layer"] == layer
    assert "no layer of maps in front" in reasons(ask(net, noise_photo(), ("conv1", 1)))["grad_cam"]


def test_grad_cam__of_a_filter_in_a_block_looks_in_front_of_the_block():
    class Block(nn.Module):
        def __init__(self):
            super().__init__()
            self.squeeze = nn.Conv2d(6, 3, 1)
            self.left, self.right = nn.Conv2d(3, 4, 1), nn.Conv2d(3, 4, 3, padding=1)

        def forward(self, x):
            x = self.squeeze(x).relu()
            return torch.cat([self.left(x), self.right(x)], 1).relu()

    torch.manual_seed(0)
    net = backbone(nn.Sequential(nn.Conv2d(3, 6, 3, padding=1), nn.ReLU(), Block()))
    assert front_layer(net, ask(net, noise_photo(), ("2", 5)).target).name == "1"


def test_grad_cam__refuses_layers_behind_the_target_and_targets_that_are_off():
    net = backbone(Plain())
    question = ask(net, noise_photo(), ("conv2", 1))
    with pytest.raises(ExplGraphError, match="0 in the whole layer relu2"):
        answer(question, "grad_cam", layer="relu2")
    with pytest.raises(ExplGraphError, match=r"^unknown layer 'relu3'"):
        answer(question, "grad_cam", layer="relu3")
    with torch.no_grad():
        net.module.conv2.bias[1] = -1e3
    assert "not off" in reasons(ask(net, noise_photo(), ("relu2", 1)))["grad_cam"]


def test_grad_cam__of_a_named_layer_where_there_is_no_default():
    """Nothing stands in front of the first layer; weighed by itself, it is the filter's own map."""
    question = ask(backbone(Plain()), noise_photo(), ("conv1", 1))
    assert "no layer of maps in front of conv1" in reasons(question)["grad_cam"]
    values = answer(question, "grad_cam", layer="conv1").values
    own = question.net.capture(question.inputs, ["conv1"])["conv1"][0, 1].clip(min=0).numpy()
    own = on_pixels(own, *question.net.select(["conv1"]), question.net.input_size)
    np.testing.assert_allclose(values / values.max(), own / own.max(), atol=1e-5)


def test_cams__lie_where_the_cells_look():
    """Filter 0 of a stack without padding answers to one white spot; its cells see it off-centre.

    The input is 32 pixels wide, the map 5: stretched over the input, its cells would stand at 3.2,
    9.6, ...; they look at 7.5, 11.5, ..., since no cell sees the border.
    """
    torch.manual_seed(0)
    module = nn.Sequential(
        nn.Conv2d(3, 4, 7, stride=2), nn.ReLU(), nn.Conv2d(4, 4, 5, stride=2), nn.ReLU(),
        nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 2),
    )  # fmt: skip
    net = backbone(module)
    (layer,) = net.select(["3"])
    assert layer.offset == (7.5, 7.5)
    assert layer.grid == (5, 5)
    cells = np.zeros(layer.grid)
    cells[1, 2] = 1
    pixels = on_pixels(cells, layer, (32, 32))
    rows, columns = np.divmod(np.arange(32 * 32), 32)
    centre = [np.average(axis + 0.5, weights=pixels.ravel()) for axis in (rows, columns)]
    assert centre == pytest.approx([11.5, 15.5], abs=1e-6)
    # Half-way between two centres: half of the value; on the far side of the next centre: nothing.
    assert pixels[11, 17] == pytest.approx(0.5 * pixels[11, 15], rel=0.1)
    assert pixels[11, 20] == 0
    constant = on_pixels(np.ones(layer.grid), layer, (32, 32))
    assert np.all(constant == 1)


# CAM


def test_cam__is_the_papers_formula():
    net = backbone(Plain())
    question = ask(net, noise_photo(), 3)
    module = net.module
    maps = module.conv2(module.conv1(question.inputs).relu()).relu()[0].detach().numpy()
    expected = np.einsum("c,chw->hw", module.head.weight[3].detach().numpy(), maps)
    np.testing.assert_allclose(cam_cells(question), expected, rtol=1e-4, atol=1e-6)
    # Zhou et al. 2016: without its offset the logit is the mean of the class activation map.
    logit = float(question.scores(question.inputs)) - float(module.head.bias[3].detach())
    assert expected.mean() == pytest.approx(logit, rel=1e-4)


@pytest.mark.parametrize(("module", "layer"), [(Plain, "relu2"), (ConvolutionLast, "relu")])
@pytest.mark.parametrize("target", [0, 1, 4])
def test_cam__is_grad_cam_up_to_scale(module, layer, target):
    """With a ReLU behind the last convolution too: see the text of the module."""
    net = backbone(module())
    question = ask(net, noise_photo(), target)
    if bool((cam_cells(question) > 0).any()):
        np.testing.assert_allclose(
            scaled(cam_cells(question)), scaled(grad_cam_cells(question, layer)), atol=1e-4
        )


def test_cam__tells_classes_apart():
    net = backbone(Plain())
    one, other = (answer(ask(net, noise_photo(), k), "cam").values for k in (0, 1))
    assert np.corrcoef(one.ravel(), other.ravel())[0, 1] < 0.95


class DenseNetEnd(Plain):
    """The last ReLU is a function: no module gives the maps that are averaged."""

    def forward(self, x):
        return self.head(nnf.relu(self.conv2(self.conv1(x))).mean((2, 3)))


class MiddleOnly(Plain):
    """The mean over a part of the cells."""

    def forward(self, x):
        return self.head(self.conv2(self.conv1(x)).relu()[:, :, 1:-1].mean((2, 3)))


class Scaled(Plain):
    """Something stands between the last linear layer and the logits."""

    def forward(self, x):
        return 3 * super().forward(x)


def test_cam__finds_the_averaged_maps_or_says_that_there_are_none():
    assert pooled_head(ask(backbone(DenseNetEnd()), noise_photo(), 0)).maps.min() == 0
    for module in (MiddleOnly(), Scaled()):
        assert "mean of maps" in reasons(ask(backbone(module), noise_photo(), 0))["cam"]
    linear = nn.Sequential(nn.Conv2d(3, 4, 9, stride=8, padding=1), nn.Flatten(), nn.Linear(64, 2))
    assert "mean of maps" in reasons(ask(backbone(linear), noise_photo(), 0))["cam"]
    assert (
        "for classes alone" in reasons(ask(backbone(Plain()), noise_photo(), ("conv1", 0)))["cam"]
    )


@pytest.mark.shared
@pytest.mark.parametrize(
    ("model", "layer"), [("squeezenet1_1", "features.12"), ("mobilenet_v2", "features.18")]
)
def test_cam__is_grad_cam_up_to_scale_in_trained_networks(shared, model, layer):
    net = load_backbone(model, shared / "models" / f"{model}.safetensors", device="cpu")
    photo = shared / "animalpart" / "zebra" / "0003.jpg"
    question = ask(net, photo, "zebra")
    assert answer(question, "grad_cam").settings["layer"] == layer
    np.testing.assert_allclose(
        scaled(cam_cells(question)), scaled(grad_cam_cells(question, layer)), atol=1e-4
    )
    other = ask(net, photo, "tench")
    assert np.abs(scaled(cam_cells(other)) - scaled(cam_cells(question))).max() > 0.5


@pytest.mark.slow
@pytest.mark.parametrize(
    ("model", "works"),
    [
        ("resnet18", True),
        ("googlenet", True),
        ("densenet121", True),
        ("efficientnet_b0", True),
        ("convnext_tiny", False),
        ("vgg16", False),
    ],
)
def test_cam__knows_which_networks_end_in_a_mean(model, works):
    question = ask(random_backbone(model, 64), noise_photo(), 0)
    assert (methods()["cam"].refuse(question, {}) is None) == works
