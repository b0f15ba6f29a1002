"""Ctrl-C at any moment: nothing of ours stays behind, and the same call gives the same bytes."""

import random
import signal
import threading
import time
from functools import partial

import pytest
import torch
from threadpoolctl import threadpool_info

import explgraph as eg
from tests.support.patience import raising_after
from tests.support.together import MANY, content, hooks, modes
from tests.support.world import LAYERS, MODEL, WORLD

TIMES = 4 if MANY == 1 else 20 * MANY
"""Interrupts of each call."""

WAIT = 20
"""Seconds that a thread at work has for its step."""

PHOTOS = WORLD.photos[:6]


class Interrupted(KeyboardInterrupt):
    """Not to be taken for somebody's real one."""


def interrupted(call, seconds):
    """Whether a call was interrupted; it may have been through before."""
    try:
        with raising_after(seconds, Interrupted()):
            call()
    except Interrupted:
        return True
    return False


class Calls:
    """What is interrupted, upon a network that trains otherwise, but for one part of it."""

    def __init__(self, folder):
        self.folder, self.path = folder, folder / "report.html"
        self.net = eg.load_backbone(MODEL, device="cpu")
        self.net.module.train()
        self.net.module.stage3.eval()
        self.graph, self.found = WORLD.graph, WORLD.found
        self.parts = eg.fit_parts(self.graph, self.found, WORLD.clicks)

    def mine(self):
        return eg.mine(self.net, PHOTOS, background=WORLD.background, layers=LAYERS, progress=False)

    def match(self):
        return eg.match(self.graph, self.net, PHOTOS, views=True, batch_size=1, progress=False)

    def fit(self):
        return eg.fit_parts(self.graph, self.found, WORLD.clicks)

    def locate(self):
        return eg.locate(self.parts, self.found)

    def explain(self):
        return eg.explain(self.net, PHOTOS[0], 1, "smoothgrad", samples=8)

    def report(self):
        eg.write_report(self.graph, self.found, WORLD.source, self.path, n_nodes=8, n_photos=2)
        return self.path.read_bytes()


@pytest.fixture(scope="module")
def calls(tmp_path_factory):
    return Calls(tmp_path_factory.mktemp("interrupts"))


def state(calls):
    """All that an interrupt must not change."""
    return {
        "modes": modes(calls.net.module),
        "hooks": hooks(calls.net.module),
        "weights": content(calls.net.module.state_dict()),
        "gradients": [one.grad is None for one in calls.net.module.parameters()],
        "random": content(torch.get_rng_state()),
        "threads": torch.get_num_threads(),
        "pools": [(pool["prefix"], pool["num_threads"]) for pool in threadpool_info()],
        "files": sorted(path.name for path in calls.folder.iterdir()),
    }


def settled(wanted):
    """Wait until there are no more threads than wanted; tell how many there are."""
    until = time.monotonic() + WAIT
    while threading.active_count() > wanted and time.monotonic() < until:
        time.sleep(0.01)
    return threading.active_count()


@pytest.mark.skipif(not hasattr(signal, "setitimer"), reason="no timer interrupts here")
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize("name", ["mine", "match", "fit", "locate", "explain", "report"])
def test_interrupt__at_any_moment_leaves_all_as_it_was(calls, name):
    """Moments are drawn over the time that the call takes, the same in every run."""
    if threading.current_thread() is not threading.main_thread():
        pytest.skip("only a main thread is interrupted")
    call, draw = partial(getattr(calls, name)), random.Random(name)
    call()  # compiles
    begin = time.perf_counter()
    wanted = content(call())
    took, before, threads = time.perf_counter() - begin, state(calls), threading.active_count()
    hits = 0
    for _ in range(TIMES):
        hits += interrupted(call, max(draw.uniform(0, took), 1e-4))
        assert settled(threads) <= threads
        assert state(calls) == before
        if MANY == 1 or hits % 4 == 0:
            assert content(call()) == wanted
    assert hits >= TIMES // 4
    assert content(call()) == wanted
