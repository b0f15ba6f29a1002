"""Finished stages are found again, and never those of another computation."""

import json
import logging

import numpy as np
import pytest
from safetensors.numpy import save

from explgraph.base.errors import ExplGraphError
from explgraph.base.files import Stages
from explgraph.base.schema import Column

COLUMNS = {
    "mu": Column(np.float32, ("P", 2)),
    "start": Column(np.int64, ("C+1",), least=0),
    "none": Column(np.float64, (0,)),
}
FORM = COLUMNS, {"C": 2}
OTHER = {"x": Column(np.float64, (2,))}, {}
KEY = {"config": {"spread": (1, 2.5), "layers": ["a"]}, "seed": "0"}


@pytest.fixture
def arrays(rng):
    return {"mu": rng.random((4, 2), dtype=np.float32), "start": np.arange(3), "none": np.zeros(0)}


def same(ours, theirs):
    assert ours.keys() == theirs.keys()
    for name, array in theirs.items():
        assert ours[name].dtype == array.dtype
        assert np.array_equal(ours[name], array)


def test_stage__is_found_by_a_later_run(tmp_path, arrays):
    Stages(tmp_path / "new", KEY).save("layer-0.nodes", arrays)
    same(Stages(tmp_path / "new", KEY).load("layer-0.nodes", *FORM), arrays)
    assert [p.name for p in (tmp_path / "new").iterdir()] == ["stage-layer-0.nodes.safetensors"]


def test_stage__that_was_never_saved_is_none(tmp_path, arrays):
    stages = Stages(tmp_path / "new", KEY)
    assert stages.load("nodes", *FORM) is None
    assert not (tmp_path / "new").exists()
    stages.save("nodes", arrays)
    assert stages.load("edges", *FORM) is None


@pytest.mark.parametrize(
    "key", [{"seed": "0"}, KEY | {"seed": "1"}, KEY | {"versions": "2"}], ids=str
)
def test_stage__of_another_key_is_none_and_makes_way(tmp_path, arrays, key):
    Stages(tmp_path, KEY).save("nodes", arrays)
    other = Stages(tmp_path, key)
    assert other.load("nodes", *FORM) is None
    other.save("nodes", {"x": np.ones(2)})
    same(other.load("nodes", *OTHER), {"x": np.ones(2)})
    assert Stages(tmp_path, KEY).load("nodes", *FORM) is None


def test_stage__may_be_saved_again(tmp_path, arrays):
    stages = Stages(tmp_path, KEY)
    stages.save("nodes", arrays)
    stages.save("nodes", {"x": np.ones(2)})
    same(stages.load("nodes", *OTHER), {"x": np.ones(2)})


@pytest.mark.parametrize("data", [b"", b"none of ours", None], ids=str)
def test_stage__that_is_damaged_is_computed_again(tmp_path, arrays, caplog, data):
    stages, path = Stages(tmp_path, KEY), tmp_path / "stage-nodes.safetensors"
    stages.save("nodes", arrays)
    path.write_bytes(path.read_bytes()[:-4] if data is None else data)
    with caplog.at_level(logging.WARNING, "explgraph"):
        assert stages.load("nodes", *FORM) is None
    assert "computed again" in caplog.text
    assert "stage-nodes.safetensors" in caplog.text
    stages.save("nodes", arrays)
    same(stages.load("nodes", *FORM), arrays)


def test_stage__with_any_bit_flipped_is_computed_again(tmp_path, arrays, rng, caplog):
    """Not one of 200 flips is taken for what was found."""
    stages, path = Stages(tmp_path, KEY), tmp_path / "stage-nodes.safetensors"
    stages.save("nodes", arrays)
    whole = path.read_bytes()
    for place in rng.integers(0, len(whole), 200):
        damaged = bytearray(whole)
        damaged[place] ^= 1 << int(rng.integers(8))
        path.write_bytes(damaged)
        assert stages.load("nodes", *FORM) is None, place
    assert len([text for text in caplog.messages if "computed again" in text]) >= 190
    path.write_bytes(whole)
    same(stages.load("nodes", *FORM), arrays)


def test_stage__of_a_version_without_digests_is_computed_again(tmp_path, arrays, caplog):
    stages, path = Stages(tmp_path, KEY), tmp_path / "stage-nodes.safetensors"
    stages.save("nodes", arrays)
    header = {"key": json.loads(json.dumps(KEY)), "kind": "stage", "schema": 1}
    path.write_bytes(save(arrays, metadata={"explgraph": json.dumps(header, sort_keys=True)}))
    assert stages.load("nodes", *FORM) is None
    assert "it has no digest" in caplog.text


FORGED = {
    "another shape": {"mu": np.zeros((4, 3), np.float32)},
    "another type": {"mu": np.zeros((4, 2))},
    "NaN": {"mu": np.full((4, 2), np.nan, np.float32)},
    "below its bound": {"start": np.array([0, -1, 2])},
    "another length": {"start": np.arange(4)},
    "one too many": {"more": np.zeros(1)},
}


@pytest.mark.parametrize("change", FORGED.values(), ids=FORGED)
def test_stage__that_is_not_what_it_should_be_is_computed_again(tmp_path, arrays, caplog, change):
    """Written with a digest that is right: by another version, or by someone else."""
    stages = Stages(tmp_path, KEY)
    stages.save("nodes", arrays | change)
    assert stages.load("nodes", *FORM) is None
    assert "computed again" in caplog.text


@pytest.mark.parametrize("name", ["", "../x", "a/b", "A", ".hidden", "a b"])
def test_stage__has_a_name_that_is_one_of_a_file(tmp_path, name):
    with pytest.raises(ExplGraphError, match="a stage's name has small letters"):
        Stages(tmp_path, KEY).load(name, *FORM)
