"""Files of arrays that are whole or not there, and results of stages that a run can go on from."""

from __future__ import annotations

import json
import logging
import os
import re
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open

from .digests import content_digest
from .errors import ExplGraphError, require
from .formats.kinds import FORMATS, Format
from .json_text import decode_json, typed
from .schema import Columns, Sizes, check_layout, check_values
from .writing import write_bytes

SCHEMA = 2
"""Of files that are written. Those of 1 need not have a digest; all others do, or are damaged."""
_DIGEST = "digest"
_KEY = "explgraph"  # one metadata key: safetensors writes several keys in random order

PathLike = str | os.PathLike[str]
Tensors = Any
"""An open safetensors file."""


def write_arrays(
    path: PathLike, kind: str, arrays: Mapping[str, NDArray[Any]], header: Mapping[str, Any]
) -> None:
    """Write arrays and a JSON header, and a digest of both; equal content gives equal bytes.

    Parameters
    ----------
    path
        The file; missing folders are made.
    kind
        What it holds: "graph", "matches", "peaks".
    arrays
        By name. Any memory order: safetensors itself scrambles arrays that are not C-contiguous.
    header
        JSON values, without times or paths.

    Raises
    ------
    ExplGraphError
        If the header holds NaN or an infinity, which JSON has no word for.
    """
    tensors = {name: np.ascontiguousarray(array) for name, array in arrays.items()}
    said = {**header, "kind": kind, "schema": SCHEMA, _DIGEST: ""}
    try:
        text = json.dumps(said, sort_keys=True, allow_nan=False)
    except ValueError as error:
        raise ExplGraphError(f"the header of a {kind} cannot be written ({error})") from error
    said[_DIGEST] = content_digest(text, tensors)
    text = json.dumps(said, sort_keys=True)
    write_bytes(path, *_pieces(tensors, text))


def _pieces(tensors: Mapping[str, NDArray[Any]], text: str) -> list[bytes | memoryview]:
    """Return a safetensors file piece by piece: its own `save` would hold all of it once more."""
    names = sorted(tensors, key=lambda name: (_ORDER.index(tensors[name].dtype.name), name))
    said: dict[str, Any] = {"__metadata__": {_KEY: text}}
    end = 0
    for name in names:
        array = tensors[name]
        place = [end, end := end + array.nbytes]
        kind = next(kind for kind, dtype in _DTYPES.items() if dtype == array.dtype.name)
        said[name] = {"dtype": kind, "shape": list(array.shape), "data_offsets": place}
    head = json.dumps(said, separators=(",", ":"), ensure_ascii=False).encode()
    head += b" " * (-len(head) % 8)
    held = [tensors[name].reshape(-1).view(np.uint8).data for name in names if tensors[name].size]
    return [len(head).to_bytes(8, "little") + head, *held]


def read_arrays(
    path: PathLike,
    kind: str,
    columns: tuple[Columns, Sizes] | None = None,
    *,
    mapped: bool = False,
) -> tuple[dict[str, NDArray[Any]], dict[str, Any]]:
    """Read what `write_arrays` wrote.

    Before any array is read, the header and the arrays' names, types and shapes are checked by what
    `FORMATS` says of the kind. Their values are checked by who makes something of them.

    Parameters
    ----------
    path
        The file.
    kind
        What it has to hold.
    columns
        Of a kind whose files do not say themselves what arrays they hold: these, and what is known
        of lengths.
    mapped
        Leave the arrays in the file, which is read where they are: they take memory only as far as
        the system has it to spare. Read-only.

    Returns
    -------
    The arrays by name, and the header.

    Raises
    ------
    ExplGraphError
        If the file is missing, truncated, foreign, of another kind or of a newer schema, is not as
        its kind has to be, or is not as it was written.
    """
    with opened(path, kind, columns) as file:
        if mapped:
            arrays = _mapped(Path(path), file.tensors, file.names)
        else:
            arrays = {name: file.tensors.get_tensor(name) for name in file.names}
        file.check_digest(arrays)
    leftovers = FORMATS[kind].leftovers if kind in FORMATS else ()
    return {name: array for name, array in arrays.items() if name not in leftovers}, file.header


