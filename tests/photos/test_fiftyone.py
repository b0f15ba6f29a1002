"""FiftyOne's samples are filled by what they have in common with these."""

import sys
from types import SimpleNamespace

import numpy as np
import pytest

from explgraph.base.errors import ExplGraphError
from explgraph.photos.fiftyone import to_fiftyone

from .test_place_files import ODD, places


class Label:
    def __init__(self, **fields):
        self.__dict__.update(fields)


class Sample(dict):
    def __init__(self, filepath):
        super().__init__()
        self.filepath, self.saved = filepath, None

    def save(self):
        self.saved = dict(self)


@pytest.fixture
def fiftyone(monkeypatch):
    made = SimpleNamespace(
        Keypoint=type("Keypoint", (Label,), {}), Keypoints=type("Keypoints", (Label,), {})
    )
    monkeypatch.setitem(sys.modules, "fiftyone", made)
    return made


FIRST = "b \u00fc/a.jpg"


def told(sample, field="parts"):
    return [
        (point.label, point.points, point.confidence, point.answer)
        for point in sample.saved[field].keypoints
    ]


def test_samples__are_filled_by_their_paths(fiftyone):
    samples = [Sample(f"/data/{name}") for name in (FIRST, ODD, "other/a.jpg", "a.jpg")]
    assert to_fiftyone(samples, places()) == 2
    assert told(samples[0]) == [
        ("head", [(0.25, 0.5)], [1.0], "here"),
        ("tail", [(0.2, 0.1)], [1.0], "right"),
        ("paw", [(0.75, 0.25)], [pytest.approx(0.87654)], "predicted"),
    ]
    assert told(samples[1]) == [("tail", [(1.0, 1.0)], [0.5], "predicted")]
    assert isinstance(samples[0]["parts"], fiftyone.Keypoints)
    assert samples[2].saved is samples[3].saved is None


def test_samples__of_a_session_in_another_field_once_through(fiftyone):
    sample = Sample(ODD)
    session = SimpleNamespace(places=places)
    assert to_fiftyone(iter([sample]), session, "where") == 1
    assert [label for label, *_ in told(sample, "where")] == ["tail"]


def test_samples__of_answers_that_know_no_persons(fiftyone):
    where = SimpleNamespace(
        images=("a.jpg", "sub/a.jpg#1"), parts=("head",) * 2, yx=np.array([[0.5, 0.25]] * 2),
        confidence=np.array([0.5, 0.25], np.float32), visible=np.array([0, 1], np.uint8),
    )  # fmt: skip
    first, second = Sample("x/a.jpg"), Sample("x/sub/a.jpg")
    assert to_fiftyone([first, second], where) == 2
    assert told(first) == []
    assert told(second) == [("head", [(0.25, 0.5)], [0.25], "predicted")]


def test_samples__that_cannot_be_told_apart_or_are_others(fiftyone):
    with pytest.raises(ExplGraphError, match=r"may be y/.*or x/"):
        twice = [Sample(f"x/{ODD}"), Sample(f"y/{ODD}")]
        to_fiftyone(twice, places())
    assert twice[0].saved is None
    with pytest.raises(
        ExplGraphError, match=r"no sample is one of the photos, such as 'b ü/a\.jpg"
    ):
        to_fiftyone([Sample("a.jpg")], places())


def test_fiftyone__is_not_installed(monkeypatch):
    monkeypatch.setitem(sys.modules, "fiftyone", None)
    with pytest.raises(ExplGraphError, match="FiftyOne cannot be imported"):
        to_fiftyone([], places())


@pytest.mark.filterwarnings("ignore")
def test_samples__of_fiftyone_itself(monkeypatch):
    """Its classes, without its database: there, saving is its own business."""
    fiftyone = pytest.importorskip("fiftyone", exc_type=ImportError)
    saved = []
    monkeypatch.setattr(fiftyone.Sample, "save", lambda sample: saved.append(sample))
    sample = fiftyone.Sample(filepath=f"/data/{FIRST}")
    assert to_fiftyone([sample], places()) == 1
    assert saved == [sample]
    points = sample["parts"].keypoints
    assert [point.label for point in points] == ["head", "tail", "paw"]
    assert points[0].points == [[0.25, 0.5]]
    assert [point["answer"] for point in points] == ["here", "right", "predicted"]
