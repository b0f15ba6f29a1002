"""The network of a command: from its options, or from what a graph's header says."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple, Unpack, cast

from explgraph.base.errors import ExplGraphError
from explgraph.graphs.graph import ExplanatoryGraph
from explgraph.graphs.matches import Matches
from explgraph.networks.backbone import Backbone, load_backbone, load_recorded
from explgraph.networks.preprocess import Fit
from explgraph.networks.zoo import DEFAULT, SUFFIXES, is_torchvision
from explgraph.peaks.reading import ReadOptions
from explgraph.peaks.structures import PeakSet
from explgraph.photos.images import ImageSource

_log = logging.getLogger("explgraph")


def load_network(model: str, weights: str | None, *, device: str, fit: str = "stretch") -> Backbone:
    """Load a network by its name, with its standard weights where none are given."""
    with _weights_of(model):
        return load_backbone(model, weights or DEFAULT, device=device, fit=cast(Fit, fit))


def graph_network(
    graph: ExplanatoryGraph, model: str | None, weights: str | None, *, device: str
) -> Backbone:
    """Load the network that a graph was mined from, fed with photos as it was then.

    Raises
    ------
    ExplGraphError
        As `load_recorded`.
    """
    name = model or str(graph.header.get("model"))
    if weights is None:
        _say_before_a_download(name)
    with _weights_of(name):
        return load_recorded(graph.header, model, weights or DEFAULT, device=device)


def _say_before_a_download(model: str) -> None:
    """Name the option that makes it needless: a graph does not know where its weights came from."""
    if not is_torchvision(model):
        return
    import torch
    import torchvision

    standard = torchvision.models.get_model_weights(model)[DEFAULT]
    if not (Path(torch.hub.get_dir()) / "checkpoints" / Path(standard.url).name).exists():
        _log.info(
            "downloading the standard weights of %s; if the graph was mined with others, stop this "
            "and give their file with --weights",
            model,
        )


@contextmanager
def _weights_of(model: str) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise ExplGraphError(
            f"cannot get the weights of {model} ({error}): give a file with --weights "
            f"({', '.join(SUFFIXES)})"
        ) from error


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
    from explgraph.pipeline import check_weights, device_of, extract
    from mining import match_peaks

    net = graph_network(graph, model, weights, device=device)
    if not force:
        check_weights(graph, net)
    peaks = extract(net, source, background=graph, **options)
    return Seen(net, peaks, match_peaks(graph, peaks, device=device_of(net)))
