"""Files that are whole or not there: whatever ends a run, and whoever reads or writes beside it.

A file is written under a temporary name in its own folder, brought to the disk, and renamed.
"""

from __future__ import annotations

import errno
import math
import os
import stat
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from mmap import mmap
from pathlib import Path

import numpy as np

from .arrays import F4
from .errors import ExplGraphError, require
from .temporaries import LOCKS, clear_once, new_file

_MOST_LINKS = 40  # as the kernel's
_PIECE = 1 << 20  # bytes
_LONGEST_NAME = 255  # bytes, for all usual file systems
_REASONS = {
    errno.EACCES: "that is not permitted: give a place that you may write to",
    errno.EDQUOT: "your quota of space is used up: make room, or give another place",
    errno.EFBIG: "it is larger than files may be there (ulimit -f): give another place",
    errno.EEXIST: "a file is where a folder should be: give another place",
    errno.EIO: "the disk failed: try again, or give another place",
    errno.ELOOP: "its links lead in a circle: remove them",
    errno.EMFILE: "too many files are open: close some, or allow more (ulimit -n)",
    errno.ENAMETOOLONG: "its name is too long: give a shorter one",
    errno.ENFILE: "too many files are open on this machine: try again",
    errno.ENOENT: "its folder is gone, or cannot be made: give another place",
    errno.ENOSPC: "no space is left there: make room, or give another place",
    errno.ENOTDIR: "a file is where a folder should be: give another place",
    errno.EPERM: "that is not permitted: give a place that you may write to",
    errno.EROFS: "nothing can be written on its file system: give another place",
}


def write_bytes(path: str | os.PathLike[str], *data: bytes | memoryview) -> None:
    """Write a file, whole, in place of one that may be there.

    Until it is done, and if it fails, the old file is there as it was, for other threads and
    processes, too, and after a loss of power. Any number of them may write the same file: the last
    one to finish stays. A link is followed: what it leads to is replaced, and the link stays, but
    not one that somebody else put into a folder where all may write, such as ``/tmp``. A new file
    has the rights that new files have, one that replaces another has those of the other.

    Parameters
    ----------
    path
        The file; missing folders are made.
    *data
        All that it shall hold, one piece after the other.

    Raises
    ------
    ExplGraphError
        If it cannot be written; the `OSError` is its cause.
    """
    with naming(path):
        target = _target(Path(path))
        target.parent.mkdir(parents=True, exist_ok=True)
        clear_once(target.parent)
        temporary, handle = new_file(target.parent)
        try:
            try:
                _fill(handle, data, target)
                if LOCKS:  # it is locked until it has its name
                    temporary.replace(target)
            finally:
                os.close(handle)
            if not LOCKS:
                temporary.replace(target)
        except BaseException:
            with suppress(OSError):
                temporary.unlink()
            raise
        _bring_to_disk(target.parent)


def room_in(folder: str | os.PathLike[str], shape: tuple[int, ...]) -> F4:
    """Return zeros in a file without a name, which is gone when the last array of it is.

    The system keeps of it in memory what there is room for. Where an open file cannot lose its
    name, the zeros are in memory.

    Raises
    ------
    ExplGraphError
        If there is no space for them.
    """
    size = 4 * math.prod(shape)
    if not LOCKS or size == 0:
        return np.zeros(shape, dtype=np.float32)
    with naming(folder):
        path, handle = new_file(Path(folder))
        try:
            path.unlink()
            for first in range(0, size, _PIECE):  # a hole would be filled later, or kill us
                _write(handle, bytes(min(_PIECE, size - first)))
            held = mmap(handle, size)
        finally:
            os.close(handle)
    return np.frombuffer(held, dtype=np.float32).reshape(shape)


def append_line(path: str | os.PathLike[str], line: str) -> None:
    """Add a line to a text file that tells what was done; a kill may cut the last one off.

    If that fails, nothing is said: what was done is kept elsewhere.
    """
    with suppress(OSError), Path(path).open("a", encoding="utf-8") as file:
        file.write(f"{line}\n")


