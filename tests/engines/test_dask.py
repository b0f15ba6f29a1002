"""A Dask cluster on this machine, started and stopped here: the same bytes."""

import os
import signal
import time

import pytest

import explgraph as eg
from tests.engines.test_executors import (
    HOW,
    journal,
    mined,
    one_thread,
    others,
    photos,
    same_as_one,
    small,
)
from tests.support.executors import small_units
from tests.support.together import SELDOM
from tests.support.world import WORLD

distributed = pytest.importorskip("distributed")
pytestmark = [pytest.mark.filterwarnings("ignore"), SELDOM]

__all__ = ["mined", "one_thread", "others", "photos", "small"]


@pytest.fixture(scope="module")
def client(tmp_path_factory):
    """Two processes of one thread, in which units are small."""
    folder = str(tmp_path_factory.mktemp("dask"))
    with (
        distributed.LocalCluster(
            n_workers=2, threads_per_worker=1, dashboard_address=None, local_directory=folder
        ) as cluster,
        distributed.Client(cluster) as client,
    ):
        client.register_plugin(_Small())
        yield client


def test_mine__same_bytes_on_dask(photos, others, mined, tmp_path, client):
    graph = eg.mine(
        WORLD.net,
        photos,
        background=others,
        spool=tmp_path / "s",
        executor=client.get_executor(),
        **HOW,
    )
    same_as_one(graph, tmp_path / "s", mined, tmp_path)


def test_match__same_bytes_on_dask(photos, mined, client):
    expected = eg.match(mined[0], WORLD.net, photos, batch_size=3, progress=False)
    found = eg.match(
        mined[0],
        WORLD.net,
        photos,
        batch_size=3,
        progress=False,
        executor=client.get_executor(),
    )
    assert found.yx.tobytes() == expected.yx.tobytes()


def test_worker_killed__dask_goes_on(photos, others, mined, tmp_path, client):
    """Dask starts the worker anew, and gives its units out again by itself."""

    pids = list(client.run(os.getpid).values())
    killed = []

    class Watching(type(client.get_executor())):
        def submit(self, fn, *args, **kwargs):
            if len(killed) == 0 and type(fn.unit).__name__ == "KeptUnit":
                killed.append(pids[0])
                os.kill(pids[0], signal.SIGKILL)
            return super().submit(fn, *args, **kwargs)

    graph = eg.mine(
        WORLD.net, photos, background=others, spool=tmp_path / "s", executor=Watching(client), **HOW
    )
    same_as_one(graph, tmp_path / "s", mined, tmp_path)
    assert killed
    photos_done = [line for line in journal(tmp_path / "s") if line["stage"] == "photos"]
    assert len(photos_done) == 4
    for _ in range(100):
        if len(client.scheduler_info()["workers"]) == 2:
            break
        time.sleep(0.1)


class _Small(distributed.WorkerPlugin):
    """Makes units small in workers that are started later, too."""

    def setup(self, worker):
        small_units()
