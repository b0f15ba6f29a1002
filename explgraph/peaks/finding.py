"""Feature maps to activation peaks: what mining sees of a network (model step 2)."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from explgraph.base.arrays import F4, F8, I8, U1
from explgraph.base.errors import ExplGraphError, check_shape
from explgraph.base.jit import jit
from explgraph.base.layer import LayerSpec
from explgraph.base.threads import over_rows

from .structures import Peaks


def find_peaks(maps: F4, layer: LayerSpec, mean: F4, scale: F4, n_peaks: int = 8) -> Peaks:
    """Split every channel map into its local maxima and keep the strongest.

    A cell is a peak when its response f = max((a - m_c) / s_c, 0) is positive and no smaller than
    its 8 neighbours'; of equal neighbours the lowest index (row by row) wins. The position is
    refined below the cell by a parabola through the neighbours, along each axis, by at most half a
    cell.

    Parameters
    ----------
    maps
        (N, C, H, W) outputs of the layer.
    layer
        The layer; its stride and offset give positions in network pixels.
    mean, scale
        (C,) m_c and s_c.
    n_peaks
        K. Where a map has fewer peaks, the rest of its K places have weight 0.

    Returns
    -------
    Peaks by falling weight; of equal weights, the lowest cell index first.

    Raises
    ------
    ExplGraphError
        If the maps hold NaN or infinities.
    """
    check_shape("maps", maps, (None, layer.channels, *layer.grid))
    n, channels, height, width = maps.shape
    yx = np.zeros((n, channels, n_peaks, 2), dtype=np.float32)
    weight = np.zeros((n, channels, n_peaks), dtype=np.float32)
    finite = np.zeros((n, channels), dtype=np.bool_)
    over_rows(
        _find_peaks,
        n * channels,
        np.ascontiguousarray(maps, dtype=np.float32).reshape(-1, height, width),
        np.stack([mean, scale], dtype=np.float64),
        _level(mean),
        np.array([layer.offset, layer.stride], dtype=np.float64),
        yx.reshape(-1, n_peaks, 2),
        weight.reshape(-1, n_peaks),
        finite.reshape(-1),
    )
    check_maps(layer, np.logical_and.reduce(finite, axis=1))
    return Peaks(layer, yx, weight)


def compile_ahead() -> None:
    """Compile what finds peaks, unless it is compiled already."""
    layer = LayerSpec("", 1, (3, 3), (1, 1), (0, 0), (1, 1))
    zero, one = np.zeros(1, np.float32), np.ones(1, np.float32)
    find_peaks(np.zeros((1, 1, 3, 3), np.float32), layer, zero, one)


def responses(maps: F4, mean: F4, scale: F4) -> F4:
    """Return (N, C, H, W) max((a - m_c) / s_c, 0) of a layer's outputs a (Eq. 1).

    As in `find_peaks` computed in float64 and rounded once: the order of the peaks hangs on it.
    """
    m, s = (values.astype(np.float64)[:, None, None] for values in (mean, scale))
    result = np.empty(maps.shape, dtype=np.float32)
    for one, own in zip(maps, result, strict=True):  # photo by photo: float64 takes its room
        own[...] = np.maximum((one - m) / s, 0)
    return result


def _level(mean: F4 | F8) -> F4:
    """Return (C,) the largest float32 that is no larger than m_c: responses are positive above."""
    level = np.asarray(mean, dtype=np.float32)
    return np.where(level > mean, np.nextafter(level, np.float32(-np.inf)), level)


def check_maps(layer: LayerSpec, finite: NDArray[np.bool_]) -> None:
    """Raise `ExplGraphError` unless all images' maps are finite, (N,)."""
    if not finite.all():
        raise ExplGraphError(
            f"layer {layer.name} gave NaN or infinite values for {int((~finite).sum())} of "
            f"{len(finite)} images: check the network's weights and the images' values"
        )


