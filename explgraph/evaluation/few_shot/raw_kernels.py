"""Compiled loops of `raw_units`: where units move to, and where they say the part is."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from explgraph.base.arrays import F4, F8, I4
from explgraph.base.jit import jit
from explgraph.base.threads import over_rows

SIDE = 224
"""Height and width, in pixels, of what positions are counted on."""
SQUARE = 11
"""A vote is for all pixels of a square: so far to each side of where a unit points to."""
FALL = 49.5
"""Unit of the distance from there, and of how far a unit is from where its parents have it."""


def strongest_near(values: F4, reach: I4, bend: F8, best: F4, cell: I4) -> None:
    """Find the best of each cell's neighbours, less a quadratic price of the way to them.

    The window is a rectangle and the price a sum over both axes, so that one axis can be searched
    after the other.

    Parameters
    ----------
    values
        (R, H, W).
    reach
        (2,) half sides (y, x) of the window, cells; the map's border clips it.
    bend
        (2,) price (y, x) of one cell; of n cells it is n^2 times that.
    best, cell
        Filled: (R, H, W) the best value less its price, (R, H, W, 2) the cell where it is.
    """
    over_rows(_strongest_near, len(values), values, reach, bend, best, cell)


@jit
def _strongest_near(
    start: int, stop: int, values: F4, reach: I4, bend: F8, best: F4, cell: I4
) -> None:
    height, width = values.shape[1:]
    for r in range(start, stop):
        down = np.empty((height, width), dtype=np.float32)
        row = np.empty((height, width), dtype=np.int32)
        for y in range(height):
            for x in range(width):
                top = -np.inf
                for v in range(max(0, y - reach[0]), min(height, y + reach[0] + 1)):
                    one = values[r, v, x] - bend[0] * (v - y) ** 2
                    if one > top:
                        top, row[y, x] = one, v
                down[y, x] = top
        for y in range(height):
            for x in range(width):
                top, column = -np.inf, 0
                for u in range(max(0, x - reach[1]), min(width, x + reach[1] + 1)):
                    one = down[y, u] - bend[1] * (u - x) ** 2
                    if one > top:
                        top, column = one, u
                best[r, y, x] = top
                cell[r, y, x, 0], cell[r, y, x, 1] = row[y, column], column


def place_units(
    response: F4, at: F8, price: F8, moved: F8, parents: NDArray[np.intp], best: I4, value: F8
) -> None:
    """Let every unit of a layer move to the best place of its window.

    Parameters
    ----------
    response
        (B, P, n) of the n places of each unit's window, times its weight.
    at
        (P, 1 + n, 2) where the unit is expected, then those places, pixels.
    price
        (2,) of the square of a movement in pixels, and of the distance from where a parent has it.
    moved
        (B, Q, 2) how far units of the next layer up have moved, pixels; NaN for those that do not
        fire.
    parents
        (P, J) which of them are the unit's parents; -1 = no more.
    best, value
        Filled: (B, P) which place is the best, and what it is worth.
    """
    over_rows(_place_units, len(response), response, at, price, moved, parents, best, value)


@jit
def _place_units(  # noqa: PLR0913
    start: int,
    stop: int,
    response: F4,
    at: F8,
    price: F8,
    moved: F8,
    parents: NDArray[np.intp],
    best: I4,
    value: F8,
) -> None:
    units, places = response.shape[1:]
    for b in range(start, stop):
        wanted = np.empty((parents.shape[1], 2))
        for p in range(units):
            count = 0
            for q in parents[p]:
                if q >= 0 and not np.isnan(moved[b, q, 0]):
                    wanted[count, 0] = at[p, 0, 0] + moved[b, q, 0]
                    wanted[count, 1] = at[p, 0, 1] + moved[b, q, 1]
                    count += 1
            value[b, p] = -np.inf
            for i in range(places):
                y, x = at[p, 1 + i, 0], at[p, 1 + i, 1]
                far = 0.0
                for j in range(count):
                    far += np.sqrt((y - wanted[j, 0]) ** 2 + (x - wanted[j, 1]) ** 2)
                way = (y - at[p, 0, 0]) ** 2 + (x - at[p, 0, 1]) ** 2
                one = response[b, p, i] - price[0] * way - price[1] * far
                if one > value[b, p]:
                    value[b, p], best[b, p] = one, i


def most_voted(points: F8, fires: NDArray[np.bool_], best: F8) -> None:
    """Find the pixel that most units point to, near enough.

    Each unit that fires votes for the pixels of a square around where it points to, the less the
    farther they are; of equal pixels, the first wins, column by column.

    Parameters
    ----------
    points
        (B, P, 2) where they point to, pixels.
    fires
        (B, P) whether they vote.
    best
        Filled: (B, 2) the middle of the pixel; NaN where nobody votes.
    """
    over_rows(_most_voted, len(points), points, fires, best)


@jit
def _most_voted(start: int, stop: int, points: F8, fires: NDArray[np.bool_], best: F8) -> None:
    vote = _vote()
    for b in range(start, stop):
        votes = np.zeros((SIDE, SIDE), dtype=np.float32)
        for p in range(points.shape[1]):
            if fires[b, p]:
                _add(votes, vote, int(np.floor(points[b, p, 0])), int(np.floor(points[b, p, 1])))
        top = np.float32(0)
        best[b] = np.nan
        for x in range(SIDE):
            for y in range(SIDE):
                if votes[y, x] > top:
                    top = votes[y, x]
                    best[b, 0], best[b, 1] = y + 0.5, x + 0.5


@jit
def _vote() -> F4:
    """Return the votes for a square's pixels: 0 in its corners, the more the nearer."""
    side = 2 * SQUARE + 1
    vote = np.empty((side, side), dtype=np.float32)
    corner = np.exp(-np.sqrt(2.0) * SQUARE / FALL)
    for v in range(side):
        for u in range(side):
            distance = np.sqrt((v - SQUARE) ** 2 + (u - SQUARE) ** 2)
            vote[v, u] = np.exp(-distance / FALL) - corner
    return vote


@jit
def _add(votes: F4, vote: F4, y: int, x: int) -> None:
    for v in range(max(0, y - SQUARE), min(SIDE, y + SQUARE + 1)):
        for u in range(max(0, x - SQUARE), min(SIDE, x + SQUARE + 1)):
            votes[v, u] += vote[v - y + SQUARE, u - x + SQUARE]
