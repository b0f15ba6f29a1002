"""The page of one filter: its strongest peaks, its nodes, and which of them claims which peak."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from explgraph.base.arrays import NONE
from explgraph.base.text import counted
from explgraph.drawing.canvas import LINE, Canvas, fitted, font_for, paragraph_lines
from explgraph.drawing.look import EMPTY, FAINT, INK, layer_color, many_color
from explgraph.drawing.overlay import Overlay
from explgraph.drawing.patches import best_photos
from explgraph.graphs.graph import ExplanatoryGraph
from explgraph.graphs.matches import Matches

from .strongest import StrongestPeaks
from .tiles import CAPTION, Place, Tile, add_caption, add_dots, add_tile, blank_map, group_line

TILE = 128
"""Side of a tile's cell, pixels."""

_MARGIN, _GAP, _MAP, _LABEL = 28, 12, 180, 190  # pixels
_LEAST_PATCHES = 5  # that the heading has room for
_TITLE, _ROW = 40, TILE + CAPTION + _GAP
_NOBODY = "#9A9DA3"  # colour of peaks that no node claims
_BADGE, _SMALL_BADGE = 11, 9  # radius
_MAP_NOTE = (
    "Dots: strongest peak of each",
    "photo, coloured as the node that",
    "claims it; badges: nodes' means.",
)


@dataclass(frozen=True, slots=True)
class FilterRow:
    """A row of tiles.

    Attributes
    ----------
    node
        Whose row it is; `NONE` for the filter's strongest peaks.
    places, values
        Where each tile is cut, and the response or score there.
    claims
        Of a peak, the node that claims it, or `NONE`.
    label
        Lines of small print before the tiles.
    """

    node: int
    places: list[Place]
    values: list[float]
    claims: list[int]
    label: list[str]


def filter_rows(
    graph: ExplanatoryGraph,
    found: Matches,
    strongest: StrongestPeaks,
    nodes: Sequence[int],
    patches: int,
) -> list[FilterRow]:
    """Choose what is shown: the filter's strongest peaks, then a row for each of its nodes.

    Parameters
    ----------
    graph, found
        The graph, and where its nodes are.
    strongest
        The filter's strongest peak in each photo.
    nodes
        Its nodes.
    patches
        Tiles in a row, at most.
    """
    photos = strongest.best(patches)
    raw = FilterRow(
        NONE,
        [Place(photo, strongest.yx[photo]) for photo in photos],
        [float(strongest.weight[photo]) for photo in photos],
        [int(strongest.claimed_by[photo]) for photo in photos],
        ["highest first, wherever", "in the photo they are", *_unclaimed(strongest, len(nodes))],
    )
    return [raw, *(_node_row(graph, found, strongest, node, patches) for node in nodes)]


def _unclaimed(strongest: StrongestPeaks, n_nodes: int) -> list[str]:
    if not (strongest.weight > 0).any():
        return ["It has no peak in any", "of the photos."]
    if n_nodes == 0:
        return []
    share = strongest.share_of(NONE)
    return [f"no node claims {share:.0%} of them" if share > 0 else "nodes claim all of them"]


def _node_row(
    graph: ExplanatoryGraph, found: Matches, strongest: StrongestPeaks, node: int, patches: int
) -> FilterRow:
    photos = best_photos(found, node, patches)
    name = graph.names.get(node, "").strip()
    return FilterRow(
        node,
        [Place(photo, found.yx[photo, node].astype(np.float64)) for photo in photos],
        [float(found.score[photo, node]) for photo in photos],
        [NONE] * len(photos),
        [
            *([graph.node_id(node)] if name else []),
            *group_line(graph, node),
            f"claims {strongest.share_of(node):.0%} of the strongest",
            f"fires in {graph.support[node]:.0%} of photos",
            f"mean score {graph.score[node]:.2f}",
        ],
    )


