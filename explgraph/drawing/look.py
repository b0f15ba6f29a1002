"""What drawings of graphs have in common: colours, type, and how a name is cut to its room."""

from __future__ import annotations

from explgraph.base import markup

# Okabe and Ito's palette, which colour-blind people can tell apart; lowest layer first. Its yellow
# and black are left out: too pale for a line, and the colour of the text.
COLORS = ("#0072B2", "#009E73", "#E69F00", "#D55E00", "#CC79A7", "#56B4E9")
"""A layer's colour is ``COLORS[layer % len(COLORS)]``."""

TIMES = "\N{MULTIPLICATION SIGN}"
FONT = "Helvetica,Arial,sans-serif"
INK, FAINT, PAPER = markup.INK, markup.FAINT, markup.PAPER
EMPTY, RULE, LINE = "#F5F6F8", "#D9DBDF", "#8A8F99"
"""Colours of what is left empty, of thin lines, and of lines that stand for something."""

FONT_SIZE, SMALL, NOTE, HEADING, TITLE = 9.0, 7.0, 8.0, 12.0, 15.0
"""Sizes of type, points: of labels, what is small in them, notes, headings, the title."""

WIDE, TYPICAL = 0.63, 0.6
"""Width of a Latin character over the font size: on the wide side, and of a line of text."""


MANY_COLORS = (*COLORS, INK, "#F0E442")
"""For what there may be many of on a picture that has marks and no lines: parts, groups."""


def many_color(number: int) -> str:
    """Return the colour of one of many, such as part groups."""
    return MANY_COLORS[number % len(MANY_COLORS)]


def layer_color(layer: int) -> str:
    """Return a layer's colour."""
    return COLORS[layer % len(COLORS)]


def tint(color: str, share: float) -> str:
    """Mix a colour with white; ``share`` of it stays."""
    channels = (int(color[i : i + 2], 16) for i in (1, 3, 5))
    return "#" + "".join(f"{round(255 - share * (255 - c)):02X}" for c in channels)


def with_opacity(color: str, opacity: float) -> str:
    """Return a colour that lets through what lies beneath; 1 is opaque."""
    return f"{color}{round(255 * opacity):02X}"
