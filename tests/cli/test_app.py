"""The command line, on a small network and a dozen drawings."""

import csv
import json
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import networkx as nx
import numpy as np
import pytest
import torch
import torchvision
from PIL import Image
from safetensors import safe_open
from safetensors.numpy import save_file
from typer.testing import CliRunner

import explgraph as eg
from explgraph.cli.app import app
from explgraph.demo.animals.drawing import draw_animal, draw_background
from tests.support.planted import near_border, planted_graph

N_PHOTOS = 12
LAYERS = ("relu2", "relu3")
SQUEEZED = "features.12.squeeze_activation"
PARTS = ("head", "torso")
COMMANDS = (
    "demo",
    "layers",
    "mine",
    "match",
    "export",
    "info",
    "compare",
    "evaluate",
    "parts",
    "locate",
)

FACTORY = """
import sys
import time
from collections import OrderedDict

import torch
from torch import nn

from explgraph import Preprocess

def net():
    print("noise on stdout")
    torch.manual_seed(0)
    widths, parts = (3, 8, 12, 16), OrderedDict()
    for i in (1, 2, 3):
        parts[f"conv{i}"] = nn.Conv2d(widths[i - 1], widths[i], 4, 2, 1)
        parts[f"relu{i}"] = nn.ReLU()
    return nn.Sequential(parts), Preprocess((64, 64))

def slow():
    print("ready", file=sys.stderr, flush=True)
    time.sleep(60)
"""


def run(*arguments):
    return CliRunner().invoke(app, [str(a) for a in arguments])


def ok(*arguments):
    result = run(*arguments)
    assert result.exit_code == 0, (result.stderr, result.exception)
    return result


def refused(*arguments):
    """Run a command that must fail, and return its message: one line, no traceback."""
    result = run(*arguments)
    assert result.exit_code == 2, (result.exit_code, result.stderr, result.exception)
    assert result.stdout == ""
    lines = [line for line in result.stderr.splitlines() if line.startswith("error: ")]
    assert len(lines) == 1
    assert result.stderr.splitlines()[-1] == lines[0]
    assert "Traceback" not in result.stderr
    return lines[0]


def header_of(path):
    with safe_open(path, "numpy") as file:
        metadata = file.metadata()
        assert len(metadata) == 1
        return json.loads(next(iter(metadata.values())))


