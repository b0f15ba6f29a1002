"""Executors that try the patience of units of work, and a worker's end, as tests want it."""

import os
import pickle
import random
import signal
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from importlib import import_module

from explgraph.base.running.crew import Crew
from explgraph.engines.pools import process_pool
from explgraph.peaks import reading, structures
from explgraph.peaks.spool import reading as spool_reading

SMALL = 8
"""Photos in each unit and group, in place of some hundred."""


def small_units(set_to=setattr):
    """Make units small, in this process; but not the groups that kernels are compiled for."""
    import_module("mining._kernels")
    for module in (reading, structures, spool_reading):
        set_to(module, "GROUP", SMALL)


class SmallUnits:
    """An initializer of workers: does another one's work first."""

    def __init__(self, first, arguments):
        self.first, self.arguments = first, arguments

    def __call__(self):
        self.first(*self.arguments)
        small_units()


def small_pool(workers):
    """Return `process_pool`, in which units are small."""
    pool = process_pool(workers, threads=1)
    pool._initializer = SmallUnits(pool._initializer, pool._initargs)
    pool._initargs = ()
    return pool


class Small:
    """A unit in a worker that has small units, however often the worker was started anew."""

    def __init__(self, unit):
        self.unit = unit

    def __call__(self, *arguments):
        small_units()
        return self.unit(*arguments)


class SmallCrew(Crew):
    """A crew whose workers, wherever they are, have small units; ``begun`` is told of each."""

    def __init__(self, executor, *more):
        super().__init__(executor, *more)
        submit = executor.submit

        def small(unit, *arguments):
            future = submit(Small(unit), *arguments)
            if arguments:
                self.begun(unit)
            return future

        executor.submit = small

    @staticmethod
    def begun(unit):
        pass


class Unruly(Executor):
    """Runs tasks in random order, each of them twice, from a pickle and into one."""

    def __init__(self, seed=0):
        self._pool, self._rng, self._todo = ThreadPoolExecutor(1), random.Random(seed), []
        self.calls = 0

    def submit(self, fn, /, *args, **kwargs):
        future = Future()
        self._todo.append((pickle.dumps((fn, args, kwargs)), future))
        self._pool.submit(self._any)
        return future

    def _any(self):
        task, future = self._todo.pop(self._rng.randrange(len(self._todo)))
        try:
            for _ in range(2):
                fn, args, kwargs = pickle.loads(task)
                self.calls += 1
                result = pickle.dumps(fn(*args, **kwargs))
        except BaseException as error:
            future.set_exception(pickle.loads(pickle.dumps(error)))
        else:
            future.set_result(pickle.loads(result))

    def shutdown(self, wait=True, *, cancel_futures=False):
        self._pool.shutdown(wait)


class KilledWorker(Exception):  # noqa: N818  the name is Dask's
    """Called as Dask's."""


class Losing(Unruly):
    """Loses every third task that it is given, as if its worker had been killed."""

    def __init__(self, every=3):
        super().__init__()
        self.given, self.every = 0, every

    def submit(self, fn, /, *args, **kwargs):
        self.given += 1
        if self.given % self.every:
            return super().submit(fn, *args, **kwargs)
        future = Future()
        future.set_exception(KilledWorker("gone"))
        return future


class Deadly(Executor):
    """A pool of processes of which one is killed, -9, by one of its tasks.

    Parameters
    ----------
    stage
        Of the task, as the journal calls it.
    at
        Which task of that stage, counted from 0.
    """

    def __init__(self, workers, stage, at):
        self._pool, self._stage, self._left = small_pool(workers), stage, at

    def submit(self, fn, /, *args, **kwargs):
        unit = getattr(fn.unit, "unit", fn.unit)  # of a result that is kept
        stage = crew_stage(type(unit).__module__, type(unit).__name__)
        if stage == self._stage:
            self._left -= 1
            if self._left == -1:
                return self._pool.submit(die)
        return self._pool.submit(fn, *args, **kwargs)

    def shutdown(self, wait=True, *, cancel_futures=False):
        self._pool.shutdown(wait, cancel_futures=cancel_futures)


def crew_stage(module, name):
    """Return what a unit's stage is called."""
    if module.startswith("mining"):
        return "facing" if name == "GroupUnit" else "mining"
    return {"ShardUnit": "photos", "SumsUnit": "background"}.get(name, name)


def die():
    os.kill(os.getpid(), signal.SIGKILL)
