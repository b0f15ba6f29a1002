"""What `make bench` measures, beside pytest-benchmark: ratios within one run, and memory."""

from __future__ import annotations

import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple

import numba
import numpy as np

from explgraph.base.arrays import F4
from explgraph.base.jit import jit
from explgraph.base.threads import map_ranges
from explgraph.graphs.graph import ExplanatoryGraph
from explgraph.peaks.structures import GROUP, PeakSet
from explgraph.photos.images import open_images
from explgraph.photos.loading import iterate_batches
from explgraph.pipeline import extract, match
from mining import mine_peaks
from tests.bench import fresh
from tests.bench.repeats import repeated
from tests.bench.rounds import Figure, growth_exponent, take_turns
from tests.bench.workload import Workload
from tests.support.spooling import spool_by_hand

Figures = dict[str, Any]
Pair = tuple[int, int]


class Sizes(NamedTuple):
    """How much is measured.

    Attributes
    ----------
    photos
        N of the ratios.
    rounds, commands, starts, compiles
        How often they are repeated, commands are run, Python is started, all is compiled.
    growth
        Photos that mining is timed with.
    shared
        Photos that workers share.
    mined, extracted
        Photos between which memory is compared, in mining and in extraction.
    """

    photos: int
    rounds: int
    commands: int
    starts: int
    compiles: int
    growth: Sequence[int]
    shared: int
    mined: Pair
    extracted: Pair


_GROWTH, _ONE = np.float32(3.9), np.float32(1)
_LANES, _REPEATS, _PIECES = np.linspace(0, 1, 2048, dtype=np.float32), 20_000, 16

FULL = Sizes(200, 5, 3, 7, 3, (50, 200, 1000, 2000), 512, (200, 2000), (300, 3000))
QUICK = Sizes(12, 2, 0, 2, 1, (6, 12, 24), 6, (24, 240), (24, 240))


def start_up(starts: int, compiles: int) -> Figures:
    """Measure what is paid once: importing and compiling, each time in a new process."""
    compiled = [fresh.measure("compile_path") for _ in range(compiles)]
    return {
        "import_seconds": Figure.of(fresh.import_seconds(starts)),
        "jit_seconds": Figure.of([found["seconds"] for found in compiled]),
        "jit_functions": compiled[0]["functions"],
    }


def over_forward(work: Workload, graph: ExplanatoryGraph, rounds: int) -> Figures:
    """Compare mining, extraction and matching with the bare forward pass over the same photos.

    Photos are decoded; what they are resized and normalised in is part of extraction, and
    ``feeding_over_forward`` says how much.
    """
    net, photos, peaks = work.net, work.photos, work.peaks
    source = open_images(photos)

    def feed() -> None:
        size = net.batch_size()
        for _ in iterate_batches(source, net.preprocess, batch_size=size, progress=False):
            pass

    took = take_turns(
        {
            "forward": work.bare_forward,
            "mining": partial(mine_peaks, peaks),
            "feeding": feed,
            "extraction": partial(extract, net, photos, background=peaks, progress=False),
            "match": partial(match, graph, net, photos, progress=False),
            "match_no_mirror": partial(match, graph, net, photos, mirror=False, progress=False),
        },
        rounds,
    )
    forward = took["forward"]
    return {
        "mining_over_forward": Figure.of(took["mining"] / forward),
        "feeding_over_forward": Figure.of(took["feeding"] / forward),
        "extraction_over_two_forwards": Figure.of(took["extraction"] / (2 * forward)),
        "match_over_forward": Figure.of(took["match"] / (2 * forward)),
        "match_over_forward_no_mirror": Figure.of(took["match_no_mirror"] / forward),
        "seconds": {name: Figure.of(seconds) for name, seconds in took.items()},
    }


