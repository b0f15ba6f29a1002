"""What decodes a photo by its index: from files, from what has a length, from two of these.

Each can be pickled, and cut down to some photos before, so that a unit of work travels with what is
its own.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from threading import Lock
from typing import Any, Protocol, runtime_checkable

import numpy as np
from PIL import Image

from .decoding import picture_of, read_picture, reading

Read = Callable[[int], Image.Image]


@runtime_checkable
class Indexed(Protocol):
    """What a map-style Dataset, a list and an array have in common."""

    def __len__(self) -> int: ...
    def __getitem__(self, index: int, /) -> object: ...


@dataclass(frozen=True, slots=True)
class FileReader:
    """Reads files of ``names``; none of more than ``limit`` pixels."""

    paths: tuple[Path, ...]
    names: tuple[str, ...]
    limit: int | None

    def __call__(self, index: int) -> Image.Image:
        """Return a photo, upright and RGB."""
        return read_picture(self.paths[index], self.names[index], self.limit)

    def some(self, photos: Sequence[int]) -> FileReader:
        """Return a reader of some of the photos, wherever it is run."""
        paths = tuple(self.paths[i].absolute() for i in photos)
        return FileReader(paths, tuple(self.names[i] for i in photos), self.limit)


@dataclass(eq=False)
class SequenceReader:
    """Reads items of an array, a list or a Dataset, in one thread at a time.

    A Dataset expects one caller at a time: its file handles and caches are not made for threads.
    """

    images: Indexed
    names: tuple[str, ...]
    lock: Lock = field(default_factory=Lock)

    def __call__(self, index: int) -> Image.Image:
        """Return a photo, upright and RGB."""
        try:
            with self.lock:
                return picture_of(self.images[index], self.names[index])
        except (OSError, MemoryError):
            with reading(self.names[index]):
                raise

    def some(self, photos: Sequence[int]) -> Read:
        """Return a reader of some of the photos; a Dataset cannot be divided."""
        names, images = tuple(self.names[i] for i in photos), self.images
        if isinstance(images, np.ndarray):
            return SequenceReader(images[list(photos)], names)
        if isinstance(images, list | tuple):
            return SequenceReader([images[i] for i in photos], names)
        return SomeReader(self, tuple(photos))

    def __reduce__(self) -> tuple[Any, ...]:
        return SequenceReader, (self.images, self.names)


@dataclass(frozen=True, slots=True)
class JoinedReader:
    """Reads what one reader knows, then, from photo ``border`` on, what another does."""

    before: Read
    after: Read
    border: int

    def __call__(self, index: int) -> Image.Image:
        """Return a photo, upright and RGB."""
        return self.before(index) if index < self.border else self.after(index - self.border)

    def some(self, photos: Sequence[int]) -> JoinedReader:
        """Return a reader of some of the photos, by rising index."""
        before = [i for i in photos if i < self.border]
        after = [i - self.border for i in photos if i >= self.border]
        parts = some_photos(self.before, before), some_photos(self.after, after)
        return JoinedReader(*parts, len(before))


@dataclass(frozen=True, slots=True)
class SomeReader:
    """Reads some of what another reader does."""

    read: Read
    photos: tuple[int, ...]

    def __call__(self, index: int) -> Image.Image:
        """Return a photo, upright and RGB."""
        return self.read(self.photos[index])


def some_photos(read: Read, photos: Sequence[int]) -> Read:
    """Return what reads some photos alone, called 0 and so on."""
    cut = getattr(read, "some", None)
    return cut(photos) if callable(cut) else SomeReader(read, tuple(photos))
