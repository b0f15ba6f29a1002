"""``explgraph evaluate``."""
# ruff: noqa: PLR0913  a command's parameters are its options

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from . import cli_options as cli
from .cli_base import Report, table
from .cli_options import layer_choice, numbers, read_options, split_names
from .errors import require, unknown_name

if TYPE_CHECKING:
    import pandas as pd
    from rich.table import Table

    from .annotations import Annotations
    from .protocol import Study

_FILE = "annotations.csv"
_FIGURES = {
    "T100": "t100",
    "T100-unique": "t100_unique",
    "constant": "constant",
    "share": "share",
    "instability": "instability",
    "frozen": "frozen",
}


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
    weights: cli.Weights = None,
    background: cli.Background = None,
    layers: cli.Layers = "auto",
    seeds: Annotated[str, typer.Option(metavar="A,B,C", help="Mine one graph for each.")] = "0,1,2",
    parts: Annotated[
        str | None, typer.Option(metavar="A,B,C", help="The parts to measure. Default: all.")
    ] = None,
    device: cli.Device = "auto",
    batch_size: cli.BatchSize = 32,
    fit: cli.Fit = "stretch",
    strict: cli.Strict = False,
    as_json: cli.AsJson = False,
) -> Report:
    """Measure how well mined nodes follow annotated parts, beside all that they have to beat.

    T100 is the tracking ratio of the 100 best nodes: 0 follows the part exactly, 1 is no better
    than a point that never moves. Labels are used for measuring only.
    """
    from .cli_network import load_network
    from .pipeline import extract
    from .protocol import study_images

    chosen_seeds, folders = numbers("--seeds", seeds), _folders(images, per_class, categories)
    truths = _annotations(folders, annotations)
    chosen_parts = _chosen_parts(truths, parts)
    net = load_network(model, weights, device=device, fit=fit)
    choice, options = layer_choice(layers), read_options(batch_size, strict)
    reference: object | None = background
    if background is not None and len(folders) > 1:  # seen by the network once, not each time
        without_mirror = read_options(batch_size, strict, mirror=False)
        reference = extract(net, background, layers=choice, **without_mirror)
    studies = [
        study_images(
            net,
            folder,
            truths[name],
            background=reference,
            layers=choice,
            category=name,
            seeds=chosen_seeds,
            parts=chosen_parts[name],
            **options,
        )
        for name, folder in folders.items()
    ]
    return _report({**net.to_json(), "seeds": list(chosen_seeds)}, studies, as_json)


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


def _annotations(folders: Mapping[str, Path], file: Path | None) -> dict[str, Annotations]:
    from .annotations import read_annotations

    require(
        file is None or len(folders) == 1,
        f"--annotations is for one folder of photos, got {len(folders)}: leave it out and put a "
        f"file {_FILE} into each of them",
    )
    return {name: read_annotations(file or folder / _FILE) for name, folder in folders.items()}


def _chosen_parts(
    truths: Mapping[str, Annotations], parts: str | None
) -> dict[str, tuple[str, ...]]:
    """Return the parts to measure in each category, of ``--parts`` that it has; head first."""
    known = {
        name: tuple(sorted(truth.parts(), key=lambda part: (part != "head", part)))
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


def _report(header: Mapping[str, Any], studies: Sequence[Study], as_json: bool) -> Report:
    import pandas as pd

    from .protocol import MEAN, category_means, seed_means

    by_seed = pd.concat([study.table for study in studies], ignore_index=True)
    mirror = pd.concat([study.mirror_table for study in studies], ignore_index=True)
    means = seed_means(by_seed)
    across = category_means(means)
    data = {
        **header,
        "categories": [study.to_json() for study in studies],
        "means": _records(means),
        "means_over_categories": _records(across[across["category"] == MEAN]),
    }
    groups = by_seed.groupby(["category", "part"], sort=False)
    blocks = [_part_table(f"{category}, {part}", rows) for (category, part), rows in groups]
    if len(mirror):
        blocks.append(_mirror_table(mirror))
    if len(studies) > 1:
        blocks += [_summary_table(part, rows) for part, rows in across.groupby("part", sort=False)]
    return Report(data, tuple(blocks), as_json)


def _records(frame: pd.DataFrame) -> list[dict[str, Any]]:
    """Return a table's rows as JSON values, NaN as null."""
    return [
        {str(key): None if _is_nan(value) else value for key, value in row.items()}
        for row in frame.to_dict(orient="records")
    ]


def _is_nan(value: object) -> bool:
    return isinstance(value, float) and math.isnan(value)


def _part_table(title: str, by_seed: pd.DataFrame) -> Table:
    """Show every row for one part: means over seeds, and T100 of each seed."""
    seeds = list(dict.fromkeys(by_seed["seed"]))
    single = [f"seed {seed}" for seed in seeds] if len(seeds) > 1 else []
    result = table("row", "nodes", *_FIGURES, *single, title=title)
    for name, rows in by_seed.groupby("row", sort=False):
        means = rows[["nodes", *_FIGURES.values()]].mean()
        t100 = rows.set_index("seed")["t100"].reindex(seeds) if single else ()
        figures = [_digits(means[column]) for column in _FIGURES.values()]
        result.add_row(str(name), _digits(means["nodes"], 0), *figures, *map(_digits, t100))
    return result


def _mirror_table(mirror: pd.DataFrame) -> Table:
    """Show how often the inferred orientation is right, beside what a constant reaches."""
    columns = ("agreement", "majority", "photos")
    result = table("category", "row", *columns, title="mirror agreement", text=2)
    for (category, row), found in mirror.groupby(["category", "row"], sort=False):
        share, majority, photos = found[[*columns]].mean()
        result.add_row(str(category), str(row), _digits(share), _digits(majority), f"{photos:.0f}")
    return result


def _summary_table(part: object, means: pd.DataFrame) -> Table:
    """Show T100 of one part in every category, and the mean of the categories."""
    t100 = means.pivot(index="row", columns="category", values="t100")
    categories = list(dict.fromkeys(means["category"]))
    result = table("row", *categories, title=f"T100, {part}")
    for row in dict.fromkeys(means["row"]):
        result.add_row(str(row), *(_digits(t100.loc[row, name]) for name in categories))
    return result


def _digits(value: float, digits: int = 3) -> str:
    return "" if math.isnan(value) else f"{value:.{digits}f}"
