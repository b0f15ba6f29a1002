"""``explgraph parts`` and ``explgraph locate``, on drawn fishes of two sizes."""

import json
import shutil

import numpy as np
import pytest
import torch
from PIL import Image

import aog
import explgraph as eg
from aog.files import COLUMNS
from explgraph.photos.annotation_files import read_annotations
from explgraph.photos.keypoints import write_keypoints
from tests.support.commands import ok, refused, rows_of, write_csv
from tests.support.timing import without_times
from tests.support.world import MODEL, WORLD

N_PHOTOS, N_NEW, N_MORE = 6, 5, 3
CLICKS = (("00.png", "head"), ("sub/01.png", "head"), ("00.png", "tail"))
HEADER, BOXES = ("image", "part", "x", "y"), ("image", "x", "y", "width", "height")
WIDE = (96, 160)  # the odd photos: height and width
SQUARE = (128, 128)
PIXEL = 0.011  # what rounding to two digits may cost


def shape(name):
    return WIDE if int(name.split("/")[-1][:2]) % 2 else SQUARE


def names(first, count):
    """Odd photos lie in a sub-folder; they are wide."""
    return [f"sub/{i:02d}.png" if i % 2 else f"{i:02d}.png" for i in range(first, first + count)]


def save_photos(folder, first, count):
    for i, name in enumerate(names(first, count), start=first):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        height, width = shape(name)
        Image.fromarray(WORLD.photos[i]).resize((width, height)).save(folder / name)


def click(name, part):
    """Return the row of a click: x and y in pixels of the photo."""
    y, x = WORLD.points[part][int(name.split("/")[-1][:2])] * shape(name) - 0.5
    return name, part, x, y


@pytest.fixture(scope="module")
def work(tmp_path_factory):
    """Folders photos, new and more; graph.safetensors, clicks.csv and parts.safetensors."""
    folder = tmp_path_factory.mktemp("parts")
    save_photos(folder / "photos", 0, N_PHOTOS)
    save_photos(folder / "new", N_PHOTOS, N_NEW)
    save_photos(folder / "more", N_PHOTOS + N_NEW, N_MORE)
    WORLD.graph.save(folder / "graph.safetensors")
    write_csv(folder / "clicks.csv", HEADER, [click(*c) for c in CLICKS])
    ok(*parts_command(folder), "--out", folder / "parts.safetensors")
    return folder


def parts_command(work, clicks="clicks.csv"):
    """Without ``--out``."""
    return (
        "parts", work / "graph.safetensors", work / "photos", "--annotations", work / clicks,
        "--model", MODEL,
    )  # fmt: skip


def locate_command(work):
    """Without ``--out``."""
    return "locate", work / "parts.safetensors", work / "new", "--model", MODEL


def same_files(first, second):
    return first.read_bytes() == second.read_bytes()


# -- parts -----------------------------------------------------------------------------------------


def test_parts_equals_the_library(work, tmp_path):
    graph, net = eg.ExplanatoryGraph.load(work / "graph.safetensors"), eg.load_backbone(MODEL)
    found = eg.match(graph, net, work / "photos", views=True, progress=False)
    fitted = eg.fit_parts(graph, found, read_annotations(work / "clicks.csv"), ["head", "tail"])
    fitted.save(tmp_path / "expected.safetensors")
    assert same_files(work / "parts.safetensors", tmp_path / "expected.safetensors")


def test_parts_names_the_photo_whose_click_disagrees(work, tmp_path):
    """Of four heads one is clicked on the tail."""
    right = [click(name, "head") for name in ("00.png", "sub/01.png", "02.png")]
    wrong = (*click("04.png", "tail")[:1], "head", *click("04.png", "tail")[2:])
    for rows, is_named in ((right, False), ([*right, wrong], True)):
        write_csv(tmp_path / "clicks.csv", HEADER, rows)
        command = parts_command(work, tmp_path / "clicks.csv")
        said = ok(*command, "--out", tmp_path / "p.safetensors").stderr
        assert ("the click for 'head' in '04.png'" in said) == is_named, said
        assert "in '00.png'" not in said