def check_writable(path: str | os.PathLike[str]) -> None:
    """Check before long work that `write_bytes` will be able to write a file; nothing is made.

    Raises
    ------
    ExplGraphError
        If the path is a folder or no ordinary file, its name too long, it or its folder
        write-protected, or where a file is in the place of a folder.
    """
    with naming(path):
        _check_place(path, _target(Path(path)).parent)


def check_folder_writable(folder: str | os.PathLike[str]) -> None:
    """Check before long work that files can be written into a folder; nothing is made.

    Raises
    ------
    ExplGraphError
        If it is a file, or write-protected, or can neither be found nor made.
    """
    with naming(folder):
        _check_place(folder, Path(folder))


def _check_place(meant: str | os.PathLike[str], folder: Path) -> None:
    nearest = _existing(folder)
    require(
        nearest.is_dir(),
        f"{os.fspath(meant)} could not be written: {nearest} is a file, expected a folder",
    )
    require(
        os.access(nearest, os.W_OK | os.X_OK),
        f"{os.fspath(meant)} could not be written: {nearest} is write-protected. Give a place that "
        "you may write to",
    )


def _fill(handle: int, data: Iterable[bytes | memoryview], target: Path) -> None:
    """Write data with the rights of the file that is to be replaced, and bring them to the disk."""
    with suppress(FileNotFoundError):
        os.chmod(handle, stat.S_IMODE(target.stat().st_mode) & 0o777)
    for piece in data:
        _write(handle, piece)
    os.fsync(handle)


def _write(handle: int, data: bytes | memoryview) -> None:
    rest = memoryview(data)
    while rest:
        rest = rest[os.write(handle, rest) :]


def _bring_to_disk(folder: Path) -> None:
    """Make a rename last, where folders can be opened for that."""
    try:
        handle = os.open(folder, os.O_RDONLY | getattr(os, "O_DIRECTORY", 0))
    except PermissionError:
        return
    try:
        os.fsync(handle)
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.ENOTSUP, errno.EBADF):
            raise
    finally:
        os.close(handle)


def _target(path: Path) -> Path:
    """Return the file that is meant, where links lead to; refuse what cannot be replaced."""
    require("\0" not in str(path), f"{str(path)!r} is no name of a file: give another")
    target = path
    if len(os.fsencode(path.name)) > _LONGEST_NAME:
        raise OSError(errno.ENAMETOOLONG, os.strerror(errno.ENAMETOOLONG))
    for _ in range(_MOST_LINKS):
        if not target.is_symlink():
            break
        _check_link(target)
        target = target.parent / target.readlink()
    else:
        raise OSError(errno.ELOOP, os.strerror(errno.ELOOP))
    require(not target.is_dir(), f"{path} is a folder: give the name of a file in it")
    if os.path.lexists(target):
        require(target.is_file(), f"{path} is no ordinary file: give the name of one")
        require(os.access(target, os.W_OK), f"{path} is write-protected: give another name")
    return target


def _check_link(link: Path) -> None:
    """Refuse links that others may have planted, by the rule of Linux' ``protected_symlinks``."""
    folder, owner = link.parent.stat(), link.lstat().st_uid
    shared = folder.st_mode & stat.S_ISVTX and folder.st_mode & stat.S_IWOTH
    require(
        not shared or owner in (os.geteuid(), folder.st_uid),
        f"{link} is a link that somebody else put into a shared folder: give another name",
    )


def _existing(folder: Path) -> Path:
    """Return a folder, or what is there of the way to it."""
    for place in (folder, *folder.parents):
        if os.path.lexists(place):
            return place
    return folder


@contextmanager
def naming(path: str | os.PathLike[str]) -> Iterator[None]:
    """Turn the errors of a file system into one that says what cannot be written, and what to do.

    These name temporary files.
    """
    try:
        yield
    except OSError as error:
        reason = _REASONS.get(error.errno or 0) or error.strerror or "it failed"
        raise ExplGraphError(f"{os.fspath(path)} could not be written: {reason}") from error
