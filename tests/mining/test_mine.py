"""Mining: planted graphs are found again, whatever the order, the orientation, the threads."""

import dataclasses
import hashlib
import json
import os
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest

from explgraph.base.errors import ExplGraphError
from explgraph.base.files import Stages, read_arrays, write_arrays
from explgraph.graphs.graph import ExplanatoryGraph
from explgraph.peaks.structures import GROUP, Peaks, PeakSet
from mining import MiningConfig, align, cpu, match_peaks, mine_peaks, pose
from mining.align import facing
from mining.cpu import CpuEngine
from mining.em import Mixture, fit, held_out_gain
from mining.layers import LayerMiner, MinedLayer
from mining.mine import mine_layers
from mining.pose import PoseMap, Poses
from tests.support import oracle
from tests.support.planted_peaks import SIDE, layer_spec, mirror_image, peak_set, planted_peaks
from tests.support.spooling import spool_by_hand

ROOT = Path(__file__).resolve().parents[2]
# The planted grids are small, so there are more nodes in a cell to begin with; and the parts of a
# filter lie 1.6 of the usual first spreads apart, under which they would become one.
CONFIG = MiningConfig(n_parents=4, density_top=0.1, density=0.05, spread_start=0.15)
AREA = float(SIDE * SIDE)


def all_given(peaks):
    """Photos none of which is mirrored."""
    return np.zeros(len(peaks), dtype=np.uint8)


def as_given(peaks):
    return dataclasses.replace(peaks, mirrored=None)


def mined(planted, **options):
    return mine_peaks(as_given(planted.peaks), **{"config": CONFIG, **options})


@pytest.fixture(scope="module")
def planted():
    return planted_peaks(strides=(8, 8, 16), seed=1)


@pytest.fixture(scope="module")
def graph(planted):
    return mined(planted)


def saved_bytes(graph, folder):
    graph.save(folder / "graph.safetensors")
    return (folder / "graph.safetensors").read_bytes()


# -- planted graphs --------------------------------------------------------------------------------


def limbs_of(graph, means):
    """(P,) which planted node of its filter lies next to each mined node, and how far it is."""
    away = np.linalg.norm(graph.mu[:, None] - means[graph.node_layer, graph.node_channel], axis=2)
    return away.argmin(axis=1), away.min(axis=1)


def counterparts(graph, limb, shape):
    """(L, C, limbs) the best mined node of each planted one; every planted one must have some."""
    best = np.full(shape, -1)
    for v in np.argsort(graph.score, kind="stable"):
        best[graph.node_layer[v], graph.node_channel[v], limb[v]] = v
    assert np.all(best >= 0)
    return best


def check_recovery(graph, planted, peaks, means, places):
    limb, away = limbs_of(graph, means)
    best = counterparts(graph, limb, means.shape[:3])
    error = away[best]
    assert np.mean(error) < SIDE / 32
    assert np.max(error) < SIDE / 6  # planted means of a filter are twice as far apart
    # What mined nodes see somewhere else is noise: little.
    assert graph.score[away > SIDE / 8].sum() < 0.02 * graph.score.sum()
    # In each photo the node is found on the peak that was planted.
    peak = match_peaks(graph, peaks).peak[:, best]  # (N, L, C, limbs)
    found = np.zeros_like(places)
    for i, level, c, part in np.ndindex(*peak.shape):
        found[level, c, part, i] = peaks.peaks[level].yx[i, c, peak[i, level, c, part]]
    exact = np.linalg.norm(found - places, axis=4) < 0.01
    assert np.mean(exact[planted.seen]) > 0.95
    # Nodes are tied to those that move with them; half of the nodes above are of the other limb.
    same = [limb[graph.parents(v)] == limb[v] for v in best[:-1].ravel()]
    assert all(len(row) == CONFIG.n_parents for row in same)
    assert np.mean(same) > 0.7


@pytest.mark.parametrize("strides, seed", [((8, 16), 0), ((8, 8, 16), 1), ((8, 8, 16), 3)])
def test_planted_graph__is_recovered(strides, seed):
    planted = planted_peaks(strides=strides, seed=seed)
    peaks = as_given(planted.peaks)
    graph = mine_peaks(peaks, config=CONFIG, seed=seed)
    check_recovery(graph, planted, peaks, planted.means, planted.yx)