@dataclass(frozen=True, slots=True)
class OpenFile:
    """A file whose header and layout are as its kind has to be, and whose arrays are not read yet.

    Attributes
    ----------
    tensors
        The open safetensors file.
    names
        Of its arrays.
    header
        JSON values.
    text
        Of the header, without its digest.
    digest
        None in files of earlier versions.
    """

    tensors: Tensors
    names: tuple[str, ...]
    header: dict[str, Any]
    text: str
    digest: object

    def check_digest(self, arrays: Mapping[str, NDArray[Any]]) -> None:
        """Raise `ExplGraphError` unless header and arrays are what was written."""
        known = self.digest is None or content_digest(self.text, arrays) == self.digest
        require(known, "its content is not what was written: its digest is another")


@contextmanager
def opened(
    path: PathLike, kind: str, columns: tuple[Columns, Sizes] | None = None
) -> Iterator[OpenFile]:
    """Open a file and check all of it that can be without reading an array, as `read_arrays` does.

    Raises
    ------
    ExplGraphError
        As `read_arrays`, also for what goes wrong while the file is open.
    """
    source = Path(path)
    require(source.is_file(), f"{source} is not a file")
    try:
        with whole_file(source, kind), safe_open(source, framework="numpy") as tensors:
            yield _checked(tensors, kind, columns)
    except (SafetensorError, OSError) as error:
        raise ExplGraphError(
            f"{source} is not a whole explgraph {kind} file ({error}). It may be cut off or of "
            "another format: make it again"
        ) from error


def _checked(tensors: Tensors, kind: str, columns: tuple[Columns, Sizes] | None) -> OpenFile:
    text = (tensors.metadata() or {}).get(_KEY)
    if text is None:
        raise ExplGraphError("it is a safetensors file, but not one that explgraph wrote")
    header = decode_json(_without_infinity(text).encode(), "its header")
    check_kind(header, kind)
    form = FORMATS.get(kind, Format(Struct))
    said = typed(header, "its header", form.header)
    if columns is None and form.columns is not None:
        columns = form.columns(said)
    names = tuple(tensors.keys())
    layout = {name: _layout(tensors, name) for name in names}
    if columns is not None:
        check_layout(layout, *columns, over=form.leftovers)
    digest = header.pop(_DIGEST, None)
    del header["kind"], header["schema"]
    require(digest is not None or not form.sealed, "it is of an earlier version: it has no digest")
    blank = text.replace(f'"{_DIGEST}": "{digest}"', f'"{_DIGEST}": ""')
    return OpenFile(tensors, names, header, blank, digest)


def _without_infinity(text: str) -> str:
    """Return a header that is JSON: earlier versions wrote this of parts that are always visible.

    No text within it can look like this: its quotes would be escaped.
    """
    return text.replace('"visible_from": -Infinity', '"visible_from": null')


_DTYPES = {
    "F16": "float16",
    "F32": "float32",
    "F64": "float64",
    "I8": "int8",
    "I32": "int32",
    "I64": "int64",
    "U8": "uint8",
}
_ORDER = ("int64", "float64", "float32", "int32", "float16", "int8", "uint8")
"""Of arrays in a file: as safetensors sorts their types."""


def _layout(tensors: Tensors, name: str) -> tuple[str, tuple[int, ...]]:
    """Return an array's type and shape, as a file tells without reading it."""
    held = tensors.get_slice(name)
    dtype = _DTYPES.get(held.get_dtype())
    if dtype is None:
        raise ExplGraphError(f"{name} has the type {held.get_dtype()}, which is none of ours")
    return dtype, tuple(held.get_shape())


