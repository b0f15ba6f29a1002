"""The two pictures of a report that are drawn by Bokeh: the graph, and a photo with its nodes.

Their data sources are empty. The page's scripts fill them, by the names given here, as the reader
chooses what to see.
"""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

from .nodes import TILE

if TYPE_CHECKING:
    from bokeh.models.glyph import Glyph
    from bokeh.models.plots import Plot
    from bokeh.models.renderers import GlyphRenderer


_INK, _FAINT, _PAPER, _BAND = "#1F2328", "#59636E", "#FFFFFF", "#F3F4F7"
_FONT = "system-ui, sans-serif"
_ID = re.compile(r'"p\d+"')

_TOOLTIP = """
<div style="max-width:min(380px,70vw);font:13px/1.4 system-ui,sans-serif;color:#1F2328">
  <strong>@title</strong><br>@line
  <div style="display:@strip_display;margin-top:6px">
    <img src="@strip" alt="" style="display:block;max-width:100%">Best scores: @scores
  </div>
</div>
"""


def graph_canvas() -> str:
    """Return the drawing of the graph as JSON for ``Bokeh.embed.embed_item``.

    Sources: ``bands``, ``bars``, ``headings``, ``lines``, ``pictures`` (by their top-left
    corners), ``nodes`` (transparent rectangles over the pictures, which are hovered and clicked)
    and ``labels``. Lengths are those of `explgraph.drawing.graph.layers_layout`, y downwards.
    """
    from bokeh import models as m
    from bokeh.core.properties import value  # as a plain string a font would name a column

    plot = _plot()
    for name, color in (("bands", _BAND), ("bars", "color")):
        band = m.Quad(left="left", right="right", top="top", bottom="bottom", line_color=None)
        _add(plot, name, band.clone(fill_color=color))
    lines = m.Bezier(
        x0="x0",
        y0="y0",
        x1="x1",
        y1="y1",
        cx0="cx0",
        cy0="cy0",
        cx1="cx1",
        cy1="cy1",
        line_color="color",
        line_width="width",
        line_alpha="alpha",
    )
    _add(plot, "lines", lines)
    heading = m.Text(
        x="x",
        y="y",
        text="text",
        y_offset=-5,
        text_font=value(_FONT),
        text_font_size="13px",
        text_font_style="bold",
        text_color=_INK,
        background_fill_color=_PAPER,
        background_fill_alpha=0.85,
    )
    _add(plot, "headings", heading)
    picture = m.ImageURL(x="x", y="y", url="url", w=TILE, h=TILE)
    _add(plot, "pictures", picture)
    # The veil, a white fill, dims a node without touching its picture, which would load again.
    frame = m.Rect(
        x="x",
        y="y",
        width=TILE,
        height=TILE,
        fill_color=_PAPER,
        fill_alpha="veil",
        line_color="color",
        line_width="width",
        line_alpha="alpha",
    )
    nodes = _add(plot, "nodes", frame)
    label = m.Text(
        x="x",
        y="y",
        text="text",
        y_offset=4,
        text_align="center",
        text_baseline="top",
        text_font=value(_FONT),
        text_font_size="11px",
        text_color=_INK,
        text_alpha="alpha",
    )
    _add(plot, "labels", label)
    return _written(_interactive(plot, nodes))


def photo_canvas() -> str:
    """Return the drawing of a photo as JSON for ``Bokeh.embed.embed_item``.

    Sources: ``photo``, ``halos``, ``lines`` and ``nodes``. Lengths are pixels of the
    photo, y downwards.
    """
    from bokeh import models as m

    plot = _plot()
    _add(plot, "photo", m.ImageURL(x=0, y=0, url="url", w="w", h="h"))
    # Light below dark: a line is seen on every photo.
    for name, color, width in (("halos", _PAPER, "halo"), ("lines", "color", "width")):
        line = m.Segment(x0="x0", y0="y0", x1="x1", y1="y1", line_color=color)
        _add(plot, name, line.clone(line_width=width, line_alpha="alpha"))
    mark = m.Scatter(
        x="x",
        y="y",
        size="size",
        marker="marker",
        fill_color="color",
        fill_alpha="alpha",
        line_color=_PAPER,
        line_width="width",
        line_alpha="alpha",
    )
    return _written(_interactive(plot, _add(plot, "nodes", mark)))


def _plot() -> Plot:
    from bokeh import models as m

    return m.Plot(
        x_range=m.Range1d(start=0, end=1),
        y_range=m.Range1d(start=1, end=0),
        sizing_mode="stretch_both",
        toolbar_location=None,
        min_border=0,
        outline_line_color=None,
        background_fill_color=_PAPER,
        lod_threshold=None,
    )


def _add(plot: Plot, name: str, glyph: Glyph) -> GlyphRenderer[Any]:
    """Draw a glyph from a source of that name; what is selected looks as the page's scripts say."""
    from bokeh.core.property.vectorization import Field
    from bokeh.models import ColumnDataSource

    values = glyph.properties_with_values().values()
    columns: dict[str, list[object]] = {v.field: [] for v in values if isinstance(v, Field)}
    source = ColumnDataSource(data=columns, name=name)
    return plot.add_glyph(
        source, glyph, selection_glyph=None, nonselection_glyph=None, muted_glyph=None
    )


def _interactive(plot: Plot, nodes: GlyphRenderer[Any]) -> Plot:
    """Let nodes be hovered and clicked, and the drawing be dragged and zoomed."""
    from bokeh import models as m

    # Without a key the wheel scrolls the page, which would else stop moving at the drawing.
    wheel = m.WheelZoomTool(modifiers={"ctrl": True}, name="wheel")
    pan = m.PanTool(name="pan")
    hover = m.HoverTool(renderers=[nodes], tooltips=_TOOLTIP, point_policy="follow_mouse")
    plot.add_tools(pan, wheel, hover, m.TapTool(renderers=[nodes]))
    plot.toolbar.active_scroll = wheel
    return plot


def _written(plot: Plot) -> str:
    """Return a plot as JSON; Bokeh numbers its models on, here they are numbered from 1."""
    from bokeh.embed import json_item

    numbers: dict[str, str] = {}
    text = json.dumps(json_item(plot))
    return _ID.sub(lambda found: numbers.setdefault(found[0], f'"p{len(numbers) + 1}"'), text)