def test_planted_graph__mirrored_peaks_give_the_mirrored_graph():
    planted = planted_peaks(strides=(8, 8, 16), seed=1)
    turned = tuple(mirror_image(p) for p in planted.peaks.peaks)
    peaks = dataclasses.replace(as_given(planted.peaks), peaks=turned)
    graph = mine_peaks(peaks, config=CONFIG)
    flip = np.array([1, -1])
    means, places = [0, SIDE] + flip * planted.means, [0, SIDE] + flip * planted.yx
    check_recovery(graph, planted, peaks, means, places)


def test_planted_graph__without_edges_is_recovered_too(planted):
    graph = mined(planted, config=dataclasses.replace(CONFIG, n_parents=0))
    assert len(graph.edge_child) == 0
    limb, away = limbs_of(graph, planted.means)
    best = counterparts(graph, limb, planted.means.shape[:3])
    assert np.mean(away[best]) < SIDE / 32


def lower_spread(planted, **options):
    """Median spread of the lowest layer's best nodes about where they are predicted.

    The first spread is narrow, for without poses it stays.
    """
    graph = mined(planted, config=dataclasses.replace(CONFIG, spread_start=0.125, **options))
    limb, _ = limbs_of(graph, planted.means)
    best = counterparts(graph, limb, planted.means.shape[:3])
    return np.median(graph.spread[best[0]])


def test_parents_and_poses__narrow_the_search(planted):
    """A node's spread about its prediction is below that about its mean place."""
    alone = lower_spread(planted, n_parents=0, pose_rank=0)
    assert alone > 9  # limbs move by 9 px per axis, and there are peaks that nothing explains
    assert lower_spread(planted, n_parents=4, pose_rank=0, pull=1) < 0.6 * alone
    assert lower_spread(planted, n_parents=0, pose_terms=4) < 0.85 * alone
    assert lower_spread(planted, n_parents=4) < 0.75 * alone


# -- orientation -----------------------------------------------------------------------------------


def turn(peaks, images):
    """The same photos, some of them mirrored before anybody saw them."""
    flip = np.zeros(len(peaks), dtype=bool)
    flip[images] = True
    rows = flip[:, None, None]

    def mixed(first, second):
        return tuple(
            Peaks(
                a.layer,
                np.where(rows[..., None], b.yx, a.yx),
                np.where(rows, b.weight, a.weight),
            )
            for a, b in zip(first, second, strict=True)
        )

    return dataclasses.replace(
        peaks,
        peaks=mixed(peaks.peaks, peaks.mirrored),
        mirrored=mixed(peaks.mirrored, peaks.peaks),
    )


def orientation(peaks):
    return (facing(peaks).signs < 0).astype(np.uint8)


def test_orientation__undoes_what_was_mirrored(planted, rng):
    images = rng.permutation(np.arange(1, len(planted.peaks)))[:11]
    turned = np.isin(np.arange(len(planted.peaks)), images)
    found, before = orientation(turn(planted.peaks, images)), orientation(planted.peaks)
    assert np.array_equal(found != before, turned)
    restored = turn(planted.peaks, images).oriented(found)
    expected = planted.peaks.oriented(before)
    for ours, theirs in zip(restored, expected, strict=True):
        assert np.array_equal(ours.yx, theirs.yx)
        assert np.array_equal(ours.weight, theirs.weight)


def test_photos_that_face_either_way__give_the_same_graph(planted, rng, tmp_path):
    images = rng.permutation(np.arange(1, len(planted.peaks)))[:12]
    expected = mine_peaks(planted.peaks, config=CONFIG)
    found = mine_peaks(turn(planted.peaks, images), config=CONFIG)
    assert saved_bytes(found, tmp_path) == saved_bytes(expected, tmp_path)


@pytest.mark.parametrize("images", [[0, 3, 4, 7], range(24)], ids=["some", "all"])
def test_photos_that_face_either_way__the_first_one_does_not_decide(planted, images, tmp_path):
    found = mine_peaks(turn(planted.peaks, list(images)), config=CONFIG)
    expected = mine_peaks(planted.peaks, config=CONFIG)
    assert saved_bytes(found, tmp_path) == saved_bytes(expected, tmp_path)


def test_orientation__without_mirrored_peaks_is_as_given(planted):
    peaks = as_given(planted.peaks)
    assert not orientation(peaks).any()
    assert peaks.oriented(orientation(peaks)) == peaks.peaks


