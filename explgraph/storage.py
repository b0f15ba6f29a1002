"""Files without pickle: safetensors with one JSON header, written whole or not at all."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

from .errors import ExplGraphError, require

SCHEMA = 1
_KEY = "explgraph"  # one metadata key: safetensors writes several keys in random order

PathLike = str | os.PathLike[str]


def write_bytes(path: PathLike, data: bytes) -> None:
    """Write a file under a temporary name beside it, then rename: never half written."""
    target = Path(path)
    target.parent.mkdir(parents=True, exist_ok=True)
    temporary = target.with_name(f".{target.name}.{os.getpid()}.tmp")
    try:
        temporary.write_bytes(data)
        temporary.replace(target)
    finally:
        temporary.unlink(missing_ok=True)


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
