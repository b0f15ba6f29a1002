"""What a run says of itself: seconds by stage, time left, lines and bars; by clocks of our own."""

import logging
import os
import subprocess
import sys
import threading
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from explgraph.base import showing
from explgraph.base.progress import CLASSES, Pace, Run, plan, stage, watched
from explgraph.base.showing import Bar, Lines, Status, duration


class Clock:
    """Stands still until it is told to go on."""

    def __init__(self):
        self.now = 100.0

    def __call__(self):
        return self.now

    def wait(self, seconds):
        self.now += seconds


@pytest.fixture
def clock():
    return Clock()


# ---- time left


def work(clock, run, seconds, *, start=0.0, batch=4):
    """Take photos through a stage; yield time left at each batch, and how long it truly took."""
    said = []
    total = len(seconds)
    with run.stage("photos", total) as photos:
        clock.wait(start)
        for first in range(0, total, batch):
            clock.wait(sum(seconds[first : first + batch]))
            photos.reach(min(first + batch, total))
            said.append((photos.done, clock.now, run.status().left))
    return [(done, left, clock.now - at) for done, at, left in said]


@pytest.mark.parametrize("start", [0.0, 1.0, 60.0])
@pytest.mark.parametrize("pace", ["even", "noisy", "slower", "stalls"])
def test_left__within_a_factor_of_two_after_five_per_cent(clock, start, pace):
    """Whatever the first photos wait for; also where the pace drifts, or some photos take long."""
    rng = np.random.default_rng(0)
    n = 400
    seconds = {
        "even": np.full(n, 0.03),
        "noisy": 0.03 * rng.lognormal(0, 0.4, n),
        "slower": np.linspace(0.03, 0.05, n),
        "stalls": 0.03 * np.where(np.arange(n) % 40 == 20, 8, 1),
    }[pace]
    told = work(clock, Run(clock=clock), seconds, start=start)
    judged = [(left, true) for done, left, true in told if 0.05 * n <= done <= 0.98 * n]
    assert len(judged) == 94
    assert all(true / 2 <= left <= 2 * true for left, true in judged)


def test_left__is_not_said_of_what_the_start_took(clock):
    told = work(clock, Run(clock=clock), [0.1] * 12, start=30.0)
    assert told[0][1] is None
    assert told[1][1] == pytest.approx(0.4)


def test_left__shrinks_while_a_batch_is_at_work(clock):
    pace = Pace()
    for now, done in ((5.0, 10), (6.0, 20), (7.0, 30)):
        pace.tell(now, done)
    assert pace.seconds == pytest.approx(0.1)
    assert pace.left(7.0, 100) == pytest.approx(7.0)
    assert pace.left(7.6, 100) == pytest.approx(6.4)
    assert pace.left(20.0, 100) == pytest.approx(6.0)  # a batch that hangs is no progress


def test_left__follows_a_pace_that_changes():
    pace = Pace()
    for i in range(100):
        pace.tell(i * 0.1, i)
    for i in range(100, 201):
        pace.tell(10 + (i - 100) * 0.4, i)
    assert pace.seconds == pytest.approx(0.4)


def test_left__counts_the_stages_to_come(clock):
    """A background seen once, photos seen twice, mining half a view: 100 + 400 + 100 views."""
    run = Run(clock=clock)
    run.plan({"background": 100, "photos": 400, "mining": 100})
    with run.stage("background", 100) as background:
        for done in (10, 20, 30):
            clock.wait(1)
            background.reach(done)
        assert run.status().left == pytest.approx(7 + 40 + 10)
    with run.stage("photos", 200) as photos:
        assert run.status().left == pytest.approx(40 + 10)  # before any photo
        for done in (10, 20):
            clock.wait(4)
            photos.reach(done)
        assert run.status().left == pytest.approx(72 + 20)
    with run.stage("mining", 10, unit="steps"):
        assert run.status().left == pytest.approx(20)


def test_left__of_stages_that_were_passed_over_does_not_count(clock):
    """With a spool, the background may be there already."""
    run = Run(clock=clock)
    run.plan({"background": 1000, "photos": 10, "mining": 5})
    with run.stage("photos", 10) as photos:
        for done in (2, 4):
            clock.wait(2)
            photos.reach(done)
        assert run.status().left == pytest.approx(6 + 5)


