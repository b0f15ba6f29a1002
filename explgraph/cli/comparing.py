"""``explgraph compare``."""

# ruff: noqa: PLR0913  a command's parameters are its options

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from explgraph.base.errors import ExplGraphError, require
from explgraph.base.tables import write_table
from explgraph.base.text import digits

from . import options as cli
from .base import Report, table
from .options import read_options
from .outputs import Written

if TYPE_CHECKING:
    from rich.console import RenderableType

    from explgraph.graphs.comparison import Comparison
    from explgraph.graphs.graph import ExplanatoryGraph
    from explgraph.networks.backbone import Backbone


def compare(
    graph_a: Annotated[
        Path, typer.Argument(metavar="GRAPH_A", help="The graph whose nodes are looked for.")
    ],
    graph_b: Annotated[
        Path, typer.Argument(metavar="GRAPH_B", help="The graph in which they are looked for.")
    ],
    images: cli.Images,
    model: cli.GraphModel = None,
    weights: cli.Weights = None,
    model_b: Annotated[
        str | None,
        typer.Option(
            metavar="MODEL",
            help="The network that GRAPH_B was mined from. Default: MODEL where both graphs name "
            "the same, else what GRAPH_B names.",
            rich_help_panel="Network",
        ),
    ] = None,
    weights_b: Annotated[
        str | None,
        typer.Option(
            metavar="FILE",
            help="Its weights. Default: those of GRAPH_A where both graphs were mined from the "
            "same, else the standard ones.",
            rich_help_panel="Network",
        ),
    ] = None,
    out: Annotated[
        Path | None,
        Written.FILE,
        typer.Option(metavar="P", help="A .csv file to write, one line for each node of GRAPH_A."),
    ] = None,
    force: cli.Force = False,
    device: cli.Device = "auto",
    batch_size: cli.BatchSize = None,
    precision: cli.Precision = "float32",
    strict: cli.Strict = False,
    as_json: cli.AsJson = False,
) -> Report:
    """Find the nodes of one graph again in another, by where they fire in the same photos.

    Best in photos that neither graph was mined from. A node is found if its partner is nearer than
    a twentieth of the diagonal in half of the photos in which both fire; control is the same with
    a random partner.
    """
    from explgraph import pipeline
    from explgraph.graphs.comparison import compare as compare_graphs
    from explgraph.graphs.graph import ExplanatoryGraph
    from explgraph.photos.images import open_images

    from .network import graph_network

    if out is not None:
        require(out.suffix == ".csv" and not out.is_dir(), f"--out must be a .csv file, got {out}")
    graphs = ExplanatoryGraph.load(graph_a), ExplanatoryGraph.load(graph_b)
    source, options = open_images(images), read_options(batch_size, strict, precision=precision)
    if _agree(graphs, "model"):
        model_b = model_b or model
    if _agree(graphs, "weight_hash"):
        weights_b = weights_b or weights
    nets = (
        graph_network(graphs[0], model, weights, device=device),
        _second_network(graphs[1], model_b, weights_b, device),
    )
    matches = [
        pipeline.match(graph, net, source, force=force, **options)
        for graph, net in zip(graphs, nets, strict=True)
    ]
    found = compare_graphs(*graphs, matches[0], matches[1])
    if out is not None:
        pairs = found.pairs
        write_table(out, tuple(pairs.columns), pairs.itertuples(index=False, name=None))
    data = {"graph_a": str(graph_a), "graph_b": str(graph_b), **found.to_json()}
    return Report(_with_file(data, out), _text(found, out), as_json)


def _agree(graphs: tuple[ExplanatoryGraph, ExplanatoryGraph], key: str) -> bool:
    return graphs[0].header.get(key) == graphs[1].header.get(key)


def _second_network(
    graph: ExplanatoryGraph, model: str | None, weights: str | None, device: str
) -> Backbone:
    from .network import graph_network

    try:
        return graph_network(graph, model, weights, device=device)
    except ExplGraphError as error:
        raise ExplGraphError(
            f"GRAPH_B: {error}. Its options are --model-b and --weights-b"
        ) from error


def _with_file(data: dict[str, Any], out: Path | None) -> dict[str, Any]:
    return data if out is None else {**data, "pairs": str(out)}


def _text(found: Comparison, out: Path | None) -> tuple[RenderableType, ...]:
    """Show the two rows of `Comparison.table`, and what was compared."""
    result = table("nodes of GRAPH_A", "nodes", "found", "control", "median distance")
    for name, row in found.table.iterrows():
        count, *figures = row
        result.add_row(str(name), f"{count:.0f}", *map(digits, figures))
    within = "filter by filter" if found.by_filter else "layer by layer, across filters"
    line = (
        f"{found.n_photos} photos, {found.same_side:.0%} seen in the same orientation by both; "
        f"nodes compared {within}"
    )
    return (line, result) if out is None else (line, result, str(out))
