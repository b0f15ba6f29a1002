"""Backbones: what is chosen, what is captured, and that nothing is left changed."""

import importlib
import pickle
import sys
import types

import numpy as np
import pytest
import torch
import torchvision
from PIL import Image
from safetensors.torch import load_file, save_file
from torch import nn
from torchvision import transforms

from explgraph.base.errors import ExplGraphError
from explgraph.networks.backbone import Backbone, load_backbone, load_recorded
from explgraph.networks.preprocess import Preprocess
from explgraph.networks.zoo import weight_hash
from tests.support.networks import CifarResNet56, SharedReLU, torchvision_network

# -- the automatic choice --------------------------------------------------------------------------

CHOICE = {
    "alexnet": ["features.4", "features.7", "features.9", "features.11"],
    "vgg16": ["features.22", "features.25", "features.27", "features.29"],
    "resnet18": ["layer3.0", "layer3.1", "layer4.0", "layer4.1"],
    "resnet50": ["layer3.4", "layer3.5", "layer4.1", "layer4.2"],
    "squeezenet1_0": ["features.8", "features.9", "features.10", "features.12"],
    "squeezenet1_1": ["features.9", "features.10", "features.11", "features.12"],
    "densenet121": [
        "features.transition3.relu",
        "features.transition3.conv",
        "features.norm5",
    ],
    "googlenet": ["inception4d", "inception4e", "inception5a", "inception5b"],
    "mobilenet_v2": [
        "features.12.conv.0",
        "features.13.conv.0",
        "features.17.conv.0",
        "features.18",
    ],
    "mobilenet_v3_small": ["features.7", "features.8", "features.11", "features.12"],
    "mobilenet_v3_large": ["features.11", "features.12", "features.15", "features.16"],
    "efficientnet_b0": ["features.5.1", "features.5.2", "features.7", "features.8"],
    "convnext_tiny": ["features.5.7", "features.5.8", "features.7.1", "features.7.2"],
}


def random_network(name):
    options = {"init_weights": False, "aux_logits": False} if name == "googlenet" else {}
    return torchvision.models.get_model(name, weights=None, **options)


@pytest.mark.parametrize("name", CHOICE)
def test_auto__ends_at_the_last_stage_and_spans_two_grids(name):
    backbone = Backbone(torchvision_network(name), name=name, device="cpu")
    chosen = backbone.select("auto")
    assert [spec.name for spec in chosen] == CHOICE[name]
    assert len({spec.grid for spec in chosen}) <= 2
    gated = name.startswith(("mobilenet_v3", "efficientnet"))
    assert all(spec.global_context == gated for spec in chosen)


def test_layers__are_in_forward_order_and_as_the_network_makes_them():
    module = random_network("resnet18")
    backbone = Backbone(module, device="cpu")
    layers = backbone.layers()
    shapes, order = {}, []
    for name, child in module.named_modules():
        child.register_forward_hook(
            lambda _m, _i, out, name=name: shapes.update({name: out.shape}) or order.append(name)
        )
    with torch.no_grad():
        module.eval()(torch.zeros(1, 3, 224, 224))
    assert [spec.name for spec in layers] == [n for n in order if n in {s.name for s in layers}]
    for spec in layers:
        assert tuple(shapes[spec.name]) == (1, spec.channels, *spec.grid)
    assert {"conv1", "bn1", "layer1", "layer4.1.conv2", "layer4.1"} <= {s.name for s in layers}
    assert not {"avgpool", "fc", "layer1.0.relu"} & {s.name for s in layers}


def test_rectified__tells_relu_from_linear_outputs():
    rectified = {
        spec.name: spec.rectified
        for spec in Backbone(torchvision_network("mobilenet_v2"), device="cpu").layers()
    }
    assert rectified["features.18"] and rectified["features.0"]
    assert not rectified["features.17"] and not rectified["features.17.conv.2"]


class HeadlessPreActivation(nn.Module):
    """Functional activations, and a plain encoder module around everything."""

    def __init__(self):
        super().__init__()
        self.a = nn.Conv2d(3, 8, 3, stride=2, padding=1)
        self.b = nn.Conv2d(8, 8, 3, padding=1)
        self.c = nn.Conv2d(8, 16, 3, stride=2, padding=1)

    def forward(self, x):
        x = torch.relu(self.a(x))
        return torch.relu(self.c(torch.relu(self.b(x))))


