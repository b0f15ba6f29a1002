"""The choice of mirror images, and the sketches that it goes by."""

import numpy as np
import pytest
import torch

from explgraph.errors import ExplGraphError
from explgraph.sketch import SKETCH_SIZE, MirrorSketch
from mining.align import mirror_signs
from tests import oracle


def agreeing(rng, n=12, size=40, noise=0.6):
    """Sketches of photos that face either way, and which way."""
    facing = rng.choice([-1, 1], n)
    direction = rng.normal(0, 1, size)
    sketch = facing[:, None] * direction + rng.normal(0, noise, (n, size))
    return sketch.astype(np.float32), facing


@pytest.mark.parametrize("seed", range(8))
def test_signs__are_the_best_of_all_choices(seed):
    sketch, facing = agreeing(np.random.default_rng(seed), noise=1.0)
    found = mirror_signs(sketch)
    assert np.array_equal(found, oracle.mirror_signs(sketch))
    assert np.array_equal(found, facing * facing[0])


@pytest.mark.parametrize("seed", range(8))
def test_signs__of_noise_cannot_be_improved_by_turning_one_photo(seed):
    sketch = np.random.default_rng(seed).normal(0, 1, (15, 10)).astype(np.float32)
    signs = mirror_signs(sketch).astype(float)
    assert set(signs) <= {-1, 1}
    gram = sketch.astype(float) @ sketch.T.astype(float)
    value = signs @ gram @ signs
    for i in range(15):
        turned = signs.copy()
        turned[i] *= -1
        assert turned @ gram @ turned <= value + 1e-6


def test_signs__turn_with_the_photos(rng):
    sketch, _ = agreeing(rng)
    signs = mirror_signs(sketch)
    turn = np.array([1, -1, -1, 1, 1, -1, 1, -1, 1, 1, -1, -1])
    assert np.array_equal(mirror_signs(sketch * turn[:, None].astype(np.float32)), signs * turn)


def test_signs__the_first_photo_that_is_not_symmetric_stays_as_given(rng):
    sketch, facing = agreeing(rng)
    sketch[0] = 0
    signs = mirror_signs(-sketch)
    assert signs[1] == 1
    assert np.array_equal(signs[1:], (facing * facing[1])[1:])


@pytest.mark.parametrize("n", [0, 1, 2])
def test_signs__of_few_photos(n):
    assert mirror_signs(np.ones((n, 5), dtype=np.float32)).tolist() == [1] * n


def test_signs__of_symmetric_photos_mirror_none():
    assert mirror_signs(np.zeros((4, 5), dtype=np.float32)).tolist() == [1, 1, 1, 1]


def test_signs__sketch_must_be_a_matrix():
    with pytest.raises(ExplGraphError, match="sketch must have shape"):
        mirror_signs(np.zeros(4, dtype=np.float32))


# -- the sketch ------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def maps():
    generator = torch.Generator().manual_seed(0)
    return torch.rand((6, 20, 8, 9), generator=generator) ** 3


def test_sketch__changes_sign_with_the_photo(maps):
    sketch = MirrorSketch(20, (8, 9))
    given, other = sketch(maps, maps.flip(3)), sketch(maps.flip(3), maps)
    assert given.shape == (6, SKETCH_SIZE)
    torch.testing.assert_close(given, -other)
    assert given.abs().max() > 0


def test_sketch__of_a_symmetric_photo_is_zero(maps):
    even = maps + maps.flip(3)
    assert MirrorSketch(20, (8, 9))(even, even.flip(3)).abs().max() < 1e-5


def test_sketch__does_not_depend_on_the_other_photos_or_the_process(maps):
    sketch, again = MirrorSketch(20, (8, 9)), MirrorSketch(20, (8, 9))
    one = again(maps[2:3], maps[2:3].flip(3))
    torch.testing.assert_close(sketch(maps, maps.flip(3))[2:3], one, rtol=1e-5, atol=1e-6)


def test_sketch__keeps_inner_products(maps):
    """Against differences smoothed and scaled by hand, without the projection."""
    dense = np.stack([scaled_difference(m.numpy().astype(float)) for m in maps])
    sketch = MirrorSketch(20, (8, 9))(maps, maps.flip(3)).numpy()
    np.testing.assert_allclose(sketch @ sketch.T, dense @ dense.T, atol=0.06)


def scaled_difference(photo):
    """Flat difference (C * H * W) of a photo's smoothed squares and its mirror image's."""
    _, height, width = photo.shape
    y, x = np.mgrid[:height, :width]
    rows = np.exp(-((y[:, :1] - y[:, :1].T) ** 2) / (2 * (0.075 * height) ** 2))
    columns = np.exp(-((x[:1] - x[:1].T) ** 2) / (2 * (0.075 * width) ** 2))
    for kernel, side in ((rows, height), (columns, width)):
        reach = int(np.ceil(3 * 0.075 * side))
        whole = np.exp(-(np.arange(-reach, reach + 1) ** 2) / (2 * (0.075 * side) ** 2)).sum()
        far = np.abs(np.subtract.outer(np.arange(side), np.arange(side))) > reach
        kernel[far] = 0
        kernel /= whole
    smooth = np.einsum("ab,cbd,de->cae", rows, photo**2, columns)
    other = np.einsum("ab,cbd,de->cae", rows, photo[..., ::-1] ** 2, columns)
    length = np.sqrt((smooth**2 + other**2).sum(axis=(1, 2)))
    even = (smooth - other) / np.sqrt(length)[:, None, None]
    return even.ravel() / np.sqrt(length.sum())
