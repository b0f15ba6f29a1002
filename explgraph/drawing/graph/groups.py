"""The graph of groups as DOT text: a row for each layer, a column for each part group.

Graphviz lays out nothing. Lengths are points; DOT measures y upwards from the bottom.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np

from explgraph.base.arrays import F8, NONE
from explgraph.base.text import counted, cut_end
from explgraph.drawing.dot import (
    Markup,
    Value,
    attributes,
    background_text,
    escape_file,
    escape_markup,
    escape_tooltip,
    point,
    quoted,
)
from explgraph.drawing.legend import Item, Legend
from explgraph.drawing.look import (
    EMPTY,
    FAINT,
    FONT,
    INK,
    NOTE,
    SMALL,
    WIDE,
    layer_color,
    tint,
    with_opacity,
)
from explgraph.drawing.page import Page, cluster, layer_heading, title_of
from explgraph.drawing.patches import GLANCE_SHARE
from explgraph.drawing.thumbnails import Thumbnails
from explgraph.graphs.choice import groups_of
from explgraph.graphs.graph import ExplanatoryGraph

from .group_lines import Cells, GroupLines
from .layers_layout import place_labels

_NOTE = "part groups beside each other, layers above each other; a line is all edges between two"
_SIDE = 62.0  # of a thumbnail
_CARD = (_SIDE + 23.0, _SIDE + 8.0)  # height, width
_BOX = (30.0, 52.0)  # the same without a thumbnail
_GAPS = (58.0, 30.0)  # between rows, between columns
_MARGIN, _PAD, _HEAD = 116.0, 12.0, 40.0  # left of the columns, of a band, above the top row
_MIN_WIDTH = 560.0
_LABEL = (10.0, 30.0)  # height and width of a number on a line
_MOST_LABELS = 60
_NAME_SIZE = 10.0


@dataclass(frozen=True, eq=False, slots=True)
class _Grid:
    """Where cells, columns and rows are, ``yx`` from the top left of what is drawn."""

    yx: F8
    columns: Mapping[int, float]
    rows: Mapping[int, float]
    cell: tuple[float, float]
    size: tuple[float, float]


def _lay_out(cells: Cells, has_pictures: bool) -> _Grid:
    cell = _CARD if has_pictures else _BOX
    layers, groups = np.unique(cells.layer)[::-1].tolist(), np.unique(cells.group).tolist()
    band = cell[0] + 2 * _PAD
    rows = {layer: _HEAD + i * (band + _GAPS[0]) + band / 2 for i, layer in enumerate(layers)}
    needed = _MARGIN + _PAD + len(groups) * (cell[1] + _GAPS[1])
    width = max(needed, _MIN_WIDTH)
    pitch = (width - _MARGIN - _PAD) / max(len(groups), 1)
    places = {group: _MARGIN + (i + 0.5) * pitch for i, group in enumerate(groups)}
    yx = np.array(
        [
            (rows[layer], places[group])
            for layer, group in zip(cells.layer.tolist(), cells.group.tolist(), strict=True)
        ]
    ).reshape(-1, 2)
    height = _HEAD + len(layers) * band + max(len(layers) - 1, 0) * _GAPS[0]
    return _Grid(yx, places, rows, cell, (height, width))


def groups_text(
    graph: ExplanatoryGraph,
    cells: Cells,
    lines: GroupLines,
    whole: ExplanatoryGraph,
    thumbnails: Thumbnails | None,
) -> str:
    """Return the drawing of a graph's groups as DOT text.

    Parameters
    ----------
    graph
        What to draw; at least one node is in a group.
    cells, lines
        Its cells, and the lines between them.
    whole
        The graph that ``graph`` is a part of, for the counts in the captions.
    thumbnails
        Pictures of the nodes, or None.
    """
    grid = _lay_out(cells, thumbnails is not None)
    pictures: dict[int, str] = {}
    if thumbnails is not None:
        columns = [cells.best[cells.group == group].tolist() for group in grid.columns]
        pictures = thumbnails.save(thumbnails.cut_apart(graph, columns))
    legend = Legend.of(_explained(whole, cells, lines, bool(pictures)), grid.size[1])
    page = Page(grid.size, title_of(graph), _NOTE, legend)
    text = [
        *page.begin(_heads(graph, grid, page.base)),
        *_bands(graph, whole, cells, grid, page.base),
        *_boxes(graph, cells, grid, pictures, page.base),
        *_lines(graph, cells, lines, grid, page.base),
        "}",
    ]
    return "\n".join(text) + "\n"


def _explained(
    whole: ExplanatoryGraph, cells: Cells, lines: GroupLines, pictures: bool
) -> list[list[Item] | str]:
    inside = int(np.count_nonzero(cells.node_cell != NONE))
    shown = len(np.unique(cells.group))
    said = (
        f"{inside:,} of {len(whole):,} nodes are in {counted(shown, 'part group')} and drawn. The "
        "number in a cell is how many nodes of the layer are in the group."
    )
    if pictures:
        said += (
            " Its picture is the best of them by group gain, in the photo in which it scores best "
            f"but for those above: {GLANCE_SHARE:.0%} of the photo around its place."
        )
    if not len(lines):
        return [said]
    return [lines.legend(), f"{said} {lines.note}"]


def _heads(graph: ExplanatoryGraph, grid: _Grid, base: float) -> str:
    """Return the operations that write the groups' names above their columns."""
    groups, operations = groups_of(graph), []
    room = int((grid.cell[1] + _GAPS[1]) / (WIDE * _NAME_SIZE))
    for group, x in grid.columns.items():
        count = int(np.count_nonzero(groups.node_group == group))
        name, said = cut_end(groups.title(group), room), f"{group}: {counted(count, 'node')}"
        operations += [
            background_text(name, x, base - 14, _NAME_SIZE, FONT, INK, centred=True),
            background_text(said, x, base - 26, NOTE, FONT, FAINT, centred=True),
        ]
    return "".join(operations)


