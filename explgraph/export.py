"""Graphs for other programs: networkx, GraphML, JSON, pictures; and the part worth showing."""

from __future__ import annotations

import io
import json
import re
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypedDict, Unpack, overload

import numpy as np

from .errors import require, unknown_name
from .graph import ExplanatoryGraph
from .storage import PathLike, write_bytes

if TYPE_CHECKING:
    import networkx as nx
    import pandas as pd

    from aog.structures import Parts

    from .drawing import Arrangement
    from .matches import Matches

_HEADER_KEYS = ("model", "weight_hash", "seed")
# XML 1.0 cannot hold these, nor UTF-8 a lone surrogate; XML turns a carriage return into a newline.
_UNWRITABLE = re.compile("[^\t\n\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


@overload
def to_networkx(graph: ExplanatoryGraph) -> nx.DiGraph: ...
@overload
def to_networkx(graph: Parts) -> nx.DiGraph: ...
def to_networkx(graph: ExplanatoryGraph | Parts) -> nx.DiGraph:
    """Turn a graph into a networkx directed graph with plain attributes.

    For And-Or graphs see `explgraph.part_network.parts_network`; the following holds for an
    explanatory graph. Nodes are keyed by their id, ``layer/filter/part``; edges lead from child to
    parent. All attributes are plain int, float or str, so GraphML, GEXF, node-link JSON and DOT
    hold them.

    Returns
    -------
    Node attributes: ``layer`` (name), ``layer_index`` (0 lowest), ``channel``, ``part``, ``name``
    (the user's own, or ""; control characters become spaces), ``y``, ``x`` (mean position, unit
    square), ``spread_px``, ``weight``, ``score``, ``support``, ``gain``. Edge attributes:
    ``dy_px``, ``dx_px`` (mean of child minus parent), ``spread_px``, ``coactivation``; pixels are
    the network input's. Graph attributes: ``layers`` (names, lowest first, separated by commas),
    ``input_height``, ``input_width``, and of the header ``model``, ``weight_hash``, ``seed``, where
    they are known.
    """
    import networkx as nx

    if not isinstance(graph, ExplanatoryGraph):
        from .part_network import parts_network

        return parts_network(graph)
    ids = [graph.node_id(i) for i in range(len(graph))]
    result = nx.DiGraph(**graph_attributes(graph))
    result.add_nodes_from(zip(ids, node_attributes(graph), strict=True))
    ends = zip(graph.edge_child.tolist(), graph.edge_parent.tolist(), strict=True)
    result.add_edges_from(
        (ids[child], ids[parent], attributes)
        for (child, parent), attributes in zip(ends, edge_attributes(graph), strict=True)
    )
    return result


def graph_attributes(graph: ExplanatoryGraph) -> dict[str, str | int]:
    """Return what is known of a whole graph as plain scalars, as `to_networkx` describes it."""
    known = {key: graph.header[key] for key in _HEADER_KEYS if graph.header.get(key) is not None}
    return {
        "layers": ",".join(layer.name for layer in graph.layers),
        "input_height": int(graph.input_size[0]),
        "input_width": int(graph.input_size[1]),
        **{key: value if isinstance(value, int) else str(value) for key, value in known.items()},
    }


def node_attributes(graph: ExplanatoryGraph) -> Iterator[dict[str, Any]]:
    """Yield each node's attributes as plain scalars, as `to_networkx` describes them."""
    frame = graph.nodes.drop(columns=["id", "y_px", "x_px"])
    frame.insert(1, "layer_index", graph.node_layer)
    frame["name"] = [writable(name) for name in frame["name"]]
    return _rows(frame)


def writable(text: str) -> str:
    """Replace what GraphML cannot hold by spaces."""
    return _UNWRITABLE.sub(" ", text)


def edge_attributes(graph: ExplanatoryGraph) -> Iterator[dict[str, Any]]:
    """Yield each edge's attributes as plain scalars, as `to_networkx` describes them."""
    return _rows(graph.edges.drop(columns=["child", "parent"]))


def _rows(frame: pd.DataFrame) -> Iterator[dict[str, Any]]:
    """Yield a table's rows; ``tolist`` turns NumPy scalars into Python's."""
    names = [str(name) for name in frame.columns]
    columns = [frame[name].tolist() for name in names]
    return (dict(zip(names, values, strict=True)) for values in zip(*columns, strict=True))


def prune(
    graph: ExplanatoryGraph,
    *,
    nodes: Iterable[str | int] | None = None,
    nodes_per_layer: int | None = None,
    min_score: float | None = None,
    family_of: str | int | None = None,
) -> ExplanatoryGraph:
    """Return the part of a graph worth showing. Conditions are applied in the order below.

    Parameters
    ----------
    graph
        The graph.
    nodes
        Keep these (indices, ids or user's names); not together with ``family_of``.
    family_of
        Keep this node (index, id ``layer/filter/part`` or user's name), its ancestors and its
        descendants. The node itself survives the other conditions: it is kept whatever its score,
        and is alone in its layer.
    min_score
        Keep nodes with at least this score.
    nodes_per_layer
        Keep so many nodes of each layer: the best by `ExplanatoryGraph.ranking`, below the top
        layer those first that have a parent among the nodes kept, so that edges show.

    Raises
    ------
    ExplGraphError
        If a node does not exist, a number is out of range, or no node is left.
    """
    require(
        nodes is None or family_of is None,
        "nodes and a node's family (around) are two ways to choose: give one of them",
    )
    require(
        nodes_per_layer is None or nodes_per_layer >= 1,
        f"nodes_per_layer must be at least 1, got {nodes_per_layer}",
    )
    kept, focus = graph, None
    if nodes is not None:
        kept = graph.select([find_node(graph, node) for node in nodes])
        require(len(kept) > 0, "nodes is empty: name at least one, or leave it out for all")
    if family_of is not None:
        node = find_node(graph, family_of)
        kept, focus = graph.family(node), graph.node_id(node)
    if min_score is not None:
        is_focus = np.array([kept.node_id(i) == focus for i in range(len(kept))], dtype=bool)
        kept = kept.select(is_focus | (kept.score >= min_score))
    if nodes_per_layer is not None:
        kept = kept.best(nodes_per_layer, linked=True)
    highest = graph.score.max(initial=0)
    require(
        len(kept) > 0 or len(graph) == 0,
        f"no node has a score of at least {min_score}: the highest is {highest:.4g}",
    )
    return kept


class NodeChoice(TypedDict, total=False):
    """Which nodes of a graph to draw or to write; every entry may be left out.

    Attributes
    ----------
    nodes, nodes_per_layer, min_score
        As in `prune`.
    around
        A node, by index, id or user's name: only it, its ancestors and its descendants; the
        ``family_of`` of `prune`.
    """

    nodes: Iterable[str | int] | None
    nodes_per_layer: int | None
    min_score: float | None
    around: str | int | None


def choose(
    graph: ExplanatoryGraph,
    *,
    nodes: Iterable[str | int] | None = None,
    nodes_per_layer: int | None = None,
    min_score: float | None = None,
    around: str | int | None = None,
) -> ExplanatoryGraph:
    """Return the part of a graph that a `NodeChoice` asks for."""
    return prune(
        graph,
        nodes=nodes,
        nodes_per_layer=nodes_per_layer,
        min_score=min_score,
        family_of=around,
    )


def find_node(graph: ExplanatoryGraph, node: str | int) -> int:
    """Return the index of a node given by index, id or user's name (the lowest on a tie).

    Raises
    ------
    ExplGraphError
        If there is none, naming the nearest ones.
    """
    if not isinstance(node, str):
        require(0 <= node < len(graph), f"node {node} does not exist: the graph has {len(graph)}")
        return int(node)
    ids = {graph.node_id(i): i for i in range(len(graph))}
    names = {name: i for i, name in sorted(graph.names.items(), reverse=True)}
    if node not in ids and node not in names:
        raise unknown_name("node", node, [*names, *ids], "graph.nodes lists them")
    return ids[node] if node in ids else names[node]


@overload
def export_graph(
    graph: ExplanatoryGraph,
    path: PathLike,
    *,
    thumbnails: bool = False,
    found: Matches | None = None,
    images: object = None,
    arrangement: Arrangement = "layers",
    parents_per_node: int = 3,
    **choice: Unpack[NodeChoice],
) -> None: ...
@overload
def export_graph(
    graph: Parts,
    path: PathLike,
    *,
    thumbnails: bool = False,
    found: Matches | None = None,
    images: object = None,
) -> None: ...
def export_graph(
    graph: ExplanatoryGraph | Parts,
    path: PathLike,
    *,
    thumbnails: bool = False,
    found: Matches | None = None,
    images: object = None,
    arrangement: Arrangement = "layers",
    parents_per_node: int = 3,
    **choice: Unpack[NodeChoice],
) -> None:
    """Write a graph, or a part of it, in the format that the file name's suffix asks for.

    ``.graphml`` and ``.json`` (node-link, with the key "edges") hold `to_networkx`'s graph;
    ``.dot``, ``.svg``, ``.pdf`` and ``.png`` hold the picture of `draw_graph`, or of
    `explgraph.part_drawing.draw_parts`.

    Parameters
    ----------
    graph
        The graph; or And-Or graphs, which are written whole: there is no choice of nodes.
    path
        The file; missing folders are made, and an old file is replaced only by a whole new one.
    thumbnails, found, images
        For pictures: show the nodes as patches of the ``images`` in which they were ``found``.
    arrangement, parents_per_node
        For pictures of an explanatory graph: see `draw_graph`. The data formats hold all edges.
    **choice
        ``nodes``, ``nodes_per_layer``, ``min_score``, ``around``: which nodes, see `NodeChoice`.

    Raises
    ------
    ExplGraphError
        For an unknown suffix, for thumbnails in a data format, and as `prune` and `draw_graph` do.
    """
    from .drawing import draw_graph
    from .part_drawing import draw_parts
    from .rendering import PICTURE_FORMATS

    suffix = Path(path).suffix.lower().removeprefix(".")
    if suffix not in PICTURE_FORMATS and suffix not in _DATA_FORMATS:
        valid = [*PICTURE_FORMATS, *_DATA_FORMATS]
        raise unknown_name(
            "format", f".{suffix}", [f".{s}" for s in valid], f"Valid: {', '.join(valid)}"
        )
    if not isinstance(graph, ExplanatoryGraph):
        given = [name for name, value in choice.items() if value is not None]
        require(not given, f"{given} choose nodes of an explanatory graph: And-Or graphs have none")
    if suffix in _DATA_FORMATS:
        require(not thumbnails, f".{suffix} holds no thumbnails: write .svg, .pdf or .png")
        kept = choose(graph, **choice) if isinstance(graph, ExplanatoryGraph) else graph
        write_bytes(path, _DATA_FORMATS[suffix](to_networkx(kept)))
        return
    if not isinstance(graph, ExplanatoryGraph):
        draw_parts(graph, path, thumbnails=thumbnails, found=found, images=images)
        return
    draw_graph(
        graph,
        path,
        thumbnails=thumbnails,
        found=found,
        images=images,
        arrangement=arrangement,
        parents_per_node=parents_per_node,
        **choice,
    )


def _graphml(graph: nx.DiGraph) -> bytes:
    import networkx as nx

    buffer = io.BytesIO()
    nx.write_graphml(graph, buffer)
    return buffer.getvalue()


def _json(graph: nx.DiGraph) -> bytes:
    import networkx as nx

    data = nx.node_link_data(graph, edges="edges")
    return (json.dumps(data, indent=1, allow_nan=False, ensure_ascii=False) + "\n").encode()


_DATA_FORMATS: dict[str, Callable[[nx.DiGraph], bytes]] = {
    "graphml": _graphml,
    "json": _json,
}
