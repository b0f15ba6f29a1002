"""How well the clicks of a part find each other's places."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from explgraph.base.arrays import F4, F8
from explgraph.base.frames import to_pixels

from .answers import GRID, cell_centres, nearest_point, posterior
from .clicks import Clicks
from .config import PartConfig
from .evidence import as_given, evidence
from .sight import Sight
from .structures import AndOrGraph


def places_by_the_others(
    without: Sequence[AndOrGraph], seen: Sight, clicks: Clicks, look_mean: F4, config: PartConfig
) -> F8:
    """Return (A, 2), for each click, its distance from where the others find it, and ``elsewhere``.

    Parameters
    ----------
    without
        For each click the And-Or graph of all others; none if there is but one click.
    seen
        The A clicked photos.
    clicks
        In these photos.
    look_mean
        (C,) as in `Parts`.

    Returns
    -------
    As in `ClickedPhotos`.
    """
    result = np.full((len(clicks), 2), np.nan)
    given = to_pixels(seen.frames, clicks.yx) / np.array(seen.input_size)
    cells = cell_centres(GRID)
    for i, aog in enumerate(without):
        photo = seen.take(np.array([i]))
        found = evidence(aog, photo, look_mean, config)
        probability = posterior(as_given(found, photo))
        off = (nearest_point(probability).yx[0] - given[i]) * np.array(seen.input_size)
        at = probability.reshape(-1)[np.linalg.norm(cells - given[i], axis=1).argmin()]
        elsewhere = probability[probability > at].sum()
        result[i] = np.linalg.norm(off) / np.linalg.norm(seen.input_size), elsewhere
    return result