def test_left__of_steps_that_are_there_tells_nothing(clock):
    run = Run(clock=clock)
    with run.stage("mining", 20, unit="steps") as steps:
        for _ in range(10):
            steps.skip()
        assert (steps.done, run.status().left) == (10, None)
        for _ in range(2):
            clock.wait(3)
            steps.reach(steps.done + 1)
        assert run.status().left == pytest.approx(8 * 3)


# ---- seconds


def made_run(clock):
    run = Run("loading", clock=clock)
    clock.wait(2)
    with run.stage("background", 5) as background:
        clock.wait(3)
        background.reach(5)
    clock.wait(0.25)
    for _ in range(2):
        with run.stage("photos", 8) as photos:
            clock.wait(2)
            with run.stage("writing"):
                clock.wait(0.5)
            photos.reach(8)
    with run.stage("mining"), run.stage("mining", 3, unit="steps") as steps:
        clock.wait(1)
        steps.reach(3)
    clock.wait(0.25)
    return run


def test_status__of_one_class_after_the_other(clock):
    """Says which of how many is at work, before what is done of it."""
    run = Run(clock=clock)
    with run.stage(CLASSES, 3, unit=CLASSES) as classes:
        classes.note, classes.done = "fish", 1
        assert str(run.status()) == "classes, fish: 1 of 3 in 0 s"
        with run.stage("photos", 20) as photos:
            photos.reach(5)
            assert str(run.status()) == "fish (2 of 3): photos: 5 of 20 in 0 s"
            with run.stage("writing"):
                assert str(run.status()) == "fish (2 of 3): writing: 0 s"


def test_seconds__count_for_the_innermost_stage_and_add_up(clock):
    before = clock.now
    run = made_run(clock)
    assert run.seconds == {
        "loading": 2, "background": 3, "photos": 4, "writing": 1, "mining": 1, "other": 0.5,
    }  # fmt: skip
    assert list(run.seconds)[-1] == "other"
    assert sum(run.seconds.values()) == clock.now - before
    assert (run.photos, run.photos_per_second) == (16, 4)


def test_summary__says_the_same_in_a_line_and_in_json(clock):
    run = made_run(clock)
    assert run.summary() == (
        "16 photos in 11.5 s: loading 2.0, background 3.0, photos 4.0 (4.0 photos/s), writing 1.0, "
        "mining 1.0, other 0.5"
    )
    assert run.to_json() == {"seconds": run.seconds, "photos_per_second": 4}


def test_stages__say_when_they_end_what_the_summary_says(clock, caplog):
    with caplog.at_level(logging.DEBUG, "explgraph"):
        made_run(clock)
    assert caplog.messages == [
        "background: 5 photos in 3.00 s (1.7 photos/s)",
        "writing: 0.50 s",
        "photos: 8 photos in 2.00 s (4.0 photos/s)",
        "writing: 0.50 s",
        "photos: 8 photos in 2.00 s (4.0 photos/s)",
        "mining: 1.00 s",
    ]


def test_summary__without_photos(clock):
    run = Run("loading", clock=clock)
    clock.wait(2)
    assert not run.has_stages
    assert run.to_json() == {}
    with run.stage("mining"):
        clock.wait(1)
    assert run.has_stages
    assert run.to_json() == {"seconds": {"loading": 2, "mining": 1}}
    assert run.summary() == "done in 3.0 s: loading 2.0, mining 1.0"


def test_stage__that_fails_is_timed_and_left(clock):
    run = Run(clock=clock)
    with pytest.raises(ZeroDivisionError), run.stage("photos", 4) as photos:
        clock.wait(1)
        photos.reach(2)
        raise ZeroDivisionError
    assert run.seconds == {"photos": 1, "other": 0}
    assert run.photos == 2


def test_stages__may_end_in_any_order(clock):
    """As those of iterators do that are read side by side."""
    run = Run(clock=clock)
    first, second = run.stage("a"), run.stage("b")
    first.__enter__()
    clock.wait(1)
    second.__enter__()
    clock.wait(2)
    first.__exit__(None, None, None)
    clock.wait(4)
    second.__exit__(None, None, None)
    assert run.seconds == {"a": 1, "b": 6, "other": 0}


# ---- who watches


def test_stage__unwatched_is_free_and_silent(caplog):
    caplog.set_level(logging.DEBUG, "explgraph")
    with stage("photos", 3) as photos:
        photos.reach(3)
        plan({"mining": 1})
    assert photos.done == 3
    assert caplog.messages == []


