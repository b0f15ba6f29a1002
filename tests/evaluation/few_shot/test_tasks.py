"""Tasks and figures of the few-shot protocol, on photos few enough to be counted by hand."""

import dataclasses
import json
import math

import numpy as np
import pytest

from explgraph.base.errors import ExplGraphError
from explgraph.evaluation.few_shot.tasks import (
    FewShotStudy,
    Score,
    normalised_distances,
    score,
    tasks,
)
from explgraph.photos.annotations import Annotations

IMAGES = ("a.jpg", "b.jpg", "c.jpg", "d.jpg")
SIZES = {"a.jpg": (100, 200), "b.jpg": (100, 200), "c.jpg": (30, 40), "d.jpg": (10, 10)}
MARKS = [  # image, part, (y, x), (height, width), group; a and d are crops of one photo
    ("c.jpg", "head", (2.5, 3.5), (3, 4), "p3"),
    ("c.jpg", "head", (26.5, 35.5), (np.nan, np.nan), "p3"),
    ("a.jpg", "head", (49.5, 19.5), (10, 20), "p1"),
    ("b.jpg", "head", (9.5, 9.5), (10, 20), "p2"),
    ("b.jpg", "feet", (89.5, 9.5), (10, 20), "p2"),
    ("d.jpg", "head", (4.5, 4.5), (1, 1), "p1"),
    ("gone.jpg", "head", (4.5, 4.5), (1, 1), "p4"),
]


@pytest.fixture
def annotations():
    image, part, yx, size, group = zip(*MARKS, strict=True)
    return Annotations(image, part, np.array(yx), np.array(size, dtype=float), group)


@pytest.fixture
def task(annotations):
    (found,) = tasks(IMAGES, annotations, SIZES, {"head": {1: {7: ("a.jpg",)}}}, category="bird")
    return found


def test_task__is_tested_on_all_photos_of_other_groups(task):
    assert (task.category, task.part, task.clicks, task.seed) == ("bird", "head", 1, 7)
    assert task.train.tolist() == [0]
    assert task.test.tolist() == [1, 2]  # not d: another crop of the clicked photo
    np.testing.assert_allclose(task.yx, [[0.5, 0.1]])
    np.testing.assert_allclose(task.size, [[0.1, 0.1]])
    assert task.photo_size.tolist() == [[100, 200], [30, 40]]
    np.testing.assert_allclose(task.truth[0], [[0.1, 0.05]])
    np.testing.assert_allclose(task.truth[1], [[0.1, 0.1], [0.9, 0.9]])


def test_task__clicks_the_first_of_several_instances(annotations):
    (found,) = tasks(IMAGES, annotations, SIZES, {"head": {1: {0: ("c.jpg",)}}})
    np.testing.assert_allclose(found.yx, [[0.1, 0.1]])


def test_distance__is_to_the_nearest_instance_in_diagonals(task):
    """Photo b is 100 x 200: 10 down and 20 to the right. Photo c, 30 x 40: its second head."""
    found = normalised_distances(task, np.array([[0.2, 0.15], [0.7, 0.9]]))
    np.testing.assert_allclose(found, [math.hypot(10, 20) / math.hypot(100, 200), 6 / 50])


def test_distance__refuses_a_missing_or_unfinished_answer(task):
    with pytest.raises(ExplGraphError, match="predictions"):
        normalised_distances(task, np.array([[0.2, 0.15]]))
    with pytest.raises(ExplGraphError, match="finite"):
        normalised_distances(task, np.array([[0.2, 0.15], [0.7, np.nan]]))


@pytest.mark.parametrize(
    ("splits", "message"),
    [
        ({"haed": {1: {0: ("a.jpg",)}}}, "head"),
        ({"head": {1: {0: ("aa.jpg",)}}}, "a.jpg"),
        ({"feet": {1: {0: ("a.jpg",)}}}, "annotated"),
        ({"head": {2: {0: ("a.jpg",)}}}, "expected 2 photos"),
        ({"head": {3: {0: ("a.jpg", "b.jpg", "c.jpg")}}}, "no image"),
    ],
)
def test_tasks__refuse_splits_that_do_not_fit(annotations, splits, message):
    with pytest.raises(ExplGraphError, match=message):
        tasks(IMAGES, annotations, SIZES, splits)


