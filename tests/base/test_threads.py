"""Ranges of work in threads."""

import os
import subprocess
import sys
import threading
from contextlib import contextmanager
from threading import Event, Thread, Timer

import numba
import numpy as np
import pytest
from threadpoolctl import threadpool_info, threadpool_limits

from explgraph.base import threads as threads_module
from explgraph.base.threads import (
    map_ranges,
    meanwhile,
    one_blas_thread,
    over_rows,
    rows_times,
)


@contextmanager
def numba_threads(count):
    """As many as the machine has, at most."""
    before = numba.get_num_threads()
    numba.set_num_threads(min(count, numba.config.NUMBA_NUM_THREADS))
    try:
        yield numba.get_num_threads()
    finally:
        numba.set_num_threads(before)


@pytest.fixture
def fresh_libraries():
    """What other tests have loaded since the libraries were looked for is found, too."""
    threads_module._libraries.cache_clear()


def blas_threads():
    return [pool["num_threads"] for pool in threadpool_info() if pool["user_api"] == "blas"]


def pair(first, last):
    return first, last


@pytest.mark.parametrize(
    "count, size, expected",
    [
        (0, 4, []),
        (1, 4, [(0, 1)]),
        (4, 4, [(0, 4)]),
        (9, 4, [(0, 4), (4, 8), (8, 9)]),
        (3, 1, [(0, 1), (1, 2), (2, 3)]),
    ],
)
def test_ranges__make_up_all_in_order(count, size, expected):
    assert map_ranges(pair, count, size) == expected


def test_results__keep_their_order_whoever_is_first():
    """Each range waits until the next has started, as far as there are threads for it."""
    with numba_threads(2) as threads:
        started = [threading.Event() for _ in range(4)]

        def task(first, _):
            started[first].set()
            if threads > 1 and first % 2 == 0:
                assert started[first + 1].wait(10)
            return first

        assert map_ranges(task, 4, 1) == [0, 1, 2, 3]


@pytest.mark.parametrize("allowed", [1, 2])
def test_threads__are_as_many_as_numba_may_use(allowed):
    running, most, lock = 0, 0, threading.Lock()
    pause = threading.Event()

    def task(*_):
        nonlocal running, most
        with lock:
            running += 1
            most = max(most, running)
        pause.wait(0.01)
        with lock:
            running -= 1

    with numba_threads(allowed) as threads:
        map_ranges(task, 12, 1)
    assert most == threads


@pytest.mark.usefixtures("fresh_libraries")
def test_blas__runs_on_one_thread_in_a_task_and_as_before_afterwards():
    with threadpool_limits(2, "blas"):
        before = blas_threads()
        assert before
        inside = map_ranges(lambda *_: blas_threads(), 3, 1)
        assert all(set(counts) == {1} for counts in inside)
        assert blas_threads() == before


def test_tasks__write_their_own_ranges():
    out = np.zeros(1000)

    def task(first, last):
        out[first:last] = np.arange(first, last)

    with numba_threads(2):
        map_ranges(task, 1000, 7)
    assert np.array_equal(out, np.arange(1000))


@pytest.mark.usefixtures("fresh_libraries")
def test_blas__may_be_kept_on_one_thread_elsewhere():
    with threadpool_limits(2, "blas"):
        before = blas_threads()
        with one_blas_thread():
            assert set(blas_threads()) == {1}
        assert blas_threads() == before


@pytest.mark.parametrize("allowed", [1, 2])
def test_tasks__may_use_threads_themselves(allowed):
    def task(first, last):
        return sum(map_ranges(lambda a, b: (b - a) * (first + 1), 5, 2)) * (last - first)

    with numba_threads(allowed):
        assert map_ranges(task, 6, 1) == [5, 10, 15, 20, 25, 30]


