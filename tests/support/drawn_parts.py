"""Drawn fishes whose parts are known, and a graph of them that needs no mining."""

from dataclasses import dataclass
from functools import cache

import numpy as np

import explgraph as eg
from explgraph.demo.animals.drawing import draw_animal
from explgraph.graphs.graph import ExplanatoryGraph
from tests.support.planted import nothing_but_nodes

MODEL = "explgraph.demo:network"
LAYER = "stage4.relu2"
N_DRAWN = 24


@dataclass(frozen=True)
class Drawn:
    """24 fishes: ``photos (24, 128, 128, 3)``; ``points[part]`` (24, 2) in the unit square."""

    photos: np.ndarray
    points: dict
    net: object
    graph: ExplanatoryGraph


@cache
def drawn() -> Drawn:
    """Draw them once; the graph has one node for each filter, at its mean strongest peak."""
    fishes = [draw_animal("fish", 100 + i) for i in range(N_DRAWN)]
    photos = np.stack([fish.image for fish in fishes])
    points = {
        part: np.stack([fish.centres[fish.parts.index(part)] for fish in fishes])
        for part in fishes[0].parts
    }
    net = eg.load_backbone(MODEL, device="cpu")
    peaks = eg.extract(net, photos, layers=[LAYER], progress=False)
    return Drawn(photos, points, net, _graph(peaks))


def _graph(peaks):
    yx, weight = peaks.peaks[0].yx[:, :, 0], peaks.peaks[0].weight[:, :, 0]
    fires = (weight > 0).mean(axis=0) > 0.5
    used = np.flatnonzero(fires)
    count = len(used)
    return ExplanatoryGraph(
        layers=peaks.layers,
        input_size=peaks.input_size,
        channel_mean=peaks.channel_mean,
        channel_scale=peaks.channel_scale,
        noise=(np.full(len(fires), 0.3),),
        node_layer=np.zeros(count),
        node_channel=used,
        node_part=np.zeros(count),
        mu=yx[:, used].mean(axis=0),
        spread=yx[:, used].std(axis=0).mean(axis=1) + 4,
        weight=np.full(count, 0.7),
        score=weight[:, used].mean(axis=0),
        support=np.ones(count),
        gain=weight[:, used].mean(axis=0),
        **nothing_but_nodes(count),
        header={**peaks.header, "seed": 0},
    )
