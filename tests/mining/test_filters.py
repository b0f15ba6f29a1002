"""Some filters by themselves, and what predicts their nodes: every step against loops."""

import dataclasses

import numpy as np
import pytest

from explgraph.peaks.structures import Peaks
from mining import MiningConfig, cpu, engine
from mining.cpu import CpuKernels
from mining.em import Mixture, PeakColumns, fit
from mining.filters import Filters, by_gain
from mining.guides import Block, Guide, Placed
from mining.parents import Companions
from mining.work.steps import Upper
from tests.support import oracle
from tests.support.planted_peaks import SIDE, layer_spec, random_peaks

AREA = float(SIDE * SIDE)
VARIANCE = 400.0
CONFIG = MiningConfig(n_parents=2, merge=0.1, pull=0.4, max_iter=3, tol=0)


# -- what predicts nodes ---------------------------------------------------------------------------


def plain_guide(n_nodes, n, variance):
    """No poses, no parents."""
    nowhere, still = np.zeros((n, 0), np.float32), np.zeros((n_nodes, 2, 0), np.float32)
    return Guide(variance, nowhere, still, np.zeros((n_nodes, 0), np.int32))


def test_guide__without_poses_and_parents_says_nothing():
    prior = plain_guide(5, 3, 50.0).prior
    assert prior.shift.shape == (5, 2, 3)
    assert not prior.shift.any()
    assert prior.half_precision.tolist() == [np.float32(0.01)] * 5


@pytest.fixture
def guide(rng):
    """Four nodes in six photos, their poses, and their parents among five nodes above."""
    displacement = rng.normal(0, 9, (5, 2, 6)).astype(np.float32)
    return Guide(
        200.0,
        rng.normal(0, 1, (6, 2)).astype(np.float32),
        rng.normal(0, 5, (4, 2, 2)).astype(np.float32),
        np.array([[0, 1, 3], [1, 2, 4], [0, 3, 4], [2, 3, 4]], dtype=np.int32),
        Placed(displacement, np.ones((5, 6), dtype=np.float32)),
    )


