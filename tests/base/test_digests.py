"""The digest of a file's content, by another road, and what changes it."""

import hashlib

import numpy as np
import pytest

from explgraph.base.digests import content_digest

MIB = 1 << 20


def naive(text, arrays):
    """As docs/files.md says it."""
    whole = hashlib.sha256(text.encode())
    for name in sorted(arrays):
        array = arrays[name]
        whole.update(f"\n{name} {array.dtype} {list(array.shape)}\n".encode())
        data = array.tobytes()
        for start in range(0, len(data), MIB):
            whole.update(hashlib.sha256(data[start : start + MIB]).digest())
    return whole.hexdigest()


@pytest.mark.parametrize("count", [0, 1, MIB, MIB + 1, 12 * MIB + 7])
def test_digest__is_what_the_files_page_says(count, rng):
    arrays = {
        "b": rng.integers(0, 256, count, dtype=np.uint8),
        "a": np.zeros((0, 3), np.float16),
        "c": np.arange(6, dtype=np.int64).reshape(2, 3),
    }
    assert content_digest("{}", arrays) == naive("{}", arrays)


def test_digest__changes_with_all_that_is_said():
    array = np.arange(6, dtype=np.int32)
    whole = content_digest("x", {"a": array, "b": array})
    others = [
        ("y", {"a": array, "b": array}),
        ("x", {"a": array}),
        ("x", {"a": array, "c": array}),
        ("x", {"a": array, "b": array.reshape(2, 3)}),
        ("x", {"a": array, "b": array.view(np.float32)}),
        ("x", {"a": array, "b": array[::-1].copy()}),
    ]
    assert len({whole, *(content_digest(*other) for other in others)}) == 7
