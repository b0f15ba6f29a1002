"""``explgraph evaluate --explanations``: all methods and the graph's own, measured on photos."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from explgraph.base.errors import require
from explgraph.base.text import digits
from explgraph.cli.base import Report, table

if TYPE_CHECKING:
    import pandas as pd
    from rich.table import Table

    from explgraph.evaluation.explanations.checks import Explanation
    from explgraph.evaluation.explanations.scores import ExplanationStudy
    from explgraph.graphs.graph import ExplanatoryGraph
    from explgraph.networks.backbone import Backbone
    from explgraph.peaks.reading import ReadOptions
    from explgraph.photos.annotations import Annotations


_LEAST_MINED = 20  # photos; with fewer left, the graph is mined from those that are measured, too
_COLUMNS = (
    "insertion",
    "deletion",
    "difference",
    "pointing",
    "energy",
    "sensitivity",
    "randomised",
)


@dataclass(frozen=True, slots=True)
class ExplanationOptions:
    """What ``--explanations`` is told.

    Attributes
    ----------
    methods
        Names, or none for all.
    photos
        Measured, of each category.
    on_grid
        Compare all maps on the cells of the graph's top layer.
    robustness
        Measure how maps change under noise and without what the network has learned.
    background, layers, seed
        Of mining the graphs.
    read
        How photos are read.
    """

    methods: Sequence[str]
    photos: int
    on_grid: bool
    robustness: bool
    background: str | None
    layers: Literal["auto"] | Sequence[str]
    seed: int
    read: ReadOptions


def evaluate_explanations(
    net: Backbone,
    folders: Mapping[str, Path],
    annotations: Mapping[str, Annotations | None],
    options: ExplanationOptions,
    *,
    as_json: bool,
) -> Report:
    """Measure explanations of the first photos of some categories.

    Parameters
    ----------
    net
        The network.
    folders, annotations
        By category; parts with sizes, where they are known, are what explanations should point at.
    options
        What was asked for.
    as_json
        Print JSON.
    """
    from explgraph.evaluation.explanations.scores import ExplanationProtocol
    from explgraph.evaluation.explanations.study import study_explanations
    from explgraph.explanations.decision.places import METHOD

    require(options.photos >= 2, f"--photos must be at least 2, got {options.photos}")
    top = net.select(options.layers)[-1]
    protocol = ExplanationProtocol(
        n_photos=options.photos,
        grid=top.name if options.on_grid else None,
        draws=ExplanationProtocol().draws if options.robustness else 0,
        randomise=options.robustness,
        seed=options.seed,
        batch_size=options.read.get("batch_size"),
    )
    rows = {name: {METHOD: _graphs_own(net, folder, options)} for name, folder in folders.items()}
    truth = {name: found for name, found in annotations.items() if found is not None}
    study = study_explanations(
        net, folders, options.methods or None, rows=rows, truth=truth, protocol=protocol
    )
    return Report({**net.to_json(), **study.to_json()}, tuple(_tables(study)), as_json)


def _graphs_own(net: Backbone, folder: Path, options: ExplanationOptions) -> Explanation:
    """Return how a graph explains photos; it is mined when the first is to be explained."""
    from explgraph.explanations.decision.places import graph_explanation

    @cache
    def mined() -> Explanation:
        return graph_explanation(_mine(net, folder, options))

    return lambda question: mined()(question)


def _mine(net: Backbone, folder: Path, options: ExplanationOptions) -> ExplanatoryGraph:
    """Mine a graph from the photos that are not measured, if there are enough of them."""
    from explgraph.photos.images import open_images
    from explgraph.pipeline import mine

    source = open_images(folder)
    rest = source.take(range(options.photos, len(source)))
    photos = rest if len(rest) >= _LEAST_MINED else source
    return mine(
        net,
        photos,
        background=options.background,
        layers=options.layers,
        seed=options.seed,
        **options.read,
    )


def _tables(study: ExplanationStudy) -> list[Any]:
    lines = study.table
    names = list(dict.fromkeys(lines["category"]))
    blocks: list[Any] = [_table(lines[lines["category"] == name], name) for name in names]
    for category, refused in study.refused.items():
        blocks += [f"{category}: {row} is not possible: {why}" for row, why in refused.items()]
    blocks.append(
        f"insertion - deletion and pointing: mean gain over {study.against} on the same photos, "
        "and its standard error, in brackets"
    )
    return blocks


def _table(lines: pd.DataFrame, name: str) -> Table:
    """Return a category's table, without columns that nothing is known of."""
    columns = {
        **{name: _figures(lines, name) for name in _COLUMNS},
        "gain": _gains(lines, "difference"),
        "pointing gain": _gains(lines, "pointing"),
        "s": _figures(lines, "seconds", 2),
    }
    known = {name: column for name, column in columns.items() if any(column)}
    result = table("method", "photos", *known, title=name)
    for row, photos, *figures in zip(lines["row"], lines["photos"], *known.values(), strict=True):
        result.add_row(row, str(photos), *figures)
    return result


def _figures(lines: pd.DataFrame, column: str, decimals: int = 3) -> list[str]:
    return [digits(value, decimals) for value in lines[column]]


def _gains(lines: pd.DataFrame, measure: str) -> list[str]:
    gains = zip(lines[f"{measure}_gain"], lines[f"{measure}_gain_se"], strict=True)
    return ["" if math.isnan(gain) else f"{gain:+.3f} ({error:.3f})" for gain, error in gains]
