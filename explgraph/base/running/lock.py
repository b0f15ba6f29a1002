"""One run at a time in a folder: a lock that file systems without locks know as well.

The lock is a file that is linked into its place whole, so that there is one or none. It says which
process of which machine holds it, and is touched every few seconds. A lock is stale, and taken
over, if its process is gone, as the same machine can tell; or, seen from another machine, if nobody
has touched it for a while, by the clock of the file system alone.
"""

from __future__ import annotations

import json
import os
import secrets
import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from threading import Event, Thread
from typing import Any

from explgraph.base.errors import ExplGraphError
from explgraph.base.files import PathLike
from explgraph.base.temporaries import new_file

LOCK = "driver.lock"
BEAT = 10.0
"""Seconds between touches."""
DEAD = 120.0
"""Seconds without one after which the holder, on another machine, is taken for dead."""


@contextmanager
def only_run(folder: PathLike) -> Iterator[None]:
    """Hold a folder's lock, within; the folder is made if there is none.

    Raises
    ------
    ExplGraphError
        If another run holds it: the message says which.
    """
    path = Path(folder) / LOCK
    own = _identity()
    path.parent.mkdir(parents=True, exist_ok=True)
    _acquire(path, own)
    stop = Event()
    beating = Thread(target=_beat, args=(path, stop), name="explgraph-lock", daemon=True)
    beating.start()
    try:
        yield
    finally:
        stop.set()
        beating.join()
        if _read(path) == own:
            with suppress(OSError):
                path.unlink()


def _identity() -> dict[str, Any]:
    return {
        "host": socket.gethostname(),
        "pid": os.getpid(),
        "started": _started(os.getpid()),
        "token": secrets.token_hex(8),
    }


def _started(pid: int) -> str:
    """Return when a process began, in ticks since the machine did: numbers are used again."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return ""
    return stat.rpartition(")")[2].split()[19]


def _acquire(path: Path, own: dict[str, Any]) -> None:
    with _draft(path.parent, json.dumps(own, sort_keys=True).encode()) as draft:
        for _ in range(3):
            if _put(draft, path):
                return
            held = _read(path)
            if held is not None and not _is_stale(path, held, draft):
                raise ExplGraphError(
                    f"{path.parent} is in use by another run (process {held.get('pid')} on "
                    f"{held.get('host')}): wait until it is done, or give another folder. If you "
                    f"know that it is gone, remove {path}"
                )
            _take_away(path, held)
    raise ExplGraphError(f"{path} could not be had: other runs want it, too. Try again")


@contextmanager
def _draft(folder: Path, data: bytes = b"") -> Iterator[Path]:
    """Make a temporary file, which the next run removes if this one is killed."""
    path, handle = new_file(folder)
    try:
        os.write(handle, data)
        yield path
    finally:
        with suppress(OSError):
            path.unlink()
        os.close(handle)


def _put(draft: Path, path: Path) -> bool:
    """Give a file another name, unless there is one of it."""
    try:
        os.link(draft, path)
    except FileExistsError:
        return False
    except OSError:  # a file system without links
        try:
            handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666)
        except FileExistsError:
            return False
        with os.fdopen(handle, "wb") as file:
            file.write(draft.read_bytes())
    return True


def _read(path: Path) -> dict[str, Any] | None:
    """Return who holds a lock; None: nobody does, or it is damaged."""
    try:
        found = json.loads(path.read_bytes())
    except (OSError, ValueError):
        return None
    return found if isinstance(found, dict) else None


def _is_stale(path: Path, held: dict[str, Any], draft: Path) -> bool:
    if held.get("host") == socket.gethostname():
        pid = held.get("pid")
        return not (isinstance(pid, int) and _is_alive(pid, held.get("started")))
    try:
        os.utime(draft)  # now, as the file system has it
        return draft.stat().st_mtime - path.stat().st_mtime > DEAD
    except OSError:
        return False


def _is_alive(pid: int, started: object) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except OSError:
        pass
    return started in ("", None, _started(pid))


def _take_away(path: Path, held: dict[str, Any] | None) -> None:
    """Remove a stale lock; another one, which came meanwhile, is put back."""
    with _draft(path.parent) as aside, suppress(OSError):
        path.replace(aside)
        if _read(aside) != held:
            _put(aside, path)


def _beat(path: Path, stop: Event) -> None:
    while not stop.wait(BEAT):
        with suppress(OSError):
            os.utime(path)
