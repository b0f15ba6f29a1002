"""Text for people: cut, set in columns, figures; and values as JSON knows them."""

from __future__ import annotations

import math
import unicodedata
from collections.abc import Mapping, Sequence
from itertools import accumulate, takewhile
from typing import Any, overload

import numpy as np


def printable(text: str) -> str:
    """Replace what neither XML nor a line of text can hold by spaces; joiners of glyphs stay."""
    return "".join(c if c.isprintable() or c in "\u200c\u200d" else " " for c in text)


def printable_lines(text: str) -> str:
    r"""Return text for a terminal, which obeys what is not printable: it keeps its lines.

    >>> printable_lines("a\x1b[2J.png\nb")
    'a [2J.png\nb'
    """
    return "\n".join(map(printable, text.split("\n")))


def columns(text: str) -> int:
    """Return how many Latin characters are as wide as ``text``: East Asian ones count twice."""
    return sum(2 if unicodedata.east_asian_width(c) in "WF" else 1 for c in text)


def one_line(text: str) -> str:
    """Return text without line breaks and without what cannot be printed."""
    return " ".join(printable(text).split())


def cut_end(text: str, room: int) -> str:
    """Make text one line of at most ``room`` columns; what is too long loses its end."""
    shown = one_line(text)
    if columns(shown) <= room:
        return shown
    return shown[: _fitting(shown, room - 1)].rstrip() + "…"


def cut_beginning(text: str, room: int) -> str:
    """Make text one line of at most ``room`` columns; what is too long loses its beginning.

    So are layers' names cut: what tells those of one network apart stands at their end.
    """
    shown = one_line(text)
    if columns(shown) <= room:
        return shown
    return f"…{shown[len(shown) - _fitting(shown[::-1], room - 1) :]}"


def _fitting(text: str, room: int) -> int:
    """Return how many characters from the beginning fit into the room."""
    widths = accumulate(map(columns, text))
    return sum(1 for _ in takewhile(lambda width: width <= room, widths))


def counted(number: int, noun: str) -> str:
    """Return how many there are, in words.

    >>> counted(1, "photo"), counted(1200, "node")
    ('1 photo', '1,200 nodes')
    """
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def percent(share: float, unknown: str = "") -> str:
    """Return a share in whole percent; ``unknown`` for NaN.

    >>> percent(0.123), percent(float("nan"), "-")
    ('12%', '-')
    """
    return unknown if math.isnan(share) else f"{share:.0%}"


def digits(value: float, decimals: int = 3, unknown: str = "") -> str:
    """Return a figure with so many decimals; ``unknown`` for NaN.

    >>> digits(0.12345), digits(1.5, 1), digits(float("nan"))
    ('0.123', '1.5', '')
    """
    return unknown if math.isnan(value) else f"{value:.{decimals}f}"


@overload
def plain(value: Mapping[Any, object]) -> dict[str, Any]: ...


@overload
def plain(value: object) -> object: ...


def plain(value: object) -> object:
    """Return a value as JSON knows it, in mappings and sequences too: NaN and infinities are null.

    >>> plain({"nodes": np.int64(3), "means": (np.nan, np.array([0.5, np.inf]))})
    {'nodes': 3, 'means': [None, [0.5, None]]}
    """
    if isinstance(value, np.ndarray | np.generic):
        value = value.tolist()
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def photos_named(images: Sequence[str], most: int = 3) -> str:
    """Return how many photos there are, and the names of the first.

    >>> photos_named(("a.jpg", "b.jpg"))
    '2 photos (a.jpg, b.jpg)'
    """
    names = ", ".join(images[:most]) + (", ..." if len(images) > most else "")
    return f"{counted(len(images), 'photo')} ({names})" if images else "no photos"
