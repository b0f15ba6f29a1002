"""The contact sheet: for each node, the places in photos where it scores best."""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont, ImageOps

from .drawing import COLORS
from .errors import ExplGraphError, require
from .graph import ExplanatoryGraph
from .matches import Matches
from .storage import PathLike, write_bytes
from .structures import LayerSpec

if TYPE_CHECKING:
    from .images import ImageSource, LoadedImage

_LEAST_SHARE, _MOST_SHARE = 0.25, 0.6  # of the photo that a patch shows
_INK, _FAINT, _PAPER, _OUTSIDE, _EMPTY = "#222222", "#6B6B6B", "#FFFFFF", "#D9DBDF", "#F5F6F8"
_MARGIN, _GAP, _LABEL_WIDTH, _TILE, _LEAST_WIDTH = 28, 10, 180, 112, 640  # pixels of the sheet
_TITLE_HEIGHT, _HEADING_HEIGHT, _ROW_HEIGHT, _LINE = 38, 62, 138, 18
_RING = 6  # radius of the ring about the node's place, pixels of the sheet

_Font = ImageFont.FreeTypeFont | ImageFont.ImageFont

_NOTE = (
    "Each row is a node, with the photos in which it scores best, cut out around the place where "
    "it is (the ring); the number is its score there. Photos in which the graph found the object "
    "mirrored are shown mirrored, in the graph's own orientation. Grey lies outside of the photo."
)


def contact_sheet(
    graph: ExplanatoryGraph,
    matches: Matches,
    source: ImageSource,
    path: PathLike,
    *,
    nodes: Sequence[int] | None = None,
    nodes_per_layer: int = 8,
    patches: int = 6,
) -> None:
    """Write a PNG with a row of patches for each of the best nodes, the top layer above.

    A patch is a square around the node's place in a photo. Its side is the share of the photo's
    shorter side that the layer's receptive field takes of the network's input, but at least 25 %
    (or nothing could be recognised) and at most 60 % (or all patches would be the same photo).

    Parameters
    ----------
    graph
        The graph.
    matches
        Where its P nodes are in N photos.
    source
        The photos; it must have those that ``matches`` names. Each is loaded once at most.
    path
        File to write.
    nodes
        Indices of the nodes to show, instead of the best.
    nodes_per_layer
        Nodes of highest gain to show of each layer.
    patches
        Photos shown of each node, highest score first (on a tie the first photo first). Photos
        without a peak of the node (score 0) are not shown.

    Raises
    ------
    ExplGraphError
        If graph, matches and photos do not belong together, or a node does not exist.
    """
    require(patches >= 1, f"patches must be at least 1, got {patches}")
    require(
        matches.node_layer.tolist() == graph.node_layer.tolist(),
        f"the matches have {len(matches.node_layer)} nodes that are not this graph's "
        f"{len(graph)}: match this graph",
    )
    chosen = _best(graph, nodes_per_layer) if nodes is None else _checked(graph, nodes)
    rows = [_Row(node, _best_photos(matches, node, patches)) for node in chosen]
    tiles = _tiles(graph, matches, source, rows)
    sheet = _Sheet(graph, chosen, patches)
    for row in rows:
        sheet.add(row, [tiles[row.node, photo] for photo in row.photos], matches)
    buffer = io.BytesIO()
    sheet.image.save(buffer, "PNG")
    write_bytes(path, buffer.getvalue())


def patch_share(layer: LayerSpec, input_size: tuple[int, int]) -> float:
    """Return the share of a photo's shorter side that a patch of a layer shows."""
    share = float(np.mean([f / s for f, s in zip(layer.field, input_size, strict=True)]))
    return min(max(share, _LEAST_SHARE), _MOST_SHARE)


