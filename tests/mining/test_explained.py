"""The explained share and the kinds of nodes: by hand, against loops, and on planted peaks."""

import dataclasses
import math

import numba
import numpy as np
import pytest
from scipy.optimize import minimize_scalar

from explgraph.base.errors import ExplGraphError
from explgraph.peaks.structures import GROUP, Peaks
from mining import MiningConfig, mine_peaks
from mining.explained import (
    PLACES_LIMIT,
    STRAY_LIMIT,
    explained_share,
    first_half,
    node_kinds,
    shuffled_filters,
)
from mining.matching import match_peaks, walk_layers
from tests.support import oracle
from tests.support.plain import plain_graph
from tests.support.planted_peaks import SIDE, layer_spec, mirror_image, peak_set, planted_peaks

AREA = float(SIDE * SIDE)
# The first spread is narrow enough for a planted filter's parts to stay apart.
CONFIG = MiningConfig(
    n_parents=3, density_top=0.1, density=0.03, spread_start=0.2, spread_top=0.2, spread=0.08
)
SPREAD = 16.0  # S of the graphs built by hand, pixels
MIDDLE = (64.0, 64.0)
FAR = (64.0, 127.0)  # 63 px from the middle: what a node sees there is less than a thousandth


def hand_graph(mu, channel=None, channels=1, score=1.0, noise=0.1):
    """A graph of one layer without edges and poses, all of which is known; S is 16 px."""
    mu = np.array(mu, dtype=np.float32)
    count = len(mu)
    channel = np.zeros(count, dtype=np.int32) if channel is None else np.array(channel, np.int32)
    weight = 1 / np.bincount(channel, minlength=channels)[channel]
    return plain_graph(
        (layer_spec(0, 16, channels),),
        (SIDE, SIDE),
        (np.zeros(count), channel, np.arange(count)),
        noise=(np.full(channels, noise),),
        mu=mu,
        spread=np.full(count, SPREAD),
        weight=weight,
        score=np.full(count, score),
        header={"config": MiningConfig(spread_start=SPREAD / SIDE).to_json()},
    )


def hand_peaks(photos, channels=1, n_peaks=4):
    """Peaks from [[(filter, y, x, F), ...], ...], one list for each photo, strongest first."""
    yx = np.zeros((len(photos), channels, n_peaks, 2))
    weight = np.zeros((len(photos), channels, n_peaks))
    for i, photo in enumerate(photos):
        for c, y, x, f in photo:
            k = int(np.count_nonzero(weight[i, c]))
            yx[i, c, k], weight[i, c, k] = (y, x), f
    return peak_set((Peaks(layer_spec(0, 16, channels), yx, weight),), mirror=False)


def parts(graph):
    return np.zeros(len(graph), dtype=bool)


@pytest.fixture(scope="module")
def planted():
    """Photos as given: to be mined, and as many more of the same filters."""
    peaks = planted_peaks(n_images=32, strides=(8, 16), channels=3, seed=2).peaks
    return dataclasses.replace(peaks, mirrored=None, sketch=None)


@pytest.fixture(scope="module")
def graph(planted):
    return mine_peaks(planted.take(np.arange(16)), config=CONFIG)


@pytest.fixture(scope="module")
def unseen(planted):
    return planted.take(np.arange(16, 32))


# -- the share, by hand ----------------------------------------------------------------------------


def test_share__of_one_node_and_one_stray_peak():
    """A node at (0, 0) with S = 8; each photo has F = 3 on it and F = 1 beyond its reach.

    Uniform noise has density 1 / 128^2, so on the node the odds are q = 128^2 / (2 pi 8^2) = 128 /
    pi = 40.744 and far away 0. pi maximises 3 log(pi + (1 - pi) q) + log(pi): its slope is zero at
    pi = q / (4 (q - 1)) = .25629. The near peak is explained by (1 - pi) q / (pi + (1 - pi) q) =
    .99161, the far one not at all: 3 * .99161 / 4 = .74371.
    """
    graph = hand_graph([(0, 0)])
    config = MiningConfig(spread_start=8 / SIDE).to_json()
    graph = dataclasses.replace(graph, header={"config": config})
    peaks = hand_peaks([[(0, 0, 0, 3), (0, 128, 128, 1)]] * 2)
    share = explained_share(graph, peaks, texture=parts(graph))
    assert share.overall.part == pytest.approx(0.74371, abs=1e-5)
    assert share.overall.texture == 0
    assert share.overall.unexplained == pytest.approx(0.25629, abs=1e-5)
    assert share.layers == (share.overall,)
    other = explained_share(graph, peaks, texture=~parts(graph))
    assert other.overall.texture == share.overall.part
    assert other.overall.part == 0
    assert other.overall.explained == share.overall.explained


