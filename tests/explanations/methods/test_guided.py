"""Guided backpropagation and deconvolution: the rule holds at every rectifier, or is refused."""

import copy
import warnings

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as nnf

from explgraph.base.errors import ExplGraphError
from explgraph.explanations.answers import answer, reasons
from explgraph.explanations.methods.guided import guided_gradient, with_own_rectifiers
from explgraph.explanations.questions import ask
from explgraph.networks.backbone import load_backbone
from tests.support.asking import SIDE, ConvolutionLast, Plain, PreActivation, backbone, noise_photo
from tests.support.networks import random_backbone

attr = pytest.importorskip("captum.attr")

RULES = {"guided_backprop": "GuidedBackprop", "deconvolution": "Deconvolution"}


class GuidedRelu(torch.autograd.Function):
    """Springenberg et al. 2015, figure 1, written down for these tests."""

    @staticmethod
    def forward(ctx, x):
        ctx.save_for_backward(x)
        return x.clamp(min=0)

    @staticmethod
    def backward(ctx, grad):
        (x,) = ctx.saved_tensors
        return grad * (grad > 0) * (x > 0)


class DeconvolvedRelu(GuidedRelu):
    @staticmethod
    def backward(ctx, grad):
        return grad * (grad > 0)


OWN = {"guided_backprop": GuidedRelu.apply, "deconvolution": DeconvolvedRelu.apply}


def reduced(found):
    return found[0].detach().abs().amax(0).numpy()


def plain_gradient(question):
    inputs = question.inputs.clone().requires_grad_()
    return torch.autograd.grad(question.objective(inputs).sum(), inputs)[0]


def quiet_captum(rule, module, inputs, target):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return getattr(attr, rule)(module.eval()).attribute(
            inputs.clone().requires_grad_(), target=target
        )


@pytest.mark.parametrize("name", RULES)
@pytest.mark.parametrize("net", [Plain, ConvolutionLast])
def test_guided__is_captums_where_every_rectifier_is_a_module(net, name):
    question = ask(backbone(net()), noise_photo())
    expected = quiet_captum(
        RULES[name], question.net.module, question.inputs, question.target.index
    )
    np.testing.assert_allclose(answer(question, name).values, reduced(expected), atol=1e-5, rtol=0)
    assert not torch.allclose(expected, plain_gradient(question))


@pytest.mark.parametrize("name", RULES)
@pytest.mark.parametrize(
    "rectify",
    [nnf.relu, torch.relu, torch.Tensor.relu, lambda x: nnf.relu(input=x), nn.ReLU()],
    ids=["functional", "torch", "method", "keyword", "shared module"],
)
def test_guided__reaches_rectifiers_however_they_are_written(rectify, name):
    """Also where the tensor before the rectifier is used elsewhere: only one way is guided."""
    question = ask(backbone(PreActivation(rectify)), noise_photo(), 3)
    by_hand = PreActivation(OWN[name])
    inputs = question.inputs.clone().requires_grad_()
    (expected,) = torch.autograd.grad(by_hand(inputs)[0, 3], inputs)
    np.testing.assert_allclose(answer(question, name).values, reduced(expected), atol=1e-5, rtol=0)
    assert np.abs(reduced(plain_gradient(question)) - reduced(expected)).max() > 1e-3


@pytest.mark.parametrize(
    ("rectify", "said"),
    [
        (nnf.relu6, r"Hardtanh \(as in ReLU6\)"),
        (nnf.gelu, "Gelu"),
        (nnf.silu, "Silu"),
        (nnf.leaky_relu, "LeakyRelu"),
        (lambda x: x.clamp(min=0), "Clamp"),
        (lambda x: torch.where(x > 0, x, 0), "Where"),
        (lambda x: torch.maximum(x, torch.zeros(())), "Maximum"),
        (GuidedRelu.apply, "GuidedRelu"),
        (lambda x: x, "no ReLU on the way"),
    ],
)
def test_guided__is_refused_where_the_network_bends_otherwise(rectify, said):
    question = ask(backbone(PreActivation(rectify)), noise_photo(), 3)
    for name in (*RULES, "guided_grad_cam"):
        with pytest.raises(ExplGraphError, match=said):
            answer(question, name)


def test_guided__looks_only_at_the_way_to_the_target():
    """The bend behind a filter does not matter to the filter."""
    module = nn.Sequential(
        nn.Conv2d(3, 4, 3, padding=1), nn.ReLU(), nn.Conv2d(4, 4, 3, padding=1), nn.SiLU()
    )
    net = backbone(module)
    assert reasons(ask(net, noise_photo(), ("2", 1)))["guided_backprop"] is None
    assert "Silu" in reasons(ask(net, noise_photo(), ("3", 1)))["guided_backprop"]


