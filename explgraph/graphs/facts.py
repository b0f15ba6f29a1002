"""What is this node? Its facts as a table of all nodes, or in sentences about one."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from explgraph.base.arrays import F8, NONE
from explgraph.base.errors import require
from explgraph.base.renamed import renamed
from explgraph.base.text import counted

from .choice import find_node
from .graph import ExplanatoryGraph
from .groups import thirds
from .kinds import node_kinds
from .matches import Matches, check_nodes, fires

if TYPE_CHECKING:
    import pandas as pd


_SHOWN = 5  # names in a sentence
_BLOCK = 1024  # nodes at a time: bounds the temporaries to some MB per 100 photos


@renamed(matches="found")
def node_facts(
    graph: ExplanatoryGraph,
    found: Matches | None = None,
    *,
    evidence: Mapping[int, float] | pd.Series | None = None,
) -> pd.DataFrame:
    """Collect what is known of every node of a graph.

    Parameters
    ----------
    graph
        P nodes.
    found
        Where they are in N photos: the photos it was mined from, or others. None: what the graph
        itself knows of the photos it was mined from.
    evidence
        By node, how much the logit of the photos' class drops without the node's activation, e.g.
        ``class_evidence(...).table["drop"]``. Nodes that are not in it have NaN.

    Returns
    -------
    One row per node, index ``node``, with the columns

    - ``id``, ``name``, ``layer``, ``filter``;
    - ``fires``: the share of the photos in which its score is at least half of its mean score over
      the photos it was mined from (`ExplanatoryGraph.score`), and above 0;
    - ``mean_score`` over the photos, and ``best_score``;
    - ``y``, ``x``, ``y_spread``, ``x_spread``: score-weighted mean and standard deviation of its
      place, unit square, in the graph's own orientation; NaN if it never scores;
    - ``sure_px``: standard deviation per axis about the predicted place, network pixels: the
      smaller, the surer its place is;
    - ``log_density``: mean log of its density where it fires, per square network pixel: the larger,
      the nearer to its prediction it was found; NaN if it never fires;
    - ``parents``: tuple of their ids;
    - ``others``: tuple of the ids of the filter's other nodes, nearest first: the parts that the
      filter mixes; ``nearest_px``: distance of the mean places to the nearest of them, network
      pixels, NaN if there is none;
    - what `node_kinds` knows of ``contrast``, ``group_gain`` and ``kind``; where the graph has part
      groups ``group``, the number of the node's own, -1 for none;
    - with ``evidence``: ``evidence``.

    Without matches, ``y`` and ``x`` are the mean place in the network's input, by its height and
    width, and ``best_score``, the spreads and ``log_density`` are missing: a graph does not keep
    them.

    Raises
    ------
    ExplGraphError
        If the matches are not of this graph's nodes, or there are no photos.
    """
    import pandas as pd

    _check(graph, found)
    ids = np.array([graph.node_id(node) for node in range(len(graph))], dtype=object)
    others = [_others(graph, node) for node in range(len(graph))]
    facts = {
        "id": ids,
        "name": [graph.names.get(node, "") for node in range(len(graph))],
        "layer": [graph.layers[layer].name for layer in graph.node_layer],
        "filter": graph.node_channel,
        **_firing(graph, found, np.arange(len(graph))),
        "sure_px": graph.spread,
        "parents": [tuple(ids[graph.parents(node)]) for node in range(len(graph))],
        "others": [tuple(ids[other.nodes]) for other in others],
        "nearest_px": [other.nearest_px for other in others],
    }
    known = node_kinds(graph).table
    facts |= {str(name): known[name] for name in known}
    if graph.groups is not None:
        facts["group"] = graph.groups.node_group
    if evidence is not None:
        facts["evidence"] = [float(evidence.get(node, np.nan)) for node in range(len(graph))]
    return pd.DataFrame(facts).rename_axis("node")


@renamed(matches="found")
def describe_node(
    graph: ExplanatoryGraph,
    found: Matches | None,
    node: int | str,
    *,
    evidence: Mapping[int, float] | pd.Series | None = None,
) -> str:
    """Say in a few lines what a node is, from the figures of `node_facts`.

    Parameters
    ----------
    graph, found, evidence
        As in `node_facts`.
    node
        Index, id ``layer/filter/part``, or the name that you gave it.

    Returns
    -------
    A few lines of text.

    Raises
    ------
    ExplGraphError
        As `node_facts`, and if the node does not exist.
    """
    _check(graph, found)
    index = find_node(graph, node)
    facts = {key: float(v[0]) for key, v in _firing(graph, found, np.array([index])).items()}
    lines = [
        _title(graph, index),
        *_place_lines(facts, float(graph.spread[index]), _photos(found)),
        _parents_line(graph, index),
        _others_line(graph, index),
        *_group_lines(graph, index),
        *_kind_lines(graph, index),
    ]
    drop = np.nan if evidence is None else float(evidence.get(index, np.nan))
    if not np.isnan(drop):
        lines.append(f"Without its activation the class logit falls by {drop:.3f}.")
    return "\n".join(lines)


def _photos(found: Matches | None) -> str:
    return "the photos it was mined from" if found is None else f"{len(found)} photos"


def _check(graph: ExplanatoryGraph, found: Matches | None) -> None:
    if found is not None:
        check_nodes(graph, found)
        require(len(found) > 0, "node facts need at least one matched photo, got none")


def _firing(
    graph: ExplanatoryGraph, found: Matches | None, nodes: NDArray[np.intp]
) -> dict[str, NDArray[Any]]:
    """Return by name (p,) how often p nodes fire, how strongly, and where."""
    if found is None:
        y, x = (graph.mu[nodes] / np.array(graph.input_size, dtype=np.float32)).T
        return {"fires": graph.support[nodes], "mean_score": graph.score[nodes], "y": y, "x": x}
    blocks = [
        _firing_block(graph, found, nodes[start : start + _BLOCK])
        for start in range(0, max(len(nodes), 1), _BLOCK)
    ]
    return {name: np.concatenate([block[name] for block in blocks]) for name in blocks[0]}


def _firing_block(
    graph: ExplanatoryGraph, found: Matches, nodes: NDArray[np.intp]
) -> dict[str, NDArray[Any]]:
    found = found.take(nodes=nodes)
    score = found.score.astype(np.float64)
    firing = fires(found.score.T, graph.score[nodes]).T
    mean, spread = _weighted(found.canonical_yx.astype(np.float64), score)
    density, _ = _weighted(found.log_density[..., None].astype(np.float64), firing.astype(float))
    return {
        "fires": firing.mean(axis=0),
        "mean_score": score.mean(axis=0),
        "best_score": score.max(axis=0),
        "y": mean[:, 0],
        "x": mean[:, 1],
        "y_spread": spread[:, 0],
        "x_spread": spread[:, 1],
        "log_density": density[:, 0],
    }


def _weighted(values: F8, weight: F8) -> tuple[F8, F8]:
    """Return (p, D) weighted mean and deviation of (N, p, D) values; NaN without any weight."""
    total = weight.sum(axis=0)[:, None]
    share = np.where(total > 0, weight[..., None] / np.where(total > 0, total, 1), np.nan)
    mean = (share * values).sum(axis=0)
    return mean, np.sqrt((share * (values - mean) ** 2).sum(axis=0))


class _Others(NamedTuple):
    """The other nodes of a node's filter, nearest first."""

    nodes: NDArray[np.intp]
    nearest_px: float


