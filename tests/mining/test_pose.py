"""Poses: the basis, the regressions and the map, against plain numpy; planted poses are found."""

import dataclasses

import numpy as np
import pytest
from threadpoolctl import threadpool_limits

from explgraph.base.errors import ExplGraphError
from explgraph.peaks.structures import GROUP, Peaks
from mining import MiningConfig, match_peaks, mine_peaks
from mining import pose as pose_module
from mining.cpu import CpuEngine
from mining.em import PeakColumns
from mining.mine import mine_layers
from mining.pose import PoseMap, Regressions, fit_poses, pose_basis, pose_shift, regress
from tests.support import oracle
from tests.support.planted_peaks import SIDE, layer_spec, peak_set, random_peaks

SIZE = (SIDE, SIDE)
CONFIG = MiningConfig(pose_rank=3, pose_terms=5, pose_penalty=2.0)


@pytest.fixture(scope="module")
def peaks():
    return random_peaks(np.random.default_rng(0), n_images=30, channels=70)  # two blocks of filters


def basis_of(peaks):
    whole = PeakColumns.of(peaks)

    def columns(first, last):
        return PeakColumns(*(array[first:last] for array in whole))

    return pose_basis(columns, peaks.layer, len(peaks), SIZE, CONFIG)


@pytest.fixture(scope="module")
def basis(peaks):
    return basis_of(peaks)


@pytest.fixture(scope="module")
def nodes():
    """Displacements and scores of two layers; the last node of a layer is never seen."""
    rng = np.random.default_rng(1)
    displacement = [rng.normal(0, 9, (p, 2, 30)).astype(np.float32) for p in (4, 7)]
    score = [rng.gamma(0.3, 1.0, (p, 30)).astype(np.float32) for p in (4, 7)]
    for layer in score:
        layer[-1] = 0
    return displacement, score


def fit(basis, displacement, score, config=CONFIG):
    layers = zip(displacement, score, strict=True)
    moves = [regress(basis.code, d, s, config.pose_penalty) for d, s in layers]
    return fit_poses(basis, moves, config)


@pytest.fixture(scope="module")
def fitted(basis, nodes):
    return fit(basis, *nodes)


def up_to_signs(ours, theirs, **tolerance):
    """Columns are equal or opposite."""
    signs = np.sign(np.sum(ours * theirs, axis=0))
    np.testing.assert_allclose(ours, theirs * signs, **tolerance)
    return signs


# -- the basis -------------------------------------------------------------------------------------


def test_basis__is_the_singular_values_of_the_pooled_peaks(peaks, basis):
    values, scale, weight = oracle.principal(oracle.pool_peaks(peaks, SIDE), 5)
    signs = up_to_signs(basis.values, values, atol=1e-5)
    np.testing.assert_allclose(basis.scale, scale, rtol=1e-5)
    np.testing.assert_allclose(basis.weight * signs, weight, atol=1e-4)
    assert np.all(np.diff(basis.scale) < 0)


def test_basis__values_have_mean_0_and_variance_1_and_are_uncorrelated(basis):
    np.testing.assert_allclose(basis.values.mean(axis=0), 0, atol=1e-10)
    np.testing.assert_allclose(np.cov(basis.values.T, bias=True), np.eye(5), atol=1e-9)
    assert np.sum(basis.scale**2) == pytest.approx(1)


def test_basis__map_gives_the_values(peaks, basis):
    rows = oracle.pool_peaks(peaks, SIDE)
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    np.testing.assert_allclose(rows @ basis.weight - basis.offset, basis.values, atol=1e-5)


@pytest.mark.parametrize("n, terms", [(4, None), (5, 1), (9, 1), (10, 2), (24, 4), (30, 5)])
def test_basis__has_a_term_for_every_five_photos(peaks, n, terms):
    found = basis_of(peaks.take(np.arange(n)))
    assert (None if found is None else len(found.scale)) == terms


def repeated(peaks, times):
    return peaks.take(np.tile(np.arange(len(peaks)), times))


def test_basis__of_photos_that_look_alike_is_none(peaks):
    assert basis_of(repeated(peaks.take(np.arange(1)), 30)) is None


