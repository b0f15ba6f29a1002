"""``explgraph report``."""
# ruff: noqa: PLR0913  a command's parameters are its options

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from . import cli_options as cli
from .cli_base import Report
from .cli_options import read_options
from .errors import require


def report(
    graph: cli.GraphFile,
    images: cli.Images,
    out: Annotated[Path, typer.Option(metavar="F", help="The .html to write.")],
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
        int, typer.Option(metavar="N", min=1, help="Most nodes on the page, the best.")
    ] = 400,
    photos: Annotated[
        int, typer.Option(metavar="N", min=1, help="Most photos on the page, the best matched.")
    ] = 12,
    model: cli.GraphModel = None,
    weights: cli.Weights = None,
    boxes: cli.Boxes = None,
    label: cli.Label = None,
    force: cli.Force = False,
    device: cli.Device = "auto",
    batch_size: cli.BatchSize = 32,
    precision: cli.Precision = "float32",
    strict: cli.Strict = False,
    as_json: cli.AsJson = False,
) -> Report:
    """Write a page to explore a graph in a browser: one file that needs no network.

    Best take photos that the graph was not mined from: the share of the response that nodes explain
    is counted in them.
    """
    from .annotations import read_annotations
    from .cli_network import see
    from .graph import ExplanatoryGraph
    from .images import open_images
    from .report import write_report

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
        nodes=nodes,
        photos=photos,
        peaks=seen.peaks,
        annotations=truth,
    )
    size = out.stat().st_size
    data = {"file": str(out), "photos": len(seen.found), "bytes": size}
    return Report(data, (f"{out}: {size / 1e6:.1f} MB, open it in a browser",), as_json)
