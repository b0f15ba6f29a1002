"""Receptive fields against gradients: positive weights let through everything that a cell sees."""

import copy

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as nnf
from torchvision import models
from torchvision.models.convnext import CNBlockConfig
from torchvision.models.vgg import make_layers

from explgraph.networks.backbone import Backbone
from tests.support.networks import CifarResNet56, Gate, torchvision_network

# The other side is just long enough for a grid; this one holds the last layer's whole field.
LENGTHS = {
    "alexnet": (288, 96),
    "vgg16": (288, 32),
    "resnet18": (576, 64),
    "resnet50": (576, 64),
    "squeezenet1_0": (288, 64),
    "squeezenet1_1": (320, 64),
    "googlenet": (512, 64),
    "mobilenet_v2": (640, 64),
    "mobilenet_v3_large": (736, 64),
    "efficientnet_b0": (992, 64),
    "densenet121": (2240, 64),
    "convnext_tiny": (1856, 64),
}


SLIM = {
    "vgg16": lambda: make_layers([16, 16, "M", 32, 32, "M", *[32, 32, 32, "M"] * 3]),
    "resnet50": lambda: models.resnet50(width_per_group=8),
    "mobilenet_v2": lambda: models.mobilenet_v2(width_mult=0.5),
    "mobilenet_v3_large": lambda: models.mobilenet_v3_large(width_mult=0.5),
    "densenet121": lambda: models.DenseNet(4, (6, 12, 24, 16), 8),
    "convnext_tiny": lambda: models.ConvNeXt(
        [CNBlockConfig(*c) for c in ((16, 32, 3), (32, 48, 3), (48, 64, 9), (64, None, 3))]
    ),
}
"""The large networks with all their layers and few channels: what a cell sees is the same."""


def build(name):
    return SLIM[name]() if name in SLIM else torchvision_network(name)


def transparent(module):
    """A copy in which each cell's gradient is positive on everything that it sees, and only there.

    Weights average, biases are 0, normalisation does nothing, maxima are means, gates are open.
    """
    module = copy.deepcopy(module).double().eval()
    for parent in module.modules():
        for name, child in parent.named_children():
            if isinstance(child, nn.MaxPool2d):
                mean = nn.AvgPool2d(
                    child.kernel_size, child.stride, child.padding, ceil_mode=child.ceil_mode
                )
                setattr(parent, name, mean)
            elif isinstance(child, nn.BatchNorm2d | nn.LayerNorm) or (
                type(child).__name__ in ("SqueezeExcitation", "Gate")
            ):
                setattr(parent, name, nn.Identity())
    for child in module.modules():
        if isinstance(child, nn.Conv2d | nn.Linear):
            nn.init.constant_(child.weight, 1 / child.weight[0].numel())
            if child.bias is not None:
                nn.init.zeros_(child.bias)
    return module


