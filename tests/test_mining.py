"""Mining: planted graphs are found again, whatever the order, the orientation, the threads."""

import dataclasses
import hashlib
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from explgraph.errors import ExplGraphError
from explgraph.graph import ExplanatoryGraph
from explgraph.structures import Peaks, PeakSet
from mining import MiningConfig, match_peaks, mine_peaks
from mining.em import Mixture, e_step, held_out_gain
from mining.layers import Block, LayerMiner
from mining.mine import mine_layers, orientation, oriented_peaks
from mining.parents import flat_prior
from mining.pose import PoseMap, Poses
from tests import oracle
from tests.planted_peaks import SIDE, layer_spec, mirror_image, peak_set, planted_peaks

ROOT = Path(__file__).resolve().parents[1]
CONFIG = MiningConfig(n_parents=4)
AREA = float(SIDE * SIDE)


def as_given(peaks):
    return dataclasses.replace(peaks, mirrored=None, sketch=None)


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
    graph = mined(planted, config=MiningConfig(n_parents=0))
    assert len(graph.edge_child) == 0
    limb, away = limbs_of(graph, planted.means)
    best = counterparts(graph, limb, planted.means.shape[:3])
    assert np.mean(away[best]) < SIDE / 32


def lower_spread(planted, **options):
    """Median spread of the lowest layer's best nodes about where they are predicted.

    The first spread is narrow, for without poses it stays, and limbs would become one.
    """
    graph = mined(planted, config=MiningConfig(spread_start=0.125, **options))
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
        sketch=np.where(flip[:, None], -peaks.sketch, peaks.sketch),
    )


def test_orientation__undoes_what_was_mirrored(planted, rng):
    images = rng.permutation(np.arange(1, len(planted.peaks)))[:11]
    turned = np.isin(np.arange(len(planted.peaks)), images)
    found, before = orientation(turn(planted.peaks, images)), orientation(planted.peaks)
    assert np.array_equal(found != before, turned)
    restored = oriented_peaks(turn(planted.peaks, images), found)
    expected = oriented_peaks(planted.peaks, before)
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
    assert oriented_peaks(peaks, orientation(peaks)) == peaks.peaks


# -- what every graph fulfils ----------------------------------------------------------------------


def test_objective__falls_in_no_block(planted):
    layers = mine_layers(planted.peaks.peaks, planted.peaks.input_size, CONFIG, 0).layers
    blocks = [np.array(block) for layer in layers for block in layer.objective]
    # At least, in a layer: the start, two with poses, pruned; below the top also with parents.
    assert len(blocks) >= 3 * 4 + 2
    for block in blocks:
        assert np.all(np.diff(block) >= -1e-9 * np.abs(block[:-1]))


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
    loose = mined(planted, config=MiningConfig(n_parents=4, density_top=0.01, density=0.004))
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


def test_scores_and_edges__are_those_of_the_mining_photos(planted, graph):
    layers = mine_layers(planted.peaks.peaks, planted.peaks.input_size, CONFIG, 0).layers
    yx = np.concatenate([layer.yx for layer in layers])
    score = np.concatenate([layer.score for layer in layers])
    np.testing.assert_allclose(graph.score, score.mean(axis=1), rtol=1e-5)
    half = (score > 0) & (score >= score.mean(axis=1, keepdims=True) / 2)
    np.testing.assert_allclose(graph.support, half.mean(axis=1), atol=1e-6)
    some = range(0, len(graph.edge_child), 7)
    for e in some:
        c, p = graph.edge_child[e], graph.edge_parent[e]
        mean, deviation = oracle.relation(yx[c], yx[p], score[c], score[p])
        np.testing.assert_allclose(graph.edge_displacement[e], mean, rtol=1e-4, atol=1e-3)
        np.testing.assert_allclose(graph.edge_spread[e], deviation, rtol=1e-4, atol=1e-3)
        expected = oracle.coactivation(score[c], score[p])
        np.testing.assert_allclose(graph.edge_coactivation[e], expected, rtol=1e-5)


def test_spread__is_the_deviation_about_the_predicted_place(planted):
    peaks = planted.peaks.peaks[-1]
    (top,), pose_map = mine_layers([peaks], planted.peaks.input_size, CONFIG, 0)
    shift = np.einsum("paq,nq->pna", top.node_pose, pose_map(peaks, (SIDE, SIDE)))
    assert np.abs(shift).max() > 5
    variance = (CONFIG.spread_top * SIDE) ** 2
    shape = shift.shape[:2]
    prior = oracle.Rows(shift=shift, var=np.full(shape, variance), kappa=np.ones(shape))
    resp, _ = oracle.responsibilities(peaks, top.mixture, prior, SIDE**2)
    for v, c in enumerate(top.mixture.channel):
        mass = peaks.weight[:, c].astype(float) * resp[v]
        off = peaks.yx[:, c].astype(float) - top.mixture.mu[v] - shift[v][:, None]
        expected = np.sqrt((mass * np.sum(off**2, axis=2)).sum() / mass.sum() / 2)
        np.testing.assert_allclose(top.spread[v], expected, rtol=1e-4)


# -- what must not matter --------------------------------------------------------------------------


def test_seed__decides_alone(planted, graph, tmp_path):
    assert saved_bytes(mined(planted), tmp_path) == saved_bytes(graph, tmp_path)
    other = mined(planted, seed=1)
    assert not np.array_equal(other.mu, graph.mu)  # not only in the header