@pytest.mark.parametrize(
    ("module", "expected"),
    [
        (HeadlessPreActivation(), ("a", "b", "c")),
        (nn.Sequential(HeadlessPreActivation()), ("0.a", "0.b", "0")),
        (
            nn.Sequential(
                HeadlessPreActivation(), nn.Conv2d(16, 5, 1), nn.AdaptiveAvgPool2d(1), nn.Flatten()
            ),
            ("0.a", "0.b", "0"),
        ),
        (nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.MaxPool2d(2)), ("2",)),
        (
            nn.Sequential(
                nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU()),
                nn.Sequential(nn.Conv2d(4, 4, 3, groups=4), nn.ReLU(), nn.Conv2d(4, 9, 1)),
                nn.ReLU(),
            ),
            ("0", "2"),
        ),
        (nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Conv2d(4, 2, 1)), ("1",)),
        (nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Conv2d(4, 2, 3)), ("1", "2")),
    ],
    ids=["functional", "wrapped", "classifier of maps", "pooled", "depthwise", "scores", "linear"],
)
def test_auto__small_networks(module, expected):
    assert Backbone(module, input_size=(64, 64), device="cpu").auto_layers() == expected


# -- refusals --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "make",
    [
        lambda: torchvision.models.VisionTransformer(224, 32, 2, 2, 64, 128),
        lambda: torchvision.models.SwinTransformer([4, 4], 32, [2, 2], [2, 4], [7, 7]),
        lambda: nn.Sequential(nn.Flatten(), nn.Linear(3 * 224 * 224, 4), nn.ReLU()),
    ],
    ids=["vit", "swin", "perceptron"],
)
def test_networks_without_maps__are_refused(make):
    with pytest.raises(ExplGraphError, match=r"no spatial layers.*Transformers"):
        Backbone(make(), device="cpu").select("auto")


class ConvThenAttention(nn.Module):
    def __init__(self):
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(3, 8, 3, stride=2), nn.ReLU())
        layers = [nn.TransformerEncoderLayer(8, 2, 16, batch_first=True) for _ in range(3)]
        self.encoder = nn.Sequential(*layers)

    def forward(self, x):
        return self.encoder(self.stem(x).flatten(2).transpose(1, 2)).mean(1)


def test_attention_after_the_last_map__is_refused_unless_layers_are_named():
    backbone = Backbone(ConvThenAttention(), input_size=(32, 32), device="cpu")
    with pytest.raises(ExplGraphError, match="goes on with attention after its last map, 'stem'"):
        backbone.select("auto")
    assert backbone.select(["stem"])[0].grid == (15, 15)


def test_unknown_layer__the_nearest_are_named():
    backbone = Backbone(torchvision_network("squeezenet1_1"), device="cpu")
    with pytest.raises(ExplGraphError, match=r"unknown layer 'feature\.12'.*features\.12"):
        backbone.select(["features.9", "feature.12"])
    with pytest.raises(ExplGraphError, match="no layers given"):
        backbone.select([])


def test_layer_without_maps__is_refused():
    backbone = Backbone(torchvision_network("resnet18"), device="cpu")
    with pytest.raises(ExplGraphError, match="'fc' cannot be mined"):
        backbone.select(["fc"])


def test_module_called_several_times__is_refused_with_the_count():
    backbone = Backbone(SharedReLU(), input_size=(32, 32), device="cpu")
    assert backbone.auto_layers() == ("conv1", "conv2", "conv3")
    with pytest.raises(ExplGraphError, match="'relu' is one module that the network calls 3 times"):
        backbone.select(["conv1", "relu"])


def test_select__is_in_forward_order():
    backbone = Backbone(torchvision_network("alexnet"), device="cpu")
    assert [s.name for s in backbone.select(["features.11", "features.4"])] == [
        "features.4",
        "features.11",
    ]


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_damaged_weights__are_refused(value):
    module = random_network("squeezenet1_1")
    with torch.no_grad():
        module.features[3].squeeze.weight[0, 0] = value
    with pytest.raises(ExplGraphError, match=r"1 of 1024 values of features\.3\.squeeze\.weight"):
        Backbone(module, device="cpu")


