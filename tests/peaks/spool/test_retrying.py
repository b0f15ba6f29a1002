"""A photo that can be read again is in the spool: the files are those of a run without trouble."""

import errno
import json
import os

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

import explgraph as eg
from explgraph.base import files
from explgraph.base.errors import ExplGraphError
from explgraph.peaks import reading, statistics
from explgraph.peaks.spool import writing as spool
from explgraph.photos import opening
from explgraph.photos.images import open_images

SIDE, N = 24, 11
LAYERS = ("1", "3")
QUIET = {"progress": False, "batch_size": 2}


@pytest.fixture(autouse=True)
def small_shards(monkeypatch):
    monkeypatch.setattr(reading, "GROUP", 4)


@pytest.fixture
def photos(tmp_path):
    """A folder of eleven photos."""
    folder, rng = tmp_path / "photos", np.random.default_rng(0)
    folder.mkdir()
    for i in range(N):
        pixels = rng.integers(0, 256, (SIDE, SIDE, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(folder / f"{i:02d}.png")
    return folder


def run(photos, folder, resume=False, background=None):
    """Measure and spool as `explgraph.mine` does; return what is in the folder."""
    torch.manual_seed(0)
    module = nn.Sequential(
        nn.Conv2d(3, 4, 5, stride=4, padding=2), nn.ReLU(), nn.Conv2d(4, 5, 3, padding=1), nn.ReLU()
    )
    net = eg.Backbone(module, name="tiny", input_size=(SIDE, SIDE), device="cpu")
    source, layers = open_images(photos), net.select(LAYERS)
    what = source if background is None else open_images(background)
    measured = spool.spool_statistics(net, what, layers, QUIET, folder, resume=resume)
    spool.spool_peaks(net, source, layers, measured, QUIET, folder, resume=resume)
    return {path.name: path.read_bytes() for path in folder.iterdir()}


class CutError(Exception):
    """Stands for whatever ends a run."""


def fail_after(patch, batches):
    """End the run when so many batches were measured."""
    real, left = statistics.captured, [batches]

    def captured(*given):
        if left[0] == 0:
            raise CutError
        left[0] -= 1
        return real(*given)

    patch.setattr(statistics, "captured", captured)


def hidden(photos, broken):
    """Spoil some photos; return a function that mends them."""
    sound = {i: (photos / f"{i:02d}.png").read_bytes() for i in broken}
    for i in broken:
        (photos / f"{i:02d}.png").write_bytes(b"")

    def mend(which=broken):
        for i in which:
            (photos / f"{i:02d}.png").write_bytes(sound[i])

    return mend


def skipped_of(contents):
    shards = json.loads(contents["manifest.json"])["shards"]
    return [name for shard in shards for name in shard["skipped"]]


@pytest.mark.parametrize("broken", [(0,), (5,), (10,), (3, 4, 8), (1, 2, 3, 4)], ids=str)
def test_resume__photos_that_can_be_read_now_are_in_it(photos, tmp_path, broken, caplog):
    whole = run(photos, tmp_path / "whole")
    mend = hidden(photos, broken)
    assert len(skipped_of(run(photos, tmp_path / "spool"))) == len(broken)
    mend()
    assert run(photos, tmp_path / "spool", resume=True) == whole
    assert f"{broken[0]:02d}.png can be read now" in caplog.text


def test_resume__shards_before_the_photo_are_kept(photos, tmp_path, monkeypatch):
    """With a background of its own: then the statistics have nothing to do with the photo."""
    (others := tmp_path / "others").mkdir()
    for name in ("00.png", "01.png"):
        (others / name).write_bytes((photos / name).read_bytes())
    whole = run(photos, tmp_path / "whole", background=others)
    mend = hidden(photos, (9,))
    run(photos, tmp_path / "spool", background=others)
    mend()
    seen, real = [], eg.Backbone.capture
    monkeypatch.setattr(
        eg.Backbone, "capture", lambda *given: seen.append(len(given[1])) or real(*given)
    )
    assert run(photos, tmp_path / "spool", resume=True, background=others) == whole
    assert seen == [2, 2, 1, 1]  # the last shard alone, photos given and mirrored


def test_resume__photos_that_still_cannot_be_read_change_nothing(photos, tmp_path, monkeypatch):
    mend = hidden(photos, (3, 9))
    before = run(photos, tmp_path / "spool")
    with monkeypatch.context() as patch:
        patch.setattr(eg.Backbone, "capture", None)  # the network is not needed
        assert run(photos, tmp_path / "spool", resume=True) == before
    mend((9,))
    after = run(photos, tmp_path / "spool", resume=True)
    assert skipped_of(after) == ["03.png"]
    assert after == run(photos, tmp_path / "afresh")


def test_resume__sums_that_miss_a_photo_are_not_gone_on_from(photos, tmp_path, monkeypatch):
    whole = run(photos, tmp_path / "whole")
    for later in (True, False):  # whether the photo comes after the sums that are kept
        mend = hidden(photos, (9,) if later else (1,))
        folder = tmp_path / f"spool-{later}"
        with monkeypatch.context() as patch:
            patch.setattr(files, "MOST_LOST", 0.0)
            patch.setattr(files, "_PATIENCE", 0)
            fail_after(patch, 3)
            with pytest.raises(CutError):
                run(photos, folder)
        assert (folder / "stage-background.safetensors").exists()
        mend()
        assert run(photos, folder, resume=True) == whole


@pytest.mark.parametrize("number", [errno.EIO, errno.EMFILE], ids=["EIO", "EMFILE"])
def test_resume__a_failing_disk_is_not_remembered(photos, tmp_path, monkeypatch, number):
    whole = run(photos, tmp_path / "whole")
    real = opening.open_regular

    def fail(path):
        if os.fspath(path).endswith("07.png"):
            raise OSError(number, os.strerror(number), os.fspath(path))
        return real(path)

    for background in (None, tmp_path / "whole-background"):
        folder = tmp_path / f"spool-{background is None}"
        if background is not None:
            background.mkdir()
            (background / "a.png").write_bytes((photos / "00.png").read_bytes())
            whole = run(photos, tmp_path / "whole-2", background=background)
        with monkeypatch.context() as patch:
            patch.setattr(opening, "open_regular", fail)
            with pytest.raises(ExplGraphError, match=r"07\.png.*could not be read this time"):
                run(photos, folder, background=background)
        assert run(photos, folder, resume=True, background=background) == whole
