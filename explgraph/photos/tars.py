"""The members of a tar archive: what each is called, and where its bytes lie.

Archives come from anywhere. Nothing of one is ever written to disk; headers are read one by one,
each of a bounded length, and what is no plain file is left out: links, devices, paths that lead out
of the archive. What makes the rest doubtful is refused: a wrong checksum, a member that reaches
beyond the archive's end, an archive that lacks its end, sparse members (whose bytes are not those
of the file). Read are the layouts of POSIX (ustar, pax), of GNU and the one before both.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable, Iterator
from typing import NamedTuple

from explgraph.base.errors import ExplGraphError, require

from .kinds import SUFFIXES, suffix_of

Read = Callable[[int, int], bytes]
"""Gives some bytes of a file: from where, how many."""

_BLOCK = 512
_ZEROS = bytes(_BLOCK)
_LONGEST = 2**20  # bytes of what an extended header says
_AFTER_END = 2**16  # where a second archive would begin, if two were joined; tar fills up to 10240
_FILES = (b"0", b"\0", b"7")
_LINKS = (b"1", b"2")
_WITHOUT_DATA = (b"1", b"2", b"3", b"4", b"5", b"6")
_EXTENDED = (b"L", b"K", b"x", b"X", b"g")
_COMPRESSED = {
    b"\x1f\x8b": "gzip",
    b"BZh": "bzip2",
    b"\xfd7zXZ\0": "xz",
    b"\x28\xb5\x2f\xfd": "zstd",
}

_log = logging.getLogger("explgraph")


class Member(NamedTuple):
    """A file in an archive.

    Attributes
    ----------
    name
        Its path in the archive, without "./" before it.
    offset, size
        Where its bytes lie, and how many they are.
    """

    name: str
    offset: int
    size: int


class Ahead:
    """Reads a file piece by piece, rising, and somewhat more at once than was asked for.

    So much more that it pays: where what is read lies close together, ever more, up to a limit;
    less again where it lies far apart.

    Parameters
    ----------
    read
        Gives bytes of the file.
    size
        Bytes that the file has.
    least, most
        Bytes that are read at once.
    """

    def __init__(self, read: Read, size: int, least: int, most: int) -> None:
        self.size = size
        self._read, self._least, self._most, self._step = read, least, most, least
        self._first, self._data = 0, b""

    def __call__(self, at: int, count: int) -> bytes:
        """Return ``count`` bytes, which must be there."""
        place = at - self._first
        if place < 0 or place + count > len(self._data):
            gap = place - len(self._data)
            near = min(2 * self._step, self._most)
            self._step = near if gap < self._step else max(self._step // 2, self._least)
            self._data = self._read(at, min(max(count, self._step), self.size - at))
            self._first, place = at, 0
        return self._data[place : place + count]


def tar_members(ahead: Ahead, shown: str, left_out: Counter[str]) -> Iterator[Member]:
    """Yield the plain files of an archive, in its order.

    Parameters
    ----------
    ahead
        Reads it.
    shown
        What it is called, for messages.
    left_out
        Counts what is called a photo and is no plain file, by what it is.

    Raises
    ------
    ExplGraphError
        If it is no tar archive, compressed, cut off, damaged or has sparse members.
    """
    at, told = 0, dict[str, bytes]()
    while True:
        header = _header(ahead, at, shown)
        if header == _ZEROS:
            _note_more(ahead, at, shown)
            return
        kind, size, data = header[156:157], _number(header[124:136]), at + _BLOCK
        if kind in _EXTENDED:
            require(size <= _LONGEST, f"{shown}: a header at byte {at} has {size} bytes: too many")
            _check_end(ahead, data, size, shown)
            told |= _told(kind, ahead(data, size), shown)
            at = data + _padded(size)
            continue
        sparse = kind == b"S" or any(key.startswith("GNU.sparse") for key in told)
        name = _text(told.get("path", _own_name(header)))
        require(not sparse, f"{shown}: {name!r} is stored as a sparse file: pack it without -S")
        if kind in _FILES and "size" in told:
            size = int(told["size"])
        if kind in _WITHOUT_DATA:
            size = 0
        _check_end(ahead, data, size, f"{shown}, at {name!r}")
        told = {}
        member = _plain(name, kind, left_out)
        if member is not None:
            yield Member(member, data, size)
        at = data + _padded(size)


def _header(ahead: Ahead, at: int, shown: str) -> bytes:
    """Return the block at a place, which is a header or, at the end, zeros."""
    if at == 0:
        start = ahead(0, min(_BLOCK, ahead.size))
        for magic, how in _COMPRESSED.items():
            require(
                not start.startswith(magic),
                f"{shown} is compressed ({how}), so that no photo in it can be found by itself: "
                "unpack it to a .tar; photos in it are compressed already",
            )
        require(len(start) == _BLOCK, f"{shown} is no tar archive: it has {len(start)} bytes")
    _check_end(ahead, at, _BLOCK, shown)
    header = ahead(at, _BLOCK)
    if header != _ZEROS:
        require(
            _number(header[148:156]) in _sums(header),
            f"{shown} is no tar archive, or damaged: there is no header at byte {at}",
        )
    return header


def _sums(header: bytes) -> Iterator[int]:
    """Yield what a header's checksum may be: of its bytes, its own place being blank."""
    total = sum(header) - sum(header[148:156]) + 8 * ord(" ")
    yield total
    others = header[:148] + header[156:]
    yield total - 256 * sum(byte >= 128 for byte in others)  # old writers summed signed bytes


