"""``explgraph locate``."""

# ruff: noqa: PLR0913  a command's parameters are its options

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import numpy as np
import typer

from explgraph.base.progress import stage

from . import options as cli
from .base import Report, table
from .matching import known_matches
from .options import read_options
from .outputs import Written

if TYPE_CHECKING:
    from rich.table import Table

    from aog import Localizations
    from explgraph.graphs.matches import Matches


def locate(
    parts: Annotated[
        Path, typer.Argument(metavar="PARTS", help="Parts that 'explgraph parts' wrote.")
    ],
    images: cli.Images,
    out: Annotated[
        Path,
        Written.FILE,
        typer.Option(
            metavar="P", help="The .csv to write, a .json for COCO key points, an .xml for CVAT."
        ),
    ],
    format: Annotated[
        str | None,
        typer.Option(
            metavar="F", help="csv, coco, cvat or label-studio. Default: by the ending of --out."
        ),
    ] = None,
    part: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME", help="A part to write; may be given again. Default: all parts in PARTS."
        ),
    ] = None,
    matches: cli.KnownMatches = None,
    model: cli.GraphModel = None,
    weights: cli.Weights = None,
    no_mirror: cli.NoMirror = False,
    boxes: cli.Boxes = None,
    label: cli.Label = None,
    force: cli.Force = False,
    device: cli.Device = "auto",
    batch_size: cli.BatchSize = None,
    precision: cli.Precision = "float32",
    strict: cli.Strict = False,
    as_json: cli.AsJson = False,
) -> Report:
    """Find parts in photos.

    The table has image, part, x, y, width, height, confidence, visible, template and mirrored, one
    line for each photo and part. x and y are the centre in pixels of the photo, an integer is the
    centre of a pixel; the size is empty where the clicks had none; confidence is the probability
    that the part is within a tenth of the diagonal. 'explgraph parts' takes the file as annotations
    once you have corrected it.
    """
    from aog import Parts
    from aog import locate as find_parts
    from aog.files import write_answers
    from explgraph.photos.images import open_images
    from explgraph.photos.place_files import place_format

    place_format(out, format)
    fitted = Parts.load(parts)
    names = tuple(dict.fromkeys(fitted[name].part for name in part or fitted.names))
    source = open_images(images, boxes=boxes, label=label)
    if matches is not None:
        found = known_matches(matches, fitted.graph, source)
    else:
        from explgraph import pipeline

        from .network import graph_network

        net = graph_network(fitted.graph, model, weights, device=device)
        options = read_options(batch_size, strict, mirror=not no_mirror, precision=precision)
        found = pipeline.match(fitted.graph, net, source, force=force, views=True, **options)
    with stage("locating"):
        answers = find_parts(fitted, found)
    chosen = answers.take(np.array([name in names for name in answers.parts]))
    write_answers(out, chosen, found.photo_sizes, format=format, images=images)
    data = _summary(chosen, names, found, out)
    return Report(data, (_sentence(data), _table(data)), as_json)


def _summary(
    answers: Localizations, names: Sequence[str], found: Matches, path: Path
) -> dict[str, Any]:
    located = {}
    for name in names:
        own = answers.of(name)
        located[name] = {
            "visible": int(own.visible.sum()),
            "mirrored": int(own.mirrored.sum()),
            "confidence": round(float(own.confidence.mean()), 4),
        }
    return {
        "answers": str(path),
        "photos": len(found),
        "skipped": list(found.header.get("skipped", ())),
        "located": located,
    }


def _sentence(data: dict[str, Any]) -> str:
    count = len(data["located"])
    return f"{data['answers']}: {count} part{'s' * (count > 1)} in {data['photos']} photos"


def _table(data: dict[str, Any]) -> Table:
    result = table("part", "visible in", "mirrored", "mean confidence")
    for name, row in data["located"].items():
        result.add_row(name, str(row["visible"]), str(row["mirrored"]), f"{row['confidence']:.3f}")
    return result
