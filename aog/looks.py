"""What a place looks like to a layer, and what a whole photo does: cosines of responses."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from explgraph.base.arrays import F2, F4, F8, singles
from explgraph.base.frames import middles
from explgraph.base.layer import LayerSpec
from explgraph.base.threads import map_ranges

WINDOW = tuple((y, x) for y in (-1, 0, 1) for x in (-1, 0, 1))
"""The nine cells of a look, relative to the part, row by row."""

_PHOTOS = 4  # of which a thread makes the products at a time, each by itself
_TINY = 1e-9
_ROUNDING = 1e-6  # of squares in single precision


def look_at(maps: NDArray[Any], mean: F4, layer: LayerSpec, yx: F8) -> F4:
    """Return (9, C) unit vectors: the response at a place and in the cells around it.

    Parameters
    ----------
    maps
        (H, W, C) of one view.
    mean
        (C,) is subtracted first: what all places have in common tells none of them apart.
    layer
        Where the cells look.
    yx
        The place, network pixels; between cells it is interpolated.
    """
    cells = maps.astype(np.float32) - mean
    place = (np.asarray(yx) - layer.offset) / layer.stride
    return unit_vectors(np.stack([_bilinear(cells, place + shift) for shift in np.array(WINDOW)]))


def cosines(maps: NDArray[Any], mean: F4, vectors: F4) -> F4:
    """Return (N, V, H, W, K) the cosine of each cell, less the mean, with K unit vectors (K, C)."""
    result = np.zeros((*maps.shape[:4], len(vectors)), dtype=np.float32)

    def some(first: int, last: int) -> None:
        offset = mean @ vectors.T
        for cells, own in zip(cells_of(maps[first:last]), result[first:last], strict=True):
            # (x - m).t from x.t: no copy of the maps less their mean.
            product = cells @ vectors.T - offset
            own[...] = (product / lengths(cells, mean)[:, None]).reshape(own.shape)

    map_ranges(some, len(maps), _PHOTOS)
    return result


def lengths(cells: F4, mean: F4) -> F4:
    """Return (n,) the lengths of cells (n, C) less their mean, without a copy of them.

    A cell that is the mean, but for rounding, has no direction: its length counts as infinite.
    """
    own, shared = np.einsum("nc,nc->n", cells, cells), float(mean @ mean)
    square = own - 2 * (cells @ mean) + shared
    told = square > _ROUNDING * (own + shared)
    result: F4 = np.sqrt(np.where(told, square, np.inf)).astype(np.float32)
    return result


def cells_of(maps: NDArray[Any]) -> Iterator[F4]:
    """Yield (V * H * W, C) the cells of each photo's maps (V, H, W, C), in the same memory."""
    room = np.empty((math.prod(maps.shape[1:-1]), maps.shape[-1]), dtype=np.float32)
    for photo in maps:
        yield singles(photo.reshape(room.shape), room)


def over_window(cosine: F4, layer: LayerSpec) -> F4:
    """Return (N, V, T, H, W) the mean over the nine cells of cosines (N, V, H, W, T * 9)."""
    height, width = layer.grid
    each = cosine.reshape(*cosine.shape[:4], cosine.shape[4] // len(WINDOW), len(WINDOW))
    result = np.zeros((*each.shape[:2], each.shape[4], height, width), dtype=np.float32)
    rows, columns = np.arange(height), np.arange(width)
    for k, (dy, dx) in enumerate(WINDOW):
        y, x = np.clip(rows + dy, 0, height - 1), np.clip(columns + dx, 0, width - 1)
        result += np.moveaxis(each[..., k][:, :, y][:, :, :, x], -1, 2)
    return np.asarray(result / np.float32(len(WINDOW)), dtype=np.float32)


def scene_of(maps: NDArray[Any]) -> F2:
    """Return (D,) the unit vector of a view's whole response, D = H * W * C."""
    return unit_vectors(maps.astype(np.float32).reshape(-1)).astype(np.float16)


def alikeness(maps: NDArray[Any], scene: F2) -> F4:
    """Return (N, V, T) the cosine of whole views with T scenes (T, D)."""
    templates = scene.astype(np.float32).T
    result = np.zeros((*maps.shape[:2], len(scene)), dtype=np.float32)

    def some(first: int, last: int) -> None:
        for photo, own in zip(maps[first:last], result[first:last], strict=True):
            own[...] = unit_vectors(singles(photo).reshape(len(photo), -1)) @ templates

    map_ranges(some, len(maps), _PHOTOS)
    return result


def on_grid(values: F4, layer: LayerSpec, input_size: tuple[int, int], grid: int) -> F4:
    """Interpolate (..., H, W) values of a layer's cells to the (..., G, G) cells of the grid.

    Beyond the outermost receptive-field centres the nearest value is kept.
    """
    rows, columns = (
        _interpolation(layer.grid[axis], layer.offset[axis], layer.stride[axis], side, grid)
        for axis, side in enumerate(input_size)
    )
    return np.asarray(rows @ values @ columns.T)


def from_grid(values: F4, layer: LayerSpec, input_size: tuple[int, int]) -> F4:
    """Share (..., G, G) out among a layer's cells (..., H, W): the transpose of `on_grid`."""
    rows, columns = (
        _interpolation(layer.grid[axis], layer.offset[axis], layer.stride[axis], side, size)
        for axis, (side, size) in enumerate(zip(input_size, values.shape[-2:], strict=True))
    )
    return np.asarray(rows.T @ values @ columns)


def _interpolation(cells: int, offset: float, stride: float, side: int, grid: int) -> F4:
    """Return (G, cells) the weights of linear interpolation."""
    matrix = np.zeros((grid, cells), dtype=np.float32)
    place = np.clip((middles(grid) * side - offset) / stride, 0, cells - 1)
    low = np.minimum(place.astype(np.int64), max(cells - 2, 0))
    high = np.minimum(low + 1, cells - 1)
    matrix[np.arange(grid), low] += 1 - (place - low)
    matrix[np.arange(grid), high] += place - low
    return matrix


def _bilinear(cells: F4, place: F8) -> F4:
    """Return (C,) the value at a place in cell units, inside of the map."""
    limit = np.array(cells.shape[:2]) - 1
    inside = np.clip(place, 0, limit)
    low = np.minimum(inside.astype(np.int64), np.maximum(limit - 1, 0))
    high = np.minimum(low + 1, limit)
    b, a = inside - low, 1 - (inside - low)
    top = a[1] * cells[low[0], low[1]] + b[1] * cells[low[0], high[1]]
    bottom = a[1] * cells[high[0], low[1]] + b[1] * cells[high[0], high[1]]
    return np.asarray(a[0] * top + b[0] * bottom, dtype=np.float32)


def unit_vectors(vectors: NDArray[np.floating]) -> F4:
    """Scale vectors along the last axis to length 1; zero stays zero."""
    length = np.linalg.norm(vectors, axis=-1, keepdims=True)
    return np.asarray(vectors / np.maximum(length, _TINY), dtype=np.float32)
