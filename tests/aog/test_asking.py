"""Strategies of asking, on photos whose likeness is planted."""

import numpy as np
import pytest

from aog.asking import STRATEGIES, Known, clearest, clearness, next_photos
from aog.sight import Sight, sight

# Three photos alike, one like nothing else, a pair; unit vectors.
FEATURES = np.eye(3, dtype=np.float32)[[0, 0, 0, 1, 2, 2]]
CONFIDENCE = np.array([0.5, 0.4, 0.9, 0.1, 0.3, 0.8], dtype=np.float32)
CLEAR = np.array([0.2, 0.9, 0.8, 0.1, 0.7, 0.6])


def known(answered=(), confidence=CONFIDENCE, visible=None):
    done = np.zeros(len(FEATURES), dtype=bool)
    done[list(answered)] = True
    return Known(FEATURES, confidence, done, CLEAR, visible)


def best(name, **what):
    return next_photos(known(**what), 1, STRATEGIES[name])[1]


def test_first_question__is_the_clearest_photo_then_a_clear_one_unlike_it():
    value, rows = next_photos(known(confidence=None), 3)
    np.testing.assert_array_equal(value, clearest(known(confidence=None)))
    assert rows == [1, 4, 3]  # 2 and 5 are like 1 and 4: they would be asked in vain


def test_clearness__falls_where_scores_fade_places_stray_or_the_view_is_unsure(world):
    seen = sight(world.graph, world.found)
    clear = clearness(seen)
    assert ((clear > 0) & (clear <= 1)).all()
    best = int(clear.argmax())
    for field, change in (
        ("score", lambda values: values * 0.01),
        ("yx", lambda values: values[..., ::-1] + 40),
        ("odds", lambda values: values * 0),
    ):
        changed = getattr(seen, field).copy()
        changed[best] = change(changed[best])
        # Not `_replace`: it counts fields by `len`, which is that of the photos.
        fields = {name: getattr(seen, name) for name in seen._fields} | {field: changed}
        assert clearness(Sight(**fields))[best] < clear[best], field


@pytest.mark.parametrize(
    ("name", "answered", "row"),
    [
        ("least sure", (), 3),
        ("least sure", (3,), 4),
        # below the answered photo's .9: .4 .5 0 .8 .6 .1, times the open ones alike: 2 2 2 1 2 2
        ("behind the answered", (2,), 4),
        ("unlike the answered", (), 1),  # the clearest
        ("unlike the answered", (0,), 3),
        ("unlike the answered", (0, 3), 4),
        ("doubtful new poses", (0,), 3),
        ("doubtful new poses", (0, 3), 4),
    ],
)
def test_strategies__by_hand(name, answered, row):
    assert best(name, answered=answered) == [row]


def test_doubtful_new_poses__a_hidden_part_is_worth_less():
    shown = np.array([True, True, True, False, True, True])
    assert best("doubtful new poses", answered=(0,), visible=shown) == [4]  # .7 before .3 x .9


@pytest.mark.parametrize("name", STRATEGIES)
def test_strategies__answered_photos_and_those_out_of_reach_are_not_asked(name):
    among = np.array([True, True, False, False, True, True])
    _, rows = next_photos(known(answered=(4,)), 9, STRATEGIES[name], among)
    assert sorted(rows) == [0, 1, 5]
