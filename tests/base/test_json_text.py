"""JSON of others: any value that fits, one error for all that does not."""

import json

import msgspec
import pytest

from explgraph.base.errors import ExplGraphError
from explgraph.base.json_text import DEEPEST, decode_json


class Point(msgspec.Struct):
    x: float
    y: float = 0.0


@pytest.mark.parametrize("value", [{"a": [1, 2.5, None, "ä"]}, [], "x", 3, {"a": {}}])
def test_decode__gives_what_json_gives(value):
    assert decode_json(json.dumps(value).encode(), "it") == value
    assert decode_json(b"\xef\xbb\xbf" + json.dumps(value).encode(), "it") == value


def test_decode__gives_the_type_that_was_asked_for():
    assert decode_json(b'{"x": 1, "z": 2}', "it", Point) == Point(1.0)


BAD = {
    "cut off": (b'{"a": ', "is no JSON"),
    "no text": (b"\xff\xfe", "is no JSON"),
    "bad text": (b'"\xff"', "is no JSON"),
    "NaN": (b'{"a": NaN}', "is no JSON"),
    "a lone half of a pair": (b'"\\ud800"', "is no JSON"),
    "5,000 digits": (b"1" * 5000, "out of range"),
    "too large": (b"1e400", "out of range"),
    "100,000 deep": (b"[" * 100_000, f"more than {DEEPEST} deep"),
    "deep in objects": (b'{"a":' * 100 + b"1" + b"}" * 100, f"more than {DEEPEST} deep"),
    "one too deep": (b"[" * (DEEPEST + 1) + b"]" * (DEEPEST + 1), f"more than {DEEPEST} deep"),
}


@pytest.mark.parametrize("text,message", BAD.values(), ids=BAD)
def test_decode__says_what_is_wrong(text, message):
    with pytest.raises(ExplGraphError, match=f"^it.*{message}"):
        decode_json(text, "it")


def test_decode__as_deep_as_allowed():
    assert decode_json(b"[" * DEEPEST + b"]" * DEEPEST, "it") is not None


def test_decode__says_where_a_type_does_not_fit():
    with pytest.raises(ExplGraphError, match=r"it: Expected `float`, got `str` - at `\$\.x`"):
        decode_json(b'{"x": "far"}', "it", Point)
