"""Somebody else's network is run as it is meant to be, and left as it was."""

import pytest
import torch
from torch import nn

from explgraph.base.errors import ExplGraphError
from explgraph.networks.backbone import Backbone
from explgraph.networks.hooks import class_logits, hooked, removed_after, run


class Classifier(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3)
        self.drop = nn.Dropout(0.5)
        self.head = nn.Linear(4, 5)

    def forward(self, x):
        return self.head(self.drop(self.conv(x).mean(dim=(2, 3))))


@pytest.fixture
def batch():
    return torch.randn((2, 3, 8, 8), generator=torch.Generator().manual_seed(0))


def count_hooks(module):
    return sum(len(m._forward_hooks) + len(m._forward_pre_hooks) for m in module.modules())


def test_removed_after__when_setting_a_hook_fails_the_others_go():
    module = Classifier()
    names = ["conv", "head", "nowhere"]
    handles = (module.get_submodule(n).register_forward_hook(lambda *_: None) for n in names)
    with pytest.raises(AttributeError, match="nowhere"), removed_after(handles):
        pass
    assert count_hooks(module) == 0


def test_hooked__sees_replaces_and_is_gone_when_the_network_fails(batch):
    module = Classifier().eval()
    with hooked(module, {"head": lambda output: output + 1, "conv": lambda _: None}) as called:
        changed = module(batch)
        assert called == {"head", "conv"}
        assert count_hooks(module) == 2
    torch.testing.assert_close(changed, module(batch) + 1)
    with pytest.raises(RuntimeError), hooked(module, {"head": lambda output: output}):
        module(batch[:, :2])
    assert count_hooks(module) == 0


def test_run__in_evaluation_and_in_the_weights_own_type(batch):
    module = Classifier().to(torch.bfloat16).train()
    expected = module.eval()(batch.to(torch.bfloat16))
    module.train()
    module.drop.eval()
    found = run(module, batch)
    torch.testing.assert_close(found, expected, rtol=0, atol=0)
    assert module.training
    assert not module.drop.training
    assert class_logits(module, batch).dtype == torch.float32


def test_run__without_weights(batch):
    assert run(nn.Flatten(), batch.double()).dtype == torch.float32


def test_logits__have_gradients_where_the_caller_wants_them(batch):
    net = Backbone(Classifier(), input_size=(8, 8), device="cpu")
    batch.requires_grad_()
    with torch.no_grad():
        assert not net.logits(batch).requires_grad
    (gradient,) = torch.autograd.grad(net.logits(batch).sum(), batch)
    assert gradient.abs().sum() > 0


def test_logits__what_is_no_classifier_is_refused(batch):
    net = Backbone(nn.Sequential(nn.Conv2d(3, 4, 3)), input_size=(8, 8), device="cpu")
    assert net.run(batch).shape == (2, 4, 6, 6)
    with pytest.raises(ExplGraphError, match=r"must return logits .* got \(2, 4, 6, 6\)"):
        net.logits(batch)
    with pytest.raises(ExplGraphError, match="got tuple: only classifiers"):
        class_logits(Pair(), batch)


class Pair(nn.Module):
    def forward(self, x):
        return x, x
