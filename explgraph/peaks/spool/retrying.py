"""Photos that an earlier run could not read, and that can be read by now.

A photo may be sound again, or the disk or the rights that it lies under. Then its shard is made
again; so are the statistics if they miss it, and with them all shards: the files are those of a run
that was never in trouble.
"""

from __future__ import annotations

import logging
from collections.abc import Collection
from pathlib import Path

from explgraph.base.files import read_arrays
from explgraph.networks.backbone import Backbone
from explgraph.photos.images import ImageSource
from explgraph.photos.loading import is_usable

from .manifest import MANIFEST, Shard

SKIPPED = "skipped"
"""The entry of a file's header with the names of photos that could not be used."""

_log = logging.getLogger("explgraph")


def has_healed(net: Backbone, source: ImageSource, shard: Shard) -> bool:
    """Return whether a shard misses a photo that can be read now."""
    return _any_usable(net, source, shard.skipped, range(shard.first, shard.next))


def is_outdated(path: Path, net: Backbone, source: ImageSource) -> bool:
    """Return whether a file of statistics misses a photo that can be read now."""
    _, header = read_arrays(path, "statistics")
    return _any_usable(net, source, header.get(SKIPPED, ()), range(len(source)))


def forget_statistics(path: Path) -> None:
    """Remove statistics, and first the list of the peaks that were found with them."""
    path.with_name(MANIFEST).unlink(missing_ok=True)
    path.unlink()


def _any_usable(net: Backbone, source: ImageSource, skipped: Collection[str], among: range) -> bool:
    for i in among:
        name = source.items[i].name
        if name in skipped and is_usable(source, net.preprocess, i):
            _log.warning("%s can be read now: what was made without it is made again", name)
            return True
    return False
