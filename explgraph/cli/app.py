"""The command line: ``explgraph --help``.

The commands live in modules of their own and import what is heavy when they run, so that
``--help`` comes at once.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from explgraph.base import __version__
from explgraph.cli.evaluate.command import evaluate

from . import options as cli
from .base import Report, add_command
from .comparing import compare
from .explaining import explain, visualize
from .graphs import export, info
from .locating import locate
from .looking import gallery, report, show
from .matching import match
from .mining import layers, mine
from .outputs import Written
from .parts import parts
from .studio import studio
from .tracing import effects, trace

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


def demo(
    out: Annotated[
        Path,
        Written.FOLDER,
        typer.Option(metavar="DIR", help="The folder for the graph and the pictures."),
    ] = Path("out/demo"),
    seed: Annotated[int, typer.Option(min=0, help="Of the nodes' first positions.")] = 0,
    as_json: cli.AsJson = False,
) -> Report:
    """Mine a graph on built-in drawings and check it against their known parts."""
    from explgraph.demo.run import run_demo

    result = run_demo(out, seed=seed, progress=True)
    return Report(result.to_json(), (result.report(),), as_json)


add_command(app, demo, "explgraph demo --out out/demo")
add_command(app, layers, "explgraph layers squeezenet1_0 --weights squeezenet1_0.safetensors")
add_command(
    app,
    mine,
    "explgraph mine photos/zebra --model squeezenet1_0 --background photos/anything "
    "--out zebra.safetensors",
)
add_command(app, match, "explgraph match zebra.safetensors new_photos --out found.safetensors")
add_command(
    app,
    parts,
    "explgraph parts zebra.safetensors photos/zebra --annotations clicks.csv --part head "
    "--out head.safetensors",
)
add_command(app, locate, "explgraph locate head.safetensors new_photos --out heads.csv")
add_command(
    app,
    studio,
    "explgraph studio photos/zebra --model squeezenet1_0 --parts head,tail --out labels",
)
add_command(app, export, "explgraph export zebra.safetensors --nodes-per-layer 20 --out zebra.svg")
add_command(app, gallery, "explgraph gallery zebra.safetensors photos/zebra --out galleries")
add_command(
    app,
    show,
    "explgraph show zebra.safetensors photo.jpg --out parse.png --heatmap heat.png",
)
add_command(
    app,
    report,
    "explgraph report zebra.safetensors new_photos --out report.html",
)
add_command(
    app,
    effects,
    "explgraph effects zebra.safetensors photos/zebra --out zebra.safetensors",
)
add_command(
    app,
    trace,
    "explgraph trace zebra.safetensors photo.jpg --target zebra --out trace.png",
)
add_command(
    app,
    explain,
    "explgraph explain photo.jpg --model squeezenet1_1 --target zebra "
    "--method grad_cam,integrated_gradients,occlusion --out sheet.png",
)
add_command(
    app,
    visualize,
    "explgraph visualize squeezenet1_1 --target zebra --out zebra.png",
)
add_command(app, info, "explgraph info zebra.safetensors")
add_command(
    app,
    compare,
    "explgraph compare zebra_seed0.safetensors zebra_seed1.safetensors new_photos",
)
add_command(
    app,
    evaluate,
    "explgraph evaluate photos/zebra --annotations zebra_parts.csv --model squeezenet1_0",
)


def main() -> None:
    """Run the command line."""
    app()
