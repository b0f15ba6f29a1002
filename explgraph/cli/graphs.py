"""Commands that read a graph's file: ``explgraph export`` and ``explgraph info``."""

# ruff: noqa: PLR0913  a command's parameters are its options

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, cast

import numpy as np
import typer

from explgraph.base.errors import require
from explgraph.base.text import plain

from . import options as cli
from .base import Report, doubt_lines, table
from .outputs import Written

if TYPE_CHECKING:
    from explgraph.drawing.graph.draw import Arrangement, Level
    from explgraph.graphs.attributes import EdgeKind
    from explgraph.graphs.graph import ExplanatoryGraph
    from explgraph.graphs.groups import PartGroups
    from explgraph.graphs.matches import Matches


_GROUP = ("nodes", "y", "x", "spread", "sureness", "gain")
_BEST = ("id", "name", "gain", "score", "support", "y", "x", "spread_px")


def export(
    graph: cli.GraphFile,
    out: Annotated[
        Path,
        Written.FILE,
        typer.Option(
            metavar="F", help="A .dot, .svg, .pdf, .png, .graphml, .gexf or .json to write."
        ),
    ],
    nodes_per_layer: Annotated[
        int | None,
        typer.Option(metavar="N", help="Only so many nodes of each layer, the best."),
    ] = None,
    min_score: Annotated[
        float | None, typer.Option(metavar="S", help="Only nodes with at least this score.")
    ] = None,
    around: cli.Around = None,
    parents_per_node: Annotated[
        int, typer.Option(metavar="N", min=0, help="Edges drawn from each node in pictures.")
    ] = 3,
    arrangement: Annotated[
        str,
        typer.Option(
            metavar="layers|places",
            help="Pictures in layers, with edges; or a panel for each layer with its nodes at "
            "their mean places in the photo.",
        ),
    ] = "layers",
    level: cli.Level = None,
    edges: cli.Edges = "moves with",
    thumbnails: Annotated[
        bool,
        typer.Option(
            "--thumbnails", help="Draw nodes as what they look like, in pictures; with --images."
        ),
    ] = False,
    images: Annotated[
        str | None,
        typer.Option(metavar="IMAGES", help="Photos for --thumbnails: a folder or a file."),
    ] = None,
    model: cli.GraphModel = None,
    weights: cli.Weights = None,
    device: cli.Device = "auto",
) -> Report:
    """Write a graph, or a part of it, as a picture or for other programs."""
    from explgraph.export import export_graph
    from explgraph.graphs.graph import ExplanatoryGraph
    from explgraph.photos.images import open_images

    from .network import see

    require(
        thumbnails == (images is not None),
        "--thumbnails and --images IMAGES go together: thumbnails are cut out of photos",
    )
    whole = ExplanatoryGraph.load(graph)
    source, found = None, None
    if images is not None:
        source = open_images(images)
        found = see(whole, source, model, weights, device=device, force=False).found
    export_graph(
        whole,
        out,
        nodes_per_layer=nodes_per_layer,
        min_score=min_score,
        around=None if around is None else cli.node_name(whole, around),
        parents_per_node=parents_per_node,
        level=cast("Level | None", level),
        arrangement=cast("Arrangement", arrangement),
        edges=cast("EdgeKind", edges),
        thumbnails=thumbnails,
        found=found,
        images=source,
    )
    return Report({"file": str(out)}, (str(out),))


def info(
    graph: cli.GraphFile,
    best: Annotated[
        int,
        typer.Option(
            metavar="N", min=0, help="How many of the best nodes to show, of every part group some."
        ),
    ] = 10,
    node: Annotated[
        str | None,
        typer.Option(
            metavar="NODE",
            help="Tell what this one is: number, layer/filter/part, the name that you gave it (of "
            "several nodes the best), or best.",
        ),
    ] = None,
    matches: Annotated[
        Path | None,
        typer.Option(
            metavar="M",
            help="With --node: what 'explgraph match' wrote; where it fires is counted in these "
            "photos. Default: what the graph knows of those it was mined from.",
        ),
    ] = None,
    as_json: cli.AsJson = False,
) -> Report:
    """Show what a graph's file holds: doubts, part groups, layers, the best nodes; or one node."""
    from explgraph.graphs.graph import ExplanatoryGraph
    from explgraph.graphs.matches import Matches

    require(
        node is not None or matches is None,
        "--matches says where a node fires: name one with --node",
    )
    whole = ExplanatoryGraph.load(graph)
    if node is not None:
        found = None if matches is None else Matches.load(matches)
        facts, text = _node_facts(whole, found, cli.node_name(whole, node))
        return Report({"graph": str(graph), **facts}, (text,), as_json)
    data = _describe(whole, best)
    return Report({"graph": str(graph), **data}, _as_text(data), as_json)


