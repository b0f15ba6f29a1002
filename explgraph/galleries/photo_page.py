"""The picture of one photo's parse: the photo with all layers, its legend, and a photo by layer."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from explgraph.base.arrays import F8
from explgraph.drawing.canvas import LINE, Canvas, fitted, paragraph_lines
from explgraph.drawing.look import FAINT, INK, PAPER, layer_color
from explgraph.drawing.overlay import SHAPES, Overlay, Shape, hidden_area
from explgraph.graphs.graph import ExplanatoryGraph
from explgraph.graphs.matches import Matches, fires
from explgraph.photos.images import LoadedImage

_MARGIN, _GAP, _PANEL = 28, 20, 340  # pixels
_ROOM, _SMALL_ROOM = 720, 340  # longest side of the large photo, and of a layer's at most
_COLUMNS = 4
_ROW, _ICON, _HEADING = 17, 24, 52
_RADII, _SMALL_RADII = (3.0, 13.0), (2.5, 9.0)  # of a disc as large as the marker, pixels
_NUMBER = 11  # size of the numbers at the markers
_UNIT = np.array([[0.0, 1.0], [0.0, 1.0]])
_STEPS = np.linspace(0, 2 * np.pi, 12, endpoint=False)
_LINE_NOTE = (
    "Lines lead from a node to the parent that it moves with most steadily, of those drawn."
)
_CHOICE_NOTE = (
    "Drawn are nodes that fire in this photo: the better half of the graph's ranking first, of "
    "these those with a parent drawn, of these the highest scores. Nodes that would lie upon "
    "another one of their layer are left out."
)
_GROUPS_NOTE = (
    "Drawn are nodes that fire in this photo, of every part group some. Nodes that would lie upon "
    "another one of their layer are left out."
)
_BELOW_NOTE = "Below, layer by layer: the nodes' numbers, names and scores."


@dataclass(frozen=True, slots=True)
class Parsed:
    """What is drawn of a graph in one photo.

    Attributes
    ----------
    graph, found
        P nodes in N photos.
    photo
        Which of them.
    nodes
        (n,) the nodes drawn, ascending.
    lines
        (m, 2) child and parent of each line: indices into ``nodes``.
    focus
        The node in question, or None.
    """

    graph: ExplanatoryGraph
    found: Matches
    photo: int
    nodes: NDArray[np.intp]
    lines: NDArray[np.integer]
    focus: int | None

    @property
    def layers(self) -> list[int]:
        """The layers of the nodes drawn, top layer first."""
        return [int(layer) for layer in np.unique(self.graph.node_layer[self.nodes])[::-1]]

    def of(self, layer: int) -> list[int]:
        """Return the nodes drawn of a layer, highest score first."""
        nodes = self.nodes[self.graph.node_layer[self.nodes] == layer]
        order = np.argsort([-self.score(int(node)) for node in nodes], kind="stable")
        return [int(node) for node in nodes[order]]

    def score(self, node: int) -> float:
        """Return a node's score in the photo."""
        return float(self.found.score[self.photo, node])

    def place(self, node: int) -> F8:
        """Return (2,) where a node is, unit square of the photo."""
        return np.asarray(self.found.yx[self.photo, node], dtype=np.float64)

    def name(self, node: int) -> str:
        """Return the user's name of a node with its filter and part, or its id."""
        name, identity = self.graph.names.get(node, "").strip(), self.graph.node_id(node)
        return f"{name} ({'/'.join(identity.rsplit('/', 2)[1:])})" if name else identity

    @property
    def highest(self) -> float:
        """The highest score drawn."""
        return max((self.score(int(node)) for node in self.nodes), default=0.0)

    def radius(self, score: float, radii: tuple[float, float]) -> float:
        """Return a marker's radius: its area is in proportion to the score, but for the least."""
        share = score / self.highest if self.highest > 0 else 0.0
        return max(radii[0], radii[1] * float(np.sqrt(share)))

    def count(self, layer: int) -> tuple[int, int]:
        """Return how many nodes of a layer are drawn, and how many fire in the photo."""
        firing = fires(self.found.score[self.photo][:, None], self.graph.score)[:, 0]
        return len(self.of(layer)), int(firing[self.graph.node_layer == layer].sum())


