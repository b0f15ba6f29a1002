"""Whoever does the work, and whatever befalls them: the same bytes, and nothing is done twice."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import fsspec
import numpy as np
import pytest
import torch
from PIL import Image

import explgraph as eg
from explgraph.base.errors import ExplGraphError
from explgraph.base.running.crew import JOURNAL
from explgraph.engines import process_pool
from tests.support import executors
from tests.support.executors import Deadly, Losing, Unruly, small_pool, small_units
from tests.support.together import SELDOM
from tests.support.world import LAYERS, WORLD

HOW = {"layers": LAYERS, "batch_size": 3, "progress": False}
BAD = "05.png"


@pytest.fixture(autouse=True)
def small(monkeypatch):
    small_units(monkeypatch.setattr)


@pytest.fixture(scope="module", autouse=True)
def one_thread():
    """The network rounds by how many threads PyTorch has: here and in workers, one."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    """Twenty photos, one of which cannot be read: four units of up to six."""
    folder = tmp_path_factory.mktemp("photos")
    for name, image in zip(WORLD.names[:20], WORLD.photos[:20], strict=True):
        Image.fromarray(image).save(folder / name)
    (folder / BAD).write_bytes(b"")
    return folder


@pytest.fixture(scope="module")
def others(tmp_path_factory):
    """Ten photos of anything."""
    folder = tmp_path_factory.mktemp("others")
    for i, image in enumerate((*WORLD.background, *WORLD.photos[20:])):
        Image.fromarray(image).save(folder / f"{i}.png")
    return folder


@pytest.fixture(scope="module")
def mined(photos, others, tmp_path_factory):
    """What one process makes: the graph, and the folder of its spool."""
    folder = tmp_path_factory.mktemp("one")
    with pytest.MonkeyPatch.context() as patch:
        small_units(patch.setattr)
        graph = eg.mine(WORLD.net, photos, background=others, spool=folder / "spool", **HOW)
    graph.save(folder / "graph.safetensors")
    return graph, folder


def saved(result, tmp_path):
    result.save(tmp_path / "result.safetensors")
    return (tmp_path / "result.safetensors").read_bytes()


def same_as_one(graph, spool, mined, tmp_path):
    """The graph and all files of the spool have the bytes of one process; nothing else is left."""
    _, one = mined
    assert saved(graph, tmp_path) == (one / "graph.safetensors").read_bytes()
    files = {path.name: path.read_bytes() for path in spool.iterdir() if path.name != JOURNAL}
    assert files == {path.name: path.read_bytes() for path in (one / "spool").iterdir()}


def journal(spool):
    return [json.loads(line) for line in (spool / JOURNAL).read_text().splitlines()]


def done(spool, stage, first=0):
    lines = journal(spool)[first:]
    return [line["unit"] for line in lines if (line["stage"], line["state"]) == (stage, "done")]


def nothing_is_mined_twice(lines, untold=0):
    """A step that is begun again has fewer units left than before, by those that were done.

    So many may have been done whose driver was killed before it could say so.
    """
    left, key = {}, None
    for line in lines:
        if line["state"] == "begun":
            key = line.get("key")
        if line["state"] == "begun" and key:
            assert line["units"] <= left.setdefault(key, line["units"])
        elif line["state"] == "done" and key:
            left[key] -= 1
    assert 0 <= min(left.values()) <= sum(left.values()) <= untold


def journal_is_whole(spool):
    """It tells of each stage that it begins and ends, of each step of mining how long it took."""
    lines = journal(spool)
    for stage, units in (("background", 2), ("photos", 4)):
        own = [line for line in lines if line["stage"] == stage]
        assert [own[0]["state"], own[0]["units"]] == ["begun", units]
        assert [own[-1]["state"], own[-1]["units"]] == ["ended", units]
        assert own[-1]["seconds"] >= max(x["seconds"] for x in own if x["state"] == "done") > 0
    steps = {line["step"]: line for line in lines if "step" in line}
    assert list(steps)[:2] == ["start.0", "start.1"]
    assert {f"mined.{i}" for i in range(2)} < set(steps)
    assert all(line["state"] == "ended" and line["seconds"] >= 0 for line in steps.values())
    for i, layer in enumerate(WORLD.net.select(LAYERS)):
        assert steps[f"mined.{i}"]["layers"] == [layer.name]
        assert steps[f"mined.{i}"]["filters"] == layer.channels
    assert steps["poses.1"]["filters"] == sum(x.channels for x in WORLD.net.select(LAYERS))


# -- the same bytes --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "executor", [lambda: ThreadPoolExecutor(2), Unruly], ids=["threads", "any"]
)
def test_mine__same_bytes_in_any_order(photos, others, mined, tmp_path, executor):
    """Also where each unit is done twice, and travels in a pickle."""
    with executor() as workers:
        graph = eg.mine(
            WORLD.net, photos, background=others, spool=tmp_path / "s", executor=workers, **HOW
        )
    same_as_one(graph, tmp_path / "s", mined, tmp_path)
    assert sorted(done(tmp_path / "s", "photos")) == [0, 1, 2, 3]
    assert sorted(done(tmp_path / "s", "background")) == [0, 1]


@pytest.mark.parametrize(
    "workers", [pytest.param(1, marks=SELDOM), pytest.param(2, marks=SELDOM), 3]
)
def test_mine__same_bytes_in_a_pool_of_processes(photos, others, mined, tmp_path, workers):
    with small_pool(workers) as pool:
        graph = eg.mine(
            WORLD.net, photos, background=others, spool=tmp_path / "s", executor=pool, **HOW
        )
    same_as_one(graph, tmp_path / "s", mined, tmp_path)


@pytest.mark.parametrize(
    "elsewhere", [pytest.param(False, marks=SELDOM), True], ids=["processes", "elsewhere"]
)
def test_mine__same_bytes_of_an_archive(photos, others, mined, tmp_path, elsewhere):
    """Workers get the places of their photos in it, and read these alone."""
    images = shutil.make_archive(str(tmp_path / "photos"), "tar", photos)
    if elsewhere:  # which processes do not see
        fsspec.filesystem("memory").put(images, "/engines/photos.tar")
        images = "memory://engines/photos.tar"
    images = eg.open_images(images)
    images = images.named(sorted(images.names), "archive")
    with Unruly() if elsewhere else small_pool(2) as workers:
        graph = eg.mine(
            WORLD.net, images, background=others, spool=tmp_path / "s", executor=workers, **HOW
        )
    same_as_one(graph, tmp_path / "s", mined, tmp_path)


def test_mine__an_executor_alone_is_enough(photos, others, mined, tmp_path):
    with Unruly() as workers:
        graph = eg.mine(WORLD.net, photos, background=others, executor=workers, **HOW)
    assert saved(graph, tmp_path) == (mined[1] / "graph.safetensors").read_bytes()


@pytest.mark.parametrize("by_graph", [False, True], ids=["own", "graph"])
def test_extract_and_match__same_bytes(photos, mined, tmp_path, by_graph):
    graph, _ = mined
    background = graph if by_graph else None
    for maps in (False, True):
        how = HOW | {"maps": maps, "background": background}
        expected = saved(eg.extract(WORLD.net, photos, **how), tmp_path)
        with Unruly() as workers:
            found = eg.extract(WORLD.net, photos, executor=workers, spool=tmp_path / "s", **how)
        assert saved(found, tmp_path) == expected
        assert found.header["skipped"] == [BAD]
    how = {"batch_size": 3, "progress": False, "views": by_graph}
    expected = saved(eg.match(graph, WORLD.net, photos, **how), tmp_path)
    with Unruly() as workers:
        found = eg.match(graph, WORLD.net, photos, executor=workers, **how)
    assert saved(found, tmp_path) == expected
    assert list((tmp_path / "s").glob("shared-*")) == []


def test_extract__photos_in_memory_and_in_a_dataset_travel_with_their_unit(tmp_path):
    some = WORLD.photos[:10]

    for given in (
        some,
        list(some),
        torch.utils.data.TensorDataset(torch.tensor(some.transpose(0, 3, 1, 2))),
    ):
        expected = saved(eg.extract(WORLD.net, given, **HOW), tmp_path)
        with Unruly() as workers:
            found = eg.extract(WORLD.net, given, executor=workers, **HOW)
        assert saved(found, tmp_path) == expected


def test_extract__a_unit_of_photos_none_of_which_can_be_read(photos, tmp_path):
    for i in range(6, 12):
        (tmp_path / f"{i:02d}.png").write_bytes(b"")
    for path in photos.iterdir():
        if not (tmp_path / path.name).exists():
            (tmp_path / path.name).write_bytes(path.read_bytes())
    expected = eg.extract(WORLD.net, tmp_path, **HOW)
    assert len(expected) == 13
    with Unruly() as workers:
        found = eg.extract(WORLD.net, tmp_path, executor=workers, **HOW)
    assert saved(found, tmp_path) == saved(expected, tmp_path)


# -- workers and drivers that end ------------------------------------------------------------------


def test_units_that_are_lost__are_given_out_again(photos, others, mined, tmp_path):
    with Losing() as workers:
        graph = eg.mine(
            WORLD.net, photos, background=others, spool=tmp_path / "s", executor=workers, **HOW
        )
    same_as_one(graph, tmp_path / "s", mined, tmp_path)
    journal_is_whole(tmp_path / "s")
    assert "retried" in {line["state"] for line in journal(tmp_path / "s")}


def test_units_that_are_lost_each_time__end_the_run(photos, tmp_path):
    with Losing(every=1) as workers, pytest.raises(ExplGraphError, match=r"lost.*resume=True"):
        eg.mine(WORLD.net, photos, spool=tmp_path / "s", executor=workers, **HOW)
    states = [line["state"] for line in journal(tmp_path / "s")]
    assert states.count("retried") >= 2
    assert states[-1] == "failed"


@pytest.mark.parametrize(("stage", "at"), [("photos", 2), ("mining", 7)])
def test_worker_killed__resume_does_nothing_twice(photos, others, mined, tmp_path, stage, at):
    spool = tmp_path / "s"
    how = HOW | {"background": others, "spool": spool}
    with (
        Deadly(1, stage, at) as pool,
        pytest.raises(ExplGraphError, match=r"workers were lost.*--resume"),
    ):
        eg.mine(WORLD.net, photos, executor=pool, **how)
    before = {path.name for path in spool.glob("s*-*.safetensors")}
    first = len(journal(spool))
    shards = sum(name.startswith("shard-") for name in before)
    assert shards == (2 if stage == "photos" else 4)
    with Unruly() as workers:
        graph = eg.mine(WORLD.net, photos, executor=workers, resume=True, **how)
    same_as_one(graph, spool, mined, tmp_path)
    assert len(done(spool, "photos", first)) == 4 - shards
    nothing_is_mined_twice(journal(spool))
    assert not [line for line in journal(spool)[first:] if line["stage"] == "background"]
    assert any(name.startswith("stage-start") for name in before) == (stage == "mining")


KILLED = """
import os, signal, sys
import explgraph as eg
from explgraph.base.running import crew
from tests.support.executors import small_pool, small_units
from tests.support.world import WORLD
from tests.engines.test_executors import HOW

