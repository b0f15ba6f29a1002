"""Matching: every node in new photos, against loops over nodes and photos."""

import dataclasses

import numpy as np
import pytest

from explgraph.base.errors import ExplGraphError
from explgraph.base.layer import look_layer
from explgraph.peaks.structures import GROUP, Peaks
from mining import MiningConfig, match_peaks, mine_peaks
from mining.align import mirror_moments
from mining.cpu import CpuEngine
from mining.layers import LayerMiner
from mining.matching import _sum_by_photo, find_nodes, find_places, walk_layers
from mining.mine import mine_layers
from tests.support import oracle
from tests.support.planted_peaks import SIDE, mirror_image, peak_set, planted_peaks

CONFIG = MiningConfig(
    n_parents=3,
    density_top=0.1,
    density=0.03,
    pose_rank=2,
    spread_start=0.2,
    spread_top=0.2,
    spread=0.08,
    pull=0.4,
)


@pytest.fixture(scope="module")
def planted():
    return planted_peaks(n_images=16, strides=(8, 8, 16), channels=3, seed=2)


@pytest.fixture(scope="module")
def peaks(planted):
    return dataclasses.replace(planted.peaks, mirrored=None)


@pytest.fixture(scope="module")
def graph(peaks):
    return mine_peaks(peaks, config=CONFIG)


@pytest.fixture(scope="module")
def new_photos():
    """Photos of the same planted filters, in other poses."""
    return dataclasses.replace(
        planted_peaks(n_images=5, strides=(8, 8, 16), channels=3, seed=9).peaks,
        mirrored=None,
    )


