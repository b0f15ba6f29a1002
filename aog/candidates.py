"""From one click to a template: which nodes are a part's patterns, and what their votes count."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from explgraph.base.arrays import F4, F8
from explgraph.base.errors import require
from explgraph.base.frames import is_inside, mirrored_yx, to_pixels
from explgraph.graphs.graph import ExplanatoryGraph

from .clicks import Clicks
from .config import PartConfig
from .looks import look_at, scene_of
from .sight import Sight
from .templates import Template

_N_BEST = 10  # photos whose mean score is a node's scale
_NODES = 512  # whose scores are sorted at a time
_LEAST_SHARE = 0.1  # of a click: a view that is less probable makes no template
_MOST_SCORE = 20.0  # of its layer's mean: beyond, a pattern counts no more
_ROUNDING = 0.01  # pixels by which a click on the rim may lie outside, frames being measured
NOTHING_FIRES = "no node fires around a click: is it on the object that the graph is of?"
"""What is said of a click that nothing can be learnt from."""


class Habits(NamedTuple):
    """What the photos tell of the nodes, without a label.

    ``scale (P,)`` the score of a node where it is seen best; ``usual (P,)`` the mean score of its
    layer.
    """

    scale: F4
    usual: F4


def weighted(views: Sequence[Template], probability: F8) -> list[Template]:
    """Return the templates of a click's views that are probable enough, sharing the click."""
    share = np.where(probability < _LEAST_SHARE, 0, probability)
    share /= share.sum()
    pairs = zip(views, share.tolist(), strict=True)
    return [template._replace(clicks=one) for template, one in pairs if one > 0]


def candidates(
    graph: ExplanatoryGraph,
    seen: Sight,
    habits: Habits,
    mean: F4,
    clicks: Clicks,
    config: PartConfig,
) -> list[list[Template]]:
    """Return, for each click, a template for each view of its photo.

    Parameters
    ----------
    graph, seen
        P nodes in N photos.
    habits
        Of these photos.
    mean
        (C,) the mean response of the look layer.
    clicks
        Of one part.
    config
        Hyper-parameters.

    Raises
    ------
    ExplGraphError
        If a click lies outside of what the network sees.
    """
    frames = seen.frames[clicks.index]
    given = to_pixels(frames, clicks.yx)
    _check_seen(clicks, given, seen.input_size)
    size = clicks.size / np.abs(frames[..., 1])
    result = []
    for i, row in enumerate(clicks.index):
        marks = [(mirrored_yx(given[i], t, seen.input_size[1]), size[i]) for t in seen.turned[row]]
        result.append(
            [
                _template(graph, seen, habits, mean, (row, view), mark, config)
                for view, mark in enumerate(marks)
            ]
        )
    return result


def _template(
    graph: ExplanatoryGraph,
    seen: Sight,
    habits: Habits,
    mean: F4,
    where: tuple[int, int],
    mark: tuple[F8, F8],
    config: PartConfig,
) -> Template:
    """Return the template of one click; ``where`` its photo and view, ``mark`` centre and size."""
    centre, size = mark
    side = float(np.sqrt(seen.input_size[0] * seen.input_size[1]))
    displacement = centre - seen.yx[where]
    weight = _weights(seen.score[where], displacement, habits, config.reach * side)
    node = np.sort(np.argsort(-weight, kind="stable")[: config.n_patterns])
    node = node[weight[node] > 0]
    layer, maps = seen.layer, None if seen.maps is None else seen.maps[where]
    return Template(
        clicks=1,
        centre=centre,
        size=size,
        look=np.zeros((9, 0), np.float32) if maps is None else look_at(maps, mean, layer, centre),
        scene=np.zeros(0, np.float16) if maps is None else scene_of(maps),
        node=node,
        displacement=displacement[node],
        spread=np.full(len(node), config.width * side),
        weight=weight[node] / weight[node].sum(),
    )


def _weights(score: F4, displacement: F8, habits: Habits, reach: float) -> F8:
    """Return (P,) what each node's vote is to count (Eq. 8).

    The more, the nearer to the click it fires, the stronger for its own measure, and the stronger
    for its layer; roots, because no pattern is so sure that it may drown the others.
    """
    share = np.minimum(_ratio(score, habits.scale), 1.0)
    strong = np.sqrt(np.minimum(_ratio(score, habits.usual), _MOST_SCORE))
    near = np.exp(-0.5 * (displacement**2).sum(axis=1) / reach**2)
    return np.asarray(np.sqrt(share * strong) * near)


def _ratio(a: F4, b: F4) -> F8:
    return np.divide(a, b, out=np.zeros(len(a)), where=b > 0)


def habits_of(graph: ExplanatoryGraph, seen: Sight) -> Habits:
    """Return what all photos tell, each seen the way that is more probable."""
    score = seen.score[np.arange(len(seen)), seen.facing]
    some = range(0, score.shape[1], _NODES)
    best = np.concatenate([_best(score[:, first : first + _NODES]) for first in some], axis=1)
    layer_sum = np.bincount(graph.node_layer, score.mean(axis=0), minlength=len(graph.layers))
    count = np.bincount(graph.node_layer, minlength=len(graph.layers))
    usual = layer_sum / np.maximum(count, 1)
    return Habits(best.mean(axis=0), usual[graph.node_layer].astype(np.float32))


def check_learnable(seen: Sight, clicks: Clicks) -> None:
    """Raise `ExplGraphError` unless something can be learnt from each click.

    As fitting does, but at once.
    """
    _check_seen(clicks, to_pixels(seen.frames[clicks.index], clicks.yx), seen.input_size)
    require(bool((seen.score[clicks.index] > 0).any(axis=(1, 2)).all()), NOTHING_FIRES)


def _check_seen(clicks: Clicks, centre: F8, input_size: tuple[int, int]) -> None:
    outside = ~is_inside(centre, input_size, _ROUNDING)
    require(
        not outside.any(),
        f"{int(outside.sum())} clicks for {clicks.part!r} lie outside of what the network sees of "
        "their photos: show it whole photos (fit='stretch'), or boxes that hold the part",
    )


def _best(score: F4) -> F4:
    """Return the highest of (N, P) scores of each node, the highest first."""
    first = min(_N_BEST, len(score)) - 1
    return np.asarray(-np.sort(np.partition(-score, first, axis=0)[: first + 1], axis=0))