def test_parts_says_what_it_learned(work, tmp_path):
    out = tmp_path / "new" / "p.safetensors"
    data = without_times(ok(*parts_command(work), "--out", out, "--json"))
    fitted = aog.Parts.load(out)
    assert data == {
        "parts": str(out),
        "photos": N_PHOTOS,
        "skipped": [],
        "fitted": {
            "head": {"clicks": 2, "templates": len(fitted["head"]),
                     "patterns": len(fitted["head"].node)},
            "tail": {"clicks": 1, "templates": 1, "patterns": len(fitted["tail"].node)},
        },
    }  # fmt: skip
    assert data["fitted"]["tail"]["patterns"] > 10
    lines = ok(*parts_command(work), "--out", out).stdout.splitlines()
    assert lines[0] == f"{out}: 2 parts, with 6 photos"
    assert next(line for line in lines if "templates" in line).split() == [
        "part", "clicks", "templates", "patterns",
    ]  # fmt: skip
    assert any(line.split()[:2] == ["head", "2"] for line in lines)


def test_parts_named_one_by_one(work, tmp_path):
    out = tmp_path / "p.safetensors"
    ok(*parts_command(work), "--part", "tail", "--out", out)
    assert aog.Parts.load(out).names == ("tail",)
    options = ("--part", "tail", "--part", "head", "--part", "tail")
    ok(*parts_command(work), *options, "--out", out)
    assert aog.Parts.load(out).names == ("tail", "head")


def test_parts_reads_coco(work, tmp_path):
    marks = read_annotations(work / "clicks.csv")
    write_keypoints(tmp_path / "clicks.json", marks, {name: shape(name) for name in marks.image})
    out = tmp_path / "p.safetensors"
    ok(*parts_command(work, tmp_path / "clicks.json"), "--out", out)
    assert same_files(out, work / "parts.safetensors")
    out.unlink()
    options = ("--label", "object", "--out", out)
    ok(*parts_command(work, tmp_path / "clicks.json"), *options)
    assert same_files(out, work / "parts.safetensors")
    options = ("--label", "cat", "--out", out)
    assert "'cat'" in refused(*parts_command(work, tmp_path / "clicks.json"), *options)


def test_parts_with_more_photos_without_annotations(work, tmp_path):
    """As if they lay in a sub-folder of the annotated ones."""
    out, expected = tmp_path / "p.safetensors", tmp_path / "expected.safetensors"
    options = ("--unlabelled", work / "more", "--out", out, "--json")
    data = json.loads(ok(*parts_command(work), *options).stdout)
    assert data["photos"] == N_PHOTOS + N_MORE
    save_photos(tmp_path / "photos", 0, N_PHOTOS)
    save_photos(tmp_path / "photos" / "unlabelled", N_PHOTOS + N_NEW, N_MORE)
    command = list(parts_command(work))
    command[2] = tmp_path / "photos"
    ok(*command, "--out", expected)
    ours, theirs = aog.Parts.load(out), aog.Parts.load(expected)
    np.testing.assert_allclose(ours["head"].scale, theirs["head"].scale, rtol=1e-4)
    without = aog.Parts.load(work / "parts.safetensors")
    scales = ours["head"].scale, without["head"].scale
    # Other photos may turn a clicked one, and then other nodes are its patterns.
    assert len(scales[0]) != len(scales[1]) or not np.allclose(*scales, rtol=1e-4)


@pytest.mark.parametrize("where", [".", "photos", "photos/sub"])
def test_parts_takes_photos_once_that_lie_in_both_folders(work, tmp_path, where):
    save_photos(tmp_path / "photos", 0, N_PHOTOS)
    save_photos(tmp_path / "others", N_PHOTOS, 2)
    command = list(parts_command(work))
    command[2] = tmp_path / "photos"
    options = ("--unlabelled", tmp_path / where, "--out", tmp_path / "p.safetensors", "--json")
    data = json.loads(ok(*command, *options).stdout)
    assert data["photos"] == N_PHOTOS + (2 if where == "." else 0)


