"""Patterns are those of a shell, and bounded; an address is told from a path."""

import shutil
import subprocess

import pytest

from explgraph.base.errors import ExplGraphError
from explgraph.photos.addresses import expanded, is_address
from tests.support.patience import at_once


@pytest.mark.parametrize(
    "pattern",
    [
        "a",
        "a{1..3}",
        "{08..11}.tar",
        "{8..11}",
        "{a,b}{1..2}",
        "x{a,}y",
        "{0..0}",
        "a{b}c",
        "{}",
        "{001..2}",
    ],
)
def test_expanded__is_what_bash_makes_of_it(pattern):
    if shutil.which("bash") is None:
        pytest.skip("there is no bash")
    script = f"printf '%s\\n' {pattern}"
    told = subprocess.run(["bash", "-c", script], capture_output=True, text=True, check=True)
    assert expanded(pattern) == told.stdout.splitlines()


@pytest.mark.parametrize(
    "pattern", ["{0..999999999999}", "{0..9999}{0..9999}", "{" + "," * 2**20 + "}"]
)
def test_expanded__has_bounds(pattern):
    with at_once(), pytest.raises(ExplGraphError, match="expected"):
        expanded(pattern)


def test_expanded__a_range_that_falls_has_nothing():
    with pytest.raises(ExplGraphError, match="stands for 0 files"):
        expanded("{3..1}")


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        ("s3://b", True), ("memory://", True), ("simplecache::s3://b/x.tar", True),
        ("zip://*.png::/a.zip", True), ("/a/b", False), ("C:/a", False), ("a://b"[1:], False),
        ("photos/s3://b", False), ("s3:/b", False),
    ],
)  # fmt: skip
def test_is_address(text, answer):
    assert is_address(text) is answer
