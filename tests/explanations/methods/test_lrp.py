"""Relevance, against propagation by dense matrices and against two libraries."""

import numpy as np
import pytest
import torch
import torchvision
from torch import nn
from torch.nn import functional as nnf

import explgraph as eg
from explgraph.base.errors import ExplGraphError
from explgraph.explanations.answers import answer, available_methods, explain
from explgraph.explanations.methods.lrp import NoRuleError, propagate_relevance
from explgraph.explanations.questions import ask
from explgraph.networks.preprocess import Preprocess
from tests.support.networks import CifarResNet56, Gate

EPSILON = 1e-6


def backbone(module, side):
    return eg.Backbone(module, Preprocess((side, side)), name="test", device="cpu")


def asked(module, side=12, target=1, seed=0):
    photo = np.random.default_rng(seed).integers(0, 256, (side, side, 3), dtype=np.uint8)
    return ask(backbone(module, side), photo, target)


def random(module, seed=0):
    """Give every weight, bias and statistic a value of its own."""
    torch.manual_seed(seed)
    for child in module.modules():
        if isinstance(child, nn.BatchNorm2d):
            nn.init.normal_(child.running_mean, 0, 0.3)
            nn.init.uniform_(child.running_var, 0.5, 2)
            nn.init.uniform_(child.weight, 0.5, 1.5)
            nn.init.normal_(child.bias, 0, 0.3)
    return module


def stack():
    torch.manual_seed(3)
    return nn.Sequential(
        nn.Conv2d(3, 4, 3, padding=1), nn.ReLU(), nn.Conv2d(4, 5, 3, stride=2, padding=1),
        nn.ReLU(inplace=True), nn.AvgPool2d(2), nn.Flatten(), nn.Linear(20, 3),
    )  # fmt: skip


def matrix(module, shape):
    """Return the matrix (outputs, inputs) of a linear module, its bias (outputs,)."""
    with torch.no_grad():
        zero = module(torch.zeros(1, *shape)).flatten()
        units = torch.eye(int(np.prod(shape))).reshape(-1, *shape)
        return (module(units).flatten(1) - zero).T.double().numpy(), zero.double().numpy()


def shared_out(relevance, parts, denominator):
    """Share the relevance (outputs,) out among inputs as ``parts`` (outputs, inputs)."""
    return relevance @ (parts / denominator[:, None])


@pytest.mark.parametrize("rule", ["epsilon_plus_flat", "epsilon"])
def test_lrp__is_the_propagation_by_dense_matrices(rule):
    module = stack()
    question = asked(module, side=8)
    values = [question.inputs.double().numpy().ravel()]
    layers = []
    shape = (3, 8, 8)
    with torch.no_grad():
        x = question.inputs
        for part in module:
            if isinstance(part, nn.Conv2d | nn.Linear | nn.AvgPool2d):
                layers.append((part, values[-1], *matrix(part, tuple(shape))))
            x = part(x)
            shape = x.shape[1:]
            values.append(x.double().numpy().ravel())
    relevance = np.zeros(3)
    relevance[1] = values[-1][1]
    for i, (part, given, weight, bias) in reversed(list(enumerate(layers))):
        parts = weight * given
        if rule == "epsilon":
            total = parts.sum(1) + bias
        elif i == 0:
            parts = (weight != 0).astype(float)
            total = parts.sum(1)
        elif isinstance(part, nn.Conv2d):
            parts = np.maximum(parts, 0)
            total = parts.sum(1)
        else:
            total = parts.sum(1)
        relevance = shared_out(relevance, parts, total + EPSILON * np.where(total < 0, -1, 1))
    found = propagate_relevance(question, rule, EPSILON)
    want = relevance.reshape(3, 8, 8)
    np.testing.assert_allclose(found.values, want, rtol=1e-3, atol=1e-4 * np.abs(want).max())
    assert found.answer == pytest.approx(values[-1][1], rel=1e-5)
    missing = values[-1][1] - want.sum()
    assert found.absorbed == pytest.approx(missing if rule == "epsilon" else 0, abs=1e-4)


