"""How much of the plain process's throughput workers keep, with as many threads altogether.

    python -m tests.bench.workers --photos 512

Both ways write a spool; workers are started and warm before the clock runs, as they are in a run of
some hours. Rounds take turns.
"""

from __future__ import annotations

import argparse
import tempfile
import warnings
from concurrent.futures import Executor
from functools import partial
from pathlib import Path

import numpy as np
import torch

from explgraph.demo.run import MODEL
from explgraph.engines import process_pool
from explgraph.networks.backbone import Backbone, load_backbone
from explgraph.pipeline import mine
from tests.bench.rounds import Figure, take_turns
from tests.bench.workload import draw

_WORKERS = 2


def worker_efficiency(net: Backbone, photos: np.ndarray, rounds: int) -> dict[str, Figure]:
    """Return the share of the throughput that two workers have, and seconds both ways.

    The plain process has two threads, each worker one. Their start is not counted.
    """
    threads = torch.get_num_threads()
    torch.set_num_threads(_WORKERS)
    try:
        with process_pool(_WORKERS, threads=1) as pool:
            found = take_turns(
                {
                    "plain": partial(_mine, net, photos, None),
                    "pool": partial(_mine, net, photos, pool),
                },
                rounds,
            )
    finally:
        torch.set_num_threads(threads)
    return {
        "two_worker_efficiency": Figure.of(found["plain"] / found["pool"]),
        "two_worker_s": Figure.of(found["pool"]),
        "plain_spool_s": Figure.of(found["plain"]),
    }


def _mine(net: Backbone, photos: np.ndarray, executor: Executor | None) -> None:
    with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        mine(net, photos, spool=Path(folder) / "spool", executor=executor, progress=False)


def main() -> None:
    """Measure drawings with the demo network, and print."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.workers", description=__doc__)
    parser.add_argument("--photos", type=int, default=512)
    parser.add_argument("--rounds", type=int, default=3)
    chosen = parser.parse_args()
    found = worker_efficiency(
        load_backbone(MODEL, device="cpu"), draw(chosen.photos), chosen.rounds
    )
    for name, figure in found.items():
        print(f"{name}: {figure:.3g} ({figure.least:.3g} to {figure.most:.3g})")


if __name__ == "__main__":
    main()
