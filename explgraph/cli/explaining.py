"""``explgraph explain`` and ``explgraph visualize``: what the network looks at."""

# ruff: noqa: PLR0913  a command's parameters are its options

from __future__ import annotations

from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING, Annotated, Any

import numpy as np
import typer

from explgraph.base.errors import ExplGraphError, require

from . import options as cli
from .base import Report, table
from .options import split_names
from .outputs import Written

if TYPE_CHECKING:
    from explgraph.explanations.attribution import Attribution
    from explgraph.explanations.questions import Question
    from explgraph.graphs.graph import ExplanatoryGraph


ALL = "all"

Target = Annotated[
    str | None,
    typer.Option(
        metavar="T",
        help="A class by number or name, layer/filter, or with --graph a node "
        "(layer/filter/part, or the name that you gave it). Default: the class that the network "
        "gives the photo.",
    ),
]
GraphOption = Annotated[
    Path | None,
    typer.Option("--graph", metavar="GRAPH", help="A graph, for targets that are its nodes."),
]


def explain(
    image: Annotated[Path, typer.Argument(metavar="IMAGE", help="A photo.")],
    model: cli.Model,
    out: Annotated[
        Path, Written.FILE, typer.Option(metavar="F", help="The .png or .jpg to write.")
    ],
    method: Annotated[
        str,
        typer.Option(
            metavar="A,B,C",
            help="Methods by name, or 'all': every one that the network allows; the others are "
            "listed with the reason.",
        ),
    ] = "grad_cam",
    target: Target = None,
    graph: GraphOption = None,
    arrays: Annotated[
        Path | None,
        Written.FILE,
        typer.Option(
            metavar="F", help="Also write the maps: an .npz with one array for each method."
        ),
    ] = None,
    weights: cli.Weights = None,
    seed: Annotated[int, typer.Option(min=0, help="Of what is random.")] = 0,
    batch_size: cli.BatchSize = None,
    fit: cli.Fit = "stretch",
    device: cli.Device = "auto",
    as_json: cli.AsJson = False,
) -> Report:
    """Show which pixels of a photo speak for a class, a filter or a node.

    Several methods are drawn side by side, each with its settings and its scale.
    """
    from explgraph.drawing.pictures import check_picture_name
    from explgraph.explanations.answers import check_options, methods, reasons
    from explgraph.explanations.pictures.sheet import draw_explanations
    from explgraph.explanations.questions import ask

    from .network import load_network

    check_picture_name(out)
    require(arrays is None or arrays.suffix == ".npz", f"--arrays must end in .npz, got {arrays}")
    if not image.is_file():
        raise ExplGraphError(f"{image} is not a photo's file")
    names = list(methods()) if method == ALL else list(split_names(method))
    require(len(names) > 0, "--method names at least one method, or 'all'")
    for name in names:
        check_options(name, {})
    net = load_network(model, weights, device=device, fit=fit)
    mined = _graph(graph)
    question = ask(net, image, target, graph=mined, seed=seed, batch_size=batch_size)
    refused = {name: why for name, why in reasons(question, names).items() if why}
    require(
        method == ALL or not refused,
        "; ".join(f"{name} is not possible here: {why}" for name, why in refused.items()),
    )
    answers, seconds = _answers(question, names, refused, strict=method != ALL)
    require(len(answers) > 0, "none of the methods is possible for this photo")
    draw_explanations(answers, image, out, refused=refused)
    if arrays is not None:
        _save(answers, arrays)
    files = [str(path) for path in (out, arrays) if path is not None]
    return _report(answers, seconds, refused, files, as_json)


def _graph(path: Path | None) -> ExplanatoryGraph | None:
    from explgraph.graphs.graph import ExplanatoryGraph

    return None if path is None else ExplanatoryGraph.load(path)


def _answers(
    question: Question, names: list[str], refused: dict[str, str], *, strict: bool
) -> tuple[list[Attribution], dict[str, float]]:
    """Ask the methods that are possible; one that fails on this photo joins those refused."""
    from explgraph.explanations.answers import answer

    answers, seconds = [], {}
    for name in names:
        if name in refused:
            continue
        start = perf_counter()
        try:
            answers.append(answer(question, name))
        except ExplGraphError as error:
            if strict:
                raise
            refused[name] = str(error)
        seconds[name] = perf_counter() - start
    return answers, seconds


def _save(answers: list[Attribution], path: Path) -> None:
    """Write the maps (H_in, W_in), network pixels of the photo as given, by method."""
    import io

    from explgraph.base.writing import write_bytes

    buffer = io.BytesIO()
    arrays: dict[str, Any] = {answer.method: answer.values for answer in answers}
    np.savez_compressed(buffer, **arrays)
    write_bytes(path, buffer.getvalue())


def _report(
    answers: list[Attribution],
    seconds: dict[str, float],
    refused: dict[str, str],
    files: list[str],
    as_json: bool,
) -> Report:
    data = {
        "image": answers[0].image if answers else None,
        "target": answers[0].target if answers else None,
        "methods": {
            answer.method: {
                "seconds": round(seconds[answer.method], 3),
                "settings": dict(answer.settings),
            }
            for answer in answers
        },
        "refused": refused,
        "files": files,
    }
    lines = table("method", "seconds", "largest", "sum")
    for answer in answers:
        figures = (float(np.abs(answer.values).max()), float(answer.values.sum()))
        lines.add_row(
            answer.method, f"{seconds[answer.method]:.2f}", *(f"{v:.3g}" for v in figures)
        )
    reasons = [f"{name}: not possible, {why}" for name, why in refused.items()]
    return Report(data, (f"Target: {data['target']}", lines, *reasons, *files), as_json)


def visualize(
    model: Annotated[str, typer.Argument(metavar="MODEL", help="As --model of 'explgraph mine'.")],
    target: Annotated[
        str,
        typer.Option(
            metavar="T",
            help="A class by number or name, layer/filter, or with --graph a node.",
        ),
    ],
    out: Annotated[
        Path, Written.FILE, typer.Option(metavar="F", help="The .png or .jpg to write.")
    ],
    graph: GraphOption = None,
    steps: Annotated[int, typer.Option(min=1, help="Steps of ascent.")] = 160,
    seed: Annotated[int, typer.Option(min=0, help="Of the first noise.")] = 0,
    weights: cli.Weights = None,
    device: cli.Device = "auto",
) -> Report:
    """Draw an image that makes a class, a filter or a node respond as strongly as possible."""
    from PIL import Image

    from explgraph.drawing.pictures import check_picture_name, save_picture
    from explgraph.explanations.visualization import visualize as visualize_target

    from .network import load_network

    check_picture_name(out)
    net = load_network(model, weights, device=device)
    found = visualize_target(net, target, graph=_graph(graph), steps=steps, seed=seed)
    save_picture(Image.fromarray(found), out)
    return Report({"file": str(out)}, (str(out),))
