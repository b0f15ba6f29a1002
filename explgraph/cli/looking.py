"""``explgraph gallery`` and ``explgraph show``: a graph, looked at on photos."""

# ruff: noqa: PLR0913  a command's parameters are its options

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, cast

import typer

from explgraph.base.errors import ExplGraphError, require

from . import options as cli
from .base import Report
from .options import read_options
from .outputs import Written

if TYPE_CHECKING:
    from explgraph.drawing.graph.draw import Level
    from explgraph.graphs.choice import NodeChoice
    from explgraph.graphs.graph import ExplanatoryGraph


def gallery(
    graph: cli.GraphFile,
    images: cli.Images,
    out: Annotated[
        Path, Written.FOLDER, typer.Option(metavar="DIR", help="The folder for the pictures.")
    ],
    nodes_per_layer: Annotated[
        int, typer.Option(metavar="N", min=1, help="Rows of each layer's contact sheet.")
    ] = 8,
    galleries: Annotated[
        int,
        typer.Option(
            metavar="N",
            min=0,
            help="Of each layer, so many of the best nodes get a gallery of their own, and so do "
            "their filters.",
        ),
    ] = 2,
    node: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NODE",
            help="Galleries of this node and its filter, instead of the best: number, "
            "layer/filter/part, the name that you gave it, or best. May be given again.",
        ),
    ] = None,
    patches: Annotated[
        int, typer.Option(metavar="N", min=1, help="Photos shown in a node's gallery.")
    ] = 24,
    model: cli.GraphModel = None,
    weights: cli.Weights = None,
    boxes: cli.Boxes = None,
    label: cli.Label = None,
    force: cli.Force = False,
    device: cli.Device = "auto",
    batch_size: cli.BatchSize = None,
    precision: cli.Precision = "float32",
    strict: cli.Strict = False,
    as_json: cli.AsJson = False,
) -> Report:
    """Show where the nodes of a graph fire in photos.

    Writes parts at a glance (groups.png), where the graph has part groups, and a contact sheet for
    each layer (sheet_LAYER.png); for single nodes the photos in which they score best
    (node_LAYER_FILTER_PART.png); and for filters the nodes that they mix, against their raw peaks
    (filter_LAYER_FILTER.png).
    """
    from explgraph.galleries.galleries import draw_filter, draw_node
    from explgraph.galleries.groups import draw_groups
    from explgraph.galleries.sheet import draw_nodes
    from explgraph.graphs.choice import shown_first
    from explgraph.graphs.graph import ExplanatoryGraph
    from explgraph.photos.images import open_images

    from .network import see

    mined = ExplanatoryGraph.load(graph)
    chosen = _nodes(mined, node, galleries)
    source = open_images(images, boxes=boxes, label=label)
    options = read_options(batch_size, strict, precision=precision)
    seen = see(mined, source, model, weights, device=device, force=force, **options)
    written = []
    if node is None and mined.groups is not None and len(mined.groups):
        written.append(out / "groups.png")
        draw_groups(mined, seen.found, source, written[0])
    for layer, nodes in enumerate(shown_first(mined, nodes_per_layer) if node is None else ()):
        path = out / f"sheet_{_file_name(mined.layers[layer].name)}.png"
        if len(nodes):
            draw_nodes(mined, seen.found, source, path, nodes=nodes.tolist())
            written.append(path)
    for one in chosen:
        path = out / f"node_{_file_name(mined.node_id(one))}.png"
        draw_node(mined, seen.found, source, path, one, patches=patches)
        written.append(path)
    filters = {(int(mined.node_layer[i]), int(mined.node_channel[i])): None for i in chosen}
    for layer, channel in filters:
        path = out / f"filter_{_file_name(mined.layers[layer].name)}_{channel}.png"
        draw_filter(mined, seen.found, seen.peaks, source, path, layer, channel)
        written.append(path)
    data = {"photos": len(seen.found), "files": [str(path) for path in written]}
    return Report(data, tuple(str(path) for path in written), as_json)


def _nodes(graph: ExplanatoryGraph, named: Sequence[str] | None, per_layer: int) -> list[int]:
    """Return the nodes that get galleries: those asked for, or the best of each layer."""
    from explgraph.graphs.choice import find_node, shown_first

    if named:
        return [find_node(graph, cli.node_name(graph, text)) for text in named]
    return [node for nodes in shown_first(graph, per_layer) for node in nodes.tolist()]


def _file_name(name: str) -> str:
    """Replace what a file's name should not hold."""
    return re.sub(r"[^\w.-]+", "_", name)


