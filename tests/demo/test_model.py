"""The shipped demo network: small, readable, and right about drawings it has not seen."""

import json

import numpy as np
import torch

from explgraph.demo.animals.drawing import SEEDS, SPECIES, draw_animal, draw_background
from explgraph.demo.model import (
    CLASSES,
    DemoNet,
    read_demo_file,
    trained_demo_net,
)
from tests.support.world import unseen_drawings


def as_input(images):
    """ImageNet normalisation, written out."""
    unit = np.stack(images).astype(np.float32) / 255
    unit = (unit - [0.485, 0.456, 0.406]) / [0.229, 0.224, 0.225]
    return torch.from_numpy(unit.transpose(0, 3, 1, 2).astype(np.float32))


def predictions(images):
    with torch.inference_mode():
        return [CLASSES[k] for k in trained_demo_net()(as_input(images)).argmax(dim=1).tolist()]


def test_network__knows_unseen_drawings():
    truth = [name for name in SPECIES for _ in unseen_drawings(name)]
    found = predictions([drawing.image for name in SPECIES for drawing in unseen_drawings(name)])
    right = np.mean([a == b for a, b in zip(found, truth, strict=True)])
    assert right >= 0.95


def test_network__knows_an_empty_scene():
    found = predictions([draw_background(seed) for seed in SEEDS["test"][:40]])
    assert found.count("background") >= 34


def test_report__tells_what_was_measured():
    report = json.loads(read_demo_file("demo_net.json"))
    assert report["classes"] == list(CLASSES)
    assert report["accuracy"] >= 0.95
    assert report["training_seeds"] == [SEEDS["train"].start, SEEDS["train"].stop]
    assert report["test_seeds"] == [SEEDS["test"].start, SEEDS["test"].stop]
    assert report["command"] == "python data/demo/train.py"


def test_weights__are_small():
    assert 500_000 < len(read_demo_file("demo_net.safetensors")) < 4_000_000


def test_modules__can_be_hooked_after_every_relu():
    net, grids = DemoNet().eval(), {}
    for name, module in net.named_modules():
        if name.rpartition(".")[2].startswith("relu"):
            module.register_forward_hook(
                lambda _module, _inputs, output, name=name: grids.setdefault(name, []).append(
                    tuple(output.shape[2:])
                )
            )
    net(torch.zeros(1, 3, 128, 128))
    expected = {f"stage{s}.relu{k}": [(2 ** (7 - s),) * 2] for s in (1, 2, 3, 4) for k in (1, 2)}
    assert grids == expected


def test_cells__of_a_mirrored_picture_are_the_mirrored_cells():
    """With mirrored kernels a mirrored picture gives mirrored maps: no grid leans to a side."""
    net, mirrored_net = trained_demo_net(), trained_demo_net()
    for module in mirrored_net.modules():
        if isinstance(module, torch.nn.Conv2d):
            module.weight.data = module.weight.data.flip(3)
    picture = as_input([draw_animal("cat", SEEDS["test"].start).image])
    maps, mirrored = picture, picture.flip(3)
    with torch.inference_mode():
        for stage in ("stage1", "stage2", "stage3", "stage4"):
            maps = net.get_submodule(stage)(maps)
            mirrored = mirrored_net.get_submodule(stage)(mirrored)
            torch.testing.assert_close(mirrored.flip(3), maps, rtol=1e-3, atol=1e-3)
