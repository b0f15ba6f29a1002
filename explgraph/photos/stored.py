"""Files of which a piece is read at a time, by whoever has them: threads, other processes."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Protocol

from explgraph.base.errors import ExplGraphError, require
from explgraph.base.foreign import open_regular

from .tars import Ahead


class Stored(Protocol):
    """A file, here or elsewhere. It holds nothing open, so that it can be pickled."""

    @property
    def shown(self) -> str:
        """What it is called in messages."""

    @property
    def size(self) -> int:
        """In bytes."""

    def version(self) -> str | None:
        """Return what tells the file from an earlier one of its name; None: nothing does."""

    def ahead(self) -> AbstractContextManager[Ahead]:
        """Give what goes through the file, once, from its beginning."""

    def piece(self, at: int, count: int) -> bytes:
        """Return ``count`` bytes, from a place on.

        Raises
        ------
        Exception
            Whatever was the matter, also if there are fewer bytes.
        """


@dataclass(frozen=True, slots=True)
class LocalFile:
    """A regular file, as long as it was when it was looked at first.

    It is opened for each piece: that costs some microseconds, as with photos in files of their own,
    and leaves nothing to share among threads.
    """

    path: Path
    size: int

    @classmethod
    def of(cls, path: Path) -> LocalFile:
        """Look at a file.

        Raises
        ------
        ExplGraphError
            If there is none, or it may not be read.
        """
        try:
            with open_regular(path) as file:
                return cls(path.absolute(), os.fstat(file.fileno()).st_size)
        except OSError as error:
            raise ExplGraphError(f"{path} cannot be read: {error}") from error

    @property
    def shown(self) -> str:
        """The path."""
        return str(self.path)

    def version(self) -> str | None:
        """Return when it was changed."""
        return str(self.path.stat().st_mtime_ns)

    @contextmanager
    def ahead(self) -> Iterator[Ahead]:
        """Give what goes through the file, kept open meanwhile."""
        with self._opened() as file:
            yield Ahead(lambda at, count: self._piece(file, at, count), self.size, 1024, 2**16)

    def piece(self, at: int, count: int) -> bytes:
        """Return ``count`` bytes, from a place on."""
        with self._opened() as file:
            return self._piece(file, at, count)

    @contextmanager
    def _opened(self) -> Iterator[BinaryIO]:
        with open_regular(self.path) as file:
            size = os.fstat(file.fileno()).st_size
            require(
                size == self.size,
                f"{self.path} has changed since it was opened: it has {size} bytes, before "
                f"{self.size}",
            )
            yield file

    def _piece(self, file: BinaryIO, at: int, count: int) -> bytes:
        file.seek(at)
        data = file.read(count)
        require(len(data) == count, f"{self.path} became shorter while it was read")
        return data
