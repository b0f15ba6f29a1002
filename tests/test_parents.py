"""What parents predict, and which nodes are chosen as parents."""

import numpy as np
import pytest

from mining.parents import choose_parents, flat_prior, plain_prior, predict, surest
from tests import oracle


def family(rng, counts=(1, 3, 2), n_upper=7, n_images=5):
    start = np.concatenate([[0], np.cumsum(counts)]).astype(np.int64)
    parent = np.concatenate([rng.choice(n_upper, c, replace=False) for c in counts])
    displacement = rng.normal(0, 15, (n_upper, n_images, 2)).astype(np.float32)
    return start, parent.astype(np.int32), displacement, rng.uniform(30, 700, n_upper)


@pytest.mark.parametrize("seed", range(4))
def test_predict__equals_the_loops(seed):
    arguments = family(np.random.default_rng(seed))
    prior = predict(*arguments)
    for found, expected in zip(prior, oracle.predict(*arguments), strict=True):
        np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)


def test_predict__from_one_parent_is_its_displacement(rng):
    start, parent, displacement, var = family(rng, counts=(1,))
    prior = predict(start, parent, displacement, var)
    np.testing.assert_allclose(prior.shift[0], displacement[parent[0]], rtol=1e-6)
    np.testing.assert_allclose(prior.var[0], var[parent[0]], rtol=1e-6)
    np.testing.assert_allclose(prior.kappa[0], 1, rtol=1e-5)


def test_predict__sure_parents_count_more():
    displacement = np.array([[[0.0, 0.0]], [[10.0, -20.0]]], dtype=np.float32)
    start, parent = np.array([0, 2]), np.array([0, 1], dtype=np.int32)
    prior = predict(start, parent, displacement, np.array([300.0, 100.0]))
    np.testing.assert_allclose(prior.shift[0, 0], [7.5, -15], rtol=1e-6)
    np.testing.assert_allclose(prior.var[0, 0], 150, rtol=1e-6)  # the harmonic mean


def test_predict__kappa_falls_as_parents_disagree():
    displacement = np.zeros((2, 3, 2), dtype=np.float32)
    displacement[1, :, 0] = [0, 10, 20]
    start, parent = np.array([0, 2]), np.array([0, 1], dtype=np.int32)
    kappa = predict(start, parent, displacement, np.full(2, 100.0)).kappa[0]
    np.testing.assert_allclose(kappa, np.exp([0, -0.125, -0.5]), rtol=1e-6)


def test_predict__a_node_without_parents_does_no_harm_to_the_others(rng):
    start, parent, displacement, var = family(rng, counts=(2, 0, 3))
    prior = predict(start, parent, displacement, var)
    with_parents = oracle.predict(np.array([0, 2, 5]), parent, displacement, var)
    for found, expected in zip(prior, with_parents, strict=True):
        np.testing.assert_allclose(found[[0, 2]], expected, rtol=1e-4, atol=1e-5)


def test_flat_prior__says_nothing():
    prior = flat_prior(3, 4, 25.0)
    assert prior.shift.shape == (3, 4, 2)
    assert not prior.shift.any()
    assert np.all(prior.var == 25)
    assert np.all(prior.kappa == 1)


def test_plain_prior__is_the_shift_with_one_variance(rng):
    shift = rng.normal(0, 5, (3, 4, 2)).astype(np.float32)
    prior = plain_prior(shift, 25.0)
    assert np.array_equal(prior.shift, shift)
    assert np.all(prior.var == 25)
    assert np.all(prior.kappa == 1)
    assert prior.var.shape == prior.kappa.shape == (3, 4)


def test_take__selects_nodes(rng):
    prior = predict(*family(rng))
    for part, whole in zip(prior.take(np.array([2, 0])), prior, strict=True):
        assert np.array_equal(part, whole[[2, 0]])


# -- the choice ------------------------------------------------------------------------------------


def moving(rng, n_nodes, n_images=12, size=10.0):
    displacement = rng.normal(0, size, (n_nodes, n_images, 2)).astype(np.float32)
    score = rng.gamma(1.0, 1.0, (n_nodes, n_images)) * (rng.random((n_nodes, n_images)) > 0.2)
    return displacement, score.astype(np.float32)


@pytest.mark.parametrize("n_parents", [1, 3, 6])
def test_choice__is_the_least_disagreement(rng, n_parents):
    own, upper = moving(rng, 9), moving(rng, 6)
    chosen = choose_parents(*own, *upper, n_parents)
    cost = oracle.disagreement(*own, *upper)
    expected = np.sort(np.argsort(cost, axis=1)[:, :n_parents], axis=1)
    assert chosen.dtype == np.int32
    assert np.array_equal(chosen, expected)


def test_choice__takes_all_where_there_are_fewer(rng):
    chosen = choose_parents(*moving(rng, 4), *moving(rng, 3), 15)
    assert np.array_equal(chosen, np.tile([0, 1, 2], (4, 1)))


def test_choice__ties_what_moves_together(rng):
    pose = rng.normal(0, 12, (3, 20, 2))
    limb, upper_limb = rng.integers(0, 3, 30), np.repeat([0, 1, 2], 5)
    ones = np.ones((30, 20), dtype=np.float32)
    own = (pose[limb] + rng.normal(0, 2, (30, 20, 2))).astype(np.float32)
    upper = (pose[upper_limb] + rng.normal(0, 2, (15, 20, 2))).astype(np.float32)
    chosen = choose_parents(own, ones, upper, ones[:15], 5)
    assert np.all(upper_limb[chosen] == limb[:, None])


def test_choice__does_not_look_at_photos_where_one_is_missing(rng):
    own, upper = moving(rng, 5), moving(rng, 8)
    own[1][:, 3], upper[1][:, 7] = 0, 0
    before = choose_parents(*own, *upper, 3)
    own[0][:, 3] += 1000
    upper[0][:, 7] -= 1000
    assert np.array_equal(choose_parents(*own, *upper, 3), before)


def test_choice__prefers_any_node_to_one_that_is_never_there_with_it(rng):
    own, upper = moving(rng, 4), moving(rng, 5)
    upper[1][2] = 0
    assert not np.any(choose_parents(*own, *upper, 4) == 2)


def test_choice__many_nodes_are_chosen_for_block_by_block(rng):
    own, upper = moving(rng, 2500, n_images=4), moving(rng, 6, n_images=4)
    chosen = choose_parents(*own, *upper, 2)
    for rows in (slice(0, 10), slice(1020, 1030), slice(2490, 2500)):
        part = choose_parents(own[0][rows], own[1][rows], *upper, 2)
        assert np.array_equal(chosen[rows], part)


@pytest.mark.parametrize("count", [1, 3, 50])
def test_surest__have_the_highest_total_score(rng, count):
    _, score = moving(rng, 12)
    total = score.astype(float).sum(axis=1)
    expected = sorted(sorted(range(12), key=lambda v: -total[v])[:count])
    assert surest(score, count).tolist() == expected


def test_surest__ties_go_to_the_lower_index():
    score = np.ones((6, 2), dtype=np.float32)
    score[4] = 2
    assert surest(score, 3).tolist() == [0, 1, 4]
