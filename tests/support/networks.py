"""Networks for tests: the CIFAR ResNet as a user would write it, and small odd ones."""

from functools import cache

import torch
import torchvision
from torch import nn
from torch.nn import functional as nnf

from explgraph.networks.backbone import Backbone


class CifarBlock(nn.Module):
    def __init__(self, before, channels, stride):
        super().__init__()
        self.conv1 = nn.Conv2d(before, channels, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(channels)
        self.conv2 = nn.Conv2d(channels, channels, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(channels)
        self.stride, self.added = stride, channels - before

    def forward(self, x):
        y = nnf.relu(self.bn1(self.conv1(x)))
        y = self.bn2(self.conv2(y))
        if self.added:
            half = self.added // 2
            x = nnf.pad(x[:, :, :: self.stride, :: self.stride], (0, 0, 0, 0, half, half))
        y += x
        return nnf.relu(y)


class CifarResNet56(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv1 = nn.Conv2d(3, 16, 3, 1, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(16)
        self.layer1 = self._stage(16, 16, 1)
        self.layer2 = self._stage(16, 32, 2)
        self.layer3 = self._stage(32, 64, 2)
        self.linear = nn.Linear(64, 10)

    @staticmethod
    def _stage(before, channels, stride):
        blocks = [CifarBlock(before, channels, stride)]
        return nn.Sequential(*blocks, *(CifarBlock(channels, channels, 1) for _ in range(8)))

    def forward(self, x):
        x = nnf.relu(self.bn1(self.conv1(x)))
        x = self.layer3(self.layer2(self.layer1(x)))
        x = nnf.avg_pool2d(x, x.shape[2:])
        return self.linear(x.flatten(1))


class SharedReLU(nn.Module):
    """One ReLU module used three times, in place."""

    def __init__(self):
        super().__init__()
        self.conv1 = nn.Conv2d(3, 8, 3, padding=1)
        self.conv2 = nn.Conv2d(8, 8, 3, padding=1)
        self.conv3 = nn.Conv2d(8, 12, 3, stride=2, padding=1)
        self.relu = nn.ReLU(inplace=True)

    def forward(self, x):
        x = self.relu(self.conv1(x))
        x = self.relu(self.conv2(x))
        return self.relu(self.conv3(x))


class Gate(nn.Module):
    """Squeeze-and-excitation, written without any pooling module."""

    def __init__(self, channels):
        super().__init__()
        self.down, self.up = nn.Linear(channels, 2), nn.Linear(2, channels)

    def forward(self, x):
        gate = torch.sigmoid(self.up(nnf.relu(self.down(x.mean((2, 3))))))
        return x * gate[:, :, None, None]


@cache
def torchvision_network(name):
    """A random network of torchvision, made once for all tests: none may write into it.

    The linear layers of AlexNet and VGG16, nine tenths of their weights, are 64 wide instead of
    4,096: they cost more time than all convolutions and say nothing more.
    """
    torch.manual_seed(0)
    if name not in ("alexnet", "vgg16"):
        options = {"init_weights": False, "aux_logits": False} if name == "googlenet" else {}
        return torchvision.models.get_model(name, weights=None, **options)
    with torch.device("meta"):
        module = torchvision.models.get_model(name, weights=None)
        linear = [i for i, child in enumerate(module.classifier) if isinstance(child, nn.Linear)]
        for i, before, after in zip(
            linear, (module.classifier[linear[0]].in_features, 64, 64), (64, 64, 1000), strict=True
        ):
            module.classifier[i] = nn.Linear(before, after)
    module.to_empty(device="cpu")
    for child in module.modules():
        if isinstance(child, nn.Conv2d | nn.Linear):
            nn.init.kaiming_normal_(child.weight, nonlinearity="relu")
            nn.init.zeros_(child.bias)
    return module


def random_backbone(name, side):
    """That network on square inputs; side in pixels."""
    return Backbone(torchvision_network(name), name=name, input_size=(side, side), device="cpu")


def two_convolutions(before, channels):
    return nn.Sequential(
        nn.Conv2d(before, channels, 3, padding=1), nn.ReLU(),
        nn.Conv2d(channels, channels, 3, padding=1), nn.ReLU(),
    )  # fmt: skip


class UNet(nn.Module):
    """Three grids down to a bottleneck and up again, with skips; ``rise`` makes maps finer."""

    def __init__(self, rise=None, channels=3):
        super().__init__()
        self.e1, self.e2 = two_convolutions(channels, 4), two_convolutions(4, 8)
        self.bottleneck = two_convolutions(8, 16)
        self.d2, self.d1 = two_convolutions(24, 8), two_convolutions(12, 4)
        self.out = nn.Conv2d(4, 3, 1)
        self.rise = rise or (lambda x: nnf.interpolate(x, scale_factor=2))

    def forward(self, x):
        fine = self.e1(x)
        coarse = self.e2(nnf.max_pool2d(fine, 2))
        x = self.bottleneck(nnf.max_pool2d(coarse, 2))
        x = self.d2(torch.cat([self.rise(x), coarse], 1))
        return self.out(self.d1(torch.cat([self.rise(x), fine], 1)))
