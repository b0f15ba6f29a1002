"""Annotations in both formats, written and read again, and errors that name the line."""

import csv
import math

import numpy as np
import pytest

from explgraph.base.errors import ExplGraphError
from explgraph.photos.annotation_files import read_annotations, write_annotations
from explgraph.photos.annotations import Annotations, pixel_yx
from tests.support.plain import plain_marks

ANIMALPART = (
    "image,source_image,imagenet_id,obj_x0,obj_y0,obj_x1,obj_y1,part,instance,visible,"
    "x0,y0,x1,y1,cx,cy"
)


def write(folder, text):
    path = folder / "marks.csv"
    path.write_text(text)
    return path


def test_read_annotations__plain(tmp_path):
    marks = read_annotations(
        write(tmp_path, "image,part,x,y\nb.jpg,head,3,4.5\na.jpg,tail,-1,0\nb.jpg,head,9,1e1\n")
    )
    assert marks.image == ("b.jpg", "a.jpg", "b.jpg")
    assert marks.part == ("head", "tail", "head")
    assert marks.group == marks.image
    np.testing.assert_array_equal(marks.yx, [[4.5, 3], [0, -1], [10, 9]])
    assert np.isnan(marks.size).all()
    assert marks.size.shape == (3, 2)
    assert marks.yx.dtype == marks.size.dtype == np.float64


def test_read_annotations__columns_in_any_order_with_sizes_and_groups(tmp_path):
    text = "\ufeffheight, part,x,y,image,width,group,note\n5,head,1,2,a,7,g1,!\n,head,1,2,b,,,\n\n"
    marks = read_annotations(write(tmp_path, text))
    np.testing.assert_array_equal(marks.size, [[5, 7], [np.nan, np.nan]])
    assert marks.group == ("g1", "b")


def test_read_annotations__quoted_names(tmp_path):
    text = 'image,part,x,y\n"a, b.jpg","left ""ear""",1,2\n'
    marks = read_annotations(write(tmp_path, text))
    assert (marks.image, marks.part) == (("a, b.jpg",), ('left "ear"',))


def test_read_annotations__animalpart(tmp_path):
    text = (
        f"{ANIMALPART}\n"
        "0001.jpg,x/1.jpg,n1_7,0,0,9,9,head,0,1,85.00,4.00,208.00,142.00,146.50,73.00\n"
        "0001.jpg,x/1.jpg,n1_7,0,0,9,9,head,1,1,10.00,20.00,30.00,60.00,20.00,40.00\n"
        "0001.jpg,x/1.jpg,n1_7,0,0,9,9,feet,0,0,,,,,,\n"
        "0002.jpg,x/1.jpg,n1_7,0,0,9,9,feet,0,1,1,2,3,4,2,3\n"
    )
    marks = read_annotations(write(tmp_path, text))
    assert marks.image == ("0001.jpg", "0001.jpg", "0002.jpg")
    assert marks.part == ("head", "head", "feet")
    assert marks.group == ("n1_7",) * 3
    np.testing.assert_array_equal(marks.yx, [[73, 146.5], [40, 20], [3, 2]])
    np.testing.assert_array_equal(marks.size, [[138, 123], [40, 20], [2, 2]])


@pytest.mark.shared
@pytest.mark.parametrize(
    ("category", "counts"),
    [
        ("bird", {"head": (198, 198), "feet": (127, 127)}),
        ("cat", {"head": (193, 194), "front_legs": (104, 104)}),
        ("zebra", {"head": (177, 192), "front_legs": (138, 149)}),
    ],
)
def test_read_annotations__animalpart_counts_of_its_readme(shared, category, counts):
    path = shared / "animalpart" / category / "annotations.csv"
    marks = read_annotations(path)
    assert marks.parts() == tuple(sorted(counts))
    for part, (crops, boxes) in counts.items():
        of = marks.of(part)
        assert (len(set(of.image)), len(of)) == (crops, boxes)
    with path.open(newline="") as file:
        truth = [row for row in csv.DictReader(file) if row["visible"] == "1"]
    corners = np.array([[float(row[k]) for k in ("y0", "x0", "y1", "x1")] for row in truth])
    np.testing.assert_allclose(marks.yx, (corners[:, :2] + corners[:, 2:]) / 2, atol=0.006)
    np.testing.assert_allclose(marks.size, corners[:, 2:] - corners[:, :2])


