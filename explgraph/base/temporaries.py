"""Temporary files and folders that no killed process leaves for ever.

They have names that nobody can guess and are made new, so that no link planted in a shared folder
is followed. Who made one holds a lock on it. The system takes the lock away when the process ends,
however it ends: what is not locked belongs to nobody any more, and is removed by the next process
that makes one in the same place. Where a file system knows no locks, it stays.
"""

from __future__ import annotations

import os
import re
import secrets
import shutil
import stat
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]

LOCKS = fcntl is not None
_PATTERN = re.compile(r"\.explgraph-[0-9a-f]{16}\.tmp")
_NEW = (  # and never by way of a link
    os.O_RDWR | os.O_CREAT | os.O_EXCL | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_BINARY", 0)
)


def new_file(folder: Path) -> tuple[Path, int]:
    """Make an empty temporary file, and return it open and locked."""
    while True:
        path = _new_name(folder)
        handle = os.open(path, _NEW, 0o666)  # less the umask
        if _locked(handle):
            return path, handle
        os.close(handle)


@contextmanager
def temporary_folder() -> Iterator[Path]:
    """Make a folder for files of ours alone, and remove it with all that is in it afterwards.

    Those that killed processes of our user left are removed before.
    """
    place = Path(tempfile.gettempdir())
    _clear(place, stat.S_ISDIR)
    path, handle = _new_folder(place)
    try:
        yield path
    finally:
        shutil.rmtree(path, ignore_errors=True)
        if handle is not None:
            os.close(handle)


def clear_temporaries(folder: str | os.PathLike[str]) -> None:
    """Remove the temporary files of processes that are no more from a folder.

    Only what `new_file` makes: ordinary files of our user, by their names, which nobody holds a
    lock on.
    """
    _clear(folder, stat.S_ISREG)


_cleared: set[tuple[int, int, int]] = set()


def clear_once(folder: Path) -> None:
    """Clear a folder when a process writes into it for the first time."""
    found = folder.stat()
    place = os.getpid(), found.st_dev, found.st_ino  # a forked process is another
    if place not in _cleared:
        _cleared.add(place)
        clear_temporaries(folder)


def _new_name(folder: Path) -> Path:
    return folder / f".explgraph-{secrets.token_hex(8)}.tmp"


def _new_folder(place: Path) -> tuple[Path, int | None]:
    while True:
        path = _new_name(place)
        path.mkdir(0o700)
        if not LOCKS:
            return path, None
        try:
            handle = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
        except FileNotFoundError:
            continue
        if _locked(handle):
            return path, handle
        os.close(handle)


def _locked(handle: int) -> bool:
    """Lock what is open; False: another process took it for a dead one's before, it is gone."""
    if not LOCKS:
        return True
    with suppress(OSError):  # a file system without locks
        fcntl.flock(handle, fcntl.LOCK_EX)
    return os.fstat(handle).st_nlink > 0


def _clear(folder: str | os.PathLike[str], is_kind: Callable[[int], bool]) -> None:
    if not LOCKS:
        return
    with suppress(OSError), os.scandir(folder) as entries:
        for entry in entries:
            if _PATTERN.fullmatch(entry.name):
                with suppress(OSError):
                    _remove_if_dead(Path(entry), is_kind)


def _remove_if_dead(path: Path, is_kind: Callable[[int], bool]) -> None:
    if not is_kind(path.lstat().st_mode):
        return
    is_folder = is_kind is stat.S_ISDIR
    access = os.O_RDONLY | os.O_DIRECTORY if is_folder else os.O_RDWR | os.O_NONBLOCK
    handle = os.open(path, access | os.O_NOFOLLOW)
    try:
        found = os.fstat(handle)
        if not is_kind(found.st_mode) or found.st_uid != os.geteuid():
            return
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)  # an OSError: somebody is at work
        if os.path.samestat(path.lstat(), found):
            shutil.rmtree(path) if is_folder else path.unlink()
    finally:
        os.close(handle)
