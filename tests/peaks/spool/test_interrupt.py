"""What an interrupt costs: nothing but the batch at work, or a few seconds where all ends at once.

Shards are larger here than what was done when the run ended.
"""

import json
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

import explgraph as eg
from explgraph.base import files
from explgraph.base.files import MOST_LOST, Overdue
from explgraph.base.running.crew import JOURNAL, Crew
from explgraph.peaks import reading
from explgraph.peaks.spool.writing import spool_peaks, spool_statistics
from explgraph.peaks.statistics import channel_statistics
from tests.peaks.spool.test_spool import (
    LAYERS,
    QUIET,
    N,
    contents,
    make_net,
    make_photos,
    manifest_of,
    shards_of,
    watch,
)

BATCHES = 6


class KilledError(BaseException):
    """Ends a process at once: nobody gets to write anything."""


@pytest.fixture(scope="module")
def net():
    return make_net()


@pytest.fixture(scope="module", params=[(), (3, 4, 5, 9, 10), (0, 2)], ids=["whole", "end", "gaps"])
def source(request, tmp_path_factory):
    return make_photos(tmp_path_factory.mktemp("photos"), bad=request.param)


@pytest.fixture(scope="module")
def statistics(net, source):
    return channel_statistics(net, source, net.select(LAYERS), QUIET)


@pytest.fixture(params=[6, 64], ids=["shards of 6", "one shard"])
def group(request, monkeypatch):
    monkeypatch.setattr(reading, "GROUP", request.param)


@pytest.fixture
def keep(net, source, statistics, group):
    def keep(folder, resume=False):
        layers = net.select(LAYERS)
        return spool_peaks(net, source, layers, statistics, QUIET, folder, resume=resume)

    return keep


@pytest.fixture
def measure(net, source):
    def measure(folder, resume=False):
        return spool_statistics(net, source, net.select(LAYERS), QUIET, folder, resume=resume)

    return measure


def end_with(monkeypatch, error, answers):
    """Let the network answer so many times, and end the run then."""
    real, left = eg.Backbone.capture, [answers]

    def capture(self, batch, layers):
        if left[0] == 0:
            raise error
        left[0] -= 1
        return real(self, batch, layers)

    monkeypatch.setattr(eg.Backbone, "capture", capture)


def keep_all_the_time(monkeypatch):
    monkeypatch.setattr(files, "MOST_LOST", 0.0)
    monkeypatch.setattr(files, "_PATIENCE", 0)


def is_cut(run, error):
    """Run, and tell whether the error came before the end."""
    try:
        run()
    except error:
        return True
    return False


def photos_seen(monkeypatch, run):
    """Return how many views of photos the network sees in a run."""
    return sum(batches_seen(monkeypatch, run))


def batches_seen(monkeypatch, run):
    """Return how many views of photos the network sees each time."""
    with monkeypatch.context() as patch:
        seen = watch(patch)
        run()
    return seen


