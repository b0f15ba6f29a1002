"""The one entrance to all methods: names, options, refusals, order, and what stays as it was."""

import dataclasses
import sys

import numpy as np
import pytest
import torch
from PIL import Image

from explgraph.base.errors import ExplGraphError
from explgraph.explanations.answers import answer, available_methods, explain, methods
from explgraph.explanations.attribution import Attribution
from explgraph.explanations.methods.method import Method
from explgraph.explanations.questions import ask
from explgraph.graphs.node import Node
from explgraph.networks.preprocess import Preprocess
from tests.explanations.test_questions import bright_net, graph_of, matches_of, spot
from tests.support.asking import SIDE, Plain, backbone, noise_photo

pytest.importorskip("captum")

OURS = (
    "saliency", "input_x_gradient", "smoothgrad", "vargrad", "integrated_gradients",
    "guided_backprop", "deconvolution", "guided_grad_cam", "grad_cam", "cam",
)  # fmt: skip
NAMES = {
    *OURS, "blur_integrated_gradients", "lrp", "occlusion", "leave_one_out", "segments",
}  # fmt: skip


def test_methods__are_those_of_the_field():
    assert set(methods()) == NAMES
    for name, entry in methods().items():
        assert isinstance(entry, Method)
        assert entry.name == name
        assert entry.title
        assert any(character.isdigit() for character in entry.source)  # the paper's year


@pytest.mark.parametrize("name", OURS)
def test_explain__gives_a_map_of_the_networks_pixels(name):
    net = backbone(Plain())
    found = explain(net, noise_photo(height=40, width=60), 1, name, seed=3, batch_size=4)
    assert found.values.shape == (SIDE, SIDE)
    assert found.values.dtype == np.float32
    assert np.abs(found.values).max() > 0
    assert found.signed or found.values.min() >= 0
    assert (found.method, found.target, found.image) == (name, "class 1", "000000")
    assert found.settings["seed"] == 3
    assert found.settings["batch_size"] == 4
    assert set(methods()[name].defaults) <= set(found.settings)
    assert None not in found.settings.values()
    assert found.upsampled().shape == (40, 60)


@pytest.mark.parametrize("name", OURS)
def test_explain__is_the_same_for_the_same_seed(name):
    net, photo = backbone(Plain()), noise_photo()
    torch.manual_seed(11)
    state = torch.get_rng_state()
    first = explain(net, photo, 1, name, seed=5)
    assert torch.equal(torch.get_rng_state(), state)
    torch.manual_seed(12)
    with torch.inference_mode():
        again = explain(net, photo, 1, name, seed=5)
    assert np.array_equal(first.values, again.values)
    if name in ("smoothgrad", "vargrad"):
        assert not np.array_equal(first.values, explain(net, photo, 1, name, seed=6).values)


def state_of(module):
    hooks = ("_forward_hooks", "_forward_pre_hooks", "_backward_hooks", "_backward_pre_hooks")
    return (
        [(name, child.training, type(child)) for name, child in module.named_modules()],
        [(p.requires_grad, p.grad) for p in module.parameters()],
        [len(getattr(child, kind)) for child in module.modules() for kind in hooks],
        [value.clone().tolist() for value in module.state_dict().values()],
    )


@pytest.mark.parametrize("name", OURS)
@pytest.mark.parametrize("fails", [False, True])
def test_explain__leaves_the_network_as_it_was(name, fails, monkeypatch):
    net = backbone(Plain())
    net.module.train()
    net.module.conv1.eval()
    net.module.head.weight.requires_grad_(False)
    before = state_of(net.module)
    question = ask(net, noise_photo(), 1)
    if fails:  # in the backward pass of whatever asks for a gradient
        monkeypatch.setattr(torch.autograd, "grad", raise_error)
        try:
            answer(question, name)
        except (ExplGraphError, RuntimeError):
            pass
        else:
            assert name == "cam"  # which needs no gradient
    else:
        answer(question, name)
    assert state_of(net.module) == before


def raise_error(*arguments, **options):
    raise RuntimeError("no gradients today")


def test_explain__says_why_a_method_is_not_possible():
    net, photo = backbone(Plain()), noise_photo()
    said = available_methods(net, photo, ("relu1", 2))
    assert set(said) == NAMES
    assert said["saliency"] is None
    assert "classes alone" in said["cam"]
    with pytest.raises(ExplGraphError, match=r"cam is not possible for filter 2 of relu1.*alone"):
        explain(net, photo, ("relu1", 2), "cam")


@pytest.mark.parametrize(
    ("method", "options", "said"),
    [
        ("grad-cam", {}, "nearest are grad_cam"),
        ("grad_cam", {"layers": "relu1"}, "no option 'layers'; it has layer=None"),
        ("saliency", {"samples": 3}, "no option 'samples'; it has none"),
        ("smoothgrad", {"sigma": 3}, r"it has noise=0.15, samples=32"),
    ],
)
def test_explain__names_the_methods_and_options_that_there_are(method, options, said):
    with pytest.raises(ExplGraphError, match=said):
        explain(backbone(Plain()), "no photo is looked at", 1, method, **options)


