"""One EM step, the whole of EM and inference, against loops.

The library computes densities in float32, by series that are right to some 1e-6: this is what the
tolerances allow for, and why the objective may fall by that much of the response.
"""

import dataclasses
import itertools

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from explgraph.peaks.structures import GROUP, PeakBlock, Peaks
from mining.em import Fit, Mixture, PeakColumns, fit, held_out_gain, infer
from mining.parents import Prior, flat_prior, plain_prior
from tests.support import oracle
from tests.support.planted_peaks import SIDE, layer_spec, random_peaks

AREA = float(SIDE * SIDE)
SEEDS = range(6)
MASS, DOWN, RIGHT, SQUARE, OFFER = range(5)
MANY = GROUP + 44


def random_mixture(rng, channels, most=4):
    """A mixture of 0 to ``most`` nodes a filter, some with weight 0."""
    counts = rng.integers(0, most + 1, channels)
    start = np.concatenate([[0], np.cumsum(counts)]).astype(np.int64)
    weight = rng.gamma(1.0, 1.0, start[-1]) * (rng.random(start[-1]) > 0.1)
    for first, stop in itertools.pairwise(start):
        weight[first:stop] /= weight[first:stop].sum() or 1
    mu = rng.uniform(0, SIDE, (start[-1], 2))
    return Mixture(start, mu, weight, rng.uniform(0.05, 0.6, channels))


def random_prior(rng, n_nodes, n_images, flat=False):
    """Shifts, variances and kappas at random; now and then no parent agrees at all."""
    if flat:
        return flat_prior(n_nodes, n_images, 20.0**2)
    shape = (n_nodes, n_images)
    kappa = rng.gamma(0.5, 1.0, shape) * (rng.random(shape) > 0.05)
    return Prior(
        rng.normal(0, 12, (n_nodes, 2, n_images)).astype(np.float32),
        (0.5 / rng.uniform(9, 900, n_nodes)).astype(np.float32),
        kappa.astype(np.float32),
    )


def problem(seed, **options):
    rng = np.random.default_rng(seed)
    peaks = random_peaks(rng, **options)
    mixture = random_mixture(rng, peaks.layer.channels)
    return peaks, mixture, random_prior(rng, len(mixture), len(peaks), flat=seed % 3 == 0)


def one_node():
    """A node in the middle, in the first of two filters."""
    start = np.array([0, 1, 1])
    return Mixture(start, np.array([[64.0, 64.0]]), np.ones(1), np.full(2, 0.1))


def em(peaks, mixture, prior, **options):
    """EM without the stopping rule."""
    return fit(PeakColumns.of(peaks), mixture, prior, AREA, **{"max_iter": 15, "tol": 0, **options})


def e_step(peaks, mixture, prior):
    return em(peaks, mixture, prior, max_iter=0)


def m_step(peaks, mixture, prior):
    return em(peaks, mixture, prior, max_iter=1).mixture


def node_shares(peaks, mixture, resp):
    """(P, N, K) F r of the loops' responsibilities."""
    return peaks.weight.transpose(1, 0, 2).astype(float)[mixture.channel] * resp


# -- peaks in columns ------------------------------------------------------------------------------


def test_columns__have_photos_last():
    peaks, _, _ = problem(1)
    columns = PeakColumns.of(peaks)
    assert columns.n_images == len(peaks)
    assert np.array_equal(columns.weight, peaks.weight.transpose(1, 2, 0))
    assert np.array_equal(columns.yx, peaks.yx.transpose(1, 3, 2, 0))


