"""Randomised weights and noise: explanations that hang on them, and others that do not."""

import json
import math

import numpy as np
import pytest
import torch
from PIL import Image
from scipy.stats import rankdata, spearmanr
from torch import nn

from explgraph.base.errors import ExplGraphError
from explgraph.evaluation.explanations.checks import (
    noise_sensitivity,
    noisy,
    randomisation_check,
    randomised_networks,
    rank_correlation,
)
from explgraph.explanations.questions import ask
from explgraph.networks.backbone import Backbone
from explgraph.networks.preprocess import Preprocess

SIDE = 12
SAME = Preprocess((SIDE, SIDE), mean=(0, 0, 0), std=(1, 1, 1))


class Scale(nn.Module):
    """Parameters of its own, and no idea of how they were before training."""

    def __init__(self):
        super().__init__()
        self.by = nn.Parameter(torch.linspace(0.5, 1.5, 16)[:, None, None])

    def forward(self, batch):
        return batch * self.by


class Net(nn.Module):
    """Registered from the top to the bottom, with a head that is called in training alone."""

    def __init__(self):
        super().__init__()
        self.head = nn.Linear(16, 3)
        self.scale = Scale()
        self.second = nn.Conv2d(8, 16, 3, padding=1)
        self.first = nn.Conv2d(3, 8, 3, padding=1)
        self.unused = nn.Linear(2, 2)

    def forward(self, batch):
        maps = self.scale(torch.tanh(self.second(torch.tanh(self.first(batch)))))
        return self.head(maps.mean(dim=(2, 3)))


TOP_DOWN = ["head", "scale", "second", "first"]


@pytest.fixture
def net():
    with torch.random.fork_rng():
        torch.manual_seed(1)
        return Backbone(Net(), SAME, name="tanh", device="cpu")


@pytest.fixture
def photo(rng):
    return rng.integers(0, 256, (SIDE, SIDE, 3), dtype=np.uint8)


@pytest.fixture
def question(net, photo):
    return ask(net, photo, 1)


def gradient(question):
    """What every method hangs on in the end: how the target changes with red."""
    inputs = question.inputs.clone().requires_grad_()
    (found,) = torch.autograd.grad(question.objective(inputs).sum(), inputs)
    return found[0, 0].numpy()


def red(question):
    return question.inputs[0, 0].numpy()


def same_weights(one, other):
    return {
        name: torch.equal(values, dict(other.named_parameters())[name])
        for name, values in one.named_parameters()
    }


# -- weights ---------------------------------------------------------------------------------------


def test_networks__lose_their_weights_from_the_top_in_the_order_of_the_calls(net, question):
    before = {name: values.clone() for name, values in net.module.state_dict().items()}
    for stage, (layer, other) in enumerate(randomised_networks(net, question)):
        assert layer == TOP_DOWN[stage]
        same = same_weights(net.module, other.module)
        lost = {name.partition(".")[0] for name, equal in same.items() if not equal}
        assert lost == set(TOP_DOWN[: stage + 1])
    assert stage == len(TOP_DOWN) - 1
    after = net.module.state_dict()
    assert all(torch.equal(values, after[name]) for name, values in before.items())
    assert not any(len(m._forward_pre_hooks) for m in net.module.modules())


def test_networks__shuffle_what_cannot_be_reset(net, question):
    *_, last = randomised_networks(net, question)
    assert not torch.equal(last.net.module.scale.by, net.module.scale.by)
    np.testing.assert_array_equal(
        np.sort(last.net.module.scale.by.detach(), axis=None),
        np.sort(net.module.scale.by.detach(), axis=None),
    )


def test_networks__of_a_few_stages(net, question):
    assert [name for name, _ in randomised_networks(net, question, stages=2)] == ["scale", "first"]
    first = next(randomised_networks(net, question, stages=2))
    same = same_weights(net.module, first.net.module)
    assert not same["head.weight"]
    assert not same["scale.by"]
    assert same["second.weight"]


def test_networks__hang_on_the_seed_alone(net, question):
    torch.manual_seed(5)
    before = torch.get_rng_state()
    one, again, other = (next(randomised_networks(net, question, seed=s)).net for s in (0, 0, 1))
    assert torch.equal(torch.get_rng_state(), before)
    assert torch.equal(one.module.head.weight, again.module.head.weight)
    assert not torch.equal(one.module.head.weight, other.module.head.weight)