def test_explain__a_failing_network_is_a_reason(monkeypatch):
    def refuse(question, options):
        raise RuntimeError("size mismatch\nand more")

    changed = {**methods(), "cam": methods()["cam"]._replace(refuse=refuse)}
    monkeypatch.setattr("explgraph.explanations.answers.methods", lambda: changed)
    assert available_methods(backbone(Plain()), noise_photo(), 1)["cam"] == (
        "the network fails in it (size mismatch)"
    )


def test_explain__names_the_extra_where_captum_is_missing(monkeypatch):
    monkeypatch.setitem(sys.modules, "captum.attr", None)
    with pytest.raises(ExplGraphError, match=r"pip install 'explgraph\[explain\]'"):
        explain(backbone(Plain()), noise_photo(), 1, "saliency")


# Places


def middle(values):
    """Centre of mass in the unit square."""
    weight = np.abs(values)
    return tuple(
        np.average((np.arange(n) + 0.5) / n, weights=weight.sum(axis=1 - axis))
        for axis, n in enumerate(values.shape)
    )


@pytest.mark.parametrize("mirrored", [0, 1])
def test_explain__a_node_is_explained_where_it_is_in_the_photo_as_given(mirrored):
    net = bright_net()
    graph = graph_of(net)
    found = matches_of(graph, (0.3, 0.7), mirrored=mirrored)
    for method in ("saliency", "input_x_gradient"):
        answered = explain(net, spot(0.3, 0.7), Node(graph, 0), method, found=found)
        assert middle(answered.upsampled()) == pytest.approx((0.3, 0.7), abs=0.05)


def test_explain__mirroring_a_cropped_photo_keeps_its_place():
    """The network sees the middle of a wide photo; an asymmetric crop shows a wrong frame."""
    net = bright_net()
    net.preprocess = Cropped()
    graph = graph_of(net)
    frame = ((0, 1 / SIDE), (0.125, 0.5 / SIDE))
    for mirrored in (0, 1):
        found = matches_of(graph, (0.3, 0.35), mirrored=mirrored, frame=frame)
        answered = explain(net, spot(0.3, 0.35), Node(graph, 0), "input_x_gradient", found=found)
        np.testing.assert_allclose(answered.frame, frame)
        assert middle(answered.upsampled()) == pytest.approx((0.3, 0.35), abs=0.03)


class Cropped(Preprocess):
    """Shows the network columns 1/8 to 5/8 of the photo."""

    def __init__(self):
        super().__init__((SIDE, SIDE), mean=(0, 0, 0), std=(1, 1, 1))

    def __call__(self, image):
        width = image.width
        pixels, _ = super().__call__(image.crop((width // 8, 0, 5 * width // 8, image.height)))
        return pixels, np.array([[0, 1 / SIDE], [0.125, 0.5 / SIDE]])


def an_attribution(values, frame=((0, 0.25), (0, 0.25)), size=(8, 8)):
    return Attribution(
        values=np.asarray(values, np.float32),
        method="none",
        target="class 0",
        signed=True,
        settings={},
        image="a.png",
        frame=np.array(frame),
        photo_size=size,
    )


def test_upsampled__is_bilinear_between_pixel_centres():
    values = np.zeros((4, 4))
    values[1, 2] = 16
    found = an_attribution(values).upsampled()
    # Photo pixels 2 and 3 lie a quarter of a network pixel from the centre of pixel 1.
    assert found[2, 4] == found[3, 5] == pytest.approx(16 * 0.75 * 0.75)
    assert found[1, 4] == pytest.approx(16 * 0.25 * 0.75)
    assert found[0, 4] == 0
    assert found.sum() == pytest.approx(16 * 4)


def test_upsampled__is_0_where_the_network_saw_nothing_and_crops_what_is_outside():
    """Of 4 network pixels across, the photo fills the middle two; downwards it is seen by half."""
    found = an_attribution(np.ones((4, 4)), frame=((0.5, 0.125), (-0.5, 0.5)), size=(8, 6))
    seen = found.upsampled()
    assert seen.shape == (8, 6)
    assert np.all(seen[:4] == 0)
    assert np.all(seen[4:] == 1)
    assert found.upsampled((2, 3)).tolist() == [[0, 0, 0], [1, 1, 1]]
    with pytest.raises(ExplGraphError, match="size must be positive"):
        found.upsampled((0, 3))
    with pytest.raises(ExplGraphError, match="size is unknown"):
        dataclasses.replace(found, photo_size=None).upsampled()


def test_attribution__is_read_only_and_finite():
    found = an_attribution(np.ones((4, 4)))
    with pytest.raises(ValueError, match="read-only"):
        found.values[0, 0] = 2
    assert repr(found) == "<Attribution none of class 0 in 'a.png', 4x4>"
    with pytest.raises(ExplGraphError, match="finite"):
        an_attribution(np.full((4, 4), np.nan))


@pytest.mark.parametrize("extent", [(32, 32), (20, 60)])
def test_explain__puts_what_it_finds_on_the_photo(extent):
    """The one white spot is what makes the filter fire, in photos of any shape."""
    height, width = extent
    photo = Image.fromarray(spot(0.4, 0.6, 2 * height, 2 * width))
    found = explain(bright_net(fit="letterbox"), photo, ("conv", 0), "input_x_gradient")
    assert found.upsampled().shape == (2 * height, 2 * width)
    assert middle(found.upsampled()) == pytest.approx((0.4, 0.6), abs=0.04)
