"""One box, three formats, one cut-out; and what is wrong in a file is named."""

import itertools
import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from explgraph.base.errors import ExplGraphError
from explgraph.photos.boxes import Box, box_masks, read_boxes
from explgraph.photos.images import open_images
from tests.support.patience import at_once

HEADER = "image,x,y,width,height"


def as_csv(columns, rows):
    """Pixels columns[0]..columns[1], rows[0]..rows[1] inclusive, from 0, as a line of CSV."""
    (c0, c1), (r0, r1) = columns, rows
    return f"a.png,{(c0 + c1) / 2},{(r0 + r1) / 2},{c1 - c0 + 1},{r1 - r0 + 1}"


def as_coco(columns, rows, **more):
    (c0, c1), (r0, r1) = columns, rows
    annotation = {"id": 5, "image_id": 1, "bbox": [c0, r0, c1 - c0 + 1, r1 - r0 + 1], **more}
    return {"images": [{"id": 1, "file_name": "a.png"}], "annotations": [annotation]}


def as_voc(columns, rows, name="cat", file="a.png"):
    (c0, c1), (r0, r1) = columns, rows
    return (
        f"<annotation><filename>{file}</filename><object><name>{name}</name>"
        "<part><name>head</name><bndbox><xmin>1</xmin><ymin>1</ymin><xmax>2</xmax><ymax>2</ymax>"
        f"</bndbox></part><bndbox><xmax>{c1 + 1}</xmax><xmin>{c0 + 1}</xmin><ymin>{r0 + 1}</ymin>"
        f"<ymax>{r1 + 1}</ymax></bndbox></object></annotation>"
    )


def write(path, content):
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps(content) if isinstance(content, dict) else content)
    return path


