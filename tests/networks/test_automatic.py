"""The automatic choice in networks that do not end at their deepest stage, and what it says."""

import warnings

import pytest
import torch
import torchvision
from torch import nn
from torch.nn import functional as nnf
from torchvision.models import detection, segmentation
from torchvision.models.feature_extraction import create_feature_extractor

from explgraph.networks.backbone import Backbone
from tests.support.networks import UNet, torchvision_network, two_convolutions

U_NET = ("e2.1", "e2.3", "bottleneck.1", "bottleneck.3")


def backbone(module, side=64):
    return Backbone(module, input_size=(side, side), device="cpu")


class Dictionary(nn.Module):
    """Segmentation networks return their maps by name."""

    def __init__(self, net):
        super().__init__()
        self.net = net

    def forward(self, x):
        return {"out": self.net(x)}


def transposed(x):
    return nnf.conv_transpose2d(x, torch.ones(x.shape[1], 1, 2, 2), stride=2, groups=x.shape[1])


def shuffled(x):
    return nnf.pixel_shuffle(x.repeat_interleave(4, dim=1), 2)


def repeated_by_hand(x):
    b, c, h, w = x.shape
    return x[:, :, :, None, :, None].expand(b, c, h, 2, w, 2).reshape(b, c, 2 * h, 2 * w)


@pytest.mark.parametrize("rise", [None, transposed, shuffled, repeated_by_hand])
def test_u_net__the_bottleneck_is_chosen_however_maps_become_finer(rise):
    assert backbone(UNet(rise)).auto_layers() == U_NET


@pytest.mark.parametrize("wrap", [Dictionary, lambda net: nn.Sequential(net, nn.Softmax(1))])
def test_u_net__inside_another_module_is_no_block(wrap):
    chosen = backbone(wrap(UNet())).auto_layers()
    assert tuple(name.split(".", 1)[1] for name in chosen) == U_NET


def test_u_net__whose_hidden_activations_are_sigmoids():
    module = UNet()
    for block in (module.e1, module.e2, module.bottleneck, module.d2, module.d1):
        block[1], block[3] = nn.Sigmoid(), nn.Sigmoid()
    assert backbone(module).auto_layers() == U_NET


def test_network_without_a_head__its_normalised_last_stage_is_no_class_score():
    module = nn.Sequential(
        nn.Conv2d(3, 8, 3), nn.ReLU(), nn.Conv2d(8, 16, 1), nn.BatchNorm2d(16), nn.ReLU(),
        nn.AdaptiveAvgPool2d(1), nn.Flatten(),
    )  # fmt: skip
    assert backbone(module).auto_layers() == ("1", "4")
    assert backbone(nn.Sequential(*module[:3], *module[4:])).auto_layers() == ("1",)  # SqueezeNet's


def test_u_net__that_is_pooled_to_a_vector_is_one_all_the_same():
    module = nn.Sequential(UNet(), nn.AdaptiveAvgPool2d(1), nn.Flatten())
    assert backbone(module).auto_layers()[-1] == "0.bottleneck.3"


def test_u_net__warns_once_and_names_layers_behind():
    net = backbone(UNet())
    with pytest.warns(UserWarning, match=r"bottleneck\.3 were chosen.*d1\.3, is not.*layers=\["):
        assert tuple(spec.name for spec in net.select("auto")) == U_NET
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        net.select("auto")
        backbone(UNet()).select(["d1.3", "out"])  # by name there is nothing to doubt


def test_notes__say_what_is_behind_and_what_is_a_read_out():
    notes = backbone(Dictionary(nn.Sequential(UNet(), nn.Sigmoid()))).layer_notes()
    assert {name for name, note in notes.items() if note == "read-out"} == {
        "net", "net.0", "net.0.out", "net.1",
    }  # fmt: skip
    assert notes["net.0.d1.3"] == "upsampled" and "net.0.bottleneck.3" not in notes


def test_notes__class_scores_of_a_classifier():
    net = backbone(torchvision_network("squeezenet1_1"), 224)
    assert net.layer_notes() == {"classifier.1": "read-out", "classifier.2": "read-out"}
    assert backbone(torchvision_network("resnet18"), 224).layer_notes() == {}


SEGMENTATION = {
    "lraspp_mobilenet_v3_large": ["backbone.14", "backbone.15", "backbone.16", "classifier.cbr"],
    "deeplabv3_mobilenet_v3_large": [
        "backbone.15", "backbone.16", "classifier.0", "classifier.3",
    ],
}  # fmt: skip


