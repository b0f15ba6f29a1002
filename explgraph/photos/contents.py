"""What archives hold, kept in a folder: who opens them again need not go through them."""

from __future__ import annotations

import hashlib
import json
import logging
from array import array
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from explgraph.base.errors import ExplGraphError, require
from explgraph.base.files import PathLike, read_arrays, write_arrays
from explgraph.base.json_text import typed

from .stored import Stored

ARCHIVE = "archive"
"""The kind of the files of what an archive holds, and what their names begin with."""
_RULES = 1  # raised when other photos are taken of an archive

_log = logging.getLogger("explgraph")
_folder: ContextVar[Path | None] = ContextVar("folder", default=None)


@dataclass(frozen=True, eq=False, slots=True)
class Contents:
    """The photos of an archive, and what is left out of it, by what it is."""

    names: list[str]
    offsets: array[int]
    sizes: array[int]
    others: Counter[str]
    odd: Counter[str]
    fields: list[str]

    def arrays(self) -> dict[str, NDArray[Any]]:
        """Return it by names, but for what is counted."""
        return {
            "names": _packed(self.names),
            "fields": _packed(self.fields),
            "offsets": np.array(self.offsets, dtype=np.int64),
            "sizes": np.array(self.sizes, dtype=np.int64),
        }

    @classmethod
    def of(cls, arrays: dict[str, NDArray[Any]], said: _Said, most: int) -> Contents:
        """Return what `arrays` was made of, of a file that has so many bytes."""
        names, offsets, sizes = _unpacked(arrays["names"]), arrays["offsets"], arrays["sizes"]
        require(
            offsets.dtype == sizes.dtype == np.int64
            and offsets.shape == sizes.shape == (len(names),)
            and bool(np.all((offsets >= 0) & (sizes >= 0) & (sizes <= most - offsets))),
            "photos must have places in their archive",
        )
        return cls(
            names,
            array("q", offsets.tobytes()),
            array("q", sizes.tobytes()),
            Counter(said.others),
            Counter(said.odd),
            _unpacked(arrays["fields"]),
        )


class _Said(Struct, kw_only=True):
    key: str
    others: dict[str, int]
    odd: dict[str, int]


@contextmanager
def kept_contents(folder: PathLike | None) -> Iterator[None]:
    """Keep in a folder, within, what the archives hold that are opened; None: nowhere."""
    before = _folder.set(None if folder is None else Path(folder))
    try:
        yield
    finally:
        _folder.reset(before)


def place_of_contents() -> Path | None:
    """Return where they are kept."""
    return _folder.get()


@dataclass(frozen=True, slots=True)
class KeptContents:
    """Where what an archive holds is kept: as long as the archive is the same, as far as is told.

    That is by its place, its size, and what whoever stores it says of its version: a time or a tag.
    """

    path: Path
    key: str
    size: int

    @classmethod
    def of(cls, folder: Path | None, file: Stored, prefix: str) -> KeptContents | None:
        """Return that of an archive whose names begin with ``prefix``; None if it cannot be."""
        version = None if folder is None else file.version()
        if folder is None or version is None:
            return None
        said = json.dumps([file.shown, file.size, version, prefix, _RULES])
        key = hashlib.sha256(said.encode()).hexdigest()
        return cls(folder / f"{ARCHIVE}-{key[:16]}.safetensors", key, file.size)

    def load(self) -> Contents | None:
        """Return what is there; None if there is nothing, or it is damaged."""
        if not self.path.is_file():
            return None
        try:
            arrays, header = read_arrays(self.path, ARCHIVE)
            said: _Said = typed(header, "its header", _Said)
            return Contents.of(arrays, said, self.size) if said.key == self.key else None
        except (ExplGraphError, KeyError, UnicodeError) as error:
            _log.warning("an archive is gone through again: %s", error)
            return None

    def save(self, contents: Contents) -> None:
        """Keep it; that it cannot be is told by those to whom it matters."""
        counted = {"others": dict(contents.others), "odd": dict(contents.odd)}
        with suppress(OSError, ExplGraphError):
            write_arrays(self.path, ARCHIVE, contents.arrays(), {"key": self.key, **counted})


def _packed(names: list[str]) -> NDArray[np.uint8]:
    text = "".join(f"{name}\0" for name in names)  # no member's name has that character
    return np.frombuffer(text.encode("utf-8", "surrogateescape"), np.uint8)


def _unpacked(data: NDArray[Any]) -> list[str]:
    return data.tobytes().decode("utf-8", "surrogateescape").split("\0")[:-1]
