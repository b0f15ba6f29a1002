"""Spool folders written by hand, as docs/files.md describes them: nothing of the writer is used."""

import hashlib
import json
from pathlib import Path

import numpy as np
from safetensors.numpy import save

from explgraph.peaks.spool.manifest import Manifest
from explgraph.peaks.spool.reading import assembled


def open_spool(folder):
    """Open the spool of a complete extraction as it lies there."""
    return assembled(Path(folder), Manifest.read(Path(folder)))


def spool_by_hand(peaks, folder, counts):
    """Lay down a PeakSet as shards of so many photos each, and open the folder."""
    folder.mkdir(exist_ok=True)
    shards, start = [], 0
    for number, count in enumerate(counts):
        rows = slice(start, start + count)
        data = _shard(peaks, rows)
        name = f"shard-{number:05d}.safetensors"
        (folder / name).write_bytes(data)
        shards.append(
            {
                "file": name,
                "sha256": hashlib.sha256(data).hexdigest(),
                "first": start,
                "next": start + count,
                "photos": count,
                "skipped": [],
            }
        )
        start += count
    assert start == len(peaks)
    network = {name: value for name, value in peaks.header.items() if name != "skipped"}
    key = {
        "network": network,
        "images": {"count": len(peaks), "sha256": "0" * 64},
        "input_size": list(peaks.input_size),
        "layers": [layer.to_json() for layer in peaks.layers],
        "mirror": peaks.mirrored is not None,
        "n_peaks": peaks.peaks[0].weight.shape[2],
    }
    manifest = {"kind": "spool", "schema": 1, "complete": True, "key": key, "shards": shards}
    (folder / "manifest.json").write_text(json.dumps(manifest))
    return open_spool(folder)


def _shard(peaks, rows):
    arrays = {"frames": peaks.frames[rows]}
    sizes = np.ones((len(peaks), 2)) if peaks.photo_size is None else peaks.photo_size
    arrays["photo_size"] = sizes[rows].astype(np.int32)
    for kind, layers in (("peaks", peaks.peaks), ("mirrored", peaks.mirrored or ())):
        for i, layer in enumerate(layers):
            arrays[f"{kind}.{i}.weight"] = layer.weight[rows].transpose(1, 0, 2)
            arrays[f"{kind}.{i}.yx"] = layer.yx[rows].transpose(1, 0, 2, 3)
    for i in range(len(peaks.layers)):
        arrays[f"channel_mean.{i}"] = peaks.channel_mean[i]
        arrays[f"channel_scale.{i}"] = peaks.channel_scale[i]
    header = {"kind": "shard", "schema": 1, "images": list(peaks.images[rows])}
    whole = {name: np.ascontiguousarray(array) for name, array in arrays.items()}
    return save(whole, metadata={"explgraph": json.dumps(header)})
