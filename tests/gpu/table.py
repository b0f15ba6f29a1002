"""Mining and matching on a GPU beside the network's own run there, and beside the CPU: one table.

``python -m tests.gpu.table`` needs a GPU; with ``--device cpu --quick`` it shows that it works.
"""

import argparse
import resource
import sys
from collections.abc import Callable
from datetime import UTC, datetime
from time import perf_counter
from typing import NamedTuple

import numpy as np
import torch
from rich.console import Console
from rich.table import Table
from scipy.spatial import cKDTree
from torchvision import models

from explgraph.peaks.structures import Peaks
from mining import match_peaks, mine_peaks
from mining.devices import cuda_missing
from tests.support.planted_peaks import layer_spec, peak_set

NO_GPU = 77  # how a script says that it was skipped
N_PEAKS, LIMBS, BATCH = 8, 4, 50
SAME = 0.01  # network pixels: far below a cell, far above rounding
FAR_APART = 1e4  # network pixels, for nodes of different filters


class Case(NamedTuple):
    """A network, and the layers that a graph of it has: strides and channels, from below."""

    name: str
    network: Callable[..., torch.nn.Module]
    side: int
    strides: tuple[int, ...]
    channels: tuple[int, ...]


class Size(NamedTuple):
    photos: int
    compared: int  # of these, with the CPU
    rounds: int
    cases: tuple[Case, ...]


VGG = Case("VGG-16", models.vgg16, 224, (8, 8, 16, 16), (512, 512, 512, 512))
RESNET = Case("ResNet-50", models.resnet50, 224, (8, 16, 32), (512, 1024, 2048))
QUICK = Case("SqueezeNet 1.1", models.squeezenet1_1, 64, (8, 16), (6, 6))
WHOLE = Size(1000, 200, 3, (VGG, RESNET))
SMALL = Size(20, 10, 1, (QUICK,))


class Row(NamedTuple):
    """One line: seconds of all photos, what differs from the CPU, and memory."""

    case: Case
    forward: float
    mining: float
    matching: float
    nodes: tuple[int, int]
    found_again: float
    same_place: float
    farthest: float
    memory: float


# -- what is measured ------------------------------------------------------------------------------


def planted_layer(rng, case, index, pose):
    """Peaks of nodes that move with a photo's limbs ``pose (N, LIMBS, 2)``, and weak ones."""
    channels = case.channels[index]
    planted = rng.uniform(0.2, 0.8, (channels, LIMBS, 2)) * case.side + pose[:, None]
    planted += rng.normal(0, case.side / 75, planted.shape)
    anywhere = rng.uniform(0, case.side, (*planted.shape[:2], N_PEAKS - LIMBS, 2))
    strong = -np.sort(-rng.uniform(1, 2, planted.shape[:3]), axis=2)
    weak = -np.sort(-rng.uniform(0.1, 0.5, anywhere.shape[:3]), axis=2)
    return Peaks(
        layer_spec(index, case.strides[index], channels, case.side),
        np.concatenate([planted, anywhere], axis=2),
        np.concatenate([strong, weak], axis=2),
    )


def planted_photos(case, count):
    rng = np.random.default_rng(0)
    pose = rng.normal(0, case.side / 19, (count, LIMBS, 2))
    layers = [planted_layer(rng, case, index, pose) for index in range(len(case.strides))]
    return peak_set(tuple(layers), side=case.side)


def fastest(task, rounds, device):
    """Seconds of the fastest of some runs; the first of all, which compiles, does not count."""
    seconds = []
    for _ in range(rounds + 1):
        start = perf_counter()
        task()
        if device == "cuda":
            torch.cuda.synchronize()
        seconds.append(perf_counter() - start)
    return min(seconds[1:])


