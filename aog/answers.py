"""From evidence on a grid to one answer: the point that is nearest to where the part may be.

Evidence is a log density up to a constant, on a grid of G x G cells over the unit square, for each
of a photo's two views: as given, and mirrored. Which view is the right one is not decided: both are
summed.
"""

from __future__ import annotations

from functools import lru_cache
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from explgraph.base.arrays import F4, F8
from explgraph.base.errors import require
from explgraph.base.frames import grid_points, middles, to_unit
from explgraph.base.threads import rows_times

from .structures import Localizations

GRID = 28
"""Cells along a side: 8 pixels of 224. Twice as many change the mean error by less than .0005."""

NEAR = 0.1
"""Of the diagonal: an answer this near to the part counts as found."""


class Answer(NamedTuple):
    """The best point of N photos.

    ``yx (N, 2)`` in the unit square of the photo as given; ``distance (N,)`` how far from the truth
    it is expected to be, in sides of the unit square.
    """

    yx: F8
    distance: F8


def cell_centres(grid: int = GRID) -> F8:
    """Return (G * G, 2) the centres of a grid's cells, unit square, row by row."""
    return grid_points(middles(grid), middles(grid)).reshape(-1, 2)


def posterior(evidence: NDArray[np.floating]) -> F8:
    """Return where the part may be, both views of a photo summed.

    Parameters
    ----------
    evidence
        (N, V, G, G) log density; V = 2 views, the mirrored one in its own coordinates, or V = 1.

    Returns
    -------
    (N, G, G) probability of each cell, in the orientation of the photo as given.
    """
    log_odds = evidence.astype(np.float64)
    odds = np.exp(log_odds - log_odds.max(axis=(1, 2, 3), keepdims=True))
    total = odds[:, 0].copy()
    if evidence.shape[1] > 1:
        total += odds[:, 1, :, ::-1]
    return np.asarray(total / total.sum(axis=(1, 2), keepdims=True))


def nearest_point(probability: F8) -> Answer:
    """Return the point with the smallest expected distance to the part: the posterior median.

    A peak is the better answer only where one is hit exactly; errors here are of another kind, a
    wrong peak among several, and the median goes where most of the mass is.

    Parameters
    ----------
    probability
        (N, G, G), as from `posterior`.
    """
    n, grid = len(probability), probability.shape[-1]
    flat = probability.reshape(n, grid * grid).astype(np.float32)
    expected = rows_times(flat, distances(grid)).reshape(n, grid, grid)
    yx, least = refine(-expected)
    return Answer(yx, np.maximum(-least, 0))


def mass_near(probability: NDArray[np.floating], answer: F8) -> F8:
    """Return (N,) the probability within `NEAR` of the answer: the confidence.

    Parameters
    ----------
    probability
        (N, G, G), as from `posterior`.
    answer
        (N, 2) unit square.
    """
    cells = cell_centres(probability.shape[-1])
    distance = np.linalg.norm(cells[None] - answer[:, None], axis=-1) / np.sqrt(2)
    flat = probability.reshape(distance.shape)
    return np.asarray((flat * (distance <= NEAR)).sum(axis=1))


def strongest_point(evidence: NDArray[np.floating]) -> Answer:
    """Return the peak of the evidence over both views, as a detector does; its distance is NaN.

    Parameters
    ----------
    evidence
        (N, V, G, G), as for `posterior`.
    """
    peaks = [refine(evidence[:, view]) for view in range(evidence.shape[1])]
    yx, height = peaks[0]
    if len(peaks) > 1:
        other, higher = peaks[1]
        turned = np.stack([other[:, 0], 1 - other[:, 1]], axis=1)
        yx = np.where((higher > height)[:, None], turned, yx)
    return Answer(yx, np.full(len(yx), np.nan))


def refine(values: NDArray[np.floating]) -> tuple[F8, F8]:
    """Return the highest point of N grids below the cell, by a parabola along each axis.

    Parameters
    ----------
    values
        (N, G, G); equal values: the first cell.

    Returns
    -------
    (N, 2) unit square, and (N,) the height of its cell.
    """
    n, grid = len(values), values.shape[-1]
    flat = values.reshape(n, grid * grid)
    best = flat.argmax(axis=1)
    rows, index = np.arange(n), np.stack(np.divmod(best, grid), axis=1)
    middle = flat[rows, best].astype(np.float64)
    shift = np.zeros((n, 2))
    for axis in (0, 1):
        step = np.eye(2, dtype=np.int64)[axis]
        inside = (index[:, axis] > 0) & (index[:, axis] < grid - 1)
        low, high = (
            values[rows, *np.clip(index + sign * step, 0, grid - 1).T].astype(np.float64)
            for sign in (-1, 1)
        )
        bend = 2 * middle - low - high
        with np.errstate(divide="ignore", invalid="ignore"):
            offset = 0.5 * (high - low) / bend
        shift[:, axis] = np.where(inside & (bend > 0), offset, 0.0)
    return (index + 0.5 + np.clip(shift, -0.5, 0.5)) / grid, middle


@lru_cache(maxsize=4)
def distances(grid: int) -> F4:
    """Return (G * G, G * G) distances of cells from each other, unit square."""
    cells = cell_centres(grid)
    distance: F8 = np.linalg.norm(cells[:, None] - cells[None], axis=-1)
    return distance.astype(np.float32)


_ROUNDING = 1e-6  # of probabilities, which are stored in single precision


def confidence_region(where: Localizations, level: float = 0.9) -> NDArray[np.bool_]:
    """Return (M, G, G) the smallest set of cells that hold the part with a probability.

    Parameters
    ----------
    where
        M answers with a probability for each of G x G cells.
    level
        That probability, above 0 and at most 1.

    Returns
    -------
    Cells of the network's input, in the orientation of the photo as given, like
    `Localizations.probability`. Of equally probable cells the first are taken.

    Raises
    ------
    ExplGraphError
        If the level is out of range.
    """
    require(0 < level <= 1, f"the level must be above 0 and at most 1, got {level}")
    flat = where.probability.reshape(len(where), -1).astype(np.float64)
    order = np.argsort(-flat, axis=1, kind="stable")
    sums = np.cumsum(np.take_along_axis(flat, order, axis=1), axis=1)
    # A cell is needed while those before it hold too little; rounding must not make it so.
    before = np.concatenate([np.zeros((len(where), 1)), sums[:, :-1]], axis=1)
    needed = before * (1 + _ROUNDING) < level * sums[:, -1:]
    region = np.zeros(flat.shape, dtype=bool)
    np.put_along_axis(region, order, needed, axis=1)
    return region.reshape(where.probability.shape)


def cell_edges(where: Localizations) -> F8:
    """Return (M, 2, G + 1) where cells begin and end, per axis, unit square of the photo."""
    grid = where.probability.shape[-1]
    steps = np.arange(grid + 1)[:, None, None] / grid
    return np.moveaxis(to_unit(where.frames[None], steps), 0, -1)


def region_share(where: Localizations, level: float = 0.9) -> F8:
    """Return (M,) the area of each `confidence_region`, as a share of the photo's.

    Cells count as far as they lie in the photo: a letterboxed one does not fill the network's
    input.

    Parameters
    ----------
    where, level
        As in `confidence_region`.

    Returns
    -------
    (M,) between 0 and 1.

    Raises
    ------
    ExplGraphError
        If the level is out of range.
    """
    region = confidence_region(where, level)
    sides = np.abs(np.diff(np.clip(cell_edges(where), 0, 1), axis=-1))
    return np.asarray(np.einsum("mij,mi,mj->m", region, sides[:, 0], sides[:, 1]))