def tensors_of(path):
    with safe_open(path, "numpy") as file:
        return {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118


@pytest.fixture(scope="module")
def work(tmp_path_factory):
    """Folders zoo/zebra, zoo/cat, background; files zebra.csv (parts), boxes.csv and net.py."""
    folder = tmp_path_factory.mktemp("cli")
    rows = []
    for species, first in (("zebra", 100), ("cat", 500)):
        (folder / "zoo" / species).mkdir(parents=True)
        for i in range(N_PHOTOS):
            drawing = draw_animal(species, first + i)
            name = f"{i:02d}.png"
            Image.fromarray(drawing.image).save(folder / "zoo" / species / name)
            for part in PARTS:
                y, x = drawing.centres[drawing.parts.index(part)] * 128 - 0.5
                if species == "zebra" and not np.isnan(y):
                    rows.append((name, part, x, y))
    (folder / "background").mkdir()
    for i in range(6):
        Image.fromarray(draw_background(i)).save(folder / "background" / f"{i}.png")
    write_csv(folder / "zebra.csv", ("image", "part", "x", "y"), rows)
    boxes = [(f"{i:02d}.png", 63.5, 63.5, 120, 100, "animal") for i in range(N_PHOTOS)]
    boxes.append(("00.png", 40, 40, 60, 60, "animal"))
    boxes.append(("01.png", 40, 40, 60, 60, "other"))
    write_csv(folder / "boxes.csv", ("image", "x", "y", "width", "height", "label"), boxes)
    (folder / "net.py").write_text(FACTORY)
    return folder


def write_csv(path, header, rows):
    with path.open("w", newline="") as file:
        csv.writer(file).writerows([header, *rows])


@pytest.fixture(scope="module")
def model(work):
    return f"{work / 'net.py'}:net"


@pytest.fixture(scope="module")
def mined(work, model):
    """A graph of the zebras, and what `mine --json` printed."""
    path = work / "zebra.safetensors"
    result = ok(
        "mine", work / "zoo/zebra", "--model", model, "--background", work / "background",
        "--layers", ",".join(LAYERS), "--seed", 3, "--device", "cpu", "--batch-size", 5,
        "--out", path, "--json",
    )  # fmt: skip
    return path, result


@pytest.fixture(scope="module")
def squeezenet(work):
    """Weights files of a torchvision network: the one that is mined, and another."""
    for name, seed in (("right", 0), ("wrong", 1)):
        torch.manual_seed(seed)
        net = torchvision.models.squeezenet1_1(weights=None)
        torch.save(net.state_dict(), work / f"{name}.pth")
    return work / "right.pth", work / "wrong.pth"


@pytest.fixture(scope="module")
def squeezenet_graph(work, squeezenet):
    path = work / "squeezed.safetensors"
    ok(
        "mine", work / "zoo/zebra", "--model", "squeezenet1_1", "--weights", squeezenet[0],
        "--layers", SQUEEZED, "--fit", "letterbox", "--out", path,
    )  # fmt: skip
    return path


# --- all commands ---------------------------------------------------------------------------------


def test_version_is_the_packages():
    assert ok("--version").stdout == f"explgraph {eg.__version__}\n"


def test_help_lists_every_command():
    text = ok("--help").stdout
    assert all(f" {name} " in text for name in COMMANDS)


@pytest.mark.parametrize("name", COMMANDS)
def test_help_has_an_example(name):
    text = " ".join(ok(name, "--help").stdout.split())
    assert f"Example: explgraph {name} " in text


def test_help_imports_nothing_heavy():
    code = (
        "import sys\nfrom explgraph.cli.app import app\n"
        "try:\n    app(['mine', '--help'])\n"
        "except SystemExit:\n    pass\n"
        "heavy = {'torch', 'torchvision', 'numba', 'pandas', 'matplotlib', 'networkx', 'scipy', "
        "'sklearn'}\n"
        "sys.exit(' '.join(heavy & set(sys.modules)) or 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_an_interrupt_ends_with_130(work):
    command = [sys.executable, "-c", "from explgraph.cli import main; main()"]
    process = subprocess.Popen(
        [*command, "mine", str(work / "zoo/zebra"), "--model", f"{work / 'net.py'}:slow",
         "--out", str(work / "never.safetensors")],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    watchdog = threading.Timer(100, process.kill)
    watchdog.start()
    try:
        assert process.stderr.readline() == "ready\n"
        time.sleep(0.2)
        process.send_signal(signal.SIGINT)
        out, err = process.communicate()
    finally:
        watchdog.cancel()
    assert process.returncode == 130
    assert out == ""
    assert err == "interrupted\n"
    assert not (work / "never.safetensors").exists()


def test_stdout_of_a_process_is_json_alone(work, model):
    command = [sys.executable, "-c", "from explgraph.cli import main; main()"]
    done = subprocess.run(
        [*command, "layers", model, "--json"], capture_output=True, text=True, check=True
    )
    assert "noise on stdout" in done.stderr
    assert json.loads(done.stdout)["model"] == "net.py:net"


# --- layers ---------------------------------------------------------------------------------------


def test_layers_lists_what_a_network_has():
    data = json.loads(ok("layers", "squeezenet1_0", "--json").stdout)
    found = {layer["name"]: layer for layer in data["layers"]}
    assert data["input_size"] == [224, 224]
    automatic = [name for name, layer in found.items() if layer["automatic"]]
    assert automatic == ["features.8", "features.9", "features.10", "features.12"]
    last = found["features.12"]
    assert (last["channels"], last["grid"], last["stride"]) == (512, [13, 13], [16.0, 16.0])
    assert last["global_context"] is False


def test_layers_marks_the_automatic_choice_in_the_table():
    lines = ok("layers", "squeezenet1_0").stdout.splitlines()
    heading = next(line for line in lines if "channels" in line)
    for word in ("layer", "grid", "stride", "receptive field", "context"):
        assert word in heading
    row = next(line.split() for line in lines if " features.12 " in line)
    assert row[:3] == ["*", "features.12", "512"]
    assert "features.0" in next(line for line in lines if " features.0 " in line).split()[0]


def test_layers_reads_the_weights_it_is_given(squeezenet):
    assert "does not fit" in refused("layers", "squeezenet1_0", "--weights", squeezenet[0])
    ok("layers", "squeezenet1_1", "--weights", squeezenet[0])


def test_layers_of_gated_networks_say_global():
    lines = ok("layers", "mobilenet_v3_small").stdout.splitlines()
    assert any(line.endswith("global") for line in map(str.rstrip, lines))


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("squeezenet1_9", "squeezenet1_0"),
        ("vit_b_16", "convolutional"),
        ("nowhere.py:net", "nowhere.py"),
        ("no_such_module:net", "no_such_module"),
    ],
)
def test_layers__wrong_model(name, said):
    assert said in refused("layers", name)


# --- mine -----------------------------------------------------------------------------------------


def test_mine_writes_a_graph(mined):
    path, result = mined
    graph = eg.ExplanatoryGraph.load(path)
    assert tuple(layer.name for layer in graph.layers) == LAYERS
    assert len(graph) > 0
    header = header_of(path)
    assert header["seed"] == 3
    assert header["model"] == "net.py:net"
    summary = json.loads(result.stdout)
    assert summary["graph"] == str(path)
    assert summary["photos"] == N_PHOTOS
    assert summary["nodes"] == len(graph) == sum(summary["layers"].values())
    assert summary["edges"] == len(graph.edge_child)


def test_mine_equals_the_library(work, model, mined):
    net = eg.load_backbone(model, device="cpu")
    graph = eg.mine(
        net, work / "zoo/zebra", background=work / "background", layers=LAYERS, seed=3, batch_size=5
    )
    ours = eg.ExplanatoryGraph.load(mined[0])
    np.testing.assert_array_equal(ours.mu, graph.mu)
    np.testing.assert_array_equal(ours.edge_parent, graph.edge_parent)


@pytest.mark.parametrize(("label", "items"), [((), 2), (("--label", "animal"), 1)])
def test_mine_takes_boxes(work, model, tmp_path, label, items):
    """One photo has a second box of the same label, another one of another label."""
    result = ok(
        "mine", work / "zoo/zebra", "--model", model, "--layers", LAYERS[1],
        "--boxes", work / "boxes.csv", *label, "--out", tmp_path / "g.safetensors", "--json",
    )  # fmt: skip
    assert json.loads(result.stdout)["photos"] == N_PHOTOS + items


def test_mine_skips_and_names_unreadable_photos(work, model, tmp_path):
    for photo in sorted((work / "zoo/zebra").iterdir())[:5]:
        (tmp_path / photo.name).write_bytes(photo.read_bytes())
    (tmp_path / "broken.png").write_bytes(b"no picture")
    options = ("--model", model, "--layers", LAYERS[1], "--out", tmp_path / "g.safetensors")
    result = ok("mine", tmp_path, *options, "--json")
    assert json.loads(result.stdout)["skipped"] == ["broken.png"]
    assert "warning: skipped 1 of 6 images" in result.stderr
    assert "broken.png" in refused("mine", tmp_path, *options, "--strict")


def test_mine_per_class_gives_one_graph_for_each(work, model, mined):
    out = work / "graphs"
    result = ok(
        "mine", work / "zoo", "--per-class", "--model", model, "--layers", ",".join(LAYERS),
        "--background", work / "background", "--seed", 3, "--batch-size", 5, "--device", "cpu",
        "--out", out, "--json",
    )  # fmt: skip
    assert sorted(path.name for path in out.iterdir()) == ["cat.safetensors", "zebra.safetensors"]
    data = json.loads(result.stdout)
    assert data["failed"] == {}
    assert list(data["graphs"]) == ["cat", "zebra"]
    assert (out / "zebra.safetensors").read_bytes() == mined[0].read_bytes()


def test_mine_per_class_goes_on_after_a_failure(work, model, tmp_path):
    zoo = tmp_path / "zoo"
    for name, count in (("bad", 0), ("good", 6), ("tiny", 1)):
        (zoo / name).mkdir(parents=True)
        for photo in sorted((work / "zoo/zebra").iterdir())[:count]:
            (zoo / name / photo.name).write_bytes(photo.read_bytes())
    (zoo / "good/broken.png").write_bytes(b"no picture")
    (zoo / "loose.png").write_bytes((work / "zoo/zebra/00.png").read_bytes())
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


def test_mine_per_class_takes_boxes_of_all_classes(work, model, tmp_path):
    boxes = [
        (f"{name}/{i:02d}.png", 60, 60, 100, 100)
        for name, count in (("zebra", 4), ("cat", 5))
        for i in range(count)
    ]
    write_csv(tmp_path / "boxes.csv", ("image", "x", "y", "width", "height"), boxes)
    result = ok(
        "mine", work / "zoo", "--per-class", "--model", model, "--layers", LAYERS[1],
        "--boxes", tmp_path / "boxes.csv", "--out", tmp_path / "out", "--json",
    )  # fmt: skip
    photos = {name: g["photos"] for name, g in json.loads(result.stdout)["graphs"].items()}
    assert photos == {"cat": 5, "zebra": 4}


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["nowhere", "--out", "g.safetensors"], "nowhere does not exist"),
        (["{}/empty", "--out", "g.safetensors"], "there are no images"),
        (["{}/zoo/zebra", "--out", "g.pt"], "--out must end in .safetensors"),
        (["{}/zoo/zebra", "--out", "{}/dir.safetensors"], "is a folder"),
        (["{}/zoo", "--per-class", "--out", "{}/net.py"], "is a file"),
        (["{}/zoo/zebra", "--per-class", "--out", "{}/o"], "holds no folders"),
        (["{}/zoo/zebra/00.png", "--per-class", "--out", "{}/o"], "folder of class folders"),
        (["{}/zoo/zebra", "--out", "g.safetensors", "--layers", "relu9"], "relu3"),
        (["{}/zoo", "--per-class", "--out", "{}/o", "--layers", "relu9"], "relu3"),
        (["{}/zoo/zebra", "--out", "g.safetensors", "--layers", ","], "no layers given"),
        (["{}/zoo/zebra", "--out", "g.safetensors", "--device", "abacus"], "abacus"),
        (["{}/zoo/zebra", "--out", "g.safetensors", "--fit", "squeeze"], "squeeze"),
        (["{}/zoo/zebra", "--out", "g.safetensors", "--weights", "w.pth"], "w.pth does not exist"),
        (["{}/zoo/zebra", "--out", "g.safetensors", "--weights", "V9"], "V9"),
        (["{}/zoo/zebra", "--out", "g.safetensors", "--boxes", "b.csv"], "b.csv does not exist"),
        (["{}/zoo/zebra", "--out", "g.safetensors", "--label", "x"], "label"),
        (["{}/zoo/zebra", "--out", "g.safetensors", "--background", "bg"], "bg does not exist"),
    ],
)
def test_mine__wrong_input(work, model, monkeypatch, tmp_path, arguments, said):
    monkeypatch.chdir(tmp_path)
    (work / "empty").mkdir(exist_ok=True)
    (work / "dir.safetensors").mkdir(exist_ok=True)
    message = refused("mine", *(a.format(work) for a in arguments), "--model", model)
    assert said in message
    assert not (tmp_path / "g.safetensors").exists()


