"""Mining by way of a spool folder: `explgraph.mine` and ``explgraph mine --spool``."""

import json

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

import explgraph as eg
from explgraph import pipeline
from explgraph.base.errors import ExplGraphError
from explgraph.base.schema import Column
from explgraph.cli.app import app
from explgraph.peaks import reading
from explgraph.peaks.structures import PeakSet
from tests.peaks.spool.test_spool import CutError, contents, make_net, stop_after, watch
from tests.peaks.test_structures import same_sets
from tests.support.planted import planted_graph

SIDE, N = 24, 9
LAYERS = ["1", "3"]
MU = {"mu": Column(np.float64, (2,))}  # of a stage made by hand
QUIET = {"progress": False, "batch_size": 2, "layers": LAYERS}
FACTORY = """
from explgraph import Preprocess
from tests.peaks.spool.test_spool import SIDE, make_net

def net():
    return make_net().module, Preprocess((SIDE, SIDE))
"""


@pytest.fixture(autouse=True)
def small_shards(monkeypatch):
    monkeypatch.setattr(reading, "GROUP", 4)


@pytest.fixture(scope="module")
def net():
    return make_net()


@pytest.fixture(scope="module")
def photos():
    return np.random.default_rng(2).integers(0, 256, (N, SIDE, SIDE, 3), dtype=np.uint8)


@pytest.fixture
def mined(monkeypatch):
    """Put something quick in the place of mining; it notes what it was given."""
    calls = []

    def mine_peaks(peaks, *, config, seed, stages=None, device="cpu", crew=None):
        calls.append((peaks, config, seed, stages))
        return planted_graph()

    monkeypatch.setattr(pipeline, "mine_peaks", mine_peaks)
    monkeypatch.setattr(pipeline, "grouped", lambda graph, *_, **__: graph)
    return calls


# -- the library -----------------------------------------------------------------------------------


def test_mine__reads_the_peaks_of_a_spool(net, photos, mined, tmp_path):
    eg.mine(net, photos, **QUIET)
    eg.mine(net, photos, spool=tmp_path, **QUIET)
    whole, spooled = mined[0][0], mined[1][0]
    assert isinstance(whole, PeakSet)
    assert not isinstance(spooled, PeakSet)
    same_sets(spooled.load(), whole)
    assert mined[0][3] is None


def test_mine__with_a_background_of_peaks_measures_nothing(net, photos, mined, tmp_path):
    background = eg.extract(net, photos[:4], **QUIET)
    eg.mine(net, photos, background=background, spool=tmp_path, **QUIET)
    spooled = mined[0][0]
    assert np.array_equal(spooled.channel_scale[1], background.channel_scale[1])
    assert not (tmp_path / "statistics.safetensors").exists()


@pytest.mark.parametrize("background", [None, 5], ids=["own photos", "others"])
@pytest.mark.parametrize("answers", [0, 3, 6, 9])
def test_mine__goes_on_where_it_was(net, photos, mined, tmp_path, monkeypatch, background, answers):
    """Channel statistics take five answers for all nine photos, three for five of them."""
    options = QUIET | {"background": None if background is None else photos[:background]}
    eg.mine(net, photos, spool=tmp_path / "whole", **options)
    with monkeypatch.context() as patch:
        stop_after(patch, answers)
        with pytest.raises(CutError):
            eg.mine(net, photos, spool=tmp_path / "cut", **options)
    eg.mine(net, photos, spool=tmp_path / "cut", resume=True, **options)
    assert contents(tmp_path / "cut") == contents(tmp_path / "whole")


def test_mine__again_does_not_need_the_network(net, photos, mined, tmp_path, monkeypatch):
    eg.mine(net, photos, spool=tmp_path, **QUIET)
    seen = watch(monkeypatch)
    eg.mine(net, photos, spool=tmp_path, resume=True, seed=3, **QUIET)
    assert seen == []
    assert [call[2] for call in mined] == [0, 3]


def test_mine__keeps_stages_for_the_same_mining_only(net, photos, mined, tmp_path):
    def stages(folder="a", rows=N, resume=True, **other):
        eg.mine(net, photos[:rows], spool=tmp_path / folder, resume=resume, **QUIET, **other)
        return mined[-1][3]

    stages(resume=False).save("nodes", {"mu": np.ones(2)})
    assert np.array_equal(stages().load("nodes", MU, {})["mu"], np.ones(2))
    assert np.array_equal(stages(seed=np.int64(0)).load("nodes", MU, {})["mu"], np.ones(2))
    assert np.array_equal(stages(config=eg.MiningConfig()).load("nodes", MU, {})["mu"], np.ones(2))
    assert stages(seed=1).load("nodes", MU, {}) is None
    assert stages(config=eg.MiningConfig(n_parents=3)).load("nodes", MU, {}) is None
    stage = "stage-nodes.safetensors"
    other = stages("b", rows=N - 1)
    (tmp_path / "b" / stage).write_bytes((tmp_path / "a" / stage).read_bytes())
    assert other.load("nodes", MU, {}) is None


