"""The explanatory graph: nodes are part patterns of filters, edges tie those that move together."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from explgraph.base.arrays import F4, I4
from explgraph.base.errors import check_shape, require
from explgraph.base.files import PathLike, read_arrays, whole_file, write_arrays
from explgraph.base.formats.columns import EFFECTS, GRAPH, MINED_CHANNELS, conform_layers
from explgraph.base.formats.material import origin_in
from explgraph.base.layer import LayerSpec, check_input_size
from explgraph.base.records import Record
from explgraph.base.schema import conform, kept

from .doubts import Doubt, find_doubts
from .effects import EdgeEffects
from .graph_arrays import EDGE_ENDS, along, arrays_of, check_indices, fields_of
from .groups import PartGroups

if TYPE_CHECKING:
    import pandas as pd

    from .choice import By
    from .node import Node


@dataclass(frozen=True, eq=False, slots=True, weakref_slot=True)
class ExplanatoryGraph(Record):
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
    names
        The user's own node names, by node index.
    header
        JSON values: model, weight hash, preprocessing, seed, config, versions.
    edge_correlation
        (E,) Pearson's correlation over the mining photos of both ends' log(1 + score), less each
        photo's mean; None in files of earlier versions.
    contrast
        (P,) how much stronger a node scores in the category's photos than in photos of the
        background, ln of the ratio; None where no background was seen. See `node_contrast`.
    groups
        Which nodes lie on the same part; None where that was not asked. See `part_groups`.
    effects
        Edges that say what a node's response is made of; None until `edge_effects` is asked.
    facing
        (D,) for `mining.align.facing_votes`; D = 0 where photos were seen one way; or None.
    photo_sureness
        (N,) how surely each mining photo was turned: about 1, below .25 doubtful; or None.
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
    names: Mapping[int, str] = field(default_factory=dict)
    header: Mapping[str, Any] = field(default_factory=dict)
    edge_correlation: F4 | None = None
    contrast: F4 | None = None
    groups: PartGroups | None = None
    effects: EdgeEffects | None = None
    facing: F4 | None = None
    photo_sureness: F4 | None = None

    def __post_init__(self) -> None:
        conform(self, GRAPH, {"L": len(self.layers)})
        conform_layers(self, MINED_CHANNELS, self.layers)
        check_input_size(self.input_size)
        object.__setattr__(
            self, "names", MappingProxyType({int(k): v for k, v in self.names.items()})
        )
        object.__setattr__(self, "header", MappingProxyType(dict(self.header)))
        origin_in(self.header)
        check_indices(self)
        p = len(self)
        if self.groups is not None:
            check_shape("the groups' nodes", self.groups.node_group, (p,))
        if self.effects is not None:
            for name in ("child", "parent"):
                kept(f"effects.{name}", getattr(self.effects, name), EFFECTS[name], {"P": p})
        stray = [node for node in self.names if not 0 <= node < p]
        require(not stray, f"names are given for nodes {stray[:3]} that do not exist: P = {p}")
        texts = all(isinstance(name, str) for name in self.names.values())
        require(texts, "names of nodes must be texts")

    def __len__(self) -> int:
        return len(self.node_layer)

    def __repr__(self) -> str:
        per_layer = ", ".join(
            f"{layer.name}: {int(np.sum(self.node_layer == i))}"
            for i, layer in enumerate(self.layers)
        )
        groups = "" if self.groups is None else f", {len(self.groups)} part groups"
        edges = f"{len(self.edge_child)} edges"
        return f"<ExplanatoryGraph {len(self)} nodes ({per_layer}), {edges}{groups}>"

    def _repr_html_(self) -> str:
        from .display import graph_html

        return graph_html(self)

    @property
    def doubts(self) -> tuple[Doubt, ...]:
        """What to doubt, by what the whole graph was mined from; warnings first, () if nothing."""
        sureness, contrasted = self.photo_sureness, self.contrast is not None
        return find_doubts(self.header, self.layers, sureness=sureness, contrasted=contrasted)

    def node_id(self, node: int) -> str:
        """Return a node's name that stays readable: layer/filter/part."""
        layer = self.layers[self.node_layer[node]].name
        return f"{layer}/{self.node_channel[node]}/{self.node_part[node]}"

    def node(self, node: str | int) -> Node:
        """Return one node as an object, by index, id ``layer/filter/part`` or user's name.

        Many nodes may bear one name: the best of them is returned, the first in `ranking`.

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
        """One row per node, index = node; positions also in the unit square (``y``, ``x``).

        With ``contrast``, ``group`` (its number, -1 if none) and ``group_gain`` where known.
        """
        import pandas as pd

        height, width = self.input_size
        known: dict[str, NDArray[Any]] = {}
        if self.contrast is not None:
            known["contrast"] = self.contrast
        if self.groups is not None:
            known |= {"group": self.groups.node_group, "group_gain": self.groups.node_gain}
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
                **known,
            }
        ).rename_axis("node")

    @property
    def edges(self) -> pd.DataFrame:
        """One row per edge; displacement = child minus parent, network pixels.

        With ``correlation`` where known.
        """
        import pandas as pd

        correlation = self.edge_correlation
        known = {} if correlation is None else {"correlation": correlation}
        return pd.DataFrame(
            {
                "child": self.edge_child,
                "parent": self.edge_parent,
                "dy_px": self.edge_displacement[:, 0],
                "dx_px": self.edge_displacement[:, 1],
                "spread_px": self.edge_spread,
                **known,
            }
        )

    def rename(
        self,
        names: Mapping[int | str, str] | PathLike | None = None,
        *,
        groups: Mapping[int | str, str] | None = None,
    ) -> ExplanatoryGraph:
        """Return a graph with the user's own names.

        Parameters
        ----------
        names
            Of nodes, by index or by id; or a JSON file ``{"nodes": {id: name}, "groups": {number:
            name}}``, as a report's page saves it.
        groups
            Of part groups, by number or by present name.

        Raises
        ------
        ExplGraphError
            If a node or a group does not exist, or the file is not like that.

        Examples
        --------
        >>> graph = graph.rename({"fire9/37/0": "eye"}, groups={0: "head"})  # doctest: +SKIP
        >>> graph = graph.rename("names.json")  # doctest: +SKIP
        """
        from .naming import renamed

        return renamed(self, names, groups)

    def having(
        self,
        *,
        contrast: NDArray[Any] | None = None,
        groups: PartGroups | None = None,
        effects: EdgeEffects | None = None,
    ) -> ExplanatoryGraph:
        """Return a graph that also knows these; what is None stays as it was."""
        return replace(
            self,
            contrast=self.contrast if contrast is None else contrast,
            groups=self.groups if groups is None else groups,
            effects=self.effects if effects is None else effects,
        )

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
            **{name: array[keep] for name, array in along(self, "P").items()},
            **{
                name: (place[array] if name in EDGE_ENDS else array)[edges]
                for name, array in along(self, "E").items()
            },
            groups=None if self.groups is None else self.groups.take(keep),
            effects=None if self.effects is None else self.effects.place(place),
            names={int(place[i]): name for i, name in self.names.items() if place[i] >= 0},
        )

    def ranking(self, by: By = "gain") -> NDArray[np.int64]:
        """(P,) nodes from best to worst: by a falling figure, those near the border last.

        Within a tenth of the side of the border (edgeCutRate of the authors' code) the network's
        zero padding makes filters fire in the same place of every photo: such nodes gain much and
        tell little.

        Parameters
        ----------
        by
            "gain", "score", "support", "contrast" or "group gain" (`PartGroups.node_gain`).

        Raises
        ------
        ExplGraphError
            If the graph does not know the figure.
        """
        from .choice import ranked

        return ranked(self, by)

    def top(self, count: int) -> NDArray[np.int64]:
        """Return the nodes to look at first: of every part group some, the best groups' most.

        Groups get seats by the root of their gain, layers take turns within a group, and nodes come
        by group gain; without groups these are the first of `ranking`.

        Parameters
        ----------
        count
            How many, at most: nodes without a group follow where groups do not have so many.
        """
        from .choice import seated

        return seated(self, count)

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
        from .choice import best_nodes

        return self.select(best_nodes(self, per_layer, linked=linked))

    def family(self, node: int) -> ExplanatoryGraph:
        """Return the subgraph of a node, its ancestors and its descendants."""
        from .choice import family

        return self.select(family(self, node))

    def to_arrays(self) -> tuple[dict[str, NDArray[Any]], dict[str, Any]]:
        """Return what a file holds: arrays by name, and a header of JSON values."""
        return arrays_of(self)

    @classmethod
    def from_arrays(
        cls, arrays: Mapping[str, NDArray[Any]], header: Mapping[str, Any]
    ) -> ExplanatoryGraph:
        """Rebuild a graph from `to_arrays`'s values."""
        return cls(**fields_of(arrays, header))

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
