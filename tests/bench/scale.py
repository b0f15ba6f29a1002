"""How seconds, memory and bytes grow with photos, stage by stage: what docs/scale.md shows.

    python -m tests.bench.scale --out out/scale.jsonl --sizes 100 500 2000 6000 20000

Each size is a process of its own, and a line of the file; a size that is there is not measured
again. The last line on the screen are tables. Photos are those of `tests.bench.many_photos`.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from rich.console import Console

from tests.bench.fresh import ROOT
from tests.bench.rounds import growth_exponent

_FITTED = 3  # of the largest sizes: exponents are theirs
_THREADS = ("OMP_NUM_THREADS", "NUMBA_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
_STILL = {"OMP_WAIT_POLICY": "PASSIVE"}  # who waits for other threads takes no processor time

Found = Mapping[str, Any]


def measured(n: int, threads: int, place: Path | None) -> dict[str, Any]:
    """Measure one size in a new process, whose files are removed afterwards."""
    environment = os.environ | dict.fromkeys(_THREADS, str(threads)) | _STILL
    with TemporaryDirectory(dir=place) as folder:
        command = [sys.executable, "-m", "tests.bench.growing", str(n), folder]
        done = subprocess.run(
            command, cwd=ROOT, check=True, stdout=subprocess.PIPE, env=environment
        )
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    date = datetime.now(UTC).isoformat(timespec="seconds")
    return {**found, "threads": threads, "date": date}


def known(out: Path) -> dict[int, Found]:
    """Return what was measured, by photos; of two lines of one size the later."""
    lines = out.read_text().splitlines() if out.exists() else []
    found = [json.loads(line) for line in lines]
    return {one["photos"]: one for one in sorted(found, key=lambda one: int(one["photos"]))}


def table(found: Mapping[int, Found], key: str, unit: float, digits: int) -> str:
    """Return a table of Markdown: a row for each stage, a column for each size, the exponent."""
    sizes = list(found)
    names = list(dict.fromkeys(name for one in found.values() for name in one["laps"]))
    rows = [["", *map(str, sizes), "exponent"], ["---"] * (len(sizes) + 2)]
    for name in names:
        values = [one["laps"].get(name, {}).get(key, 0.0) / unit for one in found.values()]
        rows.append([name, *(f"{value:.{digits}f}" for value in values), _exponent(sizes, values)])
    if key not in _HELD:
        sums = [sum(lap.get(key, 0.0) for lap in o["laps"].values()) / unit for o in found.values()]
        rows.append(["all", *(f"{value:.{digits}f}" for value in sums), _exponent(sizes, sums)])
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


_HELD = ("anonymous", "mapped")


def _exponent(sizes: Sequence[int], values: Sequence[float]) -> str:
    last = slice(-_FITTED, None)
    if len(sizes) < _FITTED or min(values[last]) <= 0:
        return ""
    return f"{growth_exponent(sizes[last], values[last]):.2f}"


def per_photo(found: Mapping[int, Found], few: int, many: int) -> dict[str, float]:
    """Return the bytes of memory that each photo more adds, by stage and in all ("most")."""
    first, last = (_above(found[n]) for n in (few, many))
    return {name: (last[name] - first[name]) / (many - few) for name in last if name in first}


def _above(one: Found) -> dict[str, float]:
    held = {
        name: lap["anonymous"]
        for name, lap in one["laps"].items()
        if not name.startswith("matching")
    }
    most = max(held.values())
    return {**held, "most": most}


def report(found: Mapping[int, Found]) -> str:
    """Return all tables."""
    parts = [
        ("processor seconds", "cpu_seconds", 1, 1),
        ("seconds", "seconds", 1, 1),
        ("most memory held (anonymous), MB", "anonymous", 1e6, 0),
        ("mapped pages of files, MB", "mapped", 1e6, 0),
        ("peaks asked of the spool, MB", "spool_read", 1e6, 1),
        ("written, MB", "written", 1e6, 1),
        ("read by system calls, MB", "read", 1e6, 1),
    ]
    text = [f"{what}\n\n{table(found, *how)}" for what, *how in parts]
    if len(found) > 1:
        few, many = ([n for n in found if n <= 2000] or [min(found)])[-1], max(found)
        each = per_photo(found, few, many) if many > few else {}
        text.append(
            f"bytes of memory a photo, {few} to {many} (without matching)\n\n"
            + "\n".join(f"{name}: {value:.0f}" for name, value in each.items())
        )
    return "\n\n".join(text)


def main() -> None:
    """Measure what is missing, and print the tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=Path("out/scale.jsonl"))
    parser.add_argument("--sizes", type=int, nargs="*", default=[100, 500, 2000, 6000, 20000])
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--folder", type=Path, help="where spools lie while they are measured")
    given = parser.parse_args()
    given.out.parent.mkdir(parents=True, exist_ok=True)
    for n in given.sizes:
        if n not in known(given.out):
            Console(stderr=True).print(f"{datetime.now():%H:%M:%S} {n} photos ...", highlight=False)
            found = measured(n, given.threads, given.folder)
            with given.out.open("a") as file:
                file.write(json.dumps(found) + "\n")
    Console(soft_wrap=True).print(report(known(given.out)), highlight=False, markup=False)


if __name__ == "__main__":
    main()