def test_parts_with_more_photos_in_an_archive(work, tmp_path):
    save_photos(tmp_path / "photos", 0, N_PHOTOS)
    save_photos(tmp_path / "others", N_PHOTOS, 2)
    whole = shutil.make_archive(str(tmp_path / "whole"), "tar", tmp_path / "photos")
    more = shutil.make_archive(str(tmp_path / "photos" / "more"), "tar", tmp_path / "others")
    command = list(parts_command(work))
    for images, unlabelled, extra in (
        (tmp_path / "photos", more, 2),  # it lies among the photos, and holds others
        (whole, whole, 0),
        (whole, more, 2),
    ):
        command[2] = images
        options = ("--unlabelled", unlabelled, "--out", tmp_path / "p.safetensors", "--json")
        assert json.loads(ok(*command, *options).stdout)["photos"] == N_PHOTOS + extra


def test_parts_refuses_names_that_collide(work, tmp_path):
    save_photos(tmp_path / "photos", 0, 2)
    save_photos(tmp_path / "photos" / "unlabelled", 4, 1)
    save_photos(tmp_path / "more", 4, 1)
    command = list(parts_command(work))
    command[2] = tmp_path / "photos"
    options = ("--unlabelled", tmp_path / "more", "--out", tmp_path / "p.safetensors")
    assert "1 of the same name" in refused(*command, *options)


def test_parts_names_photos_that_cannot_be_read(work, tmp_path):
    save_photos(tmp_path / "photos", 0, N_PHOTOS)
    (tmp_path / "photos" / "broken.png").write_bytes(b"")
    (tmp_path / "more").mkdir()
    save_photos(tmp_path / "more", N_PHOTOS, 1)
    (tmp_path / "more" / "empty.png").write_bytes(b"")
    command = list(parts_command(work))
    command[2] = tmp_path / "photos"
    options = ("--unlabelled", tmp_path / "more", "--out", tmp_path / "p.safetensors")
    result = ok(*command, *options, "--json")
    assert json.loads(result.stdout)["skipped"] == ["broken.png", "unlabelled/empty.png"]
    assert "broken.png" in result.stderr
    assert "broken.png" in refused(*command, *options, "--strict")


def test_parts_of_objects_in_boxes(work, tmp_path):
    """One box is the whole photo: it gives what the photo gave; the other is not annotated."""
    boxes = [
        (name, (shape(name)[1] - 1) / 2, (shape(name)[0] - 1) / 2, *shape(name)[::-1])
        for name in names(0, N_PHOTOS)
    ]
    write_csv(tmp_path / "boxes.csv", BOXES, boxes)
    out = tmp_path / "p.safetensors"
    command = (*parts_command(work), "--boxes", tmp_path / "boxes.csv", "--out", out)
    ok(*command)
    ours, theirs = aog.Parts.load(out), aog.Parts.load(work / "parts.safetensors")
    np.testing.assert_allclose(ours["head"].centre, theirs["head"].centre, atol=1e-3)
    write_csv(tmp_path / "boxes.csv", BOXES, [*boxes, ("00.png", 20, 20, 40, 40)])
    assert "has 2 boxes" in refused(*command)


# -- locate ----------------------------------------------------------------------------------------


