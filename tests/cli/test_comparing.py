"""``explgraph compare``, on a small network and a dozen drawings."""

import json

import numpy as np
import pytest
import torch
from PIL import Image

import explgraph as eg
from explgraph.graphs.comparison import compare
from tests.support.commands import ok, refused, rows_of
from tests.support.timing import without_times
from tests.support.world import N_MINED
from tests.support.world import SMALL_LAYERS as LAYERS


@pytest.fixture(scope="module")
def model(files):
    return files.small_model


@pytest.fixture(scope="module")
def net(model):
    return eg.load_backbone(model, device="cpu")


@pytest.fixture(scope="module")
def new(files):
    """Photos to compare on."""
    return files.zoo / "cat"


@pytest.fixture(scope="module")
def graphs(files, net, tmp_path_factory):
    """Files of two graphs, of two seeds."""
    path = tmp_path_factory.mktemp("graphs") / "other.safetensors"
    options = {"background": files.background, "layers": LAYERS}
    eg.mine(net, files.zoo / "fish", seed=1, **options).save(path)
    return files.small_graph, path


@pytest.fixture(scope="module")
def trained(files, model, tmp_path_factory):
    """Other weights of the same network, and a graph mined from them."""
    folder, other = tmp_path_factory.mktemp("trained"), eg.load_backbone(model, device="cpu").module
    torch.manual_seed(1)
    for parameter in other.parameters():
        torch.nn.init.normal_(parameter, std=0.2)
    weights, path = folder / "trained.pth", folder / "trained.safetensors"
    torch.save(other.state_dict(), weights)
    net = eg.load_backbone(model, str(weights), device="cpu")
    eg.mine(net, files.zoo / "fish", layers=LAYERS).save(path)
    return path, weights


def expected(paths, nets, photos):
    loaded = [eg.ExplanatoryGraph.load(path) for path in paths]
    matches = [eg.match(g, n, photos) for g, n in zip(loaded, nets, strict=True)]
    return compare(*loaded, *matches)


def test_compare_equals_the_library(new, model, net, graphs):
    result = ok("compare", *graphs, new, "--model", model, "--json")
    data = without_times(result)
    found = expected(graphs, (net, net), new)
    assert data == {
        "graph_a": str(graphs[0]),
        "graph_b": str(graphs[1]),
        **found.to_json(),
    }
    assert data["by_filter"] is True
    assert data["photos"] == N_MINED
    assert 0 < data["all"]["control"] < data["all"]["found"] < 1


def test_compare_a_graph_with_itself_finds_all_of_it(new, model, graphs):
    result = ok("compare", graphs[0], graphs[0], new, "--model", model, "--json")
    data = json.loads(result.stdout)
    assert data["same_side"] == 1
    assert data["all"]["found"] == data["best"]["found"] == 1
    assert data["all"]["distance"] == 0


def test_compare_prints_a_table(new, model, graphs):
    lines = ok("compare", *graphs, new, "--model", model).stdout.splitlines()
    assert lines[0].startswith(f"{N_MINED} photos, ")
    assert lines[0].endswith("filter by filter")
    heading = next(line for line in lines if "control" in line)
    assert heading.split() == ["nodes", "of", "GRAPH_A", "nodes", "found", "control", "median",
                               "distance"]  # fmt: skip
    assert sum(line.strip().startswith(("100 best nodes", "all nodes")) for line in lines) == 2


def test_compare_writes_pairs(new, model, net, graphs, tmp_path):
    out = tmp_path / "pairs.csv"
    result = ok("compare", *graphs, new, "--model", model, "--out", out, "--json")
    assert json.loads(result.stdout)["pairs"] == str(out)
    rows = rows_of(out)
    found = expected(graphs, (net, net), new)
    assert [*rows[0]] == ["node_a", "node_b", "id_a", "id_b", "distance", "photos", "found"]
    assert [row["id_a"] for row in rows] == list(found.id_a)
    assert [row["found"] == "True" for row in rows] == found.is_found.tolist()
    assert str(out) in ok("compare", *graphs, new, "--model", model, "--out", out).stdout


def test_compare_training_states(new, model, net, graphs, trained):
    """The model is the first graph's; its weights are not."""
    path, weights = trained
    result = ok("compare", graphs[0], path, new, "--model", model, "--weights-b", weights, "--json")
    data = json.loads(result.stdout)
    other = eg.load_backbone(model, str(weights), device="cpu")
    found = expected((graphs[0], path), (net, other), new)
    assert data["by_filter"] is False
    assert data["all"]["found"] == found.found
    assert data["all"]["control"] == found.control


def test_compare_takes_a_network_for_either_graph(new, model, graphs, trained):
    path, weights = trained
    options = ("--model", model, "--weights", weights, "--model-b", model)
    data = json.loads(ok("compare", path, graphs[0], new, *options, "--json").stdout)
    assert data["graph_b"] == str(graphs[0])
    assert data["by_filter"] is False


def test_compare_weights_of_the_first_graph_serve_a_second_of_the_same(new, model, trained):
    path, weights = trained
    options = ("--model", model, "--weights", weights)
    data = json.loads(ok("compare", path, path, new, *options, "--json").stdout)
    assert data["all"]["found"] == 1


def test_compare_refuses_other_weights_unless_forced(new, model, graphs, trained):
    arguments = ("compare", graphs[0], trained[0], new, "--model", model)
    assert "--force" in refused(*arguments)
    ok(*arguments, "--force")


def test_compare_never_runs_a_factory_that_a_file_names(new, graphs, model, tmp_path):
    assert "--model" in refused("compare", *graphs, new)
    renamed = tmp_path / "renamed.safetensors"
    second = eg.ExplanatoryGraph.load(graphs[1])
    header = {**second.header, "model": "elsewhere.py:net"}
    fields = {f: getattr(second, f) for f in second.__dataclass_fields__ if f != "header"}
    eg.ExplanatoryGraph(**fields, header=header).save(renamed)
    message = refused("compare", graphs[0], renamed, new, "--model", model)
    assert "GRAPH_B" in message
    assert "--model-b" in message


@pytest.mark.parametrize("name", ["pairs.txt", "."])
def test_compare_refuses_a_bad_out_file_at_once(new, model, graphs, tmp_path, name):
    arguments = ("compare", "nowhere.safetensors", graphs[1], new, "--model", model)
    message = refused(*arguments, "--out", tmp_path / name)
    assert ("is a folder" if name == "." else ".csv") in message


def test_compare_needs_photos_in_which_nodes_fire(new, model, graphs, tmp_path):
    Image.fromarray(np.full((64, 64, 3), 90, dtype=np.uint8)).save(tmp_path / "one.png")
    assert "give more photos" in refused("compare", *graphs, tmp_path, "--model", model)


def test_compare_help_has_an_example():
    text = " ".join(ok("compare", "--help").stdout.split())
    assert "Example: explgraph compare " in text
