"""CUB-200-2011 and VOC-Part in tiny copies of what their makers distribute."""

import io

import numpy as np
import pytest
from scipy.io import loadmat, savemat

from explgraph.base.errors import ExplGraphError
from explgraph.photos.annotation_files import read_annotations

IMAGES = "1 001.Albatross/Albatross_0046_18.jpg\n2 001.Albatross/A_2.jpg\n30 002.Wren/W_3.jpg\n"
PARTS = "1 back\n2 beak\n7 left eye\n"
LOCATIONS = (
    "1 1 0.0 0.0 0\n1 2 312.0 182.0 1\n1 7 186.0 45.5 1\n"
    "2 1 1.0 2.0 1\n2 2 0.0 0.0 0\n2 7 0.0 0.0 0\n30 7 5.0 0.0 1\n"
)
BLACK = "001.Albatross/Albatross_0046_18.jpg"


@pytest.fixture
def cub(tmp_path):
    (tmp_path / "parts").mkdir()
    (tmp_path / "images.txt").write_text(IMAGES)
    (tmp_path / "parts" / "parts.txt").write_text(PARTS)
    (tmp_path / "parts" / "part_locs.txt").write_text(LOCATIONS)
    return tmp_path


def test_cub__visible_points(cub):
    marks = read_annotations(cub)
    assert marks.image == (BLACK, BLACK, "001.Albatross/A_2.jpg", "002.Wren/W_3.jpg")
    assert marks.part == ("beak", "left eye", "back", "left eye")
    np.testing.assert_array_equal(marks.yx, [[182, 312], [45.5, 186], [2, 1], [0, 5]])
    assert np.isnan(marks.size).all()
    assert marks.group == marks.image


def test_cub__one_species_and_chosen_parts(cub):
    assert read_annotations(cub, label="001.Albatross").part == ("beak", "left eye", "back")
    eyes = read_annotations(str(cub), parts=["left eye"])
    assert eyes.image == (BLACK, "002.Wren/W_3.jpg")
    with pytest.raises(ExplGraphError, match=r"unknown class in .*'Wren'; .*002\.Wren"):
        read_annotations(cub, label="Wren")


@pytest.mark.parametrize(
    ("file", "text", "message"),
    [
        ("images.txt", None, "images.txt is missing: expected"),
        ("parts/parts.txt", None, "parts.txt is missing: expected"),
        ("images.txt", "1 a.jpg\n2\n", "images.txt, line 2: expected 2 values"),
        ("images.txt", "1 a.jpg\n", "part_locs.txt, line 4: images.txt has no image 2"),
        ("parts/parts.txt", "1 back\n", "part_locs.txt, line 2: parts.txt has no part 2"),
        ("parts/part_locs.txt", "1 1 2.0 1\n", "line 1: expected 5 values"),
        ("parts/part_locs.txt", "\n1 1 2.0 x 1\n", "line 2: expected the numbers .* '2.0 x 1'"),
        ("parts/part_locs.txt", "1 1 2 3 1 1\n", "line 1: expected the numbers"),
        ("parts/part_locs.txt", "1 1 1_0 3 1\n", "line 1: expected the numbers"),
        ("parts/part_locs.txt", "1 1 3 1e300 1\n", "line 1: expected the numbers"),
        ("parts/part_locs.txt", "1 1 3 3 7\n", "line 1: expected the numbers"),
        ("parts/part_locs.txt", "1 1 nan 3 1\n", "line 1: expected the numbers"),
        ("parts/part_locs.txt", "1 1 0.0 0.0 0\n", "holds no annotations of parts"),
    ],
)
def test_cub__what_is_wrong_is_named(cub, file, text, message):
    (cub / file).unlink()
    if text is not None:
        (cub / file).write_text(text)
    with pytest.raises(ExplGraphError, match=message):
        read_annotations(cub)


def records(rows, **fields):
    """Return MATLAB's struct array, 1 x n, from rows of its fields' values."""
    array = np.empty((1, len(rows)), dtype=[(name, object) for name in fields])
    for k, row in enumerate(rows):
        for name in fields:
            array[0, k][name] = row[name]
    return array


