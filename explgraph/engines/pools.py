"""Pools of processes on this machine, with a fair share of its cores for each."""

from __future__ import annotations

import multiprocessing
import os
from concurrent.futures import ProcessPoolExecutor
from multiprocessing.connection import wait
from threading import Thread

from explgraph.base.errors import require

_COUNTS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMBA_NUM_THREADS")


def process_pool(workers: int, *, threads: int | None = None) -> ProcessPoolExecutor:
    """Return an executor of processes that are started afresh, not forked.

    Python's own default on Linux is to fork, until version 3.14: PyTorch's threads hang in forked
    processes, so that workers of such a pool have one each.

    Parameters
    ----------
    workers
        Processes.
    threads
        Of each one. None: so many that all together have a core each, unless ``OMP_NUM_THREADS``
        says how many.

    Raises
    ------
    ExplGraphError
        If there is to be none.

    Examples
    --------
    >>> from explgraph.engines import process_pool
    >>> with process_pool(2) as pool:  # doctest: +SKIP
    ...     graph = eg.mine(net, "photos/zebra", spool="work", executor=pool)
    """
    require(workers >= 1, f"there must be at least 1 worker, got {workers}")
    require(threads is None or threads >= 1, f"threads must be at least 1, got {threads}")
    spawn = multiprocessing.get_context("spawn")
    if threads is None and "OMP_NUM_THREADS" not in os.environ:
        threads = max(1, _cores() // workers)
    return ProcessPoolExecutor(workers, spawn, _begin, (threads,))


def _begin(threads: int | None) -> None:
    """Prepare a worker before it does anything."""
    if threads is not None:
        limit_threads(threads)
    Thread(target=_end_with_parent, name="explgraph-parent", daemon=True).start()


def limit_threads(threads: int) -> None:
    """Say how many threads libraries of this process may start, before any of them is imported."""
    os.environ |= dict.fromkeys(_COUNTS, str(threads))


def _end_with_parent() -> None:
    """End when the process that wanted the work is killed: it can tell nobody."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        wait([parent.sentinel])
        os._exit(1)


def _cores() -> int:
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
