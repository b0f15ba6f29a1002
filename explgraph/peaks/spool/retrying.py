"""Photos that an earlier run could not read, and that can be read by now.

A photo may be sound again, or the disk or the rights that it lies under. Batches, and so shards, go
on where a skipped photo was not; statistics are of all photos. What was made after one that can be
read now is made again: then the files are those of a run that was never in trouble.
"""

from __future__ import annotations

import logging
from collections.abc import Collection
from dataclasses import replace
from pathlib import Path

from explgraph.base.files import read_arrays
from explgraph.networks.backbone import Backbone
from explgraph.photos.images import ImageSource
from explgraph.photos.loading import is_usable

from .manifest import MANIFEST, Manifest

SKIPPED = "skipped"
"""The entry of a file's header with the names of photos that could not be used."""

_log = logging.getLogger("explgraph")


def whole_shards(manifest: Manifest, net: Backbone, source: ImageSource, folder: Path) -> Manifest:
    """Return the manifest up to the first shard that misses a photo which can be read now."""
    for number, shard in enumerate(manifest.shards):
        if _has_healed(net, source, shard.skipped, range(shard.first, shard.next)):
            kept = replace(manifest, shards=manifest.shards[:number], complete=False)
            kept.write(folder)
            return kept
    return manifest


def is_outdated(path: Path, net: Backbone, source: ImageSource) -> bool:
    """Return whether a file of statistics misses a photo that can be read now."""
    _, header = read_arrays(path, "statistics")
    return _has_healed(net, source, header.get(SKIPPED, ()), range(len(source)))


def forget_statistics(path: Path) -> None:
    """Remove statistics, and first the list of the peaks that were found with them."""
    path.with_name(MANIFEST).unlink(missing_ok=True)
    path.unlink()


def _has_healed(net: Backbone, source: ImageSource, skipped: Collection[str], among: range) -> bool:
    for i in among:
        name = source.items[i].name
        if name in skipped and is_usable(source, net.preprocess, i):
            _log.warning("%s can be read now: what was made without it is made again", name)
            return True
    return False
