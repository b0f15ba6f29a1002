"""From a few clicks to And-Or graphs: which nodes are a part's patterns, and what they vote for."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import chain
from typing import NamedTuple

import numpy as np

from explgraph.base.arrays import F4, F8
from explgraph.base.errors import index_of, require
from explgraph.base.frames import is_inside, mirrored_yx, to_pixels
from explgraph.base.text import printable_lines
from explgraph.base.threads import one_blas_thread
from explgraph.graphs.graph import ExplanatoryGraph
from explgraph.graphs.matches import Matches
from explgraph.photos.annotations import Annotations, PhotoSize

from .agreement import places_by_the_others
from .click_views import view_probability
from .clicked import ClickedPhotos
from .clicks import Clicks, check_clicks, hidden_rows
from .config import PartConfig
from .evidence import view_odds
from .learnt import UsualCells, learn, usual_cells
from .looks import look_at, scene_of
from .sight import Sight, sight, warn_without_views
from .structures import AndOrGraph, Parts
from .templates import Template, assemble, merge_templates

_N_BEST = 10  # photos whose mean score is a node's scale
_LEAST_SHARE = 0.1  # of a click: a view that is less probable makes no template
_MOST_SCORE = 20.0  # of its layer's mean: beyond, a pattern counts no more
_ROUNDING = 0.01  # pixels by which a click on the rim may lie outside, frames being measured

_NOTHING_FIRES = "no node fires around a click: is it on the object that the graph is of?"


class Habits(NamedTuple):
    """What the photos tell of the nodes, without a label.

    ``scale (P,)`` the score of a node where it is seen best; ``usual (P,)`` the mean score of its
    layer.
    """

    scale: F4
    usual: F4


def fit_parts(
    graph: ExplanatoryGraph,
    found: Matches,
    annotations: Annotations,
    part: str | Sequence[str] | None = None,
    *,
    photo_size: PhotoSize | None = None,
    hidden: Mapping[str, Sequence[str]] | None = None,
    config: PartConfig | None = None,
) -> Parts:
    """Make And-Or graphs of parts from one click or more for each.

    Parameters
    ----------
    graph
        A mined graph.
    found
        Its matches (``match(..., views=True)``) in the annotated photos and, better, in others of
        the category too: they tell how strongly each node responds where it is seen best. Without
        views parts are found less surely, and a warning says so.
    annotations
        The clicks, in pixels of the photos: at most one for a part in a photo.
    part
        A name, or several; None: all parts that are annotated.
    photo_size
        (height, width) of the photos in pixels, or one pair by name. None: as they were matched.
    hidden
        By part, the photos in which it is known not to be visible: nothing is learnt from them but
        when the part counts as visible.
    config
        Hyper-parameters; None takes the defaults.

    Returns
    -------
    `Parts`, which hold the graph and work without anything else.

    Raises
    ------
    ExplGraphError
        If there are no annotations, a part is unknown, a photo was not matched or clicked twice, a
        click lies outside of its photo, or a part is both clicked and hidden in one.

    References
    ----------
    Q. Zhang, R. Cao, Y. N. Wu and S.-C. Zhu, "Growing Interpretable Part Graphs on ConvNets via
    Multi-Shot Learning", AAAI 2017.

    Examples
    --------
    >>> found = eg.match(graph, net, "photos/zebra", views=True)  # doctest: +SKIP
    >>> parts = eg.fit_parts(graph, found, eg.read_annotations("clicks.csv"))  # doctest: +SKIP
    >>> parts.save("zebra_parts.safetensors")  # doctest: +SKIP
    """
    require(len(annotations) > 0, "there are no annotations: mark the part in at least one photo")
    names = annotations.parts() if part is None else (part,) if isinstance(part, str) else part
    sizes = found.photo_sizes if photo_size is None else photo_size
    clicks = [check_clicks(annotations, name, found.images, sizes) for name in names]
    for name, absent in (hidden or {}).items():
        one = index_of("part", name, names)
        clicks[one] = replace(clicks[one], hidden=hidden_rows(absent, found.images))
    warn_without_views(found)
    parts = fit_clicks(graph, found, clicks, config=config)
    for doubt in parts.doubts():
        warnings.warn(printable_lines(doubt), UserWarning, stacklevel=2)
    return parts


def fit_clicks(
    graph: ExplanatoryGraph,
    found: Matches,
    clicks: Sequence[Clicks],
    *,
    config: PartConfig | None = None,
) -> Parts:
    """Make an And-Or graph of each part from clicks that are checked already.

    Parameters
    ----------
    graph
        P nodes.
    found
        The graph's matches in the annotated photos and, better, in others of the category: they
        tell how strongly a node responds where it is seen best. With views.
    clicks
        One entry for each part, their rows those of ``found``.
    config
        Hyper-parameters; None takes the defaults.

    Returns
    -------
    The parts, with the graph.

    Raises
    ------
    ExplGraphError
        If the matches are those of another graph, there is no part, a click lies outside of what
        the network sees, or no node fires around it.
    """
    require(len(clicks) > 0, "there is no part to fit: give clicks for at least one")
    config = config or PartConfig()
    seen = sight(graph, found)
    with one_blas_thread():  # the same parts with any number
        habits, usual = _habits(graph, seen), usual_cells(seen)
        aogs = tuple(
            _fit(graph, seen, habits, usual, marks, config, found.images) for marks in clicks
        )
    header = {name: found.header.get(name) for name in ("graph_hash", "model", "weight_hash")}
    return Parts(graph, aogs, usual.mean, config, header)


def _fit(
    graph: ExplanatoryGraph,
    seen: Sight,
    habits: Habits,
    usual: UsualCells,
    clicks: Clicks,
    config: PartConfig,
    images: Sequence[str],
) -> AndOrGraph:
    require(len(clicks) > 0, f"there is no click for the part {clicks.part!r}")
    each = _candidates(graph, seen, habits, usual.mean, clicks, config)
    count = np.array([[len(template.node) for template in views] for views in each])
    require(bool(count.any(axis=1).all()), _NOTHING_FIRES)
    clicked = seen.take(clicks.index)
    # A clicked photo is all too like itself: the others tell which way it is seen, and how alike
    # the part is elsewhere.
    others = seen.take(np.setdiff1d(np.arange(len(seen)), [*clicks.index, *clicks.hidden]))

    def join(by_click: Sequence[Sequence[Template]]) -> AndOrGraph:
        return assemble(clicks.part, list(chain.from_iterable(by_click)), graph, habits.scale)

    alone = np.where(count > 0, view_odds(clicked, config), -np.inf)
    sure = view_probability(join(each), alone, others, usual.mean, config)
    by_click = [_weighted(views, share) for views, share in zip(each, sure, strict=True)]
    one = len(clicks) == 1
    without = [] if one else [join(by_click[:i] + by_click[i + 1 :]) for i in range(len(clicks))]
    places = places_by_the_others(without, clicked, clicks, usual.mean, config)
    limit = config.merge * float(np.sqrt(seen.input_size[0] * seen.input_size[1]))
    aog = join([merge_templates(list(chain.from_iterable(by_click)), limit)])
    names = [images[row] for row in clicks.index]
    aog = replace(aog, clicked=_clicked_photos(names, clicked, alone, sure, places))
    return learn(aog, others, usual, config, hidden=seen.take(clicks.hidden))


def _clicked_photos(
    images: Sequence[str], clicked: Sight, alone: F8, sure: F8, places: F8
) -> ClickedPhotos:
    """Tell what is known of A clicked photos.

    ``alone, sure (A, W)`` how probable their views are, by the graph alone, logarithm, and by all
    photos; ``places (A, 2)`` see `places_by_the_others`.
    """
    chosen = sure.argmax(axis=1)
    return ClickedPhotos(
        images=tuple(images),
        mirrored=clicked.turned[np.arange(len(clicked)), chosen],
        view_probability=sure.max(axis=1),
        turned=chosen != alone.argmax(axis=1),
        distance=places[:, 0].astype(np.float32),
        elsewhere=places[:, 1].astype(np.float32),
    )


def _weighted(views: Sequence[Template], probability: F8) -> list[Template]:
    """Return the templates of a click's views that are probable enough, sharing the click."""
    share = np.where(probability < _LEAST_SHARE, 0, probability)
    share /= share.sum()
    pairs = zip(views, share.tolist(), strict=True)
    return [template._replace(clicks=one) for template, one in pairs if one > 0]