def test_share__is_divided_by_responsibility():
    """Two nodes at equal distance from the only peak explain it by halves, noise nearly nothing."""
    graph = hand_graph([(64, 54), (64, 74)])
    peaks = hand_peaks([[(0, *MIDDLE, 2)]] * 2)
    share = explained_share(graph, peaks, texture=np.array([False, True])).overall
    assert share.part == pytest.approx(0.5, abs=1e-5)
    assert share.texture == pytest.approx(0.5, abs=1e-5)
    assert share.unexplained == pytest.approx(0, abs=1e-5)


def test_share__a_photo_is_counted_under_noise_that_has_not_seen_it():
    """The first photo lies on the node, the second in the far corner.

    Each alone would fit a pi_0 of its own, 0 and 1, under which half of the response is explained.
    Crossed over, the first is counted under 1 and the second is beyond reach: nothing is.
    """
    graph = hand_graph([(0, 0)])
    config = MiningConfig(spread_start=8 / SIDE).to_json()
    graph = dataclasses.replace(graph, header={"config": config})
    near, far = [(0, 0, 0, 1)], [(0, 128, 128, 1)]
    crossed = explained_share(graph, hand_peaks([near, far]), texture=parts(graph))
    assert crossed.overall.explained == pytest.approx(0, abs=1e-4)
    mixed = explained_share(graph, hand_peaks([near, near, far, far]), texture=parts(graph))
    assert 0.45 < mixed.overall.explained < 0.5


def test_share__groups_stay_in_one_half():
    graph = hand_graph([(0, 0)])
    near, far = [(0, 0, 0, 1)], [(0, 128, 128, 1)]
    peaks = hand_peaks([near, near, far, far])
    together = explained_share(graph, peaks, texture=parts(graph), groups=["a", "a", "b", "b"])
    mixed = explained_share(graph, peaks, texture=parts(graph), groups=["a", "b", "a", "b"])
    assert together.overall.explained < 0.01 < 0.4 < mixed.overall.explained


def test_share__noise_may_come_from_other_photos():
    """pi_0 of the photos above: .27724 with S = 16 (q = 10.186); this one's peak is on the node."""
    graph = hand_graph([(0, 0)])
    here = hand_peaks([[(0, 0, 0, 5)]])
    there = hand_peaks([[(0, 0, 0, 3), (0, 128, 128, 1)]])
    share = explained_share(graph, here, texture=parts(graph), noise_from=there)
    assert share.overall.explained == pytest.approx(0.96371, abs=1e-4)


def test_share__a_filter_that_is_silent_elsewhere_keeps_the_graphs_noise():
    """(1 - .1) q / (.1 + (1 - .1) q) = 9.1674 / 9.2674 with q = 10.186."""
    graph = hand_graph([(0, 0)], noise=0.1)
    here, nothing = hand_peaks([[(0, 0, 0, 5)]]), hand_peaks([[]])
    share = explained_share(graph, here, texture=parts(graph), noise_from=nothing)
    assert share.overall.explained == pytest.approx(0.98921, abs=1e-5)


def test_share__of_filters_without_nodes_is_unexplained():
    graph = hand_graph([MIDDLE], channels=2)
    peaks = hand_peaks([[(0, *MIDDLE, 1), (1, *MIDDLE, 3)]] * 2, channels=2)
    share = explained_share(graph, peaks, texture=parts(graph)).overall
    assert share.unexplained == pytest.approx(0.75, abs=1e-5)


def test_share__of_nothing_is_nan():
    graph = hand_graph([MIDDLE])
    share = explained_share(graph, hand_peaks([[], []]), texture=parts(graph)).overall
    assert all(math.isnan(v) for v in (share.part, share.texture, share.unexplained))
    assert math.isnan(share.explained)


# -- the share, against loops ----------------------------------------------------------------------


