"""``explgraph evaluate``."""

# ruff: noqa: PLR0913  a command's parameters are its options

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, cast

import typer

from explgraph.base.errors import require, unknown_name
from explgraph.cli import options as cli
from explgraph.cli.base import Report
from explgraph.cli.options import layer_choice, numbers, read_options, split_names

from .explanations import ExplanationOptions, evaluate_explanations
from .measures import (
    ANNOTATIONS,
    BACKGROUND,
    MASKS,
    OBJECTS,
    TRACKING,
    Category,
    Measure,
    Result,
    chosen_measures,
)
from .parts import evaluate_parts
from .tables import measure_report, tracking_report

if TYPE_CHECKING:
    from explgraph.evaluation.protocol import Study
    from explgraph.peaks.structures import PeakSet
    from explgraph.photos.annotations import Annotations


_FILE = "annotations.csv"


def evaluate(
    images: Annotated[
        list[Path],
        typer.Argument(
            metavar="IMAGES",
            help="Folders of photos, one for each category; with --per-class, a folder of such.",
        ),
    ],
    model: cli.Model,
    annotations: Annotated[
        Path | None,
        typer.Option(
            metavar="A",
            help="Part centres, a CSV image,part,x,y[,width,height][,group]. Default: the file "
            f"{_FILE} in each category's folder.",
        ),
    ] = None,
    per_class: Annotated[
        bool, typer.Option("--per-class", help=f"Take every sub-folder that holds {_FILE}.")
    ] = False,
    categories: Annotated[
        str | None, typer.Option(metavar="A,B,C", help="With --per-class: only these sub-folders.")
    ] = None,
    measures: Annotated[
        str,
        typer.Option(
            metavar="A,B,C",
            help="What to measure: tracking of annotated parts; the share of the response that "
            "nodes explain (explained), how the network fares with their cells alone (fidelity), "
            "whether another seed or half of the photos gives the same nodes (stability), whether "
            "a node means one part (purity), whether nodes are what they are called (kinds), "
            "whether part groups mean parts (groups), how much of a node's response the nodes "
            "below carry, by kind of edge (edges), and whether photos are turned rightly (facing). "
            "Only tracking and facing need annotations.",
        ),
    ] = TRACKING,
    masks: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR",
            help="For purity, kinds, groups and explained: a PNG of part labels for each photo "
            "(0 = background) and parts.json, the list of their names. Keep it outside of IMAGES.",
        ),
    ] = None,
    object_boxes: Annotated[
        Path | None,
        typer.Option(
            metavar="F",
            help="For explained, where there are no masks: boxes of the objects, a CSV "
            "image,x,y,width,height, a COCO .json, or VOC .xml. Photos are not cut to them.",
        ),
    ] = None,
    splits: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="Locate parts from the few clicks that this file names instead (JSON: category, "
            "part, number of clicks, seed, images), and print the table with its baselines.",
        ),
    ] = None,
    reliability: Annotated[
        bool,
        typer.Option(
            "--reliability",
            help="With --splits: ask the And-Or graph how sure it is. Do its regions hold the "
            "part, does it notice a part that is painted over?",
        ),
    ] = False,
    explanations: Annotated[
        bool,
        typer.Option(
            "--explanations",
            help="Measure visual explanations instead: insertion and deletion, pointing at the "
            "annotated parts, sensitivity, each with its time; among them the graph's own.",
        ),
    ] = False,
    methods: Annotated[
        str,
        typer.Option(
            metavar="A,B,C", help="With --explanations: methods, as of 'explgraph explain', or all."
        ),
    ] = "all",
    photos: Annotated[
        int,
        typer.Option(
            metavar="N",
            help="With --explanations: photos measured of each category. Each takes some seconds "
            "for each method.",
        ),
    ] = 10,
    on_grid: Annotated[
        bool,
        typer.Option(
            "--on-grid",
            help="With --explanations: compare all maps on the cells of the top layer.",
        ),
    ] = False,
    robustness: Annotated[
        bool,
        typer.Option(
            "--robustness/--no-robustness",
            help="With --explanations: also explain each photo under noise, and by the network "
            "without what its upper half has learned, which takes nine times as long.",
        ),
    ] = True,
    weights: cli.Weights = None,
    background: cli.Background = None,
    layers: cli.Layers = "auto",
    seeds: Annotated[str, typer.Option(metavar="A,B,C", help="Mine one graph for each.")] = "0,1,2",
    parts: Annotated[
        str | None, typer.Option(metavar="A,B,C", help="The parts to measure. Default: all.")
    ] = None,
    device: cli.Device = "auto",
    batch_size: cli.BatchSize = None,
    precision: cli.Precision = "float32",
    fit: cli.Fit = "stretch",
    strict: cli.Strict = False,
    as_json: cli.AsJson = False,
) -> Report:
    """Measure mined graphs, beside all that they have to beat.

    By default, how well nodes follow annotated parts. T100 is the tracking ratio of the 100 best
    nodes: 0 follows the part exactly, 1 is no better than a point that never moves. Labels are used
    for measuring only.
    """
    from explgraph.cli.network import load_network
    from explgraph.pipeline import extract

    chosen_seeds, folders = numbers("--seeds", seeds), _folders(images, per_class, categories)
    require(
        splits is None or (measures == TRACKING and masks is None and parts is None),
        "--splits is a protocol of its own: leave --measures, --masks and --parts out",
    )
    require(splits is not None or not reliability, "--reliability goes with --splits FILE")
    require(
        not explanations or (splits is None and measures == TRACKING and masks is None),
        "--explanations is a table of its own: leave --splits, --measures and --masks out",
    )
    if explanations:
        asked = ExplanationOptions(
            methods=() if methods == "all" else split_names(methods),
            photos=photos,
            on_grid=on_grid,
            robustness=robustness,
            background=background,
            layers=layer_choice(layers),
            seed=chosen_seeds[0],
            read=read_options(batch_size, strict, precision=precision),
        )
        known = _annotations(folders, annotations, needed=False)
        net = load_network(model, weights, device=device, fit=fit)
        return evaluate_explanations(net, folders, known, asked, as_json=as_json)
    chosen = chosen_measures(split_names(measures))
    _check_needs(chosen, folders, background, masks)
    _check_boxes(chosen, folders, masks, object_boxes)
    truths = _annotations(folders, annotations, needed=_is_needed(ANNOTATIONS, chosen))
    chosen_parts = _chosen_parts(truths, parts)
    net = load_network(model, weights, device=device, fit=fit)
    if splits is not None:
        return evaluate_parts(
            net,
            folders,
            truths,
            splits,
            background=background,
            layers=layer_choice(layers),
            batch_size=batch_size,
            reliability=reliability,
            as_json=as_json,
        )
    choice, options = layer_choice(layers), read_options(batch_size, strict, precision=precision)
    reference: PeakSet | None = None
    if background is not None:  # seen by the network once, not for each category
        # As a control it is seen both ways, as the photos are; as a scale the mirror says nothing.
        both = _is_needed(BACKGROUND, chosen)
        seen = read_options(batch_size, strict, mirror=both, precision=precision)
        reference = extract(net, background, layers=choice, **seen)
    results: dict[str, list[Result]] = {name: [] for name in chosen}
    for name, folder in folders.items():
        category = Category(
            name=name,
            folder=folder,
            net=net,
            peaks=extract(net, folder, background=reference, layers=choice, **options),
            seeds=chosen_seeds,
            options=options,
            background=reference,
            annotations=truths[name],
            parts=chosen_parts[name],
            masks=masks,
            objects=object_boxes,
        )
        for measure, found in zip(chosen.values(), results.values(), strict=True):
            found.append(measure.run(category))
    return _report({**net.to_json(), "seeds": list(chosen_seeds)}, chosen, results, as_json)


