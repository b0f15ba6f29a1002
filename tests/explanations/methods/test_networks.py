"""Every method on four well-known networks: a map of the photo, or the reason why there is none."""

import numpy as np
import pytest
import torchvision
from safetensors.torch import load_file

from explgraph import ExplGraphError
from explgraph.demo.animals.drawing import draw_animal
from explgraph.explanations.answers import answer, methods, reasons
from explgraph.explanations.questions import ask
from explgraph.networks.backbone import Backbone
from tests.support.networks import random_backbone

pytest.importorskip("captum")
pytest.importorskip("zennit")
pytest.importorskip("skimage")

FEW = {
    "smoothgrad": {"samples": 2},
    "vargrad": {"samples": 2},
    "integrated_gradients": {"steps": 2},
    "blur_integrated_gradients": {"steps": 2},
    "occlusion": {"window": 32, "stride": 16},
    "leave_one_out": {"min_size": 100},
    "segments": {"min_size": 100},
}
"""As little work as possible: what is asked here is whether a method works at all."""

NETWORKS = {
    "squeezenet1_1": {},
    "mobilenet_v2": {
        "guided_backprop": "ReLU6",
        "deconvolution": "ReLU6",
        "guided_grad_cam": "ReLU6",
        "lrp": "not conserved",
    },
    "vgg16": {"cam": "no such mean"},
    "resnet18": {},
}
"""By network, what is not possible for it, and a piece of the reason."""


TRAINED = ("squeezenet1_1", "mobilenet_v2")
"""Networks whose weights lie beside the checkout; the others' are random."""


SIDE = 64
"""Pixels: the photos' full size is asked of trained networks, method by method, in other files."""


@pytest.fixture(scope="module", params=NETWORKS)
def question(request):
    """About a drawn zebra."""
    name = request.param
    if name in TRAINED:
        shared = request.getfixturevalue("shared")
        module = torchvision.models.get_model(name, weights=None)
        module.load_state_dict(load_file(shared / "models" / f"{name}.safetensors"))
        net = Backbone(module, name=name, input_size=(SIDE, SIDE), device="cpu")
    else:
        net = random_backbone(name, SIDE)
    return ask(net, draw_animal("zebra", 0).image, batch_size=8)


@pytest.mark.slow
@pytest.mark.parametrize("method", sorted(methods()))
def test_every_method__makes_a_map_or_says_why_not(question, method):
    refused = NETWORKS[question.net.name]
    if method in refused:
        with pytest.raises(ExplGraphError, match=refused[method]):
            answer(question, method, **FEW.get(method, {}))
        return
    found = answer(question, method, **FEW.get(method, {}))
    assert found.values.shape == (SIDE, SIDE)
    assert np.isfinite(found.values).all()
    assert np.ptp(found.values) > 0
    assert found.signed or found.values.min() >= 0


@pytest.mark.slow
def test_available__tells_beforehand_what_is_possible(question):
    said = {name: reason for name, reason in reasons(question).items() if reason is not None}
    refused = NETWORKS[question.net.name]
    assert set(said) == set(refused)
    for name, piece in refused.items():
        assert piece in said[name]
