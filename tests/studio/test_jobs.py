"""Work in a thread of its own: one after the other, ended when nobody waits, made once."""

import threading
import time

import pytest
import torch

from explgraph.base.errors import ExplGraphError
from explgraph.base.progress import stage
from explgraph.studio.jobs import Jobs
from explgraph.studio.replies import RefusedError, Reply

PATIENCE = 20
NET = torch.nn.Sequential(torch.nn.Linear(2, 2), torch.nn.ReLU())


@pytest.fixture
def jobs():
    made = Jobs()
    yield made
    made.close()


def ended(job):
    until = time.monotonic() + PATIENCE
    while job.state in ("waiting", "running"):
        assert time.monotonic() < until
        time.sleep(0.005)
    return job.state


def endless():
    while True:
        NET(torch.zeros(2))


def test_job__counts_runs_of_the_network_and_tells_how_far_it_is(jobs):
    go_on, reached = threading.Event(), threading.Event()

    def action():
        with stage("rows", 4, "rows") as rows:
            NET(torch.zeros(2))
            NET(torch.zeros(2))
            rows.reach(3)
            reached.set()
            assert go_on.wait(PATIENCE)
        return Reply(b"made")

    job = jobs.start("explain", action)
    assert reached.wait(PATIENCE)
    torch.nn.ReLU()(torch.zeros(2))  # of another thread: not counted
    said = job.to_json()
    assert (said["state"], said["passes"]) == ("running", 2)
    assert (said["done"], said["total"], said["what"]) == (3, 4, "rows")
    with pytest.raises(RefusedError, match="not done"):
        jobs.result(job.number)
    go_on.set()
    assert ended(job) == "done"
    assert jobs.result(job.number).body == b"made"


def test_job__ends_at_the_next_run_of_the_network_when_it_is_left(jobs):
    first = jobs.start("explain", endless)
    second = jobs.start("explain", endless)  # of the same kind: the first one is left
    assert ended(first) == "left"
    third = jobs.start("groups", lambda: Reply(b"g"))
    second.leave()
    assert (ended(second), ended(third)) == ("left", "done")
    assert not torch.nn.modules.module._global_forward_pre_hooks


def test_job__made_once_is_the_same_also_when_it_was_left_meanwhile(jobs):
    busy = jobs.start("explain", endless)
    made = jobs.start("report", lambda: Reply(b"r"), once=True)
    made.leave()
    assert jobs.start("report", lambda: Reply(b"another"), once=True) is made
    busy.leave()
    assert ended(made) == "done"
    assert jobs.start("report", lambda: Reply(b"another"), once=True) is made


def test_job__that_fails_says_why_and_is_begun_anew(jobs, caplog):
    def fail():
        raise ExplGraphError("no such class")

    job = jobs.start("report", fail, once=True)
    assert (ended(job), job.error) == ("failed", "no such class")
    assert caplog.text == ""
    again = jobs.start("report", lambda: 1 / 0, once=True)
    assert (ended(again), again.error) == ("failed", "division by zero")
    assert "ZeroDivisionError" in caplog.text  # a mistake of ours
    with pytest.raises(RefusedError):
        jobs.get(99)
