"""One run at a time in a folder; what a dead one left does not count."""

import json
import os
import socket
import subprocess
import sys
import time

import pytest

from explgraph.base.errors import ExplGraphError
from explgraph.base.running import lock
from explgraph.base.running.lock import DEAD, LOCK, only_run


def held_by(folder, age=0.0, **said):
    path = folder / LOCK
    path.write_text(json.dumps({"host": socket.gethostname(), "pid": os.getpid(), **said}))
    now = time.time()
    os.utime(path, (now - age, now - age))


def is_free(folder):
    try:
        with only_run(folder):
            assert (folder / LOCK).exists()
    except ExplGraphError:
        return False
    assert [path.name for path in folder.iterdir()] == []
    return True


def test_lock__goes_with_the_run(tmp_path):
    assert is_free(tmp_path / "new")
    with pytest.raises(ValueError, match="mine"), only_run(tmp_path):
        raise ValueError("mine")
    assert not (tmp_path / LOCK).exists()


def test_lock__second_run_is_refused(tmp_path):
    with only_run(tmp_path):
        refused = pytest.raises(ExplGraphError, match=rf"another run \(process {os.getpid()} on")
        with refused, only_run(tmp_path):
            pass
        assert (tmp_path / LOCK).exists()
    assert is_free(tmp_path)


def test_lock__of_a_process_that_is_gone_is_taken_over(tmp_path):
    gone = int(subprocess.run([sys.executable, "-c", "import os; print(os.getpid())"],
                              capture_output=True, check=True).stdout)  # fmt: skip
    held_by(tmp_path, pid=gone)
    assert is_free(tmp_path)


def test_lock__number_of_a_process_that_is_used_again(tmp_path):
    held_by(tmp_path, started="1")
    assert is_free(tmp_path)
    held_by(tmp_path, started="")
    assert not is_free(tmp_path)


@pytest.mark.parametrize(("age", "free"), [(0, False), (DEAD / 2, False), (DEAD + 60, True)])
def test_lock__of_another_machine_counts_while_it_is_touched(tmp_path, age, free):
    held_by(tmp_path, host="elsewhere", age=age)
    assert is_free(tmp_path) is free


def test_lock__that_is_damaged_is_taken_over(tmp_path):
    (tmp_path / LOCK).write_bytes(b"{")
    assert is_free(tmp_path)


def test_lock__is_touched(tmp_path, monkeypatch):
    monkeypatch.setattr(lock, "BEAT", 0.01)
    with only_run(tmp_path):
        os.utime(tmp_path / LOCK, (0, 0))
        for _ in range(500):
            if (tmp_path / LOCK).stat().st_mtime > 1e9:
                break
            time.sleep(0.01)
        else:
            raise AssertionError("nobody touches it")


def test_lock__where_files_have_one_name_only(tmp_path, monkeypatch):
    def fail(*_):
        raise OSError(1, "no links here")

    monkeypatch.setattr(os, "link", fail)
    assert is_free(tmp_path)
    with only_run(tmp_path):
        assert not is_free(tmp_path)


def test_lock__that_came_meanwhile_is_put_back(tmp_path, monkeypatch):
    """Two see a stale one; the first has taken it over when the second takes it away."""
    held_by(tmp_path, host="elsewhere", age=DEAD + 60)
    real, calls = lock._is_stale, []

    def is_stale(path, held, draft):
        answer = real(path, held, draft)
        if not calls:
            held_by(tmp_path, token="faster")
        calls.append(answer)
        return answer

    monkeypatch.setattr(lock, "_is_stale", is_stale)
    assert not is_free(tmp_path)
    assert json.loads((tmp_path / LOCK).read_text())["token"] == "faster"
