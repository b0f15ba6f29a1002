"""The script for a machine with a GPU works; here on the CPU, and where there is no GPU."""

import dataclasses
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from mining import mine_peaks
from tests.gpu import table

SCRIPT = Path(table.__file__).with_name("run.sh")


def run(*arguments, **environment):
    return subprocess.run(
        [SCRIPT, *arguments],
        env=os.environ | {"PYTHON": sys.executable} | environment,
        capture_output=True,
        text=True,
        check=False,
    )


def test_script__prints_one_table_on_the_cpu():
    done = run("--device", "cpu", "--quick")
    assert done.returncode == 0, done.stderr
    assert f"{table.SMALL.photos} photos on the CPU" in done.stdout
    lines = {line.split("│")[1].strip(): line for line in done.stdout.splitlines() if "│" in line}
    assert list(lines)[-len(table.LINES) :] == list(table.LINES)
    assert "100.00%" in lines["nodes of the CPU found again"]
    assert "0.0000" in lines["farthest place matched, px"]
    assert float(lines["mining, s"].split("│")[2]) > 0


def test_script__without_a_gpu_is_skipped(tmp_path):
    """Nothing is installed, and nothing else is run."""
    finder = tmp_path / "nvidia-smi"
    finder.write_text("#!/bin/sh\nexit 9\n")
    finder.chmod(0o755)
    path = f"{tmp_path}{os.pathsep}{os.environ['PATH']}"
    done = run("--quick", PATH=path, PYTHON="/no/python")
    assert done.returncode == table.NO_GPU
    assert "no NVIDIA GPU" in done.stdout


def test_table__without_cuda_is_skipped(monkeypatch, capsys):
    monkeypatch.setattr(table, "cuda_missing", lambda: "Numba's CUDA target")
    assert table.main(["--quick"]) == table.NO_GPU
    assert "needs Numba's CUDA target" in capsys.readouterr().out


@pytest.mark.parametrize(("moved", "share"), [(0.001, 1.0), (0.1, 0.5)])
def test_found_again__counts_nodes_of_the_same_filter_and_place(moved, share):
    graph = mine_peaks(table.planted_photos(table.QUICK, 12))
    shift = np.zeros_like(graph.mu)
    shift[: len(graph) // 2] = moved
    other = dataclasses.replace(graph, mu=graph.mu + shift)
    assert table.found_again(graph, other) == pytest.approx(share, abs=0.5 / len(graph))
