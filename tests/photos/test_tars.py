"""Photos in tar archives are those of a folder; odd archives are refused, odd members left out."""

import gzip
import io
import os
import pickle
import subprocess
import sys
import tarfile
import tracemalloc
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Event

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from explgraph.base.errors import ExplGraphError
from explgraph.photos import packed
from explgraph.photos.decoding import UnreadableImageError
from explgraph.photos.images import open_images
from explgraph.photos.stored import LocalFile
from explgraph.photos.tars import Ahead, Member, tar_members
from tests.support.patience import at_once

from .tars import END, header, padded, picture, tar_of

FORMS = {"ustar": tarfile.USTAR_FORMAT, "gnu": tarfile.GNU_FORMAT, "pax": tarfile.PAX_FORMAT}


def written(path, members, **options):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(members if isinstance(members, bytes) else tar_of(members, **options))
    return path


def pixels(source):
    return [np.asarray(source.load(i).image) for i in range(len(source))]


def same(found, expected):
    return len(found) == len(expected) and all(map(np.array_equal, found, expected))


@pytest.fixture
def photos():
    """Twelve photos by name."""
    kinds = {"png": "PNG", "jpg": "JPEG", "webp": "WEBP"}
    names = [f"{'ab'[i % 2]}/{i:04d}.{list(kinds)[i % 3]}" for i in range(12)]
    return {name: picture(i, kinds[name[7:]]) for i, name in enumerate(names)}


# ---- as a folder


@pytest.mark.parametrize("form", FORMS)
def test_open_images__tar_has_the_pixels_of_the_folder_that_was_packed(tmp_path, photos, form):
    for name, data in photos.items():
        (tmp_path / "folder" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "folder" / name).write_bytes(data)
    folder = open_images(tmp_path / "folder")
    with tarfile.open(tmp_path / "folder.tar", "w", format=FORMS[form]) as tar:
        tar.add(tmp_path / "folder", arcname=".")
    found = open_images(tmp_path / "folder.tar")
    assert sorted(found.names) == list(folder.names)
    assert same(pixels(found.named(folder.names, "folder")), pixels(folder))


def test_open_images__tar_keeps_its_order(tmp_path, photos):
    backwards = dict(reversed(photos.items()))
    assert list(open_images(written(tmp_path / "x.tar", backwards)).names) == list(backwards)


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("length", [99, 100, 101, 155, 240])
def test_open_images__tar_with_long_names(tmp_path, form, length):
    name = f"{'d' * (length - 85)}/{'e' * 80}.png"
    found = open_images(written(tmp_path / "x.tar", {name: picture(0)}, form=FORMS[form]))
    assert found.names == (name,)


def test_open_images__names_in_a_tar_may_be_in_any_script(tmp_path):
    assert open_images(written(tmp_path / "x.tar", {"ñ/猫.png": picture(0)})).names == ("ñ/猫.png",)


@pytest.mark.parametrize("how", ["folder", "list", "pattern"])
def test_open_images__shards_are_one_source_named_by_shard(tmp_path, photos, how):
    items = list(photos.items())
    for i in range(3):
        written(tmp_path / "s" / f"train-{i:02d}.tar", items[4 * i : 4 * i + 4])
    shards = {
        "folder": tmp_path / "s",
        "list": sorted((tmp_path / "s").iterdir()),
        "pattern": str(tmp_path / "s" / "train-{00..02}.tar"),
    }
    found = open_images(shards[how])
    assert list(found.names) == [f"train-{i // 4:02d}.tar/{name}" for i, name in enumerate(photos)]
    whole = open_images(written(tmp_path / "whole.tar", photos))
    assert same(pixels(found), pixels(whole))


def test_open_images__folder_with_photos_beside_archives_says_what_is_left_out(tmp_path, caplog):
    written(tmp_path / "x.tar", {"a.png": picture(0)})
    (tmp_path / "b.png").write_bytes(picture(1))
    assert open_images(tmp_path).names == ("b.png",)
    assert "1 .tar files" in caplog.text


def test_open_images__photos_and_archives_in_one_list(tmp_path):
    written(tmp_path / "x.tar", {"a.png": picture(0)})
    (tmp_path / "b.png").write_bytes(picture(1))
    with pytest.raises(ExplGraphError, match=r"1 of the 2 listed files end in \.tar"):
        open_images([tmp_path / "x.tar", tmp_path / "b.png"])


def test_open_images__archive_listed_twice(tmp_path):
    path = written(tmp_path / "x.tar", {"a.png": picture(0)})
    with pytest.raises(ExplGraphError, match="listed twice"):
        open_images([path, path])


def test_open_images__a_file_with_braces_in_its_name_is_that_file(tmp_path):
    path = written(tmp_path / "x-{1..2}.tar", {"a.png": picture(0)})
    assert open_images(path).names == ("a.png",)


