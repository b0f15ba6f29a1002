"""Files that others made: regular ones alone, of a bounded size, and the numbers in their text.

Who opens a named pipe waits until somebody writes into it, and a device such as ``/dev/zero`` never
ends. Both may stand behind a link with an innocent name, so what counts is what was opened.
"""

from __future__ import annotations

import math
import os
import re
import stat
from typing import BinaryIO
from xml.etree import ElementTree

from .errors import ExplGraphError, require
from .files import PathLike

LARGEST = 2**31
"""Bytes of a file that is read as a whole, at most: the largest COCO files have about half."""
LARGEST_XML = 2**26
"""Bytes of a file, at most: a tree takes many times its text."""

_PSEUDO = 2**20  # bytes of a file that does not know its size, such as those in /proc
_NUMBER = re.compile(r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?")
# A pipe is opened without waiting for its other end, and no terminal becomes ours. Windows has
# neither, and would translate line ends.
_FLAGS = os.O_RDONLY | sum(
    getattr(os, name, 0) for name in ("O_NONBLOCK", "O_NOCTTY", "O_CLOEXEC", "O_BINARY")
)
_KINDS = (
    (stat.S_ISDIR, "a folder"),
    (stat.S_ISFIFO, "a named pipe"),
    (stat.S_ISSOCK, "a socket"),
    (stat.S_ISCHR, "a device"),
    (stat.S_ISBLK, "a device"),
)


def open_regular(path: PathLike) -> BinaryIO:
    """Open a file for reading, if it is a regular one: links count as what they lead to.

    Raises
    ------
    ExplGraphError
        If it is a folder, a named pipe, a socket or a device; at once.
    OSError
        If there is none, or it may not be read.
    """
    number = os.open(path, _FLAGS)
    try:
        mode = os.fstat(number).st_mode
        kind = next((name for holds, name in _KINDS if holds(mode)), "something else")
        require(
            stat.S_ISREG(mode), f"{os.fspath(path)} is {kind}, not a file: expected a regular file"
        )
        return os.fdopen(number, "rb")
    except BaseException:
        os.close(number)
        raise


def read_foreign(path: PathLike, most: int = LARGEST) -> bytes:
    """Return the bytes of a regular file.

    Parameters
    ----------
    path
        The file.
    most
        How many bytes it may have.

    Raises
    ------
    ExplGraphError
        If it is missing, may not be read, is no regular file or is larger.
    """
    try:
        with open_regular(path) as file:
            size = os.fstat(file.fileno()).st_size
            require(size <= most, f"{os.fspath(path)} has {size} bytes: expected at most {most}")
            room = max(size, _PSEUDO)
            data = file.read(room + 1)
    except OSError as error:
        what = (
            "does not exist"
            if isinstance(error, FileNotFoundError)
            else f"cannot be read ({error})"
        )
        raise ExplGraphError(f"{os.fspath(path)} {what}") from error
    require(len(data) <= room, f"{os.fspath(path)} grew while it was read: read it again")
    return data


def read_text(path: PathLike) -> str:
    """Return the text of a regular file in UTF-8; a byte order mark before it is left out.

    Carriage returns stay: a table may have one within a name.

    Raises
    ------
    ExplGraphError
        As `read_foreign`, or if it is in another encoding.
    """
    try:
        return read_foreign(path).decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise ExplGraphError(f"{os.fspath(path)} is not a UTF-8 text file ({error})") from error


class _NoEntities(ElementTree.TreeBuilder):
    """Refuses document types before their entities, which may be bombs, stand for anything."""

    def doctype(self, name: str, *_: str | None) -> None:
        """Raise `ExplGraphError`."""
        raise ExplGraphError(f"it declares a document type ({name}), which such files do not")


def read_xml(path: PathLike) -> ElementTree.Element:
    """Return the root of a regular XML file without a document type.

    Raises
    ------
    ExplGraphError
        If it is missing, no regular file, larger than `LARGEST_XML`, declares a document type, is
        in an unknown encoding or no whole XML.
    """
    text = read_foreign(path, LARGEST_XML)
    try:
        return ElementTree.fromstring(text, ElementTree.XMLParser(target=_NoEntities()))
    except (ElementTree.ParseError, LookupError, ValueError) as error:  # the latter: encodings
        raise ExplGraphError(f"{path} is not a whole XML file ({error})") from error


def decimal(text: str) -> float:
    r"""Return the number that a text is, in ASCII; NaN where it is none or not finite.

    Python itself takes digits of all scripts, underlines between them, and "nan".

    >>> decimal(" -1.5e2 "), decimal("1_0"), decimal("\uff11"), decimal("1e999")
    (-150.0, nan, nan, nan)
    """
    text = text.strip(" \t\r\n")
    value = float(text) if _NUMBER.fullmatch(text) else math.nan
    return value if math.isfinite(value) else math.nan
