import json

import numpy as np
import pytest
from PIL import Image

from explgraph.base.errors import ExplGraphError
from explgraph.explanations.texture import changes as texture_images
from explgraph.explanations.texture.changes import (
    edges,
    grey,
    high_pass,
    low_pass,
    photo_changes,
    rough_mask,
    shuffled,
    silhouette,
    silhouettes,
)


def picture(pixels: np.ndarray) -> Image.Image:
    return Image.fromarray(np.asarray(pixels, dtype=np.uint8))


def stripes(period: int, size: tuple[int, int] = (96, 128)) -> np.ndarray:
    """Upright sine stripes between 28 and 228, as RGB (H, W, 3)."""
    x = np.arange(size[1]) + 0.5
    row = 128 + 100 * np.sin(2 * np.pi * x / period)
    return np.repeat(np.tile(row, (size[0], 1))[..., None], 3, axis=2)


def test_grey__is_the_luma_of_each_colour():
    shown = np.asarray(grey(picture([[(255, 0, 0), (0, 255, 0), (0, 0, 255)]])))
    assert shown[0].tolist() == [[76] * 3, [150] * 3, [29] * 3]  # 255 times .299, .587, .114


def test_silhouette__is_black_on_white_in_the_photos_size():
    mask = np.zeros((3, 4), dtype=bool)
    mask[1, 2:] = True
    shown = np.asarray(silhouette(picture(np.full((30, 80, 3), 90)), mask))
    assert shown.shape == (30, 80, 3)
    assert (shown[10:20, 40:] == 0).all()
    assert (shown == 0).all(axis=2).sum() == 10 * 40
    assert set(np.unique(shown)) == {0, 255}


def test_silhouette__of_nothing_is_refused():
    with pytest.raises(ExplGraphError, match="no object"):
        silhouette(picture(np.zeros((9, 9, 3))), np.zeros((3, 3), dtype=bool))


def test_edges__are_dark_lines_where_the_brightness_jumps():
    photo = np.full((120, 200, 3), 230)
    photo[40:80, 60:140] = 20
    dark = np.asarray(edges(picture(photo)))[..., 0] == 0
    y, x = np.nonzero(dark)
    off = np.minimum(
        np.abs(np.stack([y - 39.5, y - 79.5])).min(0), np.abs([x - 59.5, x - 139.5]).min(0)
    )
    assert off.max() <= 3
    assert 200 < dark.sum() < 1000  # 240 pixels round, and no area
    for side in (dark[38:42, 100], dark[78:82, 100], dark[60, 58:62], dark[60, 138:142]):
        assert side.any()


def test_edges__of_a_plain_photo_are_none():
    assert (np.asarray(edges(picture(np.full((50, 40, 3), 77)))) == 255).all()