def test_mine_needs_a_model_and_an_out_file(work):
    for given in (["--out", "g.safetensors"], ["--model", "squeezenet1_0"]):
        result = run("mine", work / "zoo/zebra", *given)
        assert result.exit_code == 2
        assert "Missing option" in result.stderr


def test_out_that_cannot_be_written_is_one_line(work, model, mined):
    out = mined[0] / "inside_a_file" / "g.safetensors"
    refused(
        "mine", work / "zoo/zebra", "--model", model, "--layers", LAYERS[1], "--out", out
    )  # fmt: skip


# --- match ----------------------------------------------------------------------------------------


def test_match_writes_what_the_contract_says(work, model, mined):
    out = work / "found.safetensors"
    result = ok("match", mined[0], work / "zoo", "--model", model, "--out", out, "--json")
    graph = eg.ExplanatoryGraph.load(mined[0])
    tensors, n, p = tensors_of(out), 2 * N_PHOTOS, len(graph)
    assert (tensors["yx"].shape, tensors["yx"].dtype) == ((n, p, 2), np.float32)
    assert (tensors["score"].shape, tensors["score"].dtype) == ((n, p), np.float32)
    assert (tensors["mirrored"].shape, tensors["mirrored"].dtype) == ((n,), np.uint8)
    assert tensors["node_layer"].shape == (p,)
    assert np.issubdtype(tensors["node_layer"].dtype, np.integer)
    np.testing.assert_array_equal(tensors["node_layer"], graph.node_layer)
    assert np.isfinite(tensors["yx"]).all()
    names = [f"{species}/{i:02d}.png" for species in ("cat", "zebra") for i in range(N_PHOTOS)]
    assert header_of(out)["images"] == names
    summary = json.loads(result.stdout)
    assert summary["photos"] == n
    assert summary["nodes"] == p
    assert summary["mirrored"] == tensors["mirrored"].sum()
    assert summary["with_peak"] == pytest.approx((tensors["score"] > 0).mean())