@pytest.mark.parametrize("held, first, last", [(0, 0, 5), (0, 1, 4), (1, 1, 4), (1, 2, 3)])
def test_gather__takes_filters_of_a_block_and_some_photos_mirrored(rng, held, first, last):
    """The block holds filters from ``held`` on; filters ``first`` to ``last`` - 1 are asked for."""
    given, other = random_peaks(rng, 7, channels=5), random_peaks(rng, 7, channels=5)
    block = PeakBlock(
        *(np.ascontiguousarray(a[:, held:]) for p in (given, other) for a in (p.weight, p.yx)), held
    )
    mirrored = np.array([0, 1, 1, 0, 0, 1, 0], dtype=np.uint8)
    columns = PeakColumns.gather(block, first, last, mirrored)
    assert columns.weight.shape == (last - first, 4, 7)
    for i, flip in enumerate(mirrored):
        seen = other if flip else given
        for c in range(first, last):
            assert np.array_equal(columns.weight[c - first, :, i], seen.weight[i, c])
            assert np.array_equal(columns.yx[c - first, :, :, i], seen.yx[i, c].T)


# -- the E-step ------------------------------------------------------------------------------------


def check_e_step(peaks, mixture, prior):
    """All sums equal the loops'."""
    found = e_step(peaks, mixture, prior)
    resp, log = oracle.responsibilities(peaks, mixture, prior, AREA)
    weight = peaks.weight.transpose(1, 0, 2).astype(float)
    shares = node_shares(peaks, mixture, resp)
    response = weight.sum(axis=(1, 2))
    signal = np.zeros((len(response), len(peaks)))
    np.add.at(signal, mixture.channel, shares.sum(axis=2))
    objective = (weight * log).sum(axis=(1, 2))
    np.testing.assert_allclose(found.trace[:, 0], objective, rtol=1e-6, atol=1e-6 * response.max())
    np.testing.assert_allclose(found.response[:, 1], response, rtol=1e-6)
    np.testing.assert_allclose(found.mass, shares.sum(axis=(1, 2)), rtol=1e-5, atol=1e-7)
    explained = signal.sum(axis=1)
    np.testing.assert_allclose(found.response[:, 0], explained, rtol=1e-5, atol=1e-6)
    expected = np.zeros((len(mixture), 3))
    for c, i, k, _, place in oracle.every_peak(peaks):
        for v in range(mixture.start[c], mixture.start[c + 1]):
            off = place - mixture.mu[v] - prior.shift[v, :, i]
            expected[v] += shares[v, i, k] * np.array([*off, off @ off])
    size = np.maximum(expected[:, 2:], 1)
    assert np.all(np.abs(found.sums[:, [DOWN, RIGHT, SQUARE]] - expected) <= 1e-5 * size)
    return found, signal


@pytest.mark.parametrize("seed", SEEDS)
def test_e_step__equals_the_loops(seed):
    check_e_step(*problem(seed))


