"""One run of everything with so many photos, in a process of its own: prints JSON.

python -m tests.bench.growing 2000 FOLDER
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from numpy.typing import NDArray

from explgraph.base.arrays import evenly
from explgraph.base.files import Stages
from explgraph.base.schema import Columns, Sizes
from explgraph.demo.run import MODEL
from explgraph.graphs.graph import ExplanatoryGraph
from explgraph.networks.backbone import Backbone, load_backbone
from explgraph.peaks.extraction import extract_peaks
from explgraph.peaks.reading import ReadOptions
from explgraph.peaks.spool.reading import SpooledPeaks
from explgraph.peaks.spool.writing import spool_peaks, spool_statistics
from explgraph.peaks.statistics import ChannelStatistics
from explgraph.peaks.structures import PeakBlock, PeakSet
from explgraph.peaks.survey import survey
from explgraph.pipeline import grouped, match
from mining import match_peaks, mine_peaks
from tests.bench.laps import Laps, memory
from tests.bench.many_photos import many_photos
from tests.bench.workload import shared_folder

CATEGORY, BACKGROUND = "bird", "background"
ALL = 2000
"""Photos up to which there are as many of the background, and all are matched; else `FEW`."""

FEW = 200

_WARM = 24  # photos
_CONTRASTED = 60
_QUIET: ReadOptions = {"progress": False}


class Counted:
    """Peaks in a spool, and how many bytes of them are asked for."""

    def __init__(self, source: SpooledPeaks, laps: Laps) -> None:
        self._source, self._laps = source, laps

    def __len__(self) -> int:
        return len(self._source)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._source, name)

    def block(self, layer: int, first: int, last: int) -> PeakBlock:
        """Read some filters' peaks."""
        block = self._source.block(layer, first, last)
        self._laps.add("spool_read", sum(array.nbytes for array in block[:4]))
        return block

    def groups(self) -> Iterator[PeakSet]:
        """Read all photos."""
        return (self.group(number) for number in range(-(-len(self) // 256)))

    def group(self, number: int) -> PeakSet:
        """Read some photos."""
        group = self._source.group(number)
        self._laps.add("spool_read", peak_bytes(group))
        return group


class Steps(Stages):
    """Begins a lap with each step of mining that is not there yet, and one after it."""

    def __init__(self, folder: Path, laps: Laps) -> None:
        super().__init__(folder, {})
        self._laps = laps

    def load(self, name: str, columns: Columns, sizes: Sizes) -> dict[str, NDArray[Any]] | None:
        """Begin what the step is called."""
        step, *rest = name.split(".")
        if step == "poses":
            self._laps.begin("poses")
        else:
            self._laps.begin(f"layer {rest[-1]}: {'finish' if step == 'mined' else 'nodes'}")
        return super().load(name, columns, sizes)

    def save(self, name: str, arrays: Mapping[str, NDArray[Any]]) -> None:
        """End it."""
        super().save(name, arrays)
        step, *rest = name.split(".")
        if step == "mined":
            below = int(rest[-1]) > 0
            self._laps.begin(f"layer {rest[-1]}: for the layer below" if below else "edges")
        else:
            self._laps.begin("pose basis")


def peak_bytes(peaks: PeakSet) -> int:
    """Return the bytes of all peaks, both ways."""
    layers = (*peaks.peaks, *(peaks.mirrored or ()))
    return sum(array.nbytes for layer in layers for array in (layer.yx, layer.weight))


def network() -> Backbone:
    """Return squeezenet1_0, or where its weights are not at hand the built-in network."""
    shared = shared_folder()
    if shared is None:
        return load_backbone(MODEL, device="cpu")
    weights = shared / "models" / "squeezenet1_0.safetensors"
    return load_backbone("squeezenet1_0", weights, device="cpu")


def run(net: Backbone, n: int, folder: Path, laps: Laps) -> dict[str, Any]:
    """Do all that `mine` does, with a spool, then save, and match; return sizes."""
    some = n if n <= ALL else FEW
    said = "" if some == n else f", {FEW} photos"
    source, others = many_photos(CATEGORY, n, 1), many_photos(BACKGROUND, some, 2)
    laps.begin(f"background{said}")
    specs = net.select("auto")
    measured = spool_statistics(net, others, specs, _QUIET, folder)
    laps.begin("photos")
    spooled = spool_peaks(net, source, specs, measured, _QUIET, folder, resume=True)
    peaks: Any = Counted(spooled, laps)
    laps.begin("survey")
    survey(peaks)
    laps.begin("alignment")
    graph = mine_peaks(peaks, stages=Steps(folder, laps))
    laps.begin("contrast")
    few = others.take(evenly(some, _CONTRASTED).tolist())
    statistics = ChannelStatistics(peaks.channel_mean, peaks.channel_scale)
    seen = extract_peaks(net, few, specs, statistics, {**_QUIET, "mirror": False})
    match_peaks(graph, seen)
    laps.begin("part groups")
    graph = grouped(graph, peaks, background=seen)
    laps.begin("saving")
    graph.save(folder / "graph.safetensors")
    ExplanatoryGraph.load(folder / "graph.safetensors")
    laps.begin(f"matching{said}")
    match(graph, net, source.take(range(some)), progress=False)
    laps.begin("")
    shards = sum(path.stat().st_size for path in folder.glob("shard-*"))
    return {"nodes": len(graph), "shards": shards, "graph": _size(folder / "graph.safetensors")}


def _size(path: Path) -> int:
    return path.stat().st_size


def measure(n: int, folder: Path) -> dict[str, Any]:
    """Run everything with a few photos, which compiles, and then with n."""
    net = network()
    with TemporaryDirectory() as name:
        run(net, min(n, _WARM), Path(name), Laps())
    laps, before = Laps(), memory()
    with laps.measured():
        sizes = run(net, n, folder, laps)
    return {"photos": n, "laps": laps.figures(), "before": before, **sizes}


if __name__ == "__main__":
    print(json.dumps(measure(int(sys.argv[1]), Path(sys.argv[2]))))
