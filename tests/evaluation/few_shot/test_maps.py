"""Dense maps of a network that passes the photo through, so that every value is known."""

import numpy as np
import pytest
import torch
from torch import nn

from explgraph.base.errors import ExplGraphError
from explgraph.evaluation.few_shot.maps import dense_maps, sample
from explgraph.networks.backbone import Backbone
from explgraph.networks.preprocess import Preprocess


@pytest.fixture
def net():
    """Layer "1": red and green of a photo of 4 x 6, and its negative blue, which never fires."""
    conv = nn.Conv2d(3, 3, 3, padding=1, bias=False)
    with torch.no_grad():
        conv.weight.zero_()
        for channel, value in enumerate((1.0, 1.0, -1.0)):
            conv.weight[channel, channel, 1, 1] = value
    same = Preprocess((4, 6), mean=(0, 0, 0), std=(1, 1, 1))
    return Backbone(nn.Sequential(conv, nn.ReLU()), same, name="pass", device="cpu")


@pytest.fixture
def photos(rng):
    return rng.integers(0, 256, (3, 4, 6, 3), dtype=np.uint8)


def test_maps__are_both_views_in_background_deviations(net, photos):
    found = dense_maps(net, photos, ["1"], background=photos[:1], batch_size=2)
    (layer,) = found.layers
    red = photos[..., 0] / 255
    scale, mean = red[0].std(), red[0].mean()
    np.testing.assert_allclose(layer.scale[0], scale, rtol=1e-4)
    np.testing.assert_allclose(layer.mean[0], mean / scale, rtol=1e-4)
    np.testing.assert_allclose(layer.values[0, :, 0], red / scale, rtol=1e-3, atol=1e-3)
    np.testing.assert_allclose(layer.values[1, :, 0], red[..., ::-1] / scale, rtol=1e-3, atol=1e-3)


def test_maps__of_a_silent_channel_are_finite(net, photos):
    layer = dense_maps(net, photos, ["1"]).layers[0]
    assert layer.scale[2] == pytest.approx(0.05 * float(layer.scale[:2].mean()))
    assert float(layer.values[:, :, 2].abs().max()) == 0


def test_maps__of_a_silent_layer_are_refused(net):
    with pytest.raises(ExplGraphError, match="never fires"):
        dense_maps(net, np.zeros((1, 4, 6, 3), dtype=np.uint8), ["1"])


@pytest.mark.parametrize("view", [0, 1])
def test_to_cells__is_the_cell_that_shows_the_point(net, photos, view):
    found = dense_maps(net, photos, ["1"])
    # The middle of the pixel in row 2, column 1 of the view.
    yx = np.array([2.5 / 4, 1.5 / 6])
    np.testing.assert_allclose(found.to_cells(found.layers[0].layer, view, 0, yx), [2, 1])


def test_to_cells__of_a_mirrored_photo_that_is_cut(net, photos):
    """Of a photo 12 wide the middle 6 are seen: both views hold its columns 3 to 8."""
    net.preprocess.fit = "crop"
    wide = np.concatenate([photos, photos], axis=2)
    found = dense_maps(net, wide, ["1"])
    layer = found.layers[0].layer
    third = np.array([0.5 / 4, 3.5 / 12])
    np.testing.assert_allclose(found.to_cells(layer, 0, 0, third), [0, 0], atol=1e-12)
    np.testing.assert_allclose(found.to_cells(layer, 1, 0, third), [0, 0], atol=1e-12)
    np.testing.assert_allclose(
        found.layers[0].values[1, 0, 0], found.layers[0].values[0, 0, 0].flip(1)
    )


def test_sample__reads_between_cells_and_as_at_the_border_outside():
    maps = torch.tensor([[0.0, 1, 2], [10, 11, 12]])[None, None]
    cells = torch.tensor([[[0, 1], [0.5, 1.5], [-3, 0], [1, 9]]])
    assert sample(maps, cells).tolist() == [[[1, pytest.approx(6.5), 0, 12]]]
