"""Figures as text and as JSON values."""

import json
from time import perf_counter

import numpy as np
import pytest

from explgraph.base.text import (
    columns,
    counted,
    cut_beginning,
    cut_end,
    digits,
    percent,
    plain,
)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (np.float32("nan"), None),
        (-np.inf, None),
        (np.int32(3), 3),
        (np.bool_(True), True),
        ("nan", "nan"),
        ((1, [np.nan]), [1, [None]]),
        (np.array([[0.5, np.nan]]), [[0.5, None]]),
        ({3: {"a": np.nan}}, {"3": {"a": None}}),
    ],
)
def test_plain__is_what_json_knows(value, expected):
    assert plain(value) == expected
    assert json.loads(json.dumps(plain(value), allow_nan=False)) == expected


def test_figures__what_is_unknown_is_said():
    assert (percent(0.125), percent(np.nan, "-")) == ("12%", "-")
    assert (digits(2.0, 0), digits(np.float64(0.0005)), digits(np.nan)) == ("2", "0.001", "")
    assert (counted(0, "node"), counted(1, "node")) == ("0 nodes", "1 node")


@pytest.mark.parametrize("room", range(2, 9))
def test_cut__keeps_as_much_as_has_room(room):
    """Of Latin and East Asian characters, which are twice as wide: compared with all cuts."""
    text = "a口bc口口d"
    ends = [text[:i] + "…" for i in range(len(text)) if columns(text[:i]) < room]
    begins = ["…" + text[i:] for i in range(1, len(text) + 1) if columns(text[i:]) < room]
    assert cut_end(text, room) == max(ends, key=len)
    assert cut_beginning(text, room) == max(begins, key=len)
    assert cut_end(text, 12) == cut_beginning(text, 12) == text  # it fits


def test_cut__long_text_takes_no_time():
    start = perf_counter()
    for _ in range(10):
        cut_end("x" * 20_000, 18)
        cut_beginning("x" * 20_000, 18)
    assert perf_counter() - start < 5  # it took a quarter of an hour, a character at a time
