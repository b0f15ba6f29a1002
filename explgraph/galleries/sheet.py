"""The contact sheet: for each node, the places in photos where it scores best."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from PIL import Image

from explgraph.base.errors import require
from explgraph.base.files import PathLike
from explgraph.drawing.canvas import LINE, Canvas, fitted, paragraph_lines
from explgraph.drawing.look import EMPTY, FAINT, INK, layer_color
from explgraph.drawing.patches import best_photos, node_patches, patch_share
from explgraph.drawing.pictures import check_picture_name, save_picture
from explgraph.graphs.choice import shown_first
from explgraph.graphs.graph import ExplanatoryGraph
from explgraph.graphs.matches import Matches, check_nodes
from explgraph.photos.images import open_images

from .tiles import group_line

_MARGIN, _GAP, _LABEL_WIDTH, _TILE, _LEAST_WIDTH = 28, 10, 180, 112, 640  # pixels of the sheet
_TITLE_HEIGHT, _HEADING_HEIGHT, _ROW_HEIGHT = 38, 62, 138
_ROOM = _LABEL_WIDTH - _GAP  # for a label
_RING = 6  # radius of the ring about the node's place, pixels of the sheet

_NOTE = (
    "Each row is a node, with the photos in which it scores best, cut out around the place where "
    "it is (the ring); the number is its score there. Photos in which the graph found the object "
    "mirrored are shown mirrored, in the graph's own orientation. Grey lies outside of the photo."
)


def draw_nodes(
    graph: ExplanatoryGraph,
    found: Matches,
    images: object,
    path: PathLike | None = None,
    *,
    nodes: Sequence[int] | None = None,
    nodes_per_layer: int = 8,
    patches: int = 6,
) -> Image.Image:
    """Draw a row of patches for each of the best nodes, the top layer above.

    A patch is a square around the node's place in a photo, `explgraph.drawing.patches.patch_share`
    of the photo's shorter side wide.

    Parameters
    ----------
    graph
        The graph.
    found
        Where its P nodes are in N photos.
    images
        The photos that ``found`` names, and perhaps others, in any form that `open_images`
        takes. Each is loaded once at most.
    path
        File to write, .png or .jpg; None: none.
    nodes
        Indices of the nodes to show, instead of the best.
    nodes_per_layer
        Nodes to show of each layer: of every part group some, as `ExplanatoryGraph.top` has them;
        the best by `ExplanatoryGraph.ranking` where the graph has no groups.
    patches
        Photos shown of each node, highest score first (on a tie the first photo first). Photos
        without a peak of the node (score 0) are not shown.

    Returns
    -------
    The picture, which a notebook shows.

    Raises
    ------
    ExplGraphError
        If graph, matches and photos do not belong together, or a node does not exist.
    """
    check_picture_name(path)
    require(patches >= 1, f"patches must be at least 1, got {patches}")
    check_nodes(graph, found)
    chosen = best_nodes(graph, nodes_per_layer) if nodes is None else _checked(graph, nodes)
    photos = {node: best_photos(found, node, patches) for node in chosen}
    tiles = node_patches(graph, found, open_images(images), photos, _TILE)
    sheet = _Sheet(graph, chosen, patches)
    for node in chosen:
        row = [(photo, tiles[node, photo]) for photo in photos[node]]
        sheet.add(node, row, found)
    return save_picture(sheet.canvas.image, path)


contact_sheet = draw_nodes
"""Old name of `draw_nodes`."""


def _checked(graph: ExplanatoryGraph, nodes: Sequence[int]) -> list[int]:
    wrong = [node for node in nodes if not 0 <= node < len(graph)]
    require(not wrong, f"nodes {wrong} do not exist: the graph has {len(graph)}")
    return [int(node) for node in nodes]


def best_nodes(graph: ExplanatoryGraph, per_layer: int) -> list[int]:
    """Return the nodes of each layer to look at first, top layer first: `shown_first`."""
    best: list[int] = np.concatenate(shown_first(graph, per_layer)[::-1]).tolist()
    return best


class _Sheet:
    """A picture that is filled row by row from the top, a heading before each new layer."""

    def __init__(self, graph: ExplanatoryGraph, nodes: Sequence[int], patches: int) -> None:
        row = _LABEL_WIDTH + patches * _TILE + (patches - 1) * _GAP
        width = max(row, _LEAST_WIDTH) + 2 * _MARGIN
        note = paragraph_lines(_NOTE, width - 2 * _MARGIN)
        layers = graph.node_layer[np.asarray(nodes, dtype=np.intp)]
        headings = int(np.count_nonzero(np.diff(layers, prepend=-1)))
        top = _MARGIN + _TITLE_HEIGHT + len(note) * LINE
        height = top + headings * _HEADING_HEIGHT + len(nodes) * _ROW_HEIGHT + _MARGIN
        self.canvas = Canvas((width, height))
        self.canvas.text("Where the nodes of the graph fire", 24, (_MARGIN, _MARGIN - 4), INK)
        self.canvas.paragraph(note, (_MARGIN, _MARGIN + _TITLE_HEIGHT))
        self._graph, self._patches, self._y, self._layer = graph, patches, top, -1

    def add(self, node: int, tiles: Sequence[tuple[int, Image.Image]], matches: Matches) -> None:
        """Append a node's row of (photo, patch), below its layer's heading if that changes."""
        layer = int(self._graph.node_layer[node])
        if layer != self._layer:
            self._add_heading(layer)
        self._add_label(node)
        left = _MARGIN + _LABEL_WIDTH
        for i in range(self._patches):
            corner = (left + i * (_TILE + _GAP), self._y)
            if i >= len(tiles):
                self.canvas.fill((*corner, corner[0] + _TILE - 1, corner[1] + _TILE - 1), EMPTY)
                continue
            photo, tile = tiles[i]
            self.canvas.image.paste(tile, corner)
            self.canvas.ring((corner[0] + _TILE / 2, corner[1] + _TILE / 2), _RING)
            caption = f"{matches.score[photo, node]:.2f}"
            caption += ", mirrored" if matches.mirrored[photo] else ""
            self.canvas.text(caption, 11, (corner[0], corner[1] + _TILE + 2), FAINT)
        self._y += _ROW_HEIGHT

    def _add_heading(self, layer: int) -> None:
        spec = self._graph.layers[layer]
        share = patch_share(spec, self._graph.input_size)
        base = self._y + _HEADING_HEIGHT - 16
        right = self.canvas.image.width - _MARGIN
        self.canvas.rule(_MARGIN, right, base - 28)
        self.canvas.text(spec.name, 18, (_MARGIN, base), layer_color(layer), "ls")
        self.canvas.text(
            f"{spec.grid[0]} by {spec.grid[1]} cells, receptive field {spec.field[0]} by "
            f"{spec.field[1]} of {self._graph.input_size[0]} by {self._graph.input_size[1]} px, "
            f"patches {share:.0%} of the photo",
            12,
            (right, base),
            FAINT,
            "rs",
        )
        self._y += _HEADING_HEIGHT
        self._layer = layer

    def _add_label(self, node: int) -> None:
        graph, y = self._graph, self._y
        identity = graph.node_id(node)
        name = graph.names.get(node, "").strip()
        self.canvas.text(fitted(name or identity, 15, _ROOM), 15, (_MARGIN, y + 6), INK)
        details = [
            *([fitted(identity, 12, _ROOM)] if name else []),
            *(fitted(line, 12, _ROOM) for line in group_line(graph, node)),
            f"mean score {graph.score[node]:.2f}",
            f"fires in {graph.support[node]:.0%} of photos",
        ]
        for i, line in enumerate(details):
            self.canvas.text(line, 12, (_MARGIN, y + 32 + i * LINE), FAINT)
