"""What commands say while they run, when they are done, and when they are interrupted."""

import json
import os
import re
import shlex
import signal
import subprocess
import sys
import threading
import time

import pytest

from tests.peaks.spool.test_spool import contents
from tests.support.commands import ok, refused
from tests.support.world import LAYER, MODEL, N_PHOTOS

SLOW = """
import os, time
from explgraph.demo import network

def slow():
    module, preprocess = network()
    module.register_forward_pre_hook(lambda *_: time.sleep(float(os.environ.get("PAUSE", "0"))))
    return module, preprocess
"""


@pytest.fixture(scope="module")
def slow(tmp_path_factory):
    """``--model`` of a network that takes its time in processes that `start` starts."""
    path = tmp_path_factory.mktemp("slow") / "slow.py"
    path.write_text(SLOW)
    return f"{path}:slow"


def match(files, out, *more):
    command = ("match", files.graph, files.photos, "--model", MODEL)
    return ok(*command, "--out", out / "found.safetensors", *more)


def mine(files, out, *more, model=MODEL):
    command = ("mine", files.photos, "--model", model, "--layers", LAYER, "--device", "cpu")
    return [*command, "--out", out / "graph.safetensors", "--batch-size", 2, *more]


# ---- done


def figures(line):
    """Read a summary: photos, seconds in all, photos per second, seconds by stage."""
    head, photos, total, rest = re.fullmatch(r"((\d+) photos? in ([\d.]+) s): (.*)", line).groups()
    assert head
    rate = float(re.search(r"\(([\d.]+) photos/s\)", rest).group(1))
    stages = re.sub(r" \([^)]*\)", "", rest).split(", ")
    return (
        int(photos),
        float(total),
        rate,
        {n: float(t) for n, t in (s.rsplit(maxsplit=1) for s in stages)},
    )


def test_summary__adds_up(files, tmp_path):
    result = ok(*mine(files, tmp_path))
    photos, total, rate, stages = figures(result.stderr.splitlines()[-1])
    assert photos == N_PHOTOS
    assert {"background", "photos", "mining"} <= set(stages)
    assert sum(stages.values()) == pytest.approx(total, abs=0.06 * (len(stages) + 2))
    assert rate == pytest.approx(N_PHOTOS / stages["photos"], rel=0.06 / stages["photos"] + 0.06)


def test_json__has_the_same_figures(files, tmp_path):
    result = match(files, tmp_path, "--json")
    data = json.loads(result.stdout)
    photos, total, rate, stages = figures(result.stderr.splitlines()[-1])
    assert photos == data["photos"] == N_PHOTOS
    assert sum(data["seconds"].values()) == pytest.approx(total, abs=0.1)
    assert data["photos_per_second"] == pytest.approx(rate, abs=0.5)
    for stage, seconds in stages.items():
        assert data["seconds"][stage] == pytest.approx(seconds, abs=0.06)


def said(result):
    """Return what was said at the ends of stages; lines under way have no decimals."""
    return [line for line in result.stderr.splitlines() if "." in line]


def test_verbose__tells_each_stage_as_it_ends(files, tmp_path):
    quiet, verbose = match(files, tmp_path), match(files, tmp_path, "--verbose")
    (line,) = said(quiet)
    assert line.startswith("24 photos in ")
    first, *others, last = said(verbose)
    photos = re.fullmatch(r"photos: 24 photos in ([\d.]+) s \((.+) photos/s\)", first)
    seconds, pace = map(float, photos.groups())
    assert all(re.fullmatch(r"(compiling|matching|writing): [\d.]+ s", line) for line in others)
    _, _, rate, stages = figures(last)
    assert seconds == pytest.approx(stages["photos"], abs=0.06)
    assert pace == rate
    assert verbose.stdout == quiet.stdout


def test_summary__is_of_commands_with_photos(files):
    for command in (("info", files.graph), ("layers", MODEL)):
        done = ok(*command, "--json", "--verbose")
        assert said(done) == []
        assert "seconds" not in json.loads(done.stdout)


def test_summary__there_is_none_of_a_command_that_failed(files, tmp_path):
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "bad.png").write_bytes(b"")
    assert "none of the 1 images" in refused(
        "match", files.graph, tmp_path / "photos", "--model", MODEL,
        "--out", tmp_path / "f.safetensors",
    )  # fmt: skip


# ---- under way


def start(files, model, out, *more):
    command = mine(files, out, *more, model=model)
    return subprocess.Popen(
        [sys.executable, "-c", "from explgraph.cli import main; main()", *map(str, command)],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        env=os.environ | {"PAUSE": "0.15"},
    )  # fmt: skip


def test_lines__without_a_terminal(files, slow, tmp_path):
    """From the first second, of what is done, before any photo is; time left later on."""
    process = start(files, slow, tmp_path)
    _, err = process.communicate(timeout=100)
    assert process.returncode == 0, err
    lines = err.splitlines()
    assert re.fullmatch(r"loading: [01] s", lines[0])
    assert any(
        re.fullmatch(r"(background|photos): \d+ of 24.* in \d+ s, about \d+ s left", line)
        for line in lines
    )
    assert len(lines) < 20


def interrupted(process, at, after=0.0):
    """Interrupt a process when a line of its stderr begins with ``at``; return all its lines."""
    watchdog = threading.Timer(100, process.kill)
    watchdog.start()
    lines = []
    try:
        for line in process.stderr:
            lines.append(line.rstrip("\n"))
            if line.startswith(at):
                time.sleep(after)
                process.send_signal(signal.SIGINT)
        process.wait()
    finally:
        watchdog.cancel()
        process.stdout.close()
        process.stderr.close()
    assert process.returncode == 130, lines
    return lines


def test_interrupt__without_a_spool_says_what_would_have_helped(files, slow, tmp_path):
    lines = interrupted(start(files, slow, tmp_path), "loading")
    assert lines[-1].startswith("interrupted: nothing is kept. With --spool DIR, ")
    assert not (tmp_path / "graph.safetensors").exists()


def test_interrupt__with_a_spool_says_how_to_go_on_and_that_does(files, slow, tmp_path):
    spool = tmp_path / "spool"
    process = start(files, slow, tmp_path, "--spool", spool, "--verbose")
    lines = interrupted(process, f"background: {N_PHOTOS} photos", after=2.0)
    assert lines[-2] == f"interrupted: what is done is kept in {spool}. Go on with"
    program, *again = shlex.split(lines[-1])
    assert (program, again[-1]) == ("explgraph", "--resume")
    kept = json.loads((spool / "manifest.json").read_bytes())["shards"]
    assert 0 < sum(shard["photos"] for shard in kept) < N_PHOTOS
    resumed = ok(*again)
    assert f"photos: 0 of {N_PHOTOS}" not in resumed.stderr
    at_once = tmp_path / "at_once"
    ok(*mine(files, at_once, "--spool", at_once / "spool", model=slow))
    name = "graph.safetensors"
    assert (tmp_path / name).read_bytes() == (at_once / name).read_bytes()
    assert contents(spool) == contents(at_once / "spool")