def _others(graph: ExplanatoryGraph, node: int) -> _Others:
    layer = graph.node_layer[node]
    first, stop = np.searchsorted(graph.node_layer, [layer, layer + 1])
    channels = graph.node_channel[first:stop]  # sorted, as layers are
    start, end = first + np.searchsorted(
        channels, [graph.node_channel[node], graph.node_channel[node] + 1]
    )
    nodes = np.delete(np.arange(start, end), node - start)
    distance = np.linalg.norm(graph.mu[nodes] - graph.mu[node], axis=1)
    order = np.argsort(distance, kind="stable")
    return _Others(nodes[order], float(distance[order[0]]) if len(order) else float("nan"))


def _title(graph: ExplanatoryGraph, node: int) -> str:
    name = graph.names.get(node)
    called = f' ("{name}")' if name else ""
    layer = graph.layers[graph.node_layer[node]].name
    rank = int(np.flatnonzero(graph.ranking() == node)[0]) + 1
    return (
        f"{graph.node_id(node)}{called}: a node of filter {graph.node_channel[node]} of layer "
        f"{layer}, number {rank} of {len(graph)} in the graph's ranking."
    )


def _place_lines(facts: Mapping[str, float], spread_px: float, photos: str) -> list[str]:
    """Say where it fires; what a graph without matches does not know is left out."""
    if facts["mean_score"] <= 0:
        return [f"It is found in none of {photos}."]
    best = f", best {facts['best_score']:.3g}" if "best_score" in facts else ""
    y, x = (
        f"{axis} {facts[axis]:.2f}"
        + (f" +- {facts[spread]:.2f}" if (spread := f"{axis}_spread") in facts else "")
        for axis in ("y", "x")
    )
    density = facts.get("log_density", np.nan)
    sure = "" if np.isnan(density) else f"; mean log density where it fires {density:.2f}"
    return [
        f"It fires in {facts['fires']:.0%} of {photos}; mean score {facts['mean_score']:.3g}"
        f"{best}.",
        f"It lies {_region(facts['y'], facts['x'])} of the photo: {y}, {x} (unit square, the "
        "graph's own orientation).",
        f"Its place is sure to {spread_px:.0f} px about the prediction{sure}.",
    ]


