"""COCO key points: a file written out by hand, our own read again, and what is refused."""

import copy
import json
import math

import numpy as np
import pytest

from explgraph.base.errors import ExplGraphError
from explgraph.photos.annotation_files import read_annotations
from explgraph.photos.annotations import Annotations
from explgraph.photos.boxes import read_boxes
from explgraph.photos.keypoints import write_keypoints

# As a labelling tool writes it: ids that are not 1, 2, 3; two categories; a plain box; a crowd.
COCO = {
    "images": [
        {"id": 70, "file_name": "b/2.jpg", "width": 30, "height": 20},
        {"id": 7, "file_name": "1.jpg", "width": 9, "height": 9},
    ],
    "categories": [
        {"id": 3, "name": "dog", "keypoints": ["nose", "tail tip"], "skeleton": [[1, 2]]},
        {"id": 5, "name": "bird", "keypoints": ["beak"]},
        {"id": 6, "name": "lorry"},
    ],
    "annotations": [
        {"id": 1, "image_id": 70, "category_id": 3, "keypoints": [3, 4.5, 2, 0, 0, 0]},
        {"id": 2, "image_id": 7, "category_id": 5, "keypoints": [8, 0, 1], "bbox": [1, 2, 3, 4]},
        {"id": 3, "image_id": 7, "category_id": 6, "bbox": [0, 0, 1, 1]},
        {"id": 4, "image_id": 70, "category_id": 3, "keypoints": [1, 2, 2, 5, 6, 2]},
        {"id": 5, "image_id": 7, "category_id": 5, "keypoints": [0, 0, 0], "iscrowd": 1},
    ],
}


def write(folder, content):
    path = folder / "points.json"
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    return path


def test_read__triplets_without_what_is_not_labelled(tmp_path):
    marks = read_annotations(write(tmp_path, COCO))
    assert marks.image == ("b/2.jpg", "1.jpg", "b/2.jpg", "b/2.jpg") == marks.group
    assert marks.part == ("nose", "beak", "nose", "tail tip")
    np.testing.assert_array_equal(marks.yx, [[4.5, 3], [0, 8], [2, 1], [6, 5]])
    assert np.isnan(marks.size).all()  # a bbox is the object's


def test_read__one_category_and_chosen_parts(tmp_path):
    path = write(tmp_path, COCO)
    assert read_annotations(path, label="bird").part == ("beak",)
    assert read_annotations(path, label="dog", parts=["tail tip"]).image == ("b/2.jpg",)
    with pytest.raises(ExplGraphError, match=r"unknown category in .*: 'dig'; the nearest are dog"):
        read_annotations(path, label="dig")
    with pytest.raises(ExplGraphError, match="holds no annotations of parts"):
        read_annotations(path, label="lorry")