def test_order_of_photos__does_not_matter(planted, rng):
    order = rng.permutation(len(planted.peaks))
    # All candidates become parents: nodes that share a place would be chosen by rounding alone.
    config = MiningConfig(n_parents=6, n_candidates=6)
    graph = mined(planted, config=config)
    again = mine_peaks(as_given(planted.peaks).take(order), config=config)
    assert len(again) == len(graph)
    assert np.array_equal(again.edge_parent, graph.edge_parent)
    for name in ("mu", "weight", "score", "support", "gain", "spread", "edge_displacement"):
        ours, theirs = getattr(again, name), getattr(graph, name)
        np.testing.assert_allclose(ours, theirs, rtol=1e-3, atol=1e-3)


SCRIPT = """
import hashlib, sys, numba
from threadpoolctl import threadpool_limits
from explgraph.structures import PeakSet
from mining import MiningConfig, match_peaks, mine_peaks
peaks = PeakSet.load(sys.argv[1])
for threads, blas in ((1, 4), (2, 1), (4, 2)):
    numba.set_num_threads(threads)
    with threadpool_limits(blas):
        graph = mine_peaks(peaks, config=MiningConfig(n_parents=4), seed=5)
        for made in (graph, match_peaks(graph, peaks)):
            made.save(sys.argv[2])
            with open(sys.argv[2], "rb") as file:
                print(hashlib.sha256(file.read()).hexdigest())
"""


def test_threads__give_the_same_bytes(tmp_path):
    """With 1, 2 and 4 threads of another process, from peaks that went through a file.

    The layer starts with more nodes than one block of the poses' regressions.
    """
    peaks = planted_peaks(n_images=10, strides=(8, 16), channels=170).peaks
    peaks.save(tmp_path / "peaks.safetensors")
    graph = mine_peaks(peaks, config=CONFIG, seed=5)
    assert graph.node_pose.any()
    here = []
    for made in (graph, match_peaks(graph, peaks)):
        made.save(tmp_path / "here.safetensors")
        here.append(hashlib.sha256((tmp_path / "here.safetensors").read_bytes()).hexdigest())
    files = [str(tmp_path / "peaks.safetensors"), str(tmp_path / "there.safetensors")]
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, *files],
        cwd=ROOT,
        env={**os.environ, "NUMBA_NUM_THREADS": "4", "OPENBLAS_NUM_THREADS": "4"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == here * 3


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
    graph = mined(planted, config=MiningConfig(n_parents=2, n_candidates=2))
    for layer in (0, 1):
        above = np.flatnonzero(graph.node_layer == layer + 1)
        surest = above[np.argsort(-graph.score[above], kind="stable")[:2]]
        chosen = graph.edge_parent[graph.node_layer[graph.edge_child] == layer]
        assert sorted(set(chosen)) == sorted(surest)


def test_follow__starts_with_what_the_poses_say(planted):
    """Means moved by the regressions' constants, shifts by the poses, the spread that is asked."""
    peaks = planted.peaks.peaks[0]
    miner = LayerMiner.of(peaks, (SIDE, SIDE), CONFIG)
    block = miner.start(0.004, np.random.default_rng(0))
    rng, count = np.random.default_rng(1), len(block.mixture)
    pose = rng.normal(0, 1, (len(peaks), 2)).astype(np.float32)
    node = rng.normal(0, 5, (count, 2, 2)).astype(np.float32)
    constant = rng.normal(0, 9, (count, 2))
    followed = miner.follow(block, Poses(pose, PoseMap.none(), (node,), (constant,)), 0, 0.2)
    shape = (count, len(peaks))
    prior = oracle.Rows(
        shift=np.einsum("paq,nq->pna", node, pose),
        var=np.full(shape, (0.2 * SIDE) ** 2),
        kappa=np.ones(shape),
    )
    expected = oracle.objective(peaks, block.mixture.moved(constant), prior, AREA)
    assert miner.objective[-1][0] == pytest.approx(expected, rel=1e-5)
    assert followed.node_pose is node


def test_finish__a_node_that_explains_nothing_is_not_the_best_of_its_filter():
    """Its gain is 0; that of the filter's other node, between two peaks 3 S apart, is below 0."""
    yx = np.array([[[[64, 44]]], [[[64, 84]]]])
    peaks = Peaks(layer_spec(0, 16, 1), yx, np.ones((2, 1, 1)))
    miner = LayerMiner.of(peaks, (SIDE, SIDE), MiningConfig(merge=0))
    mu, weight = np.array([[64.0, 64], [0, 0]]), np.array([1.0, 0])
    mixture = Mixture(np.array([0, 2]), mu, weight, np.full(1, 0.5))
    prior = flat_prior(2, 2, 12.8**2)
    stats = e_step(miner.peaks, mixture, prior, AREA)
    assert held_out_gain(miner.peaks, mixture, prior, AREA, stats)[0] < 0
    none = np.zeros((2, 2, 0), dtype=np.float32)
    block = Block(mixture, none, np.zeros((2, 0), dtype=np.int32), prior, stats)
    layer = miner.finish(block, None)
    np.testing.assert_allclose(layer.mixture.mu, [[64, 64]], atol=1e-6)


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