def test_lrp__epsilon_is_input_times_gradient_in_a_network_of_relus():
    """Ancona et al. 2018, proposition 1."""
    question = asked(random(torchvision.models.resnet18(num_classes=5)), side=64)
    found = propagate_relevance(question, "epsilon", 1e-9).values
    inputs = question.inputs.clone().requires_grad_()
    with torch.enable_grad():
        (gradient,) = torch.autograd.grad(question.objective(inputs).sum(), inputs)
    want = (inputs * gradient)[0].detach()
    np.testing.assert_allclose(found, want, atol=2e-3 * float(want.abs().max()))


def test_lrp__on_a_resnet_is_zennits_own():
    zennit = pytest.importorskip("zennit.composites")
    from zennit.attribution import Gradient
    from zennit.torchvision import ResNetCanonizer

    module = random(torchvision.models.resnet18(num_classes=5)).eval()
    question = asked(module, side=64)
    found = propagate_relevance(question, "epsilon_plus_flat", EPSILON).values
    composite = zennit.EpsilonPlusFlat(canonizers=[ResNetCanonizer()], zero_params=["bias"])
    with Gradient(module, composite) as attributor:
        _, want = attributor(
            question.inputs.clone(), lambda output: output * nnf.one_hot(torch.tensor([1]), 5)
        )
    # zennit leaves merged normalisation in place, where it still divides by sqrt(1 + 1e-5).
    np.testing.assert_allclose(found, want[0], rtol=2e-4, atol=1e-5 * float(want.abs().max()))


class Flattened(nn.Module):
    """The same without a module that flattens, for which Captum has no rule."""

    def __init__(self, parts):
        super().__init__()
        self.maps, self.last = nn.Sequential(*parts[:-2]), parts[-1]
        self.maps[3] = nn.ReLU()

    def forward(self, x):
        return self.last(self.maps(x).flatten(1))


def test_lrp__is_captums_on_a_plain_network():
    captum = pytest.importorskip("captum.attr")
    module = Flattened(stack())
    question = asked(module, side=8)
    found = propagate_relevance(question, "epsilon", 1e-9).values
    inputs = question.inputs.clone().requires_grad_()
    want = captum.LRP(module.eval()).attribute(inputs, target=1)[0].detach()
    assert float(want.abs().max()) > 0.01
    np.testing.assert_allclose(found, want, atol=1e-5)


class Functional(nn.Module):
    """All that can be written as functions: sums, pools, means, rectifiers, a module used twice."""

    def __init__(self):
        super().__init__()
        self.first, self.norm = nn.Conv2d(3, 6, 3, padding=1, bias=False), nn.BatchNorm2d(6)
        self.second = nn.Conv2d(6, 6, 3, padding=1)
        self.last = nn.Linear(6, 3)

    def forward(self, x):
        x = nnf.relu(self.norm(self.first(x)))
        x = torch.add(x, torch.relu(self.second(x)))
        x += nnf.relu6(self.second(x))
        x = nnf.avg_pool2d(x, 2).relu()
        x = nnf.max_pool2d(x, 2)
        return self.last(x.mean((2, 3)))


class Modular(Functional):
    """The same as modules."""

    def __init__(self):
        super().__init__()
        self.relus = nn.ModuleList([nn.ReLU(), nn.ReLU(), nn.ReLU6(), nn.ReLU()])
        self.again = nn.Conv2d(6, 6, 3, padding=1)
        zennit = pytest.importorskip("zennit.layer")
        self.sums = nn.ModuleList([zennit.Sum(), zennit.Sum()])
        self.pools = nn.ModuleList([nn.AvgPool2d(2), nn.MaxPool2d(2), nn.AdaptiveAvgPool2d(1)])

    def forward(self, x):
        x = self.relus[0](self.norm(self.first(x)))
        x = self.sums[0](torch.stack([x, self.relus[1](self.second(x))], -1))
        x = self.sums[1](torch.stack([x, self.relus[2](self.again(x))], -1))
        x = self.pools[1](self.relus[3](self.pools[0](x)))
        return self.last(self.pools[2](x).flatten(1))


