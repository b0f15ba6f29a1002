"""A file that only grows: what was added is on the disk before whoever adds it goes on."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

from explgraph.base.errors import require
from explgraph.base.files import PathLike
from explgraph.base.writing import naming, write_bytes


class GrowingFile:
    """An open file at whose end data are added; one thread at a time.

    If adding fails, the file is as it was: no space left on the disk costs nothing that it holds.

    Parameters
    ----------
    path
        The file; it is made if there is none.
    end
        Where it is to go on, bytes from its beginning: what is behind is cut off.
    """

    def __init__(self, path: PathLike, end: int) -> None:
        self._path, self._end = Path(path), end
        if not self._path.exists():
            write_bytes(self._path, b"")  # its name lasts from now on, too
        with naming(self._path):
            self._handle = os.open(self._path, os.O_RDWR | getattr(os, "O_BINARY", 0))
            self._is_whole = False
            self._cut()

    def add(self, data: bytes) -> None:
        """Add data, and bring them to the disk.

        Raises
        ------
        ExplGraphError
            If they cannot be written, or the file was closed; then nothing was added.
        """
        require(self._handle >= 0, f"{self._path} was closed: open it again")
        with naming(self._path):
            self._cut()
            self._is_whole = False
            try:
                os.lseek(self._handle, self._end, os.SEEK_SET)
                rest = memoryview(data)
                while rest:
                    rest = rest[os.write(self._handle, rest) :]
                os.fsync(self._handle)
            except BaseException:
                with suppress(OSError):  # then it is done before anything else is added
                    self._cut()
                raise
            self._is_whole = True
            self._end += len(data)

    def close(self) -> None:
        """Close it; nothing can be added any more."""
        if self._handle >= 0:
            os.close(self._handle)
            self._handle = -1

    def _cut(self) -> None:
        """Remove what an addition that failed may have left."""
        if not self._is_whole:
            os.ftruncate(self._handle, self._end)
            os.fsync(self._handle)
            self._is_whole = True
