"""Votes: the compiled loop against a plain one, and what a vote holds."""

import math

import numba
import numpy as np
import pytest

from aog import AndOrGraph, PartConfig
from aog._kernels import cast_votes, strength
from aog.evidence import vote_heights, vote_maps
from aog.sight import sight
from explgraph.base.threads import over_rows
from tests.support.planted_parts import CELL, GRID, SIDE, naive_votes, planted_world

CUT = math.exp(-0.5 * 3.5**2)
"""What a vote is at most where it is cut off, of its height."""


@pytest.fixture
def case(rng):
    """Two views of nine nodes and three templates, the second without patterns; oblong cells."""
    count = 11
    yx = rng.uniform(-10, 70, (2, 9, 2)).astype(np.float32)
    score = rng.uniform(0, 2, (2, 9)).astype(np.float32)
    score[0, :3] = 0
    patterns = {
        "start": np.array([0, 6, 6, count]),
        "node": rng.integers(0, 9, count).astype(np.int32),
        "displacement": rng.uniform(-15, 15, (count, 2)).astype(np.float32),
        "spread": rng.uniform(3, 9, count).astype(np.float32),
        "weight": rng.uniform(0, 1, count).astype(np.float32),
        "scale": np.r_[0, rng.uniform(0.5, 2, count - 1)].astype(np.float32),
    }
    return yx, score, patterns, np.array([4.0, 6.0])


def rows_of(patterns, template):
    names = ("node", "displacement", "spread", "weight", "scale")
    at = range(*patterns["start"][template : template + 2])
    return [tuple(patterns[name][q] for name in names) for q in at]


def cast(case, grid=10):
    yx, score, patterns, cell = case
    votes = np.zeros((len(yx), len(patterns["start"]) - 1, grid, grid))
    over_rows(cast_votes, len(yx), yx, score, *patterns.values(), cell, votes)
    return votes


def test_cast_votes__equals_the_plain_loop_up_to_the_cut(case):
    yx, score, patterns, cell = case
    votes = cast(case)
    assert votes.shape == (2, 3, 10, 10)
    assert votes.dtype == np.float64
    for b, t in np.ndindex(2, 3):
        rows = rows_of(patterns, t)
        expected = naive_votes(yx[b], score[b], rows, cell, 10)
        heights = sum(row[3] for row in rows)
        assert np.abs(votes[b, t] - expected).max() <= heights * CUT + 1e-9
        cut = naive_votes(yx[b], score[b], rows, cell, 10, reach=3.5)
        np.testing.assert_allclose(votes[b, t], cut, atol=1e-6)
    assert votes.max() > 0.5
    assert (votes[:, 1] == 0).all()


def test_cast_votes__of_one_pattern_by_hand():
    """A peak at (10, 10) that says "7 up, 2 right": a bell of height .5 about (3, 12)."""
    pattern = {
        "start": np.array([0, 1]),
        "node": np.array([0], np.int32),
        "displacement": np.array([[-7, 2]], np.float32),
        "spread": np.array([4], np.float32),
        "weight": np.array([0.5], np.float32),
        "scale": np.array([1], np.float32),
    }
    peak = np.array([[[10, 10]]], np.float32), np.array([[1.0]], np.float32)
    votes = cast((*peak, pattern, np.array([2.0, 2.0])), 12)[0, 0]
    # Cell (1, 5) looks at (3, 11): a pixel, a quarter of the spread, off.
    assert votes[1, 5] == pytest.approx(0.5 * math.exp(-1 / 32))
    assert votes[1, 6] == pytest.approx(votes[1, 5])
    assert votes[3, 5] == pytest.approx(0.5 * math.exp(-(16 + 1) / 32))
    assert votes[9, 5] == 0  # 16 pixels away is beyond 3.5 * 4


def test_cast_votes__does_not_depend_on_the_number_of_threads(case):
    if numba.config.NUMBA_NUM_THREADS < 2:
        pytest.skip("Numba was started with one thread")
    before = numba.get_num_threads()
    try:
        numba.set_num_threads(1)
        alone = cast(case, 28)
        numba.set_num_threads(2)
        np.testing.assert_array_equal(cast(case, 28), alone)
    finally:
        numba.set_num_threads(before)


@pytest.mark.parametrize(
    ("score", "scale", "expected"),
    [(1, 4, 0.5), (4, 4, 1), (9, 4, 1), (0, 4, 0), (1, 0, 0), (0.25, 1, 0.5)],
)
def test_strength__is_the_root_of_the_share_of_the_best(score, scale, expected):
    assert strength(float(score), float(scale)) == pytest.approx(expected)


# -- And-Or graphs ---------------------------------------------------------------------------------


def part(spread, weight, node, displacement, start=None, scale=None):
    count = len(node)
    start = [0, count] if start is None else start
    return AndOrGraph(
        part="head",
        clicks=np.ones(len(start) - 1),
        centre=np.zeros((len(start) - 1, 2)),
        size=np.full((len(start) - 1, 2), np.nan),
        look=np.zeros((len(start) - 1, 9, 0)),
        scene=np.zeros((len(start) - 1, 0)),
        start=np.array(start),
        node=np.array(node),
        group=np.zeros(count),
        displacement=np.array(displacement),
        spread=np.array(spread),
        weight=np.array(weight),
        scale=np.ones(count) if scale is None else np.array(scale),
        visible_from=0.0,
    )


def test_vote__holds_as_much_whatever_its_spread():
    """Its cells' sum is weight * 2 pi * (least spread)^2, in cells."""
    config, least = PartConfig(width=0.03), 0.03 * SIDE
    world = planted_world(1)
    place = world.found.views.yx[0, 0, 0].astype(float)
    for factor in (1, 1.5, 2.5):
        aog = part([factor * least], [0.7], [0], [SIDE / 2 - place], scale=[0.01])
        votes = vote_maps(aog, sight(world.graph, world.found), config)[0, 0, 0]
        expected = 0.7 * 2 * math.pi * (least / CELL) ** 2
        assert votes.sum() == pytest.approx(expected, rel=3e-3)
        assert vote_heights(aog.weight, aog.spread, least)[0] == pytest.approx(0.7 / factor**2)


def test_vote_maps__every_photo_view_and_template(rng):
    world = planted_world(4, nodes=8)
    count = 9
    aog = part(
        rng.uniform(5, 9, count),
        rng.uniform(0, 0.3, count),
        rng.integers(0, 8, count),
        rng.uniform(-20, 20, (count, 2)),
        start=[0, 4, 9],
        scale=rng.uniform(1, 3, count),
    )
    votes = vote_maps(aog, sight(world.graph, world.found), PartConfig(width=0.05))
    assert votes.shape == (4, 2, 2, GRID, GRID)
    views = world.found.views
    heights = aog.weight * (0.05 * SIDE / aog.spread) ** 2
    rows = list(zip(aog.node, aog.displacement, aog.spread, heights, aog.scale, strict=True))
    for n, v, t in np.ndindex(4, 2, 2):
        own = rows[aog.start[t] : aog.start[t + 1]]
        cell = (CELL, CELL)
        expected = naive_votes(views.yx[n, v], views.score[n, v], own, cell, GRID, reach=3.5)
        np.testing.assert_allclose(votes[n, v, t], expected, atol=1e-5)
