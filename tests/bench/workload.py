"""What the benchmark runs on: a network, photos in memory, their peaks."""

from __future__ import annotations

import os
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from explgraph.base.arrays import U1
from explgraph.demo.animals.drawing import SEEDS, draw_animal, draw_background
from explgraph.demo.run import MODEL
from explgraph.networks.backbone import Backbone, load_backbone
from explgraph.networks.shared import evaluation
from explgraph.peaks.structures import PeakSet
from explgraph.photos.images import open_images
from explgraph.pipeline import extract
from tests.bench.rounds import take_turns

BATCHES = (1, 2, 4, 8, 16, 32)
LAYOUTS = ("contiguous_format", "channels_last")
_TRIED = 32  # photos, for each way to run the network
_BESIDE = Path(__file__).resolve().parents[3] / "shared"
_CATEGORY, _SPECIES = "bird", "fish"


@dataclass(frozen=True, eq=False, slots=True)
class Workload:
    """A network, N photos that lie decoded in memory, and what is known of them.

    Attributes
    ----------
    data
        What they are, in words.
    is_reference
        Whether they are those that the targets were set for.
    net
        On the CPU.
    photos
        (N, H, W, 3).
    inputs
        (N, 3, H_in, W_in) what the network is shown of them.
    peaks
        Of the automatic layers, normalised by photos of other things.
    ways
        Seconds a photo of the network's bare forward pass, by layout and batch size.
    """

    data: str
    is_reference: bool
    net: Backbone
    photos: U1
    inputs: Tensor
    peaks: PeakSet
    ways: dict[tuple[str, int], float]

    def bare_forward(self) -> None:
        """Run the whole network to its logits over all photos, one way round, the fastest way."""
        _forward(self.net, self.inputs, min(self.ways, key=lambda way: self.ways[way]))


def shared_folder() -> Path | None:
    """Return the folder of reference networks and photos; None where it is not at hand."""
    shared = Path(os.environ.get("EXPLGRAPH_SHARED", _BESIDE))
    return shared if (shared / "models").is_dir() else None


def _forward(net: Backbone, inputs: Tensor, way: tuple[str, int]) -> None:
    layout, batch = way
    with torch.inference_mode():
        for first in range(0, len(inputs), batch):
            some = inputs[first : first + batch].to(memory_format=getattr(torch, layout))
            net.module(some)


def forward_ways(net: Backbone, inputs: Tensor, rounds: int = 3) -> dict[tuple[str, int], float]:
    """Return seconds a photo of the network alone, by layout and batch: the least of rounds."""
    some = inputs[:_TRIED]
    ways = [(layout, batch) for layout in LAYOUTS for batch in BATCHES if batch <= len(some)]
    with evaluation(net.module):
        took = take_turns({f"{way}": partial(_forward, net, some, way) for way in ways}, rounds)
    return {way: float(took[f"{way}"].min()) / len(some) for way in ways}


def reference_workload(n: int) -> Workload:
    """Return squeezenet1_0 and photos of birds, where they are beside the checkout.

    Elsewhere it is the `demo_workload`.
    """
    shared = shared_folder()
    if shared is None:
        return demo_workload(n)
    weights = shared / "models" / "squeezenet1_0.safetensors"
    net = load_backbone("squeezenet1_0", weights, device="cpu")
    photos, background = (_decoded(shared / "animalpart" / s, n) for s in (_CATEGORY, "background"))
    seen = _seen(net, photos, background)
    return Workload(f"squeezenet1_0, photos of {_CATEGORY}", True, net, photos, *seen)


def demo_workload(n: int) -> Workload:
    """Return the built-in network and drawings."""
    net, photos = load_backbone(MODEL, device="cpu"), draw(n)
    background = np.stack([draw_background(seed) for seed in SEEDS["mine"][:n]])
    seen = _seen(net, photos, background)
    return Workload(f"demo network, drawings of {_SPECIES}", False, net, photos, *seen)


def draw(n: int) -> U1:
    """Return n drawings, (n, 128, 128, 3)."""
    return np.stack([draw_animal(_SPECIES, seed).image for seed in SEEDS["mine"][:n]])


def _decoded(folder: Path, n: int) -> U1:
    source = open_images(folder)
    return np.stack([np.asarray(source.load(i).image) for i in range(min(n, len(source)))])


def _seen(
    net: Backbone, photos: U1, background: U1
) -> tuple[Tensor, PeakSet, dict[tuple[str, int], float]]:
    source = open_images(photos)
    inputs = torch.stack([net.preprocess(source.load(i).image)[0] for i in range(len(photos))])
    peaks = extract(net, photos, background=background, progress=False)
    return inputs, peaks, forward_ways(net, inputs)