def test_lrp__functions_are_taken_for_the_modules_that_they_stand_for():
    composites = pytest.importorskip("zennit.composites")
    from zennit.attribution import Gradient
    from zennit.canonizers import NamedMergeBatchNorm

    functional, modular = random(Functional()).eval(), Modular().eval()
    modular.load_state_dict(functional.state_dict(), strict=False)
    modular.again.load_state_dict(functional.second.state_dict())
    question = asked(functional)
    found = propagate_relevance(question, "epsilon_plus_flat", EPSILON)
    assert found.error < 1e-3
    merge = NamedMergeBatchNorm([(("first",), "norm")])
    composite = composites.EpsilonPlusFlat(canonizers=[merge], zero_params=["bias"])
    with Gradient(modular, composite) as attributor:
        output, want = attributor(
            question.inputs.clone(), lambda output: output * nnf.one_hot(torch.tensor([1]), 3)
        )
    assert float(output.detach()[0, 1]) == pytest.approx(found.answer, rel=1e-4)
    np.testing.assert_allclose(found.values, want[0], atol=1e-4 * float(want.abs().max()))


@pytest.mark.parametrize("rule", ["epsilon_plus_flat", "epsilon"])
@pytest.mark.parametrize("target", [4, ("layer2.3", 7), ("layer1.0", 2)])
def test_lrp__is_conserved_in_a_users_residual_network(rule, target):
    question = asked(random(CifarResNet56()), side=32, target=target)
    found = propagate_relevance(question, rule, EPSILON)
    assert found.error < 1e-3
    assert found.answer == pytest.approx(float(question.scores(question.inputs)), rel=1e-4)
    if rule == "epsilon_plus_flat":
        assert float(found.values.sum()) == pytest.approx(found.answer, rel=1e-3)


def test_lrp__of_a_filter_stays_in_its_receptive_field():
    net = backbone(stack(), 8)
    layer = net.layers()[-1]
    photo = np.random.default_rng(0).integers(0, 256, (8, 8, 3), dtype=np.uint8)
    question = ask(net, photo, (layer.name, 1))
    found = propagate_relevance(question, "epsilon_plus_flat", EPSILON).values.sum(0)
    centre = np.add(layer.offset, np.multiply(layer.stride, question.target.cell))
    rows, columns = np.nonzero(found.numpy())
    assert np.all(np.abs(rows + 0.5 - centre[0]) < layer.field[0] / 2 + 1)
    assert np.all(np.abs(columns + 0.5 - centre[1]) < layer.field[1] / 2 + 1)
    assert (found == 0).any()


