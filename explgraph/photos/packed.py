"""Photos in tar archives, read by their places: WebDataset's shards, or a folder that was packed.

One pass over the headers says where each photo lies; 20 bytes of that are kept for each, beside its
name. Then photos are read in any order, by any thread or process, without a file being unpacked.

In WebDataset's layout files of one *key*, the name up to the first dot after the folder, belong
together: ``000017.jpg``, ``000017.cls``, ``000017.mask.png``. One photo is taken of a key: the one
whose name has nothing between key and suffix, JPEG before other formats. Where none is named so
(``film.0001.png``, ``film.0002.png``), all are.
"""

from __future__ import annotations

import logging
from array import array
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from itertools import chain
from pathlib import Path
from threading import Event

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from explgraph.base.errors import ExplGraphError, require

from .contents import Contents, KeptContents, place_of_contents
from .decoding import UnreadableImageError, another_time, decode_picture
from .kinds import OTHER_PICTURES, SUFFIXES, TAR, is_hidden, suffix_of, warn_of_others
from .stored import Stored
from .tars import tar_members

MOST_BYTES = 2**29
"""Of a photo that is read as a whole: more than the pixels that are allowed take in any format."""

_THREADS = 8  # who go through archives at the same time: elsewhere, most of that is waiting
_COMPRESSED = (".tar.gz", ".tgz", ".tar.bz2", ".tbz2", ".tar.xz", ".txz", ".tar.zst", ".tzst")
_FIRST = (".jpg", ".jpeg", ".jpe", ".png")  # of photos with one key
_RANK = {suffix: _FIRST.index(suffix) if suffix in _FIRST else 9 for suffix in SUFFIXES}

_log = logging.getLogger("explgraph")


def is_tar(name: str) -> bool:
    """Say whether a name is that of an archive of photos.

    Raises
    ------
    ExplGraphError
        If it is that of a compressed one.
    """
    require(
        not name.lower().endswith(_COMPRESSED),
        f"{name} is a compressed archive, in which no photo can be found by itself: unpack it to a "
        ".tar; photos in it are compressed already",
    )
    return suffix_of(name) == TAR


@dataclass(frozen=True, eq=False, slots=True)
class PackedReader:
    """Reads photos out of archives.

    Attributes
    ----------
    files
        The archives.
    names
        N names, for messages.
    file, offset, size
        (N,) in which archive each photo lies, where in it, and how many bytes it has.
    limit
        How many pixels a photo may have.
    """

    files: tuple[Stored, ...]
    names: tuple[str, ...]
    file: NDArray[np.int32]
    offset: NDArray[np.int64]
    size: NDArray[np.int64]
    limit: int | None

    def __call__(self, index: int) -> Image.Image:
        """Return a photo, upright and RGB.

        Raises
        ------
        UnreadableImageError
            If it is damaged, or too large.
        ExplGraphError
            If its archive cannot be read, for whatever reason: other photos are lost with it.
        """
        name, size = self.names[index], int(self.size[index])
        if size > MOST_BYTES:
            raise UnreadableImageError(name, f"it has {size} bytes, more than {MOST_BYTES}")
        try:
            data = self.files[self.file[index]].piece(int(self.offset[index]), size)
        except Exception as error:
            raise another_time(name, error) from error
        return decode_picture(data, name, self.limit)

    def some(self, photos: Sequence[int]) -> PackedReader:
        """Return a reader of some of the photos, which knows of no other archives."""
        at = np.asarray(photos, dtype=np.int64)
        used, file = np.unique(self.file[at], return_inverse=True)
        return PackedReader(
            tuple(self.files[i] for i in used),
            tuple(self.names[i] for i in photos),
            file.astype(np.int32),
            self.offset[at],
            self.size[at],
            self.limit,
        )


