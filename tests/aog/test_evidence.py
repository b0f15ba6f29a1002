"""The evidence for a part: its sum of terms against plain loops, and what is visible."""

import dataclasses
import math

import numpy as np
import pytest

from aog import AndOrGraph, PartConfig
from aog.evidence import Evidence, evidence, expected_likeness, visible_from
from aog.sight import sight
from tests.support.planted_parts import (
    CELL,
    CHANNELS,
    GRID,
    SIDE,
    TOP,
    cosine,
    naive_votes,
    planted_world,
)

CONFIG = PartConfig(
    width=0.06, floor=0.02, vote=2.0, look=3.0, scene=4.0, view=5.0 / 14.0, doubt=0.5, merge=0.0
)
MEAN = np.linspace(0.2, 0.8, CHANNELS).astype(np.float32)


def unit(vectors):
    return vectors / np.linalg.norm(vectors, axis=-1, keepdims=True)


@pytest.fixture
def aog(rng):
    """Two templates, of 1 and 3 clicks."""
    count = 7
    return AndOrGraph(
        part="head",
        clicks=np.array([1, 3]),
        centre=np.full((2, 2), SIDE / 2),
        size=np.full((2, 2), np.nan),
        look=unit(rng.normal(0, 1, (2, 9, CHANNELS))),
        scene=unit(rng.uniform(0, 1, (2, 49 * CHANNELS))),
        start=np.array([0, 3, count]),
        node=rng.integers(0, 10, count),
        group=np.zeros(count),
        displacement=rng.uniform(-20, 20, (count, 2)),
        spread=rng.uniform(7, 12, count),
        weight=rng.uniform(0.1, 0.5, count),
        scale=rng.uniform(1, 3, count),
        visible_from=0.0,
    )


@pytest.fixture
def world():
    return planted_world(3, nodes=10)


