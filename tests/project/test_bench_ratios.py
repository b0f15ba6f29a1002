"""The benchmark of ratios: its arithmetic, and one quick run. No time is asserted."""

import json
import math
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from explgraph.networks.backbone import Backbone
from tests.bench import fresh, ratios
from tests.bench.profile import profile
from tests.bench.repeats import repeated
from tests.bench.rounds import Figure, growth_exponent, take_turns
from tests.bench.workers import figures_of
from tests.bench.workload import LAYOUTS, forward_ways
from tests.support.planted_peaks import planted_peaks

ROOT = Path(__file__).resolve().parents[2]
KEYS = (
    "photos_to_graph_s",
    "photos_per_second",
    "photos_to_graph_bytes",
    "first_result_s",
    "match_cli_s",
    "mining_over_forward",
    "extraction_over_two_forwards",
    "match_over_forward",
    "match_over_forward_no_mirror",
    "bytes_per_photo",
    "bytes_per_photo_spool",
    "mining_growth_exponent",
    "two_worker_efficiency",
    "two_worker_efficiency_cpu",
    "import_seconds",
    "jit_seconds",
)
MAY_BE_NEGATIVE = {"bytes_per_photo_spool", "mining_growth_exponent", "import_seconds"}


def test_turns__one_task_after_the_other_and_a_round_to_warm_up():
    calls = []
    tasks = {name: lambda name=name: calls.append(name) for name in "ab"}
    seconds = take_turns(tasks, 3)
    assert calls == ["a", "b"] * 4
    assert {name: times.shape for name, times in seconds.items()} == {"a": (3,), "b": (3,)}


def test_turns__of_no_rounds_the_first_run_counts():
    calls = []
    seconds = take_turns({"a": lambda: calls.append("a")}, 0)
    assert calls == ["a"]
    assert seconds["a"].shape == (1,)
    assert seconds["a"][0] > 0


def test_figure__median_and_range():
    figure = Figure.of([5.0, 1.0, 2.0])
    assert (figure, figure.least, figure.most) == (2, 1, 5)
    assert json.dumps({"figure": figure}) == '{"figure": 2.0}'


def test_growth__exponent_of_a_power_law():
    sizes = (50, 200, 1000)
    assert growth_exponent(sizes, [3 * n**1.5 for n in sizes]) == pytest.approx(1.5)
    assert growth_exponent(sizes, [7.0] * 3) == pytest.approx(0, abs=1e-12)


@pytest.fixture(scope="module")
def planted():
    return planted_peaks(n_images=4, channels=3).peaks


def test_repeats__begin_with_what_is_given_and_move_the_rest(planted):
    many = repeated(planted, 10)
    assert len(set(many.images)) == 10
    for given, found in zip(planted.peaks, many.peaks, strict=True):
        np.testing.assert_array_equal(found.yx[:4], given.yx)
        np.testing.assert_array_equal(found.weight[8:], given.weight[:2])
        there = given.yx > 0
        moved = found.yx[4:8] - given.yx
        assert np.all(moved[~there] == 0)
        assert 1 < moved[there].std() < 3


def test_repeats__fewer_than_given(planted):
    few = repeated(planted, 3)
    np.testing.assert_array_equal(few.mirrored[0].yx, planted.mirrored[0].yx[:3])


def test_floor__what_a_photo_takes(planted):
    """Two views of two layers of three filters, each with five peaks of three numbers."""
    expected = {"peaks": 2 * 2 * 3 * 5 * 3 * 4}
    assert fresh.photo_bytes(planted) == expected


def test_peak_memory__is_this_process_own_and_never_falls():
    code = "from tests.bench.fresh import peak_bytes; import numpy; low = peak_bytes(); {}"
    take = "a = numpy.ones(2**24); del a; print(peak_bytes() - low)"
    big = np.ones(2**24)  # of the parent, which must not count
    done = subprocess.run(
        [sys.executable, "-c", code.format(take)], cwd=ROOT, capture_output=True, check=True
    )
    assert int(done.stdout) == pytest.approx(big.nbytes, rel=0.1)


def measured(**changes):
    """What a run finds, as far as targets need it."""
    names = {**ratios.TARGETS, **dict.fromkeys(ratios.WHAT)}
    floors = {"bytes_per_photo_floor": {"peaks": 320, "nodes": 7}}
    floors["extraction_bytes_per_photo_floor"] = {"peaks": 100}
    about = {"data": "drawings", "photos": 3, "is_reference": True, "thread_speedup_threads": 4}
    return {**{name: Figure.of([1.0, 2.0, 3.0]) for name in names}, **floors, **about, **changes}