def test_match_without_mirroring(work, model, mined):
    out = work / "plain.safetensors"
    arguments = ("match", mined[0], work / "zoo", "--model", model, "--out", out)
    ok(*arguments)
    assert tensors_of(out)["mirrored"].any()
    ok(*arguments, "--no-mirror")
    assert not tensors_of(out)["mirrored"].any()


def test_match_reports_positions_of_boxes_in_the_photo(work, model, mined, tmp_path):
    write_csv(
        tmp_path / "boxes.csv",
        ("image", "x", "y", "width", "height"),
        [("02.png", 31.5, 31.5, 64, 64), ("02.png", 95.5, 95.5, 64, 64)],
    )
    out = tmp_path / "m.safetensors"
    ok(
        "match", mined[0], work / "zoo/zebra", "--model", model,
        "--boxes", tmp_path / "boxes.csv", "--out", out,
    )  # fmt: skip
    assert header_of(out)["images"] == ["02.png#0", "02.png#1"]
    found = tensors_of(out)
    for i, (low, high) in enumerate(((0, 0.5), (0.5, 1))):
        yx = found["yx"][i][found["score"][i] > 0]
        assert len(yx) > 0
        assert yx.min() >= low - 0.05
        assert yx.max() <= high + 0.05


def test_match_never_runs_a_factory_that_a_file_names(work, mined, monkeypatch):
    monkeypatch.chdir(work)  # where net.py would be found
    message = refused("match", mined[0], work / "zoo/zebra", "--out", work / "m.safetensors")
    assert "--model" in message
    assert "'net.py:net'" in message


