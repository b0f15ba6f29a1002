"""Photos at addresses are those of a folder; what fails for a while is asked for again."""

import pickle
import subprocess
import sys
import zipfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import fsspec
import numpy as np
import pytest

from explgraph.base.errors import ExplGraphError
from explgraph.photos import remote
from explgraph.photos.decoding import UnreadableImageError
from explgraph.photos.images import open_images
from explgraph.photos.tars import Ahead

from .tars import picture, tar_of

KINDS = {"png": "PNG", "jpg": "JPEG"}


@pytest.fixture
def photos():
    names = [f"{'ab'[i % 2]}/{i:03d}.{list(KINDS)[i % 2]}" for i in range(8)]
    return {name: picture(i, KINDS[name[-3:]]) for i, name in enumerate(names)}


@pytest.fixture
def memory(photos, monkeypatch):
    """The file system in memory, with the photos in memory://bucket/photos."""
    files = fsspec.filesystem("memory")
    monkeypatch.setattr(type(files), "store", {})
    monkeypatch.setattr(type(files), "pseudo_dirs", [""])
    monkeypatch.setattr(remote, "_PAUSES", (0.0, 0.0))
    put(files, {f"bucket/photos/{name}": data for name, data in photos.items()})
    return files


@pytest.fixture
def folder(tmp_path, photos):
    for name, data in photos.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(data)
    return open_images(tmp_path)


def put(files, members):
    for name, data in members.items():
        files.pipe_file(f"/{name}", data)


def pixels(source):
    return [np.asarray(source.load(i).image) for i in range(len(source))]


def same(found, expected):
    return len(found) == len(expected) and all(map(np.array_equal, found, expected))


# ---- as a folder


@pytest.mark.parametrize("address", ["memory://bucket/photos", "memory://bucket/photos/"])
def test_open_images__address_has_the_photos_of_a_folder(memory, folder, address):
    put(memory, {"bucket/photos/.hidden/a.png": b"", "bucket/photos/a.txt": b"", "b.png": b""})
    found = open_images(address)
    assert found.names == folder.names
    assert same(pixels(found), pixels(folder))


def test_open_images__whole_file_system(memory, folder):
    found = open_images("memory://")
    assert found.names == tuple(f"bucket/photos/{name}" for name in folder.names)
    assert same(pixels(found), pixels(folder))


def test_open_images__one_photo_at_an_address(memory, photos):
    found = open_images("memory://bucket/photos/a/000.png")
    assert found.names == ("000.png",)
    assert len(pixels(found)) == 1


def test_open_images__list_and_pattern_of_addresses(memory):
    names = ["memory://bucket/photos/b/001.jpg", "memory://bucket/photos/a/000.png"]
    found = open_images(names)
    assert found.names == ("b/001.jpg", "a/000.png")
    pattern = open_images("memory://bucket/photos/{b/001.jpg,a/000.png}")
    assert pattern.names == found.names
    assert same(pixels(pattern), pixels(found))


def test_open_images__listed_files_whose_folders_begin_alike(memory):
    put(memory, {"c/ab/x.png": picture(0), "c/a/x.png": picture(1), "c/abc/d/x.png": picture(2)})
    listed = [f"memory://c/{folder}/x.png" for folder in ("ab", "a", "abc/d")]
    assert open_images(listed).names == ("ab/x.png", "a/x.png", "abc/d/x.png")


def test_open_images__file_address_is_a_path(tmp_path, folder):
    assert open_images(f"file://{tmp_path}").names == folder.names


def test_open_images__address_that_became_a_path(tmp_path):
    with pytest.raises(ExplGraphError, match="as a text, not as a path"):
        open_images(Path("s3://bucket/photos"))


# ---- archives


@pytest.mark.parametrize(
    "address",
    ["memory://s", "memory://s/x-{0..1}.tar", ["memory://s/x-0.tar", "memory://s/x-1.tar"]],
)
def test_open_images__archives_at_an_address(memory, photos, folder, address):
    items = list(photos.items())
    for i in range(2):
        put(memory, {f"s/x-{i}.tar": tar_of(dict(items[4 * i : 4 * i + 4]))})
    found = open_images(address)
    assert list(found.names) == [f"x-{i // 4}.tar/{name}" for i, name in enumerate(photos)]
    by_name = dict(zip(folder.names, pixels(folder), strict=True))
    assert same(pixels(found), [by_name[name] for name in photos])


def test_open_images__one_archive_at_an_address(memory, photos):
    put(memory, {"x.tar": tar_of(photos)})
    assert open_images("memory://x.tar").names == tuple(photos)


def test_open_images__archive_at_an_address_that_is_cut_off(memory, photos):
    put(memory, {"x.tar": tar_of(photos)[:3000]})
    with pytest.raises(ExplGraphError, match=r"x\.tar is cut off|x\.tar, at .* is cut off"):
        open_images("memory://x.tar")


def test_ahead__asks_seldom_where_headers_lie_close_and_for_little_where_they_do_not():
    asked = []

    def read(at, count):
        asked.append(count)
        return bytes(count)

    size = 1000 * 2**20
    close, far = Ahead(read, size, 2**18, 2**23), Ahead(read, size, 2**18, 2**23)
    for at in range(0, 2**28, 10**5):
        assert len(close(at, 512)) == 512
    assert len(asked) < 50 and sum(asked) < 1.1 * 2**28
    asked.clear()
    for at in range(0, size - 512, 20 * 2**20):
        far(at, 512)
    assert len(asked) == 50 and sum(asked) < 51 * 2**18 * 2


# ---- threads, processes


