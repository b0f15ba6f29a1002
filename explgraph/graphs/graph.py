"""The explanatory graph: nodes are part patterns of filters, edges tie those that move together."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from explgraph.base.arrays import F4, I4, frozen
from explgraph.base.errors import check_finite, check_shape, require, unknown_name
from explgraph.base.files import PathLike, read_arrays, whole_file, write_arrays
from explgraph.base.layer import LayerSpec

if TYPE_CHECKING:
    import pandas as pd

    from .node import Node


_BORDER = 0.1  # share of the side
_NODE_FLOATS = ("spread", "weight", "score", "support", "gain")
_NODE_INTS = ("node_layer", "node_channel", "node_part")
_NODE_ARRAYS = (*_NODE_INTS, "mu", "node_pose", *_NODE_FLOATS)
_POSE_MAP = ("pose_weight", "pose_offset")
_EDGE_INTS = ("edge_child", "edge_parent")
_EDGE_FLOATS = ("edge_spread", "edge_coactivation")


@dataclass(frozen=True, eq=False, slots=True, weakref_slot=True)
class ExplanatoryGraph:
    """P nodes in L layers and E edges from child to parent (the layer above). Arrays are read-only.

    Attributes
    ----------
    layers
        The mined layers, lowest first.
    input_size
        (H_in, W_in) of the network's input, pixels; `mu`, `spread` and displacements use them.
    channel_mean, channel_scale
        Per layer (C,): m_c and s_c of the response max((a - m_c) / s_c, 0).
    noise
        Per layer (C,): pi_0, the share of a filter's response that no node explains.
    node_layer, node_channel, node_part
        (P,) layer index, filter, and number of the part among the filter's nodes, 0 the best.
        Nodes are ordered by layer, filter, part.
    mu
        (P, 2) mean position, graph orientation.
    spread
        (P,) standard deviation per axis about the predicted position.
    weight
        (P,) mixture weight w_V.
    score
        (P,) mean over the mining photos of response times responsibility.
    support
        (P,) share of the mining photos in which the node fires: scores half its mean or more.
    gain
        (P,) held-out gain in log-likelihood over noise, per photo: the rank of a node.
    pose_weight, pose_offset
        (D, Q), (Q,): the linear map from a photo's D pooled peaks to its pose of Q numbers, which
        have mean 0 and variance 1 over the mining photos; (0, 0) and (0,) without poses.
    node_pose
        (P, 2, Q) how far one unit of pose moves a node, pixels.
    edge_child, edge_parent
        (E,) node indices, ordered by child, then parent.
    edge_displacement, edge_spread
        (E, 2), (E,) mean of p_child - p_parent and its standard deviation per axis.
    edge_coactivation
        (E,) how often both fire, over what chance would give (1 = chance).
    names
        The user's own node names, by node index.
    header
        JSON values: model, weight hash, preprocessing, seed, config, versions.
    """

    layers: tuple[LayerSpec, ...]
    input_size: tuple[int, int]
    channel_mean: tuple[F4, ...]
    channel_scale: tuple[F4, ...]
    noise: tuple[F4, ...]
    node_layer: I4
    node_channel: I4
    node_part: I4
    mu: F4
    spread: F4
    weight: F4
    score: F4
    support: F4
    gain: F4
    pose_weight: F4
    pose_offset: F4
    node_pose: F4
    edge_child: I4
    edge_parent: I4
    edge_displacement: F4
    edge_spread: F4
    edge_coactivation: F4
    names: Mapping[int, str] = field(default_factory=dict)
    header: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        p, e, q = len(self.node_layer), len(self.edge_child), len(self.pose_offset)
        shapes: dict[str, tuple[int | None, ...]] = {
            "pose_weight": (None, q),
            "pose_offset": (q,),
            "node_pose": (p, 2, q),
            **dict.fromkeys((*_NODE_INTS, *_NODE_FLOATS), (p,)),
            **dict.fromkeys((*_EDGE_INTS, *_EDGE_FLOATS), (e,)),
            "mu": (p, 2),
            "edge_displacement": (e, 2),
        }
        for name, shape in shapes.items():
            value = getattr(self, name)
            check_shape(f"ExplanatoryGraph.{name}", value, shape)
            is_index = name in _NODE_INTS or name in _EDGE_INTS
            object.__setattr__(self, name, frozen(value, np.int32 if is_index else np.float32))
            if not is_index:
                check_finite(f"ExplanatoryGraph.{name}", getattr(self, name))
        for name in ("channel_mean", "channel_scale", "noise"):
            rows = tuple(frozen(a, np.float32) for a in getattr(self, name))
            require(len(rows) == len(self.layers), f"{name} needs one array per layer")
            for row, layer in zip(rows, self.layers, strict=True):
                check_shape(f"{name} of {layer.name}", row, (layer.channels,))
            object.__setattr__(self, name, rows)
        object.__setattr__(
            self, "names", MappingProxyType({int(k): v for k, v in self.names.items()})
        )
        object.__setattr__(self, "header", MappingProxyType(dict(self.header)))
        self._check_indices()
        stray = [node for node in self.names if not 0 <= node < p]
        require(not stray, f"names are given for nodes {stray[:3]} that do not exist: P = {p}")

    def _check_indices(self) -> None:
        p = len(self)
        channels = np.array([layer.channels for layer in self.layers], dtype=np.int64)
        valid = p == 0 or (
            self.node_layer.min() >= 0
            and self.node_layer.max() < len(self.layers)
            and self.node_channel.min() >= 0
            and bool(np.all(self.node_channel < channels[self.node_layer]))
        )
        require(bool(valid), "ExplanatoryGraph: a node names a layer or filter that does not exist")
        ends = np.concatenate([self.edge_child, self.edge_parent])
        require(
            bool(np.all((ends >= 0) & (ends < p))),
            f"ExplanatoryGraph: an edge names a node outside 0..{p - 1}",
        )
        require(
            bool(np.all(np.diff(self.edge_child) >= 0)), "ExplanatoryGraph: edges must be by child"
        )
        layer = self.node_layer.astype(np.int64)
        filters = layer * (channels.max(initial=0) + 1) + self.node_channel
        require(
            bool(np.all(np.diff(filters) >= 0)),
            "ExplanatoryGraph: nodes must be ordered by layer, then filter",
        )
        require(
            bool(np.all(layer[self.edge_parent] > layer[self.edge_child])),
            "ExplanatoryGraph: a parent must lie in a layer above its child's",
        )

    def __len__(self) -> int:
        return len(self.node_layer)

    def __repr__(self) -> str:
        per_layer = ", ".join(
            f"{layer.name}: {int(np.sum(self.node_layer == i))}"
            for i, layer in enumerate(self.layers)
        )
        return f"<ExplanatoryGraph {len(self)} nodes ({per_layer}), {len(self.edge_child)} edges>"

    def _repr_html_(self) -> str:
        from .display import graph_html

        return graph_html(self)

    def __copy__(self) -> ExplanatoryGraph:
        return self  # nothing in it can change

    def __deepcopy__(self, memo: object) -> ExplanatoryGraph:
        return self

    def __reduce__(self) -> tuple[object, ...]:
        # A pickle cannot hold the read-only views of its mappings.
        return ExplanatoryGraph.from_arrays, self.to_arrays()

    def node_id(self, node: int) -> str:
        """Return a node's name that stays readable: layer/filter/part."""
        layer = self.layers[self.node_layer[node]].name
        return f"{layer}/{self.node_channel[node]}/{self.node_part[node]}"

    def node(self, node: str | int) -> Node:
        """Return one node as an object, by index, id ``layer/filter/part`` or user's name.

        Raises
        ------
        ExplGraphError
            If there is none, naming the nearest ones.
        """
        from .choice import find_node
        from .node import Node

        return Node(self, find_node(self, node))

    def parents(self, node: int) -> NDArray[np.int32]:
        """Return the indices of a node's parents."""
        start, stop = np.searchsorted(self.edge_child, [node, node + 1])
        return self.edge_parent[start:stop]

    @property
    def nodes(self) -> pd.DataFrame:
        """One row per node, index = node; positions also in the unit square (``y``, ``x``)."""
        import pandas as pd

        height, width = self.input_size
        return pd.DataFrame(
            {
                "id": [self.node_id(i) for i in range(len(self))],
                "name": [self.names.get(i, "") for i in range(len(self))],
                "layer": [self.layers[i].name for i in self.node_layer],
                "channel": self.node_channel,
                "part": self.node_part,
                "y": self.mu[:, 0] / np.float32(height),
                "x": self.mu[:, 1] / np.float32(width),
                "y_px": self.mu[:, 0],
                "x_px": self.mu[:, 1],
                "spread_px": self.spread,
                "weight": self.weight,
                "score": self.score,
                "support": self.support,
                "gain": self.gain,
            }
        ).rename_axis("node")

    @property
    def edges(self) -> pd.DataFrame:
        """One row per edge; displacement = child minus parent, network pixels."""
        import pandas as pd

        return pd.DataFrame(
            {
                "child": self.edge_child,
                "parent": self.edge_parent,
                "dy_px": self.edge_displacement[:, 0],
                "dx_px": self.edge_displacement[:, 1],
                "spread_px": self.edge_spread,
                "coactivation": self.edge_coactivation,
            }
        )

    def rename(self, names: Mapping[int | str, str]) -> ExplanatoryGraph:
        """Return a graph with the user's own names for nodes, given by index or by id.

        Raises
        ------
        ExplGraphError
            If a node does not exist.
        """
        by_id = {self.node_id(i): i for i in range(len(self))}
        merged = dict(self.names)
        for key, name in names.items():
            node = by_id.get(key, -1) if isinstance(key, str) else int(key)
            if not 0 <= node < len(self):
                raise unknown_name("node", str(key), by_id, "graph.nodes lists them")
            merged[node] = name
        return replace(self, names=merged)

    def select(self, nodes: NDArray[Any] | Iterable[int]) -> ExplanatoryGraph:
        """Return the subgraph of some nodes, with the edges among them.

        Parameters
        ----------
        nodes
            Indices, or truth values (P,). The order of nodes is kept as in this graph. A node that
            loses parents is inferred from the ones that are left.
        """
        chosen = np.asarray(nodes if isinstance(nodes, np.ndarray) else list(nodes))
        if chosen.dtype == bool:
            check_shape("the mask of nodes", chosen, (len(self),))
            chosen = np.flatnonzero(chosen)
        outside = (chosen < -len(self)) | (chosen >= len(self))
        require(
            not outside.any(),
            f"node {chosen[outside][:1].tolist()} does not exist: 0..{len(self) - 1} do",
        )
        keep = np.unique(np.arange(len(self))[chosen.astype(np.int64)])
        place = np.full(len(self), -1, dtype=np.int32)
        place[keep] = np.arange(len(keep), dtype=np.int32)
        edges = (place[self.edge_child] >= 0) & (place[self.edge_parent] >= 0)
        return replace(
            self,
            **{name: getattr(self, name)[keep] for name in _NODE_ARRAYS},
            **{name: place[getattr(self, name)[edges]] for name in _EDGE_INTS},
            **{name: getattr(self, name)[edges] for name in ("edge_displacement", *_EDGE_FLOATS)},
            names={int(place[i]): name for i, name in self.names.items() if place[i] >= 0},
        )

    @property
    def ranking(self) -> NDArray[np.int64]:
        """(P,) nodes from best to worst: by falling gain, those near the border last.

        Within a tenth of the side of the border (edgeCutRate of the authors' code) the network's
        zero padding makes filters fire in the same place of every photo: such nodes gain much and
        tell little.
        """
        share = self.mu / np.array(self.input_size, dtype=np.float32)
        at_border = np.minimum(share, 1 - share).min(axis=1, initial=1) < _BORDER
        return np.lexsort((np.arange(len(self)), -self.gain, at_border))

    def best(self, per_layer: int, *, linked: bool = False) -> ExplanatoryGraph:
        """Return the subgraph of the best nodes of each layer, by `ranking`.

        Parameters
        ----------
        per_layer
            How many of each layer, at most.
        linked
            Below the top layer, take nodes that have a parent among those taken before others: a
            small part of a large graph then hangs together.
        """
        from .choice import best_of_layers

        chosen = np.zeros(len(self), dtype=bool)
        for nodes in reversed(best_of_layers(self)):
            if linked:
                has_parent = np.zeros(len(self), dtype=bool)
                has_parent[self.edge_child[chosen[self.edge_parent]]] = True
                nodes = nodes[np.argsort(~has_parent[nodes], kind="stable")]
            chosen[nodes[:per_layer]] = True
        return self.select(chosen)

    def family(self, node: int) -> ExplanatoryGraph:
        """Return the subgraph of a node, its ancestors and its descendants."""
        require(0 <= node < len(self), f"node {node} does not exist: 0..{len(self) - 1} do")
        reach = _reachable(node, self.edge_child, self.edge_parent, len(self))
        reach |= _reachable(node, self.edge_parent, self.edge_child, len(self))
        return self.select(reach)

    def to_arrays(self) -> tuple[dict[str, NDArray[Any]], dict[str, Any]]:
        """Return what a file holds: arrays by name, and a header of JSON values."""
        arrays: dict[str, NDArray[Any]] = {
            name: getattr(self, name)
            for name in (
                *_NODE_ARRAYS,
                *_POSE_MAP,
                *_EDGE_INTS,
                "edge_displacement",
                *_EDGE_FLOATS,
            )
        }
        for name in ("channel_mean", "channel_scale", "noise"):
            for i, row in enumerate(getattr(self, name)):
                arrays[f"{name}.{i}"] = row
        header = {
            **self.header,
            "layers": [layer.to_json() for layer in self.layers],
            "input_size": list(self.input_size),
            "names": {str(i): name for i, name in self.names.items()},
        }
        return arrays, header

    @classmethod
    def from_arrays(
        cls, arrays: Mapping[str, NDArray[Any]], header: Mapping[str, Any]
    ) -> ExplanatoryGraph:
        """Rebuild a graph from `to_arrays`'s values."""
        columns, about = dict(arrays), dict(header)
        layers = tuple(LayerSpec.from_json(v) for v in about.pop("layers"))
        rows: dict[str, Any] = {
            name: tuple(columns.pop(f"{name}.{i}") for i in range(len(layers)))
            for name in ("channel_mean", "channel_scale", "noise")
        }
        names = {int(i): name for i, name in about.pop("names").items()}
        height, width = about.pop("input_size")
        merged: dict[str, Any] = {**rows, **columns}
        return cls(layers, (height, width), **merged, names=names, header=about)

    def save(self, path: PathLike) -> None:
        """Write the graph to a safetensors file; equal graphs give equal bytes."""
        arrays, header = self.to_arrays()
        write_arrays(path, "graph", arrays, header)

    @classmethod
    def load(cls, path: PathLike) -> ExplanatoryGraph:
        """Read a graph file.

        Raises
        ------
        ExplGraphError
            If the file is missing, cut off, foreign, or its arrays do not fit together.
        """
        arrays, header = read_arrays(path, "graph")
        with whole_file(path, "graph"):
            return cls.from_arrays(arrays, header)


def graph_hash(graph: ExplanatoryGraph) -> str:
    """Return a SHA-256 of what decides a match: places, weights, poses, noise and edges."""
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
    return digest.hexdigest()


def _reachable(start: int, source: I4, target: I4, n_nodes: int) -> NDArray[np.bool_]:
    """Mark (P,) the nodes that paths of edges source -> target lead to from ``start``."""
    seen = np.zeros(n_nodes, dtype=bool)
    seen[start] = True
    while True:
        before = np.count_nonzero(seen)
        seen[target[seen[source]]] = True
        if np.count_nonzero(seen) == before:
            return seen