def _bands(
    graph: ExplanatoryGraph, whole: ExplanatoryGraph, cells: Cells, grid: _Grid, base: float
) -> Iterator[str]:
    """Yield a cluster for each layer, labelled at its left."""
    half = grid.cell[0] / 2 + _PAD
    for layer, y in grid.rows.items():
        values: dict[str, Value] = {
            "bb": f"{point(0, base - y - half)},{point(grid.size[1], base - y + half)}",
            "lp": point(_MARGIN / 2, base - y),
            "label": layer_heading(graph, whole, layer, _MARGIN, has_pictures=False),
            "style": "filled",
            "color": EMPTY,
        }
        mine = np.flatnonzero(cells.layer == layer).tolist()
        yield cluster(layer, (_identity(graph, cells, cell) for cell in mine), values)


def _identity(graph: ExplanatoryGraph, cells: Cells, cell: int) -> str:
    return f"{graph.layers[cells.layer[cell]].name}/group {cells.group[cell]}"


def _boxes(
    graph: ExplanatoryGraph, cells: Cells, grid: _Grid, pictures: Mapping[int, str], base: float
) -> Iterator[str]:
    """Yield the cells."""
    groups = groups_of(graph)
    for cell, (y, x) in enumerate(grid.yx.tolist()):
        layer, group = int(cells.layer[cell]), int(cells.group[cell])
        count, best = int(cells.count[cell]), int(cells.best[cell])
        mine = np.flatnonzero(cells.node_cell == cell)
        color = layer_color(layer)
        number = Markup(f"<B>{escape_markup(f'{count:,}')}</B>")
        values: dict[str, Value] = {
            "label": number if not pictures else _card(pictures[best], number),
            "pos": point(x, base - y),
            "height": grid.cell[0] / 72,
            "width": grid.cell[1] / 72,
            "tooltip": escape_tooltip(
                f"{groups.title(group)}\n{counted(count, 'node')} of {graph.layers[layer].name}\n"
                f"the best by group gain: {graph.node_id(best)} ({groups.node_gain[best]:.2f})"
            ),
            "color": color,
            "fillcolor": tint(color, 0.14),
            "layer_index": layer,
            "group": group,
            "nodes": count,
            "group_gain": float(groups.node_gain[mine].mean()),
        }
        yield f"{quoted(_identity(graph, cells, cell))} {attributes(values)};"


def _card(picture: str, number: Markup) -> Markup:
    cell = f'FIXEDSIZE="TRUE" WIDTH="{_SIDE:g}" HEIGHT="{_SIDE:g}"'
    rows = (
        f'<TD {cell}><IMG SCALE="TRUE" SRC="{escape_file(picture)}"/></TD>',
        f'<TD FIXEDSIZE="TRUE" WIDTH="{_SIDE:g}" HEIGHT="3"></TD>',
        f'<TD HEIGHT="10">{number}</TD>',
    )
    table = '<TABLE BORDER="0" CELLBORDER="0" CELLSPACING="0" CELLPADDING="0">'
    return Markup(f"{table}{''.join(f'<TR>{row}</TR>' for row in rows)}</TABLE>")


def _lines(
    graph: ExplanatoryGraph, cells: Cells, lines: GroupLines, grid: _Grid, base: float
) -> Iterator[str]:
    """Yield the lines: curves from the top of a cell to the foot of one above it."""
    half = np.array([grid.cell[0] / 2, 0.0])
    child, parent = grid.yx[lines.child] - half, grid.yx[lines.parent] + half
    middle = (child[:, 0] + parent[:, 0]) / 2
    bends = [np.stack([middle, end[:, 1]], axis=-1) for end in (child, parent)]
    curves = np.stack([child, *bends, parent], axis=1)
    is_labelled = len(lines) <= _MOST_LABELS
    places = place_labels(curves, _LABEL) if is_labelled else curves[:, 0]
    for i, (curve, (y, x)) in enumerate(zip(curves, places, strict=True)):
        child, parent, value = int(lines.child[i]), int(lines.parent[i]), float(lines.value[i])
        ends = [_identity(graph, cells, end) for end in (child, parent)]
        color = layer_color(int(cells.layer[child]))
        is_own = cells.group[child] == cells.group[parent]
        values: dict[str, Value] = {
            "tooltip": escape_tooltip(f"{ends[0]} → {ends[1]}\n{lines.detail[i]}"),
            "pos": " ".join(point(x, base - y) for y, x in curve),
            "penwidth": lines.width(value),
            "color": with_opacity(color, 0.75 if is_own else 0.45),
            "style": "solid" if value >= 0 else "dashed",
            "edges" if lines.is_count else "effect": value,
        }
        if is_labelled:
            label = _on_white(lines.label(i))
            values |= {"label": label, "lp": point(x, base - y), "fontsize": SMALL}
        yield f"{quoted(ends[0])} -> {quoted(ends[1])} {attributes(values)};"


def _on_white(text: str) -> Markup:
    table = '<TABLE BORDER="0" CELLBORDER="0" CELLPADDING="1" CELLSPACING="0" BGCOLOR="#FFFFFFD0">'
    return Markup(f"{table}<TR><TD>{escape_markup(text)}</TD></TR></TABLE>")
