"""How much of the plain process's throughput two workers keep, with as many threads altogether.

    python -m tests.bench.workers --photos 512

All ways mine with a spool; workers are started and warm before the clock runs, as they are in a run
of some hours. Rounds take turns. Beside seconds stands the processors' time, which other programs
on the machine hardly change: of the workers and whoever gives out the work, and of a plain process
with one thread, which waits for nobody.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import warnings
from collections.abc import Callable
from concurrent.futures import Executor, ProcessPoolExecutor, ThreadPoolExecutor
from functools import partial
from pathlib import Path
from time import process_time
from typing import Any

import numba
import numpy as np
import torch

from explgraph.base.arrays import U1
from explgraph.demo.run import MODEL
from explgraph.engines import process_pool
from explgraph.networks.backbone import Backbone, load_backbone
from explgraph.peaks.structures import GROUP
from explgraph.pipeline import mine
from tests.bench.rounds import Figure, take_turns
from tests.bench.workload import draw

ROOT = Path(__file__).resolve().parents[2]

_WORKERS = 2
_DRAWINGS = 64  # which are repeated, with shifts
_LARGE = 2000  # photos of a shard for which the share of coordination is derived
_TICKS = os.sysconf("SC_CLK_TCK")


def worker_efficiency(photos: int, rounds: int) -> dict[str, Any]:
    """Compare two workers with one process, in a process whose threads do not wait by spinning."""
    numbers = ("--photos", str(photos), "--rounds", str(rounds))
    command = [sys.executable, "-m", "tests.bench.workers", "--json", *numbers]
    environment = os.environ | {"GOMP_SPINCOUNT": "2000", "OMP_NUM_THREADS": str(_WORKERS)}
    pipe = subprocess.PIPE
    done = subprocess.run(command, cwd=ROOT, check=True, stdout=pipe, env=environment)
    said: dict[str, list[float]] = json.loads(done.stdout)
    return {name: Figure.of(values) for name, values in said.items()}


def compared(net: Backbone, photos: U1, rounds: int, pool: Executor) -> dict[str, list[float]]:
    """Return figures, by round: see `figures_of`."""
    spent: dict[str, list[float]] = {}
    tasks = {
        "plain": partial(_mine, net, photos, None),
        "pool": partial(_mine, net, photos, pool),
        "alone": partial(_mine, net, photos, None),
    }
    threads = {"plain": _WORKERS, "pool": 1, "alone": 1}

    def timed(name: str) -> None:
        _use(threads[name])
        before = _processor_seconds(pool)
        tasks[name]()
        spent.setdefault(name, []).append(_processor_seconds(pool) - before)

    calls: dict[str, Callable[[], object]] = {name: partial(timed, name) for name in tasks}
    before = torch.get_num_threads(), numba.get_num_threads()
    try:
        took = take_turns(calls, rounds)
    finally:
        _use(*before)
    counted = {name: np.array(values[-max(rounds, 1) :]) for name, values in spent.items()}
    return figures_of(took, counted)


def figures_of(took: dict[str, np.ndarray], spent: dict[str, np.ndarray]) -> dict[str, list[float]]:
    """Return what seconds ``took``, and processors' seconds ``spent``, come to by round.

    Coordination is what processors do more for workers than for one process. It is shared out
    among the shards: one of 2,000 photos has as much of it as one of `GROUP`.
    """
    share = 1 - spent["alone"] / spent["pool"]
    large = share / (share + (1 - share) * _LARGE / GROUP)
    found = {
        "two_worker_efficiency": took["plain"] / took["pool"],
        "two_worker_efficiency_cpu": spent["alone"] / spent["pool"],
        "coordination_share": share,
        "coordination_share_large_shards": large,
        "two_worker_s": took["pool"],
        "plain_spool_s": took["plain"],
    }
    return {name: values.tolist() for name, values in found.items()}


def _use(threads: int, of_numba: int | None = None) -> None:
    torch.set_num_threads(threads)
    numba.set_num_threads(min(of_numba or threads, vars(numba.config)["NUMBA_NUM_THREADS"]))


def _processor_seconds(pool: Executor) -> float:
    """Return what this process and those of a pool have used, where the system says so."""
    pids = pool._processes if isinstance(pool, ProcessPoolExecutor) else ()
    stats = [Path(f"/proc/{pid}/stat") for pid in pids]
    ticks = [path.read_text().rpartition(")")[2].split()[11:13] for path in stats if path.exists()]
    return process_time() + sum(int(tick) for pair in ticks for tick in pair) / _TICKS


def _mine(net: Backbone, photos: U1, executor: Executor | None) -> None:
    with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        mine(net, photos, spool=Path(folder) / "spool", executor=executor, progress=False)


def shifted(count: int) -> U1:
    """Return (count, 128, 128, 3) drawings, each a few times in other places."""
    few = draw(min(count, _DRAWINGS))
    times = -(-count // len(few))
    return np.concatenate([np.roll(few, (i, -2 * i), (1, 2)) for i in range(times)])[:count]


def quick_efficiency(photos: int, _rounds: int) -> dict[str, Any]:
    """Run through all of it here, once and without processes: does it run at all?"""
    with ThreadPoolExecutor(_WORKERS) as pool:
        found = compared(load_backbone(MODEL, device="cpu"), shifted(photos), 0, pool)
    return {name: Figure.of(values) for name, values in found.items()}


def main() -> None:
    """Measure drawings with the demo network, and print."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.workers", description=__doc__)
    parser.add_argument("--photos", type=int, default=512)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--json", action="store_true", help="by round")
    chosen = parser.parse_args()
    net = load_backbone(MODEL, device="cpu")
    with process_pool(_WORKERS, threads=1) as pool:
        found = compared(net, shifted(chosen.photos), chosen.rounds, pool)
    if chosen.json:
        print(json.dumps(found))
        return
    for name, values in found.items():
        figure = Figure.of(values)
        print(f"{name}: {figure:.3g} ({figure.least:.3g} to {figure.most:.3g})")


if __name__ == "__main__":
    main()
