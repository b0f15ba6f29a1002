"""Places as files: counted by hand, read again by us, and by tools that we did not write."""

import csv
import json
import re

import numpy as np
import pytest
from PIL import Image

from explgraph.base.errors import ExplGraphError
from explgraph.photos.annotation_files import read_annotations
from explgraph.photos.part_places import PartPlaces
from explgraph.photos.place_files import FORMATS, place_format, write_places

ODD = '"><img src=x onerror=alert(1)>.jpg'
SIZES = {"b \u00fc/a.jpg": (100, 200), ODD: (40, 60), "nothing.jpg": (10, 10)}
NAN = (np.nan, np.nan)


def places(**changes):
    """A photo with an answer of each kind, one with a prediction that is not visible, a hidden."""
    fields = {
        "images": ("b \u00fc/a.jpg",) * 4 + (ODD,) * 2,
        "parts": ("head", "tail", "left ear", "paw", "head", "tail"),
        "yx": [[0.5, 0.25], [0.1, 0.2], NAN, [0.25, 0.75], [0.5, 0.5], [1, 1]],
        "size": [NAN, [0.1, 0.2], NAN, [0.2, 0.1], NAN, NAN],
        "answers": ("here", "right", "hidden", "predicted", "predicted", "predicted"),
        "confidence": [1, 1, 1, 0.87654, 0.25, 0.5],
        "visible": [1, 1, 0, 1, 0, 1],
    }
    return PartPlaces(**{
        name: value if isinstance(value, tuple) else np.array(value)
        for name, value in (fields | changes).items()
    })  # fmt: skip


def path_for(folder, format):
    return folder / f"places{FORMATS[format]}"


def written(folder, format, told=None):
    path = path_for(folder, format)
    write_places(path, places() if told is None else told, SIZES, format)
    return path


def rows(marks):
    return sorted(zip(marks.image, marks.part, marks.yx.tolist(), marks.size.tolist(), strict=True))


@pytest.mark.parametrize("format", FORMATS)
def test_files__read_again(tmp_path, format):
    told = places()
    if format == "csv":
        told = told.take(told.visible)
    elif format == "label-studio":  # what is predicted is for review there
        told = told.take(told.told)
    expected = rows(told.take(told.known).annotations(SIZES))
    found = rows(read_annotations(written(tmp_path, format)))
    assert [row[:2] for row in found] == [row[:2] for row in expected]
    for left, right in zip(found, expected, strict=True):
        np.testing.assert_allclose(left[2:], right[2:], atol=1e-9)
    assert len(expected) >= 2


@pytest.mark.parametrize("format", FORMATS)
def test_files__equal_places_give_equal_bytes_and_nothing_temporary(tmp_path, format):
    first = written(tmp_path / "one", format)
    assert written(tmp_path / "two", format).read_bytes() == first.read_bytes()
    assert [path.name for path in first.parent.iterdir()] == [first.name]


def test_csv__by_hand(tmp_path):
    with written(tmp_path, "csv").open(encoding="utf-8") as file:
        table = list(csv.DictReader(file))
    assert [row["answer"] for row in table] == list(places().answers)
    assert table[0]["x"] == table[0]["y"] == "49.50"
    assert table[0]["confidence"] == table[0]["width"] == table[2]["x"] == ""
    assert [row["visible"] for row in table] == list("110101")
    assert table[3] == {
        "image": "b \u00fc/a.jpg", "part": "paw", "x": "149.50", "y": "24.50", "width": "20.00",
        "height": "20.00", "confidence": "0.8765", "visible": "1", "answer": "predicted",
    }  # fmt: skip


def test_coco__score_counts_what_a_person_said_as_sure(tmp_path):
    coco = json.loads(written(tmp_path, "coco").read_text())
    assert [image["file_name"] for image in coco["images"]] == sorted(SIZES)
    odd, first = coco["annotations"]
    names = coco["categories"][0]["keypoints"]
    assert names == ["head", "paw", "tail"]
    assert first["score"] == pytest.approx((1 + 1 + 0.8765) / 3)
    assert odd["keypoints"] == [29.5, 19.5, 1, 0, 0, 0, 59.5, 39.5, 2]


