"""Templates that agree are joined: means, spreads and weights by hand."""

import math

import numpy as np
import pytest

from aog.templates import Template, disagreement, join, merge_templates

NAN = math.nan


def template(node, displacement, weight, **changes):
    count = len(node)
    fields = {
        "clicks": 1,
        "centre": np.array([10.0, 20.0]),
        "size": np.array([NAN, NAN]),
        "look": np.zeros((9, 0), np.float32),
        "scene": np.zeros(0, np.float16),
        "spread": np.full(count, 2.0),
    }
    node, weight = np.array(node), np.array(weight, dtype=float)
    displacement = np.array(displacement, dtype=float)
    return Template(node=node, displacement=displacement, weight=weight, **{**fields, **changes})


def random_template(rng, **changes):
    node = np.sort(rng.choice(12, 8, replace=False))
    weight = rng.dirichlet(np.ones(8))
    return template(node, rng.normal(0, 9, (8, 2)), weight, spread=rng.uniform(1, 3, 8), **changes)


# -- how far apart ---------------------------------------------------------------------------------


def test_disagreement__by_hand():
    """Nodes 3 and 5 are shared, by roots sqrt(.2 * .8) = .4 and sqrt(.3 * .03) = .09487."""
    a = template([1, 3, 5], [(0, 0), (1, 1), (2, 2)], [0.5, 0.2, 0.3])
    b = template([3, 5, 9], [(4, 5), (2, 1), (0, 0)], [0.8, 0.03, 0.17])
    overlap = 0.4 + math.sqrt(0.009)
    square = (0.4 * (3**2 + 4**2) + math.sqrt(0.009) * 1) / overlap
    assert disagreement(a, b) == pytest.approx(math.sqrt(square) / overlap)
    assert disagreement(b, a) == pytest.approx(disagreement(a, b))


def test_disagreement__of_equal_templates_is_none_and_of_strangers_infinite():
    a = template([1, 3], [(0, 0), (1, 1)], [0.5, 0.5])
    assert disagreement(a, a) == 0
    assert disagreement(a, template([2, 4], [(0, 0), (1, 1)], [0.5, 0.5])) == math.inf


# -- joining two -----------------------------------------------------------------------------------


def test_join__by_hand():
    """Of 1 and 3 clicks: node 3 weighs .25 * .4 + .75 * .2 = .25, two fifths of it from a."""
    a = template([1, 3], [(9, 9), (0, 10)], [0.6, 0.4], spread=np.array([2.0, 3.0]))
    b = template(
        [3, 7],
        [(5, 0), (1, 2)],
        [0.2, 0.8],
        clicks=3,
        spread=np.array([4.0, 5.0]),
        centre=np.array([30.0, 0.0]),
        size=np.array([4.0, 8.0]),
    )
    both = join(a, b)
    assert both.clicks == 4
    np.testing.assert_allclose(both.centre, [25, 5])
    np.testing.assert_allclose(both.size, [4, 8])
    assert both.node.tolist() == [1, 3, 7]
    np.testing.assert_allclose(both.weight, [0.15, 0.25, 0.6])
    np.testing.assert_allclose(both.displacement, [(9, 9), (3, 4), (1, 2)])
    # Of node 3, per axis: the mean variance, and .4 * .6 * (5^2 + 10^2) / 2 between the two.
    spread = math.sqrt(0.4 * 9 + 0.6 * 16 + 0.24 * 125 / 2)
    np.testing.assert_allclose(both.spread, [2, spread, 5])
    assert both.weight.sum() == pytest.approx(1)


def test_join__spread_is_that_of_the_samples_mixed(rng):
    """As measured on points drawn about either template's displacement."""
    a = template([0], [(0, 6)], [1.0], spread=np.array([2.0]))
    b = template([0], [(8, -2)], [1.0], clicks=2, spread=np.array([3.0]))
    drawn = np.concatenate(
        [rng.normal((0, 6), 2, (200_000, 2)), rng.normal((8, -2), 3, (400_000, 2))]
    )
    both = join(a, b)
    np.testing.assert_allclose(both.displacement[0], drawn.mean(axis=0), atol=0.03)
    assert both.spread[0] == pytest.approx(math.sqrt(drawn.var(axis=0).mean()), rel=5e-3)


