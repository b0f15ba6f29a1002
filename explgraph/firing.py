"""When a node fires: the one rule of supports, co-activations, node facts and comparisons."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from .structures import F4

_SHARE = 0.5


def fires(score: F4, mean_score: F4) -> NDArray[np.bool_]:
    """Return (P, N) where nodes fire: they score at least half of their mean, and above 0.

    Parameters
    ----------
    score
        (P, N) of P nodes in N photos.
    mean_score
        (P,) their means over the photos that they were mined from.
    """
    return (score > 0) & (score >= _SHARE * mean_score[:, None])
