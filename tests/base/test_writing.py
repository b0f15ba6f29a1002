"""Writing: whole files only, whoever writes beside, whatever fails, and whatever was planted."""

import errno
import fcntl
import os
import signal
import stat
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from explgraph.base import temporaries
from explgraph.base.errors import ExplGraphError
from explgraph.base.temporaries import clear_temporaries, temporary_folder
from explgraph.base.writing import (
    check_folder_writable,
    check_writable,
    room_in,
    write_bytes,
)

NOBODY = 65534
WRITERS, SAVES, SIZE = 8, 60, 200_000


@pytest.fixture
def target(tmp_path):
    return tmp_path / "some.bin"


@pytest.fixture
def open_folder():
    """A folder that another user can reach: those above pytest's are closed to him."""
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)
        yield Path(folder)


def as_nobody(function):
    """Run a function in a process that may not do everything, and return what it is refused."""
    if os.geteuid() != 0:
        return function()
    ours, theirs = os.pipe()
    child = os.fork()
    if child == 0:
        os.setgid(NOBODY)
        os.setuid(NOBODY)
        os.write(theirs, (function() or "nothing").encode())
        os._exit(0)
    os.close(theirs)
    os.waitpid(child, 0)
    with os.fdopen(ours) as pipe:
        return pipe.read()


def refusal(function, *arguments):
    try:
        function(*arguments)
    except ExplGraphError as error:
        return str(error)
    return None


# -- whole files -----------------------------------------------------------------------------------


def test_write__makes_folders_and_leaves_nothing_beside_the_file(tmp_path):
    target = tmp_path / "new" / "deep" / "file.bin"
    write_bytes(target, b"one")
    write_bytes(str(target), b"two")
    assert target.read_bytes() == b"two"
    assert list(target.parent.iterdir()) == [target]


def test_write__eight_threads_to_one_file(target):
    """A4: each writes the same file again and again; nobody fails, readers see whole files."""
    contents = [bytes([i]) * SIZE for i in range(WRITERS)]
    write_bytes(target, contents[0])

    def save(content):
        for _ in range(SAVES):
            write_bytes(target, content)

    seen = []
    with ThreadPoolExecutor(WRITERS) as pool:
        writers = [pool.submit(save, content) for content in contents]
        while not all(writer.done() for writer in writers):
            seen.append(target.read_bytes())
    for writer in writers:
        writer.result()
    assert len(seen) > WRITERS
    assert not [found[:9] for found in seen if found not in contents]
    assert list(target.parent.iterdir()) == [target]


def test_write__temporary_has_another_name_each_time_and_no_link_is_followed(target, monkeypatch):
    """B4: its name cannot be known, and where a link has it all the same, that is an error."""
    names, real = [], os.open

    def note(path, flags, *rest, **more):
        if str(path).endswith(".tmp"):
            names.append(Path(path).name)
            assert flags & os.O_EXCL
            assert flags & os.O_NOFOLLOW
        return real(path, flags, *rest, **more)

    monkeypatch.setattr(os, "open", note)
    for _ in range(20):
        write_bytes(target, b"x")
    assert len(set(names)) == 20
    assert not any(str(os.getpid()) == part for name in names for part in name.split("."))
    victim = target.parent / "victim"
    victim.write_bytes(b"mine")
    monkeypatch.setattr(temporaries.secrets, "token_hex", lambda n: "0" * 2 * n)
    (target.parent / f".explgraph-{'0' * 16}.tmp").symlink_to(victim)
    with pytest.raises(ExplGraphError, match=r"some\.bin could not be written"):
        write_bytes(target, b"y")
    assert (victim.read_bytes(), target.read_bytes()) == (b"mine", b"x")


def test_write__is_on_the_disk_before_it_has_its_name(target, monkeypatch):
    done, sync, replace = [], os.fsync, Path.replace

    def note_sync(handle):
        kind = "folder" if stat.S_ISDIR(os.fstat(handle).st_mode) else os.fstat(handle).st_size
        done.append(kind)
        sync(handle)

    def note_replace(path, other):
        done.append("named")
        return replace(path, other)

    monkeypatch.setattr(os, "fsync", note_sync)
    monkeypatch.setattr(Path, "replace", note_replace)
    write_bytes(target, b"seven b")
    assert done == [7, "named", "folder"]