def forward_seconds(case, count, rounds, device):
    """The bare network over all photos, in the faster of two layouts of memory."""

    def run(layout):
        net = case.network(weights=None).eval().to(device, memory_format=layout)
        size = min(BATCH, count)
        batch = torch.rand(size, 3, case.side, case.side, device=device)
        batch = batch.contiguous(memory_format=layout)

        def all_photos():
            with torch.inference_mode():
                for _ in range(count // size):
                    net(batch)

        return fastest(all_photos, rounds, device)

    return min(run(layout) for layout in (torch.contiguous_format, torch.channels_last))


def found_again(graph, other):
    """Return the share of a graph's nodes that have a node of their filter at their place."""
    points = [np.column_stack([FAR_APART * filters_of(g), g.mu]) for g in (graph, other)]
    distance, _ = cKDTree(points[1]).query(points[0], p=np.inf)
    return float((distance < SAME).mean())


def filters_of(graph):
    """Number all filters of all layers."""
    return 10_000 * graph.node_layer.astype(np.float64) + graph.node_channel


def measured(case, size, device):
    """Measure one case."""
    peaks = planted_photos(case, size.photos)
    few = peaks.take(slice(size.compared))
    if device == "cuda":
        torch.cuda.reset_peak_memory_stats()
    mining = fastest(lambda: mine_peaks(peaks, device=device), size.rounds, device)
    graph, ours = mine_peaks(few), mine_peaks(few, device=device)
    matching = fastest(lambda: match_peaks(graph, peaks, device=device), size.rounds, device)
    memory = peak_memory(device)  # before the network has any
    there, here = match_peaks(graph, few, device=device), match_peaks(graph, few)
    apart = np.abs(there.yx - here.yx).max(axis=2) * case.side
    return Row(
        case=case,
        forward=forward_seconds(case, size.photos, size.rounds, device),
        mining=mining,
        matching=matching,
        nodes=(len(ours), len(graph)),
        found_again=found_again(graph, ours),
        same_place=float((apart < SAME).mean()),
        farthest=float(apart.max()),
        memory=memory,
    )


def peak_memory(device):
    """Return the most memory that was taken, MB: the GPU's, or this process's."""
    if device == "cuda":
        return torch.cuda.max_memory_allocated() / 1e6
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3


# -- the table -------------------------------------------------------------------------------------


def table(rows, size, device):
    name = torch.cuda.get_device_name() if device == "cuda" else "the CPU"
    title = f"{size.photos} photos on {name}, {datetime.now(UTC).date().isoformat()}"
    caption = (
        f"Differences to the CPU: in {size.compared} photos. Nodes found again: of the same "
        f"filter, less than {SAME} px away."
    )
    result = Table("", *(row.case.name for row in rows), title=title, caption=caption)
    for label, text in LINES.items():
        result.add_row(label, *map(text, rows))
    return result


LINES = {
    "forward, s": lambda row: f"{row.forward:.3f}",
    "mining, s": lambda row: f"{row.mining:.3f}",
    "matching, s": lambda row: f"{row.matching:.3f}",
    "mining / forward": lambda row: f"{row.mining / row.forward:.2f}",
    "matching / forward": lambda row: f"{row.matching / row.forward:.2f}",
    "nodes, here and on the CPU": lambda row: "{} {}".format(*row.nodes),
    "nodes of the CPU found again": lambda row: f"{row.found_again:.2%}",
    f"places matched within {SAME} px": lambda row: f"{row.same_place:.2%}",
    "farthest place matched, px": lambda row: f"{row.farthest:.4f}",
    "peak memory, MB": lambda row: f"{row.memory:.0f}",
}


def main(arguments=None):
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--device", choices=("cuda", "cpu"), default="cuda")
    parser.add_argument("--quick", action="store_true", help="small sizes: does it work at all?")
    options = parser.parse_args(arguments)
    missing = cuda_missing() if options.device == "cuda" else ""
    if missing:
        print(f"skipped: this needs {missing}. --device cpu --quick tries it without", flush=True)
        return NO_GPU
    size = SMALL if options.quick else WHOLE
    rows = [measured(case, size, options.device) for case in size.cases]
    Console(width=100).print(table(rows, size, options.device))
    return 0


if __name__ == "__main__":
    sys.exit(main())