def test_tasks__need_every_photos_size(annotations):
    with pytest.raises(ExplGraphError, match="size"):
        tasks(IMAGES, annotations, {"a.jpg": (1, 1)}, {"head": {1: {0: ("a.jpg",)}}})


def test_score__names_the_task_and_keeps_each_distance(task):
    (one,) = score(task, {"row": np.array([[0.1, 0.05], [0.1, 0.1]])})
    assert (one.category, one.part, one.clicks, one.seed, one.row) == ("bird", "head", 1, 7, "row")
    np.testing.assert_allclose(one.distances, 0, atol=1e-12)


def study(values):
    """Build a study from {(category, part, seed, row): distances}."""
    return FewShotStudy(
        tuple(
            Score(category, part, 1, seed, row, np.array(distances, dtype=float))
            for (category, part, seed, row), distances in values.items()
        )
    )


def test_table__counts_shares_within_a_tenth_and_a_fifth():
    found = study({("bird", "head", 0, "ours"): [0.05, 0.1, 0.15, 0.5]}).table
    assert found["distance"].tolist() == pytest.approx([0.2])
    assert found["median"].tolist() == pytest.approx([0.125])
    assert found["pck10"].tolist() == [0.5]
    assert found["pck20"].tolist() == [0.75]
    assert found["photos"].tolist() == [4]


TWO = {  # by category, part and seed: ours, other
    ("bird", "head", 0): (0.1, 0.2),
    ("bird", "head", 1): (0.2, 0.4),
    ("bird", "feet", 0): (0.4, 0.4),
    ("bird", "feet", 1): (0.4, 0.4),
    ("bird", "tail", 0): (0.2, 0.2),
    ("bird", "tail", 1): (0.2, 0.2),
    ("cat", "head", 0): (0.3, 0.3),
    ("cat", "head", 1): (0.3, 0.3),
    ("cat", "paws", 0): (0.1, 0.2),
    ("cat", "paws", 1): (0.1, 0.2),
}


@pytest.fixture
def two():
    return study(
        {
            (*key, row): [value]
            for key, pair in TWO.items()
            for row, value in zip(("ours", "other"), pair, strict=True)
        }
    )


def test_summary__averages_seeds_then_parts_of_a_category_then_categories(two):
    found = two.summary().set_index(["part", "clicks", "row"])["distance"]
    assert found["head", 1, "ours"] == pytest.approx((0.15 + 0.3) / 2)
    # Of the bird, feet and tail count as one: (.4 + .2) / 2.
    assert found["other part", 1, "ours"] == pytest.approx((0.3 + 0.1) / 2)
    only = two.summary(["bird"]).set_index(["part", "row"])["distance"]
    assert only["head", "ours"] == pytest.approx(0.15)
    assert only["feet", "ours"] == pytest.approx(0.4)


def test_paired__has_both_standard_errors(two):
    """Differences on heads: bird -.1 and -.2 for the two seeds, cat 0 and 0."""
    found = two.paired("ours", "other").set_index("part").loc["head"]
    assert found["difference"] == pytest.approx(-0.075)
    assert found["error_seeds"] == pytest.approx(0.025)  # of -.05 and -.1
    assert found["error_categories"] == pytest.approx(0.075)  # of -.15 and 0


def test_paired__has_no_error_of_a_single_category(two):
    found = two.paired("ours", "other", ["bird"]).set_index("part").loc["head"]
    assert found["error_seeds"] == pytest.approx(0.05)
    assert math.isnan(found["error_categories"])


def test_paired__names_the_rows_and_categories_there_are(two):
    with pytest.raises(ExplGraphError, match="ours"):
        two.paired("our", "other")
    with pytest.raises(ExplGraphError, match="bird"):
        two.paired("ours", "other", ["brid"])


def test_json__has_every_task_and_the_means(two):
    found = json.loads(json.dumps(two.to_json(), allow_nan=False))
    assert len(found["tasks"]) == 2 * len(TWO)
    assert {"part": "head", "clicks": 1, "row": "ours"}.items() <= found["means"][0].items()


def test_task__is_checked(task):
    with pytest.raises(ExplGraphError, match=r"Task\.yx"):
        dataclasses.replace(task, yx=np.zeros((2, 2)))
