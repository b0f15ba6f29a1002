"""From a few clicks to And-Or graphs: which nodes are a part's patterns, and what they vote for."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import chain

import numpy as np

from explgraph.base.arrays import F8
from explgraph.base.errors import index_of, require
from explgraph.base.text import printable_lines
from explgraph.base.threads import one_blas_thread
from explgraph.graphs.graph import ExplanatoryGraph
from explgraph.graphs.matches import Matches
from explgraph.photos.annotations import Annotations, PhotoSize

from .agreement import places_by_the_others
from .candidates import NOTHING_FIRES, Habits, candidates, habits_of, weighted
from .click_views import view_probability, witnesses
from .clicked import ClickedPhotos
from .clicks import Clicks, check_clicks, hidden_rows
from .config import PartConfig
from .evidence import view_odds
from .learnt import UsualCells, learn, usual_cells
from .sight import Sight, sight, warn_without_views
from .structures import AndOrGraph, Parts
from .templates import Template, assemble, merge_templates


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
        habits, usual = habits_of(graph, seen), usual_cells(seen)
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
    each = candidates(graph, seen, habits, usual.mean, clicks, config)
    count = np.array([[len(template.node) for template in views] for views in each])
    require(bool(count.any(axis=1).all()), NOTHING_FIRES)
    clicked = seen.take(clicks.index)
    # A clicked photo is all too like itself: the others tell which way it is seen, and how alike
    # the part is elsewhere.
    left = np.setdiff1d(np.arange(len(seen)), [*clicks.index, *clicks.hidden])
    others, asked = seen.take(left), seen.take(np.intersect1d(left, witnesses(len(seen))))

    def join(by_click: Sequence[Sequence[Template]]) -> AndOrGraph:
        return assemble(clicks.part, list(chain.from_iterable(by_click)), graph, habits.scale)

    alone = np.where(count > 0, view_odds(clicked, config), -np.inf)
    sure = view_probability(join(each), alone, asked, usual.mean, config)
    by_click = [weighted(views, share) for views, share in zip(each, sure, strict=True)]
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
