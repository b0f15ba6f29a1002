"""Compiled loops on disk: found again, never out of date, and gone without where they cannot be."""

import importlib
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from numba.core.dispatcher import Dispatcher

from explgraph.base import kernel_cache
from explgraph.base.jit import jit

ROOT = Path(__file__).resolve().parents[2]

FORMULA = """
from explgraph.base.jit import jit

FACTOR = {factor}

@jit
def formula(x):
    return {formula}
"""
CALLER = """
import formulas, numpy as np
from explgraph.base.jit import jit

@jit
def summed(values):
    total = 0.0
    for i in range(len(values)):
        total += formulas_formula(values[i])
    return total

"""
RUN = """
import sys
from numba.core import event
from caller import summed
import numpy as np

with event.install_recorder("numba:compile") as recorder:
    result = summed(np.arange(4.0))
print(result, sum(entry.is_start for _, entry in recorder.buffer))
"""


@pytest.fixture
def program(tmp_path):
    """A program of two files; returns what it computes and how many functions it compiles."""
    (tmp_path / "caller.py").write_text(
        CALLER.replace("import formulas, numpy as np", "from formulas import formula")
        .replace("formulas_formula", "formula")
    )  # fmt: skip

    def run(formula="FACTOR * x", factor="2.0", cache=tmp_path / "cache", **variables):
        source = tmp_path / "formulas.py"
        source.write_text(FORMULA.format(formula=formula, factor=factor))
        os.utime(source, (1e9, 1e9))  # its time does not tell that it was edited
        environment = os.environ | {
            "PYTHONPATH": f"{tmp_path}:{ROOT}",
            "EXPLGRAPH_CACHE": str(cache),
        }
        environment |= {"PYTHONDONTWRITEBYTECODE": "1"} | variables
        done = subprocess.run(
            [sys.executable, "-c", RUN], env=environment, capture_output=True, text=True, check=True
        )
        assert done.stderr == ""
        result, compiled = done.stdout.split()
        return float(result), int(compiled)

    return run


def test_second_run__compiles_nothing(program):
    first, again = program(), program()
    assert first == (12, 2)
    assert again == (12, 0)


def test_edited__what_is_called_and_what_it_refers_to_are_seen(program):
    assert program()[0] == 12
    assert program(formula="FACTOR * x + 1")[0] == 16
    assert program(factor="3.0")[0] == 18
    assert program(factor="3.0") == (18, 0)


def test_flags_of_numba__count(program):
    program()
    assert program(NUMBA_OPT="0")[1] == 2
    assert program(NUMBA_BOUNDSCHECK="1")[1] == 2
    assert program() == (12, 0)


def test_turned_off__compiles_and_writes_nothing(program, tmp_path):
    for _ in range(2):
        assert program(cache="off", HOME=str(tmp_path / "home")) == (12, 2)
    assert not (tmp_path / "home").exists()


def test_folder_that_cannot_be_had__is_gone_without(program, tmp_path):
    (tmp_path / "file").touch()
    for _ in range(2):
        assert program(cache=tmp_path / "file" / "below") == (12, 2)


def test_damaged_files__are_made_again(program, tmp_path):
    program()
    for path in (tmp_path / "cache" / "kernels").iterdir():
        content = bytearray(path.read_bytes())
        content[-5] ^= 1
        path.write_bytes(content[: len(content) // 2] if "formula" in path.name else content)
    assert program() == (12, 2)
    assert program() == (12, 0)


def test_processes_at_once__share_the_folder(program):
    with ThreadPoolExecutor(2) as pool:
        found = list(pool.map(lambda _: program(), range(4)))
    assert [result for result, _ in found] == [12] * 4
    assert program() == (12, 0)


def test_unused_files__are_deleted_after_a_while(program, tmp_path):
    program()
    kernels = tmp_path / "cache" / "kernels"
    old, new = kernels / "old-1", kernels / "new-1"
    for path, days in ((old, 100), (new, 1)):
        path.touch()
        then = path.stat().st_mtime - 24 * 3600 * days
        os.utime(path, (then, then))
    program(factor="5.0")
    assert not old.exists()
    assert new.exists()


def _kernels():
    for package in ("explgraph", "mining", "aog"):
        for path in sorted((ROOT / package).rglob("*.py")):
            if "jit import jit" not in path.read_text():
                continue
            module = importlib.import_module(".".join(path.relative_to(ROOT).with_suffix("").parts))
            for name, value in vars(module).items():
                if isinstance(value, Dispatcher) and value.py_func.__module__ == module.__name__:
                    yield f"{module.__name__}.{name}", value


def test_every_loop__is_understood_and_kept():
    kernels = dict(_kernels())
    assert len(kernels) > 50
    digests = {name: kernel_cache._meaning(kernel) for name, kernel in kernels.items()}
    assert [name for name, digest in digests.items() if digest is None] == []
    assert len(set(digests.values())) == len(digests)


UNKNOWN = np.arange(3.0)


@jit
def refers_to_an_array(i):
    """Numba would freeze the array's values into the code."""
    return UNKNOWN[i]


def test_what_is_not_understood__is_not_kept(tmp_path, monkeypatch):
    monkeypatch.setenv("EXPLGRAPH_CACHE", str(tmp_path))
    assert refers_to_an_array(1) == 1
    assert not (tmp_path / "kernels").exists()
