"""Many threads use one network, and its module beside it: right answers, modes restored."""

import threading
from functools import partial

import pytest
import torch
from torch import nn

import explgraph as eg
from explgraph.base.errors import ExplGraphError
from explgraph.evaluation.explanations.checks import randomisation_check
from explgraph.networks.backbone import Backbone
from explgraph.networks.hooks import hooked
from explgraph.networks.intervention import logit_gradients, observe
from explgraph.networks.shared import evaluation
from tests.support.together import MANY, at_once, content, hasty_switches, hooks, modes
from tests.support.world import LAYER, MODEL, WORLD


@pytest.fixture
def net():
    """A network of the test's own, whose modes may change."""
    return eg.load_backbone(MODEL, device="cpu")


def photos(first, count=4):
    return WORLD.photos[first : first + count]


def matched(net, first, **options):
    options = {"batch_size": 2, "progress": False, **options}
    return eg.match(WORLD.graph, net, photos(first), **options)


def repeated(call, times):
    """What ``times`` calls give, which must all be the same."""
    found = [content(call()) for _ in range(times)]
    assert all(one == found[0] for one in found)
    return found[0]


@pytest.mark.parametrize("threads, times", [(2, 25), (8, 5)])
def test_match__by_threads_with_one_network_is_as_one_after_the_other(net, threads, times):
    """Each thread has its own photos. Hooks that keep any thread's batch mix them up (A1)."""
    calls = [partial(matched, net, 2 * i) for i in range(threads)]
    expected = [content(call()) for call in calls]
    found = at_once([partial(repeated, call, times * MANY) for call in calls])
    assert found == expected
    assert hooks(net.module) == 0


def test_own_inference__goes_on_beside_match_and_both_are_right(net):
    """The module is called by others in the middle of our passes (A2)."""
    batch = torch.randn((1, 3, 128, 128), generator=torch.Generator().manual_seed(1))
    over = threading.Event()

    def infer():
        with torch.no_grad():
            wanted = net.module(batch)
            calls = 0
            while not over.is_set():
                assert torch.equal(net.module(batch), wanted)
                calls += 1
        return calls

    def match():
        try:
            return repeated(partial(matched, net, 0), 15 * MANY)
        finally:
            over.set()

    found, *calls = at_once([match, infer, infer])
    assert found == content(matched(net, 0))
    assert min(calls) > 10


def test_modes__come_back_after_threads(net):
    """Some submodules train and some do not (A3)."""
    net.module.train()
    net.module.stage2.eval()
    before, statistics = modes(net.module), content(net.module.state_dict())
    expected = [content(matched(net, i)) for i in range(8)]
    calls = [partial(repeated, partial(matched, net, i), 4 * MANY) for i in range(8)]
    assert at_once(calls) == expected
    assert modes(net.module) == before
    assert content(net.module.state_dict()) == statistics
    assert hooks(net.module) == 0


def test_modes__of_submodules_that_two_networks_share_come_back_with_the_last(net):
    """A pass of the whole ends while one of its parts goes on, and the other way round."""
    part = Backbone(nn.Sequential(net.module.stage1, net.module.stage2), input_size=(32, 32))
    net.module.train()
    with evaluation(part.module):
        with evaluation(net.module):
            assert not any(modes(net.module).values())
        assert not any(modes(part.module).values())
        assert net.module.stage3.training
    assert all(modes(net.module).values())
    whole, inner = evaluation(net.module), evaluation(part.module)
    whole.__enter__()
    inner.__enter__()
    whole.__exit__(None, None, None)
    assert not any(modes(net.module.stage1).values())
    assert net.module.stage3.training
    inner.__exit__(None, None, None)
    assert all(modes(net.module).values())


def test_modes__that_another_thread_changes_are_no_wrong_answer(net):
    def train(*_):
        net.module.stage2.train()

    with (
        pytest.raises(ExplGraphError, match="training mode"),
        hooked(net.module, {"stage1.relu1": train}),
    ):
        net.capture(torch.zeros((1, 3, 128, 128)), [LAYER])
    assert net.module.stage2.training  # theirs to put back
    assert not net.module.stage1.training


def _all_that_runs(net):
    """By name, calls of everything that sets hooks or modes, or shares PyTorch's random numbers."""
    graph, found, photo = WORLD.graph, WORLD.found, WORLD.photos[1]
    batch = torch.randn((2, 3, 128, 128), generator=torch.Generator().manual_seed(2))
    names = [layer.name for layer in graph.layers]
    methods = (
        *("grad_cam", "cam", "saliency", "guided_backprop", "lrp", "segments"),
        *("blur_integrated_gradients", "deconvolution"),
    )
    calls = {m: partial(eg.explain, net, photo, 1, m) for m in methods}
    calls["smoothgrad"] = partial(eg.explain, net, photo, 1, "smoothgrad", seed=3, samples=8)
    calls["filter"] = partial(eg.explain, net, photo, ("stage3.relu2", 5), "vargrad", samples=4)
    return calls | {
        "match": partial(matched, net, 3),
        "extract": partial(eg.extract, net, photos(5), progress=False),
        "observe": partial(observe, net, batch, names),
        "gradients": partial(logit_gradients, net, batch, names),
        "decision": partial(eg.explain_decision, graph, net, photo, 1, nodes=[0, 1]),
        "trace": partial(eg.trace, graph, net, photo, n_nodes=2),
        "effects": partial(
            eg.edge_effects, graph, found, net, WORLD.source,
            parents=graph.ranking()[:3].tolist(), n_photos=2, progress=False,
        ),
        "visualize": partial(eg.visualize, net, 2, size=(64, 64), steps=3),
        "randomised": partial(randomisation_check, net, photo, 1, "saliency", stages=2),
        "layers": lambda: Backbone(net.module, net.preprocess, device="cpu").layers(),
    }  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize("training", [True] if MANY == 1 else [True, False])
def test_everything__at_once_is_as_one_after_the_other(net, training):
    net.module.train(training)
    calls = _all_that_runs(net)
    before, numbers = modes(net.module), torch.get_rng_state()
    expected = {name: content(call()) for name, call in calls.items()}
    assert torch.equal(torch.get_rng_state(), numbers)
    for _ in range(MANY):
        found = at_once([lambda call=call: content(call()) for call in calls.values()])
        wrong = [name for name, one in zip(calls, found, strict=True) if one != expected[name]]
        assert not wrong
    assert modes(net.module) == before
    assert hooks(net.module) == 0
    assert torch.equal(torch.get_rng_state(), numbers)


def test_hook__acts_in_its_own_thread_alone(net):
    batch, seen = torch.zeros((1, 3, 128, 128)), []
    with hooked(net.module, {LAYER: seen.append}), hasty_switches():
        at_once([partial(net.module, batch)] * 2)
        assert seen == []
        net.module(batch)
    assert len(seen) == 1
