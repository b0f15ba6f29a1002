"""Explanations of one photo side by side, each labelled with what it is."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from PIL import Image

from explgraph.base.arrays import F4
from explgraph.base.errors import require
from explgraph.base.files import PathLike
from explgraph.drawing.canvas import LINE, Canvas, fitted, paragraph_lines
from explgraph.drawing.look import FAINT, INK
from explgraph.drawing.pictures import (
    check_picture_name,
    greys,
    heated,
    save_picture,
    scale,
    shrunk,
    signed,
)
from explgraph.explanations.answers import methods
from explgraph.explanations.attribution import Attribution
from explgraph.photos.images import open_images

_MARGIN, _GAP, _TILE, _COLUMNS = 28, 20, 224, 4  # pixels; tiles in a row
_TITLE, _CAPTION, _SCALE, _BAR = 64, 58, 44, 150
_TOP = 0.995  # share of the values that the scale holds: a few extremes would leave the rest pale
_NOTE = (
    "Each map has its own scale, up to the value that all but 0.5 % of the pixels stay below. The "
    "photo is grey beneath; the fainter the colour, the weaker. Signed maps: orange speaks for the "
    "target, blue against it. Magnitudes tell how much a pixel matters, not in which direction."
)


def draw_explanations(
    answers: Sequence[Attribution],
    image: object,
    path: PathLike | None = None,
    *,
    refused: Mapping[str, str] | None = None,
) -> Image.Image:
    """Draw explanations of one photo side by side.

    Parameters
    ----------
    answers
        What `explgraph.explanations.answers` found, by one method or several, for one photo.
    image
        The photo, in any form that `open_images` takes.
    path
        File to write, .png or .jpg; None: none.
    refused
        By name, methods that could not answer, and why: they are listed.

    Returns
    -------
    The picture, which a notebook shows.

    Raises
    ------
    ExplGraphError
        If there are no answers, they are of several photos, or the file's name is of no picture.
    """
    check_picture_name(path)
    require(len(answers) > 0, "there are no explanations to draw")
    names = sorted({answer.image for answer in answers})
    require(len(names) == 1, f"a sheet shows one photo, got explanations of {names}")
    source = open_images(image)
    require(len(source) == 1, f"a sheet shows one photo, got {len(source)}")
    photo = source.load(0).image
    return save_picture(_Sheet(answers, photo, refused or {}).draw(), path)


explanation_sheet = draw_explanations
"""Old name of `draw_explanations`."""


class _Sheet:
    """A sheet with a tile for each answer, row by row."""

    def __init__(
        self, answers: Sequence[Attribution], photo: Image.Image, refused: Mapping[str, str]
    ) -> None:
        self._answers = answers
        self._photo = shrunk(photo, _TILE)
        self._columns = min(_COLUMNS, len(answers) + 1)
        room = max(self._columns, 3) * (_TILE + _GAP) - _GAP
        self._note = paragraph_lines(_NOTE, room)
        self._refused = [
            line
            for name, reason in refused.items()
            for line in paragraph_lines(f"{_title(name)}: not possible, {reason}.", room)
        ]
        self._row = self._photo.height + _CAPTION + _SCALE
        self._top = _MARGIN + _TITLE + len(self._note) * LINE + _GAP
        rows = -(-(len(answers) + 1) // self._columns)
        bottom = self._top + rows * self._row
        self._bottom = bottom
        foot = len(self._refused) * LINE + (LINE if self._refused else 0)
        self._canvas = Canvas((room + 2 * _MARGIN, bottom + foot + _MARGIN))

    def draw(self) -> Image.Image:
        """Return the sheet."""
        canvas, first = self._canvas, self._answers[0]
        room = canvas.image.width - 2 * _MARGIN
        targets = list(dict.fromkeys(answer.target for answer in self._answers))
        heading = f"What speaks for {', '.join(targets)}"
        canvas.text(fitted(heading, 22, room), 22, (_MARGIN, _MARGIN - 6), INK)
        canvas.text(fitted(first.image, 13, room), 13, (_MARGIN, _MARGIN + 26), FAINT)
        canvas.paragraph(self._note, (_MARGIN, _MARGIN + _TITLE))
        left, top = self._place(0)
        canvas.text("the photo", 14, (left, top), INK)
        canvas.image.paste(self._photo, (left, top + _CAPTION))
        for i, answer in enumerate(self._answers, start=1):
            self._tile(answer, *self._place(i))
        canvas.paragraph(self._refused, (_MARGIN, self._bottom + LINE))
        return canvas.image

    def _place(self, index: int) -> tuple[int, int]:
        row, column = divmod(index, self._columns)
        return _MARGIN + column * (_TILE + _GAP), self._top + row * self._row

    def _tile(self, answer: Attribution, left: int, top: int) -> None:
        canvas = self._canvas
        canvas.text(fitted(_title(answer.method), 14, _TILE), 14, (left, top), INK)
        kind = "signed" if answer.signed else "magnitude"
        canvas.text(fitted(_settings(answer), 11, _TILE), 11, (left, top + 20), FAINT)
        blank = "" if answer.values.any() else ": 0 everywhere"
        canvas.text(f"{kind}{blank}", 11, (left, top + 36), FAINT)
        values = answer.upsampled((self._photo.height, self._photo.width))
        most = float(np.quantile(np.abs(values), _TOP)) or float(np.abs(values).max())
        shown: F4 = np.clip(values / (most or 1.0), -1, 1).astype(np.float32)
        grey = greys(self._photo)
        if answer.signed:
            picture = signed(grey, shown)
        else:
            picture = heated(grey, np.maximum(shown, 0), np.maximum(shown, 0))
        canvas.image.paste(picture, (left, top + _CAPTION))
        self._scale(answer, most, left, top + _CAPTION + self._photo.height + 6)

    def _scale(self, answer: Attribution, most: float, left: int, top: int) -> None:
        self._canvas.image.paste(scale((_BAR, 8), signed=answer.signed), (left, top))
        least = f"{-most:.2g}" if answer.signed else "0"
        self._canvas.text(least, 11, (left, top + 9), FAINT)
        self._canvas.text(f"{most:.2g}", 11, (left + _BAR, top + 9), FAINT, "ra")


def _title(method: str) -> str:
    """Return a method's title; what is not in the registry, as the graph's own, goes by name."""
    return methods()[method].title if method in methods() else method


def _settings(answer: Attribution) -> str:
    """Return a method's options in a line, without what all have."""
    own = {k: v for k, v in answer.settings.items() if k not in ("seed", "batch_size")}
    shown = {k: f"{v:.3g}" if isinstance(v, float) else v for k, v in own.items()}
    return ", ".join(f"{key} {value}" for key, value in shown.items()) or "no options"
