"""Only regular files are read, whole and bounded; numbers are what ASCII says."""

import math
import os
import socket

import pytest

from explgraph.base.errors import ExplGraphError
from explgraph.base.foreign import decimal, open_regular, read_foreign, read_text
from tests.support.patience import at_once


def odd_files(folder):
    """What is no regular file, under names that promise nothing, and how it is called."""
    os.mkfifo(folder / "pipe")
    (folder / "link").symlink_to(folder / "pipe")
    (folder / "zero").symlink_to("/dev/zero")
    (folder / "folder").mkdir()
    return {"pipe": "a named pipe", "link": "a named pipe", "zero": "a device", "folder": "a fold"}


def test_open_regular__refuses_pipes_devices_and_folders_at_once(tmp_path):
    for name, kind in odd_files(tmp_path).items():
        with at_once(), pytest.raises(ExplGraphError, match=f"{name} is {kind}"):
            open_regular(tmp_path / name)


def test_open_regular__keeps_no_handle_of_what_it_refuses(tmp_path):
    odd_files(tmp_path)
    before = os.open("/dev/null", os.O_RDONLY)
    os.close(before)
    for _ in range(20):
        with pytest.raises(ExplGraphError):
            open_regular(tmp_path / "pipe")
    after = os.open("/dev/null", os.O_RDONLY)
    os.close(after)
    assert after == before


def test_read_foreign__bytes_of_a_file_and_of_one_behind_a_link(tmp_path):
    (tmp_path / "a").write_bytes(b"\r\n\x00\xff" * 1000)
    (tmp_path / "b").symlink_to("a")
    assert read_foreign(tmp_path / "a") == read_foreign(tmp_path / "b") == b"\r\n\x00\xff" * 1000


def test_read_foreign__what_cannot_be_read_is_one_error(monkeypatch, tmp_path):
    with pytest.raises(ExplGraphError, match="none does not exist"):
        read_foreign(tmp_path / "none")
    (tmp_path / "a").write_bytes(b"12345")
    with pytest.raises(ExplGraphError, match="a has 5 bytes: expected at most 4"):
        read_foreign(tmp_path / "a", most=4)
    assert read_foreign(tmp_path / "a", most=5) == b"12345"
    monkeypatch.chdir(tmp_path)  # a socket's path is short
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind("s")
        with at_once(), pytest.raises(ExplGraphError, match="s cannot be read"):
            read_foreign("s")


def test_read_foreign__file_that_hides_its_size_is_bounded(monkeypatch, tmp_path):
    """As files in /proc do, which say that they are empty."""
    path = tmp_path / "endless"
    path.write_bytes(bytes(2**20 + 1))
    empty = os.stat_result((0o100644, *(0,) * 9))
    monkeypatch.setattr(os, "fstat", lambda _: empty)
    with pytest.raises(ExplGraphError, match="grew while it was read"):
        read_foreign(path)
    path.write_bytes(bytes(2**20))
    assert len(read_foreign(path)) == 2**20


def test_read_text__utf_8_with_or_without_a_mark(tmp_path):
    for data, text in ((b"\xef\xbb\xbfa\r\nb", "a\r\nb"), ("ä".encode(), "ä")):
        (tmp_path / "a").write_bytes(data)
        assert read_text(tmp_path / "a") == text
    (tmp_path / "a").write_bytes("ä".encode("latin-1"))
    with pytest.raises(ExplGraphError, match="a is not a UTF-8 text file"):
        read_text(tmp_path / "a")


@pytest.mark.parametrize(
    ("text", "value"),
    [
        *((text, float(text)) for text in ("0", "-1", "+2.50", ".5", "7.", "1e3", "-1.5E-2")),
        (" 3\n", 3.0),
        *((text, math.nan) for text in ("", ".", "1_0", "\uff11\uff10", "\u0663", "nan", "inf")),
        *((text, math.nan) for text in ("1e999", "0x1", "1 2", "--1")),
        ("\u20091", math.nan),
    ],
)
def test_decimal(text, value):
    found = decimal(text)
    assert found == value or (math.isnan(found) and math.isnan(value))