@pytest.mark.parametrize(
    ("columns", "rows"), [((2, 4), (1, 1)), ((0, 8), (0, 5)), ((8, 8), (3, 5))]
)
def test_same_box_in_three_formats_gives_the_same_pixels(tmp_path, rng, columns, rows):
    pixels = rng.integers(0, 256, (6, 9, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(write(tmp_path / "photos" / "a.png", ""))
    files = [
        write(tmp_path / "b.csv", f"{HEADER}\n{as_csv(columns, rows)}\n"),
        write(tmp_path / "b.json", as_coco(columns, rows)),
        write(tmp_path / "voc" / "whatever.xml", as_voc(columns, rows)),
        tmp_path / "voc",
    ]
    expected = pixels[rows[0] : rows[1] + 1, columns[0] : columns[1] + 1]
    for file in files:
        item = open_images(tmp_path / "photos", boxes=file).load(0)
        np.testing.assert_array_equal(np.asarray(item.image), expected)
        np.testing.assert_allclose(item.frame[:, 0], [rows[0] / 6, columns[0] / 9])
        np.testing.assert_allclose(
            item.frame.sum(axis=1), [(rows[1] + 1) / 6, (columns[1] + 1) / 9]
        )


def test_coco_to_csv_and_back_is_the_same_box(tmp_path, rng):
    wanted = rng.uniform(0.1, 50, (20, 4)).round(2)
    images = [{"id": 1, "file_name": "a.png"}]
    annotations = [{"id": k, "image_id": 1, "bbox": list(b)} for k, b in enumerate(wanted)]
    coco = read_boxes(write(tmp_path / "b.json", {"images": images, "annotations": annotations}))[
        "a.png"
    ]
    lines = [
        f"a.png,{x + w / 2 - 0.5!r},{y + h / 2 - 0.5!r},{w!r},{h!r}"
        for x, y, w, h in wanted.tolist()
    ]
    csv = read_boxes(write(tmp_path / "b.csv", "\n".join([HEADER, *lines])))["a.png"]
    for box, other, (x, y, w, h) in zip(coco, csv, wanted, strict=True):
        assert (other.x0, other.y0, other.x1, other.y1) == pytest.approx((x, y, x + w, y + h))
        assert (box.x0, box.y0, box.x1, box.y1) == pytest.approx((x, y, x + w, y + h))
        assert box.pixels(60, 60) == other.pixels(60, 60)


@pytest.mark.parametrize(
    ("box", "pixels"),
    [
        (Box(0, 0, 10, 20), (0, 0, 10, 20)),
        (Box(0.2, 0.9, 1.1, 2.0), (0, 0, 2, 2)),
        (Box(-3, -0.5, 4.5, 30), (0, 0, 5, 20)),
        (Box(3.0000000001, 2.9999999999, 7.0000000001, 7.9999999999), (3, 3, 7, 8)),
        (Box(5.2, 5.3, 5.4, 5.6), (5, 5, 6, 6)),
    ],
)
def test_pixels__every_pixel_touched_within_the_photo(box, pixels):
    assert box.pixels(10, 20) == pixels


@given(
    st.tuples(*[st.floats(-30, 30)] * 2),
    st.tuples(*[st.floats(0.01, 40)] * 2),
    st.tuples(*[st.integers(1, 25)] * 2),
)
def test_pixels__are_those_that_overlap_the_box(corner, size, photo):
    box = Box(corner[0], corner[1], corner[0] + size[0], corner[1] + size[1])
    found = box.pixels(*photo)
    for axis in range(2):
        low, high = (box.y0, box.y1) if axis == 0 else (box.x0, box.x1)
        overlap = [k for k in range(photo[axis]) if min(k + 1, high) - max(k, low) > 1e-6]
        assert list(range(found[axis], found[axis + 2])) == overlap


def test_box_masks__mark_the_pixels_of_all_boxes():
    boxes = {"a": [Box(0, 0, 1, 2), Box(1.5, 2, 9, 3)], "b": [Box(-5, -5, -1, -1)]}
    a, b = box_masks(boxes, ["a", "b"], {"a": (3, 4), "b": (2, 2)})
    assert a.tolist() == [[1, 1, 0, 0], [0, 0, 1, 0], [0, 0, 1, 0]]
    assert b.shape == (2, 2)
    assert not b.any()
    with pytest.raises(ExplGraphError, match="no box of 'c'"):
        box_masks(boxes, ["a", "c"], {"a": (3, 4), "c": (1, 1)})


def test_read_boxes__labels_choose(tmp_path):
    csv = write(
        tmp_path / "b.csv",
        f"{HEADER},label\na.png,1,1,2,2,cat\nb.png,1,1,2,2,dog\na.png,4,4,2,2,cat\nc.png,1,1,3,3,\n",
    )
    assert {name: len(boxes) for name, boxes in read_boxes(csv).items()} == {
        "a.png": 2,
        "b.png": 1,
        "c.png": 1,
    }
    assert read_boxes(csv, "cat") == {"a.png": [Box(0.5, 0.5, 2.5, 2.5), Box(3.5, 3.5, 5.5, 5.5)]}
    with pytest.raises(ExplGraphError, match="'cats'; the nearest are cat"):
        read_boxes(csv, "cats")


def test_read_boxes__coco_labels_and_crowds(tmp_path):
    content = as_coco((2, 4), (1, 3), category_id=7)
    content["categories"] = [{"id": 7, "name": "cat"}, {"id": 8, "name": "herd"}]
    crowd = {"id": 6, "image_id": 1, "category_id": 8, "iscrowd": 1, "bbox": [0, 0, 9, 9]}
    content["annotations"].append(crowd)
    path = write(tmp_path / "b.json", content)
    assert read_boxes(path) == read_boxes(path, "cat") == {"a.png": [Box(1, 2, 4, 5)]}
    with pytest.raises(ExplGraphError, match="herd"):
        read_boxes(path, "herd")


def test_read_boxes__voc_folder_in_order_with_sub_folders(tmp_path):
    folder = tmp_path / "voc"
    (folder / "sub").mkdir(parents=True)
    write(folder / "2.xml", as_voc((0, 1), (0, 1), name=" dog ", file="b.png"))
    write(folder / "1.xml", as_voc((0, 1), (0, 1), file="a.png"))
    write(folder / "sub" / "3.xml", as_voc((0, 1), (0, 1), file="a.png"))
    write(folder / "4.xml", "<annotation><filename>empty.png</filename></annotation>")
    assert list(read_boxes(folder)) == ["a.png", "b.png", "sub/a.png"]
    assert list(read_boxes(folder, "dog")) == ["b.png"]


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("b.csv", f"{HEADER}\na.png,1,1,0,2\n", "line 2, image 'a.png'.*empty"),
        ("b.csv", f"{HEADER}\na.png,1,1,3,2\na.png,1,1,2,-2\n", "line 3.*empty"),
        ("b.csv", f"{HEADER}\na.png,1,one,3,2\n", "line 2: 'y' must be a finite number, got 'one'"),
        ("b.csv", f"{HEADER}\na.png,1,nan,3,2\n", "line 2: 'y'"),
        ("b.csv", f"{HEADER}\n", "no boxes"),
        ("b.csv", "image,x,y\na.png,1,1\n", "has the columns image,x,y, expected"),
        ("b.json", "{", "is no JSON.*A COCO file is"),
        ("b.json", "[]", "Expected `object`.*A COCO file is"),
        ("b.json", {"images": []}, "missing required field `annotations`.*A COCO file is"),
        ("b.json", as_coco((2, 1), (1, 1)), "annotation 5, image 'a.png'.*empty"),
        ("b.json", as_coco((1, 1), (1, 1), bbox=[1, 2]), "length 4"),
        (
            "b.json",
            as_coco((1, 1), (1, 1), bbox=None),
            "annotation 5, image 'a.png': there is no 'bbox'",
        ),
        ("b.json", as_coco((1, 1), (1, 1), image_id=9), "no image 9"),
        ("b.json", as_coco((1, 1), (1, 1), bbox=[0, 0, 10**400, 1]), "is no JSON|out of range"),
        ("b.json", as_coco((1, 1), (1, 1), bbox=[2e9, 0, 1, 1]), "Expected `float` <= 1000000000"),
        ("b.json", as_coco((1, 1), (1, 1), bbox=["1", 0, 1, 1]), "Expected `float`, got `str`"),
        ("b.json", as_coco((1, 1), (1, 1), image_id=[1]), r"annotations\[0\].image_id"),
        ("b.json", as_coco((1, 1), (1, 1), category_id={}), r"annotations\[0\].category_id"),
        ("b.json", {**as_coco((1, 1), (1, 1)), "annotations": [7]}, r"annotations\[0\]"),
        ("b.json", {"images": [{"id": 1, "file_name": 5}], "annotations": []}, "file_name"),
        ("b.json", '{"images": ' + "[" * 100_000, "A COCO file is"),
        ("b.json", '{"other": ' + "[" * 100_000, "deep|no JSON"),
        ("b.csv", f"{HEADER}\na.png,1_0,1,3,2\n", "'x' must be a finite number, got '1_0'"),
        ("b.csv", f"{HEADER}\na.png,\uff11,1,3,2\n", "'x' must be a finite number"),
        ("b.csv", f"{HEADER}\na.png,1e300,1,1e300,2\n", "out of bounds"),
        ("b.csv", f"{HEADER}\na.png,1,1,{'9' * 131_073},2\n", "line 2: field larger than"),
        ("b.csv", f"{HEADER},{'a' * 131_073}\n", "line 1: field larger than"),
        ("b.xml", as_voc((1, 1), (1, 1)).replace("<xmin>2", "<xmin>1_0"), "xmin, ymin"),
        ("b.xml", as_voc((1, 1), (1, 1)).replace("<xmin>2", "<xmin>1e300"), "out of bounds"),
        ("b.xml", '<?xml version="1.0" encoding="foo"?><annotation/>', "not a whole XML"),
        ("b.xml", '<?xml version="1.0" encoding="utf-7"?><annotation/>', "not a whole XML"),
        ("b.xml", "<a>" * 100_000 + "</a>" * 100_000, "not a VOC file"),
        ("b.xml", "<annotation>", "not a whole XML"),
        ("b.xml", "<html/>", "not a VOC file"),
        ("b.xml", as_voc((3, 2), (1, 1)), "image 'a.png'.*empty"),
        (
            "b.xml",
            "<annotation><filename>a.png</filename>"
            "<object><bndbox><xmin>1</xmin></bndbox></object></annotation>",
            "xmin, ymin, xmax, ymax",
        ),
        ("b.txt", "", "must be a .csv"),
    ],
)
def test_read_boxes__what_is_wrong_is_named(tmp_path, name, content, message):
    path = write(tmp_path / name, content)
    with pytest.raises(ExplGraphError, match=message) as caught:
        read_boxes(path)
    assert name in str(caught.value)


