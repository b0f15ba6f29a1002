"""Progress on standard error: a bar on a terminal, elsewhere a line every few seconds."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from threading import Event, Thread
from time import perf_counter
from typing import TYPE_CHECKING, NamedTuple, Protocol

from .text import one_line

if TYPE_CHECKING:
    from rich.progress import Progress

FIRST, EVERY = 0.7, 5.0
"""Seconds until the first line, and from line to line."""
_LOOKS = 0.2  # seconds from look to look at what is done
_MINUTE, _HOUR = 60, 3600


class Status(NamedTuple):
    """What a run does at a time.

    Attributes
    ----------
    name, note
        The stage, and what it does just now.
    seconds
        Since the stage began.
    done, total, unit
        How much of it is done, of how much (None: unknown), counted in what.
    left
        Seconds until all of it is done; None if unknown.
    within
        What comes before: the class, and how many there are.
    """

    name: str
    seconds: float
    note: str = ""
    done: int = 0
    total: int | None = None
    unit: str = "photos"
    left: float | None = None
    within: str = ""

    def __str__(self) -> str:
        doing = self.within + (f"{self.name}, {self.note}" if self.note else self.name)
        if self.total is None:
            return f"{doing}: {duration(self.seconds)}"
        unit = "" if self.unit == self.name else f" {self.unit}"
        count = f"{doing}: {self.done} of {self.total}{unit} in {duration(self.seconds)}"
        return count if self.left is None else f"{count}, {left(self.left)}"


def duration(seconds: float) -> str:
    """Return seconds in words, two figures of them."""
    if seconds < 2 * _MINUTE:
        return f"{seconds:.0f} s"
    if seconds < 2 * _HOUR:
        return f"{seconds / _MINUTE:.0f} min"
    return f"{seconds / _HOUR:.1f} h"


def left(seconds: float) -> str:
    """Return the time left in words."""
    return f"about {duration(max(seconds, 1.0))} left"


class Display(Protocol):
    """Where progress is seen; all calls come one after the other."""

    def look(self, status: Status) -> None:
        """Show what is done."""

    def close(self) -> None:
        """Show nothing any more."""


class Lines:
    """Plain lines, now and then."""

    def __init__(self, clock: Callable[[], float] = perf_counter) -> None:
        self._clock = clock
        self._due = clock() + FIRST

    def look(self, status: Status) -> None:
        """Write a line, if it is time."""
        if self._clock() < self._due:
            return
        self._due = self._clock() + EVERY
        with suppress(OSError, ValueError):  # nobody reads it, or the stream is closed
            sys.stderr.write(f"{one_line(str(status))}\n")
            sys.stderr.flush()

    def close(self) -> None:
        """Leave the lines where they are."""


class Bar:
    """A bar that vanishes when the work is done."""

    def __init__(self) -> None:
        self._bars: Progress | None = None
        self._stage = ""

    def look(self, status: Status) -> None:
        """Move the bar."""
        if self._bars is None:
            self._bars = _bars()
            self._bars.start()
        if status.name != self._stage:
            self._stage = status.name
            for old in self._bars.task_ids:
                self._bars.remove_task(old)
            self._bars.add_task("", total=status.total, count="", left="")
        self._bars.update(
            self._bars.task_ids[0],
            description=one_line(f"{status.within}{status.name} {status.note}"),
            completed=status.done,
            total=status.total,
            count="" if status.total is None else f"{status.done}/{status.total}",
            left="" if status.left is None else left(status.left),
        )

    def close(self) -> None:
        """Remove the bar."""
        if self._bars is not None:
            self._bars.stop()


def _bars() -> Progress:
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        Progress,
        TaskProgressColumn,
        TextColumn,
        TimeElapsedColumn,
    )

    columns = (
        TextColumn("{task.description}", markup=False),  # a layer may be called "[/]"
        BarColumn(),
        TaskProgressColumn(),
        TextColumn("{task.fields[count]}"),
        TimeElapsedColumn(),
        TextColumn("{task.fields[left]}"),
    )
    return Progress(*columns, console=Console(stderr=True), transient=True)


@contextmanager
def shown(status: Callable[[], Status]) -> Iterator[None]:
    """Show from a thread of its own, whatever keeps the caller's busy, what ``status`` says."""
    display: Display = Bar() if sys.stderr.isatty() else Lines()
    ended = Event()

    def look() -> None:
        while not ended.wait(_LOOKS):
            display.look(status())

    thread = Thread(target=look, name="explgraph-progress", daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()
        display.close()
