"""Texts that stand for photos: addresses elsewhere, and patterns with braces."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from itertools import product
from math import prod
from pathlib import Path

from explgraph.base.errors import require

_ADDRESS = re.compile(r"([a-z0-9+.-]+::)*[a-z][a-z0-9+.-]*://")
_COLLAPSED = re.compile(r"[a-z][a-z0-9+.-]+:/[^/]")  # what a path makes of an address
_HERE = ("file://", "local://")
_BRACES = re.compile(r"\{([^{}]*)\}")
_RANGE = re.compile(r"([0-9]{1,12})\.\.([0-9]{1,12})")
_MOST = 1_000_000


def is_address(text: str) -> bool:
    """Say whether a text is an address, rather than a path on this machine.

    >>> is_address("s3://bucket/photos"), is_address("photos/a.jpg")
    (True, False)
    """
    return _ADDRESS.match(text) is not None


def placed(given: str | os.PathLike[str]) -> str:
    """Return a path or an address as a text; ``file://`` is a path.

    Raises
    ------
    ExplGraphError
        If it was an address before a path was made of it.
    """
    text = os.fspath(given)
    require(
        isinstance(given, str) or not _COLLAPSED.match(text) or Path(text).exists(),
        f"{text} does not exist. If an address is meant, give it as a text, not as a path",
    )
    here = next((prefix for prefix in _HERE if text.startswith(prefix)), "")
    return text.removeprefix(here)


def expanded(pattern: str) -> list[str]:
    """Return what a pattern with braces stands for, in order, as in a shell.

    >>> expanded("{train,val}-{08..10}.tar")[2:5]
    ['train-10.tar', 'val-08.tar', 'val-09.tar']

    Raises
    ------
    ExplGraphError
        If it stands for more than a million, or for none.
    """
    parts = _BRACES.split(pattern)
    choices = [_choices(part) if at % 2 else (part,) for at, part in enumerate(parts)]
    count = prod(len(some) for some in choices)
    require(0 < count <= _MOST, f"{pattern} stands for {count} files: expected 1 to {_MOST}")
    return ["".join(one) for one in product(*choices)]


def _choices(inner: str) -> Sequence[str]:
    numbers = _RANGE.fullmatch(inner)
    if numbers is None:
        return inner.split(",") if "," in inner else (f"{{{inner}}}",)
    first, last = numbers.groups()
    count = int(last) - int(first) + 1
    require(count <= _MOST, f"{{{inner}}} stands for {count} files: expected at most {_MOST}")
    # As many digits as the longer one has, where one begins with zero.
    padded = any(text.startswith("0") and len(text) > 1 for text in (first, last))
    width = max(len(first), len(last)) if padded else 0
    return [f"{number:0{width}d}" for number in range(int(first), int(last) + 1)]
