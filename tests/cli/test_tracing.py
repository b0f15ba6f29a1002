"""``explgraph effects`` and ``explgraph trace``."""

import json

import pytest

import explgraph as eg
from tests.support.commands import ok, refused
from tests.support.world import SMALL_LAYERS


def test_effects__are_kept_in_the_graphs_file(files, tmp_path):
    out = tmp_path / "graph.safetensors"
    data = json.loads(
        ok(
            *("effects", files.small_graph, files.zoo / "fish", "--model", files.small_model),
            *("--out", out, "--parents", "20", "--n-children", "3", "--json"),
        ).stdout
    )
    known = eg.ExplanatoryGraph.load(out).effects
    assert data["edges"] == len(known) > 0
    assert 1 <= data["parents"] == len(known.parents) <= 20
    assert data["median_carried"] > 0
    ok("export", out, "--edges", "is made of", "--out", tmp_path / "made.svg")
    assert "carries" in (tmp_path / "made.svg").read_text(encoding="utf-8")
    ok("effects", out, files.zoo / "fish", "--model", files.small_model, "--out", out,
       "--parents", "all")  # fmt: skip
    assert len(eg.ExplanatoryGraph.load(out).effects.parents) > len(known.parents)
    trace = ("trace", out, files.zoo / "fish" / "00.png", "--model", files.small_model)
    data = json.loads(ok(*trace, "--n-nodes", "2", "--out", tmp_path / "t.png", "--json").stdout)
    assert data["file"] == str(tmp_path / "t.png")
    assert (tmp_path / "t.png").stat().st_size > 1000
    assert [row["layer"] for row in data["layers"]] == list(SMALL_LAYERS[::-1])
    printed = ok(*trace, "--target", str(data["target"]["index"]), "--out", tmp_path / "t.png")
    assert "share of its response" in printed.stdout


@pytest.mark.parametrize("parents", ["0", "none", "3,4"])
def test_effects__numbers_of_parents_that_are_none_are_refused(files, tmp_path, parents):
    said = refused(
        *("effects", files.small_graph, files.zoo / "fish", "--model", files.small_model),
        *("--out", tmp_path / "g.safetensors", "--parents", parents),
    )
    assert "--parents must be" in said


def test_trace__of_no_photo_is_refused(files, tmp_path):
    said = refused(
        *("trace", files.small_graph, tmp_path / "none.png", "--out", tmp_path / "t.png")
    )
    assert "is not a photo's file" in said