BOMB = """<?xml version="1.0"?>
<!DOCTYPE a [<!ENTITY a "aaaaaaaaaa">%s]>
<annotation><filename>&n;</filename></annotation>"""


@pytest.mark.parametrize(
    "text",
    [
        BOMB
        % "".join(f'<!ENTITY {c} "{f"&{b};" * 40}">' for b, c in itertools.pairwise("abcdefn")),
        BOMB % f'<!ENTITY n "{"a" * 100_000}">',
        BOMB % '<!ENTITY n SYSTEM "file:///etc/hostname">',
        '<!DOCTYPE annotation SYSTEM "http://localhost/a.dtd"><annotation/>',
    ],
    ids=["laughs", "quadratic", "external entity", "external type"],
)
def test_read_boxes__entities_are_refused_before_they_stand_for_anything(tmp_path, text):
    path = write(tmp_path / "b.xml", text)
    with at_once(), pytest.raises(ExplGraphError, match=r"b\.xml.*declares a document type"):
        read_boxes(path)


def test_read_boxes__missing_file_and_folder_without_xml(tmp_path):
    with pytest.raises(ExplGraphError, match="does not exist"):
        read_boxes(tmp_path / "none.csv")
    with pytest.raises(ExplGraphError, match=r"no VOC \.xml"):
        read_boxes(tmp_path)
