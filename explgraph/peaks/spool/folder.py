"""What lies in a spool's folder, and the key that says what it was made from."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import astuple
from pathlib import Path
from typing import Any

import torch

from explgraph.base import __version__
from explgraph.base.errors import require
from explgraph.base.files import STAGE
from explgraph.base.layer import LayerSpec
from explgraph.base.temporaries import clear_temporaries
from explgraph.networks.backbone import Backbone
from explgraph.peaks.extraction import peak_header
from explgraph.peaks.reading import ReadOptions, batch_size, span_size
from explgraph.peaks.statistics import KEPT
from explgraph.photos.images import ImageSource
from explgraph.photos.loading import Skipped

from .manifest import MANIFEST, Manifest

STATISTICS = "statistics.safetensors"
SUMS = f"{STAGE}-{KEPT}.safetensors"
"""What there is of the statistics while they are measured."""


_LONGEST = 48  # characters of a value in a message


def run_key(
    net: Backbone, source: ImageSource, layers: Sequence[LayerSpec], options: ReadOptions
) -> dict[str, Any]:
    """Return JSON values of what decides how the network answers: itself, photos, batches.

    Photos are told by their names and boxes; whether a file has changed is not looked at. Rounding
    counts, so the kind of device and the versions do.
    """
    network = peak_header(net, options, Skipped())
    del network["skipped"]
    return {
        "batch_size": batch_size(net, options),
        "deterministic": options.get("deterministic", False),
        "device": net.device.type,
        "images": {
            "count": len(source),
            "sha256": digest_of(
                json.dumps([item.name, item.box and astuple(item.box)]).encode()
                for item in source.items
            ),
        },
        "input_size": list(net.input_size),
        "layers": [layer.to_json() for layer in layers],
        "network": network,
        "span": span_size(net, options),
        "versions": {"explgraph": __version__, "torch": str(torch.__version__)},
    }


def digest_of(parts: Iterable[bytes]) -> str:
    """Return the SHA-256 of byte strings, one after the other."""
    result = hashlib.sha256()
    for part in parts:
        result.update(part)
    return result.hexdigest()


def begin(folder: Path, key: Mapping[str, Any], resume: bool) -> Manifest:
    """Return the manifest to go on from; where a folder has none, write one without shards.

    Raises
    ------
    ExplGraphError
        If there is one and ``resume`` is not set, or that of another extraction.
    """
    require(not folder.exists() or folder.is_dir(), f"{folder} is a file: expected a folder")
    if not (folder / MANIFEST).exists():
        manifest = Manifest(json.loads(json.dumps(key)))
        manifest.write(folder)
        return manifest
    check_resume(folder, resume)
    manifest = Manifest.read(folder)
    check_same(folder, manifest.key, key)
    clear_temporaries(folder)
    return manifest


def check_resume(folder: Path, resume: bool) -> None:
    """Raise `ExplGraphError`, for a folder that holds a spool, unless ``resume`` is set."""
    require(
        resume,
        f"{folder} holds a spool already: pass resume=True (--resume) to go on with it, or give "
        "another folder",
    )


def check_same(folder: Path, theirs: Mapping[str, Any], ours: Mapping[str, Any]) -> None:
    """Raise `ExplGraphError`, naming what differs, if a folder's key is not ours."""
    there, here = dict(_leaves("", theirs)), dict(_leaves("", ours))
    names = [name for name in here | there if there.get(name) != here.get(name)]
    differences = "; ".join(
        f"{name} is {_short(there.get(name))} there and {_short(here.get(name))} here"
        for name in names
    )
    require(
        not names,
        f"{folder} holds the spool of another run, which cannot be gone on with: {differences}. "
        "Run with what it was made with, or give another folder",
    )


def _leaves(path: str, value: object) -> Iterator[tuple[str, str]]:
    """Yield the dotted names of a JSON value's entries, and these as text."""
    if isinstance(value, Mapping):
        for name, entry in value.items():
            yield from _leaves(f"{path}.{name}" if path else name, entry)
    else:
        yield path, json.dumps(value, sort_keys=True)


def _short(text: str | None) -> str:
    if text is None:
        return "missing"
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}..."
