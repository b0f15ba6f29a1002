"""Changed layers: what arrives at the logits, and that the network is left alone."""

import pytest
import torch
from torch import nn
from torch.nn import functional as nnf

from explgraph.base.errors import ExplGraphError
from explgraph.networks.backbone import Backbone
from explgraph.networks.intervention import Rest, logit_gradients, observe
from tests.support.editing import edited_logits

SIDE = 12


class Chain(nn.Module):
    """A convolution with an in-place ReLU, then a linear readout of all its cells."""

    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3, stride=2, padding=1)
        self.relu = nn.ReLU(inplace=True)
        self.head = nn.Linear(4 * 36, 5)

    def forward(self, x):
        return self.head(self.relu(self.conv(x)).flatten(1))


class Fork(nn.Module):
    """A layer that feeds three ways: two branches that are joined, and a skip connection."""

    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3, padding=1)
        self.relu = nn.ReLU(inplace=True)
        self.left = nn.Conv2d(4, 4, 1)
        self.right = nn.Conv2d(4, 4, 3, padding=1)
        self.head = nn.Linear(8, 5)

    def forward(self, x):
        x = self.relu(self.conv(x))
        left, right = nnf.relu(self.left(x), inplace=True), nnf.relu(self.right(x), inplace=True)
        both = torch.cat([left + x, right], dim=1)
        return self.head(both.mean((2, 3)))

    def rest(self, x):
        both = torch.cat([self.left(x).relu() + x, self.right(x).relu()], dim=1)
        return self.head(both.mean((2, 3)))


class Past(nn.Module):
    """A layer that a second way leads past, joined to it by a sum or a concatenation."""

    def __init__(self, join):
        super().__init__()
        self.stem = nn.Conv2d(3, 4, 3, padding=1)
        self.conv = nn.Conv2d(4, 4, 3, padding=1)
        self.join = join
        self.head = nn.Linear(8 if join == "cat" else 4, 5)

    def forward(self, x):
        way = self.stem(x)
        layer = self.conv(way)
        if self.join == "cat":
            return self.head(torch.cat([way, layer], dim=1).mean((2, 3)))
        if self.join == "into the way":
            way += layer
            return self.head(way.mean((2, 3)))
        return self.head((way + layer).mean((2, 3)))


def backbone(module, seed=0):
    torch.manual_seed(seed)
    for parameter in module.parameters():
        nn.init.normal_(parameter, 0, 0.5)
    return Backbone(module, name="tiny", input_size=(SIDE, SIDE), device="cpu")


@pytest.fixture
def batch():
    return torch.randn((3, 3, SIDE, SIDE), generator=torch.Generator().manual_seed(1))


# -- one changed pass ------------------------------------------------------------------------------


@pytest.mark.parametrize("layer", ["conv", "relu"])
def test_edit__that_changes_nothing_gives_the_networks_own_logits(batch, layer):
    net = backbone(Chain())
    with torch.no_grad():
        expected = net.module(batch)
    assert torch.equal(edited_logits(net, batch, layer, lambda maps: maps), expected)


def test_edit__is_what_the_rest_of_the_network_gets(batch):
    """Behind the ReLU the network is linear: its readout of any maps is known."""
    net = backbone(Chain())
    maps = torch.rand((3, 4, 6, 6))
    found = edited_logits(net, batch, "relu", lambda _: maps)
    torch.testing.assert_close(found, net.module.head(maps.flatten(1)).detach())


def test_edit__sees_the_layers_own_output_before_an_in_place_relu(batch):
    net, seen = backbone(Chain()), []

    def note(maps):
        seen.append(maps.clone())
        return -maps

    found = edited_logits(net, batch, "conv", note)
    with torch.no_grad():
        expected = net.module.conv(batch)
        assert (expected < 0).any()
        torch.testing.assert_close(seen[0], expected)
        torch.testing.assert_close(found, net.module.head((-expected).relu().flatten(1)))


def test_edit__cannot_be_reached_by_what_follows_in_place(batch):
    net = backbone(Chain())
    mine = torch.full((3, 4, 6, 6), -1.0)
    edited_logits(net, batch, "conv", lambda _: mine)
    assert torch.all(mine == -1)


def test_edit__reaches_every_module_that_the_layer_feeds(batch):
    net = backbone(Fork())
    maps = torch.rand((3, 4, SIDE, SIDE))
    found = edited_logits(net, batch, "relu", lambda _: maps.clone())
    with torch.no_grad():
        torch.testing.assert_close(found, net.module.rest(maps))


def state(module):
    flags = [
        (m.training, len(m._forward_hooks), len(m._forward_pre_hooks)) for m in module.modules()
    ]
    values = {k: v.clone() for k, v in module.state_dict().items()}
    return flags, values, [p.requires_grad for p in module.parameters()]


def assert_untouched(module, before):
    after = state(module)
    assert after[0] == before[0]
    assert all(torch.equal(after[1][k], v) for k, v in before[1].items())
    assert after[2] == before[2]
    assert all(p.grad is None for p in module.parameters())


def test_network__is_left_as_it_was(batch):
    net = backbone(Chain())
    net.module.train()
    net.module.relu.eval()
    net.module.head.bias.requires_grad_(False)
    before = state(net.module)
    observe(net, batch, ["conv", "relu"])
    edited_logits(net, batch, "conv", torch.zeros_like)
    logit_gradients(net, batch, ["conv", "relu"])
    Rest(net, "relu").logits(batch[:1], torch.rand((2, 4, 6, 6)))
    assert_untouched(net.module, before)


