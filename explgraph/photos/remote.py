"""Photos at addresses that fsspec knows: ``s3://``, ``gs://``, ``https://``, ``memory://``.

Every request stands by itself: some bytes of some file. So nothing is held open, and readers travel
to other processes, where the file system is made anew from the address. A request that fails for a
reason that may pass is made again; if it goes on failing, the run ends. No photo is skipped because
a network was down or a key had expired: only one that is gone is.
"""

from __future__ import annotations

import json
import logging
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import takewhile
from time import sleep
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from explgraph.base.errors import ExplGraphError, installing, require

from .decoding import UnreadableImageError, another_time, decode_picture
from .kinds import OTHER_PICTURES, SUFFIXES, TAR, is_hidden, suffix_of, warn_of_others
from .packed import MOST_BYTES, is_tar, packed_photos
from .tars import Ahead

Photos = tuple[Sequence[str], Callable[[int], Image.Image]]

_PAUSES = (1.0, 4.0)  # seconds before a request is made again; file systems try by themselves, too
_STAY = (PermissionError, IsADirectoryError, NotADirectoryError)
_THREADS = 8
_VERSIONS = ("ETag", "etag", "md5Hash", "generation", "LastModified", "updated", "mtime", "created")
"""What file systems call the tag of a file, or when it was changed."""
_NEAR, _FAR = 2**18, 2**23  # bytes of a request for headers of an archive

_T = TypeVar("_T")
_log = logging.getLogger("explgraph")


def _file_system(address: str) -> tuple[Any, str]:
    """Return the file system of an address, made once in a thread, and the path in it.

    Raises
    ------
    ExplGraphError
        If there is none, naming what to install.
    """
    from fsspec.core import url_to_fs

    try:
        return url_to_fs(address)  # type: ignore[no-any-return]
    except (ImportError, ValueError) as error:
        raise ExplGraphError(
            f"{address}: {error}. {installing('cloud')} brings what s3://, gs:// and https:// need"
        ) from error


def _asked(call: Callable[[], _T], what: str) -> _T:
    """Return what a request gives, made again if it fails for a reason that may pass.

    Raises
    ------
    FileNotFoundError
        If it says so.
    ExplGraphError
        If it fails otherwise.
    """
    pauses = list(_PAUSES)
    while True:
        try:
            return call()
        except FileNotFoundError:
            raise
        except Exception as error:  # file systems raise errors of the libraries below them
            reason = " ".join(str(error).split())
            passes = isinstance(error, OSError) and not isinstance(error, _STAY)
            if not (passes and pauses):
                raise ExplGraphError(
                    f"{what} cannot be read ({type(error).__name__}: {reason})"
                ) from error
            _log.info("%s is asked for again: %s", what, reason)
        sleep(pauses.pop(0))


@dataclass(frozen=True, slots=True)
class RemoteFile:
    """A file at an address, read by ranges.

    Attributes
    ----------
    address
        Where the file system is told from.
    path
        The file's in it.
    size
        In bytes.
    """

    address: str
    path: str
    size: int

    @classmethod
    def of(cls, address: str, path: str, size: int | None) -> RemoteFile:
        """Return a file whose size is known, unless it is not told.

        Raises
        ------
        ExplGraphError
            If it is not.
        """
        if size is None:
            raise ExplGraphError(
                f"{path} cannot be read in pieces: whoever serves it does not say how large it is"
            )
        return cls(address, path, int(size))

    @property
    def shown(self) -> str:
        """The path."""
        return self.path

    def version(self) -> str | None:
        """Return what the file system says of it: a tag or a time."""
        files, _ = _file_system(self.address)
        info = _info(files, self.path)
        told = {name: str(info[name]) for name in _VERSIONS if info.get(name)}
        return json.dumps(told, sort_keys=True) if told else None

    @contextmanager
    def ahead(self) -> Iterator[Ahead]:
        """Give what goes through the file."""
        yield Ahead(self.piece, self.size, _NEAR, _FAR)

    def piece(self, at: int, count: int) -> bytes:
        """Return ``count`` bytes, from a place on."""
        if count == 0:
            return b""
        files, _ = _file_system(self.address)
        data = _asked(lambda: files.cat_file(self.path, start=at, end=at + count), self.path)
        require(
            len(data) == count,
            f"{self.path} gave {len(data)} bytes where {count} were asked for: it has changed, or "
            "cannot be read in pieces",
        )
        return bytes(data)


@dataclass(frozen=True, eq=False, slots=True)
class RemoteReader:
    """Reads photos that are files at addresses.

    Attributes
    ----------
    address
        Where the file system is told from.
    root
        What comes before the names there.
    names
        N names.
    size
        (N,) bytes that each has; -1 where that is not known.
    limit
        How many pixels a photo may have.
    """

    address: str
    root: str
    names: tuple[str, ...]
    size: NDArray[np.int64]
    limit: int | None

    def __call__(self, index: int) -> Image.Image:
        """Return a photo, upright and RGB.

        Raises
        ------
        UnreadableImageError
            If it is damaged, gone, or too large.
        ExplGraphError
            If it cannot be had this time.
        """
        name, size = self.names[index], int(self.size[index])
        try:
            data = self._data(name) if 0 != size <= MOST_BYTES else b""
        except FileNotFoundError as error:
            raise UnreadableImageError(name, "it is gone") from error
        except ExplGraphError as error:
            raise another_time(name, error) from error
        most = max(size, len(data))
        if most > MOST_BYTES:
            raise UnreadableImageError(name, f"it has {most} bytes, more than {MOST_BYTES}")
        return decode_picture(data, name, self.limit)

    def _data(self, name: str) -> bytes:
        files, _ = _file_system(self.address)
        return _asked(lambda: bytes(files.cat_file(self.root + name)), self.root + name)

    def some(self, photos: Sequence[int]) -> RemoteReader:
        """Return a reader of some of the photos."""
        names = tuple(self.names[i] for i in photos)
        return RemoteReader(self.address, self.root, names, self.size[list(photos)], self.limit)


