"""What is said of a graph's nodes and edges, against loops over photos and over the definitions."""

import dataclasses

import numba
import numpy as np
import pytest

from explgraph.peaks.structures import GROUP, Peaks
from mining import MiningConfig, mine_peaks
from mining.align import facing
from mining.described import described
from mining.engine import oriented_groups
from mining.matching import find_places
from tests.support import oracle
from tests.support.planted_peaks import SIDE, planted_peaks
from tests.support.spooling import spool_by_hand

CONFIG = MiningConfig(n_parents=4, density_top=0.1, density=0.05, spread_start=0.15)
NAMES = ("support", "edge_displacement", "edge_spread", "edge_correlation")


@pytest.fixture(scope="module")
def peaks():
    """More photos than one group, mirrored as well."""
    return planted_peaks(n_images=GROUP + 44, strides=(8, 16), channels=2, seed=3).peaks


@pytest.fixture(scope="module")
def graph(peaks):
    return mine_peaks(peaks, config=CONFIG)


@pytest.fixture(scope="module")
def seen(peaks):
    """Each group of photos, the way that mining saw them."""
    return list(oriented_groups(peaks, facing(peaks).signs < 0))


def joined(groups):
    """All photos of the groups as one."""
    return tuple(
        Peaks(
            parts[0].layer,
            np.concatenate([p.yx for p in parts]),
            np.concatenate([p.weight for p in parts]),
        )
        for parts in zip(*groups, strict=True)
    )


def check(found, graph, groups):
    """All that is filled in equals the loops', places being those of the loops' matching."""
    whole = joined(groups)
    alone, spread = CONFIG.spread_top * SIDE, CONFIG.spread * SIDE
    yx, score, _, _ = oracle.find_nodes(graph, whole, alone, spread, CONFIG.pull)
    fires = (score > 0) & (score >= graph.score[:, None] / 2)
    # A score at the very edge of firing may be taken either way.
    sure = np.abs(score / graph.score[:, None] - 0.5).min(axis=1) > 1e-4
    assert sure.mean() > 0.8
    np.testing.assert_allclose(found.support[sure], fires[sure].mean(axis=1), rtol=1e-6)
    for e, (c, p) in enumerate(zip(graph.edge_child, graph.edge_parent, strict=True)):
        mean, deviation = oracle.relation(yx[c], yx[p], score[c], score[p])
        np.testing.assert_allclose(found.edge_displacement[e], mean, rtol=1e-4, atol=1e-3)
        np.testing.assert_allclose(found.edge_spread[e], deviation, rtol=1e-4, atol=1e-3)
        expected = oracle.score_correlation(score, c, p)
        np.testing.assert_allclose(found.edge_correlation[e], expected, rtol=1e-3, atol=1e-4)


def test_mined_graph__is_described_from_the_photos_as_mining_saw_them(graph, seen):
    assert len(seen) == 2
    assert len(graph.edge_child) >= 8
    check(graph, graph, seen)
    again = described(graph, iter(seen))
    for name in NAMES:
        assert np.array_equal(getattr(again, name), getattr(graph, name))


def test_scores__are_means_over_the_photos(graph, seen):
    """They come from mining; the graph's own arrays, rounded to float32, give nearly the same."""
    score = np.concatenate([find_places(graph, group)[1] for group in seen], axis=1)
    np.testing.assert_allclose(graph.score, score.mean(axis=1, dtype=float), rtol=1e-3)


def test_support__is_where_nodes_score_half_of_their_mean(graph, seen, rng):
    """Means are changed, so that half of them lies among the scores of the photos."""
    mean = (graph.score * rng.uniform(1.5, 2.5, len(graph))).astype(np.float32)
    found = described(dataclasses.replace(graph, score=mean), seen)
    score = np.concatenate([find_places(graph, group)[1] for group in seen], axis=1)
    fires = (score > 0) & (score >= mean[:, None] / 2)
    np.testing.assert_allclose(found.support, fires.mean(axis=1), rtol=1e-6)
    assert np.all((found.support > 0.1) & (found.support < 0.9))


def test_described__of_other_photos(graph, seen):
    """Seven photos of the second group, far from the mean of all."""
    few = tuple(p.take(slice(5, 12)) for p in seen[1])
    found = described(graph, [few])
    check(found, graph, [few])
    assert not np.allclose(found.edge_displacement, graph.edge_displacement, atol=0.1)


