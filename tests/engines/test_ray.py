"""Ray on this machine, started and stopped here: the same bytes, whatever befalls an actor."""

import os
import signal
from concurrent.futures import BrokenExecutor, Future
from pathlib import Path
from types import SimpleNamespace

import pytest

import explgraph as eg
from explgraph.base.errors import ExplGraphError
from explgraph.engines import crews, ray_executor
from explgraph.engines import ray as ray_module
from tests.engines.test_executors import HOW, mined, one_thread, others, photos, same_as_one, small
from tests.support.executors import Small
from tests.support.killed import as_in_readme, run_to_its_end
from tests.support.together import SELDOM
from tests.support.world import WORLD

ray = pytest.importorskip("ray")
cluster_utils = pytest.importorskip("ray.cluster_utils")
pytestmark = pytest.mark.filterwarnings("ignore")

__all__ = ["mined", "one_thread", "others", "photos", "small"]


PATH = os.pathsep.join([str(Path(__file__).parents[2]), os.environ.get("PYTHONPATH", "")])


def test_command__workers_and_driver_are_killed(photos, others, tmp_path, monkeypatch):
    """The first driver has a cluster of its own, which ends with it; the next one joins another."""
    as_in_readme(tmp_path, photos, others)
    monkeypatch.setenv("PYTHONPATH", PATH)
    head = cluster_utils.Cluster(True, head_node_args={"num_cpus": 1, "include_dashboard": False})
    try:
        monkeypatch.setenv("RAY_ADDRESS", head.address)
        run_to_its_end("--ray", "local --workers 1", "auto --workers 1", tmp_path, monkeypatch)
    finally:
        head.shutdown()


@pytest.fixture(scope="module")
def cluster():
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", PATH)
        ray.init(
            num_cpus=3,
            num_gpus=1,
            include_dashboard=False,
            log_to_driver=False,
            configure_logging=False,
        )
    yield
    ray.shutdown()


class Once:
    """Kills its process, if nobody has done so before for a unit of this kind."""

    def __init__(self, folder, unit):
        kind = type(getattr(unit.unit, "unit", unit.unit)).__name__
        self.flag, self.unit = folder / kind, unit

    def __call__(self, *arguments):
        if not self.flag.exists():
            self.flag.touch()
            os.kill(os.getpid(), signal.SIGKILL)
        return Small(self.unit)(*arguments)


def small_actors(executor, folder):
    """Let actors have small units; one is killed by a unit of each kind."""
    submit = executor.submit
    executor.submit = lambda fn, *args: submit(Once(folder, fn), *args)
    return executor


@SELDOM
@pytest.mark.parametrize("actors", [2, 3])
def test_mine__same_bytes_on_ray(photos, others, mined, tmp_path, cluster, actors):
    """Actors are killed in extraction, and in mining: they are started anew."""
    (flags := tmp_path / "flags").mkdir()
    with ray_executor(actors, max_restarts=9, max_task_retries=9) as executor:
        graph = eg.mine(
            WORLD.net,
            photos,
            background=others,
            spool=tmp_path / "s",
            executor=small_actors(executor, flags),
            **HOW,
        )
    same_as_one(graph, tmp_path / "s", mined, tmp_path)
    killed = {path.name for path in flags.iterdir()}
    assert killed == {"SumsUnit", "ShardUnit", "FilterUnit", "GroupUnit", "PhotosUnit"}


@SELDOM
def test_errors__are_those_of_the_unit(photos, cluster):
    with ray_executor(1) as executor, pytest.raises(ExplGraphError, match=r"05\.png"):
        eg.extract(WORLD.net, photos, executor=executor, strict=True, **HOW)


@SELDOM
def test_executor__whose_actors_have_died_is_broken(cluster):
    with ray_executor(1, max_restarts=0, max_task_retries=0) as executor:
        first, second = (executor.submit(os.kill, os.getppid(), 0) for _ in range(2))
        assert (first.result(60), second.result(60)) == (None, None)
        lost = executor.submit(os._exit, 1)
        assert "Actor" in type(lost.exception(60)).__name__
        with pytest.raises(BrokenExecutor, match="died"):
            executor.submit(os.getpid)


def test_executor__of_nobody_is_refused():
    with pytest.raises(ExplGraphError, match="at least 1"):
        ray_executor(0)


@SELDOM
def test_executor__actors_have_the_gpus_that_they_are_to_have(cluster):
    """For Ray a GPU is a number: it says which one an actor may see, be there one or not."""
    with ray_executor(1, num_gpus=1) as executor:
        assert executor.submit(os.getenv, "CUDA_VISIBLE_DEVICES").result(60) == "0"
    with ray_executor(1) as executor:
        assert not executor.submit(os.getenv, "CUDA_VISIBLE_DEVICES").result(60)


class FakeRay:
    """Notes what actors are to have."""

    def __init__(self, **resources):
        self.actors, self.resources, self.asked = 0, resources, {}

    def init(self, *_, **__):
        pass

    shutdown = kill = init

    def cluster_resources(self):
        return self.resources

    def remote(self, given):
        """Of a class, or of the threads of an actor, which does not begin."""
        if not isinstance(given, int):
            return self
        self.actors += 1
        do = SimpleNamespace(remote=lambda *_: SimpleNamespace(future=Future))
        return SimpleNamespace(do=do)

    def options(self, **asked):
        self.asked = asked
        return self


@pytest.mark.parametrize(
    ("gpus", "workers", "actors"), [(0, None, 8), (1, None, 3), (0.5, None, 6), (1, 2, 2)]
)
def test_executor_of__actors_and_their_gpus(monkeypatch, gpus, workers, actors):
    fake = FakeRay(CPU=8.0, GPU=3.0)
    for module in (crews, ray_module):
        monkeypatch.setattr(module, "import_extra", lambda *_: fake)
    with crews.executor_of(workers, ray="auto", num_gpus=gpus) as executor:
        assert not executor.submit(os.getpid).running()  # no actor has begun
        assert (fake.actors, fake.asked["num_gpus"]) == (actors, gpus)
        assert (fake.asked["max_restarts"], fake.asked["max_task_retries"]) == (3, 3)