def test_write__system_that_takes_few_bytes_at_a_time(target, monkeypatch):
    real = os.write
    monkeypatch.setattr(os, "write", lambda handle, data: real(handle, bytes(data[:3])))
    write_bytes(target, b"0123456789")
    assert target.read_bytes() == b"0123456789"


@pytest.mark.parametrize("length", [200, 240, 250, 255])
def test_write__name_as_long_as_names_may_be(tmp_path, length):
    """C4: the temporary's name is short, whatever the file's."""
    target = tmp_path / ("é" * (length // 2 - 2) + "." * (length % 2) + ".bin")
    assert len(target.name.encode()) == length
    check_writable(target)
    write_bytes(target, b"x")
    assert list(tmp_path.iterdir()) == [target]


@pytest.mark.parametrize(("umask", "mode"), [(0o022, 0o644), (0o077, 0o600), (0o002, 0o664)])
def test_write__rights_of_new_files_and_of_those_replaced(tmp_path, umask, mode):
    code = f"import os; os.umask({umask}); from explgraph.base.writing import write_bytes as w\n"
    code += "os.chmod('old', 0o640); w('old', b'new'); w('new', b'new')"
    (tmp_path / "old").write_bytes(b"old")
    subprocess.run([sys.executable, "-c", code], cwd=tmp_path, check=True)
    assert stat.S_IMODE((tmp_path / "new").stat().st_mode) == mode
    assert stat.S_IMODE((tmp_path / "old").stat().st_mode) == 0o640
    assert (tmp_path / "old").read_bytes() == b"new"


# -- links -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("there", [True, False])
def test_write__follows_a_link_that_stays(tmp_path, target, there):
    """C4: what the link leads to is replaced, by way of a temporary in *its* folder."""
    (tmp_path / "deep").mkdir()
    real = tmp_path / "deep" / "real.bin"
    if there:
        real.write_bytes(b"old")
    (tmp_path / "middle").symlink_to("deep/real.bin")
    target.symlink_to(tmp_path / "middle")
    check_writable(target)
    write_bytes(target, b"new")
    assert target.is_symlink()
    assert (tmp_path / "middle").is_symlink()
    assert real.read_bytes() == b"new"
    assert not real.is_symlink()
    assert len(list(tmp_path.rglob("*"))) == 4


def test_write__links_in_a_circle(tmp_path, target):
    (tmp_path / "other").symlink_to(target)
    target.symlink_to(tmp_path / "other")
    with pytest.raises(ExplGraphError, match="lead in a circle"):
        write_bytes(target, b"x")


@pytest.mark.skipif(os.geteuid() != 0, reason="gives files to another user")
@pytest.mark.parametrize(("shared", "theirs", "followed"), [(1, 1, 0), (1, 0, 1), (0, 1, 1)])
def test_write__does_not_follow_what_others_put_into_a_shared_folder(
    tmp_path, target, shared, theirs, followed
):
    """B4, for the target itself: as the kernel protects those who open a link in /tmp."""
    tmp_path.chmod(0o1777 if shared else 0o755)
    victim = tmp_path / "victim"
    victim.write_bytes(b"mine")
    target.symlink_to(victim)
    if theirs:
        os.chown(target, NOBODY, NOBODY, follow_symlinks=False)
    found = refusal(write_bytes, target, b"new")
    assert (found is None) == bool(followed)
    assert victim.read_bytes() == (b"new" if followed else b"mine")


# -- what goes wrong -------------------------------------------------------------------------------

SAID = {
    errno.ENOSPC: "no space is left there",
    errno.EDQUOT: "quota",
    errno.EIO: "the disk failed",
    errno.EROFS: "nothing can be written on its file system",
    errno.EACCES: "not permitted",
    errno.EMFILE: r"too many files are open: .*ulimit -n",
    errno.EFBIG: "larger than files may be",
    errno.EBUSY: os.strerror(errno.EBUSY),
}


@pytest.mark.parametrize("call", ["open", "write", "fsync", "chmod", "rename"])
@pytest.mark.parametrize(("number", "said"), SAID.items(), ids=errno.errorcode.get)
def test_write__that_fails_keeps_the_old_file(target, monkeypatch, call, number, said):
    write_bytes(target, b"old")

    def fail(*_, **__):
        raise OSError(number, os.strerror(number), ".explgraph-of-a-temporary.tmp")

    with monkeypatch.context() as patch:
        if call == "rename":
            patch.setattr(Path, "replace", fail)
        else:
            patch.setattr(os, call, fail)
        with pytest.raises(ExplGraphError, match=rf"some\.bin could not be written: .*{said}") as e:
            write_bytes(target, b"new")
    assert ".tmp" not in str(e.value)
    assert e.value.__cause__.errno == number
    assert target.read_bytes() == b"old"
    assert list(target.parent.iterdir()) == [target]


def test_write__interrupted_leaves_nothing(target, monkeypatch):
    def interrupt(_):
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "fsync", interrupt)
    with pytest.raises(KeyboardInterrupt):
        write_bytes(target, b"new")
    assert not list(target.parent.iterdir())


# -- temporaries of the dead -----------------------------------------------------------------------

KILLED = """
import os, signal, sys
from explgraph.base.writing import write_bytes
os.fsync = lambda handle: os.kill(os.getpid(), signal.SIGKILL)
write_bytes(sys.argv[1], b"half")
"""


def killed_writer(target):
    ended = subprocess.run([sys.executable, "-c", KILLED, target], check=False)
    assert ended.returncode == -signal.SIGKILL


def forked(function):
    """Run in another process, as the next run is one."""
    child = os.fork()
    if child == 0:
        function()
        os._exit(0)
    assert os.waitpid(child, 0)[1] == 0


def test_temporaries__of_a_killed_process_go_with_the_next_write(target):
    """C3."""
    write_bytes(target, b"old")
    killed_writer(target)
    assert len(list(target.parent.iterdir())) == 2
    assert target.read_bytes() == b"old"
    forked(lambda: write_bytes(target.with_name("other"), b"x"))
    assert sorted(path.name for path in target.parent.iterdir()) == ["other", "some.bin"]


def test_temporaries__of_living_writers_stay(target):
    with pytest.MonkeyPatch.context() as patch:
        real = os.fsync

        def meanwhile(handle):
            forked(lambda: clear_temporaries(target.parent))
            clear_temporaries(target.parent)
            real(handle)

        patch.setattr(os, "fsync", meanwhile)
        write_bytes(target, b"new")
    assert target.read_bytes() == b"new"


def test_temporaries__cleared_before_its_lock_is_there(target, monkeypatch):
    """Between the making of a temporary and its lock another process may remove it."""
    real, left = fcntl.flock, [2]

    def late(handle, what):
        if what == fcntl.LOCK_EX and left[0]:
            left[0] -= 1
            clear_temporaries(target.parent)
        real(handle, what)

    monkeypatch.setattr(fcntl, "flock", late)
    write_bytes(target, b"new")
    assert left == [0]
    assert list(target.parent.iterdir()) == [target]


def test_temporaries__nothing_else_is_removed(tmp_path):
    ours = f".explgraph-{'a' * 16}.tmp"
    others = [
        *(
            ours[1:],
            ours + "x",
            ours.upper(),
            ".explgraph-1.tmp",
            ".explgraph-" + "g" * 16 + ".tmp",
        ),
        *(".some.bin.77.tmp", "shard-00000.safetensors"),
    ]
    for name in others:
        (tmp_path / name).write_bytes(b"mine")
    (tmp_path / ours.replace("a", "b")).mkdir()
    (tmp_path / ours.replace("a", "c")).symlink_to(tmp_path / others[0])
    os.mkfifo(tmp_path / ours.replace("a", "d"))
    if os.geteuid() == 0:
        theirs = tmp_path / ours.replace("a", "e")
        theirs.write_bytes(b"theirs")
        os.chown(theirs, NOBODY, NOBODY)
    before = sorted(tmp_path.iterdir())
    (tmp_path / ours).write_bytes(b"half")
    clear_temporaries(tmp_path)
    assert sorted(tmp_path.iterdir()) == before
    clear_temporaries(tmp_path / "no folder")


# -- known before ----------------------------------------------------------------------------------


def test_check__says_what_cannot_be_written_and_makes_nothing(tmp_path):
    """C4."""
    (tmp_path / "file").write_bytes(b"")
    os.mkfifo(tmp_path / "pipe")
    refused = {
        tmp_path: "is a folder: give the name of a file in it",
        tmp_path / "pipe": "is no ordinary file",
        tmp_path / "file" / "x.bin": r"is a file|a file is where",
        tmp_path / "file" / "deep" / "x.bin": r"is a file|a file is where",
        tmp_path / ("x" * 256): "its name is too long",
        tmp_path / "new" / ("é" * 130): "its name is too long",
        tmp_path / "nul\0": "is no name of a file",
    }
    for path, said in refused.items():
        for function in (check_writable, lambda path: write_bytes(path, b"")):
            with pytest.raises(ExplGraphError, match=said):
                function(path)
    for path in (tmp_path / "file", tmp_path / "new", tmp_path / "new" / "deep" / "x.bin"):
        check_writable(path)
    check_folder_writable(tmp_path / "new" / "deep")
    with pytest.raises(ExplGraphError, match="is a file"):
        check_folder_writable(tmp_path / "file")
    with pytest.raises(ExplGraphError, match="is a file"):
        check_folder_writable(tmp_path / "file" / "deep")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file", "pipe"]


def test_check__places_that_are_write_protected(open_folder):
    """C4."""
    closed, kept = open_folder / "closed", open_folder / "kept.bin"
    closed.mkdir()
    closed.chmod(0o555)
    kept.write_bytes(b"mine")
    kept.chmod(0o444)
    for place in (closed / "x.bin", closed / "new" / "x.bin"):
        said = as_nobody(lambda place=place: refusal(check_writable, place))
        assert said.startswith(f"{place} could not be written: {closed} is write-protected")
    said = as_nobody(lambda: refusal(check_writable, kept))
    assert said.startswith(f"{kept} is write-protected")
    said = as_nobody(lambda: refusal(write_bytes, closed / "x.bin", b""))
    assert said.startswith(f"{closed / 'x.bin'} could not be written: that is not permitted")


@pytest.mark.skipif(not Path("/proc/self").exists(), reason="a read-only file system to be had")
def test_check__file_system_that_takes_nothing():
    with pytest.raises(ExplGraphError, match="could not be written"):
        check_writable("/proc/self/new.bin")


# -- temporary folders -----------------------------------------------------------------------------

KILLED_IN_FOLDER = """
import os, signal
from explgraph.base.temporaries import temporary_folder
with temporary_folder() as folder:
    (folder / "deep").mkdir()
    (folder / "deep" / "a.jpg").write_bytes(b"half")
    os.kill(os.getpid(), signal.SIGKILL)
"""


def test_folder__is_gone_afterwards_and_so_are_those_of_the_dead(tmp_path, monkeypatch):
    """C3."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    place = os.environ | {"TMPDIR": str(tmp_path)}
    subprocess.run([sys.executable, "-c", KILLED_IN_FOLDER], env=place, check=False)
    (left,) = tmp_path.iterdir()
    assert (left / "deep" / "a.jpg").exists()
    with temporary_folder() as folder:
        (folder / "b.jpg").write_bytes(b"x")
        forked(lambda: temporary_folder().__enter__())  # it clears, and is left by a dead process
        assert (folder / "b.jpg").exists()
        assert folder.stat().st_mode & 0o777 == 0o700
        assert not left.exists()
    with temporary_folder():
        pass
    assert not list(tmp_path.iterdir())


def test_room_in__a_full_disk_is_told(tmp_path, monkeypatch):
    def full(_handle, _data):
        raise OSError(errno.ENOSPC, "no")

    monkeypatch.setattr(os, "write", full)
    with pytest.raises(ExplGraphError, match="no space is left there"):
        room_in(tmp_path, (4,))
    assert list(tmp_path.iterdir()) == []


def test_room_in__many_pieces_are_one_array(tmp_path):
    room = room_in(tmp_path, (3, (1 << 18) + 1))
    room[:] = np.arange(3)[:, None]
    assert room.sum(axis=1).tolist() == [0, room.shape[1], 2 * room.shape[1]]