# -- what every graph fulfils ----------------------------------------------------------------------


def test_objective__falls_in_no_block(planted, monkeypatch):
    """But for rounding in float32, some 1e-6 of the response."""
    miners = []

    def noted(*arguments):
        miners.append(LayerMiner(*arguments))
        return miners[-1]

    monkeypatch.setattr("mining.mine.LayerMiner", noted)
    mine_layers(CpuEngine(planted.peaks, all_given(planted.peaks)), CONFIG, 0)
    found = [np.stack(miner.objective) for miner in miners]
    response = [peaks.weight.sum() for peaks in planted.peaks.peaks]
    # In a layer: one to start with, two with poses, the pruned; two with parents, or one on top.
    assert [len(objective) for objective in found] == [6, 6, 5]
    for objective, whole in zip(found, response, strict=True):
        assert objective.shape[1] == CONFIG.max_iter + 1
        assert np.all(np.diff(objective, axis=1) >= -2e-6 * whole)
        assert np.all(objective[:2, -1] > objective[:2, 0])


def test_graph__nodes_and_edges_are_in_order(graph):
    keys = list(zip(graph.node_layer, graph.node_channel, graph.node_part, strict=True))
    assert keys == sorted(set(keys))
    edges = list(zip(graph.edge_child, graph.edge_parent, strict=True))
    assert edges == sorted(set(edges))
    above = graph.node_layer[graph.edge_parent] - graph.node_layer[graph.edge_child]
    assert np.all(above == 1)


def test_graph__parts_of_a_filter_fall_by_gain_and_share_its_weight(graph):
    for layer, spec in enumerate(graph.layers):
        for c in range(spec.channels):
            rows = np.flatnonzero((graph.node_layer == layer) & (graph.node_channel == c))
            assert graph.node_part[rows].tolist() == list(range(len(rows)))
            assert np.all(np.diff(graph.gain[rows]) <= 0)
            np.testing.assert_allclose(graph.weight[rows].sum(), 1, rtol=1e-5)


def test_graph__every_top_filter_starts_with_a_tenth_of_its_cells(planted):
    loose = mined(planted, config=dataclasses.replace(CONFIG, density_top=0.01, density=0.004))
    counts = np.zeros((3, 5), dtype=int)
    np.add.at(counts, (loose.node_layer, loose.node_channel), 1)
    assert counts.max(axis=1).tolist() == [2, 2, 1]  # ceil(.004 * 256), ceil(.01 * 64)


def test_graph__records_how_it_was_made(planted, graph):
    header = graph.header
    assert header["seed"] == 0
    assert header["n_images"] == len(planted.peaks)
    assert MiningConfig.from_json(header["config"]) == CONFIG
    assert {"explgraph", "numba", "numpy", "python"} <= set(header["versions"])
    assert header["weight_hash"] == planted.peaks.header["weight_hash"]


def test_spread__is_the_deviation_about_the_predicted_place(planted):
    peaks = dataclasses.replace(
        as_given(planted.peaks),
        peaks=planted.peaks.peaks[-1:],
        channel_mean=planted.peaks.channel_mean[-1:],
        channel_scale=planted.peaks.channel_scale[-1:],
    )
    (top,), pose_map = mine_layers(CpuEngine(peaks, all_given(peaks)), CONFIG, 0)
    peaks = peaks.peaks[0]
    shift = np.einsum("paq,nq->pan", top.node_pose, pose_map(peaks, (SIDE, SIDE)))
    assert np.abs(shift).max() > 5
    prior = pose_prior(shift, CONFIG.spread_top)
    resp, _ = oracle.responsibilities(peaks, top.mixture, prior, SIDE**2)
    for v, c in enumerate(top.mixture.channel):
        mass = peaks.weight[:, c].astype(float) * resp[v]
        off = peaks.yx[:, c].astype(float) - top.mixture.mu[v] - shift[v].T[:, None]
        expected = np.sqrt((mass * np.sum(off**2, axis=2)).sum() / mass.sum() / 2)
        np.testing.assert_allclose(top.spread[v], expected, rtol=1e-4)


def pose_prior(shift, spread):
    """The loops' prior of nodes without parents: ``shift (P, 2, N)``, a share of the side."""
    nodes, _, n = shift.shape
    half_precision = np.full(nodes, 0.5 / (spread * SIDE) ** 2)
    return oracle.Rows(shift=shift, half_precision=half_precision, kappa=np.ones((nodes, n)))


