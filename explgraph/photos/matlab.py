"""MATLAB files of version 5 and 7, as far as annotations need them: structs, cells, text, numbers.

SciPy reads more, but a damaged file can end the process in its compiled code (a change of a few
bytes does), and such files come from anywhere. Here nothing is taken from a place outside of the
file, and how much it may unpack to is bounded.

A file is a head of 128 bytes and then elements: kind and length, 4 bytes each, and that many bytes,
filled up to a multiple of 8. Up to 4 bytes may stand in place of a second half of 8; then kind and
length have 2 bytes each. An array is an element of elements: its class, shape, name, content.
"""

from __future__ import annotations

import math
import zlib
from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np

from explgraph.base.errors import ExplGraphError, require
from explgraph.base.files import PathLike
from explgraph.base.foreign import read_foreign

LARGEST = 2**28
"""Bytes of a file, and of what it unpacks to, at most."""

_HEAD, _DEEPEST = 128, 16
_ARRAY, _PACKED = 14, 15
_NUMBERS = {
    1: "i1",
    2: "u1",
    3: "i2",
    4: "u2",
    5: "i4",
    6: "u4",
    7: "f4",
    9: "f8",
    12: "i8",
    13: "u8",
}
_TEXT = {1: "utf-8", 2: "utf-8", 4: "utf-16", 16: "utf-8", 17: "utf-16", 18: "utf-32"}
_CELL, _STRUCT, _CHARS, _FIRST_NUMERIC, _LAST_NUMERIC = 1, 2, 4, 6, 15


class _Element(NamedTuple):
    kind: int
    data: memoryview


def read_matlab(path: PathLike, name: str) -> Any:  # noqa: ANN401  whatever the file holds
    """Return a variable of a MATLAB file.

    Returns
    -------
    Struct arrays and cells as lists, columns first, of dictionaries and of values; text as a
    string; numbers as an array of the shape they have in MATLAB.

    Raises
    ------
    ExplGraphError
        If the file is missing or of another form, the variable is not in it or of another kind.
    """
    try:
        data = memoryview(read_foreign(path, LARGEST))
        require(bytes(data[126:128]) in (b"IM", b"MI"), "it is no MATLAB file of version 5 or 7")
        order = "<" if bytes(data[126:128]) == b"IM" else ">"
        for element in _elements(data[_HEAD:], order):
            found, value = _variable(element, name, order)
            if found:
                return value
    except ExplGraphError as error:
        raise ExplGraphError(f"{path} cannot be read: {error}") from error
    except (ValueError, IndexError, zlib.error) as error:
        raise ExplGraphError(f"{path} is not a whole MATLAB file ({error})") from error
    raise ExplGraphError(f"{path} has no variable {name!r}")


def _elements(data: memoryview, order: str) -> Iterator[_Element]:
    """Yield what follows each other in some bytes."""
    at = 0
    while at < len(data):
        kind, length = np.frombuffer(data[at : at + 8], f"{order}u4").tolist()
        if kind >> 16:  # both in the first 4 bytes, the content in the others
            kind, length, start, end = kind & 0xFFFF, kind >> 16, at + 4, at + 8
            require(length <= 4, "an element is longer than its place")
        else:
            start = at + 8
            end = start + length + (0 if kind == _PACKED else -length % 8)
        require(start + length <= len(data), "it ends too early")
        yield _Element(kind, data[start : start + length])
        at = end


def _variable(element: _Element, name: str, order: str) -> tuple[bool, Any]:
    """Return whether an element is the variable of that name, and its value."""
    if element.kind == _PACKED:
        unpack = zlib.decompressobj()
        whole = memoryview(unpack.decompress(element.data, LARGEST))
        require(not unpack.unconsumed_tail, f"it unpacks to more than {LARGEST} bytes")
        element = next(_elements(whole, order), _Element(0, whole))
    if element.kind != _ARRAY:
        return False, None
    _, _, called, *_ = _elements(element.data, order)
    is_it = bytes(called.data) == name.encode()
    return is_it, _value(element, order) if is_it else None


def _value(element: _Element, order: str, depth: int = 0) -> Any:  # noqa: ANN401
    require(element.kind == _ARRAY, "an array is missing")
    require(depth < _DEEPEST, f"arrays lie more than {_DEEPEST} deep within each other")
    if not len(element.data):
        return np.zeros((0, 0))
    flags, sizes, _, *content = _elements(element.data, order)
    kind = int(np.frombuffer(flags.data, f"{order}u4")[0]) & 0xFF
    shape = np.frombuffer(sizes.data, f"{order}i4").tolist()
    require(len(shape) >= 2 and min(shape) >= 0, f"an array has the shape {shape}")
    if kind == _CELL:
        require(math.prod(shape) == len(content), "a cell array is not whole")
        return [_value(one, order, depth + 1) for one in content]
    if kind == _STRUCT:
        length, names, *values = content
        fields = _names(names, int(np.frombuffer(length.data, f"{order}i4")[0]))
        require(math.prod(shape) * len(fields) == len(values), "a struct array is not whole")
        rows = (values[i : i + len(fields)] for i in range(0, len(values), len(fields)))
        inner = depth + 1
        return [
            {f: _value(one, order, inner) for f, one in zip(fields, row, strict=True)}
            for row in rows
        ]
    require(
        kind == _CHARS or _FIRST_NUMERIC <= kind <= _LAST_NUMERIC,
        f"arrays of class {kind} are not known: expected structs, cells, text or full arrays",
    )
    return _text(content[0], shape, order) if kind == _CHARS else _array(content[0], shape, order)


def _names(names: _Element, length: int) -> list[str]:
    """Return the names of fields, each of ``length`` bytes with zeros at its end."""
    require(length > 0 and len(names.data) > 0, "a struct has no fields")
    whole = bytes(names.data)
    cells = (whole[i : i + length] for i in range(0, len(whole), length))
    return [cell.split(b"\0")[0].decode("ascii") for cell in cells]


def _text(element: _Element, shape: list[int], order: str) -> str:
    require(shape[0] <= 1 and element.kind in _TEXT, "text must be a single line")
    encoding = _TEXT[element.kind]
    if encoding != "utf-8":
        encoding += "-le" if order == "<" else "-be"
    return bytes(element.data).decode(encoding)


def _array(element: _Element, shape: list[int], order: str) -> np.ndarray[Any, Any]:
    require(element.kind in _NUMBERS, "numbers are missing")
    values = np.frombuffer(element.data, order + _NUMBERS[element.kind])
    return values.reshape(shape, order="F")