@pytest.mark.parametrize("whose", ["caller", "helper"])
@pytest.mark.parametrize("allowed", [1, 2])
@pytest.mark.usefixtures("fresh_libraries")
def test_error__of_a_task_comes_through(allowed, whose):
    """No more are begun then, and everything is as before.

    The first two ranges are taken by either thread; one of them fails.
    """
    before, begun, both = blas_threads(), [], threading.Event()
    caller = threading.current_thread()
    with numba_threads(allowed) as count:

        def task(first, _):
            begun.append(first)
            if first == 1:
                both.set()
            if count > 1:
                assert both.wait(10)
            if (threading.current_thread() is caller) == (whose == "caller" or count == 1):
                raise KeyError(first)
            threading.Event().wait(0.001)

        with pytest.raises(KeyError):
            map_ranges(task, 500, 1)
    assert len(begun) < 100
    assert blas_threads() == before
    assert map_ranges(pair, 2, 1) == [(0, 1), (1, 2)]


@pytest.mark.parametrize("n_rows", [0, 1, 3, 17, 100])
@pytest.mark.parametrize("allowed", [1, 2])
def test_over_rows__every_row_is_gone_through_once(n_rows, allowed):
    out = np.zeros(n_rows, dtype=int)

    def add(first, last, rows, value):
        rows[first:last] += value

    with numba_threads(allowed):
        over_rows(add, n_rows, out, 7)
    assert np.all(out == 7)


@pytest.mark.parametrize("dtype, rtol", [(np.float32, 1e-5), (np.float64, 1e-13)])
def test_rows_times__a_row_does_not_depend_on_the_others_or_on_threads(rng, dtype, rtol):
    """A plain product fails at the first number of rows."""
    rows, matrix = rng.random((67, 784)).astype(dtype), rng.random((784, 784)).astype(dtype)
    whole = rows_times(rows, matrix)
    np.testing.assert_allclose(whole, rows @ matrix, rtol=rtol)
    for threads in (1, 2, 3):
        with threadpool_limits(threads, "blas"):
            for count in (1, 2, 3, 4, 5, 8, 15, 16, 17, 31, 64, 67):
                np.testing.assert_array_equal(rows_times(rows[:count], matrix), whole[:count])
            np.testing.assert_array_equal(rows_times(rows[::-3], matrix), whole[::-3])


def test_rows_times__of_no_rows_is_none():
    assert rows_times(np.zeros((0, 3)), np.ones((3, 5))).shape == (0, 5)


def test_map_ranges__leaves_pytorch_its_threads():
    """Numba sets those of OpenMP when it starts its own, once in a process.

    One and two: PyTorch may be given no more threads than the machine has cores, but Numba would
    leave it two even where there is one.
    """
    code = (
        "import torch; from explgraph.base.threads import map_ranges; "
        "before = torch.get_num_threads(); "
        "print(map_ranges(lambda a, b: b, 4, 1), before, torch.get_num_threads())"
    )
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "NUMBA_NUM_THREADS": "2"}
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True
    )
    assert done.stdout == "[1, 2, 3, 4] 1 1\n"


def test_one_blas_thread__put_back_when_the_last_of_several_threads_leaves():
    def threads():
        return [lib["num_threads"] for lib in threadpool_info() if lib["user_api"] == "blas"]

    before = threads()
    entered, leave = Event(), Event()

    def other():
        with one_blas_thread():
            entered.set()
            leave.wait(10)

    thread = Thread(target=other)
    thread.start()
    entered.wait(10)
    with one_blas_thread():
        leave.set()
        thread.join()
        assert set(threads()) == {1}  # the first to come has left
    assert threads() == before


def test_meanwhile__runs_beside_and_is_done_at_the_end():
    done = []

    def steps():
        for i in range(3):
            done.append(i)
            yield

    with meanwhile("ahead", steps()):
        pass
    assert done == [0, 1, 2]


def test_meanwhile__after_an_exception_only_the_step_at_work_is_waited_for():
    begun, go_on, done = Event(), Event(), []

    def steps():
        begun.set()
        go_on.wait(10)
        done.append("first")
        yield
        done.append("second")
        yield

    def fail():
        begun.wait(10)
        Timer(0.05, go_on.set).start()
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt), meanwhile("ahead", steps()):
        fail()
    assert done == ["first"]


def test_meanwhile__a_step_that_fails_is_left_to_whoever_needs_it():
    def steps():
        raise ValueError
        yield

    with meanwhile("ahead", steps()):
        pass
