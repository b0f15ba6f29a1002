"""Names that would command a terminal, through the commands that print them."""

import os
import pty
import re
import subprocess
import sys
from io import StringIO

import numpy as np
import pytest
from PIL import Image

import explgraph as eg
from explgraph.base.showing import Bar, Status
from explgraph.cli import terminal
from explgraph.cli.base import table
from explgraph.photos.annotation_files import write_annotations
from tests.support.commands import ok, refused, run
from tests.support.plain import plain_marks
from tests.support.world import LAYER, MODEL, N_CLICKS, WORLD

HOSTILE = "\x1b]0;PWNED\x07\x1b[2J\x9b2J\x08\r\u202e\u2066"
"""Sets the title, clears the screen by ESC and by C1, goes back, turns the line about."""
COMMANDS = re.compile("[\x00-\x09\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")
N_PHOTOS = 6


def name_of(i):
    return f"{i:02d}{HOSTILE}.png"


def quiet(result):
    """Check that nothing in a command's output is an order, and return both of its streams."""
    for stream in (result.stdout, result.stderr):
        found = COMMANDS.search(stream)
        assert found is None, stream[max(found.start() - 80, 0) : found.end() + 80]
    return result.stdout + result.stderr


@pytest.fixture(scope="module")
def work(tmp_path_factory):
    """Photos, one of them broken, clicks, and a graph with a name for a node and for a group."""
    folder = tmp_path_factory.mktemp("hostile")
    (folder / "photos").mkdir()
    for i in range(N_PHOTOS):
        Image.fromarray(WORLD.photos[i]).save(folder / "photos" / name_of(i))
    (folder / "photos" / f"broken{HOSTILE}.png").write_text("no picture")
    yx = WORLD.points["head"][:N_CLICKS] * WORLD.photos.shape[1:3] - 0.5
    marks = plain_marks([name_of(i) for i in range(N_CLICKS)], [HOSTILE] * N_CLICKS, yx)
    write_annotations(folder / "clicks.csv", marks)
    best = {*WORLD.graph.ranking()[:1].tolist(), *WORLD.graph.top(1).tolist()}
    renamed = WORLD.graph.rename(dict.fromkeys(best, f"node{HOSTILE}"))
    renamed.save(folder / "graph.safetensors")
    return folder


def test_mine(work, tmp_path):
    command = ("mine", work / "photos", "--model", MODEL, "--layers", LAYER, "--device", "cpu")
    said = quiet(ok(*command, "--out", tmp_path / f"g{HOSTILE}.safetensors", "--verbose"))
    assert "skipped 1 of 7" in said
    assert "broken ]0;PWNED  [2J 2J" in said


def test_match(work, tmp_path):
    command = ("match", work / "graph.safetensors", work / "photos", "--model", MODEL)
    said = quiet(ok(*command, "--groups", tmp_path / "g.csv", "--out", tmp_path / "m.safetensors"))
    assert "broken ]0;PWNED" in said


def test_info(work):
    assert "node ]0;PWNED" in quiet(ok("info", work / "graph.safetensors"))
    assert "node ]0;PWNED" in quiet(ok("info", work / "graph.safetensors", "--node", "best"))


def test_parts_and_locate(work, tmp_path):
    both = (work / "photos", "--model", MODEL, "--device", "cpu")
    command = ("parts", work / "graph.safetensors", *both, "--annotations", work / "clicks.csv")
    said = quiet(ok(*command, "--part", HOSTILE, "--out", tmp_path / "p.safetensors"))
    assert "]0;PWNED" in said
    quiet(ok("locate", tmp_path / "p.safetensors", *both, "--out", tmp_path / "p.csv"))
    again = eg.read_annotations(tmp_path / "p.csv")
    assert set(again.image) == {name_of(i) for i in range(N_PHOTOS)}
    assert set(again.part) == {HOSTILE}