def test_wrong_input_size__is_explained():
    module = nn.Sequential(nn.Conv2d(3, 4, 3), nn.Flatten(), nn.Linear(4 * 30 * 30, 2))
    with pytest.raises(ExplGraphError, match=r"\(1, 3, 224, 224\).*input_size"):
        Backbone(module, device="cpu").layers()
    assert Backbone(module, input_size=(32, 32), device="cpu").layers()[0].grid == (30, 30)


class WithMask(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3)

    def forward(self, image, mask, scale=1.0):
        return self.conv(image) * mask * scale


def test_two_inputs__are_named():
    with pytest.raises(ExplGraphError, match=r"takes 2 inputs \(image, mask\), but a photo is one"):
        Backbone(WithMask(), input_size=(16, 16), device="cpu").layers()


@pytest.mark.filterwarnings("ignore:.torch.jit:FutureWarning")
@pytest.mark.filterwarnings("ignore:.torch.jit:DeprecationWarning")
def test_scripted_modules__are_refused_also_inside_another():
    net = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU())
    for made in (torch.jit.script(net), torch.jit.trace(net, torch.zeros(1, 3, 8, 8))):
        with pytest.raises(ExplGraphError, match="this network is scripted or traced"):
            Backbone(made, device="cpu")
    inside = nn.Sequential(nn.Conv2d(3, 4, 3), torch.jit.script(nn.ReLU()))
    with pytest.raises(ExplGraphError, match="the network's module '1' is scripted or traced"):
        Backbone(inside, input_size=(16, 16), device="cpu").layers()


class Detector(nn.Module):
    """Takes a batch apart before its network sees it, as torchvision's detectors do."""

    def __init__(self):
        super().__init__()
        self.backbone = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU())

    def forward(self, images):
        return self.backbone(torch.stack([image / 2 for image in images]))


def test_detection_models__the_backbone_is_pointed_at():
    with pytest.raises(ExplGraphError, match=r"convolutions come behind that.*model\.backbone"):
        Backbone(Detector(), input_size=(16, 16), device="cpu").select("auto")
    Backbone(Detector().backbone, input_size=(16, 16), device="cpu").select("auto")


# -- grey networks ---------------------------------------------------------------------------------


def grey_network():
    return nn.Sequential(nn.Conv2d(1, 4, 3), nn.ReLU())


def test_grey_network__is_given_luma_without_being_asked():
    backbone = Backbone(grey_network(), input_size=(16, 16), device="cpu")
    assert backbone.channels == 1 and backbone.layers()[-1].grid == (14, 14)
    pixels, _ = backbone.preprocess(Image.new("RGB", (40, 30), (200, 100, 50)))
    luma = (0.299 * 200 + 0.587 * 100 + 0.114 * 50) / 255
    assert pixels.shape == (1, 16, 16)
    assert pixels.mean().item() == pytest.approx((luma - 0.459) / 0.226, abs=0.02)
    assert backbone.capture(pixels[None], ["1"])["1"].shape == (1, 4, 14, 14)
    with pytest.raises(ExplGraphError, match=r"shape \(B, 1, 16, 16\)"):
        backbone.capture(torch.zeros(1, 3, 16, 16), ["1"])


def test_grey_network__takes_a_transform_and_is_loaded_from_a_factory(tmp_path):
    to_grey = [transforms.Resize((16, 16)), transforms.Grayscale(), transforms.ToTensor()]
    backbone = Backbone(grey_network(), transforms.Compose(to_grey), device="cpu")
    assert backbone.channels == 1 and backbone.preprocess(Image.new("RGB", (9, 9)))[0].shape[0] == 1
    file = tmp_path / "net.py"
    file.write_text(FACTORY.replace("Conv2d(3", "Conv2d(1"))
    assert load_backbone(f"{file}:tiny", device="cpu", fit="crop").layers()[-1].grid == (222, 222)


def test_graph_of_a_grey_network__is_shown_photos_as_it_was(tmp_path):
    file = tmp_path / "net.py"
    file.write_text(FACTORY.replace("Conv2d(3", "Conv2d(1"))
    seen = {"input_size": [24, 32], "fit": "crop", "mean": [0.1], "std": [0.3]}
    header = {"model": "net.py:tiny", "preprocess": seen}
    net = load_recorded(header, f"{file}:tiny", device="cpu")
    assert net.preprocess.to_json() == seen and net.layers()[-1].grid == (22, 30)


