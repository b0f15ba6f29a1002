"""A manifest is read if it makes sense and is as it was written; shards are as it says."""

import hashlib
import json

import numpy as np
import pytest

from explgraph.base.errors import ExplGraphError
from explgraph.peaks.spool.manifest import Manifest
from tests.support.damage import contents, cut, put
from tests.support.planted_peaks import planted_peaks
from tests.support.spooling import open_spool, spool_by_hand


@pytest.fixture(scope="module")
def peaks():
    return planted_peaks(n_images=7, channels=3).peaks


@pytest.fixture
def folder(peaks, tmp_path):
    spool_by_hand(peaks, tmp_path / "spool", [3, 2, 2])
    return tmp_path / "spool"


def edit(folder, change):
    """Change a manifest by hand, as one of an earlier version, which has no digest."""
    path = folder / "manifest.json"
    values = json.loads(path.read_bytes())
    values.pop("digest", None)
    change(values)
    path.write_text(json.dumps(values))


def shard(number, **entries):
    return lambda values: values["shards"][number].update(entries)


def key(**entries):
    return lambda values: values["key"].update(entries)


def again(values):
    values["shards"].append(values["shards"][0])


def missing(values):
    del values["shards"][1]


def swapped(values):
    values["shards"][:2] = values["shards"][1::-1]


def without(*names):
    def change(values):
        for name in names[:-1]:
            values = values[name]
        del values[names[-1]]

    return change


def layer(**entries):
    return lambda values: values["key"]["layers"][0].update(entries)


DEFECTS = {
    "first is -1": (shard(0, first=-1), r"Expected `int` >= 0 - at `\$\.shards\[0\]\.first`"),
    "a gap at the start": (shard(0, first=1), "must begin with photo 0"),
    "a gap": (shard(1, first=4, photos=1), "must begin with photo 3"),
    "an overlap": (shard(1, first=2, photos=3), "must begin with photo 3"),
    "a shard twice": (again, r"shard 3 must be shard-00003\.safetensors"),
    "a shard missing": (missing, r"shard 1 must be shard-00001\.safetensors"),
    "shards in another order": (swapped, r"shard 0 must be shard-00000\.safetensors"),
    "next too small": (shard(2, next=6), "must tell of 1 photos, got 2 and 0 skipped"),
    "next is 0": (shard(0, next=0), "must begin with photo 0, where the one before ends, and have"),
    "next too large": (shard(2, next=10**9), "must tell of 999999995 photos"),
    "next is a text": (shard(1, next="5"), "Expected `int`, got `str`"),
    "next is huge": (shard(1, next=10**30), "Expected `int`|must tell of"),
    "photos of others": (shard(0, photos=2), "must tell of 3 photos, got 2 and 0"),
    "skipped that is none": (shard(0, skipped=["a"]), "must tell of 3 photos, got 3 and 1"),
    "skipped are numbers": (shard(0, skipped=[1]), "Expected `str`, got `int`"),
    "sha256 is none": (shard(0, sha256="abc"), "matching regex"),
    "file elsewhere": (shard(0, file="../shard-00000.safetensors"), "shard 0 must be shard-00000"),
    "file is a number": (shard(0, file=3), "Expected `str`, got `int`"),
    "more photos than there are": (key(images={"count": 5, "sha256": "0" * 64}), "the key has 5"),
    "complete, but not all": (
        key(images={"count": 8, "sha256": "0" * 64}),
        "complete is True, but 7 of 8 photos are there",
    ),
    "not complete, but all": (lambda v: v.update(complete=False), "complete is False, but 7 of 7"),
    "complete is a number": (lambda v: v.update(complete=1), "Expected `bool`, got `int`"),
    "no photos' count": (without("key", "images"), "missing required field `images`"),
    "no layers": (key(layers=[]), "length >= 1"),
    "a layer's channels": (layer(channels=9), r"peaks\.0\.weight must have shape \(9, 3, \d\)"),
    "a layer's grid": (layer(grid=[10**6, 1]), "Expected `int` <= 16384"),
    "a layer's name": (layer(name=1), "Expected `str`, got `int`"),
    "input size": (key(input_size=[1, 10**12]), "Expected `int` <= 16384"),
    "mirror": (key(mirror="no"), "Expected `bool`, got `str`"),
    "not mirrored": (key(mirror=False), "there is no array .*mirrored"),
    "peaks of a map": (key(n_peaks=7), r"must have shape \(3, 3, 7"),
    "peaks of a map, many": (key(n_peaks=10**9), "Expected `int` <= 127"),
    "network": (key(network=[]), "Expected `object`, got `array`"),
}