if __name__ == "__main__":
    photos, others, spool, stage, count = sys.argv[1:]
    small_units()
    left, note = [int(count)], crew.Crew.note

    def die_later(self, **line):
        note(self, **line)
        left[0] -= (line["stage"], line["state"]) == (stage, "done")
        if left[0] == 0:
            os.kill(os.getpid(), signal.SIGKILL)

    crew.Crew.note = die_later
    with small_pool(1) as pool:
        eg.mine(WORLD.net, photos, background=others, spool=spool, executor=pool, **HOW)
"""


@SELDOM
@pytest.mark.parametrize(("stage", "count"), [("photos", 2), ("mining", 9)])
def test_driver_killed__another_goes_on(photos, others, mined, tmp_path, stage, count):
    spool, script = tmp_path / "s", tmp_path / "driver.py"
    script.write_text(KILLED)
    root = Path(__file__).parents[2]
    environment = os.environ | {"PYTHONPATH": str(root)}
    command = [sys.executable, str(script), str(photos), str(others), str(spool), stage, str(count)]
    ended = subprocess.run(command, cwd=root, env=environment, capture_output=True, check=False)
    assert ended.returncode == -signal.SIGKILL, ended.stderr
    assert (spool / "driver.lock").exists()
    first = len(journal(spool))
    shards = len(list(spool.glob("shard-*")))
    assert shards >= 2
    with Unruly() as workers:
        graph = eg.mine(
            WORLD.net, photos, background=others, spool=spool, resume=True, executor=workers, **HOW
        )
    same_as_one(graph, spool, mined, tmp_path)
    assert len(done(spool, "photos", first)) == 4 - shards
    nothing_is_mined_twice(journal(spool), untold=1)


def test_process_pool__ends_with_its_driver(tmp_path):
    script = tmp_path / "driver.py"
    script.write_text(
        "import os, signal\nfrom explgraph.engines import process_pool\n"
        "if __name__ == '__main__':\n"
        "    print(process_pool(1).submit(os.getpid).result(), flush=True)\n"
        "    os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    ended = subprocess.run([sys.executable, str(script)], capture_output=True, check=False)
    worker = int(ended.stdout)
    for _ in range(100):
        try:
            os.kill(worker, 0)
        except ProcessLookupError:
            break
        state = Path(f"/proc/{worker}/stat")
        if state.exists() and state.read_text().rpartition(")")[2].split()[0] == "Z":
            break
        time.sleep(0.1)
    else:
        raise AssertionError(f"worker {worker} lives on")


# -- what is refused -------------------------------------------------------------------------------


def test_executor__that_is_none_is_refused(photos):
    with pytest.raises(ExplGraphError, match=r"Executor, got int.*get_executor"):
        eg.extract(WORLD.net, photos, executor=3, **HOW)


def test_network__that_cannot_be_sent_says_so(photos, tmp_path):
    class Own(torch.nn.Sequential):
        pass

    net = eg.Backbone(
        Own(torch.nn.Conv2d(3, 8, 3, padding=1), torch.nn.ReLU()),
        input_size=(32, 32),
        device="cpu",
    )
    with (
        Unruly() as workers,
        pytest.raises(ExplGraphError, match=r"network.*cannot be sent.*import"),
    ):
        eg.extract(net, photos, executor=workers, progress=False)


def test_strict__names_the_photo(photos, tmp_path):
    with Unruly() as workers, pytest.raises(ExplGraphError, match=re.escape(BAD)):
        eg.extract(WORLD.net, photos, executor=workers, strict=True, **HOW)


def test_no_photo_that_can_be_read__is_an_error(tmp_path):
    (tmp_path / "a.png").write_bytes(b"")
    with Unruly() as workers, pytest.raises(ExplGraphError, match="none of the 1 images"):
        eg.extract(WORLD.net, tmp_path, executor=workers, **HOW)


def test_kept_results__are_read_if_they_hold_what_results_do(tmp_path):
    from explgraph.base.running.kept import Kept
    from mining.pose import Regressions

    result = [(Regressions(*(np.full(2, i, float) for i in range(3))), [np.ones(3)])]
    kept = Kept(tmp_path, "a" * 64, (Regressions,))
    assert kept.load(3) is None
    kept.save(3, result)
    ((found, (objective,)),) = kept.load(3)
    assert np.array_equal(found.share, result[0][0].share)
    assert np.array_equal(objective, np.ones(3))
    assert Kept(tmp_path, "a" * 63 + "b", (Regressions,)).load(3) is None  # of another work
    assert Kept(tmp_path, "a" * 64, ()).load(3) is None  # it names a class that is not expected
    path = kept.path(3)
    path.write_bytes(path.read_bytes()[:-1])
    assert kept.load(3) is None


def test_shared_values__that_a_worker_does_not_see(tmp_path):
    from explgraph.base.running.shared import written

    shared = written(np.arange(10_000), tmp_path, "numbers")
    assert np.array_equal(shared.get(), np.arange(10_000))
    other = written(np.arange(20_000), tmp_path, "numbers")
    Path(other.path).unlink()
    with pytest.raises(ExplGraphError, match=r"a worker on .* does not see .*--spool"):
        other.get()
    third = written(np.ones(10_000), tmp_path, "numbers")
    Path(third.path).write_bytes(Path(written(np.zeros(10_000), tmp_path, "").path).read_bytes())
    with pytest.raises(ExplGraphError, match="is not what"):
        third.get()


# -- threads ---------------------------------------------------------------------------------------


def threads_here():
    import numba

    return os.environ["OMP_NUM_THREADS"], torch.get_num_threads(), numba.get_num_threads()


def test_process_pool__shares_out_the_cores():
    with process_pool(1, threads=1) as pool:
        assert pool.submit(threads_here).result(60) == ("1", 1, 1)
    assert executors.SMALL == 8


@pytest.mark.parametrize("given", [{"workers": 0}, {"workers": 1, "threads": 0}])
def test_process_pool__of_nobody_is_refused(given):
    with pytest.raises(ExplGraphError, match="at least 1"):
        process_pool(**given)
