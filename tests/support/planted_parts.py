"""Photos with a part whose place is known, and nodes that go where it goes; naive formulas.

The world is a plane that each photo shows shifted by its own amount, and some photos mirrored. The
nodes and the part lie on that plane, and so does what the top layer responds to.
"""

import math
from dataclasses import dataclass

import numpy as np

from aog.clicks import Clicks
from explgraph.base.arrays import NONE
from explgraph.base.layer import LayerSpec
from explgraph.graphs.graph import ExplanatoryGraph
from explgraph.graphs.graph_arrays import graph_hash
from explgraph.graphs.matches import Matches, Views, odds_of_gain
from tests.support.plain import plain_graph

SIDE = 112
GRID = 28
CELL = SIDE / GRID
CHANNELS = 6
NOTHING = math.nan

LOW = LayerSpec("low", 5, (14, 14), (8.0, 8.0), (4.0, 4.0), (19, 19))
TOP = LayerSpec("top", CHANNELS, (7, 7), (16.0, 16.0), (8.0, 8.0), (51, 51))


@dataclass(frozen=True)
class World:
    """N photos: ``centre (N, 2)`` is the part, unit square as given; ``shift (N, 2)`` pixels."""

    graph: ExplanatoryGraph
    found: Matches
    centre: np.ndarray
    mirrored: np.ndarray
    shift: np.ndarray
    mu: np.ndarray
    part: np.ndarray


def planted_graph(mu, header=None):
    """A graph without edges, half of its nodes in each layer, two to a filter."""
    count = len(mu)
    low = count // 2
    number = np.r_[np.arange(low), np.arange(count - low)]
    return plain_graph(
        (LOW, TOP),
        (SIDE, SIDE),
        nodes=(np.arange(count) >= low, number // 2, number % 2),
        mu=mu,
        header={"model": "planted", "weight_hash": "0" * 64} | (header or {}),
    )


def planted_world(n=12, nodes=18, seed=0, *, mirror=True, reach=12.0, frames=None):
    """Plant a part at the middle of the plane, the nodes around it, every third photo mirrored.

    In the wrong view nodes are found weakly and anywhere. ``frames (N, 2, 2)``: see `Views`; the
    whole photo by default.
    """
    rng = np.random.default_rng(seed)
    part = np.array([SIDE * 0.5, SIDE * 0.5])
    mu = part + rng.uniform(-reach, reach, (nodes, 2))
    shift = rng.uniform(-0.2, 0.2, (n, 2)) * SIDE
    mirrored = (np.arange(n) % 3 == 1) & mirror
    right = (mu + shift[:, None], rng.uniform(1, 2, (n, nodes)), np.full(n, 0.4))
    wrong = (rng.uniform(0, SIDE, (n, nodes, 2)), rng.uniform(0.1, 0.2, (n, nodes)), np.zeros(n))
    swap = mirrored.astype(int)
    yx, score, gain = (
        np.stack([np.stack(pair)[swap, np.arange(n)], np.stack(pair)[1 - swap, np.arange(n)]], 1)
        for pair in zip(right, wrong, strict=True)
    )
    if frames is None:
        frames = np.tile([[0, 1 / SIDE], [0, 1 / SIDE]], (n, 1, 1))
    graph = planted_graph(mu)
    views = Views(TOP, (SIDE, SIDE), frames, yx, score, gain, planted_maps(shift, mirrored, seed))
    pixels = part + shift
    given = np.stack([pixels[:, 0], np.where(mirrored, SIDE - pixels[:, 1], pixels[:, 1])], axis=1)
    centre = frames[..., 0] + frames[..., 1] * given
    return World(graph, matches_of(graph, views, mirrored), centre, mirrored, shift, mu, part)


def planted_maps(shift, mirrored, seed):
    """(N, 2, H, W, C): ripples on the plane, the same in every photo but shifted and mirrored."""
    rng = np.random.default_rng(seed + 1)
    wave, phase = rng.normal(0, 0.08, (CHANNELS, 2)), rng.uniform(0, 6, CHANNELS)
    axis = 8.0 + 16.0 * np.arange(7)
    cells = np.stack(np.meshgrid(axis, axis, indexing="ij"), axis=-1)
    plane = cells - shift[:, None, None]
    seen = 1 + np.cos(plane @ wave.T + phase)
    given = np.where(mirrored[:, None, None, None], seen[:, :, ::-1], seen)
    return np.stack([given, given[:, :, ::-1]], axis=1)


def matches_of(graph, views, mirrored, **changes):
    """The `Matches` that go with views: the right view, in the photo's unit square."""
    n, rows = len(views), np.arange(len(views))
    pixels = views.yx[rows, mirrored.astype(int)].astype(float)
    pixels[mirrored, :, 1] = SIDE - pixels[mirrored, :, 1]
    score = views.score[rows, mirrored.astype(int)]
    fields = {
        "images": tuple(f"{i:02d}.jpg" for i in range(n)),
        "yx": views.frames[:, None, :, 0] + views.frames[:, None, :, 1] * pixels,
        "score": score,
        "log_density": np.zeros(score.shape),
        "peak": np.where(score > 0, 0, NONE),
        "mirrored": mirrored,
        "facing": odds_of_gain(views.gain),
        "node_layer": graph.node_layer,
        "header": {"graph_hash": graph_hash(graph), "model": "planted", "weight_hash": "0" * 64},
        "photo_size": np.full((n, 2), SIDE),
        "views": views,
    }
    return Matches(**{**fields, **changes})


def clicks_on(world, rows, part="head", size=(NOTHING, NOTHING), offset=(0.0, 0.0)):
    """Clicks on the true place, or beside it by an offset on the plane, network pixels."""
    rows = np.asarray(rows)
    side = np.where(world.mirrored[rows], -1, 1)
    off = np.stack([np.full(len(rows), offset[0]), side * offset[1]], axis=1)
    frames = world.found.views.frames[rows]
    return Clicks(
        part, rows, world.centre[rows] + frames[..., 1] * off, np.tile(size, (len(rows), 1))
    )


# -- formulas once more, by loops ------------------------------------------------------------------


def naive_votes(yx, score, patterns, cell, grid, reach=math.inf):
    """(G, G) votes of one view: ``patterns`` are (node, displacement, spread, height, scale).

    ``reach``: how many standard deviations along an axis a vote extends.
    """
    votes = np.zeros((grid, grid))
    for node, displacement, spread, height, scale in patterns:
        share = min(score[node] / scale, 1) if scale > 0 and score[node] > 0 else 0
        for i in range(grid):
            for j in range(grid):
                y = (i + 0.5) * cell[0] - yx[node][0] - displacement[0]
                x = (j + 0.5) * cell[1] - yx[node][1] - displacement[1]
                if max(abs(y), abs(x)) <= reach * spread:
                    bell = math.exp(-(y * y + x * x) / (2 * spread**2))
                    votes[i, j] += height * math.sqrt(share) * bell
    return votes


def cosine(a, b):
    """Of two vectors; 0 where one is zero."""
    lengths = math.sqrt(float(np.dot(a, a))) * math.sqrt(float(np.dot(b, b)))
    return float(np.dot(a, b)) / lengths if lengths > 0 else 0.0
