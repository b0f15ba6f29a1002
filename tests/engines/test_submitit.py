"""Jobs of submitit, as of SLURM, in processes of this machine: the same bytes."""

import pytest

import explgraph as eg
from tests.engines.test_executors import mined, one_thread, others, photos, saved, small
from tests.support.world import WORLD

submitit = pytest.importorskip("submitit")
pytestmark = pytest.mark.filterwarnings("ignore")

__all__ = ["mined", "one_thread", "others", "photos", "small"]


def test_match__same_bytes_as_jobs(photos, mined, tmp_path, monkeypatch):
    """Each unit is a job, and a process."""
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    how = {"batch_size": 3, "progress": False}
    expected = saved(eg.match(mined[0], WORLD.net, photos, **how), tmp_path)
    executor = submitit.AutoExecutor(folder=tmp_path / "jobs", cluster="local")
    executor.update_parameters(timeout_min=5)
    found = eg.match(mined[0], WORLD.net, photos, executor=executor, spool=tmp_path / "s", **how)
    assert saved(found, tmp_path) == expected
    assert len(list((tmp_path / "jobs").glob("*_result.pkl"))) == 4