def loops(graph, peaks, texture, fit, count):
    """The masses (part, texture, noise) of each layer: pi_0 by a scalar optimiser, sums by loops.

    Both sets of photos are masks; orientation as given.
    """
    mass = np.zeros((len(graph.layers), 3))
    for found in walk_layers(graph, peaks.peaks):
        layer, mixture, prior = peaks.peaks[found.layer], found.mixture, found.prior

        def likelihood(pi, c, layer=layer, mixture=mixture, prior=prior):
            noise = dataclasses.replace(mixture, noise=np.full(len(mixture.noise), pi))
            total = 0.0
            for channel, i, _, f, place in oracle.every_peak(layer):
                if channel == c and fit[i]:
                    terms = oracle.terms(noise, prior, c, i, place)
                    total += f * math.log(sum(terms.values()) + pi / AREA)
            return total

        best = [
            minimize_scalar(
                lambda pi, c=c: -likelihood(pi, c),
                bounds=(1e-6, 1 - 1e-6),
                method="bounded",
                options={"xatol": 1e-9},
            ).x
            for c in range(layer.layer.channels)
        ]
        fitted = dataclasses.replace(mixture, noise=np.array(best))
        resp, _ = oracle.responsibilities(layer, fitted, prior, AREA)
        for c, i, k, f, _ in oracle.every_peak(layer):
            if count[i]:
                own = slice(mixture.start[c], mixture.start[c + 1])
                r, kind = resp[own, i, k], texture[found.rows][own]
                mass[found.layer] += f * np.array([r[~kind].sum(), r[kind].sum(), 1 - r.sum()])
    return mass


def test_share__equals_the_loops(graph, unseen):
    peaks = unseen.take(np.arange(8))
    texture = np.arange(len(graph)) % 2 == 0
    share = explained_share(graph, peaks, texture=texture)
    first = np.arange(8) % 2 == 0  # names sort in order
    mass = loops(graph, peaks, texture, first, ~first) + loops(graph, peaks, texture, ~first, first)
    expected = mass / mass.sum(axis=1, keepdims=True)
    found = [dataclasses.astuple(layer) for layer in share.layers]
    np.testing.assert_allclose(found, expected, atol=2e-5)
    np.testing.assert_allclose(
        dataclasses.astuple(share.overall), mass.sum(axis=0) / mass.sum(), atol=2e-5
    )
    assert expected.min() > 0.01  # all three are there to be compared


def test_share__adds_up_to_1(graph, unseen, rng):
    share = explained_share(graph, unseen, texture=rng.random(len(graph)) < 0.5)
    for row in (*share.layers, share.overall):
        assert row.part + row.texture + row.unexplained == pytest.approx(1, abs=1e-12)
        assert row.explained == pytest.approx(1 - row.unexplained, abs=1e-12)


def test_share__photos_are_taken_as_the_graph_sees_them(graph, unseen):
    both = dataclasses.replace(unseen, mirrored=tuple(mirror_image(p) for p in unseen.peaks))
    turned = dataclasses.replace(both, peaks=both.mirrored, mirrored=both.peaks)
    alone = dataclasses.replace(turned, mirrored=None)
    shares = [
        explained_share(graph, peaks, texture=parts(graph)).overall
        for peaks in (both, turned, alone)
    ]
    assert shares[0] == shares[1]
    assert shares[2].explained < shares[0].explained - 0.1


def test_share_and_kinds__of_more_photos_than_one_group(graph, unseen):
    """Twenty times the same photos say the same, if each photo's copies lie in one half."""
    both = dataclasses.replace(unseen, mirrored=tuple(mirror_image(p) for p in unseen.peaks))
    many = both.take(np.tile(np.arange(16), 20))
    assert len(many) > GROUP
    once, often = node_kinds(graph, both), node_kinds(graph, many)
    np.testing.assert_allclose(often.stray, once.stray, rtol=1e-9)
    np.testing.assert_allclose(often.places, once.places, rtol=1e-9)
    shares = [
        explained_share(graph, peaks, texture=once.texture, groups=peaks.images).overall
        for peaks in (both, many)
    ]
    np.testing.assert_allclose(*map(dataclasses.astuple, shares), rtol=1e-9)


