"""A labelling session: answers, what follows from them, and who may give them when."""

import errno
import json
import os
import subprocess
import sys
import threading
import zlib
from mmap import mmap

import numpy as np
import pytest

import explgraph as eg
from explgraph.base.errors import ExplGraphError
from tests.support.planted_parts import SIDE
from tests.support.together import at_once


def kinds(session, part="head"):
    return [(answer.image, answer.kind) for answer in session.answers(part)]


def lies_in_a_file(array):
    while isinstance(array, np.ndarray):
        array = array.base
    return isinstance(array, mmap)


def saved(parts, path):
    parts.save(path)
    return path.read_bytes()


def test_click__part_is_found_in_all_photos(session, planted, pixel):
    assert session.predictions("head") is None
    revision = session.click("head", "00.jpg", pixel(0))
    assert revision == session.revision == 3  # two parts were added
    where = session.predictions("head")
    assert where.images == session.images
    np.testing.assert_allclose(where.yx, planted.centre, atol=0.03)
    assert session.predictions("tail") is None


def test_settle__is_fit_parts_and_locate_to_the_last_byte(session, planted, pixel, tmp_path):
    session.click("tail", "02.jpg", pixel(2))
    session.click("head", "01.jpg", pixel(1), (9, 7))
    session.click("head", "00.jpg", (3, 3))
    session.hide("head", "04.jpg")
    session.accept("head", "06.jpg")
    session.click("head", "00.jpg", pixel(0))  # the last word counts
    session.hide("tail", "03.jpg")
    session.skip("tail", "05.jpg")
    marks = session.annotations()
    assert list(zip(marks.image, marks.part, strict=True)) == [
        ("01.jpg", "head"), ("06.jpg", "head"), ("00.jpg", "head"), ("02.jpg", "tail"),
    ]  # fmt: skip
    clicks = marks.take(np.array([0, 2, 3]))
    hidden = {"head": ["04.jpg"], "tail": ["03.jpg"]}
    fitted = eg.fit_parts(planted.graph, planted.found, clicks, ("head", "tail"), hidden=hidden)
    assert saved(session.settle(), tmp_path / "a") == saved(fitted, tmp_path / "b")
    where = eg.locate(fitted, planted.found)
    for part in ("head", "tail"):
        assert (session.predictions(part).probability == where.of(part).probability).all()
        assert (session.predictions(part).visible == where.of(part).visible).all()
    alone = session.settle("tail")
    assert alone.names == ("tail",)


def test_undo__answer_that_stood_before_stands_again(session, pixel):
    first = session.click("head", "00.jpg", (5, 6))
    session.hide("head", "00.jpg")
    session.skip("tail", "00.jpg")
    assert kinds(session) == [("00.jpg", "hidden")]
    session.undo()
    assert kinds(session, "tail") == []
    session.undo()
    (answer,) = session.answers("head")
    assert (answer.kind, answer.yx, answer.revision) == ("here", (5, 6), first)
    session.undo()
    assert session.answers("head") == ()
    assert session.predictions("head") is None
    with pytest.raises(ExplGraphError, match="no answer to take back"):
        session.undo()


def test_predictions__follow_an_undo(session, pixel):
    session.click("head", "00.jpg", pixel(0))
    before = session.predictions("head").probability
    session.click("head", "03.jpg", (10, 10))
    assert not np.array_equal(session.predictions("head").probability, before)
    session.undo()
    np.testing.assert_allclose(session.predictions("head").probability, before, atol=1e-6)


def test_accept__takes_down_what_was_shown(session, pixel):
    with pytest.raises(ExplGraphError, match="nothing is predicted for 'head' yet"):
        session.accept("head", "02.jpg")
    session.click("head", "00.jpg", pixel(0), (8, 6))
    where = session.predictions("head")
    session.accept("head", "02.jpg")
    session.accept("head", "03.jpg", yx=(20, 30))
    _, right, shown = session.answers("head")
    np.testing.assert_allclose(right.yx, where.yx[2] * SIDE - 0.5)
    np.testing.assert_allclose(right.size, (8, 6), rtol=1e-5)
    assert shown.yx == (20, 30)
    assert session.predictions("head") is where  # nothing new was learnt


def test_stale_answers__are_refused(session, pixel):
    seen = session.revision
    session.click("head", "00.jpg", pixel(0), revision=seen)
    session.click("head", "01.jpg", pixel(1), revision=seen)  # of another photo
    session.hide("tail", "00.jpg", revision=seen)  # of another part
    before = session.answers("head")
    for late in (
        lambda: session.click("head", "00.jpg", (1, 1), revision=seen),
        lambda: session.accept("head", "00.jpg", revision=seen),
        lambda: session.hide("head", "00.jpg", revision=seen),
        lambda: session.skip("tail", "00.jpg", revision=seen),
        lambda: session.undo(revision=seen),
    ):
        with pytest.raises(eg.StaleAnswer, match="meanwhile"):
            late()
    assert session.answers("head") == before
    session.undo(revision=session.revision)
    with pytest.raises(eg.StaleAnswer):  # its answer was taken back meanwhile
        session.hide("tail", "00.jpg", revision=session.revision - 1)
    with pytest.raises(ExplGraphError, match="of another session"):
        session.hide("head", "00.jpg", revision=99)


