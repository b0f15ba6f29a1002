"""The choice of mirror images, and what it goes by."""

import dataclasses

import numpy as np
import pytest

import explgraph as eg
from explgraph.base.errors import ExplGraphError
from explgraph.peaks.structures import GROUP, Peaks
from mining import align
from mining.align import agreed_facing, facing, facing_votes, mirror_moments
from tests.support.planted_peaks import (
    chosen,
    layer_spec,
    mirror_image,
    peak_set,
    random_peaks,
)
from tests.support.spooling import spool_by_hand


def signs(peaks):
    return facing(peaks).signs


def agreeing(rng, n=12, size=40, noise=0.6):
    """Moments of photos that face either way, and which way."""
    way = rng.choice([-1, 1], n)
    direction = rng.normal(0, 1, size)
    moments = way[:, None] * direction + rng.normal(0, noise, (n, size))
    return moments.astype(np.float32), way


# -- photos agree ----------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(8))
def test_agreed__finds_the_planted_ways(seed):
    moments, way = agreeing(np.random.default_rng(seed), noise=1.0)
    assert np.array_equal(agreed_facing(moments).signs, way * way[0])


@pytest.mark.parametrize("seed", range(4))
def test_agreed__a_vote_is_what_a_ridge_regression_on_the_others_says(seed):
    """Against the regression, fitted anew without each photo, on signs that need not be right."""
    moments, _ = agreeing(np.random.default_rng(seed), n=15, size=10, noise=3.0)
    found, m = agreed_facing(moments), moments.astype(float)
    penalty = align._RIDGE * np.mean((m**2).sum(axis=1))
    for i in range(15):
        others = np.delete(m, i, axis=0)
        normal = others.T @ others + penalty * np.eye(10)
        weight = np.linalg.solve(normal, others.T @ np.delete(found.signs, i))
        assert found.votes[i] == pytest.approx(m[i] @ weight, rel=1e-4, abs=1e-6)
        assert found.votes[i] * found.signs[i] >= 0  # all agree with what the others say
    whole = np.linalg.solve(m.T @ m + penalty * np.eye(10), m.T @ found.signs)
    np.testing.assert_allclose(found.weight, whole, rtol=1e-4, atol=1e-6)


def test_agreed__few_odd_photos_do_not_turn_the_others(rng):
    """One direction is shared by most, a stronger one by few: it is flattened."""
    way = rng.choice([-1, 1], 40)
    moments = way[:, None] * np.eye(6)[0] + rng.normal(0, 0.3, (40, 6))
    moments[:4, 1] += 6 * way[:4] * [1, -1, 1, -1]
    found = agreed_facing(moments.astype(np.float32)).signs
    assert abs(np.sum(found[4:] * way[4:])) == 36


def test_agreed__turns_with_the_photos(rng):
    moments, _ = agreeing(rng)
    found = agreed_facing(moments)
    turn = np.array([1, -1, -1, 1, 1, -1, 1, -1, 1, 1, -1, -1])
    turned = agreed_facing(moments * turn[:, None].astype(np.float32))
    np.testing.assert_allclose(turned.votes, found.votes * turn, rtol=1e-5)


def test_agreed__a_photo_that_says_nothing_is_not_asked(rng):
    moments, way = agreeing(rng)
    moments[0] = 0
    found = agreed_facing(-moments)
    assert found.votes[0] == 0
    assert found.signs[:2].tolist() == [1, 1]
    assert np.array_equal(found.signs[1:], (way * way[1])[1:])


def test_agreed__sure_photos_have_votes_near_one(rng):
    moments, _ = agreeing(rng, n=60, noise=0.3)
    unsure = rng.normal(0, 0.3, (20, 40)).astype(np.float32)
    votes = np.abs(agreed_facing(np.concatenate([moments, unsure])).votes)
    assert np.all(np.abs(votes[:60] - 1) < 0.25)
    assert np.all(votes[60:] < 0.5)


@pytest.mark.parametrize("n", [0, 1, 2])
def test_agreed__of_few_photos(n):
    assert agreed_facing(np.ones((n, 5), dtype=np.float32)).signs.tolist() == [1] * n


def test_agreed__symmetric_photos_are_as_given():
    found = agreed_facing(np.zeros((4, 5), dtype=np.float32))
    assert found.signs.tolist() == [1, 1, 1, 1]
    assert not found.votes.any()


def test_agreed__moments_must_be_a_matrix():
    with pytest.raises(ExplGraphError, match="moments must have shape"):
        agreed_facing(np.zeros(4, dtype=np.float32))


