"""The report as a file: template, styles, scripts, data and Bokeh put into one page."""

from __future__ import annotations

import json
from collections.abc import Mapping
from importlib.resources import files
from typing import TYPE_CHECKING, Any

from .report_canvas import graph_canvas, photo_canvas

if TYPE_CHECKING:
    from markupsafe import Markup

_SCRIPTS = ("graph", "photo", "panel", "page")  # in the order of their dependence


def render_page(data: Mapping[str, Any], text: Mapping[str, Any]) -> str:
    """Return the page.

    Parameters
    ----------
    data
        JSON values for the page's scripts: ``layers``, ``nodes``, ``edges``, ``layouts``,
        ``photos`` and ``counts``.
    text
        What the template shows by itself: ``title``, ``summary``, ``about`` and ``tables``.

    Notes
    -----
    Names that users gave go through Jinja's escaping, or through JSON to scripts that write them as
    text, never as HTML.
    """
    from bokeh.resources import Resources
    from jinja2 import Environment
    from markupsafe import Markup

    environment = Environment(autoescape=True, trim_blocks=True, lstrip_blocks=True)
    script = "\n".join(_read(f"report_{name}.js") for name in _SCRIPTS)
    return environment.from_string(_read("report_page.html")).render(
        text,
        data=_embedded(json.dumps(data, allow_nan=False)),
        layers=data["layers"],
        edges=data["edges"],
        n_photos=len(data["photos"]),
        has_kinds="texture" in data["nodes"],
        canvases={
            "graph-canvas": _embedded(graph_canvas()),
            "photo-canvas": _embedded(photo_canvas()),
        },
        bokeh=Markup(Resources(mode="inline", components=["bokeh"]).render_js()),
        style=Markup(_read("report_page.css")),
        script=Markup(script),
    )


def _read(name: str) -> str:
    return files(__package__).joinpath(name).read_text(encoding="utf-8")


def _embedded(text: str) -> Markup:
    """Make JSON safe within a script element, which any "</script" would end."""
    from markupsafe import Markup

    return Markup(text.replace("<", "\\u003c"))
