"""And-Or graphs, matches and answers made by hand: what fitting and locating would give."""

import numpy as np

from aog import AndOrGraph, Localizations, PartConfig, Parts
from explgraph.graphs.graph_arrays import graph_hash
from explgraph.graphs.matches import Matches, Views
from tests.support.planted import SIDE, planted_graph

WIDTH = 0.0625 * SIDE
"""The least spread of a vote: 14 pixels."""

GRID = 8


def hand_made_parts(names=("head",), **changes):
    """Parts of two templates over a graph of 12 nodes, 6 in each of two layers, 2 of each filter.

    Template 0 has the patterns 0 to 2: nodes 0 and 1 are of one filter, node 6 of another layer.
    Template 1 has the patterns 3 and 4: nodes 2 and 7.
    """
    fields = {
        "clicks": np.array([1, 2]),
        "centre": np.array([[100, 60], [40, 160]]),
        "size": np.array([[56, 28], [np.nan, np.nan]]),
        "look": np.zeros((2, 9, 0)),
        "scene": np.zeros((2, 0)),
        "start": np.array([0, 3, 5]),
        "node": np.array([0, 1, 6, 2, 7]),
        "group": np.array([0, 0, 1, 0, 1]),
        "displacement": np.array([[10, -20], [0, 5], [-30, 40], [1, 2], [3, 4]]),
        "spread": np.array([WIDTH, WIDTH, 2 * WIDTH, WIDTH, WIDTH]),
        "weight": np.array([0.2, 0.3, 0.5, 0.6, 0.4]),
        "scale": np.array([4, 1, 2, 1, 1]),
        "visible_from": -5.0,
    }
    aogs = tuple(AndOrGraph(part=name, **{**fields, **changes}) for name in names)
    graph = planted_graph(2, 3, 2)
    header = {"graph_hash": graph_hash(graph)}
    return Parts(graph, aogs, np.zeros(0), PartConfig(width=0.0625), header)


def hand_made_matches(images=("a.jpg",), yx=None, score=None, frame=None):
    """Matches of 12 nodes seen both ways; ``yx`` and ``score`` are given by (view, node)."""
    n, layer = len(images), planted_graph(2, 3, 2).layers[-1]
    places, scores = np.zeros((n, 2, 12, 2)), np.zeros((n, 2, 12))
    for (view, node), value in (yx or {}).items():
        places[:, view, node] = value
    for (view, node), value in (score or {}).items():
        scores[:, view, node] = value
    whole = [[0, 1 / SIDE], [0, 1 / SIDE]]
    views = Views(
        layer,
        (SIDE, SIDE),
        np.tile(np.array(frame or whole, dtype=float), (n, 1, 1)),
        places,
        scores,
        np.zeros((n, 2)),
        np.zeros((n, 2, *layer.grid, layer.channels)),
    )
    return Matches(
        images=tuple(images),
        yx=np.zeros((n, 12, 2)),
        score=np.zeros((n, 12)),
        log_density=np.zeros((n, 12)),
        peak=np.zeros((n, 12)),
        mirrored=np.zeros(n),
        node_layer=np.repeat([0, 1], 6),
        header={"graph_hash": graph_hash(planted_graph(2, 3, 2))},
        views=views,
    )


def answers(images=("a.jpg",), **changes):
    """One answer for "head" in each photo, in its middle, equally probable everywhere."""
    m = len(images)
    fields = {
        "images": tuple(images),
        "parts": ("head",) * m,
        "yx": np.full((m, 2), 0.5),
        "size": np.full((m, 2), 0.25),
        "confidence": np.full(m, 0.8),
        "evidence": np.zeros(m),
        "visible": np.ones(m),
        "template": np.zeros(m),
        "mirrored": np.zeros(m),
        "probability": np.full((m, GRID, GRID), GRID**-2.0),
        "frames": np.tile([[0.0, 1.0], [0.0, 1.0]], (m, 1, 1)),
    }
    return Localizations(**{**fields, **changes})
