"""What each part of a run takes: processor seconds, memory, bytes that go in and out."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Event, Thread
from time import perf_counter, process_time
from typing import Any

_EVERY = 0.02  # seconds
_SUMS = ("seconds", "cpu_seconds", "read", "written")


class Laps:
    """Measures one lap after the other; those of one name are added up.

    Processor seconds are of all threads of the process, and do not mind who else is at work on the
    machine. Memory is looked at fifty times a second. *Anonymous* is what the process has to hold;
    mapped pages of files are counted apart, for the system drops them when it needs the room.

    Attributes
    ----------
    laps
        By name, what `figures` has.
    """

    def __init__(self) -> None:
        self.laps: dict[str, dict[str, float]] = {}
        self._name, self._before = "", _counters()
        self._stop = Event()
        self._thread = Thread(target=self._watch, daemon=True)

    @contextmanager
    def measured(self) -> Iterator[None]:
        """Measure what happens within."""
        self._thread.start()
        try:
            yield
        finally:
            self.begin("")
            self._stop.set()
            self._thread.join()

    def begin(self, name: str) -> None:
        """End the lap, and begin another; "": what follows does not count."""
        self._look()
        now = _counters()
        if self._name:
            lap = self._lap(self._name)
            for key in _SUMS:
                lap[key] += now[key] - self._before[key]
        self._name, self._before = name, _counters()

    def add(self, key: str, value: float) -> None:
        """Add to a figure of the lap at work."""
        if self._name:
            lap = self._lap(self._name)
            lap[key] = lap.get(key, 0.0) + value

    def figures(self) -> dict[str, dict[str, float]]:
        """Return each lap's seconds, processor seconds, bytes, and most memory held, bytes."""
        return {name: dict(lap) for name, lap in self.laps.items()}

    def _lap(self, name: str) -> dict[str, float]:
        start = {**dict.fromkeys(_SUMS, 0.0), "anonymous": 0.0, "mapped": 0.0}
        return self.laps.setdefault(name, start)

    def _look(self) -> None:
        name, held = self._name, memory()
        if name:
            lap = self._lap(name)
            for key, value in held.items():
                lap[key] = max(lap[key], value)

    def _watch(self) -> None:
        while not self._stop.wait(_EVERY):
            self._look()


def memory() -> dict[str, float]:
    """Return what this process holds now, bytes: anonymous pages, and mapped ones of files."""
    said = _said("status")
    return {
        "anonymous": 1024.0 * int(said["RssAnon"].split()[0]),
        "mapped": 1024.0 * (int(said["RssFile"].split()[0]) + int(said["RssShmem"].split()[0])),
    }


def _counters() -> dict[str, float]:
    said = _said("io")
    return {
        "seconds": perf_counter(),
        "cpu_seconds": process_time(),
        "read": float(said["rchar"]),
        "written": float(said["wchar"]),
    }


def _said(name: str) -> dict[str, Any]:
    lines = Path(f"/proc/self/{name}").read_text().splitlines()
    return dict(line.split(":", 1) for line in lines)
