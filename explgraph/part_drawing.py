"""Pictures of And-Or graphs: part, templates, latent patterns, terminals, from left to right.

Positions are fixed in the DOT text, as in `explgraph.drawing`. Lengths are points; y is measured
downwards from the top until it is written.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from aog.structures import AndOrGraph, Parts

from .dot import (
    Markup,
    Value,
    attributes,
    background_line,
    background_text,
    escape_markup,
    escape_tooltip,
    point,
    printable,
    quoted,
)
from .drawing import COLORS, PICTURE_FORMATS, render
from .errors import require, unknown_name
from .part_layout import CARD_WIDTH, CARD_X, SKETCH, Card, drawing_name, lay_cards
from .part_sketch import Frame, sketch_template
from .storage import PathLike, write_bytes

_FONT = "Helvetica,Arial,sans-serif"
_INK, _FAINT, _LINE, _RULE = "#222222", "#6B6B6B", "#8A8F99", "#D9DBDF"
_PART_X, _OR_X, _PATTERN_X, _TERMINAL_X, _WIDTH = 62.0, 368.0, 540.0, 722.0, 796.0
_PART, _OR, _PATTERN, _TERMINAL = (48.0, 116.0), (16.0, 26.0), (22.0, 156.0), (22.0, 138.0)
_LEVEL = 60.0  # of a line to a pattern: what is written on it has room there
_FOOT = 68.0  # height of the notes at the bottom
_LONGEST, _LONGEST_PART = 25, 14  # characters of a label
_WIDTHS = (0.4, 1.8)  # of the lines to patterns, by their weight over the heaviest one's
_TINT = "24"  # opacity of a pattern's fill
_PIECE = 8000  # characters of a quoted string


def draw_parts(
    parts: Parts, path: PathLike, *, part: str | None = None, patterns_per_template: int = 8
) -> None:
    """Draw And-Or graphs in four layers, from left to right.

    A part is one of its templates (OR). In a template all latent patterns vote (AND); those of one
    filter are alternatives (OR). A pattern is found on one of the peaks of its filter, the
    terminals. The line to a pattern tells how far the part's centre is from its peak; a template's
    square shows where its patterns are around the part.

    Parameters
    ----------
    parts
        What `fit_parts` made.
    path
        File to write; its suffix says how: svg, pdf, png, or dot for Graphviz' own text, which
        ``neato -n2`` draws. Missing folders are made.
    part
        The part to draw; None draws all of them, one below the other.
    patterns_per_template
        Patterns to draw of each template, those of the filters that weigh most; a third of them
        of one filter at most.

    Raises
    ------
    ExplGraphError
        If the suffix or the part is unknown, or no pattern is to be drawn.
    """
    suffix = Path(path).suffix.lower().removeprefix(".")
    if suffix not in PICTURE_FORMATS:
        valid = [f".{s}" for s in PICTURE_FORMATS]
        raise unknown_name("picture format", f".{suffix}", valid, f"Valid: {', '.join(valid)}")
    require(
        patterns_per_template >= 1,
        f"patterns_per_template must be at least 1, got {patterns_per_template}",
    )
    aogs = parts.aogs if part is None else (parts[part],)
    text = _dot_text(parts, aogs, patterns_per_template)
    write_bytes(path, text.encode() if suffix == "dot" else render(text, suffix))


@dataclass(frozen=True, slots=True)
class _Text:
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


def _dot_text(parts: Parts, aogs: Sequence[AndOrGraph], count: int) -> str:
    cards, bottom = lay_cards(aogs, count)
    text = _Text(bottom + _FOOT)
    pixel = SKETCH / max(parts.graph.input_size)
    sketches = [
        sketch_template(
            parts, card.aog, card.template, Frame(CARD_X, text.height - card.sketch_middle, pixel)
        )
        for card in cards
    ]
    titles = [_title(card, text.height) for card in cards]
    background = "".join([*sketches, *titles, _headings(text.height), _legend(cards)])
    for aog in aogs:
        _add_part(text, [card for card in cards if card.aog is aog])
    for card in cards:
        _add_template(text, parts, card)
    defaults = _defaults(text.height, background)
    return "\n".join(["digraph parts {", *defaults, *text.lines, "}"]) + "\n"


def _defaults(height: float, background: str) -> list[str]:
    graph: dict[str, Value] = {
        "bb": f"0,0,{_WIDTH:.1f},{height:.1f}",
        "outputorder": "edgesfirst",
        "splines": "line",
        "fontname": _FONT,
    }
    node: dict[str, Value] = {
        "shape": "ellipse",
        "style": "filled",
        "fixedsize": "shape",
        "fontname": _FONT,
        "fontsize": 9,
        "fontcolor": _INK,
        "color": _LINE,
        "fillcolor": "white",
    }
    edge: dict[str, Value] = {
        "dir": "none",
        "color": _LINE,
        "fontname": _FONT,
        "fontsize": 7,
        "fontcolor": _INK,
    }
    kinds = {"graph": graph, "node": node, "edge": edge}
    # Graphviz' scanner refuses strings of 16 KiB, but puts shorter ones together.
    pieces = [background[i : i + _PIECE] for i in range(0, len(background), _PIECE)]
    return [
        *(f"{kind} {attributes(values)};" for kind, values in kinds.items()),
        f"graph [_background={' + '.join(map(quoted, pieces))}];",
    ]


def _headings(height: float) -> str:
    titles = (
        (_PART_X, "Part", "OR: one template"),
        (CARD_X, "Templates", "AND: all patterns vote"),
        (_PATTERN_X, "Latent patterns", "OR: one peak"),
        (_TERMINAL_X, "Terminals", "the peaks of a filter"),
    )
    return "".join(
        _centred(title, x, height - 14, 12, _INK) + _centred(kind, x, height - 28, 8, _FAINT)
        for x, title, kind in titles
    )


def _title(card: Card, height: float) -> str:
    """Return a template's title, above its sketch: Graphviz would write it in the middle."""
    y = height - card.sketch_middle + SKETCH / 2
    clicks = int(card.aog.clicks[card.template])
    return _centred(f"Template {card.template}", CARD_X, y + 19, 11, _INK) + _centred(
        f"from {_count(clicks, 'click')}", CARD_X, y + 7, 8, _FAINT
    )


