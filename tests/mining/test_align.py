"""The choice of mirror images, and the sketches that it goes by."""

import dataclasses

import numpy as np
import pytest
import torch

import explgraph as eg
from explgraph.base.errors import ExplGraphError
from explgraph.peaks.mirror_sketch import SKETCH_SIZE, MirrorSketch
from explgraph.peaks.structures import GROUP, Peaks
from mining import align
from mining.align import facing_signs, mirror_signs
from tests.support import oracle
from tests.support.planted_peaks import layer_spec, mirror_image, peak_set
from tests.support.spooling import spool_by_hand


def agreeing(rng, n=12, size=40, noise=0.6):
    """Sketches of photos that face either way, and which way."""
    facing = rng.choice([-1, 1], n)
    direction = rng.normal(0, 1, size)
    sketch = facing[:, None] * direction + rng.normal(0, noise, (n, size))
    return sketch.astype(np.float32), facing


@pytest.mark.parametrize("seed", range(8))
def test_signs__are_the_best_of_all_choices(seed):
    sketch, facing = agreeing(np.random.default_rng(seed), noise=1.0)
    found = mirror_signs([sketch])
    assert np.array_equal(found, oracle.mirror_signs(sketch))
    assert np.array_equal(found, facing * facing[0])


@pytest.mark.parametrize("seed", range(8))
def test_signs__of_noise_cannot_be_improved_by_turning_one_photo(seed):
    sketch = np.random.default_rng(seed).normal(0, 1, (15, 10)).astype(np.float32)
    signs = mirror_signs([sketch]).astype(float)
    assert set(signs) <= {-1, 1}
    gram = sketch.astype(float) @ sketch.T.astype(float)
    value = signs @ gram @ signs
    for i in range(15):
        turned = signs.copy()
        turned[i] *= -1
        assert turned @ gram @ turned <= value + 1e-6


def test_signs__turn_with_the_photos(rng):
    sketch, _ = agreeing(rng)
    signs = mirror_signs([sketch])
    turn = np.array([1, -1, -1, 1, 1, -1, 1, -1, 1, 1, -1, -1])
    turned = mirror_signs([sketch * turn[:, None].astype(np.float32)])
    assert np.array_equal(turned, signs * turn)


def test_signs__the_first_photo_that_is_not_symmetric_stays_as_given(rng):
    sketch, facing = agreeing(rng)
    sketch[0] = 0
    signs = mirror_signs([-sketch])
    assert signs[1] == 1
    assert np.array_equal(signs[1:], (facing * facing[1])[1:])


@pytest.mark.parametrize("n", [0, 1, 2])
def test_signs__of_few_photos(n):
    assert mirror_signs([np.ones((n, 5), dtype=np.float32)]).tolist() == [1] * n


def test_signs__of_symmetric_photos_mirror_none():
    assert mirror_signs([np.zeros((4, 5), dtype=np.float32)]).tolist() == [1, 1, 1, 1]


@pytest.mark.parametrize("bad", [np.zeros(4), np.zeros((4, 6))])
def test_signs__sketches_must_be_matrices_of_one_width(bad):
    with pytest.raises(ExplGraphError, match=r"sketch must have shape \(any, 5\)"):
        mirror_signs([np.zeros((4, 5), dtype=np.float32), bad.astype(np.float32)])


def test_signs__the_first_sketch_must_be_a_matrix():
    with pytest.raises(ExplGraphError, match="sketch must have shape"):
        mirror_signs([np.zeros(4, dtype=np.float32)])


def test_signs__of_no_groups():
    assert mirror_signs([]).tolist() == []


@pytest.mark.parametrize("cuts", [[6], [1, 2, 11], [4, 4]])
def test_signs__do_not_depend_on_the_groups(rng, cuts):
    sketch, _ = agreeing(rng)
    assert np.array_equal(mirror_signs(np.split(sketch, cuts)), mirror_signs([sketch]))


# -- more photos than are compared with each other -------------------------------------------------


@pytest.fixture
def compared(monkeypatch):
    """Seven of 20 photos, at even distances, are compared with each other."""
    monkeypatch.setattr(align, "MOST_PHOTOS", 7)
    return np.array([0, 3, 6, 9, 12, 15, 19])


@pytest.mark.parametrize("seed", range(4))
def test_sample__agrees_as_if_alone_and_the_others_follow(compared, seed):
    sketch, _ = agreeing(np.random.default_rng(seed), n=20, noise=2.0)
    signs = mirror_signs(np.split(sketch, [5, 5, 14]))
    expected = oracle.mirror_signs(sketch[compared])
    assert np.array_equal(signs[compared], expected)
    common = expected @ sketch[compared].astype(float)
    others = np.setdiff1d(np.arange(20), compared)
    assert np.array_equal(signs[others], np.sign(sketch[others] @ common))


def test_sample__finds_which_way_all_photos_face(compared, rng):
    sketch, facing = agreeing(rng, n=20)
    assert np.array_equal(mirror_signs([sketch]), facing * facing[0])


def test_sample__the_first_photo_that_is_not_symmetric_stays_as_given(compared, rng):
    sketch, facing = agreeing(rng, n=20)
    sketch[[0, 3]] = 0  # two of those that are compared
    signs = mirror_signs([sketch])
    assert signs[1] == 1
    moved = np.setdiff1d(np.arange(20), [0, 3])
    assert np.array_equal(signs[moved], (facing * facing[1])[moved])


# -- which side is left ----------------------------------------------------------------------------

SIDE = 128
HEAD, TAIL = (30, 20), (90, 100)  # (y, x): the head is above, and left


