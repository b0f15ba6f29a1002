"""The command line, on a small network and a dozen drawings."""

import json
import re
import shutil
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
from safetensors.numpy import save_file

import explgraph as eg
from tests.support.commands import header_of, ok, refused, run, tensors_of, write_csv
from tests.support.planted import near_border, planted_graph
from tests.support.world import MODEL, N_MINED
from tests.support.world import SMALL_LAYERS as LAYERS

SQUEEZED = "features.12.squeeze_activation"
PARTS = ("head", "tail")
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


@pytest.fixture(scope="module")
def model(files):
    return files.small_model


def mine_command(files):
    """With all options, but for photos and ``--out``."""
    return (
        "--model", files.small_model, "--background", files.background, "--seed", 3,
        "--layers", ",".join(LAYERS), "--device", "cpu", "--batch-size", 5, "--json",
    )  # fmt: skip


@pytest.fixture(scope="module")
def mined(files, tmp_path_factory):
    """A graph of the fishes, and what `mine --json` printed."""
    path = tmp_path_factory.mktemp("mined") / "fish.safetensors"
    return path, ok("mine", files.zoo / "fish", *mine_command(files), "--out", path)


@pytest.fixture(scope="module")
def squeezenet(tmp_path_factory):
    """Weights files of a torchvision network: the one that is mined, and another."""
    folder, paths = tmp_path_factory.mktemp("squeezenet"), []
    for seed in (0, 1):
        torch.manual_seed(seed)
        net = torchvision.models.squeezenet1_1(weights=None)
        paths.append(folder / f"{seed}.pth")
        torch.save(net.state_dict(), paths[-1])
    return paths


@pytest.fixture(scope="module")
def wide(files, tmp_path_factory):
    """A folder of three wide photos."""
    folder = tmp_path_factory.mktemp("wide")
    for photo in sorted((files.zoo / "cat").iterdir())[:3]:
        Image.open(photo).resize((160, 90)).save(folder / photo.name)
    return folder


@pytest.fixture(scope="module")
def squeezenet_graph(wide, squeezenet, tmp_path_factory):
    path = tmp_path_factory.mktemp("squeezed") / "squeezed.safetensors"
    ok(
        "mine", wide, "--model", "squeezenet1_1", "--weights", squeezenet[0],
        "--layers", SQUEEZED, "--fit", "letterbox", "--out", path,
    )  # fmt: skip
    return path


def copy_photos(source, target, count):
    target.mkdir(parents=True)
    for photo in sorted(source.iterdir())[:count]:
        shutil.copy(photo, target)


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


