"""Peaks in files: equal to those in memory, and to those of a run that was never interrupted."""

import dataclasses
import gc
import json
import logging
import os
import signal
import subprocess
import sys
import tracemalloc
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors import safe_open
from torch import nn

import explgraph as eg
from explgraph.base.errors import ExplGraphError
from explgraph.peaks import extraction, reading
from explgraph.peaks.extraction import extract_peaks
from explgraph.peaks.spool import writing
from explgraph.peaks.spool.manifest import Manifest, Shard, shard_name
from explgraph.peaks.spool.writing import spool_peaks, spool_statistics
from explgraph.peaks.statistics import ChannelStatistics, channel_statistics
from explgraph.photos.images import open_images
from tests.peaks.test_structures import same_sets
from tests.support.spooling import open_spool

SIDE = 24
LAYERS = ("1", "3")
BATCH, SHARD = 2, 4
QUIET = {"progress": False, "batch_size": BATCH}
N = 11
"""Photos: two shards of four, and one of three that ends in a batch of one."""


class CutError(Exception):
    """Stands for whatever ends a run."""


def make_net(seed=0):
    torch.manual_seed(seed)
    module = nn.Sequential(
        nn.Conv2d(3, 4, 5, stride=4, padding=2), nn.ReLU(), nn.Conv2d(4, 5, 3, padding=1), nn.ReLU()
    )
    return eg.Backbone(module, name="tiny", input_size=(SIDE, SIDE), device="cpu")


def make_photos(folder, bad=(), count=N):
    """Noise, and files that hold no image."""
    rng = np.random.default_rng(0)
    for i in range(count):
        path = folder / f"{i:02d}.png"
        Image.fromarray(rng.integers(0, 256, (SIDE, SIDE, 3), dtype=np.uint8)).save(path)
        if i in bad:
            path.write_bytes(b"")
    return open_images(folder)


@pytest.fixture(autouse=True)
def small_shards(monkeypatch):
    monkeypatch.setattr(reading, "GROUP", SHARD)


@pytest.fixture(scope="module")
def net():
    return make_net()


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    return make_photos(tmp_path_factory.mktemp("photos"))


@pytest.fixture(scope="module")
def statistics(net, source):
    return channel_statistics(net, source, net.select(LAYERS), QUIET)


@pytest.fixture
def keep(net, source, statistics):
    """Spool with something else than usual."""

    def keep(folder, resume=False, **other):
        what = {"net": net, "source": source, "layers": LAYERS, "statistics": statistics} | other
        options = QUIET | what.pop("options", {})
        layers = what["net"].select(what.pop("layers"))
        return spool_peaks(**what, layers=layers, options=options, folder=folder, resume=resume)

    return keep


@pytest.fixture(scope="module")
def bad(tmp_path_factory):
    """Photos 3 to 5 and 9 to 10 cannot be read: at a border of shards, and at the end."""
    return make_photos(tmp_path_factory.mktemp("bad"), bad=(3, 4, 5, 9, 10))


