"""The page of one node: what is known of it, where it lies, and tiles of photos."""

from __future__ import annotations

import numpy as np

from explgraph.drawing.canvas import LINE, Canvas, fitted, paragraph_lines
from explgraph.drawing.look import FAINT, INK, layer_color
from explgraph.drawing.overlay import Overlay
from explgraph.graphs.facts import describe_node
from explgraph.graphs.graph import ExplanatoryGraph
from explgraph.graphs.matches import Matches

from .tiles import CAPTION, Tile, add_caption, add_dots, add_tile, blank_map, input_places

TILE = 160
"""Side of a tile's cell, pixels."""

_MARGIN, _GAP, _MAP = 28, 14, 168  # pixels
_COLUMNS, _LEAST_COLUMNS = 6, 5
_TITLE = 40
_DOT = "#8FA3B5"
_MAP_NOTE = ("Dots: its place in the photos;", "cross and ellipse: their mean", "and deviation.")


class NodePage:
    """A heading with what is known of a node and a map of its places, then tile by tile.

    Parameters
    ----------
    graph, found
        The graph, and where its nodes are.
    node
        Index of the node.
    count
        How many tiles will be added.
    note
        What they show.
    """

    def __init__(
        self, graph: ExplanatoryGraph, found: Matches, node: int, count: int, note: str
    ) -> None:
        columns = min(max(count, _LEAST_COLUMNS), _COLUMNS)
        room = columns * (TILE + _GAP) - _GAP
        text = room - _MAP - 2 * _GAP
        facts = describe_node(graph, found, node).split("\n")
        lines = [line for fact in facts for line in paragraph_lines(fact, text)]
        notes = paragraph_lines(note, room)
        place_map = _place_map(graph, found, node)
        head = max(
            _TITLE + len(lines) * LINE, place_map.size[0] + len(_MAP_NOTE) * (LINE - 2) + _GAP
        )
        self._top = _MARGIN + head + _GAP + len(notes) * LINE + _GAP
        rows = -(-count // columns)
        height = self._top + rows * (TILE + CAPTION + _GAP) + _MARGIN - _GAP
        self.canvas = Canvas((room + 2 * _MARGIN, height))
        self._columns, self._count = columns, 0
        title = fitted(graph.names.get(node, "").strip() or graph.node_id(node), 24, text)
        color = layer_color(int(graph.node_layer[node]))
        self.canvas.text(title, 24, (_MARGIN, _MARGIN - 4), color)
        self.canvas.paragraph(lines, (_MARGIN, _MARGIN + _TITLE), INK)
        self._add_map(place_map)
        self.canvas.rule(_MARGIN, _MARGIN + room, _MARGIN + head + _GAP // 2)
        self.canvas.paragraph(notes, (_MARGIN, _MARGIN + head + _GAP))

    def _add_map(self, place_map: Overlay) -> None:
        left = self.canvas.image.width - _MARGIN - _MAP
        shift = (_MAP - place_map.size[1]) // 2
        self.canvas.image.paste(place_map.finish(), (left + shift, _MARGIN))
        for i, line in enumerate(_MAP_NOTE):
            place = (left, _MARGIN + place_map.size[0] + 4 + i * (LINE - 2))
            self.canvas.text(line, 11, place, FAINT)

    def add(self, tile: Tile, score: float, name: str) -> None:
        """Append the tile of a photo, with the node's score and the photo's name."""
        row, column = divmod(self._count, self._columns)
        self._count += 1
        left = _MARGIN + column * (TILE + _GAP)
        corner = (left, self._top + row * (TILE + CAPTION + _GAP))
        add_tile(self.canvas, corner, TILE, tile)
        said = f"{score:.2f}" + (", mirrored" if tile.is_mirrored else "")
        add_caption(self.canvas, corner, TILE, (said, name))


def _place_map(graph: ExplanatoryGraph, found: Matches, node: int) -> Overlay:
    """Draw where the node is in all photos in which it has a peak, graph orientation."""
    overlay = blank_map(graph.input_size, _MAP)
    score = found.score[:, node].astype(np.float64)
    places = input_places(found, np.array([node]), graph.input_size)[score > 0, 0]
    weight = score[score > 0]
    if len(places):
        add_dots(overlay, places, [_DOT] * len(places))
        mean = np.average(places, axis=0, weights=weight)
        deviation = np.sqrt(np.average((places - mean) ** 2, axis=0, weights=weight))
        color = layer_color(int(graph.node_layer[node]))
        overlay.ellipse(mean, deviation, color, 2)
        overlay.cross(mean, 4, color, 1.5)
    return overlay
