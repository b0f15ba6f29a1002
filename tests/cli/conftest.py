"""What tests of several commands share."""

import pytest
import torch
import torchvision


@pytest.fixture(scope="session")
def squeezenet(tmp_path_factory):
    """Weights files of a torchvision network: the one that is mined, and another."""
    folder, paths = tmp_path_factory.mktemp("squeezenet"), []
    for seed in (0, 1):
        torch.manual_seed(seed)
        net = torchvision.models.squeezenet1_1(weights=None)
        paths.append(folder / f"{seed}.pth")
        torch.save(net.state_dict(), paths[-1])
    return paths