def test_locate_equals_the_library(work, tmp_path):
    out = tmp_path / "new" / "p.csv"
    data = json.loads(ok(*locate_command(work), "--out", out, "--json").stdout)
    parts, net = aog.Parts.load(work / "parts.safetensors"), eg.load_backbone(MODEL)
    found = eg.match(parts.graph, net, work / "new", views=True, progress=False)
    expected, rows = eg.locate(parts, found), rows_of(out)
    assert [*rows[0]] == [*COLUMNS]
    assert [(r["image"], r["part"]) for r in rows] == [
        (name, part) for name in sorted(names(N_PHOTOS, N_NEW)) for part in ("head", "tail")
    ]
    for row, yx in zip(rows, expected.yx, strict=True):
        height, width = shape(row["image"])
        assert float(row["x"]) == pytest.approx(yx[1] * width - 0.5, abs=PIXEL)
        assert float(row["y"]) == pytest.approx(yx[0] * height - 0.5, abs=PIXEL)
        assert row["width"] == row["height"] == ""
    for column in ("visible", "template", "mirrored"):
        assert [int(row[column]) for row in rows] == getattr(expected, column).tolist()
    confidence = [float(row["confidence"]) for row in rows]
    np.testing.assert_allclose(confidence, expected.confidence, atol=1e-4)
    heads = expected.of("head")
    assert data["located"]["head"] == {
        "visible": int(heads.visible.sum()),
        "mirrored": int(heads.mirrored.sum()),
        "confidence": round(float(heads.confidence.mean()), 4),
    }
    assert (data["answers"], data["photos"], data["skipped"]) == (str(out), N_NEW, [])
    assert [*data["located"]] == ["head", "tail"]


def test_locate_finds_the_heads(work, tmp_path):
    ok(*locate_command(work), "--part", "head", "--out", tmp_path / "p.csv")
    rows = rows_of(tmp_path / "p.csv")
    assert {row["part"] for row in rows} == {"head"}
    off = []
    for row in rows:
        _, _, x, y = click(row["image"], "head")
        height, width = shape(row["image"])
        off.append(np.hypot((float(row["x"]) - x) / width, (float(row["y"]) - y) / height) / 2**0.5)
    assert len(off) == N_NEW
    assert np.mean(off) < 0.08


def test_locate_prints_a_table(work, tmp_path):
    out = tmp_path / "p.csv"
    lines = ok(*locate_command(work), "--part", "tail", "--out", out).stdout.splitlines()
    assert lines[0] == f"{out}: 1 part in {N_NEW} photos"
    assert [line.split()[0] for line in lines if line.strip()][-1] == "tail"


def test_locate_writes_coco(work, tmp_path):
    ok(*locate_command(work), "--out", tmp_path / "p.csv")
    ok(*locate_command(work), "--out", tmp_path / "p.json")
    coco = json.loads((tmp_path / "p.json").read_text())
    assert len(coco["images"]) == len(coco["annotations"]) == N_NEW
    assert coco["categories"][0]["keypoints"] == ["head", "tail"]
    table, marks = (read_annotations(tmp_path / name) for name in ("p.csv", "p.json"))
    rows = rows_of(tmp_path / "p.csv")
    # Of a table those that are not visible are passed over.
    shown = marks.take(np.array([row["visible"] == "1" for row in rows]))
    assert (shown.image, shown.part) == (table.image, table.part)
    np.testing.assert_array_equal(shown.yx, table.yx)
    seen = [v for a in coco["annotations"] for v in a["keypoints"][2::3]]
    assert seen == [1 + int(row["visible"]) for row in rows]


def test_locate_sizes_where_the_clicks_have_one(work, tmp_path):
    """A part of a fixed share of the photo has that share of every photo."""
    rows = [(*click(*c), shape(c[0])[1] * 0.25, shape(c[0])[0] * 0.5) for c in CLICKS[:2]]
    write_csv(tmp_path / "sized.csv", (*HEADER, "width", "height"), rows)
    parts, out = tmp_path / "p.safetensors", tmp_path / "p.csv"
    ok(*parts_command(work, tmp_path / "sized.csv"), "--out", parts)
    ok("locate", parts, work / "new", "--model", MODEL, "--out", out)
    for row in rows_of(out):
        height, width = shape(row["image"])
        assert float(row["width"]) == pytest.approx(width * 0.25, abs=PIXEL)
        assert float(row["height"]) == pytest.approx(height * 0.5, abs=PIXEL)