def patches(pixels: np.ndarray, grid: int) -> list[bytes]:
    height, width = (side // grid for side in pixels.shape[:2])
    return [
        pixels[i * height : (i + 1) * height, j * width : (j + 1) * width].tobytes()
        for i in range(grid)
        for j in range(grid)
    ]


@pytest.mark.parametrize(("size", "grid"), [((40, 60), 4), ((41, 63), 4), ((9, 9), 3)])
def test_shuffled__has_the_same_patches_in_another_order(rng, size, grid):
    photo = rng.integers(0, 256, (*size, 3), dtype=np.uint8)
    mixed = np.asarray(shuffled(picture(photo), grid=grid))
    before, after = patches(photo, grid), patches(mixed, grid)
    assert sorted(before) == sorted(after)
    assert before != after


def test_shuffled__hangs_on_the_seed_alone_and_is_never_the_given_order(rng):
    photo = picture(rng.integers(0, 256, (8, 8, 3)))
    orders = [np.asarray(shuffled(photo, grid=2, seed=seed)).tobytes() for seed in range(60)]
    assert np.asarray(photo).tobytes() not in orders  # by chance it would be 1 in 24
    assert len(set(orders)) > 10
    assert orders[7] == np.asarray(shuffled(photo, grid=2, seed=7)).tobytes()


@pytest.mark.parametrize("grid", [1, 9])
def test_shuffled__refuses_a_grid_that_does_not_cut(grid):
    with pytest.raises(ExplGraphError, match="2 to 8"):
        shuffled(picture(np.zeros((8, 20, 3))), grid=grid)


def swing(image: Image.Image) -> float:
    return float(np.asarray(image, dtype=float)[40, 32:96, 0].std())


def test_passes__part_coarse_from_fine_by_the_gaussians_own_law():
    for period in (8, 16, 64):
        # A Gaussian of width s leaves exp(-(2 pi s / period)^2 / 2) of a sine; s = .02 * 128.
        left = np.exp(-((2 * np.pi * 2.56 / period) ** 2) / 2)
        whole = swing(picture(stripes(period)))
        assert swing(low_pass(picture(stripes(period)))) == pytest.approx(left * whole, abs=0.6)
        assert swing(high_pass(picture(stripes(period)))) == pytest.approx(
            (1 - left) * whole, abs=0.6
        )


@pytest.mark.parametrize("sigma", [0.02, 0.1])
def test_passes__add_up_to_the_photo(rng, sigma):
    photo = rng.integers(90, 160, (30, 50, 3)).astype(float)
    low, high = (
        np.asarray(f(picture(photo), sigma=sigma), dtype=float) for f in (low_pass, high_pass)
    )
    assert np.abs(low + high - photo.mean(axis=(0, 1)) - photo).max() <= 1.01  # two roundings


def test_passes__refuse_a_blur_of_nothing():
    with pytest.raises(ExplGraphError, match="sigma"):
        low_pass(picture(np.zeros((8, 8, 3))), sigma=0)


def disc(height: int = 180, width: int = 240) -> np.ndarray:
    y, x = np.mgrid[:height, :width] + 0.5
    return np.hypot(y - 0.5 * height, x - 0.4 * width) < 0.3 * height


def test_rough_mask__finds_a_disc_before_plain_ground(rng):
    truth = disc()
    photo = np.where(truth[..., None], (200, 60, 40), (60, 120, 90)) + rng.normal(
        0, 3, (180, 240, 3)
    )
    photo[5:12, 200:230] = 250  # a small piece that does not touch the border, either
    mask = rough_mask(picture(photo))
    assert mask.shape == (120, 160)
    small = np.asarray(Image.fromarray(truth).resize((160, 120)))
    assert (mask & small).sum() / (mask | small).sum() > 0.88


def test_rough_mask__of_a_plain_photo_is_empty():
    assert not rough_mask(picture(np.full((60, 90, 3), 128))).any()


def test_changes__shuffle_each_photo_in_an_order_of_its_own(rng):
    photo = picture(rng.integers(0, 256, (64, 64, 3)))
    shuffle = photo_changes(seed=3)["shuffled"].alter
    first, second = (np.asarray(shuffle(photo, name)) for name in ("a.jpg", "b.jpg"))
    assert (first != second).any()
    assert (first == np.asarray(photo_changes(seed=3)["shuffled"].alter(photo, "a.jpg"))).all()
    assert (first != np.asarray(photo_changes(seed=4)["shuffled"].alter(photo, "a.jpg"))).any()


def test_changes__tell_their_settings(rng):
    told = [change.to_json() for change in photo_changes().values()]
    assert json.loads(json.dumps(told)) == told
    by_name = {one["name"]: one for one in told}
    assert by_name["shuffled"]["grid"] == 4
    assert by_name["low-passed"]["sigma"] == 0.02
    photo = picture(rng.integers(0, 256, (40, 40, 3)))
    for name, function in (("grey", grey), ("edges", edges), ("high-passed", high_pass)):
        assert photo_changes()[name].alter(photo, "x").tobytes() == function(photo).tobytes()


def test_silhouettes__are_for_photos_with_a_mask():
    change = silhouettes({"a": disc()}, "given")
    assert change.allows("a")
    assert not change.allows("b")
    shown = np.asarray(change.alter(picture(np.zeros((180, 240, 3))), "a"))[..., 0]
    assert ((shown == 0) == disc()).all()


def test_has_skimage__is_asked_of_the_machine(monkeypatch):
    assert texture_images.has_skimage()
    monkeypatch.setattr(texture_images, "find_spec", lambda name: None)
    assert not texture_images.has_skimage()
