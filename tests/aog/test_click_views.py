"""Which way clicked photos are seen: by a plain formula, and against a graph that is wrong."""

import dataclasses
import math

import numpy as np
import pytest

from aog import PartConfig, fit_clicks
from aog.click_views import view_probability
from aog.sight import sight
from tests.support.planted_parts import SIDE, clicks_on, naive_votes, planted_world

GRID, TRUST = 14, 0.25
CONFIG = PartConfig(width=0.0625, merge=0.0, others=2.0)


@pytest.fixture(scope="module")
def world():
    return planted_world(14)


def doubting(world, row, odds):
    """The world, where the log odds of a photo's views are ``odds`` for the wrong one."""
    facing = world.found.facing.copy()
    facing[row] = odds if world.mirrored[row] else -odds
    return dataclasses.replace(world.found, facing=facing)


def test_clicked_photo_seen_the_wrong_way_round__the_others_turn_it(world):
    """The graph gives the wrong view exp(1.4) times the odds; the nodes there are anywhere."""
    found = doubting(world, 3, 1.4)
    marks = clicks_on(world, [0, 3, 5])
    alone = fit_clicks(world.graph, found, [marks], config=dataclasses.replace(CONFIG, others=0.0))
    asked = fit_clicks(world.graph, found, [marks], config=CONFIG)
    share = 1 / (1 + math.exp(-1.4 * TRUST))
    np.testing.assert_allclose(alone["head"].clicks[2:4], [1 - share, share], atol=1e-5)
    assert asked["head"].clicks.tolist() == [1, 1, 1]
    np.testing.assert_allclose(
        asked["head"].displacement, np.tile(world.part - world.mu, (3, 1)), atol=1e-3
    )
    assert asked["head"].n_clicks == alone["head"].n_clicks == 3


def test_view_that_is_hardly_probable__makes_no_template(world):
    for odds, count in ((0.8, 2), (0.95, 1)):
        found = doubting(world, 3, math.log(odds / (1 - odds)) / TRUST)
        quiet = dataclasses.replace(CONFIG, others=0.0)
        aog = fit_clicks(world.graph, found, [clicks_on(world, [3])], config=quiet)["head"]
        assert len(aog) == count
        assert aog.clicks.sum() == pytest.approx(1)


def test_view_probability__equals_the_loops(world):
    """Two clicks without looks: of all choices of views the best, and what turning one costs."""
    config = dataclasses.replace(CONFIG, look=0.0, scene=0.0, others=1.5)
    parts = fit_clicks(
        world.graph,
        world.found,
        [clicks_on(world, [3, 4])],
        config=dataclasses.replace(config, view=0.0, others=0.0),  # all views, of equal weight
    )
    aog, others = parts["head"], np.setdiff1d(np.arange(14), [3, 4])
    assert len(aog) == 4
    seen = sight(world.graph, world.found).take(others)
    of_click = np.log([[0.55, 0.45], [0.1, 0.9]])
    views = world.found.views
    cell = np.array([SIDE, SIDE]) / GRID

    def evidence_of(chosen):
        total = 0.0
        for n in others:
            odds = np.exp([world.found.facing[n] / 2, -world.found.facing[n] / 2])
            whole = 0.0
            for v in range(2):
                for click, view in enumerate(chosen):
                    own = slice(*aog.start[2 * click + view : 2 * click + view + 2])
                    patterns = zip(
                        aog.node[own],
                        aog.displacement[own],
                        aog.spread[own],
                        aog.weight[own],
                        aog.scale[own],
                        strict=True,
                    )
                    votes = naive_votes(
                        views.yx[n, v], views.score[n, v], list(patterns), cell, GRID, reach=3.5
                    )
                    sure = 2 / (2 + config.doubt)
                    place = (votes + config.floor) ** (config.vote * sure)
                    whole += odds[v] / odds.sum() / 2 * place.sum()
            total += math.log(whole)
        return total * 2 * config.others / len(others)

    log_odds = {
        (a, b): TRUST * (of_click[0, a] + of_click[1, b]) + evidence_of((a, b))
        for a in range(2)
        for b in range(2)
    }
    best = max(log_odds, key=log_odds.__getitem__)
    expected = [
        [1 / (1 + math.exp(log_odds[1 - a, best[1]] - log_odds[a, best[1]])) for a in range(2)],
        [1 / (1 + math.exp(log_odds[best[0], 1 - b] - log_odds[best[0], b])) for b in range(2)],
    ]
    probability = view_probability(aog, of_click, seen, parts.look_mean, config)
    assert 0.001 < probability.min() < 0.2
    np.testing.assert_allclose(probability, expected, rtol=1e-3)


def test_view_probability__without_other_photos_it_is_the_graphs(world):
    of_click = np.log([[0.3, 0.7]]) / TRUST
    parts = fit_clicks(
        world.graph,
        world.found,
        [clicks_on(world, [3])],
        config=dataclasses.replace(CONFIG, view=0.0, others=0.0),
    )
    nobody = sight(world.graph, world.found).take(np.arange(0))
    probability = view_probability(parts["head"], of_click, nobody, parts.look_mean, CONFIG)
    np.testing.assert_allclose(probability, [[0.3, 0.7]])


def test_view_in_which_no_node_fires__is_not_taken(world):
    """However well the graph explains it."""
    found = doubting(world, 3, 14.0)
    score = found.views.score.copy()
    score[3, 1 - int(world.mirrored[3])] = 0
    views = dataclasses.replace(found.views, score=score)
    aog = fit_clicks(
        world.graph, dataclasses.replace(found, views=views), [clicks_on(world, [3])], config=CONFIG
    )["head"]
    assert aog.clicks.tolist() == [1]
    np.testing.assert_allclose(aog.displacement, world.part - world.mu, atol=1e-3)
