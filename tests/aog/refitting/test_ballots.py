"""Votes as levels: near to those that are cast one by one."""

import numpy as np
import pytest

from aog import PartConfig
from aog.answers import GRID
from aog.candidates import candidates, habits_of
from aog.evidence import vote_maps
from aog.learnt import usual_cells
from aog.refitting import ballots
from aog.sight import sight
from aog.templates import assemble, join
from tests.support.planted_parts import clicks_on, planted_world


@pytest.fixture(scope="module")
def cast():
    """Photos, the templates of two clicks, the nodes' scales, and the graph."""
    world = planted_world(14, reach=40.0)
    seen = sight(world.graph, world.found)
    habits = habits_of(world.graph, seen)
    mean = usual_cells(seen).mean
    marks = clicks_on(world, [0, 2], offset=(5.0, -9.0))
    each = candidates(world.graph, seen, habits, mean, marks, PartConfig())
    return seen, [views[0] for views in each], habits.scale, world.graph


@pytest.mark.parametrize("width", [0.03, 0.0625, 0.2])
@pytest.mark.parametrize("count", [1, 2], ids=["one click", "joined"])
def test_levels__are_those_of_the_votes(cast, width, count):
    seen, templates, scale, graph = cast
    config = PartConfig(width=width)
    ratio = width / PartConfig().width
    templates = [one._replace(spread=one.spread * ratio) for one in templates]
    template = templates[0] if count == 1 else join(*templates)
    exact = vote_maps(assemble("head", [template], graph, scale), seen, config)[:, :, 0]
    levels = ballots.cast(template, seen, scale, config)
    assert levels.dtype == np.uint8
    found = np.log(ballots.powers(1.0, config)[levels])
    off = np.abs(found - np.log(exact + config.floor).reshape(found.shape))
    assert off.mean() < 0.015
    assert off.max() < 0.25
    votes = ballots.votes_of(template, seen, scale, config, GRID)
    np.testing.assert_allclose(votes, exact, atol=0.03)


def test_votes__from_beyond_the_photo_count_within(cast):
    """A node that fires near the rim votes for places within, and one far out for none."""
    seen, (template, _), scale, graph = cast
    for far, some in ((8.0, True), (60.0, False)):
        yx = np.zeros_like(seen.yx)
        yx[..., 0] = -far - template.displacement[:, 0].mean()
        moved = type(seen)(yx, *seen[1:])
        exact = vote_maps(assemble("head", [template], graph, scale), moved, PartConfig())[:, :, 0]
        votes = ballots.votes_of(template, moved, scale, PartConfig(), GRID)
        np.testing.assert_allclose(votes, exact, atol=0.03)
        assert (votes.max() > 0.001) == some == (exact.max() > 0.001)
