"""From evidence to one point: against sums over cells, by loops and by hand."""

import math

import numpy as np
import pytest

from aog.answers import cell_centres, nearest_point, posterior, refine, strongest_point


def expected_distance(probability, at):
    """Sum over cells of probability times distance, for a point of the unit square."""
    grid = len(probability)
    return sum(
        probability[i, j] * math.dist(at, ((i + 0.5) / grid, (j + 0.5) / grid))
        for i in range(grid)
        for j in range(grid)
    )


def bell(grid, at, spread):
    """(G, G) a normal density about a point given in cells, not scaled."""
    axis = np.arange(grid) + 0.5
    y, x = (np.exp(-((axis - at[a]) ** 2) / (2 * spread**2)) for a in (0, 1))
    return np.outer(y, x)


def test_cell_centres__row_by_row():
    expected = [[0.25, 0.25], [0.25, 0.75], [0.75, 0.25], [0.75, 0.75]]
    np.testing.assert_array_equal(cell_centres(2), expected)


# -- posterior -------------------------------------------------------------------------------------


def test_posterior__by_hand():
    """Odds 1, 2, 3, 4 as given and 5, 1, 1, 3 mirrored: the second view's columns are swapped."""
    given, mirrored = np.log([[1, 2], [3, 4]]), np.log([[5, 1], [1, 3]])
    found = posterior(np.stack([given, mirrored])[None])
    expected = np.array([[1 + 1, 2 + 5], [3 + 3, 4 + 1]]) / 20
    np.testing.assert_allclose(found, expected[None], rtol=1e-12)


def test_posterior__of_one_view_is_its_own():
    found = posterior(np.log([[[[1, 2], [3, 4]]], [[[1, 1], [1, 1]]]]))
    np.testing.assert_allclose(found, [[[0.1, 0.2], [0.3, 0.4]], [[0.25, 0.25], [0.25, 0.25]]])


def test_posterior__photos_do_not_mix_and_a_constant_does_not_count(rng):
    evidence = rng.normal(0, 3, (3, 2, 5, 5))
    shifted = evidence + np.array([0.0, 1e4, -1e4])[:, None, None, None]
    found = posterior(shifted)
    for i in range(3):
        odds = [math.fsum(np.exp(evidence[i]).ravel())]
        for y, x in np.ndindex(5, 5):
            both = math.exp(evidence[i, 0, y, x]) + math.exp(evidence[i, 1, y, 4 - x])
            assert found[i, y, x] == pytest.approx(both / odds[0], rel=1e-9)
    np.testing.assert_allclose(found.sum(axis=(1, 2)), 1)


def test_posterior__does_not_change_what_it_is_given(rng):
    evidence = rng.normal(0, 1, (2, 2, 4, 4))
    before = evidence.copy()
    posterior(evidence)
    np.testing.assert_array_equal(evidence, before)


# -- the point of smallest expected distance -------------------------------------------------------


def test_nearest_point__lies_in_the_best_of_all_cells(rng):
    probability = rng.gamma(0.15, 1, (6, 7, 7))
    probability /= probability.sum(axis=(1, 2), keepdims=True)
    found = nearest_point(probability)
    for own, yx, distance in zip(probability, found.yx, found.distance, strict=True):
        tried = {
            cell: expected_distance(own, (np.array(cell) + 0.5) / 7) for cell in np.ndindex(7, 7)
        }
        best = min(tried, key=tried.get)
        assert np.abs(yx * 7 - np.array(best) - 0.5).max() <= 0.5 + 1e-9
        assert distance == pytest.approx(tried[best], rel=1e-5)
        assert expected_distance(own, yx) <= tried[best] * 1.01


def test_nearest_point__of_a_bell_is_its_middle_below_the_cell():
    at = np.array([[10.2, 13.9], [13.5, 14.0], [12.85, 17.3]])
    probability = np.stack([bell(28, middle, 1.5) for middle in at])
    probability /= probability.sum(axis=(1, 2), keepdims=True)
    np.testing.assert_allclose(nearest_point(probability).yx * 28, at, atol=0.02)


def test_nearest_point__of_a_photo_does_not_depend_on_the_others(rng):
    probability = rng.gamma(0.2, 1, (37, 28, 28))
    probability /= probability.sum(axis=(1, 2), keepdims=True)
    together = nearest_point(probability)
    for rows in ([0], [36], [5, 2], list(range(3, 20))):
        some = nearest_point(probability[rows])
        np.testing.assert_array_equal(some.yx, together.yx[rows])
        np.testing.assert_array_equal(some.distance, together.distance[rows])