def _centred(text: str, x: float, y: float, size: float, color: str) -> str:
    """Write a line of text centred on x: `background_text` with xdot's other alignment."""
    return background_text(text, x, y, size, _FONT, color).replace(" -1 0 ", " 0 0 ", 1)


def _legend(cards: Sequence[Card]) -> str:
    drawn = sum(len(group) for card in cards for group in card.groups)
    total = drawn + sum(card.rest for card in cards)
    lines = (
        f"{drawn:,} of {total:,} patterns: of each template the filters that count most. A pattern "
        "is layer/filter/part, in its layer's colour; those of one filter are alternatives (or).",
        "On the line to a pattern: how far the part's centre is from its peak, and the spread of "
        "that (dy, dx; network pixels). The wider the line, the more the vote counts.",
        "In a template's square, the network's input: the part (cross, and box where its size is "
        "known) and where its 200 heaviest patterns are (dots).",
    )
    operations = [background_line([(2, 46), (_WIDTH - 2, 46)], 0.5, _RULE)]
    operations += [
        background_text(line, 4, y, 8, _FONT, _FAINT)
        for line, y in zip(lines, (31, 18, 5), strict=True)
    ]
    return "".join(operations)


def _add_part(text: _Text, cards: Sequence[Card]) -> None:
    """Add a part, halfway down its templates, and the lines to them."""
    aog, middle = cards[0].aog, (cards[0].top + cards[-1].top + cards[-1].height) / 2
    clicks = int(aog.clicks.sum())
    name = drawing_name(aog.part)
    bold = f'<FONT POINT-SIZE="11"><B>{_shortened(aog.part, _LONGEST_PART)}</B></FONT><BR/>'
    bold += '<FONT POINT-SIZE="3"> <BR/></FONT>'
    counts = f"{_count(len(aog), 'template')}, {_count(clicks, 'click')}"
    small = f'<FONT POINT-SIZE="8" COLOR="{_FAINT}">{counts}</FONT>'
    text.node(
        name,
        (_PART_X, middle),
        _PART,
        label=Markup(f"{bold}{small}"),
        tooltip=escape_tooltip(aog.part),
        color=_INK,
        penwidth=1.4,
        kind="part",
    )
    for card in cards:
        start, stop = (_PART_X + _PART[1] / 2, middle), (CARD_X - CARD_WIDTH / 2, card.middle)
        text.edge((name, card.name), start, stop, penwidth=1.2)


def _add_template(text: _Text, parts: Parts, card: Card) -> None:
    """Add a template, the rows of its patterns, and their terminals."""
    text.node(
        card.name,
        (CARD_X, card.middle),
        (card.height, CARD_WIDTH),
        label="",
        tooltip=escape_tooltip(f"{card.aog.part}, template {card.template}"),
        shape="box",
        style="solid",
        color=_INK,
        penwidth=1.2,
        kind="template",
    )
    row = 0
    for group in card.groups:
        _add_group(text, parts, card, group, row)
        row += len(group)
    if card.rest:
        name, place = f"{card.name} / others", (_PATTERN_X, card.row(row))
        label = f"and {_count(card.rest, 'more pattern')}"
        text.node(name, place, _PATTERN, label=label, shape="plaintext", fontcolor=_FAINT)
        stop = (_PATTERN_X - _PATTERN[1] / 2, place[1])
        text.edge((card.name, name), card.right, stop, _LEVEL, style="dashed", penwidth=0.6)


