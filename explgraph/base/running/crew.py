"""Units of work, done by whatever executor a user has.

An executor is any `concurrent.futures.Executor`: a pool of processes or threads, Dask
(``Client.get_executor()``), submitit (SLURM), or one of `explgraph.engines`. It is not ours, and it
may do what it likes: run units in any order, on other machines, more than once, or lose a worker.
What is ours are the units, and four rules that they keep:

* *Pure.* What a unit gives depends on its arguments alone. Which photos or filters are a unit is
  fixed by the data, never by how many workers there are; and whoever puts results together does so
  in the units' order. So the bytes are those of one process.
* *Idempotent.* What a unit leaves in a file is written under a temporary name and renamed, and a
  unit whose file is there, whole, is not done again.
* *Small.* What many units share (a network, what photos look like, where the nodes above are) goes
  once into a file in a folder that all workers see, and stays in their memory: `Crew.share`. With a
  unit travels its pickle without large arrays, and the file's name.
* *Told.* Each stage that begins or ends, each unit that is done, and each that was lost and is
  given out again, is a line of the folder's journal: ``journal.jsonl``.

Executors that restart lost workers get a lost unit back, a few times; one that is broken for good
ends the run with an error that says how to go on.
"""

from __future__ import annotations

import json
import multiprocessing
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import (
    FIRST_COMPLETED,
    BrokenExecutor,
    CancelledError,
    Executor,
    Future,
    wait,
)
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from threading import local
from time import perf_counter, sleep, time
from types import MappingProxyType
from typing import Any, Generic, TypeVar

from explgraph.base.errors import ExplGraphError
from explgraph.base.writing import append_line

from .kept import Kept
from .shared import Shared, written

T = TypeVar("T")
R = TypeVar("R")

JOURNAL = "journal.jsonl"

_AHEAD = 1024  # units given out at a time: of a million, most wait here
_POLL = 0.2  # seconds
_TRIES = 3  # of a unit whose worker was lost
_LOST = {  # what executors raise when a worker is gone and they go on; none is a common class
    "KilledWorker", "RayActorError", "ActorDiedError", "ActorUnavailableError",
    "WorkerCrashedError", "NodeDiedError", "OutOfMemoryError", "UncompletedJobError",
}  # fmt: skip


