"""Mining on a GPU against the network's own run there: VGG-16's size, 1,000 photos.

``pytest -s -o addopts= --benchmark-only tests/bench/test_bench_cuda.py`` prints the ratio as JSON.
"""

import json
from datetime import UTC, datetime
from time import perf_counter

import numpy as np
import pytest
import torch
from torchvision.models import vgg16

from explgraph.peaks.structures import Peaks
from mining import mine_peaks
from mining.devices import cuda_missing
from tests.support.planted_peaks import layer_spec, peak_set

N_IMAGES, CHANNELS, SIDE, N_PEAKS = 1000, 512, 224, 8
STRIDES = (8, 8, 16, 16)  # grids of 28 x 28 and 14 x 14
LIMBS, BATCH, ROUNDS = 4, 50, 3


def planted_layer(rng, index, stride, pose):
    """Peaks of nodes that move with a photo's limbs ``pose (N, LIMBS, 2)``, and weak ones."""
    planted = rng.uniform(0.2, 0.8, (CHANNELS, LIMBS, 2)) * SIDE + pose[:, None]
    planted += rng.normal(0, 3, planted.shape)
    anywhere = rng.uniform(0, SIDE, (*planted.shape[:2], N_PEAKS - LIMBS, 2))
    strong = -np.sort(-rng.uniform(1, 2, planted.shape[:3]), axis=2)
    weak = -np.sort(-rng.uniform(0.1, 0.5, anywhere.shape[:3]), axis=2)
    weight = np.concatenate([strong, weak], axis=2)
    return Peaks(
        layer_spec(index, stride, CHANNELS, SIDE),
        np.concatenate([planted, anywhere], axis=2),
        weight,
    )


def workload():
    rng = np.random.default_rng(0)
    pose = rng.normal(0, 12, (N_IMAGES, LIMBS, 2))
    layers = [planted_layer(rng, index, stride, pose) for index, stride in enumerate(STRIDES)]
    return peak_set(tuple(layers), rng=rng, side=SIDE)


def forward_seconds():
    """The fastest of some runs of the bare network over all photos."""
    net = vgg16(weights=None).eval().cuda()
    batch = torch.rand(BATCH, 3, SIDE, SIDE, device="cuda")
    seconds = []
    with torch.inference_mode():
        for _ in range(ROUNDS + 1):  # the first is slower
            torch.cuda.synchronize()
            start = perf_counter()
            for _ in range(N_IMAGES // BATCH):
                net(batch)
            torch.cuda.synchronize()
            seconds.append(perf_counter() - start)
    return min(seconds)


@pytest.mark.skipif(bool(cuda_missing()), reason=f"needs {cuda_missing()}")
def test_bench__mining_over_forward_on_a_gpu(benchmark):
    peaks = workload()
    options = {"device": "cuda"}
    benchmark.pedantic(mine_peaks, (peaks,), options, rounds=ROUNDS, warmup_rounds=1)
    mining, forward = benchmark.stats.stats.min, forward_seconds()
    figures = {
        "mining_over_forward_cuda": mining / forward,
        "mining_seconds": mining,
        "forward_seconds": forward,
        "photos": N_IMAGES,
        "device": torch.cuda.get_device_name(),
        "date": datetime.now(UTC).date().isoformat(),
    }
    benchmark.extra_info.update(figures)
    print(json.dumps(figures))