@pytest.mark.parametrize("answers", (1, 5, 7, 11))
@pytest.mark.parametrize("error", [KeyboardInterrupt, ValueError, KilledError])
def test_peaks__are_kept_but_for_a_batch(keep, tmp_path, monkeypatch, error, answers):
    """Ended in the middle of a batch: a batch before it, at most, is seen again."""
    batches = batches_seen(monkeypatch, lambda: keep(tmp_path / "whole"))
    if error is KilledError:
        keep_all_the_time(monkeypatch)
    with monkeypatch.context() as patch:
        end_with(patch, error, answers)
        cut = is_cut(lambda: keep(tmp_path / "cut"), error)
    assert manifest_of(tmp_path / "cut")["complete"] != cut
    again = photos_seen(monkeypatch, lambda: keep(tmp_path / "cut", resume=True))
    done = sum(batches[: answers // 2 * 2]) if cut else sum(batches)  # each batch is seen twice
    assert again <= sum(batches) - done + (4 if cut else 0)
    assert contents(tmp_path / "cut") == contents(tmp_path / "whole")


def test_peaks__interrupted_again_and_again(keep, tmp_path, monkeypatch):
    """Each run gets through two batches and a half, and keeps one more at least."""
    batches = batches_seen(monkeypatch, lambda: keep(tmp_path / "whole"))[::2]
    for run in range(BATCHES):
        with monkeypatch.context() as patch:
            end_with(patch, KeyboardInterrupt, 5)
            if not is_cut(lambda: keep(tmp_path / "cut", resume=True), KeyboardInterrupt):
                break
        assert sum(shard["photos"] for shard in shards_of(tmp_path / "cut")) >= sum(
            batches[: run + 1]
        )
    assert contents(tmp_path / "cut") == contents(tmp_path / "whole")


def test_peaks__a_shard_before_its_time_that_is_damaged(keep, tmp_path, monkeypatch):
    keep(tmp_path / "whole")
    with monkeypatch.context() as patch:
        end_with(patch, KeyboardInterrupt, 5)
        with pytest.raises(KeyboardInterrupt):
            keep(tmp_path / "cut")
    path = tmp_path / "cut" / "shard-00000.safetensors"
    path.write_bytes(path.read_bytes()[:-1])
    keep(tmp_path / "cut", resume=True)
    assert contents(tmp_path / "cut") == contents(tmp_path / "whole")


@pytest.mark.parametrize("answers", range(1, BATCHES))
def test_statistics__go_on_from_their_sums(measure, tmp_path, monkeypatch, answers):
    keep_all_the_time(monkeypatch)
    every = photos_seen(monkeypatch, lambda: measure(tmp_path / "whole"))
    with monkeypatch.context() as patch:
        end_with(patch, KilledError, answers)
        cut = is_cut(lambda: measure(tmp_path / "cut"), KilledError)
    if cut and answers > 1:  # sums are there: not those of the batch before, which nobody wrote
        with pytest.raises(eg.ExplGraphError, match="--resume"):
            measure(tmp_path / "cut")
    again = photos_seen(monkeypatch, lambda: measure(tmp_path / "cut", resume=True))
    assert again == (every - 2 * (answers - 1) if cut else 0)
    assert contents(tmp_path / "cut") == contents(tmp_path / "whole")


@pytest.mark.parametrize("first", ["one process", "workers"])
def test_statistics__go_on_in_the_other_way(net, source, measure, tmp_path, monkeypatch, first):
    """By workers after one process, and the other way round: whole ranges are not seen again."""
    monkeypatch.setattr(reading, "GROUP", 4)
    keep_all_the_time(monkeypatch)
    every = photos_seen(monkeypatch, lambda: measure(tmp_path / "whole"))
    (tmp_path / "cut").mkdir()

    def measured(by_workers, resume):
        layers, folder = net.select(LAYERS), tmp_path / "cut"
        with ThreadPoolExecutor(1) as pool:
            crew = Crew(pool, folder) if by_workers else None
            spool_statistics(net, source, layers, QUIET, folder, resume=resume, crew=crew)

    with monkeypatch.context() as patch:
        end_with(patch, KilledError, 3)
        with pytest.raises(KilledError):
            measured(first == "workers", False)
    again = photos_seen(monkeypatch, lambda: measured(first != "workers", True))
    assert again < every
    if every == N:  # in batches of 2 of ranges of 4: one range is done, and a part of the next
        assert again == N - 4
    (tmp_path / "cut" / JOURNAL).unlink()
    assert contents(tmp_path / "cut") == contents(tmp_path / "whole")


def test_statistics__sums_go_where_a_kill_left_both(measure, tmp_path, monkeypatch):
    """C3: killed when the statistics were written, and the sums not yet removed."""
    keep_all_the_time(monkeypatch)
    with monkeypatch.context() as patch:
        patch.setattr(files.Stages, "drop", lambda *_: None)
        measure(tmp_path)
    names = sorted(path.name for path in tmp_path.iterdir())
    assert names == ["stage-background.safetensors", "statistics.safetensors"]
    measure(tmp_path, resume=True)
    assert [path.name for path in tmp_path.iterdir()] == ["statistics.safetensors"]


def test_statistics__sums_of_other_photos_do_not_count(net, tmp_path, monkeypatch):
    keep_all_the_time(monkeypatch)
    rng, layers = np.random.default_rng(0), net.select(LAYERS)
    photos = rng.integers(0, 256, (N, 24, 24, 3), dtype=np.uint8)
    with monkeypatch.context() as patch:
        end_with(patch, KilledError, 3)
        with pytest.raises(KilledError):
            spool_statistics(net, photos, layers, QUIET, tmp_path)
    (kept,) = tmp_path.iterdir()
    assert kept.name == "stage-background.safetensors"
    found = spool_statistics(net, photos[:8], layers, QUIET, tmp_path, resume=True)
    expected = channel_statistics(net, photos[:8], layers, QUIET)
    assert all(np.array_equal(*pair) for pair in zip(found.scale, expected.scale, strict=True))


@pytest.mark.parametrize(("writing", "times"), [(0.1, [5, 10.5, 16]), (0.5, [5, 20.5])])
def test_overdue__now_and_then_or_later_where_writing_takes_long(monkeypatch, writing, times):
    now, told = [0.0], []
    monkeypatch.setattr(files, "perf_counter", lambda: now[0])
    overdue = Overdue()
    while now[0] < 21:
        if overdue:
            told.append(now[0])
            with overdue.kept():
                now[0] += writing
        now[0] = int(2 * now[0] + 1) / 2
    assert MOST_LOST == 5
    assert told == times


def test_shard__written_before_its_time_is_one_file(keep, tmp_path, monkeypatch):
    keep_all_the_time(monkeypatch)
    spooled = keep(tmp_path)
    manifest = json.loads((tmp_path / "manifest.json").read_bytes())
    assert len({shard["file"] for shard in manifest["shards"]}) == len(manifest["shards"])
    assert sum(shard["photos"] for shard in manifest["shards"]) == len(spooled)
