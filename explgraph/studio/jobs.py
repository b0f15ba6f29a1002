"""Long work that a page asks for: in a thread of its own, seen from outside, and ended at once."""

from __future__ import annotations

import itertools
import logging
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from queue import SimpleQueue
from time import perf_counter
from typing import Any

from explgraph.base.errors import ExplGraphError, lacks_memory
from explgraph.base.progress import Run, watched

from .replies import MISSING, RefusedError, Reply

_KEPT = 16  # jobs that are over: their results are pictures
_log = logging.getLogger("explgraph")


class Left(BaseException):
    """Nobody waits for a job any more: no ``except`` of the work itself catches it."""


class Job:
    """A piece of work.

    Attributes
    ----------
    number
        Which one.
    state
        "waiting", "running", "done", "failed" or "left".
    passes
        How often the network has been run for it.
    result
        What it made, if it is done.
    error
        Why it failed, if it did.
    """

    def __init__(self, number: int, action: Callable[[], Reply]) -> None:
        self.number, self.state, self.passes = number, "waiting", 0
        self.result: Reply | None = None
        self.error = ""
        self._action = action
        self._leave = threading.Event()
        self._run: Run | None = None
        self._began = perf_counter()

    def leave(self) -> None:
        """End it, at the next run of the network at the latest."""
        self._leave.set()

    def stay(self) -> None:
        """Go on with it: somebody waits again."""
        self._leave.clear()

    def check(self) -> None:
        """Raise `Left` if nobody waits any more."""
        if self._leave.is_set():
            raise Left

    def do(self) -> None:
        """Do the work; whatever comes of it is a state."""
        if self._leave.is_set():
            self.state = "left"
            return
        self.state, self._began = "running", perf_counter()
        try:
            with watched(_tell_nobody) as self._run, _counting_passes(self):
                self.result = self._action()
            self.state = "done"
        except Left:
            self.state = "left"
        except Exception as error:
            if not isinstance(error, ExplGraphError):
                _log.exception("the studio's work failed")
            short = "there is not enough memory: end other programs, and try again"
            self.error = short if lacks_memory(error) else str(error) or type(error).__name__
            self.state = "failed"

    def to_json(self) -> dict[str, Any]:
        """Return what a page shows of it."""
        said: dict[str, Any] = {"number": self.number, "state": self.state, "error": self.error}
        if self.state == "running":
            status = None if self._run is None else self._run.status()
            said |= {"seconds": round(perf_counter() - self._began, 1), "passes": self.passes}
            if status is not None and status.total:
                said |= {"done": status.done, "total": status.total, "what": status.name}
        return said


def _tell_nobody(done: int, total: int) -> None:
    pass


@contextmanager
def _counting_passes(job: Job) -> Iterator[None]:
    """Count runs of networks in this thread, and end one before it begins if the job is left."""
    from torch.nn.modules.module import register_module_forward_pre_hook

    own, depth_of = threading.get_ident(), {"inner": None}

    def count(module: object, _: object) -> None:
        if threading.get_ident() != own:
            return
        job.check()
        if depth_of["inner"] is None:
            depth_of["inner"] = module  # type: ignore[assignment]
        job.passes += module is depth_of["inner"]

    handle = register_module_forward_pre_hook(count)
    try:
        yield
    finally:
        handle.remove()


class Jobs:
    """Jobs by number; one is done at a time, and a new one of a kind ends those before it."""

    def __init__(self) -> None:
        self._queue: SimpleQueue[Job] = SimpleQueue()
        # A daemon: who ends the studio does not wait for a report that nobody will read.
        threading.Thread(target=self._work, name="studio", daemon=True).start()
        self._numbers = itertools.count(1)
        self._jobs: dict[int, Job] = {}
        self._last: dict[str, Job] = {}
        self._lock = threading.Lock()

    def _work(self) -> None:
        while True:
            self._queue.get().do()

    def start(self, kind: str, action: Callable[[], Reply], *, once: bool = False) -> Job:
        """Begin a job.

        Parameters
        ----------
        kind
            Jobs of one kind follow each other: the one before is left.
        action
            What it does.
        once
            If there is one of this kind that has not failed, it is that one.
        """
        with self._lock:
            before = self._last.get(kind)
            if once and before is not None and before.state in ("waiting", "running", "done"):
                before.stay()
                return before
            if before is not None:
                before.leave()
            job = Job(next(self._numbers), action)
            self._jobs[job.number] = self._last[kind] = job
            self._forget()
        self._queue.put(job)
        return job

    def _forget(self) -> None:
        """Drop results that nobody has asked for in a while."""
        over = [n for n, job in self._jobs.items() if job not in self._last.values()]
        for number in over[:-_KEPT]:
            del self._jobs[number]

    def get(self, number: int) -> Job:
        """Return a job.

        Raises
        ------
        RefusedError
            If there is none of that number, or it was long ago.
        """
        job = self._jobs.get(number)
        if job is None:
            raise RefusedError(MISSING, f"there is no work {number} any more: begin it again")
        return job

    def result(self, number: int) -> Reply:
        """Return what a job made.

        Raises
        ------
        RefusedError
            If it is not done.
        """
        made = self.get(number).result
        if made is None:
            raise RefusedError(MISSING, f"the work {number} is not done")
        return made

    def close(self) -> None:
        """End what is being done."""
        for job in list(self._jobs.values()):
            job.leave()