@dataclass(eq=False)
class Crew:
    """Workers, and a folder that all of them see.

    Attributes
    ----------
    executor
        Does the units.
    folder
        Where shared values and the journal are.
    how_to_go_on
        What to do when workers are lost, for the error.
    """

    executor: Executor
    folder: Path
    how_to_go_on: str = "run it again"

    @contextmanager
    def share(self, value: T, called: str) -> Iterator[Shared[T]]:
        """Let units share a value, within; its file is removed afterwards.

        Raises
        ------
        ExplGraphError
            If it cannot be pickled: it is ``called`` thus.
        """
        shared = written(value, self.folder, called)
        try:
            yield shared
        finally:
            with suppress(OSError):
                if shared.path:
                    Path(shared.path).unlink()

    def run(
        self,
        called: str,
        unit: Callable[..., R],
        arguments: Iterable[tuple[Any, ...]],
        done: Callable[[int, R], None] = lambda _number, _result: None,
        about: Mapping[str, object] = MappingProxyType({}),
    ) -> None:
        """Do a unit of work for each of its arguments, in any order.

        Parameters
        ----------
        called
            What the units are called in the journal.
        unit
            A function, or a `Shared`'s, that can be pickled.
        arguments
            Of each call.
        done
            Is told of each result, with the number of its arguments, here and one at a time.
        about
            What the journal says of the stage besides, such as how many ``units`` it has.

        Raises
        ------
        ExplGraphError
            What a unit raises; if workers are lost for good.
        """
        work, began = _Work(self, called, unit, enumerate(arguments), done), perf_counter()
        self.note(stage=called, state="begun", **about)
        try:
            work.fill()
            while work.pending:
                for future in _finished(list(work.pending)):
                    work.finish(future)
                work.fill()
        except BaseException:
            for future in work.pending:
                future.cancel()
            raise
        seconds = round(perf_counter() - began, 3)
        self.note(stage=called, state="ended", seconds=seconds, **about)

    def map(
        self,
        called: str,
        unit: Callable[..., R],
        arguments: Sequence[tuple[Any, ...]],
        done: Callable[[int, R], None] = lambda _number, _result: None,
        about: Mapping[str, object] = MappingProxyType({}),
    ) -> list[R]:
        """Do so, and return the results in the order of their arguments."""
        found: dict[int, R] = {}

        def keep(number: int, result: R) -> None:
            found[number] = result
            done(number, result)

        self.run(called, unit, arguments, keep, {"units": len(arguments), **about})
        return [found[number] for number in range(len(arguments))]

    def map_kept(
        self,
        called: str,
        unit: Callable[..., R],
        arguments: Sequence[tuple[Any, ...]],
        kept: Kept[R],
    ) -> list[R]:
        """Do as `map`, but with results that are ``kept``, whoever found them; keep the others."""
        known = [kept.load(number) for number in range(len(arguments))]
        left = [number for number, result in enumerate(known) if result is None]
        units = [(number, *arguments[number]) for number in left]
        found = self.map(called, KeptUnit(unit, kept), units, about={"key": kept.key[:16]})
        for number, result in zip(left, found, strict=True):
            known[number] = result
        return [result for result in known if result is not None]

    def note(self, **line: object) -> None:
        """Add a line to the journal."""
        text = json.dumps({"time": round(time(), 3), **line}, sort_keys=True)
        append_line(self.folder / JOURNAL, text)

    @property
    def threads(self) -> int | None:
        """How many threads a worker should use, so that all together have a core each."""
        workers = getattr(self.executor, "_max_workers", None)
        if not isinstance(workers, int) or workers < 1:
            return None
        return max(1, (os.cpu_count() or 1) // workers)


@dataclass(frozen=True, slots=True)
class KeptUnit(Generic[R]):
    """A unit whose result is kept where it was found."""

    unit: Callable[..., R]
    kept: Kept[R]

    def __call__(self, number: int, *arguments: object) -> R:
        """Return the result of a unit, given by number and arguments."""
        result = self.unit(*arguments)
        self.kept.save(number, result)
        return result


@dataclass(frozen=True, slots=True)
class _Done(Generic[R]):
    """What comes back of a unit, and how long it took."""

    result: R
    seconds: float


@dataclass(frozen=True, slots=True)
class _Call(Generic[R]):
    """A unit as it travels."""

    unit: Callable[..., R]
    threads: int | None
    driver: int

    def __call__(self, *arguments: object) -> _Done[R]:
        if os.getpid() != self.driver:
            _settle(self.threads)
        began = perf_counter()
        result = self.unit(*arguments)
        return _Done(result, round(perf_counter() - began, 3))


class _Work:
    """Units given out, and those still to be."""

    def __init__(
        self,
        crew: Crew,
        called: str,
        unit: Callable[..., Any],
        todo: Iterator[tuple[int, tuple[Any, ...]]],
        done: Callable[[int, Any], None],
    ) -> None:
        self._crew, self._called, self._todo, self._done = crew, called, todo, done
        self._call = _Call(unit, crew.threads, os.getpid())
        self.pending: dict[Future[Any], tuple[int, tuple[Any, ...], int]] = {}

    def fill(self) -> None:
        while len(self.pending) < _AHEAD and (unit := next(self._todo, None)):
            self._submit(*unit, tries=1)

    def _submit(self, number: int, arguments: tuple[Any, ...], tries: int) -> None:
        try:
            future = self._crew.executor.submit(self._call, *arguments)
        except BrokenExecutor as error:
            raise self._lost(error) from error
        self.pending[future] = number, arguments, tries

    def finish(self, future: Future[Any]) -> None:
        number, arguments, tries = self.pending.pop(future)
        try:
            found: _Done[Any] = future.result()
        except BrokenExecutor as error:
            raise self._lost(error) from error
        except (CancelledError, Exception) as error:
            if type(error).__name__ not in _LOST or tries == _TRIES:
                self._crew.note(stage=self._called, unit=number, state="failed", error=str(error))
                if type(error).__name__ in _LOST or isinstance(error, CancelledError):
                    raise self._lost(error) from error
                raise
            self._crew.note(stage=self._called, unit=number, state="retried", tries=tries)
            self._submit(number, arguments, tries + 1)
            return
        self._crew.note(stage=self._called, unit=number, state="done", seconds=found.seconds)
        self._done(number, found.result)

    def _lost(self, error: BaseException) -> ExplGraphError:
        return ExplGraphError(
            f"workers were lost in {self._called} ({type(error).__name__}: {error}); they may have "
            f"been killed, for want of memory or otherwise. {self._crew.how_to_go_on}"
        )


def _finished(pending: list[Future[Any]]) -> list[Future[Any]]:
    """Wait until one is done, at least; return those that are."""
    if all(isinstance(future, Future) for future in pending):
        return list(wait(pending, return_when=FIRST_COMPLETED).done)
    while not (done := [job for job in pending if job.done()]):  # jobs of submitit
        sleep(_POLL)
    return done


class _Here(local):
    """Whether a thread of a worker knows how many others it may start; Numba asks each."""

    settled_in = 0  # the process: one that was forked from it is another


_here = _Here()


def _settle(threads: int | None) -> None:
    """Let a worker use so many threads, once, unless its environment says how many."""
    if _here.settled_in == os.getpid():
        return
    _here.settled_in = os.getpid()
    forked = type(multiprocessing.current_process()).__name__ == "ForkProcess"
    said = os.environ.get("OMP_NUM_THREADS", "")
    wanted = int(said) if said.isdecimal() and int(said) > 0 else threads
    if forked:
        wanted = 1  # PyTorch's threads hang in a child that was forked from them
    if wanted is None:
        return
    import numba
    import torch
    from threadpoolctl import threadpool_limits

    torch.set_num_threads(wanted)
    numba.set_num_threads(min(wanted, vars(numba.config)["NUMBA_NUM_THREADS"]))
    threadpool_limits(wanted)
