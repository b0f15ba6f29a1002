"""The page that And-Or graphs are drawn on: its statements, headings and legend.

Positions are fixed in the DOT text, as in `explgraph.drawing.graph.draw`. Lengths are points; y is
measured downwards from the top until it is written.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from explgraph.base.text import counted, cut_beginning
from explgraph.drawing.dot import (
    Markup,
    Value,
    attributes,
    background,
    background_line,
    background_polygon,
    background_text,
    escape_markup,
    point,
    quoted,
)
from explgraph.drawing.legend import Item, Legend, disc_item, line_item
from explgraph.drawing.look import (
    FAINT,
    FONT,
    FONT_SIZE,
    HEADING,
    INK,
    LINE,
    NOTE,
    RULE,
    SMALL,
    layer_color,
)
from explgraph.drawing.page import defaults, lettering
from explgraph.graphs.graph import ExplanatoryGraph

from .cards import CARD_X, SKETCH, Card

PART_X, OR_X, PATTERN_X, TERMINAL_X, WIDTH = 62.0, 368.0, 540.0, 722.0, 796.0
"""Middles of the columns, and the width of the page."""

LONGEST = 25
"""Columns of a label."""

FOOT_GAP = 12.0
"""Room between the last template and the legend."""

_LEGEND_COLUMNS = 24
_MARGIN = 4.0


@dataclass(frozen=True, slots=True)
class Statements:
    """DOT statements of a drawing of some height."""

    height: float
    lines: list[str] = field(default_factory=list)

    def node(
        self, name: str, at: tuple[float, float], size: tuple[float, float], **values: Value
    ) -> None:
        """Add a node, its middle at (x, y)."""
        place: dict[str, Value] = {
            "pos": point(at[0], self.height - at[1]),
            "height": size[0] / 72,
            "width": size[1] / 72,
        }
        self.lines.append(f"{quoted(name)} {attributes(place | values)};")

    def edge(
        self,
        ends: tuple[str, str],
        start: tuple[float, float],
        stop: tuple[float, float],
        level: float = 0.0,
        **values: Value,
    ) -> None:
        """Add a curve that leaves level, and arrives so over some length."""
        knee = (stop[0] - level, stop[1])
        bend = (start[0] + knee[0]) / 2
        control = [start, (bend, start[1]), (bend, stop[1]), knee, knee, stop, stop]
        line: dict[str, Value] = {
            "pos": " ".join(point(x, self.height - y) for x, y in control),
            **values,
        }
        self.lines.append(f"{quoted(ends[0])} -> {quoted(ends[1])} {attributes(line)};")

    def written(self, operations: str) -> str:
        """Return the DOT text, on a background that some operations draw."""
        return "\n".join(
            ["digraph parts {", *_defaults(self.height), background(operations), *self.lines, "}\n"]
        )


def _defaults(height: float) -> list[str]:
    node: dict[str, Value] = {"shape": "ellipse", "style": "filled", "fixedsize": "shape"}
    edge: dict[str, Value] = {"dir": "none", "color": LINE}
    return defaults(
        (height, WIDTH),
        node | lettering(FONT_SIZE) | {"color": LINE, "fillcolor": "white"},
        edge | lettering(SMALL),
    )


def draw_headings(height: float) -> str:
    """Return the operations that write the headings of the columns."""
    titles = (
        (PART_X, "Part", "OR: one template"),
        (CARD_X, "Templates", "AND: all patterns vote"),
        (PATTERN_X, "Latent patterns", "OR: one peak"),
        (TERMINAL_X, "Terminals", "the peaks of a filter"),
    )
    return "".join(
        _centred(title, x, height - 14, HEADING, INK) + _centred(kind, x, height - 28, NOTE, FAINT)
        for x, title, kind in titles
    )


def draw_title(card: Card, height: float) -> str:
    """Write a template's title, above its sketch: Graphviz would write it in the middle."""
    y = height - card.sketch_middle + SKETCH / 2
    clicks = float(card.aog.clicks[card.template])
    count = counted(round(clicks), "click") if clicks.is_integer() else f"{clicks:.2g} clicks"
    return _centred(f"Template {card.template}", CARD_X, y + 19, 11, INK) + _centred(
        f"from {count}", CARD_X, y + 7, NOTE, FAINT
    )


def _centred(text: str, x: float, y: float, size: float, color: str) -> str:
    return background_text(text, x, y, size, FONT, color, centred=True)


def legend_of(graph: ExplanatoryGraph, cards: Sequence[Card], *, has_pictures: bool) -> Legend:
    """Return what shapes, lines, colours and numbers mean."""
    drawn = sum(len(group) for card in cards for group in card.groups)
    total = drawn + sum(card.rest for card in cards)
    nodes = {int(card.aog.node[q]) for card in cards for group in card.groups for q in group}
    layers = sorted({int(graph.node_layer[node]) for node in nodes}, reverse=True)
    pattern = "is layer/filter/part, in its layer's colour"
    if has_pictures:
        pattern = (
            "is the patch of the photo in which its node scores best (mirrored where the graph "
            "sees the photo mirrored; a grey one: no peak in any photo), its rim in its layer's "
            "colour"
        )
    return Legend.of(
        [
            [
                disc_item("round: OR, one of", 4.5, INK),
                line_item("alternatives", 1.2, LINE, "dashed"),
                Item("square: AND, all of", _square),
                line_item("all count", 1.2, LINE),
                *[
                    disc_item(
                        cut_beginning(graph.layers[layer].name, _LEGEND_COLUMNS),
                        *(4.0, layer_color(layer), layer_color(layer)),
                    )
                    for layer in layers
                ],
            ],
            f"{drawn:,} of {total:,} patterns: of each template the filters that count most. A "
            f"pattern {pattern}; those of one filter are alternatives (or).",
            "On the line to a pattern: how far the part's centre is from its peak, and the spread "
            "of that (dy, dx; network pixels). The wider the line, the more the vote counts.",
            "In a template's square, the network's input: the part (cross, and box where its size "
            "is known) and where its 200 heaviest patterns are (dots).",
        ],
        WIDTH - 2 * _MARGIN,
    )


def _square(x: float, y: float) -> str:
    corners = [(x - 4, y - 4), (x + 4, y - 4), (x + 4, y + 4), (x - 4, y + 4)]
    return background_polygon(corners, 0.8, INK)


def draw_legend(legend: Legend) -> str:
    """Return the operations that draw a legend at the bottom, below a rule."""
    rule = [(2.0, legend.height), (WIDTH - 2, legend.height)]
    return background_line(rule, 0.5, RULE) + legend.draw()


def shortened(name: str, longest: int) -> Markup:
    """Cut the beginning of a long name: what tells filters of one network apart is the end."""
    return escape_markup(cut_beginning(name, longest))
