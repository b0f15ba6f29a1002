"""What may be asked about: a class, or a filter at a cell, and what a caller means by it."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from explgraph.base.errors import ExplGraphError, require, unknown_name
from explgraph.base.layer import LayerSpec
from explgraph.graphs.choice import find_node
from explgraph.graphs.graph import ExplanatoryGraph
from explgraph.graphs.node import Node
from explgraph.networks.backbone import Backbone
from explgraph.networks.hooks import noise


@dataclass(frozen=True, slots=True)
class ClassTarget:
    """A class of a classifier: its logit, before any softmax.

    Attributes
    ----------
    index
        Which of the logits.
    name
        What the class is called; "" where that is unknown.
    """

    index: int
    name: str = ""

    @property
    def label(self) -> str:
        """What people read."""
        return f"{self.name} ({self.index})" if self.name else f"class {self.index}"


@dataclass(frozen=True, slots=True)
class FilterTarget:
    """A filter's output at one cell of its layer's map.

    Attributes
    ----------
    layer
        The layer.
    channel
        The filter.
    cell
        (row, column); None: wherever it is largest.
    name
        What the target is called if it is a node of a graph: its id, after the user's name for it
        where there is one; "" for a filter as such.
    """

    layer: LayerSpec
    channel: int
    cell: tuple[int, int] | None = None
    name: str = ""

    @property
    def label(self) -> str:
        """What people read."""
        plain = f"filter {self.channel} of {self.layer.name}"
        return f"node {self.name}" if self.name else plain


Target = ClassTarget | FilterTarget
Asked = int | str | tuple[str, int] | Node | ClassTarget | FilterTarget | None
"""What a caller may ask about, see `find_target`."""


def find_target(
    net: Backbone,
    target: Asked,
    graph: ExplanatoryGraph | None = None,
    *,
    inputs: Tensor | None = None,
) -> Target:
    """Find what a caller means by a target.

    Parameters
    ----------
    net
        The network.
    target
        A class by index or name; ``(layer, filter)``; a `Node`; as text also the class's index,
        "layer/filter", and, with ``graph``, a node's id or the user's name for it, which comes
        before a class of that name; None for the class with the largest logit.
    graph
        The graph of nodes that are given as text.
    inputs
        (1, C_in, H_in, W_in): what the network is run on to learn what classes it has, and which of
        them comes first. Without, noise is shown, and None is no target.

    Returns
    -------
    The class; or the filter, without a cell unless ``target`` has one.

    Raises
    ------
    ExplGraphError
        If there is no such class (naming the nearest), layer, filter or node, or the network
        returns no logits.
    """
    target = node_of(target, graph) or target
    if isinstance(target, Node):
        found = _filter(net, target.layer.name, target.channel)
        named = f"{target.name} ({target.id})" if target.name else target.id
        return replace(found, name=named)
    if isinstance(target, FilterTarget):
        return _checked_cell(
            replace(target, layer=_filter(net, target.layer.name, target.channel).layer)
        )
    if isinstance(target, tuple):
        require(len(target) == 2, f"a filter is given as (layer, number), got {target!r}")
        return _filter(net, *target)
    if isinstance(target, str) and "/" in target and not _is_class_name(net, target):
        layer, _, channel = target.rpartition("/")
        require(
            channel.isdecimal(),
            f"{target!r} is no class of the network; a filter is written layer/number, and a node "
            "needs its graph",
        )
        return _filter(net, layer, int(channel))
    return _class(net, target, inputs)


def class_names(net: Backbone) -> tuple[str, ...] | None:
    """Return what a network's classes are called, in order, or None where that is unknown.

    A module may tell it by an attribute ``class_names``; for networks that bear a torchvision name
    the names are those of their public weights, which torchvision knows without a download.
    """
    own = getattr(net.module, "class_names", None)
    if own is not None:
        return tuple(map(str, own))
    import torchvision

    if net.name not in torchvision.models.list_models(module=torchvision.models):
        return None
    weights = next(iter(torchvision.models.get_model_weights(net.name)), None)
    names = weights.meta.get("categories") if weights is not None else None
    return None if names is None else tuple(names)


def node_of(target: Asked, graph: ExplanatoryGraph | None) -> Node | None:
    """Return the node that a caller means, or None where it is a class or a filter as such."""
    if isinstance(target, Node):
        return target
    if graph is None or not isinstance(target, str):
        return None
    ids = [graph.node_id(i) for i in range(len(graph))]
    # Three parts are a node's id and nothing else: where there is none, the nearest are named.
    if target in ids or target in graph.names.values() or target.count("/") == 2:
        return Node(graph, find_node(graph, target))
    return None


def _filter(net: Backbone, layer: str, channel: int) -> FilterTarget:
    (spec,) = net.select([layer])
    require(
        0 <= channel < spec.channels,
        f"there is no filter {channel}: layer {layer} has filters 0..{spec.channels - 1}",
    )
    return FilterTarget(spec, int(channel))


def _checked_cell(target: FilterTarget) -> FilterTarget:
    grid = target.layer.grid
    require(
        target.cell is None or all(0 <= i < n for i, n in zip(target.cell, grid, strict=True)),
        f"there is no cell {target.cell}: layer {target.layer.name} has {grid[0]} rows and "
        f"{grid[1]} columns",
    )
    return target


def _is_class_name(net: Backbone, name: str) -> bool:
    return name in (class_names(net) or ())


def _class(net: Backbone, target: int | str | ClassTarget | None, inputs: Tensor | None) -> Target:
    if inputs is None:
        require(target is not None, "without a photo there is no top class: name the target")
        inputs = noise((1, net.channels, *net.input_size))
    with torch.no_grad():
        logits = net.logits(inputs)[0]
    names = class_names(net)
    names = names if names is not None and len(names) == len(logits) else None
    index = _class_index(target, logits, names)
    require(
        0 <= index < len(logits),
        f"there is no class {index}: the network has classes 0..{len(logits) - 1}",
    )
    return ClassTarget(index, names[index] if names is not None else "")


def _class_index(
    target: int | str | ClassTarget | None, logits: Tensor, names: tuple[str, ...] | None
) -> int:
    if target is None:
        return int(logits.argmax())
    if isinstance(target, ClassTarget):
        return target.index
    if not isinstance(target, str):
        return int(target)
    known = [] if names is None else [name.casefold() for name in names]
    same = [i for i, name in enumerate(known) if name == target.strip().casefold()]
    if len(same) == 1:
        return same[0]
    if not same and target.strip().isdecimal():
        return int(target)
    if same:
        raise ExplGraphError(f"several classes are called {target!r}: give one of {same}")
    if names is None:
        raise ExplGraphError(
            f"the names of this network's classes are unknown, so {target!r} is none of them: give "
            f"the class's index, 0..{len(logits) - 1}, or set the module's attribute class_names"
        )
    raise unknown_name("class", target, names)