def changed(**change):
    """Return the file with one thing changed in its annotation 1."""
    content = copy.deepcopy(COCO)
    content["annotations"][0].update(change)
    return content


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("{", "is no JSON.*A COCO file of key points is"),
        ("[]", "holds no tasks.*A COCO file of key points is"),
        ({**COCO, "categories": [{"id": 3}]}, "missing required field `name`"),
        ({**COCO, "categories": [3]}, r"Expected `object`.* at `\$.categories\[0\]`"),
        ({**COCO, "annotations": [3]}, r"Expected `object`.* at `\$.annotations\[0\]`"),
        ({**COCO, "images": [{"id": [1], "file_name": "a"}]}, r"images\[0\].id"),
        ({**COCO, "images": [{"id": 1, "file_name": 7}]}, r"images\[0\].file_name"),
        ({**COCO, "categories": [{"id": 1, "name": "a", "keypoints": [7]}]}, "Expected `str`"),
        (changed(keypoints=[10**400, 2, 2, 0, 0, 0]), "is no JSON|out of range"),
        (changed(keypoints=[2e9, 2, 2, 0, 0, 0]), "Expected `float` <= 1000000000"),
        (changed(explgraph={"item": 5}), r"Expected `str.*explgraph.item"),
        (changed(explgraph={"group": ["a"]}), r"Expected `str.*explgraph.group"),
        (changed(explgraph={"sizes": [-1, 1, 1, 1]}), r"Expected `float` >= 0"),
        ("[" * 100_000, "A COCO file of key points is"),
        ('{"images": ' + "[" * 100_000, "A COCO file of key points is"),
        ({**COCO, "annotations": []}, "holds no annotations of parts"),
        (changed(image_id=71), "annotation 1: image_id 71 or category_id 3 is not among"),
        (changed(category_id=4), "annotation 1: image_id 70 or category_id 4 is not among"),
        (changed(keypoints=[1, 2, 2]), "3 numbers for each of the 2 key points .* got 3"),
        (changed(keypoints=[1, "x", 2, 0, 0, 0]), "Expected `float.*keypoints"),
        (changed(keypoints=[1, None, 2, 0, 0, 0]), "'nose' must have numbers as position"),
        (changed(explgraph={"sizes": [1]}), "2 numbers for each of the 2 key points .* got 1"),
    ],
)
def test_read__what_is_wrong_is_named(tmp_path, content, message):
    with pytest.raises(ExplGraphError, match=message) as caught:
        read_annotations(write(tmp_path, content))
    assert "points.json" in str(caught.value)


def test_read__no_file(tmp_path):
    with pytest.raises(ExplGraphError, match="does not exist"):
        read_annotations(tmp_path / "none.json")


NAN = math.nan
MARKS = Annotations(
    image=("b.jpg", "a.jpg#1", "b.jpg", "a.jpg#0", "b.jpg"),
    part=("tail", "head", "head", "head", "head"),
    yx=np.array([[4, 3], [1.5, 2], [0, 0], [7, 8], [2, 6]]),
    size=np.array([[2, 4], [NAN, NAN], [1, 1], [3, NAN], [4, 2]]),
    group=("g", "a.jpg", "g", "a.jpg", "g"),
)
SIZES = {"b.jpg": (10, 20), "a.jpg": (30, 40), "empty.jpg": (5, 6)}


def test_write__by_hand(tmp_path):
    write_keypoints(
        tmp_path / "new" / "p.json", MARKS, SIZES,
        scores=[0.5, 1, 0.25, 0, 0.75], visible=[1, 1, 0, 1, 1], category="cow",
    )  # fmt: skip
    assert json.loads((tmp_path / "new" / "p.json").read_text()) == {
        "images": [
            {"id": 1, "file_name": "a.jpg", "width": 40, "height": 30},
            {"id": 2, "file_name": "b.jpg", "width": 20, "height": 10},
            {"id": 3, "file_name": "empty.jpg", "width": 6, "height": 5},
        ],
        "categories": [
            {
                "id": 1, "name": "cow", "supercategory": "cow",
                "keypoints": ["head", "tail"], "skeleton": [],
            }
        ],
        "annotations": [
            {   # a head of unknown size: one pixel around x 2, y 1.5 as pixel centres
                "id": 1, "image_id": 1, "category_id": 1,
                "keypoints": [2, 1.5, 2, 0, 0, 0], "num_keypoints": 1, "iscrowd": 0,
                "bbox": [2, 1.5, 1, 1], "area": 1, "score": 1,
                "explgraph": {"item": "a.jpg#1", "group": "a.jpg",
                              "sizes": [None] * 4, "scores": [1, None]},
            },
            {   # only the height, 3, is known
                "id": 2, "image_id": 1, "category_id": 1,
                "keypoints": [8, 7, 2, 0, 0, 0], "num_keypoints": 1, "iscrowd": 0,
                "bbox": [8, 6, 1, 3], "area": 3, "score": 0,
                "explgraph": {"item": "a.jpg#0", "group": "a.jpg",
                              "sizes": [None, 3, None, None], "scores": [0, None]},
            },
            {   # head: x 0..1, y 0..1; tail, 4 x 2 around (3.5, 4.5): x 1.5..5.5, y 3.5..5.5
                "id": 3, "image_id": 2, "category_id": 1,
                "keypoints": [0, 0, 1, 3, 4, 2], "num_keypoints": 2, "iscrowd": 0,
                "bbox": [0, 0, 5.5, 5.5], "area": 30.25, "score": 0.375,
                "explgraph": {"item": "b.jpg", "group": "g",
                              "sizes": [1, 1, 4, 2], "scores": [0.25, 0.5]},
            },
            {   # the second head of b.jpg, 2 wide and 4 high around (6.5, 2.5)
                "id": 4, "image_id": 2, "category_id": 1,
                "keypoints": [6, 2, 2, 0, 0, 0], "num_keypoints": 1, "iscrowd": 0,
                "bbox": [5.5, 0.5, 2, 4], "area": 8, "score": 0.75,
                "explgraph": {"item": "b.jpg", "group": "g",
                              "sizes": [2, 4, None, None], "scores": [0.75, None]},
            },
        ],
    }  # fmt: skip