@pytest.mark.parametrize("seed", SEEDS)
def test_e_step__offers_are_what_weights_are_divided_by(seed):
    """sum_i R_i kappa_iV / Z_i, R_i being what all nodes of the filter explain in the photo."""
    peaks, mixture, prior = problem(seed)
    found, signal = check_e_step(peaks, mixture, prior)
    share = mixture.weight[:, None] * prior.kappa
    for v, c in enumerate(mixture.channel):
        z = share[mixture.channel == c].sum(axis=0)
        some = z > 0
        expected = np.sum(signal[c, some] * prior.kappa[v, some] / z[some])
        np.testing.assert_allclose(found.sums[v, OFFER], expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("seed", SEEDS)
def test_spread__is_the_deviation_per_axis_about_the_predicted_place(seed):
    peaks, mixture, prior = problem(seed)
    resp, _ = oracle.responsibilities(peaks, mixture, prior, AREA)
    shares = node_shares(peaks, mixture, resp)
    spread = e_step(peaks, mixture, prior).spread
    for v, c in enumerate(mixture.channel):
        if shares[v].sum() > 1e-6:
            centre = (mixture.mu[v][:, None] + prior.shift[v]).T[:, None]
            square = np.sum((peaks.yx[:, c] - centre) ** 2, axis=2)
            expected = np.sqrt(np.average(square, weights=shares[v]) / 2)
            assert spread[v] == pytest.approx(expected, rel=1e-5)


def test_e_step__shares_add_up_to_the_response():
    peaks, mixture, prior = problem(1)
    found = e_step(peaks, mixture, prior)
    explained = np.bincount(mixture.channel, found.mass, minlength=peaks.layer.channels)
    np.testing.assert_allclose(explained, found.response[:, 0], rtol=1e-6, atol=1e-6)
    assert np.all(found.mass >= 0)
    assert np.all(found.response[:, 0] < found.response[:, 1])


def test_objective__of_nodes_that_explain_nothing_is_that_of_noise():
    peaks, mixture, prior = problem(2)
    found = e_step(peaks, mixture.moved(np.full(2, 1e5)), prior)
    weight = peaks.weight.sum(axis=(0, 2), dtype=float)
    np.testing.assert_allclose(found.trace[:, 0], weight * np.log(mixture.noise), rtol=1e-6)
    assert not found.mass.any()
    assert not found.spread.any()


def test_e_step__leaves_the_mixture_as_it_is():
    peaks, mixture, prior = problem(3)
    before = [array.copy() for array in mixture.nodes]
    found = e_step(peaks, mixture, prior)
    em(peaks, mixture, prior)
    for ours, theirs, copy in zip(found.mixture.nodes, mixture.nodes, before, strict=True):
        assert np.array_equal(ours, copy)
        assert np.array_equal(theirs, copy)


# -- the M-step ------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", SEEDS)
def test_m_step__equals_the_loops(seed):
    peaks, mixture, prior = problem(seed, n_images=6)
    stepped = m_step(peaks, mixture, prior)
    expected = oracle.m_step(peaks, mixture, prior, AREA)
    lives = expected["weight"] > 1e-6  # what explains less than 1e-12 may be dropped
    assert lives.mean() > 0.5
    np.testing.assert_allclose(stepped.weight, expected["weight"], rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(stepped.mu[lives], expected["mu"][lives], rtol=1e-5)
    np.testing.assert_allclose(stepped.noise, np.clip(expected["noise"], 1e-6, 1 - 1e-6), rtol=1e-5)
    assert np.array_equal(stepped.start, mixture.start)


def test_m_step__weights_are_the_best_of_the_minoriser():
    """No other weights of a filter give a higher sum_iV R_iV log w_V - sum_V w_V offer_V."""
    peaks, mixture, prior = problem(4, n_images=8)
    found = e_step(peaks, mixture, prior)
    mass, offer = found.mass, found.sums[:, OFFER]
    weight = mass / np.where(offer > 0, offer, np.inf)
    rng = np.random.default_rng(0)

    def bound(w):
        some = mass > 0
        return np.sum(mass[some] * np.log(w[some])) - np.sum(w * offer)

    best = bound(weight)
    assert all(bound(weight * rng.uniform(0.5, 2, len(weight))) <= best for _ in range(50))
    sums = np.bincount(mixture.channel, weight)[mixture.channel]
    np.testing.assert_allclose(m_step(peaks, mixture, prior).weight, weight / sums, rtol=1e-12)


def test_m_step__leaves_a_node_without_response_where_it_is():
    peaks, mixture, prior = problem(1)
    mu = mixture.mu.copy()
    mu[0] += 1e5
    lost = dataclasses.replace(mixture, mu=mu)
    stepped = m_step(peaks, lost, prior)
    assert np.array_equal(stepped.mu[0], mu[0])
    assert stepped.weight[0] == 0
    assert np.isfinite(stepped.mu).all()


def test_m_step__a_filter_that_never_fires_keeps_its_noise():
    peaks, mixture, prior = problem(1)
    weight = peaks.weight.copy()
    weight[:, 1] = 0
    stepped = m_step(Peaks(peaks.layer, peaks.yx, weight), mixture, prior)
    assert stepped.noise[1] == mixture.noise[1]
    assert not stepped.weight[mixture.channel == 1].any()


# -- EM --------------------------------------------------------------------------------------------


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    seed=st.integers(0, 2**32 - 1),
    n_images=st.integers(2, 12),
    n_peaks=st.integers(1, 6),
    flat=st.booleans(),
)
def test_objective__never_falls(seed, n_images, n_peaks, flat):
    rng = np.random.default_rng(seed)
    peaks = random_peaks(rng, n_images, n_peaks=n_peaks)
    now = random_mixture(rng, peaks.layer.channels)
    prior = random_prior(rng, len(now), n_images, flat)
    history = [e_step(peaks, now, prior).trace[:, 0]]
    for _ in range(12):
        stepped = em(peaks, now, prior, max_iter=1)
        np.testing.assert_array_equal(stepped.trace[:, 0], history[-1])
        history.append(stepped.trace[:, 1])
        now = stepped.mixture
    response = peaks.weight.sum(axis=(0, 2))
    assert np.all(np.diff(history, axis=0) >= -4e-6 * response)  # in every filter by itself


@pytest.mark.parametrize("seed", SEEDS)
def test_fit__records_the_objective_of_the_loops(seed):
    peaks, mixture, prior = problem(seed)
    fitted = em(peaks, mixture, prior, max_iter=3)
    history = fitted.trace.sum(axis=0)
    scale = 1e-6 * peaks.weight.sum()
    expected = oracle.objective(peaks, mixture, prior, AREA)
    np.testing.assert_allclose(history[0], expected, rtol=1e-6, atol=scale)
    last = oracle.objective(peaks, fitted.mixture, prior, AREA)
    np.testing.assert_allclose(history[-1], last, rtol=1e-6, atol=scale)
    assert len(history) == 4


@pytest.mark.parametrize("seed", SEEDS)
def test_fit__gives_the_sums_of_the_mixture_that_results(seed):
    peaks, mixture, prior = problem(seed)
    fitted = em(peaks, mixture, prior, max_iter=4)
    again = e_step(peaks, fitted.mixture, prior)
    assert np.array_equal(again.sums, fitted.sums)
    assert np.array_equal(again.response, fitted.response)
    assert np.array_equal(again.trace[:, 0], fitted.trace[:, -1])


@pytest.mark.parametrize("steps", [1, 3])
def test_fit__without_closing_says_nothing_of_the_last_step(steps):
    """The same nodes; the statistics are those before the last step."""
    peaks, mixture, prior = problem(1, n_images=9)
    closed = em(peaks, mixture, prior, max_iter=steps)
    found = em(peaks, mixture, prior, max_iter=steps, closing=False)
    before = em(peaks, mixture, prior, max_iter=steps - 1)
    for ours, theirs in zip(found.mixture.nodes, closed.mixture.nodes, strict=True):
        assert np.array_equal(ours, theirs)
    assert np.array_equal(found.sums, before.sums)
    assert np.array_equal(found.response, before.response)
    assert np.array_equal(found.trace[:, :-1], closed.trace[:, :-1])
    assert np.array_equal(found.trace[:, -1], found.trace[:, -2])
    assert np.any(found.mixture.mu != before.mixture.mu)


def test_fit__without_closing_stops_when_a_step_adds_little():
    """Then the statistics are as with it."""
    peaks, mixture, prior = problem(0, n_images=10, channels=6)
    closed = em(peaks, mixture, prior, max_iter=100, tol=0.1)
    found = em(peaks, mixture, prior, max_iter=100, tol=0.1, closing=False)
    for ours, theirs in zip(found[1:], closed[1:], strict=True):
        assert np.array_equal(ours, theirs)


def test_fit__each_filter_stops_when_a_step_adds_little():
    peaks, mixture, prior = problem(0, n_images=10, channels=6)
    tol, stops = 0.1, []
    trace = em(peaks, mixture, prior, max_iter=100, tol=tol).trace
    without = em(peaks, mixture, prior, max_iter=100, tol=0).trace
    for history, whole in zip(trace, without, strict=True):
        steps = np.diff(whole)
        little = np.flatnonzero(steps <= tol * (whole[1:] - whole[0]))
        stop = little[0] + 1
        stops.append(stop)
        assert np.array_equal(history[: stop + 1], whole[: stop + 1])
        assert np.all(history[stop:] == whole[stop])  # it stays
    assert len(set(stops)) > 1
    assert max(stops) < 100


def test_fit__a_filter_does_not_depend_on_the_others():
    peaks, mixture, prior = problem(1, n_images=9)
    whole = em(peaks, mixture, prior, tol=0.01)
    parts = []
    for c in range(peaks.layer.channels):
        rows = slice(*mixture.start[c : c + 2])
        columns = PeakColumns(*(array[c : c + 1] for array in PeakColumns.of(peaks)))
        own = Prior(*(array[rows] for array in prior))
        parts.append(fit(columns, mixture.filters(c, c + 1), own, AREA, max_iter=15, tol=0.01))
    joined = Fit.joined(parts)
    for ours, theirs in zip(joined.mixture.nodes, whole.mixture.nodes, strict=True):
        assert np.array_equal(ours, theirs)
    for ours, theirs in zip(joined[1:], whole[1:], strict=True):
        assert np.array_equal(ours, theirs)


def test_fit__of_mirrored_peaks_is_mirrored():
    peaks, mixture, prior = problem(5, n_images=8)
    yx = peaks.yx.copy()
    yx[..., 1] = SIDE - yx[..., 1]
    other = Peaks(peaks.layer, yx, peaks.weight)
    flip = np.array([1, -1])
    mirrored = dataclasses.replace(mixture, mu=[0, SIDE] + flip * mixture.mu)
    shift = (prior.shift * flip[:, None]).astype(np.float32)
    given_fit = em(peaks, mixture, prior, max_iter=6, tol=-1)
    other_fit = em(other, mirrored, prior._replace(shift=shift), max_iter=6, tol=-1)
    np.testing.assert_allclose(other_fit.mixture.mu, [0, SIDE] + flip * given_fit.mixture.mu, 1e-4)
    np.testing.assert_allclose(other_fit.mixture.weight, given_fit.mixture.weight, atol=1e-5)
    np.testing.assert_allclose(other_fit.trace, given_fit.trace, rtol=1e-5, atol=1e-5)
    assert np.ptp(given_fit.mixture.mu - mixture.mu) > 5


def test_fit__does_not_depend_on_the_order_of_photos(rng):
    peaks, mixture, prior = problem(4, n_images=9)
    order = rng.permutation(9)
    fitted = em(peaks, mixture, prior, max_iter=6, tol=-1)
    permuted = prior._replace(
        shift=np.ascontiguousarray(prior.shift[..., order]),
        kappa=np.ascontiguousarray(prior.kappa[:, order]),
    )
    again = em(peaks.take(order), mixture, permuted, max_iter=6, tol=-1)
    np.testing.assert_allclose(again.mixture.mu, fitted.mixture.mu, rtol=1e-5)
    np.testing.assert_allclose(again.mixture.weight, fitted.mixture.weight, rtol=1e-5, atol=1e-7)
    np.testing.assert_allclose(again.trace, fitted.trace, rtol=1e-6, atol=1e-6)


# -- inference -------------------------------------------------------------------------------------


def check_inference(peaks, mixture, prior):
    """Peaks, places, scores and gains equal the loops'."""
    found = infer(PeakColumns.of(peaks), mixture, prior, AREA)
    yx, score, log_density, gain = oracle.infer(peaks, mixture, prior, AREA)
    np.testing.assert_allclose(found.score, score, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(found.gain, gain, rtol=1e-6, atol=5e-6)
    predicted = mixture.mu[..., None] + prior.shift
    np.testing.assert_allclose(found.predicted, predicted, rtol=1e-6, atol=1e-5)
    sure = score > 1e-6  # the library takes densities of 1e-14 for zero
    assert sure.mean() > 0.2
    at = np.broadcast_to(sure[:, None], yx.shape)
    np.testing.assert_allclose(found.found[at], yx[at], rtol=1e-6)
    np.testing.assert_allclose(found.places(1)[at], yx[at], rtol=1e-6, atol=2e-5)
    log = found.log_density(prior)
    np.testing.assert_allclose(log[sure], log_density[sure], rtol=1e-5, atol=1e-5)
    for v, i in zip(*np.nonzero(sure), strict=True):
        own = peaks.yx[i, mixture.channel[v], found.peak[v, i]]
        assert np.array_equal(own, found.found[v, :, i])
    return found


@pytest.mark.parametrize("seed", SEEDS)
def test_infer__equals_the_loops(seed):
    check_inference(*problem(seed))


def test_places__are_part_of_the_way_from_the_prediction_to_the_peak():
    """Predicted at (64 + 4, 64 - 8), the peak at (80, 60): a quarter of the way is (71, 57)."""
    weight, yx = np.zeros((2, 2, 4)), np.zeros((2, 2, 4, 2))
    weight[0, 0, 0], yx[0, 0, 0] = 1, (80, 60)
    columns = PeakColumns.of(Peaks(layer_spec(0, 16, 2), yx, weight))
    prior = plain_prior(np.repeat(np.float32([[[4], [-8]]]), 2, axis=2), 100.0)
    found = infer(columns, one_node(), prior, AREA)
    assert found.peak.tolist() == [[0, -1]]
    assert found.predicted[0].T.tolist() == [[68, 56], [68, 56]]
    assert found.found[0].T.tolist() == [[80, 60], [68, 56]]
    for pull, expected in ((0.25, (71, 57)), (0.5, (74, 58)), (1, (80, 60))):
        np.testing.assert_allclose(found.places(pull)[0].T, [expected, (68, 56)])


def test_infer__of_equal_peaks_takes_the_first():
    weight, yx = np.ones((2, 2, 4)), np.full((2, 2, 4, 2), 64.0)
    yx[..., 1] = [60, 68, 60, 68]  # as far to the left as to the right
    columns = PeakColumns.of(Peaks(layer_spec(0, 16, 2), yx, weight))
    assert not infer(columns, one_node(), flat_prior(1, 2, 100.0), AREA).peak.any()


@pytest.mark.parametrize("seed", SEEDS)
def test_node_without_a_peak__has_score_0_and_the_predicted_place(seed):
    peaks, mixture, prior = problem(seed)
    weight = peaks.weight.copy()
    weight[2] = 0
    columns = PeakColumns.of(Peaks(peaks.layer, peaks.yx, weight))
    found = infer(columns, mixture, prior, AREA)
    assert not found.score[:, 2].any()
    assert not found.gain[:, 2].any()
    assert np.all(found.peak[:, 2] == -1)
    for pull in (0.3, 1):
        at = found.places(pull)[..., 2]
        np.testing.assert_allclose(at, mixture.mu + prior.shift[..., 2], rtol=1e-5, atol=1e-5)
    expected = np.log(prior.half_precision.astype(float) / np.pi)
    np.testing.assert_allclose(found.log_density(prior)[:, 2], expected, rtol=1e-5)


def test_node_beyond_reach_of_every_peak__has_no_peak():
    """8 standard deviations are 80 px; the peaks lie 79 and 81 px away."""
    weight, yx = np.zeros((2, 2, 4)), np.zeros((2, 2, 4, 2))
    weight[:, 0, 0], yx[:, 0, 0] = 1, [(64, 143), (145, 64)]
    columns = PeakColumns.of(Peaks(layer_spec(0, 16, 2), yx, weight))
    found = infer(columns, one_node(), flat_prior(1, 2, 100.0), AREA)
    assert found.peak.tolist() == [[0, -1]]
    assert found.score[0, 0] > 0 == found.score[0, 1]
    assert found.found[0, :, 1].tolist() == [64, 64]


@pytest.mark.parametrize("seed", SEEDS)
def test_score__lies_between_0_and_the_response(seed):
    peaks, mixture, prior = problem(seed)
    score = infer(PeakColumns.of(peaks), mixture, prior, AREA).score
    strongest = peaks.weight.max(axis=2).T[mixture.channel]
    assert np.all(score >= 0)
    assert np.all(score <= strongest)


# -- gains -----------------------------------------------------------------------------------------


def check_gain(peaks, mixture, prior):
    columns = PeakColumns.of(peaks)
    sums = e_step(peaks, mixture, prior).sums
    gain = held_out_gain(columns, mixture, prior, AREA, sums)
    expected = oracle.held_out_gain(peaks, mixture, prior, AREA)
    # A node that lives from one photo alone has no others to be predicted from: see below.
    resp, _ = oracle.responsibilities(peaks, mixture, prior, AREA)
    shares = node_shares(peaks, mixture, resp).sum(axis=2)
    rest = shares.sum(axis=1) - shares.max(axis=1, initial=0)
    several = rest > 1e-5 * shares.sum(axis=1)
    assert several.any()
    np.testing.assert_allclose(gain[several], expected[several], rtol=2e-5, atol=2e-5)


@pytest.mark.parametrize("seed", SEEDS)
def test_held_out_gain__leaves_every_photo_out_in_its_turn(seed):
    check_gain(*problem(seed, n_images=5))


def test_held_out_gain__of_a_node_that_one_photo_makes_is_not_positive():
    weight, yx = np.zeros((3, 2, 4)), np.zeros((3, 2, 4, 2))
    weight[0, 0, 0], yx[0, 0, 0] = 1, 64
    peaks, prior = Peaks(layer_spec(0, 16, 2), yx, weight), flat_prior(1, 3, 100.0)
    sums = e_step(peaks, one_node(), prior).sums
    assert held_out_gain(PeakColumns.of(peaks), one_node(), prior, AREA, sums)[0] <= 0


# -- more photos than are gone through at a time ---------------------------------------------------


@pytest.fixture(scope="module")
def many():
    rng = np.random.default_rng(8)
    peaks = random_peaks(rng, MANY, channels=2, n_peaks=2)
    start = np.array([0, 2, 5])
    weight = np.array([0.7, 0.3, 0.5, 0.3, 0.2])
    mixture = Mixture(start, rng.uniform(20, 108, (5, 2)), weight, np.array([0.2, 0.5]))
    return peaks, mixture, random_prior(rng, 5, MANY)


def test_many_photos__are_all_summed(many):
    check_e_step(*many)
    peaks, mixture, prior = many
    stepped, expected = m_step(*many), oracle.m_step(peaks, mixture, prior, AREA)
    np.testing.assert_allclose(stepped.mu, expected["mu"], rtol=1e-5)
    np.testing.assert_allclose(stepped.weight, expected["weight"], rtol=1e-5)
    np.testing.assert_allclose(stepped.noise, expected["noise"], rtol=1e-5)


def test_many_photos__are_all_inferred(many):
    found = check_inference(*many)
    assert found.score[:, GROUP:].any(axis=1).all()


def test_many_photos__are_all_held_out(many):
    check_gain(*many)


@pytest.mark.parametrize("n", [GROUP - 1, GROUP, GROUP + 1, 2 * GROUP])
def test_a_photo__is_found_alike_wherever_it_lies(many, n):
    """Each photo's result is that of the photo alone, to the last bit."""
    peaks, mixture, prior = many
    rows = np.arange(n) % len(peaks)
    found = infer(PeakColumns.of(peaks.take(rows)), mixture, of_photos(prior, rows), AREA)
    for i in (0, 6, 7, n // 2, n - 2, n - 1):
        one = rows[i : i + 1]
        alone = infer(PeakColumns.of(peaks.take(one)), mixture, of_photos(prior, one), AREA)
        for together, single in zip(found, alone, strict=True):
            assert np.array_equal(together[..., i], single[..., 0])


def of_photos(prior, rows):
    shift, kappa = (np.ascontiguousarray(a[..., rows]) for a in (prior.shift, prior.kappa))
    return prior._replace(shift=shift, kappa=kappa)


# -- the mixture -----------------------------------------------------------------------------------


def test_select__keeps_a_filters_weights_at_sum_1():
    _, mixture, _ = problem(3)
    keep = np.flatnonzero((np.arange(len(mixture)) % 3 != 1) & (mixture.weight > 0))
    chosen = mixture.select(keep)
    assert np.array_equal(chosen.channel, mixture.channel[keep])
    assert np.array_equal(chosen.mu, mixture.mu[keep])
    sums = np.bincount(chosen.channel, chosen.weight)
    np.testing.assert_allclose(sums[np.unique(chosen.channel)], 1)
    rows = chosen.channel == chosen.channel[0]
    ratio = chosen.weight[rows] / mixture.weight[keep][rows]
    np.testing.assert_allclose(ratio, ratio[0])


def test_moved__moves_the_means_alone():
    _, mixture, _ = problem(3)
    shift = np.arange(2.0 * len(mixture)).reshape(-1, 2)
    moved = mixture.moved(shift)
    assert np.array_equal(moved.mu, mixture.mu + shift)
    for name in ("start", "weight", "noise"):
        assert np.array_equal(getattr(moved, name), getattr(mixture, name))


def test_filters__are_copies_of_some(rng):
    mixture = random_mixture(rng, 7)
    part = mixture.filters(2, 5)
    rows = np.isin(mixture.channel, [2, 3, 4])
    assert 0 < rows.sum() < len(mixture)
    assert np.array_equal(part.channel + 2, mixture.channel[rows])
    assert np.array_equal(part.start, mixture.start[2:6] - mixture.start[2])
    assert np.array_equal(part.mu, mixture.mu[rows])
    assert np.array_equal(part.weight, mixture.weight[rows])
    assert np.array_equal(part.noise, mixture.noise[2:5])
    assert not any(np.shares_memory(a, b) for a in part.nodes for b in mixture.nodes)


@pytest.mark.parametrize("cuts", [[0, 7], [0, 3, 7], [0, 1, 2, 6, 7]])
def test_joined__undoes_filters(rng, cuts):
    mixture = random_mixture(rng, 7)
    parts = [mixture.filters(first, last) for first, last in itertools.pairwise(cuts)]
    joined = Mixture.joined(parts)
    for ours, theirs in zip(joined.nodes, mixture.nodes, strict=True):
        assert np.array_equal(ours, theirs)
        assert ours.dtype == theirs.dtype


def test_of__arrays_by_name_is_a_copy(rng):
    mixture = random_mixture(rng, 4)
    copy = Mixture.of(mixture.nodes._asdict())
    for ours, theirs in zip(copy.nodes, mixture.nodes, strict=True):
        assert np.array_equal(ours, theirs)
        assert not np.shares_memory(ours, theirs)


@pytest.mark.parametrize("first, last", [(0, 4), (1, 3), (2, 2)])
def test_rows__are_a_filters_nodes(rng, first, last):
    mixture = random_mixture(rng, 4)
    channel = mixture.channel
    expected = np.flatnonzero((channel >= first) & (channel < last))
    assert np.array_equal(np.arange(len(mixture))[mixture.rows(first, last)], expected)


def test_at__gives_equal_nodes_to_every_filter(rng):
    places = rng.uniform(0, SIDE, (12, 2))
    mixture = Mixture.at(places, 4)
    assert mixture.start.tolist() == [0, 3, 6, 9, 12]
    assert np.array_equal(mixture.mu, places)
    np.testing.assert_allclose(mixture.weight, 1 / 3)
    assert mixture.noise.shape == (4,)


def test_no_nodes__is_noise_alone():
    peaks, mixture, _ = problem(0)
    empty = mixture.select(np.zeros(0, dtype=np.int64))
    prior = flat_prior(0, len(peaks), 1.0)
    fitted = em(peaks, empty, prior)
    assert len(fitted.mixture) == 0
    fired = peaks.weight.any(axis=(0, 2))
    np.testing.assert_allclose(fitted.mixture.noise[fired], 1, atol=1e-5)
    assert np.all(fitted.trace[:, -1] <= 0)
