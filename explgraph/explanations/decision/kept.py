"""The smallest set of nodes whose cells alone keep a network's prediction."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from explgraph.base.arrays import F8, I8
from explgraph.explanations.claims import SeenLayer

from .removal import SeenPhoto, class_probability

LEAST_SHARE = 0.5
"""A prediction is kept if its class stays on top with this share of its probability at least.

Where nearly everything is silenced, all classes are about equally likely, and whichever node is
left decides which one is on top: that alone would say little."""

_LENGTHS = 32  # of a ranking that are tried in search of the shortest that suffices


@dataclass(frozen=True, eq=False, slots=True)
class Kept:
    """A set of top-layer peaks that keeps a prediction all by itself.

    Attributes
    ----------
    peaks
        (k,) as in `SeenLayer`; empty where not even all peaks together keep it, or the class is not
        the one predicted.
    predicted
        The class that the network gives when it is left the cells of these peaks alone; of all
        peaks where no set keeps the prediction.
    probability
        Of the class in question (softmax), then.
    """

    peaks: I8
    predicted: int
    probability: float


def smallest_kept(seen: SeenPhoto, layer: SeenLayer, ranked: I8) -> Kept:
    """Look for the smallest set of peaks that keeps the prediction, greedily.

    All cells of the layer that belong to no peak of the set are set to their filter's m_c, those
    that no node claims included, as `explgraph.evaluation.fidelity` does; then the rest of the
    network is run. The prediction is kept if its class stays on top with at least half of its
    probability. The shortest beginning of the ranking that keeps it is looked for among 32 lengths.
    From that, blocks of peaks are taken away as long as the prediction is kept, the last ranked
    first: halves, quarters, ..., in the end single peaks, until not one of them can be spared.
    (After Zeller and Hildebrandt, "Simplifying and isolating failure-inducing input", 2002.) A
    smaller set may exist that is not a part of the first one.

    Parameters
    ----------
    seen
        The photo.
    layer
        One of its layers.
    ranked
        (k,) peaks that nodes of the layer claim, best first.
    """
    search = _Search(seen, layer)
    if seen.logits.argmax() != seen.target.index:
        return search.result(ranked, ranked[:0])
    lengths = np.unique(np.geomspace(1, max(len(ranked), 1), _LENGTHS).round().astype(int))
    enough = np.flatnonzero(search.keeps([ranked[:length] for length in lengths.tolist()]))
    if len(enough) == 0:
        return search.result(ranked, ranked[:0])
    chosen = ranked[: lengths[enough[0]]]
    size = max(len(chosen) // 2, 1)
    while size:
        before = len(chosen)
        for start in reversed(range(0, before, size)):
            left = np.delete(chosen, slice(start, start + size))
            if len(left) and search.keeps([left])[0]:
                chosen = left
        size = size // 2 if size > 1 else int(len(chosen) < before)
    return search.result(chosen, chosen)


class _Search:
    """Asks the network about sets of peaks."""

    def __init__(self, seen: SeenPhoto, layer: SeenLayer) -> None:
        self._seen, self._layer = seen, layer
        self._least = LEAST_SHARE * class_probability(seen.logits, seen.target.index)

    def keeps(self, sets: list[I8]) -> NDArray[np.bool_]:
        """Tell of each set whether it keeps the prediction."""
        logits, target = self._logits(sets), self._seen.target.index
        likely = [class_probability(row, target) >= self._least for row in logits]
        return np.asarray((logits.argmax(axis=1) == target) & likely)

    def result(self, asked: I8, peaks: I8) -> Kept:
        """Run the network once more on what it is left with, and return ``peaks`` as the answer."""
        (logits,) = self._logits([asked])
        probability = class_probability(logits, self._seen.target.index)
        return Kept(peaks, int(logits.argmax()), probability)

    def _logits(self, sets: list[I8]) -> F8:
        masks = (~self._layer.cells(peaks) for peaks in sets)
        return self._seen.without(self._layer, masks)