def test_cvat__by_hand(tmp_path):
    text = written(tmp_path, "cvat").read_text(encoding="utf-8")
    assert '<points label="head" source="manual" occluded="0" points="50.000,50.000"' in text
    assert (
        '<box label="paw" source="auto" occluded="0" xtl="140.000" ytl="15.000" xbr="160.000" '
        'ybr="35.000" z_order="0">\n      <attribute name="confidence">0.8765</attribute>' in text
    )
    assert '<points label="head" source="auto" occluded="1" points="30.000,20.000"' in text
    assert "<img" not in text and 'name="nothing.jpg"' in text
    assert "left ear" not in text


def test_label_studio__by_hand(tmp_path):
    odd, first, nothing = json.loads(written(tmp_path, "label-studio").read_text())
    assert first["data"]["image"] == "/data/local-files/?d=b%20%C3%BC/a.jpg"
    assert odd["data"]["image"].endswith("%22%3E%3Cimg%20src%3Dx%20onerror%3Dalert%281%29%3E.jpg")
    assert nothing["annotations"] == nothing["predictions"] == odd["annotations"] == []
    head, tail = first["annotations"][0]["result"]
    assert head["value"] == {"x": 25, "y": 50, "width": 0.75, "keypointlabels": ["head"]}
    assert (head["original_width"], head["original_height"]) == (200, 100)
    expected = {"x": 10, "y": 5, "width": 20, "height": 10, "rotation": 0}
    assert tail["value"].pop("rectanglelabels") == ["tail"]
    assert tail["value"] == pytest.approx(expected)
    (prediction,) = first["predictions"]
    assert (prediction["model_version"], prediction["score"]) == ("explgraph", 0.8765)
    assert [(r["type"], r["score"]) for r in prediction["result"]] == [("rectanglelabels", 0.8765)]
    (unsure,) = odd["predictions"]
    assert [region["value"]["keypointlabels"] for region in unsure["result"]] == [["tail"]]


@pytest.mark.parametrize(
    ("photos", "address"),
    [
        (None, "/data/local-files/?d=nothing.jpg"),
        ("my photos/", "/data/local-files/?d=my%20photos/nothing.jpg"),
        ("photos.tar", "/data/local-files/?d=nothing.jpg"),
        ("s3://bucket/photos/", "s3://bucket/photos/nothing.jpg"),
    ],
)
def test_label_studio__where_photos_are(tmp_path, monkeypatch, photos, address):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "my photos").mkdir()
    write_places("a.json", places(), SIZES, "label-studio", photos)
    tasks = json.loads((tmp_path / "a.json").read_text())
    assert tasks[-1]["data"] == {"image": address, "explgraph_photo": "nothing.jpg"}


def test_label_studio__a_person_who_called_all_hidden_has_an_empty_annotation(tmp_path):
    told = places().take(np.array([2]))
    tasks = json.loads(written(tmp_path, "label-studio", told).read_text())
    assert [task["annotations"] for task in tasks] == [[], [{"result": []}], []]


@pytest.mark.parametrize(
    ("name", "format", "message"),
    [
        ("a.txt", None, r"a\.txt must be a \.csv file, a \.json file for COCO"),
        ("a.json", "yolo", "unknown format 'yolo'"),
        ("a.json", "cvat", r"must be a \.xml file, as the format 'cvat' has it"),
        ("folder.csv", None, r"must be a \.csv file"),
        ("folder.csv", "csv", r"must be a \.csv file"),
    ],
)
def test_format__what_cannot_be_is_refused(tmp_path, name, format, message):
    (tmp_path / "folder.csv").mkdir()
    with pytest.raises(ExplGraphError, match=message):
        place_format(tmp_path / name, format)
    with pytest.raises(ExplGraphError, match=message):
        write_places(tmp_path / name, places(), SIZES, format)


@pytest.mark.parametrize(
    ("format", "name"), [("cvat", "a\x1b.jpg"), ("cvat", "\udcff"), ("label-studio", "\udcff")]
)
def test_files__a_name_that_the_format_cannot_hold(tmp_path, format, name):
    told = places(images=(name,) * 6)
    with pytest.raises(ExplGraphError, match=re.escape(repr(name))):
        write_places(path_for(tmp_path, format), told, {name: (10, 10)}, format)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"answers": ("here",) * 5 + ("maybe",)}, "each one of here, right, hidden, predicted"),
        ({"answers": ("here",) * 6}, "NaN exactly where a person said 'hidden'"),
        ({"answers": ("hidden",) * 6}, "NaN exactly where a person said 'hidden'"),
    ],
)
def test_places__what_does_not_fit_is_refused(changes, message):
    with pytest.raises(ExplGraphError, match=message):
        places(**changes)