def test_write__a_key_point_lies_amid_its_pixel_and_a_box_begins_at_its_corner(tmp_path):
    """`boxes` reads the same file: CSV's x = 3, width = 3 is COCO's box 2, 3 but key point 3."""
    marks = Annotations(("a.jpg",), ("head",), np.array([[3, 3]]), np.array([[3, 3]]), ("a.jpg",))
    write_keypoints(tmp_path / "p.json", marks, (9, 9))
    content = json.loads((tmp_path / "p.json").read_text())["annotations"][0]
    assert content["keypoints"] == [3, 3, 2]
    assert content["bbox"] == [2, 2, 3, 3]
    assert "score" not in content
    (box,) = read_boxes(tmp_path / "p.json")["a.jpg"]
    assert (box.y0, box.x0, box.y1, box.x1) == (2, 2, 5, 5)


def as_rows(marks):
    """Return annotations as rows that can be sorted and compared, NaN as -1."""
    rows = zip(
        marks.image, marks.part, marks.group, marks.yx.tolist(),
        np.nan_to_num(marks.size, nan=-1).tolist(), strict=True,
    )  # fmt: skip
    return sorted(rows)


def test_write__read_again_is_the_same(tmp_path, rng):
    count = 60
    size = rng.uniform(0, 50, (count, 2))
    size[::3] = np.nan
    image = rng.choice(["x/1.jpg", "2.jpg#0", "2.jpg#1", "été.jpg"], count).tolist()
    marks = Annotations(
        image=tuple(image),
        part=tuple(rng.choice(["head", 'a "part"', "9"], count).tolist()),
        yx=rng.normal(size=(count, 2)) * 10.0 ** rng.integers(-8, 8, (count, 1)),
        size=size,
        group=tuple(f"group of {name[:2]}" for name in image),
    )
    write_keypoints(tmp_path / "once.json", marks, (100, 100))
    again = read_annotations(tmp_path / "once.json")
    assert as_rows(again) == as_rows(marks)
    assert again.image == tuple(sorted(again.image, key=lambda name: name[:5]))
    write_keypoints(tmp_path / "twice.json", again, (100, 100))
    assert (tmp_path / "twice.json").read_bytes() == (tmp_path / "once.json").read_bytes()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"photo_size": {"b.jpg": (1, 1), "c.jpg": (1, 1)}}, "unknown photo 'a.jpg'; the nearest"),
        ({"photo_size": (10, 0)}, r"the size of 'a.jpg' must be .height, width. above 0"),
        ({"scores": [1, 2]}, r"scores must have shape \(5\), got \(2,\)"),
        ({"scores": [1, 2, 3, 4, NAN]}, "scores must be finite"),
        ({"visible": [True]}, "visible must have shape"),
    ],
)
def test_write__what_does_not_fit(tmp_path, change, message):
    with pytest.raises(ExplGraphError, match=message):
        write_keypoints(tmp_path / "p.json", MARKS, **{"photo_size": SIZES, **change})
    assert not list(tmp_path.iterdir())
