"""Files of arrays that are whole or not there, and results of stages that a run can go on from."""

from __future__ import annotations

import json
import logging
import os
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

from .errors import ExplGraphError, require
from .writing import write_bytes

SCHEMA = 1
_KEY = "explgraph"  # one metadata key: safetensors writes several keys in random order

PathLike = str | os.PathLike[str]


def write_arrays(
    path: PathLike, kind: str, arrays: Mapping[str, NDArray[Any]], header: Mapping[str, Any]
) -> None:
    """Write arrays and a JSON header; equal content gives equal bytes.

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
    """
    text = json.dumps({**header, "kind": kind, "schema": SCHEMA}, sort_keys=True)
    tensors = {name: np.ascontiguousarray(array) for name, array in arrays.items()}
    write_bytes(path, save(tensors, metadata={_KEY: text}))


def read_arrays(path: PathLike, kind: str) -> tuple[dict[str, NDArray[Any]], dict[str, Any]]:
    """Read what `write_arrays` wrote.

    Returns
    -------
    The arrays by name, and the header.

    Raises
    ------
    ExplGraphError
        If the file is missing, truncated, foreign, of another kind or of a newer schema.
    """
    source = Path(path)
    require(source.is_file(), f"{source} is not a file")
    try:
        with safe_open(source, framework="numpy") as handle:
            metadata = handle.metadata() or {}
            require(
                _KEY in metadata,
                f"{source} is a safetensors file, but not one that explgraph wrote "
                f"(expected an explgraph {kind} file)",
            )
            header: dict[str, Any] = json.loads(metadata[_KEY])
            _check_header(source, header, kind)
            arrays = {name: handle.get_tensor(name) for name in handle.keys()}  # noqa: SIM118
            del header["kind"], header["schema"]
    except (SafetensorError, json.JSONDecodeError, OSError) as error:
        raise ExplGraphError(
            f"{source} is not a whole explgraph {kind} file ({error}). It may be cut off or of "
            "another format: make it again"
        ) from error
    return arrays, header


@contextmanager
def whole_file(path: PathLike, kind: str) -> Iterator[None]:
    """Turn what goes wrong when a file's arrays or header entries are missing into one error."""
    try:
        yield
    except ExplGraphError:
        raise
    except (KeyError, TypeError, IndexError, ValueError, AttributeError) as error:
        raise ExplGraphError(
            f"{path} is not a whole explgraph {kind} file (missing or wrong: {error}): make it anew"
        ) from error


def _check_header(source: Path, header: object, kind: str) -> None:
    if not isinstance(header, dict):
        raise ExplGraphError(f"{source} has a header that is no JSON object: make it anew")
    found, schema = header.get("kind"), header.get("schema")
    require(found == kind, f"{source} holds {found!r}, expected {kind!r}")
    require(
        isinstance(schema, int) and schema <= SCHEMA,
        f"{source} has schema {schema}, this version reads up to {SCHEMA}: update explgraph",
    )


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

    def load(self, name: str) -> dict[str, NDArray[Any]] | None:
        """Return the arrays of a stage, or None if it has to be computed.

        That is so if it was never saved, if its key is another, or if its file is damaged.
        """
        path = self._path(name)
        if not path.exists():
            return None
        try:
            arrays, header = read_arrays(path, STAGE)
        except ExplGraphError as error:
            _log.warning("a stage of mining is computed again: %s", error)
            return None
        return arrays if header.get("key") == self._key else None

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