@pytest.mark.parametrize(
    ("taken", "given", "said"),
    [
        (4, None, "takes 4 channels, but photos were given with 3. Photos have 3 .* makes 4"),
        (2, None, "takes 2 channels"),
        (3, 1, r"takes 3 channels, but photos were given with 1. .* colours \(3, H, W\)"),
        (1, 3, r"takes 1 channel, but photos were given with 3. .* grey photos \(1, H, W\)"),
    ],
)
def test_channels_that_do_not_fit__are_explained(taken, given, said):
    preprocess = None if given is None else Preprocess((16, 16), mean=[0] * given, std=[1] * given)
    module = nn.Sequential(nn.Conv2d(taken, 4, 3))
    with pytest.raises(ExplGraphError, match=f"convolution, '0', {said}"):
        Backbone(module, preprocess, device="cpu").layers()


def test_more_channels_made_inside__are_no_reason_to_refuse():
    module = nn.Sequential(nn.PixelUnshuffle(2), nn.Conv2d(12, 4, 3), nn.ReLU())
    with pytest.raises(ExplGraphError, match="convolutions come behind that"):
        Backbone(module, input_size=(16, 16), device="cpu").layers()


def test_device__unknown_is_refused():
    module = nn.Conv2d(3, 4, 3)
    with pytest.raises(ExplGraphError, match="unknown device 'gpu'"):
        Backbone(module, device="gpu")
    if not torch.cuda.is_available():
        with pytest.raises(ExplGraphError, match="finds no GPU"):
            Backbone(module, device="cuda")


# -- capture ---------------------------------------------------------------------------------------


def state_of(module):
    return (
        [child.training for child in module.modules()],
        [p.requires_grad for p in module.parameters()],
        [len(m._forward_hooks) + len(m._forward_pre_hooks) for m in module.modules()],
        {name: tensor.clone() for name, tensor in module.state_dict().items()},
        torch.is_grad_enabled(),
        torch.get_rng_state(),
    )


def assert_same_state(before, after):
    assert before[:3] == after[:3] and before[4] == after[4]
    assert torch.equal(before[5], after[5])
    for name, tensor in before[3].items():
        assert torch.equal(tensor, after[3][name]), name


def test_everything__leaves_the_module_as_it_was():
    module = random_network("mobilenet_v2").train()
    module.features[3].eval()
    module.features[5].conv[0][0].weight.requires_grad_(False)
    module.features[2].register_forward_hook(lambda *_: None)
    before = state_of(module)
    backbone = Backbone(module, input_size=(64, 64), device="cpu")
    backbone.capture(torch.randn(2, 3, 64, 64, generator=torch.Generator()), backbone.auto_layers())
    assert_same_state(before, state_of(module))


def test_everything__leaves_the_module_as_it_was_when_it_fails():
    module = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(7, 2)).train()
    before = state_of(module)
    with pytest.raises(ExplGraphError):
        Backbone(module, input_size=(16, 16), device="cpu").layers()
    assert_same_state(before, state_of(module))


def naive_outputs(module, batch, names):
    outputs = {}
    for name in names:
        module.get_submodule(name).register_forward_hook(
            lambda _m, _i, out, name=name: outputs.update({name: out.detach().clone().numpy()})
        )
    with torch.no_grad():
        module.eval()(batch.contiguous(memory_format=torch.channels_last))
    return outputs


def test_capture__is_what_the_layers_return_before_an_in_place_relu():
    module = torchvision_network("vgg16").features[:8]  # every ReLU works in place
    backbone = Backbone(module, input_size=(48, 40), device="cpu")
    batch = torch.randn(3, 3, 48, 40)
    names = ["5", "2", "1", "4"]
    maps = backbone.capture(batch, names)
    expected = naive_outputs(module, batch, names)
    assert list(maps) == ["1", "2", "4", "5"]
    for name in names:
        assert maps[name].dtype == torch.float32
        np.testing.assert_array_equal(maps[name].numpy(), expected[name])
    assert maps["2"].min() < 0 <= maps["1"].min()


def test_capture__stops_after_the_last_layer_wanted():
    module = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Conv2d(4, 4, 3))
    backbone = Backbone(module, input_size=(16, 16), device="cpu")
    backbone.layers()
    calls = []
    module[2].register_forward_hook(lambda *_: calls.append(1))
    backbone.capture(torch.zeros(1, 3, 16, 16), ["1"])
    assert not calls


