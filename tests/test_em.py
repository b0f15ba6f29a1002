"""One EM step, the whole of EM and inference, against loops."""

import itertools

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from explgraph.structures import Peaks
from mining.em import Mixture, PeakColumns, e_step, fit, held_out_gain, infer, m_step, places
from mining.parents import Prior, flat_prior, plain_prior
from tests import oracle
from tests.planted_peaks import SIDE, layer_spec, random_peaks

AREA = float(SIDE * SIDE)
SEEDS = range(6)


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
        rng.normal(0, 12, (*shape, 2)).astype(np.float32),
        rng.uniform(9, 900, shape).astype(np.float32),
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
    """The mixture and the objective of every step, without the stopping rule."""
    result = fit(
        PeakColumns.of(peaks), mixture, prior, AREA, **{"max_iter": 15, "tol": 0, **options}
    )
    return result[0], result[-1]


# -- the E-step ------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", SEEDS)
def test_e_step__sums_responsibilities(seed):
    peaks, mixture, prior = problem(seed)
    stats = e_step(PeakColumns.of(peaks), mixture, prior, AREA)
    resp, log = oracle.responsibilities(peaks, mixture, prior, AREA)
    weight = peaks.weight.transpose(1, 0, 2).astype(float)
    shares = weight[mixture.channel] * resp
    np.testing.assert_allclose(stats.objective, (weight * log).sum(axis=(1, 2)), rtol=1e-9)
    np.testing.assert_allclose(stats.total_mass, weight.sum(axis=(1, 2)), rtol=1e-9)
    np.testing.assert_allclose(stats.mass, shares.sum(axis=(1, 2)), rtol=1e-8, atol=1e-10)
    signal = np.zeros(len(stats.noise_mass))
    np.add.at(signal, mixture.channel, shares.sum(axis=(1, 2)))
    np.testing.assert_allclose(stats.noise_mass, stats.total_mass - signal, rtol=1e-8, atol=1e-9)


@pytest.mark.parametrize("seed", SEEDS)
def test_e_step__square_is_the_spread_about_the_predicted_place(seed):
    peaks, mixture, prior = problem(seed)
    stats = e_step(PeakColumns.of(peaks), mixture, prior, AREA)
    resp, _ = oracle.responsibilities(peaks, mixture, prior, AREA)
    expected = np.zeros(len(mixture))
    for c, i, k, f, place in oracle.every_peak(peaks):
        for v in range(mixture.start[c], mixture.start[c + 1]):
            off = place - mixture.mu[v] - prior.shift[v, i]
            expected[v] += f * resp[v, i, k] * (off @ off)
    np.testing.assert_allclose(stats.square, expected, rtol=1e-8, atol=1e-7)


def test_e_step__shares_add_up_to_the_response():
    peaks, mixture, prior = problem(1)
    stats = e_step(PeakColumns.of(peaks), mixture, prior, AREA)
    explained = np.bincount(mixture.channel, stats.mass, minlength=peaks.layer.channels)
    np.testing.assert_allclose(explained + stats.noise_mass, stats.total_mass, rtol=1e-12)
    assert np.all(stats.mass >= 0)


def test_objective__of_nodes_that_explain_nothing_is_that_of_noise():
    peaks, mixture, prior = problem(2)
    away = Mixture(mixture.start, mixture.mu + 1e5, mixture.weight, mixture.noise)
    stats = e_step(PeakColumns.of(peaks), away, prior, AREA)
    weight = peaks.weight.sum(axis=(0, 2), dtype=float)
    np.testing.assert_allclose(stats.objective, weight * np.log(mixture.noise), rtol=1e-9)
    assert not stats.mass.any()


# -- the M-step ------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", SEEDS)
def test_m_step__equals_the_loops(seed):
    peaks, mixture, prior = problem(seed, n_images=6)
    stepped = m_step(mixture, e_step(PeakColumns.of(peaks), mixture, prior, AREA))
    expected = oracle.m_step(peaks, mixture, prior, AREA)
    lives = expected["weight"] > 1e-9  # what explains less than 1e-12 may be dropped
    np.testing.assert_allclose(stepped.weight, expected["weight"], rtol=1e-7, atol=1e-9)
    np.testing.assert_allclose(stepped.mu[lives], expected["mu"][lives], rtol=1e-6)
    np.testing.assert_allclose(stepped.noise, np.clip(expected["noise"], 1e-6, 1 - 1e-6), rtol=1e-7)
    assert np.array_equal(stepped.start, mixture.start)


def test_m_step__weights_are_the_best_of_the_minoriser():
    """No other weights of a filter give a higher sum_iV R_iV log w_V - sum_V w_V offer_V."""
    peaks, mixture, prior = problem(4, n_images=8)
    stats = e_step(PeakColumns.of(peaks), mixture, prior, AREA)
    weight = stats.mass / np.where(stats.offer > 0, stats.offer, np.inf)
    rng = np.random.default_rng(0)

    def bound(w):
        some = stats.mass > 0
        return np.sum(stats.mass[some] * np.log(w[some])) - np.sum(w * stats.offer)

    best = bound(weight)
    assert all(bound(weight * rng.uniform(0.5, 2, len(weight))) <= best for _ in range(50))