def _is_needed(need: str, measures: Mapping[str, Measure]) -> bool:
    return any(need in measure.needs for measure in measures.values())


def _is_taken(gift: str, measures: Mapping[str, Measure]) -> bool:
    return any(gift in measure.needs | measure.takes for measure in measures.values())


def _check_boxes(
    measures: Mapping[str, Measure],
    folders: Mapping[str, Path],
    masks: Path | None,
    boxes: Path | None,
) -> None:
    """Raise before the work begins if boxes of objects are of no use."""
    if boxes is None:
        return
    require(
        _is_taken(OBJECTS, measures), "--object-boxes is for explained: add --measures explained"
    )
    require(masks is None, "--masks say where objects are: leave --object-boxes out")
    require(
        len(folders) == 1,
        f"--object-boxes is for one folder of photos, got {len(folders)}: one at a time",
    )


def _check_needs(
    measures: Mapping[str, Measure],
    folders: Mapping[str, Path],
    background: str | None,
    masks: Path | None,
) -> None:
    """Raise before the work begins if a measure lacks what it needs, or masks are out of place."""
    for name, measure in measures.items():
        require(
            BACKGROUND not in measure.needs or background is not None,
            f"--measures {name} needs photos of anything else as a control: give --background DIR",
        )
        require(
            MASKS not in measure.needs or masks is not None,
            f"--measures {name} needs a mask of the parts for each photo: give --masks DIR",
        )
    if masks is None:
        return
    require(
        _is_taken(MASKS, measures),
        "--masks is for purity, kinds, groups and explained: add one of them to --measures",
    )
    require(
        len(folders) == 1, f"--masks is for one folder of photos, got {len(folders)}: one at a time"
    )
    for folder in folders.values():
        require(
            not masks.resolve().is_relative_to(folder.resolve()),
            f"--masks {masks} lies within {folder}, where masks are taken for photos: move it out",
        )