@pytest.mark.parametrize("name", SEGMENTATION)
def test_segmentation__ends_before_the_scores(name):
    module = torchvision.models.get_model(name, weights=None, weights_backbone=None)
    net = backbone(module, 224)
    assert [spec.name for spec in net.select("auto")] == SEGMENTATION[name]  # no warning
    assert net.layer_notes()["classifier.4" if "deep" in name else "classifier"] == "read-out"


class Auxiliary(nn.Module):
    """A second output from half way, computed last, behind convolutions of its own."""

    def __init__(self):
        super().__init__()
        self.a, self.b = two_convolutions(3, 8), two_convolutions(8, 8)
        self.out, self.extra = nn.Conv2d(8, 3, 1), nn.Sequential(nn.Conv2d(8, 8, 3), nn.ReLU())

    def forward(self, x):
        half = self.a(x)
        return {"out": self.out(self.b(half)), "aux": self.extra(half)}


def test_branches__the_deepest_is_chosen_and_another_one_named():
    net = backbone(Auxiliary())
    with pytest.warns(UserWarning, match="other branches, as extra, is not among them"):
        chosen = [spec.name for spec in net.select("auto")]
    assert chosen == ["a.1", "a.3", "b.1", "b.3"]


def ssdlite():
    return detection.ssdlite320_mobilenet_v3_large(weights=None, weights_backbone=None)


def test_detection_backbones__small_heads_are_not_chosen():
    net = backbone(ssdlite().backbone, 320)
    with pytest.warns(UserWarning, match=r"features\.1\.3 were chosen.* as extra\."):
        chosen = [spec.name for spec in net.select("auto")]
    assert chosen == ["features.1.0.3", "features.1.1", "features.1.2", "features.1.3"]


def test_detection_backbones__the_network_below_a_pyramid_is_chosen():
    make = detection.backbone_utils.resnet_fpn_backbone
    net = backbone(make(backbone_name="resnet18", weights=None), 224)
    with pytest.warns(UserWarning, match=r"as fpn\."):
        chosen = [spec.name for spec in net.select("auto")]
    assert chosen == ["body.layer3.0", "body.layer3.1", "body.layer4.0", "body.layer4.1"]
    assert net.layer_notes()["fpn.layer_blocks.0.0"] == "read-out"


@pytest.mark.parametrize("side", [128, 224])
def test_several_stages_returned__the_last_one_is_no_small_head(side):
    module = create_feature_extractor(torchvision_network("resnet18"), ["layer3", "layer4"])
    assert backbone(module, side).auto_layers()[-1] == "layer4.1.bn2"


class PyramidPooling(nn.Module):
    """Maps beside what a 1x1 convolution makes of coarse means of them."""

    def __init__(self):
        super().__init__()
        self.body, self.pooled = (
            two_convolutions(3, 8),
            nn.Sequential(nn.Conv2d(8, 4, 1), nn.ReLU()),
        )
        self.last, self.out = nn.Sequential(nn.Conv2d(12, 8, 3), nn.ReLU()), nn.Conv2d(8, 3, 1)

    def forward(self, x):
        x = self.body(x)
        y = nnf.interpolate(self.pooled(nnf.avg_pool2d(x, 16)), size=x.shape[2:])
        return self.out(self.last(torch.cat([x, y], 1)))


def test_pyramid_pooling__is_no_deepest_stage():
    assert backbone(PyramidPooling()).auto_layers() == ("body.1", "body.3")


def test_last_stage__of_1x1_convolutions_alone_is_one_where_nothing_leads_past_it():
    last = [nn.MaxPool2d(2), nn.Conv2d(8, 16, 1), nn.ReLU()]
    assert backbone(nn.Sequential(two_convolutions(3, 8), *last)).auto_layers()[-1] == "3"


class Gated(nn.Module):
    """A gate computed on a coarser grid; the network is followed past it."""

    def __init__(self):
        super().__init__()
        self.a, self.gate, self.b = (
            two_convolutions(3, 8), nn.Conv2d(8, 8, 3, padding=1), two_convolutions(8, 8),
        )  # fmt: skip

    def forward(self, x):
        x = self.a(x)
        gate = torch.sigmoid(self.gate(nnf.avg_pool2d(x, 4)))
        return self.b(x * nnf.interpolate(gate, size=x.shape[2:]))


def test_gates_on_coarser_grids__are_no_bottlenecks():
    net = backbone(Gated())
    assert net.auto_layers()[-2:] == ("b.1", "b.3")


def test_fcn__dropout_before_the_scores_is_no_layer_of_its_own():
    head = segmentation.fcn.FCNHead(8, 3)
    module = nn.Sequential(two_convolutions(3, 8), head)
    assert backbone(module).auto_layers() == ("0.1", "0.3", "1.2")
