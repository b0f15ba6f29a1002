"""Children, forked and spawned, pools of threads, and workers of a DataLoader find the same."""

import asyncio
import multiprocessing
import os
import signal
import subprocess
import sys
import threading
import warnings
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor

import numpy as np
import pytest
import torch

import explgraph as eg
from explgraph.networks.shared import evaluation
from tests.support.children import by_workers, matched
from tests.support.together import LONG, MANY, content, modes
from tests.support.world import MODEL, WORLD

PHOTOS = WORLD.photos[:6]


def fresh_process(*arguments, timeout=LONG):
    """Run it and return what it said; after the timeout its children end with it."""
    command = [sys.executable, "-m", "tests.support.children", *arguments]
    pipe = subprocess.PIPE
    started = subprocess.Popen(command, stdout=pipe, stderr=pipe, text=True, start_new_session=True)
    try:
        return started.communicate(timeout=timeout)
    except subprocess.TimeoutExpired:
        os.killpg(started.pid, signal.SIGKILL)
        started.communicate()
        raise


@pytest.mark.skipif(not hasattr(os, "fork"), reason="nothing can be forked here")
def test_forked_children__match_if_pytorch_has_one_thread():
    """A pool, DataLoader workers, and a Dataset that is mined, after the parent has used it all."""
    said, errors = fresh_process("forked", "1")
    assert said.endswith("equal\n"), errors


@pytest.mark.skipif(MANY == 1, reason="waits for what hangs: with EXPLGRAPH_TOGETHER")
@pytest.mark.skipif(torch.get_num_threads() == 1, reason="PyTorch has one thread here")
def test_forked_children__hang_in_pytorch_alone_if_it_has_two():
    """The control of what the FAQ says: should it pass one day, the warning there can go."""
    with pytest.raises(subprocess.TimeoutExpired):
        fresh_process("torch_alone", "2", timeout=40)


def test_spawned_children__match():
    """They are handed the graph, the network and the photos, pickled."""
    wanted, net = matched(WORLD.graph, WORLD.net, PHOTOS), WORLD.net
    with ProcessPoolExecutor(
        1, multiprocessing.get_context("spawn"), torch.set_num_threads, (torch.get_num_threads(),)
    ) as pool:
        tasks = [pool.submit(matched, WORLD.graph, net, PHOTOS) for _ in range(2 * MANY)]
        assert [task.result(LONG) for task in tasks] == [wanted] * len(tasks)


@pytest.mark.skipif(MANY == 1, reason="processes start for long: with EXPLGRAPH_TOGETHER")
def test_data_loader__workers_that_are_spawned_match():
    score, yx = by_workers(WORLD.graph, WORLD.net, PHOTOS[:2], "spawn")
    for i, photo in enumerate(PHOTOS[:2]):
        alone = eg.match(WORLD.graph, WORLD.net, photo[None], progress=False)
        # A worker has one thread of PyTorch, which rounds otherwise than several.
        np.testing.assert_allclose(score[i], alone.score[0], rtol=1e-4, atol=1e-5)
        np.testing.assert_allclose(yx[i], alone.yx[0], atol=1e-4)


def test_pool_of_threads__matches():
    wanted = [matched(WORLD.graph, WORLD.net, PHOTOS[i : i + 2]) for i in range(4)]
    with ThreadPoolExecutor(4) as pool:
        for _ in range(MANY):
            tasks = [
                pool.submit(matched, WORLD.graph, WORLD.net, PHOTOS[i : i + 2]) for i in range(4)
            ]
            assert [task.result(LONG) for task in tasks] == wanted


def test_asyncio__matches_in_threads():
    wanted = [matched(WORLD.graph, WORLD.net, PHOTOS[i : i + 2]) for i in range(4)]

    async def all_of_them():
        return await asyncio.gather(
            *(
                asyncio.to_thread(matched, WORLD.graph, WORLD.net, PHOTOS[i : i + 2])
                for i in range(4)
            )
        )

    for _ in range(MANY):
        assert asyncio.run(all_of_them()) == wanted


@pytest.mark.skipif(not hasattr(os, "fork"), reason="nothing can be forked here")
def test_forked_child__is_not_left_in_what_a_thread_of_its_parent_was_doing():
    """A thread runs the network, which trains otherwise, while another one forks."""
    net = eg.load_backbone(MODEL, device="cpu")
    net.module.train()
    running, over = threading.Event(), threading.Event()

    def run():
        with evaluation(net.module):
            running.set()
            over.wait(LONG)

    thread = threading.Thread(target=run)
    thread.start()
    running.wait(LONG)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # of forking beside threads
        child = os.fork()
    if child == 0:
        right = all(modes(net.module).values())
        with evaluation(net.module):
            right = right and not any(modes(net.module).values())
        os._exit(0 if right and all(modes(net.module).values()) else 3)
    over.set()
    thread.join(LONG)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert all(modes(net.module).values())
    assert content(net.module.state_dict()) == content(WORLD.net.module.state_dict())
