"""What lies in a spool folder: the manifest and the names of files."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Self

from .errors import require
from .storage import whole_file, write_bytes

SHARD = "shard"
"""The kind of the files of peaks, and what their names begin with."""
STATISTICS = "statistics.safetensors"
MANIFEST = "manifest.json"
_SCHEMA = 1


@dataclass(frozen=True, slots=True)
class Shard:
    """One file of a spool: the peaks of photos that follow each other.

    Attributes
    ----------
    file
        Its name in the folder.
    sha256
        Of its bytes.
    first, next
        It covers the source's images ``first`` to ``next`` - 1.
    photos
        How many of these could be read.
    skipped
        The names of the others.
    """

    file: str
    sha256: str
    first: int
    next: int
    photos: int
    skipped: tuple[str, ...]

    def is_whole(self, folder: Path) -> bool:
        """Tell whether the file is there with the bytes that were written."""
        path = folder / self.file
        return path.is_file() and sha256_of(path) == self.sha256


@dataclass(frozen=True, slots=True)
class Manifest:
    """What a spool folder holds.

    Attributes
    ----------
    key
        JSON values that decide the peaks: see `explgraph.spool`.
    shards
        In the order of the source.
    complete
        Whether they cover the whole source.
    """

    key: Mapping[str, Any]
    shards: tuple[Shard, ...] = ()
    complete: bool = False

    def to_bytes(self) -> bytes:
        """Return the manifest's file; equal manifests give equal bytes."""
        values = {
            "complete": self.complete,
            "key": self.key,
            "kind": "spool",
            "schema": _SCHEMA,
            "shards": [asdict(shard) for shard in self.shards],
        }
        return json.dumps(values, sort_keys=True, indent=1).encode()

    def write(self, folder: Path) -> None:
        """Write the manifest, whole, in place of the one that was there."""
        write_bytes(folder / MANIFEST, self.to_bytes())

    @classmethod
    def read(cls, folder: Path) -> Self:
        """Read the manifest of a folder.

        Raises
        ------
        ExplGraphError
            If there is none, or it is no whole one.
        """
        path = folder / MANIFEST
        require(path.is_file(), f"{folder} is no spool folder: there is no {MANIFEST} in it")
        with whole_file(path, "spool"):
            values = json.loads(path.read_bytes())
            require(
                values["kind"] == "spool" and values["schema"] <= _SCHEMA,
                f"{path} has kind {values['kind']!r} and schema {values['schema']}, expected "
                f"'spool' and at most {_SCHEMA}: update explgraph",
            )
            shards = [
                Shard(**{**entry, "skipped": tuple(entry["skipped"])}) for entry in values["shards"]
            ]
            inside = all(Path(shard.file).name == shard.file for shard in shards)
            require(inside, f"{path} names files outside of its folder: make it anew")
            return cls(values["key"], tuple(shards), values["complete"])


def sha256_of(path: Path) -> str:
    """Return the SHA-256 of a file's bytes."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