@pytest.mark.parametrize("name", [None, "net.py:net", "os:getcwd", "demo_net"])
def test_match_refuses_any_recorded_name_that_is_not_public(work, name, tmp_path):
    graph = planted_graph()
    path = tmp_path / "g.safetensors"
    eg.ExplanatoryGraph(
        **{f: getattr(graph, f) for f in graph.__dataclass_fields__ if f != "header"},
        header={"model": name, "weight_hash": "0"},
    ).save(path)
    assert "--model" in refused("match", path, work / "zoo/zebra", "--out", path)


def test_match_uses_the_recorded_torchvision_name_and_fit(
    work, squeezenet, squeezenet_graph, tmp_path
):
    photos = tmp_path / "wide"
    photos.mkdir()
    for i in range(3):
        Image.open(work / f"zoo/cat/{i:02d}.png").resize((160, 90)).save(photos / f"{i}.png")
    out = tmp_path / "found.safetensors"
    ok("match", squeezenet_graph, photos, "--weights", squeezenet[0], "--out", out)
    net = eg.load_backbone("squeezenet1_1", squeezenet[0], fit="letterbox")
    graph = eg.ExplanatoryGraph.load(squeezenet_graph)
    assert graph.header["preprocess"]["fit"] == "letterbox"
    expected = eg.match(graph, net, photos)
    np.testing.assert_allclose(tensors_of(out)["yx"], expected.yx, atol=1e-5)