@pytest.mark.parametrize("stages", [0, 5])
def test_networks__of_more_stages_than_layers_are_refused(net, question, stages):
    with pytest.raises(ExplGraphError, match=r"within 1\.\.4, .* got"):
        next(randomised_networks(net, question, stages=stages))


def test_check__of_what_ignores_the_network_is_1(net, photo):
    found = randomisation_check(net, photo, 1, red)
    assert found.layers == tuple(TOP_DOWN)
    np.testing.assert_allclose(found.correlation, 1)
    assert found.target == "class 1"


def test_check__of_a_gradient_is_the_rank_correlation_by_stage(net, photo, question):
    found = randomisation_check(net, photo, 1, gradient, seed=3)
    for stage, (_, other) in enumerate(randomised_networks(net, question, seed=3)):
        expected = spearmanr(gradient(question).ravel(), gradient(ask(other, photo, 1)).ravel())
        assert found.correlation[stage] == pytest.approx(expected.statistic)
    assert np.abs(found.correlation).max() < 0.99
    assert list(found.table["layer"]) == TOP_DOWN


def test_check__asks_for_the_class_of_the_trained_network(net, photo):
    asked = []

    def noting(question):
        asked.append(question.target.index)
        return red(question)

    found = randomisation_check(net, photo, None, noting)
    assert asked == [asked[0]] * 5
    assert found.target == f"class {asked[0]}"


def test_check__of_methods_by_name(net, photo):
    pytest.importorskip("captum")
    by_name = randomisation_check(net, photo, 1, "saliency", stages=2)
    assert np.isfinite(by_name.correlation).all()
    assert (by_name.correlation < 0.9).all()


def test_check__of_explanations_that_vanish_is_nan(net, photo):
    def vanishing(question):
        if question.net is net:
            return red(question)
        if torch.equal(question.net.module.first.weight, net.module.first.weight):
            return np.zeros((SIDE, SIDE))
        raise ExplGraphError("the gradient is 0 everywhere")

    found = randomisation_check(net, photo, 1, vanishing)
    assert np.isnan(found.correlation).all()
    assert json.loads(json.dumps(found.to_json()))["correlation"] == [None] * 4


def test_check__of_an_explanation_that_is_not_possible_at_all_says_so(net, photo):
    def never(question):
        raise ExplGraphError("no way")

    for check in (randomisation_check, noise_sensitivity):
        with pytest.raises(ExplGraphError, match="no way"):
            check(net, photo, 1, never)


def test_rank_correlation__is_pearsons_of_the_ranks(rng):
    one, other = rng.integers(0, 5, (2, 9, 7))
    expected = np.corrcoef(rankdata(one), rankdata(other))[0, 1]
    assert rank_correlation(one, other) == pytest.approx(expected)
    assert math.isnan(rank_correlation(one, np.ones((9, 7))))


def test_check__equals_quantus_where_the_weights_are_the_same(photo):
    """Quantus seeds each layer anew, by one more: the top layer's weights are then ours."""
    quantus = pytest.importorskip("quantus")
    torch.manual_seed(2)
    layers = (nn.Conv2d(3, 4, 3), nn.Tanh(), nn.AdaptiveAvgPool2d(2), nn.Flatten())
    net = Backbone(nn.Sequential(*layers, nn.Linear(16, 3)).eval(), SAME, device="cpu")

    def explain_batch(model, inputs, targets, **_):
        batch = torch.tensor(inputs, dtype=torch.float32, requires_grad=True)
        (found,) = torch.autograd.grad(model(batch)[:, targets[0]].sum(), batch)
        return found[:, :1].numpy()

    inputs = ask(net, photo, 1).inputs.numpy()
    scores = quantus.MPRT(
        layer_order="top_down", seed=41, normalise=False, abs=False, disable_warnings=True
    )(
        model=net.module, x_batch=inputs, y_batch=np.array([1]), channel_first=True, device="cpu",
        a_batch=explain_batch(net.module, inputs, [1]), explain_func=explain_batch,
    )  # fmt: skip
    ours = randomisation_check(net, photo, 1, gradient, seed=42)
    assert ours.correlation[0] == pytest.approx(scores["4"][0], abs=1e-6)


# -- noise -----------------------------------------------------------------------------------------


