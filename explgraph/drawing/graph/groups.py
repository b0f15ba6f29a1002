"""The graph of groups as DOT text: a row for each layer, a column for each part group.

Graphviz lays out nothing. Lengths are points; DOT measures y upwards from the bottom.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np

from explgraph.base.arrays import F8, I8, NONE
from explgraph.base.text import counted, cut_end
from explgraph.drawing.dot import (
    Markup,
    Value,
    attributes,
    background_text,
    escape_markup,
    escape_tooltip,
    point,
    quoted,
)
from explgraph.drawing.legend import Item, Legend, line_item
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

from .layers_layout import place_labels

_NOTE = "part groups beside each other, layers above each other; a line is all edges between two"
_SIDE = 62.0  # of a thumbnail
_CARD = (_SIDE + 23.0, _SIDE + 8.0)  # height, width
_BOX = (30.0, 52.0)  # the same without a thumbnail
_GAPS = (58.0, 30.0)  # between rows, between columns
_MARGIN, _PAD, _HEAD = 116.0, 12.0, 40.0  # left of the columns, of a band, above the top row
_MIN_WIDTH = 560.0
_WIDTHS = (0.6, 7.0)  # of lines
_LEAST_SHARE = 0.15  # of a cell's edges: thinner lines are left out
_LABEL = (10.0, 30.0)  # height and width of a number on a line
_MOST_LABELS = 60
_NAME_SIZE = 10.0


@dataclass(frozen=True, eq=False, slots=True)
class Cells:
    """The cells of a graph of groups: C of them, where a group has nodes in a layer.

    Attributes
    ----------
    layer, group
        (C,) which layer and which group; by layer, then by group.
    count
        (C,) how many nodes.
    best
        (C,) the node that stands for them, the best by group gain.
    node_cell
        (P,) each node's cell; `NONE` for nodes in no group.
    """

    layer: I8
    group: I8
    count: I8
    best: I8
    node_cell: I8

    @classmethod
    def of(cls, graph: ExplanatoryGraph) -> Cells:
        """Find the cells of a graph."""
        groups = groups_of(graph)
        inside = np.flatnonzero(groups.node_group != NONE)
        keys = np.stack([graph.node_layer[inside], groups.node_group[inside]], axis=-1)
        cells, place, count = np.unique(
            keys.astype(np.int64), axis=0, return_inverse=True, return_counts=True
        )
        node_cell = np.full(len(graph), NONE, dtype=np.int64)
        node_cell[inside] = place.reshape(-1)
        order = np.argsort(-groups.node_gain, kind="stable")
        best = np.array([order[node_cell[order] == cell][0] for cell in range(len(cells))])
        return cls(cells[:, 0], cells[:, 1], count, best.astype(np.int64), node_cell)

    def __len__(self) -> int:
        return len(self.layer)


@dataclass(frozen=True, eq=False, slots=True)
class Lines:
    """The lines of a graph of groups: M of them, from a cell up to another one.

    Attributes
    ----------
    child, parent
        (M,) cells.
    count
        (M,) how many edges lead from nodes of the one to nodes of the other.
    steady
        (M,) median of the edges' spread, network pixels.
    total
        How many edges lead from one cell to another.
    """

    child: I8
    parent: I8
    count: I8
    steady: F8
    total: int

    def __len__(self) -> int:
        return len(self.child)

    @classmethod
    def of(cls, graph: ExplanatoryGraph, cells: Cells, parents_per_cell: int) -> Lines:
        """Sum up a graph's edges, and keep from each cell the lines of most edges.

        Parameters
        ----------
        graph, cells
            The graph and its cells.
        parents_per_cell
            Lines from each cell, at most; those of less than a tenth of its edges are left out.
        """
        ends = cells.node_cell[np.stack([graph.edge_child, graph.edge_parent], axis=-1)]
        inside = np.flatnonzero((ends != NONE).all(axis=-1))
        pairs, place = np.unique(ends[inside], axis=0, return_inverse=True)
        place = place.reshape(-1)
        count = np.bincount(place, minlength=len(pairs))
        up = np.bincount(pairs[:, 0], weights=count, minlength=len(cells))
        order = np.lexsort((pairs[:, 1], -count, pairs[:, 0]))
        rank = np.empty(len(pairs), dtype=np.int64)
        rank[order] = np.arange(len(pairs)) - np.searchsorted(pairs[order, 0], pairs[order, 0])
        kept = np.flatnonzero((rank < parents_per_cell) & (count >= _LEAST_SHARE * up[pairs[:, 0]]))
        steady = [float(np.median(graph.edge_spread[inside[place == pair]])) for pair in kept]
        return cls(pairs[kept, 0], pairs[kept, 1], count[kept], np.array(steady), len(inside))


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
    whole: ExplanatoryGraph,
    parents_per_cell: int,
    thumbnails: Thumbnails | None,
) -> str:
    """Return the drawing of a graph's groups as DOT text.

    Parameters
    ----------
    graph
        What to draw; at least one node is in a group.
    whole
        The graph that ``graph`` is a part of, for the counts in the captions.
    parents_per_cell
        Lines drawn upwards from each cell.
    thumbnails
        Pictures of the nodes, or None.
    """
    cells = Cells.of(graph)
    lines = Lines.of(graph, cells, parents_per_cell)
    grid = _lay_out(cells, thumbnails is not None)
    pictures: dict[int, str] = {}
    if thumbnails is not None:
        columns = [cells.best[cells.group == group].tolist() for group in grid.columns]
        pictures = thumbnails.save(thumbnails.cut_apart(graph, columns))
    legend = Legend.of(_explained(graph, whole, cells, lines, bool(pictures)), grid.size[1])
    page = Page(grid.size, title_of(graph), _NOTE, legend)
    text = [
        *page.begin(_heads(graph, grid, page.base)),
        *_bands(graph, whole, cells, grid, page.base),
        *_boxes(graph, cells, grid, pictures, page.base),
        *_lines(graph, cells, lines, grid, page.base),
        "}",
    ]
    return "\n".join(text) + "\n"


def _width(count: int, most: int) -> float:
    """Return a line's width: its square is in proportion to the edges, but for the least."""
    return max(_WIDTHS[0], _WIDTHS[1] * float(np.sqrt(count / most)))