def _candidates(
    graph: ExplanatoryGraph,
    seen: Sight,
    habits: Habits,
    mean: F4,
    clicks: Clicks,
    config: PartConfig,
) -> list[list[Template]]:
    """Return, for each click, a template for each view of its photo."""
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


def _habits(graph: ExplanatoryGraph, seen: Sight) -> Habits:
    score = seen.score[np.arange(len(seen)), seen.facing]
    best = -np.sort(-score, axis=0)[:_N_BEST]
    layer_sum = np.bincount(graph.node_layer, score.mean(axis=0), minlength=len(graph.layers))
    count = np.bincount(graph.node_layer, minlength=len(graph.layers))
    usual = layer_sum / np.maximum(count, 1)
    return Habits(best.mean(axis=0), usual[graph.node_layer].astype(np.float32))


def check_learnable(seen: Sight, clicks: Clicks) -> None:
    """Raise `ExplGraphError` unless something can be learnt from each click.

    As fitting does, but at once.
    """
    _check_seen(clicks, to_pixels(seen.frames[clicks.index], clicks.yx), seen.input_size)
    require(bool((seen.score[clicks.index] > 0).any(axis=(1, 2)).all()), _NOTHING_FIRES)


def _check_seen(clicks: Clicks, centre: F8, input_size: tuple[int, int]) -> None:
    outside = ~is_inside(centre, input_size, _ROUNDING)
    require(
        not outside.any(),
        f"{int(outside.sum())} clicks for {clicks.part!r} lie outside of what the network sees of "
        "their photos: show it whole photos (fit='stretch'), or boxes that hold the part",
    )