def test_read_annotations__boxes_of_one_photo_are_one_group(tmp_path):
    text = "image,part,x,y,group\na.jpg#0,head,1,2,\na.jpg#12,head,3,4,\na.jpg#1,head,3,4,g\n"
    marks = read_annotations(write(tmp_path, text))
    assert marks.image == ("a.jpg#0", "a.jpg#12", "a.jpg#1")
    assert marks.group == ("a.jpg", "a.jpg", "g")


def test_read_annotations__chosen_parts(tmp_path):
    path = write(tmp_path, "image,part,x,y\na,head,1,2\nb,tail,3,4\na,ear,5,6\n")
    marks = read_annotations(path, parts=["ear", "head"])
    assert (marks.part, marks.image) == (("head", "ear"), ("a", "a"))
    np.testing.assert_array_equal(marks.yx, [[2, 1], [6, 5]])
    with pytest.raises(ExplGraphError, match="unknown part 'tall'; the nearest are tail"):
        read_annotations(path, parts=["head", "tall"])
    with pytest.raises(ExplGraphError, match="no labels to choose 'dog' from"):
        read_annotations(path, label="dog")


def test_parts_of_take():
    marks = Annotations(
        image=("a", "b", "a"),
        part=("tail", "head", "tail"),
        yx=np.arange(6.0).reshape(3, 2),
        size=np.full((3, 2), np.nan),
        group=("g", "h", "g"),
    )
    assert marks.parts() == ("head", "tail")
    tails = marks.of("tail")
    assert (tails.image, tails.group, len(tails)) == (("a", "a"), ("g", "g"), 2)
    np.testing.assert_array_equal(tails.yx, [[0, 1], [4, 5]])
    np.testing.assert_array_equal(marks.take(np.array([2, 1])).yx, [[4, 5], [2, 3]])
    with pytest.raises(ExplGraphError, match="unknown part 'tails'; the nearest are tail"):
        marks.of("tails")
    with pytest.raises(ValueError, match="read-only"):
        marks.yx[0, 0] = 1


def test_write_annotations__read_again_is_the_same(tmp_path, rng):
    count = 30
    size = rng.uniform(0, 50, (count, 2))
    size[::3] = np.nan
    marks = Annotations(
        image=tuple(f"fol,der/{k % 7}.jpg" for k in range(count)),
        part=tuple(rng.choice(["head", 'a "part"', "été"], count).tolist()),
        yx=rng.normal(size=(count, 2)) * 10.0 ** rng.integers(-8, 8, (count, 1)),
        size=size,
        group=tuple(f"g{k % 3}" for k in range(count)),
    )
    write_annotations(tmp_path / "out" / "marks.csv", marks)
    again = read_annotations(tmp_path / "out" / "marks.csv")
    for name in ("image", "part", "group"):
        assert getattr(again, name) == getattr(marks, name)
    np.testing.assert_array_equal(again.yx, marks.yx)
    np.testing.assert_array_equal(again.size, marks.size)
    write_annotations(tmp_path / "twice.csv", again)
    assert (tmp_path / "twice.csv").read_bytes() == (tmp_path / "out" / "marks.csv").read_bytes()


def test_write_annotations__names_like_formulas_are_read_again_and_no_cell_is_one(tmp_path):
    names = ('=HYPERLINK("http://x")', "-1+1.png", "@a", "'=b", "'tis", "\r=c", "-5")
    count = len(names)
    marks = Annotations(names, names[::-1], np.ones((count, 2)), np.ones((count, 2)), names)
    write_annotations(tmp_path / "a.csv", marks)
    again = read_annotations(tmp_path / "a.csv")
    assert (again.image, again.part, again.group) == (marks.image, marks.part, marks.group)
    with (tmp_path / "a.csv").open(newline="") as file:
        cells = {row["image"] for row in csv.DictReader(file)}
    assert {cell for cell in cells if cell[0] in "=+-@\t\r"} == {"-5"}  # a number