def test_m_step__leaves_a_node_without_response_where_it_is():
    peaks, mixture, prior = problem(1)
    mu = mixture.mu.copy()
    mu[0] += 1e5
    lost = Mixture(mixture.start, mu, mixture.weight, mixture.noise)
    stepped = m_step(lost, e_step(PeakColumns.of(peaks), lost, prior, AREA))
    assert np.array_equal(stepped.mu[0], mu[0])
    assert stepped.weight[0] == 0
    assert np.isfinite(stepped.mu).all()


def test_m_step__a_filter_that_never_fires_keeps_its_noise():
    peaks, mixture, prior = problem(1)
    weight = peaks.weight.copy()
    weight[:, 1] = 0
    silent = PeakColumns.of(type(peaks)(peaks.layer, peaks.yx, weight))
    stepped = m_step(mixture, e_step(silent, mixture, prior, AREA))
    assert stepped.noise[1] == mixture.noise[1]
    assert not stepped.weight[mixture.channel == 1].any()


# -- EM --------------------------------------------------------------------------------------------


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    seed=st.integers(0, 2**32 - 1),
    n_images=st.integers(2, 12),
    n_peaks=st.integers(1, 6),
    flat=st.booleans(),
)
def test_objective__never_falls(seed, n_images, n_peaks, flat):
    rng = np.random.default_rng(seed)
    peaks = random_peaks(rng, n_images, n_peaks=n_peaks)
    mixture = random_mixture(rng, peaks.layer.channels)
    prior = random_prior(rng, len(mixture), n_images, flat)
    before, now = PeakColumns.of(peaks), mixture
    history = [e_step(before, now, prior, AREA).objective]
    for _ in range(12):
        now = m_step(now, e_step(before, now, prior, AREA))
        history.append(e_step(before, now, prior, AREA).objective)
    scale = np.abs(history).max(axis=0) + peaks.weight.sum(axis=(0, 2))
    assert np.all(np.diff(history, axis=0) >= -1e-9 * scale)  # in every filter by itself


@pytest.mark.parametrize("seed", SEEDS)
def test_fit__records_the_objective_of_the_loops(seed):
    peaks, mixture, prior = problem(seed)
    fitted, history = em(peaks, mixture, prior, max_iter=3)
    expected = oracle.objective(peaks, mixture, prior, AREA)
    np.testing.assert_allclose(history[0], expected, rtol=1e-9)
    last = oracle.objective(peaks, fitted, prior, AREA)
    np.testing.assert_allclose(history[-1], last, rtol=1e-9)
    assert len(history) == 4


def test_fit__stops_when_a_step_adds_little():
    peaks, mixture, prior = problem(0, n_images=10)
    _, history = em(peaks, mixture, prior, max_iter=100, tol=0.1)
    steps = np.diff(history)
    assert len(steps) < 100
    assert steps[-1] <= 0.1 * (history[-1] - history[0])
    assert np.all(steps[:-1] > 0.1 * (np.array(history[1:-1]) - history[0]))


def test_fit__of_mirrored_peaks_is_mirrored(rng):
    peaks, mixture, prior = problem(5, n_images=8)
    weight, yx = peaks.weight, peaks.yx.copy()
    yx[..., 1] = SIDE - yx[..., 1]
    other = type(peaks)(peaks.layer, yx, weight)
    flip = np.array([1, -1])
    mirrored = Mixture(mixture.start, [0, SIDE] + flip * mixture.mu, mixture.weight, mixture.noise)
    shift = (prior.shift * flip).astype(np.float32)
    given_fit, history = em(peaks, mixture, prior)
    other_fit, other_history = em(other, mirrored, prior._replace(shift=shift))
    np.testing.assert_allclose(other_fit.mu, [0, SIDE] + flip * given_fit.mu, atol=1e-4)
    np.testing.assert_allclose(other_fit.weight, given_fit.weight, atol=1e-6)
    np.testing.assert_allclose(other_history, history, rtol=1e-6)