def _region(y: float, x: float) -> str:
    """Name a place in words: which third of the height and of the width."""
    rows, columns = ("in the upper", "in the middle", "in the lower"), ("left", "middle", "right")
    row, column = thirds(y, x)
    if row == column == 1:
        return "in the middle"
    if row == 1:
        return f"in the {columns[column]} third"
    return f"{rows[row]} {columns[column]}"


def _parents_line(graph: ExplanatoryGraph, node: int) -> str:
    parents = graph.parents(node)
    if len(parents) == 0:
        return "It has no parents: its place is predicted from nothing above."
    return f"It moves with {counted(len(parents), 'node')} above: {_listed(graph, parents)}."


def _others_line(graph: ExplanatoryGraph, node: int) -> str:
    others, nearest = _others(graph, node)
    if len(others) == 0:
        return "It is the only node of its filter."
    return (
        f"Its filter mixes it with {counted(len(others), 'other node')}, the nearest "
        f"{nearest:.0f} px away: "
        f"{_listed(graph, others)}."
    )


_SAID = {
    "part": "It is a part",
    "texture": "It is texture, now here, now there on the object",
    "background": "It is background",
}


def _kind_lines(graph: ExplanatoryGraph, node: int) -> list[str]:
    """Say what the node is, and by which figures; the figures alone where that is not known."""
    kinds = node_kinds(graph)
    figures = [
        f"{name} {figure[node]:.2f}"
        for name, figure in (("contrast", kinds.contrast), ("group gain", kinds.group_gain))
        if figure is not None
    ]
    if not figures:
        return []
    said = ", ".join(figures)
    if kinds.kind is not None:
        return [f"{_SAID[str(kinds.kind[node])]}: {said}."]
    return [f"{said[0].upper()}{said[1:]}; whether it is a part is not known of this graph."]


def _group_lines(graph: ExplanatoryGraph, node: int) -> list[str]:
    """Say which part group the node is in; nothing where the graph has none."""
    if graph.groups is None:
        return []
    number = int(graph.groups.node_group[node])
    if number == NONE:
        return ["It is in no part group."]
    nodes, title = graph.groups.nodes(number), graph.groups.title(number)
    place = int(np.flatnonzero(nodes == node)[0]) + 1
    return [
        f'It is in part group {number}, "{title}": number {place} of {counted(len(nodes), "node")} '
        "by group gain."
    ]


def _listed(graph: ExplanatoryGraph, nodes: NDArray[Any]) -> str:
    """Name a few nodes, with the user's names where there are any."""
    shown = [int(node) for node in nodes[:_SHOWN]]
    names = [
        f"{graph.node_id(node)} ({graph.names[node]})"
        if node in graph.names
        else graph.node_id(node)
        for node in shown
    ]
    more = len(nodes) - len(shown)
    return ", ".join(names) + (f" and {more} more" if more else "")