def test_located_parts_serve_as_clicks(work, tmp_path):
    """The round trip: answers, corrected or not, are annotations of the same photos."""
    ok(*locate_command(work), "--out", tmp_path / "p.csv")
    parts, out = tmp_path / "p.safetensors", tmp_path / "again.csv"
    ok(
        "parts", work / "graph.safetensors", work / "new", "--annotations", tmp_path / "p.csv",
        "--part", "head", "--model", MODEL, "--out", parts,
    )  # fmt: skip
    assert int(aog.Parts.load(parts)["head"].clicks.sum()) == N_NEW
    ok("locate", parts, work / "new", "--model", MODEL, "--out", out)
    heads = [row for row in rows_of(tmp_path / "p.csv") if row["part"] == "head"]
    for before, after in zip(heads, rows_of(out), strict=True):
        assert before["image"] == after["image"]
        assert float(after["x"]) == pytest.approx(float(before["x"]), abs=10)


def test_locate_as_given_only(work, tmp_path):
    ok(*locate_command(work), "--no-mirror", "--out", tmp_path / "p.csv")
    assert {row["mirrored"] for row in rows_of(tmp_path / "p.csv")} == {"0"}


def test_locate_names_photos_that_cannot_be_read(work, tmp_path):
    save_photos(tmp_path / "photos", 0, 2)
    (tmp_path / "photos" / "broken.png").write_bytes(b"")
    arguments = ("locate", work / "parts.safetensors", tmp_path / "photos", "--model", MODEL)
    result = ok(*arguments, "--out", tmp_path / "p.csv", "--json")
    assert json.loads(result.stdout)["skipped"] == ["broken.png"]
    assert "broken.png" in result.stderr
    assert {row["image"] for row in rows_of(tmp_path / "p.csv")} == {"00.png", "sub/01.png"}
    assert "broken.png" in refused(*arguments, "--out", tmp_path / "p.csv", "--strict")


def test_locate_in_boxes(work, tmp_path):
    """Positions are those of the whole photo, a box's name tells which."""
    boxes = [("06.png", 63.5, 63.5, 128, 128), ("06.png", 60, 60, 100, 100)]
    write_csv(tmp_path / "boxes.csv", BOXES, boxes)
    for name in ("p.csv", "p.json"):
        options = ("--boxes", tmp_path / "boxes.csv", "--out", tmp_path / name)
        ok(*locate_command(work), "--part", "head", *options)
    assert read_annotations(tmp_path / "p.json").image == ("06.png#0", "06.png#1")
    ok(*locate_command(work), "--part", "head", "--out", tmp_path / "whole.csv")
    whole, boxed = rows_of(tmp_path / "whole.csv")[0], rows_of(tmp_path / "p.csv")
    assert whole["image"] == "06.png"
    assert [row["image"] for row in boxed] == ["06.png#0", "06.png#1"]
    assert float(boxed[0]["x"]) == pytest.approx(float(whole["x"]), abs=PIXEL)
    assert float(boxed[1]["x"]) == pytest.approx(float(whole["x"]), abs=20)


# -- wrong input -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([("99.png", "head", 1, 1)], "unknown image in the annotations: '99.png'"),
        ([("00.png", "head", 1, 500)], "x = 1, y = 500 of the part 'head' lies outside"),
        ([("sub/01.png", "head", 1, 120)], "is 160 wide and 96 high"),
        ([("00.png", "head", 1, 1), ("00.png", "head", 9, 9)], "two clicks for the part 'head'"),
        ([("00.png", "tail", 1, 1)], "unknown part 'head'"),
        ([], "holds no annotations of parts"),
    ],
)
def test_parts_refuses_wrong_annotations_at_once(work, tmp_path, rows, message):
    """Before the network is even loaded."""
    write_csv(tmp_path / "wrong.csv", HEADER, rows)
    command = list(parts_command(work, tmp_path / "wrong.csv"))
    command[command.index("--model") + 1] = "no_such_model"
    out = tmp_path / "p.safetensors"
    assert message in refused(*command, "--part", "head", "--out", out)
    assert not out.exists()


