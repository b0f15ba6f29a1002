"""Figures of a few values, some of which may be missing: NaN is what is not known."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np

from .arrays import F8
from .unwarned import unwarned

_LEAST = 3  # pairs: two always lie on a line


def standard_error(values: F8) -> float:
    """Return the standard error of the mean of (N,) values; NaN for that of a single value."""
    if len(values) < 2:
        return math.nan
    return float(np.std(values, ddof=1) / math.sqrt(len(values)))


def correlation(one: F8, other: F8) -> float:
    """Return Pearson's correlation of (N,) values over the pairs that are both finite.

    NaN below three pairs, and where one side is the same everywhere.

    >>> round(correlation(np.array([1.0, 2, 4, np.nan]), np.array([3.0, 2, 0, 9])), 6)
    -1.0
    """
    both = np.isfinite(one) & np.isfinite(other)
    if both.sum() < _LEAST or min(np.ptp(one[both]), np.ptp(other[both])) == 0:
        return math.nan
    return float(np.corrcoef(one[both], other[both])[0, 1])


@contextmanager
def nothing_to_average() -> Iterator[None]:
    """Let NumPy's nan-functions return NaN without a warning where all values are NaN."""
    with unwarned("Mean of empty|Degrees of freedom|All-NaN", RuntimeWarning):
        yield