def test_join__looks_and_scenes_are_mean_directions():
    look_a, look_b = np.zeros((9, 2)), np.zeros((9, 2))
    look_a[:, 0] = look_b[:, 1] = 1
    a = template([1], [(0, 0)], [1.0], look=look_a, scene=np.array([1.0, 0], np.float16))
    b = template([1], [(0, 0)], [1.0], look=look_b, scene=np.array([0, 1.0], np.float16), clicks=3)
    both = join(a, b)
    np.testing.assert_allclose(both.look, np.tile([1, 3] / np.sqrt(10), (9, 1)), rtol=1e-6)
    assert both.scene.dtype == np.float16
    np.testing.assert_allclose(both.scene, [1, 3] / np.sqrt(10), rtol=1e-3)


@pytest.mark.parametrize(
    ("first", "second", "expected"),
    [
        ((NAN, NAN), (NAN, NAN), (NAN, NAN)),
        ((2, NAN), (NAN, NAN), (2, NAN)),
        ((2, 4), (NAN, 8), (2, 7)),  # the second has three clicks
        ((2, 4), (6, 8), (5, 7)),
    ],
)
def test_join__sizes_are_averaged_where_they_are_known(first, second, expected):
    a = template([1], [(0, 0)], [1.0], size=np.array(first))
    b = template([1], [(0, 0)], [1.0], size=np.array(second), clicks=3)
    np.testing.assert_allclose(join(a, b).size, expected)
    np.testing.assert_allclose(join(b, a).size, expected)


def test_join__the_order_of_three_does_not_matter(rng):
    three = [
        random_template(rng, centre=rng.normal(0, 9, 2), size=rng.normal(9, 1, 2)) for _ in "abc"
    ]
    a, b, c = three
    first, second = join(join(a, b), c), join(a, join(c, b))
    assert first.clicks == second.clicks == 3
    for name in ("centre", "size", "node", "weight", "displacement", "spread"):
        np.testing.assert_allclose(getattr(first, name), getattr(second, name), rtol=1e-9)
    # Every click counts a third.
    for k, node in enumerate(first.node):
        own = [(t.weight[t.node == node] / 3).sum() for t in three]
        assert first.weight[k] == pytest.approx(sum(own))
    np.testing.assert_allclose(first.centre, np.mean([t.centre for t in three], axis=0))


# -- joining many ----------------------------------------------------------------------------------


def pair_and_stranger():
    """The first and the last agree to within a pixel; the one between is 30 pixels off."""
    return [
        template([1, 2], [(0, 0), (5, 5)], [0.5, 0.5]),
        template([1, 2], [(30, 0), (35, 5)], [0.5, 0.5]),
        template([1, 2], [(1, 0), (6, 5)], [0.5, 0.5]),
    ]


def test_merge__joins_those_that_agree():
    left = merge_templates(pair_and_stranger(), 2.0)
    assert [t.clicks for t in left] == [2, 1]
    np.testing.assert_allclose(left[0].displacement, [(0.5, 0), (5.5, 5)])
    np.testing.assert_allclose(left[0].spread, math.sqrt(4 + 0.25 * 1 / 2))
    np.testing.assert_allclose(left[1].displacement, [(30, 0), (35, 5)])


def test_merge__with_a_large_limit_leaves_one():
    left = merge_templates(pair_and_stranger(), 100.0)
    assert [t.clicks for t in left] == [3]
    np.testing.assert_allclose(left[0].displacement, [(31 / 3, 0), (46 / 3, 5)])


def test_merge__takes_the_best_pair_first():
    """0, 4 and 6 with a limit of 5: 4 and 6 become 5, which 0 is not near enough to."""
    templates = [template([1], [(0, x)], [1.0]) for x in (0, 4, 6)]
    left = merge_templates(templates, 5.0)
    assert [t.displacement[0, 1] for t in left] == [0, 5]
    assert len(merge_templates(templates, 5.1)) == 1


def test_merge__strangers_stay_apart_whatever_the_limit():
    strangers = [template([1], [(0, 0)], [1.0]), template([2], [(0, 0)], [1.0])]
    assert len(merge_templates(strangers, 1e9)) == 2


def test_merge__with_limit_0_every_click_keeps_its_own():
    same = template([1], [(0, 0)], [1.0])
    assert len(merge_templates([same, same], 0.0)) == 2
    assert len(merge_templates([same], 5.0)) == 1
