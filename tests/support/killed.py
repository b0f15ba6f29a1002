"""All that may befall a run with an engine, in one run of the command line."""

import json
import os
import signal
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

from typer.testing import CliRunner

from explgraph.base.running.crew import JOURNAL
from explgraph.cli.app import app
from explgraph.engines import crews
from tests.support.driver import UNITS
from tests.support.executors import SmallCrew
from tests.support.world import LAYERS

ROOT = Path(__file__).parents[2]


def journal(spool):
    return [json.loads(line) for line in (spool / JOURNAL).read_text().splitlines()]


OWN_NET = """
from explgraph.demo import network


class Own(type(network()[0])):
    pass


def build():
    module, preprocess = network()
    module.__class__ = Own
    return module, preprocess
"""


def readme_line(engine):
    """The words of README's command with an engine's option."""
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    (line,) = (line for line in text.splitlines() if f" {engine} " in line and line[0] == "e")
    return line.split()[1:]


def as_in_readme(folder, photos, others):
    """Make a folder as README's commands expect it: photos and a network whose class is its own."""
    (folder / "photos").mkdir()
    (folder / "photos/zebra").symlink_to(photos)
    (folder / "photos/anything").symlink_to(others)
    (folder / "my_net.py").write_text(OWN_NET)


def run_to_its_end(engine, address, next_address, folder, monkeypatch):
    """Mine as README says with an engine, while workers and driver are killed; with few units.

    A worker is killed in extraction, one in mining, then the driver, which another one follows, at
    another address; while the first one lives, nobody else gets the spool. The graph has the bytes
    of one process.
    """
    monkeypatch.chdir(folder)
    words, more = readme_line(engine), ["--layers", ",".join(LAYERS), "--batch-size", "3"]
    at = words.index(engine)
    line = [*words[:at], *words[at + 2 :], *more]
    spool, out = folder / "work", folder / "zebra.safetensors"
    alone = [word for word in line if word not in ("--spool", "work")]
    assert CliRunner().invoke(app, alone).exit_code == 0
    expected = out.read_bytes()
    out.unlink()
    engine, other_engine = ([engine, *where.split()] for where in (address, next_address))
    environment = os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-m", "tests.support.driver", *line, *engine]
    pipe = subprocess.PIPE
    with (
        (folder / "errors").open("w") as errors,
        subprocess.Popen(
            command,
            cwd=folder,
            env=environment,
            stdin=pipe,
            stdout=pipe,
            stderr=errors,
            start_new_session=True,
        ) as first,
    ):
        try:
            said = first.stdout.readline()
            assert said == b"waiting after 2 workers were killed\n", (folder / "errors").read_text()
            done = CliRunner().invoke(app, [*line, "--resume"])
            assert done.exit_code == 2
            assert f"process {first.pid} on" in done.stderr
            first.kill()
            assert first.wait() == -signal.SIGKILL
            before = len(journal(spool))
            monkeypatch.setattr(crews, "Crew", SmallCrew)
            done = CliRunner().invoke(app, [*line, "--resume", *other_engine])
        finally:  # what it has started, such as parts of a cluster, outlives it by a minute
            with suppress(ProcessLookupError):
                os.killpg(first.pid, signal.SIGKILL)
    assert done.exit_code == 0, done.stderr
    nothing_was_done_twice(journal(spool), before)
    assert out.read_bytes() == expected


def nothing_was_done_twice(lines, before):
    """Shards were made once; of a step that was begun, those units are left that were not done.

    One may have been done whose driver was killed before it could say so.
    """
    shards = [
        line["unit"] for line in lines if (line["stage"], line["state"]) == ("photos", "done")
    ]
    assert sorted(shards) == [0, 1, 2, 3]
    mined = [(line["stage"], line["state"]) for line in lines[:before]].count(("mining", "done"))
    assert mined == UNITS
    left, key = {}, None
    for line in lines:
        if line["state"] == "begun":
            key = line.get("key")
        if line["state"] == "begun" and key:
            assert line["units"] <= left.setdefault(key, line["units"])
        elif line["state"] == "done" and key:
            left[key] -= 1
    assert 0 <= min(left.values()) <= sum(left.values()) <= 1