def seen_pixels(module, layer, shape, cells, axis):
    """First and last input pixel that each cell along an axis sees: (len(cells), 2)."""
    found = {}
    handle = module.get_submodule(layer).register_forward_hook(
        lambda _m, _i, output: found.update(out=output.clone())
    )
    # Small values: activations are linear there and residual sums saturate nothing.
    image = torch.full((1, 3, *shape), 1e-12, dtype=torch.float64, requires_grad=True)
    module(image)
    handle.remove()
    rows = []
    for cell in cells:
        middle = [size // 2 for size in found["out"].shape[2:]]
        middle[axis] = cell
        # All channels: where branches are joined, each sees another part of the field.
        (gradient,) = torch.autograd.grad(
            found["out"][0, :, middle[0], middle[1]].sum(), image, retain_graph=True
        )
        along = np.flatnonzero(gradient[0].abs().sum((0, 2 - axis)).numpy() > 0)
        rows.append((along[0], along[-1]))
    return np.array(rows)


def check_layer(open_module, spec, shape, axis):
    """The field of a cell in the middle and of the next one, whole; and of the first, cut off."""
    cells = [0, spec.grid[axis] // 2 - 1, spec.grid[axis] // 2]
    start = spec.offset[axis] - spec.field[axis] / 2 + np.array(cells) * spec.stride[axis]
    stop = start + spec.field[axis] - 1
    assert start[1] >= 0 and stop[2] < shape[axis], "make the test's input larger"
    seen = seen_pixels(open_module, spec.name, shape, cells, axis)
    expected = np.stack([np.maximum(start, 0), stop], axis=1)
    np.testing.assert_array_equal(seen, expected)


def check_network(module, shape, axis):
    backbone = Backbone(module, input_size=shape, device="cpu")
    chosen = backbone.select("auto")
    assert 1 <= len(chosen) <= 4
    check_layer(transparent(module), chosen[-1], shape, axis)
    return chosen


@pytest.mark.parametrize(
    ("name", "axis"),
    [
        *((name, 0) for name in LENGTHS),
        ("alexnet", 1),
        ("squeezenet1_0", 1),
        ("googlenet", 1),
    ],
)
def test_torchvision__fields_are_what_gradients_reach(name, axis):
    length, width = LENGTHS[name]
    check_network(build(name), (length, width) if axis == 0 else (width, length), axis)


def test_all_automatic_layers__fields_are_what_gradients_reach():
    module, shape = build("squeezenet1_0"), (288, 64)
    backbone, open_module = Backbone(module, input_size=shape, device="cpu"), transparent(module)
    for spec in backbone.select("auto"):
        check_layer(open_module, spec, shape, 0)


def test_cifar_resnet__fields_are_what_gradients_reach():
    check_network(CifarResNet56(), (352, 16), 0)


ODD = {
    "valid padding, stride 3": nn.Conv2d(3, 4, 5, stride=3),
    "dilated": nn.Conv2d(3, 4, 3, padding=2, dilation=2),
    "same padding, even kernel": nn.Conv2d(3, 4, 4, padding="same"),
    "other size and stride each way": nn.Conv2d(3, 4, (5, 3), stride=(2, 1), padding=(1, 0)),
    "ceil mode": nn.Sequential(nn.Conv2d(3, 4, 3), nn.MaxPool2d(3, 2, ceil_mode=True)),
    "padded by hand": nn.Sequential(nn.ZeroPad2d((0, 1, 2, 3)), nn.Conv2d(3, 4, 5, stride=2)),
    "grouped": nn.Sequential(
        nn.Conv2d(3, 6, 3), nn.ChannelShuffle(2), nn.Conv2d(6, 6, 3, groups=2)
    ),
    "even adaptive pooling": nn.Sequential(nn.Conv2d(3, 4, 3, padding=1), nn.AdaptiveAvgPool2d(32)),
    "channels last": nn.Sequential(nn.Conv2d(3, 4, 3, padding=1)).to(
        memory_format=torch.channels_last
    ),
}


@pytest.mark.filterwarnings("ignore:Using padding='same'")
@pytest.mark.parametrize("axis", [0, 1], ids=["y", "x"])
@pytest.mark.parametrize("kind", ODD)
def test_single_layers__fields_are_what_gradients_reach(kind, axis):
    module = nn.Sequential(ODD[kind])
    shape = (64, 96) if kind != "even adaptive pooling" else (64, 64)
    backbone = Backbone(module, input_size=shape, device="cpu")
    check_layer(transparent(module), backbone.layers()[-1], shape, axis)


class Functional(nn.Module):
    """Everything by hand: slices, in-place sums, channels last, channel shuffles, branches."""

    def __init__(self):
        super().__init__()
        self.stem = nn.Conv2d(3, 8, 4, stride=2, padding=1)
        self.wide = nn.Conv2d(8, 8, 7, padding=3, groups=8)
        self.mix = nn.Linear(8, 8)
        self.small = nn.Conv2d(4, 4, 1)
        self.tall = nn.Conv2d(4, 4, (5, 1), padding=(2, 0))
        self.gate = Gate(8)
        self.last = nn.Conv2d(8, 6, 3, stride=2)

    def forward(self, x):
        x = nnf.relu_(self.stem(x))
        y = self.mix(self.wide(x).permute(0, 2, 3, 1)).permute(0, 3, 1, 2)
        y += x
        a, b = y.chunk(2, dim=1)
        x = torch.cat([self.small(a), self.tall(b)], dim=1)
        b, c, h, w = x.shape
        x = x.view(b, 2, c // 2, h, w).transpose(1, 2).reshape(b, c, h, w)
        return self.last(self.gate(x)[:, :, 1:, 2:-1])


@pytest.mark.parametrize("axis", [0, 1], ids=["y", "x"])
def test_functional_code__is_followed_exactly(axis):
    module, shape = Functional(), (90, 70)
    backbone = Backbone(module, input_size=shape, device="cpu")
    specs = {spec.name: spec for spec in backbone.layers()}
    assert list(specs) == ["stem", "wide", "small", "tall", "gate", "last"]
    assert [s.global_context for s in specs.values()] == [False] * 4 + [True] * 2
    open_module = transparent(module)
    for name in ("stem", "wide", "small", "tall", "last"):
        check_layer(open_module, specs[name], shape, axis)


class Mixed(nn.Module):
    """A convolution, one function of the map, and a convolution on top."""

    def __init__(self, function):
        super().__init__()
        self.function = function
        self.before = nn.Conv2d(3, 4, 3, padding=1)
        self.after = nn.Conv2d(4, 4, 3, padding=1)

    def forward(self, x):
        return self.after(self.function(self.before(x)))


@pytest.mark.parametrize(
    "function",
    [
        lambda x: x.flip(3),
        lambda x: x.roll(3, dims=2),
        lambda x: x.flatten(2).softmax(2).matmul(torch.eye(256)).reshape(1, 4, 16, 16),
        lambda x: nnf.interpolate(x, scale_factor=2),
        lambda x: x[:, :, torch.randperm(16)],
        lambda x: x.transpose(2, 3) + x,
        lambda x: x.reshape(1, 4, 8, 32),
        lambda x: torch.fft.fft2(x).real,
    ],
    ids=["flip", "roll", "attention", "upsample", "gather", "transposed sum", "reshape", "fft"],
)
def test_operations_that_move_pixels__end_the_spatial_path(function):
    backbone = Backbone(Mixed(function), input_size=(16, 16), device="cpu")
    assert [spec.name for spec in backbone.layers()] == ["before"]


@pytest.mark.parametrize(
    "function",
    [
        nn.GroupNorm(2, 4),
        nn.InstanceNorm2d(4),
        lambda x: x * x.mean((2, 3), keepdim=True).sigmoid(),
        lambda x: x - nnf.adaptive_avg_pool2d(x, 1),
        lambda x: x * x.amax(3, keepdim=True),
        lambda x: nnf.layer_norm(x, x.shape[1:]),
        lambda x: nnf.conv2d(x, x.mean((2, 3))[..., None, None].repeat(4, 1, 1, 1)),
    ],
    ids=["group norm", "instance norm", "gate", "minus mean", "row gate", "layer norm", "dynamic"],
)
def test_gates__are_global_context_beside_an_exact_field(function):
    backbone = Backbone(Mixed(function), input_size=(16, 16), device="cpu")
    before, after = (spec for spec in backbone.layers() if spec.name in ("before", "after"))
    assert (before.global_context, after.global_context) == (False, True)
    assert after.field == (5, 5) and after.offset == (0.5, 0.5)


@pytest.mark.parametrize(
    "function",
    [
        nn.BatchNorm2d(4),
        nn.Dropout(),
        nn.LocalResponseNorm(3),
        nn.PReLU(),
        nn.Softmax(dim=1),
        lambda x: nnf.layer_norm(x.permute(0, 2, 3, 1), (4,)).permute(0, 3, 1, 2),
        lambda x: torch.where(x > 0, x, x.exp() - 1),
        lambda x: x.mul_(2).clamp_(0, 6),
        lambda x: x + torch.zeros_like(x),
    ],
)
def test_pointwise_operations__change_nothing(function):
    backbone = Backbone(Mixed(function), input_size=(16, 16), device="cpu")
    after = next(spec for spec in backbone.layers() if spec.name == "after")
    assert (after.field, after.offset, after.global_context) == ((5, 5), (0.5, 0.5), False)


def test_writing_into_a_part__forgets_the_rest():
    def assign(x):
        out = torch.zeros_like(x)
        out[:, :, ::2] = x[:, :, 1::2]
        return out

    backbone = Backbone(Mixed(assign), input_size=(16, 16), device="cpu")
    assert [spec.name for spec in backbone.layers()] == ["before"]
