"""Work in threads: compiled loops and matrix products let others run beside them."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import ExitStack, contextmanager, suppress
from functools import cache
from threading import Event, Lock, Thread
from typing import Any, TypeVar, cast

import numpy as np
from numba import get_num_threads
from numpy.typing import NDArray
from threadpoolctl import ThreadpoolController

from .progress import stage

T = TypeVar("T")
F = TypeVar("F", bound=np.floating[Any])

_PIECES = 4  # for each thread: rows differ in what they cost


def map_ranges(task: Callable[[int, int], T], count: int, size: int) -> list[T]:
    """Call ``task(first, last)`` for ranges of at most ``size`` out of ``count``; keep the order.

    As many threads as Numba may use, each with the BLAS on one thread: what a task computes does
    not depend on how many there are. Whoever is free takes the next range.
    """
    firsts = range(0, count, size)
    results: list[T | None] = [None] * len(firsts)
    left = iter(range(len(firsts)))  # shared by the threads

    def work() -> None:
        try:
            for i in left:
                results[i] = task(firsts[i], min(firsts[i] + size, count))
        except BaseException:
            for _ in left:  # after an error nothing is begun any more
                pass
            raise

    threads = min(_n_threads(), len(firsts))
    with one_blas_thread():
        helpers = [_pool(threads - 1).submit(work) for _ in range(threads - 1)]
        try:
            work()
        finally:
            wait([helper for helper in helpers if not helper.cancel()])
        for helper in helpers:
            if not helper.cancelled():  # one that has not begun is not waited for
                helper.result()
    return cast("list[T]", results)


def over_rows(function: Callable[..., None], n_rows: int, *args: object) -> None:
    """Call ``function(first, last, *args)`` for ranges that make up all rows, in threads.

    Numba's own parallel loops compile several times slower, wait by spinning, and leave the
    caller's PyTorch with another number of threads. The function must have been made by
    `explgraph.base.jit.jit`, which lets threads run, and write nothing but its own rows.
    """
    step = max(1, -(-n_rows // (_PIECES * _n_threads())))
    map_ranges(lambda first, last: function(first, last, *args), n_rows, step)


def _n_threads() -> int:
    _start_numba()
    return get_num_threads()


@cache
def _start_numba() -> None:
    """Let Numba start its threads, and put those of OpenMP back, which are PyTorch's as well."""
    with _libraries().limit(limits=None):
        get_num_threads()


@contextmanager
def one_blas_thread() -> Iterator[None]:
    """Keep NumPy's matrix products on one thread: the same bytes for any number of threads.

    Whoever comes first sets it, for all threads of the process, and the last to leave puts it back.
    """
    with _blas_lock:
        _blas_users.append(None)
        if len(_blas_users) == 1:
            _blas_limit.enter_context(_libraries().limit(limits=1, user_api="blas"))
    try:
        yield
    finally:
        with _blas_lock:
            _blas_users.pop()
            if not _blas_users:
                _blas_limit.close()


_blas_lock, _blas_users, _blas_limit = Lock(), list[None](), ExitStack()


@contextmanager
def meanwhile(called: str, steps: Iterable[object]) -> Iterator[None]:
    """Go through ``steps`` in a thread of its own; at the end wait for the last of them.

    Waiting is a stage of the run, ``called`` thus. After an exception, such as an interrupt, only
    the step at work is waited for. A step that fails ends the others: what they prepare is then
    done, and fails, where it is needed.
    """
    stop = Event()

    def work() -> None:
        with suppress(Exception):
            for _ in steps:
                if stop.is_set():
                    return

    thread = Thread(target=work, name="explgraph-ahead")
    thread.start()
    try:
        yield
    except BaseException:
        stop.set()
        raise
    finally:
        with stage(called):
            thread.join()


def rows_times(rows: NDArray[F], matrix: NDArray[F]) -> NDArray[F]:
    """Return ``rows @ matrix``; a row's product does not depend on the others, to the last bit.

    Parameters
    ----------
    rows
        (N, D), of the type of ``matrix``; N may be 0.
    matrix
        (D, K).
    """
    product = np.empty((len(rows), matrix.shape[1]), dtype=matrix.dtype)
    # A product of all rows at once adds a row up in an order that depends on how many there are,
    # on its place among them and on the number of threads.
    with one_blas_thread():
        for row, own in zip(rows, product, strict=True):
            np.dot(row, matrix, out=own)
    return product


@cache
def _libraries() -> ThreadpoolController:
    """Find the libraries once: to look for them takes longer than many a product."""
    return ThreadpoolController()


@cache
def _pool(threads: int) -> ThreadPoolExecutor:
    """Return threads that stay: to start them takes longer than many a loop."""
    return ThreadPoolExecutor(threads, thread_name_prefix="explgraph")


if hasattr(os, "register_at_fork"):  # a child process has none of its parent's threads
    os.register_at_fork(after_in_child=_pool.cache_clear)
