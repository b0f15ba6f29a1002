"""Print the table and draw the figure of docs/studio.md: which photo to ask about next.

    pip install -e '.[docs]'
    python docs/make_asking.py asking.json --out docs/images/quality/asking.png

The file is what ``explgraph evaluate --measures asking --json`` prints, or several of them.
"""

# ruff: noqa: T201

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from pathlib import Path

import matplotlib as mpl
import matplotlib.pyplot as plt
import pandas as pd

from explgraph.evaluation.asking import RANDOM

TUNED = ("bird", "cat", "zebra")
SHOWN = (1, 2, 3, 4, 5, 8, 12)
ENOUGH = 0.9  # of the photos nearer than a fifth of the diagonal
GREY, ORANGE, BLUE, GREEN, RED = "#777777", "#E69F00", "#0072B2", "#009E73", "#CC3311"
MARKS = ((GREY, "o"), (BLUE, "D"), (ORANGE, "s"), (GREEN, "^"), (RED, "v"))


def read_rows(files: Sequence[Path]) -> pd.DataFrame:
    """Return a row for each category, part ("head" or "second"), strategy, seed and answer."""
    rows = []
    for file in files:
        for study in json.loads(file.read_text(encoding="utf-8"))["measures"]["asking"][
            "categories"
        ]:
            rows += [row | {"category": study["category"]} for row in study["rows"]]
    table = pd.DataFrame(rows)
    table["part"] = table.part.where(table.part == "head", "second")
    table["set"] = table.category.isin(TUNED).map({True: "tuned", False: "untuned"})
    # Before the first click nothing is known: as far off as the first click that is not wasted.
    table[["error", "pck20"]] = table[["error", "pck20"]].astype(float)
    table["error"] = table.groupby(["category", "part", "row", "seed"]).error.bfill()
    return table.fillna({"pck20": 0.0})


def print_tables(table: pd.DataFrame) -> None:
    """Print mean errors by number of answers, with standard errors over seeds, as Markdown."""
    keys = ["set", "part", "row"]
    seeds = table.groupby([*keys, "answers", "seed"]).error.mean()
    mean, spread = (getattr(seeds.groupby([*keys, "answers"]), name)() for name in ("mean", "sem"))
    columns = [n for n in SHOWN if n in table.answers.unique()]
    print("| | | error after", " | ".join(map(str, columns)), "answers |")
    print("|---" * (2 + len(columns)) + "|")
    for key in mean.index.droplevel("answers").unique():
        cells = [f"{mean[(*key, n)]:.3f} ± {spread[(*key, n)]:.3f}" for n in columns]
        print(f"| {key[1]}, {key[0]} | {key[2]} |", " | ".join(cells), "|")
    print(
        "\nAnswers (clicks) until 90 % of the photos are within a fifth of the diagonal, mean PCK:"
    )
    means = table.groupby(["category", "part", "row", "answers"])[["pck20", "clicks"]].mean()
    for key, rows in means.groupby(level=["category", "part", "row"]):
        reached = rows[rows.pck20 >= ENOUGH]
        first = None if reached.empty else reached.iloc[0]
        said = "not reached" if first is None else f"{reached.index[0][-1]} ({first.clicks:.1f})"
        print("|", " | ".join(key), "|", said, "|")


def draw(table: pd.DataFrame, path: Path) -> None:
    """Draw mean errors by number of answers, a panel for each part and set of categories."""
    mpl.rcParams.update({"font.size": 9, "axes.spines.top": False, "axes.spines.right": False})
    figure, axes = plt.subplots(1, 4, figsize=(11, 3), sharex=True, layout="constrained")
    panels = [(part, chosen) for part in ("head", "second") for chosen in ("tuned", "untuned")]
    names = [RANDOM, *sorted(set(table.row) - {RANDOM})]
    for axis, (part, chosen) in zip(axes, panels, strict=True):
        panel = table[(table.part == part) & (table.set == chosen)]
        for name, (colour, mark) in zip(names, MARKS, strict=True):
            mean = panel[panel.row == name].groupby("answers").error.mean()
            axis.plot(mean.index, mean, color=colour, marker=mark, markersize=4, label=name)
        axis.set_title(f"{part}, {chosen} categories", fontsize=9)
        axis.set_xlabel("answers")
        axis.set_ylim(bottom=0)
    axes[0].set_ylabel("mean distance / diagonal")
    axes[0].legend(frameon=False, fontsize=8)
    figure.savefig(path, dpi=110)


def main() -> None:
    """Run the script."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("files", nargs="+", type=Path)
    parser.add_argument("--out", type=Path, required=True)
    given = parser.parse_args()
    table = read_rows(given.files)
    print_tables(table)
    draw(table, given.out)


if __name__ == "__main__":
    main()