def test_write_annotations__whole_numbers_stay_short(tmp_path):
    marks = Annotations(
        ("a",), ("head",), np.array([[4.0, 3.5]]), np.array([[math.nan, 2]]), ("a",)
    )
    write_annotations(tmp_path / "a.csv", marks)
    expected = "image,part,x,y,width,height,group\na,head,3.5,4,2,,a\n"
    assert (tmp_path / "a.csv").read_text() == expected


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "is empty"),
        ("\n\n", "is empty"),
        ("image,part,x,y\n", "holds no annotations"),
        (f"{ANIMALPART}\na,b,c,0,0,9,9,head,0,0,,,,,,\n", "holds no annotations"),
        ("image,part,x\na,head,1\n", "has the columns image,part,x. Expected image,part,x,y"),
        ("a,head,1,2\n", "has the columns a,head,1,2"),
        ("image,part,x,y,x\na,head,1,2,3\n", "named twice"),
        ("image,part,x,y,x0,x1\na,head,1,2,3,4\n", "Expected"),
        ("image,part,x,y\na,head,1,2\na,head,one,2\n", "line 3: 'x' must be .* got 'one'"),
        ("image,part,x,y\n\na,head,1,inf\n", "line 3: 'y' must be a finite number, got 'inf'"),
        ("image,part,x,y\na,head,1,\n", "line 2: 'y' is empty"),
        ("image,part,x,y\n,head,1,2\n", "line 2: 'image' is empty"),
        ("image,part,x,y\na,,1,2\n", "line 2: 'part' is empty"),
        ("image,part,x,y\na,head,1\n", "line 2: expected 4 cells .image,part,x,y., got 3"),
        ("image,part,x,y\na,head,1,2,3\n", "line 2: expected 4 cells .*, got 5"),
        ("image,part,x,y,width,height\na,head,1,2,-3,4\n", "line 2: width and height may not be"),
        (f"{ANIMALPART}\na,b,c,0,0,9,9,head,0,1,1,2,3,4,,5\n", "line 2: 'cx' is empty"),
    ],
)
def test_read_annotations__what_is_wrong_is_named(tmp_path, text, message):
    with pytest.raises(ExplGraphError, match=message) as caught:
        read_annotations(write(tmp_path, text))
    assert "marks.csv" in str(caught.value)


def test_read_annotations__no_file_and_no_text(tmp_path):
    with pytest.raises(ExplGraphError, match="does not exist"):
        read_annotations(tmp_path / "none.csv")
    (tmp_path / "bytes.csv").write_bytes(b"image,part,x,y\n\xff\xfe,head,1,2\n")
    with pytest.raises(ExplGraphError, match="not a UTF-8"):
        read_annotations(tmp_path / "bytes.csv")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"part": ()}, "1 images, 0 parts"),
        ({"yx": np.zeros((2, 2))}, "yx must have shape"),
        ({"size": np.zeros(2)}, "size must have shape"),
        ({"yx": np.array([[np.nan, 1]])}, "finite"),
    ],
)
def test_annotations__fields_that_do_not_fit(change, message):
    fields = {
        "image": ("a",),
        "part": ("head",),
        "yx": np.zeros((1, 2)),
        "size": np.zeros((1, 2)),
        "group": ("a",),
    }
    with pytest.raises(ExplGraphError, match=message):
        Annotations(**{**fields, **change})


def test_csv__what_explgraph_locate_calls_not_visible_is_no_annotation(tmp_path):
    path = tmp_path / "p.csv"
    path.write_text("image,part,x,y,confidence,visible\na.jpg,head,1,2,.9,1\nb.jpg,head,3,4,.2,0\n")
    assert read_annotations(path).image == ("a.jpg",)


def test_unit__integers_are_centres_of_pixels_and_back():
    marks = plain_marks(("a", "b#1", "a"), "head", [[-0.5, 0], [99.5, 49.5], [3.25, 7]])
    unit = marks.unit({"a": (10, 20), "b": (100, 200)})
    np.testing.assert_allclose(unit, [[0, 0.025], [1, 0.25], [0.375, 0.375]])
    back = pixel_yx(unit, [(10, 20), (100, 200), (10, 20)])
    np.testing.assert_allclose(back, marks.yx, atol=1e-12)
    np.testing.assert_array_equal(marks.unit((10, 20))[2], unit[2])
    with pytest.raises(ExplGraphError, match="unknown photo 'b#1'"):
        marks.unit({"a": (10, 20)})
