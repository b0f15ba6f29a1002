"""``explgraph next``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from explgraph.base.text import counted

from . import options as cli
from .base import Report, table

if TYPE_CHECKING:
    from rich.table import Table

    from explgraph.labelling.session import LabelSession


def next(
    labels: Annotated[
        Path, typer.Argument(metavar="LABELS", help="The folder that 'explgraph studio' made.")
    ],
    part: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="The part. Default: the first one."),
    ] = None,
    n: Annotated[int, typer.Option("--n", min=1, help="How many photos to name.")] = 1,
    as_json: cli.AsJson = False,
) -> Report:
    """Say which photos to label next: those that tell most about all the others.

    Reads LABELS and changes nothing, so that the page may be open meanwhile. Before the first click
    the photos are named that are seen most clearly, then doubtful ones unlike those answered.
    """
    from explgraph.labelling.session import LabelSession

    with LabelSession.open(labels, writable=False) as session:
        name = _part(session, part)
        data = _asked(session, name, n)
    return Report(data, (_sentence(data), _table(data)), as_json)


def _part(session: LabelSession, part: str | None) -> str:
    from explgraph.base.errors import require, unknown_name

    names = [label.name for label in session.parts]
    require(len(names) > 0, f"{session.folder} has no part yet: add one on the page")
    if part is not None and part not in names:
        raise unknown_name("part", part, names)
    return part or names[0]


def _asked(session: LabelSession, part: str, n: int) -> dict[str, Any]:
    progress = session.progress(part)
    return {
        "labels": str(session.folder),
        "part": part,
        "revision": session.revision,
        "answered": progress.answered,
        "photos": progress.photos,
        "expected_right": round(progress.expected_right, 4),
        "in_doubt": progress.in_doubt,
        "next": [
            {"image": asked.image, "reason": asked.reason, "value": round(asked.value, 6)}
            for asked in session.next(part, n)
        ],
    }


def _sentence(data: dict[str, Any]) -> str:
    told = (
        f"{data['part']}: {data['answered']} of {counted(data['photos'], 'photo')} answered, "
        f"{data['expected_right']:.0%} expected right, {data['in_doubt']} in doubt"
    )
    return told if data["next"] else f"{told}; all have an answer"


def _table(data: dict[str, Any]) -> Table:
    result = table("image", "why", "value")
    for asked in data["next"]:
        result.add_row(asked["image"], asked["reason"], f"{asked['value']:.3g}")
    return result
