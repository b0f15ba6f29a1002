"""What a run does, how long it still takes, and what took how long.

Whoever does the work says so, as messages are logged: ``with stage("photos", 194) as photos:`` and
then ``photos.reach(32)``. Whoever begins a run decides whether that is shown: `watched`. Where
nobody watches, saying so costs nothing.
"""

from __future__ import annotations

import logging
from bisect import bisect_right
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, nullcontext
from contextvars import ContextVar
from time import perf_counter
from typing import Any

from .showing import Status, shown

Progress = bool | Callable[[int, int], None]
"""Whether progress is shown, or a function that is told how many photos are done, of how many."""

PHOTOS, OTHER = "photos", "other"
CLASSES = "classes"
"""What a stage is called within which all others are gone through once for each class."""

_log = logging.getLogger("explgraph")


class Pace:
    """How long a unit of work takes, from times at which so much was done.

    What came before the first of these times does not count: threads start then, kernels are
    compiled, memory is taken. Of the rest the later half counts, so that a pace that changes is
    followed and one slow step is forgotten.
    """

    def __init__(self) -> None:
        self._told: list[tuple[float, int]] = []

    def tell(self, now: float, done: int) -> None:
        """Note that ``done`` units were done at a time, in seconds."""
        if not self._told or done > self._told[-1][1]:
            self._told.append((now, done))

    def restart(self) -> None:
        """Forget the times: what was done until now says nothing of what follows."""
        self._told = []

    @property
    def seconds(self) -> float | None:
        """For one unit; None while that cannot be told."""
        told = self._told
        if len(told) < 2:
            return None
        (_, first), (now, done) = told[0], told[-1]
        half = bisect_right(told, (first + done) / 2, key=lambda entry: entry[1]) - 1
        then, before = told[min(half, len(told) - 2)]
        return (now - then) / (done - before)

    def left(self, now: float, total: int) -> float | None:
        """Return the seconds until ``total`` units are done, or None."""
        seconds, told = self.seconds, self._told
        if seconds is None:
            return None
        (_, before), (then, done) = told[-2:]
        since = min(now - then, seconds * (done - before))  # a step that takes longer tells nothing
        return max(seconds * (total - done) - since, 0.0)


class Stage:
    """A part of a run.

    Attributes
    ----------
    name
        "photos", "mining".
    total
        How many units of work it has; None if unknown.
    unit
        What these are.
    done
        How many are done.
    note
        What is being done just now; may be "".
    """

    def __init__(self, name: str, total: int | None, unit: str, clock: Callable[[], float]) -> None:
        self.name, self.total, self.unit = name, total, unit
        self.done, self.note = 0, ""
        self.pace, self.began = Pace(), clock()
        self._clock = clock

    def reach(self, done: int) -> None:
        """Say how many units are done by now."""
        self.done = done
        self.pace.tell(self._clock(), done)

    def skip(self, units: int = 1) -> None:
        """Say that some more units need not be done: an earlier run has their results."""
        self.done += units
        self.pace.restart()