def contents(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def manifest_of(folder):
    return json.loads((folder / "manifest.json").read_bytes())


def shards_of(folder):
    return manifest_of(folder)["shards"]


def stop_after(monkeypatch, answers):
    """Let the network answer so many times, twice for a batch with mirror images, and fail then."""
    real, left = eg.Backbone.capture, [answers]

    def capture(self, batch, layers):
        if left[0] == 0:
            raise CutError
        left[0] -= 1
        return real(self, batch, layers)

    monkeypatch.setattr(eg.Backbone, "capture", capture)


def watch(monkeypatch):
    """Return a list to which each batch's size is added when the network sees it."""
    real, seen = eg.Backbone.capture, []

    def capture(self, batch, layers):
        seen.append(len(batch))
        return real(self, batch, layers)

    monkeypatch.setattr(eg.Backbone, "capture", capture)
    return seen


# -- what is in the files --------------------------------------------------------------------------


@pytest.mark.parametrize("mirror", [True, False])
def test_spool__holds_what_extraction_gives(net, source, statistics, keep, tmp_path, mirror):
    options = QUIET | {"mirror": mirror}
    expected = extract_peaks(net, source, net.select(LAYERS), statistics, options)
    spooled = keep(tmp_path, options=options)
    same_sets(spooled.load(), expected)
    assert np.array_equal(spooled.photo_size, expected.photo_size)
    assert len(spooled) == N
    assert spooled.n_views == expected.n_views
    for layer, spec in enumerate(expected.layers):
        for c in range(spec.channels):
            ours, theirs = spooled.block(layer, c, c + 1), expected.block(layer, c, c + 1)
            for a, b in zip(ours[:4], theirs[:4], strict=True):
                assert a.tobytes() == b[:, c : c + 1].tobytes()


def test_spool__can_be_opened_again(keep, tmp_path):
    first, again = keep(tmp_path), open_spool(tmp_path)
    same_sets(again.load(), first.load())
    assert again.digest == first.digest


def test_shards__have_whole_batches_in_the_order_of_the_source(keep, tmp_path):
    keep(tmp_path)
    shards = shards_of(tmp_path)
    assert [s["file"] for s in shards] == [f"shard-0000{i}.safetensors" for i in range(3)]
    assert [(s["first"], s["next"], s["photos"]) for s in shards] == [
        (0, 4, 4),
        (4, 8, 4),
        (8, 11, 3),
    ]
    assert manifest_of(tmp_path)["complete"] is True


@pytest.mark.parametrize("batch, counts", [(3, [3, 3, 3, 2]), (4, [4, 4, 3]), (5, [5, 5, 1])])
def test_shards__hold_at_least_one_batch(keep, tmp_path, batch, counts):
    keep(tmp_path, options={"batch_size": batch})
    assert [s["photos"] for s in shards_of(tmp_path)] == counts


def test_shards__one_photo_at_a_time_where_rounding_must_be_the_same(keep, tmp_path):
    keep(tmp_path, options={"deterministic": True, "batch_size": 3})
    assert [s["photos"] for s in shards_of(tmp_path)] == [4, 4, 3]


def test_shards__have_filters_before_photos(keep, tmp_path):
    keep(tmp_path)
    with safe_open(tmp_path / "shard-00002.safetensors", framework="numpy") as file:
        assert file.get_tensor("peaks.1.yx").shape == (5, 3, 8, 2)
        assert file.get_tensor("mirrored.0.weight").shape == (4, 3, 8)
        assert file.get_tensor("frames").shape[0] == 3
        header = json.loads(file.metadata()["explgraph"])
    assert len(header.pop("digest")) == 64
    assert len(header.pop("stamp")) == 64
    covered = {"first": 8, "next": 11, "skipped": []}
    names = ["08.png", "09.png", "10.png"]
    assert header == {"images": names, "kind": "shard", "schema": 2, **covered}


def test_spool__leaves_other_files_alone(keep, tmp_path):
    (tmp_path / "notes.txt").write_text("mine")
    (tmp_path / "shard-of-glass.tmp").write_text("mine, too")
    keep(tmp_path)
    keep(tmp_path, resume=True)
    assert (tmp_path / "notes.txt").read_text() == "mine"
    assert (tmp_path / "shard-of-glass.tmp").exists()


# -- photos that cannot be read --------------------------------------------------------------------


def test_skipped__shorten_their_shard_and_no_other(keep, bad, tmp_path, net, statistics):
    """Readable are 0, 1, 2, 6, 7, 8: batches (0, 1), (2); (6, 7); (8)."""
    spooled = keep(tmp_path, source=bad)
    shards = shards_of(tmp_path)
    assert [(s["first"], s["next"], s["photos"]) for s in shards] == [
        (0, 4, 3),
        (4, 8, 2),
        (8, 11, 1),
    ]
    names = [["03.png"], ["04.png", "05.png"], ["09.png", "10.png"]]
    assert [s["skipped"] for s in shards] == names
    same_sets(spooled.load(), extract_peaks(net, bad, net.select(LAYERS), statistics, QUIET))


@pytest.mark.parametrize("broken", [(4, 5), (3, 4), (0, 1, 2, 3), range(4, 11), range(10)], ids=str)
def test_skipped__wherever_they_are(keep, tmp_path, net, statistics, broken):
    (photos := tmp_path / "photos").mkdir()
    source = make_photos(photos, broken)
    spooled = keep(tmp_path / "whole", source=source)
    same_sets(spooled.load(), extract_peaks(net, source, net.select(LAYERS), statistics, QUIET))
    shards = shards_of(tmp_path / "whole")
    assert shards[0]["first"] == 0
    assert shards[-1]["next"] == N
    assert all(a["next"] == b["first"] for a, b in pairwise(shards))


def test_skipped__all_of_them_is_an_error(keep, tmp_path):
    (photos := tmp_path / "photos").mkdir()
    with pytest.raises(ExplGraphError, match="none of the 11 images can be used"):
        keep(tmp_path / "spool", source=make_photos(photos, range(N)))


def test_strict__stops_at_the_first(keep, bad, tmp_path):
    with pytest.raises(ExplGraphError, match=r"03\.png"):
        keep(tmp_path, source=bad, options={"strict": True})


# -- interruption ----------------------------------------------------------------------------------


@pytest.mark.parametrize("photos", ["source", "bad"])
@pytest.mark.parametrize("batches", range(6))
def test_resume__gives_the_files_of_one_run(keep, tmp_path, monkeypatch, request, photos, batches):
    images = request.getfixturevalue(photos)
    keep(tmp_path / "whole", source=images)
    with monkeypatch.context() as patch:
        stop_after(patch, 2 * batches)
        if batches < (6 if photos == "source" else 4):
            with pytest.raises(CutError):
                keep(tmp_path / "cut", source=images)
            assert manifest_of(tmp_path / "cut")["complete"] is False
        else:
            keep(tmp_path / "cut", source=images)
    keep(tmp_path / "cut", source=images, resume=True)
    assert contents(tmp_path / "cut") == contents(tmp_path / "whole")


def test_resume__goes_on_as_often_as_need_be(keep, tmp_path, monkeypatch):
    """Three batches make one shard and tell that it is whole; the fifth and sixth are the rest."""
    keep(tmp_path / "whole")
    for shards in (1, 2):
        with monkeypatch.context() as patch:
            stop_after(patch, 6)
            with pytest.raises(CutError):
                keep(tmp_path / "cut", resume=True)
        assert len(shards_of(tmp_path / "cut")) == shards
    stop_after(monkeypatch, 4)
    keep(tmp_path / "cut", resume=True)
    assert contents(tmp_path / "cut") == contents(tmp_path / "whole")


def test_resume__shows_the_network_only_what_is_missing(keep, tmp_path, monkeypatch):
    with monkeypatch.context() as patch:
        stop_after(patch, 10)
        with pytest.raises(CutError):
            keep(tmp_path)
    assert len(shards_of(tmp_path)) == 2
    seen = watch(monkeypatch)
    keep(tmp_path, resume=True)
    assert seen == [2, 2, 1, 1]  # photos 8 and 9, 10; each given and mirrored
    keep(tmp_path, resume=True)
    assert len(seen) == 4


def test_resume__where_nothing_is_yet_begins(keep, tmp_path):
    keep(tmp_path / "a")
    keep(tmp_path / "b", resume=True)
    assert contents(tmp_path / "a") == contents(tmp_path / "b")


def test_resume__removes_what_a_killed_process_left_half_written(keep, tmp_path):
    keep(tmp_path / "whole")
    keep(tmp_path / "cut")
    for digit in "123":
        (tmp_path / "cut" / f".explgraph-{16 * digit}.tmp").write_bytes(b"half")
    keep(tmp_path / "cut", resume=True)
    assert contents(tmp_path / "cut") == contents(tmp_path / "whole")


def test_resume__takes_no_shard_that_the_manifest_does_not_name(keep, tmp_path, monkeypatch):
    """A process may die between a shard and the manifest."""
    keep(tmp_path / "whole")
    with monkeypatch.context() as patch:
        stop_after(patch, 6)
        with pytest.raises(CutError):
            keep(tmp_path / "cut")
    (tmp_path / "cut" / "shard-00001.safetensors").write_bytes(b"of unknown origin")
    keep(tmp_path / "cut", resume=True)
    assert contents(tmp_path / "cut") == contents(tmp_path / "whole")


KILLED = """
import os, signal, sys
from pathlib import Path
from explgraph.peaks import reading
from explgraph.peaks.statistics import channel_statistics
from tests.peaks.spool.test_spool import LAYERS, QUIET, SHARD, make_net, open_images, spool_peaks

def die(*arguments):
    os.kill(os.getpid(), signal.SIGKILL)

reading.GROUP = SHARD
photos, folder, where = sys.argv[1:]
net, source = make_net(), open_images(photos)
layers = net.select(LAYERS)
statistics = channel_statistics(net, source, layers, QUIET)
rename, capture, left = Path.replace, type(net).capture, [7]

def count_down(self, batch, names):
    left[0] -= 1
    return die() if left[0] == 0 else capture(self, batch, names)

def stumble(self, target):
    return die() if "shard-00001" in str(target) else rename(self, target)

if where == "network":
    type(net).capture = count_down
if where == "rename":
    Path.replace = stumble
spool_peaks(net, source, layers, statistics, QUIET, folder)
"""


@pytest.mark.slow
@pytest.mark.parametrize("where", ["network", "rename"])
def test_resume__after_a_kill(keep, tmp_path, where):
    (photos := tmp_path / "photos").mkdir()
    source = make_photos(photos)
    keep(tmp_path / "whole", source=source)
    done = subprocess.run(
        [sys.executable, "-c", KILLED, str(photos), str(tmp_path / "cut"), where],
        cwd=Path(__file__).parents[3],
        capture_output=True,
        check=False,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
    )
    assert done.returncode == -signal.SIGKILL, done.stderr
    assert len(shards_of(tmp_path / "cut")) == 1
    half = list((tmp_path / "cut").glob(".*.tmp"))
    assert len(half) == (1 if where == "rename" else 0)
    keep(tmp_path / "cut", source=source, resume=True)
    assert contents(tmp_path / "cut") == contents(tmp_path / "whole")


# -- damage ----------------------------------------------------------------------------------------


def flip(path):
    data = bytearray(path.read_bytes())
    data[-9] ^= 1
    path.write_bytes(data)


def cut_off(path):
    path.write_bytes(path.read_bytes()[:-100])


DAMAGES = {"flipped": flip, "cut off": cut_off, "missing": Path.unlink}


@pytest.mark.parametrize("damage", DAMAGES.values(), ids=DAMAGES)
@pytest.mark.parametrize("number", [0, 1, 2])
def test_damage__is_mended_and_named(keep, tmp_path, monkeypatch, caplog, damage, number):
    keep(tmp_path)
    whole = contents(tmp_path)
    damage(tmp_path / f"shard-0000{number}.safetensors")
    seen = watch(monkeypatch)
    with caplog.at_level(logging.WARNING, "explgraph"):
        keep(tmp_path, resume=True)
    assert contents(tmp_path) == whole
    assert sum(seen) == 2 * (4, 4, 3)[number]
    assert [f"shard-0000{number}.safetensors" in text for text in caplog.messages] == [True]


def test_damage__among_photos_that_cannot_be_read(keep, bad, tmp_path):
    keep(tmp_path, source=bad)
    whole = contents(tmp_path)
    flip(tmp_path / "shard-00000.safetensors")
    keep(tmp_path, source=bad, resume=True)
    assert contents(tmp_path) == whole


def test_damage__of_an_interrupted_run(keep, tmp_path, monkeypatch):
    keep(tmp_path / "whole")
    with monkeypatch.context() as patch:
        stop_after(patch, 10)
        with pytest.raises(CutError):
            keep(tmp_path / "cut")
    flip(tmp_path / "cut" / "shard-00000.safetensors")
    keep(tmp_path / "cut", resume=True)
    assert contents(tmp_path / "cut") == contents(tmp_path / "whole")


def test_open_spool__needs_a_spool(tmp_path):
    with pytest.raises(ExplGraphError, match=r"is no spool folder: there is no manifest\.json"):
        open_spool(tmp_path)


@pytest.mark.parametrize(
    "change, message",
    [
        ({"kind": "graph"}, "holds 'graph', expected 'spool'"),
        ({"schema": 3}, "has schema 3, this version reads up to 2: update explgraph"),
        ({"shards": [{"file": "a"}]}, "is not a whole explgraph spool file"),
        ({"shards": 3}, "is not a whole explgraph spool file"),
    ],
    ids=str,
)
def test_manifest__of_another_kind_is_refused(keep, tmp_path, change, message):
    keep(tmp_path)
    (tmp_path / "manifest.json").write_text(json.dumps(manifest_of(tmp_path) | change))
    with pytest.raises(ExplGraphError, match=message):
        open_spool(tmp_path)


@pytest.mark.parametrize("text", ["", "{", "[]", "\xff"])
def test_manifest__must_be_json(keep, tmp_path, text):
    keep(tmp_path)
    (tmp_path / "manifest.json").write_bytes(text.encode("latin1"))
    with pytest.raises(ExplGraphError, match="is not a whole explgraph spool file"):
        keep(tmp_path, resume=True)


@pytest.mark.parametrize("name", ["../shard-00000.safetensors", "/etc/passwd"])
def test_manifest__names_files_of_its_folder_only(keep, tmp_path, name):
    keep(tmp_path)
    manifest = manifest_of(tmp_path)
    manifest["shards"][0]["file"] = name
    (tmp_path / "manifest.json").write_text(json.dumps(manifest))
    with pytest.raises(ExplGraphError, match=r"shard 0 must be shard-00000\.safetensors"):
        open_spool(tmp_path)


def test_shard__that_vanishes_while_it_is_used_is_an_error(keep, tmp_path):
    spooled = keep(tmp_path)
    (tmp_path / "shard-00001.safetensors").unlink()
    with pytest.raises(ExplGraphError, match=r"shard-00001\.safetensors cannot be read .*--resume"):
        spooled.block(0, 0, 1)


# -- another extraction ----------------------------------------------------------------------------


def test_spool__is_not_overwritten(keep, tmp_path):
    keep(tmp_path)
    before = contents(tmp_path)
    with pytest.raises(ExplGraphError, match=r"holds a spool already: pass resume=True \(--resume"):
        keep(tmp_path)
    assert contents(tmp_path) == before


def other_key(name, net, source, statistics):
    scaled = tuple(scale * 2 for scale in statistics.scale)
    named = source.renamed([f"x{name}" for name in source.names])
    return {
        "batch_size": {"options": {"batch_size": 4}},
        "deterministic": {"options": {"deterministic": True}},
        "mirror": {"options": {"mirror": False}},
        "network.weight_hash": {"net": make_net(seed=1)},
        "channel_statistics": {"statistics": ChannelStatistics(statistics.mean, scaled)},
        "images.count": {"source": source.take(range(N - 1))},
        "images.sha256": {"source": named},
    }[name]


@pytest.mark.parametrize(
    "name",
    [
        "batch_size",
        "deterministic",
        "mirror",
        "network.weight_hash",
        "channel_statistics",
        "images.count",
        "images.sha256",
    ],
)
def test_resume__of_another_extraction_names_what_differs(
    keep, tmp_path, net, source, statistics, name
):
    keep(tmp_path)
    before = contents(tmp_path)
    with pytest.raises(ExplGraphError, match=r"spool of another run") as caught:
        keep(tmp_path, resume=True, **other_key(name, net, source, statistics))
    assert f"{name} is " in str(caught.value)
    others = {"batch_size", "mirror", "channel_statistics", "images.count", "layers"} - {name}
    if name == "deterministic":
        others.discard("batch_size")  # one photo at a time
    assert not [other for other in others if f"{other} is " in str(caught.value)]
    assert contents(tmp_path) == before


def test_resume__of_other_layers_names_them(keep, tmp_path, statistics):
    keep(tmp_path)
    first = ChannelStatistics(statistics.mean[:1], statistics.scale[:1])
    with pytest.raises(ExplGraphError, match="layers is "):
        keep(tmp_path, resume=True, layers=LAYERS[:1], statistics=first)


def test_spool__needs_a_folder(keep, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(ExplGraphError, match="is a file: expected a folder"):
        keep(tmp_path / "file")


def test_spool__holds_no_maps(keep, tmp_path):
    with pytest.raises(ExplGraphError, match="a spool holds no response maps"):
        keep(tmp_path, options={"maps": True})
    assert contents(tmp_path) == {}


# -- channel statistics ----------------------------------------------------------------------------


def test_statistics__are_measured_once(net, source, tmp_path, monkeypatch, statistics):
    specs = net.select(LAYERS)
    first = spool_statistics(net, source, specs, QUIET, tmp_path)
    seen = watch(monkeypatch)
    again = spool_statistics(net, source, specs, QUIET, tmp_path, resume=True)
    assert seen == []
    for found in (first, again):
        for ours, theirs in zip((*found.mean, *found.scale), sum(statistics, ()), strict=True):
            assert ours.tobytes() == theirs.tobytes()


def test_statistics__that_are_damaged_are_measured_again(net, source, tmp_path, caplog):
    specs = net.select(LAYERS)
    spool_statistics(net, source, specs, QUIET, tmp_path)
    whole = contents(tmp_path)
    cut_off(tmp_path / "statistics.safetensors")
    with caplog.at_level(logging.WARNING, "explgraph"):
        spool_statistics(net, source, specs, QUIET, tmp_path, resume=True)
    assert contents(tmp_path) == whole
    assert "channel statistics are measured again" in caplog.text


def test_statistics__of_another_background_are_refused(net, source, tmp_path):
    specs = net.select(LAYERS)
    spool_statistics(net, source, specs, QUIET, tmp_path)
    with pytest.raises(ExplGraphError, match=r"images\.count is 11 there and 5 here"):
        spool_statistics(net, source.take(range(5)), specs, QUIET, tmp_path, resume=True)
    with pytest.raises(ExplGraphError, match="holds a spool already"):
        spool_statistics(net, source, specs, QUIET, tmp_path)


def test_statistics__are_not_measured_for_a_spool_that_may_not_be_used(
    net, source, keep, tmp_path, monkeypatch
):
    keep(tmp_path)
    seen = watch(monkeypatch)
    with pytest.raises(ExplGraphError, match="holds a spool already"):
        spool_statistics(net, source, net.select(LAYERS), QUIET, tmp_path)
    assert seen == []


# -- memory ----------------------------------------------------------------------------------------


def test_memory__is_that_of_one_shard(net, keep, tmp_path):
    """Peak memory for three shards and for twelve."""
    photos = np.random.default_rng(1).integers(0, 256, (12 * SHARD, SIDE, SIDE, 3), dtype=np.uint8)
    most = []
    for count in (1, 3, 12):  # the first fills the caches
        gc.collect()
        tracemalloc.start()
        keep(tmp_path / str(count), source=open_images(photos[: count * SHARD]))
        most.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    shard = (tmp_path / "12" / "shard-00000.safetensors").stat().st_size
    assert most[2] - most[1] < 9 * shard  # nine shards more are not held as well


def test_memory__of_reading_is_that_of_what_is_asked_for(net, keep, tmp_path):
    photos = np.random.default_rng(1).integers(0, 256, (12 * SHARD, SIDE, SIDE, 3), dtype=np.uint8)
    spooled = keep(tmp_path, source=open_images(photos))
    one_filter = 2 * 12 * SHARD * extraction.N_PEAKS * 3 * 4
    tracemalloc.start()
    block = spooled.block(1, 2, 3)
    most = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert sum(array.nbytes for array in block[:4]) == one_filter
    assert most < 2 * one_filter + 20_000


def test_manifest__of_many_shards_is_not_written_after_each(tmp_path, monkeypatch):
    """That would be the square of them; the first are listed one by one."""
    whole = manifest_of_many(200)
    listed = writing._Listed(dataclasses.replace(whole, shards=(), complete=False), tmp_path, 200)
    written = []
    monkeypatch.setattr(Manifest, "write", lambda self, _folder: written.append(len(self.shards)))
    with listed.now_and_then() as add:
        for shard in whole.shards:
            add(shard)
    assert written[:32] == list(range(1, 33))
    assert len(written) < 110
    assert written[-1] == 200


def manifest_of_many(count):
    """Shards of a photo each."""
    key = {"images": {"count": count, "sha256": "0" * 64}, "input_size": [8, 8], "mirror": False}
    key["layers"] = [layer.to_json() for layer in make_net().select(LAYERS)]
    key |= {"n_peaks": 8, "network": {}}
    shards = (Shard(shard_name(i), "0" * 64, i, i + 1, 1, ()) for i in range(count))
    return Manifest(key, tuple(shards), complete=True)