def test_targets__at_most_at_least_and_what_a_photo_takes():
    report = ratios.report(measured(jit_seconds=15.0, thread_speedup=1.7, bytes_per_photo=328))
    assert {name: target["met"] for name, target in report["targets"].items()} == {
        "mining_over_forward": False,
        "extraction_over_two_forwards": False,
        "match_over_forward": False,
        "thread_speedup": True,
        "two_worker_efficiency": True,
        "coordination_share_large_shards": False,
        "photos_to_graph_s": True,
        "photos_to_graph_bytes": True,
        "match_cli_s": True,
        "demo_s": True,
        "import_seconds": False,
        "jit_seconds": True,
        "bytes_per_photo": False,  # 327
        "bytes_per_photo_spool": True,
        "extraction_bytes_per_photo": True,
        "extraction_bytes_per_photo_spool": True,
    }
    assert report["ranges"]["import_seconds"] == [1, 3]


def test_targets__no_verdict_on_another_network_or_fewer_threads():
    found = ratios.report(measured(is_reference=False))["targets"]
    assert not {"mining_over_forward", "thread_speedup"} & set(found)
    found = ratios.report(measured(thread_speedup=None, thread_speedup_threads=1))["targets"]
    assert not {"thread_speedup", "two_worker_efficiency"} & set(found)
    assert "mining_over_forward" in found


def test_targets__times_faster_than_the_commit_before():
    faster = dict.fromkeys(ratios.TIMES_FASTER, Figure.of([2.0, 3.0, 4.0]))
    found = ratios.report(measured(times_faster=faster))["times_faster_met"]
    assert found == {
        "photos_to_graph_s": False, "match_cli_s": False, "demo_s": True, "first_demo_s": True,
    }  # fmt: skip
    assert ratios.report(measured())["times_faster_met"] == {}
    elsewhere = ratios.report(measured(times_faster=faster, is_reference=False))
    assert "photos_to_graph_s" not in elsewhere["times_faster_met"]


def test_workers__what_coordination_takes_of_shards_of_256_and_of_2000():
    """Of 110 seconds ten are coordination: of 2,000 photos 10 / 256 of a second each, and work."""
    took = {"plain": np.array([9.0]), "pool": np.array([10.0])}
    found = figures_of(took, {"alone": np.array([100.0]), "pool": np.array([110.0])})
    assert found["two_worker_efficiency"] == [0.9]
    assert found["two_worker_efficiency_cpu"] == pytest.approx([100 / 110])
    assert found["coordination_share"] == pytest.approx([10 / 110])
    large = 10 / (10 + 100 * 2000 / 256)
    assert found["coordination_share_large_shards"] == pytest.approx([large])


def test_profile__shares_of_what_a_call_does_itself():
    def nothing():
        pass

    def slow():
        nothing()
        for i in range(1_000_000):  # so much more than all the rest that no machine is in doubt
            _ = i * i

    found = profile(slow)
    assert next(iter(found)).endswith(".slow")
    assert any(name.endswith(".nothing") for name in found)
    assert 0.5 < sum(found.values()) <= 1.000001


def test_ways__every_layout_and_batch_that_there_are_photos_for():
    net = torch.nn.Sequential(torch.nn.Conv2d(3, 4, 3), torch.nn.BatchNorm2d(4)).train()
    backbone = Backbone(net, input_size=(8, 8), device="cpu")
    found = forward_ways(backbone, torch.zeros(5, 3, 8, 8), rounds=1)
    assert set(found) == {(layout, batch) for layout in LAYOUTS for batch in (1, 2, 4)}
    assert min(found.values()) > 0
    assert net.training


def test_table__has_a_row_for_each_figure():
    table = ratios.table(ratios.report(measured(thread_speedup=None, thread_speedup_threads=1)))
    assert table.row_count == len(ratios.WHAT)


@pytest.mark.slow
def test_quick_run__writes_every_figure(tmp_path, monkeypatch, capsys):
    """In this process and some of its own, of which one compiles everything anew."""
    out = tmp_path / "new" / "bench.json"
    monkeypatch.setitem(fresh.VARIABLES["compile_path"], "NUMBA_OPT", "0")  # let that be quick
    ratios.main(["--quick", "--out", str(out)])
    found = json.loads(out.read_text())
    for key in KEYS:
        assert math.isfinite(found[key])
        assert found[key] > 0 or key in MAY_BE_NEGATIVE
    assert (found["thread_speedup"] is None) == (found["thread_speedup_threads"] == 1)
    assert found["data"].startswith("demo network")
    assert found["photos"] == 12
    assert len(found["forward_ms"]) == 2 * 4  # batches of 1 to 8
    assert set(found["threads"]) == {"numba", "torch"}
    assert found["machine"]["cores"] >= 1
    assert found["jit_functions"] > 10
    assert "mining / bare forward" in capsys.readouterr().out
