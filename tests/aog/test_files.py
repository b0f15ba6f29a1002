"""Answers as a table and as COCO key points: pixels worked out by hand, and read again."""

import csv
import json

import numpy as np
import pytest

from aog import Localizations
from aog.clicks import check_clicks
from aog.files import COLUMNS, predicted_places, write_answers
from explgraph.base.errors import ExplGraphError
from explgraph.photos.annotation_files import read_annotations

SIZES = {"a.png": (100, 200), "b/c, d.png": (64, 48)}
PIXEL = 0.005  # half of the last digit


def answers(**changes):
    """Two parts in two photos: one without a size, one not visible."""
    fields = {
        "images": ("a.png", "a.png", "b/c, d.png", "b/c, d.png"),
        "parts": ("head", "tail") * 2,
        "yx": [[0.5, 0.25], [0.0, 0.0], [1.0, 1.0], [0.25, 2 / 3]],
        "size": [[0.1, 0.2], [np.nan, np.nan], [0.5, 0.25], [np.nan, np.nan]],
        "confidence": [0.98768, 0.5, 0.25, 1e-6],
        "evidence": [1, 2, 3, 4],
        "visible": [1, 1, 1, 0],
        "template": [0, 12, 2, 0],
        "mirrored": [0, 0, 1, 1],
        "probability": np.full((4, 2, 2), 0.25),
        "frames": np.tile([[0.0, 1.0], [0.0, 1.0]], (4, 1, 1)),
    }
    arrays = {
        name: value if name in ("images", "parts") else np.array(value)
        for name, value in (fields | changes).items()
    }
    return Localizations(**arrays)


def test_table__counted_by_hand(tmp_path):
    """y = 0.5 of 100 pixels is 50 from the corner, which is pixel 49.5."""
    path = tmp_path / "new" / "p.csv"
    write_answers(path, answers(), SIZES)
    assert path.read_text() == (
        "image,part,x,y,width,height,confidence,visible,template,mirrored\n"
        "a.png,head,49.50,49.50,40.00,10.00,0.9877,1,0,0\n"
        "a.png,tail,-0.50,-0.50,,,0.5000,1,12,0\n"
        '"b/c, d.png",head,47.50,63.50,12.00,32.00,0.2500,1,2,1\n'
        '"b/c, d.png",tail,31.50,15.50,,,0.0000,0,0,1\n'
    )
    assert ",".join(COLUMNS) == path.read_text().splitlines()[0]
    assert [p.name for p in path.parent.iterdir()] == ["p.csv"]  # nothing temporary is left


def test_table__no_minus_zero(tmp_path):
    write_answers(tmp_path / "p.csv", answers(yx=np.full((4, 2), 0.00499)), (100, 100))
    with (tmp_path / "p.csv").open() as file:
        assert {row["x"] for row in csv.DictReader(file)} == {"0.00"}


@pytest.mark.parametrize("name", ["p.csv", "p.json", "P.CSV"])
def test_file__read_again_as_annotations(tmp_path, name):
    found = answers()
    write_answers(tmp_path / name, found, SIZES)
    if name.lower().endswith(".csv"):  # there, what is not visible is no annotation
        found = found.take(found.visible == 1)
        assert len(found) == 3
    marks = read_annotations(tmp_path / name)
    assert marks.image == found.images
    assert marks.part == found.parts
    shape = np.array([SIZES[image] for image in found.images])
    np.testing.assert_allclose(marks.yx, found.yx * shape - 0.5, atol=PIXEL)
    np.testing.assert_allclose(marks.size, found.size * shape, atol=PIXEL)


def test_table__names_like_formulas_are_text_and_read_again(tmp_path):
    photos, parts = ("=1+1.png", "=1+1.png", "b/c, d.png", "b/c, d.png"), ("@head", "-tail") * 2
    sizes = {"=1+1.png": (100, 200), "b/c, d.png": (64, 48)}
    write_answers(tmp_path / "p.csv", answers(images=photos, parts=parts), sizes)
    assert [line[:18] for line in (tmp_path / "p.csv").read_text().splitlines()[1:3]] == [
        "'=1+1.png,'@head,4",
        "'=1+1.png,'-tail,-",
    ]
    again = read_annotations(tmp_path / "p.csv")
    assert (again.image, again.part) == (photos[:3], parts[:3])


@pytest.mark.parametrize("name", ["p.csv", "p.json"])
def test_file__answers_at_the_very_border_serve_as_clicks(tmp_path, name):
    """Rounding does not carry a point out of its photo."""
    corners = [[1.0, 1.0], [0.0, 0.0], [1.0, 0.0], [0.999999, 1e-6]]
    write_answers(tmp_path / name, answers(yx=corners, visible=[1] * 4), SIZES)
    marks = read_annotations(tmp_path / name)
    for part, rows in (("head", [0, 2]), ("tail", [1, 3])):
        clicks = check_clicks(marks, part, tuple(SIZES), SIZES)
        np.testing.assert_allclose(clicks.yx, np.array(corners)[rows], atol=PIXEL / 48)


def test_coco__visibility_score_and_photos(tmp_path):
    write_answers(tmp_path / "p.json", answers(), SIZES)
    coco = json.loads((tmp_path / "p.json").read_text())
    assert coco["categories"][0]["keypoints"] == ["head", "tail"]
    assert [(i["file_name"], i["height"], i["width"]) for i in coco["images"]] == [
        ("a.png", 100, 200),
        ("b/c, d.png", 64, 48),
    ]
    first, second = coco["annotations"]
    assert first["keypoints"] == [49.5, 49.5, 2, -0.5, -0.5, 2]
    assert second["keypoints"] == [47.5, 63.5, 2, 31.5, 15.5, 1]
    assert first["score"] == pytest.approx((0.9877 + 0.5) / 2)
    assert second["explgraph"]["scores"] == [0.25, 0.0]


@pytest.mark.parametrize("name", ["p.csv", "p.json"])
def test_file__equal_answers_give_equal_bytes(tmp_path, name):
    for folder in ("one", "two"):
        write_answers(tmp_path / folder / name, answers(), SIZES)
    assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "two" / name).read_bytes()


def test_boxes__of_a_photo_keep_their_names(tmp_path):
    """Positions are shares of the whole photo, whatever the box."""
    boxed = answers(images=("a.png#0", "a.png#0", "a.png#1", "a.png#1"), visible=[1] * 4)
    marks = predicted_places(boxed).annotations({"a.png": (100, 200)})
    assert marks.image == boxed.images
    assert set(marks.group) == {"a.png"}
    assert marks.yx[2].tolist() == [99.5, 199.5]
    for name in ("p.csv", "p.json"):
        write_answers(tmp_path / name, boxed, {"a.png": (100, 200)})
        assert read_annotations(tmp_path / name).image == boxed.images


@pytest.mark.parametrize("name", ["p.txt", "p", "p.csv.gz", "folder.csv"])
def test_another_ending_is_refused(tmp_path, name):
    (tmp_path / "folder.csv").mkdir()
    with pytest.raises(ExplGraphError, match=r"must be a \.csv file, a \.json file"):
        write_answers(tmp_path / name, answers(), SIZES)


def test_an_unknown_size_is_refused(tmp_path):
    with pytest.raises(ExplGraphError, match=r"unknown photo 'b/c, d\.png'"):
        write_answers(tmp_path / "p.csv", answers(), {"a.png": (100, 200)})
    assert not (tmp_path / "p.csv").exists()