@pytest.mark.parametrize("threads", [1, 3])
def test_share_and_kinds__do_not_depend_on_threads(graph, unseen, threads):
    before = numba.get_num_threads()
    expected = node_kinds(graph, unseen)
    share = explained_share(graph, unseen, texture=expected.texture)
    numba.set_num_threads(min(threads, before))
    try:
        found = node_kinds(graph, unseen)
        assert explained_share(graph, unseen, texture=expected.texture) == share
    finally:
        numba.set_num_threads(before)
    for name in ("places", "stray", "texture"):
        assert np.array_equal(getattr(found, name), getattr(expected, name))


# -- controls --------------------------------------------------------------------------------------


def test_shuffled_filters__swap_those_that_have_nodes():
    graph = hand_graph([MIDDLE] * 4, channel=[0, 2, 2, 4], channels=6)
    (order,) = shuffled_filters(graph, seed=3)
    assert sorted(order[[0, 2, 4]]) == [0, 2, 4]
    assert not np.any(order[[0, 2, 4]] == [0, 2, 4])
    assert list(order[[1, 3, 5]]) == [1, 3, 5]
    assert np.array_equal(order, shuffled_filters(graph, seed=3)[0])
    many = hand_graph([MIDDLE] * 50, channel=range(50), channels=50)
    assert not np.array_equal(shuffled_filters(many)[0], shuffled_filters(many, seed=1)[0])
    assert not np.any(shuffled_filters(many)[0] == np.arange(50))


def test_shuffled_filters__a_single_filter_keeps_its_peaks():
    assert list(shuffled_filters(hand_graph([MIDDLE], channels=3))[0]) == [0, 1, 2]


def permute(peaks, order):
    """Layers of peaks with other filters' peaks in each filter's place."""
    pairs = zip(peaks.peaks, order, strict=True)
    return tuple(Peaks(p.layer, p.yx[:, o], p.weight[:, o]) for p, o in pairs)


@pytest.mark.parametrize("pose_rank", [0, 4])
def test_share__shuffled_filters_see_other_peaks_and_keep_their_prior(planted, unseen, pose_rank):
    """In the top layer this is the share of permuted peaks; below, parents see their own ones.

    Not in the top layer either where its prior is a pose: that is read off its own filters too.
    """
    config = dataclasses.replace(CONFIG, pose_rank=pose_rank)
    graph = mine_peaks(planted.take(np.arange(16)), config=config)
    order = shuffled_filters(graph)
    share = explained_share(graph, unseen, texture=parts(graph), filters=order)
    permuted = permute(unseen, order)
    top, other = explained_share(
        graph, dataclasses.replace(unseen, peaks=permuted), texture=parts(graph)
    ).layers[::-1]
    assert (share.layers[1] == top) == (pose_rank == 0)
    assert share.layers[0] != other
    lower = dataclasses.replace(unseen, peaks=(permuted[0], unseen.peaks[1]))
    assert explained_share(graph, lower, texture=parts(graph)).layers[0] == share.layers[0]


def test_share__of_planted_parts_is_above_both_controls(graph, unseen):
    background = planted_peaks(n_images=16, strides=(8, 16), channels=3, seed=7).peaks
    background = dataclasses.replace(background, mirrored=None)
    own, shuffled, other = (
        explained_share(graph, peaks, texture=parts(graph), filters=order).overall.explained
        for peaks, order in (
            (unseen, None),
            (unseen, shuffled_filters(graph)),
            (background, None),
        )
    )
    assert own > 0.7
    assert own > shuffled + 0.15
    assert own > other + 0.15


def test_matches__that_are_known_are_not_made_again(graph, unseen, monkeypatch):
    found = match_peaks(graph, unseen)
    kinds = node_kinds(graph, unseen)
    share = explained_share(graph, unseen, texture=kinds.texture)
    monkeypatch.setattr("mining.explained.match_peaks", None)
    again = node_kinds(graph, unseen, found=found)
    np.testing.assert_array_equal(again.places, kinds.places)
    np.testing.assert_array_equal(again.stray, kinds.stray)
    assert explained_share(graph, unseen, texture=kinds.texture, found=found) == share


def test_matches__say_which_photos_are_mirrored(graph, unseen):
    """Told that all photos are mirrored, the graph explains less of them."""
    both = dataclasses.replace(unseen, mirrored=tuple(mirror_image(p) for p in unseen.peaks))
    found = match_peaks(graph, both)
    assert not found.mirrored.any()
    wrong = dataclasses.replace(found, mirrored=np.ones(len(found)))
    right, other = (
        explained_share(graph, both, texture=parts(graph), found=each).overall.explained
        for each in (found, wrong)
    )
    assert other < right - 0.05


