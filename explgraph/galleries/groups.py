"""Parts at a glance: a row for each part group, what it looks like, where it lies, its layers."""

from __future__ import annotations

import numpy as np
from PIL import Image

from explgraph.base.arrays import NONE
from explgraph.base.errors import require
from explgraph.base.files import PathLike
from explgraph.base.text import counted
from explgraph.drawing.canvas import LINE, Canvas, fitted, font_for, paragraph_lines
from explgraph.drawing.look import FAINT, INK, layer_color
from explgraph.drawing.look import LINE as AXIS
from explgraph.drawing.overlay import Overlay
from explgraph.drawing.page import title_of
from explgraph.drawing.patches import GLANCE_SHARE, group_photos, node_patches
from explgraph.drawing.pictures import check_picture_name, save_picture
from explgraph.graphs.choice import groups_of
from explgraph.graphs.graph import ExplanatoryGraph
from explgraph.graphs.groups import Group, PartGroups
from explgraph.graphs.matches import Matches, check_nodes
from explgraph.photos.images import open_images

from .tiles import add_dots, blank_map

_MARGIN, _GAP, _LABEL, _TILE, _MAP, _BAR = 28, 8, 214, 104, 104, 10  # pixels
_LEAST_PATCHES = 6  # that the heading has room for
_ROW = _TILE + 2 * _GAP + 8
_NOTE = (
    "Nodes whose peaks coincide in the photos are one part group; no labels are used. Patches show "
    "its best nodes in the photos in which they score best, cut out around the node's place. The "
    "map has its nodes at their mean places, and a circle as wide as the group strays. Sure: how "
    "far its nodes agree where it is, photo by photo. All in the graph's own orientation."
)


def draw_groups(
    graph: ExplanatoryGraph,
    found: Matches,
    images: object,
    path: PathLike | None = None,
    *,
    n_patches: int = 8,
    title: str | None = None,
) -> Image.Image:
    """Draw what a network has learned of a category, at a glance: a row for each part group.

    A row has the group's name, how many nodes it has and in which layers, how surely its nodes
    agree where it is, a map of where it lies, and patches of photos. Groups that hardly move come
    last: they follow nothing. In a row layers take turns, their nodes come by group gain, and each
    is shown in the photo in which it scores best among those that the row does not show yet, cut
    out around its place there.

    Parameters
    ----------
    graph
        A graph with part groups: see `part_groups`.
    found
        Where its P nodes are in N photos.
    images
        The photos that ``found`` names, and perhaps others, in any form that `open_images` takes.
        Each is loaded once at most.
    path
        File to write, .png or .jpg; None: none.
    n_patches
        Patches of each group, at most.
    title
        What stands above; None: the network's name.

    Returns
    -------
    The picture, which a notebook shows.

    Raises
    ------
    ExplGraphError
        If the graph has no groups, or graph, matches and photos do not belong together.

    Examples
    --------
    >>> graph = graph.having(groups=eg.part_groups(graph, found))  # doctest: +SKIP
    >>> eg.draw_groups(graph, found, "photos/zebra", "parts.png")  # doctest: +SKIP
    """
    check_picture_name(path)
    require(n_patches >= 1, f"n_patches must be at least 1, got {n_patches}")
    check_nodes(graph, found)
    groups = groups_of(graph)
    require(len(groups) > 0, "there is nothing to draw: the graph has no part groups")
    rows = sorted(groups, key=lambda group: groups.is_still(group.number))
    shown = [group_photos(graph, found, group.nodes.tolist(), n_patches) for group in rows]
    wanted: dict[int, list[int]] = {}
    for node, photo in (place for row in shown for place in row):
        wanted.setdefault(node, []).append(photo)
    tiles = node_patches(graph, found, open_images(images), wanted, _TILE, share=GLANCE_SHARE)
    page = _Page(graph, groups, max(map(len, shown)), title)
    for group, row in zip(rows, shown, strict=True):
        page.add(group, [tiles[place] for place in row])
    return save_picture(page.canvas.image, path)


