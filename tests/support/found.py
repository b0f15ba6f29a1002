"""Matches and annotations from what a test is about; the rest says nothing."""

import numpy as np

from explgraph.graphs.matches import Matches
from explgraph.photos.annotations import Annotations


def plain_matches(images, yx, score, node_layer=0, **others):
    """Matches of photos as given; ``yx`` and ``node_layer`` are spread over ``score (N, P)``."""
    shape = np.shape(score)
    rest = {"log_density": np.zeros(shape), "peak": np.zeros(shape), "mirrored": np.zeros(shape[0])}
    return Matches(
        images=tuple(images),
        yx=np.broadcast_to(yx, (*shape, 2)),
        score=np.asarray(score, dtype=float),
        node_layer=np.broadcast_to(node_layer, shape[1:]),
        **rest | others,
    )


def plain_marks(images, parts, yx, group=None):
    """Annotations in pixels, of unknown size; by default each photo is its own group."""
    yx = np.asarray(yx, dtype=float).reshape(-1, 2)
    return Annotations(
        image=tuple(images),
        part=(parts,) * len(yx) if isinstance(parts, str) else tuple(parts),
        yx=yx,
        size=np.full(yx.shape, np.nan),
        group=tuple(images if group is None else group),
    )
