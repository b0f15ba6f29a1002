"""``explgraph match``, on a small network and a dozen drawings."""

import dataclasses
import json
from pathlib import Path
from urllib.error import URLError

import numpy as np
import pytest
from PIL import Image
from safetensors.numpy import save_file

import explgraph as eg
from tests.support.commands import header_of, ok, refused, run, tensors_of, write_csv
from tests.support.planted import planted_graph
from tests.support.world import MODEL, N_MINED

SQUEEZED = "features.12.squeeze_activation"


@pytest.fixture(scope="module")
def model(files):
    return files.small_model


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


def test_match_writes_what_the_contract_says(files, model, tmp_path):
    out = tmp_path / "found.safetensors"
    result = ok("match", files.small_graph, files.zoo, "--model", model, "--out", out, "--json")
    graph = eg.ExplanatoryGraph.load(files.small_graph)
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


def test_match_without_mirroring(files, model, tmp_path):
    out = tmp_path / "plain.safetensors"
    arguments = ("match", files.small_graph, files.zoo, "--model", model, "--out", out)
    ok(*arguments)
    assert tensors_of(out)["mirrored"].any()
    ok(*arguments, "--no-mirror")
    assert not tensors_of(out)["mirrored"].any()


def test_match_reports_positions_of_boxes_in_the_photo(files, model, tmp_path):
    write_csv(
        tmp_path / "boxes.csv",
        ("image", "x", "y", "width", "height"),
        [("02.png", 31.5, 31.5, 64, 64), ("02.png", 95.5, 95.5, 64, 64)],
    )
    out = tmp_path / "m.safetensors"
    ok(
        "match", files.small_graph, files.zoo / "fish", "--model", model,
        "--boxes", tmp_path / "boxes.csv", "--out", out,
    )  # fmt: skip
    assert header_of(out)["images"] == ["02.png#0", "02.png#1"]
    found = tensors_of(out)
    for i, (low, high) in enumerate(((0, 0.5), (0.5, 1))):
        yx = found["yx"][i][found["score"][i] > 0]
        assert len(yx) > 0
        assert yx.min() >= low - 0.05
        assert yx.max() <= high + 0.05


def test_match_never_runs_a_factory_that_a_file_names(files, model, monkeypatch, tmp_path):
    monkeypatch.chdir(Path(model).parent)  # where net.py would be found
    message = refused(
        "match", files.small_graph, files.zoo / "fish", "--out", tmp_path / "m.safetensors"
    )
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


def test_match_says_before_it_downloads_weights(
    wide, squeezenet, squeezenet_graph, tmp_path, monkeypatch
):
    """A graph that was mined with weights from a file does not know so."""

    def no_network(*_, **__):
        raise URLError("no network")

    monkeypatch.setattr("torchvision.models._api.load_state_dict_from_url", no_network)
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    out = tmp_path / "found.safetensors"
    said = run("match", squeezenet_graph, wide, "--out", out).stderr.splitlines()
    said = [line for line in said if not line.startswith("loading")]
    assert said[0].startswith("downloading the standard weights of squeezenet1_1; if the graph was")
    assert said[1].startswith("error: cannot get the weights of squeezenet1_1 (")
    assert (
        "downloading"
        not in ok("match", squeezenet_graph, wide, "--weights", squeezenet[0], "--out", out).stderr
    )


def test_match_refuses_other_weights_unless_forced(wide, squeezenet, squeezenet_graph, tmp_path):
    arguments = ("match", squeezenet_graph, wide, "--weights", squeezenet[1], "--out")
    out = tmp_path / "forced.safetensors"
    assert "--force" in refused(*arguments, out)
    assert not out.exists()
    ok(*arguments, out, "--force")
    assert out.exists()


def test_match_refuses_another_network(files, wide, squeezenet, tmp_path):
    message = refused(
        "match", files.small_graph, wide, "--model", "squeezenet1_1",
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


def test_match_writes_where_part_groups_are(files, model, tmp_path):
    table = tmp_path / "groups.csv"
    fish = files.zoo / "fish"
    ok("match", files.small_graph, fish, "--model", model, "--out", tmp_path / "f.safetensors",
       "--groups", table)  # fmt: skip
    graph = eg.ExplanatoryGraph.load(files.small_graph)
    found = eg.Matches.load(tmp_path / "f.safetensors")
    marks = eg.read_annotations(table)
    places = eg.group_places(graph, found)
    assert marks.image == tuple(np.repeat(found.images, len(graph.groups)))
    assert marks.part == graph.groups.labels * len(found)
    unit = marks.unit(found.photo_sizes).reshape(places.yx.shape)
    np.testing.assert_allclose(unit, places.yx, atol=0.01)
    rows = table.read_text().splitlines()
    assert rows[0] == "image,part,x,y,sureness"
    assert float(rows[1].rsplit(",", 1)[1]) == pytest.approx(places.sureness[0, 0], abs=1e-4)


def test_match_refuses_groups_of_a_graph_without(files, model, tmp_path):
    graph = dataclasses.replace(eg.ExplanatoryGraph.load(files.small_graph), groups=None)
    graph.save(tmp_path / "graph.safetensors")
    out, table = tmp_path / "f.safetensors", tmp_path / "g.csv"
    options = ("--model", model, "--out", out, "--groups", table)
    said = refused("match", tmp_path / "graph.safetensors", files.zoo, *options)
    assert "has no part groups" in said
    assert not out.exists()
