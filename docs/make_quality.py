"""Draw the figures of the quality page from what ``explgraph evaluate --json`` has printed.

    pip install -e '.[docs]'
    python docs/make_quality.py tracking.json measures.json --out docs/images/quality

Files of one network are drawn together, whether they hold different measures or categories. The
distribution over nodes is in no such file: with ``--photos`` the graphs of the first seed are mined
anew to count it, from the automatic layers.
"""

from __future__ import annotations

import argparse
import json
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

import explgraph as eg
from explgraph.base.errors import require
from explgraph.evaluation.protocol import CEILING, GRAPH, NO_EDGES, PLAIN, RAW, RAW_MIRRORED
from explgraph.evaluation.tables import raw_peaks
from explgraph.evaluation.tracking import N_SHARE, SHARE_LIMIT, tracking_ratio
from explgraph.evaluation.truth import part_truth
from explgraph.photos.annotation_files import read_annotations
from mining import MiningConfig, match_peaks, mine_peaks

# Okabe and Ito's colours, which colour-blind readers can tell apart; markers say the same again.
BLACK, GREY, PALE = "#000000", "#999999", "#E5E5E5"
ORANGE, SKY, BLUE, GREEN = "#E69F00", "#56B4E9", "#0072B2", "#009E73"
ROWS = {
    RAW: (GREY, "o"),
    RAW_MIRRORED: (ORANGE, "s"),
    NO_EDGES: (SKY, "^"),
    GRAPH: (BLUE, "D"),
    CEILING: (BLACK, "_"),
}
HEAD = "head"
COLUMNS = 3
DPI = 110
BINS = np.linspace(0, 2.5, 51)

Data = Mapping[str, Any]


def read_results(files: Sequence[Path]) -> dict[str, Any]:
    """Put the results of several files together.

    Returns
    -------
    The header of the first file; ``tracking`` and each of ``measures``, where there are any, with
    the ``categories`` and ``means`` of all files one after the other.

    Raises
    ------
    ExplGraphError
        If the files are of different networks.
    """
    found = [json.loads(path.read_text(encoding="utf-8")) for path in files]
    result: dict[str, Any] = {key: found[0][key] for key in ("model", "weight_hash", "seeds")}
    measures: dict[str, dict[str, list[Any]]] = {}
    for path, data in zip(files, found, strict=True):
        require(
            data["weight_hash"] == result["weight_hash"],
            f"{path} is of {data['model']}, {files[0]} of {result['model']}: draw one network at a "
            "time",
        )
        parts = dict(data.get("measures", {}))
        if "categories" in data:
            parts["tracking"] = data
        for name, part in parts.items():
            lists = measures.setdefault(name, {"categories": [], "means": []})
            for key, values in lists.items():
                values += part[key]
    return result | measures


def means_of(data: Data, measure: str) -> pd.DataFrame:
    """Return a measure's means over seeds; what could not be measured is NaN."""
    frame = pd.DataFrame(data[measure]["means"])
    figures = frame.columns.difference(["category", "part", "row", "count", "layer", "kind"])
    return frame.assign(**{name: pd.to_numeric(frame[name]) for name in figures})


# --- tracking -------------------------------------------------------------------------------------


def draw_tracking(data: Data) -> Figure:
    """T100 of every row by category: for the head, and for the other part of each category."""
    means = means_of(data, "tracking")
    means["place"] = np.where(means["part"] == HEAD, HEAD, "other parts")
    places = list(dict.fromkeys(means["place"]))
    figure, axes = plt.subplots(
        1, len(places), figsize=(9, 3.6), sharey=True, squeeze=False, layout="constrained"
    )
    for axis, place in zip(axes[0], places, strict=True):
        here = means[means["place"] == place]
        categories = list(dict.fromkeys(here["category"]))
        for row, (colour, marker) in ROWS.items():
            t100 = here[here["row"] == row].groupby("category")["t100"].mean().reindex(categories)
            axis.plot(
                categories, t100, marker, color=colour, label=row, markersize=8, markeredgewidth=2
            )
        axis.axhline(1, color=BLACK, linewidth=0.8, linestyle=":")
        axis.set(title=place, xlim=(-0.6, len(categories) - 0.4))
        _turn_names(axis)
    axes[0][0].set_ylim(0, 1.06 * means["t100"].max())
    axes[0][0].set_ylabel("T100: 0 follows, 1 stands still")
    _legend_below(figure, axes[0][0])
    return figure