def _add_group(text: _Text, parts: Parts, card: Card, group: tuple[int, ...], row: int) -> None:
    """Add the patterns of one filter, an OR node if there are several, and its peaks."""
    middle = (card.row(row) + card.row(row + len(group) - 1)) / 2
    parent, start = card.name, card.right
    filter_name = parts.graph.node_id(int(card.aog.node[group[0]])).rpartition("/")[0]
    if len(group) > 1:
        parent = f"{card.name} / {filter_name}"
        text.node(parent, (_OR_X, middle), _OR, label="or", fontsize=8, kind="group")
        text.edge((card.name, parent), start, (_OR_X - _OR[1] / 2, middle), penwidth=1)
        start = (_OR_X + _OR[1] / 2, middle)
    terminal = f"{card.name} / peaks of {filter_name}"
    spec = parts.graph.layers[int(parts.graph.node_layer[card.aog.node[group[0]]])]
    text.node(
        terminal,
        (_TERMINAL_X, middle),
        _TERMINAL,
        label=_shortened(f"peaks of {filter_name}", _LONGEST),
        tooltip=escape_tooltip(f"{filter_name}\n{spec.grid[0]} by {spec.grid[1]} cells"),
        shape="box",
        fillcolor="#EEF0F3",
        fontsize=8,
        kind="terminal",
    )
    for i, q in enumerate(group):
        place = (_PATTERN_X, card.row(row + i))
        _add_pattern(text, parts, card, q, place)
        name = _pattern_name(parts, card, q)
        _add_vote(text, card, q, (parent, name), start, place[1])
        begin = (place[0] + _PATTERN[1] / 2, place[1])
        text.edge((name, terminal), begin, (_TERMINAL_X - _TERMINAL[1] / 2, middle), penwidth=0.8)


def _pattern_name(parts: Parts, card: Card, q: int) -> str:
    return f"{card.name} / {parts.graph.node_id(int(card.aog.node[q]))}"


def _add_pattern(text: _Text, parts: Parts, card: Card, q: int, place: tuple[float, float]) -> None:
    graph, aog, node = parts.graph, card.aog, int(card.aog.node[q])
    color = COLORS[int(graph.node_layer[node]) % len(COLORS)]
    identity, given = graph.node_id(node), " ".join(printable(graph.names.get(node, "")).split())
    tooltip = (
        f"{given}\n{identity}\n".lstrip("\n")
        + f"weight {aog.weight[q]:.2%} of the template's votes\n"
        f"score {aog.scale[q]:.3g} where it is seen best"
    )
    text.node(
        _pattern_name(parts, card, q),
        place,
        _PATTERN,
        label=_shortened(given or identity, _LONGEST),
        tooltip=escape_tooltip(tooltip),
        color=color,
        fillcolor=color + _TINT,
        kind="pattern",
    )


def _add_vote(
    text: _Text,
    card: Card,
    q: int,
    ends: tuple[str, str],
    start: tuple[float, float],
    y: float,
) -> None:
    aog = card.aog
    first, stop = aog.start[card.template : card.template + 2].tolist()
    share = float(aog.weight[q]) / (float(aog.weight[first:stop].max()) or 1.0)
    dy, dx = np.round(aog.displacement[q]).astype(int).tolist()
    text.edge(
        ends,
        start,
        (_PATTERN_X - _PATTERN[1] / 2, y),
        level=_LEVEL,
        penwidth=_WIDTHS[0] + share * (_WIDTHS[1] - _WIDTHS[0]),
        label=f"{dy:+d}, {dx:+d} ± {aog.spread[q]:.0f}",
        lp=point(_PATTERN_X - (_PATTERN[1] + _LEVEL) / 2, text.height - y + 5),
        vote_weight=float(aog.weight[q]),
        dy_px=float(aog.displacement[q, 0]),
        dx_px=float(aog.displacement[q, 1]),
        spread_px=float(aog.spread[q]),
    )


def _shortened(name: str, longest: int) -> Markup:
    """Cut the beginning of a long name: what tells filters of one network apart is the end."""
    shown = " ".join(printable(name).split())
    return escape_markup(shown if len(shown) <= longest else "…" + shown[1 - longest :])


def _count(number: int, noun: str) -> str:
    return f"{number:,} {noun}{'' if number == 1 else 's'}"
