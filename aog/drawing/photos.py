"""Answers on photos: how one was found, and a contact sheet of many."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import cycle

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from aog.answers import cell_edges, confidence_region, region_share
from aog.parsing import Parse
from aog.structures import Localizations
from explgraph.base.arrays import F8
from explgraph.base.errors import require
from explgraph.base.files import PathLike
from explgraph.base.renamed import renamed
from explgraph.base.text import counted
from explgraph.drawing.canvas import Canvas, fitted, font_for
from explgraph.drawing.look import COLORS, FAINT, INK, RULE
from explgraph.drawing.overlay import Overlay
from explgraph.drawing.pictures import save_picture
from explgraph.photos.images import ImageSource, LoadedImage, open_images

LEVEL = 0.9
"""Probability of the regions drawn."""

_ANSWER = "#FFFFFF"
_ROOM, _PANEL, _MARGIN, _LEAST_HEIGHT = 640, 330, 24, 400  # pixels of the picture of a parse
_ROW, _BAR, _DOT = 20, 90, 5
_DISCS = (2.5, 5.5)  # radius of the discs, by the contribution over the largest one
_NOTE = ("Disc: where a pattern was found;", "line: to where it says that the part is.")
_TILE, _GAP, _LINE = 168, 14, 17  # pixels of the sheet
_LEAST_COLUMNS = 3  # that its heading has room for
_PALETTE = ("#FFD400", "#00E5FF", "#FF5CC8", "#7CFF4F", "#FF8A3D", "#B39DFF")


@renamed(photos="images")
def draw_parse(parse: Parse, images: object, path: PathLike | None = None) -> Image.Image:
    """Draw on a photo how a part was found: the answer, and the patterns that count most for it.

    A disc is where a pattern was found, the larger the more it counts, in its layer's colour; the
    line from it leads to where it says that the part is. The cross is the answer, with its box
    where the size is known. What lies outside of the region that holds the part with a probability
    of 90 % is dimmed. Beside the photo, the patterns are listed.

    Parameters
    ----------
    parse
        What `explgraph.parse` found.
    images
        The photos located in, in any form that `open_images` takes.
    path
        File to write, .png or .jpg; None: none.

    Returns
    -------
    The picture, which a notebook shows.

    Raises
    ------
    ExplGraphError
        If the photo is not among those given.
    """
    source = open_images(images)
    photo = marked_parse(parse, _load(source, parse.answer.images[0]))
    height = max(photo.height + 2 * _MARGIN, _LEAST_HEIGHT, _panel_height(parse))
    canvas = Canvas((photo.width + _PANEL + 3 * _MARGIN, height))
    canvas.image.paste(photo, (_MARGIN, _MARGIN))
    _Panel(canvas, photo.width + 2 * _MARGIN).write(parse)
    return save_picture(canvas.image, path)


@renamed(photos="images")
def draw_answers(
    where: Localizations, images: object, path: PathLike | None = None, *, columns: int = 6
) -> Image.Image:
    """Write a contact sheet of photos with the parts found in them, in the order of the answers.

    Each part has its colour: a cross with its box where the size is known, and the outline of the
    region that holds it with a probability of 90 %. Below stands how sure the answer is. Parts that
    are not visible are named, not marked; a photo without any visible part is shown pale.

    Parameters
    ----------
    where
        The answers to show; ``where.take(...)`` chooses some.
    images
        The photos located in, in any form that `open_images` takes. Each is loaded once.
    path
        File to write, .png or .jpg; None: none.
    columns
        Photos in a row.

    Returns
    -------
    The picture, which a notebook shows.

    Raises
    ------
    ExplGraphError
        If there are no answers, or a photo is not among those given.
    """
    require(len(where) > 0, "there are no answers to show")
    require(columns >= 1, f"columns must be at least 1, got {columns}")
    photos = marked_answers(where, open_images(images))
    rows = _rows_of(where)
    sheet = _Sheet(len(rows), max(map(len, rows.values())), columns, _part_colors(where))
    for name, photo in photos.items():
        sheet.add(photo, name, where.take(np.array(rows[name])))
    return save_picture(sheet.canvas.image, path)


part_sheet = draw_answers
"""Old name of `draw_answers`."""


def _load(source: ImageSource, name: str) -> LoadedImage:
    return source.named([name], of="answers").load(0)


def marked_parse(parse: Parse, loaded: LoadedImage) -> Image.Image:
    """Return the photo with the answer, and the patterns that count most for it."""
    overlay, answer = Overlay(loaded, _ROOM), parse.answer
    region, edges = confidence_region(answer, LEVEL)[0], cell_edges(answer)[0]
    overlay.dim(region, edges)
    overlay.outline(region, edges, _ANSWER, 1.2)
    peaks, votes = parse.peak.astype(np.float64), parse.vote.astype(np.float64)
    share = parse.contribution / parse.contribution.max(initial=1e-12)
    order = range(len(parse))[::-1]  # the best on top
    for i in order:
        overlay.line(peaks[i], votes[i], _color(parse, i), 2)
    centre = answer.yx[0].astype(np.float64)
    if np.isfinite(answer.size).all():
        overlay.box(centre, answer.size[0].astype(np.float64), _ANSWER, 1.6)
    for i in order:
        radius = _DISCS[0] + float(share[i]) * (_DISCS[1] - _DISCS[0])
        overlay.disc(peaks[i], radius, _color(parse, i))
    overlay.cross(centre, 11, _ANSWER, 3)
    return overlay.finish()


def marked_answers(where: Localizations, source: ImageSource) -> dict[str, Image.Image]:
    """Return each photo by its name, with the parts found in it."""
    colors = _part_colors(where)
    regions = confidence_region(where, LEVEL), cell_edges(where)
    photos = {}
    for name, rows in _rows_of(where).items():
        overlay = Overlay(_load(source, name), _TILE)
        _mark_answers(overlay, where, rows, regions, colors)
        photos[name] = overlay.finish()
    return photos


def _rows_of(where: Localizations) -> dict[str, list[int]]:
    """Return the rows of each photo, in the order of the answers."""
    rows: dict[str, list[int]] = {}
    for row, name in enumerate(where.images):
        rows.setdefault(name, []).append(row)
    return rows


def _part_colors(where: Localizations) -> dict[str, str]:
    return dict(zip(dict.fromkeys(where.parts), cycle(_PALETTE), strict=False))


def _color(parse: Parse, i: int) -> str:
    return COLORS[int(parse.layer[i]) % len(COLORS)]


def _mark_answers(
    overlay: Overlay,
    where: Localizations,
    rows: Sequence[int],
    regions: tuple[NDArray[np.bool_], F8],
    colors: Mapping[str, str],
) -> None:
    visible = [row for row in rows if where.visible[row]]
    if not visible:
        overlay.fade()
    for row in visible:
        overlay.outline(regions[0][row], regions[1][row], colors[where.parts[row]], 0.8)
    for row in visible:
        color, centre = colors[where.parts[row]], where.yx[row].astype(np.float64)
        if np.isfinite(where.size[row]).all():
            overlay.box(centre, where.size[row].astype(np.float64), color, 1.5)
        overlay.cross(centre, 6, color, 2)


class _Panel:
    """The text beside a parse, written line by line from the top."""

    def __init__(self, canvas: Canvas, left: int) -> None:
        self._canvas = canvas
        self._left, self._y = left, _MARGIN - 4

    def write(self, parse: Parse) -> None:
        answer = parse.answer
        sure = f"{float(answer.confidence[0]):.0%} sure"
        seen = sure if answer.visible[0] else f"not visible; if it were, {sure}"
        self._line(fitted(answer.parts[0], 24, _PANEL), 24, INK, 36)
        self._line(fitted(answer.images[0], 13, _PANEL), 13, FAINT, 24)
        self._line(seen, 15, INK, 22)
        view = ", photo seen mirrored" if answer.mirrored[0] else ""
        area = float(region_share(answer, LEVEL)[0])
        self._line(f"template {int(answer.template[0])}{view}", 13, FAINT, 18)
        self._line(f"{LEVEL:.0%} region: {area:.1%} of the photo", 13, FAINT, 30)
        if len(parse) == 0:
            self._line("No pattern of the template votes for it.", 13, INK, _ROW)
            return
        self._line("Patterns that count most", 15, INK, 24)
        most = float(parse.contribution[0])
        for i in range(len(parse)):
            self._pattern(parse, i, float(parse.contribution[i]) / most)
        known = float(parse.contribution.sum()) / parse.total
        self._y += 6
        self._line(
            f"{len(parse)} of {parse.fired:,} found: {known:.0%} of the votes", 12, FAINT, 26
        )
        for line in _NOTE:
            self._line(line, 12, FAINT, _LINE)

    def _pattern(self, parse: Parse, i: int, share: float) -> None:
        middle, left = self._y + _ROW / 2 - 2, self._left
        color = _color(parse, i)
        box = (left, middle - _DOT, left + 2 * _DOT, middle + _DOT)
        self._canvas.fill(box, color)
        name = fitted(parse.ids[i], 12, _PANEL - _BAR - 30)
        self._canvas.text(name, 12, (left + 18, middle), INK, "lm")
        start = left + _PANEL - _BAR
        self._canvas.fill((start, middle - 4, start + _BAR, middle + 4), RULE)
        self._canvas.fill((start, middle - 4, start + share * _BAR, middle + 4), color)
        self._y += _ROW

    def _line(self, text: str, size: int, color: str, height: int) -> None:
        self._canvas.text(text, size, (self._left, self._y), color)
        self._y += height


def _panel_height(parse: Parse) -> int:
    return 2 * _MARGIN + 250 + len(parse) * _ROW


class _Sheet:
    """A sheet that is filled tile by tile, row by row."""

    def __init__(self, photos: int, captions: int, columns: int, colors: Mapping[str, str]) -> None:
        self._columns, self._colors = min(columns, photos), colors
        self._row_height = _TILE + (captions + 1) * _LINE + _GAP + 4
        rows = -(-photos // self._columns)
        width = max(self._columns, _LEAST_COLUMNS) * (_TILE + _GAP) - _GAP + 2 * _MARGIN
        self._top = _MARGIN + 54
        self.canvas = Canvas((width, self._top + rows * self._row_height + 8))
        self._count = 0
        self._head(photos)

    def _head(self, photos: int) -> None:
        self.canvas.text("Parts found in photos", 22, (_MARGIN, _MARGIN - 6), INK)
        count = counted(photos, "photo")
        note = f"{count}; %: how sure the answer is; outline: {LEVEL:.0%} region"
        self.canvas.text(note, 12, (_MARGIN, _MARGIN + 24), FAINT)

    def add(self, photo: Image.Image, name: str, answers: Localizations) -> None:
        row, column = divmod(self._count, self._columns)
        left, top = _MARGIN + column * (_TILE + _GAP), self._top + row * self._row_height
        self._count += 1
        corner = (left + (_TILE - photo.width) // 2, top + _TILE - photo.height)
        self.canvas.image.paste(photo, corner)
        y = top + _TILE + 4
        self.canvas.text(fitted(name, 12, _TILE), 12, (left, y), FAINT)
        for i, part in enumerate(answers.parts):
            y += _LINE
            visible = bool(answers.visible[i])
            said = f"{float(answers.confidence[i]):.0%}" if visible else "not visible"
            self._key((left, y + 8), self._colors[part] if visible else RULE)
            room = _TILE - 22 - round(font_for(said, 12).getlength(said))
            self.canvas.text(
                f"{fitted(part, 12, room)} {said}", 12, (left + 15, y), INK if visible else FAINT
            )

    def _key(self, place: tuple[int, int], color: str) -> None:
        x, y = place
        self.canvas.fill((x, y - 5, x + 9, y + 4), color, "#7A7A7A")