def packed_photos(
    files: Sequence[Stored], prefixes: Sequence[str], limit: int | None
) -> tuple[tuple[str, ...], PackedReader]:
    """Find the photos in archives: one after the other, in the order of each.

    Parameters
    ----------
    files
        The archives.
    prefixes
        What comes before the names in each.
    limit
        How many pixels a photo may have.

    Returns
    -------
    The photos' names, and what reads them by index.

    Raises
    ------
    ExplGraphError
        If an archive cannot be read or is damaged, if two photos have one name, or there are none.
    """
    require(len(set(prefixes)) == len(prefixes), "an archive is listed twice: list it once")
    pool = ThreadPoolExecutor(min(_THREADS, len(files)), thread_name_prefix="explgraph-tars")
    stop = Event()
    try:
        found = list(pool.map(partial(_contents, stop, place_of_contents()), files, prefixes))
    finally:  # where one is refused, or the user interrupts, the others are not gone through
        stop.set()
        pool.shutdown(cancel_futures=True)
    where = files[0].shown if len(files) == 1 else f"{len(files)} archives"
    _warn(found, where)
    names = tuple(chain.from_iterable(contents.names for contents in found))
    require(len(names) > 0, f"there are no images in {where}: looked for {' '.join(SUFFIXES)}")
    counts = [len(contents.names) for contents in found]
    return names, PackedReader(
        tuple(files),
        names,
        np.repeat(np.arange(len(files), dtype=np.int32), counts),
        np.concatenate([np.frombuffer(contents.offsets, np.int64) for contents in found]),
        np.concatenate([np.frombuffer(contents.sizes, np.int64) for contents in found]),
        limit,
    )


def _contents(stop: Event, folder: Path | None, file: Stored, prefix: str) -> Contents:
    kept = KeptContents.of(folder, file, prefix)
    found = None if kept is None else kept.load()
    if found is not None:
        return found
    found = _gone_through(stop, file, prefix)
    if kept is not None and not stop.is_set():
        kept.save(found)
    return found


def _gone_through(stop: Event, file: Stored, prefix: str) -> Contents:
    names, offsets, sizes = list[str](), array("q"), array("q")
    others, odd = Counter[str](), Counter[str]()
    try:
        with file.ahead() as ahead:
            for name, offset, size in tar_members(ahead, file.shown, odd):
                if stop.is_set():
                    break
                suffix = suffix_of(name)
                if is_hidden(name):
                    continue
                if suffix in OTHER_PICTURES:
                    others[suffix] += 1
                if suffix in _RANK:
                    names.append(name)
                    offsets.append(offset)
                    sizes.append(size)
    except OSError as error:
        raise ExplGraphError(f"{file.shown} cannot be read: {error}") from error
    twice = [name for name, count in Counter(names).items() if count > 1]
    require(
        not twice,
        f"{file.shown} has {len(twice)} names of more than one photo, the first is "
        f"{twice[:1]}: pack it again",
    )
    kept = _one_of_each_key(names)
    fields = [prefix + names[i] for i in sorted({*range(len(names))} - {*kept})]
    return Contents(
        [prefix + names[i] for i in kept],
        array("q", (offsets[i] for i in kept)),
        array("q", (sizes[i] for i in kept)),
        others,
        odd,
        fields,
    )


def _key(name: str) -> str:
    """Return a name up to the first dot after its folders."""
    return name[: name.index(".", name.rfind("/") + 1)]


def _one_of_each_key(names: Sequence[str]) -> list[int]:
    """Return which names are those of photos, not of what belongs to one."""
    best: dict[str, int] = {}
    for i, name in enumerate(names):
        key, suffix = _key(name), suffix_of(name)
        if len(key) + len(suffix) == len(name):
            before = best.setdefault(key, i)
            if _RANK[suffix] < _RANK[suffix_of(names[before])]:
                best[key] = i
    return [i for i, name in enumerate(names) if best.get(_key(name), i) == i]


def _warn(found: Sequence[Contents], where: str) -> None:
    warn_of_others(sum((contents.others for contents in found), Counter[str]()), where)
    odd = sum((contents.odd for contents in found), Counter[str]())
    if odd:
        told = ", ".join(f"{what} {count}" for what, count in sorted(odd.items()))
        _log.warning("%d members of %s are left out: %s", odd.total(), where, told)
    fields = [name for contents in found for name in contents.fields]
    if fields:
        _log.warning(
            "%d pictures in %s are left out, the first is %s: each has the key of a photo, as "
            "masks have in WebDataset's layout",
            len(fields),
            where,
            fields[0],
        )
