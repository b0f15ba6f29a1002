"""Agreement of mining's orientations with heads, where both are planted."""

import dataclasses

import numpy as np
import pytest

from explgraph.base.errors import ExplGraphError
from explgraph.evaluation.facing import ALL, HALVES, LOWER, THIRDS, study_facing
from explgraph.evaluation.tracking import head_sides
from explgraph.evaluation.truth import part_truth
from mining.align import facing
from tests.support.plain import plain_marks
from tests.support.planted_peaks import chosen, peak_set, planted_peaks, random_peaks

N, SIDE = 24, 224


@pytest.fixture(scope="module")
def faced():
    """Photos whose peaks say which way they face, and heads that are mostly there."""
    peaks = planted_peaks(N, (8, 16), channels=8, seed=1, limbs=1, move=3.0).peaks
    side = np.random.default_rng(3).choice([-1, 1], N)
    given, other = (
        tuple(chosen(side > 0, a, b) for a, b in zip(first, second, strict=True))
        for first, second in ((peaks.peaks, peaks.mirrored), (peaks.mirrored, peaks.peaks))
    )
    peaks = dataclasses.replace(peaks, peaks=given, mirrored=other)
    head = side.copy()
    head[:3] *= -1  # looks back
    x = 112 + 60 * head
    x[5] = 112 + 21  # in the middle: not judged
    marks = plain_marks(peaks.images, "head", np.stack([np.full(N, 50), x], axis=1) - 0.5)
    return peaks, part_truth(marks, "head", (SIDE, SIDE)), side, head


def test_study__of_all_photos_by_hand(faced):
    peaks, truth, side, head = faced
    study = study_facing(peaks, truth, seeds=(0, 7), category="planted")
    for rows in study.rows.values():
        assert rows[ALL].cases == 1 and rows[HALVES].cases == 6 and rows[THIRDS].cases == 6
        assert rows[ALL].photos == N - 1
        assert rows[ALL].agreement == pytest.approx((N - 4) / (N - 1))  # all but who looks back
        assert rows[ALL].worst == rows[ALL].tenth == rows[ALL].agreement
        right = np.mean(np.delete(head, 5) > 0)
        assert rows[ALL].majority == pytest.approx(max(right, 1 - right))
        assert rows[HALVES].photos == pytest.approx((N - 1) / 2)
        assert rows[THIRDS].worst <= rows[THIRDS].tenth <= rows[THIRDS].agreement <= 1
        assert rows[ALL].unsure == 0 and np.isnan(rows[ALL].unsure_agreement)
        assert rows[ALL].sure_agreement == rows[ALL].agreement
        assert rows[LOWER].cases == 1
    assert abs((facing(peaks).signs * side).sum()) == N  # what was planted is found


def test_study__of_photos_that_say_nothing_is_chance(faced):
    peaks, truth, *_ = faced
    rng = np.random.default_rng(0)
    noise = peak_set((random_peaks(rng, N, channels=20),))
    blind = dataclasses.replace(noise, images=peaks.images)
    rows = study_facing(blind, truth, seeds=range(10)).rows.values()
    assert 0.5 <= np.mean([row[HALVES].agreement for row in rows]) < 0.75
    assert all(LOWER not in row for row in rows)  # there is no lower layer
    assert np.mean([row[HALVES].unsure for row in rows]) > 0.2


def test_study__only_annotated_photos_are_judged(faced):
    peaks, truth, *_ = faced
    few = study_facing(peaks.take(np.arange(10)), truth)
    assert few.rows[0][ALL].photos == 9
    table = few.table
    assert table["row"].tolist() == [ALL, HALVES, THIRDS, LOWER] and (table["seed"] == 0).all()
    assert few.to_json()["seeds"]["0"][ALL]["cases"] == 1


def test_study__needs_mirrored_photos_and_heads(faced):
    peaks, truth, *_ = faced
    with pytest.raises(ExplGraphError, match="mirror=True"):
        study_facing(dataclasses.replace(peaks, mirrored=None), truth)
    with pytest.raises(ExplGraphError, match="got 0"):
        study_facing(peaks.take(np.array([5])), truth)


def test_sides__of_heads(faced):
    peaks, truth, _, head = faced
    place = {name: i for i, name in enumerate(peaks.images)}
    wanted = [0 if place[name] == 5 else head[place[name]] for name in truth.images]
    assert head_sides(truth).tolist() == wanted