@jit
def _find_peaks(first, stop, maps, statistics, level, geometry, yx, weight, finite):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN202, PLR0913
    """Fill rows ``first`` to ``stop`` of ``yx``, ``weight`` and ``finite``: a row is a map.

    A map is looked at with a border of -inf, its rows one after the other: of these, cell q has
    its neighbours above from q to q + 2, so that a single loop serves all cells.
    """
    height, width = maps.shape[1:]
    span = width + 2
    cells = np.full((height + 2) * span, -np.inf, dtype=np.float32)
    is_peak = np.zeros(height * span - 2, dtype=np.uint8)
    place = np.zeros(len(is_peak) + 1, dtype=np.int64)
    best = np.zeros(weight.shape[1], dtype=np.int64)
    for row in range(first, stop):
        c = row % len(level)
        finite[row] = _pad(maps[row], cells)
        _mark(cells, cells[span:], cells[2 * span :], level[c], is_peak)
        found, least = 0, level[c]
        for n in range(_places(is_peak, place)):
            response = cells[place[n] + span + 1]
            if response > least:
                value = np.float32((response - statistics[0, c]) / statistics[1, c])
                found = _insert(value, place[n], found, weight[row], best)
                if found == len(best):  # what is no higher than the weakest cannot displace it
                    least = cells[best[-1] + span + 1]
        for k in range(found):
            y, x = _refine(cells, best[k], height, width)
            yx[row, k, 0] = geometry[0, 0] + geometry[1, 0] * y
            yx[row, k, 1] = geometry[0, 1] + geometry[1, 1] * x


@jit
def _pad(cells: F4, padded: F4) -> bool:
    """Copy a map into a border; return whether all of its values are finite."""
    height, width = cells.shape
    bad = 0
    for i in range(height):
        row = padded[(i + 1) * (width + 2) + 1 :]
        for j in range(width):
            row[j] = cells[i, j]
            bad += not np.isfinite(cells[i, j])
    return bad == 0


@jit
def _mark(above: F4, here: F4, below: F4, level: np.float32, is_peak: U1) -> None:
    """Mark peaks. There are no branches, so that the compiler looks at several cells at once."""
    for q in range(len(is_peak)):
        value = here[q + 1]
        earlier = max(max(above[q], above[q + 1]), max(above[q + 2], here[q]))
        later = max(max(below[q], below[q + 1]), max(below[q + 2], here[q + 2]))
        is_peak[q] = (value > level) & (value > earlier) & (value >= later)


@jit
def _places(is_peak: U1, place: I8) -> int:
    """Write down where peaks are and return how many; without branches, which nobody can guess."""
    count = 0
    for q in range(len(is_peak)):
        place[count] = q
        count += is_peak[q]
    return count


@jit
def _insert(value: np.float32, cell: int, found: int, weight: F4, best: I8) -> int:
    """Put a peak into the list of the strongest; return its length. Equals stay in cell order."""
    k = min(found, len(weight) - 1)
    if value <= weight[k]:
        return found
    while k > 0 and weight[k - 1] < value:
        weight[k], best[k] = weight[k - 1], best[k - 1]
        k -= 1
    weight[k], best[k] = value, cell
    return min(found + 1, len(weight))


@jit
def _refine(cells: F4, q: int, height: int, width: int) -> tuple[float, float]:
    """Return the refined (row, column) of a peak; at the map's border the cell's own."""
    span = width + 2
    i, j = q // span, q % span
    y, x, centre = float(i), float(j), q + span + 1
    if 0 < i < height - 1:
        y += _vertex(cells[centre - span], cells[centre], cells[centre + span])
    if 0 < j < width - 1:
        x += _vertex(cells[centre - 1], cells[centre], cells[centre + 1])
    return y, x


@jit
def _vertex(left: np.float32, centre: np.float32, right: np.float32) -> float:
    """Return where a parabola through three cells has its top, in cells from the centre."""
    curvature = left - 2.0 * centre + right
    if curvature >= 0.0:
        return 0.0
    return min(max(float(0.5 * (left - right) / curvature), -0.5), 0.5)