# -- what must not matter --------------------------------------------------------------------------


def test_seed__decides_alone(planted, graph, tmp_path):
    assert saved_bytes(mined(planted), tmp_path) == saved_bytes(graph, tmp_path)
    other = mined(planted, seed=1)
    assert not np.array_equal(other.mu, graph.mu)  # not only in the header


def test_order_of_photos__does_not_matter(planted, rng):
    order = rng.permutation(len(planted.peaks))
    # All candidates become parents: nodes that share a place would be chosen by rounding alone.
    config = dataclasses.replace(CONFIG, n_parents=6, n_candidates=6)
    graph = mined(planted, config=config)
    again = mine_peaks(as_given(planted.peaks).take(order), config=config)
    assert len(again) == len(graph)
    assert np.array_equal(again.edge_parent, graph.edge_parent)
    for name in ("mu", "weight", "score", "support", "gain", "spread", "edge_displacement"):
        ours, theirs = getattr(again, name), getattr(graph, name)
        np.testing.assert_allclose(ours, theirs, rtol=1e-3, atol=1e-3)


SCRIPT = """
import hashlib, json, sys, numba
from threadpoolctl import threadpool_limits
from explgraph import PeakSet
from mining import MiningConfig, align, match_peaks, mine_peaks, pose
peaks = PeakSet.load(sys.argv[1])
config = MiningConfig.from_json(json.loads(sys.argv[3]))
for most in map(int, sys.argv[4:]):
    align.MOST_PHOTOS = pose.MOST_PHOTOS = most
    for threads, blas in ((1, 4), (2, 1), (4, 2)):
        numba.set_num_threads(threads)
        with threadpool_limits(blas):
            graph = mine_peaks(peaks, config=config, seed=5)
            for made in (graph, match_peaks(graph, peaks)):
                made.save(sys.argv[2])
                with open(sys.argv[2], "rb") as file:
                    print(hashlib.sha256(file.read()).hexdigest())
"""