def show(
    graph: cli.GraphFile,
    image: Annotated[Path, typer.Argument(metavar="IMAGE", help="A photo.")],
    out: Annotated[
        Path, Written.FILE, typer.Option(metavar="F", help="The .png or .jpg to write.")
    ],
    heatmap: Annotated[
        Path | None,
        Written.FILE,
        typer.Option(
            metavar="F",
            help="Also draw where each layer's nodes explain its response, and where it stays "
            "unexplained: a .png or .jpg.",
        ),
    ] = None,
    arrays: Annotated[
        Path | None,
        Written.FILE,
        typer.Option(
            metavar="F",
            help="Also write these maps as arrays: an .npz with explained.LAYER and "
            "unexplained.LAYER (1, H, W) for each layer, in units of the response.",
        ),
    ] = None,
    level: cli.Level = None,
    nodes_per_layer: Annotated[
        int | None,
        typer.Option(metavar="N", min=1, help="Nodes drawn of each layer, the best here (12)."),
    ] = None,
    min_score: Annotated[
        float | None, typer.Option(metavar="S", help="Only nodes with at least this score here.")
    ] = None,
    around: cli.Around = None,
    parents_per_node: Annotated[
        int, typer.Option(metavar="N", min=0, help="Lines drawn from each node.")
    ] = 1,
    model: cli.GraphModel = None,
    weights: cli.Weights = None,
    force: cli.Force = False,
    device: cli.Device = "auto",
    as_json: cli.AsJson = False,
) -> Report:
    """Draw the part groups of a graph, or its nodes, where they are in a photo.

    A group is one labelled place, the paler the less sure it is. Nodes are drawn where the graph
    has no groups, and if an option asks for some: they have their layer's colour and the size of
    their score; lines lead to their parents.
    """
    from explgraph.drawing.pictures import check_picture_name
    from explgraph.galleries.photo import draw_match
    from explgraph.graphs.choice import find_node
    from explgraph.graphs.graph import ExplanatoryGraph
    from explgraph.photos.images import open_images

    from .network import see

    for path in (out, heatmap):
        if path is not None:
            check_picture_name(path)
    require(arrays is None or arrays.suffix == ".npz", f"--arrays must end in .npz, got {arrays}")
    if not image.is_file():
        raise ExplGraphError(f"{image} is not a photo's file: 'explgraph gallery' takes folders")
    mined = ExplanatoryGraph.load(graph)
    focus = None if around is None else find_node(mined, cli.node_name(mined, around))
    source = open_images(image)
    seen = see(mined, source, model, weights, device=device, force=force, strict=True)
    choice: NodeChoice = {"min_score": min_score, "around": focus}
    if nodes_per_layer is not None:
        choice["nodes_per_layer"] = nodes_per_layer
    chosen = cast("Level | None", level)
    draw_match(
        *(mined, seen.found, source, out, 0),
        level=chosen,
        parents_per_node=parents_per_node,
        **choice,
    )
    written = [out]
    if heatmap is not None or arrays is not None:
        from explgraph.explanations.explained import explained_maps
        from explgraph.explanations.pictures.explained import draw_explained

        maps = explained_maps(mined, seen.net, source, found=seen.found)
        if heatmap is not None:
            draw_explained(maps, source, heatmap, 0)
            written.append(heatmap)
        if arrays is not None:
            maps.save(arrays)
            written.append(arrays)
    data = {"image": str(image), "files": [str(path) for path in written]}
    return Report(data, tuple(str(path) for path in written), as_json)


def report(
    graph: cli.GraphFile,
    images: cli.Images,
    out: Annotated[Path, Written.FILE, typer.Option(metavar="F", help="The .html to write.")],
    annotations: Annotated[
        Path | None,
        typer.Option(
            metavar="F",
            help="Parts annotated in these photos, for the page's figures: how well nodes follow "
            "them. Any file that 'explgraph evaluate' takes.",
        ),
    ] = None,
    title: Annotated[str | None, typer.Option(metavar="T", help="The page's title.")] = None,
    nodes: Annotated[
        int, typer.Option(metavar="N", min=1, help="Most nodes with pictures, of every part group.")
    ] = 400,
    photos: Annotated[
        int,
        typer.Option(metavar="N", min=1, help="Most photos on the page: usual, best and worst."),
    ] = 12,
    model: cli.GraphModel = None,
    weights: cli.Weights = None,
    boxes: cli.Boxes = None,
    label: cli.Label = None,
    force: cli.Force = False,
    device: cli.Device = "auto",
    batch_size: cli.BatchSize = None,
    precision: cli.Precision = "float32",
    strict: cli.Strict = False,
    as_json: cli.AsJson = False,
) -> Report:
    """Write a page to explore a graph in a browser: one file that needs no network.

    Best take photos that the graph was not mined from: the share of the response that nodes explain
    is counted in them.
    """
    from explgraph.graphs.graph import ExplanatoryGraph
    from explgraph.photos.annotation_files import read_annotations
    from explgraph.photos.images import open_images
    from explgraph.report.writing import write_report

    from .network import see

    require(out.suffix.lower() in (".html", ".htm"), f"--out must end in .html, got {str(out)!r}")
    mined = ExplanatoryGraph.load(graph)
    truth = None if annotations is None else read_annotations(annotations)
    source = open_images(images, boxes=boxes, label=label)
    options = read_options(batch_size, strict, precision=precision)
    seen = see(mined, source, model, weights, device=device, force=force, **options)
    write_report(
        mined,
        seen.found,
        source,
        out,
        title=title,
        n_nodes=nodes,
        n_photos=photos,
        peaks=seen.peaks,
        annotations=truth,
    )
    size = out.stat().st_size
    data = {"file": str(out), "photos": len(seen.found), "bytes": size}
    return Report(data, (f"{out}: {size / 1e6:.1f} MB, open it in a browser",), as_json)