def test_basis__has_no_more_terms_than_photos_differ_by(peaks):
    """Three photos, ten times each, differ along two directions."""
    assert len(basis_of(repeated(peaks.take(np.arange(3)), 10)).scale) == 2


def blanked(peaks, photos):
    weight, yx = peaks.weight.copy(), peaks.yx.copy()
    weight[photos], yx[photos] = 0, 0
    return Peaks(peaks.layer, yx, weight)


def test_basis__photos_without_peaks_are_left_out(peaks):
    """They are no direction of their own, and have the mean pose."""
    blank = np.isin(np.arange(30), [3, 17, 18, 25, 29])
    whole = basis_of(blanked(peaks, blank))
    alone = basis_of(peaks.take(~blank))
    assert not whole.values[blank].any()
    up_to_signs(whole.values[~blank], alone.values * np.sqrt(30 / 25), atol=1e-6)
    np.testing.assert_allclose(whole.scale, alone.scale, rtol=1e-9)
    np.testing.assert_allclose(np.mean(whole.values**2, axis=0), 1, rtol=1e-9)


def test_basis__of_no_peaks_is_none(peaks):
    assert basis_of(blanked(peaks, np.arange(30))) is None


# -- more photos than are looked at ----------------------------------------------------------------


@pytest.fixture
def looked_at(monkeypatch):
    """Ten of 30 photos, at even distances, are looked for components in."""
    monkeypatch.setattr(pose_module, "MOST_PHOTOS", 10)
    return np.array([0, 3, 6, 9, 12, 16, 19, 22, 25, 29])


def test_sample__is_spread_evenly(peaks, looked_at):
    """The other photos could be any: the components are those of the ten."""
    found = basis_of(peaks)
    others = np.setdiff1d(np.arange(30), looked_at)
    exchanged = peaks.take(np.arange(30))
    yx, weight = exchanged.yx.copy(), exchanged.weight.copy()
    yx[others], weight[others] = yx[others[::-1]], weight[others[::-1]]
    again = basis_of(Peaks(peaks.layer, yx, weight))
    assert np.array_equal(found.weight, again.weight)
    assert np.array_equal(found.values[looked_at], again.values[looked_at])
    assert not np.array_equal(found.values[others], again.values[others])


def test_sample__gives_the_components_and_all_photos_are_seen_by_them(peaks, looked_at):
    found, alone = basis_of(peaks), basis_of(peaks.take(looked_at))
    assert len(found.scale) == 2  # one for every five photos that were looked at
    for name in ("scale", "weight", "offset"):
        assert np.array_equal(getattr(found, name), getattr(alone, name))
    np.testing.assert_allclose(found.values[looked_at], alone.values, atol=1e-6)
    rows = oracle.pool_peaks(peaks, SIDE)
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    np.testing.assert_allclose(found.values, rows @ alone.weight - alone.offset, atol=1e-5)


def test_sample__photos_without_peaks_have_the_mean_pose(peaks, looked_at):
    blank = [6, 7]  # one that is looked at and one that is not
    found = basis_of(blanked(peaks, blank))
    assert not found.values[blank].any()
    assert np.delete(found.values, blank, axis=0).all()


def test_sample__of_photos_that_look_alike_is_none(peaks, looked_at):
    """Even if the others do not: there is nothing to see them by."""
    yx, weight = peaks.yx.copy(), peaks.weight.copy()
    yx[looked_at], weight[looked_at] = yx[0], weight[0]
    assert basis_of(Peaks(peaks.layer, yx, weight)) is None


def test_sample__the_map_gives_the_mining_photos_poses(peaks, nodes, looked_at):
    fitted = fit(basis_of(peaks), *nodes)
    assert fitted.pose.shape == (30, 2)
    np.testing.assert_allclose(fitted.map(peaks, SIZE), fitted.pose, atol=1e-4)


