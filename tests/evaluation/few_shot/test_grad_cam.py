"""Grad-CAM of a network whose evidence can be counted by hand."""

import numpy as np
import pytest
import torch
from torch import nn

from explgraph.evaluation.few_shot.grad_cam import (
    FREQUENT_CLASS,
    OWN_CLASS,
    GradCam,
    centroids,
    frequent_class,
)
from explgraph.networks.backbone import Backbone
from explgraph.networks.preprocess import Preprocess
from tests.evaluation.few_shot.test_feature_matching import task_of

SIDE = 8


@pytest.fixture
def net():
    """Class 0 is the sum of the photo's red, class 1 that of its green, class 2 less than none."""
    conv, head = nn.Conv2d(3, 2, 3, padding=1, bias=False), nn.Linear(2, 3)
    with torch.no_grad():
        conv.weight.zero_()
        conv.weight[0, 0, 1, 1] = conv.weight[1, 1, 1, 1] = 1
        head.weight.copy_(torch.tensor([[1.0, 0], [0, 1], [-1, -1]]))
        head.bias.zero_()
    layers = (conv, nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), head)
    same = Preprocess((SIDE, SIDE), mean=(0, 0, 0), std=(1, 1, 1))
    return Backbone(nn.Sequential(*layers), same, name="sums", device="cpu")


@pytest.fixture
def photos():
    """Red at (2, 3) and (2, 5), and less than half of it elsewhere; green strongest in the last."""
    photos = np.zeros((3, SIDE, SIDE, 3), dtype=np.uint8)
    photos[:, 2, 3, 0], photos[:, 2, 5, 0], photos[:, 7, 7, 0] = 200, 100 + 1, 90
    photos[2, 6, 1, 1] = photos[2, 6, 3, 1] = photos[2, 6, 5, 1] = 250
    return photos


RED = ((2.5) / SIDE, ((200 * 3 + 101 * 5) / 301 + 0.5) / SIDE)
GREEN = (6.5 / SIDE, 3.5 / SIDE)


def test_centroid__is_of_the_cells_above_half_of_the_maximum(net, photos):
    np.testing.assert_allclose(centroids(net, photos, "1", 0), [RED] * 3, atol=1e-5)
    np.testing.assert_allclose(centroids(net, photos, "1", None, batch_size=2)[2], GREEN, atol=1e-5)


def test_centroid__of_no_evidence_is_the_middle(net, photos):
    np.testing.assert_allclose(centroids(net, photos, "1", 2), 0.5)


def test_class__is_the_one_of_most_photos(net, photos):
    assert frequent_class(net, photos, "1", batch_size=2) == 0
    assert frequent_class(net, photos[[0, 2, 2]], "1", batch_size=1) == 1


def test_rows__are_of_the_categorys_class_and_of_the_photos(net, photos):
    rows = GradCam(net, photos, "1")(task_of([0], [(0.5, 0.5)], [1, 2]))
    np.testing.assert_allclose(rows[FREQUENT_CLASS], [RED, RED], atol=1e-5)
    np.testing.assert_allclose(rows[OWN_CLASS], [RED, GREEN], atol=1e-5)
