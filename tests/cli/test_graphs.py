"""``explgraph export`` and ``explgraph info``, on a planted graph."""

import json

import networkx as nx
import numpy as np
import pytest

import explgraph as eg
from tests.support.commands import ok, refused
from tests.support.plain import plain_groups, plain_matches
from tests.support.planted import near_border, planted_graph

NODE = 5  # features.3/1/2: the lowest layer, in whose filter it is the third


@pytest.fixture(scope="module")
def planted(tmp_path_factory):
    """A graph of 72 nodes with a named one, as a file."""
    path = tmp_path_factory.mktemp("planted") / "graph.safetensors"
    graph = planted_graph().rename({NODE: "left ear"})
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


def test_export_draws_groups_or_nodes(planted, tmp_path):
    graph = planted[1].having(groups=plain_groups(planted[1], np.arange(72) % 5))
    path, out = tmp_path / "grouped.safetensors", tmp_path / "g.dot"
    graph.save(path)
    drawn = {}
    for level in (None, "groups", "nodes"):
        ok("export", path, "--out", out, *([] if level is None else ["--level", level]))
        drawn[level] = out.read_text().count("/group 0")
    assert drawn[None] == drawn["groups"] > 0 == drawn["nodes"]
    assert "groups" in refused("export", path, "--out", out, "--level", "group")
    assert "part_groups" in refused("export", planted[0], "--out", out, "--level", "groups")


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


def test_info_begins_with_part_groups(planted, tmp_path):
    graph = planted[1].having(groups=plain_groups(planted[1], [0] * 50 + [1] * 22))
    graph = graph.rename(groups={1: "beak"})
    path = tmp_path / "grouped.safetensors"
    graph.save(path)
    first, second = json.loads(ok("info", path, "--json").stdout)["groups"]
    assert (first["nodes"], second["nodes"], second["name"]) == (50, 22, "beak")
    text = ok("info", path).stdout
    assert text.index("beak") < text.index("weight_hash") < text.index("features.3")
    shown = json.loads(ok("info", path, "--best", 6, "--json").stdout)["best_nodes"]
    assert [row["node"] for row in shown] == graph.top(6).tolist()
    assert {row["group"] for row in shown} == {0, 1}
    assert text.count("beak") > 1  # its nodes have no names of their own
    assert json.loads(ok("info", path, "--best", 0, "--json").stdout)["best_nodes"] == []
    assert json.loads(ok("info", planted[0], "--json").stdout)["groups"] == []


def test_info_of_the_best_node(planted):
    graph = planted[1]
    best = min(range(72), key=lambda i: (near_border(graph, i), -graph.gain[i], i))
    text = ok("info", planted[0], "--node", "best").stdout
    assert text.startswith(graph.node_id(best))


def test_info_for_people(planted):
    text = ok("info", planted[0]).stdout
    assert "72 nodes, 240 edges" in text
    assert "features.3" in text
    assert "planted" in text


def test_info_of_a_mined_graph(files):
    data = json.loads(ok("info", files.small_graph, "--json").stdout)
    assert data["header"]["model"] == "net.py:net"
    assert data["header"]["preprocess"]["input_size"] == [64, 64]
    ok("info", files.small_graph)


@pytest.mark.parametrize("command", ["info", "export"])
def test_graph_commands__wrong_file(command, planted, tmp_path):
    rest = ["--out", tmp_path / "g.svg"] if command == "export" else []
    cut = tmp_path / "cut.safetensors"
    cut.write_bytes(planted[0].read_bytes()[:-100])
    assert "not a whole" in refused(command, cut, *rest)
    assert "is not a file" in refused(command, tmp_path / "none.safetensors", *rest)


# --- one node -------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def graph(planted):
    return planted[1]


@pytest.fixture(scope="module")
def folder(planted):
    """The graph, matches in two photos of which node 5 fires in the first, and others' matches."""
    graph, folder = planted[1], planted[0].parent
    p = len(graph)
    score = np.ones((2, p))
    score[:, NODE] = (4 * graph.score[NODE], 0.25 * graph.score[NODE])
    yx = np.full((2, p, 2), 0.5)
    yx[:, NODE] = (0.1, 0.2)
    found = plain_matches(("a.png", "b.png"), yx, score, graph.node_layer)
    found.save(folder / "found.safetensors")
    found.take(nodes=np.arange(9)).save(folder / "other.safetensors")
    return folder


@pytest.mark.parametrize("name", ["5", "features.3/1/2", "left ear"])
def test_a_node_in_sentences(graph, folder, name):
    lines = ok("info", folder / "graph.safetensors", "--node", name).stdout.splitlines()
    assert lines[0].startswith(
        'features.3/1/2 ("left ear"): a node of filter 1 of layer features.3, number '
    )
    assert f"in {graph.support[NODE]:.0%} of the photos it was mined from" in lines[1]
    assert "best node" not in "".join(lines)


def test_a_node_in_matched_photos(folder):
    """Of the two photos it fires in the first, where its score is above half of its mean."""
    text = ok(
        "info", folder / "graph.safetensors", "--node", 5, "--matches", folder / "found.safetensors"
    ).stdout
    assert "It fires in 50% of 2 photos" in text
    assert "It lies in the upper left of the photo: y 0.10 +- 0.00, x 0.20 +- 0.00" in text


def test_a_node_for_programs(graph, folder):
    path = folder / "graph.safetensors"
    common = ("info", path, "--node", 5, "--json")
    facts = json.loads(ok(*common).stdout)
    assert (facts["graph"], facts["node"]) == (str(path), 5)
    assert facts["fires"] == pytest.approx(float(graph.support[NODE]))
    assert facts["parents"] == [graph.node_id(parent) for parent in graph.parents(NODE)]
    assert sorted(facts["others"]) == ["features.3/1/0", "features.3/1/1"]
    matched = json.loads(ok(*common, "--matches", folder / "found.safetensors").stdout)
    assert matched["fires"] == 0.5
    assert matched["best_score"] == pytest.approx(4 * graph.score[NODE])
    counted = {"fires", "mean_score", "best_score", "y", "x", "y_spread", "x_spread", "log_density"}
    assert {key for key in matched if matched[key] != facts.get(key)} <= counted


def test_a_figure_that_is_unknown_is_null(graph, folder, tmp_path):
    path = tmp_path / "alone.safetensors"
    alone = graph.select(np.flatnonzero(graph.node_part == 0))
    alone.save(path)
    facts = json.loads(ok("info", path, "--node", 0, "--json").stdout)
    assert facts["others"] == []
    assert facts["nearest_px"] is None


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--node", "left eye"], "unknown node 'left eye'"),
        (["--node", "5000"], "5000"),
        (["--matches", "{}/found.safetensors"], "name one with --node"),
        (["--node", "5", "--matches", "{}/other.safetensors"], "9 nodes that are not"),
        (["--node", "5", "--matches", "{}/graph.safetensors"], "graph.safetensors"),
    ],
)
def test_wrong_input(folder, options, said):
    filled = [option.format(folder) for option in options]
    assert said in refused("info", folder / "graph.safetensors", *filled)
