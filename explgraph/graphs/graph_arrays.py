"""A graph as arrays: what must hold among them, what a file holds of them, and their hash."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from explgraph.base.errors import require
from explgraph.base.formats.columns import EFFECTS, GRAPH, GROUPS, MINED_CHANNELS, layer_arrays
from explgraph.base.layer import LayerSpec
from explgraph.base.schema import Columns

from .effects import EdgeEffects
from .groups import PartGroups

if TYPE_CHECKING:
    from .graph import ExplanatoryGraph


EDGE_ENDS = ("edge_child", "edge_parent")


def along(graph: ExplanatoryGraph, letter: str) -> dict[str, Any]:
    """Return the arrays, by name, whose first axis is of this letter: P nodes, E edges."""
    found = {name: getattr(graph, name) for name, c in GRAPH.items() if c.shape[0] == letter}
    return {name: array for name, array in found.items() if array is not None}


def check_indices(graph: ExplanatoryGraph) -> None:
    """Check that nodes, edges and layers name each other rightly, and are in order."""
    channels = np.array([layer.channels for layer in graph.layers], dtype=np.int64)
    layer = graph.node_layer.astype(np.int64)
    require(
        bool(np.all(graph.node_channel < channels[layer])),
        "ExplanatoryGraph: a node names a filter that its layer does not have",
    )
    require(
        bool(np.all(np.diff(graph.edge_child) >= 0)), "ExplanatoryGraph: edges must be by child"
    )
    filters = layer * (channels.max(initial=0) + 1) + graph.node_channel
    require(
        bool(np.all(np.diff(filters) >= 0)),
        "ExplanatoryGraph: nodes must be ordered by layer, then filter",
    )
    require(
        bool(np.all(layer[graph.edge_parent] > layer[graph.edge_child])),
        "ExplanatoryGraph: a parent must lie in a layer above its child's",
    )


def arrays_of(graph: ExplanatoryGraph) -> tuple[dict[str, NDArray[Any]], dict[str, Any]]:
    """Return what a file holds: arrays by name, and a header of JSON values."""
    arrays = {name: getattr(graph, name) for name in GRAPH if getattr(graph, name) is not None}
    for name in MINED_CHANNELS:
        for i, row in enumerate(getattr(graph, name)):
            arrays[f"{name}.{i}"] = row
    more: dict[str, Any] = {}
    for name, held in (("groups", graph.groups), ("effects", graph.effects)):
        if held is not None:
            arrays |= {f"{name}.{key}": array for key, array in held.to_arrays().items()}
    if graph.groups is not None:
        more["group_names"] = list(graph.groups.names)
    header = {
        **graph.header,
        **more,
        "layers": [layer.to_json() for layer in graph.layers],
        "input_size": list(graph.input_size),
        "names": {str(i): name for i, name in graph.names.items()},
    }
    return arrays, header


def fields_of(arrays: Mapping[str, NDArray[Any]], header: Mapping[str, Any]) -> dict[str, Any]:
    """Return the fields of a graph from what `arrays_of` gave."""
    about = dict(header)
    layers = tuple(LayerSpec.from_json(v) for v in about.pop("layers"))
    height, width = about.pop("input_size")
    held: dict[str, Any] = {name: arrays[name] for name in GRAPH if name in arrays}
    groups, group_names = _part_of("groups", GROUPS, arrays), about.pop("group_names", None)
    require(
        bool(groups) == (group_names is not None),
        "group_names and the arrays of groups must be there together",
    )
    if groups:
        held["groups"] = PartGroups((height, width), **groups, names=tuple(group_names))
    effects = _part_of("effects", EFFECTS, arrays)
    if effects:
        held["effects"] = EdgeEffects(**effects)
    return {
        "layers": layers,
        "input_size": (height, width),
        **layer_arrays(MINED_CHANNELS, arrays, layers),
        **held,
        "names": {int(i): name for i, name in about.pop("names").items()},
        "header": about,
    }


def _part_of(kind: str, columns: Columns, arrays: Mapping[str, NDArray[Any]]) -> dict[str, Any]:
    """Return the arrays of a kind, by their names within it; none if they are not there."""
    names = {name: f"{kind}.{name}" for name in columns}
    return {name: arrays[key] for name, key in names.items() if key in arrays}


def graph_hash(graph: ExplanatoryGraph) -> str:
    """Return a SHA-256 of what decides a match: places, weights, poses, noise, edges, facing."""
    digest = hashlib.sha256()
    for array in (
        graph.mu,
        graph.weight,
        graph.pose_weight,
        graph.pose_offset,
        graph.node_pose,
        *graph.noise,
        graph.node_layer,
        graph.node_channel,
        graph.edge_child,
        graph.edge_parent,
    ):
        digest.update(array.tobytes())
    if graph.facing is not None:
        digest.update(graph.facing.tobytes())
    return digest.hexdigest()