def test_nearest_point__goes_where_most_of_the_mass_is():
    """The highest cell holds .2; eight cells elsewhere hold .1 each. No mean, no peak."""
    probability = np.zeros((1, 21, 21))
    probability[0, 2, 2] = 0.2
    probability[0, 15:18, 15:18] = 0.1
    probability[0, 16, 16] = 0.0
    yx = nearest_point(probability).yx[0] * 21
    assert np.all(np.abs(yx - 16.5) < 1)


def test_nearest_point__of_a_single_cell_is_that_cell():
    for cell in ((0, 0), (6, 3), (2, 5)):
        probability = np.zeros((1, 7, 7))
        probability[0][cell] = 1
        answer = nearest_point(probability)
        np.testing.assert_allclose(answer.yx[0], (np.array(cell) + 0.5) / 7, atol=1e-6)
        assert answer.distance[0] == 0


# -- the peak --------------------------------------------------------------------------------------


def test_strongest_point__by_hand():
    """Photo 0 is strongest as given; photo 1 mirrored, where column 1 is column 3 as given."""
    evidence = np.zeros((2, 2, 5, 5))
    evidence[0, 0, 3, 1], evidence[0, 1, 2, 2] = 5, 4
    evidence[1, 0, 3, 1], evidence[1, 1, 2, 1] = 5, 6
    found = strongest_point(evidence)
    np.testing.assert_allclose(found.yx * 5, [[3.5, 1.5], [2.5, 3.5]])
    assert np.isnan(found.distance).all()


def test_strongest_point__in_a_tie_the_photo_is_as_given():
    evidence = np.zeros((1, 2, 5, 5))
    evidence[0, 0, 3, 1] = evidence[0, 1, 1, 1] = 5
    np.testing.assert_allclose(strongest_point(evidence).yx * 5, [[3.5, 1.5]])


def test_strongest_point__of_one_view_and_below_the_cell():
    evidence = np.log(np.stack([bell(9, (4.3, 2.6), 1.2)[None], bell(9, (6.5, 5.1), 1.2)[None]]))
    np.testing.assert_allclose(strongest_point(evidence).yx * 9, [[4.3, 2.6], [6.5, 5.1]])


def test_strongest_point__is_turned_back_below_the_cell():
    evidence = np.stack([np.full((9, 9), -99.0), np.log(bell(9, (4.3, 2.6), 1.2))])[None]
    np.testing.assert_allclose(strongest_point(evidence).yx * 9, [[4.3, 9 - 2.6]])


# -- below the cell --------------------------------------------------------------------------------


@pytest.mark.parametrize("top", [(3.0, 3.0), (2.6, 4.4), (4.49, 1.51)])
def test_refine__a_quadratic_is_met_exactly(top):
    y, x = np.mgrid[:7, :7]
    values = 5 - 0.3 * (y - top[0]) ** 2 - 0.8 * (x - top[1]) ** 2
    yx, height = refine(values[None])
    np.testing.assert_allclose(yx * 7 - 0.5, [top], atol=1e-12)
    assert height[0] == values.max()


def test_refine__at_the_rim_there_is_no_step_across_it():
    values = np.zeros((2, 5, 5))
    values[0, 0, 1:4] = [1, 3, 2]  # the parabola's top: .5 * (2 - 1) / (6 - 1 - 2) = 1/6
    values[1, 2:5, 4] = [0, 1, 3]
    np.testing.assert_allclose(refine(values)[0] * 5, [[0.5, 2.5 + 1 / 6], [4.5, 4.5]])


def test_refine__of_equal_values_takes_the_first_cell_and_stays_on_it():
    yx, height = refine(np.full((1, 4, 4), 2.0))
    np.testing.assert_array_equal(yx * 4, [[0.5, 0.5]])
    assert height[0] == 2
    ridge = np.zeros((1, 5, 5))
    ridge[0, 2, 1:4] = 1  # the first of three equal cells; its right neighbour pulls by a half
    np.testing.assert_allclose(refine(ridge)[0] * 5, [[2.5, 2.0]])


def test_answers__of_no_photos_are_none():
    assert posterior(np.zeros((0, 2, 4, 4))).shape == (0, 4, 4)
    assert nearest_point(np.zeros((0, 4, 4))).yx.shape == (0, 2)
    assert strongest_point(np.zeros((0, 2, 4, 4))).yx.shape == (0, 2)