def test_watched__an_inner_run_is_a_part_of_the_outer(caplog):
    caplog.set_level(logging.INFO, "explgraph")
    with watched(len) as outer, watched(True) as inner:
        assert inner is outer
        with stage("photos", 2) as photos:
            photos.reach(2)
    assert outer.photos == 2
    assert [m.partition(" in ")[0] for m in caplog.messages] == ["2 photos"]


def test_watched__what_is_not_wanted_is_not_counted(caplog):
    caplog.set_level(logging.DEBUG, "explgraph")
    with watched(len) as outer:
        with watched(False), stage("photos", 2) as photos:
            photos.reach(2)
        with stage("photos", 3) as photos:
            photos.reach(3)
    assert outer.photos == 3
    assert len(caplog.messages) == 2  # a stage, the summary


def test_watched__a_run_that_nobody_ended_is_not_gone_on_with():
    def left_open():
        with watched(len) as run:
            yield run

    iterator = left_open()
    old = next(iterator)
    with watched(len) as same:
        assert same is old
    old.ended = True
    with watched(len) as new:
        assert new is not old
    iterator.close()


def test_watched__has_no_thread_left():
    with watched(True):
        assert any(t.name == "explgraph-progress" for t in threading.enumerate())
    assert not any(t.name == "explgraph-progress" for t in threading.enumerate())


def test_watched__a_failure_has_no_summary(caplog):
    caplog.set_level(logging.INFO, "explgraph")
    with pytest.raises(ZeroDivisionError), watched(len), stage("photos", 2) as photos:
        photos.reach(2)
        raise ZeroDivisionError
    assert caplog.messages == []


# ---- what is seen


@pytest.mark.parametrize(
    ("status", "text"),
    [
        (Status("loading", 1.2), "loading: 1 s"),
        (Status("photos", 4.0, "", 8, 194), "photos: 8 of 194 in 4 s"),
        (
            Status("photos", 130.0, "", 40, 194, left=600.0),
            "photos: 40 of 194 in 2 min, about 10 min left",
        ),
        (
            Status("mining", 3.0, "layer 4", 3, 18, "steps", 0.1),
            "mining, layer 4: 3 of 18 steps in 3 s, about 1 s left",
        ),
        (Status("background", 0.0, "", 3, 20), "background: 3 of 20 photos in 0 s"),
    ],
)
def test_status__in_words(status, text):
    assert str(status) == text


def test_duration__has_the_unit_that_one_thinks_in():
    assert [duration(s) for s in (0.4, 99, 130, 5000, 9000)] == [
        "0 s", "99 s", "2 min", "83 min", "2.5 h",
    ]  # fmt: skip


def test_lines__the_first_within_a_second_then_every_five(clock, capsys):
    lines, at = Lines(clock), []
    for _ in range(200):
        lines.look(Status("photos", clock.now))
        if capsys.readouterr().err:
            at.append(clock.now - 100)
        clock.wait(0.1)
    assert at[0] <= 1
    assert all(later - sooner == pytest.approx(5, abs=0.11) for sooner, later in pairwise(at))


def test_lines__a_closed_stream_is_no_error(clock, monkeypatch):
    with Path(os.devnull).open("w") as stream:
        monkeypatch.setattr(sys, "stderr", stream)
    lines = Lines(clock)
    clock.wait(1)
    lines.look(Status("photos", 1.0))


def test_bar__one_stage_after_the_other(capsys, monkeypatch):
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    monkeypatch.setenv("TERM", "xterm")
    bar = Bar()
    bar.look(Status("loading", 1.0))
    bar.look(Status("photos", 1.0, "", 50, 200, left=30.0))
    bar.close()
    out, err = capsys.readouterr()
    assert out == ""
    for text in ("photos", "25%", "50/200", "about 30 s left"):
        assert text in err


CODE = """
import time
from explgraph.base.progress import CLASSES, stage, watched
with watched({progress}), stage("photos", 40) as photos:
    for i in range(4):
        time.sleep(0.5)
        photos.reach(10 * i + 10)
"""


@pytest.mark.parametrize("progress", [True, False])
def test_watched__in_a_process_without_a_terminal(progress):
    done = subprocess.run(
        [sys.executable, "-c", CODE.format(progress=progress)],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert done.stdout == ""
    lines = done.stderr.splitlines()
    assert [line.partition(" in ")[0] for line in lines] == ["photos: 10 of 40"] * progress


def test_constants__are_what_is_promised():
    assert showing.FIRST < 1
    assert 3 <= showing.EVERY <= 10