@pytest.mark.parametrize(
    ("answer", "told"),
    [
        (lambda s: s.click("ear", "00.jpg", (1, 1)), "unknown part 'ear'"),
        (lambda s: s.click("head", "xx.jpg", (1, 1)), "unknown photo 'xx.jpg'"),
        (lambda s: s.click("head", "00.jpg", (1, SIDE)), "lies outside of its photo"),
        (lambda s: s.click("head", "00.jpg", (1, float("nan"))), "yx must be two numbers"),
        (lambda s: s.click("head", "00.jpg", (1, 1, 1)), "yx must be two numbers"),
        (lambda s: s.add_part(" "), "a part's name has"),
        (lambda s: s.add_part("a\nb"), "a part's name has"),
        (lambda s: s.add_part("ear", "red"), "like '#0072b2'"),
        (lambda s: s.settle(), "nothing was clicked"),
        (lambda s: s.export("x.csv"), "nothing to export"),
        (lambda s: s.next("head", 0), "n must be 1"),
    ],
)
def test_wrong_input__changes_nothing(session, answer, told):
    with pytest.raises(ExplGraphError, match=told):
        answer(session)
    assert session.revision == 2


def test_reopened__all_is_as_it_was(session, planted, pixel, tmp_path):
    session.click("head", "00.jpg", pixel(0), (8, 6))
    session.add_part("ear", "#AABBCC")
    session.hide("head", "01.jpg")
    session.skip("head", "02.jpg")
    session.undo()
    session.close()
    with pytest.raises(ExplGraphError, match="closed"):
        session.hide("head", "03.jpg")
    with eg.LabelSession.open(tmp_path / "labels") as again:
        for name in ("images", "photo_sizes", "parts", "revision"):
            assert getattr(again, name) == getattr(session, name)
        assert again.answers("head") == session.answers("head")
        assert lies_in_a_file(again.found.views.maps)
        same = again.predictions("head").probability == session.predictions("head").probability
        assert same.all()
        assert again.parts[-1] == eg.LabelSession.open(again.folder, writable=False).parts[-1]


def test_journal_of_other_photos__is_refused(session, tmp_path):
    session.hide("head", "00.jpg")
    session.close()
    journal = tmp_path / "labels" / "answers.jsonl"
    *lines, last = journal.read_bytes().splitlines()
    body = last[: last.rindex(b", ")].replace(b"00.jpg", b"77.jpg")
    lines.append(body + b', "check": "%08x"}' % zlib.crc32(body))
    journal.write_bytes(b"\n".join(lines) + b"\n")
    with pytest.raises(ExplGraphError, match=r"line 3: there is no photo '77\.jpg'"):
        eg.LabelSession.open(tmp_path / "labels")
    assert not (tmp_path / "labels" / "driver.lock").exists()


def test_folder__is_one_process_s(session, planted, tmp_path):
    with pytest.raises(ExplGraphError, match="in use by another run"):
        eg.LabelSession.open(tmp_path / "labels")
    code = f"import explgraph as eg; eg.LabelSession.open({str(tmp_path / 'labels')!r})"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert "in use by another run" in done.stderr
    session.close()
    with pytest.raises(ExplGraphError, match="holds a labelling session already"):
        eg.LabelSession.create(tmp_path / "labels", planted.graph, planted.found)
    assert eg.LabelSession.open(tmp_path / "labels").parts == session.parts


def test_threads__each_answer_counts_once(session, planted, pixel):
    """Answers, predictions and undos all at the same time."""
    images = session.images
    counted = threading.Barrier(4)

    def answer(own):
        def call():
            counted.wait()
            for row in range(own, len(images), 4):
                session.click("head", images[row], pixel(row))
                session.hide("tail", images[row])
                session.predictions("head")
                session.progress("tail")

        return call

    at_once([answer(k) for k in range(4)])
    assert session.revision == 2 + 2 * len(images)
    assert {answer.image for answer in session.answers("head")} == set(images)
    assert [a.revision for a in session.answers("tail")] == sorted(
        a.revision for a in session.answers("tail")
    )


