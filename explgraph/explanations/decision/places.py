"""Where in a photo a decision hangs on a graph's nodes: an explanation beside those of pixels."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from explgraph.base.arrays import F8
from explgraph.explanations.attribution import Attribution, on_pixels, resampled
from explgraph.explanations.questions import Question
from explgraph.graphs.graph import ExplanatoryGraph

from .removal import SeenPhoto, matches_of

METHOD = "graph"
"""What an `Attribution` calls the method."""

REACH = 1
"""Cells of the top layer: with a place, its neighbours are emptied as well."""

MASKS = 300
"""Random halves of the photo that are emptied."""

BLOCKS = 4
"""Of about this many blocks along a side these halves are made."""

BLUR = 0.5
"""Cells: deviation of the Gaussian that the map is smoothed with. Neighbours see much the same."""

_ROUNDING = 1e-9  # what sums of effects come to where there is none

Places = NDArray[np.bool_]
"""(H, W) some places: cells of the graph's top layer."""


class PlaceEffects(NamedTuple):
    """What the nodes of each place add to a class, (H, W) by cell of the graph's top layer.

    Attributes
    ----------
    top
        By how much the class's logit falls when the top layer's nodes of this place are removed
        and all others stay.
    alone
        The same when all layers' nodes of this place and its neighbours are removed.
    in_company
        By how much the class's log-probability is higher with this place's nodes than without, on
        average over random halves of the photo whose nodes are removed.
    """

    top: F8
    alone: F8
    in_company: F8

    @property
    def values(self) -> F8:
        """The mean of the three, each divided by the sum of its magnitudes; smoothed by `BLUR`."""
        from scipy.ndimage import gaussian_filter

        mean = np.mean([_shares(effects) for effects in self], axis=0)
        return np.asarray(gaussian_filter(mean, BLUR, mode="nearest"))


def place_effects(seen: SeenPhoto, *, seed: int = 0) -> PlaceEffects:
    """Measure by ablation what the nodes of each place of a photo add to a class.

    A place is emptied by setting the cells that the graph's nodes claim there to their filters'
    m_c: in the top layer, or in all of the graph's layers at once. Cells that no node claims stay.
    What one place adds hangs on what else is there: with everything in place, a network is often
    so sure that nothing matters much, hence the logit; and where two places say the same, neither
    is missed. So each place is also judged in company of random others, by the log-probability,
    which tells what sets the class apart from its rivals. The top layer by itself tells best where
    the class is seen; all layers together, what it is seen by.

    In company is the Banzhaf value of a place, estimated with the blocks of Petsiuk, Das and
    Saenko, "RISE", 2018, laid over nodes instead of pixels. The others are the occlusion of Zeiler
    and Fergus, 2014, likewise.

    Parameters
    ----------
    seen
        The photo.
    seed
        Of the random halves.
    """
    from scipy.special import log_softmax

    grid, target = seen.layers[-1].spec.grid, seen.target.index
    whole = seen.emptied([np.zeros(grid, dtype=bool)])[0, target]
    top = whole - seen.emptied(_neighbourhoods(grid, 0), seen.layers[-1:])[:, target]
    alone = whole - seen.emptied(_neighbourhoods(grid, REACH))[:, target]
    halves = list(_random_halves(grid, np.random.default_rng(seed)))
    likely = log_softmax(seen.emptied(halves), axis=1)[:, target]
    return PlaceEffects(
        top=top.reshape(grid),
        alone=alone.reshape(grid),
        in_company=banzhaf_values(np.stack(halves), likely),
    )


def banzhaf_values(emptied: Places, values: F8) -> F8:
    """Return what each place adds on average, in company of others that are there at random.

    Parameters
    ----------
    emptied
        (V, H, W) which places were emptied in each of V tries.
    values
        (V,) what came of it.

    Returns
    -------
    (H, W) the mean value of the tries with a place, less that of those without; 0 for a place that
    was always, or never, there. Over all subsets once each it is the value of Banzhaf, "Weighted
    voting doesn't work", 1965.
    """
    without = emptied.astype(np.float64)
    present = 1 - without
    counts = present.sum(axis=0), without.sum(axis=0)
    means = [
        np.tensordot(values, which, axes=1) / np.maximum(count, 1)
        for which, count in zip((present, without), counts, strict=True)
    ]
    return np.asarray(np.where(np.minimum(*counts) > 0, means[0] - means[1], 0.0))


def place_attribution(
    question: Question, graph: ExplanatoryGraph, effects: PlaceEffects
) -> Attribution:
    """Lay the effects of places over the photo."""
    size = question.image.size
    return Attribution(
        values=on_pixels(effects.values, graph.layers[-1], graph.input_size),
        method=METHOD,
        target=question.target.label,
        signed=True,
        settings={
            "layers": [layer.name for layer in graph.layers],
            "reach": REACH,
            "masks": MASKS,
            "blocks": BLOCKS,
            "blur": BLUR,
            "seed": question.seed,
            "batch_size": question.batch_size,
        },
        image=question.name,
        frame=question.frame,
        photo_size=(size[1], size[0]),
    )


def graph_explanation(
    graph: ExplanatoryGraph, *, every_cell: bool = False
) -> Callable[[Question], Attribution]:
    """Return a graph's own explanation of a class, to stand beside the methods of `explain`.

    It is that of `explgraph.explanations.decision.decision.Decision.map`, without what else
    `explain_decision` measures.

    Parameters
    ----------
    graph
        Mined from the network that is asked.
    every_cell
        The control: places are emptied whole, whether nodes claim their cells or not. Of the graph
        nothing but its layers and their m_c are used then.

    Returns
    -------
    From a question about a class to the attribution, for `study_explanations`.

    Examples
    --------
    >>> from explgraph.evaluation.explanations.study import study_explanations
    >>> rows = {"zebra": {"graph": graph_explanation(graph)}}  # doctest: +SKIP
    >>> study_explanations(net, {"zebra": "photos"}, rows=rows)  # doctest: +SKIP
    """

    def answer(question: Question) -> Attribution:
        found = matches_of(question, graph, mirror=False)
        seen = SeenPhoto(question, graph, found, every_cell=every_cell)
        effects = place_effects(seen, seed=question.seed)
        return place_attribution(question, graph, effects)

    return answer


def _neighbourhoods(grid: tuple[int, int], reach: int) -> Iterator[Places]:
    """Yield for each place, row by row, itself and its neighbours."""
    rows, columns = np.indices(grid)
    for row, column in np.ndindex(grid):
        yield (np.abs(rows - row) <= reach) & (np.abs(columns - column) <= reach)


def _random_halves(grid: tuple[int, int], rng: np.random.Generator) -> Iterator[Places]:
    """Yield places to be emptied: blocks, shifted at random and with corners rounded."""
    size = -(-max(grid) // BLOCKS)
    blocks = tuple(-(-side // size) + 1 for side in grid)
    for _ in range(MASKS):
        kept = rng.random(blocks) < 0.5
        rows, columns = (
            (np.arange(side) + shift + 0.5) / size - 0.5
            for side, shift in zip(grid, rng.integers(0, size, 2).tolist(), strict=True)
        )
        yield resampled(kept, rows, columns) <= 0.5


def _shares(values: F8) -> F8:
    total = float(np.abs(values).sum())
    return values / total if total > _ROUNDING else np.zeros_like(values)
