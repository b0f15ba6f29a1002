"""DOT text: quoting and escaping, so that no name that a user gave can break or bend a drawing."""

from __future__ import annotations

import html
from collections.abc import Iterable, Mapping

Value = str | int | float


class Markup(str):
    """Graphviz' HTML-like text: written between angle brackets, as it is."""

    __slots__ = ()


def printable(text: str) -> str:
    """Replace what neither XML nor a line of text can hold by spaces; joiners of glyphs stay."""
    return "".join(c if c.isprintable() or c in "\u200c\u200d" else " " for c in text)


def escape_markup(text: str) -> Markup:
    """Return plain text as `Markup`. A backslash would begin one of Graphviz' own escapes there."""
    return Markup(html.escape(printable(text)).replace("\\", "\\\\"))


def escape_tooltip(text: str) -> str:
    """Escape a tooltip of one or more lines.

    Graphviz decodes entities in tooltips, and then reads backslashes twice.
    """
    lines = [html.escape(printable(line), quote=False) for line in text.split("\n")]
    return "\\n".join(line.replace("\\", "\\\\\\\\") for line in lines)


def quoted(text: str) -> str:
    """Quote a string; backslashes stay, as Graphviz reads them itself."""
    return '"' + text.replace('"', '\\"') + '"'


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


def background_text(text: str, x: float, y: float, size: float, font: str, color: str) -> str:
    """Return the xdot operations that write a line of text from (x, y) to the right."""
    shown = printable(text)
    # xdot counts bytes, and ignores everything from the first wrong count on.
    return (
        f"F {size:g} {len(font.encode())} -{font} c {len(color)} -{color} "
        f"T {x:.1f} {y:.1f} -1 0 {len(shown.encode())} -{shown} "
    )


def background_line(points: Iterable[tuple[float, float]], width: float, color: str) -> str:
    """Return the xdot operations that draw a line."""
    style = f"setlinewidth({width:g})"
    ends = [f"{x:.1f} {y:.1f}" for x, y in points]
    return f"c {len(color)} -{color} S {len(style)} -{style} L {len(ends)} {' '.join(ends)} "
