"""A trace as a picture: its nodes on the photo, and the chain from pixels up to the class."""

from __future__ import annotations

import numpy as np
from PIL import Image, ImageDraw

from explgraph.base.arrays import F8, NONE
from explgraph.base.files import PathLike
from explgraph.base.text import cut_end
from explgraph.drawing.canvas import LINE, Canvas, fitted, font_for, paragraph_lines
from explgraph.drawing.look import FAINT, INK, PAPER, layer_color, tint
from explgraph.drawing.overlay import Overlay
from explgraph.drawing.patches import GLANCE_SHARE, cut_patch, only_photo
from explgraph.drawing.pictures import (
    check_picture_name,
    greys,
    save_picture,
    scale,
    shrunk,
    signed,
)
from explgraph.explanations.trace import Trace
from explgraph.photos.images import LoadedImage

_MARGIN, _GAP = 28, 28  # pixels
_PHOTO = 400  # longest side of a photo
_TILE, _SPACE, _FOOT = 92, 34, 34  # of a node's patch, between patches, of the text beneath
_RISE = 74  # between two layers, where the arrows are
_CLASS = 40  # height of the class' box
_HEAD, _CAPTION = 62, 26
_BADGE = 11  # radius
_WIDTHS = (1.0, 9.0)  # of arrows: none and all of a response
_FINE = 3  # arrows are drawn so many times as large, then reduced
_LABELLED = 0.03  # arrows that carry less have no number
_NOTE = (
    "From the pixels up: each arrow says what share of the upper node's response the lower node's "
    "cells carry (gradient times activation, in this photo); into the class, what share of the "
    "logit. Dark arrows inhibit. Under a node: filter/part, and what share of the logit runs "
    "through it on all ways. Beside a layer: how the logit changes without the cells of its nodes "
    "here, and without as many cells of other nodes."
)


def draw_trace(trace: Trace, image: object, path: PathLike | None = None) -> Image.Image:
    """Draw what carries a decision: on the photo, and as a chain of nodes up to the class.

    On the left the photo with the nodes at their peaks, numbered, and lines from each to those
    above it; beneath it the pixels that the lowest nodes are made of. On the right the chain: the
    class, under it the nodes of each layer as patches of the photo, and the arrows that carry most,
    as wide as they carry much; dark ones inhibit. Beside each layer stands what its nodes' cells
    are worth: by how much the logit falls without them, and without as many others.

    Parameters
    ----------
    trace
        What `trace` found.
    image
        The photo, alone or among others, in any form that `open_images` takes; or a PIL image.
    path
        File to write, .png or .jpg; None: none.

    Returns
    -------
    The picture, which a notebook shows.

    Raises
    ------
    ExplGraphError
        If the photo is not among several images, or the file's name is of no picture.
    """
    check_picture_name(path)
    return save_picture(_Page(trace, only_photo(image, trace.image)).draw(), path)


