"""The small conv network of the demo: it tells the drawn species apart.

It was trained by ``data/demo/train.py`` on `explgraph.demo.animals.drawing`; its weights travel in
the package ``explgraph.demo_data``.
"""

from __future__ import annotations

from collections import OrderedDict
from importlib import resources

from safetensors.torch import load
from torch import Tensor, nn

from explgraph.demo.animals.drawing import SPECIES

SIDE = 128
"""Side of the network's square input in pixels."""

CLASSES: tuple[str, ...] = (*SPECIES, "background")
"""What the outputs stand for. Scenes without an animal make the network look for one."""

_WIDTHS = (16, 32, 96, 128)


class DemoNet(nn.Module):
    """Four stages of two convolutions, then the mean over all places and a linear layer.

    Each stage halves the grid: 64, 32, 16, 8 cells along a side. The output of each convolution
    after its ReLU is a module of its own, ``stage1.relu1`` to ``stage4.relu2``.
    """

    class_names = CLASSES

    def __init__(self) -> None:
        super().__init__()
        inputs = (3, *_WIDTHS)
        self.stage1 = _stage(inputs[0], inputs[1])
        self.stage2 = _stage(inputs[1], inputs[2])
        self.stage3 = _stage(inputs[2], inputs[3])
        self.stage4 = _stage(inputs[3], inputs[4])
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.classifier = nn.Linear(_WIDTHS[-1], len(CLASSES))

    def forward(self, images: Tensor) -> Tensor:
        """Return the scores of `CLASSES`, (N, 7), for normalised images (N, 3, 128, 128)."""
        maps = self.stage4(self.stage3(self.stage2(self.stage1(images))))
        scores: Tensor = self.classifier(self.pool(maps).flatten(1))
        return scores


def _stage(channels_in: int, channels: int) -> nn.Sequential:
    """Return two convolutions; the first halves the grid.

    Its even kernel looks as far to the left as to the right of the new cells' centres (an odd one
    would not), so that the cells of a mirrored picture are the mirrored cells.
    """
    halving = nn.Conv2d(channels_in, channels, 4, stride=2, padding=1, bias=False)
    keeping = nn.Conv2d(channels, channels, 3, padding=1, bias=False)
    layers: list[tuple[str, nn.Module]] = []
    for index, conv in enumerate((halving, keeping), start=1):
        layers.append((f"conv{index}", conv))
        layers.append((f"norm{index}", nn.BatchNorm2d(channels)))
        layers.append((f"relu{index}", nn.ReLU()))
    return nn.Sequential(OrderedDict(layers))


def trained_demo_net() -> DemoNet:
    """Return the trained network as a plain module, in evaluation mode."""
    net = DemoNet()
    net.load_state_dict(load(read_demo_file("demo_net.safetensors")))
    return net.eval()


def read_demo_file(name: str) -> bytes:
    """Return the content of a file that travels in ``explgraph.demo_data``."""
    return resources.files("explgraph.demo_data").joinpath(name).read_bytes()