class FilterPage:
    """A heading with a map of the strongest peaks, then row by row.

    Parameters
    ----------
    graph
        The graph.
    strongest
        The filter's strongest peak in each photo.
    rows
        The rows that will be added, the strongest peaks' first.
    note
        What a tile shows.
    """

    def __init__(
        self,
        graph: ExplanatoryGraph,
        strongest: StrongestPeaks,
        rows: Sequence[FilterRow],
        note: str,
    ) -> None:
        self._graph, self._columns = graph, max(1, *(len(row.places) for row in rows))
        self._nodes = [row.node for row in rows if row.node != NONE]
        columns = max(self._columns, _LEAST_PATCHES)
        width = 2 * _MARGIN + _LABEL + columns * (TILE + _GAP) - _GAP
        self._text = width - 2 * _MARGIN - _MAP - 2 * _GAP
        self._lines = paragraph_lines(f"{self._summary(strongest)} {note}", self._text)
        self._map = _map(graph, strongest)
        head = max(
            _TITLE + len(self._lines) * LINE, self._map.size[0] + len(_MAP_NOTE) * (LINE - 2)
        )
        self._y = _MARGIN + head + 2 * _GAP
        self.canvas = Canvas((width, self._y + len(rows) * _ROW + _MARGIN))

    def _summary(self, strongest: StrongestPeaks) -> str:
        count, photos = len(self._nodes), int(np.count_nonzero(strongest.weight > 0))
        start = f"Its strongest peak in {counted(photos, 'photo')}, and "
        if not count:
            return f"{start}no node: the graph has none of this filter."
        return (
            f"{start}its {counted(count, 'node')}, each in the photos in which it "
            "scores best. The number of a peak is its response, in standard deviations of the "
            "filter; of a node, the response times how sure it is that it is this node's. The "
            "badge of a peak tells which node claims it; those marked - are claimed by none."
        )

    def add_heading(self, layer: int, channel: int) -> None:
        """Write title, note and map."""
        title = f"Filter {channel} of "
        room = self._text - font_for(title, 24).getlength(title)
        title += fitted(self._graph.layers[layer].name, 24, room)
        self.canvas.text(title, 24, (_MARGIN, _MARGIN - 4), layer_color(layer))
        self.canvas.paragraph(self._lines, (_MARGIN, _MARGIN + _TITLE))
        left = self.canvas.image.width - _MARGIN - _MAP
        self.canvas.image.paste(self._map.finish(), (left, _MARGIN))
        for i, line in enumerate(_MAP_NOTE):
            place = (left, _MARGIN + self._map.size[0] + 4 + i * (LINE - 2))
            self.canvas.text(line, 11, place, FAINT)
        for node in reversed(self._nodes):  # the best on top
            y, x = self._map.pixel(self._graph.mu[node] / self._graph.input_size).tolist()
            self._add_badge((left + x, _MARGIN + y), node, _SMALL_BADGE)

    def add(self, row: FilterRow, tiles: Sequence[Tile], found: Matches) -> None:
        """Append a row of tiles behind its label."""
        self._add_label(row)
        for i in range(self._columns):
            corner = (_MARGIN + _LABEL + i * (TILE + _GAP), self._y)
            if i >= len(tiles):
                self.canvas.fill((*corner, corner[0] + TILE - 1, corner[1] + TILE - 1), EMPTY)
                continue
            left, top = add_tile(self.canvas, corner, TILE, tiles[i])
            if row.node == NONE and self._nodes:
                self._add_badge((left + 12, top + 12), row.claims[i])
            said = f"{row.values[i]:.2f}" + (", mirrored" if tiles[i].is_mirrored else "")
            add_caption(self.canvas, corner, TILE, (said, found.images[row.places[i].photo]))
        self._y += _ROW
        if row.node == NONE:
            self.canvas.rule(_MARGIN, self.canvas.image.width - _MARGIN, self._y - _GAP // 2)

    def _add_label(self, row: FilterRow) -> None:
        x, room = _MARGIN, _LABEL - _GAP
        title = "Strongest peaks"
        if row.node != NONE:
            self._add_badge((x + 12, self._y + 14), row.node)
            x, room = x + 32, room - 32
            title = self._graph.names.get(row.node, "").strip() or self._graph.node_id(row.node)
        self.canvas.text(fitted(title, 15, room), 15, (x, self._y + 4), INK)
        for i, line in enumerate(row.label):
            place = (_MARGIN, self._y + 32 + i * LINE)
            self.canvas.text(fitted(line, 12, _LABEL - _GAP), 12, place, FAINT)

    def _add_badge(self, place: tuple[float, float], node: int, radius: int = _BADGE) -> None:
        text = "-" if node == NONE else str(self._graph.node_part[node])
        self.canvas.badge(place, text, _color(self._graph, node), radius)


def _color(graph: ExplanatoryGraph, node: int) -> str:
    """Return a node's colour in this gallery: its part's."""
    return _NOBODY if node == NONE else many_color(int(graph.node_part[node]))


def _map(graph: ExplanatoryGraph, strongest: StrongestPeaks) -> Overlay:
    """Draw where the strongest peaks lie, in the colours of the nodes that claim them."""
    overlay = blank_map(graph.input_size, _MAP)
    photos = np.flatnonzero(strongest.weight > 0)
    colors = [_color(graph, node) for node in strongest.claimed_by[photos].tolist()]
    add_dots(overlay, strongest.share[photos], colors)
    return overlay
