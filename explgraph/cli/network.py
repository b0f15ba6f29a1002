"""The network of a command: from its options, or from what a graph's header says."""

from __future__ import annotations

import logging
from typing import NamedTuple, Unpack, cast

from explgraph.base.errors import ExplGraphError
from explgraph.graphs.graph import ExplanatoryGraph
from explgraph.graphs.matches import Matches
from explgraph.networks.backbone import Backbone, load_backbone
from explgraph.networks.preprocess import Fit, Preprocess
from explgraph.networks.zoo import DEFAULT, SUFFIXES
from explgraph.peaks.reading import ReadOptions
from explgraph.peaks.structures import PeakSet
from explgraph.photos.images import ImageSource

log = logging.getLogger("explgraph")


def load_network(model: str, weights: str | None, *, device: str, fit: str = "stretch") -> Backbone:
    """Load a network by its name, with its standard weights where none are given."""
    try:
        return load_backbone(model, weights or DEFAULT, device=device, fit=cast(Fit, fit))
    except OSError as error:
        raise ExplGraphError(
            f"cannot get the weights of {model} ({error}): give a file with --weights "
            f"({', '.join(SUFFIXES)})"
        ) from error


def graph_network(
    graph: ExplanatoryGraph, model: str | None, weights: str | None, *, device: str
) -> Backbone:
    """Load the network that a graph was mined from, fed with photos as it was then.

    Raises
    ------
    ExplGraphError
        If no model is given and the header names none that can be had without running code that a
        file points to.
    """
    net = load_network(model or _recorded(graph), weights, device=device)
    made = dict(graph.header.get("preprocess") or {})
    if "mean" in made:
        size, mean, std = tuple(made["input_size"]), made["mean"], made["std"]
        preprocess = Preprocess(size, fit=made["fit"], mean=mean, std=std)
        return Backbone(net.module, preprocess, name=net.name, device=device)
    # A transform is code: the factory has to bring it.
    if made != net.preprocess.to_json():
        log.warning("photos may be shown to the network otherwise than when the graph was mined")
    return net


def _recorded(graph: ExplanatoryGraph) -> str:
    import torchvision

    name = graph.header.get("model")
    is_public = isinstance(name, str) and (
        name.startswith("timm:") or name in torchvision.models.list_models(torchvision.models)
    )
    if not is_public:
        raise ExplGraphError(
            f"the graph was mined from {name!r}, which is no torchvision or timm model. Code is "
            "never run because a file names it: give the network with --model (and --weights)"
        )
    return str(name)


class Seen(NamedTuple):
    """What a graph sees in photos: the network, the photos' peaks, and where its nodes are."""

    net: Backbone
    peaks: PeakSet
    found: Matches


def see(
    graph: ExplanatoryGraph,
    source: ImageSource,
    model: str | None,
    weights: str | None,
    *,
    device: str,
    force: bool,
    **options: Unpack[ReadOptions],
) -> Seen:
    """Run the network that a graph was mined from over photos, and find the graph's nodes there.

    Raises
    ------
    ExplGraphError
        As `graph_network` and `explgraph.pipeline.match`.
    """
    from explgraph.pipeline import check_weights, extract
    from mining import match_peaks

    net = graph_network(graph, model, weights, device=device)
    if not force:
        check_weights(graph, net)
    peaks = extract(net, source, background=graph, **options)
    return Seen(net, peaks, match_peaks(graph, peaks))