def _explained(
    graph: ExplanatoryGraph, whole: ExplanatoryGraph, cells: Cells, lines: Lines, pictures: bool
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
    most = int(lines.count.max())
    samples = {f"{n:,}": n for n in (most, most // 4, most // 16) if n > 0}
    items = [line_item(text, _width(n, most), FAINT) for text, n in samples.items()]
    return [
        [*items, Item("edges up from nodes of a cell to nodes of another: they move together")],
        f"{said} The lines are {int(lines.count.sum()):,} of the {lines.total:,} edges between "
        f"groups; those of less than {_LEAST_SHARE:.0%} of a cell's edges are left out.",
    ]


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
        f'<TD {cell}><IMG SCALE="TRUE" SRC="{escape_markup(picture)}"/></TD>',
        f'<TD FIXEDSIZE="TRUE" WIDTH="{_SIDE:g}" HEIGHT="3"></TD>',
        f'<TD HEIGHT="10">{number}</TD>',
    )
    table = '<TABLE BORDER="0" CELLBORDER="0" CELLSPACING="0" CELLPADDING="0">'
    return Markup(f"{table}{''.join(f'<TR>{row}</TR>' for row in rows)}</TABLE>")


def _lines(
    graph: ExplanatoryGraph, cells: Cells, lines: Lines, grid: _Grid, base: float
) -> Iterator[str]:
    """Yield the lines: curves from the top of a cell to the foot of one above it."""
    half = np.array([grid.cell[0] / 2, 0.0])
    child, parent = grid.yx[lines.child] - half, grid.yx[lines.parent] + half
    middle = (child[:, 0] + parent[:, 0]) / 2
    bends = [np.stack([middle, end[:, 1]], axis=-1) for end in (child, parent)]
    curves = np.stack([child, *bends, parent], axis=1)
    is_labelled = len(lines) <= _MOST_LABELS
    places = place_labels(curves, _LABEL) if is_labelled else curves[:, 0]
    most = int(lines.count.max(initial=1))
    for i, (curve, (y, x)) in enumerate(zip(curves, places, strict=True)):
        ends = [_identity(graph, cells, int(end[i])) for end in (lines.child, lines.parent)]
        count, color = int(lines.count[i]), layer_color(int(cells.layer[lines.child[i]]))
        is_own = cells.group[lines.child[i]] == cells.group[lines.parent[i]]
        values: dict[str, Value] = {
            "tooltip": escape_tooltip(
                f"{ends[0]} → {ends[1]}\n{counted(count, 'edge')}\n"
                f"steady within {lines.steady[i]:.1f} px (median)"
            ),
            "pos": " ".join(point(x, base - y) for y, x in curve),
            "penwidth": _width(count, most),
            "color": with_opacity(color, 0.75 if is_own else 0.45),
            "edges": count,
            "spread_px": float(lines.steady[i]),
        }
        if is_labelled:
            text = f"{count:,}"
            values |= {"label": _on_white(text), "lp": point(x, base - y), "fontsize": SMALL}
        yield f"{quoted(ends[0])} -> {quoted(ends[1])} {attributes(values)};"


def _on_white(text: str) -> Markup:
    table = '<TABLE BORDER="0" CELLBORDER="0" CELLPADDING="1" CELLSPACING="0" BGCOLOR="#FFFFFFD0">'
    return Markup(f"{table}<TR><TD>{escape_markup(text)}</TD></TR></TABLE>")