def thread_speedup(peaks: PeakSet, rounds: int) -> Figures:
    """Compare mining on one thread with mining on four, or on as many as there are.

    The control is a loop that no two threads share anything in: what the machine itself gains.
    """
    before = numba.get_num_threads()
    several = min(4, before)
    if several == 1:
        reason = "there is only one thread"
        none = {"thread_speedup": None, "thread_speedup_control": None}
        return {**none, "thread_speedup_threads": 1, "thread_speedup_null": reason}

    def mine(threads: int) -> None:
        numba.set_num_threads(threads)
        mine_peaks(peaks)

    def control(threads: int) -> None:
        numba.set_num_threads(threads)
        map_ranges(lambda _first, _last: _logistic(_LANES.copy(), _REPEATS), _PIECES, 1)

    tasks = {"one": partial(mine, 1), "several": partial(mine, several)}
    controls = {"control, one": partial(control, 1), "control, several": partial(control, several)}
    took = take_turns({**tasks, **controls}, rounds)
    numba.set_num_threads(before)
    return {
        "thread_speedup": Figure.of(took["one"] / took["several"]),
        "thread_speedup_control": Figure.of(took["control, one"] / took["control, several"]),
        "thread_speedup_threads": several,
    }


@jit
def _logistic(values: F4, repeats: int) -> None:
    """Compute on numbers that stay in the processor's nearest cache, several at a time."""
    for _ in range(repeats):
        for i in range(len(values)):
            values[i] = _GROWTH * values[i] * (_ONE - values[i])  # neither settles nor vanishes


def growth(peaks: PeakSet, sizes: Sequence[int], rounds: int) -> Figures:
    """Measure how the time of mining grows with photos; those beyond the given ones repeat."""
    tasks = {str(n): partial(mine_peaks, repeated(peaks, n)) for n in sizes}
    took = take_turns(tasks, rounds)
    by_round = np.stack([took[str(n)] for n in sizes], axis=1)
    return {
        "mining_growth_exponent": Figure.of([growth_exponent(sizes, row) for row in by_round]),
        "mining_growth_seconds": {name: Figure.of(seconds) for name, seconds in took.items()},
    }


def memory(peaks: PeakSet, n_nodes: int, mined: Pair, extracted: Pair) -> Figures:
    """Measure by how much peak memory grows with each photo.

    Mining is that of the workload's layers, extraction that of the demo network, beside what is
    kept of a photo: its peaks, both ways round.
    """
    with TemporaryDirectory() as name:
        folder = Path(name)
        peaks.save(folder / "base.peaks")
        for n in mined:
            shards = [min(GROUP, n - first) for first in range(0, n, GROUP)]
            spool_by_hand(repeated(peaks, n), folder / f"mined-{n}", shards)  # type: ignore[no-untyped-call]
        jobs: dict[str, tuple[Any, ...]] = {
            "mining": ("mine_in_memory", folder / "base.peaks", *mined),
            "mining_spool": ("mine_spooled", *(folder / f"mined-{n}" for n in mined)),
            "extraction": ("extract_drawings", "", *extracted),
            "extraction_spool": ("extract_drawings", folder / "extracted", *extracted),
        }
        with ThreadPoolExecutor(min(4, os.cpu_count() or 1)) as pool:
            running = {kind: pool.submit(fresh.measure, *job) for kind, job in jobs.items()}
            held = {kind: run.result() for kind, run in running.items()}
    photos = {kind: mined if kind.startswith("mining") else extracted for kind in jobs}
    per_photo = {
        kind: (found["bytes"][1] - found["bytes"][0]) / (photos[kind][1] - photos[kind][0])
        for kind, found in held.items()
    }
    return {
        "bytes_per_photo": per_photo["mining"],
        "bytes_per_photo_spool": per_photo["mining_spool"],
        "bytes_per_photo_floor": {**fresh.photo_bytes(peaks), "nodes": n_nodes},
        "bytes_per_photo_photos": list(mined),
        "extraction_bytes_per_photo": per_photo["extraction"],
        "extraction_bytes_per_photo_spool": per_photo["extraction_spool"],
        "extraction_bytes_per_photo_floor": held["extraction"]["floor"],
        "extraction_bytes_per_photo_photos": list(extracted),
        "peak_bytes": {kind: found["bytes"] for kind, found in held.items()},
    }