def node_ratios(
    folder: Path, net: eg.Backbone, background: eg.PeakSet, *, seed: int, part: str
) -> dict[str, NDArray[np.float64]]:
    """Mine a category and return by row the tracking ratios on half B of its nodes.

    Of each row the 5,000 nodes of highest rank, those whose share below .8 the tables give.
    """
    peaks = eg.extract(net, folder, background=background, progress=False)
    source, annotations = eg.open_images(folder), read_annotations(folder / "annotations.csv")
    wanted = set(annotations.image) & set(peaks.images)
    size = {
        name: source.load(i).photo_size for i, name in enumerate(source.names) if name in wanted
    }
    truth = part_truth(annotations, part, size, images=wanted)
    rows: dict[str, tuple[eg.Matches, NDArray[np.floating[Any]]]] = {}
    for row, config in ((GRAPH, MiningConfig()), (NO_EDGES, MiningConfig(**PLAIN))):
        graph = mine_peaks(peaks, config=config, seed=seed)
        rows[row] = match_peaks(graph, peaks), graph.gain
    raw = raw_peaks(peaks, rows[GRAPH][0].mirrored)
    rows[RAW_MIRRORED] = raw, raw.score.mean(axis=0)
    return {
        row: tracking_ratio(found, truth)[1, np.argsort(-rank, kind="stable")[:N_SHARE]]
        for row, (found, rank) in rows.items()
    }


def draw_ratios(ratios: Mapping[str, Mapping[str, NDArray[np.float64]]]) -> Figure:
    """Draw by category how the tracking ratios of nodes are distributed, for each row.

    The share below .8, the dashed line, is written out. Ratios above the last bin's are not shown:
    most of those of raw peaks, which stray more than parts do.
    """
    figure, axes = _panels(len(ratios))
    for axis, (category, rows) in zip(axes, ratios.items(), strict=True):
        for line, row in enumerate((RAW_MIRRORED, NO_EDGES, GRAPH)):
            ratio, (colour, _) = rows[row], ROWS[row]
            share = np.histogram(ratio, BINS)[0] / len(ratio)
            axis.stairs(100 * share, BINS, color=colour, linewidth=1.8, label=row)
            below = f"{np.mean(ratio < SHARE_LIMIT):.1%} below"
            axis.text(
                0.03, 0.92 - 0.1 * line, below, color=colour, fontsize=8, transform=axis.transAxes
            )
        axis.axvline(1, color=BLACK, linewidth=0.8, linestyle=":")
        axis.axvline(SHARE_LIMIT, color=BLACK, linewidth=0.8, linestyle="--")
        axis.set(title=category, xlim=(BINS[0], BINS[-1]), xlabel="tracking ratio")
    axes[0].set_ylabel("nodes, %")
    _legend_below(figure, axes[0])
    return figure


# --- the other measures ---------------------------------------------------------------------------


def draw_fidelity(data: Data) -> Figure:
    """Top-1 kept over the cells kept: those of nodes, and as many random and strongest ones.

    Cells, because at equal counts the three keep different shares of the response.
    """
    means = means_of(data, "fidelity")
    groups = dict(list(means.groupby("category", sort=False)))
    figure, axes = _panels(len(groups), share_y=True)
    curves = (
        ("kept_strongest", "strongest cells (ceiling)", GREEN, "^"),
        ("kept", "cells that nodes claim", BLUE, "D"),
        ("kept_random", "random cells (to beat)", GREY, "o"),
    )
    for axis, (category, rows) in zip(axes, groups.items(), strict=True):
        for column, label, colour, marker in curves:
            axis.plot(
                100 * rows["cell_share"],
                100 * rows[column],
                marker=marker,
                color=colour,
                label=label,
            )
        axis.set(title=category, xlim=(0, None), ylim=(0, 100), xlabel="active cells kept, %")
    axes[0].set_ylabel("photos that keep their class, %")
    _legend_below(figure, axes[0])
    return figure


def draw_explained(data: Data) -> Figure:
    """Explained share of all layers by three counts, each beside the controls."""
    from explgraph.evaluation.explained import ALL_LAYERS, BACKGROUND, SHUFFLED

    means = means_of(data, "explained")
    means = means[means["layer"] == ALL_LAYERS]
    rows = {
        GRAPH: ("graph", BLUE),
        SHUFFLED: ("other filters", SKY),
        BACKGROUND: ("other photos", GREY),
    }
    counts = {"all_peaks": "all peaks", "strong_peaks": "strong", "strongest_peak": "strongest"}
    groups = dict(list(means.groupby("category", sort=False)))
    figure, axes = _panels(len(groups), share_y=True)
    place = np.arange(len(counts))
    for axis, (category, found) in zip(axes, groups.items(), strict=True):
        for shift, (row, (label, colour)) in enumerate(rows.items()):
            mine = found[found["row"] == row].set_index("count").loc[list(counts), "explained"]
            axis.bar(place + 0.27 * (shift - 1), 100 * mine, 0.25, color=colour, label=label)
        axis.set(title=category, ylim=(0, 100))
        axis.set_xticks(place, list(counts.values()), fontsize=8)
    axes[0].set_ylabel("explained share of the response, %")
    _legend_below(figure, axes[0])
    return figure