# -- the moments -----------------------------------------------------------------------------------


def both_ways(rng, n=4):
    layers = tuple(
        dataclasses.replace(random_peaks(rng, n), layer=layer_spec(i, 16, 3)) for i in range(3)
    )
    return peak_set(layers)


def naive_moments(view, side):
    """Per filter of one photo: r, r x, and the response by two rows and four columns."""
    channels = view.weight.shape[1]
    r, rx, place = np.zeros(channels), np.zeros(channels), np.zeros((channels, 8))
    for c in range(channels):
        square = view.weight[0, c].astype(float) ** 2
        r[c] = np.sqrt(square.sum())
        for energy, (y, x) in zip(square, view.yx[0, c] / side, strict=True):
            if energy == 0:
                continue
            rx[c] += energy * (x - 0.5) / r[c]
            for b in range(8):
                near = [
                    max(0, 1 - abs(min(max(n * v - 0.5, 0), n - 1) - part))
                    for v, n, part in ((y, 2, b // 4), (x, 4, b % 4))
                ]
                place[c, b] += energy * near[0] * near[1] / r[c]
    return r, rx, place.ravel()


def test_moments__are_what_the_docstring_says(rng):
    """One photo, by loops; the lowest of three layers says nothing."""
    peaks, blocks = both_ways(rng, 1), []
    for layer in (1, 2):
        ways = [
            naive_moments(view[layer], peaks.input_size[1])
            for view in (peaks.peaks, peaks.mirrored)
        ]
        _, d, place = (a - b for a, b in zip(*ways, strict=True))
        shift = ways[0][0] + ways[1][0]
        rest = d - shift * np.linalg.lstsq(shift[:, None], d, rcond=None)[0]
        blocks += [rest / np.linalg.norm(rest), place / np.linalg.norm(place)]
    np.testing.assert_allclose(mirror_moments(peaks)[0], np.concatenate(blocks), atol=1e-6)


def test_moments__change_sign_with_the_photo(rng):
    peaks = both_ways(rng)
    turned = dataclasses.replace(peaks, peaks=peaks.mirrored, mirrored=peaks.peaks)
    assert mirror_moments(peaks).any()
    np.testing.assert_array_equal(mirror_moments(turned), -mirror_moments(peaks))


def test_moments__some_of_them_do_not_know_where_the_object_is(rng):
    peaks = both_ways(rng)
    away = np.array([0.0, 9.0], dtype=np.float32)
    moved = dataclasses.replace(
        peaks,
        peaks=tuple(Peaks(p.layer, p.yx + away, p.weight) for p in peaks.peaks),
        mirrored=tuple(Peaks(p.layer, p.yx - away, p.weight) for p in peaks.mirrored),
    )
    before, after = mirror_moments(peaks), mirror_moments(moved)
    same = np.isclose(before, after, atol=1e-5).all(axis=0)
    object_rows = np.arange(54) % 27 < 3
    assert same[object_rows].all()
    assert not same[~object_rows].all()


def test_moments__of_a_photo_do_not_depend_on_the_others(rng):
    peaks = both_ways(rng, 9)
    weight = rng.normal(0, 1, 54).astype(np.float32)
    votes = facing_votes(weight, peaks)
    for i in (0, 4, 8):
        alone = peaks.take(np.array([i]))
        assert np.array_equal(mirror_moments(alone)[0], mirror_moments(peaks)[i])
        assert facing_votes(weight, alone)[0] == votes[i]


# -- which side is left ----------------------------------------------------------------------------

SIDE = 128
HEAD, TAIL = (30, 20), (90, 100)  # (y, x): the head is above, and left


def animals(faces_left, head=HEAD, tail=TAIL, weights=(1.0, 1.0)):
    """Photos of one filter in two layers that fires at a head and at a tail: ``faces_left (N,)``.

    The lower layer says the contrary: only the top layer decides.
    """
    n = len(faces_left)
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
    )


LEFT = np.array([True, False, False, True, True, False, False])


@pytest.mark.parametrize("faces_left", [LEFT, ~LEFT, LEFT | True, LEFT & False])
def test_facing__what_is_above_lies_left(faces_left):
    found = signs(animals(faces_left))
    assert np.array_equal(found, np.where(faces_left, 1, -1))
    assert found.dtype == np.int8


def test_facing__does_not_depend_on_the_order_of_photos(rng):
    peaks = animals(LEFT)
    for _ in range(5):
        order = rng.permutation(len(LEFT))
        assert np.array_equal(signs(peaks.take(order)), signs(peaks)[order])


def test_facing__parts_of_the_photos_agree():
    """The first photos of both parts face opposite ways."""
    peaks, whole = animals(LEFT), signs(animals(LEFT))
    for part in (slice(0, 3), slice(1, 3), slice(3, 7), slice(5, 7)):
        rows = np.arange(len(LEFT))[part]
        assert np.array_equal(signs(peaks.take(rows)), whole[rows])


def test_facing__strong_responses_count_more_and_low_ones_in_the_photo_not_at_all():
    """Above: a strong peak 24 px left of the middle, a weak one 44 px right: 24 > .5^2 * 44."""
    weights = (1.0, 0.5)
    strong_left = animals(LEFT, head=(30, 40), tail=(40, 108), weights=weights)
    assert np.array_equal(signs(strong_left), np.where(LEFT, 1, -1))
    below = animals(LEFT, head=(64, 0), tail=(63, 65), weights=weights)
    assert np.array_equal(signs(below), np.where(LEFT, -1, 1))


def test_facing__every_photo_has_one_vote():
    """One photo ten times as strong as the others leans no further."""
    top = animals(LEFT).peaks[-1]
    loud = Peaks(top.layer, top.yx, 10 * top.weight)
    lean = align._upper_lean(top, (SIDE, SIDE))
    assert np.sign(lean).tolist() == np.where(LEFT, -1, 1).tolist()
    np.testing.assert_allclose(align._upper_lean(loud, (SIDE, SIDE)), lean, rtol=1e-12)


def test_facing__without_mirror_images_is_as_given():
    peaks = animals(LEFT)
    found = facing(dataclasses.replace(peaks, mirrored=None))
    assert found.signs.tolist() == [1] * 7
    assert not found.votes.any()
    assert found.weight.shape == (0,)


def test_facing__more_photos_than_one_group(rng):
    faces_left = rng.random(GROUP + 44) < 0.5
    found = signs(animals(faces_left))
    assert np.array_equal(found, np.where(faces_left, 1, -1))


def test_facing__of_no_photos():
    assert signs(animals(LEFT).take(np.zeros(0, dtype=int))).tolist() == []


def test_facing__from_a_spool_is_as_from_memory(tmp_path):
    peaks = animals(LEFT)
    spooled = spool_by_hand(peaks, tmp_path / "spool", [3, 4])
    assert np.array_equal(signs(spooled), signs(peaks))
    alone = dataclasses.replace(peaks, mirrored=None)
    assert signs(spool_by_hand(alone, tmp_path / "alone", [7])).tolist() == [1] * 7


def test_facing__photos_without_peaks_stay_as_given():
    peaks = animals(LEFT | True)
    silent = tuple(Peaks(p.layer, 0 * p.yx, 0 * p.weight) for p in peaks.peaks)
    blank = dataclasses.replace(peaks, peaks=silent, mirrored=silent)
    assert signs(blank).tolist() == [1] * 7


@pytest.mark.shared
@pytest.mark.slow
@pytest.mark.parametrize("category", ["bird", "cat", "zebra"])
def test_facing__halves_of_real_photos_agree(shared, category):
    """Signs of two disjoint halves are those of all photos, but for a few photos."""
    net = eg.load_backbone(
        "squeezenet1_0", weights=str(shared / "models" / "squeezenet1_0.safetensors"), device="cpu"
    )
    photos = sorted((shared / "animalpart" / category).glob("*.jpg"))[:60]
    peaks = eg.extract(net, photos, layers=["features.11", "features.12"])
    whole = signs(peaks)
    for half in (0, 1):
        rows = np.arange(half, len(peaks), 2)
        assert np.mean(signs(peaks.take(rows)) == whole[rows]) > 0.8


# -- more photos than are compared with each other -------------------------------------------------


def test_sample__the_others_are_asked_what_the_compared_ones_agree_on(monkeypatch):
    faces_left = np.random.default_rng(0).random(20) < 0.5
    peaks = animals(faces_left)
    compared = np.array([0, 3, 6, 9, 12, 15, 19])
    alone = facing(peaks.take(compared))
    monkeypatch.setattr(align, "MOST_PHOTOS", 7)
    found = facing(peaks)
    assert np.array_equal(found.signs, np.where(faces_left, 1, -1))
    assert np.array_equal(found.weight, alone.weight)
    assert np.array_equal(found.votes[compared], alone.votes)
    others = np.setdiff1d(np.arange(20), compared)
    expected = facing_votes(alone.weight, peaks.take(others))
    assert np.array_equal(found.votes[others], expected)