def test_match_refuses_other_weights_unless_forced(work, squeezenet, squeezenet_graph):
    arguments = ("match", squeezenet_graph, work / "zoo/cat", "--weights", squeezenet[1], "--out")
    out = work / "forced.safetensors"
    assert "--force" in refused(*arguments, out)
    assert not out.exists()
    ok(*arguments, out, "--force")
    assert out.exists()


def test_match_refuses_another_network(work, mined, squeezenet):
    message = refused(
        "match", mined[0], work / "zoo/cat", "--model", "squeezenet1_1",
        "--weights", squeezenet[0], "--force", "--out", work / "m.safetensors",
    )  # fmt: skip
    assert "layer" in message


@pytest.mark.parametrize(
    ("graph", "images", "out", "said"),
    [
        ("none.safetensors", "zoo/zebra", "m.safetensors", "is not a file"),
        ("foreign.safetensors", "zoo/zebra", "m.safetensors", "not one that explgraph wrote"),
        ("zebra.csv", "zoo/zebra", "m.safetensors", "not a whole explgraph graph file"),
        ("zebra.safetensors", "nowhere", "m.safetensors", "does not exist"),
        ("zebra.safetensors", "empty", "m.safetensors", "there are no images"),
        ("zebra.safetensors", "zoo/zebra", "m.npz", "--out must end in .safetensors"),
    ],
)
def test_match__wrong_input(work, model, mined, graph, images, out, said):
    save_file({"a": np.zeros(3)}, work / "foreign.safetensors")
    (work / "empty").mkdir(exist_ok=True)
    arguments = (work / graph, work / images, "--model", model, "--out", work / out)
    assert said in refused("match", *arguments)


# --- export and info ------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def planted(tmp_path_factory):
    """A graph of 72 nodes with a named one, as a file."""
    path = tmp_path_factory.mktemp("planted") / "g.safetensors"
    graph = planted_graph().rename({5: "left ear"})
    graph.save(path)
    return path, graph


@pytest.mark.parametrize(
    ("suffix", "begins"),
    [
        ("dot", b"digraph"),
        ("svg", b"<?xml"),
        ("pdf", b"%PDF"),
        ("png", b"\x89PNG"),
        ("graphml", b"<"),
        ("json", b"{"),
    ],
)
def test_export_writes_every_format(planted, tmp_path, suffix, begins):
    out = tmp_path / f"deep/er/g.{suffix}"
    result = ok("export", planted[0], "--nodes-per-layer", 2, "--out", out)
    assert out.read_bytes().lstrip().startswith(begins)
    assert str(out) in result.stdout


def exported(path, tmp_path, *options):
    out = tmp_path / "g.json"
    ok("export", path, "--out", out, *options)
    return nx.node_link_graph(json.loads(out.read_text()), edges="edges")


def test_export_of_the_whole_graph(planted, tmp_path):
    path, graph = planted
    found = exported(path, tmp_path)
    assert set(found) == {graph.node_id(i) for i in range(len(graph))}
    assert found.number_of_edges() == len(graph.edge_child)


def test_export_keeps_the_best_nodes_of_each_layer(planted, tmp_path):
    path, graph = planted
    found = exported(path, tmp_path, "--nodes-per-layer", 3)
    best = graph.best(3, linked=True)
    assert list(found) == [best.node_id(i) for i in range(len(best))]
    assert len(found) == 9


def test_export_keeps_nodes_of_high_score(planted, tmp_path):
    path, graph = planted
    limit = float(np.median(graph.score))
    found = exported(path, tmp_path, "--min-score", limit)
    assert set(found) == {graph.node_id(i) for i in range(len(graph)) if graph.score[i] >= limit}


def test_export_around_a_node_by_number_id_or_name(planted, tmp_path):
    path, graph = planted
    whole = eg.to_networkx(graph)
    node = graph.node_id(5)
    family = {node} | nx.ancestors(whole, node) | nx.descendants(whole, node)
    assert family < set(whole)
    for name in ("5", node, "left ear"):
        assert set(exported(path, tmp_path, "--around", name)) == family