def check(graph, peaks, alone=0.2 * SIDE):
    """Places and scores equal the loops'.

    They are computed in float32, layer upon layer, to some 1e-5 of the side.
    """
    found = find_nodes(graph, [peaks.peaks])
    yx, score, gain, peak = oracle.find_nodes(graph, peaks.peaks, alone, 0.08 * SIDE, 0.4)
    sure = np.broadcast_to(score[:, None] > 1e-6, yx.shape)
    np.testing.assert_allclose(found.score, score, rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(found.yx[sure], yx[sure], atol=1e-3)
    np.testing.assert_allclose(found.peak_yx[sure], peak[sure], atol=1e-3)
    np.testing.assert_allclose(found.gain, gain, rtol=1e-5, atol=1e-5)
    return found


def test_matching__equals_the_loops(graph, new_photos):
    found = check(graph, new_photos)
    assert np.mean(found.score > 1e-3) > 0.1
    matches = match_peaks(graph, new_photos)
    np.testing.assert_allclose(matches.yx * SIDE, found.yx.transpose(2, 0, 1), atol=1e-3)
    assert np.array_equal(matches.score, found.score.T)
    assert np.array_equal(matches.log_density, found.log_density.T)
    assert np.array_equal(matches.peak, found.peak.T)
    assert not matches.mirrored.any()


def test_matching__the_mining_photos_gives_what_mining_saw(graph, peaks):
    """Where mining told the layers below that nodes are: all of them, for they are not many."""
    as_given = np.zeros(len(peaks), dtype=np.uint8)
    engine = CpuEngine(peaks, as_given)
    mined = mine_layers(engine, CONFIG, 0)
    found = find_nodes(graph, [peaks.peaks])
    pose = mined.pose_map(peaks.peaks[-1], peaks.input_size)
    above = None
    for index in (2, 1, 0):
        miner, rows = LayerMiner(engine, index, CONFIG), graph.node_layer == index
        above = miner.above(mined.layers[index], pose, above)
        assert np.array_equal(above.nodes, np.arange(rows.sum()))
        moved = found.yx[rows] - graph.mu[rows][..., None]
        np.testing.assert_allclose(found.score[rows], above.placed.score, rtol=1e-3, atol=1e-4)
        np.testing.assert_allclose(moved, above.placed.displacement, atol=0.01)


def test_matching__without_poses_equals_the_loops(peaks, new_photos):
    """Nodes without parents are looked for as wide as at the start of mining."""
    graph = mine_peaks(peaks, config=dataclasses.replace(CONFIG, pose_rank=0, spread_start=0.3))
    assert graph.node_pose.shape == (len(graph), 2, 0)
    check(graph, new_photos, alone=0.3 * SIDE)


def test_matching__groups_of_photos_are_put_together(graph, new_photos):
    groups = [new_photos.take(rows).peaks for rows in (slice(0, 1), slice(1, 4), slice(4, 5))]
    together, apart = find_nodes(graph, [new_photos.peaks]), find_nodes(graph, groups)
    for one, other in zip(together, apart, strict=True):
        assert np.array_equal(one, other)


def test_matching__more_photos_than_one_group(graph, new_photos):
    """Both ways: each photo is matched as it is among few."""
    rows = np.arange(GROUP + 44) % len(new_photos)
    few = match_peaks(graph, both_ways(new_photos))
    many = match_peaks(graph, both_ways(new_photos).take(rows))
    assert 0 < few.mirrored.sum() < len(few.mirrored)
    for name in ("yx", "score", "log_density", "peak", "mirrored"):
        assert np.array_equal(getattr(many, name), getattr(few, name)[rows])


def test_places__are_those_of_all_layers_in_the_graphs_order(graph, new_photos):
    found = find_nodes(graph, [new_photos.peaks])
    yx, score = find_places(graph, new_photos.peaks)
    assert np.array_equal(yx, found.yx)
    assert np.array_equal(score, found.score)


def test_matching__the_map_to_poses_must_be_of_the_top_layer(graph, new_photos):
    other = dataclasses.replace(graph, pose_weight=graph.pose_weight[1:])
    with pytest.raises(ExplGraphError, match=r"PoseMap.weight must have shape \(48, any\)"):
        match_peaks(other, new_photos)


def test_walk__goes_down_and_yields_what_each_layer_was_found_with(graph, new_photos):
    """The third photo has no peaks in the lowest layer."""
    here = (np.arange(5) != 2)[:, None, None]
    lowest = new_photos.peaks[0]
    lowest = Peaks(lowest.layer, lowest.yx * here[..., None], lowest.weight * here)
    layers = (lowest, *new_photos.peaks[1:])
    found = find_nodes(graph, [layers])
    walk = list(walk_layers(graph, layers))
    assert [step.layer for step in walk] == [2, 1, 0]
    for step in walk:
        peaks = layers[step.layer]
        assert np.array_equal(step.rows, np.flatnonzero(graph.node_layer == step.layer))
        assert np.array_equal(step.columns.yx, peaks.yx.transpose(1, 3, 2, 0))
        assert np.array_equal(step.columns.weight, peaks.weight.transpose(1, 2, 0))
        assert np.array_equal(step.mixture.channel, graph.node_channel[step.rows])
        assert np.array_equal(step.mixture.mu.astype(np.float32), graph.mu[step.rows])
        assert np.array_equal(step.yx, found.yx[step.rows])
        assert np.array_equal(step.inference.score, found.score[step.rows])
        # A node without a peak is where the prior says.
        expected = step.mixture.mu[..., None] + step.prior.shift
        alone = np.broadcast_to(step.inference.peak[:, None] < 0, expected.shape)
        assert alone[..., 2].all() == (step.layer == 0)
        np.testing.assert_allclose(step.yx[alone], expected[alone], rtol=1e-5)
    # The top layer's prior is that of the poses, whose spread is wide; the parents' is narrow.
    np.testing.assert_allclose(walk[0].prior.half_precision, 0.5 / (0.2 * SIDE) ** 2, rtol=1e-6)
    np.testing.assert_allclose(walk[-1].prior.half_precision, 0.5 / (0.08 * SIDE) ** 2, rtol=1e-6)
    pose = oracle.poses(graph, new_photos.peaks[-1])
    expected = np.einsum("paq,nq->pan", graph.node_pose[walk[0].rows], pose)
    assert np.abs(expected).max() > 5
    np.testing.assert_allclose(walk[0].prior.shift, expected, rtol=1e-4, atol=1e-3)


def test_matching__photos_one_by_one_gives_the_same(graph, new_photos):
    together = match_peaks(graph, new_photos)
    for i in range(len(new_photos)):
        alone = match_peaks(graph, new_photos.take(np.array([i])))
        assert np.array_equal(alone.yx[0], together.yx[i])
        assert np.array_equal(alone.score[0], together.score[i])


def test_matching__the_gain_of_a_photo_does_not_depend_on_the_others(rng):
    """Sums of many filters: NumPy adds up a single photo in another order than one of many."""
    values = (10 ** rng.uniform(-14, 0, (64, 8, 7))).astype(np.float32)
    together = _sum_by_photo(values)
    np.testing.assert_allclose(together, values.sum(axis=(0, 1), dtype=np.float64), rtol=1e-14)
    for i in range(7):
        assert _sum_by_photo(values[..., [i]])[0] == together[i]
    assert _sum_by_photo(values[..., :0]).shape == (0,)


def test_matching__permuted_photos_are_permuted_matches(graph, new_photos, rng):
    order = rng.permutation(len(new_photos))
    found = match_peaks(graph, new_photos.take(order))
    expected = match_peaks(graph, new_photos).take(order)
    assert found.images == expected.images
    for name in ("yx", "score", "log_density", "mirrored"):
        assert np.array_equal(getattr(found, name), getattr(expected, name))


def test_matching__reports_places_in_the_photo(graph, new_photos):
    frames = np.tile([[0.25, 0.5 / SIDE], [-0.1, 1.2 / SIDE]], (len(new_photos), 1, 1))
    there = match_peaks(graph, dataclasses.replace(new_photos, frames=frames))
    here = match_peaks(graph, new_photos)
    expected = np.array([0.25, -0.1]) + np.array([0.5, 1.2]) * here.yx
    np.testing.assert_allclose(there.yx, expected, atol=1e-6)


def test_matching__records_where_it_came_from(graph, new_photos):
    found = match_peaks(graph, new_photos)
    assert found.images == new_photos.images
    assert np.array_equal(found.node_layer, graph.node_layer)
    assert found.header["weight_hash"] == graph.header["weight_hash"]
    assert found.header["graph_hash"] == match_peaks(graph, new_photos).header["graph_hash"]
    other = match_peaks(graph.best(2), new_photos)
    assert other.header["graph_hash"] != found.header["graph_hash"]


# -- mirror images ---------------------------------------------------------------------------------


def both_ways(peaks):
    return dataclasses.replace(peaks, mirrored=tuple(mirror_image(p) for p in peaks.peaks))


def test_mirrored_photo__is_recognised_and_reported_in_the_photo(graph, peaks):
    given = both_ways(peaks)
    turned = dataclasses.replace(given, peaks=given.mirrored, mirrored=given.peaks)
    plain, found = match_peaks(graph, given), match_peaks(graph, turned)
    assert np.array_equal(found.mirrored, 1 - plain.mirrored)
    assert np.mean(plain.mirrored) < 0.2  # they were mined as given
    np.testing.assert_allclose(found.canonical_yx, plain.canonical_yx, atol=1e-6)
    np.testing.assert_allclose(found.yx[..., 1], 1 - plain.yx[..., 1], atol=1e-6)
    assert np.array_equal(found.yx[..., 0], plain.yx[..., 0])
    assert np.array_equal(found.score, plain.score)
    assert np.array_equal(found.log_density, plain.log_density)


def voting(graph, peaks):
    """A graph that says of every other photo that it is mirrored."""
    wanted = (-1.0) ** np.arange(len(peaks))
    weight = np.linalg.pinv(mirror_moments(peaks)) @ wanted
    return dataclasses.replace(graph, facing=weight.astype(np.float32)), wanted


@pytest.mark.parametrize("votes", [False, True])
def test_mirrored_photo__votes_decide_or_else_the_larger_gain(graph, new_photos, votes):
    peaks = both_ways(new_photos)
    given, other = (find_nodes(graph, [way]) for way in (peaks.peaks, peaks.mirrored))
    odds = 14 * (given.gain - other.gain)
    graph = dataclasses.replace(graph, facing=None)
    if votes:
        graph, wanted = voting(graph, peaks)
        assert np.any((wanted < 0) != (odds < 0))
        odds = 7 * wanted
    found = match_peaks(graph, peaks)
    np.testing.assert_allclose(found.facing, odds, atol=1e-3)
    assert np.array_equal(found.mirrored, odds < 0)
    assert 0 < found.mirrored.sum() < len(peaks)
    for i, flipped in enumerate(found.mirrored):
        assert np.array_equal(found.score[i], (other if flipped else given).score[:, i])


def test_mirrored_photo__is_found_the_same_with_both_views(graph, new_photos):
    peaks = both_ways(new_photos)
    layer = peaks.layers[look_layer(peaks.layers)]
    maps = np.zeros((len(peaks), 2, *layer.grid, layer.channels), dtype=np.float16)
    graph, _ = voting(graph, peaks)
    alone = match_peaks(graph, peaks)
    both = match_peaks(graph, dataclasses.replace(peaks, maps=maps), views=True)
    for name in ("yx", "score", "log_density", "peak", "mirrored", "facing", "peak_yx"):
        assert np.array_equal(getattr(both, name), getattr(alone, name)), name
    assert both.views.gain.shape == (len(peaks), 2)


def test_mirrored_photo__in_a_tie_it_is_taken_as_given(graph, new_photos):
    same = dataclasses.replace(new_photos, mirrored=new_photos.peaks)
    assert not match_peaks(graph, same).mirrored.any()


# -- what may be missing ---------------------------------------------------------------------------


def test_photo_without_peaks__has_score_0_and_finite_places(graph, new_photos):
    blank = tuple(
        Peaks(p.layer, np.zeros_like(p.yx), np.zeros_like(p.weight)) for p in new_photos.peaks
    )
    found = match_peaks(graph, both_ways(dataclasses.replace(new_photos, peaks=blank)))
    assert not found.score.any()
    assert not found.mirrored.any()
    assert np.isfinite(found.log_density).all()
    expected = np.broadcast_to(graph.mu / SIDE, found.yx.shape)
    np.testing.assert_allclose(found.yx, expected, atol=1e-6)


def test_node_without_a_peak__is_where_its_parents_expect_it(graph, new_photos):
    lowest = new_photos.peaks[0]
    blank = Peaks(lowest.layer, np.zeros_like(lowest.yx), np.zeros_like(lowest.weight))
    peaks = dataclasses.replace(new_photos, peaks=(blank, *new_photos.peaks[1:]))
    found = check(graph, peaks)
    rows = np.flatnonzero(graph.node_layer == 0)
    assert not found.score[rows].any()
    for v in rows[:5]:
        ups = graph.parents(v)
        moved = found.yx[ups] - graph.mu[ups][..., None]
        expected = graph.mu[v][:, None] + moved.mean(axis=0)
        np.testing.assert_allclose(found.yx[v], expected, atol=1e-3)


def test_subgraph__is_matched_and_orphans_are_on_their_own(graph, new_photos):
    """Some nodes lose all of their parents, some a few of them."""
    part = graph.select(np.setdiff1d(np.arange(len(graph)), graph.parents(4)))
    left = np.bincount(part.edge_child, minlength=len(part))[part.node_layer == 0]
    assert left[4] == 0
    assert 0 < left.max() <= CONFIG.n_parents
    check(part, new_photos)


@pytest.mark.parametrize("layers", [[0], [1], [2], [0, 2], [0, 1], [1, 2]])
def test_subgraph__of_some_layers_is_matched(graph, new_photos, layers):
    check(graph.select(np.isin(graph.node_layer, layers)), new_photos)


def test_subgraph__best_and_family_are_matched(graph, new_photos):
    check(graph.best(3), new_photos)
    node = int(np.flatnonzero(graph.node_layer == 1)[0])
    family = graph.family(node)
    assert 1 < len(family) < len(graph)
    check(family, new_photos)


def test_subgraph__without_nodes_has_no_matches(graph, new_photos):
    found = match_peaks(graph.select([]), new_photos)
    assert found.yx.shape == (len(new_photos), 0, 2)


def test_top_layer__alone_scores_as_in_the_whole_graph(graph, new_photos):
    top = graph.node_layer == 2
    whole, part = match_peaks(graph, new_photos), match_peaks(graph.select(top), new_photos)
    assert np.array_equal(part.score, whole.score[:, top])


# -- bad input -------------------------------------------------------------------------------------


def test_peaks_of_other_layers__are_refused(graph, new_photos):
    two = dataclasses.replace(
        new_photos,
        peaks=new_photos.peaks[1:],
        channel_mean=new_photos.channel_mean[1:],
        channel_scale=new_photos.channel_scale[1:],
    )
    with pytest.raises(ExplGraphError, match=r"the peaks are of layers \['layer1', 'layer2'\]"):
        match_peaks(graph, two)


def test_peaks_of_another_input_size__are_refused(graph, new_photos):
    other = dataclasses.replace(new_photos, input_size=(SIDE, 2 * SIDE))
    with pytest.raises(ExplGraphError, match=r"at \(128, 256\), the graph has"):
        match_peaks(graph, other)


def test_peaks_of_other_channels__are_refused(graph):
    other = planted_peaks(n_images=3, strides=(8, 8, 16), channels=4).peaks
    with pytest.raises(ExplGraphError, match="the peaks are of layers"):
        match_peaks(graph, other)


def test_peak_set__of_no_photos_gives_no_matches(graph, new_photos):
    none = new_photos.take(np.zeros(0, dtype=int))
    assert match_peaks(graph, none).yx.shape == (0, len(graph), 2)


def test_peak_set__may_be_built_by_hand(graph, new_photos):
    """Only the layers matter, not the channels' statistics or the header."""
    by_hand = peak_set(new_photos.peaks, mirror=False, header={"model": "other"})
    assert np.array_equal(match_peaks(graph, by_hand).score, match_peaks(graph, new_photos).score)
