"""``explgraph match``."""

# ruff: noqa: PLR0913  a command's parameters are its options

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from explgraph.base.errors import require
from explgraph.base.progress import stage

from . import options as cli
from .base import Report
from .options import check_out_file, read_options
from .outputs import Written

if TYPE_CHECKING:
    from explgraph.graphs.graph import ExplanatoryGraph
    from explgraph.graphs.matches import Matches
    from explgraph.photos.images import ImageSource


def match(
    graph: cli.GraphFile,
    images: cli.Images,
    out: Annotated[
        Path, Written.FILE, typer.Option(metavar="M", help="The .safetensors file to write.")
    ],
    model: cli.GraphModel = None,
    weights: cli.Weights = None,
    views: Annotated[
        bool,
        typer.Option(
            "--views",
            help="Keep what 'explgraph parts' and 'explgraph locate' need, for their --matches: "
            "some hundred kilobytes more for each photo.",
        ),
    ] = False,
    groups: Annotated[
        Path | None,
        Written.FILE,
        typer.Option(
            metavar="F",
            help="Also write where the graph's part groups are: a CSV image,part,x,y,sureness in "
            "pixels of each photo.",
        ),
    ] = None,
    no_mirror: cli.NoMirror = False,
    boxes: cli.Boxes = None,
    label: cli.Label = None,
    force: cli.Force = False,
    device: cli.Device = "auto",
    batch_size: cli.BatchSize = None,
    precision: cli.Precision = "float32",
    strict: cli.Strict = False,
    workers: cli.Workers = None,
    as_json: cli.AsJson = False,
) -> Report:
    """Find the nodes of a graph in photos.

    The file holds yx (N, P, 2) in the unit square of each photo as given, score (N, P), mirrored
    (N,) and node_layer (P,); its metadata names the images. With --views, 'explgraph parts' and
    'explgraph locate' take it in place of running the network again.
    """
    from explgraph import pipeline
    from explgraph.engines.crews import executor_of
    from explgraph.graphs.choice import groups_of
    from explgraph.graphs.graph import ExplanatoryGraph
    from explgraph.groups.files import write_group_places
    from explgraph.groups.grouping import group_places
    from explgraph.photos.images import open_images

    from .network import graph_network

    check_out_file(out)
    mined = ExplanatoryGraph.load(graph)
    if groups is not None:
        groups_of(mined)  # fails before the network runs
    source = open_images(images, boxes=boxes, label=label)
    net = graph_network(mined, model, weights, device=device)
    options = read_options(batch_size, strict, mirror=not no_mirror, precision=precision)
    with executor_of(workers) as executor:
        found = pipeline.match(
            mined, net, source, force=force, views=views, executor=executor, **options
        )
    with stage("writing"):
        found.save(out)
        if groups is not None:
            labels = groups_of(mined).labels
            write_group_places(groups, group_places(mined, found), labels, found.photo_sizes)
    data = _summary(found, out)
    text = (
        f"{out}: {data['nodes']} nodes in {data['photos']} photos, {data['mirrored']} of them "
        f"mirrored; of {data['unsure']} it is doubtful which way they face; nodes have a peak in "
        f"{data['with_peak']:.0%} of the photos"
    )
    return Report(data, (text,), as_json)


def _summary(found: Matches, path: Path) -> dict[str, Any]:
    from explgraph.graphs.matches import SURE

    sure = found.view_probability.max(axis=1)
    return {
        "matches": str(path),
        "photos": len(found),
        "skipped": list(found.header.get("skipped", ())),
        "nodes": len(found.node_layer),
        "mirrored": int(found.mirrored.sum()),
        "unsure": int((sure < SURE).sum()),
        "view_probability": dict(zip(found.images, found.view_probability.tolist(), strict=True)),
        "with_peak": float((found.score > 0).mean()) if found.score.size else 0.0,
    }


def known_matches(path: Path, graph: ExplanatoryGraph, source: ImageSource) -> Matches:
    """Read what ``explgraph match --views`` found of a graph in the same photos.

    Raises
    ------
    ExplGraphError
        If the file holds something else, or matches of another graph, of other photos, or without
        views.
    """
    from explgraph.graphs.graph_arrays import graph_hash
    from explgraph.graphs.matches import Matches

    found = Matches.load(path)
    require(
        found.header.get("graph_hash") == graph_hash(graph),
        f"--matches {path} holds the matches of another graph: match IMAGES with this one, or "
        "leave it out",
    )
    require(
        found.views is not None,
        f"--matches {path} holds matches without views: match with --views, or leave it out",
    )
    known = [*found.images, *found.header.get("skipped", ())]
    new, gone = _others(source.names, known), _others(known, source.names)
    told = [
        f"{len(names)} {where}, the first is {names[0]}"
        for names, where in ((new, "of IMAGES are not in it"), (gone, "are in it alone"))
        if names
    ]
    require(
        not told,
        f"--matches {path} holds matches of other photos: {'; '.join(told)}. Give the same IMAGES, "
        "--boxes and --label as to 'explgraph match', or match them again",
    )
    return found


def _others(names: Sequence[str], known: Sequence[str]) -> list[str]:
    """Return the names that are not known."""
    there = set(known)
    return [name for name in names if name not in there]
