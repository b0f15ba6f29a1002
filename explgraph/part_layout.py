"""Where things go in the drawing of And-Or graphs: a card for each template, with rows of patterns.

Lengths are points; y is measured downwards from the top.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from aog.structures import AndOrGraph

from .dot import printable

CARD_X, CARD_WIDTH, SKETCH = 238.0, 170.0, 150.0
"""Middle and width of the cards, and the side of the sketch in each."""

TITLE, HEAD = 36.0, 44.0
"""Heights of a card's title, and of the headings above the first card."""

ROW = 25.0
"""Height of a row with a label."""

_PAD, _GAP = 10.0, 16.0


@dataclass(frozen=True, slots=True)
class Card:
    """A template in the drawing, and where it begins.

    ``groups`` are the patterns drawn, those of one filter together; ``rest`` counts the others;
    ``row_height`` is what a pattern needs.
    """

    aog: AndOrGraph
    template: int
    groups: tuple[tuple[int, ...], ...]
    rest: int
    top: float
    row_height: float = ROW

    @property
    def name(self) -> str:
        """What DOT text calls it."""
        return f"{drawing_name(self.aog.part)} / template {self.template}"

    @property
    def rows(self) -> int:
        """How many rows stand beside it, one for each pattern and one for the rest."""
        return sum(len(group) for group in self.groups) + (self.rest > 0)

    @property
    def height(self) -> float:
        """What its rows need, or its title and sketch."""
        return max(self.rows * self.row_height, TITLE + SKETCH + _PAD)

    @property
    def middle(self) -> float:
        """Its middle."""
        return self.top + self.height / 2

    @property
    def right(self) -> tuple[float, float]:
        """Where the lines to its patterns begin."""
        return CARD_X + CARD_WIDTH / 2, self.middle

    def row(self, index: int) -> float:
        """Return the middle of a row; rows are centred on the card."""
        return self.middle + (index - (self.rows - 1) / 2) * self.row_height

    @property
    def sketch_middle(self) -> float:
        """The middle of its sketch, below the title."""
        return self.middle + (TITLE - _PAD) / 2


def drawing_name(part: str) -> str:
    """Return a part's name as DOT text can hold it between quotes."""
    return " ".join(printable(part).split()).replace("\\", "\\\\")


def lay_cards(
    aogs: Sequence[AndOrGraph], count: int, row_height: float = ROW
) -> tuple[list[Card], float]:
    """Return the cards of all templates, one below the other, and where the last one ends.

    Parameters
    ----------
    aogs
        The parts.
    count
        Patterns drawn of each template, at most.
    row_height
        What a pattern needs.
    """
    cards: list[Card] = []
    top = HEAD
    for aog in aogs:
        for template in range(len(aog)):
            groups, rest = heaviest(aog, template, count)
            cards.append(Card(aog, template, groups, rest, top, row_height))
            top += cards[-1].height + _GAP
        top += _GAP
    return cards, top - 2 * _GAP


def heaviest(aog: AndOrGraph, template: int, count: int) -> tuple[tuple[tuple[int, ...], ...], int]:
    """Return ``count`` patterns of a template's heaviest groups, and how many patterns are left.

    Heaviest first, groups and patterns alike. No group takes more than a third of the room, or one
    filter of many patterns would fill it.
    """
    first, stop = aog.start[template : template + 2].tolist()
    groups: dict[int, list[int]] = {}
    for q in (first + np.argsort(-aog.weight[first:stop], kind="stable")).tolist():
        groups.setdefault(int(aog.group[q]), []).append(q)
    by_weight = sorted(groups.values(), key=lambda group: -float(aog.weight[group].sum()))
    chosen: list[tuple[int, ...]] = []
    room = count
    for group in by_weight[:count]:
        chosen.append(tuple(group[: min(room, -(-count // 3))]))
        room -= len(chosen[-1])
        if room == 0:
            break
    return tuple(chosen), stop - first - count + room
