"""Somebody else's network is run as it is meant to be, and left as it was."""

import pytest
import torch
from torch import nn

from explgraph.base.errors import ExplGraphError
from explgraph.networks.backbone import Backbone
from explgraph.networks.hooks import (
    capture_outputs,
    class_logits,
    copied,
    hooked,
    run,
)
from explgraph.networks.shared import own_hooks


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


def test_own_hooks__when_setting_a_hook_fails_the_others_go():
    module = Classifier()
    names = ["conv", "head", "nowhere"]
    hooks = ((module.get_submodule(n).register_forward_hook, lambda *_: None) for n in names)
    with pytest.raises(AttributeError, match="nowhere"), own_hooks(hooks):
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


class Strides(nn.Module):
    """Returns its input's layout, and shows whether it had to."""

    def __init__(self, flatten):
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3, padding=1)
        self.flatten, self.layouts = flatten, []

    def forward(self, x):
        self.layouts.append(x.is_contiguous(memory_format=torch.channels_last))
        return self.flatten(self.conv(x))


def test_run__channels_last_on_the_cpu_and_weights_stay_where_they_are(batch):
    module = Strides(lambda x: x.flatten(1))
    before = [(p.data_ptr(), p.stride()) for p in module.parameters()]
    kept = batch.clone()
    found = run(module, batch)
    assert module.layouts == [True]
    assert [(p.data_ptr(), p.stride()) for p in module.parameters()] == before
    assert batch.is_contiguous()
    assert torch.equal(batch, kept)
    torch.testing.assert_close(found, module.conv(batch).flatten(1))


def test_run__a_network_that_views_gets_the_layout_it_was_written_for(batch):
    module = Strides(lambda x: x.view(len(x), -1))
    expected = module.conv(batch).flatten(1)
    for _ in range(2):
        assert torch.equal(run(module, batch), expected)
    assert module.layouts == [True, False, False]  # it is asked once
    seen = capture_outputs(module, batch, ["conv"])["conv"]
    assert torch.equal(seen.flatten(1), expected)


def test_run__other_errors_of_a_network_are_its_own(batch):
    def fail(x):
        raise RuntimeError("out of something")

    module = Strides(fail)
    with pytest.raises(RuntimeError, match="out of something"):
        run(module, batch)
    assert module.layouts == [True]


def test_copied__is_float32_and_lies_map_by_map():
    output = torch.randn((2, 3, 4, 5)).to(torch.bfloat16, memory_format=torch.channels_last)
    found = copied(output)
    assert found.dtype == torch.float32
    assert found.is_contiguous()
    assert torch.equal(found, output.float())
    output.zero_()
    assert found.abs().min() > 0
