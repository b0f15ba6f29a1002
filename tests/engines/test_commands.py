"""``explgraph mine`` and ``match`` with workers: the files have the same bytes."""

import json

import pytest
from typer.testing import CliRunner

from explgraph.base.running.crew import JOURNAL
from explgraph.cli.app import app
from tests.support.killed import as_in_readme, readme_line
from tests.support.together import SELDOM
from tests.support.world import SMALL_SEED


@pytest.fixture
def command(files, tmp_path):
    def run(name, *more, out="one.safetensors"):
        net = ["--model", files.small_model, "--batch-size", "5", "--json"]
        first = [str(files.small_graph)] if name == "match" else []
        layers = ["--layers", "relu2,relu3", "--background", str(files.background)]
        more = [*more, *(layers if name == "mine" else [])]
        images = str(files.zoo / "fish")
        line = [name, *first, images, *net, *map(str, more), "--out", str(tmp_path / out)]
        return CliRunner().invoke(app, line)

    return run


@SELDOM
def test_match__workers_same_bytes(command, tmp_path):
    for out, more in (("one.safetensors", []), ("two.safetensors", ["--workers", "1"])):
        done = command("match", *more, out=out)
        assert done.exit_code == 0, done.stderr
    one, two = ((tmp_path / f"{n}.safetensors").read_bytes() for n in ("one", "two"))
    assert one == two


def test_readme__a_pool_of_processes(files, tmp_path, monkeypatch):
    """The network's class is one that workers cannot import: they make it by its file."""
    as_in_readme(tmp_path, files.zoo / "fish", files.background)
    monkeypatch.chdir(tmp_path)
    line = readme_line("--workers")
    done = CliRunner().invoke(app, line)
    assert done.exit_code == 0, done.stderr
    (tmp_path / "zebra.safetensors").rename(tmp_path / "shared")
    words = line.index("--spool")
    assert CliRunner().invoke(app, [*line[:words], *line[words + 4 :]]).exit_code == 0
    assert (tmp_path / "shared").read_bytes() == (tmp_path / "zebra.safetensors").read_bytes()


def test_mine_per_class__workers_same_bytes(files, tmp_path):
    """Classes are outermost; each has a spool with a journal, the background has the folder's."""
    line = ["mine", files.zoo, "--per-class", "--model", files.small_model, "--batch-size", "5"]
    line += ["--background", files.background, "--layers", "relu2,relu3", "--seed", SMALL_SEED]
    line += ["--workers", "1", "--spool", tmp_path / "s", "--out", tmp_path / "out", "--json"]
    done = CliRunner().invoke(app, [str(word) for word in line])
    assert done.exit_code == 0, done.stderr
    assert sorted(path.stem for path in (tmp_path / "out").iterdir()) == ["cat", "fish"]
    fish = (tmp_path / "out/fish.safetensors").read_bytes()
    assert fish == files.small_graph.read_bytes()
    for folder, stages in (
        (".", ["background", "photos"]),
        ("cat", ["photos", "facing", "mining"]),
        ("fish", ["photos", "facing", "mining"]),
    ):
        lines = (tmp_path / "s" / folder / JOURNAL).read_text().splitlines()
        assert list(dict.fromkeys(json.loads(text)["stage"] for text in lines)) == stages


def test_workers__a_second_run_is_refused_in_one_line(command, tmp_path):
    from explgraph.base.running.lock import only_run

    with only_run(tmp_path / "s"):
        done = command("mine", "--workers", "1", "--spool", tmp_path / "s")
    assert done.exit_code == 2
    assert "is in use by another run" in done.stderr


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (["--dask", "tcp://127.0.0.1:9"], "workers need a folder that all see: --spool"),
        (["--ray", "127.0.0.1:9"], "workers need a folder that all see: --spool"),
        (["--dask", "a", "--workers", "2", "--spool", "s"], "give one of --workers"),
        (["--workers", "0"], "greater than or equal to 1"),
    ],
)
def test_engines__that_do_not_go_are_told_in_one_line(
    command, tmp_path, monkeypatch, more, message
):
    monkeypatch.chdir(tmp_path)
    done = command("mine", *more)
    assert done.exit_code == 2
    assert message in " ".join(done.stderr.split())
