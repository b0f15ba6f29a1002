"""Strategies of asking, on photos whose likeness is planted."""

import numpy as np
import pytest

from aog.asking import STRATEGIES, Known, next_photos, typical

# Three photos alike, one like nothing else, a pair; unit vectors.
FEATURES = np.eye(3, dtype=np.float32)[[0, 0, 0, 1, 2, 2]]
CONFIDENCE = np.array([0.5, 0.4, 0.9, 0.1, 0.3, 0.8], dtype=np.float32)


def known(answered=(), confidence=CONFIDENCE):
    done = np.zeros(len(FEATURES), dtype=bool)
    done[list(answered)] = True
    return Known(FEATURES, confidence, done)


def best(name, **what):
    return next_photos(known(**what), 1, STRATEGIES[name])[1]


def test_first_question__is_a_photo_like_most_others():
    value, rows = next_photos(known(confidence=None), 3)
    np.testing.assert_array_equal(value, typical(known(confidence=None)))
    assert rows[0] in (0, 1, 2)
    assert rows[1] in (4, 5)  # another one like the first would be asked in vain
    assert rows[2] == 3


@pytest.mark.parametrize(
    ("name", "answered", "row"),
    [
        ("least sure", (), 3),
        ("least sure", (3,), 4),
        # doubts of each company: .5 + .6 + .1, .9, .7 + .2
        ("doubtful company", (), 3),  # .9 x .9 before .6 x 1.2
        ("company alone", (), 0),
        ("doubtful company", (3,), 1),
        # below the answered photo's .9: .4 .5 0 .8 .6 .1, times the open ones alike: 2 2 2 1 2 2
        ("behind the answered", (2,), 4),
        ("unlike the answered", (0,), 3),
        ("unlike the answered", (0, 3), 4),
    ],
)
def test_strategies__by_hand(name, answered, row):
    assert best(name, answered=answered) == [row]


@pytest.mark.parametrize("name", STRATEGIES)
def test_strategies__answered_photos_and_those_out_of_reach_are_not_asked(name):
    among = np.array([True, True, False, False, True, True])
    _, rows = next_photos(known(answered=(4,)), 9, STRATEGIES[name], among)
    assert sorted(rows) == [0, 1, 5]
