"""The manifest of a spool's folder: which shards there are, and what they hold."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Self

from explgraph.base.errors import require
from explgraph.base.files import SCHEMA, check_kind, whole_file
from explgraph.base.formats.columns import shard_columns
from explgraph.base.formats.headers import ManifestText, SpoolKey
from explgraph.base.json_text import decode_json, typed
from explgraph.base.schema import Columns, Sizes
from explgraph.base.writing import write_bytes

SHARD = "shard"
"""The kind of the files of peaks, and what their names begin with."""
MANIFEST = "manifest.json"


def shard_name(number: int) -> str:
    """Return the name of a shard's file, counted from 0."""
    return f"{SHARD}-{number:05d}.safetensors"


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
        JSON values that decide the peaks: see `explgraph.peaks.spool.writing`.
    shards
        In the order of the source.
    complete
        Whether they cover the whole source.
    known
        What readers need to know of the key.
    """

    key: Mapping[str, Any]
    shards: tuple[Shard, ...] = ()
    complete: bool = False
    known: SpoolKey = field(init=False, repr=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "known", typed(self.key, f"the key of {MANIFEST}", SpoolKey))
        at = 0
        for number, shard in enumerate(self.shards):
            name = shard_name(number)
            require(shard.file == name, f"shard {number} must be {name}, got {shard.file!r}")
            require(
                shard.first == at < shard.next,
                f"{name} must begin with photo {at}, where the one before ends, and have some, got "
                f"{shard.first} to {shard.next}",
            )
            require(
                shard.photos + len(shard.skipped) == shard.next - shard.first,
                f"{name} must tell of {shard.next - shard.first} photos, got {shard.photos} and "
                f"{len(shard.skipped)} skipped",
            )
            at = shard.next
        count = self.known.images.count
        require(at <= count, f"shards of {at} photos, but the key has {count}")
        require(
            self.complete == (0 < at == count),
            f"complete is {self.complete}, but {at} of {count} photos are there",
        )

    def columns(self, shard: Shard) -> tuple[Columns, Sizes]:
        """Return what a shard's arrays are like, and their lengths."""
        sizes = {"N": shard.photos, "K": self.known.n_peaks}
        return shard_columns(self.known.layers, mirror=self.known.mirror), sizes

    def to_bytes(self) -> bytes:
        """Return the manifest's file; equal manifests give equal bytes."""
        values = {
            "complete": self.complete,
            "digest": "",
            "key": self.key,
            "kind": "spool",
            "schema": SCHEMA,
            "shards": [asdict(shard) for shard in self.shards],
        }
        blank = json.dumps(values, sort_keys=True, indent=1).encode()
        digest = hashlib.sha256(blank).hexdigest()
        return blank.replace(b'"digest": ""', f'"digest": "{digest}"'.encode(), 1)

    def having(self, made: Shard, complete: bool | None = None) -> Manifest:
        """Return a manifest with one more shard, or in place of the one of its name."""
        shards = {shard.file: shard for shard in (*self.shards, made)}
        whole = self.complete if complete is None else complete
        return Manifest(self.key, tuple(shards.values()), whole)

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
        text = path.read_bytes()
        with whole_file(path, "spool"):
            values = decode_json(text, "it")
            check_kind(values, "spool")
            said: ManifestText = typed(values, "it", ManifestText)
            shards = tuple(
                Shard(one.file, one.sha256, one.first, one.next, one.photos, tuple(one.skipped))
                for one in said.shards
            )
            found = cls(values["key"], shards, said.complete)
            blank = text.replace(f'"digest": "{said.digest}"'.encode(), b'"digest": ""')
            require(
                said.digest in (None, hashlib.sha256(blank).hexdigest()),
                "its content is not what was written: its digest is another",
            )
            return found


def sha256_of(path: Path) -> str:
    """Return the SHA-256 of a file's bytes."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
