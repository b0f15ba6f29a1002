"""One node of a graph as an object: what it is, its relatives, and how it shows itself."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from explgraph.base import markup
from explgraph.base.arrays import F8, NONE
from explgraph.base.layer import LayerSpec

from .groups import Group

if TYPE_CHECKING:
    from .graph import ExplanatoryGraph


_SIDE, _RING = 150, 5  # pixels of the map of a node's place
_NODE, _PARENT = "#D55E00", "#0072B2"


@dataclass(frozen=True, eq=False, slots=True)
class Node:
    """One part pattern of a filter, as `ExplanatoryGraph.node` gives it.

    Attributes
    ----------
    graph
        The graph that it belongs to.
    index
        Its row in ``graph.nodes``, and its column in `Matches`.
    """

    graph: ExplanatoryGraph
    index: int

    @property
    def id(self) -> str:
        """Its name that stays readable: layer/filter/part."""
        return self.graph.node_id(self.index)

    @property
    def name(self) -> str:
        """The user's own name for it, or ""."""
        return self.graph.names.get(self.index, "")

    @property
    def layer(self) -> LayerSpec:
        """Its layer."""
        return self.graph.layers[int(self.graph.node_layer[self.index])]

    @property
    def channel(self) -> int:
        """Its filter."""
        return int(self.graph.node_channel[self.index])

    @property
    def part(self) -> int:
        """Its number among the filter's nodes, 0 the best."""
        return int(self.graph.node_part[self.index])

    @property
    def yx(self) -> F8:
        """(2,) mean position in the unit square, in the graph's own orientation."""
        return np.asarray(self.graph.mu[self.index] / self.graph.input_size, dtype=np.float64)

    @property
    def spread_px(self) -> float:
        """Standard deviation per axis about the predicted position, network pixels."""
        return float(self.graph.spread[self.index])

    @property
    def score(self) -> float:
        """Mean over the mining photos of response times responsibility."""
        return float(self.graph.score[self.index])

    @property
    def support(self) -> float:
        """Share of the mining photos in which it fires."""
        return float(self.graph.support[self.index])

    @property
    def gain(self) -> float:
        """Held-out gain in log-likelihood over noise, per photo."""
        return float(self.graph.gain[self.index])

    @property
    def contrast(self) -> float | None:
        """How much stronger it scores in the category's photos than elsewhere; None: unknown."""
        return None if self.graph.contrast is None else float(self.graph.contrast[self.index])

    @property
    def group(self) -> Group | None:
        """Its part group; None without groups, and if it is in none."""
        groups = self.graph.groups
        number = NONE if groups is None else int(groups.node_group[self.index])
        return None if groups is None or number == NONE else groups[number]

    @property
    def group_gain(self) -> float | None:
        """How much better a group's place predicts its own than its usual one; None: unknown."""
        groups = self.graph.groups
        return None if groups is None else float(groups.node_gain[self.index])

    @property
    def parents(self) -> tuple[Node, ...]:
        """The nodes of the layer above that predict where it is."""
        return tuple(Node(self.graph, int(i)) for i in self.graph.parents(self.index))

    @property
    def children(self) -> tuple[Node, ...]:
        """The nodes of the layer below whose place it predicts."""
        edges = np.flatnonzero(self.graph.edge_parent == self.index)
        return tuple(Node(self.graph, int(i)) for i in self.graph.edge_child[edges])

    @property
    def siblings(self) -> tuple[Node, ...]:
        """The other nodes of its filter: what the filter mixes it with."""
        graph, i = self.graph, self.index
        same = (graph.node_layer == graph.node_layer[i]) & (graph.node_channel == self.channel)
        return tuple(Node(graph, int(j)) for j in np.flatnonzero(same) if j != i)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Node) and other.graph is self.graph and other.index == self.index

    def __hash__(self) -> int:
        return hash((id(self.graph), self.index))

    def __repr__(self) -> str:
        named = f" ({self.name!r})" if self.name else ""
        group = "" if self.group is None else f", part group {self.group.name!r}"
        figures = "".join(f", {name} {value:.2f}" for name, value in self._figures().items())
        return (
            f"<Node {self.index}: {self.id}{named}, score {self.score:.3g}, fires in "
            f"{self.support:.0%} of the photos{group}{figures}>"
        )

    def _figures(self) -> dict[str, float]:
        """Return contrast and group gain, what is known of them."""
        known = {"contrast": self.contrast, "group gain": self.group_gain}
        return {name: value for name, value in known.items() if value is not None}

    def _repr_html_(self) -> str:
        y, x = self.yx
        about = {
            "filter": f"{self.channel} of layer {self.layer.name}, part {self.part}",
            "mean place": f"y {y:.2f}, x {x:.2f} of the photo, ± {self.spread_px:.0f} px",
            "score": f"{self.score:.3g}",
            "fires in": f"{self.support:.0%} of the photos it was mined from",
            "gain": f"{self.gain:.3g} over noise, per photo",
            **({} if self.group is None else {"part group": self.group.name}),
            **{name: f"{value:.2f}" for name, value in self._figures().items()},
            "parents": _listed(self.parents),
            "children": _listed(self.children),
            "mixed with": _listed(self.siblings),
        }
        return markup.shown(
            f"{self.name} ({self.id})" if self.name else self.id,
            "a part pattern, node of an explanatory graph",
            markup.columns(self._map(), markup.facts(about)),
        )

    def _map(self) -> str:
        """Return a drawing of where it lies in the photo, and of its parents."""
        height, width = self.graph.input_size
        scale = _SIDE / max(height, width)
        h, w = height * scale, width * scale
        marks = [
            f'<rect x=".5" y=".5" width="{w - 1:.1f}" height="{h - 1:.1f}" fill="{markup.PAPER}" '
            f'stroke="{markup.FAINT}"/>'
        ]
        for parent in self.parents:
            y, x = parent.yx * (h, w)
            marks.append(f'<circle cx="{x:.1f}" cy="{y:.1f}" r="2.5" fill="{_PARENT}"/>')
        y, x = self.yx * (h, w)
        marks.append(
            f'<circle cx="{x:.1f}" cy="{y:.1f}" r="{self.spread_px * scale:.1f}" fill="{_NODE}" '
            'fill-opacity=".2"/>'
            f'<circle cx="{x:.1f}" cy="{y:.1f}" r="{_RING}" fill="none" stroke="{_NODE}" '
            'stroke-width="2.5"/>'
        )
        said = "Ring: its mean place in the photo; disc: its spread; dots: its parents"
        caption = (
            f'<div style="color:{markup.FAINT};font-size:85%;max-width:{_SIDE}px">{said}.</div>'
        )
        alternative = f"Mean place of {self.id}: y {self.yx[0]:.2f}, x {self.yx[1]:.2f}"
        return markup.drawing(marks, (w, h), alternative) + caption


def _listed(nodes: tuple[Node, ...], most: int = 4) -> str:
    """Name a few nodes, with the user's names where there are any."""
    if not nodes:
        return "none"
    names = [node.name or node.id for node in nodes[:most]]
    more = f" and {len(nodes) - most} more" if len(nodes) > most else ""
    return f"{', '.join(names)}{more}"