def test_an_interrupt_ends_with_130(files, model, tmp_path):
    command = [sys.executable, "-c", "from explgraph.cli import main; main()"]
    process = subprocess.Popen(
        [*command, "mine", str(files.zoo / "fish"), "--model", model.replace(":net", ":slow"),
         "--out", str(tmp_path / "never.safetensors")],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    watchdog = threading.Timer(100, process.kill)
    watchdog.start()
    try:
        while process.stderr.readline() != "ready\n":  # after lines of progress
            assert process.poll() is None
        time.sleep(0.2)
        process.send_signal(signal.SIGINT)
        out, err = process.communicate()
    finally:
        watchdog.cancel()
    assert process.returncode == 130
    assert out == ""
    assert err.splitlines()[-1].startswith("interrupted: nothing is kept")
    assert not (tmp_path / "never.safetensors").exists()


def test_stdout_of_a_process_is_json_alone(model):
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
    assert summary["photos"] == N_MINED
    assert summary["nodes"] == len(graph) == sum(summary["layers"].values())
    assert summary["edges"] == len(graph.edge_child)


def test_mine_equals_the_library(files, model, mined):
    net, photos = eg.load_backbone(model, device="cpu"), files.zoo / "fish"
    options = {"background": files.background, "layers": LAYERS, "seed": 3, "batch_size": 5}
    graph = eg.mine(net, photos, **options)
    ours = eg.ExplanatoryGraph.load(mined[0])
    np.testing.assert_array_equal(ours.mu, graph.mu)
    np.testing.assert_array_equal(ours.edge_parent, graph.edge_parent)


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
    assert "warning: skipped 1 of 6 images" in result.stderr
    assert "broken.png" in refused("mine", photos, *options, "--strict")


def test_mine_per_class_gives_one_graph_for_each(files, mined, tmp_path):
    out = tmp_path / "graphs"
    result = ok("mine", files.zoo, "--per-class", *mine_command(files), "--out", out)
    assert sorted(path.name for path in out.iterdir()) == ["cat.safetensors", "fish.safetensors"]
    data = json.loads(result.stdout)
    assert data["failed"] == {}
    assert list(data["graphs"]) == ["cat", "fish"]
    assert (out / "fish.safetensors").read_bytes() == mined[0].read_bytes()


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


def test_out_that_cannot_be_written_is_one_line(files, model, mined):
    out = mined[0] / "inside_a_file" / "g.safetensors"
    refused("mine", files.zoo / "fish", "--model", model, "--layers", LAYERS[1], "--out", out)


# --- match ----------------------------------------------------------------------------------------


def test_match_writes_what_the_contract_says(files, model, mined, tmp_path):
    out = tmp_path / "found.safetensors"
    result = ok("match", mined[0], files.zoo, "--model", model, "--out", out, "--json")
    graph = eg.ExplanatoryGraph.load(mined[0])
    tensors, n, p = tensors_of(out), 2 * N_MINED, len(graph)
    assert (tensors["yx"].shape, tensors["yx"].dtype) == ((n, p, 2), np.float32)
    assert (tensors["score"].shape, tensors["score"].dtype) == ((n, p), np.float32)
    assert (tensors["mirrored"].shape, tensors["mirrored"].dtype) == ((n,), np.uint8)
    assert tensors["node_layer"].shape == (p,)
    assert np.issubdtype(tensors["node_layer"].dtype, np.integer)
    np.testing.assert_array_equal(tensors["node_layer"], graph.node_layer)
    assert np.isfinite(tensors["yx"]).all()
    names = [f"{species}/{i:02d}.png" for species in ("cat", "fish") for i in range(N_MINED)]
    assert header_of(out)["images"] == names
    summary = json.loads(result.stdout)
    assert summary["photos"] == n
    assert summary["nodes"] == p
    assert summary["mirrored"] == tensors["mirrored"].sum()
    assert summary["with_peak"] == pytest.approx((tensors["score"] > 0).mean())


def test_match_without_mirroring(files, model, mined, tmp_path):
    out = tmp_path / "plain.safetensors"
    arguments = ("match", mined[0], files.zoo, "--model", model, "--out", out)
    ok(*arguments)
    assert tensors_of(out)["mirrored"].any()
    ok(*arguments, "--no-mirror")
    assert not tensors_of(out)["mirrored"].any()


def test_match_reports_positions_of_boxes_in_the_photo(files, model, mined, tmp_path):
    write_csv(
        tmp_path / "boxes.csv",
        ("image", "x", "y", "width", "height"),
        [("02.png", 31.5, 31.5, 64, 64), ("02.png", 95.5, 95.5, 64, 64)],
    )
    out = tmp_path / "m.safetensors"
    ok(
        "match", mined[0], files.zoo / "fish", "--model", model,
        "--boxes", tmp_path / "boxes.csv", "--out", out,
    )  # fmt: skip
    assert header_of(out)["images"] == ["02.png#0", "02.png#1"]
    found = tensors_of(out)
    for i, (low, high) in enumerate(((0, 0.5), (0.5, 1))):
        yx = found["yx"][i][found["score"][i] > 0]
        assert len(yx) > 0
        assert yx.min() >= low - 0.05
        assert yx.max() <= high + 0.05


def test_match_never_runs_a_factory_that_a_file_names(files, model, mined, monkeypatch, tmp_path):
    monkeypatch.chdir(Path(model).parent)  # where net.py would be found
    message = refused("match", mined[0], files.zoo / "fish", "--out", tmp_path / "m.safetensors")
    assert "--model" in message
    assert "'net.py:net'" in message


@pytest.mark.parametrize("name", [None, "net.py:net", "os:getcwd", "demo_net"])
def test_match_refuses_any_recorded_name_that_is_not_public(files, name, tmp_path):
    graph = planted_graph()
    path = tmp_path / "g.safetensors"
    eg.ExplanatoryGraph(
        **{f: getattr(graph, f) for f in graph.__dataclass_fields__ if f != "header"},
        header={"model": name, "weight_hash": "0"},
    ).save(path)
    assert "--model" in refused("match", path, files.zoo / "fish", "--out", path)


def test_match_uses_the_recorded_torchvision_name_and_fit(
    wide, squeezenet, squeezenet_graph, tmp_path
):
    out = tmp_path / "found.safetensors"
    ok("match", squeezenet_graph, wide, "--weights", squeezenet[0], "--out", out)
    net = eg.load_backbone("squeezenet1_1", squeezenet[0], fit="letterbox")
    graph = eg.ExplanatoryGraph.load(squeezenet_graph)
    assert graph.header["preprocess"]["fit"] == "letterbox"
    expected = eg.match(graph, net, wide)
    np.testing.assert_allclose(tensors_of(out)["yx"], expected.yx, atol=1e-5)


def test_match_refuses_other_weights_unless_forced(wide, squeezenet, squeezenet_graph, tmp_path):
    arguments = ("match", squeezenet_graph, wide, "--weights", squeezenet[1], "--out")
    out = tmp_path / "forced.safetensors"
    assert "--force" in refused(*arguments, out)
    assert not out.exists()
    ok(*arguments, out, "--force")
    assert out.exists()


def test_match_refuses_another_network(wide, mined, squeezenet, tmp_path):
    message = refused(
        "match", mined[0], wide, "--model", "squeezenet1_1",
        "--weights", squeezenet[0], "--force", "--out", tmp_path / "m.safetensors",
    )  # fmt: skip
    assert "layer" in message


@pytest.mark.parametrize(
    ("graph", "images", "out", "said"),
    [
        ("none.safetensors", "{.zoo}/fish", "m.safetensors", "is not a file"),
        ("foreign.safetensors", "{.zoo}/fish", "m.safetensors", "not one that explgraph wrote"),
        ("{.clicks}", "{.zoo}/fish", "m.safetensors", "not a whole explgraph graph file"),
        ("{.graph}", "nowhere", "m.safetensors", "does not exist"),
        ("{.graph}", "empty", "m.safetensors", "there are no images"),
        ("{.graph}", "{.zoo}/fish", "m.npz", "--out must end in .safetensors"),
    ],
)
def test_match__wrong_input(files, monkeypatch, tmp_path, graph, images, out, said):
    monkeypatch.chdir(tmp_path)
    save_file({"a": np.zeros(3)}, "foreign.safetensors")
    Path("empty").mkdir()
    arguments = (graph.format(files), images.format(files), "--model", MODEL, "--out", out)
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


def test_evaluate_prints_every_row(files, model):
    common = (
        "evaluate", files.annotated, "--model", model,
        "--background", files.background, "--layers", ",".join(LAYERS), "--seeds", "0,4",
    )  # fmt: skip
    data = json.loads(ok(*common, "--json").stdout)
    assert data["seeds"] == [0, 4]
    assert [c["category"] for c in data["categories"]] == ["annotated"]
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
    assert "annotated, head" in text
    assert "tail" not in text
    line = next(line.split() for line in text.splitlines() if line.startswith("  graph"))
    assert line[2] == f"{head['t100']:.3f}"


def test_evaluate_per_class_gives_the_mean_of_categories(files, model, tmp_path):
    for name, part in (("fish", "tail"), ("shark", "fin")):
        shutil.copytree(files.zoo / "fish", tmp_path / name)
        text = (files.annotated / "annotations.csv").read_text()
        photos = "|".join(path.name for path in (tmp_path / name).iterdir())
        rows = [row for row in text.splitlines() if re.match(f"image|{photos}", row)]
        text = "\n".join(rows).replace("tail", part)
        (tmp_path / name / "annotations.csv").write_text(text)
    (tmp_path / "unlabelled").mkdir()
    common = (
        "evaluate", tmp_path, "--per-class", "--model", model, "--layers", LAYERS[1],
        "--background", files.background, "--seeds", "0",
    )  # fmt: skip
    data = json.loads(ok(*common, "--json").stdout)
    assert [c["category"] for c in data["categories"]] == ["fish", "shark"]
    over = {(m["part"], m["row"]): m["t100"] for m in data["means_over_categories"]}
    assert {part for part, _ in over} == {"head", "other parts"}
    fish = {(m["part"], m["row"]): m["t100"] for m in data["means"] if m["category"] == "fish"}
    assert over["head", "graph"] == pytest.approx(fish["head", "graph"])  # equal photos
    assert over["other parts", "graph"] == pytest.approx(fish["tail", "graph"])
    text = ok(*common, "--categories", "shark,fish").stdout
    assert "T100, head" in text
    data = json.loads(ok(*common, "--categories", "fish", "--json").stdout)
    assert [c["category"] for c in data["categories"]] == ["fish"]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["{.photos}"], "annotations.csv is not a file"),
        (["{.photos}/nowhere"], "expected a folder"),
        (["{.zoo}/fish", "{.zoo}/cat", "--annotations", "{.clicks}"], "one folder"),
        (["{.zoo}", "--per-class"], "annotations.csv"),
        (["{.photos}", "--categories", "zebra"], "--per-class"),
        (["{.photos}", "--annotations", "{.clicks}", "--parts", "heart"], "head"),
        (["{.photos}", "--annotations", "{.clicks}", "--seeds", "one"], "--seeds"),
        (["{.photos}", "--annotations", "{.clicks}", "--seeds", "-1"], "--seeds"),
        (["{.photos}", "--annotations", "{.clicks}", "--seeds", "1,1"], "different"),
        (["{.zoo}/cat", "--annotations", "boxes.csv"], "columns"),
    ],
)
def test_evaluate__wrong_input(files, model, monkeypatch, tmp_path, arguments, said):
    monkeypatch.chdir(tmp_path)
    write_csv(tmp_path / "boxes.csv", ("image", "x", "y"), [("00.png", 1, 1)])
    filled = [a.format(files) for a in arguments]
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


def test_demo__out_is_a_file(files):
    assert "is a file" in refused("demo", "--out", files.clicks)
