"""The title above a drawing, and the legend and notes below it, as operations of a background.

Lengths are points; y is measured upwards from the bottom.
"""

from __future__ import annotations

import textwrap
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from explgraph.base.text import columns

from .dot import background_disc, background_line, background_text
from .look import FAINT, FONT, INK, NOTE, TITLE, TYPICAL

TITLE_HEIGHT = 38.0
"""Room above a drawing for its title."""

_MARK, _MARK_GAP, _ITEM_GAP, _ROW, _FOOT = 22.0, 5.0, 14.0, 13.0, 4.0
_LEFT = 2.0
_MIDDLE = 2.6  # of a small letter, above the line of text


@dataclass(frozen=True, slots=True)
class Item:
    """A piece of a legend: a text and, before it, a mark that it explains.

    ``mark`` takes the middle of a box `_MARK` wide, x and y, and returns the operations.
    """

    text: str
    mark: Callable[[float, float], str] | None = None

    @property
    def width(self) -> float:
        """How wide it is, with the gap to the next one."""
        mark = 0.0 if self.mark is None else _MARK + _MARK_GAP
        return mark + TYPICAL * NOTE * columns(self.text) + _ITEM_GAP

    def draw(self, x: float, y: float) -> str:
        """Return the operations that draw it from x to the right, its text standing on y."""
        if self.mark is None:
            return background_text(self.text, x, y, NOTE, FONT, FAINT)
        text = background_text(self.text, x + _MARK + _MARK_GAP, y, NOTE, FONT, INK)
        return self.mark(x + _MARK / 2, y + _MIDDLE) + text


def line_item(text: str, width: float, color: str, style: str = "solid") -> Item:
    """Return an item that explains a line."""

    def mark(x: float, y: float) -> str:
        return background_line([(x - _MARK / 2, y), (x + _MARK / 2, y)], width, color, style)

    return Item(text, mark)


def disc_item(text: str, radius: float, color: str, fill: str | None = None) -> Item:
    """Return an item that explains a disc, or without a ``fill`` a circle."""
    return Item(text, lambda x, y: background_disc(x, y, radius, color, fill, 0.8))


@dataclass(frozen=True, slots=True)
class Legend:
    """Rows of items below a drawing."""

    rows: tuple[tuple[Item, ...], ...]

    @classmethod
    def of(cls, groups: Sequence[Sequence[Item] | str], width: float) -> Legend:
        """Break each group of items, and each text, into as many rows as its width asks for."""
        rows: list[tuple[Item, ...]] = []
        for group in groups:
            if isinstance(group, str):
                lines = textwrap.wrap(group, max(int(width / (TYPICAL * NOTE)), 20))
                rows += [(Item(line),) for line in lines]
            else:
                rows += _wrapped(group, width)
        return cls(tuple(rows))

    @property
    def height(self) -> float:
        """Room that it takes at the bottom."""
        return _ROW * len(self.rows) + _FOOT + _ROW / 2

    def draw(self) -> str:
        """Return the operations that draw it."""
        operations = []
        for i, row in enumerate(reversed(self.rows)):
            x = _LEFT
            for item in row:
                operations.append(item.draw(x, _FOOT + _ROW * i))
                x += item.width
        return "".join(operations)


def _wrapped(items: Sequence[Item], width: float) -> list[tuple[Item, ...]]:
    rows: list[list[Item]] = [[]]
    for item in items:
        if rows[-1] and sum(other.width for other in (*rows[-1], item)) > width:
            rows.append([])
        rows[-1].append(item)
    return [tuple(row) for row in rows if row]


def draw_title(title: str, note: str, top: float) -> str:
    """Return the operations that write a title and what it tells, below ``top``."""
    heading = background_text(title, _LEFT, top - TITLE, TITLE, FONT, INK)
    return heading + background_text(note, _LEFT, top - TITLE - _ROW, NOTE, FONT, FAINT)
