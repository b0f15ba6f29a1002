"""Graphs for other programs: networkx, GraphML, JSON, pictures."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Unpack, overload

from explgraph.base.errors import require, unknown_name
from explgraph.base.files import PathLike, write_bytes
from explgraph.graphs.attributes import edge_attributes, graph_attributes, node_attributes
from explgraph.graphs.choice import choose
from explgraph.graphs.graph import ExplanatoryGraph

if TYPE_CHECKING:
    import networkx as nx

    from aog.structures import Parts
    from explgraph.drawing.graph.draw import GraphView
    from explgraph.graphs.matches import Matches


@overload
def to_networkx(graph: ExplanatoryGraph) -> nx.DiGraph: ...
@overload
def to_networkx(graph: Parts) -> nx.DiGraph: ...
def to_networkx(graph: ExplanatoryGraph | Parts) -> nx.DiGraph:
    """Turn a graph into a networkx directed graph with plain attributes.

    For And-Or graphs see `aog.network.parts_network`; the following holds for an
    explanatory graph. Nodes are keyed by their id, ``layer/filter/part``; edges lead from child to
    parent. All attributes are plain int, float or str, so GraphML, GEXF, node-link JSON and DOT
    hold them.

    Parameters
    ----------
    graph
        An explanatory graph, or And-Or graphs.

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
        from aog.network import parts_network

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


@overload
def export_graph(
    graph: ExplanatoryGraph,
    path: PathLike,
    *,
    thumbnails: bool = False,
    found: Matches | None = None,
    images: object = None,
    **view: Unpack[GraphView],
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
    **view: Unpack[GraphView],
) -> None:
    """Write a graph, or a part of it, in the format that the file name's suffix asks for.

    ``.graphml`` and ``.json`` (node-link, with the key "edges") hold `to_networkx`'s graph;
    ``.dot``, ``.svg``, ``.pdf`` and ``.png`` hold the picture of `draw_graph`, or of
    `aog.drawing.draw.draw_parts`.

    Parameters
    ----------
    graph
        The graph; or And-Or graphs, which are written whole: there is no choice of nodes.
    path
        The file; missing folders are made, and an old file is replaced only by a whole new one.
    thumbnails, found, images
        For pictures: show the nodes as patches of the ``images`` in which they were ``found``.
    **view
        Which nodes: ``nodes``, ``nodes_per_layer``, ``min_score``, ``around``; for pictures of an
        explanatory graph also ``level``, ``arrangement`` and ``parents_per_node``: see `GraphView`.
        The data formats hold nodes, and all edges.

    Raises
    ------
    ExplGraphError
        For an unknown suffix, for thumbnails in a data format, and as `choose` and `draw_graph` do.
    """
    from aog.drawing.draw import draw_parts
    from explgraph.drawing.graph.draw import draw_graph, node_choice
    from explgraph.drawing.rendering import PICTURE_FORMATS

    suffix = Path(path).suffix.lower().removeprefix(".")
    if suffix not in PICTURE_FORMATS and suffix not in _DATA_FORMATS:
        valid = [*PICTURE_FORMATS, *_DATA_FORMATS]
        raise unknown_name(
            "format", f".{suffix}", [f".{s}" for s in valid], f"Valid: {', '.join(valid)}"
        )
    if not isinstance(graph, ExplanatoryGraph):
        given = [name for name, value in view.items() if value is not None]
        require(not given, f"{given} choose nodes of an explanatory graph: And-Or graphs have none")
    if suffix in _DATA_FORMATS:
        require(not thumbnails, f".{suffix} holds no thumbnails: write .svg, .pdf or .png")
        kept = choose(graph, **node_choice(view)) if isinstance(graph, ExplanatoryGraph) else graph
        write_bytes(path, _DATA_FORMATS[suffix](to_networkx(kept)))
        return
    if not isinstance(graph, ExplanatoryGraph):
        draw_parts(graph, path, thumbnails=thumbnails, found=found, images=images)
        return
    draw_graph(graph, path, thumbnails=thumbnails, found=found, images=images, **view)


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