def _mapped(path: Path, tensors: Tensors, names: Iterable[str]) -> dict[str, NDArray[Any]]:
    """Return arrays as they lie in a file: its header, after its length, says where."""
    with path.open("rb") as file:
        length = int.from_bytes(file.read(8), "little")
        places = decode_json(file.read(length), "its header")
    result = {}
    for name in names:
        dtype, shape = _layout(tensors, name)
        first, last = places[name]["data_offsets"]
        result[name] = (
            np.memmap(path, dtype, "r", 8 + length + first, shape)
            if last > first
            else np.zeros(shape, dtype)
        )
    return result


@contextmanager
def whole_file(path: PathLike, kind: str) -> Iterator[None]:
    """Let what is wrong with a file say which file it is."""
    try:
        yield
    except ExplGraphError as error:
        raise ExplGraphError(
            f"{path} is not a whole explgraph {kind} file: {error}. Make it anew"
        ) from error


def check_kind(header: object, kind: str) -> None:
    """Raise `ExplGraphError` unless a header is of this kind, and of a version that is read."""
    if not isinstance(header, dict):
        raise ExplGraphError("its header is no JSON object")
    found, schema = header.get("kind"), header.get("schema")
    require(found == kind, f"it holds {found!r}, expected {kind!r}")
    require(
        type(schema) is int and 1 <= schema <= SCHEMA,
        f"it has schema {schema}, this version reads up to {SCHEMA}: update explgraph",
    )
    require(schema == 1 or header.get(_DIGEST) is not None, "its digest is missing")


STAGE = "stage"
"""The kind of the files, and what their names begin with."""

_log = logging.getLogger("explgraph")


MOST_LOST = 5.0
"""Seconds of work after which what there is of a long stage is kept, whole or not."""
_PATIENCE = 30  # times what writing takes


class Overdue:
    """Whether it is time to keep what there is: `MOST_LOST` after it was kept last.

    Or later, so that writing takes a thirtieth of the time at most.
    """

    def __init__(self) -> None:
        self._due = perf_counter() + MOST_LOST

    def __bool__(self) -> bool:
        return perf_counter() >= self._due

    @contextmanager
    def kept(self) -> Iterator[None]:
        """Keep it, within."""
        start = perf_counter()
        yield
        now = perf_counter()
        self._due = now + max(MOST_LOST, _PATIENCE * (now - start))


class Stages:
    """Finished stages in a folder, one file for each; those of another computation do not count.

    Parameters
    ----------
    folder
        Where the files ``stage-<name>.safetensors`` lie; it is made when the first is saved.
    key
        JSON values that decide the results: what goes in, the settings, the seed, the versions.
    """

    def __init__(self, folder: PathLike, key: Mapping[str, Any]) -> None:
        self._folder = Path(folder)
        self._key = json.loads(json.dumps(key))  # as it comes back from a file: tuples are lists

    def load(self, name: str, columns: Columns, sizes: Sizes) -> dict[str, NDArray[Any]] | None:
        """Return the arrays of a stage, or None if it has to be computed.

        That is so if it was never saved, if its key is another, or if its file is damaged or is not
        what ``columns``, with the lengths that are known, say of this stage.
        """
        path = self._path(name)
        if not path.exists():
            return None
        try:
            with opened(path, STAGE) as file:
                if file.header.get("key") != self._key:
                    return None
            arrays, _ = read_arrays(path, STAGE, (columns, sizes))
            with whole_file(path, STAGE):
                for array, column in columns.items():
                    check_values(array, arrays[array], column, sizes)
        except ExplGraphError as error:
            _log.warning("a stage of mining is computed again: %s", error)
            return None
        return arrays

    def save(self, name: str, arrays: Mapping[str, NDArray[Any]]) -> None:
        """Keep the arrays of a finished stage, in place of what was there."""
        write_arrays(self._path(name), STAGE, arrays, {"key": self._key})

    def drop(self, name: str) -> None:
        """Remove a stage, if it is there: something else holds its result by now."""
        self._path(name).unlink(missing_ok=True)

    def _path(self, name: str) -> Path:
        require(
            re.fullmatch(r"[a-z0-9][a-z0-9.-]*", name) is not None,
            f"a stage's name has small letters, digits, '.' and '-', got {name!r}",
        )
        return self._folder / f"{STAGE}-{name}.safetensors"