class Swish(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv, self.gate = nn.Conv2d(3, 8, 3), Gate(8)
        self.last = nn.Linear(8, 3)

    def forward(self, x):
        return self.last(self.gate(self.conv(x)).mean((2, 3)))


class Branching(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(3, 3, 3)

    def forward(self, x):
        return self.conv(x).mean((2, 3)) if x.sum() > 1e9 else self.conv(x).amax((2, 3))


class NormFirst(nn.Module):
    def __init__(self):
        super().__init__()
        self.norm, self.conv = nn.BatchNorm2d(3), nn.Conv2d(3, 3, 3)

    def forward(self, x):
        return self.conv(self.norm(x)).mean((2, 3))


class Flipped(nn.Module):
    """The input is changed in place where nobody would look for it."""

    def __init__(self):
        super().__init__()
        self.conv, self.relu = nn.Conv2d(3, 3, 3), nn.ReLU(inplace=True)

    def forward(self, x):
        x = self.conv(x)
        self.relu(x)
        return x.mean((2, 3))


class Lossy(nn.Module):
    """The last maps are above 0 because of their bias alone."""

    def __init__(self):
        super().__init__()
        self.first, self.second = nn.Conv2d(3, 4, 3), nn.Conv2d(4, 3, 3)
        self.second.weight.data = -self.second.weight.data.abs() / 100
        self.second.bias.data[:] = 1

    def forward(self, x):
        return self.second(nnf.relu(self.first(x))).relu().mean((2, 3))


@pytest.mark.parametrize(
    ("module", "reason"),
    [
        (Swish, "no rule for its step 'sigmoid'"),
        (Branching, "its steps cannot be traced"),
        (NormFirst, "normalisation norm does not follow a layer with weights"),
        (Flipped, "works in place"),
        (Lossy, "relevance is not conserved on this photo by the rule epsilon_plus_flat"),
        (lambda: nn.Sequential(nn.Conv2d(3, 4, 3), nn.GELU(), nn.Flatten(), nn.Linear(400, 3)),
         "no rule for GELU"),
    ],
)  # fmt: skip
def test_lrp__is_refused_with_the_reason(module, reason):
    torch.manual_seed(0)
    net = backbone(module(), 12)
    photo = np.random.default_rng(0).integers(0, 256, (12, 12, 3), dtype=np.uint8)
    assert reason in available_methods(net, photo, 1)["lrp"]
    with pytest.raises(ExplGraphError, match=reason):
        explain(net, photo, 1, "lrp")


def test_lrp__may_be_possible_by_another_rule_than_the_default():
    torch.manual_seed(0)
    net = backbone(Lossy(), 12)
    photo = np.random.default_rng(0).integers(0, 256, (12, 12, 3), dtype=np.uint8)
    assert available_methods(net, photo, 1)["lrp"] is not None
    assert explain(net, photo, 1, "lrp", rule="epsilon").settings["rule"] == "epsilon"


def test_lrp__is_refused_where_the_answer_is_0():
    module = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Conv2d(4, 4, 3), nn.ReLU())
    module[2].bias.data[:] = -1e6
    photo = np.zeros((12, 12, 3), np.uint8)
    with pytest.raises(ExplGraphError, match="the answer is 0"):
        explain(backbone(module, 12), photo, ("3", 0), "lrp")


@pytest.mark.parametrize(
    ("options", "message"),
    [({"rule": "gamma"}, "unknown rule 'gamma'"), ({"epsilon": 0.0}, "epsilon must be above 0")],
)
def test_lrp__options_are_checked(options, message):
    with pytest.raises(ExplGraphError, match=rf"^(lrp: )?{message}"):
        answer(asked(stack(), side=8), "lrp", **options)


def test_lrp__leaves_the_network_as_it_was():
    module = random(CifarResNet56()).train()
    before = {name: value.clone() for name, value in module.state_dict().items()}
    question = asked(module, side=32)
    first, again = (answer(question, "lrp").values for _ in range(2))
    np.testing.assert_array_equal(first, again)
    assert all(child.training for child in module.modules())
    assert all(torch.equal(before[name], value) for name, value in module.state_dict().items())
    assert not any(child._forward_hooks or child._forward_pre_hooks for child in module.modules())
    assert all(p.requires_grad and p.grad is None for p in module.parameters())
    assert not question.inputs.requires_grad


def test_lrp__runs_in_half_precision_networks():
    found = answer(asked(stack().to(torch.bfloat16), side=8), "lrp")
    assert np.isfinite(found.values).all()


@pytest.mark.shared
def test_lrp__on_public_networks(shared):
    """SqueezeNet keeps all relevance; MobileNet loses nearly all, and is refused."""
    photo = sorted((shared / "animalpart" / "zebra").rglob("*.jpg"))[0]
    for name in ("squeezenet1_1", "mobilenet_v2"):
        net = eg.load_backbone(name, shared / "models" / f"{name}.safetensors")
        question = ask(net, photo)
        if name == "squeezenet1_1":
            found = answer(question, "lrp")
            assert found.values.sum() == pytest.approx(
                float(question.scores(question.inputs)), rel=1e-3
            )
            assert (found.values >= -1e-6).all()
        else:
            with pytest.raises(ExplGraphError, match="relevance is not conserved on this photo"):
                answer(question, "lrp")


def test_propagate_relevance__raises_without_a_way():
    with pytest.raises(NoRuleError, match="sigmoid"):
        propagate_relevance(asked(Swish()), "epsilon", EPSILON)
