"""How And-Or graphs are laid out: a card for each template, with rows of patterns and a sketch.

The sketch shows where the patterns are, seen from the part; it is drawn with the xdot operations
that Graphviz takes as a drawing's background. Lengths are points; y is measured downwards from the
top, in the sketch upwards.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from aog.structures import AndOrGraph, Parts
from explgraph.base.text import printable
from explgraph.drawing.dot import background_disc, background_line, background_polygon
from explgraph.drawing.look import INK, PAPER, layer_color

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


_DOTS = 200  # the patterns of largest weight; more of them only hide each other
_RADII = (0.9, 2.2)  # of the lightest and the heaviest pattern drawn
_OPAQUE = "B0"
_FRAME = "#B8BCC4"
_CROSS = 5.0


@dataclass(frozen=True, slots=True)
class Frame:
    """Where a sketch of the network's input lies in the drawing: its centre, and its scale.

    ``pixel`` is the length of one network pixel.
    """

    x: float
    y: float
    pixel: float


def sketch_template(parts: Parts, aog: AndOrGraph, template: int, frame: Frame) -> str:
    """Return the operations that draw a template: a dot for each of its heaviest patterns.

    A dot is where the pattern was in the annotated photos, on average; its colour is its layer's,
    its size tells its weight. The part is the cross, with its box where the size is known.
    """
    patterns = np.arange(aog.start[template], aog.start[template + 1])
    heaviest = np.argsort(-aog.weight[patterns], kind="stable")[:_DOTS]
    drawn = patterns[heaviest[::-1]]  # the heaviest on top
    centre = aog.centre[template].astype(np.float64)
    middle = np.array(parts.graph.input_size) / 2
    most = float(aog.weight[drawn].max(initial=0)) or 1.0
    operations = [_rectangle(frame, np.zeros(2), middle * 2 * frame.pixel, _FRAME, PAPER)]
    for q in drawn.tolist():
        dy, dx = (centre - aog.displacement[q] - middle) * frame.pixel
        color = layer_color(int(parts.graph.node_layer[aog.node[q]]))
        share = float(aog.weight[q]) / most
        radius = _RADII[0] + share * (_RADII[1] - _RADII[0])
        dot = color + _OPAQUE
        operations.append(background_disc(frame.x + dx, frame.y - dy, radius, dot, dot))
    dy, dx = (centre - middle) * frame.pixel
    if np.isfinite(aog.size[template]).all():
        box = aog.size[template].astype(np.float64) * frame.pixel
        operations.append(_rectangle(frame, np.array([dy, dx]), box, INK))
    for ends in (((-_CROSS, 0), (_CROSS, 0)), ((0, -_CROSS), (0, _CROSS))):
        line = [(frame.x + dx + x, frame.y - dy + y) for x, y in ends]
        operations.append(background_line(line, 1.6, INK))
    return "".join(operations)


def _rectangle(
    frame: Frame, offset: np.ndarray, size: np.ndarray, line: str, fill: str | None = None
) -> str:
    """Draw a rectangle of (height, width) ``size``, its centre ``offset`` (y down, x) away."""
    (dy, dx), (height, width) = offset.tolist(), (size / 2).tolist()
    x, y = frame.x + dx, frame.y - dy
    corners = [(x - width, y - height), (x + width, y - height), (x + width, y + height)]
    corners.append((x - width, y + height))
    return background_polygon(corners, 0.8, line, fill)
