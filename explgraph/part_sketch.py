"""A small picture of a template: where its patterns are, seen from the part.

Drawn with the xdot operations that Graphviz takes as a drawing's background; y upwards, points.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from aog.structures import AndOrGraph, Parts

from .dot import background_disc, background_line, background_polygon
from .drawing_look import layer_color

_DOTS = 200  # the patterns of largest weight; more of them only hide each other
_RADII = (0.9, 2.2)  # of the lightest and the heaviest pattern drawn
_OPAQUE = "B0"
_INK, _FRAME, _PAPER = "#222222", "#B8BCC4", "#FFFFFF"
_CROSS = 5.0


@dataclass(frozen=True, slots=True)
class Frame:
    """Where a sketch of the network's input lies in the drawing: its centre, and its scale.

    ``pixel`` is the length of one network pixel.
    """

    x: float
    y: float
    pixel: float


def sketch_template(parts: Parts, aog: AndOrGraph, template: int, frame: Frame) -> str:
    """Return the operations that draw a template: a dot for each of its heaviest patterns.

    A dot is where the pattern was in the annotated photos, on average; its colour is its layer's,
    its size tells its weight. The part is the cross, with its box where the size is known.
    """
    patterns = np.arange(aog.start[template], aog.start[template + 1])
    heaviest = np.argsort(-aog.weight[patterns], kind="stable")[:_DOTS]
    drawn = patterns[heaviest[::-1]]  # the heaviest on top
    centre = aog.centre[template].astype(np.float64)
    middle = np.array(parts.graph.input_size) / 2
    most = float(aog.weight[drawn].max(initial=0)) or 1.0
    operations = [_rectangle(frame, np.zeros(2), middle * 2 * frame.pixel, _FRAME, _PAPER)]
    for q in drawn.tolist():
        dy, dx = (centre - aog.displacement[q] - middle) * frame.pixel
        color = layer_color(int(parts.graph.node_layer[aog.node[q]]))
        share = float(aog.weight[q]) / most
        radius = _RADII[0] + share * (_RADII[1] - _RADII[0])
        dot = color + _OPAQUE
        operations.append(background_disc(frame.x + dx, frame.y - dy, radius, dot, dot))
    dy, dx = (centre - middle) * frame.pixel
    if np.isfinite(aog.size[template]).all():
        box = aog.size[template].astype(np.float64) * frame.pixel
        operations.append(_rectangle(frame, np.array([dy, dx]), box, _INK))
    for ends in (((-_CROSS, 0), (_CROSS, 0)), ((0, -_CROSS), (0, _CROSS))):
        line = [(frame.x + dx + x, frame.y - dy + y) for x, y in ends]
        operations.append(background_line(line, 1.6, _INK))
    return "".join(operations)


def _rectangle(
    frame: Frame, offset: np.ndarray, size: np.ndarray, line: str, fill: str | None = None
) -> str:
    """Draw a rectangle of (height, width) ``size``, its centre ``offset`` (y down, x) away."""
    (dy, dx), (height, width) = offset.tolist(), (size / 2).tolist()
    x, y = frame.x + dx, frame.y - dy
    corners = [(x - width, y - height), (x + width, y - height), (x + width, y + height)]
    corners.append((x - width, y + height))
    return background_polygon(corners, 0.8, line, fill)
