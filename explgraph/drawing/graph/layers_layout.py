"""Where the nodes of a layered drawing go: the top layer above, few crossings, no overlaps.

Graphviz' own layered layout takes minutes beyond a thousand nodes; this one takes milliseconds.
Lengths are points (1/72 inch), ``yx``, y downwards from the drawing's top-left corner.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from explgraph.base.arrays import F8

ASPECT = 1.5  # width over height that wrapped drawings aim at
SWEEPS = 12
_GAP = 64.0  # least height between two layers: room for the edges
_GAP_SHARE = 0.09  # and this share of the drawing's width, so that edges do not get flat
_MAX_STRETCH = 1.6  # a layer of few nodes spreads them out, up to this many cells apart
_MIN_COLUMNS = 10  # a layer of no more nodes is not wrapped
_LABEL_PLACES = 9  # that are tried on each edge
_PAD = 12.0  # band edge to nodes


@dataclass(frozen=True, eq=False, slots=True)
class Layout:
    """Centres of P nodes and the bands of L layers, lowest layer first.

    Attributes
    ----------
    yx
        (P, 2) centres of the nodes.
    bands
        (L, 4) top, left, bottom, right of each layer's band; the band holds all of its nodes.
    size
        (height, width) of the drawing.
    """

    yx: F8
    bands: F8
    size: tuple[float, float]


@dataclass(frozen=True, slots=True)
class Sizes:
    """What a drawing is measured by.

    Attributes
    ----------
    cell
        (height, width) that a node needs, gaps to its neighbours included.
    margin
        Width that every band keeps free at its left, for the layer's name.
    min_width
        Least width of the drawing.
    """

    cell: tuple[float, float]
    margin: float = 0.0
    min_width: float = 0.0


def lay_out(layer: NDArray[np.int32], order: NDArray[np.int64], sizes: Sizes) -> Layout:
    """Place nodes in horizontal bands, one per layer, in rows of brick pattern.

    Parameters
    ----------
    layer
        (P,) layer of each node; a higher layer is drawn above. Layers may be empty.
    order
        (P,) place of each node within its layer, from the left, 0 first: see `order_nodes`.
    sizes
        What the drawing is measured by.

    Notes
    -----
    A layer too large for one row is wrapped: its nodes fill columns, so that neighbours in the
    order stay neighbours. The number of columns is the one that brings the whole drawing closest
    to `ASPECT`, the fewest on a tie.
    """
    counts = np.bincount(layer, minlength=1)
    columns = _best_columns(counts, sizes)
    height, width = _size(counts, columns, sizes)
    yx = np.zeros((len(layer), 2))
    bands = np.zeros((len(counts), 4))
    rows = -(-counts // columns)
    top = 0.0
    for i in range(len(counts))[::-1]:
        bottom = top + rows[i] * sizes.cell[0] + 2 * _PAD
        bands[i] = top, 0.0, bottom, width
        mine = np.flatnonzero(layer == i)
        corner = np.array([top + _PAD, sizes.margin + _PAD])
        room = width - sizes.margin - 2 * _PAD
        yx[mine] = corner + _brick(order[mine], max(int(rows[i]), 1), sizes.cell, room)
        top = bottom + _gap(width)
    return Layout(yx, bands, (height, width))


def _brick(place: NDArray[np.int64], rows: int, cell: tuple[float, float], width: float) -> F8:
    """(n, 2) centres in a block ``width`` wide, centred; odd rows are shifted by half a pitch."""
    columns = -(-len(place) // rows)
    shift = 0.5 if rows > 1 else 0.0
    pitch = min(width / max(columns + shift, 1), _MAX_STRETCH * cell[1])
    row, column = place % rows, place // rows
    left = (width - (columns + shift) * pitch) / 2
    x = left + (column + 0.5 + shift * (row % 2)) * pitch
    return np.stack([(row + 0.5) * cell[0], x], axis=-1)


def _gap(width: float) -> float:
    return max(_GAP, _GAP_SHARE * width)


def _size(counts: NDArray[np.int64], columns: int, sizes: Sizes) -> tuple[float, float]:
    """(height, width) of the drawing when layers are wrapped after ``columns`` nodes."""
    is_wrapped = bool(counts.max() > columns)
    needed = sizes.margin + 2 * _PAD + (columns + 0.5 * is_wrapped) * sizes.cell[1]
    width = max(needed, sizes.min_width)
    bands = float(np.sum(-(-counts // columns) * sizes.cell[0] + 2 * _PAD))
    return bands + (len(counts) - 1) * _gap(width), width


def _best_columns(counts: NDArray[np.int64], sizes: Sizes) -> int:
    def badness(columns: int) -> float:
        height, width = _size(counts, columns, sizes)
        return abs(math.log(width / height / ASPECT))  # twice as wide is as bad as half as wide

    most = max(int(counts.max()), 1)
    return min(range(min(_MIN_COLUMNS, most), most + 1), key=badness)


def order_nodes(
    layer: NDArray[np.int32],
    child: NDArray[np.int32],
    parent: NDArray[np.int32],
    start: NDArray[np.floating],
) -> NDArray[np.int64]:
    """Order the nodes of each layer so that edges cross little.

    Parameters
    ----------
    layer
        (P,) layer of each node.
    child, parent
        (E,) node indices.
    start
        (P,) any quantity that orders each layer to begin with.

    Returns
    -------
    (P,) place of each node within its layer, 0 first. Ties keep the order of ``start``, then of
    the index.

    Notes
    -----
    The barycentre heuristic: layer by layer, down by parents and up by children, nodes are sorted
    by the mean place of their neighbours. Of all sweeps' orders the one with the shortest edges
    (sum of sideways lengths) wins: the heuristic itself does not settle.
    """
    n_layers = int(layer.max(initial=0)) + 1
    members = [np.flatnonzero(layer == i) for i in range(n_layers)]
    place = np.zeros(len(layer))  # in (0, 1), comparable between layers of different sizes
    for nodes in members:
        _rank(place, nodes, start)
    best, best_length = place.copy(), _sideways(place, child, parent)
    for sweep in range(SWEEPS):
        is_down = sweep % 2 == 0
        ends = (child, parent) if is_down else (parent, child)
        for nodes in members[::-1] if is_down else members:
            _rank(place, nodes, _barycentre(place, *ends))
        length = _sideways(place, child, parent)
        if length < best_length:
            best, best_length = place.copy(), length
    result = np.zeros(len(layer), dtype=np.int64)
    for nodes in members:
        result[nodes[np.argsort(best[nodes], kind="stable")]] = np.arange(len(nodes))
    return result


def _rank(place: F8, nodes: NDArray[np.int64], by: NDArray[np.floating]) -> None:
    """Set the places of a layer's nodes, evenly spread over (0, 1), in the order of ``by``."""
    order = np.lexsort((place[nodes], by[nodes]))
    place[nodes[order]] = (np.arange(len(nodes)) + 0.5) / max(len(nodes), 1)


