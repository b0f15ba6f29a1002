"""A photo's answers are the same bytes alone and among others, on one BLAS thread and on two."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.together import SELDOM

SCRIPT = """
from dataclasses import fields

import numpy as np
from threadpoolctl import threadpool_info, threadpool_limits

import aog
from mining.matching import match_peaks
from tests.support.world import WORLD

COMPANY = 64
blas = [each for each in threadpool_info() if each["user_api"] == "blas"]
assert [each["num_threads"] for each in blas] == [2], blas


def on(threads, function, *arguments):
    with threadpool_limits(threads, user_api="blas"):
        return function(*arguments)


def content(found, rows, photo):
    # Of an array with rows for each photo, those of one.
    arrays = [getattr(found, each.name) for each in fields(found)]
    each = [a for a in arrays if isinstance(a, np.ndarray) and len(a) == rows]
    assert len(each) >= 4
    step = rows // photo[1]
    return [a[photo[0] * step : (photo[0] + 1) * step].tobytes() for a in each]


def alike(function, items):
    together = on(1, function, items)
    rows = len(getattr(together, "yx"))
    for threads in (1, 2):
        others = on(threads, function, items)
        for i in range(0, COMPANY, 3):
            alone = on(threads, function, items.take(np.array([i])))
            wanted = content(together, rows, (i, COMPANY))
            assert content(others, rows, (i, COMPANY)) == wanted, (threads, i, "among others")
            assert content(alone, rows // COMPANY, (0, 1)) == wanted, (threads, i, "alone")


photos = np.arange(COMPANY) % len(WORLD.names)
fitted = [on(n, aog.fit_parts, WORLD.graph, WORLD.found, WORLD.clicks) for n in (1, 2)]
for ours, theirs in zip(*(parts.aogs for parts in fitted), strict=True):
    for each in fields(ours):
        if isinstance(getattr(ours, each.name), np.ndarray):
            same = getattr(ours, each.name).tobytes() == getattr(theirs, each.name).tobytes()
            assert same, each.name
alike(lambda found: aog.locate(fitted[0], found), WORLD.found.take(photos))
alike(lambda peaks: match_peaks(WORLD.graph, peaks), WORLD.peaks.take(photos))
"""


@pytest.mark.parametrize("kernels", ["Haswell", pytest.param("", marks=SELDOM)])
def test_locate_and_match__the_same_bytes_in_any_company_on_any_threads(kernels):
    """OpenBLAS' kernels for Haswell, which serve AMD's processors too, round the most unlike."""
    if (os.cpu_count() or 1) < 2:
        pytest.skip("one core: OpenBLAS starts no second thread")
    named = {"OPENBLAS_CORETYPE": kernels} if kernels else {}
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", SCRIPT],
        env={**os.environ, **named, "OPENBLAS_NUM_THREADS": "2", "OMP_NUM_THREADS": "1"},
        cwd=Path(__file__).parents[2],
        capture_output=True,
        text=True,
        timeout=280,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-2000:]
