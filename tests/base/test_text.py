"""Figures as text and as JSON values."""

import json

import numpy as np
import pytest

from explgraph.base.text import counted, digits, percent, plain


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