def test_guided__is_refused_where_it_would_be_the_plain_gradient():
    """Nothing but one positive number comes back to the rectifier of the filter itself."""
    question = ask(backbone(Plain()), noise_photo(), ("relu1", 2))
    assert "plain gradient" in reasons(question)["guided_backprop"]
    assert (
        "plain gradient"
        in reasons(ask(backbone(Plain()), noise_photo(), ("conv1", 2)))["deconvolution"]
    )


def test_deconvolution__is_refused_where_nothing_comes_back():
    module = Plain(bias=False)
    with torch.no_grad():
        module.head.weight.abs_().neg_()
    assert (
        "hold everything back" in reasons(ask(backbone(module), noise_photo(), 0))["deconvolution"]
    )


class Compiled(nn.Module):
    """A rectifier that no Python function calls."""

    def __init__(self):
        super().__init__()
        self.stem = nn.Conv2d(3, 4, 3, padding=1)
        self.head = nn.Linear(4, 3)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            self.relu = torch.jit.trace(nn.ReLU(), torch.zeros(1, 4, SIDE, SIDE))

    def forward(self, x):
        return self.head(self.relu(self.stem(x)).mean((2, 3)))


class Reader(nn.Module):
    """Reads what an in-place rectifier left behind."""

    def __init__(self):
        super().__init__()
        self.stem = nn.Conv2d(3, 4, 3, padding=1)
        self.relu = nn.ReLU(inplace=True)
        self.head = nn.Linear(4, 3)

    def forward(self, x):
        x = self.stem(x)
        self.relu(x)
        return self.head(x.mean((2, 3)))


class Uncopyable(Plain):
    def __deepcopy__(self, memo):
        raise RuntimeError("no copies of me")


@pytest.mark.parametrize(
    ("module", "said"),
    [(Compiled, "compiled code"), (Reader, "computes something else"), (Uncopyable, "no copies")],
)
def test_guided__is_refused_where_a_copy_cannot_be_had(module, said):
    assert said in reasons(ask(backbone(module()), noise_photo(), 1))["guided_backprop"]


def test_guided__leaves_the_network_alone_and_shares_its_weights():
    net = backbone(Plain())
    net.module.train()
    before = copy.deepcopy(net.module.state_dict())
    question = ask(net, noise_photo(), 0)
    guided_gradient(question, "GuidedBackprop")
    converted = with_own_rectifiers(question)
    ours = {id(p) for p in net.module.parameters()}
    assert {id(p) for p in converted.parameters()} == ours
    assert net.module.training
    assert isinstance(net.module.relu1, nn.ReLU)
    assert net.module.relu1.inplace
    assert all(p.grad is None for p in net.module.parameters())
    assert not any(m._forward_hooks or m._forward_pre_hooks for m in net.module.modules())
    for name, value in net.module.state_dict().items():
        assert torch.equal(value, before[name])


def test_guided_grad_cam__is_captums_where_cells_lie_as_it_assumes():
    net = backbone(Plain())
    question = ask(net, noise_photo(), 1)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        expected = attr.GuidedGradCam(net.module.eval(), net.module.conv2).attribute(
            question.inputs.clone().requires_grad_(), target=1, interpolate_mode="bilinear"
        )
    found = answer(question, "guided_grad_cam", layer="conv2")
    assert found.values.max() > 0
    np.testing.assert_allclose(found.values, reduced(expected), atol=1e-5, rtol=0)
    product = (
        answer(question, "guided_backprop").values
        * answer(question, "grad_cam", layer="conv2").values
    )
    np.testing.assert_allclose(found.values, product, rtol=1e-5)


@pytest.mark.shared
def test_guided__in_a_trained_network(shared):
    photo = shared / "animalpart" / "zebra" / "0003.jpg"
    net = load_backbone(
        "squeezenet1_1", shared / "models" / "squeezenet1_1.safetensors", device="cpu"
    )
    question = ask(net, photo, "zebra")
    expected = quiet_captum("GuidedBackprop", net.module, question.inputs, 340)
    found = answer(question, "guided_backprop").values
    np.testing.assert_allclose(found, reduced(expected), atol=1e-5, rtol=0)
    assert np.abs(found - reduced(plain_gradient(question))).max() > 0.1 * found.max()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("model", "said"),
    [
        ("vgg16", None),
        ("resnet18", None),
        ("googlenet", None),
        ("efficientnet_b0", "Silu"),
        ("convnext_tiny", "Gelu"),
    ],
)
def test_guided__differs_from_the_gradient_or_is_refused(model, said):
    """The networks in which Captum silently returns the plain gradient, and those it knows."""
    question = ask(random_backbone(model, 64), noise_photo(), 0)
    if said is not None:
        with pytest.raises(ExplGraphError, match=said):
            answer(question, "guided_backprop")
        return
    gradient = reduced(plain_gradient(question))
    for name in RULES:
        found = answer(question, name).values
        assert np.abs(found - gradient).max() > 0.1 * gradient.max()
