"""What tells whether a file of arrays is as it was written: a SHA-256 over all that is in it."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
from numpy.typing import NDArray

_PIECE = 1 << 20  # bytes; pieces are hashed beside each other
_THREADS = 4
_FEW = 8  # pieces: fewer are done before threads are there


def content_digest(text: str, arrays: Mapping[str, NDArray[Any]]) -> str:
    """Return a SHA-256 of a header's text and of arrays, in hexadecimal digits.

    It is taken of the text and, for each array in the order of names, of a line of its name, type
    and shape and the SHA-256 of each mebibyte of its values.

    Parameters
    ----------
    text
        Any.
    arrays
        C-contiguous, by name.
    """
    whole = hashlib.sha256(text.encode("utf-8", "surrogatepass"))
    names = sorted(arrays)
    pieces = [list(_pieces(arrays[name])) for name in names]
    flat = [piece for own in pieces for piece in own]
    found = _digests(flat)
    for name, own in zip(names, pieces, strict=True):
        array = arrays[name]
        whole.update(f"\n{name} {array.dtype.name} {list(array.shape)}\n".encode())
        for _ in own:
            whole.update(next(found))
    return whole.hexdigest()


def _pieces(array: NDArray[Any]) -> Iterator[memoryview]:
    values = array.reshape(-1).view(np.uint8).data if array.size else memoryview(b"")
    return (values[start : start + _PIECE] for start in range(0, len(values), _PIECE))


def _digests(pieces: list[memoryview]) -> Iterator[bytes]:
    if sum(len(piece) for piece in pieces) <= _FEW * _PIECE:
        return map(_sha256, pieces)
    with ThreadPoolExecutor(min(_THREADS, len(pieces))) as helpers:  # kept, a fork would lack them
        return helpers.map(_sha256, pieces)


def _sha256(piece: memoryview) -> bytes:
    return hashlib.sha256(piece).digest()