def test_export_takes_digits_for_a_name_if_a_node_has_it(planted, tmp_path):
    graph = planted[1].rename({50: "5"})
    path = tmp_path / "named.safetensors"
    graph.save(path)
    assert graph.node_id(50) in exported(path, tmp_path, "--around", "5")
    assert graph.node_id(5) not in exported(path, tmp_path, "--around", "5", "--min-score", 1e9)


def test_export_draws_as_many_parents_as_asked(planted, tmp_path):
    counts = []
    for parents in (0, 1, 2):
        out = tmp_path / "g.dot"
        ok("export", planted[0], "--parents-per-node", parents, "--out", out)
        counts.append(out.read_text().count("->"))
    assert counts == [0, 48, 96]  # 48 nodes are not in the top layer


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--out", "g.doc"], ".dot"),
        (["--out", "g"], "graphml"),
        (["--out", "g.svg", "--around", "left eye"], "left ear"),
        (["--out", "g.json", "--around", "5000"], "5000"),
        (["--out", "g.svg", "--nodes-per-layer", "0"], "at least 1"),
        (["--out", "g.json", "--min-score", "1e9"], "no node"),
    ],
)
def test_export__wrong_input(planted, tmp_path, monkeypatch, options, said):
    monkeypatch.chdir(tmp_path)
    assert said in refused("export", planted[0], *options)
    assert list(tmp_path.iterdir()) == []


def test_info_tells_what_is_in_a_graph(planted):
    path, graph = planted
    data = json.loads(ok("info", path, "--best", 4, "--json").stdout)
    assert data["graph"] == str(path)
    assert data["header"] == {"model": "planted", "weight_hash": "0" * 64, "seed": 0}
    assert data["nodes"] == 72
    assert data["edges"] == len(graph.edge_child)
    assert [(layer["channels"], layer["nodes"]) for layer in data["layers"]] == [(8, 24)] * 3
    assert [layer["edges_up"] for layer in data["layers"]] == [120, 120, 0]
    order = sorted(range(72), key=lambda i: (near_border(graph, i), -graph.gain[i], i))
    assert order != np.argsort(-graph.gain, kind="stable").tolist()
    assert [row["node"] for row in data["best_nodes"]] == order[:4]
    assert data["best_nodes"][0]["id"] == graph.node_id(order[0])


def test_info_for_people(planted):
    text = ok("info", planted[0]).stdout
    assert "72 nodes, 240 edges" in text
    assert "features.3" in text
    assert "planted" in text


def test_info_of_a_mined_graph(mined):
    data = json.loads(ok("info", mined[0], "--json").stdout)
    assert data["header"]["model"] == "net.py:net"
    assert data["header"]["preprocess"]["input_size"] == [64, 64]
    ok("info", mined[0])


@pytest.mark.parametrize("command", ["info", "export"])
def test_graph_commands__wrong_file(command, planted, tmp_path):
    rest = ["--out", tmp_path / "g.svg"] if command == "export" else []
    cut = tmp_path / "cut.safetensors"
    cut.write_bytes(planted[0].read_bytes()[:-100])
    assert "not a whole" in refused(command, cut, *rest)
    assert "is not a file" in refused(command, tmp_path / "none.safetensors", *rest)


# --- evaluate and demo ----------------------------------------------------------------------------


def test_evaluate_prints_every_row(work, model):
    common = (
        "evaluate", work / "zoo/zebra", "--annotations", work / "zebra.csv", "--model", model,
        "--background", work / "background", "--layers", ",".join(LAYERS), "--seeds", "0,4",
    )  # fmt: skip
    data = json.loads(ok(*common, "--json").stdout)
    assert data["seeds"] == [0, 4]
    assert [c["category"] for c in data["categories"]] == ["zebra"]
    assert list(data["categories"][0]["seeds"]) == ["0", "4"]
    rows = [(m["part"], m["row"]) for m in data["means"]]
    names = ("raw peaks", "raw peaks, mirrored", "no edges", "graph", "supervised ceiling")
    assert rows == [(part, row) for part in PARTS for row in names]
    by_seed = [
        next(p for p in found["parts"] if p["part"] == "head")["tracking"]["graph"]["t100"]
        for found in data["categories"][0]["seeds"].values()
    ]
    head = next(m for m in data["means"] if (m["part"], m["row"]) == ("head", "graph"))
    assert head["t100"] == pytest.approx(np.mean(by_seed))
    text = ok(*common, "--parts", "head").stdout
    assert "zebra, head" in text
    assert "torso" not in text
    line = next(line.split() for line in text.splitlines() if line.startswith("  graph"))
    assert line[2] == f"{head['t100']:.3f}"


