"""The command line: ``explgraph --help``.

The commands live in modules of their own and import what is heavy when they run, so that
``--help`` comes at once.
"""

from __future__ import annotations

from typing import Annotated

import typer

from . import (
    __version__,
    cli_compare,
    cli_demo,
    cli_evaluate,
    cli_explain,
    cli_graph,
    cli_locate,
    cli_look,
    cli_match,
    cli_mine,
    cli_parts,
    cli_report,
)
from .cli_base import add_command

app = typer.Typer(
    name="explgraph",
    no_args_is_help=True,
    rich_markup_mode="markdown",
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog="Begin with:\n\nexplgraph demo",
)


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"explgraph {__version__}")
        raise typer.Exit


@app.callback()
def explgraph(
    version: Annotated[
        bool,
        typer.Option("--version", callback=_version, is_eager=True, help="Print the version."),
    ] = False,
) -> None:
    """Mine the part patterns that a pretrained CNN has learned, as an explanatory graph.

    Results go to stdout, messages and progress to stderr. Exit codes: 0 done, 1 a part of the work
    failed, 2 wrong input, 130 interrupted.
    """


add_command(app, cli_demo.demo, "explgraph demo --out out/demo")
add_command(
    app, cli_mine.layers, "explgraph layers squeezenet1_0 --weights squeezenet1_0.safetensors"
)
add_command(
    app,
    cli_mine.mine,
    "explgraph mine photos/zebra --model squeezenet1_0 --background photos/anything "
    "--out zebra.safetensors",
)
add_command(
    app, cli_match.match, "explgraph match zebra.safetensors new_photos --out found.safetensors"
)
add_command(
    app,
    cli_parts.parts,
    "explgraph parts zebra.safetensors photos/zebra --annotations clicks.csv --part head "
    "--out head.safetensors",
)
add_command(app, cli_locate.locate, "explgraph locate head.safetensors new_photos --out heads.csv")
add_command(
    app, cli_graph.export, "explgraph export zebra.safetensors --nodes-per-layer 20 --out zebra.svg"
)
add_command(
    app, cli_look.gallery, "explgraph gallery zebra.safetensors photos/zebra --out galleries"
)
add_command(
    app,
    cli_look.show,
    "explgraph show zebra.safetensors photo.jpg --out parse.png --heatmap heat.png",
)
add_command(
    app,
    cli_report.report,
    "explgraph report zebra.safetensors new_photos --out report.html",
)
add_command(
    app,
    cli_explain.explain,
    "explgraph explain photo.jpg --model squeezenet1_1 --target zebra "
    "--method grad_cam,integrated_gradients,occlusion --out sheet.png",
)
add_command(
    app,
    cli_explain.visualize,
    "explgraph visualize squeezenet1_1 --target zebra --out zebra.png",
)
add_command(app, cli_graph.info, "explgraph info zebra.safetensors")
add_command(
    app,
    cli_compare.compare,
    "explgraph compare zebra_seed0.safetensors zebra_seed1.safetensors new_photos",
)
add_command(
    app,
    cli_evaluate.evaluate,
    "explgraph evaluate photos/zebra --annotations zebra_parts.csv --model squeezenet1_0",
)


def main() -> None:
    """Run the command line."""
    app()
