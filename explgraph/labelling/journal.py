"""The journal of a labelling session: a line for each answer, on the disk before it is confirmed.

A line is a JSON object that ends in a check of what stands before it. Revisions count the lines.
Whatever ends a process, the lines that were confirmed are there; of one that was just written there
may be a torn rest at the end, which the next reader drops. Damage anywhere else is an error.
"""

from __future__ import annotations

import json
import logging
import re
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Literal

import msgspec
from msgspec import Meta, Struct

from explgraph.base.errors import ExplGraphError, require
from explgraph.base.files import PathLike
from explgraph.base.json_text import decode_json
from explgraph.base.running.growing import GrowingFile

_log = logging.getLogger("explgraph")

_CHECK = re.compile(rb', "check": "([0-9a-f]{8})"\}$')
_Number = Annotated[float, Meta(ge=-1e9, le=1e9)]
Pair = tuple[_Number, _Number]


class Line(Struct, kw_only=True, frozen=True, omit_defaults=True):
    """One line: a part that was added, an answer, or that the last one is taken back.

    ``revision`` counts lines from 1; ``of`` is, of an undo, the revision that it takes back; ``yx``
    and ``size`` are pixels as in `Annotations`.
    """

    revision: Annotated[int, Meta(ge=1)]
    kind: Literal["part", "here", "right", "hidden", "skipped", "undo"]
    part: str = ""
    image: str = ""
    yx: Pair | None = None
    size: Pair | None = None
    colour: str = ""
    of: int = 0


class Journal:
    """An open journal; one thread at a time.

    Parameters
    ----------
    path
        The file; it is made if there is none.
    writable
        False: it is read alone, and may be written by another process meanwhile.

    Raises
    ------
    ExplGraphError
        If a line is damaged, or the file cannot be read or written.
    """

    def __init__(self, path: PathLike, *, writable: bool = True) -> None:
        self._path = Path(path)
        data = _read(self._path)
        end = data.rfind(b"\n") + 1
        texts, rest = data[:end].splitlines(), data[end:]
        whole = _is_whole(rest)
        if whole:
            texts.append(rest)
        elif rest and writable:
            _log.warning(
                "%s: the last answer was not written whole before the session ended, and so was "
                "not confirmed: it is left out",
                path,
            )
        self._lines = [_line(text, i + 1, self._path) for i, text in enumerate(texts)]
        self._file = GrowingFile(self._path, end) if writable else None
        if whole and self._file is not None:
            self._file.add(rest + b"\n")

    @property
    def lines(self) -> Sequence[Line]:
        """All lines, in order."""
        return self._lines

    def add(self, line: Line) -> None:
        """Write a line, and bring it to the disk.

        Raises
        ------
        ExplGraphError
            If that fails: then the journal is as it was.
        """
        if self._file is None:
            raise ExplGraphError(f"{self._path} was opened for reading alone: open it for writing")
        try:
            self._file.add(_written(line))
        except ExplGraphError as error:
            raise ExplGraphError(
                f"the answer was not kept, and counts for nothing: {error}. Then give it again"
            ) from error
        self._lines.append(line)

    def close(self) -> None:
        """Close the file; nothing can be added any more."""
        if self._file is not None:
            self._file.close()


def _written(line: Line) -> bytes:
    body = json.dumps(msgspec.to_builtins(line)).encode().removesuffix(b"}")
    return body + f', "check": "{zlib.crc32(body):08x}"}}\n'.encode()


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except FileNotFoundError:
        return b""
    except OSError as error:
        raise ExplGraphError(f"{path} cannot be read: {error.strerror}") from error


def _is_whole(text: bytes) -> bool:
    check = _CHECK.search(text)
    return check is not None and int(check[1], 16) == zlib.crc32(text[: check.start()])


def _line(text: bytes, number: int, path: Path) -> Line:
    called = f"{path}, line {number}"
    require(
        _is_whole(text),
        f"{called} is damaged: it is not what was written. Put back a copy of the file, or keep "
        f"only the {number - 1} lines before it and give the other answers again",
    )
    line: Line = decode_json(text[: text.rindex(b", ")] + b"}", called, Line)
    require(
        line.revision == number,
        f"{called} has revision {line.revision}: lines are missing, or are of two files",
    )
    return line
