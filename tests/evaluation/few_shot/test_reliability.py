"""How sure an And-Or graph is, and how rightly: figures by hand, and a study of drawn fishes."""

import dataclasses
import json

import numpy as np
import pytest

from explgraph.base.errors import ExplGraphError
from explgraph.evaluation.few_shot.reliability import constant_region_area, study_reliability
from explgraph.evaluation.few_shot.study import pose_tasks
from tests.support.world import LAYER, WORLD

CELL = 1 / 28


def test_constant_region__one_place_is_one_cell():
    assert constant_region_area([np.full((1, 2), 0.5 + CELL / 2)] * 5, 1.0) == 1 / 28**2


def test_constant_region__holds_as_many_as_asked_for():
    """Eight photos with the part in one corner, two in the other, far away."""
    near, far = np.full((1, 2), 0.1), np.full((1, 2), 0.9)
    truth = [near] * 8 + [far] * 2
    few, all_of_them = constant_region_area(truth, 0.8), constant_region_area(truth, 0.9)
    assert few == 1 / 28**2
    # Before the sparse corner's middle come the cells around the dense one with more density.
    cells = (np.stack(np.meshgrid(np.arange(28), np.arange(28)), -1).reshape(-1, 2) + 0.5) / 28
    density = sum(
        n * np.exp(-((cells - p) ** 2).sum(1) / (2 * 0.05**2)) for n, p in ((8, 0.1), (2, 0.9))
    )
    middle = density[((cells * 28).astype(int) == int(0.9 * 28)).all(axis=1)][0]
    assert all_of_them == pytest.approx(((density > middle).sum() + 1) / 28**2)


def test_constant_region__any_instance_will_do():
    two = [np.array([[0.1, 0.1], [0.9, 0.9]])] * 3 + [np.array([[0.1, 0.1]])]
    assert constant_region_area(two, 1.0) == 1 / 28**2


def heads(size):
    """All that are visible, in boxes of so many pixels."""
    marks = WORLD.marks.of("head")
    return dataclasses.replace(marks, size=np.full((len(marks), 2), size), group=marks.image)


def posed(marks):
    splits = {"fish": {"head": {3: {0: list(WORLD.names[:3]), 1: list(WORLD.names[3:6])}}}}
    return pose_tasks(WORLD.net, {"fish": WORLD.source}, {"fish": marks}, splits, layers=[LAYER])


def test_study__of_drawn_fishes():
    marks = heads(30.0)
    noise = np.random.default_rng(0).integers(0, 255, (4, 128, 128, 3), dtype=np.uint8)
    study = study_reliability(posed(marks), {"fish": marks}, noise)
    assert [(t.part, t.clicks, t.seed) for t in study.tasks] == [("head", 3, 0), ("head", 3, 1)]
    for task in study.tasks:
        assert task.auroc > 0.8
        assert task.seen > task.seen_hidden + 0.3
        assert task.coverage > 0.8
        assert task.area < 0.5 * task.constant_area
        assert abs(task.confidence - task.near) < 0.25
    assert len(study.table) == 2
    assert study.summary["auroc"].tolist() == [pytest.approx(study.table["auroc"].mean())]
    assert json.loads(json.dumps(study.to_json()))[1]["seed"] == 1


def test_study__without_sizes_there_is_nothing_to_paint():
    blind = heads(np.nan)
    with pytest.raises(ExplGraphError, match="no photo with exactly one box"):
        study_reliability(posed(blind), {"fish": blind}, WORLD.photos)
