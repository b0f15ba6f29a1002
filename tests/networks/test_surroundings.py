"""What modes of PyTorch the caller is in changes nothing."""

from contextlib import contextmanager
from functools import cache

import pytest
import torch

import explgraph as eg
from explgraph.networks.intervention import logit_gradients
from explgraph.networks.sections import Sections
from tests.support.together import content
from tests.support.world import LAYERS, MODEL, WORLD


@contextmanager
def default_device(name):
    torch.set_default_device(name)
    try:
        yield
    finally:
        torch.set_default_device(None)


@contextmanager
def default_type(kind):
    torch.set_default_dtype(kind)
    try:
        yield
    finally:
        torch.set_default_dtype(torch.float32)


SURROUNDINGS = {
    "inference": torch.inference_mode,
    "no_grad": torch.no_grad,
    "autocast": lambda: torch.autocast("cpu", torch.bfloat16),
    "device": lambda: default_device("meta"),  # nothing can be computed with what is made there
    "float64": lambda: default_type(torch.float64),
}
BATCH = torch.randn((1, 3, 128, 128), generator=torch.Generator().manual_seed(0))


def first_layers(net):
    return [(spec.name, spec.grid, spec.field) for spec in net.layers()]


def sections(net):
    cut = Sections(net, BATCH, LAYERS)
    return cut.maps, cut.gradients(LAYERS[1], LAYERS[0], [[3]])


FIRST_CALLS = {
    "layers": first_layers,
    "match": lambda net: eg.match(WORLD.graph, net, WORLD.photos[:2], progress=False),
    "gradients": lambda net: logit_gradients(net, BATCH, LAYERS),
    "sections": sections,
    "saliency": lambda net: eg.explain(net, WORLD.photos[0], 1, "saliency"),
    "cam": lambda net: eg.explain(net, WORLD.photos[0], 1, "cam"),
    "decision": lambda net: eg.explain_decision(WORLD.graph, net, WORLD.photos[1], 1, nodes=[0]),
    "visualize": lambda net: eg.visualize(net, 2, size=(32, 32), steps=2),
}


def fresh():
    return eg.load_backbone(MODEL, device="cpu")


@cache
def usual(call):
    return content(FIRST_CALLS[call](fresh()))


@pytest.mark.parametrize("call", FIRST_CALLS)
@pytest.mark.parametrize("surroundings", SURROUNDINGS)
def test_first_call__in_whatever_surroundings_is_as_usual(surroundings, call):
    """The first call looks at what the network does: in inference mode it saw no convolutions."""
    wanted, net = usual(call), fresh()
    with SURROUNDINGS[surroundings]():
        found = content(FIRST_CALLS[call](net))
    assert found == wanted


@pytest.mark.parametrize("surroundings", ["inference", "no_grad", "device", "float64"])
def test_capture__as_a_first_call(surroundings):
    wanted, net = content(fresh().capture(BATCH, LAYERS)), fresh()
    with SURROUNDINGS[surroundings]():
        assert content(net.capture(BATCH, LAYERS)) == wanted


def test_capture__is_as_precise_as_autocast_says():
    """Who asks for less precision gets it, also from the first call on."""
    net = fresh()
    with SURROUNDINGS["autocast"]():
        coarse = net.capture(BATCH, LAYERS)
    assert all(torch.equal(one, one.bfloat16().float()) for one in coarse.values())


def test_network__that_is_loaded_in_inference_mode_has_gradients():
    with torch.inference_mode():
        net = fresh()
        found = content(FIRST_CALLS["saliency"](net))
    assert found == usual("saliency")