def test_capture__another_batch_shape_is_refused():
    backbone = Backbone(nn.Conv2d(3, 4, 3), input_size=(16, 16), device="cpu")
    with pytest.raises(ExplGraphError, match="no spatial layers"):
        backbone.capture(torch.zeros(1, 3, 16, 16), [""])
    backbone = Backbone(nn.Sequential(nn.Conv2d(3, 4, 3)), input_size=(16, 16), device="cpu")
    with pytest.raises(ExplGraphError, match=r"shape \(B, 3, 16, 16\), got \(1, 3, 8, 16\)"):
        backbone.capture(torch.zeros(1, 3, 8, 16), ["0"])


def test_capture__half_precision_gives_float32():
    module = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU()).to(torch.bfloat16)
    backbone = Backbone(module, input_size=(16, 16), device="cpu")
    maps = backbone.capture(torch.ones(1, 3, 16, 16), ["1"])
    assert maps["1"].dtype == torch.float32 and maps["1"].shape == (1, 4, 14, 14)


@pytest.mark.parametrize(("device", "fastest"), [("cpu", 4), ("meta", 32)])
def test_batch_size__is_a_rule_that_obeys_a_wish(device, fastest):
    backbone = Backbone(nn.Conv2d(3, 4, 3), input_size=(16, 16), device="cpu")
    backbone.device = torch.device(device)
    assert (backbone.batch_size(), backbone.batch_size(None), backbone.batch_size(7)) == (
        fastest, fastest, 7,
    )  # fmt: skip
    with pytest.raises(ExplGraphError, match="batch_size must be at least 1, got 0"):
        backbone.batch_size(0)


# -- weights ---------------------------------------------------------------------------------------


def test_weight_hash__is_the_same_from_every_file_format_and_only_for_these_weights(tmp_path):
    source = random_network("squeezenet1_1")
    state = source.state_dict()
    save_file(state, tmp_path / "w.safetensors")
    torch.save(state, tmp_path / "w.pth")
    wrapped = {"state_dict": {f"module.{name}": tensor for name, tensor in state.items()}}
    torch.save({**wrapped, "epoch": 3}, tmp_path / "wrapped.pt")
    hashes = {
        load_backbone("squeezenet1_1", tmp_path / name, device="cpu").weight_hash
        for name in ("w.safetensors", "w.pth", "wrapped.pt")
    }
    assert hashes == {Backbone(source, device="cpu").weight_hash}
    with torch.no_grad():
        source.features[0].bias[0] += 1
    assert Backbone(source, device="cpu").weight_hash not in hashes


def test_wrong_weights__keys_are_named(tmp_path):
    state = random_network("squeezenet1_1").state_dict()
    state["features.0.weight"] = state["features.0.weight"][:32].contiguous()
    del state["features.3.squeeze.bias"]
    state["extra.weight"] = torch.zeros(1)
    save_file(state, tmp_path / "w.safetensors")
    with pytest.raises(ExplGraphError) as error:
        load_backbone("squeezenet1_1", tmp_path / "w.safetensors")
    assert "missing: features.3.squeeze.bias;" in str(error.value)
    assert "unexpected: extra.weight;" in str(error.value)
    assert "features.0.weight (32, 3, 3, 3) instead of (64, 3, 3, 3)" in str(error.value)


def test_weights_file__unusable_ones_are_explained(tmp_path):
    with pytest.raises(ExplGraphError, match=r"none\.pth does not exist"):
        load_backbone("squeezenet1_1", tmp_path / "none.pth")
    cut = tmp_path / "cut.safetensors"
    save_file({"a": torch.zeros(100)}, cut)
    cut.write_bytes(cut.read_bytes()[:200])
    with pytest.raises(ExplGraphError, match="not a whole file of weights"):
        load_backbone("squeezenet1_1", cut)
    pickled = tmp_path / "code.pth"
    torch.save({"a": nn.Linear(2, 2)}, pickled)
    with pytest.raises(ExplGraphError, match="can run code"):
        load_backbone("squeezenet1_1", pickled)
    torch.save([1, 2], pickled)
    with pytest.raises(ExplGraphError, match="no state dict"):
        load_backbone("squeezenet1_1", pickled)
    (tmp_path / "w.onnx").write_bytes(b"")
    with pytest.raises(ExplGraphError, match=r"\.safetensors, \.pth, \.pt"):
        load_backbone("squeezenet1_1", tmp_path / "w.onnx")


