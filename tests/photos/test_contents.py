"""What archives hold is kept, and read again as long as they are the same."""

import os

import fsspec
import numpy as np
import pytest

import explgraph as eg
from explgraph.photos import packed
from explgraph.photos.contents import kept_contents
from explgraph.photos.images import open_images
from explgraph.photos.remote import RemoteFile

from .tars import picture, tar_of

NAMES = ["a/0.png", "a/0.mask.png", "b/1.jpg", "b/2.heic", os.fsdecode(b"b/\xff.png")]


@pytest.fixture
def members():
    return {name: picture(i) for i, name in enumerate(NAMES)}


@pytest.fixture(params=["here", "elsewhere"])
def archives(request, tmp_path, members):
    """Two archives: what opens them, and what writes the second one anew."""
    if request.param == "here":
        place, write = f"{tmp_path}/t-{{0..1}}.tar", lambda i, d: paths[i].write_bytes(d)
        paths = [tmp_path / f"t-{i}.tar" for i in range(2)]
    else:
        files = fsspec.filesystem("memory")
        place = "memory://contents/t-{0..1}.tar"
        write = lambda i, d: files.pipe_file(f"/contents/t-{i}.tar", d)  # noqa: E731
    for i in range(2):
        write(i, tar_of(members))
    return place, write


def opened(place, folder, monkeypatch):
    """Return the source, and how many archives were gone through."""
    gone, real = [], packed._gone_through
    with monkeypatch.context() as patch, kept_contents(folder):
        patch.setattr(packed, "_gone_through", lambda *given: gone.append(0) or real(*given))
        return open_images(place), len(gone)


def look(source):
    return source.names, [np.asarray(source.load(i).image).tobytes() for i in range(len(source))]


def test_archives__are_gone_through_once(archives, tmp_path, monkeypatch, members, caplog):
    place, write = archives
    folder = tmp_path / "kept"
    plain, times = opened(place, None, monkeypatch)
    assert (times, len(plain), folder.exists()) == (2, 6, False)
    told = []
    for expected in (2, 0):
        caplog.clear()
        source, times = opened(place, folder, monkeypatch)
        assert times == expected
        assert look(source) == look(plain)
        told.append(caplog.messages)
    assert told[0] == told[1] != []  # what is left out is said again
    write(1, tar_of({"c.png": picture(9), **members}))
    source, times = opened(place, folder, monkeypatch)
    assert (times, len(source)) == (1, 7)
    assert len(list(folder.iterdir())) == 3


@pytest.mark.parametrize("harm", [lambda d: d[:-1], lambda d: d.replace(b"a/0", b"a/1"), len])
def test_contents__that_are_damaged_are_found_anew(archives, tmp_path, monkeypatch, harm):
    place, _ = archives
    plain, _ = opened(place, tmp_path / "kept", monkeypatch)
    for path in (tmp_path / "kept").iterdir():
        path.write_bytes(bytes(harm(path.read_bytes())))
    source, times = opened(place, tmp_path / "kept", monkeypatch)
    assert times == 2
    assert look(source) == look(plain)
    assert opened(place, tmp_path / "kept", monkeypatch)[1] == 0


def test_contents__of_what_tells_no_version_are_not_kept(archives, tmp_path, monkeypatch):
    monkeypatch.setattr(RemoteFile, "version", lambda _: None)
    place, _ = archives
    for _ in range(2):
        _, times = opened(place, tmp_path / "kept", monkeypatch)
    assert (times == 2) == place.startswith("memory")


def test_mine__keeps_them_in_its_spool(files, tmp_path, monkeypatch):
    photos = {path.name: path.read_bytes() for path in (files.zoo / "fish").iterdir()}
    (tmp_path / "fish.tar").write_bytes(tar_of(photos))
    net = eg.load_backbone(files.small_model, device="cpu")
    how = {"spool": tmp_path / "s", "layers": ("relu3",), "progress": False}
    eg.mine(net, tmp_path / "fish.tar", **how)
    monkeypatch.setattr(packed, "_gone_through", None)
    eg.mine(net, tmp_path / "fish.tar", resume=True, **how)
