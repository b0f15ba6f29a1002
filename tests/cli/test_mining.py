"""``explgraph mine``, on a small network and a dozen drawings."""

import json
import os
import shutil

import pytest

import explgraph as eg
from tests.support.commands import header_of, ok, refused, run, write_csv
from tests.support.patience import at_once
from tests.support.world import N_MINED, SMALL_BATCH, SMALL_SEED
from tests.support.world import SMALL_LAYERS as LAYERS


@pytest.fixture(scope="module")
def model(files):
    return files.small_model


def command(files):
    """With all options, but for photos and ``--out``."""
    return (
        "--model", files.small_model, "--background", files.background, "--seed", SMALL_SEED,
        "--layers", ",".join(LAYERS), "--device", "cpu", "--batch-size", SMALL_BATCH, "--json",
    )  # fmt: skip


def copy_photos(source, target, count):
    target.mkdir(parents=True)
    for photo in sorted(source.iterdir())[:count]:
        shutil.copy(photo, target)


def test_mine_writes_the_librarys_graph(files, tmp_path):
    path = tmp_path / "fish.safetensors"
    result = ok("mine", files.zoo / "fish", *command(files), "--out", path)
    assert path.read_bytes() == files.small_graph.read_bytes()
    graph = eg.ExplanatoryGraph.load(path)
    assert tuple(layer.name for layer in graph.layers) == LAYERS
    assert len(graph) > 0
    header = header_of(path)
    assert header["seed"] == SMALL_SEED
    assert header["model"] == "net.py:net"
    summary = json.loads(result.stdout)
    assert summary["graph"] == str(path)
    assert summary["photos"] == N_MINED
    assert summary["nodes"] == len(graph) == sum(summary["layers"].values())
    assert summary["edges"] == len(graph.edge_child)


@pytest.mark.parametrize(("label", "items"), [((), 2), (("--label", "animal"), 1)])
def test_mine_takes_boxes(files, model, tmp_path, label, items):
    """One photo has a second box of the same label, another one of another label."""
    boxes = [(f"{i:02d}.png", 63.5, 63.5, 120, 100, "animal") for i in range(N_MINED)]
    boxes += [("00.png", 40, 40, 60, 60, "animal"), ("01.png", 40, 40, 60, 60, "other")]
    header = ("image", "x", "y", "width", "height", "label")
    result = ok(
        "mine", files.zoo / "fish", "--model", model, "--layers", LAYERS[1], *label, "--json",
        "--boxes", write_csv(tmp_path / "boxes.csv", header, boxes),
        "--out", tmp_path / "g.safetensors",
    )  # fmt: skip
    assert json.loads(result.stdout)["photos"] == N_MINED + items


def test_mine_skips_and_names_unreadable_photos(files, model, tmp_path):
    photos = tmp_path / "photos"
    copy_photos(files.zoo / "fish", photos, 5)
    (photos / "broken.png").write_bytes(b"no picture")
    options = ("--model", model, "--layers", LAYERS[1], "--out", tmp_path / "g.safetensors")
    result = ok("mine", photos, *options, "--json")
    assert json.loads(result.stdout)["skipped"] == ["broken.png"]
    # Once, though without a background the photos are read twice.
    assert result.stderr.count("warning: skipped 1 of 6 images") == 1
    assert "broken.png" in refused("mine", photos, *options, "--strict")


def test_mine_of_class_folders_without_per_class_says_that_they_are_one(files, model, tmp_path):
    for name in ("fish", "snail"):
        copy_photos(files.zoo / "fish", tmp_path / "zoo" / name, 3)
    few = ("--model", model, "--layers", LAYERS[1], "--out", tmp_path / "g.safetensors")
    said = "zoo holds 2 sub-folders with photos (fish, snail), mined as one category: --per-class"
    assert ok("mine", tmp_path / "zoo", *few).stderr.count(said) == 1
    copy_photos(files.zoo / "fish", tmp_path / "one" / "only", 3)
    assert "sub-folders" not in ok("mine", tmp_path / "one", *few).stderr
    os.mkfifo(tmp_path / "pipe.png")
    with at_once():
        assert "pipe.png is neither" in refused("mine", tmp_path / "pipe.png", *few)


def test_mine_per_class_gives_one_graph_for_each(files, tmp_path):
    out = tmp_path / "graphs"
    result = ok("mine", files.zoo, "--per-class", *command(files), "--out", out)
    assert sorted(path.name for path in out.iterdir()) == ["cat.safetensors", "fish.safetensors"]
    data = json.loads(result.stdout)
    assert data["failed"] == {}
    assert list(data["graphs"]) == ["cat", "fish"]
    assert (out / "fish.safetensors").read_bytes() == files.small_graph.read_bytes()


