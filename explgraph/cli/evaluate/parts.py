"""``explgraph evaluate --splits``: parts from a few clicks, beside the baselines."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypedDict, Unpack

from explgraph.base.errors import ExplGraphError, require
from explgraph.base.text import digits, plain
from explgraph.cli.base import Report, table

if TYPE_CHECKING:
    import pandas as pd
    from rich.table import Table

    from explgraph.evaluation.few_shot.splits import PartSplits
    from explgraph.evaluation.few_shot.tasks import FewShotStudy
    from explgraph.networks.backbone import Backbone
    from explgraph.photos.annotations import Annotations


class Posing(TypedDict):
    """How tasks are posed: see `explgraph.evaluation.few_shot.study.pose_tasks`."""

    background: str | None
    layers: Literal["auto"] | Sequence[str]
    batch_size: int | None


def evaluate_parts(
    net: Backbone,
    folders: Mapping[str, Path],
    annotations: Mapping[str, Annotations | None],
    splits: Path,
    *,
    reliability: bool,
    as_json: bool,
    **posing: Unpack[Posing],
) -> Report:
    """Run the few-shot protocol on some categories.

    Parameters
    ----------
    net
        The network.
    folders, annotations
        By category; each must be annotated.
    splits
        File of the photos that are clicked.
    reliability
        Ask the And-Or graph how sure it is, instead of comparing it.
    as_json
        Print JSON.
    **posing
        Photos of anything, or None; the layers that photos are compared by; photos per run of the
        network.
    """
    from explgraph.evaluation.few_shot.splits import read_splits

    known = {name: truth for name, truth in annotations.items() if truth is not None}
    require(len(known) == len(folders), "--splits needs annotations in each folder of photos")
    choose = _reliability if reliability else _comparison
    data, tables = choose(net, folders, known, read_splits(splits), posing)
    return Report({**net.to_json(), **data}, tables, as_json)


_Result = tuple[dict[str, Any], tuple["Table", ...]]


def _comparison(
    net: Backbone,
    folders: Mapping[str, Path],
    annotations: Mapping[str, Annotations],
    splits: Mapping[str, PartSplits],
    posing: Posing,
) -> _Result:
    from explgraph.evaluation.few_shot.and_or import AND_OR, part_graph
    from explgraph.evaluation.few_shot.study import BASELINES, study_few_shot

    locators = (*BASELINES, part_graph)
    study = study_few_shot(net, folders, annotations, splits, locators=locators, **posing)
    data = {**study.to_json(), "paired": _paired_values(study, AND_OR)}
    return data, (*_summary_tables(study), *_paired_tables(study, AND_OR))


def _reliability(
    net: Backbone,
    folders: Mapping[str, Path],
    annotations: Mapping[str, Annotations],
    splits: Mapping[str, PartSplits],
    posing: Posing,
) -> _Result:
    from explgraph.evaluation.few_shot.reliability import study_reliability
    from explgraph.evaluation.few_shot.study import pose_tasks

    textures = posing["background"]
    if textures is None:
        raise ExplGraphError("--reliability paints with other photos: give --background DIR")
    study = study_reliability(
        pose_tasks(net, folders, annotations, splits, **posing), annotations, textures
    )
    summary = study.summary
    result = table(*summary.columns, title="how sure, and how rightly", text=3)
    for line in summary.to_dict(orient="records"):
        result.add_row(*(digits(v) if isinstance(v, float) else str(v) for v in line.values()))
    return {"reliability": study.to_json()}, (result,)


def _summary_tables(study: FewShotStudy) -> list[Table]:
    """Show the mean distance of every row, and how often it is within a tenth and a fifth."""
    tables = []
    for part, found in study.summary().groupby("part", sort=False):
        clicks = list(dict.fromkeys(found["clicks"]))
        columns = [f"{name}, {k} clicks" for name in ("distance", "<= .1", "<= .2") for k in clicks]
        result = table("row", *columns, title=f"{part}: normalised distance")
        for row, lines in found.groupby("row", sort=False):
            by = lines.set_index("clicks").reindex(clicks)
            figures = [by[name] for name in ("distance", "pck10", "pck20")]
            result.add_row(str(row), *(digits(value) for one in figures for value in one))
        tables.append(result)
    return tables


def _paired(study: FewShotStudy, reference: str) -> dict[str, pd.DataFrame]:
    """Compare one row with every other: below 0 it is the better one."""
    rows = dict.fromkeys(one.row for one in study.scores)
    return {row: study.paired(reference, row) for row in rows if row != reference}


def _paired_tables(study: FewShotStudy, reference: str) -> list[Table]:
    columns = ("part", "clicks", "difference", "+- seeds", "+- categories")
    result = table("row", *columns, title=f"{reference} minus this row", text=2)
    for row, found in _paired(study, reference).items():
        for line in found.to_dict(orient="records"):
            figures = (line["difference"], line["error_seeds"], line["error_categories"])
            result.add_row(row, line["part"], str(line["clicks"]), *map(digits, figures))
    return [result]


def _paired_values(study: FewShotStudy, reference: str) -> dict[str, Any]:
    return {
        "reference": reference,
        "rows": [
            {"row": row, **plain(line)}
            for row, found in _paired(study, reference).items()
            for line in found.to_dict(orient="records")
        ],
    }
