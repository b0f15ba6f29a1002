"""``explgraph texture`` and ``explgraph segments``, on drawn fish and the demo network."""

import json

from tests.support.commands import ok, refused
from tests.support.world import MODEL


def test_texture__says_what_is_left_in_each_change(files, tmp_path):
    out = tmp_path / "texture.png"
    command = ("texture", files.photos, "--model", MODEL, "--target", "fish", "--out", out)
    data = json.loads(ok(*command, "--json").stdout)
    assert out.stat().st_size > 5000
    unchanged, *changed = data["rows"]
    assert (unchanged["change"], unchanged["kept_top1"]) == ("unchanged", 1)
    assert {"grey", "shuffled"} <= {row["change"] for row in changed}
    assert all(0 <= row["right_top1"] <= 1 for row in data["rows"])
    assert "shuffled" in ok(*command).stdout


def test_texture__asks_for_a_network_and_for_a_class(files, tmp_path):
    out = tmp_path / "texture.png"
    assert "--model" in refused("texture", files.photos, "--out", out)
    said = refused("texture", files.photos, "--model", MODEL, "--target", "stage4/3", "--out", out)
    assert "--target must be a class" in said
    assert not out.exists()


def test_segments__best_come_first(files, tmp_path):
    photo, out = files.photos / "00.png", tmp_path / "segments.png"
    command = ("segments", photo, "--model", MODEL, "--target", "fish", "--out", out)
    data = json.loads(ok(*command, "--json").stdout)
    assert "fish" in data["target"]
    scores = [row["score"] for row in data["segments"]]
    assert len(scores) > 3
    assert scores == sorted(scores, reverse=True)
    assert out.stat().st_size > 5000
    assert "gain" in ok(*command, "--best", 2).stdout
    assert "is not a photo" in refused(
        "segments", files.photos / "none.png", "--model", MODEL, "--out", out
    )
