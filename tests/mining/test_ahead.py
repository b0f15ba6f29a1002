"""What is compiled while the network runs is all that mining and matching call."""

import logging
import subprocess
import sys
from pathlib import Path

from mining import compile_ahead

ROOT = Path(__file__).resolve().parents[2]
CODE = """
import sys
from numba.core.dispatcher import Dispatcher
from mining import compile_ahead, match_peaks, mine_peaks
from tests.support.planted_peaks import planted_peaks

def known():
    modules = [m for name, m in sys.modules.items() if name.startswith(("explgraph", "mining"))]
    kernels = [k for m in modules for k in vars(m).values() if isinstance(k, Dispatcher)]
    return {(k.py_func.__name__, str(s)) for k in kernels for s in k.signatures}

steps = sum(1 for _ in compile_ahead())
before = known()
peaks = planted_peaks(n_images=24, channels=4).peaks
match_peaks(mine_peaks(peaks), peaks)
print(steps, len(before), sorted(known() - before))
"""


def test_ahead__mining_and_matching_find_all_their_loops_compiled():
    done = subprocess.run(
        [sys.executable, "-c", CODE], cwd=ROOT, capture_output=True, text=True, check=True
    )
    steps, loops, late = done.stdout.split(maxsplit=2)
    assert int(steps) > 3
    assert int(loops) > 10
    assert late.strip() == "[]"


def test_ahead__says_nothing(caplog):
    with caplog.at_level(logging.INFO, "explgraph"):
        assert len(list(compile_ahead())) > 0
    assert caplog.messages == []
