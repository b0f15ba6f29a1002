"""The journal: no confirmed answer is lost, whatever ends a process; damage is told."""

import errno
import logging
import os

import pytest

from explgraph.base.errors import ExplGraphError
from explgraph.labelling.journal import Journal, Line

LINES = (
    Line(revision=1, kind="part", part="head", colour="#0072b2"),
    Line(revision=2, kind="here", part="head", image='ä "\\n.jpg', yx=(1.5, 0.1 + 0.2)),
    Line(revision=3, kind="right", part="head", image="b, c.jpg", yx=(3, 4), size=(5.25, 1e-3)),
    Line(revision=4, kind="undo", part="head", image="b, c.jpg", of=3),
)


@pytest.fixture
def path(tmp_path):
    return tmp_path / "answers.jsonl"


@pytest.fixture
def written(path):
    journal = Journal(path)
    for line in LINES:
        journal.add(line)
    journal.close()
    return path.read_bytes()


def test_lines__come_back(path, written):
    assert tuple(Journal(path).lines) == LINES
    assert path.read_bytes() == written


def test_cut_at_any_byte__whole_lines_stay_and_it_goes_on(path, written, caplog, monkeypatch):
    """As a kill in the middle of writing leaves it."""
    monkeypatch.setattr(os, "fsync", lambda handle: None)  # some thousand of them take seconds
    ends = [i for i, byte in enumerate(written) if byte == ord("\n")]
    for size in range(len(written) + 1):
        path.write_bytes(written[:size])
        whole = sum(end <= size for end in ends)  # its line feed alone may be missing
        caplog.clear()
        with caplog.at_level(logging.WARNING):
            journal = Journal(path)
        assert tuple(journal.lines) == LINES[:whole]
        told = "left out" in caplog.text
        assert told == (size not in [0, *ends, *(end + 1 for end in ends)])
        for line in LINES[whole:]:
            journal.add(line)
        journal.close()
        assert path.read_bytes() == written


def test_reading__changes_nothing(path, written):
    path.write_bytes(written[:-5])
    journal = Journal(path, writable=False)
    assert tuple(journal.lines) == LINES[:-1]
    assert path.read_bytes() == written[:-5]
    with pytest.raises(ExplGraphError, match="for reading alone"):
        journal.add(LINES[-1])


def test_damage__is_told_with_its_line(path, written):
    """Any other byte in a line that is followed by others."""
    second = written.index(b"\n") + 1
    for place in range(second, written.index(b"\n", second) + 1):
        changed = bytearray(written)
        changed[place] ^= 1
        path.write_bytes(changed)
        with pytest.raises(ExplGraphError, match=r"line 2 is damaged"):
            Journal(path)


def test_lost_line__is_told(path, written):
    lines = written.splitlines(keepends=True)
    path.write_bytes(lines[0] + lines[2])
    with pytest.raises(ExplGraphError, match=r"line 2 has revision 3: lines are missing"):
        Journal(path)


@pytest.mark.parametrize("written_first", [0, 7])
def test_full_disk__answer_does_not_count_until_it_is_given_again(
    path, written, monkeypatch, written_first
):
    journal = Journal(path)
    write = os.write

    def full(handle, data):
        if written_first and len(data) > written_first:
            return write(handle, data[:written_first])
        raise OSError(errno.ENOSPC, "no space")

    more = Line(revision=5, kind="skipped", part="head", image="d.jpg")
    monkeypatch.setattr(os, "write", full)
    if written_first:
        full_after = iter([True])
        monkeypatch.setattr(
            os, "write", lambda h, d: full(h, d) if next(full_after, None) else full(h, b"")
        )
    with pytest.raises(ExplGraphError, match=r"was not kept.*no space is left there: make room"):
        journal.add(more)
    assert tuple(journal.lines) == LINES
    assert path.read_bytes() == written
    monkeypatch.setattr(os, "write", write)
    journal.add(more)
    journal.close()
    assert tuple(Journal(path).lines) == (*LINES, more)


def test_failed_sync__does_not_count(path, written, monkeypatch):
    journal = Journal(path)

    def fails(handle):
        raise OSError(errno.EIO, "failed")

    monkeypatch.setattr(os, "fsync", fails)
    with pytest.raises(ExplGraphError, match="was not kept"):
        journal.add(Line(revision=5, kind="skipped", part="head", image="d.jpg"))
    monkeypatch.undo()
    assert tuple(journal.lines) == LINES
    journal.add(Line(revision=5, kind="hidden", part="head", image="e.jpg"))
    assert [line.image for line in Journal(path).lines[4:]] == ["e.jpg"]
