"""``explgraph info --node``, on a planted graph."""

import json

import numpy as np
import pytest

import explgraph as eg
from tests.support.commands import ok, refused
from tests.support.planted import planted_graph

NODE = 5  # features.3/1/2: the lowest layer, in whose filter it is the third


@pytest.fixture(scope="module")
def graph():
    return planted_graph().rename({NODE: "left ear"})


@pytest.fixture(scope="module")
def files(graph, tmp_path_factory):
    """The graph, matches in two photos of which node 5 fires in the first, and others' matches."""
    folder = tmp_path_factory.mktemp("info")
    graph.save(folder / "graph.safetensors")
    p = len(graph)
    score = np.ones((2, p))
    score[:, NODE] = (4 * graph.score[NODE], 0.25 * graph.score[NODE])
    yx = np.full((2, p, 2), 0.5)
    yx[:, NODE] = (0.1, 0.2)
    matches = eg.Matches(
        images=("a.png", "b.png"),
        yx=yx,
        score=score,
        log_density=np.zeros((2, p)),
        peak=np.zeros((2, p)),
        mirrored=np.zeros(2),
        node_layer=graph.node_layer,
    )
    matches.save(folder / "found.safetensors")
    matches.take(nodes=np.arange(9)).save(folder / "other.safetensors")
    return folder


@pytest.mark.parametrize("name", ["5", "features.3/1/2", "left ear"])
def test_a_node_in_sentences(graph, files, name):
    lines = ok("info", files / "graph.safetensors", "--node", name).stdout.splitlines()
    assert lines[0].startswith(
        'features.3/1/2 ("left ear"): a node of filter 1 of layer features.3, number '
    )
    assert f"in {graph.support[NODE]:.0%} of the photos it was mined from" in lines[1]
    assert "best node" not in "".join(lines)


def test_a_node_in_matched_photos(files):
    """Of the two photos it fires in the first, where its score is above half of its mean."""
    text = ok(
        "info", files / "graph.safetensors", "--node", 5, "--matches", files / "found.safetensors"
    ).stdout
    assert "It fires in 50% of 2 photos" in text
    assert "It lies in the upper left of the photo: y 0.10 +- 0.00, x 0.20 +- 0.00" in text


def test_a_node_for_programs(graph, files):
    path = files / "graph.safetensors"
    common = ("info", path, "--node", 5, "--json")
    facts = json.loads(ok(*common).stdout)
    assert (facts["graph"], facts["node"]) == (str(path), 5)
    assert facts["fires"] == pytest.approx(float(graph.support[NODE]))
    assert facts["parents"] == [graph.node_id(parent) for parent in graph.parents(NODE)]
    assert sorted(facts["others"]) == ["features.3/1/0", "features.3/1/1"]
    matched = json.loads(ok(*common, "--matches", files / "found.safetensors").stdout)
    assert matched["fires"] == 0.5
    assert matched["best_score"] == pytest.approx(4 * graph.score[NODE])
    counted = {"fires", "mean_score", "best_score", "y", "x", "y_spread", "x_spread", "log_density"}
    assert {key for key in matched if matched[key] != facts.get(key)} <= counted


def test_a_figure_that_is_unknown_is_null(graph, files, tmp_path):
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
def test_wrong_input(files, options, said):
    filled = [option.format(files) for option in options]
    assert said in refused("info", files / "graph.safetensors", *filled)
