"""Figures of processes that have done nothing before: start-up, compiling, peak memory.

``python -m tests.bench.fresh TASK ...`` is such a process; it prints JSON.
"""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING, Any

import numpy as np

from tests.bench.rounds import F8

if TYPE_CHECKING:
    from explgraph.peaks.structures import PeakSet

ROOT = Path(__file__).resolve().parents[2]

VARIABLES = {"compile_path": {"EXPLGRAPH_CACHE": "off"}}
"""Of the environment of a task's process."""

_MODULE = "tests.bench.fresh"
_DRAWINGS = 8  # that are looked at again and again


def import_seconds(rounds: int) -> F8:
    """Return (rounds,) how much longer Python starts when it imports explgraph as well."""

    def start(code: str) -> float:
        before = perf_counter()
        subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True)
        return perf_counter() - before

    codes = ("pass", "import explgraph")
    for code in codes:  # the first time, files are read from the disk
        start(code)
    return np.array([-start(codes[0]) + start(codes[1]) for _ in range(rounds)])


def measure(task: str, *arguments: object) -> dict[str, Any]:
    """Run one of `TASKS` in a process of its own and return what it has found."""
    command = [sys.executable, "-m", _MODULE, task, *map(str, arguments)]
    environment = os.environ | VARIABLES.get(task, {})
    done = subprocess.run(command, cwd=ROOT, check=True, stdout=subprocess.PIPE, env=environment)
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def compile_path() -> dict[str, Any]:
    """Find peaks, mine and match twice, of next to nothing: the first time is spent compiling."""
    from numba.core import event

    from explgraph.peaks.finding import find_peaks
    from mining import match_peaks, mine_peaks
    from tests.support.planted_peaks import planted_peaks

    peaks = planted_peaks(n_images=24, channels=4).peaks  # type: ignore[no-untyped-call]
    layer, ones = peaks.layers[0], np.ones(peaks.layers[0].channels)
    maps = np.random.default_rng(0).random((1, layer.channels, *layer.grid), dtype=np.float32)

    def path() -> float:
        start = perf_counter()
        find_peaks(maps, layer, 0 * ones, ones)
        match_peaks(mine_peaks(peaks), peaks)
        return perf_counter() - start

    with event.install_recorder("numba:compile") as recorder:
        seconds = path() - path()
    functions = sum(entry.is_start for _, entry in recorder.buffer)
    return {"seconds": seconds, "functions": functions}


def mine_in_memory(base: str, *photos: str) -> dict[str, Any]:
    """Mine the peaks of so many photos, the fewest first; they resemble those of a file."""
    from explgraph.peaks.structures import PeakSet
    from mining import mine_peaks
    from tests.bench.repeats import repeated

    def mine(count: str) -> None:
        mine_peaks(repeated(PeakSet.load(base), int(count)))

    return {"bytes": _peaks_of(mine, photos)}


def mine_spooled(*folders: str) -> dict[str, Any]:
    """Mine the peaks in spool folders, the smallest first."""
    from explgraph.base.files import Stages
    from mining import mine_peaks
    from tests.support.spooling import open_spool

    def mine(folder: str) -> None:
        mine_peaks(open_spool(folder), stages=Stages(folder, {}))

    return {"bytes": _peaks_of(mine, folders)}


def extract_drawings(folder: str, *photos: str) -> dict[str, Any]:
    """Extract the peaks of so many drawings, the fewest first, with the demo network.

    They go to folders in ``folder``; into memory if that is empty.
    """
    from PIL import Image

    from explgraph.demo.run import MODEL
    from explgraph.networks.backbone import load_backbone
    from explgraph.peaks.extraction import extract_peaks
    from explgraph.peaks.reading import ReadOptions
    from explgraph.peaks.spool.writing import spool_peaks
    from explgraph.peaks.statistics import ChannelStatistics
    from explgraph.photos.images import ImageItem, ImageSource
    from explgraph.pipeline import extract
    from tests.bench.workload import draw

    net, few = load_backbone(MODEL, device="cpu"), draw(_DRAWINGS)
    reference = extract(net, few, progress=False)
    pictures = [Image.fromarray(picture) for picture in few]
    statistics = ChannelStatistics(reference.channel_mean, reference.channel_scale)
    options: ReadOptions = {"progress": False}

    def find(count: str) -> None:
        items = [ImageItem(f"{i:06d}", i) for i in range(int(count))]
        source = ImageSource(items, lambda i: pictures[i % _DRAWINGS])
        given = (net, source, reference.layers, statistics, options)
        if folder:
            spool_peaks(*given, Path(folder) / count)
        else:
            extract_peaks(*given)

    return {"bytes": _peaks_of(find, photos), "floor": photo_bytes(reference)}


def _peaks_of(task: Callable[[str], None], sizes: Sequence[str]) -> list[int]:
    """Return the most memory held up to the end of each size, which rise.

    In one process, so that what is compiled and loaded counts alike in all.
    """
    held = []
    for size in sizes:
        task(size)
        held.append(peak_bytes())
    return held


def photo_bytes(peaks: PeakSet) -> dict[str, int]:
    """Return the bytes that a photo's peaks take, all views."""
    layers = (*peaks.peaks, *(peaks.mirrored or ()))
    total = sum(array.nbytes for layer in layers for array in (layer.yx, layer.weight))
    return {"peaks": total // len(peaks)}


def peak_bytes() -> int:
    """Return the most memory that this process has held at once.

    Linux starts ``ru_maxrss`` of a new program at what its parent held; its status does not.
    """
    status = Path("/proc/self/status")
    if status.exists():
        return peak_of(status.read_text())
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss  # bytes, on macOS


def peak_of(status: str) -> int:
    """Return the most bytes held at once, of what Linux says of a process."""
    values = dict(line.split(":", 1) for line in status.splitlines())
    return int(values["VmHWM"].split()[0]) * 1024


TASKS: dict[str, Callable[..., dict[str, Any]]] = {
    task.__name__: task for task in (compile_path, mine_in_memory, mine_spooled, extract_drawings)
}

if __name__ == "__main__":
    name, *arguments = sys.argv[1:]
    print(json.dumps(TASKS[name](*arguments)))