def _folders(images: Sequence[Path], per_class: bool, categories: str | None) -> dict[str, Path]:
    """Return the categories' folders by name."""
    require(per_class or categories is None, "--categories chooses among folders: add --per-class")
    missing = [str(folder) for folder in images if not folder.is_dir()]
    require(not missing, f"{', '.join(missing)} is not there: expected a folder of photos")
    found = list(images)
    if per_class:
        found = sorted(path.parent for top in images for path in top.glob(f"*/{_FILE}"))
        where = ", ".join(map(str, images))
        require(len(found) > 0, f"--per-class: no folder in {where} holds a file {_FILE}")
    folders = {folder.resolve().name: folder for folder in found}
    require(
        len(folders) == len(found),
        "two folders have the same name, and a category is called as its folder: rename one",
    )
    wanted = split_names(categories or "")
    for name in wanted:
        if name not in folders:
            raise unknown_name("category", name, folders, f"Its folder must hold a file {_FILE}")
    return {name: folders[name] for name in wanted} if wanted else folders


def _annotations(
    folders: Mapping[str, Path], file: Path | None, *, needed: bool
) -> dict[str, Annotations | None]:
    """Read each category's annotations; None where there are none and none are needed."""
    from explgraph.photos.annotation_files import read_annotations

    require(
        file is None or len(folders) == 1,
        f"--annotations is for one folder of photos, got {len(folders)}: leave it out and put a "
        f"file {_FILE} into each of them",
    )
    files = {name: file or folder / _FILE for name, folder in folders.items()}
    return {
        name: read_annotations(path) if needed or file or path.is_file() else None
        for name, path in files.items()
    }


def _chosen_parts(
    truths: Mapping[str, Annotations | None], parts: str | None
) -> dict[str, tuple[str, ...]]:
    """Return the parts to measure in each category, of ``--parts`` that it has; head first."""
    known = {
        name: tuple(sorted(truth.parts(), key=lambda part: (part != "head", part)))
        if truth is not None
        else ()
        for name, truth in truths.items()
    }
    if parts is None:
        return known
    wanted = split_names(parts)
    everywhere = sorted({part for found in known.values() for part in found})
    for part in wanted:
        if part not in everywhere:
            raise unknown_name("part", part, everywhere)
    chosen = {name: tuple(p for p in found if p in wanted) for name, found in known.items()}
    for name, found in chosen.items():
        require(
            len(found) > 0,
            f"--parts {parts}: {name} has none of them, only {', '.join(known[name])}",
        )
    return chosen


def _report(
    header: Mapping[str, Any],
    measures: Mapping[str, Measure],
    results: Mapping[str, Sequence[Result]],
    as_json: bool,
) -> Report:
    """Put the figures of tracking at the top level of the JSON values, the others' below."""
    data, blocks = dict(header), []
    for name, measure in measures.items():
        if name == TRACKING:
            figures, tables = tracking_report(cast("Sequence[Study]", results[name]))
            data |= figures
        else:
            figures, tables = measure_report(measure, results[name])
            data.setdefault("measures", {})[name] = figures
        blocks += tables
    return Report(data, tuple(blocks), as_json)
