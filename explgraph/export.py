"""Graphs for other programs: networkx, GraphML, JSON, pictures."""

from __future__ import annotations

import io
import json
import xml.etree.ElementTree as ET
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Unpack, overload

from explgraph.base.errors import check_options, require, unknown_name
from explgraph.base.files import PathLike
from explgraph.base.writing import check_writable, write_bytes
from explgraph.graphs.attributes import (
    IS_MADE_OF,
    MOVES_WITH,
    edge_attributes,
    effect_attributes,
    finished,
    graph_attributes,
    node_attributes,
)
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
    hold them; in all text, control characters become spaces.

    Of a graph that knows what responses are made of (`edge_effects`) the result is a MultiDiGraph:
    two nodes may have an edge of each kind, and the kind is the edge's key. Of others it is a
    DiGraph whose edges all are of the kind "moves with".

    Parameters
    ----------
    graph
        An explanatory graph, or And-Or graphs.

    Returns
    -------
    Node attributes: ``layer`` (name), ``layer_index`` (0 lowest), ``channel``, ``part``, ``name``
    (the user's own; missing without one), ``y``, ``x`` (mean position, unit
    square), ``spread_px``, ``weight``, ``score``, ``support``, ``gain``; where they are known
    ``contrast``, ``group`` (number, -1 if in none), ``group_name`` and ``group_gain``. Edge
    attributes: ``kind``; of "moves with" ``dy_px``, ``dx_px`` (mean of child minus parent),
    ``spread_px`` (pixels of the network's input), and ``correlation`` where known; of "is made of"
    ``effect`` (signed share of the parent's response) and ``photos`` (of how many it is the mean).
    Graph attributes: ``layers`` (names, lowest first, separated by commas), ``input_height``,
    ``input_width``, and of the header ``model``, ``weight_hash``, ``seed``, where they are known.
    """
    import networkx as nx

    if not isinstance(graph, ExplanatoryGraph):
        from aog.network import parts_network

        return parts_network(graph)
    ids = [graph.node_id(i) for i in range(len(graph))]
    effects = graph.effects
    of_type = nx.DiGraph if effects is None else nx.MultiDiGraph
    result: nx.DiGraph = of_type(**graph_attributes(graph))
    result.add_nodes_from(zip(ids, node_attributes(graph), strict=True))
    tables = [(MOVES_WITH, graph.edge_child, graph.edge_parent, edge_attributes(graph))]
    if effects is not None:
        tables.append((IS_MADE_OF, effects.child, effects.parent, effect_attributes(effects)))
    for kind, child, parent, rows in tables:
        key = {} if effects is None else {"key": kind}
        for c, p, known in zip(child.tolist(), parent.tolist(), rows, strict=True):
            result.add_edge(ids[c], ids[p], **key, kind=kind, **known)
    return finished(result)


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

    ``.graphml``, ``.gexf`` (for Gephi) and ``.json`` (node-link, with the key "edges") hold
    `to_networkx`'s graph; ``.dot``, ``.svg``, ``.pdf`` and ``.png`` hold the picture of
    `draw_graph`, or of `aog.drawing.draw.draw_parts`.

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
        explanatory graph also ``level``, ``arrangement``, ``edges`` and ``parents_per_node``: see
        `GraphView`. The data formats hold nodes, and all edges of both kinds.

    Raises
    ------
    ExplGraphError
        For an unknown suffix, for thumbnails in a data format, and as `choose` and `draw_graph` do.
    """
    from aog.drawing.draw import draw_parts
    from explgraph.drawing.graph.draw import GraphView, draw_graph, node_choice
    from explgraph.drawing.rendering import PICTURE_FORMATS

    check_options("export_graph", view, GraphView)
    suffix = Path(path).suffix.lower().removeprefix(".")
    if suffix not in PICTURE_FORMATS and suffix not in _DATA_FORMATS:
        valid = [*PICTURE_FORMATS, *_DATA_FORMATS]
        raise unknown_name(
            "format", f".{suffix}", [f".{s}" for s in valid], f"Valid: {', '.join(valid)}"
        )
    if not isinstance(graph, ExplanatoryGraph):
        given = [name for name, value in view.items() if value is not None]
        require(not given, f"{given} choose nodes of an explanatory graph: And-Or graphs have none")
    check_writable(path)
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

    if graph.is_multigraph():
        # The key becomes the edge's id, of which GraphML wants no two alike and no blanks.
        edges = [(*ends, data) for *ends, data in graph.edges(data=True)]
        numbered = nx.MultiDiGraph(**graph.graph)
        numbered.add_nodes_from(graph.nodes(data=True))
        numbered.add_edges_from((c, p, f"e{i}", data) for i, (c, p, data) in enumerate(edges))
        graph = numbered
    buffer = io.BytesIO()
    nx.write_graphml(graph, buffer)
    return buffer.getvalue()


def _gexf(graph: nx.DiGraph) -> bytes:
    import networkx as nx

    buffer = io.BytesIO()
    nx.write_gexf(graph, buffer, version="1.3")
    ET.register_namespace("", _GEXF)
    root = ET.fromstring(buffer.getvalue())
    meta = root.find(f"{{{_GEXF}}}meta")
    assert meta is not None
    meta.attrib.clear()  # of the day that it was written: equal graphs give equal bytes
    about = "; ".join(f"{key}: {value}" for key, value in graph.graph.items())
    ET.SubElement(meta, f"{{{_GEXF}}}description").text = about
    # Gephi makes one edge of two between the same nodes unless they are of different kinds.
    for edge, known in zip(root.iter(f"{{{_GEXF}}}edge"), graph.edges(data=True), strict=True):
        edge.set("kind", known[-1].get("kind") or known[-1].get("relation", ""))
    return bytes(ET.tostring(root, encoding="utf-8", xml_declaration=True))


def _json(graph: nx.DiGraph) -> bytes:
    import networkx as nx

    data = nx.node_link_data(graph, edges="edges")
    return (json.dumps(data, indent=1, allow_nan=False, ensure_ascii=False) + "\n").encode()


_GEXF = "http://gexf.net/1.3"
_DATA_FORMATS: dict[str, Callable[[nx.DiGraph], bytes]] = {
    "graphml": _graphml,
    "gexf": _gexf,
    "json": _json,
}
