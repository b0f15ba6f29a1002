"""The picture of a texture probe: a photo in all its changes, and what is left in each of them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from explgraph.base.arrays import F8
from explgraph.base.errors import index_of
from explgraph.base.files import PathLike
from explgraph.drawing.canvas import LINE, Canvas, fitted, font_for, paragraph_lines
from explgraph.drawing.look import COLORS, EMPTY, FAINT, INK, PAPER, tint
from explgraph.drawing.patches import load_each
from explgraph.drawing.pictures import check_picture_name, save_picture, shrunk
from explgraph.explanations.texture.results import ANSWERS, KINDS, TextureProbe
from explgraph.graphs.comparison import MIN_PHOTOS
from explgraph.graphs.graph import ExplanatoryGraph
from explgraph.photos.images import open_images

_MARGIN, _LABEL, _GAP, _TILE, _SPACE = 28, 172, 14, 118, 30  # pixels of the picture
_TITLE, _HEADING, _BARS, _ROW, _BAR = 38, 24, 84, 32, 22
_BAR_COLOR, _MARK = tint(COLORS[0], 0.75), "#000000"
_KIND_COLORS = dict(
    zip(KINDS, (COLORS[2], COLORS[0], COLORS[1], "#9AA0A8", "#E4E6EA"), strict=True)
)
_KIND_INK = {"shape": PAPER}

_NOTE = (
    "Above: one of the photos in every way that the network was shown it, with the network's "
    "answer and how sure it was. Below: what is left, over all {0}that could be shown so."
)
_KIND_NOTE = (
    "A node survives if it fires where it did in at least half of the photos; in shuffled ones, "
    "anywhere. Texture: survives shuffled patches, but neither silhouettes nor edges. Shape: the "
    f"other way round. Rare: fires in fewer than {MIN_PHOTOS} photos unchanged."
)


class Measure(NamedTuple):
    """A row of bars: ``values (M,)``, a lighter mark of each ``marks (M,)``, and what both say."""

    title: str
    meaning: str
    values: F8
    marks: F8 | None = None


def draw_texture(
    probe: TextureProbe,
    images: object,
    path: PathLike | None = None,
    photo: int | str | None = None,
) -> Image.Image:
    """Draw what a texture probe found: a photo in all changes, bars for each, kinds of nodes.

    Parameters
    ----------
    probe
        What `probe_texture` found.
    images
        The photos probed, and perhaps others, in any form that `open_images` takes.
    path
        File to write, .png or .jpg; None: none.
    photo
        The photo to show: its row in the probe, or its name. None: the first that could be changed
        in all ways that were possible.

    Returns
    -------
    The picture, which a notebook shows.

    Raises
    ------
    ExplGraphError
        If there is no such photo, it is not among the images, or the picture cannot be written
        under this name.
    """
    check_picture_name(path)
    row = shown_row(probe, photo)
    ((name, loaded),) = load_each(open_images(images), [probe.images[row]])
    tiles = [
        shrunk(change.alter(loaded.image, name), _TILE) if change.allows(name) else None
        for change in probe.changes
    ]
    measures = bars(probe)
    sheet = _Sheet(probe, len(measures))
    sheet.add_photo(row, tiles)
    for measure in measures:
        sheet.add_bars(measure)
    if probe.survival is not None:
        sheet.add_kinds()
    return save_picture(sheet.canvas.image, path)


def shown_row(probe: TextureProbe, photo: int | str | None) -> int:
    """Return the row of a photo, or of the first that most changes allow."""
    if photo is None:
        return int(np.argmax(probe.shown.sum(axis=0)))
    return index_of("photo", photo, probe.images, "Choose a photo of the probe")


def bars(probe: TextureProbe) -> list[Measure]:
    """Return the rows of bars."""
    shares = [("Same answer as unchanged", probe.kept)]
    if probe.truth is not None:
        shares.append(("Right answer", probe.right))
    meaning, many = "share of the photos", probe.n_classes > 2 * ANSWERS
    if many:  # of few classes, the best five say nothing
        meaning += f"; line: among the best {ANSWERS}"
    rows = [Measure(t, meaning, of(1), of(ANSWERS) if many else None) for t, of in shares]
    if probe.survival is not None:
        meaning = "share of those that fire unchanged; line: had another photo been changed"
        table = probe.table
        columns = (table[name].to_numpy(dtype=np.float64) for name in ("nodes", "by_chance"))
        rows.append(Measure("Nodes that survive", meaning, *columns))
    return rows


def kind_shares(graph: ExplanatoryGraph, kinds: NDArray[np.str_]) -> F8:
    """Return (L, 5) the share of each layer's nodes that are of each kind, ordered as `KINDS`."""
    mine = [kinds[graph.node_layer == layer] for layer in range(len(graph.layers))]
    shares = np.zeros((len(mine), len(KINDS)))
    for row, those in zip(shares, mine, strict=True):
        row[:] = [np.mean(those == kind) if len(those) else 0 for kind in KINDS]
    return shares


