"""``explgraph texture`` and ``explgraph segments``: what an answer survives, and what suffices."""

# ruff: noqa: PLR0913  a command's parameters are its options

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from explgraph.base.errors import ExplGraphError

from . import options as cli
from .base import Report, table
from .outputs import Written

if TYPE_CHECKING:
    import pandas as pd
    from rich.table import Table

    from explgraph.explanations.texture.results import TextureProbe
    from explgraph.networks.backbone import Backbone

_Picture = Annotated[
    Path, Written.FILE, typer.Option(metavar="F", help="The .png or .jpg to write.")
]


def texture(
    images: cli.Images,
    out: _Picture,
    model: cli.GraphModel = None,
    graph: Annotated[
        Path | None,
        typer.Option("--graph", metavar="GRAPH", help="A graph: do its nodes still fire?"),
    ] = None,
    masks: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR",
            help="For silhouettes: a PNG of part labels for each photo (0 = background) and "
            "parts.json. Default: the object is guessed, roughly.",
        ),
    ] = None,
    target: Annotated[
        str | None,
        typer.Option(
            metavar="T",
            help="The right class, by number or name. Default: the network's answer to the "
            "unchanged photo.",
        ),
    ] = None,
    weights: cli.Weights = None,
    seed: Annotated[int, typer.Option(min=0, help="Of the orders of patches.")] = 0,
    batch_size: cli.BatchSize = None,
    device: cli.Device = "auto",
    as_json: cli.AsJson = False,
) -> Report:
    """Ask whether a network goes by shape or by texture.

    Each photo is shown grey, as a silhouette, as edges, with shuffled patches, low-passed and
    high-passed. With a graph, its nodes are looked for in all of them.
    """
    from explgraph.drawing.pictures import check_picture_name
    from explgraph.explanations.pictures.texture import draw_texture
    from explgraph.explanations.texture.probe import probe_texture
    from explgraph.graphs.graph import ExplanatoryGraph
    from explgraph.photos.images import open_images
    from explgraph.photos.masks import read_masks

    from .network import graph_network, load_network

    check_picture_name(out)
    source = open_images(images)
    known = None if masks is None else read_masks(masks, source.names)
    whole = None if graph is None else ExplanatoryGraph.load(graph)
    if whole is None:
        if model is None:
            raise ExplGraphError("name the network with --model, or a graph with --graph")
        net = load_network(model, weights, device=device)
    else:
        net = graph_network(whole, model, weights, device=device)
    right = None if target is None else _class_of(net, target)
    probe = probe_texture(
        net, source, graph=whole, classes=right, masks=known, seed=seed, batch_size=batch_size
    )
    draw_texture(probe, source, out)
    skipped = [f"{name}: {why}" for name, why in probe.skipped.items()]
    data = {**probe.to_json(), "file": str(out)}
    return Report(data, (_survivors(probe), *skipped, str(out)), as_json)


def _class_of(net: Backbone, target: str) -> int:
    from explgraph.explanations.targets import ClassTarget, find_target

    found = find_target(net, target)
    if not isinstance(found, ClassTarget):
        raise ExplGraphError(f"--target must be a class, got {target!r}")
    return found.index


def _survivors(probe: TextureProbe) -> Table:
    """Show what share of answers and nodes is left in each change."""
    return _as_lines(probe.table.reset_index(), text=1)


def segments(
    image: Annotated[Path, typer.Argument(metavar="IMAGE", help="A photo.")],
    model: cli.Model,
    out: _Picture,
    target: Annotated[
        str | None,
        typer.Option(
            metavar="T", help="A class by number or name. Default: what the network says."
        ),
    ] = None,
    best: Annotated[
        int, typer.Option(metavar="N", min=1, help="Segments shown by themselves.")
    ] = 6,
    weights: cli.Weights = None,
    batch_size: cli.BatchSize = None,
    fit: cli.Fit = "stretch",
    device: cli.Device = "auto",
    as_json: cli.AsJson = False,
) -> Report:
    """Show each segment of a photo to the network by itself, to see which of them is enough."""
    from explgraph.drawing.pictures import check_picture_name
    from explgraph.explanations.pictures.segments import draw_segments
    from explgraph.explanations.segments import score_segments

    from .network import load_network

    check_picture_name(out)
    if not image.is_file():
        raise ExplGraphError(f"{image} is not a photo's file")
    net = load_network(model, weights, device=device, fit=fit)
    found = score_segments(net, image, target, batch_size=batch_size)
    draw_segments(found, image, out, best=best)
    data = {
        "image": found.image,
        "target": found.target,
        "segments": found.table.to_dict(orient="records"),
        "file": str(out),
    }
    return Report(
        data,
        (f"Target: {found.target}", _as_lines(found.table.head(best), text=0), str(out)),
        as_json,
    )


def _as_lines(rows: pd.DataFrame, *, text: int) -> Table:
    lines = table(*(str(column) for column in rows.columns), text=text)
    for row in rows.itertuples(index=False):
        lines.add_row(
            *(f"{value:.3g}" if isinstance(value, float) else str(value) for value in row)
        )
    return lines