def animals(faces_left, head=HEAD, tail=TAIL, weights=(1.0, 1.0)):
    """Photos of one filter in two layers that fires at a head and at a tail: ``faces_left (N,)``.

    The lower layer says the contrary: only the top layer decides.
    """
    n, sides = len(faces_left), np.where(faces_left, 1, -1)
    yx = np.tile(np.array([head, tail], dtype=float), (n, 1, 1, 1))
    top = Peaks(layer_spec(1, 16, 1), yx, np.tile(weights, (n, 1, 1)))
    lower = mirror_image(Peaks(layer_spec(0, 8, 1), top.yx, top.weight))
    as_left = peak_set((lower, top))
    flip = ~np.asarray(faces_left)
    pairs = list(zip(as_left.peaks, as_left.mirrored, strict=True))
    return dataclasses.replace(
        as_left,
        peaks=tuple(chosen(flip, other, given) for given, other in pairs),
        mirrored=tuple(chosen(flip, given, other) for given, other in pairs),
        sketch=as_left.sketch * sides[:, None].astype(np.float32),
    )


def chosen(condition, first, second):
    rows = condition[:, None, None]
    yx = np.where(rows[..., None], first.yx, second.yx)
    return Peaks(first.layer, yx, np.where(rows, first.weight, second.weight))


LEFT = np.array([True, False, False, True, True, False, False])


@pytest.mark.parametrize("faces_left", [LEFT, ~LEFT, LEFT | True, LEFT & False])
def test_facing__what_is_above_lies_left(faces_left):
    found = facing_signs(animals(faces_left))
    assert np.array_equal(found, np.where(faces_left, 1, -1))
    assert found.dtype == np.int8


def test_facing__does_not_depend_on_the_order_of_photos(rng):
    peaks = animals(LEFT)
    for _ in range(5):
        order = rng.permutation(len(LEFT))
        assert np.array_equal(facing_signs(peaks.take(order)), facing_signs(peaks)[order])


def test_facing__parts_of_the_photos_agree():
    """The first photos of both parts face opposite ways."""
    peaks, whole = animals(LEFT), facing_signs(animals(LEFT))
    for part in (slice(0, 3), slice(1, 3), slice(3, 7), slice(5, 7)):
        rows = np.arange(len(LEFT))[part]
        assert np.array_equal(facing_signs(peaks.take(rows)), whole[rows])


def test_facing__strong_responses_count_more_and_low_ones_in_the_photo_not_at_all():
    """Above: a strong peak 24 px left of the middle, a weak one 44 px right: 24 > .5^2 * 44."""
    weights = (1.0, 0.5)
    strong_left = animals(LEFT, head=(30, 40), tail=(40, 108), weights=weights)
    assert np.array_equal(facing_signs(strong_left), np.where(LEFT, 1, -1))
    below = animals(LEFT, head=(64, 0), tail=(63, 65), weights=weights)
    assert np.array_equal(facing_signs(below), np.where(LEFT, -1, 1))


def test_facing__every_photo_has_one_vote():
    """One photo ten times as strong as the others faces the other way after alignment."""
    peaks = animals(np.ones(7, dtype=bool))
    loud = np.ones(7)
    loud[0] = 10
    odd = np.arange(7) == 0
    both = [
        (chosen(odd, other, given), chosen(odd, given, other))
        for given, other in zip(peaks.peaks, peaks.mirrored, strict=True)
    ]
    given, other = (
        tuple(Peaks(p.layer, p.yx, p.weight * loud[:, None, None]) for p in kind)
        for kind in zip(*both, strict=True)
    )
    assert facing_signs(dataclasses.replace(peaks, peaks=given, mirrored=other)).tolist() == [1] * 7


def test_facing__without_mirror_images_is_as_given():
    peaks = animals(LEFT)
    for missing in ({"mirrored": None}, {"sketch": None}):
        assert facing_signs(dataclasses.replace(peaks, **missing)).tolist() == [1] * 7


def test_facing__more_photos_than_one_group(rng):
    faces_left = rng.random(GROUP + 44) < 0.5
    found = facing_signs(animals(faces_left))
    assert np.array_equal(found, np.where(faces_left, 1, -1))


def test_facing__of_no_photos():
    assert facing_signs(animals(LEFT).take(np.zeros(0, dtype=int))).tolist() == []


def test_facing__from_a_spool_is_as_from_memory(tmp_path):
    peaks = animals(LEFT)
    spooled = spool_by_hand(peaks, tmp_path / "spool", [3, 4])
    assert np.array_equal(facing_signs(spooled), facing_signs(peaks))
    alone = dataclasses.replace(peaks, mirrored=None, sketch=None)
    assert facing_signs(spool_by_hand(alone, tmp_path / "alone", [7])).tolist() == [1] * 7


def test_facing__photos_without_peaks_stay_as_given():
    peaks = animals(LEFT | True)
    silent = tuple(Peaks(p.layer, 0 * p.yx, 0 * p.weight) for p in peaks.peaks)
    blank = dataclasses.replace(peaks, peaks=silent, mirrored=silent)
    assert facing_signs(blank).tolist() == [1] * 7


@pytest.mark.shared
@pytest.mark.slow
@pytest.mark.parametrize("category", ["bird", "cat", "zebra"])
def test_facing__halves_of_real_photos_agree(shared, category):
    """Signs of two disjoint halves are those of all photos, but for a few photos."""
    net = eg.load_backbone(
        "squeezenet1_0", weights=str(shared / "models" / "squeezenet1_0.safetensors"), device="cpu"
    )
    photos = sorted((shared / "animalpart" / category).glob("*.jpg"))[:60]
    peaks = eg.extract(net, photos, layers=["features.12"])  # the top layer alone decides
    whole = facing_signs(peaks)
    for half in (0, 1):
        rows = np.arange(half, len(peaks), 2)
        assert np.mean(facing_signs(peaks.take(rows)) == whole[rows]) > 0.8


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