# -- by name ---------------------------------------------------------------------------------------


def test_torchvision__unknown_names_give_the_nearest():
    with pytest.raises(ExplGraphError, match=r"'squeezenet10'.*squeezenet1_0"):
        load_backbone("squeezenet10")
    with pytest.raises(ExplGraphError, match=r"'IMAGENET1K'.*IMAGENET1K_V1"):
        load_backbone("squeezenet1_0", "IMAGENET1K")


@pytest.mark.parametrize("weights", ["DEFAULT", "IMAGENET1K_V1"])
def test_torchvision__weight_enums_go_through_torchvision(weights, monkeypatch):
    state = random_network("squeezenet1_0").state_dict()
    member = torchvision.models.SqueezeNet1_0_Weights.IMAGENET1K_V1
    monkeypatch.setattr(type(member), "get_state_dict", lambda self, *a, **k: state)
    backbone = load_backbone("squeezenet1_0", weights, device="cpu")
    assert torch.equal(backbone.module.features[0].weight, state["features.0.weight"])
    assert backbone.to_json()["model"] == "squeezenet1_0"


def test_torchvision__input_size_follows_the_network():
    assert load_backbone("efficientnet_b1", None, device="cpu").input_size == (240, 240)
    assert load_backbone("alexnet", None, fit="crop").preprocess.fit == "crop"


def test_timm__by_name():
    pytest.importorskip("timm")
    backbone = load_backbone("timm:resnet18", None, device="cpu")
    assert backbone.auto_layers() == ("layer3.0", "layer3.1", "layer4.0", "layer4.1")
    ours = Backbone(torchvision_network("resnet18"), device="cpu")
    assert backbone.select("auto") == ours.select("auto")
    with pytest.raises(ExplGraphError, match=r"unknown timm model 'resnet_18'.*resnet18"):
        load_backbone("timm:resnet_18", None)
    with pytest.raises(ExplGraphError, match="belong to the name"):
        load_backbone("timm:resnet18", "a1_in1k")


FACTORY = """
import torch
from torch import nn
from torchvision import transforms

def tiny():
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU())

def tiny_with_transform():
    return tiny(), transforms.Compose([transforms.Resize((40, 48)), transforms.ToTensor()])

def number():
    return 3
"""


def test_factory__from_a_file(tmp_path):
    file = tmp_path / "my_net.py"
    file.write_text(FACTORY)
    backbone = load_backbone(f"{file}:tiny", device="cpu")
    assert backbone.input_size == (224, 224) and backbone.name == "my_net.py:tiny"
    backbone = load_backbone(f"{file}:tiny_with_transform", device="cpu")
    assert backbone.input_size == (40, 48) and backbone.layers()[-1].grid == (38, 46)
    state = {name: torch.zeros_like(t) for name, t in backbone.module.state_dict().items()}
    save_file(state, tmp_path / "w.safetensors")
    loaded = load_backbone(f"{file}:tiny", tmp_path / "w.safetensors", device="cpu")
    assert not loaded.module[0].weight.any() and loaded.weight_hash != backbone.weight_hash
    for function, message in (
        ("number", r"must return a torch\.nn\.Module"),
        ("none", "has no function 'none'"),
    ):
        with pytest.raises(ExplGraphError, match=message):
            load_backbone(f"{file}:{function}")
    with pytest.raises(ExplGraphError, match=r"say which function .*my_net\.py:FUNCTION"):
        load_backbone(str(file))
    with pytest.raises(ExplGraphError, match="must be a file"):
        load_backbone(f"{file}:tiny", "IMAGENET1K_V1")
    with pytest.raises(ExplGraphError, match="does not exist"):
        load_backbone(f"{tmp_path}/other.py:tiny")


def test_factory__from_a_package():
    backbone = load_backbone("torchvision.models.squeezenet:squeezenet1_1", device="cpu")
    assert backbone.auto_layers()[-1] == "features.12"
    with pytest.raises(ExplGraphError, match="cannot import 'no_such_package'"):
        load_backbone("no_such_package:net")


