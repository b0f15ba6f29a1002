"""Small networks and photos for tests of explanations."""

import numpy as np
import torch
from torch import nn
from torch.nn import functional as nnf

from explgraph.networks.backbone import Backbone

SIDE = 32


class Plain(nn.Module):
    """Two convolutions with ReLUs, in place, then the mean over cells and a linear layer."""

    def __init__(self, seed=0, bias=True):
        super().__init__()
        torch.manual_seed(seed)
        self.conv1 = nn.Conv2d(3, 6, 4, stride=2, padding=1, bias=bias)
        self.relu1 = nn.ReLU(inplace=True)
        self.conv2 = nn.Conv2d(6, 8, 4, stride=2, padding=1, bias=bias)
        self.relu2 = nn.ReLU(inplace=True)
        self.head = nn.Linear(8, 5, bias=bias)

    def forward(self, x):
        x = self.relu2(self.conv2(self.relu1(self.conv1(x))))
        return self.head(x.mean((2, 3)))


class ConvolutionLast(nn.Module):
    """As SqueezeNet ends: a 1x1 convolution, a ReLU, the mean over cells."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(3)
        self.stem = nn.Conv2d(3, 8, 4, stride=2, padding=1)
        self.relu = nn.ReLU()
        self.last = nn.Conv2d(8, 5, 1)
        self.relu_last = nn.ReLU()

    def forward(self, x):
        return self.relu_last(self.last(self.relu(self.stem(x)))).mean((2, 3))


class PreActivation(nn.Module):
    """Written with functions: what is rectified is also led past the convolution."""

    def __init__(self, rectify=nnf.relu):
        super().__init__()
        torch.manual_seed(1)
        self.stem = nn.Conv2d(3, 6, 3, stride=2, padding=1)
        self.conv1 = nn.Conv2d(6, 6, 3, padding=1)
        self.conv2 = nn.Conv2d(6, 6, 3, padding=1)
        self.head = nn.Linear(6 * 16 * 16, 5)
        self.rectify = rectify

    def forward(self, x):
        x = self.stem(x)
        x = x + self.conv1(self.rectify(x))
        x = x + self.conv2(self.rectify(x))
        return self.head(self.rectify(x).flatten(1))


def backbone(module, **options):
    return Backbone(module, input_size=(SIDE, SIDE), device="cpu", **options)


def noise_photo(seed=0, height=SIDE, width=SIDE):
    rng = np.random.default_rng(seed)
    return rng.integers(0, 256, (height, width, 3), dtype=np.uint8)
