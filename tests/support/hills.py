"""A network, two hills and a spot whose every figure can be worked out by hand.

The network's layer is the photo's red and green, cell by cell; behind it everything is linear.
Values below are in 1/255:

    red    (1, 1) = 200, (1, 2) = 100: hill A      (4, 4) = 100, (4, 3) = 50: hill B
    green  (1, 4) = 150: the spot

    class 0 = the sum of hill A                300
    class 1 = 1.5 times that of hill B, + 1    226
    class 2 = 1.9 times the spot               285
"""

import numpy as np
import torch
from torch import nn

from explgraph.base.arrays import NONE
from explgraph.networks.backbone import Backbone
from explgraph.networks.preprocess import Preprocess
from tests.support.plain import plain_graph, plain_matches

SIDE = 6
RED, GREEN = 0, 1
HILL_A = {(1, 1): 200, (1, 2): 100}
HILL_B = {(4, 4): 100, (4, 3): 50}
SPOT = {(1, 4): 150}
A, B, S = 0, 1, 2
"""The nodes, in the graph's order: hill A, hill B, the spot."""

PEAKS = (0, 1, 0)
"""Which of its filter's peaks each node is on: hill A is higher than hill B."""

UNIT = 0.01
"""Scores are given in hundredths: none is larger than its peak's response."""
FIRST_TO_LAST = (B, S, A)


def hills_photo():
    photo = np.zeros((SIDE, SIDE, 3), dtype=np.uint8)
    for channel, hill in ((RED, {**HILL_A, **HILL_B}), (GREEN, SPOT)):
        for cell, value in hill.items():
            photo[(*cell, channel)] = value
    return photo


def hills_net(rectified=True):
    """Layer "1" is the photo itself, behind a ReLU or behind nothing."""
    conv = nn.Conv2d(3, 2, 3, padding=1, bias=False)
    head = nn.Linear(2 * SIDE * SIDE, 3)
    with torch.no_grad():
        conv.weight.zero_()
        conv.weight[RED, 0, 1, 1] = conv.weight[GREEN, 1, 1, 1] = 1
        weight = head.weight.zero_().view(3, 2, SIDE, SIDE)
        for target, channel, hill, value in (
            (0, RED, HILL_A, 1),
            (1, RED, HILL_B, 1.5),
            (2, GREEN, SPOT, 1.9),
        ):
            for cell in hill:
                weight[(target, channel, *cell)] = value
        head.bias.copy_(torch.tensor([0, 1, 0]) / 255)
    middle = nn.ReLU(inplace=True) if rectified else nn.Identity()
    module = nn.Sequential(conv, middle, nn.Flatten(), head)
    look = Preprocess((SIDE, SIDE), mean=(0, 0, 0), std=(1, 1, 1))
    return Backbone(module, look, name="hills", device="cpu")


def hills_graph(net, mean=(0.0, 0.0), scale=(1.0, 1.0)):
    """Nodes A and B of the red filter and S of the green one; by rank B, S, A."""
    gain = np.empty(3)
    gain[list(FIRST_TO_LAST)] = (3, 2, 1)
    return plain_graph(
        net.select(["1"]),
        (SIDE, SIDE),
        statistics=((np.array(mean),), (np.array(scale),)),
        nodes=(np.zeros(3), np.array([RED, RED, GREEN]), np.array([0, 1, 0])),
        mu=np.full((3, 2), SIDE / 2),
        score=np.full(3, UNIT),
        gain=gain,
        header={"model": "hills", "weight_hash": net.weight_hash},
    )


def hills_matches(n_photos, score=None, mirrored=None):
    """Every node on its peak, unless it scores 0; what counts is the peak, not the place."""
    shape = (n_photos, 3)
    score = UNIT * (np.ones(shape) if score is None else np.array(score))
    facing = np.zeros(n_photos) if mirrored is None else np.array(mirrored)
    names, peak = (f"{i:06d}" for i in range(n_photos)), np.where(score > 0, PEAKS, NONE)
    return plain_matches(names, 0.5, score, peak=peak, mirrored=facing)


def hills_photos(n_photos, mirrored=None):
    photos = np.stack([hills_photo()] * n_photos)
    if mirrored is not None:
        photos[mirrored] = photos[mirrored][:, :, ::-1]
    return photos