def test_transform__and_fit_exclude_each_other():
    transform = transforms.Compose([transforms.Resize((32, 32)), transforms.ToTensor()])
    module = nn.Sequential(nn.Conv2d(3, 4, 3))
    assert Backbone(module, transform, device="cpu").input_size == (32, 32)
    with pytest.raises(ExplGraphError, match="exclude each other"):
        Backbone(module, transform, fit="crop", device="cpu")


def test_backbone__needs_a_module():
    with pytest.raises(ExplGraphError, match=r"torch\.nn\.Module, got function"):
        Backbone(random_network)


# -- the reference networks ------------------------------------------------------------------------

REFERENCE = {
    "squeezenet1_0": ([27, 27, 27, 13], [8, 8, 8, 16], [75, 91, 107, 155], [9.5, 9.5, 9.5, 17.5]),
    "squeezenet1_1": ([13] * 4, [16] * 4, [111, 143, 175, 207], [15.5] * 4),
    "mobilenet_v2": ([14, 14, 7, 7], [16, 16, 32, 32], [203, 235, 427, 491], [0.5] * 4),
}


@pytest.mark.shared
@pytest.mark.parametrize("name", REFERENCE)
def test_reference_networks__layers_and_maps(shared, name):
    backbone = load_backbone(name, shared / "models" / f"{name}.safetensors", device="cpu")
    chosen = backbone.select("auto")
    found = zip(*[(s.grid[0], s.stride[0], s.field[0], s.offset[0]) for s in chosen], strict=True)
    assert [list(values) for values in found] == [list(values) for values in REFERENCE[name]]
    photo = Image.open(next((shared / "animalpart" / "zebra").glob("**/*.jpg"))).convert("RGB")
    batch = backbone.preprocess(photo)[0][None]
    maps = backbone.capture(batch, CHOICE[name])
    expected = naive_outputs(backbone.module, batch, CHOICE[name])
    for spec in chosen:
        np.testing.assert_array_equal(maps[spec.name].numpy(), expected[spec.name])
        assert maps[spec.name].shape == (1, spec.channels, *spec.grid)
        assert not spec.rectified or maps[spec.name].min() >= 0


