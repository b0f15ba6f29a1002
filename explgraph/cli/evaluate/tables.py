"""What ``explgraph evaluate`` prints: JSON values and tables for people."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from explgraph.base.text import digits, plain
from explgraph.cli.base import table

from .measures import Measure, Result

if TYPE_CHECKING:
    import pandas as pd
    from rich.table import Table

    from explgraph.evaluation.protocol import Study


_FIGURES = {
    "T100": "t100",
    "T100-unique": "t100_unique",
    "constant": "constant",
    "share": "share",
    "instability": "instability",
    "frozen": "frozen",
}

_LEAST_COUNT = 100

Printed = tuple[dict[str, Any], list["Table"]]


def tracking_report(studies: Sequence[Study]) -> Printed:
    """Return the figures of tracking, as JSON values and as tables."""
    import pandas as pd

    from explgraph.evaluation.protocol import MEAN, category_means, seed_means

    by_seed = pd.concat([study.table for study in studies], ignore_index=True)
    mirror = pd.concat([study.mirror_table for study in studies], ignore_index=True)
    means = seed_means(by_seed)
    across = category_means(means)
    data = {
        "categories": [study.to_json() for study in studies],
        "means": _records(means),
        "means_over_categories": _records(across[across["category"] == MEAN]),
    }
    groups = by_seed.groupby(["category", "part"], sort=False)
    tables = [_part_table(f"{category}, {part}", rows) for (category, part), rows in groups]
    if len(mirror):
        tables.append(_mirror_table(mirror))
    if len(studies) > 1:
        tables += [_summary_table(part, rows) for part, rows in across.groupby("part", sort=False)]
    return data, tables


def measure_report(measure: Measure, results: Sequence[Result]) -> Printed:
    """Return the figures of any other measure: every seed's, and their means as one table."""
    import pandas as pd

    by_seed = pd.concat([result.table for result in results], ignore_index=True)
    keys = ["category", *measure.keys]
    means = by_seed.drop(columns="seed").groupby(keys, sort=False, as_index=False).mean()
    data = {"categories": [result.to_json() for result in results], "means": _records(means)}
    return data, [_means_table(measure, means, keys)]


def _records(frame: pd.DataFrame) -> list[dict[str, Any]]:
    """Return a table's rows as JSON values, NaN as null."""
    return [plain(row) for row in frame.to_dict(orient="records")]


def _part_table(title: str, by_seed: pd.DataFrame) -> Table:
    """Show every row for one part: means over seeds, and T100 of each seed."""
    seeds = list(dict.fromkeys(by_seed["seed"]))
    single = [f"seed {seed}" for seed in seeds] if len(seeds) > 1 else []
    result = table("row", "nodes", *_FIGURES, *single, title=title)
    for name, rows in by_seed.groupby("row", sort=False):
        means = rows[["nodes", *_FIGURES.values()]].mean()
        t100 = rows.set_index("seed")["t100"].reindex(seeds) if single else ()
        figures = [digits(means[column]) for column in _FIGURES.values()]
        result.add_row(str(name), digits(means["nodes"], 0), *figures, *map(digits, t100))
    return result


def _mirror_table(mirror: pd.DataFrame) -> Table:
    """Show how often the inferred orientation is right, beside what a constant reaches."""
    columns = ("agreement", "majority", "photos")
    result = table("category", "row", *columns, title="mirror agreement", text=2)
    for (category, row), found in mirror.groupby(["category", "row"], sort=False):
        share, majority, photos = found[[*columns]].mean()
        result.add_row(str(category), str(row), digits(share), digits(majority), f"{photos:.0f}")
    return result


def _summary_table(part: object, means: pd.DataFrame) -> Table:
    """Show T100 of one part in every category, and the mean of the categories."""
    t100 = means.pivot(index="row", columns="category", values="t100")
    categories = list(dict.fromkeys(means["category"]))
    result = table("row", *categories, title=f"T100, {part}")
    for row in dict.fromkeys(means["row"]):
        result.add_row(str(row), *(digits(t100.loc[row, name]) for name in categories))
    return result


def _means_table(measure: Measure, means: pd.DataFrame, keys: Sequence[str]) -> Table:
    """Show a measure's means over seeds, a row for each category and row of its table.

    Of `Measure.printed` one value is shown, and what is known of no row is left out.
    """
    for key, value in measure.printed:
        means = means[means[key] == value].drop(columns=key)
    means = means.dropna(axis="columns", how="all")
    keys = [key for key in keys if key not in dict(measure.printed)]
    figures = [str(column) for column in means if column not in keys]
    result = table(*keys, *figures, title=measure.title, text=len(keys))
    for row in means.to_dict(orient="records"):
        names = [_name(row[key]) for key in keys]
        result.add_row(*names, *(_compact(row[column]) for column in figures))
    return result


def _name(value: object) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)


def _compact(value: float) -> str:
    """Write what must be a count, or the mean of counts, without decimals."""
    is_count = abs(value) >= _LEAST_COUNT or (abs(value) > 1 and float(value).is_integer())
    return digits(value, 0 if is_count else 3)
