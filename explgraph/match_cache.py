"""Matches of photos that were seen before: searches over settings run the network once a photo."""

from __future__ import annotations

import hashlib
import os
from collections import OrderedDict
from collections.abc import Hashable, Sequence
from dataclasses import replace
from pathlib import Path
from threading import Lock
from typing import Any
from weakref import WeakKeyDictionary

import numpy as np
from numpy.typing import NDArray

from .backbones import Backbone
from .errors import require
from .graph import ExplanatoryGraph
from .matches import Matches, Views
from .pipeline import match
from .storage import PathLike

CACHE_BYTES = 2**30
"""What the matches of one graph by one network may take: some thousand photos. Beyond it, those go
first that were not asked for longest."""

Photo = PathLike | NDArray[Any]
"""The path of a file, or an array (H, W[, 1|3|4]) of uint8 or of floats in 0..1."""


class MatchCache:
    """The matches, with views, of photos in one graph by one network; any thread may ask.

    A file is known by its path, its size and when it was changed; an array by its content.
    """

    def __init__(self) -> None:
        self._rows: OrderedDict[Hashable, Matches] = OrderedDict()
        self._bytes = 0
        self._lock = Lock()

    def __len__(self) -> int:
        return len(self._rows)

    def match(self, graph: ExplanatoryGraph, net: Backbone, photos: Sequence[Photo]) -> Matches:
        """Find the graph's nodes in photos, those of photos seen before without the network.

        Returns
        -------
        One row for each photo, in order, even if one is given twice. Files are named by their
        paths, arrays by six-digit numbers.

        Raises
        ------
        ExplGraphError
            If a photo cannot be read, or as `explgraph.pipeline.match`.
        """
        require(len(photos) > 0, "there are no photos")
        keys = [_key(photo) for photo in photos]
        names = tuple(
            f"{i:06d}" if isinstance(photo, np.ndarray) else str(photo)
            for i, photo in enumerate(photos)
        )
        with self._lock:  # a network is run by one thread at a time: it has hooks on it meanwhile
            rows = {key: self._rows[key] for key in keys if key in self._rows}
            new = {key: i for i, key in enumerate(keys) if key not in rows}
            if new:
                chosen = [photos[i] for i in new.values()]
                found = match(graph, net, chosen, views=True, strict=True, progress=False)
                rows |= {key: found.take(np.array([i])) for i, key in enumerate(new)}
            self._keep(rows)
        return _joined([rows[key] for key in keys], names)

    def _keep(self, rows: dict[Hashable, Matches]) -> None:
        """Make these the youngest entries, and let the oldest go where there are too many."""
        for key, row in rows.items():
            if key not in self._rows:
                self._bytes += _size(row)
            self._rows[key] = row
            self._rows.move_to_end(key)
        while self._bytes > CACHE_BYTES:
            _, oldest = self._rows.popitem(last=False)
            self._bytes -= _size(oldest)


_caches: WeakKeyDictionary[ExplanatoryGraph, WeakKeyDictionary[Backbone, MatchCache]] = (
    WeakKeyDictionary()
)
_caches_lock = Lock()


def match_cache(graph: ExplanatoryGraph, net: Backbone) -> MatchCache:
    """Return the cache that all who use this graph with this network share.

    It goes when either of them does.
    """
    with _caches_lock:
        return _caches.setdefault(graph, WeakKeyDictionary()).setdefault(net, MatchCache())


def _key(photo: Photo) -> Hashable:
    if isinstance(photo, np.ndarray):
        content = hashlib.sha256(np.ascontiguousarray(photo).data).digest()
        return photo.shape, photo.dtype.str, content
    require(
        isinstance(photo, (str, os.PathLike)),
        f"a photo must be the path of a file or an array (H, W, 3), got {type(photo).__name__}",
    )
    path = Path(photo).absolute()
    require(path.is_file(), f"the photo {path} is not a file")
    about = path.stat()
    return str(path), about.st_mtime_ns, about.st_size


def _arrays(found: Matches) -> dict[str, NDArray[Any]]:
    """Return what has one entry for each photo."""
    names = ("yx", "score", "log_density", "peak", "mirrored", "photo_size", "frames")
    return {name: getattr(found, name) for name in names}


def _view_arrays(found: Matches) -> dict[str, NDArray[Any]]:
    names = ("frames", "yx", "score", "gain", "maps")
    return {name: getattr(found.views, name) for name in names}


def _size(found: Matches) -> int:
    arrays = (*_arrays(found).values(), *_view_arrays(found).values())
    return sum(array.nbytes for array in arrays)


def _joined(rows: Sequence[Matches], names: tuple[str, ...]) -> Matches:
    """Put the matches of one photo each together, under new names."""
    views = rows[0].views
    assert isinstance(views, Views)  # asked for above
    found = _concatenated([_arrays(row) for row in rows])
    seen = _concatenated([_view_arrays(row) for row in rows])
    return replace(rows[0], images=names, **found, views=replace(views, **seen))


def _concatenated(rows: Sequence[dict[str, NDArray[Any]]]) -> dict[str, Any]:
    return {name: np.concatenate([row[name] for row in rows]) for name in rows[0]}