class _Page:
    """A heading with the layers' colours, then a row for each group."""

    def __init__(
        self, graph: ExplanatoryGraph, groups: PartGroups, patches: int, title: str | None
    ) -> None:
        columns = max(patches, _LEAST_PATCHES)
        self._left = _MARGIN + _LABEL + _MAP + 2 * _GAP
        width = self._left + columns * (_TILE + _GAP) - _GAP + _MARGIN
        room = width - 2 * _MARGIN
        note = paragraph_lines(f"{_counts(graph, groups)} {_NOTE}", room)
        top = _MARGIN + 40 + len(note) * LINE + 40
        self.canvas = Canvas((width, top + len(groups) * _ROW + _MARGIN - _GAP))
        self._graph, self._groups, self._y = graph, groups, top
        heading = title or title_of(graph, "Parts at a glance")
        self.canvas.text(fitted(heading, 24, room), 24, (_MARGIN, _MARGIN - 4), INK)
        self.canvas.paragraph(note, (_MARGIN, _MARGIN + 40))
        self._add_layers(top - 34)

    def _add_layers(self, y: int) -> None:
        """Write the layers' names beside their colours."""
        x = float(_MARGIN)
        for layer, spec in enumerate(self._graph.layers):
            room = (self.canvas.image.width - 2 * _MARGIN) / len(self._graph.layers) - 30
            name = fitted(spec.name, 12, room)
            self.canvas.fill((x, y + 3, x + 9, y + 12), layer_color(layer))
            self.canvas.text(name, 12, (x + 15, y), FAINT)
            x += 15 + font_for(name, 12).getlength(name) + 20

    def add(self, group: Group, tiles: list[Image.Image]) -> None:
        """Append a group's row."""
        canvas, y = self.canvas, self._y
        canvas.rule(_MARGIN, canvas.image.width - _MARGIN, y - _GAP)
        self._add_label(group, y)
        place_map = _map(self._graph, group)
        canvas.image.paste(place_map, (_MARGIN + _LABEL, y))
        for i, tile in enumerate(tiles):
            corner = (self._left + i * (_TILE + _GAP), y)
            canvas.image.paste(tile, corner)
        self._y += _ROW

    def _add_label(self, group: Group, y: int) -> None:
        room, title = _LABEL - 2 * _GAP, self._groups.title(group.number)
        self.canvas.text(fitted(title, 19, room), 19, (_MARGIN, y - 3), INK)
        rank = int(np.flatnonzero(np.isin(self._graph.ranking(), group.nodes))[0]) + 1
        said = f"group {group.number}: {counted(len(group.nodes), 'node')}, best no. {rank:,}"
        self.canvas.text(said, 13, (_MARGIN, y + 25), FAINT)
        counts = np.bincount(self._graph.node_layer[group.nodes], minlength=len(self._graph.layers))
        edges = _MARGIN + np.concatenate([[0], np.cumsum(counts)]) / counts.sum() * room
        for layer in np.flatnonzero(counts).tolist():
            box = (edges[layer], y + 47, edges[layer + 1] - 1, y + 47 + _BAR)
            self.canvas.fill(box, layer_color(layer))
        stray = group.spread / float(np.sqrt(np.prod(self._graph.input_size)))
        moves = "hardly moves," if self._groups.is_still(group.number) else "strays"
        lines = f"sure {group.sureness:.0%}", f"{moves} {stray:.0%} of the photo's side"
        for i, line in enumerate(lines):
            self.canvas.text(line, 12, (_MARGIN, y + 65 + i * LINE), FAINT)


def _counts(graph: ExplanatoryGraph, groups: PartGroups) -> str:
    inside = int(np.count_nonzero(groups.node_group != NONE))
    return f"{inside:,} of {counted(len(graph), 'node')} are in {counted(len(groups), 'group')}."


def _map(graph: ExplanatoryGraph, group: Group) -> Image.Image:
    """Draw where a group's nodes lie, and how far the group strays."""
    overlay: Overlay = blank_map(graph.input_size, _MAP)
    size = np.array(graph.input_size, dtype=np.float64)
    nodes = group.nodes[::-1]  # the best on top
    colors = [layer_color(layer) for layer in graph.node_layer[nodes].tolist()]
    add_dots(overlay, graph.mu[nodes] / size, colors)
    overlay.ellipse(np.array(group.yx), group.spread / size, INK, 1)
    drawn = Canvas((_MAP, _MAP))
    height, width = overlay.size
    corner = ((_MAP - width) // 2, (_MAP - height) // 2)
    drawn.image.paste(overlay.finish(), corner)
    drawn.outline((*corner, corner[0] + width - 1, corner[1] + height - 1), AXIS)
    return drawn.image
