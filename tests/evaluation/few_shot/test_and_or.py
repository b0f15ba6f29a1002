"""The And-Or graph's rows of the few-shot protocol, on drawn fishes."""

import numpy as np
import pytest

import explgraph as eg
from aog import PartConfig
from explgraph.evaluation.few_shot.and_or import AND_OR, PEAK, VOTES, PartGraph
from explgraph.evaluation.few_shot.study import Constants
from explgraph.evaluation.few_shot.tasks import Task, normalised_distances
from tests.support.world import N_PHOTOS

TRAIN = np.array([0, 1, 2])
TEST = np.arange(4, N_PHOTOS)


@pytest.fixture(scope="module")
def task(world):
    points = world.points["head"]
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
def answers(world, task):
    return PartGraph(world.graph, world.found)(task)


def located(world, task, **settings):
    """The same by the public way: annotations in pixels, and all photos."""
    heads = world.marks.of("head")
    clicks = heads.take(np.isin(heads.image, [world.names[i] for i in task.train]))
    parts = eg.fit_parts(world.graph, world.found, clicks, config=PartConfig(**settings))
    return eg.locate(parts, world.found).yx[task.test]


def test_rows__are_what_the_library_answers(world, task, answers):
    np.testing.assert_allclose(answers[AND_OR], located(world, task), atol=1e-5)
    alone = located(world, task, look=0, scene=0)
    np.testing.assert_allclose(answers[VOTES], alone, atol=1e-5)
    assert np.abs(answers[PEAK] - answers[AND_OR]).max() > 1e-3


def test_rows__beat_the_constants(task, answers):
    error = {row: normalised_distances(task, yx).mean() for row, yx in answers.items()}
    still = {row: normalised_distances(task, yx).mean() for row, yx in Constants()(task).items()}
    assert max(error.values()) < 0.6 * min(still.values())
