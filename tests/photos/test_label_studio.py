"""Label Studio's JSON: positions worked out by hand, names from addresses, what is none of it."""

import json

import numpy as np
import pytest

from explgraph.base.errors import ExplGraphError
from explgraph.photos.annotation_files import read_annotations

SIDES = {"original_width": 200, "original_height": 100, "image_rotation": 0}


def point(x, y, *labels, **more):
    value = {"x": x, "y": y, "width": 0.7, "keypointlabels": list(labels)}
    about = {"id": "a", "from_name": "kp", "to_name": "img", "type": "keypointlabels"}
    return {**about, **SIDES, "value": value, **more}


def box(x, y, width, height, *labels, rotation=0):
    sides = {"x": x, "y": y, "width": width, "height": height}
    value = {**sides, "rotation": rotation, "rectanglelabels": list(labels)}
    return {**SIDES, "type": "rectanglelabels", "value": value}


def task(*result, image="/data/local-files/?d=photos/a.jpg", **more):
    return {"id": 1, "data": {"image": image}, "annotations": [{"result": [*result]}], **more}


def read(tmp_path, *tasks, **options):
    (tmp_path / "a.json").write_text(json.dumps(tasks))
    return read_annotations(tmp_path / "a.json", **options)


def test_read__counted_by_hand(tmp_path):
    """50 % of 200 pixels are 100 from the edge, which is pixel 99.5."""
    marks = read(
        tmp_path,
        task(
            point(50, 50, "head"),
            point(0, 100, "tail", "end"),
            box(10, 20, 5, 10, "paw"),
            box(10, 20, 5, 10, "paw", rotation=90),
            {"type": "choices", "value": {"choices": ["cat"]}, "from_name": "kind"},
            {"type": "relation", "from_id": "a", "to_id": "b"},
        ),
    )
    assert marks.part == ("head", "tail", "end", "paw", "paw")
    assert marks.image == marks.group == ("a.jpg",) * 5
    expected = [[49.5, 99.5], [99.5, -0.5], [99.5, -0.5], [24.5, 24.5], [24.5, 14.5]]
    np.testing.assert_allclose(marks.yx, expected, atol=1e-9)
    np.testing.assert_allclose(marks.size[3:], [[10, 10], [10, 10]])
    assert np.isnan(marks.size[:3]).all()


def test_read__a_turned_box_turns_about_its_corner(tmp_path):
    marks = read(tmp_path, task(box(50, 50, 10, 10, "paw", rotation=90)))
    np.testing.assert_allclose(marks.yx, [[59.5, 94.5]])  # 20 wide, now 20 high, to the left
    np.testing.assert_allclose(marks.size, [[20, 10]])


@pytest.mark.parametrize(
    ("addresses", "names"),
    [
        (["/data/local-files/?d=x/photos/a%20b.jpg", "/data/local-files/?d=x/photos/c/d.jpg"],
         ["a b.jpg", "c/d.jpg"]),
        (["http://localhost/data/local-files/?d=x%5Cc%5Ca.jpg", "/data/local-files/?d=x/b.jpg"],
         ["c/a.jpg", "b.jpg"]),
        (["/data/upload/7/1f2e3d4c-a.jpg", "/data/upload/8/0a0a0a0a-deadbeef-b.jpg"],
         ["a.jpg", "deadbeef-b.jpg"]),
        (["https://example.org/p/a.jpg?token=1", "https://example.org/p/q/b%3F.jpg"],
         ["a.jpg", "q/b?.jpg"]),
        (["s3://bucket/p/a.jpg", "s3://bucket/q/a.jpg"], ["p/a.jpg", "q/a.jpg"]),
        (["a?.jpg", "b%20.jpg"], ["a?.jpg", "b%20.jpg"]),
        (["x/a.jpg", "x/a.jpg"], ["a.jpg", "a.jpg"]),
    ],
)  # fmt: skip
def test_read__names_from_addresses(tmp_path, addresses, names):
    marks = read(tmp_path, *(task(point(1, 1, "head"), image=image) for image in addresses))
    assert list(marks.image) == names


def test_read__the_address_is_the_only_text_if_it_is_not_called_image(tmp_path):
    one = task(point(1, 1, "head"))
    one["data"] = {"picture": "/data/local-files/?d=p/a.jpg", "width": 3}
    assert read(tmp_path, one).image == ("a.jpg",)
    one["data"]["more"] = "text"
    with pytest.raises(ExplGraphError, match=r"task 1: its 'data'.*'picture', 'width', 'more'"):
        read(tmp_path, one)


def test_read__cancelled_annotations_and_predictions_mark_nothing(tmp_path):
    one = task(point(1, 1, "head"), predictions=[{"result": [point(9, 9, "tail")]}])
    one["annotations"] += [{"result": [point(1, 1, "tail")], "was_cancelled": True}]
    one["annotations"] += [{"result": [point(1, 1, "ear")], "was_cancelled": False}]
    assert read(tmp_path, one).part == ("head", "ear")
    with pytest.raises(ExplGraphError, match="predictions alone: submit them"):
        read(tmp_path, {**one, "annotations": []})


@pytest.mark.parametrize(
    ("tasks", "message"),
    [
        ([], "holds no tasks"),
        ([3], r"Expected `object`.*is a list of tasks with 'data'"),
        ([{"image": "a.jpg", "kp": []}], "missing required field `data`.*not 'JSON-MIN'"),
        ([task(point(None, 1, "head"))], r"task 1, 'a\.jpg', its keypointlabels: Expected `float`"),
        ([task(point(1, 1, ""))], "Expected `str` of length >= 1"),
        ([task(point(1, 1, "head", original_width=None))], "expected 'original_width'"),
        ([task(point(1, 1, "head", original_width=0))], "Expected `float` > 0"),
        ([task(point(1, 1, "head", image_rotation=90))], "was turned in Label Studio"),
        ([task(point(1e300, 1, "head"))], "lies more than 1e"),
        ([task(box(1, 1, -1, 2, "head"))], "negative sides"),
        ([task(point(1, 1))], "holds no annotations of parts"),
        ([task(point(1, 1, "head"), image="")], "must have the photo's address"),
        ([task(point(1, 1, "head"), image=3)], "must have the photo's address"),
    ],
)
def test_read__what_is_wrong_is_named(tmp_path, tasks, message):
    with pytest.raises(ExplGraphError, match=message) as caught:
        read(tmp_path, *tasks)
    assert "a.json" in str(caught.value)


def test_read__has_no_labels_of_objects(tmp_path):
    with pytest.raises(ExplGraphError, match="has no labels to choose 'cat' from"):
        read(tmp_path, task(point(1, 1, "head")), label="cat")
