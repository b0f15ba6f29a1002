"""Explanations side by side: their colours mean what the scale says, and nothing is cut."""

import numpy as np
import pytest
from PIL import Image

from explgraph.base.errors import ExplGraphError
from explgraph.drawing.pictures import AGAINST, FOR, greys, heated, signed
from explgraph.explanations.attribution import Attribution
from explgraph.explanations.pictures.sheet import explanation_sheet

WHOLE = np.array([[0, 1 / 64], [0, 1 / 64]])
PHOTO = np.full((1, 64, 64, 3), 128, dtype=np.uint8)


def attribution(values, method="saliency", is_signed=False, image="000000"):
    settings = {"seed": 0, "batch_size": 16, "sigma": 1 / 3}
    return Attribution(values, method, "zebra (340)", is_signed, settings, image, WHOLE, (64, 64))


def sheet(tmp_path, *answers, **options):
    path = tmp_path / "s.png"
    explanation_sheet(answers, PHOTO, path, **options)
    with Image.open(path) as picture:
        return np.asarray(picture).astype(int)


def halves(left, right):
    return np.where(np.arange(64) < 32, left, right) * np.ones((64, 1))


def test_sheet__signed_maps_show_for_and_against(tmp_path):
    pixels = sheet(tmp_path, attribution(halves(-2.0, 2.0), "cam", is_signed=True))
    tile = pixels[28 + 64 + 58 :, 28 + 224 + 20 :]
    red, blue = tile[..., 0], tile[..., 2]
    orange, bluish = (red - blue > 100), (blue - red > 100)
    assert orange.sum() > 20_000
    assert bluish.sum() > 20_000
    assert np.argwhere(bluish)[:, 1].mean() + 80 < np.argwhere(orange)[:, 1].mean()


def test_sheet__magnitudes_are_bright_where_they_are_large(tmp_path):
    low = sheet(tmp_path, attribution(halves(0.0, 1.0)))
    swapped = sheet(tmp_path, attribution(halves(1.0, 0.0)))
    assert low.shape == swapped.shape
    yellow = (low[..., 0] - low[..., 2] > 100) & (low[..., 1] > 180)
    other = (swapped[..., 0] - swapped[..., 2] > 100) & (swapped[..., 1] > 180)
    assert np.argwhere(yellow)[:, 1].mean() > np.argwhere(other)[:, 1].mean() + 60


def test_sheet__grows_with_answers_and_reasons(tmp_path):
    one = attribution(halves(0.0, 1.0))
    small = sheet(tmp_path, one)
    assert sheet(tmp_path, *[one] * 4).shape[0] > small.shape[0] + 200
    told = sheet(tmp_path, one, refused={"cam": "it has no global pooling " * 20})
    assert told.shape[0] > small.shape[0] + 3 * 18
    assert told.shape[1] == small.shape[1]


def test_sheet__of_nothing_but_zeros_is_the_photo_in_grey(tmp_path):
    pixels = sheet(tmp_path, attribution(np.zeros((64, 64)), "cam", is_signed=True))
    tile = pixels[-240:-110, 28 + 224 + 40 : 28 + 224 + 200]
    assert np.ptp(tile.reshape(-1, 3), axis=1).max() <= 1


def test_sheet__names_what_is_wrong(tmp_path):
    one, path = attribution(halves(0.0, 1.0)), tmp_path / "s.png"
    with pytest.raises(ExplGraphError, match="no explanations to draw"):
        explanation_sheet([], PHOTO, path)
    with pytest.raises(ExplGraphError, match=r"one photo, got explanations of \['000000', 'b'\]"):
        explanation_sheet([one, attribution(np.ones((64, 64)), image="b")], PHOTO, path)
    with pytest.raises(ExplGraphError, match="one photo, got 2"):
        explanation_sheet([one], np.repeat(PHOTO, 2, axis=0), path)
    with pytest.raises(ExplGraphError, match="unknown picture format"):
        explanation_sheet([one], PHOTO, tmp_path / "s.svg")
    assert not list(tmp_path.iterdir())


def test_heat__ends_of_the_scales():
    grey = greys(Image.new("L", (2, 1), 128))
    ((left, right),) = np.asarray(signed(grey, np.array([[-1.0, 1.0]]))).astype(float)
    for found, color in ((left, AGAINST), (right, FOR)):
        np.testing.assert_allclose(found, 0.9 * np.array(color) + 0.1 * grey[0, 0], atol=0.51)
    values = np.array([[0.0, np.nan]])
    ((none, unseen),) = np.asarray(heated(grey, values, values)).astype(float)
    np.testing.assert_allclose(none, grey[0, 0], atol=0.51)
    assert unseen.min() > none.max() + 50