def test_mine_per_class_goes_on_after_a_failure(files, model, tmp_path):
    zoo = tmp_path / "zoo"
    for name, count in (("bad", 0), ("good", 6), ("tiny", 1)):
        copy_photos(files.zoo / "fish", zoo / name, count)
    (zoo / "good/broken.png").write_bytes(b"no picture")
    shutil.copy(zoo / "tiny/00.png", zoo / "loose.png")
    options = ("--per-class", "--model", model, "--layers", LAYERS[1], "--out", tmp_path / "out")
    result = run("mine", zoo, *options, "--json")
    assert result.exit_code == 1
    data = json.loads(result.stdout)
    assert list(data["graphs"]) == ["good"]
    assert data["graphs"]["good"]["skipped"] == ["broken.png"]  # named as within its class folder
    assert list(data["failed"]) == ["bad", "tiny"]
    assert "no images" in data["failed"]["bad"]
    assert "error: bad: " in result.stderr
    assert "1 images lie beside the class folders" in result.stderr
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["good.safetensors"]
    assert "2 of 3 classes failed: bad, tiny" in run("mine", zoo, *options).stdout


def test_mine_per_class_takes_boxes_of_all_classes(files, model, tmp_path):
    boxes = [
        (f"{name}/{i:02d}.png", 60, 60, 100, 100)
        for name, count in (("fish", 4), ("cat", 5))
        for i in range(count)
    ]
    write_csv(tmp_path / "boxes.csv", ("image", "x", "y", "width", "height"), boxes)
    result = ok(
        "mine", files.zoo, "--per-class", "--model", model, "--layers", LAYERS[1],
        "--boxes", tmp_path / "boxes.csv", "--out", tmp_path / "out", "--json",
    )  # fmt: skip
    photos = {name: g["photos"] for name, g in json.loads(result.stdout)["graphs"].items()}
    assert photos == {"cat": 5, "fish": 4}


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["nowhere", "--out", "g.safetensors"], "nowhere does not exist"),
        (["empty", "--out", "g.safetensors"], "there are no images"),
        (["{.zoo}/fish", "--out", "g.pt"], "--out must end in .safetensors"),
        (["{.zoo}/fish", "--out", "dir.safetensors"], "is a folder"),
        (["{.zoo}", "--per-class", "--out", "file"], "is a file"),
        (["{.zoo}/fish", "--per-class", "--out", "o"], "holds no folders"),
        (["{.zoo}/fish/00.png", "--per-class", "--out", "o"], "folder of class folders"),
        (["{.zoo}/fish", "--out", "g.safetensors", "--layers", "relu9"], "relu3"),
        (["{.zoo}", "--per-class", "--out", "o", "--layers", "relu9"], "relu3"),
        (["{.zoo}/fish", "--out", "g.safetensors", "--layers", ","], "no layers given"),
        (["{.zoo}/fish", "--out", "g.safetensors", "--device", "abacus"], "abacus"),
        (["{.zoo}/fish", "--out", "g.safetensors", "--fit", "squeeze"], "squeeze"),
        (["{.zoo}/fish", "--out", "g.safetensors", "--weights", "w.pth"], "w.pth does not exist"),
        (["{.zoo}/fish", "--out", "g.safetensors", "--weights", "V9"], "V9"),
        (["{.zoo}/fish", "--out", "g.safetensors", "--boxes", "b.csv"], "b.csv does not exist"),
        (["{.zoo}/fish", "--out", "g.safetensors", "--label", "x"], "label"),
        (["{.zoo}/fish", "--out", "g.safetensors", "--background", "bg"], "bg does not exist"),
    ],
)
def test_mine__wrong_input(files, model, monkeypatch, tmp_path, arguments, said):
    monkeypatch.chdir(tmp_path)
    for name in ("empty", "dir.safetensors"):
        (tmp_path / name).mkdir()
    (tmp_path / "file").touch()
    message = refused("mine", *(a.format(files) for a in arguments), "--model", model)
    assert said in message
    assert not (tmp_path / "g.safetensors").exists()


def test_mine_needs_a_model_and_an_out_file(files):
    for given in (["--out", "g.safetensors"], ["--model", "squeezenet1_0"]):
        result = run("mine", files.zoo / "fish", *given)
        assert result.exit_code == 2
        assert "Missing option" in result.stderr


def test_out_that_cannot_be_written_is_one_line(files, model):
    out = files.clicks / "inside_a_file" / "g.safetensors"
    refused("mine", files.zoo / "fish", "--model", model, "--layers", LAYERS[1], "--out", out)