def test_fit__does_not_depend_on_the_order_of_photos(rng):
    peaks, mixture, prior = problem(4, n_images=9)
    order = rng.permutation(9)
    fitted, history = em(peaks, mixture, prior)
    permuted = Prior(*(np.ascontiguousarray(part[:, order]) for part in prior))
    again, other = em(peaks.take(order), mixture, permuted)
    np.testing.assert_allclose(again.mu, fitted.mu, rtol=1e-9)
    np.testing.assert_allclose(again.weight, fitted.weight, rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(other, history, rtol=1e-9)


# -- inference -------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", SEEDS)
def test_infer__equals_the_loops(seed):
    peaks, mixture, prior = problem(seed)
    columns = PeakColumns.of(peaks)
    found = infer(columns, mixture, prior, AREA)
    yx, score, log_density, gain = oracle.infer(peaks, mixture, prior, AREA)
    np.testing.assert_allclose(found.score, score, rtol=1e-5, atol=1e-8)
    np.testing.assert_allclose(found.gain, gain, rtol=1e-9, atol=1e-12)
    sure = score > 1e-8  # the library takes densities of 1e-14 for zero
    at = places(columns, mixture, prior, found, pull=1)
    np.testing.assert_allclose(at[sure], yx[sure], rtol=1e-5)
    np.testing.assert_allclose(found.log_density[sure], log_density[sure], rtol=1e-5, atol=1e-5)


def test_places__are_part_of_the_way_from_the_prediction_to_the_peak():
    """Predicted at (64 + 4, 64 - 8), the peak at (80, 60): a quarter of the way is (71, 57)."""
    weight, yx = np.zeros((2, 2, 4)), np.zeros((2, 2, 4, 2))
    weight[0, 0, 0], yx[0, 0, 0] = 1, (80, 60)
    columns = PeakColumns.of(Peaks(layer_spec(0, 16, 2), yx, weight))
    prior = plain_prior(np.tile(np.float32([4, -8]), (1, 2, 1)), 100.0)
    found = infer(columns, one_node(), prior, AREA)
    assert found.peak.tolist() == [[0, -1]]
    for pull, expected in ((0.25, (71, 57)), (0.5, (74, 58)), (1, (80, 60))):
        at = places(columns, one_node(), prior, found, pull)
        np.testing.assert_allclose(at[0], [expected, (68, 56)])


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
    columns = PeakColumns.of(type(peaks)(peaks.layer, peaks.yx, weight))
    found = infer(columns, mixture, prior, AREA)
    assert not found.score[:, 2].any()
    assert not found.gain[:, 2].any()
    for pull in (0.3, 1):
        at = places(columns, mixture, prior, found, pull)[:, 2]
        np.testing.assert_allclose(at, mixture.mu + prior.shift[:, 2], rtol=1e-5)
    expected = -np.log(2 * np.pi * prior.var[:, 2].astype(float))
    np.testing.assert_allclose(found.log_density[:, 2], expected, rtol=1e-5)


@pytest.mark.parametrize("seed", SEEDS)
def test_score__lies_between_0_and_the_response(seed):
    peaks, mixture, prior = problem(seed)
    score = infer(PeakColumns.of(peaks), mixture, prior, AREA).score
    strongest = peaks.weight.max(axis=2).T[mixture.channel]
    assert np.all(score >= 0)
    assert np.all(score <= strongest)


@pytest.mark.parametrize("seed", SEEDS)
def test_held_out_gain__leaves_every_photo_out_in_its_turn(seed):
    peaks, mixture, prior = problem(seed, n_images=5)
    columns = PeakColumns.of(peaks)
    stats = e_step(columns, mixture, prior, AREA)
    gain = held_out_gain(columns, mixture, prior, AREA, stats)
    expected = oracle.held_out_gain(peaks, mixture, prior, AREA)
    # A node that lives from one photo alone has no others to be predicted from: see the next test.
    resp, _ = oracle.responsibilities(peaks, mixture, prior, AREA)
    pull = (peaks.weight.transpose(1, 0, 2)[mixture.channel] * resp).sum(axis=2) / prior.var
    rest = pull.sum(axis=1) - pull.max(axis=1, initial=0)
    several = rest > 1e-5 * pull.sum(axis=1)
    assert several.any()
    np.testing.assert_allclose(gain[several], expected[several], rtol=1e-6, atol=1e-8)


def test_held_out_gain__of_a_node_that_one_photo_makes_is_not_positive():
    weight, yx = np.zeros((3, 2, 4)), np.zeros((3, 2, 4, 2))
    weight[0, 0, 0], yx[0, 0, 0] = 1, 64
    columns = PeakColumns.of(Peaks(layer_spec(0, 16, 2), yx, weight))
    prior = flat_prior(1, 3, 100.0)
    stats = e_step(columns, one_node(), prior, AREA)
    assert held_out_gain(columns, one_node(), prior, AREA, stats)[0] <= 0


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


def test_no_nodes__is_noise_alone():
    peaks, mixture, _ = problem(0)
    empty = mixture.select(np.zeros(0, dtype=np.int64))
    prior = flat_prior(0, len(peaks), 1.0)
    fitted, history = em(peaks, empty, prior)
    assert len(fitted) == 0
    fired = peaks.weight.any(axis=(0, 2))
    np.testing.assert_allclose(fitted.noise[fired], 1, atol=1e-5)
    assert history[-1] <= 0
