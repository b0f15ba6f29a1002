"""And-Or graphs as a networkx graph, for other programs."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from explgraph.graphs.attributes import edge_attributes, finished, graph_attributes, node_attributes

from .structures import AndOrGraph, Parts

if TYPE_CHECKING:
    import networkx as nx

    from explgraph.graphs.graph import ExplanatoryGraph


_OF_FILTERS = ("layer", "layer_index", "channel")


def parts_network(parts: Parts) -> nx.DiGraph:
    """Turn And-Or graphs into one networkx directed graph with plain attributes.

    All attributes are plain int, float or str, so GraphML, GEXF, node-link JSON and DOT hold them;
    in all text, control characters become spaces, and what is not known is left out. Pixels are
    the network input's.

    Returns
    -------
    Nodes have a ``kind``:

    - "part", key ``part:head``: ``part`` (its name), ``visible_from``;
    - "template", key ``template:head/0``: ``part``, ``template``, ``clicks``, ``centre_y_px``,
      ``centre_x_px``, ``height_px``, ``width_px``;
    - "pattern", key ``pattern:head/0/layer/filter/number``: ``part``, ``template``, ``group``,
      ``node`` (index in `Parts.graph`), ``layer``, ``layer_index``, ``channel``, ``number``,
      ``name``, ``y``, ``x`` (mean position, unit square), ``dy_px``, ``dx_px`` (from its peak to
      the part's centre), ``spread_px``, ``weight``, ``scale``;
    - "terminal", key ``peaks:layer/filter``, the peaks of a filter, shared by its patterns:
      ``layer``, ``layer_index``, ``channel``.

    Edges have a ``relation``: "one of" from a part to its templates (OR), "all of" from a template
    to its patterns (AND), "one peak of" from a pattern to its terminal (OR); and "moves with" from
    a pattern to one of the same template that is its parent in the explanatory graph, with
    ``dy_px``, ``dx_px`` (mean of child minus parent), ``spread_px``, and ``correlation``
    where known. Graph attributes are those of `to_networkx`.
    """
    import networkx as nx

    result = nx.DiGraph(**graph_attributes(parts.graph))
    known = list(node_attributes(parts.graph)), list(edge_attributes(parts.graph))
    for aog in parts.aogs:
        about = _finite({"visible_from": aog.visible_from})
        result.add_node(f"part:{aog.part}", kind="part", part=aog.part, **about)
        for template in range(len(aog)):
            _add_template(result, parts.graph, (aog, template), known)
    return finished(result)


_Rows = list[dict[str, Any]]


def _add_template(
    result: nx.DiGraph,
    graph: ExplanatoryGraph,
    which: tuple[AndOrGraph, int],
    known: tuple[_Rows, _Rows],
) -> None:
    """Add a template with its patterns; ``known`` are the attributes of all nodes and edges."""
    aog, template = which
    place: dict[str, Any] = {"part": aog.part, "template": template}
    key = f"template:{aog.part}/{template}"
    result.add_node(key, kind="template", **place, **_template_attributes(aog, template))
    result.add_edge(f"part:{aog.part}", key, relation="one of")
    keys: dict[int, str] = {}
    for q in range(*aog.start[template : template + 2].tolist()):
        node = int(aog.node[q])
        own = known[0][node]
        keys[node] = f"pattern:{aog.part}/{template}/{graph.node_id(node)}"
        terminal = f"peaks:{own['layer']}/{own['channel']}"
        result.add_node(keys[node], kind="pattern", **place, **_pattern_attributes(aog, q, own))
        result.add_node(terminal, kind="terminal", **{name: own[name] for name in _OF_FILTERS})
        result.add_edge(key, keys[node], relation="all of")
        result.add_edge(keys[node], terminal, relation="one peak of")
    is_pattern = np.zeros(len(graph), dtype=bool)
    is_pattern[list(keys)] = True
    for edge in np.flatnonzero(is_pattern[graph.edge_child] & is_pattern[graph.edge_parent]):
        ends = keys[int(graph.edge_child[edge])], keys[int(graph.edge_parent[edge])]
        result.add_edge(*ends, relation="moves with", **known[1][edge])


def _template_attributes(aog: AndOrGraph, template: int) -> dict[str, Any]:
    (y, x), (height, width) = aog.centre[template].tolist(), aog.size[template].tolist()
    sizes = _finite({"height_px": height, "width_px": width})
    return {"clicks": float(aog.clicks[template]), "centre_y_px": y, "centre_x_px": x, **sizes}


def _pattern_attributes(aog: AndOrGraph, q: int, own: dict[str, Any]) -> dict[str, Any]:
    dy, dx = aog.displacement[q].tolist()
    return {
        "group": int(aog.group[q]),
        "node": int(aog.node[q]),
        **{name: own[name] for name in (*_OF_FILTERS, "name", "y", "x")},
        "number": own["part"],
        "dy_px": dy,
        "dx_px": dx,
        "spread_px": float(aog.spread[q]),
        "weight": float(aog.weight[q]),
        "scale": float(aog.scale[q]),
    }


def _finite(values: dict[str, float]) -> dict[str, float]:
    """Leave out what is not known: JSON has no word for it."""
    return {name: value for name, value in values.items() if math.isfinite(value)}
