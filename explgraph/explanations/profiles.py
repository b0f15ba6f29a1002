"""How strongly each filter of a layer answers to a photo, and which of them stand out."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from explgraph.base.arrays import F4, I8, frozen
from explgraph.base.errors import check_finite, check_shape, require
from explgraph.base.layer import LayerSpec
from explgraph.base.records import Record

from .claims import check_network
from .questions import ask

if TYPE_CHECKING:
    import pandas as pd

    from explgraph.graphs.graph import ExplanatoryGraph
    from explgraph.networks.backbone import Backbone


OUTSTANDING = 3.5
"""Robust standard deviations above the layer's median from which a filter stands out."""

_TO_DEVIATION = 1.4826  # from a median absolute deviation to a normal standard deviation


@dataclass(frozen=True, eq=False, slots=True)
class FilterProfile(Record):
    """The mean output of each of the C filters of a layer on one photo.

    Attributes
    ----------
    image
        The photo's name.
    layer
        The layer.
    mean, largest
        (C,) mean and maximum of each filter's map.
    background_mean, background_scale
        (C,) mean and standard deviation of a cell over background photos, as a graph knows them; or
        None.
    nodes
        For each filter the names or ids of its nodes in the graph, best first; empty without one.
    """

    image: str
    layer: LayerSpec
    mean: F4
    largest: F4
    background_mean: F4 | None = None
    background_scale: F4 | None = None
    nodes: tuple[tuple[str, ...], ...] = ()

    def __post_init__(self) -> None:
        for name in ("mean", "largest", "background_mean", "background_scale"):
            values = getattr(self, name)
            if values is not None:
                check_shape(f"FilterProfile.{name}", values, (self.layer.channels,))
                check_finite(f"FilterProfile.{name}", values)
                object.__setattr__(self, name, frozen(values, np.float32))
        require(
            (self.background_mean is None) == (self.background_scale is None),
            "FilterProfile needs both the background's mean and its scale, or neither",
        )

    @property
    def level(self) -> F4:
        """(C,) what filters are compared by.

        With a background the mean's distance from the background's mean, in standard deviations of
        a cell; without, the mean itself, so that filters that are always loud lead.
        """
        if self.background_mean is None or self.background_scale is None:
            return self.mean
        level: F4 = (self.mean - self.background_mean) / self.background_scale
        return level

    @property
    def outstanding(self) -> I8:
        """Filters whose `level` is far above the layer's median, the highest first.

        Far is 3.5 times 1.4826 times the median absolute deviation (Iglewicz and Hoaglin 1993); if
        more than half of the filters are level, those above them all.
        """
        level = self.level.astype(np.float64)
        median = np.median(level)
        deviation = _TO_DEVIATION * np.median(np.abs(level - median))
        order = np.argsort(-level, kind="stable")
        above: I8 = order[level[order] > median + OUTSTANDING * deviation]
        return above

    @property
    def table(self) -> pd.DataFrame:
        """One row for each filter, the highest `level` first.

        Columns ``filter``, ``mean``, ``largest``, ``level``, ``outstanding``, ``nodes`` (names or
        ids, separated by commas).
        """
        import pandas as pd

        stands_out = np.zeros(self.layer.channels, dtype=bool)
        stands_out[self.outstanding] = True
        names = self.nodes or ((),) * self.layer.channels
        frame = pd.DataFrame(
            {
                "filter": np.arange(self.layer.channels),
                "mean": self.mean,
                "largest": self.largest,
                "level": self.level,
                "outstanding": stands_out,
                "nodes": [", ".join(some) for some in names],
            }
        )
        ranked: pd.DataFrame = frame.sort_values("level", ascending=False, kind="stable")
        return ranked.reset_index(drop=True)


def filter_profile(
    net: Backbone, image: object, layer: str, *, graph: ExplanatoryGraph | None = None
) -> FilterProfile:
    """Measure how strongly each filter of a layer answers to a photo.

    Parameters
    ----------
    net
        The network.
    image
        One photo, as `explgraph.explanations.answers` takes it.
    layer
        Name, as in `Backbone.layers`.
    graph
        Of this network: its background statistics make filters comparable, and its nodes give the
        filters names.

    Returns
    -------
    The answers of all filters of the layer, and which of them stand out.

    Raises
    ------
    ExplGraphError
        If there is not exactly one image, the layer does not exist, or the graph does not have it
        or was mined from another network, or at another input size.
    """
    (spec,) = net.select([layer])
    question = ask(net, image, (layer, 0))
    maps = net.capture(question.inputs, [layer])[layer][0].flatten(1)
    mean, largest = maps.mean(dim=1).cpu().numpy(), maps.amax(dim=1).cpu().numpy()
    if graph is None:
        return FilterProfile(question.name, spec, mean, largest)
    names = [one.name for one in graph.layers]
    require(layer in names, f"the graph has no layer {layer!r}; it has {', '.join(names)}")
    row = names.index(layer)
    check_network(graph, net)
    return FilterProfile(
        *(question.name, spec, mean, largest),
        background_mean=graph.channel_mean[row],
        background_scale=graph.channel_scale[row],
        nodes=_nodes(graph, row),
    )


def _nodes(graph: ExplanatoryGraph, layer: int) -> tuple[tuple[str, ...], ...]:
    """Return for each filter of a layer what its nodes are called, best first."""
    found: list[list[str]] = [[] for _ in range(graph.layers[layer].channels)]
    for node in graph.ranking().tolist():
        if graph.node_layer[node] == layer:
            name = graph.names.get(node, "").strip() or graph.node_id(node)
            found[int(graph.node_channel[node])].append(name)
    return tuple(map(tuple, found))