def test_matches__of_other_photos_are_refused(graph, unseen):
    found = match_peaks(graph, unseen)
    for photos in (slice(0, 3), np.arange(len(unseen))[::-1]):
        with pytest.raises(ExplGraphError, match="match these peaks, or leave `found` out"):
            node_kinds(graph, unseen, found=found.take(np.arange(len(unseen))[photos]))


# -- kinds of nodes --------------------------------------------------------------------------------


def test_stray__by_hand():
    """F = 1 on the prediction and F = 1 at distance S: e = exp(-1/2) = .60653.

    (1 * 0 + e / 2) / (1 + e) = .30327 / 1.60653 = .18877, whose root is .43448.
    """
    kinds = node_kinds(
        hand_graph([MIDDLE]), hand_peaks([[(0, *MIDDLE, 1), (0, 64, 64 + SPREAD, 1)]])
    )
    assert kinds.stray[0] == pytest.approx(0.43448, abs=1e-5)


def test_stray__is_one_by_chance_and_the_root_of_one_half_at_the_models_own_spread(rng):
    graph = hand_graph([MIDDLE, MIDDLE], channel=[0, 1], channels=2)
    anywhere = rng.uniform(0, SIDE, (1, 4000, 4, 2))
    about = 64 + rng.normal(0, SPREAD, (1, 4000, 4, 2))
    yx = np.concatenate([anywhere, about]).swapaxes(0, 1)
    peaks = peak_set((Peaks(layer_spec(0, 16, 2), yx, np.ones(yx.shape[:3])),), mirror=False)
    kinds = node_kinds(graph, peaks)
    # The middle is 4 S from the border: the window's moment is whole.
    np.testing.assert_allclose(kinds.stray, [1, 0.70711], atol=0.03)


def test_stray__of_a_node_without_peaks_is_chance():
    kinds = node_kinds(hand_graph([MIDDLE]), hand_peaks([[], []]))
    assert (kinds.stray[0], kinds.places[0]) == (1, 0)
    assert kinds.texture[0]


def test_places__by_hand():
    """Peaks of F = 4 (the node's own), 2 and 1.9: two are at least half as strong as the own one.

    The other photo has the own one alone, with a score half as high: (2 * 2 + 1 * 1) / 3. Scores
    are F times a responsibility that is nearly the same in both.
    """
    graph = hand_graph([MIDDLE], score=2.0, noise=1e-6)
    one = [(0, *MIDDLE, 4), (0, *FAR, 2), (0, 0, 0, 1.9)]
    kinds = node_kinds(graph, hand_peaks([one, [(0, *MIDDLE, 2)]]))
    assert kinds.places[0] == pytest.approx(5 / 3, abs=1e-4)


def test_places__photos_in_which_the_node_does_not_fire_do_not_count():
    graph = hand_graph([MIDDLE], score=4.0, noise=1e-6)
    one = [(0, *MIDDLE, 1), (0, *FAR, 1), (0, 0, 0, 1)]  # 1 is less than half of 4
    kinds = node_kinds(graph, hand_peaks([one, [(0, *MIDDLE, 4)]]))
    assert kinds.places[0] == pytest.approx(1, abs=1e-6)


def test_places__another_parts_peak_is_no_place_of_this_one():
    """Filter 0 has a node on either peak, filter 1 on one of the two only."""
    graph = hand_graph([MIDDLE, FAR, MIDDLE], channel=[0, 0, 1], channels=2)
    photo = [(c, *place, 1) for c in (0, 1) for place in (MIDDLE, FAR)]
    kinds = node_kinds(graph, hand_peaks([photo] * 2, channels=2))
    np.testing.assert_allclose(kinds.places, [1, 1, 2])
    np.testing.assert_allclose(kinds.stray, 0, atol=0.06)  # sqrt(7.8 exp(-7.8)), see FAR
    assert list(kinds.texture) == [False, False, True]