def test_sample__many_photos_are_seen_group_by_group(monkeypatch):
    monkeypatch.setattr(pose_module, "MOST_PHOTOS", 20)
    peaks = random_peaks(np.random.default_rng(3), GROUP + 44, channels=6)
    found = basis_of(peaks)
    rows = oracle.pool_peaks(peaks, SIDE)
    length = np.linalg.norm(rows, axis=1, keepdims=True)
    expected = rows / np.maximum(length, 1e-9) @ found.weight - found.offset
    np.testing.assert_allclose(found.values, np.where(length > 0, expected, 0), atol=1e-5)


def test_basis__is_the_same_bytes_for_any_number_of_blas_threads(monkeypatch):
    """Whether all photos are looked at or some."""
    peaks = random_peaks(np.random.default_rng(3), 2 * GROUP, channels=70)
    for most in (2 * GROUP, 100):
        monkeypatch.setattr(pose_module, "MOST_PHOTOS", most)
        found = []
        for threads in (1, 4):
            with threadpool_limits(threads):
                found.append(basis_of(peaks))
        for one, four in zip(*found, strict=True):
            assert np.array_equal(one, four)


# -- the regressions -------------------------------------------------------------------------------


def regressions(basis, nodes, penalty=2.0):
    """All nodes' (R + 1, 2) by least squares on augmented rows, and their mean scores."""
    code = basis.values * basis.scale
    found, share = [], []
    for displacement, score in zip(*nodes, strict=True):
        for d, s in zip(displacement.astype(float), score.astype(float), strict=True):
            unseen = np.zeros((code.shape[1] + 1, 2))
            found.append(oracle.ridge(code, d, s, penalty) if s.any() else unseen)
            share.append(s.mean())
    return np.array(found), np.array(share)


def test_code__is_in_units_of_the_photos_own_variation(basis):
    np.testing.assert_allclose(basis.code.std(axis=0), basis.scale, rtol=1e-9)


@pytest.mark.parametrize("penalty", [0.5, 20.0])
def test_regressions__are_least_squares_of_augmented_rows(basis, nodes, penalty):
    layers = zip(*nodes, strict=True)
    found = Regressions.joined([regress(basis.code, d, s, penalty) for d, s in layers])
    expected, share = regressions(basis, nodes, penalty)
    assert len(found.share) == 11
    np.testing.assert_allclose(found.move, expected[:, :-1], atol=1e-6)
    np.testing.assert_allclose(found.constant, expected[:, -1], atol=1e-6)
    np.testing.assert_allclose(found.share, share, rtol=1e-6)


def test_regressions__of_a_node_do_not_depend_on_the_others(basis, nodes):
    """Not by more than rounding: they are solved some filters at a time."""
    displacement, score = nodes[0][1], nodes[1][1]
    whole = regress(basis.code, displacement, score, 2.0)
    rows = slice(2, 5)
    part = regress(basis.code, displacement[rows], score[rows], 2.0)
    for ours, theirs in zip(part, whole, strict=True):
        np.testing.assert_allclose(ours, theirs[rows], rtol=1e-9, atol=1e-12)


def test_fit__constants_are_the_regressions(basis, nodes, fitted):
    expected, _ = regressions(basis, nodes)
    np.testing.assert_allclose(np.concatenate(fitted.constant), expected[:, -1], atol=1e-6)


def test_fit__with_all_ranks_predicts_what_each_regression_does(basis, nodes):
    fitted = fit(basis, *nodes, dataclasses.replace(CONFIG, pose_rank=5))
    coefficients, _ = regressions(basis, nodes)
    expected = np.einsum("nr,pra->pan", basis.values * basis.scale, coefficients[:, :-1])
    shifts = [pose_shift(fitted.pose, node) for node in fitted.node]
    np.testing.assert_allclose(np.concatenate(shifts), expected, atol=1e-4)


def test_fit__keeps_the_directions_that_carry_most(basis, nodes, fitted):
    """The leading singular vectors of all nodes' predictions side by side, weighted by score."""
    coefficients, share = regressions(basis, nodes)
    code = basis.values * basis.scale
    columns = [code @ c[:-1] for c in coefficients]
    weighted = np.concatenate(
        [np.sqrt(s) * column for s, column in zip(share, columns, strict=True)], axis=1
    )
    left, _, _ = np.linalg.svd(weighted, full_matrices=False)
    left = left[:, :3]
    up_to_signs(fitted.pose, left * np.sqrt(30), atol=1e-4)
    shifts = np.concatenate([pose_shift(fitted.pose, node) for node in fitted.node])
    for shift, column in zip(shifts, columns, strict=True):
        np.testing.assert_allclose(shift.T, left @ left.T @ column, atol=1e-4)


