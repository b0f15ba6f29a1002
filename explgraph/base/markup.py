"""HTML for notebooks: small tables that say what an object holds. Nothing is fetched from a net."""

from __future__ import annotations

import base64
import html
from collections.abc import Iterable, Mapping, Sequence

_CELL = "padding:2px 10px 2px 0"
INK, FAINT, PAPER = "#222222", "#6B6B6B", "#FFFFFF"
"""Colours of text, of small print (readable on white and on a dark page alike), of the paper."""


def escaped(value: object) -> str:
    """Return any value as text that a page shows as it is; numbers with three digits."""
    return html.escape(f"{value:.3g}" if isinstance(value, float) else str(value))


def html_table(head: Sequence[str], rows: Iterable[Sequence[object]], *, text: int = 1) -> str:
    """Return a table whose first ``text`` columns hold text, the others numbers.

    >>> html_table(["layer", "nodes"], [["conv<1>", 3]]).count("conv&lt;1&gt;</td>")
    1
    """
    titles = "".join(_cell("th", name, i < text, ' scope="col"') for i, name in enumerate(head))
    lines = ("".join(_cell("td", value, i < text) for i, value in enumerate(row)) for row in rows)
    body = "".join(f"<tr>{line}</tr>" for line in lines)
    return f'<table style="border-collapse:collapse"><tr>{titles}</tr>{body}</table>'


def _cell(tag: str, value: object, is_text: bool, more: str = "") -> str:
    style = f"{_CELL};text-align:{'left' if is_text else 'right'}"
    return f'<{tag}{more} style="{style}">{escaped(value)}</{tag}>'


def facts(values: Mapping[str, object]) -> str:
    """Return a table of two columns, what and how much, without a head."""
    rows = (
        f'<tr><th scope="row" style="{_CELL};text-align:left;font-weight:normal;color:{FAINT}">'
        f'{escaped(name)}</th><td style="{_CELL};text-align:left">{escaped(value)}</td></tr>'
        for name, value in values.items()
    )
    return f'<table style="border-collapse:collapse">{"".join(rows)}</table>'


def shown(title: str, subtitle: str, *blocks: str) -> str:
    """Return an object's display: its title, what it is in a line, and blocks of HTML."""
    below = f'<div style="color:{FAINT}">{escaped(subtitle)}</div>' if subtitle else ""
    return f"<div><strong>{escaped(title)}</strong>{below}{''.join(blocks)}</div>"


def picture(uri: str, alternative: str, width: int) -> str:
    """Return a picture with its alternative text, ``width`` pixels wide where there is room."""
    style = f"width:{width}px;max-width:100%;background:white"
    return f'<img src="{html.escape(uri)}" alt="{html.escape(alternative)}" style="{style}">'


def drawing(marks: Iterable[str], size: tuple[float, float], alternative: str) -> str:
    """Return elements of SVG as a picture of ``size`` (width, height) pixels."""
    width, height = size
    svg = (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width:.0f}" height="{height:.0f}">'
        f"{''.join(marks)}</svg>"
    )
    uri = f"data:image/svg+xml;base64,{base64.b64encode(svg.encode()).decode()}"
    return picture(uri, alternative, round(width))


def columns(*blocks: str) -> str:
    """Return blocks side by side, one below the other where there is no room."""
    inner = "".join(f"<div>{block}</div>" for block in blocks)
    return f'<div style="display:flex;flex-wrap:wrap;gap:20px;align-items:center">{inner}</div>'