def test_places__a_peak_of_a_node_that_strays_counts():
    """The second node takes peaks at distance 2 S of where it is: it is no part."""
    graph = hand_graph([MIDDLE, (64, 120)], channel=[0, 0], score=0.5)
    photos = [[(0, *MIDDLE, 1), (0, 64 + side * 2 * SPREAD, 120, 1)] for side in (-1, 1)]
    kinds = node_kinds(graph, hand_peaks(photos))
    assert kinds.stray[1] > STRAY_LIMIT > kinds.stray[0]
    assert kinds.places[0] == pytest.approx(2)


def with_textures(planted, rng, channels=3):
    """The planted layers, with filters whose peaks lie anywhere in the inner part of the photo.

    Anywhere in the whole photo they would gain nothing over noise, and mining would drop them.
    """
    layers = []
    for index, p in enumerate(planted.peaks.peaks):
        n, _, k = p.weight.shape
        anywhere = rng.uniform(0.2 * SIDE, 0.8 * SIDE, (n, channels, k, 2))
        weight = np.sort(rng.uniform(1, 1.5, (n, channels, k)))[..., ::-1]
        spec = layer_spec(index, int(p.layer.stride[0]), p.layer.channels + channels)
        yx = np.concatenate([p.yx, anywhere], axis=1)
        layers.append(Peaks(spec, yx, np.concatenate([p.weight, weight], axis=1)))
    return peak_set(tuple(layers), mirror=False)


@pytest.mark.parametrize("limbs", [1, 2])
def test_kinds__moving_parts_and_filters_that_fire_everywhere_are_told_apart(limbs, rng):
    planted = planted_peaks(n_images=24, strides=(8, 16), channels=3, seed=4, limbs=limbs)
    peaks = with_textures(planted, rng)
    # Parts move by 9 px per axis; the textures in the layer above are no good as parents.
    graph = mine_peaks(peaks, config=dataclasses.replace(CONFIG, n_parents=0))
    kinds = node_kinds(graph, peaks)
    everywhere = graph.node_channel >= 3
    assert np.sum(everywhere) >= 6  # at least one node in each of the filters of both layers
    assert np.sum(~everywhere) >= 6 * limbs
    assert np.all(kinds.texture[everywhere])
    assert np.all(kinds.places[everywhere] > PLACES_LIMIT)
    # What is taken for a part, of the weight in the mixtures that have parts.
    weight = graph.weight[~everywhere]
    assert weight[~kinds.texture[~everywhere]].sum() > 0.95 * weight.sum()
    by_filter = explained_share(graph, peaks, texture=everywhere).overall
    share = explained_share(graph, peaks, texture=kinds.texture).overall
    assert share.part == pytest.approx(by_filter.part, abs=0.02)
    assert min(share.part, share.texture) > 0.1


# -- halves and bad input --------------------------------------------------------------------------


def test_first_half__sorted_groups_by_turns():
    assert list(first_half(["b", "a", "c", "b", "d", "10", "9"])) == [
        False,  # sorted: 10, 9, a, b, c, d
        True,
        True,
        False,
        False,
        True,
        False,
    ]


def test_first_half__needs_two_groups(graph, unseen):
    with pytest.raises(ExplGraphError, match="at least 2 groups, got 1"):
        first_half(["a", "a"])
    with pytest.raises(ExplGraphError, match="at least 2 groups, got 0"):
        explained_share(graph, unseen.take(np.zeros(0, dtype=int)), texture=parts(graph))


def test_share__refuses_what_does_not_fit(graph, unseen):
    with pytest.raises(ExplGraphError, match="texture must have shape"):
        explained_share(graph, unseen, texture=np.zeros(3, dtype=bool))
    with pytest.raises(ExplGraphError, match="groups must have shape"):
        explained_share(graph, unseen, texture=parts(graph), groups=["a", "b"])
    with pytest.raises(ExplGraphError, match="one permutation for each of the 2 layers, got 1"):
        explained_share(graph, unseen, texture=parts(graph), filters=[np.arange(3)])
    with pytest.raises(ExplGraphError, match=r"filters of layer1 must be a permutation of 0\.\.2"):
        explained_share(
            graph, unseen, texture=parts(graph), filters=[np.arange(3), np.array([0, 0, 1])]
        )
    one_layer = hand_peaks([[(0, *MIDDLE, 1)]] * 2)
    with pytest.raises(ExplGraphError, match="the peaks are of layers"):
        explained_share(graph, one_layer, texture=parts(graph))
    with pytest.raises(ExplGraphError, match="the peaks are of layers"):
        node_kinds(graph, one_layer)
