"""A decision as a picture: the nodes that keep it, those it hangs on most, and where they are."""

from __future__ import annotations

import math

import numpy as np
from PIL import Image

from explgraph.base.arrays import F8
from explgraph.base.errors import require
from explgraph.base.files import PathLike
from explgraph.base.renamed import renamed
from explgraph.base.text import counted, cut_end
from explgraph.drawing.canvas import LINE, Canvas, fitted, paragraph_lines
from explgraph.drawing.look import EMPTY, FAINT, INK, PAPER, layer_color
from explgraph.drawing.overlay import SHAPES, Overlay
from explgraph.drawing.patches import only_photo
from explgraph.drawing.pictures import (
    check_picture_name,
    greys,
    save_picture,
    scale,
    shrunk,
    signed,
)
from explgraph.explanations.decision.decision import Decision
from explgraph.galleries.photo_page import icon
from explgraph.photos.images import LoadedImage

NODES = 15
"""Nodes in the list unless another number is asked for."""

_MARGIN, _GAP, _TILE, _NARROW = 28, 24, 320, 250  # pixels
_TITLE, _CAPTION, _SCALE, _HEAD, _ROW = 70, 48, 34, 66, 24
_RADII = (3.0, 12.0)  # of a disc as large as the marker
_NUMBER = 11  # size of the numbers at the markers
_BAR = 220  # pixels of the largest drop
_FIGURE = 78  # width of a column of figures
_NOTE = (
    "Each node of the graph is a pattern that a filter of the network looks for. Its drop is "
    "measured: the cells of the filter's map around the place where the node was found are "
    "silenced, and the rest of the network is run again. What the class's output (logit) loses is "
    "what hung on the node. The estimate is the same from the gradient alone, without another run."
)


@renamed(nodes="n_nodes")
def draw_decision(
    decision: Decision, image: object, path: PathLike | None = None, *, n_nodes: int = NODES
) -> Image.Image:
    """Draw which nodes of a graph a decision hangs on.

    Three pictures of the photo: the nodes that keep the prediction all by themselves; the nodes
    with the largest drops, numbered; and the map of places. Beneath, the list of these nodes with
    drop, estimate, and where several nodes share a peak. A node has the colour and the shape of its
    layer; its area tells its drop. Of nodes on one peak the list has the one with the largest
    share.

    Parameters
    ----------
    decision
        What `explain_decision` measured.
    image
        The photo, alone or among others, in any form that `open_images` takes; or a PIL image.
    path
        File to write, .png or .jpg; None: none.
    n_nodes
        How many nodes to list, at most; only those that were measured are.

    Returns
    -------
    The picture, which a notebook shows.

    Raises
    ------
    ExplGraphError
        If the photo is not among several images, or the file's name is of no picture.
    """
    check_picture_name(path)
    require(n_nodes >= 1, f"n_nodes must be at least 1, got {n_nodes}")
    return save_picture(Page(decision, only_photo(image, decision.image), n_nodes).draw(), path)


