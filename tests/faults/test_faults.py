"""The short form of ``make faults``: some of its cases, and that a breach would be told."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.faults.cases import Case
from tests.faults.checking import after_fault, after_next, contents
from tests.faults.child import FAIL, Ended, Fault
from tests.faults.world import OLD, Command

ROOT = Path(__file__).resolve().parents[2]
COMMAND = Command(("match",), ("found.csv",))
CASE = Case("match", "EIO", "once w0", Fault(FAIL, 0, 5))
LINE = "warning: so\nerror: the disk failed"


def test_faults__some_of_all(tmp_path):
    """Kills and failing calls of three commands: nothing lost, nothing half, no litter."""
    options = ["--commands", "mine,spool,resume", "--kills", "60", "--most", "2", "--cases", "16"]
    done = subprocess.run(
        [sys.executable, "-m", "tests.faults", "--out", tmp_path, "--processes", "2", *options],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, (done.stdout, done.stderr)
    assert "16 cases" in done.stdout


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "tmp").mkdir()
    (tmp_path / "found.csv").write_bytes(b"new")
    return tmp_path


def wrong(folder, code=0, said="", **changed):
    """What is said of a folder in which files were changed (None: removed) after a run."""
    clean = contents(folder)
    for name, content in changed.items():
        path = folder / name.replace("__", "/").replace("_", ".")
        path.parent.mkdir(exist_ok=True)
        path.unlink() if content is None else path.write_bytes(content)
    return " | ".join(after_fault(CASE, COMMAND, Ended(code, said, b"", 1.0), folder, clean))


def test_checks__accept_what_is_right(folder):
    assert not wrong(folder)
    assert not wrong(folder, 2, LINE)
    assert not wrong(folder, 2, LINE, found_csv=OLD)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"found_csv": None}, "is lost"),
        ({"found_csv": OLD}, "ended well, but with other files"),
        ({"found_csv": b"ne"}, "neither the old file nor the new"),
        ({"other_csv": b""}, "should not be there"),
        ({"spool__a_safetensors": b"half"}, "is not whole"),
        ({"code": 2, "said": "Traceback\nerror: x"}, "did not say one line"),
        ({"code": 2, "said": "error: x\nerror: y"}, "did not say one line"),
        ({"code": 2, "said": ""}, "did not say one line"),
        ({"code": 1, "said": LINE}, "ended with 1"),
        ({"code": -11, "said": ""}, "ended with -11"),
        ({"code": None}, "it hung"),
    ],
)
def test_checks__tell_what_is_wrong(folder, arguments, said):
    assert said in wrong(folder, **arguments)


def test_checks__tell_of_litter(folder):
    (folder / f".explgraph-{16 * '0'}.tmp").write_bytes(b"half")
    assert "left by a process that was not killed" in wrong(folder)
    (folder / "found.csv").write_bytes(b"new")
    ended = Ended(0, "", b"", 1.0)
    assert any("is left" in line for line in after_next(ended, folder, {}))
    (folder / "tmp" / "x").write_bytes(b"")
    assert any("litter" in line for line in after_next(ended, folder, contents(folder)))