def cut_patch(loaded: LoadedImage, yx: NDArray[np.floating], share: float) -> Image.Image:
    """Cut a square out of a photo, whole pixels, grey where the photo ends.

    Parameters
    ----------
    loaded
        The photo, or an object's box in it.
    yx
        (2,) centre of the square, unit square of the whole photo. It is shifted by less than half
        a pixel to where whole pixels allow.
    share
        Side of the square over the shorter side of the photo or box.
    """
    frame = loaded.frame
    width, height = loaded.image.size
    y, x = (np.asarray(yx, dtype=np.float64) - frame[:, 0]) / frame[:, 1] * (height, width)
    side = max(round(share * min(height, width)), 1)
    patch = Image.new("RGB", (side, side), _OUTSIDE)
    left, top = (int(np.floor(c - side / 2 + 0.5)) for c in (x, y))
    patch.paste(loaded.image, (-left, -top))
    return patch


@dataclass(frozen=True, slots=True)
class _Row:
    """A node and the photos shown for it, indices into the matches."""

    node: int
    photos: tuple[int, ...]


def _checked(graph: ExplanatoryGraph, nodes: Sequence[int]) -> list[int]:
    wrong = [node for node in nodes if not 0 <= node < len(graph)]
    require(not wrong, f"nodes {wrong} do not exist: the graph has {len(graph)}")
    return [int(node) for node in nodes]


def _best(graph: ExplanatoryGraph, per_layer: int) -> list[int]:
    """Return the best nodes of each layer by `ExplanatoryGraph.ranking`, top layer first."""
    ranking = graph.ranking
    order = ranking[np.argsort(-graph.node_layer[ranking], kind="stable")]
    layer = -graph.node_layer[order]
    rank = np.arange(len(order)) - np.searchsorted(layer, layer)
    return [int(node) for node in order[rank < per_layer]]


def _best_photos(matches: Matches, node: int, count: int) -> tuple[int, ...]:
    score = matches.score[:, node]
    order = np.argsort(-score, kind="stable")[:count]
    return tuple(int(photo) for photo in order if score[photo] > 0)


def _tiles(
    graph: ExplanatoryGraph, matches: Matches, source: ImageSource, rows: Sequence[_Row]
) -> dict[tuple[int, int], Image.Image]:
    """Cut all patches, by (node, photo), in the size and orientation in which they are shown."""
    index = {name: i for i, name in enumerate(source.names)}
    wanted: dict[int, list[int]] = {}
    for row in rows:
        for photo in row.photos:
            wanted.setdefault(photo, []).append(row.node)
    tiles = {}
    for photo, nodes in wanted.items():
        name = matches.images[photo]
        if name not in index:
            raise ExplGraphError(
                f"the matches name {name!r}, which is not among the {len(index)} images given: "
                "give the images that were matched"
            )
        loaded = source.load(index[name])
        for node in nodes:
            share = patch_share(graph.layers[graph.node_layer[node]], graph.input_size)
            patch = cut_patch(loaded, matches.yx[photo, node], share)
            patch = patch.resize((_TILE, _TILE), Image.Resampling.LANCZOS)
            tiles[node, photo] = ImageOps.mirror(patch) if matches.mirrored[photo] else patch
    return tiles