class Page:
    """The whole picture."""

    def __init__(self, decision: Decision, photo: LoadedImage, nodes: int) -> None:
        self._decision, self._photo = decision, photo
        self._listed = listed(decision, nodes)
        largest = np.abs(decision.drop[self._listed]).max(initial=0)
        self._largest = float(largest) or 1.0
        self._small = shrunk(photo.image, _TILE)
        width, height = self._small.size
        self._size = height, width
        self._column = max(width, _NARROW)
        self._room = 3 * self._column + 2 * _GAP
        self._note = paragraph_lines(_NOTE, self._room)
        self._top = _MARGIN + _TITLE + len(self._note) * LINE + _GAP
        self._list = self._top + _CAPTION + height + _SCALE + _GAP
        bottom = self._list + _HEAD + len(self._listed) * _ROW
        self._canvas = Canvas((self._room + 2 * _MARGIN, bottom + _MARGIN))

    def draw(self) -> Image.Image:
        """Return the picture."""
        self._head()
        self._panel(0, *self._kept_caption(), self.kept())
        self._panel(
            1, "the largest drops", "numbers as in the list, where they fit", self.numbered()
        )
        self._panel(2, "by place", "all nodes of a place removed at once", self.by_place())
        self._legend(_MARGIN, self._top + _CAPTION + self._size[0] + 8)
        self._scale(self._left(2), self._top + _CAPTION + self._size[0] + 8)
        self._table()
        return self._canvas.image

    def _head(self) -> None:
        decision, canvas = self._decision, self._canvas
        title = f"What {decision.target.label} hangs on in this photo"
        canvas.text(fitted(title, 22, self._room), 22, (_MARGIN, _MARGIN - 6), INK)
        said = f"; logit {decision.logit:.2f}, probability {_percent(decision.probability)}"
        if decision.mirrored:
            said += "; nodes are measured in the mirrored photo"
        name = fitted(decision.image, 13, max(self._room - 7 * len(said), _NARROW))
        canvas.text(name + said, 13, (_MARGIN, _MARGIN + 28), FAINT)
        canvas.paragraph(self._note, (_MARGIN, _MARGIN + _TITLE))

    def _left(self, panel: int) -> int:
        return _MARGIN + panel * (self._column + _GAP)

    def _panel(self, index: int, name: str, note: str, picture: Image.Image) -> None:
        left, canvas = self._left(index), self._canvas
        canvas.text(fitted(name, 15, self._column), 15, (left, self._top), INK)
        canvas.text(fitted(note, 12, self._column), 12, (left, self._top + 22), FAINT)
        canvas.image.paste(picture, (left, self._top + _CAPTION))

    def _kept_caption(self) -> tuple[str, str]:
        decision = self._decision
        if len(decision.kept):
            many = len(decision.kept)
            name = f"{counted(many, 'node')} alone keep{'s' if many == 1 else ''} it"
            return name, f"the rest of {self._layer(-1)} silenced: {self._alone()}"
        if decision.predicted != decision.target.index:
            mirrored = " mirrored" if decision.mirrored else ""
            return "no prediction to keep", f"the network says class {decision.predicted}{mirrored}"
        return "no nodes alone keep it", f"all of {self._layer(-1)}: {self._alone()}"

    def _alone(self) -> str:
        return f"probability {_percent(self._decision.kept_probability)}"

    def _layer(self, index: int) -> str:
        return fitted(self._decision.graph.layers[index].name, 12, self._column / 2)

    def kept(self) -> Image.Image:
        """Draw the nodes that keep the prediction, the larger ones first."""
        overlay = Overlay(self._photo, max(self._size))
        rows = np.flatnonzero(np.isin(self._decision.nodes, self._decision.kept)).tolist()
        for row in sorted(rows, key=self._value, reverse=True):
            self._mark(overlay, row)
        return overlay.finish()

    def numbered(self) -> Image.Image:
        """Draw the nodes of the list, the first one uppermost, with the numbers that have room."""
        overlay = Overlay(self._photo, max(self._size))
        radii = [self._mark(overlay, row) for row in reversed(self._listed)][::-1]
        taken: list[F8] = []
        for i, (row, radius) in enumerate(zip(self._listed, radii, strict=True)):
            offset = np.array([-radius - 8.0, 0.0])
            middle = overlay.pixel(self._decision.yx[row]) + offset
            if all(np.abs(middle - other).max() > _NUMBER + 2 for other in taken):
                overlay.label(self._decision.yx[row], str(i + 1), _NUMBER, (offset[0], offset[1]))
                taken.append(middle)
        return overlay.finish()

    def _mark(self, overlay: Overlay, row: int) -> float:
        """Draw a node's marker; return its radius."""
        layer = int(self._decision.graph.node_layer[self._decision.nodes[row]])
        share = min(max(self._value(row), 0) / self._largest, 1.0)
        radius = max(_RADII[0], _RADII[1] * math.sqrt(share))
        shape = SHAPES[layer % len(SHAPES)]
        overlay.marker(self._decision.yx[row], radius, layer_color(layer), shape)
        return radius

    def _value(self, row: int) -> float:
        """Return a node's drop, or its estimate where it was not measured."""
        drop = float(self._decision.drop[row])
        return float(self._decision.estimate[row]) if math.isnan(drop) else drop

    def by_place(self) -> Image.Image:
        """Draw the map of places over the photo in grey."""
        values = self._decision.map.upsampled(self._size)
        return signed(greys(self._small), values / (self._most() or 1))

    def _most(self) -> float:
        return float(np.abs(self._decision.map.values).max())

    def _legend(self, left: int, top: int) -> None:
        """Name the layers of the nodes drawn."""
        graph, canvas, x = self._decision.graph, self._canvas, left
        drawn = [*self._decision.nodes[self._listed], *self._decision.kept]
        for layer in sorted({int(graph.node_layer[node]) for node in drawn}, reverse=True):
            name = fitted(graph.layers[layer].name, 12, 2 * self._column / 4)
            canvas.image.paste(icon(layer), (x, top))
            canvas.text(name, 12, (x + 28, top + 6), INK)
            x += 28 + 8 * len(name) + _GAP

    def _scale(self, left: int, top: int) -> None:
        """Draw the colours of the map, from against the class to for it."""
        most = self._most()
        self._canvas.image.paste(scale((self._column, 8), signed=True), (left, top))
        said = f"against it, and for it: up to {most:.1%} of all" if most > 0 else "nothing adds"
        self._canvas.text(said, 11, (left, top + 11), FAINT)

    def _table(self) -> None:
        """List the nodes with what was measured of each."""
        canvas, top, right = self._canvas, self._list, _MARGIN + self._room
        measured = int(np.isfinite(self._decision.drop).sum())
        many = len(self._listed)
        title = f"The {many} nodes with the largest drops" if many else "No node was measured"
        canvas.text(title, 15, (_MARGIN, top), INK)
        said = f"of {measured:,} measured and {len(self._decision.nodes):,} found in the photo"
        agree = self._decision.correlation
        said += "" if math.isnan(agree) else f"; drop and estimate correlate by {agree:.2f}"
        canvas.text(said, 12, (_MARGIN, top + 22), FAINT)
        heads = ("drop", "estimate", "on its peak") if many else ()
        for i, head in enumerate(heads):
            place = (right - (len(heads) - 1 - i) * _FIGURE, top + 44)
            canvas.text(head, 12, place, FAINT, "ra")
        for i, row in enumerate(self._listed):
            self._row(i, row, top + _HEAD + i * _ROW)

    def _row(self, i: int, row: int, y: int) -> None:
        decision, canvas, right = self._decision, self._canvas, _MARGIN + self._room
        node = int(decision.nodes[row])
        canvas.text(f"{i + 1}", 12, (_MARGIN + 18, y + 4), FAINT, "ra")
        canvas.image.paste(icon(int(decision.graph.node_layer[node])), (_MARGIN + 24, y))
        left = right - 3 * _FIGURE - _BAR
        kept = ", kept" if node in decision.kept else ""
        shown = self._name(node, left - _MARGIN - 110) + kept
        canvas.text(shown, 12, (_MARGIN + 54, y + 4), INK)
        self._bar(row, left, y)
        others = int((decision.peak == decision.peak[row]).sum()) - 1
        figures = (
            f"{decision.drop[row]:.2f}",
            f"{decision.estimate[row]:.2f}",
            f"{others} more" if others else "alone",
        )
        for k, text in enumerate(figures):
            canvas.text(text, 12, (right - (2 - k) * _FIGURE, y + 4), INK, "ra")

    def _name(self, node: int, room: float) -> str:
        """Return the user's name of a node with its filter and part, or its id."""
        graph = self._decision.graph
        name, identity = graph.names.get(node, "").strip(), graph.node_id(node)
        if not name:
            return fitted(identity, 12, room)
        part = "/".join(identity.rsplit("/", 2)[1:])
        return f"{cut_end(name, round(room / 12))} ({part})"

    def _bar(self, row: int, left: int, y: int) -> None:
        """Draw a node's drop as a bar, and its estimate as a line across it."""
        decision, canvas = self._decision, self._canvas
        canvas.fill((left, y + 5, left + _BAR, y + 17), EMPTY)
        drop, estimate = (
            float(np.clip(values[row] / self._largest, -1, 1))
            for values in (decision.drop, decision.estimate)
        )
        if drop > 0:
            color = layer_color(int(decision.graph.node_layer[decision.nodes[row]]))
            canvas.fill((left, y + 5, left + drop * _BAR, y + 17), color)
        if estimate > 0:
            x = left + estimate * _BAR
            canvas.fill((x - 2, y + 2, x + 2, y + 20), PAPER)
            canvas.fill((x - 1, y + 2, x + 1, y + 20), INK)


def listed(decision: Decision, most: int) -> list[int]:
    """Return rows of a decision: of each peak measured the node with the largest share, ranked."""
    best: dict[int, int] = {}
    for row in np.flatnonzero(np.isfinite(decision.drop)).tolist():
        peak = int(decision.peak[row])
        if peak not in best or decision.share[row] > decision.share[best[peak]]:
            best[peak] = row
    return sorted(best.values())[:most]


def _percent(share: float) -> str:
    return f"{share:.1%}"