def test_fit__poses_have_mean_0_and_variance_1(fitted):
    assert fitted.pose.shape == (30, 3)
    np.testing.assert_allclose(fitted.pose.mean(axis=0), 0, atol=1e-6)
    np.testing.assert_allclose(np.cov(fitted.pose.T, bias=True), np.eye(3), atol=1e-5)


def test_fit__the_map_gives_the_mining_photos_poses(peaks, fitted):
    np.testing.assert_allclose(fitted.map(peaks, SIZE), fitted.pose, atol=1e-4)


def test_fit__a_node_that_is_never_seen_stays(fitted):
    for node, constant in zip(fitted.node, fitted.constant, strict=True):
        assert not node[-1].any()
        assert not constant[-1].any()
        assert node[:-1].any(axis=(1, 2)).all()


def test_fit__photos_in_which_a_node_is_not_seen_do_not_count(basis, nodes, fitted):
    displacement, score = [d.copy() for d in nodes[0]], [s.copy() for s in nodes[1]]
    score[0][1, ::2] = 0
    before = fit(basis, displacement, score)
    displacement[0][1, :, ::2] += 100
    after = fit(basis, displacement, score)
    assert np.array_equal(after.constant[0], before.constant[0])


def test_fit__rank_is_at_most_the_number_of_terms(peaks, nodes):
    few = basis_of(peaks.take(np.arange(14)))
    fitted = fit(few, [d[..., :14] for d in nodes[0]], [s[:, :14] for s in nodes[1]])
    assert fitted.pose.shape == (14, 2)
    assert fitted.map.weight.shape == (70 * 16, 2)
    assert [node.shape for node in fitted.node] == [(4, 2, 2), (7, 2, 2)]


def test_shift__by_hand():
    node = np.array([[[1, 0], [0, 2]], [[0, 0], [3, -1]]], dtype=np.float32)
    pose = np.array([[1, 1], [2, -3], [0, 0]], dtype=np.float32)
    expected = [[[1, 2, 0], [2, -6, 0]], [[0, 0, 0], [2, 9, 0]]]
    assert pose_shift(pose, node).tolist() == expected
    nothing = pose_shift(pose[:, :0], node[..., :0])
    assert nothing.shape == (2, 2, 3)
    assert not nothing.any()


# -- the map ---------------------------------------------------------------------------------------


def test_map__is_one_photo_at_a_time_the_same_bits(peaks, fitted):
    together = fitted.map(peaks, SIZE)
    for i in range(len(peaks)):
        assert np.array_equal(fitted.map(peaks.take(np.array([i])), SIZE)[0], together[i])


def test_map__of_a_photo_without_peaks_is_the_mean_pose(peaks, fitted):
    found = fitted.map(blanked(peaks, [2]), SIZE)
    assert found[2].tolist() == [0, 0, 0]
    assert np.array_equal(
        np.delete(found, 2, axis=0), np.delete(fitted.map(peaks, SIZE), 2, axis=0)
    )


def test_map__does_not_depend_on_how_strong_a_photo_is(peaks, fitted):
    loud = Peaks(peaks.layer, peaks.yx, 7 * peaks.weight)
    np.testing.assert_allclose(fitted.map(loud, SIZE), fitted.map(peaks, SIZE), atol=1e-5)


def test_map__to_no_numbers(peaks):
    assert PoseMap.none()(peaks, SIZE).shape == (30, 0)


def test_map__of_no_photos(peaks, fitted):
    assert fitted.map(peaks.take(np.zeros(0, dtype=int)), SIZE).shape == (0, 3)


def test_map__of_another_layer_is_refused(fitted):
    other = random_peaks(np.random.default_rng(0), channels=69)
    with pytest.raises(ExplGraphError, match=r"PoseMap.weight must have shape \(1104, any\)"):
        fitted.map(other, SIZE)


