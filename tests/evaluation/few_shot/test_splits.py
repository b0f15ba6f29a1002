"""Splits: files written out by hand, and draws that keep what belongs together on one side."""

import csv
import json
from collections import Counter

import numpy as np
import pytest

from explgraph.base.errors import ExplGraphError
from explgraph.evaluation.few_shot.splits import held_out, read_splits
from explgraph.photos.annotation_files import read_annotations
from tests.support.plain import plain_marks

PUBLIC = {"bird": {"head": {"1": {"0": ["a"], "7": ["b"]}, "2": {"0": ["a", "b"]}}}}


def annotations(rows):
    """Return annotations from rows of image, part, group."""
    images, parts, group = zip(*rows, strict=True)
    return plain_marks(images, parts, np.zeros((len(rows), 2)), group)


# 40 photos in 20 groups; the head is marked twice in p00 to p04, the tail only in p30 to p39.
ROWS = [
    *((f"p{k:02d}", "head", f"g{k // 2}") for k in range(40)),
    *((f"p{k:02d}", "head", f"g{k // 2}") for k in range(5)),
    *((f"p{k:02d}", "tail", f"g{k // 2}") for k in range(30, 40)),
]


def test_read_splits__numbers_become_numbers(tmp_path):
    (tmp_path / "s.json").write_text(json.dumps(PUBLIC))
    assert read_splits(tmp_path / "s.json") == {
        "bird": {"head": {1: {0: ("a",), 7: ("b",)}, 2: {0: ("a", "b")}}}
    }


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("{", "is no JSON"),
        ("[]", r"s\.json: expected an object with each category as a key, got \[\]"),
        ("{}", r"s\.json: expected an object with each category"),
        ({"bird": 3}, r"s\.json > bird: expected an object with each part as a key, got 3"),
        ({"bird": {"head": ["a"]}}, "> head: expected an object with each number of clicks"),
        ({"bird": {"head": {"1": ["a"]}}}, "head > 1: expected an object with each seed as a key"),
        ({"b": {"h": {"one": {"0": ["a"]}}}}, "number of clicks must be a whole number.*got 'one'"),
        ({"b": {"h": {"1": {"-1": ["a"]}}}}, "seed must be a whole number.*got '-1'"),
        ({"b": {"h": {"\uff11": {"0": ["a"]}}}}, "number of clicks must be a whole number"),
        ({"b": {"h": {"1" * 5000: {"0": ["a"]}}}}, "number of clicks must be a whole number"),
        ("[" * 100_000, "deep|no JSON"),
        ({"b": {"h": {"2": {"0": ["a"]}}}}, "b > h > 2 > 0: expected a list of 2 different names"),
        ({"b": {"h": {"2": {"0": ["a", "a"]}}}}, "list of 2 different names"),
        ({"b": {"h": {"1": {"0": "a"}}}}, "list of 1 different names of images, got a"),
        ({"b": {"h": {"1": {"0": [1]}}}}, "list of 1 different names"),
        ({"b": {"h": {"0": {"0": []}}}}, "list of 0 different names"),
    ],
)
def test_read_splits__says_where(tmp_path, content, message):
    path = tmp_path / "s.json"
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    with pytest.raises(ExplGraphError, match=message):
        read_splits(path)


def test_read_splits__no_file(tmp_path):
    with pytest.raises(ExplGraphError, match="does not exist"):
        read_splits(tmp_path / "none.json")


def test_held_out__without_the_groups_of_the_clicked():
    marks = annotations(ROWS)
    # p31 is in the group of p30, p05 in that of p04, which has no tail.
    assert held_out(marks, "tail", ["p31", "p04"]) == [f"p{k}" for k in range(32, 40)]
    assert held_out(marks, "head", []) == [f"p{k:02d}" for k in range(40)]


def test_held_out__what_cannot_be():
    marks = annotations(ROWS)
    with pytest.raises(ExplGraphError, match="unknown training image 'p99'; the nearest are"):
        held_out(marks, "head", ["p99"])
    with pytest.raises(ExplGraphError, match="unknown part 'tall'"):
        held_out(marks, "tall", ["p00"])
    with pytest.raises(
        ExplGraphError, match=r"no image with the part 'tail' is left .* the 5 click"
    ):
        held_out(marks, "tail", [f"p{k}" for k in range(30, 40, 2)])


@pytest.mark.shared
@pytest.mark.parametrize("category", ["bird", "cat", "zebra"])
def test_public_splits__keep_what_they_promise(shared, category):
    """Every clicked photo has one instance; the others are counted straight from the CSV file."""
    path = shared / "animalpart" / category / "annotations.csv"
    marks = read_annotations(path)
    with path.open(newline="") as file:
        rows = [row for row in csv.DictReader(file) if row["visible"] == "1"]
    for part, numbers in read_splits(shared / "protocol" / "splits_public.json")[category].items():
        of_part = [row for row in rows if row["part"] == part]
        instances = Counter(row["image"] for row in of_part)
        assert list(numbers) == [1, 3, 5]
        for clicks, seeds in numbers.items():
            assert list(seeds) == [0, 1, 2, 3, 4]
            for images in seeds.values():
                assert len(images) == clicks
                assert all(instances[image] == 1 for image in images)
                clicked = {row["imagenet_id"] for row in of_part if row["image"] in images}
                left = {row["image"] for row in of_part if row["imagenet_id"] not in clicked}
                assert set(held_out(marks, part, images)) == left