# -- tools that we did not write -------------------------------------------------------------------


def tool(name):
    """Import a tool, or skip the test; warnings are its own business."""
    return pytest.importorskip(name, exc_type=ImportError)


foreign = pytest.mark.filterwarnings("ignore")


@foreign
def test_coco__read_by_pycocotools(tmp_path, capsys):
    coco = tool("pycocotools.coco").COCO(str(written(tmp_path, "coco")))
    assert {image["file_name"] for image in coco.loadImgs(coco.getImgIds())} == {*SIZES}
    found = coco.loadRes(coco.dataset["annotations"])  # as results, which need a score
    assert [one["score"] for one in found.loadAnns(found.getAnnIds())] == [
        pytest.approx(0.375),
        pytest.approx(2.8765 / 3),
    ]
    evaluation = tool("pycocotools.cocoeval").COCOeval(coco, found, "keypoints")
    evaluation.params.kpt_oks_sigmas = np.full(3, 0.1)
    evaluation.evaluate()
    evaluation.accumulate()
    evaluation.summarize()
    assert evaluation.stats[0] == pytest.approx(1)


@foreign
def test_coco__read_by_supervision(tmp_path):
    supervision = tool("supervision")
    for name, (height, width) in SIZES.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        Image.new("RGB", (width, height)).save(tmp_path / name)
    found = supervision.DetectionDataset.from_coco(
        str(tmp_path), str(written(tmp_path / "out", "coco"))
    )
    boxes = {name: found.annotations[str(tmp_path / name)].xyxy for name in SIZES}
    np.testing.assert_allclose(boxes[ODD], [[29.5, 19.5, 60.5, 40.5]])


@foreign
def test_cvat__read_by_datumaro(tmp_path):
    datumaro = tool("datumaro")
    path = written(tmp_path, "cvat")
    for name, (height, width) in SIZES.items():
        (tmp_path / "images" / name).parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (width, height)).save(tmp_path / "images" / name)
    dataset = datumaro.Dataset.import_from(str(path), "cvat")
    labels = [one.name for one in dataset.categories()[datumaro.AnnotationType.label]]
    assert labels == ["head", "paw", "tail"]
    found = {item.id: item.annotations for item in dataset}
    kinds = [(labels[a.label], a.type.name) for a in found["b \u00fc/a"]]
    assert kinds == [("head", "points"), ("tail", "bbox"), ("paw", "bbox")]
    assert found["b \u00fc/a"][0].points == [50, 50]
    assert found["b \u00fc/a"][2].get_bbox() == [140, 15, 20, 20]
    assert found["b \u00fc/a"][2].attributes["confidence"] == "0.8765"


CONTROLS = """<View><Image name="image" value="$image"/>
<KeyPointLabels name="point" toName="image"><Label value="head" model_index="0"/>
<Label value="tail" model_index="1"/><Label value="paw" model_index="2"/></KeyPointLabels>
<RectangleLabels name="box" toName="image"><Label value="tail"/><Label value="paw"/>
</RectangleLabels></View>"""


@foreign
def test_label_studio__valid_for_its_sdk(tmp_path):
    interface = tool("label_studio_sdk.label_interface").LabelInterface(CONTROLS)
    tasks = json.loads(written(tmp_path, "label-studio").read_text())
    for task in tasks:
        for prediction in task["predictions"]:
            assert interface.validate_prediction(prediction, return_errors=True) == []
        for annotation in task["annotations"]:
            assert interface.validate_annotation(annotation)


@foreign
def test_label_studio__converted_to_coco_by_its_sdk(tmp_path):
    converter = tool("label_studio_sdk.converter")
    path = written(tmp_path / "in", "label-studio")
    made = converter.Converter(CONTROLS, str(tmp_path), download_resources=False)
    made.convert_to_coco(
        str(path), str(tmp_path / "out"), output_image_dir=str(tmp_path / "x"), is_dir=False
    )
    coco = json.loads((tmp_path / "out" / "result.json").read_text())
    points = [one["keypoints"] for one in coco["annotations"] if "keypoints" in one]
    assert points == [[50, 50, 2] + [0] * 6]
    boxes = [one["bbox"] for one in coco["annotations"] if "keypoints" not in one]
    np.testing.assert_allclose(boxes, [[20, 5, 40, 10]])
