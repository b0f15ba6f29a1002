"""Commands take photos in tar archives and at addresses as they take those of a folder."""

import json
import shutil
import tarfile

import fsspec
import pytest

from explgraph.photos import remote
from tests.support.commands import ok, refused
from tests.support.world import SMALL_LAYERS as LAYERS

from .test_mining import command


def packed(folder, target):
    target.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(target, "w") as tar:
        for path in sorted(folder.rglob("*.png")):
            tar.add(path, arcname=path.relative_to(folder).as_posix())
    return target


@pytest.fixture
def memory(monkeypatch):
    """The file system in memory, empty."""
    found = fsspec.filesystem("memory")
    monkeypatch.setattr(type(found), "store", {})
    monkeypatch.setattr(type(found), "pseudo_dirs", [""])
    return found


def mined(images, files, out, *options):
    return ok("mine", images, *command(files), *options, "--out", out)


def test_mine__graph_of_an_archive_is_that_of_the_folder(files, tmp_path):
    archive, out = packed(files.zoo / "fish", tmp_path / "fish.tar"), tmp_path / "g.safetensors"
    mined(archive, files, out)
    assert out.read_bytes() == files.small_graph.read_bytes()


@pytest.mark.parametrize("what", ["photos", "photos.tar"])
def test_mine__graph_of_an_address_is_that_of_the_folder(files, tmp_path, memory, what):
    memory.put(str(packed(files.zoo / "fish", tmp_path / "fish.tar")), "/photos.tar")
    for path in (files.zoo / "fish").iterdir():
        memory.pipe_file(f"/photos/{path.name}", path.read_bytes())
    mined(f"memory://{what}", files, tmp_path / "g.safetensors")
    assert (tmp_path / "g.safetensors").read_bytes() == files.small_graph.read_bytes()


@pytest.mark.parametrize("elsewhere", [False, True])
def test_mine__background_in_an_archive(files, tmp_path, memory, elsewhere):
    archive, out = packed(files.background, tmp_path / "b.tar"), tmp_path / "g.safetensors"
    memory.put(str(archive), "/b.tar")
    background = "memory://b.tar" if elsewhere else archive
    mined(files.zoo / "fish", files, out, "--background", background)
    assert out.read_bytes() == files.small_graph.read_bytes()


def test_mine__spool_of_a_folder_goes_on_with_the_archive_made_of_it(files, tmp_path):
    archive, spool = packed(files.zoo / "fish", tmp_path / "fish.tar"), tmp_path / "spool"
    mined(files.zoo / "fish", files, tmp_path / "first.safetensors", "--spool", spool)
    whole = (spool / "shard-00000.safetensors").read_bytes()
    (spool / "shard-00000.safetensors").unlink()
    mined(archive, files, tmp_path / "g.safetensors", "--spool", spool, "--resume")
    assert (spool / "shard-00000.safetensors").read_bytes() == whole
    assert (tmp_path / "g.safetensors").read_bytes() == files.small_graph.read_bytes()


@pytest.mark.parametrize("what", ["photos", "photos.tar"])
def test_mine__a_network_that_is_lost_skips_nothing_and_the_spool_goes_on(
    files, tmp_path, memory, monkeypatch, what
):
    memory.put(str(packed(files.zoo / "fish", tmp_path / "fish.tar")), "/photos.tar")
    for path in (files.zoo / "fish").iterdir():
        memory.pipe_file(f"/photos/{path.name}", path.read_bytes())
    args = (f"memory://{what}", *command(files), "--spool", tmp_path / "spool")
    true, calls = type(memory).cat_file, []

    def lost(*args, **options):
        calls.append(args)
        if len(calls) > 5:
            raise ConnectionResetError("the network is down")
        return true(*args, **options)

    monkeypatch.setattr(remote, "_PAUSES", (0.0, 0.0))
    with monkeypatch.context() as patch:
        patch.setattr(type(memory), "cat_file", lost)  # each thread has one of its own
        said = refused("mine", *args, "--out", tmp_path / "g.safetensors")
    assert "the network is down" in said and "not the picture's fault" in said
    assert not (tmp_path / "g.safetensors").exists()
    done = ok("mine", *args, "--resume", "--out", tmp_path / "g.safetensors")
    assert json.loads(done.stdout)["skipped"] == []
    assert (tmp_path / "g.safetensors").read_bytes() == files.small_graph.read_bytes()


def test_mine__shards_are_no_class_folders(files, tmp_path):
    for i in range(2):
        packed(files.zoo / "fish", tmp_path / "shards" / f"{i}.tar")
    few = ("--model", files.small_model, "--layers", LAYERS[1], "--json")
    for images in (tmp_path / "shards", f"{tmp_path}/shards/{{0..1}}.tar"):
        done = ok("mine", images, *few, "--out", tmp_path / "g.safetensors")
        assert json.loads(done.stdout)["photos"] == 2 * len(list((files.zoo / "fish").iterdir()))
        assert "sub-folders" not in done.stderr
        said = refused("mine", images, *few, "--per-class", "--out", tmp_path / "graphs")
        assert "holds no folders, one for each class" in said


@pytest.mark.parametrize("where", ["archive", "address", "folders of archives"])
def test_mine_per_class__folders_in_an_archive_or_at_an_address(files, tmp_path, memory, where):
    if where == "folders of archives":
        images = tmp_path / "zoo"
        for name in ("cat", "fish"):
            packed(files.zoo / name, images / name / "0.tar")
    else:
        images = packed(files.zoo, tmp_path / "zoo.tar")
    if where == "address":
        memory.put(str(images), "/zoo.tar")
        images = "memory://zoo.tar"
    out = tmp_path / "graphs"
    done = ok("mine", images, "--per-class", *command(files), "--out", out)
    assert list(json.loads(done.stdout)["graphs"]) == ["cat", "fish"]
    if where != "folders of archives":  # in which photos have other names
        assert (out / "fish.safetensors").read_bytes() == files.small_graph.read_bytes()


def test_match__photos_at_an_address(files, tmp_path, memory):
    for path in (files.zoo / "fish").iterdir():
        memory.pipe_file(f"/photos/{path.name}", path.read_bytes())
    expected, found = tmp_path / "expected.safetensors", tmp_path / "found.safetensors"
    ok("match", files.small_graph, files.zoo / "fish", "--model", files.small_model,
       "--out", expected)  # fmt: skip
    ok("match", files.small_graph, "memory://photos", "--model", files.small_model, "--out", found)
    assert found.read_bytes() == expected.read_bytes()


def test_mine__archive_that_is_compressed_or_absent(files, tmp_path):
    out = ("--model", files.small_model, "--out", tmp_path / "g.safetensors")
    shutil.make_archive(str(tmp_path / "x"), "gztar", files.zoo / "fish")
    assert "compressed archive" in refused("mine", tmp_path / "x.tar.gz", *out)
    assert "does not exist" in refused("mine", tmp_path / "y.tar", *out)
    assert "explgraph[cloud]" in refused("mine", "nothing://x", *out)