class _Page:
    """The whole picture."""

    def __init__(self, trace: Trace, photo: LoadedImage) -> None:
        self._trace, self._photo = trace, photo
        layer = trace.graph.node_layer[trace.nodes]
        self._layers = sorted(set(layer.tolist()), reverse=True)
        self._rows = self._ordered([np.flatnonzero(layer == n).tolist() for n in self._layers])
        self._small = shrunk(photo.image, _PHOTO)
        self._left = _MARGIN + _PHOTO + _GAP + 130  # of the first patch: layers' names are before
        most = max((len(row) for row in self._rows), default=1)
        self._wide = max(most * (_TILE + _SPACE) - _SPACE, 420)
        width = self._left + self._wide + _MARGIN
        self._note = paragraph_lines(_NOTE, width - 2 * _MARGIN)
        self._top = _MARGIN + _HEAD + len(self._note) * LINE + 12
        chain = _CLASS + len(self._rows) * (_RISE + _TILE + _FOOT)
        photos = 2 * (_CAPTION + self._small.size[1] + 14) + 30
        self._canvas = Canvas((width, self._top + max(chain, photos) + _MARGIN))

    def _ordered(self, rows: list[list[int]]) -> list[list[int]]:
        """Put nodes under the nodes above that they carry, so that fewer arrows cross."""
        trace, result = self._trace, rows[:1]
        for row in rows[1:]:
            place = {node: i - (len(result[-1]) - 1) / 2 for i, node in enumerate(result[-1])}
            middle = {}
            for node in row:
                mine = np.flatnonzero((trace.child == node) & (trace.parent != NONE)).tolist()
                weight = np.abs(trace.carried[mine])
                at = [place[int(trace.parent[edge])] for edge in mine]
                middle[node] = float(np.average(at, weights=weight)) if weight.any() else 0.0
            result.append([node for _, node in sorted((middle[node], node) for node in row)])
        return result

    def draw(self) -> Image.Image:
        """Return the picture."""
        self._head()
        self._photos()
        self._arrows()
        self._class()
        for number, row in zip(self._layers, self._rows, strict=True):
            self._layer(number, row)
        self._numbers()
        return self._canvas.image

    def _head(self) -> None:
        trace, canvas = self._trace, self._canvas
        room = canvas.image.size[0] - 2 * _MARGIN
        title = f"What carries {trace.target.label} in this photo"
        canvas.text(fitted(title, 22, room), 22, (_MARGIN, _MARGIN - 6), INK)
        rest = round(trace.baseline, 2) + 0.0  # no minus sign before 0.00
        said = f"; logit {trace.logit:.2f}, {rest:.2f} without {self._name(-1)}"
        if trace.mirrored:
            said += "; the graph sees it mirrored"
        name = fitted(trace.image, 13, room / 2)
        canvas.text(fitted(name + said, 13, room), 13, (_MARGIN, _MARGIN + 26), FAINT)
        canvas.paragraph(self._note, (_MARGIN, _MARGIN + _HEAD - 8))

    def _name(self, layer: int) -> str:
        return self._trace.graph.layers[layer].name

    def _photos(self) -> None:
        canvas, y = self._canvas, self._top
        canvas.text("where the nodes are", 15, (_MARGIN, y), INK)
        canvas.image.paste(self._marked(), (_MARGIN, y + _CAPTION))
        y += _CAPTION + self._small.size[1] + 14
        canvas.text(f"the pixels that nodes of {self._lowest()} are made of", 15, (_MARGIN, y), INK)
        width, height = self._small.size
        values = self._trace.map.upsampled((height, width))
        most = float(np.quantile(np.abs(values), 0.995)) or 1.0
        shown = signed(greys(self._small), np.clip(values / most, -1, 1))
        canvas.image.paste(shown, (_MARGIN, y + _CAPTION))
        y += _CAPTION + height + 6
        canvas.image.paste(scale((width, 8), signed=True), (_MARGIN, y))
        canvas.text("against, and for it", 11, (_MARGIN, y + 10), FAINT)

    def _lowest(self) -> str:
        return fitted(self._name(self._layers[-1]) if self._layers else "", 15, 120)

    def _marked(self) -> Image.Image:
        """Draw the nodes on the photo, the lowest first, with lines up to their parents."""
        trace, overlay = self._trace, Overlay(self._photo, _PHOTO)
        layer = trace.graph.node_layer[trace.nodes]
        for child, parent, effect in zip(trace.child, trace.parent, trace.effect, strict=True):
            if parent != NONE:
                color = layer_color(int(layer[child])) if effect > 0 else INK
                width = 1 + 5 * min(abs(float(effect)), 1)
                overlay.line(trace.yx[child], trace.yx[parent], color, width)
        for i in np.argsort(layer, kind="stable").tolist():
            overlay.disc(trace.yx[i], 7.5, layer_color(int(layer[i])))
            overlay.label(trace.yx[i], str(i + 1), 10, (0.0, 0.0))
        return overlay.finish()

    def _box(self, node: int) -> tuple[int, int]:
        """Return the left and the top of a node's patch."""
        for i, row in enumerate(self._rows):
            if node in row:
                taken = len(row) * (_TILE + _SPACE) - _SPACE
                left = self._left + (self._wide - taken) // 2 + row.index(node) * (_TILE + _SPACE)
                return left, self._top + _CLASS + _RISE + i * (_RISE + _TILE + _FOOT)
        raise AssertionError

    def _ends(self, edge: int) -> tuple[F8, F8]:
        """Return where an arrow begins and ends, (x, y)."""
        trace = self._trace
        left, top = self._box(int(trace.child[edge]))
        start = np.array([left + _TILE / 2, top - 2.0])
        if trace.parent[edge] == NONE:
            return start, np.array([start[0], self._top + _CLASS + 2.0])
        left, top = self._box(int(trace.parent[edge]))
        return start, np.array([left + _TILE / 2, top + _TILE + _FOOT + 2.0])

    def _arrows(self) -> None:
        """Draw the arrows, the faintest first."""
        size = self._canvas.image.size
        fine = self._canvas.image.resize((size[0] * _FINE, size[1] * _FINE))
        draw = ImageDraw.Draw(fine)
        layer = self._trace.graph.node_layer[self._trace.nodes]
        for edge in np.argsort(np.abs(self._trace.effect), kind="stable").tolist():
            start, end = self._ends(edge)
            effect = float(self._trace.effect[edge])
            color = layer_color(int(layer[self._trace.child[edge]]))
            shade = tint(color if effect > 0 else INK, 0.35 + 0.6 * min(abs(effect) * 2, 1))
            width = _WIDTHS[0] + (_WIDTHS[1] - _WIDTHS[0]) * min(abs(effect), 1)
            _arrow(draw, start * _FINE, end * _FINE, width * _FINE, shade)
        self._canvas.image.paste(fine.resize(size, Image.Resampling.LANCZOS))

    def _class(self) -> None:
        canvas, right = self._canvas, self._left + self._wide
        canvas.fill((self._left, self._top, right, self._top + _CLASS), INK)
        text = fitted(self._trace.target.label, 16, self._wide - 20)
        canvas.text(text, 16, ((self._left + right) / 2, self._top + _CLASS / 2), PAPER, "mm")

    def _layer(self, number: int, row: list[int]) -> None:
        """Draw a layer's nodes, and what their cells are worth."""
        trace, canvas = self._trace, self._canvas
        color = layer_color(number)
        for node in row:
            left, top = self._box(node)
            patch = cut_patch(self._photo, trace.yx[node], GLANCE_SHARE)
            patch = patch.resize((_TILE - 6, _TILE - 6), Image.Resampling.LANCZOS)
            canvas.fill((left, top, left + _TILE - 1, top + _TILE - 1), color)
            canvas.image.paste(patch, (left + 3, top + 3))
            canvas.badge((left + 6, top + 6), str(node + 1), color, _BADGE)
            said = "/".join(trace.graph.node_id(int(trace.nodes[node])).rsplit("/", 2)[1:])
            name = cut_end(trace.graph.names.get(int(trace.nodes[node]), ""), 12) or said
            canvas.text(name, 12, (left + _TILE / 2, top + _TILE + 2), INK, "ma")
            share = f"{trace.evidence[node]:.1%}"
            canvas.text(share, 12, (left + _TILE / 2, top + _TILE + 17), FAINT, "ma")
        left, top = _MARGIN + _PHOTO + _GAP, self._box(row[0])[1]
        canvas.text(fitted(self._name(number), 14, 120), 14, (left, top + 8), color)
        lines = (
            f"{trace.cells[number]:,} cells",
            f"logit {-trace.drop[number]:+.2f} without",
            f"as many others: {-trace.control[number]:+.2f}",
        )
        for i, line in enumerate(lines):
            canvas.text(line, 11, (left, top + 30 + 15 * i), FAINT)

    def _numbers(self) -> None:
        """Write what the arrows carry, where there is room: the widest first."""
        trace, taken = self._trace, list[tuple[float, float]]()
        for edge in np.argsort(-np.abs(trace.effect), kind="stable").tolist():
            effect = float(trace.effect[edge])
            if abs(effect) < _LABELLED and trace.parent[edge] != NONE:
                continue
            start, end = self._ends(edge)
            for way in (0.5, 0.32, 0.68):
                x, y = start + (end - start) * way
                if all(abs(x - a) > 32 or abs(y - b) > 14 for a, b in taken):
                    taken.append((float(x), float(y)))
                    text = f"{effect:.0%}"
                    half = font_for(text, 12).getlength(text) / 2 + 2
                    self._canvas.fill((x - half, y - 7, x + half, y + 7), PAPER)
                    self._canvas.text(text, 12, (float(x), float(y)), INK, "mm")
                    break


def _arrow(draw: ImageDraw.ImageDraw, start: F8, end: F8, width: float, color: str) -> None:
    """Draw a line with a head at its end."""
    along = (end - start) / max(float(np.linalg.norm(end - start)), 1e-9)
    across = np.array([-along[1], along[0]])
    head = max(2.2 * width, 4.0 * _FINE)
    neck = end - along * head
    draw.line([tuple(start), tuple(neck)], fill=color, width=max(round(width), 1))
    corners = [end, neck + across * head * 0.55, neck - across * head * 0.55]
    draw.polygon([(float(x), float(y)) for x, y in corners], fill=color)
