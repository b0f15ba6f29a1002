"""What explgraph promises of seconds, ratios and memory, as tables and as JSON.

    python -m tests.bench.ratios --out out/bench.json

First what a person waits for, beside an earlier commit; then ratios to the network's fastest bare
forward pass; then memory and growth; then where the time goes. Every figure is a median of several
rounds of one run, after one that compiles. The targets are those of squeezenet1_0, which
`tests.bench.workload` takes where it is at hand, on two quiet cores.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
from collections.abc import Sequence
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numba
import numpy as np
import torch
from rich.console import Console
from rich.table import Table

from explgraph import __version__
from explgraph.base.writing import write_bytes
from mining import mine_peaks
from tests.bench.figures import (
    FULL,
    QUICK,
    Figures,
    Sizes,
    growth,
    memory,
    over_forward,
    start_up,
    thread_speedup,
)
from tests.bench.profile import profile
from tests.bench.rounds import Figure
from tests.bench.waits import waits
from tests.bench.workers import quick_efficiency, worker_efficiency
from tests.bench.workload import BATCHES, LAYOUTS, demo_workload, reference_workload

_MOST_ROUNDS = 3  # of workers: each takes 20 s

FLAT = 0.1
"""Memory is flat when it grows by no more than this share of what the peaks would take."""


class Target(NamedTuple):
    """What a figure should be at most, or ``at_least``; one ``of_network`` was set for one only."""

    limit: float
    at_least: bool = False
    of_network: bool = False

    def met_by(self, value: float) -> bool:
        """Tell whether a figure is good enough."""
        return value >= self.limit if self.at_least else value <= self.limit


TARGETS = {
    "photos_to_graph_s": Target(9, of_network=True),
    "match_cli_s": Target(3.5),
    "demo_s": Target(14),
    "photos_to_graph_bytes": Target(900e6, of_network=True),
    "mining_over_forward": Target(0.9, of_network=True),
    "extraction_over_two_forwards": Target(1.15, of_network=True),
    "match_over_forward": Target(1.4, of_network=True),
    "thread_speedup": Target(1.7, at_least=True, of_network=True),
    "two_worker_efficiency": Target(0.85, at_least=True),
    "coordination_share_large_shards": Target(0.05),
    "import_seconds": Target(0.3),
    "jit_seconds": Target(15),
}
TIMES_FASTER = {
    "photos_to_graph_s": Target(3.5, at_least=True, of_network=True),
    "match_cli_s": Target(3.5, at_least=True),
    "demo_s": Target(1.8, at_least=True),
    "first_demo_s": Target(1, at_least=True),
}
"""Than the commit that `tests.bench.waits` knows."""

_OF_THREADS = {"thread_speedup", "two_worker_efficiency"}

WHAT = {
    "photos_to_graph_s": "photos to graph, s",
    "photos_per_second": "  photos a second",
    "photos_to_graph_bytes": "  most memory held, bytes",
    "first_result_s": "match of one photo, s",
    "match_cli_s": "match of the demo's drawings, s",
    "demo_s": "demo, s",
    "first_demo_s": "  its first run, nothing compiled, s",
    "mining_over_forward": "mining / bare forward",
    "extraction_over_two_forwards": "extraction / two bare forwards",
    "feeding_over_forward": "  of it resizing, / bare forward",
    "match_over_forward": "matching / two bare forwards",
    "match_over_forward_no_mirror": "matching, mirror=False / bare forward",
    "thread_speedup": "mining, 1 thread / several",
    "thread_speedup_control": "  a loop that shares nothing",
    "two_worker_efficiency": "2 workers' pace / 1 process, 2 threads",
    "two_worker_efficiency_cpu": "  in processors' time",
    "coordination_share": "  coordination, shards of 256",
    "coordination_share_large_shards": "  of 2,000 (derived)",
    "bytes_per_photo": "peak memory, bytes a photo: mining",
    "bytes_per_photo_spool": "  with spool",
    "extraction_bytes_per_photo": "  extraction (demo network)",
    "extraction_bytes_per_photo_spool": "  with spool",
    "mining_growth_exponent": "time of mining ~ photos to the power of",
    "import_seconds": "import explgraph, s",
    "jit_seconds": "compiling, s",
}


def measure(sizes: Sizes, *, demo: bool) -> Figures:
    """Measure everything; see `figures`."""
    _say("commands")
    found = waits(sizes.commands, quick=demo)
    _say("start-up")
    found |= start_up(sizes.starts, sizes.compiles)
    _say("photos")
    work = (demo_workload if demo else reference_workload)(sizes.photos)
    graph = mine_peaks(work.peaks)
    _say("forward, mining, extraction, matching")
    found |= over_forward(work, graph, sizes.rounds)
    _say("threads")
    found |= thread_speedup(work.peaks, sizes.rounds)
    _say("workers")
    share = quick_efficiency if demo else worker_efficiency
    found |= share(sizes.shared, min(sizes.rounds, _MOST_ROUNDS))
    _say("growth")
    found |= growth(work.peaks, sizes.growth, sizes.rounds)
    _say("memory")
    found |= memory(work.peaks, len(graph), sizes.mined, sizes.extracted)
    return {
        **found,
        "data": work.data,
        "is_reference": work.is_reference,
        "photos": len(work.peaks),
        "layers": [layer.name for layer in work.peaks.layers],
        "forward_ms": {f"{way}": 1000 * seconds for way, seconds in work.ways.items()},
        "mining_profile": profile(partial(mine_peaks, work.peaks)),
        "nodes": len(graph),
        "rounds": sizes.rounds,
    }


def _say(step: str) -> None:
    Console(stderr=True).print(f"{datetime.now():%H:%M:%S} {step} ...", highlight=False)


def targets(found: Figures) -> dict[str, Target]:
    """Return the targets for what was measured: of memory, what has to be kept of a photo."""
    own = found["is_reference"]
    result = {name: target for name, target in TARGETS.items() if own or not target.of_network}
    if found["thread_speedup_threads"] < 2:
        result = {name: target for name, target in result.items() if name not in _OF_THREADS}
    result = {name: target for name, target in result.items() if found.get(name) is not None}
    for kind in ("bytes_per_photo", "extraction_bytes_per_photo"):
        floor = sum(found[f"{kind}_floor"].values())
        result[kind], result[f"{kind}_spool"] = Target(floor), Target(FLAT * floor)
    return result


def report(found: Figures) -> Figures:
    """Add how far the rounds lay apart, the targets, and what it was measured on."""
    return {
        **found,
        "ranges": {k: [v.least, v.most] for k, v in found.items() if isinstance(v, Figure)},
        "targets": {
            name: {
                "limit": target.limit,
                "at_least": target.at_least,
                "met": target.met_by(found[name]),
            }
            for name, target in targets(found).items()
        },
        "times_faster_met": {
            name: target.met_by(found["times_faster"][name])
            for name, target in TIMES_FASTER.items()
            if "times_faster" in found and (found["is_reference"] or not target.of_network)
        },
        "threads": {"numba": numba.get_num_threads(), "torch": torch.get_num_threads()},
        "machine": machine(),
        "versions": {
            "explgraph": __version__,
            "numba": numba.__version__,
            "numpy": np.__version__,
            "python": platform.python_version(),
            "torch": str(torch.__version__),
        },
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
    }


def machine() -> dict[str, Any]:
    """Return what this machine is."""
    return {
        "processor": _processor(),
        "cores": _cores(),
        "memory_bytes": os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE"),
        "system": f"{platform.system()} {platform.machine()}",
    }


def _cores() -> int:
    """Return how many cores this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _processor() -> str:
    """Return the processor's name; Python itself does not know it on Linux."""
    cpuinfo = Path("/proc/cpuinfo")
    lines = cpuinfo.read_text().splitlines() if cpuinfo.exists() else []
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor()


