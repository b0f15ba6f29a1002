"""The CUDA kernels compile for real hardware; no GPU is needed for that, but numba-cuda is."""

import os
from importlib.util import find_spec
from types import SimpleNamespace

import numba
import numpy as np
import pytest

from mining import _cuda
from mining.em import Inference, Mixture, PeakColumns
from mining.parents import flat_prior

OLDEST = (7, 5)  # the oldest GPUs that CUDA 13 knows
C, K, N, P, M, STEPS = 2, 8, 3, 4, 2, 1


def arguments():
    """What `mining.cuda` gives to each kernel, in arrays of the host."""
    f4 = np.float32
    peaks = PeakColumns(np.zeros((C, K, N), f4), np.zeros((C, 2, K, N), f4))
    nodes = tuple(Mixture.at(np.zeros((P, 2)), C).nodes)
    room = _cuda.Room(np.zeros((C, K, N), f4), *(np.zeros((C, N), f4) for _ in range(3)))
    common = peaks, nodes, flat_prior(P, N, 1.0), room, 1.0
    sums, places = np.zeros((P, 5)), [np.zeros((P, 2, N), f4) for _ in range(2)]
    score = np.zeros((P, N), f4)
    found = sums, np.zeros((C, 2)), np.zeros((C, STEPS + 1))
    parents = np.zeros(P * M, np.int32)
    return {
        "fit": (*common, STEPS, 0.1, 1, found),
        "infer": (*common, Inference(score.astype(np.int8), score, *places, room.gain)),
        "held_out_gain": (*common, (sums, np.zeros(P))),
        "merge": ((nodes[0], nodes[1], nodes[0]), 1.0, (np.zeros(P, np.bool_), np.zeros(P))),
        "predict": (nodes[0], parents, places[0], 1.0, places[1], score),
    }


@pytest.fixture
def compiler(monkeypatch):
    """Numba's CUDA compiler, told of a GPU that is not there."""
    if find_spec("numba_cuda") is None:
        pytest.skip("needs numba-cuda: pip install 'explgraph[cuda]'")
    if "NUMBA_ENABLE_CUDASIM" in os.environ:
        pytest.skip("the simulator does not compile")
    from numba.cuda import dispatcher

    oldest = SimpleNamespace(compute_capability=OLDEST)
    monkeypatch.setattr(dispatcher, "get_current_device", lambda: oldest)
    return numba.cuda.compile_ptx


@pytest.mark.parametrize("name", arguments())
def test_kernel__compiles(compiler, name):
    kernel = getattr(_cuda, name)
    types = tuple(numba.typeof(argument) for argument in arguments()[name])
    code, result = compiler(kernel.py_func, types, cc=OLDEST)
    assert result == numba.void
    assert f".target sm_{OLDEST[0]}{OLDEST[1]}" in code
    assert "\tcall" not in code  # all is inlined
    assert ".local" not in code  # what a thread keeps is in registers


def test_kernels__are_all_looked_at():
    compiled = {
        name
        for name, value in vars(_cuda).items()
        if not name.startswith("_")
        and value.__class__.__name__ in ("CUDADispatcher", "FakeCUDAKernel")
    }
    assert compiled == set(arguments())
