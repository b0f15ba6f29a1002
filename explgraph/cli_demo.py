"""``explgraph demo``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from . import cli_options as cli
from .cli_base import Report


def demo(
    out: Annotated[
        Path, typer.Option(metavar="DIR", help="The folder for the graph and the pictures.")
    ] = Path("out/demo"),
    seed: Annotated[int, typer.Option(min=0, help="Of the nodes' first positions.")] = 0,
    as_json: cli.AsJson = False,
) -> Report:
    """Mine a graph on built-in drawings and check it against their known parts."""
    from .demo import run_demo

    cli.check_out_folder(out)
    result = run_demo(out, seed=seed, progress=True)
    return Report(result.to_json(), (result.report(),), as_json)
