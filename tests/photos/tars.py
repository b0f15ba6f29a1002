"""Tar archives made in memory, by Python's own `tarfile`, and headers by hand."""

import io
import tarfile

import numpy as np
from PIL import Image


def picture(number, kind="PNG"):
    """A small picture's bytes, another for each number."""
    pixels = np.random.default_rng(number).integers(0, 256, (5, 6, 3), dtype=np.uint8)
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, kind)
    return file.getvalue()


def tar_of(members, form=tarfile.PAX_FORMAT):
    """An archive of {name: bytes}, or of (name, bytes) in any order, names as often as wanted."""
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w", format=form) as tar:
        for name, data in members.items() if isinstance(members, dict) else members:
            entry = tarfile.TarInfo(name)
            entry.size = len(data)
            tar.addfile(entry, io.BytesIO(data))
    return file.getvalue()


def header(name, size, kind=b"0", magic=b"ustar\x0000"):
    """A header block; the size as given, if it is bytes."""
    size = size if isinstance(size, bytes) else b"%011o\0" % size
    block = bytearray(512)
    block[: len(name)] = name
    block[124:136] = size
    block[148:156] = b" " * 8
    block[156:157] = kind
    block[257:265] = magic
    block[148:156] = b"%06o\0 " % sum(block)
    return bytes(block)


def padded(data):
    return data + bytes(-len(data) % 512)


END = bytes(1024)