def test_open_images__boxes_of_photos_in_a_tar(tmp_path, photos):
    path = written(tmp_path / "x.tar", photos)
    (tmp_path / "boxes.csv").write_text("image,x,y,width,height\na/0000.png,1.5,1.5,2,2\n")
    found = open_images(path, boxes=tmp_path / "boxes.csv")
    assert found.names == ("a/0000.png#0",)
    assert same(pixels(found), [pixels(open_images(path))[0][1:3, 1:3]])


# ---- WebDataset's layout


def test_open_images__other_files_of_a_key_are_no_photos(tmp_path, caplog):
    members = {
        "1.json": b"{}",
        "1.png": picture(1),
        "1.jpg": picture(2, "JPEG"),
        "1.mask.png": picture(3),
        "1.cls": b"7",
        "film.0001.png": picture(4),
        "film.0002.png": picture(5),
        "d.1/2.png": picture(6),
        ".hidden.png": picture(7),
        "._1.jpg": b"of a Mac",
        "3.heic": b"x",
    }
    found = open_images(written(tmp_path / "x.tar", members))
    assert found.names == ("1.jpg", "film.0001.png", "film.0002.png", "d.1/2.png")
    assert "2 pictures in" in caplog.text and "the first is 1.png" in caplog.text
    assert ".heic 1" in caplog.text


def test_open_images__tar_without_photos(tmp_path):
    with pytest.raises(ExplGraphError, match="there are no images in"):
        open_images(written(tmp_path / "x.tar", {"a.txt": b"x"}))


# ---- threads, processes


def test_load__tar_in_many_threads_and_any_order(tmp_path, photos):
    source = open_images(written(tmp_path / "x.tar", photos))
    expected, order = pixels(source), np.random.default_rng(0).permutation(12).tolist() * 20
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda i: np.asarray(source.load(i).image), order))
    assert same(found, [expected[i] for i in order])


def test_packed_reader__travels_to_a_process_elsewhere_with_what_is_its_own(
    tmp_path, photos, monkeypatch
):
    items = list(photos.items())
    for i in range(6):
        written(tmp_path / f"{i}.tar", items[2 * i : 2 * i + 2])
    monkeypatch.chdir(tmp_path)
    names, read = packed.packed_photos(
        [LocalFile.of(Path(f"{i}.tar")) for i in range(6)], [f"{i}/" for i in range(6)], None
    )
    some = read.some([11, 0])
    assert [file.path.name for file in some.files] == ["0.tar", "5.tar"]
    assert some.names == (names[11], names[0])
    (tmp_path / "read.pickle").write_bytes(pickle.dumps(some))
    code = (
        "import pickle, sys, pathlib; read = pickle.loads(pathlib.Path(sys.argv[1]).read_bytes());"
        "sys.stdout.buffer.write(read(0).tobytes() + read(1).tobytes())"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path / "read.pickle")],
        cwd="/",
        capture_output=True,
        check=True,
    )
    assert done.stdout == read(11).tobytes() + read(0).tobytes()


def test_packed_photos__memory_is_flat(tmp_path):
    """Beside the names, which every source has: 20 bytes, and one pointer."""
    data = b"".join(header(b"%012d.jpg" % i, 0) for i in range(5000)) + END
    path = written(tmp_path / "x.tar", data)
    tracemalloc.start()
    names, read = packed.packed_photos([LocalFile.of(path)], [""], None)
    kept, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    of_names = sum(map(sys.getsizeof, names))
    assert (kept - of_names) / len(names) < 34
    assert most / len(names) < 600
    assert read.size.sum() == 0


# ---- archives that are odd, or change


