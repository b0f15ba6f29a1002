"""``explgraph explain`` and ``visualize``, on a drawn fish and the demo network."""

import json

import numpy as np
import pytest
from PIL import Image

from tests.support.commands import ok, refused
from tests.support.world import LAYER, MODEL, SIDE


def explain(files, *options):
    return ("explain", files.photos / "00.png", "--model", MODEL, "--batch-size", 8, *options)


def test_explain__draws_and_writes_the_maps(files, tmp_path):
    sheet, arrays = tmp_path / "s.png", tmp_path / "a.npz"
    options = ("--method", "grad_cam, saliency", "--target", 1, "--out", sheet)
    done = ok(*explain(files, *options, "--arrays", arrays, "--json"))
    data = json.loads(done.stdout)
    assert list(data["methods"]) == ["grad_cam", "saliency"]
    assert data["refused"] == {}
    assert data["files"] == [str(sheet), str(arrays)]
    with np.load(arrays) as maps:
        assert set(maps) == {"grad_cam", "saliency"}
        assert all(maps[name].shape == (SIDE, SIDE) for name in maps)
        assert maps["saliency"].min() >= 0
        assert maps["saliency"].max() > 0
    with Image.open(sheet) as picture:
        assert picture.width > 3 * 224


@pytest.mark.slow
def test_explain__all_methods_or_the_reasons_why_not(files, tmp_path):
    done = ok(*explain(files, "--method", "all", "--out", tmp_path / "s.png", "--json"))
    data = json.loads(done.stdout)
    names = {
        "saliency", "input_x_gradient", "smoothgrad", "vargrad", "integrated_gradients",
        "blur_integrated_gradients", "guided_backprop", "deconvolution", "grad_cam",
        "guided_grad_cam", "cam", "lrp", "occlusion", "leave_one_out", "segments",
    }  # fmt: skip
    assert set(data["methods"]) | set(data["refused"]) == names
    assert not set(data["methods"]) & set(data["refused"])
    assert len(data["methods"]) >= 12
    assert all(reason for reason in data["refused"].values())


def test_explain__a_filter_and_a_node(world, files, tmp_path):
    layer, channel, _ = world.graph.node_id(3).split("/")
    world.graph.rename({3: "eye"}).save(tmp_path / "graph.safetensors")
    labels = []
    for target, more in (
        (f"{layer}/{channel}", ()),
        ("eye", ("--graph", tmp_path / "graph.safetensors")),
    ):
        options = ("--method", "saliency", "--target", target, *more)
        done = ok(*explain(files, *options, "--out", tmp_path / "s.png", "--json"))
        labels.append(json.loads(done.stdout)["target"])
    assert labels == [f"filter {channel} of {layer}", f"node eye ({world.graph.node_id(3)})"]


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--method", "grad_kam", "--out", "s.png"), "unknown method 'grad_kam'"),
        (("--method", ",", "--out", "s.png"), "at least one method"),
        (("--target", "999", "--out", "s.png"), "999"),
        (("--out", "s.gif"), ".gif"),
        (("--out", "s.png", "--arrays", "a.csv"), "must end in .npz"),
    ],
)
def test_explain__wrong_options(files, tmp_path, monkeypatch, options, said):
    monkeypatch.chdir(tmp_path)
    assert said in refused(*explain(files, *options))
    assert list(tmp_path.iterdir()) == []


def test_explain__a_method_that_is_not_possible_says_why(files, tmp_path):
    (tmp_path / "net.py").write_text(
        "import torch\nfrom torch import nn\n\n"
        "def build():\n"
        "    torch.manual_seed(0)\n"
        "    return nn.Sequential(\n"
        "        nn.Conv2d(3, 8, 5, 4), nn.GELU(), nn.Conv2d(8, 8, 3, 2), nn.GELU(),\n"
        "        nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, 4))\n"
    )
    command = ("explain", files.photos / "00.png", "--model", f"{tmp_path / 'net.py'}:build")
    said = refused(*command, "--method", "guided_backprop", "--out", tmp_path / "s.png")
    assert "guided_backprop is not possible" in said
    assert not (tmp_path / "s.png").exists()


def test_visualize__writes_an_image(tmp_path):
    command = ("visualize", MODEL, "--target", f"{LAYER}/3", "--steps", 2)
    ok(*command, "--out", tmp_path / "v.png")
    with Image.open(tmp_path / "v.png") as picture:
        assert picture.mode == "RGB"
        assert np.asarray(picture).std() > 1
