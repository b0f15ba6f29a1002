"""``explgraph mine`` and ``match`` with workers: the files have the same bytes."""

import pytest
from typer.testing import CliRunner

from explgraph.cli.app import app


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


@pytest.mark.parametrize("name", ["mine", "match"])
def test_workers__same_bytes(command, tmp_path, name):
    spool = ["--spool", tmp_path / "s"] if name == "mine" else []
    for out, more in (("one.safetensors", []), ("two.safetensors", ["--workers", "2", *spool])):
        done = command(name, *more, out=out)
        assert done.exit_code == 0, done.stderr
    one, two = ((tmp_path / f"{n}.safetensors").read_bytes() for n in ("one", "two"))
    assert one == two


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