HUGE = b"\x80" + b"\xff" * 11
REFUSED = {
    "nothing": (b"", "no tar archive"),
    "short": (b"abc", "no tar archive"),
    "text": (b"hello" * 500, "no header at byte 0"),
    "gzip": (gzip.compress(bytes(2048)), r"compressed \(gzip\)"),
    "bzip2": (b"BZh9" + bytes(2048), r"compressed \(bzip2\)"),
    "zstd": (b"\x28\xb5\x2f\xfd" + bytes(2048), r"compressed \(zstd\)"),
    "no end": (header(b"a.png", 512) + bytes(512), "cut off"),
    "half a header": (header(b"a.png", 0) + header(b"b.png", 0)[:300], "cut off"),
    "half a member": (header(b"a.png", 5000) + END, "cut off"),
    "more than there is": (header(b"a.png", HUGE) + END, "cut off, or damaged"),
    "a negative size": (header(b"a.png", b"\xff" * 12) + END, "cut off, or damaged"),
    "a size of letters": (header(b"a.png", b"0000000008x\0") + END, "cut off, or damaged"),
    "a checksum": (header(b"a.png", 0).replace(b"a.png", b"b.png") + END, "no header at byte 0"),
    "sparse of GNU": (header(b"a.png", 0, b"S") + END, "sparse"),
    "sparse of pax": (
        header(b"x", 22, b"x") + padded(b"22 GNU.sparse.major=1\n") + header(b"a.png", 0) + END,
        "sparse",
    ),
    "pax: a bomb": (header(b"x", 2**30, b"x") + END, "has 1073741824 bytes: too many"),
    "GNU: a bomb": (header(b"x", 2**30, b"L") + END, "has 1073741824 bytes: too many"),
    "pax: a length": (header(b"x", 11, b"x") + padded(b"99 path=ab\n") + END, "cannot be read"),
    "pax: a length of 0": (header(b"x", 10, b"x") + padded(b"0 path=ab\n") + END, "cannot be read"),
    "pax: a size": (header(b"x", 11, b"x") + padded(b"11 size=-1\n") + END, "size is b'-1'"),
    "pax: a large size": (
        header(b"x", 16, b"x") + padded(b"16 size=9999999\n") + header(b"a.png", 0) + END,
        "cut off, or damaged",
    ),
    "pax: one name for all": (
        header(b"x", 14, b"g") + padded(b"14 path=a.png\n") + header(b"b.png", 0) + END,
        "all members one path",
    ),
    "two of one name": (tar_of([("a.png", b"x"), ("./a.png", b"y")]), "more than one photo"),
}


@pytest.mark.parametrize("kind", REFUSED)
def test_open_images__odd_archives_are_refused_by_name(tmp_path, kind):
    data, message = REFUSED[kind]
    path = written(tmp_path / "odd.tar", data)
    with at_once(), pytest.raises(ExplGraphError, match=rf"odd\.tar.*{message}"):
        open_images(path)


def test_open_images__every_cut_of_an_archive_is_refused(tmp_path):
    whole = tar_of({"a.png": picture(0), "b.png": picture(1)})
    end = len(whole.rstrip(b"\0")) + 1024
    for cut in range(0, len(whole.rstrip(b"\0")), 97):
        with pytest.raises(ExplGraphError, match=r"x\.tar"):
            open_images(written(tmp_path / "x.tar", whole[:cut]))
    assert len(open_images(written(tmp_path / "x.tar", whole[:end]))) == 2


@pytest.mark.parametrize("name", ["x.tar.gz", "x.tgz", "x.TAR.BZ2", "x.tar.xz", "x.tar.zst"])
def test_open_images__compressed_archives_are_refused_by_suffix(tmp_path, name):
    with pytest.raises(ExplGraphError, match="compressed archive"):
        open_images(written(tmp_path / name, b"x"))


def test_open_images__what_is_no_plain_file_in_a_tar_is_left_out_and_counted(tmp_path, caplog):
    secret = tmp_path / "secret.png"
    secret.write_bytes(picture(9))
    data = b"".join(
        [
            header(b"link.png", 0, b"2"),
            header(b"hard.png", 0, b"1"),
            header(b"zero.png", 0, b"3"),
            header(b"pipe.png", 0, b"6"),
            header(b"folder.png/", 0, b"5"),
            header(b"/abs.png", 0),
            header(b"a/../../up.png", 0),
            header(b"a.png", len(picture(0))) + padded(picture(0)),
            END,
        ]
    )
    found = open_images(written(tmp_path / "x.tar", data))
    assert found.names == ("a.png",)
    assert "6 members" in caplog.text
    assert "links 2" in caplog.text and "devices and the like 2" in caplog.text
    assert "paths that lead out of the archive 2" in caplog.text
    assert sorted(path.name for path in tmp_path.iterdir()) == ["secret.png", "x.tar"]


def test_open_images__archives_that_were_joined_say_so(tmp_path, caplog):
    one, two = tar_of({"a.png": picture(0)}), tar_of({"b.png": picture(1)})
    assert len(open_images(written(tmp_path / "x.tar", one + two))) == 1
    assert "what follows is not read" in caplog.text


def test_open_images__a_named_pipe_called_tar(tmp_path):
    os.mkfifo(tmp_path / "x.tar")
    with at_once(), pytest.raises(ExplGraphError):
        open_images(tmp_path / "x.tar")
    with at_once(), pytest.raises(ExplGraphError, match="no images"):
        open_images(tmp_path)


def test_load__damaged_photo_in_a_tar_is_one_that_is_skipped(tmp_path):
    members = {"a.png": b"no picture", "b.png": picture(1), "c.jpg": picture(2, "JPEG")[:99]}
    source = open_images(written(tmp_path / "x.tar", members))
    for index in (0, 2):
        with pytest.raises(UnreadableImageError, match=source.names[index]):
            source.load(index)
    source.load(1)