def test_described__does_not_depend_on_the_groups(graph, seen):
    whole = joined(seen)
    cuts = (slice(0, 1), slice(1, 120), slice(120, None))
    found = described(graph, [tuple(p.take(cut) for p in whole) for cut in cuts])
    for name in NAMES:
        np.testing.assert_allclose(getattr(found, name), getattr(graph, name), rtol=1e-5)


def test_described__changes_nothing_else(graph, seen):
    found = described(graph, seen[:1])
    for field in dataclasses.fields(graph):
        ours, theirs = getattr(found, field.name), getattr(graph, field.name)
        if field.name not in NAMES:
            assert ours is theirs or np.array_equal(ours, theirs)


def test_edge__whose_ends_never_meet_counts_all_photos_alike(graph, seen):
    """The upper filters fire in the first half of the photos, the lower ones in the second."""
    few = [p.take(slice(0, 20)) for p in seen[0]]
    layers = []
    for peaks, here in zip(few, (np.arange(20) >= 10, np.arange(20) < 10), strict=True):
        rows = here[:, None, None]
        layers.append(Peaks(peaks.layer, peaks.yx * rows[..., None], peaks.weight * rows))
    found = described(graph, [tuple(layers)])
    yx, score = find_places(graph, tuple(layers))
    child, parent = graph.edge_child, graph.edge_parent
    assert not np.any(score[child] * score[parent])
    offset = (yx[child] - yx[parent]).astype(float)
    np.testing.assert_allclose(found.edge_displacement, offset.mean(axis=2), rtol=1e-4, atol=1e-4)
    deviation = np.sqrt(offset.var(axis=2).sum(axis=1) / 2)
    np.testing.assert_allclose(found.edge_spread, deviation, rtol=1e-4, atol=1e-3)
    assert (found.edge_correlation < 0).all()  # where the one is, the other is not


def test_edge__of_a_node_that_fires_nowhere_has_no_correlation(graph, seen):
    blank = tuple(Peaks(p.layer, 0 * p.yx, 0 * p.weight) for p in seen[1])
    found = described(graph, [blank])
    assert not found.support.any()
    assert not found.edge_correlation.any()
    for name in NAMES:
        assert np.isfinite(getattr(found, name)).all()


def test_graph__without_edges_is_described(graph, seen):
    top = graph.select(graph.node_layer == 1)
    found = described(top, seen)
    assert len(found.edge_child) == 0
    # The nodes of the top layer have no parents: they are found as in the whole graph.
    assert np.array_equal(found.support, graph.support[graph.node_layer == 1])


def test_described__is_the_same_bytes_for_any_number_of_threads(graph, seen, monkeypatch):
    """With a few edges for each task."""
    monkeypatch.setattr("mining.described._EDGES", 3)
    before, found = numba.get_num_threads(), []
    for threads in (1, 2):
        numba.set_num_threads(min(threads, numba.config.NUMBA_NUM_THREADS))
        try:
            found.append(described(graph, seen))
        finally:
            numba.set_num_threads(before)
    for name in NAMES:
        for ours in found:
            assert np.array_equal(getattr(ours, name), getattr(graph, name))


def test_described__from_a_spool_is_the_same_bytes(graph, peaks, tmp_path, rng):
    """Whichever photos are taken mirrored."""
    mirrored = rng.integers(0, 2, len(peaks)).astype(np.uint8)
    spooled = spool_by_hand(peaks, tmp_path / "spool", [10, 200, 90])
    there, here = (described(graph, oriented_groups(p, mirrored)) for p in (spooled, peaks))
    for name in NAMES:
        assert np.array_equal(getattr(there, name), getattr(here, name))
        assert not np.array_equal(getattr(here, name), getattr(graph, name))


def test_groups__are_turned_as_the_whole_is(peaks, rng):
    mirrored = rng.integers(0, 2, len(peaks)).astype(np.uint8)
    groups = list(oriented_groups(peaks, mirrored))
    assert [len(group[0]) for group in groups] == [GROUP, 44]
    for ours, theirs in zip(joined(groups), peaks.oriented(mirrored), strict=True):
        assert np.array_equal(ours.yx, theirs.yx)
        assert np.array_equal(ours.weight, theirs.weight)
    for i in (3, GROUP + 5):
        way = (peaks.mirrored if mirrored[i] else peaks.peaks)[0]
        assert np.array_equal(joined(groups)[0].yx[i], way.yx[i])
