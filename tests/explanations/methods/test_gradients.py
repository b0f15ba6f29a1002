"""Gradients and what is made of them: equal to Captum called directly, and true to their axioms."""

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as nnf

from explgraph.base.errors import ExplGraphError
from explgraph.explanations.answers import answer, available_methods
from explgraph.explanations.questions import ask
from explgraph.networks.backbone import load_backbone
from tests.support.asking import SIDE, Plain, backbone, noise_photo

attr = pytest.importorskip("captum.attr")

NAMES = ("saliency", "input_x_gradient", "smoothgrad", "vargrad", "integrated_gradients")
REDUCED = {
    "saliency": lambda found: found.abs().amax(0),
    "smoothgrad": lambda found: found.abs().amax(0),
    "vargrad": lambda found: found.sum(0),
    "input_x_gradient": lambda found: found.sum(0),
    "integrated_gradients": lambda found: found.sum(0),
}


def by_captum(name, module, inputs, target, black):
    """What Captum returns for a plain module that it is asked about directly."""
    noise = 0.15 * float(inputs.max() - inputs.min())
    inputs = inputs.clone().requires_grad_()
    module.eval()
    torch.manual_seed(0)
    if name == "saliency":
        found = attr.Saliency(module).attribute(inputs, target=target, abs=False)
    elif name == "input_x_gradient":
        found = attr.InputXGradient(module).attribute(inputs, target=target)
    elif name == "integrated_gradients":
        found = attr.IntegratedGradients(module).attribute(
            inputs, black, target=target, n_steps=64, internal_batch_size=16
        )
    else:
        found = attr.NoiseTunnel(attr.Saliency(module)).attribute(
            inputs,
            nt_type=name,
            nt_samples=32,
            nt_samples_batch_size=16,
            stdevs=noise,
            target=target,
            abs=False,
        )
    return REDUCED[name](found[0].detach()).numpy()


@pytest.mark.parametrize("name", NAMES)
def test_gradients__are_captums(name):
    net = backbone(Plain())
    question = ask(net, noise_photo(), 2)
    expected = by_captum(name, net.module, question.inputs, 2, question.baseline("black"))
    np.testing.assert_allclose(answer(question, name).values, expected, rtol=0, atol=1e-5)


@pytest.mark.shared
@pytest.mark.parametrize("model", ["squeezenet1_1", "mobilenet_v2"])
def test_gradients__are_captums_in_trained_networks(shared, model):
    net = load_backbone(model, shared / "models" / f"{model}.safetensors", device="cpu")
    question = ask(net, shared / "animalpart" / "zebra" / "0003.jpg", "zebra")
    for name in ("saliency", "input_x_gradient"):
        expected = by_captum(name, net.module, question.inputs, 340, None)
        np.testing.assert_allclose(answer(question, name).values, expected, rtol=0, atol=1e-5)


@pytest.mark.parametrize("name", NAMES)
def test_gradients__tell_classes_apart(name):
    net = backbone(Plain())
    one, other = (answer(ask(net, noise_photo(), k), name).values for k in (0, 1))
    assert np.corrcoef(one.ravel(), other.ravel())[0, 1] < 0.95


def test_saliency__of_a_linear_network_is_its_largest_weight():
    linear = nn.Conv2d(3, 2, SIDE, bias=False)
    net = backbone(nn.Sequential(linear, nn.Flatten()))
    found = answer(ask(net, noise_photo(), 1), "saliency")
    expected = linear.weight[1].abs().amax(0).detach()
    np.testing.assert_allclose(found.values, expected, rtol=1e-6)
    assert not found.signed


def test_input_x_gradient__adds_up_to_the_answer_without_offsets():
    net = backbone(Plain(bias=False))
    question = ask(net, noise_photo(), 4)
    found = answer(question, "input_x_gradient")
    assert found.values.sum() == pytest.approx(float(question.scores(question.inputs)), rel=1e-4)
    assert found.signed


@pytest.mark.parametrize("baseline", ["black", "white", "mean", "blur"])
def test_integrated_gradients__add_up_to_the_difference(baseline):
    question = ask(backbone(Plain(seed=5)), noise_photo(), 1)
    found = answer(question, "integrated_gradients", baseline=baseline, steps=300)
    ends = question.scores(torch.cat([question.baseline(baseline), question.inputs]))
    assert found.values.sum() == pytest.approx(float(ends[1] - ends[0]), rel=0.01)


def test_smoothgrad__of_a_linear_network_is_its_gradient_and_vargrad_nothing():
    net = backbone(nn.Sequential(nn.Conv2d(3, 2, SIDE), nn.Flatten()))
    question = ask(net, noise_photo(), 0)
    plain = answer(question, "saliency").values
    np.testing.assert_allclose(answer(question, "smoothgrad").values, plain, rtol=1e-5)
    assert answer(question, "vargrad").values.max() < 1e-6 * plain.max()


class Square(nn.Module):
    """f = the sum of w x^2 / 2, so the gradient at x + noise is w (x + noise)."""

    def __init__(self):
        super().__init__()
        self.w = nn.Parameter(torch.linspace(1, 2, SIDE))

    def forward(self, x):
        return (self.w * x**2).sum((1, 2, 3))[:, None] / 2


def test_vargrad__is_the_variance_of_the_noise_times_the_weight():
    net = backbone(Square())
    question = ask(net, noise_photo(), 0)
    found = answer(question, "vargrad", noise=0.2, samples=100).values
    sigma = 0.2 * float(question.inputs.max() - question.inputs.min())
    expected = 3 * (sigma * net.module.w.detach().numpy()) ** 2
    np.testing.assert_allclose(found.mean(axis=0), expected, rtol=0.15)


@pytest.mark.parametrize(("name", "most"), [("smoothgrad", 5), ("integrated_gradients", 5)])
def test_gradients__are_taken_in_batches(name, most):
    net = backbone(Plain())
    sizes = []
    question = ask(net, noise_photo(), 0, batch_size=most)
    net.module.register_forward_hook(lambda m, x, y: sizes.append(len(x[0])))
    answer(question, name)
    assert max(sizes) == most


@pytest.mark.parametrize(
    ("name", "options", "said"),
    [
        ("smoothgrad", {"noise": 0}, "noise must be above 0"),
        ("vargrad", {"samples": 1}, "samples must be at least 2"),
        ("integrated_gradients", {"steps": 0}, "steps must be at least 1"),
        ("integrated_gradients", {"baseline": "dark"}, "unknown baseline"),
    ],
)
def test_gradients__refuse_options_without_sense(name, options, said):
    with pytest.raises(ExplGraphError, match=said):
        answer(ask(backbone(Plain()), noise_photo(), 0), name, **options)


class Cut(Plain):
    """Gradients end in the middle."""

    def forward(self, x):
        return super().forward(x).detach()


class Dead(Plain):
    """The last ReLU is off everywhere."""

    def forward(self, x):
        return self.head(nnf.relu(self.conv2(self.conv1(x)) - 1e3).mean((2, 3)))


def test_gradients__refuse_networks_and_targets_without_one():
    said = available_methods(backbone(Cut()), noise_photo(), 0)
    assert {name for name in NAMES if "does not let gradients" in (said[name] or "")} == set(NAMES)
    said = available_methods(backbone(Dead()), noise_photo(), 0)
    assert "0 at every pixel" in said["saliency"]
    assert "0 at every pixel" in said["input_x_gradient"]
    with pytest.raises(ExplGraphError, match=r"saliency is not possible for class 0.*every pixel"):
        answer(ask(backbone(Dead()), noise_photo(), 0), "saliency")