def test_threads__give_the_same_bytes(tmp_path, monkeypatch):
    """With 1, 2 and 4 threads of another process, from peaks that went through a file.

    There are more filters than one thread works on at a time. All photos decide on poses and
    orientation, or a sample of them.
    """
    peaks = planted_peaks(n_images=14, strides=(8, 16), channels=90).peaks
    peaks.save(tmp_path / "peaks.safetensors")
    here, sizes = [], (1000, 11)
    for most in sizes:
        for module in (align, pose):
            monkeypatch.setattr(module, "MOST_PHOTOS", most)
        graph, both = mine_peaks(peaks, config=CONFIG, seed=5), []
        assert graph.node_pose.any()
        for made in (graph, match_peaks(graph, peaks)):
            made.save(tmp_path / "here.safetensors")
            both.append(hashlib.sha256((tmp_path / "here.safetensors").read_bytes()).hexdigest())
        here += both * 3
    assert len(set(here)) == 4
    files = [str(tmp_path / "peaks.safetensors"), str(tmp_path / "there.safetensors")]
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, *files, json.dumps(CONFIG.to_json()), *map(str, sizes)],
        cwd=ROOT,
        env={**os.environ, "NUMBA_NUM_THREADS": "4", "OPENBLAS_NUM_THREADS": "4"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == here


@pytest.mark.parametrize("filters", [1, 3])
def test_filters_at_a_time__do_not_matter(planted, graph, monkeypatch, filters):
    """But for rounding in matrix products."""
    monkeypatch.setattr(cpu, "_FILTERS", filters)
    again = mined(planted)
    assert len(again) == len(graph)
    assert np.array_equal(again.edge_parent, graph.edge_parent)
    for name in ("mu", "weight", "score", "support", "gain", "spread", "edge_displacement"):
        np.testing.assert_allclose(getattr(again, name), getattr(graph, name), 1e-4, 1e-4)


@pytest.mark.parametrize("counts", [[24], [7, 16, 1]])
def test_spool__is_mined_to_the_same_bytes(planted, tmp_path, counts):
    spooled = spool_by_hand(planted.peaks, tmp_path / "spool", counts)
    expected = mine_peaks(planted.peaks, config=CONFIG)
    found = mine_peaks(spooled, config=CONFIG)
    assert orientation(spooled).any()
    assert saved_bytes(found, tmp_path) == saved_bytes(expected, tmp_path)


def test_spool__of_more_photos_than_one_group_is_mined_to_the_same_bytes(tmp_path, monkeypatch):
    """And than are looked at for poses and compared with each other."""
    for module in (align, pose):
        monkeypatch.setattr(module, "MOST_PHOTOS", 100)
    peaks = planted_peaks(n_images=GROUP + 44, strides=(8, 16), channels=2).peaks
    spooled = spool_by_hand(peaks, tmp_path / "spool", [100, 199, 1])
    found, expected = (mine_peaks(source, config=CONFIG) for source in (spooled, peaks))
    assert found.node_pose.any()
    assert len(found.edge_child) > 0
    assert saved_bytes(found, tmp_path) == saved_bytes(expected, tmp_path)


def test_many_photos__are_recovered_from_a_sample(monkeypatch):
    """The planted graph of more photos than one group; a third of them decides on poses."""
    monkeypatch.setattr(pose, "MOST_PHOTOS", 100)
    planted = planted_peaks(n_images=GROUP + 44, strides=(8, 16), seed=2)
    peaks = as_given(planted.peaks)
    graph = mine_peaks(peaks, config=CONFIG)
    check_recovery(graph, planted, peaks, planted.means, planted.yx)


# -- interrupted runs ------------------------------------------------------------------------------


class InterruptedRunError(Exception):
    """The run is stopped."""


class Stopping(Stages):
    """Stages of which only so many can be saved."""

    def __init__(self, folder, left):
        super().__init__(folder, {"run": 1})
        self.left, self.saved = left, []

    def save(self, name, arrays):
        if len(self.saved) == self.left:
            raise InterruptedRunError
        super().save(name, arrays)
        self.saved.append(name)


def mined_in_stages(planted, stages):
    return mine_peaks(planted.peaks, config=CONFIG, seed=2, stages=stages)


def test_stages__of_an_interrupted_run_are_not_computed_again(planted, tmp_path):
    """Wherever it stops, it goes on to the same bytes, and every stage is saved once."""
    whole = mine_peaks(planted.peaks, config=CONFIG, seed=2)
    expected, names = saved_bytes(whole, tmp_path), []
    for left in (0, 2, 3, 4, 4, 1000):
        stages = Stopping(tmp_path / "stages", left)
        try:
            found = mined_in_stages(planted, stages)
        except InterruptedRunError:
            assert left < 1000
        names += stages.saved
    assert saved_bytes(found, tmp_path) == expected
    # Three layers are started, follow the poses twice, and are finished.
    assert len(names) == len(set(names)) == 3 + 2 * (1 + 3) + 3


def test_stages__have_the_same_bytes_wherever_a_run_was_interrupted(planted, tmp_path):
    """C3."""
    for folder, runs in (("whole", [1000]), ("cut", [1, 4, 5, 1, 1000])):
        for left in runs:
            with suppress(InterruptedRunError):
                mined_in_stages(planted, Stopping(tmp_path / folder, left))
    whole, cut = (
        {path.name: path.read_bytes() for path in (tmp_path / folder).iterdir()}
        for folder in ("whole", "cut")
    )
    assert len(whole) == 3 + 2 * (1 + 3) + 3
    assert [name for name in whole if cut.get(name) != whole[name]] == []
    assert cut.keys() == whole.keys()


def test_stages__that_are_all_there_need_no_mining(planted, tmp_path, monkeypatch):
    stages = Stages(tmp_path / "stages", {"run": 1})
    expected = saved_bytes(mined_in_stages(planted, stages), tmp_path)

    def fail(*_, **__):
        raise AssertionError("this was computed before")

    for name in ("start", "follow", "regress", "finish"):
        monkeypatch.setattr(LayerMiner, name, fail)
    assert saved_bytes(mined_in_stages(planted, stages), tmp_path) == expected


FORGED = {
    "start.0": {"start": lambda a: a[::-1].copy()},
    "follow.1.1": {"mu": lambda a: a[:-1]},
    "poses.1": {"node.1": lambda a: a[:-1]},
    "mined.0": {"parent": lambda a: a + 10_000},
    "mined.2": {"noise": lambda a: a - 1},
}


@pytest.mark.parametrize("name", FORGED)
def test_stages__that_do_not_fit_are_computed_again(planted, tmp_path, name):
    """Also with a digest that is right: the graph is the same."""
    stages = Stages(tmp_path / "stages", {"run": 1})
    expected = saved_bytes(mined_in_stages(planted, stages), tmp_path)
    path = tmp_path / "stages" / f"stage-{name}.safetensors"
    arrays, header = read_arrays(path, "stage")
    ((field, change),) = FORGED[name].items()
    write_arrays(path, "stage", arrays | {field: change(arrays[field])}, header)
    assert saved_bytes(mined_in_stages(planted, stages), tmp_path) == expected


def test_stages__of_another_run_do_not_count(planted, tmp_path):
    mined_in_stages(planted, Stages(tmp_path / "stages", {"run": 0}))
    found = mined_in_stages(planted, Stages(tmp_path / "stages", {"run": 1}))
    expected = mine_peaks(planted.peaks, config=CONFIG, seed=2)
    assert saved_bytes(found, tmp_path) == saved_bytes(expected, tmp_path)


def test_mined_layer__comes_back_from_its_arrays(planted):
    for layer in mine_layers(CpuEngine(planted.peaks, all_given(planted.peaks)), CONFIG, 0).layers:
        again = MinedLayer.of(layer.arrays())
        for ours, theirs in zip(again.mixture.nodes, layer.mixture.nodes, strict=True):
            assert np.array_equal(ours, theirs)
        for ours, theirs in zip(again[1:], layer[1:], strict=True):
            assert np.array_equal(ours, theirs)
            assert ours.dtype == theirs.dtype


# -- odd and bad input -----------------------------------------------------------------------------


def silent(peaks):
    return Peaks(peaks.layer, np.zeros_like(peaks.yx), np.zeros_like(peaks.weight))


@pytest.mark.parametrize("dead", [0, 1, 2])
def test_layer_that_never_fires__has_no_nodes(planted, dead):
    layers = [silent(p) if i == dead else p for i, p in enumerate(planted.peaks.peaks)]
    peaks = dataclasses.replace(as_given(planted.peaks), peaks=tuple(layers))
    graph = mine_peaks(peaks, config=CONFIG)
    counts = np.bincount(graph.node_layer, minlength=3)
    assert (counts == 0).tolist() == [i == dead for i in range(3)]
    assert np.isfinite(graph.mu).all()
    # Nodes right below a silent layer have no parents.
    children = set(graph.node_layer[graph.edge_child])
    assert children == {0, 1} - {dead, dead - 1}
    assert np.isfinite(match_peaks(graph, peaks).yx).all()


def test_no_peaks_at_all__is_an_error(planted):
    peaks = as_given(planted.peaks)
    empty = dataclasses.replace(peaks, peaks=tuple(silent(p) for p in peaks.peaks))
    with pytest.raises(ExplGraphError, match="no node explains the peaks"):
        mine_peaks(empty)


def test_filters__keep_their_best_node_and_lose_others_without_gain(rng):
    """Filter 0 fires in one place, 1 in one photo alone, 2 anywhere, 3 never."""
    weight, yx = np.zeros((40, 4, 4)), np.zeros((40, 4, 4, 2))
    weight[:, 0, 0], yx[:, 0, 0] = 1, rng.normal(64, 5, (40, 2))
    weight[7, 1, 0], yx[7, 1, 0] = 1, [30, 90]
    weight[:, 2], yx[:, 2] = 1, rng.uniform(0, SIDE, (40, 4, 2))
    graph = mine_peaks(peak_set((Peaks(layer_spec(0, 16, 4), yx, weight),), mirror=False))
    assert set(graph.node_channel) == {0, 1, 2}
    assert np.bincount(graph.node_channel)[1] == 1
    assert np.all(graph.gain[graph.node_channel == 1] <= 0)


def test_parents__are_looked_for_among_the_surest_nodes_above(planted):
    graph = mined(planted, config=dataclasses.replace(CONFIG, n_parents=2, n_candidates=2))
    for layer in (0, 1):
        above = np.flatnonzero(graph.node_layer == layer + 1)
        surest = above[np.argsort(-graph.score[above], kind="stable")[:2]]
        chosen = graph.edge_parent[graph.node_layer[graph.edge_child] == layer]
        assert sorted(set(chosen)) == sorted(surest)


def miner_of(peaks, config=CONFIG):
    """The miner of the only layer."""
    source, mirrored = peak_set((peaks,), mirror=False), all_given(peaks)
    return LayerMiner(CpuEngine(source, mirrored), 0, config)


def test_follow__starts_with_what_the_poses_say(planted):
    """Means moved by the regressions' constants, shifts by the poses, the spread that is asked."""
    peaks = planted.peaks.peaks[0]
    miner = miner_of(peaks)
    block = miner.start(0.004, np.random.default_rng(0))
    rng, count = np.random.default_rng(1), len(block.mixture)
    pose = rng.normal(0, 1, (len(peaks), 2)).astype(np.float32)
    node = rng.normal(0, 5, (count, 2, 2)).astype(np.float32)
    constant = rng.normal(0, 9, (count, 2))
    followed = miner.follow(block, Poses(pose, PoseMap.none(), (node,), (constant,)), 0.2)
    prior = pose_prior(np.einsum("paq,nq->pan", node, pose), 0.2)
    expected = oracle.objective(peaks, block.mixture.moved(constant), prior, AREA)
    assert miner.objective[-1][0] == pytest.approx(expected, rel=1e-5)
    assert followed.guide.pose is pose
    kept = [
        list(map(tuple, node.reshape(count, -1))).index(tuple(row.ravel()))
        for row in followed.guide.node_pose
    ]
    assert kept == sorted(set(kept))
    assert followed.guide.variance == pytest.approx((0.2 * SIDE) ** 2)


def test_spread__narrows_step_by_step(planted, monkeypatch):
    """Three steps from .2 to .025 of the side halve it; each regression sees what the last left."""
    seen = {"regress": [], "follow": []}
    for name in seen:
        step = getattr(LayerMiner, name)

        def record(miner, block, *others, name=name, step=step):
            if miner.index == 0:
                seen[name].append((np.sqrt(block.guide.variance) / SIDE, *others))
            return step(miner, block, *others)

        monkeypatch.setattr(LayerMiner, name, record)
    mined(
        planted,
        config=dataclasses.replace(CONFIG, spread_start=0.2, spread_top=0.025, pose_rounds=3),
    )
    for name in seen:
        np.testing.assert_allclose([spread for spread, *_ in seen[name]], [0.2, 0.1, 0.05])
    np.testing.assert_allclose([others[-1] for others in seen["follow"]], [0.1, 0.05, 0.025])


def test_finish__a_node_that_explains_nothing_is_not_the_best_of_its_filter():
    """Its gain is 0; that of the filter's other node, between two peaks 3 S apart, is below 0."""
    yx = np.array([[[[64, 44]]], [[[64, 84]]]])
    peaks = Peaks(layer_spec(0, 16, 1), yx, np.ones((2, 1, 1)))
    miner = miner_of(peaks, MiningConfig(merge=0))
    mu, weight = np.array([[64.0, 64], [0, 0]]), np.array([1.0, 0])
    mixture = Mixture(np.array([0, 2]), mu, weight, np.full(1, 0.5))
    still, nowhere = np.zeros((2, 2, 0), dtype=np.float32), np.zeros((2, 0), dtype=np.float32)
    block = miner.block(mixture, still, nowhere, 0.1)
    columns, prior = miner.columns(0, 1), block.guide.prior
    sums = fit(columns, mixture, prior, AREA, max_iter=0, tol=0).sums
    assert held_out_gain(columns, mixture, prior, AREA, sums)[0] < 0
    layer = miner.finish(block, None)
    np.testing.assert_allclose(layer.mixture.mu, [[64, 64]], atol=1e-5)


@pytest.mark.parametrize("n", [0, 1])
def test_too_few_photos__are_refused(planted, n):
    with pytest.raises(ExplGraphError, match=rf"at least 2 photos of one category, got {n}"):
        mine_peaks(planted.peaks.take(np.arange(n)))


def test_two_photos__are_enough(planted):
    graph = mine_peaks(as_given(planted.peaks).take(np.array([2, 5])), config=CONFIG)
    assert len(graph) > 0
    assert np.isfinite(graph.mu).all()


@pytest.mark.parametrize("n, poses", [(4, 0), (5, 1), (14, 2), (24, 4)])
def test_poses__have_at_most_one_number_for_five_photos(planted, n, poses):
    peaks = as_given(planted.peaks).take(np.arange(n))
    graph = mine_peaks(peaks, config=CONFIG)
    assert graph.node_pose.shape == (len(graph), 2, poses)
    assert graph.pose_weight.shape == ((5 * 16, poses) if poses else (0, 0))
    assert np.isfinite(match_peaks(graph, peaks).yx).all()


def test_photos_that_are_all_the_same__have_no_poses(planted):
    peaks = as_given(planted.peaks).take(np.full(20, 3))
    graph = mine_peaks(peaks, config=CONFIG)
    assert graph.node_pose.shape == (len(graph), 2, 0)
    found = match_peaks(graph, peaks)
    assert np.array_equal(found.yx, np.tile(found.yx[:1], (20, 1, 1)))


def test_photos_without_a_peak__are_mined_with_the_others(planted):
    """There, nodes are where they are in the mean."""
    blank = np.isin(np.arange(24), [0, 11, 20])
    peaks = dataclasses.replace(
        as_given(planted.peaks),
        peaks=tuple(
            Peaks(p.layer, p.yx * ~blank[:, None, None, None], p.weight * ~blank[:, None, None])
            for p in planted.peaks.peaks
        ),
    )
    graph = mine_peaks(peaks, config=CONFIG)
    assert graph.node_pose.any()
    found = match_peaks(graph, peaks)
    assert not found.score[blank].any()
    here = np.broadcast_to(graph.mu / SIDE, found.yx[blank].shape)
    np.testing.assert_allclose(found.yx[blank], here, atol=1e-6)
    limb, away = limbs_of(graph, planted.means)
    best = counterparts(graph, limb, planted.means.shape[:3])
    assert np.mean(away[best]) < SIDE / 32


def test_merge__brings_nodes_of_one_place_together(planted, graph):
    apart = mined(planted, config=dataclasses.replace(CONFIG, merge=0))
    assert len(graph) < 0.7 * len(apart)


def test_filters_of_one_cell__are_mined():
    layer = dataclasses.replace(layer_spec(0, 128, 2), grid=(1, 1))
    peaks = Peaks(layer, np.full((4, 2, 1, 2), 64.0), np.ones((4, 2, 1)))
    graph = mine_peaks(peak_set((peaks,), mirror=False))
    assert graph.node_channel.tolist() == [0, 1]
    np.testing.assert_allclose(graph.mu, 64, atol=1e-4)


@pytest.mark.parametrize(
    "setting",
    [
        {"density_top": 0},
        {"density": 1.5},
        {"density": float("nan")},
        {"spread": -0.1},
        {"spread_top": 0},
        {"spread_start": 1.5},
        {"pose_rank": -1},
        {"pose_terms": 0},
        {"pose_penalty": 0},
        {"pose_penalty": float("nan")},
        {"pose_rounds": 0},
        {"merge": -0.1},
        {"merge": 1},
        {"pull": 0},
        {"pull": 1.1},
        {"n_parents": -1},
        {"n_candidates": 3},
        {"parent_rounds": 0},
        {"max_iter": 0},
        {"tol": 1},
        {"tol": -0.1},
    ],
    ids=str,
)
def test_config__out_of_range_is_refused(setting):
    with pytest.raises(ExplGraphError, match=f"MiningConfig.{next(iter(setting))}"):
        MiningConfig(**setting)


def test_config__reads_files_of_other_versions():
    config = MiningConfig(n_parents=7, tol=0.5)
    assert MiningConfig.from_json({**config.to_json(), "of_the_future": 1}) == config
    assert MiningConfig.from_json({}) == MiningConfig()


def test_peak_set__of_a_file_is_mined_to_the_same_bytes(planted, graph, tmp_path):
    as_given(planted.peaks).save(tmp_path / "peaks.safetensors")
    again = mine_peaks(PeakSet.load(tmp_path / "peaks.safetensors"), config=CONFIG)
    assert saved_bytes(again, tmp_path) == saved_bytes(graph, tmp_path)


@pytest.mark.parametrize("seed", [-1, 2.5, "0"])
def test_mining__refuses_a_seed_that_is_no_whole_number(planted, seed):
    with pytest.raises(ExplGraphError, match="seed must be a whole number"):
        mine_peaks(planted.peaks, seed=seed)


def test_mining__takes_a_numpy_seed(planted, tmp_path):
    mine_peaks(planted.peaks, seed=np.int64(3)).save(tmp_path / "graph.safetensors")
    assert ExplanatoryGraph.load(tmp_path / "graph.safetensors").header["seed"] == 3
