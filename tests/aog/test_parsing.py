"""How an answer is explained: which patterns, where, and how much each counts."""

from dataclasses import replace

import numpy as np
import pytest

from aog.evidence import vote_maps
from aog.parsing import parse
from aog.sight import sight
from explgraph.base.errors import ExplGraphError
from tests.support.parts_by_hand import WIDTH, answers, hand_made_matches, hand_made_parts
from tests.support.planted import SIDE

CENTRE = 0.5 * SIDE


def test_parse__contributions_by_hand():
    # Pattern 0 votes for the answer itself, at a quarter of its best score: .2 * sqrt(1 / 4) = .1.
    # Pattern 1 misses by one spread, at more than its best: .3 * exp(-1/2).
    # Pattern 2 votes for it with twice the least spread: .5 / 4.
    peaks = {
        (0, 0): (CENTRE - 10, CENTRE + 20),
        (0, 1): (CENTRE - WIDTH, CENTRE - 5),
        (0, 6): (CENTRE + 30, CENTRE - 40),
    }
    found = hand_made_matches(yx=peaks, score={(0, 0): 1, (0, 1): 7, (0, 6): 2})
    result = parse(hand_made_parts(), found, answers(), 0)
    assert result.ids == ("features.3/0/1", "features.6/0/0", "features.3/0/0")
    assert result.node.tolist() == [1, 6, 0]
    assert result.layer.tolist() == [0, 1, 0]
    assert result.score.tolist() == [7, 2, 1]
    expected = [0.3 * np.exp(-0.5), 0.125, 0.1]
    np.testing.assert_allclose(result.contribution, expected, rtol=1e-6)
    assert result.total == pytest.approx(sum(expected))
    assert result.fired == 3
    np.testing.assert_allclose(result.peak[2] * SIDE, peaks[0, 0], rtol=1e-6)
    np.testing.assert_allclose(result.vote[[1, 2]], 0.5, rtol=1e-6)
    np.testing.assert_allclose(result.vote[0] * SIDE, (CENTRE - WIDTH, CENTRE), rtol=1e-6)


def test_parse__the_best_first_and_none_that_says_nothing():
    peaks = {(0, 0): (CENTRE - 10, CENTRE + 20), (0, 6): (CENTRE + 30, CENTRE - 40)}
    found = hand_made_matches(yx=peaks, score={(0, 0): 4, (0, 6): 2})
    result = parse(hand_made_parts(), found, answers(), 0)
    assert result.node.tolist() == [0, 6]  # .2 before .125; node 1 was not found
    assert result.fired == 2
    best = parse(hand_made_parts(), found, answers(), 0, top=1)
    assert best.node.tolist() == [0]
    assert best.total == result.total == pytest.approx(0.325)
    silent = parse(hand_made_parts(), hand_made_matches(), answers(), 0)
    assert len(silent) == len(silent.table) == silent.total == silent.fired == 0


def test_parse__takes_the_template_of_the_answer():
    found = hand_made_matches(
        yx={(0, 2): (CENTRE - 1, CENTRE - 2)}, score={(0, 2): 1, (0, 0): 1, (0, 1): 1}
    )
    result = parse(hand_made_parts(), found, answers(template=np.array([1])), 0)
    assert result.node.tolist() == [2]
    assert result.contribution[0] == pytest.approx(0.6)


def test_parse__mirrored_photos_are_turned_back():
    # The answer lies at x = 3/4 of the photo: at 56 of the mirrored input's 224 pixels.
    found = hand_made_matches(
        yx={(1, 0): (102, 76), (0, 0): (102, 76)}, score={(1, 0): 4, (0, 0): 0.01, (1, 1): 1}
    )
    where = answers(yx=np.array([[0.5, 0.75]]), mirrored=np.array([1]))
    result = parse(hand_made_parts(), found, where, 0)
    assert result.node[0] == 0
    assert result.contribution[0] == pytest.approx(0.2)
    np.testing.assert_allclose(result.peak[0], (102 / 224, 1 - 76 / 224), rtol=1e-6)
    np.testing.assert_allclose(result.vote[0], (0.5, 0.75), rtol=1e-6)