@pytest.mark.shared
def test_reference_networks__gradients_stay_inside_the_fields(shared):
    backbone = load_backbone(
        "squeezenet1_0", shared / "models" / "squeezenet1_0.safetensors", device="cpu"
    )
    found = {}
    for spec in backbone.select("auto"):
        handle = backbone.module.get_submodule(spec.name).register_forward_hook(
            lambda _m, _i, output: found.update(out=output)
        )
        image = torch.randn(1, 3, 224, 224, requires_grad=True)
        backbone.module.eval()(image)
        handle.remove()
        cell = (spec.grid[0] // 2, spec.grid[1] // 2)
        (gradient,) = torch.autograd.grad(found["out"][0, :, *cell].sum(), image)
        ys = np.flatnonzero(gradient[0].abs().sum((0, 2)).numpy())
        centre = spec.offset[0] + cell[0] * spec.stride[0]
        assert ys[0] >= centre - spec.field[0] / 2 and ys[-1] + 1 <= centre + spec.field[0] / 2
        assert ys[-1] + 1 - ys[0] > 0.9 * spec.field[0]


@pytest.mark.shared
def test_reference_networks__the_cifar_resnet_is_a_users_own_module(shared):
    module = CifarResNet56()
    state = load_file(shared / "models" / "resnet56_cifar10.safetensors")
    module.load_state_dict(state, strict=False)
    transform = transforms.Compose([transforms.Resize((32, 32)), transforms.ToTensor()])
    backbone = Backbone(module, transform, name="resnet56", device="cpu")
    chosen = backbone.select("auto")
    assert [s.name for s in chosen] == ["layer2.7", "layer2.8", "layer3.7", "layer3.8"]
    assert [s.grid for s in chosen] == [(16, 16), (16, 16), (8, 8), (8, 8)]
    assert [s.stride for s in chosen] == [(2, 2), (2, 2), (4, 4), (4, 4)]
    assert all(s.offset == (0.5, 0.5) and s.rectified for s in chosen)
    assert [s.channels for s in chosen] == [32, 32, 64, 64]
    header = backbone.to_json()
    assert header["model"] == "resnet56" and len(header["weight_hash"]) == 64


# -- the network that a graph names ----------------------------------------------------------------


def recorded(**header):
    return types.SimpleNamespace(header=header)


def test_load_backbone__of_a_graph_feeds_photos_as_it_was_mined():
    seen = {"input_size": [96, 128], "fit": "crop", "mean": [0.1, 0.2, 0.3], "std": [1, 2, 4]}
    graph = recorded(model="squeezenet1_1", preprocess=seen)
    net = load_backbone(graph, None, device="cpu")
    assert net.name == "squeezenet1_1"
    assert net.preprocess.to_json() == seen


@pytest.mark.parametrize("model", ["nets.py:make", "os:getcwd", None])
def test_load_backbone__runs_no_code_because_a_graph_names_it(model):
    with pytest.raises(ExplGraphError, match="in Python load_backbone"):
        load_backbone(recorded(model=model, preprocess={}))


def test_load_backbone__of_a_graph_takes_no_fit():
    with pytest.raises(ExplGraphError, match="leave fit out"):
        load_backbone(recorded(model="squeezenet1_1"), None, fit="crop")


def test_load_backbone__of_a_graph_whose_transform_is_code_says_so(caplog):
    graph = recorded(model="squeezenet1_1", preprocess={"transform": "Compose(...)"})
    load_backbone(graph, None, device="cpu")
    assert "otherwise than when the graph was mined" in caplog.text


def test_backbone__shows_its_name_and_what_it_is_fed_with():
    net = Backbone(nn.Sequential(nn.Conv2d(3, 4, 3)), input_size=(32, 48), device="cpu")
    assert repr(net) == "Backbone('Sequential', input_size=(32, 48), device='cpu')"


def test_preprocess__where_factories_had_it_until_now():
    sys.modules.pop("explgraph.preprocess", None)
    with pytest.warns(DeprecationWarning, match="from explgraph import Preprocess"):
        old = importlib.import_module("explgraph.preprocess")
    assert old.Preprocess is Preprocess


# -- other processes -------------------------------------------------------------------------------

OWN = """
import torch
from torch import nn

class Own(nn.Sequential):
    pass

def build():
    return Own(nn.Conv2d(3, 4, 3), nn.ReLU()), lambda photo: torch.ones(3, 8, 8)
"""


def test_pickle__classes_of_a_file_are_made_by_its_function(tmp_path):
    """Which draws other weights each time: these travel, as does what is in a file."""
    (tmp_path / "own.py").write_text(OWN)
    model = f"{tmp_path / 'own.py'}:build"
    save_file(load_backbone(model).module.state_dict(), tmp_path / "own.safetensors")
    for weights in (None, tmp_path / "own.safetensors"):
        net = load_backbone(model, weights, device="cpu")
        assert type(net.module).__module__ == "own"
        again = pickle.loads(pickle.dumps(net))
        assert type(again.module).__name__ == "Own"
        assert weight_hash(again.module) == weight_hash(net.module) == again.weight_hash
        assert (again.name, again.input_size, again.device) == ("own.py:build", (8, 8), net.device)
        assert again.layers() == net.layers()
        assert pickle.loads(pickle.dumps(again)).weight_hash == net.weight_hash


def test_pickle__a_file_that_is_another_or_gone_is_refused(tmp_path):
    (tmp_path / "own.py").write_text(OWN)
    pickled = pickle.dumps(load_backbone(f"{tmp_path / 'own.py'}:build", device="cpu"))
    (tmp_path / "own.py").write_text(OWN + "#")
    with pytest.raises(ExplGraphError, match=r"own\.py is not the file any more"):
        pickle.loads(pickled)
    (tmp_path / "own.py").unlink()
    with pytest.raises(ExplGraphError, match=r"does not see .*own\.py"):
        pickle.loads(pickled)


def test_pickle__a_factory_that_makes_another_network_is_refused(tmp_path):
    (tmp_path / "own.py").write_text(
        "import os\nfrom torch import nn\n"
        "def build():\n    return nn.Sequential(nn.Conv2d(3, int(os.environ['MANY']), 3))\n"
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MANY", "2")
        pickled = pickle.dumps(load_backbone(f"{tmp_path / 'own.py'}:build", device="cpu"))
        patch.setenv("MANY", "3")
        with pytest.raises(ExplGraphError, match="another network than before"):
            pickle.loads(pickled)
