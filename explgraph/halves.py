"""Photos in two halves, by a rule that needs no random numbers: what is seen, what is measured."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from .errors import require


def first_half(groups: Sequence[str]) -> NDArray[np.bool_]:
    """Return (N,) whether a photo lies in the first of two halves.

    Distinct groups, sorted as strings, belong to the first and the second half by turns.

    Parameters
    ----------
    groups
        Of N photos. Photos of one group, such as crops of one picture, lie in one half.

    Raises
    ------
    ExplGraphError
        If there are fewer than two groups.
    """
    distinct, number = np.unique(np.array(groups, dtype=object), return_inverse=True)
    require(
        len(distinct) >= 2,
        f"two halves need photos of at least 2 groups, got {len(distinct)}: give more photos",
    )
    return np.asarray(number % 2 == 0)