def test_mine__does_not_take_stages_of_mining_that_finds_something_else(
    net, photos, mined, tmp_path, monkeypatch
):
    eg.mine(net, photos, spool=tmp_path, **QUIET)
    mined[-1][3].save("nodes", {"mu": np.ones(2)})
    monkeypatch.setattr(pipeline, "RESULTS", pipeline.RESULTS + 1)
    eg.mine(net, photos, spool=tmp_path, resume=True, **QUIET)
    assert mined[-1][3].load("nodes", MU, {}) is None


def test_mine__with_damaged_statistics_measures_them_again(net, photos, mined, tmp_path, caplog):
    eg.mine(net, photos, spool=tmp_path, **QUIET)
    path = tmp_path / "statistics.safetensors"
    whole = path.read_bytes()
    path.write_bytes(whole[:-3] + bytes([whole[-3] ^ 4]) + whole[-2:])
    eg.mine(net, photos, spool=tmp_path, resume=True, **QUIET)
    assert path.read_bytes() == whole
    assert "channel statistics are measured again" in caplog.text


def test_mine__resumes_only_a_spool(net, photos, mined):
    with pytest.raises(ExplGraphError, match=r"resume goes on with a spool.*--spool"):
        eg.mine(net, photos, resume=True, **QUIET)


def test_mine__does_not_overwrite_a_spool(net, photos, mined, tmp_path, monkeypatch):
    eg.mine(net, photos, spool=tmp_path, **QUIET)
    seen = watch(monkeypatch)
    with pytest.raises(ExplGraphError, match="holds a spool already"):
        eg.mine(net, photos, spool=tmp_path, **QUIET)
    with pytest.raises(ExplGraphError, match=r"images\.count is 9 there and 8 here"):
        eg.mine(net, photos[:8], spool=tmp_path, resume=True, **QUIET)
    assert seen == []


# -- the command -----------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def folder(tmp_path_factory, photos):
    """Two classes and a factory."""
    folder = tmp_path_factory.mktemp("command")
    for i, photo in enumerate(photos):
        path = folder / "photos" / "ab"[i % 2] / f"{i}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(photo).save(path)
    (folder / "factory.py").write_text(FACTORY)
    return folder


@pytest.fixture
def command(folder, tmp_path):
    def run(*more, images="photos", out="g.safetensors"):
        fixed = (folder / images, "--model", f"{folder / 'factory.py'}:net", "--layers", "1,3")
        size = ("--batch-size", "2", "--device", "cpu", "--out", tmp_path / out)
        return CliRunner().invoke(app, [str(a) for a in ("mine", *fixed, *size, *more)])

    return run


def test_command__mines_by_way_of_a_spool(command, mined, tmp_path):
    assert command("--spool", tmp_path / "spool").exit_code == 0
    peaks = mined[0][0]
    assert len(peaks) == N
    assert peaks.folder == tmp_path / "spool"
    assert (tmp_path / "g.safetensors").exists()


def test_command__resumes(command, mined, tmp_path, monkeypatch):
    assert command("--spool", tmp_path / "whole").exit_code == 0
    with monkeypatch.context() as patch:
        stop_after(patch, 12)
        stopped = command("--spool", tmp_path / "cut")
        assert isinstance(stopped.exception, CutError)
    refused = command("--spool", tmp_path / "cut")
    assert refused.exit_code == 2
    assert "--resume" in refused.stderr
    assert command("--spool", tmp_path / "cut", "--resume").exit_code == 0
    assert contents(tmp_path / "cut") == contents(tmp_path / "whole")


def test_command__resumes_only_a_spool(command, tmp_path):
    refused = command("--resume")
    assert refused.exit_code == 2
    assert "--resume goes on with a spool: give --spool DIR" in refused.stderr
    assert not (tmp_path / "g.safetensors").exists()


def test_command__has_a_folder_for_each_class(command, mined, tmp_path):
    options = ("--per-class", "--spool", tmp_path / "spool")
    assert command(*options, out="graphs").exit_code == 0
    assert [len(call[0]) for call in mined] == [5, 4]
    assert [call[0].images for call in mined] == [
        tuple(f"{i}.png" for i in (0, 2, 4, 6, 8)),
        tuple(f"{i}.png" for i in (1, 3, 5, 7)),
    ]
    assert sorted(p.name for p in (tmp_path / "spool").iterdir()) == ["a", "b"]
    again = command(*options, "--json", out="graphs")
    assert again.exit_code == 1
    assert set(json.loads(again.stdout)["failed"]) == {"a", "b"}
    assert command(*options, "--resume", out="graphs").exit_code == 0


def test_command__without_a_spool_is_as_before(command, mined, tmp_path):
    assert command("--per-class", out="graphs").exit_code == 0
    assert all(isinstance(call[0], PeakSet) for call in mined)


def test_help__says_what_a_spool_is_for(monkeypatch):
    monkeypatch.setenv("COLUMNS", "200")
    text = " ".join(CliRunner().invoke(app, ["mine", "--help"]).stdout.split())
    assert "memory grows by a sixth of what peaks take" in text
    assert "--spool" in text
    assert "--resume" in text