def test_noise__is_small_and_seeded(net, photo, question):
    one, again, other = (noisy(question, 3, draw).inputs for draw in (0, 0, 1))
    change = one - question.inputs
    assert change.max() == pytest.approx(3 / 255, abs=1e-6)
    assert change.min() == pytest.approx(-3 / 255, abs=1e-6)
    assert torch.equal(one, again)
    assert not torch.equal(one, other)
    assert one.min() >= 0
    assert one.max() <= 1
    np.testing.assert_array_equal(
        np.asarray(noisy(question, 3).image) / np.float32(255), as_hwc(one)
    )


def as_hwc(inputs):
    return inputs[0].permute(1, 2, 0).numpy()


def test_noise__of_a_large_photo_survives_resizing(net):
    """Two photos of one grey, 12 and 120 wide. Noise at each pixel would be a tenth of it."""
    spread = [
        float(noisy(ask(net, Image.new("RGB", size, "#808080"), 1), 4).inputs.std())
        for size in ((SIDE, SIDE), (10 * SIDE, 5 * SIDE))
    ]
    assert spread[0] == pytest.approx(math.sqrt(80 / 12) / 255, rel=0.1)  # uniform on -4..4
    assert 0.5 * spread[0] < spread[1] <= spread[0]


def test_sensitivity__of_the_photo_itself_is_the_noise_over_the_photo(net, photo, question):
    found = noise_sensitivity(net, photo, 1, red, levels=5, draws=3)
    length = np.linalg.norm(red(question))
    expected = [
        np.linalg.norm(red(noisy(question, 5, draw)) - red(question)) / length for draw in range(3)
    ]
    np.testing.assert_allclose(found.changes, expected, rtol=1e-6)
    assert found.largest == max(found.changes)
    assert found.mean == pytest.approx(np.mean(expected))
    assert 0 < found.largest < 5 / 255 * SIDE / length
    assert json.loads(json.dumps(found.to_json()))["largest"] == found.largest


def test_sensitivity__of_what_ignores_the_photo_is_0(net, photo):
    assert noise_sensitivity(net, photo, 1, lambda _: np.eye(SIDE), draws=2).largest == 0


def test_sensitivity__of_an_explanation_that_is_0_is_relative_to_1(net, photo, question):
    def change(asked):
        return red(asked) - red(question)

    found = noise_sensitivity(net, photo, 1, change, draws=1)
    assert found.changes[0] == pytest.approx(np.linalg.norm(change(noisy(question, 4))), rel=1e-6)


def test_sensitivity__hangs_on_the_seed(net, photo):
    one, same, other = (
        noise_sensitivity(net, photo, 1, red, seed=seed, draws=2).changes for seed in (3, 3, 4)
    )
    assert one.tolist() == same.tolist()
    assert not np.isin(one, other).any()


@pytest.mark.parametrize("check", [randomisation_check, noise_sensitivity])
def test_batch_size__is_the_methods(net, photo, check):
    sizes = []

    def noting(question):
        sizes.append(question.batch_size)
        return red(question)

    check(net, photo, 1, noting, batch_size=5)
    assert set(sizes) == {5}


def test_sensitivity__equals_captums(net, photo, question):
    metrics = pytest.importorskip("captum.metrics")

    def explain(inputs):
        if isinstance(inputs, tuple):  # as Captum's own methods do
            return tuple(map(explain, inputs))
        inputs = inputs.detach().requires_grad_()
        with torch.enable_grad():
            value = question.objective(inputs).sum()
        return torch.autograd.grad(value, inputs)[0][:, :1]

    noise = torch.cat([noisy(question, 4, draw).inputs for draw in range(6)])
    theirs = metrics.sensitivity_max(
        explain, question.inputs, perturb_func=lambda _: noise, n_perturb_samples=6
    )
    ours = noise_sensitivity(net, photo, 1, gradient, levels=4, draws=6)
    assert ours.largest == pytest.approx(float(theirs), rel=1e-4)


@pytest.mark.parametrize(
    ("options", "message"),
    [({"levels": 0}, r"levels must be within 1\.\.255"), ({"draws": 0}, "draws must be at least")],
)
def test_options__that_make_no_sense_are_refused(net, photo, options, message):
    with pytest.raises(ExplGraphError, match=message):
        noise_sensitivity(net, photo, 1, red, **options)