@pytest.mark.parametrize(("change", "message"), DEFECTS.values(), ids=DEFECTS)
def test_manifest__that_makes_no_sense_is_refused(folder, change, message):
    edit(folder, change)
    with pytest.raises(ExplGraphError, match=rf"(manifest\.json|shard-0000).*{message}"):
        open_spool(folder)


def test_manifest__of_an_earlier_version_is_read(folder, peaks):
    assert "digest" not in json.loads((folder / "manifest.json").read_bytes())
    assert np.array_equal(open_spool(folder).load().peaks[0].weight, peaks.peaks[0].weight)


def test_manifest__says_what_it_was_when_it_was_written(folder, rng):
    Manifest.read(folder).write(folder)
    path = folder / "manifest.json"
    whole = path.read_bytes()
    values = json.loads(whole)
    blank = whole.replace(values["digest"].encode(), b"")
    assert values["digest"] == hashlib.sha256(blank).hexdigest()
    open_spool(folder)
    for place in rng.integers(0, len(whole), 200):
        damaged = bytearray(whole)
        damaged[place] ^= 1 << int(rng.integers(7))
        path.write_bytes(damaged)
        try:
            found = Manifest.read(folder)
        except ExplGraphError as error:
            assert "manifest.json" in str(error)
        else:  # the name of the digest itself, and then there is none
            assert b'"digest"' not in damaged
            assert found.to_bytes() == whole
    path.write_bytes(whole.replace(b'"model": "planted"', b'"model": "plonted"'))
    with pytest.raises(ExplGraphError, match=r"manifest\.json .*its digest is another"):
        open_spool(folder)


def reseal(folder, number, entry, change):
    """Change an array of a shard; its file's SHA-256 in the manifest is right."""
    from safetensors.numpy import save

    path = folder / f"shard-0000{number}.safetensors"
    arrays, header = contents(path)
    if entry in arrays:
        arrays[entry] = np.ascontiguousarray(change(arrays[entry]))
    else:
        header[entry] = change(header[entry])
    text = json.dumps({**header, "kind": "shard", "schema": 1})
    path.write_bytes(save(arrays, metadata={"explgraph": text}))
    sha256 = hashlib.sha256(path.read_bytes()).hexdigest()
    edit(folder, shard(number, sha256=sha256))


@pytest.mark.parametrize(
    ("number", "entry", "change", "message"),
    [
        (1, "peaks.0.weight", cut, r"peaks\.0\.weight must have shape \(\d, 2, \d\)"),
        (1, "peaks.1.yx", lambda a: a[:, :1], r"peaks\.1\.yx must have shape \(\d, 2, \d, 2\)"),
        (0, "frames", cut, r"frames must have shape \(3, 2, 2\)"),
        (0, "frames", put(0, np.nan), "frames must be finite"),
        (2, "photo_size", put(0, -1), "photo_size must be at least 1"),
        (0, "channel_scale.0", put(0, 0), "channel_scale of .* must be more than 0"),
        (2, "images", lambda names: names[1:], "names 1 photos, expected 2"),
        (2, "images", lambda names: [1, 2], "Expected `str`, got `int`"),
    ],
)
def test_shard__that_is_not_as_the_manifest_says_is_refused(folder, number, entry, change, message):
    reseal(folder, number, entry, change)
    with pytest.raises(ExplGraphError, match=message):
        open_spool(folder)


def test_shard__with_peaks_that_are_none_is_refused_when_they_are_read(folder):
    reseal(folder, 1, "peaks.0.weight", put(0, np.nan))
    with pytest.raises(ExplGraphError, match=r"Peaks\.weight must be finite"):
        open_spool(folder).load()