class Run:
    """Stages one after the other, or within each other, and their seconds.

    Every second counts for the innermost stage of its time, and for no other: all together they
    are what the run took.

    Parameters
    ----------
    first
        What the time before the first stage counts for; that between stages counts for "other".
    clock
        Gives seconds.
    """

    def __init__(self, first: str = OTHER, clock: Callable[[], float] = perf_counter) -> None:
        self._clock = clock
        self._began = self._since = clock()
        self._stages: list[Stage] = []
        self._first = self._between = first
        self._seconds: dict[str, float] = {}
        self._counts: dict[str, int] = {}
        self._planned: dict[str, float] = {}
        self._shares: dict[str, float] = {}
        self._per_share: float | None = None  # seconds, as last measured
        self.ended = False

    def plan(self, shares: Mapping[str, float]) -> None:
        """Say what stages will come, and how the work is shared out among them: for time left."""
        self._planned = dict(shares)

    @contextmanager
    def stage(self, name: str, total: int | None = None, unit: str = "photos") -> Iterator[Stage]:
        """Do a part of the work; see `stage`."""
        own = Stage(name, total, unit, self._clock)
        self._charge()
        self._begin(name)
        before = self._seconds.get(name, 0.0)
        self._stages.append(own)
        self._between = OTHER
        try:
            yield own
        finally:
            self._charge()
            self._stages.remove(own)
            self._measure(own)
            if unit == "photos":
                self._counts[name] = self._counts.get(name, 0) + own.done
            seconds = self._seconds[name] - before
            if all(outer.name != name for outer in self._stages) and (own.done or seconds > 0.005):
                _log.debug("%s", _ended(own, seconds))

    def _begin(self, name: str) -> None:
        """Take a stage out of the plan, and those before it: their results are there already."""
        if name in self._planned:
            for passed in list(self._planned)[: list(self._planned).index(name) + 1]:
                self._shares[name] = self._planned.pop(passed)

    def _charge(self) -> None:
        now = self._clock()
        name = self._stages[-1].name if self._stages else self._between
        self._seconds[name] = self._seconds.get(name, 0.0) + now - self._since
        self._since = now

    def _measure(self, own: Stage) -> None:
        share, seconds = self._shares.get(own.name), own.pace.seconds
        if share and seconds is not None and own.total:
            self._per_share = seconds * own.total / share

    def status(self) -> Status:
        """Return what is being done now; another thread may ask."""
        now, innermost = self._clock(), self._stages[-1:]
        if not innermost:
            name = "working" if self._between == OTHER else self._between
            return Status(name, now - self._began)
        own, outer = innermost[0], self._stages[0]
        within = ""
        if outer is not own and outer.name == CLASSES:
            within = f"{outer.note} ({outer.done + 1} of {outer.total}): "
        return Status(
            own.name,
            now - own.began,
            own.note,
            own.done,
            own.total,
            own.unit,
            self._left(own, now),
            within,
        )

    def _left(self, own: Stage, now: float) -> float | None:
        """Return the seconds until this stage and those planned after it are done."""
        if own.total is None:
            return None
        self._measure(own)
        share, later = self._shares.get(own.name, 0.0), sum(self._planned.values())
        left = own.pace.left(now, own.total)
        if left is None:
            if not share or self._per_share is None:
                return None
            left = self._per_share * share * (own.total - own.done) / max(own.total, 1)
        return left + later * (self._per_share or 0.0)

    @property
    def seconds(self) -> dict[str, float]:
        """By stage, in the order in which they began, those between stages last."""
        self._charge()
        last = {name: value for name, value in self._seconds.items() if name == OTHER}
        return {name: value for name, value in self._seconds.items() if name != OTHER} | last

    @property
    def has_stages(self) -> bool:
        """Whether anything was done that somebody would wait for."""
        return bool(self._seconds.keys() - {self._first, OTHER})

    @property
    def photos(self) -> int:
        """How many photos the network was shown, those of a background not counted."""
        return self._counts.get(PHOTOS, 0)

    @property
    def photos_per_second(self) -> float:
        """That number by the seconds of that stage."""
        seconds = self._seconds.get(PHOTOS, 0.0)
        return self.photos / seconds if seconds > 0 else 0.0

    def to_json(self) -> dict[str, Any]:
        """Return ``seconds`` by stage and ``photos_per_second``, if there were stages and photos.

        Stages that did not take a hundredth of a second are left out.
        """
        if not self.has_stages:
            return {}
        rounded = {name: round(value, 2) for name, value in self.seconds.items()}
        seconds = {"seconds": {name: value for name, value in rounded.items() if value > 0}}
        pace = {"photos_per_second": round(self.photos_per_second, 2)} if self.photos else {}
        return {**seconds, **pace}

    def summary(self) -> str:
        """Return the same in one line, "194 photos in 8.9 s: loading 2.1, photos 5.1 (38/s)"."""
        seconds = self.seconds
        parts = []
        for name, value in seconds.items():
            pace = f" ({_rate(self.photos_per_second)} photos/s)" if name == PHOTOS else ""
            if pace or value >= 0.05:
                parts.append(f"{name} {value:.1f}{pace}")
        noun = "photo" if self.photos == 1 else "photos"
        done = f"{self.photos} {noun}" if self.photos else "done"
        return f"{done} in {sum(seconds.values()):.1f} s: {', '.join(parts)}"


def _ended(own: Stage, seconds: float) -> str:
    if not own.done:
        return f"{own.name}: {seconds:.2f} s"
    rate = f" ({_rate(own.done / seconds)} {own.unit}/s)" if seconds > 0 else ""
    return f"{own.name}: {own.done} {own.unit} in {seconds:.2f} s{rate}"


def _rate(value: float) -> str:
    return f"{value:.1f}" if value < 10 else f"{value:.0f}"


_active: ContextVar[Run | None] = ContextVar("run", default=None)


def _current() -> Run | None:
    run = _active.get()
    return None if run is None or run.ended else run  # left behind by an iterator nobody closed


@contextmanager
def stage(name: str, total: int | None = None, unit: str = "photos") -> Iterator[Stage]:
    """Do a part of the work of whatever run is watched.

    Parameters
    ----------
    name
        What it is called; stages of one name are one in the summary.
    total
        How many units of work it has, if that is known.
    unit
        What these are.
    """
    run = _current()
    with (
        nullcontext(Stage(name, total, unit, perf_counter))
        if run is None
        else run.stage(name, total, unit) as own
    ):
        yield own


def plan(shares: Mapping[str, float]) -> None:
    """Say how the work is shared out among the stages to come, for the time left of all of them."""
    run = _current()
    if run is not None:
        run.plan(shares)


@contextmanager
def watched(progress: Progress, first: str = OTHER) -> Iterator[Run]:
    """Show what is done within, unless a run is watched already: then it is a part of that one.

    On a terminal there is a bar on standard error; elsewhere a line within the first second, and
    one every few seconds. Work that takes no second is not spoken of. When a run that had stages
    is done, its summary is logged ("explgraph", INFO).

    Parameters
    ----------
    progress
        False: nothing of it is shown, timed or logged, also where a run is watched. A function:
        timed, but not shown.
    first
        What the time before the first stage is called.
    """
    outer = _active.get()
    run = _current()
    if run is not None and progress:
        yield run
        return
    run = Run(first)
    _active.set(run if progress else None)
    try:
        with shown(run.status) if progress and not callable(progress) else nullcontext():
            yield run
    finally:
        run.ended = True
        _active.set(outer)
    if progress and run.has_stages:
        _log.info("%s", run.summary())