def test_evaluate_per_class_gives_the_mean_of_categories(work, model, tmp_path):
    for name in ("zebra", "horse"):
        (tmp_path / name).mkdir()
        for photo in (work / "zoo/zebra").iterdir():
            (tmp_path / name / photo.name).write_bytes(photo.read_bytes())
        text = (work / "zebra.csv").read_text()
        text = text.replace("torso", "body") if name == "horse" else text
        (tmp_path / name / "annotations.csv").write_text(text)
    (tmp_path / "unlabelled").mkdir()
    common = (
        "evaluate", tmp_path, "--per-class", "--model", model, "--layers", LAYERS[1],
        "--background", work / "background", "--seeds", "0",
    )  # fmt: skip
    data = json.loads(ok(*common, "--json").stdout)
    assert [c["category"] for c in data["categories"]] == ["horse", "zebra"]
    over = {(m["part"], m["row"]): m["t100"] for m in data["means_over_categories"]}
    assert {part for part, _ in over} == {"head", "other parts"}
    zebra = {(m["part"], m["row"]): m["t100"] for m in data["means"] if m["category"] == "zebra"}
    assert over["head", "graph"] == pytest.approx(zebra["head", "graph"])  # equal photos
    assert over["other parts", "graph"] == pytest.approx(zebra["torso", "graph"])
    text = ok(*common, "--categories", "zebra,horse").stdout
    assert "T100, head" in text
    data = json.loads(ok(*common, "--categories", "zebra", "--json").stdout)
    assert [c["category"] for c in data["categories"]] == ["zebra"]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["{}/zoo/zebra"], "annotations.csv is not a file"),
        (["{}/nowhere"], "expected a folder"),
        (["{}/zoo/zebra", "{}/zoo/cat", "--annotations", "{}/zebra.csv"], "one folder"),
        (["{}/zoo", "--per-class"], "annotations.csv"),
        (["{}/zoo/zebra", "--categories", "zebra"], "--per-class"),
        (["{}/zoo/zebra", "--annotations", "{}/zebra.csv", "--parts", "heart"], "head"),
        (["{}/zoo/zebra", "--annotations", "{}/zebra.csv", "--seeds", "one"], "--seeds"),
        (["{}/zoo/zebra", "--annotations", "{}/zebra.csv", "--seeds", "-1"], "--seeds"),
        (["{}/zoo/zebra", "--annotations", "{}/zebra.csv", "--seeds", "1,1"], "different"),
        (["{}/zoo/cat", "--annotations", "{}/boxes.csv"], "columns"),
    ],
)
def test_evaluate__wrong_input(work, model, arguments, said):
    filled = [a.format(work) for a in arguments]
    assert said in refused("evaluate", *filled, "--model", model, "--layers", LAYERS[1])


def test_demo_runs_the_demo(tmp_path, monkeypatch):
    calls = []

    class Result:
        def to_json(self):
            return {"nodes": 7}

        def report(self):
            return "seven nodes"

    def run_demo(out, *, seed, progress):
        print("chatter")
        calls.append((out, seed, progress))
        return Result()

    monkeypatch.setattr("explgraph.demo.run.run_demo", run_demo)
    result = ok("demo", "--out", tmp_path, "--seed", 2, "--json")
    assert json.loads(result.stdout) == {"nodes": 7}
    assert result.stderr == "chatter\n"
    assert ok("demo").stdout == "seven nodes\n"
    assert calls == [(tmp_path, 2, True), (Path("out/demo"), 0, True)]


def test_demo__out_is_a_file(work):
    assert "is a file" in refused("demo", "--out", work / "net.py")