def _barycentre(place: F8, node: NDArray[np.int32], neighbour: NDArray[np.int32]) -> F8:
    """(P,) mean place of each node's neighbours; its own where it has none."""
    count = np.bincount(node, minlength=len(place))
    total = np.bincount(node, weights=place[neighbour], minlength=len(place))
    return np.where(count > 0, total / np.maximum(count, 1), place)


def _sideways(place: F8, child: NDArray[np.int32], parent: NDArray[np.int32]) -> float:
    return float(np.abs(place[child] - place[parent]).sum())


def place_labels(curves: F8, size: tuple[float, float]) -> F8:
    """Find a place on each edge for its label, away from the other labels where there is room.

    Parameters
    ----------
    curves
        (E, 4, 2) control points of Bezier curves.
    size
        (height, width) of a label.

    Returns
    -------
    (E, 2) centres of the labels. One after the other, each label takes the place on its curve that
    is farthest from the labels before it; on a tie, the nearest to the curve's beginning.
    """
    t = np.linspace(0.25, 0.75, _LABEL_PLACES)
    basis = np.stack([(1 - t) ** 3, 3 * (1 - t) ** 2 * t, 3 * (1 - t) * t**2, t**3], axis=-1)
    places = basis @ curves  # (E, T, 2)
    chosen = np.zeros((0, 2))
    for options in places:
        apart = np.abs(options[:, None] - chosen[None]) / size  # (T, placed, 2)
        # Labels do not touch when they are one label apart in y or in x: more gains nothing.
        free = apart.max(axis=-1).min(axis=-1, initial=1.0)
        chosen = np.vstack([chosen, options[np.argmax(free)]])
    return chosen
