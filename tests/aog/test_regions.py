"""The smallest region that holds a part with a given probability, and its area."""

import numpy as np
import pytest

from aog.answers import confidence_region, region_share
from explgraph.base.errors import ExplGraphError
from tests.support.parts_by_hand import answers


def of(*rows, **changes):
    grid = np.array(rows, dtype=float)[None]
    return answers(probability=grid, **changes)


@pytest.mark.parametrize(
    ("level", "expected"),
    [
        (0.3, [[0, 0], [1, 0]]),
        (0.5, [[0, 0], [1, 0]]),
        (0.51, [[0, 1], [1, 0]]),
        (0.9, [[0, 1], [1, 1]]),
        (1.0, [[0, 1], [1, 1]]),
    ],
)
def test_confidence_region__by_hand(level, expected):
    where = of([0.0, 0.3], [0.5, 0.2])
    assert confidence_region(where, level)[0].astype(int).tolist() == expected


def test_confidence_region__rounding_does_not_add_a_cell():
    # .5 + .4 is .9 to within the rounding of single precision.
    assert confidence_region(of([0.1, 0.4], [0.5, 0.0]))[0].tolist() == [[0, 1], [1, 0]]


def test_confidence_region__equal_cells_in_order_and_each_answer_alone():
    where = answers(("a", "b"))
    probability = np.full((2, 2, 2), 0.25)
    probability[1] = [[0, 0], [0, 1]]
    region = confidence_region(answers(("a", "b"), probability=probability), 0.6)
    assert region.astype(int).tolist() == [[[1, 1], [1, 0]], [[0, 0], [0, 1]]]
    assert confidence_region(where).sum(axis=(1, 2)).tolist() == [58, 58]  # of 64: .9 * 64 = 57.6


def test_confidence_region__is_the_smallest(rng):
    probability = rng.gamma(0.3, 1, (5, 6, 6))
    probability /= probability.sum(axis=(1, 2), keepdims=True)
    where = answers(tuple("abcde"), probability=probability)
    for grid, region in zip(where.probability, confidence_region(where, 0.8), strict=True):
        assert grid[region].sum() >= 0.8 - 1e-6
        assert grid[region].sum() - grid[region].min() < 0.8
        assert grid[region].min() >= grid[~region].max()


def test_region_share__counts_cells_as_far_as_they_lie_in_the_photo():
    rows = [0.0, 0.5], [0.5, 0.0]
    assert region_share(of(*rows)).tolist() == [0.5]
    box = np.array([[[0.2, 0.4], [0.5, 0.5]]])  # the network sees a fifth of the photo
    assert region_share(of(*rows, frames=box))[0] == pytest.approx(0.1)
    # Letterboxed: the photo fills the middle half of the input's height, a quarter in each row.
    letterbox = np.array([[[-0.5, 2.0], [0.0, 1.0]]])
    assert region_share(of(*rows, frames=letterbox))[0] == pytest.approx(0.5)
    assert region_share(of([0.0, 1.0], [0.0, 0.0], frames=letterbox))[0] == pytest.approx(0.25)
    thirds = np.zeros((4, 4))
    thirds[0, :2] = 0.5  # rows above the photo
    assert region_share(answers(probability=thirds[None], frames=letterbox))[0] == 0


@pytest.mark.parametrize("level", [0, -0.1, 1.01])
def test_confidence_region__level_out_of_range(level):
    with pytest.raises(ExplGraphError, match="above 0 and at most 1"):
        confidence_region(answers(), level)