def test_explain_and_show(work, tmp_path):
    photo = work / "photos" / name_of(0)
    quiet(ok("explain", photo, "--model", MODEL, "--out", tmp_path / "e.png"))
    graph = work / "graph.safetensors"
    quiet(ok("show", graph, photo, "--model", MODEL, "--out", tmp_path / "s.png"))


@pytest.mark.parametrize(
    "command",
    [
        ("info", f"none{HOSTILE}.safetensors"),
        ("match", f"none{HOSTILE}.safetensors", "photos", "--out", "m.safetensors"),
        ("explain", f"none{HOSTILE}.png", "--model", MODEL, "--out", "e.png"),
    ],
)
def test_errors(command, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert "PWNED" in refused(*command)
    quiet(run(*command))


@pytest.mark.parametrize(
    "command",
    [("info", f"--g{HOSTILE}"), (f"g{HOSTILE}",), ("info", "a", f"b{HOSTILE}", f"c{HOSTILE}")],
)
def test_wrong_use(command):
    """Typer's own words about the user's own words: it leaves only marks of direction."""
    said = run(*(word.replace("\u202e\u2066", "") for word in command))
    assert "PWNED" in quiet(said)


def test_a_terminal_gets_no_commands(work):
    """With a terminal as both streams, where colours and bars are drawn by commands of our own."""
    main, other = pty.openpty()
    command = [sys.executable, "-c", "from explgraph.cli import main; main()", "info"]
    process = subprocess.Popen(
        [*command, str(work / "graph.safetensors"), "--node", "best"],
        stdout=other,
        stderr=other,
        env={**os.environ, "TERM": "xterm"},
    )
    os.close(other)
    said = b""
    while True:
        try:
            piece = os.read(main, 4096)
        except OSError:  # the last who wrote is gone
            break
        if not piece:
            break
        said += piece
    assert process.wait(timeout=60) == 0
    os.close(main)
    assert b"]0;PWNED" in said
    assert b"\x1b]" not in said
    assert b"\x07" not in said
    assert b"\x1b[2J" not in said
    assert b"\xc2\x9b" not in said


def test_results__tables_titles_and_texts(monkeypatch):
    from rich.text import Text

    stream = StringIO()
    monkeypatch.setattr(sys, "stdout", stream)
    shown = table(f"a{HOSTILE}", title=f"b{HOSTILE}")
    shown.add_row(f"c{HOSTILE}")
    console = terminal.results()
    for block in (shown, f"d{HOSTILE}", Text(f"e{HOSTILE}")):
        console.print(block)
    assert stream.getvalue().count("PWNED") == 5
    assert COMMANDS.search(stream.getvalue()) is None


def test_progress__a_bar_takes_names_for_text(monkeypatch):
    stream = StringIO()
    stream.isatty = lambda: True
    monkeypatch.setattr(sys, "stderr", stream)
    monkeypatch.setenv("TERM", "xterm")
    bar = Bar()
    for name in ("[/]", HOSTILE):
        bar.look(Status(name, 1.0, f"layer {name}", 1, 2))
    bar.close()
    assert "\x07" not in stream.getvalue()
    assert "\x9b" not in stream.getvalue()
    assert "PWNED" in stream.getvalue()


def test_library__errors_logs_and_warnings_are_printable(work, tmp_path, caplog):
    with pytest.raises(eg.ExplGraphError) as caught:
        eg.ExplanatoryGraph.load(tmp_path / f"none{HOSTILE}.safetensors")
    assert COMMANDS.search(str(caught.value)) is None
    found = eg.match(WORLD.graph, WORLD.net, work / "photos", progress=False)
    assert "PWNED" in caplog.text
    assert all(COMMANDS.search(record.getMessage()) is None for record in caplog.records)
    points = np.full((N_CLICKS, 2), 20.0)
    marks = plain_marks([name_of(i) for i in range(N_CLICKS)], [HOSTILE] * N_CLICKS, points)
    with pytest.warns(UserWarning) as warned:
        eg.fit_parts(WORLD.graph, found, marks)
    assert all(COMMANDS.search(str(each.message)) is None for each in warned)