def test_load__address_in_many_threads(memory):
    source = open_images("memory://bucket/photos")
    expected, order = pixels(source), list(range(8)) * 20
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda i: np.asarray(source.load(i).image), order))
    assert same(found, [expected[i] for i in order])


@pytest.mark.parametrize("packed", [False, True])
def test_reader__travels_to_another_process(tmp_path, photos, packed):
    with zipfile.ZipFile(tmp_path / "x.zip", "w") as file:
        for name, data in {"x.tar": tar_of(photos)}.items() if packed else photos.items():
            file.writestr(f"in/{name}", data)
    names, read = remote.photos_at(f"zip://in::{tmp_path / 'x.zip'}", None)
    some = read.some([3, 1])
    assert some.names == (names[3], names[1])
    (tmp_path / "read.pickle").write_bytes(pickle.dumps(some))
    code = (
        "import pickle, sys, pathlib; read = pickle.loads(pathlib.Path(sys.argv[1]).read_bytes());"
        "sys.stdout.buffer.write(read(0).tobytes() + read(1).tobytes())"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path / "read.pickle")], capture_output=True, check=True
    )
    assert done.stdout == read(3).tobytes() + read(1).tobytes()


# ---- what is not there, and what fails


def test_open_images__nothing_at_an_address(memory):
    for address in ("memory://nobody", "memory://nobody/x.tar", "memory://nobody/a.png"):
        with pytest.raises(ExplGraphError, match=r"there are no images at|does not exist"):
            open_images(address)


def test_open_images__unknown_protocol():
    with pytest.raises(ExplGraphError, match=r"nothing://x.*explgraph\[cloud\]"):
        open_images("nothing://x")


def test_open_images__file_system_that_is_not_installed(monkeypatch):
    monkeypatch.setitem(sys.modules, "s3fs", None)
    with pytest.raises(ExplGraphError, match=r"s3fs.*explgraph\[cloud\]"):
        open_images("s3://bucket/photos")


@pytest.mark.parametrize(
    "images",
    [
        ["memory://bucket/photos/a/000.png", "here.png"],
        ["memory://bucket/photos/a/000.png", "memory://x.tar"],
    ],
)
def test_open_images__lists_of_two_kinds(memory, photos, images):
    put(memory, {"x.tar": tar_of(photos)})
    with pytest.raises(ExplGraphError, match="1 of the 2 listed"):
        open_images(images)


class Failing:
    """What a file system does when asked for bytes: fails some times, then goes on."""

    def __init__(self, monkeypatch, memory, error, times):
        self.left, self.calls, true = times, 0, memory.cat_file

        def cat_file(*args, **options):
            self.calls += 1
            if self.left:
                self.left -= 1
                raise error
            return true(*args, **options)

        monkeypatch.setattr(memory, "cat_file", cat_file)


ERRORS = [ConnectionResetError("reset"), TimeoutError("slow"), OSError("SlowDown")]


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("error", ERRORS, ids=repr)
def test_load__what_passes_is_asked_for_again(memory, photos, monkeypatch, error, packed):
    put(memory, {"x.tar": tar_of(photos)})
    source = open_images("memory://x.tar" if packed else "memory://bucket/photos")
    expected = pixels(source)[0]
    asked = Failing(monkeypatch, memory, error, times=2)
    np.testing.assert_array_equal(source.load(0).image, expected)
    assert asked.calls == 3


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize(
    ("error", "calls"),
    [*((error, 3) for error in ERRORS), (PermissionError("expired"), 1), (RuntimeError("x"), 1)],
    ids=repr,
)
def test_load__what_does_not_pass_ends_the_run(memory, photos, monkeypatch, error, calls, packed):
    put(memory, {"x.tar": tar_of(photos)})
    source = open_images("memory://x.tar" if packed else "memory://bucket/photos")
    asked = Failing(monkeypatch, memory, error, times=99)
    with pytest.raises(ExplGraphError, match="not the picture's fault") as caught:
        source.load(0)
    assert not isinstance(caught.value, UnreadableImageError)
    assert asked.calls == calls


def test_load__photo_that_is_gone_is_skipped_and_an_archive_is_not(memory, photos):
    put(memory, {"x.tar": tar_of(photos)})
    loose, packed = open_images("memory://bucket/photos"), open_images("memory://x.tar")
    memory.rm_file("/bucket/photos/a/000.png")
    memory.rm_file("/x.tar")
    with pytest.raises(UnreadableImageError, match=r"a/000\.png.*it is gone"):
        loose.load(0)
    with pytest.raises(ExplGraphError, match="not the picture's fault") as caught:
        packed.load(0)
    assert not isinstance(caught.value, UnreadableImageError)


def test_load__archive_that_became_shorter_ends_the_run(memory, photos):
    put(memory, {"x.tar": tar_of(photos)})
    source = open_images("memory://x.tar")
    put(memory, {"x.tar": b"x" * 600})
    with pytest.raises(ExplGraphError, match=r"x\.tar gave .* bytes where"):
        source.load(3)


def test_load__damaged_empty_and_large_photos_are_skipped(memory, monkeypatch):
    put(memory, {"c/a.png": b"none", "c/b.png": b"", "c/c.png": picture(0)})
    source = open_images("memory://c")
    monkeypatch.setattr(remote, "MOST_BYTES", 60)
    for index, message in enumerate(["no picture", "no picture", "more than 60"]):
        with pytest.raises(UnreadableImageError, match=message):
            source.load(index)


def test_open_images__kept_by_a_cache_of_fsspec(memory, folder, photos):
    put(memory, {"x.tar": tar_of(photos)})
    found = open_images("simplecache::memory://bucket/photos")
    assert found.names == folder.names
    assert same(pixels(found), pixels(folder))
    assert len(pixels(open_images("simplecache::memory://x.tar"))) == 8
