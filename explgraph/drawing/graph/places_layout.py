"""Where things go when each layer's nodes are drawn where they lie: a panel for each layer.

Lengths are points (1/72 inch), ``yx``, y downwards from the drawing's top-left corner.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from explgraph.base.arrays import F8

from .layers_layout import ASPECT

HEADING = 44.0
"""Height of a panel's heading, above its frame."""

_LEAST_SIDE, _MOST_SIDE = 300.0, 760.0  # longer side of a frame
_FILL = 0.28  # share of a frame that the boxes of its nodes may cover, or it is drawn larger
_PANEL_GAP = 14.0
_OVERHANG, _TICKS = 0.2, 14.0  # boxes may leave a frame so far, by their size; room for ticks
_REACH = 2.0  # a box is moved no farther than so many times its size
_HIDING = 0.4  # what a place that is hidden counts, in sizes that a box is moved
_TOUCH = 1e-9  # boxes that touch do not overlap
_STEPS = 6  # places tried along an axis for each of its sizes


@dataclass(frozen=True, eq=False, slots=True)
class Panels:
    """Frames of L layers, and P nodes in them.

    Attributes
    ----------
    corners
        (L, 2) top-left corners of the frames.
    frame
        (height, width) of every frame.
    margin
        (vertical, horizontal) room around every frame that belongs to its panel.
    size
        (height, width) of the drawing.
    yx
        (P, 2) the nodes' places.
    boxes
        (P, 2) middles of what is drawn of them, a label or a picture; NaN where there is no room.
    """

    corners: F8
    frame: tuple[float, float]
    margin: tuple[float, float]
    size: tuple[float, float]
    yx: F8
    boxes: F8


@dataclass(frozen=True, eq=False, slots=True)
class Boxes:
    """What is drawn of P nodes: their labels or their pictures.

    Attributes
    ----------
    sizes
        (P, 2) height and width, gaps to neighbours included.
    drop
        How far the middle of a box that lies at its node's place is below it.
    are_pictures
        Whether they are pictures, whose middle shows their node's place, and which may hide the
        places of others; a label stands beside its own place and hides none.
    """

    sizes: F8
    drop: float
    are_pictures: bool

    def take(self, nodes: NDArray[np.int64]) -> Boxes:
        """Select nodes by index."""
        return Boxes(self.sizes[nodes], self.drop, self.are_pictures)


def lay_panels(
    panel: NDArray[np.int64],
    share: F8,
    rank: NDArray[np.int64],
    boxes: Boxes,
    aspect: float,
) -> Panels:
    """Place the panels, the first at the top left, and the nodes' boxes in them.

    Parameters
    ----------
    panel
        (P,) each node's panel, from 0, none empty.
    share
        (P, 2) where each node is, unit square of the frame.
    rank
        (P,) nodes that come first keep their place.
    boxes
        What is drawn of them.
    aspect
        Width of a frame over its height.
    """
    counts = np.bincount(panel)
    area = float(np.bincount(panel, weights=boxes.sizes.prod(axis=1)).max()) / _FILL
    longest = math.sqrt(area * max(aspect, 1 / aspect))
    longest = min(max(longest, _LEAST_SIDE), _MOST_SIDE)
    frame = longest * min(1.0, 1 / aspect), longest * min(1.0, aspect)
    overhang = _OVERHANG * boxes.sizes.max(axis=0)
    margin = float(overhang[0]) + _TICKS, float(overhang[1]) + _TICKS
    pitch = (
        HEADING + frame[0] + 2 * margin[0] + _PANEL_GAP,
        frame[1] + 2 * margin[1] + _PANEL_GAP,
    )
    columns = _best_columns(len(counts), pitch)
    cell = np.stack(np.divmod(np.arange(len(counts)), columns), axis=-1)
    corners = cell * pitch + np.array([HEADING + margin[0], margin[1]])
    yx = corners[panel] + share * frame
    middles = np.full_like(yx, np.nan)
    for i, corner in enumerate(corners):
        mine = np.flatnonzero(panel == i)
        mine = mine[np.argsort(rank[mine], kind="stable")]
        bounds = np.stack([corner - margin, corner + frame + margin])
        middles[mine] = spread_out(yx[mine], boxes.take(mine), bounds)
    rows = -(-len(counts) // columns)
    size = rows * pitch[0] - _PANEL_GAP, columns * pitch[1] - _PANEL_GAP
    return Panels(corners, frame, margin, size, yx, middles)


def _best_columns(count: int, pitch: tuple[float, float]) -> int:
    def badness(columns: int) -> float:
        rows = -(-count // columns)
        empty = 2 * (1 - count / (rows * columns))
        return abs(math.log(columns * pitch[1] / (rows * pitch[0]) / ASPECT)) + empty

    return min(range(1, count + 1), key=badness)


def spread_out(places: F8, boxes: Boxes, bounds: F8) -> F8:
    """Find the nearest free room for the box of each place, one after the other.

    Parameters
    ----------
    places
        (n, 2) the first ones choose first.
    boxes
        What is placed.
    bounds
        (2, 2) corners that no box leaves.

    Returns
    -------
    (n, 2) middles of the boxes, no two of which overlap; NaN where there is no room within reach.
    A picture rather moves by nearly half its size than hides another node's place.
    """
    steps = np.arange(-int(_REACH * _STEPS), int(_REACH * _STEPS) + 1) / _STEPS
    offsets = np.stack(np.meshgrid(steps, steps, indexing="ij"), axis=-1).reshape(-1, 2)
    offsets = offsets[np.argsort(np.hypot(*offsets.T), kind="stable")]
    drop = np.array([boxes.drop, 0.0])
    result = np.full_like(places, np.nan)
    for i, (place, size) in enumerate(zip(places, boxes.sizes, strict=True)):
        middles = place + drop + offsets * size
        inside = (middles >= bounds[0] + size / 2) & (middles <= bounds[1] - size / 2)
        free = np.flatnonzero(inside.all(axis=1))
        apart = (size + boxes.sizes[:i]) / 2
        free = free[_covered(middles[free], result[:i], apart) == 0]
        others = np.delete(places, i, axis=0) if boxes.are_pictures else places
        hidden = _covered(middles[free], others, np.broadcast_to(size / 2, others.shape))
        if not boxes.are_pictures:
            free, hidden = free[hidden == 0], hidden[hidden == 0]
        if len(free):
            cost = np.hypot(*offsets[free].T) + _HIDING * hidden
            result[i] = middles[free[np.argmin(cost)]]
    return result


def _covered(middles: F8, others: F8, apart: F8) -> NDArray[np.int64]:
    """Count for each place the others nearer than (n, 2) ``apart`` in y and in x; NaN is none."""
    if not len(middles):
        return np.zeros(0, dtype=np.int64)
    low, high = middles.min(axis=0) - apart, middles.max(axis=0) + apart
    is_near = ((others > low) & (others < high)).all(axis=1)
    gaps = np.abs(middles[:, None] - others[is_near]) - apart[is_near]
    count: NDArray[np.int64] = (gaps.max(axis=-1) < -_TOUCH).sum(axis=1)
    return count