def test_parse__places_go_through_the_frames():
    # A box: rows .2 to .6 and columns .5 to .9 of the photo fill the network's input.
    frame = ((0.2, 0.4 / SIDE), (0.5, 0.4 / SIDE))
    found = hand_made_matches(yx={(0, 0): (102, 132)}, score={(0, 0): 4}, frame=frame)
    where = answers(yx=np.array([[0.4, 0.7]]))  # the middle of the box
    result = parse(hand_made_parts(), found, where, 0)
    assert result.contribution[0] == pytest.approx(0.2)
    expected = (0.2 + 0.4 * 102 / 224, 0.5 + 0.4 * 132 / 224)
    np.testing.assert_allclose(result.peak[0], expected, rtol=1e-6)
    np.testing.assert_allclose(result.vote[0], (0.4, 0.7), rtol=1e-6)


def test_parse__total_is_what_the_votes_are_in_locating(rng):
    yx = {(view, node): rng.uniform(90, 130, 2) for view in (0, 1) for node in range(12)}
    found = hand_made_matches(yx=yx, score={key: rng.uniform(0.1, 3) for key in yx})
    parts = hand_made_parts()
    votes = vote_maps(parts.aogs[0], sight(parts.graph, found), parts.config)
    grid = votes.shape[-1]
    i, j = 12, 15
    where = answers(yx=np.array([[(i + 0.5) / grid, 1 - (j + 0.5) / grid]]), mirrored=np.ones(1))
    expected = votes[0, 1, 0, i, j]
    assert expected > 0.01
    # Beyond 3.5 standard deviations votes are cut off there.
    assert parse(parts, found, where, 0).total == pytest.approx(expected, abs=0.002)


def test_parse__finds_the_photo_by_its_name_and_the_part_by_its():
    parts = hand_made_parts(("head", "tail"))
    found = hand_made_matches(("a.jpg", "b.jpg"), score={(0, 0): 4})
    where = answers(("b.jpg", "c.jpg", "b.jpg"), parts=("head", "head", "tail"))
    assert parse(parts, found, where, 0).answer.images == ("b.jpg",)
    assert parse(parts, found, where, -1).answer.parts == ("tail",)
    with pytest.raises(ExplGraphError, match=r"have no photo 'c.jpg'"):
        parse(parts, found, where, 1)
    with pytest.raises(ExplGraphError, match="unknown part 'tail'"):
        parse(hand_made_parts(), found, where, 2)


def test_parse__reads_the_row_of_its_photo():
    found = hand_made_matches(("a.jpg", "b.jpg"))
    score = found.views.score.copy()
    score[1, 0, [0, 1]] = 1
    found = replace(found, views=replace(found.views, score=score))
    fired = [parse(hand_made_parts(), found, answers((name,)), 0).fired for name in found.images]
    assert fired == [0, 2]


def test_parse__of_matches_without_views():
    found = hand_made_matches(score={(0, 0): 4})
    yx = np.zeros((1, 12, 2))
    yx[0, 0] = (102 / 224, 1 - 76 / 224)
    score = np.zeros((1, 12))
    score[0, 0] = 4
    found = replace(found, views=None, yx=yx, score=score, mirrored=np.ones(1))
    where = answers(yx=np.array([[0.5, 0.75]]), mirrored=np.ones(1))
    result = parse(hand_made_parts(), found, where, 0)
    assert result.contribution[0] == pytest.approx(0.2)
    np.testing.assert_allclose(result.peak[0], yx[0, 0], rtol=1e-6)
    with pytest.raises(ExplGraphError, match="the other way round"):
        parse(hand_made_parts(), found, answers(), 0)


def test_parse__names_what_is_wrong():
    found = hand_made_matches()
    with pytest.raises(ExplGraphError, match="answer 1 does not exist: there are 1"):
        parse(hand_made_parts(), found, answers(), 1)
    with pytest.raises(ExplGraphError, match="top must be at least 1"):
        parse(hand_made_parts(), found, answers(), 0, top=0)
    with pytest.raises(ExplGraphError, match="template 2, part 'head' has 2"):
        parse(hand_made_parts(), found, answers(template=np.array([2])), 0)


def test_parse__table_and_frozen_arrays():
    found = hand_made_matches(score={(0, 0): 4, (0, 1): 1})
    where = answers(yx=np.array([[0.05, 0.0]]))
    result = parse(hand_made_parts(), found, where, 0)
    columns = ["node", "id", "y", "x", "vote_y", "vote_x", "score", "contribution"]
    assert list(result.table.columns) == columns
    assert len(result.table) == len(result) == 2
    with pytest.raises(ValueError, match="read-only"):
        result.peak[0] = 1
    with pytest.raises(ExplGraphError, match=r"Parse\.vote must have shape"):
        replace(result, vote=np.zeros((1, 2)))
    with pytest.raises(ExplGraphError, match="of one answer, got 2"):
        replace(result, answer=answers(("a", "b")))
