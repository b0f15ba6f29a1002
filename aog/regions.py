"""Regions that hold a part with a given probability."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from explgraph.errors import require
from explgraph.structures import F8

from .structures import Localizations

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


def region_share(where: Localizations, level: float = 0.9) -> F8:
    """Return (M,) the area of each `confidence_region`, as a share of the photo's.

    Cells count as far as they lie in the photo: a letterboxed one does not fill the network's
    input.
    """
    region = confidence_region(where, level)
    grid = region.shape[-1]
    edges = where.frames[..., :1] + where.frames[..., 1:] * (np.arange(grid + 1) / grid)
    sides = np.abs(np.diff(np.clip(edges, 0, 1), axis=-1)).astype(np.float64)
    return np.asarray(np.einsum("mij,mi,mj->m", region, sides[:, 0], sides[:, 1]))