def table(found: Figures) -> Table:
    """Return a report as a table."""
    threads = found["threads"]
    result = Table(
        title=f"{found['data']}: {found['photos']} photos, {found['machine']['cores']} cores, "
        f"{threads['numba']} threads (torch {threads['torch']})",
        caption="Medians and ranges of rounds. Targets are for squeezenet1_0 on 2 quiet cores.",
    )
    for column in ("", "figure", "range", "target", "", "before", "times faster"):
        result.add_column(column, justify="left" if column == "" else "right")
    before, faster = found.get("before", {}), found.get("times_faster", {})
    for name, what in WHAT.items():
        if name not in found:
            continue
        between = " to ".join(map(_short, found["ranges"].get(name, ())))
        limit, verdict = "", ""
        if name in found["targets"]:
            target = found["targets"][name]
            limit = f"{'>=' if target['at_least'] else '<='} {_short(target['limit'])}"
            verdict = "met" if target["met"] else "missed"
        earlier = "" if name not in before else _short(before[name])
        times = "" if name not in faster else _times(faster[name], found, name)
        result.add_row(what, _short(found[name]), between, limit, verdict, earlier, times)
    return result


def _times(value: float, found: Figures, name: str) -> str:
    met = found["times_faster_met"].get(name)
    if met is None:
        return _short(value)
    verdict = "met" if met else "missed"
    return f"{_short(value)} (>= {_short(TIMES_FASTER[name].limit)} {verdict})"


def profiles(found: Figures) -> str:
    """Return the tables of where the time goes, as docs/performance.md has them."""
    lines = ["| the network alone, ms a photo | " + " | ".join(map(str, BATCHES)) + " |"]
    lines += ["|---|" + "---|" * len(BATCHES)]
    for layout in LAYOUTS:
        row = [found["forward_ms"].get(f"{(layout, batch)}") for batch in BATCHES]
        lines += [f"| {layout} | " + " | ".join(map(_short, row)) + " |"]
    lines += ["", "| mining, one thread | share |", "|---|---|"]
    lines += [
        f"| `{name}` | {100 * share:.0f} % |" for name, share in found["mining_profile"].items()
    ]
    return "\n".join(lines)


def _short(value: float | None) -> str:
    if value is None:
        return "-"
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3g}"


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure, print the table and write the file."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.ratios", description=__doc__)
    parser.add_argument("--out", type=Path, default=Path("out/bench.json"), help="JSON to write")
    parser.add_argument("--quick", action="store_true", help="a few drawings: does it run at all?")
    chosen = parser.parse_args(arguments)
    sizes = QUICK if chosen.quick else FULL
    found = report(measure(sizes, demo=chosen.quick))
    write_bytes(chosen.out, (json.dumps(found, indent=1) + "\n").encode())
    console = Console(width=120)
    console.print(table(found))
    console.print(profiles(found), highlight=False, markup=False)
    console.print(f"written to {chosen.out}")


if __name__ == "__main__":
    main()
