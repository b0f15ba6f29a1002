"""The picture of a filter profile: the photo, a bar for each filter, and those that stand out."""

from __future__ import annotations

import numpy as np
from PIL import Image

from explgraph.base.errors import require
from explgraph.base.files import PathLike
from explgraph.drawing.canvas import LINE, Canvas, fitted, paragraph_lines
from explgraph.drawing.look import COLORS, EMPTY, FAINT, INK
from explgraph.drawing.pictures import check_picture_name, save_picture
from explgraph.explanations.profiles import FilterProfile
from explgraph.photos.images import open_images

_WIDTH, _MARGIN, _PHOTO, _GAP, _CHART = 960, 28, 220, 40, 220  # pixels
_ROW, _BAR, _NAME = 22, 200, 64
_NAMED = 3  # nodes of a filter
_PLAIN, _BOLD = "#9A9DA3", COLORS[3]


def draw_filter_profile(
    profile: FilterProfile, images: object, path: PathLike | None = None, *, most: int = 12
) -> Image.Image:
    """Draw a photo, how strongly each filter of a layer answers to it, and which stand out.

    Parameters
    ----------
    profile
        What to draw.
    images
        The photo that the profile names, and perhaps others, in any form that `open_images` takes.
    path
        File to write, .png or .jpg; None: none.
    most
        Outstanding filters that are listed.

    Returns
    -------
    The picture, which a notebook shows.

    Raises
    ------
    ExplGraphError
        If the photo is missing, the suffix is unknown, or ``most`` is negative.
    """
    check_picture_name(path)
    require(most >= 0, f"most must not be negative: {most}")
    photo = open_images(images).named([profile.image], of="profile").load(0).image
    shown = profile.outstanding[:most]
    rows = max(len(shown), 1)
    canvas = Canvas((_WIDTH, 96 + _CHART + 78 + rows * _ROW + 64))
    channels = profile.layer.channels
    title = f"{channels} filters of {profile.layer.name} on {profile.image}"
    canvas.text(fitted(title, 20, _WIDTH - 2 * _MARGIN), 20, (_MARGIN, 22), INK)
    canvas.paragraph(paragraph_lines(_caption(profile), _WIDTH - 2 * _MARGIN), (_MARGIN, 50))
    scale = min(_PHOTO / photo.width, _CHART / photo.height)
    size = max(round(photo.width * scale), 1), max(round(photo.height * scale), 1)
    canvas.image.paste(photo.resize(size), (_MARGIN, 96))
    _bars(canvas, profile)
    _list(canvas, profile, shown.tolist(), 96 + _CHART + 62)
    return save_picture(canvas.image, path)


def _caption(profile: FilterProfile) -> str:
    what = (
        "mean output over the photo, in standard deviations of a cell above the background's mean"
        if profile.background_mean is not None
        else "mean output over the photo (no background: filters that are always loud lead)"
    )
    return f"Bars: each filter's {what}. Dark orange with a dot: filters that stand out."


def _bars(canvas: Canvas, profile: FilterProfile) -> None:
    """Draw a bar for each filter in its order, between the lowest and the highest level."""
    level = profile.level.astype(np.float64)
    low, high = min(float(level.min()), 0.0), max(float(level.max()), 0.0)
    extent = max(high - low, np.finfo(float).tiny)
    left, right, top = _MARGIN + _PHOTO + _GAP, _WIDTH - _MARGIN, 96 + 10
    height = _CHART - 34

    def y(value: float) -> float:
        return top + height * (high - value) / extent

    canvas.fill((left, top, right, top + height), EMPTY)
    step = (right - left) / len(level)
    stands_out = set(profile.outstanding.tolist())
    # Those that stand out come last: where bars are thinner than a pixel, they remain seen.
    for i in sorted(range(len(level)), key=lambda i: i in stands_out):
        color = _BOLD if i in stands_out else _PLAIN
        x = left + i * step
        ends = sorted((y(0.0), y(float(level[i]))))
        canvas.fill((x, ends[0], x + max(step * 0.8, 1), ends[1]), color)
        if i in stands_out:
            middle = x + step * 0.4
            canvas.fill((middle - 2, ends[0] - 8, middle + 2, ends[0] - 4), _BOLD)
    canvas.rule(left, right, y(0.0))
    for value in sorted({low, 0.0, high}):
        canvas.text(f"{value:.3g}", 11, (left - 6, y(value)), FAINT, "rm")
    canvas.text("filter 0", 11, (left, top + height + 6), FAINT)
    canvas.text(str(len(level) - 1), 11, (right, top + height + 6), FAINT, "ra")


def _list(canvas: Canvas, profile: FilterProfile, shown: list[int], top: int) -> None:
    count = len(profile.outstanding)
    more = f"; the highest {len(shown)}" if len(shown) < count else ""
    verb = "stands" if count == 1 else "stand"
    heading = f"{count} of {profile.layer.channels} filters {verb} out{more}"
    canvas.text(heading, 15, (_MARGIN, top - 34), INK)
    level = profile.level
    largest = max((float(level[i]) for i in shown), default=1.0)
    for row, i in enumerate(shown):
        y = top + row * _ROW
        canvas.text(f"filter {i}", 13, (_MARGIN, y), INK)
        width = _BAR * max(float(level[i]), 0.0) / max(largest, np.finfo(float).tiny)
        left = _MARGIN + _NAME + 24
        canvas.fill((left, y + 2, left + width, y + 14), _BOLD)
        canvas.text(f"{level[i]:.3g}", 12, (left + width + 6, y + 1), FAINT)
        at = left + _BAR + 70
        text = fitted(_named(profile, i), 13, _WIDTH - _MARGIN - at)
        canvas.text(text, 13, (at, y), FAINT)
    note = (
        "A filter stands out if its bar lies more than 3.5 robust standard deviations (1.4826 x "
        "median absolute deviation) above the layer's median."
    )
    lines = paragraph_lines(note, _WIDTH - 2 * _MARGIN)
    canvas.paragraph(lines, (_MARGIN, canvas.image.height - 14 - LINE * len(lines)))


def _named(profile: FilterProfile, channel: int) -> str:
    """Say which nodes a filter has in the graph, if there is one."""
    if not profile.nodes:
        return ""
    names = profile.nodes[channel]
    if not names:
        return "no node"
    more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
    return f"{'node' if len(names) == 1 else 'nodes'} {', '.join(names[:_NAMED])}{more}"
