"""What parents predict, and which nodes are chosen as parents."""

import numpy as np
import pytest

from explgraph.peaks.structures import GROUP
from mining.parents import Companions, choose_parents, flat_prior, plain_prior, predict, surest
from tests.support import oracle


def family(rng, counts=(1, 3, 2), n_upper=7, n_images=5):
    """Arguments of `predict`."""
    start = np.concatenate([[0], np.cumsum(counts)]).astype(np.int64)
    parent = np.concatenate([rng.choice(n_upper, c, replace=False) for c in counts])
    displacement = rng.normal(0, 15, (n_upper, 2, n_images)).astype(np.float32)
    return start, parent.astype(np.int32), displacement, rng.uniform(100, 700)


def two_parents(displacement):
    """Arguments of `predict`: one node whose two parents are displaced by (2, N, 2)."""
    moved = np.array(displacement, dtype=np.float32).transpose(0, 2, 1)
    return np.array([0, 2]), np.array([0, 1], dtype=np.int32), np.ascontiguousarray(moved)


@pytest.mark.parametrize("seed", range(4))
def test_predict__equals_the_loops(seed):
    arguments = family(np.random.default_rng(seed))
    prior = predict(*arguments)
    for found, expected in zip(prior, oracle.predict(*arguments), strict=True):
        np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-5)
        assert found.dtype == np.float32


def test_predict__from_one_parent_is_its_displacement(rng):
    start, parent, displacement, variance = family(rng, counts=(1,))
    prior = predict(start, parent, displacement, variance)
    np.testing.assert_array_equal(prior.shift[0], displacement[parent[0]])
    np.testing.assert_allclose(prior.half_precision, 0.5 / variance, rtol=1e-6)
    np.testing.assert_allclose(prior.kappa[0], 1, rtol=1e-6)


def test_predict__all_parents_count_alike():
    prior = predict(*two_parents([[[0, 0]], [[10, -20]]]), 150.0)
    np.testing.assert_allclose(prior.shift[0, :, 0], [5, -10])
    np.testing.assert_allclose(prior.half_precision, 1 / 300)  # that of each of them


def test_predict__kappa_falls_as_parents_disagree():
    """Half of 10 px away each: exp(-25 / 200); half of 20: exp(-100 / 200)."""
    apart = two_parents([[[0, 0]] * 3, [[0, 0], [10, 0], [0, 20]]])
    kappa = predict(*apart, 100.0).kappa[0]
    np.testing.assert_allclose(kappa, np.exp([0, -0.125, -0.5]), rtol=1e-6)


def test_predict__parents_that_agree_far_away_agree():
    """The disagreement is no difference of large numbers, or nearly none."""
    kappa = predict(*two_parents([[[150, -180]], [[150, -180]]]), 100.0).kappa[0]
    np.testing.assert_allclose(kappa, 1, atol=1e-4)
    assert kappa <= 1


def test_predict__a_node_without_parents_is_where_it_is_in_the_mean(rng):
    start, parent, displacement, variance = family(rng, counts=(2, 0, 3))
    prior = predict(start, parent, displacement, variance)
    with_parents = oracle.predict(np.array([0, 2, 5]), parent, displacement, variance)
    for found, expected in zip(prior, with_parents, strict=True):
        np.testing.assert_allclose(found[[0, 2]], expected, rtol=1e-5, atol=1e-5)
    assert not prior.shift[1].any()
    assert np.all(prior.kappa[1] == 1)


def test_predict__many_photos(rng):
    arguments = family(rng, n_images=GROUP + 44)
    for found, expected in zip(predict(*arguments), oracle.predict(*arguments), strict=True):
        np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-5)


def test_flat_prior__says_nothing():
    prior = flat_prior(3, 4, 25.0)
    assert prior.shift.shape == (3, 2, 4)
    assert not prior.shift.any()
    assert prior.half_precision.tolist() == [np.float32(0.02)] * 3
    assert np.all(prior.kappa == 1)


def test_plain_prior__is_the_shift_with_one_variance(rng):
    shift = rng.normal(0, 5, (3, 2, 4)).astype(np.float32)
    prior = plain_prior(shift, 25.0)
    assert np.array_equal(prior.shift, shift)
    assert prior.half_precision.tolist() == [np.float32(0.02)] * 3
    assert np.array_equal(prior.kappa, np.ones((3, 4)))


