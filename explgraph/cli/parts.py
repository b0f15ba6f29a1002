"""``explgraph parts``."""

# ruff: noqa: PLR0913  a command's parameters are its options

from __future__ import annotations

import logging
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from explgraph.base.errors import require
from explgraph.base.progress import stage
from explgraph.photos.addresses import is_address
from explgraph.photos.annotations import photo_of
from explgraph.photos.images import ImageSource, open_images
from explgraph.photos.kinds import TAR, suffix_of

from . import options as cli
from .base import Report, table
from .matching import known_matches
from .options import check_out_file, read_options
from .outputs import Written

if TYPE_CHECKING:
    from rich.table import Table

    from aog import Parts
    from explgraph.graphs.matches import Matches
    from explgraph.photos.annotations import Annotations


_UNLABELLED = "unlabelled/"

log = logging.getLogger("explgraph")


def parts(
    graph: cli.GraphFile,
    images: cli.Images,
    annotations: Annotated[
        Path,
        typer.Option(
            metavar="A",
            help="Where the parts are in one photo of IMAGES or more: a CSV "
            "image,part,x,y[,width,height] in pixels of the photo, COCO key points (.json), or a "
            "folder as CUB-200-2011 or VOC-Part have it.",
        ),
    ],
    out: Annotated[
        Path, Written.FILE, typer.Option(metavar="PARTS", help="The .safetensors file to write.")
    ],
    part: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME", help="A part to learn; may be given again. Default: all parts in A."
        ),
    ] = None,
    matches: cli.KnownMatches = None,
    model: cli.GraphModel = None,
    weights: cli.Weights = None,
    unlabelled: Annotated[
        str | None,
        typer.Option(
            metavar="DIR",
            help="More photos of the category, without annotations; taken whole. Photos of IMAGES "
            "that are not annotated serve for the same.",
            rich_help_panel="Photos",
        ),
    ] = None,
    boxes: cli.Boxes = None,
    label: Annotated[
        str | None,
        typer.Option(
            metavar="L",
            help="Take only the boxes with this label and, of annotations that have labels, the "
            "objects.",
            rich_help_panel="Photos",
        ),
    ] = None,
    force: cli.Force = False,
    device: cli.Device = "auto",
    batch_size: cli.BatchSize = None,
    precision: cli.Precision = "float32",
    strict: cli.Strict = False,
    as_json: cli.AsJson = False,
) -> Report:
    """Learn where semantic parts are from one to three clicks.

    PARTS holds what 'explgraph locate' needs; the graph is not needed any more. The photos around
    the annotated ones help: give some dozens of them.
    """
    from aog import fit_parts
    from explgraph.graphs.graph import ExplanatoryGraph
    from explgraph.photos.annotation_files import read_annotations

    check_out_file(out)
    mined = ExplanatoryGraph.load(graph)
    has_labels = annotations.suffix.lower() != ".csv"
    require(
        label is None or has_labels or boxes is not None,
        f"--label {label} chooses among --boxes or the objects of COCO key points, CUB-200-2011 or "
        "VOC-Part: give one of them",
    )
    require(
        matches is None or unlabelled is None,
        "--matches are of IMAGES alone: leave out --unlabelled, and match a folder that holds all",
    )
    marks = read_annotations(annotations, parts=part or None, label=label if has_labels else None)
    labelled = open_images(images, boxes=boxes, label=None if boxes is None else label)
    names = tuple(dict.fromkeys(part or marks.parts()))
    _check(marks, names, labelled)
    source = labelled if unlabelled is None else _together(labelled, images, unlabelled)
    if matches is not None:
        found = known_matches(matches, mined, source)
    else:
        from explgraph import pipeline

        from .network import graph_network

        net = graph_network(mined, model, weights, device=device)
        options = read_options(batch_size, strict, precision=precision)
        found = pipeline.match(mined, net, source, force=force, views=True, **options)
    with stage("fitting"), warnings.catch_warnings(record=True) as doubts:
        warnings.simplefilter("always", UserWarning)
        fitted = fit_parts(mined, found, marks, names)
    for doubt in doubts:
        log.warning("%s", doubt.message)
    fitted.save(out)
    data = _summary(fitted, found, out)
    return Report(data, (_sentence(data), _table(data)), as_json)


def _check(marks: Annotations, names: Sequence[str], source: ImageSource) -> None:
    """Refuse wrong annotations before the network runs over all photos."""
    from aog.clicks import check_clicks

    sizes = source.photo_sizes(photo_of(image) for image in marks.image)
    for name in names:
        check_clicks(marks, name, source.names, sizes)


def _place(images: str) -> str:
    """Return an address as it is, and a path as the only one to what it leads to."""
    return images.rstrip("/") if is_address(images) else str(Path(images).resolve())


def _together(labelled: ImageSource, images: str, unlabelled: str) -> ImageSource:
    """Return annotated photos, and those of another folder, named "unlabelled/...".

    A photo of the folder that is one of the annotated folder's, too, is taken once: as that one.
    """
    found, place = open_images(unlabelled), _place(images)
    own = _place(unlabelled)
    if is_address(own) or suffix_of(own) == TAR:  # the same photos, or none of them
        more = found.take([] if own == place else range(len(found)))
    else:
        root = Path(own) if Path(own).is_dir() else Path(own).parent
        more = found.take(
            i for i, name in enumerate(found.names) if not (root / name).is_relative_to(place)
        )
    more = more.renamed([_UNLABELLED + name for name in more.names])
    twice = {*labelled.names} & {*more.names}
    require(
        not twice,
        f"photos of {unlabelled} are called {_UNLABELLED}..., and {images} has {len(twice)} of the "
        "same name: rename the folder in it",
    )
    return labelled + more


def _summary(fitted: Parts, found: Matches, path: Path) -> dict[str, Any]:
    return {
        "parts": str(path),
        "photos": len(found),
        "skipped": list(found.header.get("skipped", ())),
        "fitted": {
            aog.part: {
                "clicks": aog.n_clicks,
                "templates": len(aog),
                "patterns": len(aog.node),
            }
            for aog in fitted.aogs
        },
    }


def _sentence(data: dict[str, Any]) -> str:
    count = len(data["fitted"])
    return f"{data['parts']}: {count} part{'s' * (count > 1)}, with {data['photos']} photos"


def _table(data: dict[str, Any]) -> Table:
    result = table("part", "clicks", "templates", "patterns")
    for name, row in data["fitted"].items():
        result.add_row(name, *(str(count) for count in row.values()))
    return result
