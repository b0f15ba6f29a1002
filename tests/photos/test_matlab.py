"""MATLAB files as SciPy writes them, read without its compiled code."""

import struct
import zlib

import numpy as np
import pytest
from scipy.io import loadmat, savemat

from explgraph.base.errors import ExplGraphError
from explgraph.photos.matlab import read_matlab

TYPES = ["i1", "u1", "i2", "u2", "i4", "u4", "i8", "u8", "f4", "f8"]


@pytest.mark.parametrize("packed", [False, True])
def test_read_matlab__numbers_text_structs_and_cells(tmp_path, packed, rng):
    arrays = {kind: rng.integers(0, 100, (3, 4)).astype(kind) for kind in TYPES}
    cells = np.empty((1, 3), dtype=object)
    cells[0, :] = ["head", np.eye(2), np.zeros((0, 0))]
    things = np.empty((1, 2), dtype=[("name", object), ("mask", object)])
    things[0, 0] = ("left eye", np.ones((2, 3), bool))
    things[0, 1] = ("Schwänze", rng.integers(0, 2, (5, 4), dtype=np.uint8))
    values = {**arrays, "cells": cells, "things": things, "cube": rng.random((2, 3, 4))}
    path = tmp_path / "a.mat"
    savemat(path, {**values, "nested": {"inner": {"x": 3.0}}}, do_compression=packed)

    for name in (*TYPES, "cube"):
        np.testing.assert_array_equal(read_matlab(path, name), loadmat(path)[name])
    head, eye, nothing = read_matlab(path, "cells")
    assert head == "head"
    np.testing.assert_array_equal(eye, np.eye(2))
    assert nothing.size == 0
    first, second = read_matlab(path, "things")
    assert (first["name"], second["name"]) == ("left eye", "Schwänze")
    np.testing.assert_array_equal(first["mask"], np.ones((2, 3)))
    np.testing.assert_array_equal(second["mask"], things[0, 1]["mask"])
    assert read_matlab(path, "nested")[0]["inner"][0]["x"].tolist() == [[3.0]]
    with pytest.raises(ExplGraphError, match=r"a\.mat has no variable 'none'"):
        read_matlab(path, "none")


def element(kind, data, order=">"):
    return struct.pack(f"{order}II", kind, len(data)) + data + bytes(-len(data) % 8)


def array(kind, shape, *content, name=b"x", order=">"):
    flags = element(6, struct.pack(f"{order}II", kind, 0), order)
    sizes = element(5, struct.pack(f"{order}{len(shape)}i", *shape), order)
    return element(14, flags + sizes + element(1, name, order) + b"".join(content), order)


def file(*elements, end=b"MI"):
    return b"MATLAB 5.0".ljust(124) + b"\1\0" + end + b"".join(elements)


def test_read_matlab__of_a_machine_with_the_other_order(tmp_path):
    """By hand, after MATLAB's description of the format."""
    path = tmp_path / "a.mat"
    numbers = element(4, struct.pack(">6H", *range(6)))
    path.write_bytes(file(array(6, (2, 3), numbers)))
    assert read_matlab(path, "x").tolist() == [[0, 2, 4], [1, 3, 5]]  # columns first
    np.testing.assert_array_equal(read_matlab(path, "x"), loadmat(path)["x"])


def nested(depth):
    inner = array(6, (1, 1), element(9, bytes(8)))
    for _ in range(depth):
        inner = array(1, (1, 1), inner)
    return inner


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "no MATLAB file"),
        (b"MATLAB 7.3".ljust(512), "no MATLAB file"),
        (file(array(6, (1, 1), element(9, bytes(8))))[:-1], "ends too early"),
        (file(array(6, (2**30, 2**30), element(9, bytes(8)))), "not a whole MATLAB file"),
        (file(array(6, (-1, -1), element(9, bytes(8)))), r"shape \[-1, -1\]"),
        (file(array(1, (2**30, 2**30))), "cell array is not whole"),
        (file(array(2, (2**30, 1), element(5, bytes(4)), element(1, b"a"))), "has no fields"),
        (
            file(array(2, (2**30, 1), element(5, struct.pack(">i", 1)), element(1, b"a"))),
            "struct array is not whole",
        ),
        (file(array(5, (1, 1), element(9, bytes(8)))), "class 5 are not known"),
        (file(array(4, (2, 1), element(4, bytes(4)))), "single line"),
        (file(nested(20)), "more than 16 deep"),
        (file(element(15, zlib.compress(b""))), "has no variable"),
        (file(element(15, b"no zlib")), "not a whole MATLAB file"),
        (file(element(15, zlib.compress(bytes(2**28 + 1)))), "unpacks to more than"),
    ],
)
def test_read_matlab__what_is_wrong_is_one_error(tmp_path, content, said):
    path = tmp_path / "a.mat"
    path.write_bytes(content)
    with pytest.raises(ExplGraphError, match=said) as caught:
        read_matlab(path, "x")
    assert "a.mat" in str(caught.value)