# -- the choice ------------------------------------------------------------------------------------


def moving(rng, n_nodes, n_images=12, size=10.0):
    displacement = rng.normal(0, size, (n_nodes, 2, n_images)).astype(np.float32)
    score = rng.gamma(1.0, 1.0, (n_nodes, n_images)) * (rng.random((n_nodes, n_images)) > 0.2)
    return displacement, score.astype(np.float32)


def choose(displacement, score, upper_displacement, upper_score, n_parents):
    upper = Companions.of(upper_displacement, upper_score)
    return choose_parents(displacement, score, upper, n_parents)


@pytest.mark.parametrize("n_parents", [1, 5, 20])
def test_choice__is_the_least_disagreement(rng, n_parents):
    own, upper = moving(rng, 60), moving(rng, 20)
    chosen = choose(*own, *upper, n_parents)
    cost = oracle.disagreement(*own, *upper)
    expected = np.sort(np.argsort(cost, axis=1)[:, :n_parents], axis=1)
    assert chosen.dtype == np.int32
    assert np.array_equal(chosen, expected)


def test_choice__takes_all_where_there_are_fewer(rng):
    chosen = choose(*moving(rng, 4), *moving(rng, 3), 15)
    assert np.array_equal(chosen, np.tile([0, 1, 2], (4, 1)))


def test_choice__ties_what_moves_together(rng):
    pose = rng.normal(0, 12, (3, 2, 20))
    limb, upper_limb = rng.integers(0, 3, 30), np.repeat([0, 1, 2], 5)
    ones = np.ones((30, 20), dtype=np.float32)
    own = (pose[limb] + rng.normal(0, 2, (30, 2, 20))).astype(np.float32)
    upper = (pose[upper_limb] + rng.normal(0, 2, (15, 2, 20))).astype(np.float32)
    chosen = choose(own, ones, upper, ones[:15], 5)
    assert np.all(upper_limb[chosen] == limb[:, None])


def test_choice__does_not_look_at_photos_where_one_is_missing(rng):
    own, upper = moving(rng, 5), moving(rng, 8)
    own[1][:, 3], upper[1][:, 7] = 0, 0
    before = choose(*own, *upper, 3)
    own[0][..., 3] += 1000
    upper[0][..., 7] -= 1000
    assert np.array_equal(choose(*own, *upper, 3), before)


def test_choice__prefers_any_node_to_one_that_is_never_there_with_it(rng):
    own, upper = moving(rng, 4), moving(rng, 5)
    upper[1][2] = 0
    assert not np.any(choose(*own, *upper, 4) == 2)


def test_choice__all_photos_have_a_say(rng):
    """More than one group; each by itself would choose otherwise."""
    n = 2 * GROUP + 10
    own, upper = moving(rng, 5, n_images=n), moving(rng, 6, n_images=n)
    chosen = choose(*own, *upper, 2)
    cost = oracle.disagreement(*own, *upper)
    assert np.array_equal(chosen, np.sort(np.argsort(cost, axis=1)[:, :2], axis=1))
    for group in (slice(0, GROUP), slice(GROUP, 2 * GROUP), slice(2 * GROUP, n)):
        part = (array[..., group] for array in (*own, *upper))
        assert not np.array_equal(choose(*part, 2), chosen)


def test_choice__of_a_node_does_not_depend_on_the_others(rng):
    own, upper = moving(rng, 500), moving(rng, 6)
    chosen = choose(*own, *upper, 2)
    for rows in (slice(0, 10), slice(120, 121), slice(490, 500)):
        part = choose(own[0][rows], own[1][rows], *upper, 2)
        assert np.array_equal(chosen[rows], part)


@pytest.mark.parametrize("count", [1, 3, 50])
def test_surest__have_the_highest_total_score(rng, count):
    total = rng.gamma(1.0, 1.0, 12)
    expected = sorted(sorted(range(12), key=lambda v: -total[v])[:count])
    assert surest(total, count).tolist() == expected


def test_surest__ties_go_to_the_lower_index():
    assert surest(np.array([1.0, 1, 1, 1, 2, 1]), 3).tolist() == [0, 1, 4]