def _node_facts(
    graph: ExplanatoryGraph, matches: Matches | None, node: str | int
) -> tuple[dict[str, Any], str]:
    """Return a node's facts as JSON values, NaN as null, and in sentences."""
    from explgraph.graphs.choice import find_node
    from explgraph.graphs.facts import describe_node, node_facts

    index = find_node(graph, node)
    row = node_facts(graph, matches).loc[index]
    facts = plain(row.to_dict())
    return {"node": index, **facts}, describe_node(graph, matches, index)


def _describe(graph: ExplanatoryGraph, best: int) -> dict[str, Any]:
    nodes = np.bincount(graph.node_layer, minlength=len(graph.layers))
    edges = np.bincount(graph.node_layer[graph.edge_child], minlength=len(graph.layers))
    columns = [*_BEST, *([] if graph.groups is None else ["group"])]
    rows = graph.nodes.loc[graph.top(best) if best else [], columns].to_dict(orient="split")
    return {
        "header": dict(graph.header),
        "input_size": list(graph.input_size),
        "doubts": [doubt.to_json() for doubt in graph.doubts],
        "nodes": len(graph),
        "edges": len(graph.edge_child),
        "groups": [] if graph.groups is None else _groups(graph.groups),
        "layers": [
            {**layer.to_json(), "nodes": int(n), "edges_up": int(e)}
            for layer, n, e in zip(graph.layers, nodes, edges, strict=True)
        ],
        "best_nodes": [
            {"node": int(node), **dict(zip(columns, values, strict=True))}
            for node, values in zip(rows["index"], rows["data"], strict=True)
        ],
    }


def _groups(groups: PartGroups) -> list[dict[str, Any]]:
    """Return part groups as JSON values, the best first."""
    rows = groups.table.reset_index().to_dict(orient="records")
    return [dict(plain(row)) for row in rows]


def _as_text(data: dict[str, Any]) -> tuple[Any, ...]:
    header = table("header", "", text=2)
    for key, value in sorted(data["header"].items()):
        if key == "material":  # the doubts say it
            continue
        header.add_row(key, _on_one_line(value))
    layers = table("layer", "channels", "grid", "stride", "nodes", "edges up")
    for layer in data["layers"]:
        grid, stride = (" x ".join(f"{v:g}" for v in layer[key]) for key in ("grid", "stride"))
        channels, own, up = (str(layer[key]) for key in ("channels", "nodes", "edges_up"))
        layers.add_row(layer["name"], channels, grid, stride, own, up)
    counts = f"{data['nodes']} nodes, {data['edges']} edges"
    nodes = table("node", "name or group", *_BEST[2:], text=2)
    titles = {row["group"]: row["name"] for row in data["groups"]}
    for row in data["best_nodes"]:
        name = row["name"] or titles.get(row.get("group"), "")
        nodes.add_row(row["id"], name, *(f"{row[key]:.3g}" for key in _BEST[2:]))
    groups = table("part group", "name", *_GROUP, text=2)
    for row in data["groups"]:
        groups.add_row(str(row["group"]), row["name"], *(f"{row[key]:.3g}" for key in _GROUP))
    doubts = doubt_lines(data["doubts"])
    return (*doubts, *([groups] if data["groups"] else []), header, layers, counts, nodes)


def _on_one_line(value: object) -> str:
    """Write a header's value on one line."""
    if isinstance(value, dict):
        return ", ".join(f"{key} {_on_one_line(item)}" for key, item in value.items())
    if isinstance(value, list):
        return " ".join(_on_one_line(item) for item in value) or "none"
    return f"{value:g}" if isinstance(value, float) else str(value)
