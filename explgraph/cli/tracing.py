"""``explgraph effects`` and ``explgraph trace``: what responses and decisions are made of."""

# ruff: noqa: PLR0913  a command's parameters are its options

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from explgraph.base.errors import ExplGraphError, require

from . import options as cli
from .base import Report, table
from .outputs import Written

if TYPE_CHECKING:
    from rich.table import Table

    from explgraph.explanations.trace import Trace


def effects(
    graph: cli.GraphFile,
    images: cli.Images,
    out: Annotated[
        Path,
        Written.FILE,
        typer.Option(
            metavar="F",
            help="The graph's file with effects, .safetensors; GRAPH itself may be named.",
        ),
    ],
    parents: Annotated[
        str,
        typer.Option(
            metavar="N|all",
            help="For how many nodes: the first to look at, or all, which takes minutes.",
        ),
    ] = "60",
    n_photos: Annotated[
        int, typer.Option(metavar="N", min=1, help="Photos that count for a node, at most.")
    ] = 20,
    n_children: Annotated[
        int, typer.Option(metavar="N", min=1, help="Children kept for each node.")
    ] = 15,
    model: cli.GraphModel = None,
    weights: cli.Weights = None,
    device: cli.Device = "auto",
    as_json: cli.AsJson = False,
) -> Report:
    """Measure what nodes' responses are made of, and keep it in the graph's file.

    An edge "is made of" says what share of a node's response is carried by the cells of a node of
    the layer below. 'explgraph export --edges' draws such edges, 'explgraph report' shows them.
    """
    from explgraph.explanations.effects import edge_effects
    from explgraph.graphs.graph import ExplanatoryGraph
    from explgraph.photos.images import open_images

    from .network import see

    cli.check_out_file(out)
    whole, source = ExplanatoryGraph.load(graph), open_images(images)
    asked: Literal["all"] | list[str | int] = "all"
    if parents != "all":
        (count,) = cli.numbers("--parents", parents) if "," not in parents else (0,)
        require(count >= 1, f"--parents must be a number of nodes or all, got {parents!r}")
        asked = whole.top(count).tolist()
    seen = see(whole, source, model, weights, device=device, force=False)
    known = edge_effects(
        whole, seen.found, seen.net, source, parents=asked, n_photos=n_photos, n_children=n_children
    )
    whole.having(effects=known).save(out)
    carried = known.table.groupby("parent")["effect"].sum()
    data = {
        "file": str(out),
        "parents": len(known.parents),
        "edges": len(known),
        "inhibiting": int((known.effect < 0).sum()),
        "median_carried": float(carried.median()) if len(carried) else None,
    }
    lines = [
        f"{data['edges']:,} edges of {data['parents']:,} nodes, {data['inhibiting']:,} inhibit"
    ]
    if len(carried):
        lines.append(f"What is kept carries {carried.median():.0%} of a node's response (median)")
    return Report(data, (*lines, str(out)), as_json)


def trace(
    graph: cli.GraphFile,
    photo: Annotated[Path, typer.Argument(metavar="PHOTO", help="A photo.")],
    out: Annotated[
        Path, Written.FILE, typer.Option(metavar="F", help="The .png or .jpg to write.")
    ],
    target: Annotated[
        str | None,
        typer.Option(
            metavar="T", help="A class by number or name. Default: what the network says."
        ),
    ] = None,
    n_nodes: Annotated[
        int, typer.Option(metavar="N", min=1, help="Nodes of each layer, at most.")
    ] = 5,
    model: cli.GraphModel = None,
    weights: cli.Weights = None,
    device: cli.Device = "auto",
    as_json: cli.AsJson = False,
) -> Report:
    """Trace a decision from the class down to the pixels: the few nodes that carry it.

    Each edge says what share of the upper node's response the lower one carries. As a control the
    logit is also measured without the nodes' cells, and without as many others.
    """
    from explgraph.drawing.pictures import check_picture_name
    from explgraph.explanations.pictures.trace import draw_trace
    from explgraph.explanations.trace import trace as trace_decision
    from explgraph.graphs.graph import ExplanatoryGraph

    from .network import graph_network

    check_picture_name(out)
    if not photo.is_file():
        raise ExplGraphError(f"{photo} is not a photo's file")
    whole = ExplanatoryGraph.load(graph)
    net = graph_network(whole, model, weights, device=device)
    found = trace_decision(whole, net, photo, target, n_nodes=n_nodes)
    draw_trace(found, photo, out)
    return Report({**found.to_json(), "file": str(out)}, (*_tables(found), str(out)), as_json)


def _tables(found: Trace) -> tuple[Table, ...]:
    """Show the edges that carry most, and what the layers' nodes are worth."""
    edges = table("child", "parent", "share of its response", "of the decision", text=2)
    for row in found.edges.head(20).to_dict(orient="records"):
        shares = (f"{row[name]:.1%}" for name in ("effect", "carried"))
        edges.add_row(str(row["child"]), str(row["parent"]), *shares)
    layers = table("layer", "cells", "logit without them", "without as many others")
    for row in found.layers.to_dict(orient="records"):
        changes = (f"{-float(row[name]):+.2f}" for name in ("drop", "control"))
        layers.add_row(str(row["layer"]), str(row["cells"]), *changes)
    return edges, layers
