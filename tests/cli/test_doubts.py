"""Odd photos say so on the command line: in the summary, in ``info``, and refused if asked."""

import json

import numpy as np
import pytest
from PIL import Image

from tests.support.commands import ok, refused
from tests.support.world import SMALL_LAYERS


@pytest.fixture(scope="module")
def copies(files, tmp_path_factory):
    folder = tmp_path_factory.mktemp("copies")
    photo = Image.open(files.photos / "00.png")
    for i in range(6):
        photo.save(folder / f"{i}.png")
    return folder


@pytest.fixture
def command(copies, files, tmp_path):
    return (
        "mine", copies, "--model", files.small_model, "--layers", ",".join(SMALL_LAYERS),
        "--device", "cpu", "--out", tmp_path / "g.safetensors",
    )  # fmt: skip


def test_mine_and_info__tell_of_copies(command, tmp_path):
    """C8: six identical photos give hundreds of nodes."""
    said = ok(*command).stdout
    assert "doubtful: 5 of 6 photos nearly repeat an earlier one (1.png, 2.png, 3.png)" in said
    assert "doubtful: Mined from only 1 different photo:" in said
    assert "note: No photos of other things were given" in said
    shown = ok("info", tmp_path / "g.safetensors").stdout
    for line in said.splitlines()[1:]:
        assert line in shown
    assert "material" not in shown
    data = json.loads(ok("info", tmp_path / "g.safetensors", "--json").stdout)
    kinds = [(doubt["kind"], doubt["severity"]) for doubt in data["doubts"]]
    assert kinds[:2] == [("few photos", "warning"), ("repeats", "warning")]
    assert data["doubts"][1]["figure"] == pytest.approx(5 / 6)


@pytest.mark.filterwarnings("default:doubtful data")
def test_mine__json_has_doubts_and_a_person_is_warned_beside_it(command):
    done = ok(*command, "--json")
    assert "repeats" in [doubt["kind"] for doubt in json.loads(done.stdout)["doubts"]]
    assert done.stderr.count("warning: doubtful data: Mined from only 1 different photo") == 1


def test_mine_strict__refuses_copies(command, tmp_path):
    assert "5 of 6 photos nearly repeat" in refused(*command, "--strict")
    assert not (tmp_path / "g.safetensors").exists()


def test_mine__constant_photos(files, tmp_path):
    """C8: photos in which there is nothing."""
    folder = tmp_path / "grey"
    folder.mkdir()
    for i in range(6):
        Image.fromarray(np.full((64, 64, 3), 40 * i, dtype=np.uint8)).save(folder / f"{i}.png")
    options = ("--model", files.small_model, "--layers", SMALL_LAYERS[1], "--device", "cpu")
    done = ok("mine", folder, *options, "--out", tmp_path / "g.safetensors", "--json")
    kinds = {d["kind"] for d in json.loads(done.stdout)["doubts"] if d["severity"] == "warning"}
    assert {"few photos", "repeats"} <= kinds
