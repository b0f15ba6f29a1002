"""Train the demo network from nothing: ``python data/demo/train.py``.

Draws the training pictures, trains on the CPU, measures the accuracy on drawings that were not
seen in training, and writes ``demo_net.safetensors`` and ``demo_net.json`` beside this file.
"""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.torch import save
from torch import Tensor, nn

from explgraph.demo.animals.drawing import SEEDS, SPECIES, draw_animal, draw_background
from explgraph.demo.model import CLASSES, DemoNet

log = logging.getLogger("train")

SEED = 0
THREADS = 2
EPOCHS = 8
BATCH = 64
PEAK_RATE = 4e-3
WEIGHT_DECAY = 0.02
LABEL_SMOOTHING = 0.1
MEAN = torch.tensor([0.485, 0.456, 0.406]).view(1, 3, 1, 1)
STD = torch.tensor([0.229, 0.224, 0.225]).view(1, 3, 1, 1)


def draw(name: str, seed: int) -> NDArray[np.uint8]:
    """Return one picture of a class."""
    return draw_animal(name, seed).image if name in SPECIES else draw_background(seed)


def draw_all(seeds: range) -> tuple[Tensor, Tensor]:
    """Return pictures of every class (N, 3, 128, 128) uint8 and their labels (N,)."""
    names = [name for name in CLASSES for _ in seeds]
    with ProcessPoolExecutor(THREADS) as pool:
        images = list(pool.map(draw, names, [*seeds] * len(CLASSES), chunksize=64))
    labels = torch.tensor([CLASSES.index(name) for name in names])
    return torch.from_numpy(np.stack(images)).permute(0, 3, 1, 2).contiguous(), labels


def normalised(images: Tensor) -> Tensor:
    """Return pictures (N, 3, H, W) as the network takes them."""
    return ((images.float() / 255 - MEAN) / STD).contiguous(memory_format=torch.channels_last)


def augmented(images: Tensor) -> Tensor:
    """Return pictures with other colours, flipped or shifted, some with a patch of noise."""
    n = len(images)
    flips = torch.rand(n) < 0.5
    images = torch.where(flips.view(n, 1, 1, 1), images.flip(3), images).float()
    shift_y, shift_x = torch.randint(-8, 9, (2,)).tolist()
    padded = nn.functional.pad(images, (8, 8, 8, 8), mode="reflect")
    images = padded[:, :, 8 + shift_y : 136 + shift_y, 8 + shift_x : 136 + shift_x]
    grey = images.mean(dim=1, keepdim=True)
    images = grey + (images - grey) * torch.empty(n, 1, 1, 1).uniform_(0.3, 1.4)
    images = images * torch.empty(n, 3, 1, 1).uniform_(0.75, 1.3)
    for hidden in torch.nonzero(torch.rand(n) < 0.4).flatten():
        height, width = torch.randint(16, 56, (2,)).tolist()
        top, left = (int(torch.randint(0, 128 - side, ())) for side in (height, width))
        noise = 255 * torch.rand(3, height, width)
        images[hidden, :, top : top + height, left : left + width] = noise
    return images.clamp(0, 255)


def batches(labels: Tensor) -> Iterator[Tensor]:
    """Yield the indices of each batch of one epoch, in random order."""
    yield from torch.split(torch.randperm(len(labels)), BATCH)


def train(images: Tensor, labels: Tensor) -> DemoNet:
    """Return a network trained on the pictures."""
    torch.manual_seed(SEED)
    net = DemoNet().to(memory_format=torch.channels_last)
    optimiser = torch.optim.AdamW(net.parameters(), lr=PEAK_RATE, weight_decay=WEIGHT_DECAY)
    n_steps = EPOCHS * -(-len(labels) // BATCH)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, PEAK_RATE, total_steps=n_steps)
    criterion = nn.CrossEntropyLoss(label_smoothing=LABEL_SMOOTHING)
    start = time.monotonic()
    for epoch in range(EPOCHS):
        total = 0.0
        for chosen in batches(labels):
            loss = criterion(net(normalised(augmented(images[chosen]))), labels[chosen])
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            schedule.step()
            total += float(loss.detach()) * len(chosen)
        seconds = time.monotonic() - start
        log.info("epoch %d: loss %.3f, %.0f s", epoch + 1, total / len(labels), seconds)
    return net.eval()


@torch.inference_mode()
def accuracies(net: DemoNet, images: Tensor, labels: Tensor) -> dict[str, float]:
    """Return the share of right answers for each class."""
    found = torch.cat([net(normalised(part)).argmax(dim=1) for part in torch.split(images, BATCH)])
    right = (found == labels).double()
    return {name: right[labels == k].mean().item() for k, name in enumerate(CLASSES)}


def main() -> None:
    """Train, measure, write."""
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    torch.set_num_threads(THREADS)
    net = train(*draw_all(SEEDS["train"]))
    per_class = accuracies(net, *draw_all(SEEDS["test"]))
    report = {
        "classes": CLASSES,
        "command": "python data/demo/train.py",
        "training_seeds": [SEEDS["train"].start, SEEDS["train"].stop],
        "test_seeds": [SEEDS["test"].start, SEEDS["test"].stop],
        "torch_seed": SEED,
        "epochs": EPOCHS,
        "accuracy": round(sum(per_class[name] for name in SPECIES) / len(SPECIES), 4),
        "accuracy_per_class": {name: round(share, 4) for name, share in per_class.items()},
    }
    folder = Path(__file__).parent
    state = {name: tensor.contiguous() for name, tensor in net.state_dict().items()}
    (folder / "demo_net.safetensors").write_bytes(save(state))
    text = json.dumps(report, indent=2, sort_keys=True)
    (folder / "demo_net.json").write_text(text + "\n", encoding="utf-8")
    log.info("%s", text)


if __name__ == "__main__":
    main()