class _Sheet:
    """A picture that is filled from the top."""

    def __init__(self, probe: TextureProbe, measures: int) -> None:
        self._probe = probe
        ways = len(probe.changes)
        width = 2 * _MARGIN + _LABEL + ways * (_TILE + _GAP) - _GAP
        self._room = width - 2 * _MARGIN
        count = f"{len(probe):,} photos " if len(probe) > 1 else ""
        note = paragraph_lines(_NOTE.format(count), self._room)
        self._kind_note = paragraph_lines(_KIND_NOTE, self._room)
        height = 2 * _MARGIN + _TITLE + len(note) * LINE + _HEADING + _TILE + 2 * LINE + _SPACE + 6
        height += measures * (_HEADING + _BARS + _SPACE)
        if probe.graph is not None:
            height += _HEADING + 12 + len(probe.graph.layers) * _ROW + len(self._kind_note) * LINE
        self.canvas = Canvas((width, height))
        self.canvas.text("Shape or texture?", 24, (_MARGIN, _MARGIN - 4), INK)
        self._y = self.canvas.paragraph(note, (_MARGIN, _MARGIN + _TITLE))

    def _left(self, way: int) -> int:
        return _MARGIN + _LABEL + way * (_TILE + _GAP)

    def add_photo(self, row: int, tiles: Sequence[Image.Image | None]) -> None:
        """Add a photo in all its changes, with the network's answers."""
        probe, y = self._probe, int(self._y) + _HEADING + 6
        self.canvas.text(fitted(probe.images[row], 13, _LABEL - _GAP), 13, (_MARGIN, y), INK)
        self.canvas.text(f"photo {row + 1} of {len(probe):,}", 12, (_MARGIN, y + LINE), FAINT)
        for way, (change, tile) in enumerate(zip(probe.changes, tiles, strict=True)):
            left = self._left(way)
            self.canvas.text(change.name, 14, (left, y - 6), INK, "ls")
            if tile is None:
                self.canvas.fill((left, y, left + _TILE - 1, y + _TILE - 1), EMPTY)
                self.canvas.text("no object found", 12, (left + _TILE / 2, y + 50), FAINT, "mm")
                continue
            self.canvas.image.paste(tile, (left, y))
            answer = self._answer(int(probe.answers[way, row, 0]))
            self.canvas.text(fitted(answer, 12, _TILE + 8), 12, (left, y + _TILE + 4), INK)
            sure = f"{probe.confidence[way, row]:.0%} sure"
            self.canvas.text(sure, 12, (left, y + _TILE + 4 + LINE), FAINT)
        self._y = y + _TILE + 2 * LINE + _SPACE

    def _answer(self, index: int) -> str:
        names = self._probe.class_names
        return f"class {index}" if names is None else names[index]

    def add_bars(self, measure: Measure) -> None:
        """Add a row of bars, one below each change, with a mark on each."""
        top = self._y + _HEADING
        base = top + _BARS
        title_room = _LABEL - _GAP
        y = self.canvas.paragraph(paragraph_lines(measure.title, title_room), (_MARGIN, top), INK)
        self.canvas.paragraph(paragraph_lines(measure.meaning, title_room), (_MARGIN, y + 2))
        marks = np.full(len(measure.values), np.nan) if measure.marks is None else measure.marks
        for way, (value, mark) in enumerate(zip(measure.values, marks, strict=True)):
            left = self._left(way)
            right = left + _TILE - 1
            self.canvas.fill((left, top, right, base), EMPTY)
            if np.isnan(value):
                self.canvas.text("unknown", 12, (left + _TILE / 2, base - 8), FAINT, "mb")
                continue
            self.canvas.fill((left, base - value * _BARS, right, base), _BAR_COLOR)
            if not np.isnan(mark):
                y = base - mark * _BARS
                self.canvas.fill((left, y - 1, right, y + 1), _MARK)
            self.canvas.text(f"{value:.0%}", 13, (left + _TILE / 2, top - 4), INK, "mb")
        self._y = base + _SPACE

    def add_kinds(self) -> None:
        """Add a bar for each layer of the graph, divided among the kinds of its nodes."""
        graph = self._probe.graph
        if graph is None:
            return
        self.canvas.text("Kinds of nodes", 14, (_MARGIN, self._y), INK)
        self._legend(int(self._y))
        y = self._y + _HEADING + 4
        shares = kind_shares(graph, self._probe.kinds)
        for layer in reversed(range(len(graph.layers))):
            count = np.count_nonzero(graph.node_layer == layer)
            name = fitted(graph.layers[layer].name, 12, _LABEL - _GAP)
            self.canvas.text(name, 12, (_MARGIN, y - 2), INK)
            self.canvas.text(f"{count:,} nodes", 11, (_MARGIN, y + 13), FAINT)
            self._kind_bar(y, shares[layer].tolist())
            y += _ROW
        self._y = int(self.canvas.paragraph(self._kind_note, (_MARGIN, y + 8)))

    def _legend(self, y: float) -> None:
        left = self._left(0)
        for kind in KINDS:
            self.canvas.fill((left, y + 3, left + 11, y + 14), _KIND_COLORS[kind])
            self.canvas.text(kind, 12, (left + 17, y + 2), FAINT)
            left += 84

    def _kind_bar(self, y: float, shares: Sequence[float]) -> None:
        left, room = float(self._left(0)), self._room - _LABEL
        for kind, share in zip(KINDS, shares, strict=True):
            right = left + share * room
            if right - left > 2:
                self.canvas.fill((left, y, right - 2, y + _BAR), _KIND_COLORS[kind])
            for label in (f"{kind} {share:.0%}", f"{share:.0%}"):
                if font_for(label, 12).getlength(label) < right - left - 10:
                    ink = _KIND_INK.get(kind, INK)
                    self.canvas.text(label, 12, (left + 5, y + _BAR / 2), ink, "lm")
                    break
            left = right
