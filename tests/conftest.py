"""Fixtures that every test may use, and the share of the machine that a worker takes."""

import os
import signal
from pathlib import Path

# Workers that `pytest -n` starts share the cores: the threads of OpenMP and of OpenBLAS wait by
# spinning where there are too few. Set before NumPy and PyTorch are loaded, and for the processes
# that tests start. Numba's threads sleep, so that tests of threads have as many as always.
if (workers := int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1"))) > 1:
    for variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
        os.environ.setdefault(variable, str(max(1, (os.cpu_count() or 1) // workers)))

# Shells start what runs in the background with interrupts ignored, and so would be the processes
# that tests interrupt.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

import numpy as np
import pytest


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder of reference networks and photos beside the checkout; skips where it is absent."""
    folder = Path(
        os.environ.get("EXPLGRAPH_SHARED", Path(__file__).resolve().parents[2] / "shared")
    )
    if not (folder / "models").is_dir():
        pytest.skip("the reference networks and photos are not beside this checkout")
    return folder


@pytest.fixture(scope="session")
def world():
    """Drawings with their truth, a network, and all that is made of them: `World`."""
    from tests.support.world import WORLD

    return WORLD


@pytest.fixture(scope="session")
def files(world, tmp_path_factory):
    """The world in a folder: `Files`. What a test writes into it is an error at the end."""
    from tests.support.world import Files

    made = Files(world, tmp_path_factory.mktemp("world"))
    yield made
    made.check()


@pytest.fixture(scope="session")
def small_demo(tmp_path_factory):
    """What a smaller demo returns; its folder may be copied, not written into."""
    from explgraph.demo.run import run_demo
    from tests.support.world import SMALL_DEMO

    return run_demo(tmp_path_factory.mktemp("demo"), sizes=SMALL_DEMO, progress=False)


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(0)
