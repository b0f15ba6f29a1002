"""A session on the planted world."""

import pytest

import explgraph as eg
from tests.support.planted_parts import SIDE, planted_world


@pytest.fixture(scope="module")
def planted():
    return planted_world(14)


@pytest.fixture
def session(planted, tmp_path):
    with eg.LabelSession.create(
        tmp_path / "labels", planted.graph, planted.found, parts=("head", "tail")
    ) as made:
        yield made


@pytest.fixture
def pixel(planted):
    """Where the part is in a photo, by its row, pixels."""
    return lambda row: tuple(planted.centre[row] * SIDE - 0.5)
