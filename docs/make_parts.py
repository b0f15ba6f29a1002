"""Print the tables of docs/parts-results.md.

    python docs/make_parts.py NETWORK.json [RELIABILITY.json]

The files are what ``explgraph evaluate --splits FILE --json`` prints, the second with
``--reliability``.
"""
# ruff: noqa: T201

import json
import sys
from pathlib import Path

import numpy as np
import pandas as pd

TUNED = ("bird", "cat", "zebra")
ROW = "And-Or graph"


def main(paths: list[str]) -> None:
    """Print all tables."""
    found = json.loads(Path(paths[0]).read_text(encoding="utf-8"))
    tasks = pd.DataFrame(found["tasks"])
    tasks["part"] = tasks["part"].where(tasks["part"] == "head", "second")
    _distances(tasks)
    _groups(tasks)
    _paired(tasks)
    if len(paths) > 1:
        study = json.loads(Path(paths[1]).read_text(encoding="utf-8"))
        _reliability(pd.DataFrame(study["reliability"]))


def _means(tasks: pd.DataFrame, figure: str) -> pd.DataFrame:
    """Average over seeds, then over categories: a line per row, a column per part and clicks."""
    keys = ["row", "part", "clicks"]
    seeds = tasks.groupby(["category", *keys], sort=False)[figure].mean()
    return seeds.groupby(keys, sort=False).mean().unstack(["part", "clicks"])


def _line(values: object, style: str = ".3f") -> str:
    return " | ".join(f"{value:{style}}".replace("0.", ".", 1) for value in values)


def _columns(tasks: pd.DataFrame) -> list[tuple[str, int]]:
    return [(part, k) for part in ("head", "second") for k in sorted(tasks["clicks"].unique())]


def _head(first: str, columns: list[tuple[str, int]]) -> None:
    print("\n| " + first + " | " + " | ".join(f"{part}, {k}" for part, k in columns) + " |")
    print("|---" * (len(columns) + 1) + "|")


def _distances(tasks: pd.DataFrame) -> None:
    columns = _columns(tasks)
    means = _means(tasks, "distance")[columns]
    _head("mean of all categories", columns)
    for row, values in means.iterrows():
        print(f"| {row} | {_line(values)} |")


def _groups(tasks: pd.DataFrame) -> None:
    """Print the And-Or graph's own figures apart: groups of categories, each category, PCK."""
    columns, own = _columns(tasks), tasks[tasks["row"] == ROW]
    _head(ROW, columns)
    tuned = own["category"].isin(TUNED)
    for name, group in (("tuned", own[tuned]), ("untuned", own[~tuned])):
        print(f"| {name} | {_line(_means(group, 'distance')[columns].loc[ROW])} |")
    for name, group in own.groupby("category", sort=True):
        print(f"| {name} | {_line(_means(group, 'distance')[columns].loc[ROW])} |")
    for figure, label in (("pck10", "PCK at .1"), ("pck20", "PCK at .2")):
        for name, group in (("all", own), ("tuned", own[tuned]), ("untuned", own[~tuned])):
            print(f"| {label}, {name} | {_line(_means(group, figure)[columns].loc[ROW])} |")


def _paired(tasks: pd.DataFrame) -> None:
    """Print the And-Or graph minus each row: the mean, and its standard error over the seeds."""
    columns = _columns(tasks)
    _head(f"{ROW} minus", columns)
    keys = ["part", "clicks", "category", "seed"]
    table = tasks.groupby(["row", *keys])["distance"].mean()
    for row in tasks["row"].unique():
        if row == ROW:
            continue
        difference = table[ROW] - table[row]
        cells = []
        for part, k in columns:
            seeds = difference[part][k].groupby("seed").mean()
            error = np.std(seeds, ddof=1) / np.sqrt(len(seeds))
            cells.append(f"{difference[part][k].mean():+.3f} ± {error:.3f}".replace("0.", "."))
        print(f"| {row} | {' | '.join(cells)} |")


def _reliability(table: pd.DataFrame) -> None:
    figures = ["coverage", "area", "constant_area", "confidence", "near", "auroc", "seen"]
    figures.append("seen_hidden")
    table["part"] = table["part"].where(table["part"] == "head", "second")
    print("\n| categories | part, clicks | " + " | ".join(figures) + " |")
    print("|---" * (len(figures) + 2) + "|")
    tuned = table["category"].isin(TUNED)
    for name, group in (("tuned", table[tuned]), ("untuned", table[~tuned])):
        for key, part in group.groupby(["part", "clicks"]):
            print(f"| {name} | {key[0]}, {key[1]} | {_line(part[figures].mean())} |")
        print(f"| {name} | all | {_line(group[figures].mean())} |")


if __name__ == "__main__":
    main(sys.argv[1:])
