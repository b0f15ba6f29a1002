"""Jobs of submitit, as of SLURM, in processes of this machine: the same bytes."""

from functools import partial

import pytest

import explgraph as eg
from explgraph.peaks.spool.manifest import Manifest
from tests.engines.test_executors import mined, one_thread, others, photos, saved, small
from tests.project.test_readme import blocks
from tests.support.killed import as_in_readme
from tests.support.together import SELDOM
from tests.support.world import WORLD

submitit = pytest.importorskip("submitit")
pytestmark = pytest.mark.filterwarnings("ignore")

__all__ = ["mined", "one_thread", "others", "photos", "small"]


def test_readme__script_runs_as_it_stands(photos, others, tmp_path, monkeypatch):
    """With jobs that are done in this process."""
    as_in_readme(tmp_path, photos, others)
    monkeypatch.chdir(tmp_path)
    jobs = partial(submitit.AutoExecutor, cluster="debug")
    monkeypatch.setattr(submitit, "AutoExecutor", jobs)
    (script,) = (block for block in blocks("python") if "import submitit" in block)
    names = {}
    exec(compile(script, "README.md", "exec"), names)
    plain = eg.mine(names["net"], "photos/zebra", background="photos/anything", progress=False)
    assert saved(names["graph"], tmp_path) == saved(plain, tmp_path)
    assert Manifest.read(tmp_path / "work").complete


@SELDOM
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