def test_network__is_left_as_it_was_by_an_edit_that_fails(batch):
    net = backbone(Chain())
    net.module.train()
    before = state(net.module)
    with pytest.raises(ZeroDivisionError):
        edited_logits(net, batch, "relu", lambda maps: maps / (1 // 0))
    assert_untouched(net.module, before)


def test_layer__that_is_not_one_is_refused(batch):
    with pytest.raises(ExplGraphError, match="unknown layer 'rely'"):
        observe(backbone(Chain()), batch, ["rely"])


def test_network__without_logits_is_refused(batch):
    module = nn.Sequential(nn.Conv2d(3, 4, 3, padding=1), nn.ReLU())
    with pytest.raises(ExplGraphError, match=r"must return logits .* got \(3, 4, 12, 12\)"):
        observe(backbone(module), batch, ["1"])


class Moody(Chain):
    """Leaves its ReLU out for dark photos."""

    def forward(self, x):
        maps = self.conv(x)
        return self.head((maps if x.mean() < -1 else self.relu(maps)).flatten(1))


def test_layer__that_a_photo_does_not_pass_is_refused(batch):
    with pytest.raises(ExplGraphError, match="did not call relu for this batch"):
        observe(backbone(Moody()), batch - 5, ["relu"])


def test_observation__is_of_one_pass(batch):
    net = backbone(Chain())
    seen = observe(net, batch, ["relu", "conv"])
    with torch.no_grad():
        torch.testing.assert_close(seen.maps["conv"], net.module.conv(batch))
        torch.testing.assert_close(seen.maps["relu"], net.module.conv(batch).relu())
        torch.testing.assert_close(seen.logits, net.module(batch))


# -- many variants of one photo --------------------------------------------------------------------


@pytest.mark.parametrize(
    ("module", "layer", "grows"),
    [
        (Chain(), "conv", True),  # an in-place ReLU follows
        (Chain(), "relu", True),
        (Fork(), "relu", True),
        (Past("sum"), "conv", True),  # the way past the layer is broadcast
        (Past("cat"), "conv", False),
        (Past("into the way"), "conv", False),
    ],
    ids=["chain", "chain's end", "fork", "sum", "cat", "into the way"],
)
def test_rest__equals_a_pass_for_each_variant(batch, module, layer, grows):
    net = backbone(module)
    shape = observe(net, batch, [layer]).maps[layer].shape
    variants = torch.randn((37, *shape[1:]), generator=torch.Generator().manual_seed(2))
    mine, rest = variants.clone(), Rest(net, layer)
    found = rest.logits(batch[:1], variants)
    each = [edited_logits(net, batch[:1], layer, lambda _, v=v: v[None]) for v in mine]
    torch.testing.assert_close(found, torch.cat(each), rtol=1e-4, atol=1e-5)
    assert rest._grows is grows
    assert torch.equal(variants, mine)


def test_rest__runs_the_front_once_where_the_batch_may_grow(batch):
    net, rows = backbone(Chain()), []
    rest = Rest(net, "relu")
    assert rest._grows
    handle = net.module.conv.register_forward_hook(lambda m, i, output: rows.append(len(output)))
    rest.logits(batch[:1], torch.rand((20, 4, 6, 6)))
    handle.remove()
    assert rows == [1]


# -- gradients -------------------------------------------------------------------------------------


def test_gradient__behind_a_linear_rest_is_its_weights(batch):
    net = backbone(Chain())
    found = logit_gradients(net, batch, ["relu"], target=2)
    weights = net.module.head.weight[2].detach().reshape(1, 4, 6, 6)
    torch.testing.assert_close(found.gradients["relu"], weights.expand(3, -1, -1, -1))
    assert found.target.tolist() == [2, 2, 2]


def test_gradient__is_the_slope_of_the_logit_at_every_layer(batch):
    net = backbone(Fork())
    with torch.no_grad():
        net.module.double()
    for parameter in net.module.parameters():
        parameter.requires_grad_(False)
    found = logit_gradients(net, batch, ["conv", "relu"])
    top = found.logits.argmax(dim=1)
    assert torch.equal(found.target, top)
    step = torch.randn((3, 4, SIDE, SIDE), generator=torch.Generator().manual_seed(3))
    for layer in ("conv", "relu"):
        ends = [
            edited_logits(net, batch, layer, lambda maps, h=h: maps + h * step).gather(
                1, top[:, None]
            )
            for h in (-1e-3, 1e-3)
        ]
        slope = (ends[1] - ends[0])[:, 0] / 2e-3
        expected = (found.gradients[layer] * step).sum(dim=(1, 2, 3))
        torch.testing.assert_close(slope, expected, rtol=1e-2, atol=1e-2)


def test_gradient__may_be_asked_for_where_gradients_are_switched_off(batch):
    net = backbone(Chain())
    expected = logit_gradients(net, batch, ["relu"], target=0).gradients["relu"]
    with torch.inference_mode():
        found = logit_gradients(net, batch * 1, ["relu"], target=0).gradients["relu"]
    assert torch.equal(found, expected)


@pytest.mark.parametrize("target", [-1, 5])
def test_class__that_does_not_exist_is_refused(batch, target):
    with pytest.raises(ExplGraphError, match=rf"no class {target}: the network has classes 0\.\.4"):
        logit_gradients(backbone(Chain()), batch, ["relu"], target)