def _check_end(ahead: Ahead, at: int, size: int, shown: str) -> None:
    require(
        at + size <= ahead.size,
        f"{shown} is cut off, or damaged: {at + size} bytes are needed, and there are "
        f"{ahead.size}. Copy the archive again",
    )


def _note_more(ahead: Ahead, at: int, shown: str) -> None:
    """Say so if something follows the end of an archive: with ``cat`` two become one."""
    rest = ahead(at, min(_AFTER_END, ahead.size - at))
    if rest.strip(b"\0"):
        _log.warning(
            "%s ends at byte %d of %d: what follows is not read. Archives that were joined are "
            "given one by one",
            shown,
            at,
            ahead.size,
        )


def _number(field: bytes) -> int:
    """Return the number of a header's field: octal digits or, of GNU, binary."""
    if field[0] == 0x80:
        return int.from_bytes(field[1:], "big")
    digits = field.split(b"\0")[0].strip()
    known = digits.isdigit() and not digits.strip(b"01234567")
    # What is none is larger than any archive, and so refused; of an empty field, zero is meant.
    return int(digits, 8) if known else (2**63 if digits else 0)


def _padded(size: int) -> int:
    return -(-size // _BLOCK) * _BLOCK


def _own_name(header: bytes) -> bytes:
    name, prefix = header[:100].split(b"\0")[0], header[345:500].split(b"\0")[0]
    # GNU has times at the place of the prefix.
    return prefix + b"/" + name if header[257:263] == b"ustar\0" and prefix else name


def _text(name: bytes) -> str:
    return name.decode("utf-8", "surrogateescape")  # as names of files


def _told(kind: bytes, data: bytes, shown: str) -> dict[str, bytes]:
    """Return what an extended header says of the next member."""
    if kind in (b"L", b"K"):
        return {"path": data.split(b"\0")[0]} if kind == b"L" else {}
    told = _records(data, shown)
    if kind == b"g":  # of all members
        require(
            not {"path", "size"} & {*told}, f"{shown}: a header gives all members one path or size"
        )
        return {}
    size = told.get("size", b"0")
    require(
        size.isdigit() and len(size) < 20, f"{shown} is damaged: a member's size is {size[:30]!r}"
    )
    return told


def _records(data: bytes, shown: str) -> dict[str, bytes]:
    """Read lines of pax: ``length key=value``, the length being that of the whole line."""
    told: dict[str, bytes] = {}
    at = 0
    while at < len(data) and data[at]:
        number, _, _ = data[at : at + 10].partition(b" ")
        length = int(number) if number.isdigit() else 0
        line = data[at : at + length]
        key, equals, value = line[len(number) + 1 : -1].partition(b"=")
        if not (line.endswith(b"\n") and len(line) == length and equals):
            raise ExplGraphError(f"{shown} is damaged: an extended header cannot be read")
        if key in (b"path", b"size") or key.startswith(b"GNU.sparse"):
            told[_text(key)] = value
        at += length
    return told


def _plain(name: str, kind: bytes, left_out: Counter[str]) -> str | None:
    """Return the path of a plain file, or None for what is none."""
    if kind == b"5" or name.endswith("/"):
        return None
    parts = [part for part in name.split("/") if part not in ("", ".")]
    what = None
    if kind in _LINKS:
        what = "links"
    elif kind not in _FILES:
        what = "devices and the like"
    elif name.startswith("/") or ".." in parts or "\0" in name:
        what = "paths that lead out of the archive"
    if what is None:
        return "/".join(parts)
    if suffix_of(name) in SUFFIXES:
        left_out[what] += 1
    return None