def test_guide__with_poses_moves_nodes_by_them(guide):
    posed = dataclasses.replace(guide, parent=guide.parent[:, :0], above=None)
    prior = posed.prior
    expected = np.einsum("paq,nq->pan", guide.node_pose, guide.pose)
    np.testing.assert_allclose(prior.shift, expected, rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(prior.half_precision, 1 / 400)
    assert np.all(prior.kappa == 1)


def test_guide__with_parents_moves_nodes_by_them_alone(guide):
    moved = guide.above.displacement
    expected = oracle.predict([0, 3, 6, 9, 12], guide.parent.ravel(), moved, 200.0)
    for found, loops in zip(guide.prior, expected, strict=True):
        np.testing.assert_allclose(found, loops, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("nodes", [np.array([0, 3]), slice(1, 3)])
def test_guide__take_selects_nodes(guide, nodes):
    for part, every in zip(guide.take(nodes).prior, guide.prior, strict=True):
        assert np.array_equal(part, every[nodes])


def test_block__of_some_filters_is_joined_again(guide):
    start = np.array([0, 1, 1, 3, 4])
    mu, weight = np.arange(8.0).reshape(4, 2), np.array([1, 0.4, 0.6, 1])
    block = Block(Mixture(start, mu, weight, np.full(4, 0.2)), guide)
    parts = [block.filters(0, 1), block.filters(1, 3), block.filters(3, 4)]
    assert [len(part.mixture) for part in parts] == [1, 2, 1]
    assert np.array_equal(parts[1].guide.parent, guide.parent[1:3])
    joined = Block.joined(parts)
    for ours, theirs in zip(joined.mixture.nodes, block.mixture.nodes, strict=True):
        assert np.array_equal(ours, theirs)
    for ours, theirs in zip(joined.guide.prior, guide.prior, strict=True):
        assert np.array_equal(ours, theirs)


# -- steps of some filters -------------------------------------------------------------------------


@pytest.fixture
def peaks(rng):
    return random_peaks(rng, 12, channels=3)


@pytest.fixture
def filters(peaks, rng):
    """Two, three and no nodes in the three filters, at first the fourth to eighth of the layer."""
    start, weight = np.array([0, 2, 5, 5]), np.array([0.6, 0.4, 0.5, 0.3, 0.2])
    mixture = Mixture(start, rng.uniform(30, 98, (5, 2)), weight, np.full(3, 0.3))
    block = Block(mixture, plain_guide(5, 12, VARIANCE))
    kernels = CpuKernels(PeakColumns.of(peaks), AREA)
    return Filters(kernels, block, slice(3, 8), (SIDE, SIDE), CONFIG)


def upper_nodes(rng, count=4, n=12):
    displacement = rng.normal(0, 9, (count, 2, n)).astype(np.float32)
    return Placed(displacement, rng.gamma(1.0, 1.0, (count, n)).astype(np.float32))


def test_settle__takes_the_nodes_on(peaks, filters):
    before = filters.block
    expected, prior = before.mixture, before.guide.prior
    history = [oracle.objective(peaks, expected, prior, AREA)]
    for _ in range(3):
        step = oracle.m_step(peaks, expected, prior, AREA)
        expected = Mixture(expected.start, step["mu"], step["weight"], step["noise"])
        history.append(oracle.objective(peaks, expected, prior, AREA))
    fitted = filters.settle()
    np.testing.assert_allclose(filters.block.mixture.mu, expected.mu, rtol=1e-4)
    np.testing.assert_allclose(filters.block.mixture.weight, expected.weight, rtol=1e-4)
    np.testing.assert_allclose(filters.objective, [history], rtol=1e-5)
    assert fitted.mixture is filters.block.mixture
    assert filters.block.guide is before.guide
    assert not np.array_equal(before.mixture.mu, filters.block.mixture.mu)  # those are left alone


def test_settle__every_block_is_recorded(filters):
    filters.settle(closing=False)
    filters.settle()
    assert [len(trace) for trace in filters.objective] == [4, 4]
    assert filters.objective[0][-1] == filters.objective[0][-2]
    assert filters.objective[1][0] > filters.objective[0][-1]


def found_by_loops(peaks, filters, pull):
    """(P, 2, N) displacements, where they are sure, and (P, N) scores."""
    mixture, guide = filters.block
    yx, score, _, _ = oracle.infer(peaks, mixture, guide.prior, AREA)
    predicted = mixture.mu[..., None] + guide.prior.shift
    moved = (1 - pull) * predicted + pull * yx - mixture.mu[..., None]
    return moved, np.broadcast_to(score[:, None] > 1e-6, yx.shape), score


@pytest.mark.parametrize("nodes", [[0, 1, 2, 3, 4], [1, 4], []])
def test_place__some_nodes_part_of_the_way_to_the_peak(peaks, filters, nodes):
    moved, sure, score = found_by_loops(peaks, filters, CONFIG.pull)
    placed = filters.place(np.array(nodes, dtype=np.int64))
    assert placed.score.shape == (len(nodes), 12)
    sure = sure[nodes]
    np.testing.assert_allclose(placed.displacement[sure], moved[nodes][sure], atol=1e-4)
    np.testing.assert_allclose(placed.score, score[nodes], rtol=1e-5, atol=1e-6)


def test_score__is_the_mean_over_photos(peaks, filters):
    _, _, score = found_by_loops(peaks, filters, 1)
    np.testing.assert_allclose(filters.score(), score.mean(axis=1), rtol=1e-5, atol=1e-6)


def test_regress__is_of_the_peaks_themselves(peaks, filters, rng):
    """Not of places part of the way to them."""
    code = rng.normal(0, 1, (12, 2))
    moved, _, score = found_by_loops(peaks, filters, 1)
    found = filters.regress(code)
    for v in range(5):
        expected = oracle.ridge(code, moved[v], score[v], CONFIG.pose_penalty)
        np.testing.assert_allclose(found.move[v], expected[:-1], rtol=1e-4, atol=1e-4)
        np.testing.assert_allclose(found.constant[v], expected[-1], rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(found.share, score.mean(axis=1), rtol=1e-5)


def test_link__chooses_parents_that_move_alike(peaks, filters, rng):
    above = upper_nodes(rng)
    before = filters.place(np.arange(5))
    filters.link(above, Companions.of(*above), 150.0)
    cost = oracle.disagreement(*before, *above)
    expected = np.sort(np.argsort(cost, axis=1)[:, :2], axis=1)
    guide = filters.block.guide
    assert np.array_equal(guide.parent, expected)
    prior = oracle.predict(np.arange(6) * 2, expected.ravel(), above.displacement, 150.0)
    for ours, loops in zip(guide.prior, prior, strict=True):
        np.testing.assert_allclose(ours, loops, rtol=1e-5, atol=1e-5)
    _, _, score = found_by_loops(peaks, filters, 1)
    np.testing.assert_allclose(filters.score(), score.mean(axis=1), rtol=1e-5, atol=1e-6)


def test_merge__takes_the_guide_along(filters):
    """12.8 px: the last of the second filter's nodes joins its first."""
    mixture, guide = filters.block
    mu = np.array([[20.0, 20], [90, 90], [50, 50], [80, 50], [50, 62]])
    rows = np.arange(5, dtype=np.int32)[:, None]
    filters.block = Block(
        dataclasses.replace(mixture, mu=mu), dataclasses.replace(guide, parent=rows)
    )
    filters.merge()
    assert filters.block.mixture.start.tolist() == [0, 2, 4, 4]
    assert filters.block.guide.parent.ravel().tolist() == [0, 1, 2, 3]
    np.testing.assert_allclose(filters.block.mixture.weight, [0.6, 0.4, 0.7, 0.3])


def test_gain__is_the_held_out_one(peaks, filters):
    fitted = filters.settle()
    expected = oracle.held_out_gain(peaks, fitted.mixture, filters.block.guide.prior, AREA)
    np.testing.assert_allclose(filters.gain(fitted), expected, rtol=2e-5, atol=2e-5)


SURE, BETWEEN, NOWHERE = (120.0, 64.0), (64.0, 64.0), (1e4, 1e4)


def test_prune__keeps_what_gains_and_a_filters_best():
    """Two photos; S is 20 px. A node with a peak on it in both gains.

    One between two peaks 80 px apart, one in either photo, loses: each is no guide to the other. In
    the second filter all lose, so that the best of them stays; in the third, one that explains
    nothing is not even the best.
    """
    yx, weight = np.zeros((2, 3, 2, 2)), np.ones((2, 3, 2))
    yx[:, :, 0] = np.array([[64, 24], [64, 104]])[:, None]
    yx[:, 0, 1], weight[:, 1:, 1] = SURE, 0
    mu = np.array([BETWEEN, SURE, BETWEEN, (64, 70), NOWHERE, BETWEEN])
    mixture = Mixture(np.array([0, 2, 4, 6]), mu, np.full(6, 0.5), np.full(3, 0.3))
    block = Block(mixture, plain_guide(6, 2, VARIANCE))
    columns = PeakColumns.of(Peaks(layer_spec(0, 16, 3), yx, weight))
    filters = Filters(CpuKernels(columns, AREA), block, slice(0, 6), (SIDE, SIDE), CONFIG)
    fitted = fit(columns, mixture, block.guide.prior, AREA, max_iter=0, tol=0)
    gain = filters.gain(fitted)
    assert np.sign(gain).tolist() == [-1, 1, -1, -1, 0, -1]
    filters.prune(fitted)
    kept = filters.block.mixture
    best = 2 + int(np.argmax(gain[2:4]))
    assert np.array_equal(kept.mu, mu[[1, best, 5]])
    assert kept.start.tolist() == [0, 1, 2, 3]
    assert np.all(kept.weight == 1)
    assert filters.block.guide.prior.shift.shape == (3, 2, 2)


def test_order__is_by_filter_and_falling_gain():
    mixture = Mixture(np.array([0, 3, 3, 5]), np.zeros((5, 2)), np.ones(5), np.ones(3))
    assert by_gain(mixture, np.array([1.0, 3, 3, -1, 2])).tolist() == [1, 2, 0, 4, 3]


# -- some photos at a time, and some of many -------------------------------------------------------


@pytest.fixture
def linked(filters, rng):
    """The same filters with parents, and nodes above among which there are others."""
    above = upper_nodes(rng)
    filters.link(above, Companions.of(*above), 150.0)
    assert 0 < len(np.unique(filters.block.guide.parent)) < len(above.score)
    return filters


def test_guide__of_some_photos_predicts_the_same_there(linked, filters):
    guide, photos = linked.block.guide, np.array([1, 4, 5, 10])
    posed = dataclasses.replace(guide, parent=guide.parent[:, :0], above=None)
    for own in (guide, posed):
        part, whole = own.photos(photos).prior, own.prior
        assert np.array_equal(part.shift, whole.shift[..., photos])
        assert np.array_equal(part.kappa, whole.kappa[:, photos])


def test_nodes__are_found_the_same_in_some_photos_at_a_time(linked, monkeypatch):
    nodes = np.array([0, 2, 3])
    whole, score = linked.place(nodes), linked.score()
    monkeypatch.setattr(cpu, "_AT_ONCE", 5)
    for part, every in zip(linked.place(nodes), whole, strict=True):
        assert part.tobytes() == every.tobytes()
    np.testing.assert_allclose(linked.score(), score, rtol=1e-12)


def test_enough__parents_and_regressions_are_those_of_some_photos(linked, peaks, rng, monkeypatch):
    """What the others show does not matter to these."""
    monkeypatch.setattr(engine, "ENOUGH", 6)
    photos = engine.enough(12)
    assert photos.tolist() == [0, 2, 4, 6, 8, 11]
    code, above = rng.normal(0, 1, (12, 2)), upper_nodes(rng)
    own, few = linked.block.guide, linked.kernels.peaks.some(photos)
    alone = dataclasses.replace(
        linked,
        kernels=CpuKernels(few, AREA),
        block=linked.block._replace(guide=own.photos(photos)),
    )
    for ours, theirs in zip(linked.regress(code), alone.regress(code[photos]), strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-6)
    upper = Upper(above, 150.0)
    linked.link(above, upper.companions, 150.0)
    alone.link(above.photos(photos), Companions.of(*above.photos(photos)), 150.0)
    assert np.array_equal(linked.block.guide.parent, alone.block.guide.parent)
