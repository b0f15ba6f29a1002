"""Templates while they are fitted: one for each view of a click, those that agree made into one."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import combinations
from typing import NamedTuple

import numpy as np

from explgraph.base.arrays import F2, F4, F8, I8
from explgraph.graphs.graph import ExplanatoryGraph

from .looks import unit_vectors
from .structures import AndOrGraph


class Template(NamedTuple):
    """One pose of a part; arrays as in `AndOrGraph`, patterns by rising node.

    ``clicks`` how many annotations it stands for, a view of one photo for as much as it is
    probable; ``centre``, ``size (2,)``; ``look (9, C)``, ``scene (D,)``; ``node``, ``spread``,
    ``weight (Q,)``, ``displacement (Q, 2)``.
    """

    clicks: float
    centre: F8
    size: F8
    look: F4
    scene: F2
    node: I8
    displacement: F8
    spread: F8
    weight: F8


def disagreement(a: Template, b: Template) -> float:
    """Return how far apart two templates' patterns vote, pixels; the fewer they share, the more.

    The root mean square distance between the displacements of shared patterns, over the overlap of
    the two sets of weights (their Bhattacharyya coefficient).
    """
    _, in_a, in_b = np.intersect1d(a.node, b.node, assume_unique=True, return_indices=True)
    shared = np.sqrt(a.weight[in_a] * b.weight[in_b])
    overlap = float(shared.sum())
    if overlap <= 0:
        return float("inf")
    square = ((a.displacement[in_a] - b.displacement[in_b]) ** 2).sum(axis=1)
    return float(np.sqrt((shared * square).sum() / overlap) / overlap)


def merge_templates(templates: Sequence[Template], limit: float) -> list[Template]:
    """Join the two templates that agree best, until none agree to less than ``limit`` pixels."""
    return [template for template, _ in merged(templates, limit)]


def merged(
    templates: Sequence[Template],
    limit: float,
    apart: Callable[[Template, Template], float] = disagreement,
) -> list[tuple[Template, tuple[int, ...]]]:
    """Return the same, each with the numbers of those that it is made of.

    Parameters
    ----------
    apart
        `disagreement`, or what remembers it.
    """
    result: list[tuple[Template, tuple[int, ...]]]
    result = [(template, (number,)) for number, template in enumerate(templates)]
    while len(result) > 1:
        pairs = list(combinations(range(len(result)), 2))
        each = [apart(result[i][0], result[j][0]) for i, j in pairs]
        best = int(np.argmin(each))
        if each[best] >= limit:
            break
        i, j = pairs[best]
        result[i] = join(result[i][0], result[j][0]), result[i][1] + result[j][1]
        del result[j]
    return result


def join(a: Template, b: Template) -> Template:
    """Return the template of both templates' clicks; its spread holds what they disagree by."""
    clicks = a.clicks + b.clicks
    share = np.array([a.clicks, b.clicks]) / clicks
    node = np.union1d(a.node, b.node)
    weight, spread = np.zeros((2, len(node))), np.zeros((2, len(node)))
    displacement = np.zeros((2, len(node), 2))
    for k, one in enumerate((a, b)):
        rows = np.searchsorted(node, one.node)
        weight[k, rows] = share[k] * one.weight
        displacement[k, rows], spread[k, rows] = one.displacement, one.spread
    total = weight.sum(axis=0)
    part = weight / total
    mean = (part[..., None] * displacement).sum(axis=0)
    between = part.prod(axis=0) * ((displacement[0] - displacement[1]) ** 2).mean(axis=1)
    return Template(
        clicks,
        share[0] * a.centre + share[1] * b.centre,
        _mean_size(a, b, share),
        unit_vectors(share[0] * a.look + share[1] * b.look),
        unit_vectors(share[0] * a.scene.astype(np.float32) + share[1] * b.scene).astype(np.float16),
        node,
        mean,
        np.sqrt((part * spread**2).sum(axis=0) + between),
        total,
    )


def _mean_size(a: Template, b: Template, share: F8) -> F8:
    """Average what is known: NaN only where neither has a size."""
    known = np.isfinite(np.stack([a.size, b.size])) * share[:, None]
    sizes = np.nan_to_num(np.stack([a.size, b.size]))
    total = known.sum(axis=0)
    unknown = np.full(2, np.nan)
    return np.asarray(np.divide((known * sizes).sum(axis=0), total, out=unknown, where=total > 0))


def assemble(
    part: str, templates: Sequence[Template], graph: ExplanatoryGraph, scale: F4
) -> AndOrGraph:
    """Return the And-Or graph of templates; ``scale (P,)`` of all nodes as in `AndOrGraph`."""
    node = np.concatenate([t.node for t in templates])
    filters = graph.node_layer.astype(np.int64) * (int(graph.node_channel.max()) + 1)
    filters += graph.node_channel
    return AndOrGraph(
        part=part,
        clicks=np.array([t.clicks for t in templates]),
        centre=np.stack([t.centre for t in templates]),
        size=np.stack([t.size for t in templates]),
        look=np.stack([t.look for t in templates]),
        scene=np.stack([t.scene for t in templates]),
        start=np.cumsum([0, *(len(t.node) for t in templates)]),
        node=node,
        group=np.concatenate(
            [np.unique(filters[t.node], return_inverse=True)[1] for t in templates]
        ),
        displacement=np.concatenate([t.displacement for t in templates]),
        spread=np.concatenate([t.spread for t in templates]),
        weight=np.concatenate([t.weight for t in templates]),
        scale=scale[node],
        visible_from=float("-inf"),
    )
