"""A photo's segments as a picture: what each adds, and the best of them by themselves."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from typing import Any

import numpy as np
from PIL import Image

from explgraph.base.arrays import F4, I8
from explgraph.base.errors import require
from explgraph.base.files import PathLike
from explgraph.base.frames import middles, seen_along
from explgraph.drawing.canvas import LINE, Canvas, fitted, paragraph_lines
from explgraph.drawing.look import FAINT, INK
from explgraph.drawing.pictures import (
    AGAINST,
    FOR,
    check_picture_name,
    greys,
    save_picture,
    shrunk,
    signed,
)
from explgraph.explanations.segments import Segments
from explgraph.photos.images import open_images

_MARGIN, _GAP, _TILE, _COLUMNS = 28, 20, 224, 4  # pixels; tiles in a row
_TITLE, _CAPTION, _BELOW = 64, 42, 36
_OUTSIDE = -1  # what the network did not see
_NOTE = (
    "Orange segments speak for it, blue ones against it: the value for the segment alone, less "
    "that for a picture of nothing. Then the best ones, which the network saw without the "
    "rest: what it calls them, how sure it is, what they add, and how much of its input they are."
)


def draw_segments(
    segments: Segments, image: object, path: PathLike | None = None, *, best: int = 6
) -> Image.Image:
    """Draw what each segment of a photo adds to the answer, and the best ones by themselves.

    Parameters
    ----------
    segments
        What `explgraph.score_segments` found.
    image
        The photo, in any form that `open_images` takes.
    path
        File to write, .png or .jpg; None: none.
    best
        How many segments are shown by themselves, the largest score first.

    Returns
    -------
    The picture, which a notebook shows.

    Raises
    ------
    ExplGraphError
        If there is not exactly one photo, ``best`` is negative, or the file's name is of no
        picture.
    """
    check_picture_name(path)
    require(best >= 0, f"best must not be negative, got {best}")
    source = open_images(image)
    require(len(source) == 1, f"segments are of one photo, got {len(source)}")
    photo = source.load(0).image
    return save_picture(_Sheet(segments, photo, best).draw(), path)


class _Sheet:
    """The photo, the map and the best segments, a tile for each."""

    def __init__(self, segments: Segments, photo: Image.Image, best: int) -> None:
        self._segments = segments
        self._lines = segments.table.head(best).to_dict(orient="records")
        self._photo = shrunk(photo, _TILE)
        self._labels = _labels_on(segments, *self._photo.size[::-1])
        tiles = 2 + len(self._lines)
        room = _COLUMNS * (_TILE + _GAP) - _GAP
        self._note = paragraph_lines(_NOTE, room)
        self._row = _CAPTION + self._photo.height + _BELOW
        self._top = _MARGIN + _TITLE + len(self._note) * LINE + _GAP
        bottom = self._top + -(-tiles // _COLUMNS) * self._row
        self._canvas = Canvas((room + 2 * _MARGIN, bottom + _MARGIN))

    def draw(self) -> Image.Image:
        """Return the sheet."""
        canvas, segments = self._canvas, self._segments
        room = canvas.image.width - 2 * _MARGIN
        heading = fitted(f"What segments alone say of {segments.target}", 22, room)
        canvas.text(heading, 22, (_MARGIN, _MARGIN - 6), INK)
        facts = (
            f"{segments.image}: {len(segments)} segments; the whole photo {segments.whole:.3g}, "
            f"nothing {segments.nothing:.3g}"
        )
        canvas.text(fitted(facts, 13, room), 13, (_MARGIN, _MARGIN + 26), FAINT)
        canvas.paragraph(self._note, (_MARGIN, _MARGIN + _TITLE))
        whole = "" if segments.top_whole is None else segments.class_label(segments.top_whole)
        self._tile(0, self._photo, "the photo", whole)
        gain, most = self._gain()
        self._tile(1, signed(greys(self._photo), gain), "what each adds", "alone")
        self._colors(most)
        for i, line in enumerate(self._lines, start=2):
            self._tile(i, self._alone(int(line["segment"])), *_caption(line, segments))
        return canvas.image

    def _tile(self, index: int, picture: Image.Image, title: str, small: str) -> None:
        left, top = self._place(index)
        self._canvas.text(fitted(title, 14, _TILE), 14, (left, top), INK)
        self._canvas.text(fitted(small, 11, _TILE), 11, (left, top + 20), FAINT)
        self._canvas.image.paste(picture, (left, top + _CAPTION))

    def _place(self, index: int) -> tuple[int, int]:
        row, column = divmod(index, _COLUMNS)
        return _MARGIN + column * (_TILE + _GAP), self._top + row * self._row

    def _gain(self) -> tuple[F4, float]:
        """Return (h, w) what the segment of each pixel adds, in units of the most, and the most."""
        gain = self._segments.score - np.float32(self._segments.nothing)
        most = float(np.abs(gain).max())
        padded = np.append(gain / (most or 1.0), np.nan).astype(np.float32)
        return padded[self._labels], most

    def _colors(self, most: float) -> None:
        left, top = self._place(1)
        y = top + _CAPTION + self._photo.height + 4
        for i, (color, label) in enumerate(((AGAINST, f"{-most:.2g}"), (FOR, f"{most:+.2g}"))):
            x = left + 90 * i
            self._canvas.fill((x, y + 2, x + 9, y + 11), "#{:02X}{:02X}{:02X}".format(*color))
            self._canvas.text(label, 11, (x + 15, y), FAINT)

    def _alone(self, segment: int) -> Image.Image:
        """Return the photo with all but one segment pale."""
        pale = 255 - 0.2 * (255 - greys(self._photo)[..., None])
        shown = np.where((self._labels == segment)[..., None], np.asarray(self._photo), pale)
        return Image.fromarray(np.round(shown).astype(np.uint8))


def _labels_on(segments: Segments, height: int, width: int) -> I8:
    """Return (height, width) the segment under each pixel of the photo, or `_OUTSIDE`."""
    size = segments.labels.shape
    (y, seen_y), (x, seen_x) = seen_along(segments.frame, (middles(height), middles(width)), size)
    rows, columns = (
        px.astype(np.int64).clip(0, many - 1) for px, many in zip((y, x), size, strict=True)
    )
    seen = seen_y[:, None] & seen_x
    return np.where(seen, segments.labels[rows][:, columns], _OUTSIDE).astype(np.int64)


def _caption(line: Mapping[Hashable, Any], segments: Segments) -> tuple[str, str]:
    """Return what stands over a segment: what it is called, and its figures."""
    title = f"segment {line['segment']}"
    if segments.top is not None:
        title = f"{segments.class_label(line['class'])}, {line['probability']:.0%} sure"
    return title, f"adds {line['gain']:+.3g}, {line['share']:.1%} of the input"
