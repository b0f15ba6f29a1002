"""A Dask cluster on this machine, started and stopped here: the same bytes, whatever befalls it."""

import pytest

import explgraph as eg
from tests.engines.test_executors import (
    HOW,
    mined,
    one_thread,
    others,
    photos,
    same_as_one,
    small,
)
from tests.support.executors import small_units
from tests.support.killed import as_in_readme, run_to_its_end
from tests.support.together import SELDOM
from tests.support.world import WORLD

distributed = pytest.importorskip("distributed")
dask = pytest.importorskip("dask")
get_mp_context = pytest.importorskip("distributed.utils").get_mp_context
pytestmark = pytest.mark.filterwarnings("ignore")

__all__ = ["mined", "one_thread", "others", "photos", "small"]


def cluster(folder, workers):
    """Processes of one thread."""
    return distributed.LocalCluster(
        n_workers=workers, threads_per_worker=1, dashboard_address=None, local_directory=str(folder)
    )


def test_command__workers_and_driver_are_killed(photos, others, tmp_path, monkeypatch):
    """A worker that is started anew is forked from a process that has loaded what it needs."""
    as_in_readme(tmp_path, photos, others)
    method = {"distributed.worker.multiprocessing-method": "forkserver"}
    with dask.config.set(method):
        get_mp_context().set_forkserver_preload(
            ["distributed", "mining.work.pool", "tests.support.executors"]
        )
        with cluster(tmp_path, 1) as workers:
            where = workers.scheduler_address
            run_to_its_end("--dask", where, where, tmp_path, monkeypatch)


@pytest.fixture(scope="module", params=[2, 3], ids="{} workers".format)
def client(request, tmp_path_factory):
    """Workers in which units are small; one is enough for the command above."""
    with (
        cluster(tmp_path_factory.mktemp("dask"), request.param) as workers,
        distributed.Client(workers) as client,
    ):
        client.register_plugin(_Small())
        yield client


@SELDOM
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


@SELDOM
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


class _Small(distributed.WorkerPlugin):
    """Makes units small in workers that are started later, too."""

    def setup(self, worker):
        small_units()