def photos_at(address: str, limit: int | None) -> Photos:
    """Find the photos at an address: a folder with all below it, an archive, or one photo.

    Raises
    ------
    ExplGraphError
        If there are none, or what is there cannot be read.
    """
    files, path = _file_system(address)
    path = path.rstrip("/")
    if is_tar(path) or suffix_of(path) in SUFFIXES:
        info = _info(files, path)
        if info.get("type") != "directory":
            if suffix_of(path) == TAR:
                return packed_photos([RemoteFile.of(address, path, info["size"])], [""], limit)
            return _photos(address, [(path, info["size"])], path[: path.rfind("/") + 1], limit)
    try:
        found = _asked(lambda: files.find(path, detail=True), address)
    except FileNotFoundError as error:
        raise ExplGraphError(f"{address} does not exist") from error
    files.invalidate_cache()  # of all that was listed: more than is kept here
    root = f"{path}/" if path else "/" * any(key.startswith("/") for key in found)
    wanted = {*SUFFIXES, *OTHER_PICTURES, TAR}
    names = sorted(
        key[len(root) :]
        for key in found
        if suffix_of(key) in wanted and key.startswith(root) and _is_plain(key[len(root) :])
    )
    kinds = Counter(map(suffix_of, names))
    warn_of_others(Counter({s: n for s, n in kinds.items() if s in OTHER_PICTURES}), address)
    photos = [name for name in names if suffix_of(name) in SUFFIXES]
    archives = [name for name in names if suffix_of(name) == TAR]
    require(
        len(photos) > 0 or len(archives) > 0,
        f"there are no images at {address} or below: looked for {' '.join(SUFFIXES)} and {TAR}",
    )
    if photos:
        if archives:
            _log.warning("%d %s files at %s are left out", len(archives), TAR, address)
        sized = [(root + name, found[root + name].get("size")) for name in photos]
        return _photos(address, sized, root, limit)
    shards = [
        RemoteFile.of(address, root + name, found[root + name].get("size")) for name in archives
    ]
    return packed_photos(shards, [f"{name}/" for name in archives], limit)


def photos_listed(addresses: Sequence[str], limit: int | None) -> Photos:
    """Take files at addresses, in their order: photos, or archives of them.

    Raises
    ------
    ExplGraphError
        If they are of both kinds, of different file systems, or one cannot be read.
    """
    located = [_file_system(address) for address in addresses]
    files, paths = located[0][0], [path for _, path in located]
    require(
        all(other == files for other, _ in located),
        "the listed addresses are of different file systems: open each by itself, and add them up",
    )
    root = _root_of(paths)
    with ThreadPoolExecutor(_THREADS, thread_name_prefix="explgraph-sizes") as pool:
        sizes = [info["size"] for info in pool.map(lambda path: _info(files, path), paths)]
    packed = sum(is_tar(path) for path in paths)
    require(
        packed in (0, len(paths)),
        f"{packed} of the {len(paths)} listed files end in {TAR}, the others do not: give photos, "
        "or archives",
    )
    if not packed:
        return _photos(addresses[0], list(zip(paths, sizes, strict=True)), root, limit)
    shards = [
        RemoteFile.of(addresses[0], path, size) for path, size in zip(paths, sizes, strict=True)
    ]
    return packed_photos(shards, [f"{path[len(root) :]}/" for path in paths], limit)


def _root_of(paths: Sequence[str]) -> str:
    """Return the innermost folder that holds all files, with "/" at its end."""
    folders = [path.split("/")[:-1] for path in paths]
    pairs = zip(min(folders), max(folders), strict=False)  # these two differ first
    return "".join(f"{one}/" for one, _ in takewhile(lambda pair: pair[0] == pair[1], pairs))


def _info(files: Any, path: str) -> dict[str, Any]:  # noqa: ANN401  fsspec has no types
    try:
        info = _asked(lambda: files.info(path), path)
    except FileNotFoundError as error:
        raise ExplGraphError(f"{path} does not exist") from error
    return {"size": None, **info}


def _photos(
    address: str, sized: Sequence[tuple[str, int | None]], root: str, limit: int | None
) -> Photos:
    names = tuple(path[len(root) :] for path, _ in sized)
    sizes = np.array([-1 if size is None else size for _, size in sized], dtype=np.int64)
    return names, RemoteReader(address, root, names, sizes, limit)


def _is_plain(name: str) -> bool:
    """Say whether a key of a bucket is also a path: no hidden one, and without holes."""
    return not is_hidden(name) and "" not in name.split("/")