def naive_terms(aog, world, n, v, t):
    """(G, G) the log of the votes, the likeness of the place, and the likeness of the photo."""
    views = world.found.views
    heights = aog.weight * (0.06 * SIDE / aog.spread) ** 2
    rows = list(zip(aog.node, aog.displacement, aog.spread, heights, aog.scale, strict=True))
    own = rows[aog.start[t] : aog.start[t + 1]]
    votes = naive_votes(views.yx[n, v], views.score[n, v], own, (CELL, CELL), GRID, reach=3.5)
    cells = views.maps[n, v].astype(float)
    like = np.zeros(TOP.grid)
    for y, x in np.ndindex(*TOP.grid):
        for k in range(9):
            i, j = (min(max(c + d, 0), 6) for c, d in ((y, k // 3 - 1), (x, k % 3 - 1)))
            for template, share in ((0, 1 / 4), (1, 3 / 4)):
                like[y, x] += share * cosine(cells[i, j] - MEAN, aog.look[template, k]) / 9
    place, centre = (np.arange(GRID) + 0.5) * CELL, 8 + 16 * np.arange(7)
    wide = np.stack([np.interp(place, centre, row) for row in like])
    look = np.stack([np.interp(place, centre, column) for column in wide.T], axis=1)
    return np.log(votes + 0.02), look, cosine(cells.ravel(), aog.scene[t].astype(float))


def naive_evidence(aog, world, n):
    """(V, T, G, G) the log density, and (V, G, G) how alike places are."""
    gain = world.found.views.gain[n]
    doubt = 4 / (4 + 0.5)
    whole, alike = np.zeros((2, 2, GRID, GRID)), np.zeros((2, GRID, GRID))
    for v, t in np.ndindex(2, 2):
        votes, look, scene = naive_terms(aog, world, n, v, t)
        facing = math.log(math.exp(5 * gain[v]) / sum(math.exp(5 * g) for g in gain))
        prior = math.log([1 / 4, 3 / 4][t])
        alike[v] = look
        whole[v, t] = doubt * (2 * votes + 3 * look + 4 * scene) + facing + prior
    return whole, alike


def test_evidence__equals_the_loops(aog, world):
    found = evidence(aog, sight(world.graph, world.found), MEAN, CONFIG)
    assert found.place.shape == (3, 2, GRID, GRID)
    assert found.template.shape == (3, 2, 2)
    for n in range(3):
        whole, alike = naive_evidence(aog, world, n)
        np.testing.assert_allclose(found.place[n], np.log(np.exp(whole).sum(axis=1)), atol=5e-3)
        expected = np.log(np.exp(whole).sum(axis=(2, 3)))
        np.testing.assert_allclose(found.template[n], expected, atol=5e-3)
        np.testing.assert_allclose(found.alike[n], alike, atol=1e-5)


def test_evidence__without_maps_is_votes_alone(aog, world):
    """What the photos lack is left out, and so is what the part lacks."""
    blind = dataclasses.replace(world.found, views=None)
    without = dataclasses.replace(aog, look=np.zeros((2, 9, 0)), scene=np.zeros((2, 0)))
    silent = dataclasses.replace(CONFIG, look=0.0, scene=0.0)
    seen = sight(world.graph, world.found)
    expected = evidence(aog, seen, MEAN, silent)
    found = evidence(without, seen, np.zeros(0, np.float32), CONFIG)
    np.testing.assert_allclose(found.place, expected.place, rtol=1e-12)
    views = world.found.views
    heights = aog.weight * (0.06 * SIDE / aog.spread) ** 2
    rows = list(zip(aog.node, aog.displacement, aog.spread, heights, aog.scale, strict=True))
    for n, v in np.ndindex(3, 2):
        each = [
            naive_votes(views.yx[n, v], views.score[n, v], own, (CELL, CELL), GRID, reach=3.5)
            for own in (rows[:3], rows[3:])
        ]
        np.testing.assert_allclose(found.alike[n, v], np.max(each, axis=0), atol=1e-5)
    one_view = evidence(aog, sight(world.graph, blind), MEAN, CONFIG)
    assert one_view.place.shape == (3, 1, GRID, GRID)
    # Photo 0 is not mirrored; seen one way, no view has to share.
    facing = math.log(1 / (1 + math.exp(-5 * 0.4)))
    np.testing.assert_allclose(one_view.place[0, 0] + facing, expected.place[0, 0], atol=1e-4)


def test_evidence__where_nothing_votes_is_the_floor(aog, world):
    silent = dataclasses.replace(CONFIG, look=0.0, scene=0.0, view=0.0, doubt=0.0)
    quiet = dataclasses.replace(aog, scale=np.zeros(len(aog.node)))
    found = evidence(quiet, sight(world.graph, world.found), MEAN, silent)
    # Both templates together are the floor once; half of it for each view.
    np.testing.assert_allclose(found.place, 2 * math.log(0.02) + math.log(0.5), rtol=1e-7)


def test_evidence__the_view_that_the_graph_explains_better_counts_more(aog, world):
    silent = dataclasses.replace(CONFIG, look=0.0, scene=0.0, doubt=0.0)
    quiet = dataclasses.replace(aog, scale=np.zeros(len(aog.node)))
    found = evidence(quiet, sight(world.graph, world.found), MEAN, silent)
    # Photos 0 and 2 as given, photo 1 mirrored: the gain is .4 more, times 5.
    more = found.place[:, 0, 0, 0] - found.place[:, 1, 0, 0]
    np.testing.assert_allclose(more, [2, -2, 2], rtol=1e-9)


def test_evidence__the_fewer_clicks_the_less_it_says(aog, world):
    """With d clicks' worth of doubt, k clicks say k / (k + d) of it: 4 / 8 and 4 / 4."""
    options = {"view": 0.0, "look": 0.0, "scene": 0.0}
    seen = sight(world.graph, world.found)
    one = dataclasses.replace(
        aog,
        **{name: getattr(aog, name)[:1] for name in ("centre", "size", "look", "scene")},
        clicks=np.array([4]),
        start=np.array([0, 7]),
    )
    sure = evidence(one, seen, MEAN, dataclasses.replace(CONFIG, doubt=0.0, **options)).place
    less = evidence(one, seen, MEAN, dataclasses.replace(CONFIG, doubt=4.0, **options)).place
    np.testing.assert_allclose(less - math.log(0.5), (sure - math.log(0.5)) / 2, atol=1e-9)


# -- whether it is visible -------------------------------------------------------------------------


def test_expected_likeness__by_hand():
    """Odds 1, 2, 3 and 4 of ten for cells that are alike by .5, .1, -.2 and 1."""
    place = np.log([[1.0, 2.0], [3.0, 4.0]])[None, None] + 700
    alike = np.array([[[[0.5, 0.1], [-0.2, 1.0]]]])
    found = expected_likeness(Evidence(np.zeros(place.shape), place, np.zeros((1, 1, 1)), alike))
    np.testing.assert_allclose(found, [(0.5 + 0.2 - 0.6 + 4) / 10])


def test_expected_likeness__counts_both_views():
    place = np.log([[[[3.0]], [[1.0]]], [[[1.0]], [[1.0]]]])
    alike = np.array([[[[0.8]], [[0.4]]], [[[0.1]], [[0.3]]]])
    found = expected_likeness(Evidence(np.zeros(place.shape), place, np.zeros((2, 2, 1)), alike))
    np.testing.assert_allclose(found, [0.7, 0.2])


def test_visible_from__is_a_third_of_the_way_from_the_better_cells_to_the_part():
    """Three photos of five cells, the part in the last: the medians are .8 there and .3."""
    place = np.full((3, 1, 1, 5), -1e3)
    place[..., -1] = 0
    alike = np.array([[0, 0.1, 0.2, 0.3, 0.9], [0, 0.1, 0.2, 0.4, 0.8], [0, 0.1, 0.1, 0.2, 0.7]])
    found = Evidence(np.zeros(place.shape), place, np.zeros((3, 1, 1)), alike[:, None, None])
    assert visible_from(found) == pytest.approx(0.3 + (0.8 - 0.3) / 3)
