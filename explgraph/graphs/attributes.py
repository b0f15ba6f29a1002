"""Nodes and edges of a graph as plain values, which any format holds."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, Literal

from explgraph.base.arrays import NONE
from explgraph.base.errors import require

from .effects import EdgeEffects
from .graph import ExplanatoryGraph

if TYPE_CHECKING:
    import networkx as nx
    import pandas as pd


EdgeKind = Literal["moves with", "is made of"]
"""What an edge says of a child and a parent: that they move together, or that the child's cells
carry a part of the parent's response."""

MOVES_WITH: EdgeKind = "moves with"
IS_MADE_OF: EdgeKind = "is made of"

_HEADER_KEYS = ("model", "weight_hash", "seed")
# XML 1.0 cannot hold these, nor UTF-8 a lone surrogate; XML turns a carriage return into a newline.
_UNWRITABLE = re.compile("[^\t\n\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


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
    if graph.groups is not None:
        titles = [writable(graph.groups.title(group)) for group in range(len(graph.groups))]
        names = [titles[group] if group != NONE else "" for group in frame["group"]]
        frame.insert(list(frame.columns).index("group") + 1, "group_name", names)
    return _rows(frame)


def writable(text: str) -> str:
    """Replace what GraphML cannot hold by spaces."""
    return _UNWRITABLE.sub(" ", text)


def finished(network: nx.DiGraph) -> nx.DiGraph:
    """Return a graph for other programs whose text, keys of nodes too, any of their formats holds.

    Empty names are left out: igraph takes ``name`` for a key of its own.

    Raises
    ------
    ExplGraphError
        If two nodes then have one key.
    """
    import networkx as nx

    nodes = [known for _, known in network.nodes(data=True)]
    for known in nodes:
        if known.get("name") == "":
            del known["name"]
    for known in (network.graph, *nodes, *(known for *_, known in network.edges(data=True))):
        known.update({k: writable(value) for k, value in known.items() if isinstance(value, str)})
    keys = {key: writable(key) for key in network}
    require(
        len(set(keys.values())) == len(keys),
        "two layers have names that differ in control characters alone, which XML cannot hold",
    )
    # A copy keeps the order, which relabelling in place does not.
    is_clean = all(old == new for old, new in keys.items())
    return network if is_clean else nx.relabel_nodes(network, keys)


def edge_attributes(graph: ExplanatoryGraph) -> Iterator[dict[str, Any]]:
    """Yield each edge's attributes as plain scalars, as `to_networkx` describes them."""
    return _rows(graph.edges.drop(columns=["child", "parent"]))


def effect_attributes(effects: EdgeEffects) -> Iterator[dict[str, Any]]:
    """Yield the attributes of each edge "is made of" as plain scalars."""
    return _rows(effects.table.drop(columns=["child", "parent"]))


def _rows(frame: pd.DataFrame) -> Iterator[dict[str, Any]]:
    """Yield a table's rows; ``tolist`` turns NumPy scalars into Python's."""
    names = [str(name) for name in frame.columns]
    columns = [frame[name].tolist() for name in names]
    return (dict(zip(names, values, strict=True)) for values in zip(*columns, strict=True))
