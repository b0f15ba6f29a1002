"""An executor on Ray: actors that keep the network, on a GPU each if they are to."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable
from concurrent.futures import BrokenExecutor, Executor, Future
from functools import partial
from threading import Lock
from typing import Any, TypeVar

from explgraph.base.errors import import_extra, require

from .pools import limit_threads

R = TypeVar("R")


def ray_executor(
    workers: int = 1,
    *,
    num_cpus: float = 1,
    num_gpus: float = 0,
    max_restarts: int = 3,
    max_task_retries: int = 3,
) -> RayExecutor:
    """Return an executor of Ray actors.

    What a unit of work needs once, such as the network, stays in its actor from unit to unit. Join
    a cluster before, by ``ray.init(address)``; else Ray starts one on this machine.

    Parameters
    ----------
    workers
        Actors: no more than the cluster has room for. One that waits for room would take that of
        another that died, which could not be started anew then.
    num_cpus, num_gpus
        Of each one. A worker uses as many threads as it has CPUs.
    max_restarts, max_task_retries
        How often an actor that died is started anew, and how often a unit that died with it is
        given out again. Ray's own defaults are 0.

    Raises
    ------
    ExplGraphError
        If Ray is not installed, or there are to be no workers.

    Examples
    --------
    >>> from explgraph.engines import ray_executor
    >>> with ray_executor(4, num_gpus=1) as executor:  # doctest: +SKIP
    ...     graph = eg.mine(net, "photos/zebra", spool="/shared/work", executor=executor)
    """
    require(workers >= 1, f"there must be at least 1 worker, got {workers}")
    ray = import_extra("ray", "ray")
    make = ray.remote(_Worker).options(
        num_cpus=num_cpus,
        num_gpus=num_gpus,
        max_restarts=max_restarts,
        max_task_retries=max_task_retries,
    )
    threads = max(1, int(num_cpus))
    return RayExecutor([make.remote(threads) for _ in range(workers)], ray.kill)


class _Worker:
    """Does units, one after the other."""

    def __init__(self, threads: int) -> None:
        limit_threads(threads)

    def do(self, fn: Callable[..., R], args: tuple[Any, ...], kwargs: dict[str, Any]) -> R:
        """Return what a unit does."""
        return fn(*args, **kwargs)


class RayExecutor(Executor):
    """Gives each actor one unit at a time: whoever is free takes the next.

    An actor is given none before it has begun: there may be no room for it in the cluster yet.

    Parameters
    ----------
    actors
        Ray's handles.
    kill
        Ends one.
    """

    def __init__(self, actors: list[Any], kill: Callable[[Any], object]) -> None:
        self._actors, self._kill = list(actors), kill
        self._idle: list[Any] = []
        self._todo: deque[tuple[Future[Any], tuple[Any, ...]]] = deque()
        self._lock = Lock()
        for actor in actors:
            begun = actor.do.remote(os.getpid, (), {}).future()
            begun.add_done_callback(partial(self._freed, actor))

    def submit(self, fn: Callable[..., R], /, *args: Any, **kwargs: Any) -> Future[R]:  # noqa: ANN401
        """Give out a unit.

        Raises
        ------
        BrokenExecutor
            If no actor is left.
        """
        future: Future[R] = Future()
        with self._lock:
            if not self._actors:
                raise BrokenExecutor("all actors have died")
            self._todo.append((future, (fn, args, kwargs)))
        self._give_out()
        return future

    def _give_out(self) -> None:
        while True:
            with self._lock:
                if not self._todo or not self._idle:
                    return
                future, unit = self._todo.popleft()
                if not future.set_running_or_notify_cancel():
                    continue
                actor = self._idle.pop()
            answer = actor.do.remote(*unit).future()
            answer.add_done_callback(partial(self._take, actor, future))

    def _take(self, actor: Any, future: Future[Any], answer: Future[Any]) -> None:  # noqa: ANN401
        self._freed(actor, answer)
        error = answer.exception()
        if error is None:
            future.set_result(answer.result())
        else:
            future.set_exception(getattr(error, "cause", None) or error)

    def _freed(self, actor: Any, answer: Future[Any]) -> None:  # noqa: ANN401
        """Give an actor that has answered another unit, unless it has died."""
        left: list[Future[Any]] = []
        with self._lock:
            if actor not in self._actors:
                return  # ended by `shutdown`
            if type(answer.exception()).__name__ in ("ActorDiedError", "RayActorError"):
                self._actors.remove(actor)  # for good: Ray has started it anew as often as it may
            else:
                self._idle.append(actor)
            if not self._actors:
                left = [waiting for waiting, _ in self._todo]
                self._todo.clear()
        for waiting in left:
            if waiting.set_running_or_notify_cancel():
                waiting.set_exception(BrokenExecutor("all actors have died"))
        self._give_out()

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """End all actors; what they are doing is lost, what was not begun is cancelled."""
        with self._lock:
            todo, self._todo = list(self._todo), deque()
            actors, self._actors, self._idle = self._actors, [], []
        for future, _ in todo:
            future.cancel()
        for actor in actors:
            self._kill(actor)