class _Sheet:
    """A picture that is filled row by row from the top, a heading before each new layer."""

    def __init__(self, graph: ExplanatoryGraph, nodes: Sequence[int], patches: int) -> None:
        row = _LABEL_WIDTH + patches * _TILE + (patches - 1) * _GAP
        width = max(row, _LEAST_WIDTH) + 2 * _MARGIN
        note = _wrapped(_NOTE, ImageFont.load_default(13), width - 2 * _MARGIN)
        layers = graph.node_layer[np.asarray(nodes, dtype=np.intp)]
        headings = int(np.count_nonzero(np.diff(layers, prepend=-1)))
        top = _MARGIN + _TITLE_HEIGHT + len(note) * _LINE
        height = top + headings * _HEADING_HEIGHT + len(nodes) * _ROW_HEIGHT + _MARGIN
        self.image = Image.new("RGB", (width, height), _PAPER)
        self._draw = ImageDraw.Draw(self.image)
        self._text("Where the nodes of the graph fire", 24, _MARGIN, _MARGIN - 4, _INK)
        for i, line in enumerate(note):
            self._text(line, 13, _MARGIN, _MARGIN + _TITLE_HEIGHT + i * _LINE, _FAINT)
        self._graph, self._patches, self._y, self._layer = graph, patches, top, -1

    def add(self, row: _Row, tiles: Sequence[Image.Image], matches: Matches) -> None:
        """Append a node's row, below its layer's heading where the layer changes."""
        layer = int(self._graph.node_layer[row.node])
        if layer != self._layer:
            self._add_heading(layer)
        self._add_label(row.node)
        left = _MARGIN + _LABEL_WIDTH
        for i in range(self._patches):
            corner = (left + i * (_TILE + _GAP), self._y)
            if i >= len(tiles):
                self._draw.rectangle(
                    (*corner, corner[0] + _TILE - 1, corner[1] + _TILE - 1), _EMPTY
                )
                continue
            self.image.paste(tiles[i], corner)
            self._add_ring(corner[0] + _TILE / 2, corner[1] + _TILE / 2)
            photo = row.photos[i]
            caption = f"{matches.score[photo, row.node]:.2f}"
            caption += ", mirrored" if matches.mirrored[photo] else ""
            self._text(caption, 11, corner[0], corner[1] + _TILE + 2, _FAINT)
        self._y += _ROW_HEIGHT

    def _add_heading(self, layer: int) -> None:
        spec = self._graph.layers[layer]
        share = patch_share(spec, self._graph.input_size)
        base = self._y + _HEADING_HEIGHT - 16
        right = self.image.width - _MARGIN
        self._draw.line((_MARGIN, base - 28, right, base - 28), _OUTSIDE)
        self._text(spec.name, 18, _MARGIN, base, _color(layer), "ls")
        self._text(
            f"{spec.grid[0]} by {spec.grid[1]} cells, receptive field {spec.field[0]} by "
            f"{spec.field[1]} of {self._graph.input_size[0]} by {self._graph.input_size[1]} px, "
            f"patches {share:.0%} of the photo",
            *(12, right, base, _FAINT, "rs"),
        )
        self._y += _HEADING_HEIGHT
        self._layer = layer

    def _add_label(self, node: int) -> None:
        graph, y = self._graph, self._y
        identity = graph.node_id(node)
        name = " ".join(graph.names.get(node, "").split())
        self._text(_fitted(name or identity, 15), 15, _MARGIN, y + 6, _INK)
        details = [
            *([_fitted(identity, 12)] if name else []),
            f"mean score {graph.score[node]:.2f}",
            f"fires in {graph.support[node]:.0%} of photos",
        ]
        for i, line in enumerate(details):
            self._text(line, 12, _MARGIN, y + 32 + i * _LINE, _FAINT)

    def _add_ring(self, x: float, y: float) -> None:
        """Draw the mark of a node's place: white on dark, so that it is seen on every photo."""
        for radius, width, color in ((_RING + 1, 4, _INK), (_RING, 2, _PAPER)):
            box = (x - radius, y - radius, x + radius - 1, y + radius - 1)
            self._draw.ellipse(box, outline=color, width=width)

    def _text(
        self, text: str, size: int, x: float, y: float, color: str, anchor: str = "la"
    ) -> None:
        font = ImageFont.load_default(size)
        self._draw.text((x, y), text, fill=color, font=font, anchor=anchor)


def _color(layer: int) -> str:
    return COLORS[layer % len(COLORS)]


def _wrapped(text: str, font: _Font, width: float) -> list[str]:
    """Break text into lines of at most ``width`` pixels."""
    lines = [""]
    for word in text.split():
        longer = f"{lines[-1]} {word}".lstrip()
        if font.getlength(longer) <= width:
            lines[-1] = longer
        else:
            lines.append(word)
    return lines


def _fitted(text: str, size: int) -> str:
    """Cut the beginning of text that is wider than the column of labels."""
    font = ImageFont.load_default(size)
    room = _LABEL_WIDTH - _GAP
    if font.getlength(text) <= room:
        return text
    start = next(i for i in range(1, len(text) + 1) if font.getlength(f"…{text[i:]}") <= room)
    return f"…{text[start:]}"
