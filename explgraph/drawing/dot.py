"""DOT text: quoting and escaping, so that no name that a user gave can break or bend a drawing."""

from __future__ import annotations

import html
import re
from collections.abc import Iterable, Mapping

from explgraph.base.text import printable

Value = str | int | float
_PIECE = 3000  # characters of a quoted string, each of five bytes at most
_MOST = 400  # characters of a text that is shown
_PIECES = re.compile(r"(?:[^\\]|\\.|\\$)" + f"{{1,{_PIECE}}}", re.DOTALL)  # no escape is torn
_UNHELD = re.compile("[\0\ud800-\udfff]")  # what ends a text of C, or is none in UTF-8
_LIKE_BACKSLASH = "\N{SET MINUS}"
_BEFORE_MARK = re.compile(r'(?<!\\)((?:\\\\)*)\\(?="|$)')  # an odd one; two are one that is escaped


class Markup(str):
    """Graphviz' HTML-like text: written between angle brackets, as it is."""

    __slots__ = ()


def escape_markup(text: str) -> Markup:
    """Return plain text as `Markup`, cut where it is too long to be read."""
    return escape_file(_cut(text))


def escape_file(path: str) -> Markup:
    """Return the name of a picture's file as `Markup`.

    A backslash would begin one of Graphviz' own escapes there.
    """
    return Markup(html.escape(printable(path)).replace("\\", "\\\\"))


def _cut(text: str) -> str:
    return text if len(text) <= _MOST else text[: _MOST - 1] + "…"


def escape_tooltip(text: str) -> str:
    """Escape a tooltip of one or more lines, each cut where it is too long to be read.

    Graphviz decodes entities in tooltips, and then reads backslashes twice.
    """
    lines = [html.escape(printable(_cut(line)), quote=False) for line in text.split("\n")]
    return "\\n".join(line.replace("\\", "\\\\\\\\") for line in lines)


def quoted(text: str) -> str:
    """Quote a string; backslashes stay, as Graphviz reads them itself.

    One before a quotation mark, which DOT cannot write, becomes a sign that looks the same.
    Graphviz' scanner refuses strings of 16 KiB, but puts shorter ones together.
    """
    held = _UNHELD.sub(" ", text)
    written = _BEFORE_MARK.sub(rf"\1{_LIKE_BACKSLASH}", held).replace('"', '\\"')
    return " + ".join(f'"{piece}"' for piece in _PIECES.findall(written) or ("",))


def attributes(values: Mapping[str, Value]) -> str:
    """Write an attribute list, numbers with six significant digits."""
    return f"[{', '.join(f'{key}={_written(value)}' for key, value in values.items())}]"


def _written(value: Value) -> str:
    if isinstance(value, Markup):
        return f"<{value}>"
    # DOT's own numbers have no exponent: within quotes they may.
    return quoted(value if isinstance(value, str) else f"{value:.6g}")


def point(x: float, y: float) -> str:
    """Write a position."""
    return f"{x:.1f},{y:.1f}"


def background_text(
    text: str, x: float, y: float, size: float, font: str, color: str, *, centred: bool = False
) -> str:
    """Return the xdot operations that write a line of text from (x, y) to the right, or about x."""
    # What `quoted` does to some backslashes would change the count.
    shown = printable(_cut(text)).replace("\\", _LIKE_BACKSLASH)
    # xdot counts bytes, and ignores everything from the first wrong count on.
    return (
        f"F {size:g} {len(font.encode())} -{font} c {len(color)} -{color} "
        f"T {x:.1f} {y:.1f} {0 if centred else -1} 0 {len(shown.encode())} -{shown} "
    )


def background_line(
    points: Iterable[tuple[float, float]], width: float, color: str, style: str = "solid"
) -> str:
    """Return the xdot operations that draw a line."""
    return f"{_pen(width, color, style)}L {_points(points)} "


def background_polygon(
    points: Iterable[tuple[float, float]], width: float, color: str, fill: str | None = None
) -> str:
    """Return the xdot operations that draw a polygon, empty without a ``fill``."""
    return f"{_pen(width, color)}{_fill(fill)}{'P' if fill else 'p'} {_points(points)} "


def background_disc(
    x: float, y: float, radius: float, color: str, fill: str | None = None, width: float = 0.0
) -> str:
    """Return the xdot operations that draw a disc, or without a ``fill`` a circle."""
    kind = "E" if fill else "e"
    return f"{_pen(width, color)}{_fill(fill)}{kind} {x:.1f} {y:.1f} {radius:.2f} {radius:.2f} "


def background(operations: str) -> str:
    """Return the statement that gives a drawing its background."""
    return f"graph [_background={quoted(operations)}];"


def _pen(width: float, color: str, style: str = "solid") -> str:
    stroke = f"setlinewidth({width:g})"
    return f"c {len(color)} -{color} S {len(style)} -{style} S {len(stroke)} -{stroke} "


def _fill(color: str | None) -> str:
    return f"C {len(color)} -{color} " if color else ""


def _points(points: Iterable[tuple[float, float]]) -> str:
    written = [f"{x:.1f} {y:.1f}" for x, y in points]
    return f"{len(written)} {' '.join(written)}"