def test_load__pixels_in_a_tar_are_bounded(tmp_path):
    source = open_images(written(tmp_path / "x.tar", {"a.png": picture(0)}), max_pixels=29)
    with pytest.raises(UnreadableImageError, match="30 pixels, more than the 29"):
        source.load(0)


def test_load__bytes_of_a_photo_in_a_tar_are_bounded(tmp_path, monkeypatch):
    monkeypatch.setattr(packed, "MOST_BYTES", 50)
    source = open_images(written(tmp_path / "x.tar", {"a.png": picture(0)}))
    with pytest.raises(UnreadableImageError, match="more than 50"):
        source.load(0)


@pytest.mark.parametrize("change", ["gone", "shorter", "longer", "a folder"])
def test_load__archive_that_changed_ends_the_run_and_skips_nothing(tmp_path, photos, change):
    path = written(tmp_path / "x.tar", photos)
    source, whole = open_images(path), path.read_bytes()
    path.unlink()
    if change == "a folder":
        path.mkdir()
    elif change != "gone":
        path.write_bytes(whole[:-600] if change == "shorter" else whole + bytes(512))
    with pytest.raises(ExplGraphError, match="not the picture's fault") as caught:
        source.load(0)
    assert not isinstance(caught.value, UnreadableImageError)


# ---- Python's tarfile says the same


def listed(data, least=512):
    ahead = Ahead(lambda at, count: data[at : at + count], len(data), least, 4 * least)
    return list(tar_members(ahead, "x.tar", Counter()))


NAMES = st.text(
    st.characters(exclude_characters="\0/", exclude_categories=["Cs"]), min_size=1, max_size=120
).filter(lambda name: name not in (".", ".."))


@settings(max_examples=60, deadline=None)
@given(
    members=st.dictionaries(NAMES, st.binary(max_size=1100), max_size=6),
    form=st.sampled_from([tarfile.GNU_FORMAT, tarfile.PAX_FORMAT]),
    least=st.sampled_from([512, 1000, 2048]),
)
def test_tar_members__are_those_of_tarfile(members, form, least):
    data = tar_of(members, form)
    with tarfile.open(fileobj=io.BytesIO(data)) as tar:
        expected = [(entry.name, entry.offset_data, entry.size) for entry in tar]
    assert [tuple(member) for member in listed(data, least)] == expected
    assert [data[at : at + size] for _, at, size in expected] == list(members.values())


WHOLE = tar_of({"a.png": picture(0), f"{'d' * 150}/b.png": picture(1), "c.txt": b"x" * 700})


@settings(max_examples=300, deadline=None)
@given(st.lists(st.tuples(st.integers(0, len(WHOLE) - 1), st.integers(0, 255)), max_size=8))
def test_tar_members__of_a_changed_archive_lie_within_it(changes):
    data = bytearray(WHOLE)
    for at, byte in changes:
        data[at] = byte
    try:
        found = listed(bytes(data))
    except ExplGraphError:
        return
    for name, at, size in found:
        assert 0 <= at <= at + size <= len(data)
        assert not name.startswith("/") and ".." not in name.split("/")


def test_tar_members__checksums_of_signed_bytes_are_right(tmp_path):
    block = bytearray(header("ñ.png".encode(), len(picture(0))))
    block[148:156] = b" " * 8
    block[148:156] = b"%06o\0 " % sum(byte - 256 * (byte > 127) for byte in block)
    path = written(tmp_path / "x.tar", bytes(block) + padded(picture(0)) + END)
    assert open_images(path).names == ("ñ.png",)


def test_open_images__what_one_archive_is_refused_for_ends_the_others(tmp_path, monkeypatch):
    """A second archive without end is gone through meanwhile."""
    begun, left = Event(), Event()

    def endless(ahead, shown, left_out):
        if shown.endswith("bad.tar"):
            begun.wait(5)
            raise ExplGraphError("bad")
        begun.set()
        try:
            while True:
                yield Member("a.txt", 0, 0)
        finally:
            left.set()

    monkeypatch.setattr(packed, "tar_members", endless)
    paths = [written(tmp_path / name, END) for name in ("bad.tar", "endless.tar")]
    with at_once(), pytest.raises(ExplGraphError, match="bad"):
        open_images(paths)
    assert left.wait(5)


def test_open_images__headers_that_say_nothing_of_names_are_passed_over(tmp_path):
    """As those of ``git archive``."""
    comment = header(b"pax_global_header", 16, b"g") + padded(b"16 comment=abcd\n")
    long_link = header(b"././@LongLink", 4, b"K") + padded(b"x/y\0") + header(b"l", 0, b"2")
    photo = header(b"a.png", len(picture(0))) + padded(picture(0))
    path = written(tmp_path / "x.tar", comment + long_link + photo + END)
    assert len(pixels(open_images(path))) == 1
