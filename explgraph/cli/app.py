"""The command line: ``explgraph --help``.

The commands live in modules of their own and import what is heavy when they run, so that
``--help`` comes at once.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import typer

from explgraph.base import __version__
from explgraph.cli.evaluate.command import evaluate

from . import options as cli
from .asking import next as ask_next
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
from .probing import segments, texture
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
    species: Annotated[
        str, typer.Option(metavar="S", help="bird, cat, elephant, fish, turtle or zebra.")
    ] = "fish",
    seed: Annotated[int, typer.Option(min=0, help="Of the nodes' first positions.")] = 0,
    as_json: cli.AsJson = False,
) -> Report:
    """Mine a graph on built-in drawings and check it against their known parts."""
    from explgraph.demo.run import run_demo

    result = run_demo(out, species=species, seed=seed, progress=True)
    return Report(result.to_json(), (result.report(),), as_json)


# The panels of ``explgraph --help``, each with its commands and an example for each.
PANELS: dict[str, dict[Callable[..., Report], str]] = {
    "Start": {
        demo: "explgraph demo --species zebra --out out/zebra",
    },
    "Mine": {
        layers: "explgraph layers squeezenet1_0 --weights squeezenet1_0.safetensors",
        mine: "explgraph mine photos/zebra --model squeezenet1_0 --background photos/anything "
        "--out zebra.safetensors",
        match: "explgraph match zebra.safetensors new_photos --out found.safetensors",
    },
    "Look": {
        report: "explgraph report zebra.safetensors new_photos --out report.html",
        show: "explgraph show zebra.safetensors photo.jpg --out parse.png --heatmap heat.png",
        gallery: "explgraph gallery zebra.safetensors photos/zebra --out galleries",
        info: "explgraph info zebra.safetensors",
        export: "explgraph export zebra.safetensors --nodes-per-layer 20 --out zebra.svg",
    },
    "Parts": {
        studio: "explgraph studio photos/zebra --model squeezenet1_0 --parts head,tail "
        "--out labels",
        ask_next: "explgraph next labels --part head",
        parts: "explgraph parts zebra.safetensors photos/zebra --annotations clicks.csv "
        "--part head --out head.safetensors",
        locate: "explgraph locate head.safetensors new_photos --out heads.csv",
    },
    "Explain": {
        explain: "explgraph explain photo.jpg --model squeezenet1_1 --target zebra "
        "--method grad_cam,integrated_gradients,occlusion --out sheet.png",
        trace: "explgraph trace zebra.safetensors photo.jpg --target zebra --out trace.png",
        effects: "explgraph effects zebra.safetensors photos/zebra --out zebra.safetensors",
        texture: "explgraph texture photos/zebra --graph zebra.safetensors --target zebra "
        "--out texture.png",
        segments: "explgraph segments photo.jpg --model squeezenet1_1 --target zebra "
        "--out segments.png",
        visualize: "explgraph visualize squeezenet1_1 --target zebra --out zebra.png",
    },
    "Measure": {
        evaluate: "explgraph evaluate photos/zebra --annotations zebra_parts.csv "
        "--model squeezenet1_0",
        compare: "explgraph compare zebra_seed0.safetensors zebra_seed1.safetensors new_photos",
    },
}

for panel, commands in PANELS.items():
    for function, example in commands.items():
        add_command(app, function, example, panel)


def main() -> None:
    """Run the command line."""
    app()