def part(name, box, shape=(10, 12)):
    """Return a part whose mask fills rows y0..y1 and columns x0..x1, with a hole."""
    mask = np.zeros(shape, dtype=np.uint8)
    if box is not None:
        y0, x0, y1, x1 = box
        mask[y0 : y1 + 1, x0 : x1 + 1] = 1
        mask[(y0 + y1) // 2, x0 + 1 : x1] = 0
    return {"part_name": name, "mask": mask}


def thing(name, parts):
    """Return an object as VOC-Part has them; one without parts has MATLAB's [] in their place."""
    return {
        "class": name,
        "class_ind": 12.0,
        "bbox": np.array([[1, 1, 12, 10]], dtype=np.uint16),
        "mask": np.ones((10, 12), dtype=np.uint8),
        "parts": records(parts, part_name=1, mask=1) if parts else np.zeros((0, 0)),
    }


def save_voc(path, objects, packed=True):
    names = {"class": 1, "class_ind": 1, "bbox": 1, "mask": 1, "parts": 1}
    anno = records(
        [{"imname": path.stem, "objects": records(objects, **names)}], imname=1, objects=1
    )
    savemat(path, {"anno": anno}, do_compression=packed)


@pytest.fixture
def voc(tmp_path):
    folder = tmp_path / "Annotations_Part"
    folder.mkdir()
    dog = thing("dog", [part("head", (0, 0, 2, 5)), part("tail", (9, 3, 9, 6)), part("neck", None)])
    save_voc(folder / "2008_000002.mat", [dog, thing("cat", [part("head", (4, 6, 9, 11))])])
    save_voc(folder / "2008_000001.mat", [thing("dog", [part("lear", (5, 5, 5, 5))])])
    save_voc(folder / "2008_000003.mat", [thing("boat", [])])
    return tmp_path


def test_voc__the_copy_has_the_form_of_the_real_files(voc):
    """As published readers of the real files index them: anno[0, 0], objects[0, :], parts[0, :]."""
    content = loadmat(voc / "Annotations_Part" / "2008_000002.mat")["anno"]
    assert content.shape == (1, 1)
    objects = content[0, 0]["objects"]
    assert objects.shape == (1, 2)
    assert [item["class"][0] for item in objects[0, :]] == ["dog", "cat"]
    parts = objects[0, 0]["parts"]
    assert parts.shape == (1, 3)
    assert parts[0, 1]["part_name"][0] == "tail"
    assert parts[0, 1]["mask"].shape == (10, 12)
    empty = loadmat(voc / "Annotations_Part" / "2008_000003.mat")["anno"][0, 0]["objects"]
    assert empty[0, 0]["parts"].shape == (0, 0)
    assert empty[0, 0]["parts"].dtype == np.float64


@pytest.mark.parametrize("folder", [".", "Annotations_Part"])
def test_voc__boxes_of_masks(voc, folder):
    marks = read_annotations(voc / folder)
    assert marks.image == ("2008_000001.jpg", *("2008_000002.jpg",) * 3) == marks.group
    assert marks.part == ("lear", "head", "tail", "head")
    # Rows 0..2 and columns 0..5: three high and six wide, centre at the centre of pixel (1, 2.5).
    np.testing.assert_array_equal(marks.yx, [[5, 5], [1, 2.5], [9, 4.5], [6.5, 8.5]])
    np.testing.assert_array_equal(marks.size, [[1, 1], [3, 6], [1, 4], [6, 6]])


def test_voc__one_class(voc):
    assert read_annotations(voc, label="dog").part == ("lear", "head", "tail")
    assert read_annotations(voc, label="dog", parts=["head"]).yx.tolist() == [[1, 2.5]]
    with pytest.raises(ExplGraphError, match=r"unknown class in .*'dug'; the nearest are dog"):
        read_annotations(voc, label="dug")
    with pytest.raises(ExplGraphError, match="holds no annotations of parts"):
        read_annotations(voc, label="boat")


def mat(**content):
    buffer = io.BytesIO()
    savemat(buffer, content)
    return buffer.getvalue()


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"not MATLAB",
        mat(other=1),
        mat(anno=3),
        mat(anno={"objects": {"class": "dog"}}),
        mat(anno={"objects": {"class": "", "parts": []}}),
        mat(anno={"objects": {"class": "dog", "parts": {"part_name": "head"}}}),
        mat(anno={"objects": {"class": "dog", "parts": {"part_name": "h", "mask": "m"}}})[:-20],
    ],
)
def test_voc__a_foreign_or_broken_file(tmp_path, content):
    (tmp_path / "a.mat").write_bytes(content)
    with pytest.raises(ExplGraphError, match=r"a\.mat is not a VOC-Part file .*Expected a struct"):
        read_annotations(tmp_path)


def test_folder__of_neither_kind(tmp_path):
    with pytest.raises(ExplGraphError, match=r"expected images\.txt, .*CUB.*VOC-Part"):
        read_annotations(tmp_path)
