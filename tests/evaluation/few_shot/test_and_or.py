"""The And-Or graph's rows of the few-shot protocol, on drawn fishes."""

import numpy as np
import pytest

import explgraph as eg
from aog import PartConfig
from explgraph.evaluation.few_shot.and_or import AND_OR, PEAK, VOTES, PartGraph
from explgraph.evaluation.few_shot.study import Constants
from explgraph.evaluation.few_shot.tasks import Task, normalised_distances
from tests.support.drawn_parts import N_DRAWN, drawn

TRAIN = np.array([0, 1, 2])
TEST = np.arange(4, N_DRAWN)


@pytest.fixture(scope="module")
def found():
    fish = drawn()
    return eg.match(fish.graph, fish.net, fish.photos, views=True, progress=False)


@pytest.fixture(scope="module")
def task():
    points = drawn().points["head"]
    return Task(
        category="fish",
        part="head",
        clicks=3,
        seed=0,
        train=TRAIN,
        yx=points[TRAIN],
        size=np.full((3, 2), np.nan),
        test=TEST,
        truth=tuple(points[i][None] for i in TEST),
        photo_size=np.full((len(TEST), 2), 128.0),
    )


@pytest.fixture(scope="module")
def answers(found, task):
    return PartGraph(drawn().graph, found)(task)


def located(found, task, **settings):
    """The same by the public way: annotations in pixels, and all photos."""
    marks = eg.Annotations(
        image=tuple(found.images[i] for i in task.train),
        part=("head",) * len(task.train),
        yx=task.yx * 128 - 0.5,
        size=task.size,
        group=tuple(found.images[i] for i in task.train),
    )
    config = PartConfig(**settings)
    return eg.locate(eg.fit_parts(drawn().graph, found, marks, config=config), found).yx[task.test]


def test_rows__are_what_the_library_answers(found, task, answers):
    np.testing.assert_allclose(answers[AND_OR], located(found, task), atol=1e-5)
    alone = located(found, task, look=0, scene=0)
    np.testing.assert_allclose(answers[VOTES], alone, atol=1e-5)
    assert np.abs(answers[PEAK] - answers[AND_OR]).max() > 1e-3


def test_rows__beat_the_constants(task, answers):
    error = {row: normalised_distances(task, yx).mean() for row, yx in answers.items()}
    still = {row: normalised_distances(task, yx).mean() for row, yx in Constants()(task).items()}
    assert max(error.values()) < 0.6 * min(still.values())