def test_parts_names_an_annotated_photo_that_cannot_be_read(work, tmp_path):
    save_photos(tmp_path / "photos", 0, 2)
    (tmp_path / "photos" / "00.png").write_bytes(b"")
    command = list(parts_command(work))
    command[2] = tmp_path / "photos"
    assert "cannot read image '00.png'" in refused(*command, "--out", tmp_path / "p.safetensors")


def test_parts_label_needs_something_to_choose_from(work, tmp_path):
    options = ("--label", "cat", "--out", tmp_path / "p.safetensors")
    assert "--label cat chooses among --boxes or" in refused(*parts_command(work), *options)


@pytest.mark.parametrize("name", ["p.csv", "p", "."])
def test_parts_refuses_a_bad_out_file_at_once(tmp_path, name):
    arguments = ("parts", "nowhere", "nowhere", "--annotations", "nowhere", "--out")
    assert "--out" in refused(*arguments, tmp_path / name)


@pytest.mark.parametrize("name", ["p.txt", "p.safetensors", "."])
def test_locate_refuses_a_bad_out_file_at_once(tmp_path, name):
    message = refused("locate", "nowhere", "nowhere", "--out", tmp_path / name)
    assert ("is a folder" if name == "." else "must be a .csv file, a .json file") in message


def test_files_of_another_kind_are_refused(work, tmp_path):
    command = ("locate", work / "graph.safetensors", work / "new", "--out", tmp_path / "p.csv")
    assert "holds 'graph', expected 'parts'" in refused(*command)
    command = list(parts_command(work))
    command[1] = work / "parts.safetensors"
    message = refused(*command, "--out", tmp_path / "p.safetensors")
    assert "holds 'parts', expected 'graph'" in message
    (tmp_path / "cut.safetensors").write_bytes((work / "parts.safetensors").read_bytes()[:999])
    command = ("locate", tmp_path / "cut.safetensors", work / "new", "--out", tmp_path / "p.csv")
    assert "is not a whole explgraph parts file" in refused(*command)


def test_locate_refuses_an_unknown_part(work, tmp_path):
    message = refused(*locate_command(work), "--part", "nose", "--out", tmp_path / "p.csv")
    assert "unknown part 'nose'; the nearest are" in message


def test_other_weights_are_refused_unless_forced(work, tmp_path):
    module = eg.load_backbone(MODEL, device="cpu").module
    with torch.no_grad():
        next(module.parameters()).mul_(0.5)
    torch.save(module.state_dict(), tmp_path / "other.pth")
    for command, out in (
        (parts_command(work), tmp_path / "p.safetensors"),
        (locate_command(work), tmp_path / "p.csv"),
    ):
        arguments = (*command, "--weights", tmp_path / "other.pth", "--out", out)
        message = refused(*arguments)
        assert "mined from other weights" in message
        assert "--force" in message
        assert not out.exists()
        ok(*arguments, "--force")
        assert out.exists()


def test_a_factory_is_never_run_because_a_file_names_it(work, tmp_path):
    command = ("locate", work / "parts.safetensors", work / "new", "--out", tmp_path / "p.csv")
    assert "give the network with --model" in refused(*command)
    command = parts_command(work)[:-2]
    assert "give the network with --model" in refused(*command, "--out", tmp_path / "p.safetensors")


@pytest.mark.parametrize("name", ["parts", "locate"])
def test_help_has_an_example(name):
    text = " ".join(ok(name, "--help").stdout.split())
    assert f"Example: explgraph {name} " in text
    assert f" {name} " in ok("--help").stdout
