"""A network cut at layers: against the whole network's gradients, one cell at a time."""

import numpy as np
import pytest
import torch
from torch import nn

from explgraph.base.arrays import NONE
from explgraph.base.errors import ExplGraphError
from explgraph.networks.backbone import Backbone
from explgraph.networks.sections import Sections, apart
from tests.support.networks import Gate, SharedReLU, random_backbone


@pytest.fixture(scope="module", params=["squeezenet1_0", "mobilenet_v2", "resnet18"])
def net(request):
    return random_backbone(request.param, 96)


def photos(net, count=2):
    return torch.randn((count, 3, *net.input_size), generator=torch.Generator().manual_seed(0))


def last_layers(net):
    return [spec.name for spec in net.select("auto")][-3:]


def by_autograd(net, batch, below, layer, photo, cell):
    """(H, W, C): the derivative of one cell by the layer below, with nothing cut."""
    kept = {}

    def keep(name):
        def hook(_module, _inputs, output):
            kept[name] = output.detach().clone().requires_grad_() if name == below else output
            return kept[name].clone() if name == below else None

        return hook

    handles = [net.module.get_submodule(n).register_forward_hook(keep(n)) for n in (below, layer)]
    net.module.eval()
    net.module(batch.clone())
    for handle in handles:
        handle.remove()
    value = kept[layer][photo].flatten()[cell]
    (found,) = torch.autograd.grad(value, kept[below])
    return found[photo].permute(1, 2, 0).numpy()


def test_gradients__are_those_of_the_whole_network(net):
    batch, (low, _, high) = photos(net), last_layers(net)
    for below, above in ((low, high), tuple(last_layers(net)[1:])):
        sections = Sections(net, batch, last_layers(net))
        cells = [np.array([7]), np.array([40, 3])]
        found = sections.gradients(above, below, cells)
        if below == low:
            assert not found.any()  # what lies between is cut off
            continue
        want = by_autograd(net, batch, below, above, 0, 7)
        np.testing.assert_allclose(found[0], want, atol=1e-6 + 1e-4 * np.abs(want).max())
        want = sum(by_autograd(net, batch, below, above, 1, cell) for cell in (40, 3))
        np.testing.assert_allclose(found[1], want, atol=1e-6 + 1e-4 * np.abs(want).max())


def test_maps__are_the_layers_own_outputs_and_the_network_stays_as_it_was(net):
    batch, names = photos(net), last_layers(net)
    hooks = [len(module._forward_hooks) for module in net.module.modules()]
    sections = Sections(net, batch, names)
    for name, output in net.capture(batch, names).items():
        torch.testing.assert_close(sections.maps[name], output)
    assert [len(module._forward_hooks) for module in net.module.modules()] == hooks
    assert all(parameter.grad is None for parameter in net.module.parameters())


def test_apart__cells_of_one_turn_see_different_cells_and_nothing_else(net):
    """What a cell's gradient reaches lies within what the turn gives it."""
    names = last_layers(net)[1:]
    below, above = net.select(names)
    rng = np.random.default_rng(0)
    cells = rng.permutation(above.channels * above.grid[0] * above.grid[1])[:40]
    owner = apart(below, above, cells)
    assert sorted(np.unique(owner[owner != NONE])) == list(range(40))
    sections = Sections(net, photos(net, 1), names)
    for i, cell in enumerate(cells):
        found = sections.gradients(names[1], names[0], [np.array([cell])])[0]
        (turn,) = np.unique(np.nonzero(owner == i)[0])
        assert not found[owner[turn] != i].any()


def test_apart__cells_far_from_each_other_share_a_turn():
    net = random_backbone("squeezenet1_0", 224)
    below, above = net.select(["features.8", "features.9"])
    corners = np.array([0, 26, 26 * 27, 26 * 27 + 26])
    assert len(apart(below, above, corners)) == 1
    assert len(apart(below, above, np.array([0, 1, 27, 4]))) == 3


def test_apart__behind_a_gate_every_cell_has_its_own_turn():
    module = nn.Sequential(
        nn.Conv2d(3, 4, 3, padding=1), nn.ReLU(), Gate(4), nn.Conv2d(4, 4, 3, padding=1), nn.ReLU()
    )
    net = Backbone(module, input_size=(16, 16), device="cpu")
    below, above = net.select(["1", "4"])
    owner = apart(below, above, np.array([0, 255]))
    assert owner.shape == (2, 16, 16)
    assert (owner == np.arange(2)[:, None, None]).all()


def test_gradients__behind_a_ceiling_are_means_along_the_way():
    """ReLU6 of twice a cell: from 0 to 4 it rises by 2 until 3, then not at all."""
    conv, double = nn.Conv2d(3, 1, 3, padding=1), nn.Conv2d(1, 1, 3, padding=1)
    with torch.no_grad():
        for one, value in ((conv, 0.0), (double, 0.0)):
            one.weight.fill_(value)
            one.bias.zero_()
        conv.weight[0, 0, 1, 1] = 1
        double.weight[0, 0, 1, 1] = 2
    module = nn.Sequential(conv, nn.ReLU(), double, nn.ReLU6())
    net = Backbone(module, input_size=(8, 8), device="cpu")
    batch = torch.full((1, 3, 8, 8), 4.0)
    cells = [np.array([9])]
    at_once = Sections(net, batch, ["1", "3"]).gradients("3", "1", cells)
    assert not at_once.any()
    rest = {"1": np.zeros(1, dtype=np.float32), "3": np.zeros(1, dtype=np.float32)}
    along = Sections(net, batch, ["1", "3"], rest=rest)
    found = along.gradients("3", "1", cells)[0, ..., 0]
    assert found[1, 1] == pytest.approx(1.5)  # 1.5 times 4 is all of the 6
    assert np.count_nonzero(found) == 1
    assert along.maps["3"].max() == 6
    module[3] = nn.ReLU()
    straight = Sections(
        Backbone(module, input_size=(8, 8), device="cpu"), batch, ["1", "3"], rest=rest
    )
    assert straight.gradients("3", "1", cells)[0, 1, 1, 0] == 2


def test_network__whose_layers_cannot_be_cut_is_refused():
    net = Backbone(SharedReLU(), input_size=(16, 16), device="cpu")
    with pytest.raises(ExplGraphError, match="calls 3 times"):
        Sections(net, photos(net), ["conv1", "relu"])
