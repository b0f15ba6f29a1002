"""Heat-maps on a photo: where nodes explain what the layers respond to, and where not."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np
from PIL import Image

from explgraph.base.arrays import F4
from explgraph.base.errors import require
from explgraph.base.files import PathLike
from explgraph.base.text import counted
from explgraph.drawing.canvas import Canvas, fitted, font_for, wrapped
from explgraph.drawing.look import COLORS, FAINT, INK, RULE
from explgraph.drawing.patches import load_each
from explgraph.drawing.pictures import (
    GREYS,
    check_picture_name,
    greys,
    heated,
    save_picture,
    shrunk,
)
from explgraph.explanations.explained import ExplainedMaps, LayerMaps
from explgraph.photos.images import LoadedImage, open_images

_MARGIN, _GAP, _LINE, _SPACE = 28, 16, 19, 30  # pixels of the picture
_PANEL, _LABEL, _SCALE = 270, 180, 84  # a photo's longest side; room for labels and for a scale
_LEAST_COLUMN, _LEAST_ROW, _WIDEST_NOTE = 150, 120, 640
_TITLE, _CAPTION, _BAR = 56, 30, 14
_FEW = 0.01  # smaller shares are written with more digits
_MOST_TICKS, _NICE = 5, (0.2, 0.5, 1, 2)
_QUARTERS = {share / 4: f"{share / 4:.0%}" for share in range(5)}

_HEADING = "Where nodes explain what the network responds to"
_PANELS = ("explained", "unexplained", "share explained")
_NOTE = (
    "Explained and unexplained: the response of all filters of a layer, added up place by place. "
    "1 s.d. is the standard deviation of one filter on background photos. In a row, {2}. Where "
    "nothing responds, the photo is grey.",
    "Explained is due to {0}: a filter responds where one of its nodes is expected in this photo. "
    "Unexplained is {1}.",
    "Share explained: the part of a place's response that is explained; the weaker the response, "
    "the fainter the colour.",
)
_ALL = ("the graph's nodes", "the rest, which the graph takes for noise", "both have one scale")
_OTHERS = ("all the rest, be it noise or what other nodes account for", "each has its own scale")
_UNSEEN_NOTE = "White haze: outside of what the network saw."


def draw_explained(
    maps: ExplainedMaps,
    images: object,
    path: PathLike | None = None,
    photo: int | str = 0,
    *,
    layers: Sequence[int | str] | None = None,
) -> Image.Image:
    """Draw on a photo where nodes explain what each layer responds to, and where not.

    Each layer has a row, the top layer above: the share of its response that is explained in this
    photo; then the photo in grey beneath what is explained and what is not, on one scale; and
    beneath the share explained place by place, fainter where the response is weaker. Maps of some
    nodes alone have a scale of their own for what these explain.

    Parameters
    ----------
    maps
        What `explained_maps` found.
    images
        The photos mapped, and perhaps others, in any form that `open_images` takes.
    path
        File to write, .png or .jpg; None: none.
    photo
        Which of the photos to draw: its row in the maps, or its name; the first by default.
    layers
        Layers to draw, by index or name. None: all.

    Returns
    -------
    The picture, which a notebook shows.

    Raises
    ------
    ExplGraphError
        If there is no such photo or layer, the photo is not among the images, or the picture
        cannot be written under this name.
    """
    check_picture_name(path)
    row = maps.photo_index(photo)
    every = range(len(maps.layers))
    chosen = sorted({maps.layer_index(layer) for layer in (every if layers is None else layers)})
    require(len(chosen) > 0, "layers is empty: name at least one, or leave it out for all")
    ((_, loaded),) = load_each(open_images(images), [maps.images[row]])
    picture = _Picture(maps, row, loaded, len(chosen))
    for layer in reversed(chosen):
        picture.add(layer)
    return save_picture(picture.canvas.image, path)


class _Picture:
    """A picture that is filled from the top, a row for each layer."""

    def __init__(self, maps: ExplainedMaps, row: int, loaded: LoadedImage, layers: int) -> None:
        self._maps, self._row, self._window = maps, row, loaded.frame
        photo = shrunk(loaded.image, _PANEL)
        width, height = photo.size
        self._size, self._grey = (height, width), greys(photo)
        self._column = max(width, _LEAST_COLUMN)
        room = 2 * _MARGIN + _LABEL + 3 * (self._column + _GAP + _SCALE)
        notes = self._notes(min(room - 2 * _MARGIN - width - _GAP, _WIDEST_NOTE))
        self._head_height = _TITLE + max(height, len(notes) * _LINE) + _SPACE
        self._row_height = _CAPTION + max(height, _LEAST_ROW) + _SPACE
        size = (room, _MARGIN + self._head_height + layers * self._row_height)
        self.canvas = Canvas(size)
        self._head(photo, notes)
        self._y = _MARGIN + self._head_height

    def add(self, layer: int) -> None:
        """Append a layer's row."""
        maps = self._maps.layers[layer]
        self._label(maps, COLORS[layer % len(COLORS)], float(maps.share[self._row]))
        ours, rest = self._maps.upsampled(layer, self._row, self._size, window=self._window)
        whole = ours + rest
        tops = [_largest(ours), _largest(rest)]
        if self._maps.nodes is None:  # what a few nodes explain could not be seen on that scale
            tops = [max(tops)] * 2
        lefts = [_MARGIN + _LABEL + i * (self._column + _GAP + _SCALE) for i in range(3)]
        for left, name, values, top in zip(lefts, _PANELS, (ours, rest), tops, strict=False):
            shown = values / (top or 1)
            self._panel(left, name, shown, shown)
            if top > 0:
                self._scale(left, "s.d.", _ticks(top), fades=True)
        share = ours / np.maximum(whole, np.finfo(np.float32).tiny)
        self._panel(lefts[2], _PANELS[2], share, whole / (_largest(whole) or 1))
        self._scale(lefts[2], "of the response", _QUARTERS, fades=False)
        self._y += self._row_height

    def _notes(self, room: float) -> list[str]:
        """Return the lines that say what is to be seen."""
        nodes = self._maps.nodes
        by = _ALL if nodes is None else (counted(len(nodes), "chosen node"), *_OTHERS)
        text = [part.format(*by) for part in _NOTE]
        pixels = self._maps.upsampled(0, self._row, self._size, window=self._window)[0]
        text += [_UNSEEN_NOTE] if np.isnan(pixels).any() else []
        font = font_for("".join(text), 14)
        return [line for part in text for line in (*wrapped(part, font, room), "")][:-1]

    def _head(self, photo: Image.Image, notes: Sequence[str]) -> None:
        row, maps = self._row, self._maps
        seen = "; the graph sees it mirrored" if maps.mirrored[row] else ""
        room = self.canvas.image.width - 2 * _MARGIN
        self.canvas.text(_HEADING, 22, (_MARGIN, _MARGIN - 6), INK)
        name = fitted(maps.images[row], 13, room - font_for(seen, 13).getlength(seen))
        self.canvas.text(name + seen, 13, (_MARGIN, _MARGIN + 26), FAINT)
        top = _MARGIN + _TITLE
        self.canvas.image.paste(photo, (_MARGIN, top))
        for i, line in enumerate(notes):
            place = (_MARGIN + photo.width + _GAP, top + i * _LINE)
            self.canvas.text(line, 14, place, INK)

    def _label(self, maps: LayerMaps, color: str, share: float) -> None:
        """Write left of a row which layer it is, and how much of its response is explained."""
        spec, top, room = maps.layer, self._y + _CAPTION, _LABEL - _GAP
        self.canvas.text(fitted(spec.name, 17, room), 17, (_MARGIN, top - 4), color)
        lines = (counted(spec.channels, "filter"), f"{spec.grid[0]} by {spec.grid[1]} cells")
        for i, line in enumerate(lines):
            self.canvas.text(line, 12, (_MARGIN, top + 22 + i * _LINE), FAINT)
        if math.isnan(share):
            self.canvas.text("nothing responds", 14, (_MARGIN, top + 70), INK)
            return
        self.canvas.text(f"{_percent(share)} explained", 17, (_MARGIN, top + 68), INK)
        bar = (_MARGIN, top + 94, _MARGIN + room - 1, top + 94 + _BAR - 1)
        self.canvas.fill(bar, RULE)
        if share > 0:
            self.canvas.fill((*bar[:2], _MARGIN + share * (room - 1), bar[3]), color)

    def _panel(self, left: int, name: str, values: F4, strength: F4) -> None:
        """Draw the photo beneath (h, w) values, both 0 to 1; NaN where nothing was seen."""
        self.canvas.text(name, 14, (left, self._y), INK)
        panel = heated(self._grey, values, strength)
        self.canvas.image.paste(panel, (left, self._y + _CAPTION))

    def _scale(self, left: int, unit: str, ticks: Mapping[float, str], *, fades: bool) -> None:
        """Draw a scale of the colours beside a panel; ``ticks`` are labels of places 0 to 1.

        Where a panel fades with its values, the scale shows it on a middling grey.
        """
        height, top = max(self._size[0], _LEAST_ROW), self._y + _CAPTION
        left += self._column + _GAP
        values = np.linspace(1, 0, height, dtype=np.float32)[:, None].repeat(_BAR, axis=1)
        grey = np.full((height, _BAR), sum(GREYS) / 2)
        strength = values if fades else np.ones_like(values)
        self.canvas.image.paste(heated(grey, values, strength), (left, top))
        self.canvas.text(unit, 12, (left, self._y + 2), FAINT)
        for place, label in ticks.items():
            y = top + (1 - place) * (height - 1)
            self.canvas.rule(left + _BAR, left + _BAR + 4, y, INK)
            self.canvas.text(label, 12, (left + _BAR + 8, y), INK, "lm")


def _percent(share: float) -> str:
    return f"{share:.0%}" if share >= _FEW or share == 0 else f"{share:.2%}"


def _largest(values: F4) -> float:
    """Return the largest of values that are not negative; NaN does not count."""
    return float(np.nan_to_num(values).max())


def _ticks(most: float) -> dict[float, str]:
    """Return round numbers from 0 up to ``most``, evenly spaced, by their share of it."""
    power = 10 ** math.floor(math.log10(most))
    step = next(nice * power for nice in _NICE if most / (nice * power) <= _MOST_TICKS)
    numbers = [step * i for i in range(math.floor(most / step) + 1)]
    return {number / most: f"{number:,.10g}" for number in numbers}