class MatchPage:
    """The whole picture.

    Parameters
    ----------
    parsed
        What is drawn.
    loaded
        The photo, or an object's box in it.
    """

    def __init__(self, parsed: Parsed, loaded: LoadedImage) -> None:
        self._parsed, self._loaded = parsed, loaded

    def draw(self) -> Image.Image:
        """Draw it."""
        parsed, layers = self._parsed, self._parsed.layers
        photo = self._photo()
        panel = _Panel(parsed)
        width = 2 * _MARGIN + max(photo.width, _ROOM // 2) + _GAP + _PANEL
        top = 2 * _MARGIN + max(photo.height, panel.height)
        columns = min(max(len(layers), 2), _COLUMNS)
        column = min((width - 2 * _MARGIN + _GAP) // columns - _GAP, _SMALL_ROOM)
        cells = [self._cell(layer, column) for layer in layers]
        rows = [cells[i : i + columns] for i in range(0, len(cells), columns)]
        heights = [max(cell.height for cell in row) + _GAP for row in rows]
        canvas = Canvas((width, top + sum(heights)))
        canvas.image.paste(photo, (_MARGIN, _MARGIN))
        canvas.image.paste(panel.draw(), (width - _MARGIN - _PANEL, _MARGIN))
        for row, height in zip(rows, heights, strict=True):
            for i, cell in enumerate(row):
                canvas.image.paste(cell, (_MARGIN + i * (column + _GAP), top))
            top += height
        return canvas.image

    def _photo(self) -> Image.Image:
        """Draw all nodes on the photo, lines beneath and the larger ones first."""
        parsed = self._parsed
        overlay = Overlay(self._loaded, _ROOM)
        for child, parent in parsed.nodes[parsed.lines].tolist():
            color = layer_color(int(parsed.graph.node_layer[child]))
            overlay.line(parsed.place(child), parsed.place(parent), color, 3)
        for node in sorted(parsed.nodes.tolist(), key=lambda node: -parsed.score(node)):
            _mark(overlay, parsed, node, _RADII)
        return overlay.finish()

    def _cell(self, layer: int, width: int) -> Image.Image:
        """Draw one layer's heading, its nodes on a photo of its own, and their list."""
        parsed, nodes = self._parsed, self._parsed.of(layer)
        overlay = Overlay(self._loaded, width)
        for node in nodes:
            _mark(overlay, parsed, node, _SMALL_RADII)
        for text, node, offset in _numbers(overlay, parsed, nodes):
            overlay.label(parsed.place(node), text, _NUMBER, offset)
        below = _HEADING + overlay.size[0] + 8
        canvas = Canvas((width, below + len(nodes) * _ROW))
        canvas.image.paste(icon(layer), (0, 0))
        name = fitted(parsed.graph.layers[layer].name, 15, width - _ICON - 8)
        canvas.text(name, 15, (_ICON + 8, 3), INK)
        drawn, firing = parsed.count(layer)
        canvas.text(f"{drawn} of {firing:,} nodes that fire here", 12, (0, 28), FAINT)
        canvas.image.paste(overlay.finish(), (0, _HEADING))
        for i, node in enumerate(nodes):
            y = below + i * _ROW
            score = f"{parsed.score(node):.2f}" if parsed.score(node) > 0 else "no peak"
            canvas.text(str(i + 1), 12, (18, y), FAINT, "ra")
            canvas.text(fitted(parsed.name(node), 12, width - 90), 12, (26, y), INK)
            canvas.text(score, 12, (width - 4, y), FAINT, "ra")
        return canvas.image


class _Panel:
    """Title, legend and notes, beside the photo."""

    def __init__(self, parsed: Parsed) -> None:
        self._parsed = parsed
        self._notes = [paragraph_lines(note, _PANEL) for note in self._texts()]
        lines = sum(map(len, self._notes)) + len(self._notes) / 2
        self.height = round(130 + 26 * len(parsed.layers) + lines * LINE)

    def _texts(self) -> Iterator[str]:
        parsed = self._parsed
        if parsed.found.mirrored[parsed.photo]:
            yield "The graph sees this photo mirrored: what is left for the graph is right here."
        if parsed.focus is not None:
            name = parsed.name(parsed.focus)
            yield f"Only {name} (the cross), its ancestors and its descendants are drawn."
        if len(parsed.nodes) == 0:
            yield "No node of the graph fires in this photo."
            return
        if len(parsed.lines):
            yield _LINE_NOTE
        yield _CHOICE_NOTE if parsed.graph.groups is None else _GROUPS_NOTE
        yield _BELOW_NOTE

    def draw(self) -> Image.Image:
        parsed, canvas = self._parsed, Canvas((_PANEL, self.height))
        canvas.text("Where the graph's nodes are", 22, (0, -4), INK)
        name = parsed.found.images[parsed.photo]
        canvas.text(fitted(name, 13, _PANEL), 13, (0, 28), FAINT)
        y = 60.0
        for layer in parsed.layers:
            canvas.image.paste(icon(layer), (0, round(y) - 2))
            drawn, firing = parsed.count(layer)
            said = f"{drawn} of {firing:,} that fire"
            canvas.text(said, 12, (_PANEL, y + 3), FAINT, "ra")
            room = _PANEL - _ICON - 120
            canvas.text(
                fitted(parsed.graph.layers[layer].name, 14, room), 14, (_ICON + 8, y + 1), INK
            )
            y += 26
        if parsed.highest > 0:
            y = self._sizes(canvas, y + 8)
        for lines in self._notes:
            y = canvas.paragraph(lines, (0, y)) + LINE / 2
        return canvas.image

    def _sizes(self, canvas: Canvas, y: float) -> float:
        """Draw what the sizes mean; return where that ends."""
        parsed, x = self._parsed, 0
        for share in (1.0, 0.5, 0.1):
            score = share * parsed.highest
            radius = parsed.radius(score, _RADII)
            canvas.image.paste(_marker(radius, FAINT, SHAPES[0], 30), (x, round(y)))
            canvas.text(f"{score:.3g}", 12, (x + 34, y + 8), INK)
            x += 78
        canvas.text("area: score", 12, (x, y + 8), FAINT)
        return y + 42


def icon(layer: int) -> Image.Image:
    """Return a layer's marker as a small picture, for legends."""
    return _marker(7, layer_color(layer), _shape(layer), _ICON)


def _marker(radius: float, color: str, shape: Shape, side: int) -> Image.Image:
    paper = LoadedImage(Image.new("RGB", (side, side), PAPER), _UNIT, (side, side))
    overlay = Overlay(paper, side)
    overlay.marker(np.full(2, 0.5), radius, color, shape)
    return overlay.finish()


def _shape(layer: int) -> Shape:
    return SHAPES[layer % len(SHAPES)]


def _mark(overlay: Overlay, parsed: Parsed, node: int, radii: tuple[float, float]) -> None:
    """Draw a node's marker; a cross on the one in question."""
    layer, place = int(parsed.graph.node_layer[node]), parsed.place(node)
    radius = parsed.radius(parsed.score(node), radii)
    overlay.marker(place, radius, layer_color(layer), _shape(layer))
    if node == parsed.focus:
        overlay.cross(place, radius + 5, PAPER, 1.5)


def _numbers(
    overlay: Overlay, parsed: Parsed, nodes: Sequence[int]
) -> Iterator[tuple[str, int, tuple[float, float]]]:
    """Yield for each node its number and where to write it: (y, x) pixels from its place.

    Each number goes beside its marker where it hides least: the markers, the numbers before it and
    the border are to stay clear of it.
    """
    places = np.array([overlay.pixel(parsed.place(node)) for node in nodes]).reshape(-1, 2)
    radii = [parsed.radius(parsed.score(node), _SMALL_RADII) for node in nodes]
    taken = [(*place, radius, radius) for place, radius in zip(places, radii, strict=True)]
    for i, node in enumerate(nodes):
        text = str(i + 1)
        half = np.array([0.5 * _NUMBER, 0.35 * _NUMBER * len(text)])
        reach = radii[i] + 2 + half
        offsets = np.stack([-np.cos(_STEPS), np.sin(_STEPS)], axis=1) * reach
        hidden = [hidden_area(places[i] + offset, half, taken, overlay.size) for offset in offsets]
        y, x = offsets[int(np.argmin(hidden))].tolist()
        taken.append((*(places[i] + (y, x)), *half))
        yield text, node, (y, x)