def test_next__first_clear_then_doubtful_never_answered(session, planted, pixel):
    first = session.next("head", 3)
    assert len({question.image for question in first}) == 3
    assert "clear" in first[0].reason
    session.click("head", "00.jpg", pixel(0))
    session.skip("head", "05.jpg")
    asked = [question.image for question in session.next("head", 99)]
    assert sorted(asked) == sorted(set(session.images) - {"00.jpg", "05.jpg"})
    for image in asked[:-1]:
        session.hide("head", image)
    assert [question.image for question in session.next("head", 3)] == asked[-1:]
    session.hide("head", asked[-1])
    assert session.next("head") == ()


def test_progress__counts_answers_and_doubt(session, pixel):
    before = session.progress("head")
    assert (before.answered, before.photos, before.expected_right) == (0, 14, 0)
    assert before.in_doubt == 14
    session.click("head", "00.jpg", pixel(0))
    session.skip("head", "03.jpg")
    sure = session.predictions("head").confidence.astype(float)
    sure[0] = 1
    now = session.progress("head")
    assert now.answered == 1
    assert now.expected_right == pytest.approx(sure.mean())
    assert now.in_doubt == (sure < 0.5).sum()


def test_export__answers_in_the_place_of_predictions(session, planted, pixel, tmp_path):
    session.click("head", "00.jpg", (10, 20), (4, 6))
    session.hide("head", "02.jpg")
    session.accept("head", "03.jpg", yx=(30, 40))
    session.export(tmp_path / "all.csv")
    rows = [line.split(",") for line in (tmp_path / "all.csv").read_text().splitlines()[1:]]
    assert [row[0] for row in rows] == list(session.images)
    assert rows[0][2:] == ["20.00", "10.00", "6.00", "4.00", "", "1", "here"]
    assert rows[2][2:] == ["", "", "", "", "", "0", "hidden"]
    assert rows[3][8] == "right" and rows[4][8] == "predicted"
    assert rows[3][2:4] == ["40.00", "30.00"]
    session.export(tmp_path / "own.csv", predictions=False)
    again = eg.read_annotations(tmp_path / "own.csv")
    assert again.image == ("00.jpg", "03.jpg")
    np.testing.assert_allclose(again.yx, [[10, 20], [30, 40]])


@pytest.mark.parametrize(("name", "format"), [("a.json", "coco"), ("a.xml", None)])
def test_export__two_parts_read_again(session, pixel, tmp_path, name, format):
    session.click("head", "01.jpg", pixel(1))
    session.click("tail", "00.jpg", (10, 20))
    session.hide("tail", "01.jpg")
    session.skip("head", "02.jpg")
    session.export(tmp_path / name, format=format)
    again = eg.read_annotations(tmp_path / name)
    assert set(again.image) == {*session.images}
    assert again.of("head").image == session.images  # skipped photos are predicted, too
    assert again.of("tail").image == session.images[:1] + session.images[2:]
    place = session.predictions("head").yx[2] * np.array(session.photo_sizes["02.jpg"]) - 0.5
    np.testing.assert_allclose(again.of("head").yx[2], place, atol=0.006)
    np.testing.assert_allclose(again.of("tail").yx[0], (10, 20))


def test_export__for_review_in_label_studio(session, pixel, tmp_path):
    session.click("head", "01.jpg", pixel(1))
    session.hide("head", "02.jpg")
    session.export(tmp_path / "a.json", format="label-studio")
    tasks = json.loads((tmp_path / "a.json").read_text())
    assert [len(task["annotations"]) for task in tasks[:4]] == [0, 1, 1, 0]
    assert [len(task["predictions"]) for task in tasks[:4]] == [1, 0, 0, 1]
    assert tasks[2]["annotations"] == [{"result": []}]
    assert eg.read_annotations(tmp_path / "a.json").image == ("01.jpg",)


def test_export__wrong_formats_are_told_before_anything_is_computed(session, tmp_path):
    for name, format in (("a.txt", None), ("a.csv", "coco"), ("a.json", "yolo")):
        with pytest.raises(ExplGraphError, match=r"must be a|unknown format"):
            session.export(tmp_path / name, format=format)


def test_full_disk__session_stays_as_it_was(session, pixel, monkeypatch):
    session.click("head", "00.jpg", pixel(0))
    before = session.revision, session.answers("head"), session.predictions("head")

    def full(handle, data):
        raise OSError(errno.ENOSPC, "no space")

    monkeypatch.setattr(os, "write", full)
    for answer in (
        lambda: session.click("head", "01.jpg", pixel(1)),
        lambda: session.hide("head", "00.jpg"),
        session.undo,
    ):
        with pytest.raises(ExplGraphError, match=r"was not kept.*make room.*give it again"):
            answer()
        assert (session.revision, session.answers("head"), session.predictions("head")) == before
    monkeypatch.undo()
    session.hide("head", "00.jpg")
    with eg.LabelSession.open(session.folder, writable=False) as read:
        assert read.answers("head") == session.answers("head")