def draw_stability(data: Data) -> Figure:
    """How many of the 100 best nodes are found again, beside a random partner."""
    means = means_of(data, "stability")
    groups = dict(list(means.groupby("kind", sort=False)))
    figure, axes = plt.subplots(
        1, len(groups), figsize=(9, 3.4), sharey=True, squeeze=False, layout="constrained"
    )
    points = (
        ("found", "100 best nodes", BLUE, "D"),
        ("control", "their control", BLUE, "x"),
        ("found_all", "all nodes", ORANGE, "o"),
        ("control_all", "their control", ORANGE, "+"),
    )
    for axis, (kind, rows) in zip(axes[0], groups.items(), strict=True):
        place = np.arange(len(rows))
        for (column, label, colour, marker), shift in zip(points, (-1, -1, 1, 1), strict=True):
            values = 100 * rows[column].to_numpy()
            axis.plot(place + 0.12 * shift, values, marker, color=colour, label=label, markersize=8)
        for (low, high), shift in ((("control", "found"), -1), (("control_all", "found_all"), 1)):
            at = place + 0.12 * shift
            axis.vlines(at, 100 * rows[low], 100 * rows[high], color=GREY, linewidth=1, zorder=0)
        axis.set(title=kind, ylim=(0, 104), xlim=(-0.6, len(rows) - 0.4))
        axis.set_xticks(place, rows["category"])
        _turn_names(axis)
    axes[0][0].set_ylabel("nodes found again, %")
    _legend_below(figure, axes[0][0])
    return figure


# --- layout, files --------------------------------------------------------------------------------


def _panels(count: int, *, share_y: bool = False) -> tuple[Figure, list[Axes]]:
    """Return one panel for each category, three in a row."""
    columns = min(count, COLUMNS)
    lines = math.ceil(count / columns)
    figure, axes = plt.subplots(
        lines,
        columns,
        figsize=(max(3.2 * columns, 6), 2.9 * lines),
        sharey=share_y,
        squeeze=False,
        layout="constrained",
    )
    panels = list(axes.ravel())
    for spare in panels[count:]:
        spare.set_visible(False)
    return figure, panels[:count]


def _turn_names(axis: Axes) -> None:
    axis.tick_params(axis="x", rotation=30)


def _legend_below(figure: Figure, axis: Axes) -> None:
    handles, labels = axis.get_legend_handles_labels()
    figure.legend(
        handles, labels, loc="outside lower center", ncols=len(labels), fontsize=8, frameon=False
    )


FIGURES: Mapping[str, Callable[[Data], Figure]] = {
    "tracking": draw_tracking,
    "fidelity": draw_fidelity,
    "explained": draw_explained,
    "stability": draw_stability,
}


def draw_all(data: Data, out: Path) -> Iterable[Path]:
    """Draw a figure for each measure that there is, and yield its file."""
    for name, draw in FIGURES.items():
        if name in data:
            yield _save(draw(data), out / f"{name}.png")


def _save(figure: Figure, path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    # Without the name of the software, equal figures are equal files.
    figure.savefig(path, dpi=DPI, metadata={"Software": None})
    plt.close(figure)
    return path


def main() -> None:
    """Run the script."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("results", nargs="+", type=Path, help="of explgraph evaluate --json")
    parser.add_argument("--out", type=Path, required=True, help="folder for the figures")
    parser.add_argument("--photos", type=Path, help="folder of the categories' folders")
    parser.add_argument("--background", type=Path, help="with --photos")
    parser.add_argument("--weights", help="with --photos: the network's, unless standard")
    options = parser.parse_args()
    mpl.use("agg")
    data = read_results(options.results)
    list(draw_all(data, options.out))
    if options.photos is None:
        return
    net = eg.load_backbone(data["model"], weights=options.weights or "DEFAULT")
    require(net.weight_hash == data["weight_hash"], "the results are of other weights: --weights")
    reference = eg.extract(net, options.background, mirror=False, progress=False)
    ratios = {
        category["category"]: node_ratios(
            options.photos / category["category"],
            net,
            reference,
            seed=data["seeds"][0],
            part=HEAD,
        )
        for category in data["tracking"]["categories"]
    }
    _save(draw_ratios(ratios), options.out / "ratios.png")


if __name__ == "__main__":
    main()