# -- planted poses ---------------------------------------------------------------------------------

N = 60
SWING = 26.0  # pixels, far beyond a spread of an eighth of the side


def posed_peaks(shuffle=False):
    """A hidden pose (N, 2) moves all parts: ``peaks``, ``truth (N, C, 2)``, and the pose.

    The top layer's filters have one peak each, on a part. The lower layer's filters have a part's
    peak and two as strong anywhere: only the pose tells which is which. With ``shuffle``, the top
    layer's photos are exchanged, so that its pose says nothing of the lower layer.
    """
    rng = np.random.default_rng(5)
    pose = rng.choice([-1, 1], (N, 2)) * rng.uniform(0.4, 1, (N, 2))
    layers, parts = [], []
    for index, (channels, strays) in enumerate(((12, 2), (40, 0))):
        moves = rng.normal(0, 1, (channels, 2, 2))
        moves *= SWING / np.linalg.norm(moves, axis=(1, 2), keepdims=True)
        part = rng.uniform(0.4, 0.6, (channels, 2)) * SIDE + np.einsum("caq,nq->nca", moves, pose)
        part = (part + rng.normal(0, 1.5, part.shape)).clip(0, SIDE)
        anywhere = rng.uniform(0, SIDE, (N, channels, strays, 2))
        yx = np.concatenate([part[:, :, None], anywhere], axis=2)
        order = rng.permuted(np.tile(np.arange(strays + 1), (N, channels, 1)), axis=2)
        yx = np.take_along_axis(yx, order[..., None], axis=2)
        weight = -np.sort(-rng.uniform(1, 1.5, yx.shape[:3]), axis=2)
        layers.append(Peaks(layer_spec(index, 8 << index, channels), yx, weight))
        parts.append(part)
    if shuffle:
        layers[1] = layers[1].take(rng.permutation(N))
    return peak_set(tuple(layers), mirror=False), parts[0], pose


def tracking_error(peaks, truth, **options):
    """Mean distance of each lower filter's best node from its part, less their median offset.

    As a share of the part's distance from its own median place: 1 = no better than a constant.
    """
    graph = mine_peaks(peaks, config=MiningConfig(n_parents=0, **options))
    places = match_peaks(graph, peaks).yx * SIDE
    ratios = []
    for c in range(truth.shape[1]):
        own = (graph.node_layer == 0) & (graph.node_channel == c) & (graph.node_part == 0)
        off = places[:, np.flatnonzero(own)[0]] - truth[:, c]
        away = truth[:, c] - np.median(truth[:, c], axis=0)
        error = np.linalg.norm(off - np.median(off, axis=0), axis=1).mean()
        ratios.append(error / np.linalg.norm(away, axis=1).mean())
    return np.mean(ratios)


def test_planted_pose__makes_nodes_follow():
    peaks, truth, _ = posed_peaks()
    followed = tracking_error(peaks, truth)
    without = tracking_error(peaks, truth, pose_rank=0)
    narrow = tracking_error(peaks, truth, pose_rank=0, spread_start=0.125)
    astray = tracking_error(posed_peaks(shuffle=True)[0], truth)
    assert followed < 0.35
    assert min(without, narrow, astray) > followed + 0.3


@pytest.mark.parametrize("rank", [1, 2])
def test_planted_pose__is_found_up_to_a_linear_map(rank):
    """Two mined numbers give the two hidden ones; one does not."""
    peaks, _, hidden = posed_peaks()
    config = MiningConfig(n_parents=0, pose_rank=rank)
    mined = mine_layers(CpuEngine(peaks, np.zeros(N, dtype=np.uint8)), config, 0)
    pose = mined.pose_map(peaks.peaks[-1], peaks.input_size)
    design = np.column_stack([pose, np.ones(N)])
    residual = hidden - design @ np.linalg.lstsq(design, hidden, rcond=None)[0]
    left = np.sum(residual**2) / np.sum((hidden - hidden.mean(axis=0)) ** 2)
    assert left < 0.1 if rank == 2 else left > 0.3
