"""The explained share: by hand, against loops, and on planted peaks."""

import dataclasses
import math

import numba
import numpy as np
import pytest
from scipy.optimize import minimize_scalar

from explgraph.base.errors import ExplGraphError
from explgraph.graphs.kinds import KINDS, node_kinds
from explgraph.peaks.structures import GROUP, Peaks
from mining import MiningConfig, mine_peaks
from mining.explained import COUNTS, explained_share, first_half, shuffled_filters
from mining.matching import match_peaks, walk_layers
from tests.support import oracle
from tests.support.plain import plain_graph, plain_groups
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


def with_kinds(graph, kinds):
    """A graph that knows its nodes to be part, texture or background; each kind must be there."""
    contrast = np.where(np.array(kinds) == "background", 0.1, 1.0)
    gain = np.where(np.array(kinds) == "part", 1.0, 0.1)
    groups = plain_groups(graph, np.zeros(len(graph), dtype=int), node_gain=gain)
    graph = graph.having(contrast=contrast, groups=groups)
    assert node_kinds(graph).kind.tolist() == list(kinds)
    return graph


@pytest.fixture(scope="module")
def planted():
    """Photos as given: to be mined, and as many more of the same filters."""
    peaks = planted_peaks(n_images=32, strides=(8, 16), channels=3, seed=2).peaks
    return dataclasses.replace(peaks, mirrored=None)


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
    share = explained_share(graph, peaks).all_peaks
    assert share.overall.explained == pytest.approx(0.74371, abs=1e-5)
    assert share.layers == (share.overall,)
    unknown = dataclasses.astuple(share.overall)[1:]
    assert all(math.isnan(value) for value in unknown)  # no kinds, no object


def test_share__of_strong_peaks_and_of_the_strongest_by_hand():
    """As above, with F = 3 on the node and F = 2, F = 1.5 in the far corner.

    The strong ones are 3 and 2: 3 log(pi + (1 - pi) q) + 2 log(pi) is largest at pi = 2 q /
    (5 (q - 1)) = .41007, so (1 - pi) q / (pi + (1 - pi) q) = .98323 of 3 is explained and nothing
    of 2: .58994. The strongest alone is explained wholly, up to the least noise.
    """
    graph = hand_graph([(0, 0)])
    config = MiningConfig(spread_start=8 / SIDE).to_json()
    graph = dataclasses.replace(graph, header={"config": config})
    photo = [(0, 0, 0, 3), (0, 128, 128, 2), (0, 128, 120, 1.5)]
    share = explained_share(graph, hand_peaks([photo] * 2))
    assert share.strong_peaks.overall.explained == pytest.approx(0.58994, abs=1e-5)
    assert share.strongest_peak.overall.explained == pytest.approx(1, abs=1e-5)
    assert share.all_peaks.overall.explained < 0.5


def test_share__is_divided_by_responsibility():
    """Nodes at equal distance from the only peak explain it by quarters, noise nearly nothing."""
    graph = hand_graph([(64, 54), (64, 74), (54, 64), (74, 64)])
    graph = with_kinds(graph, ["part", "part", "background", "texture"])
    share = explained_share(graph, hand_peaks([[(0, *MIDDLE, 2)]] * 2)).all_peaks.overall
    assert share.part == pytest.approx(0.5, abs=1e-5)
    assert share.texture == pytest.approx(0.25, abs=1e-5)
    assert share.background == pytest.approx(0.25, abs=1e-5)
    assert share.explained == pytest.approx(1, abs=1e-5)


def test_share__of_a_graph_whose_kinds_are_unknown_is_not_divided():
    graph = hand_graph([(64, 54), (64, 74)])
    groups = plain_groups(graph, [0, 0], node_gain=np.ones(2))
    graph = graph.having(contrast=np.ones(2), groups=groups)  # all would be parts
    share = explained_share(graph, hand_peaks([[(0, *MIDDLE, 2)]] * 2)).all_peaks.overall
    assert share.explained > 0.9
    assert math.isnan(share.part)
    assert math.isnan(share.texture)


def test_share__a_photo_is_counted_under_noise_that_has_not_seen_it():
    """The first photo lies on the node, the second in the far corner.

    Each alone would fit a pi_0 of its own, 0 and 1, under which half of the response is explained.
    Crossed over, the first is counted under 1 and the second is beyond reach: nothing is.
    """
    graph = hand_graph([(0, 0)])
    config = MiningConfig(spread_start=8 / SIDE).to_json()
    graph = dataclasses.replace(graph, header={"config": config})
    near, far = [(0, 0, 0, 1)], [(0, 128, 128, 1)]
    crossed = explained_share(graph, hand_peaks([near, far]))
    assert crossed.all_peaks.overall.explained == pytest.approx(0, abs=1e-4)
    mixed = explained_share(graph, hand_peaks([near, near, far, far]))
    assert 0.45 < mixed.all_peaks.overall.explained < 0.5


def test_share__groups_stay_in_one_half():
    graph = hand_graph([(0, 0)])
    near, far = [(0, 0, 0, 1)], [(0, 128, 128, 1)]
    peaks = hand_peaks([near, near, far, far])
    together = explained_share(graph, peaks, groups=["a", "a", "b", "b"])
    mixed = explained_share(graph, peaks, groups=["a", "b", "a", "b"])
    assert together.all_peaks.overall.explained < 0.01 < 0.4 < mixed.all_peaks.overall.explained


def test_share__noise_may_come_from_other_photos():
    """pi_0 of the photos above: .27724 with S = 16 (q = 10.186); this one's peak is on the node."""
    graph = hand_graph([(0, 0)])
    here = hand_peaks([[(0, 0, 0, 5)]])
    there = hand_peaks([[(0, 0, 0, 3), (0, 128, 128, 1)]])
    share = explained_share(graph, here, noise_from=there)
    assert share.all_peaks.overall.explained == pytest.approx(0.96371, abs=1e-4)


def test_share__a_filter_that_is_silent_elsewhere_keeps_the_graphs_noise():
    """(1 - .1) q / (.1 + (1 - .1) q) = 9.1674 / 9.2674 with q = 10.186."""
    graph = hand_graph([(0, 0)], noise=0.1)
    here, nothing = hand_peaks([[(0, 0, 0, 5)]]), hand_peaks([[]])
    share = explained_share(graph, here, noise_from=nothing)
    assert share.all_peaks.overall.explained == pytest.approx(0.98921, abs=1e-5)


def test_share__of_filters_without_nodes_is_unexplained():
    graph = hand_graph([MIDDLE], channels=2)
    peaks = hand_peaks([[(0, *MIDDLE, 1), (1, *MIDDLE, 3)]] * 2, channels=2)
    share = explained_share(graph, peaks).all_peaks.overall
    assert share.explained == pytest.approx(0.25, abs=1e-5)


def test_share__of_nothing_is_nan():
    graph = hand_graph([MIDDLE])
    nowhere = [np.zeros((4, 4), dtype=bool)] * 2
    share = explained_share(graph, hand_peaks([[], []]), objects=nowhere)
    for count in COUNTS:
        values = dataclasses.astuple(getattr(share, count).overall)
        assert all(math.isnan(value) for value in values)


# -- the share, against loops ----------------------------------------------------------------------


def counts_by_hand(layer, count):
    """Yield what `oracle.every_peak` does, of the peaks that count."""
    for c, i, k, f, place in oracle.every_peak(layer):
        most = max(layer.weight[i, c].tolist())
        first = layer.weight[i, c].tolist().index(most)
        counts = {
            "all_peaks": True,
            "strong_peaks": f > most / 2,
            "strongest_peak": k == first,
        }
        if counts[count]:
            yield c, i, k, f, place


def loops(graph, peaks, kind, halves, counting, on_object):
    """The masses of each layer: on the object and not, by kind of node and of noise.

    pi_0 by a scalar optimiser from one half of the photos, sums by loops over the other; both are
    masks; orientation as given.
    """
    fit, count = halves
    mass = np.zeros((len(graph.layers), 2, 4))
    for found in walk_layers(graph, peaks.peaks):
        layer, mixture, prior = peaks.peaks[found.layer], found.mixture, found.prior

        def likelihood(pi, c, layer=layer, mixture=mixture, prior=prior):
            noise = dataclasses.replace(mixture, noise=np.full(len(mixture.noise), pi))
            total = 0.0
            for channel, i, _, f, place in counts_by_hand(layer, counting):
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
        for c, i, k, f, place in counts_by_hand(layer, counting):
            if count[i]:
                own = slice(mixture.start[c], mixture.start[c + 1])
                r, kinds = resp[own, i, k], kind[found.rows][own]
                by_kind = [r[kinds == name].sum() for name in KINDS]
                on = int(on_object(i, place, layer.layer))
                mass[found.layer, on] += f * np.array([*by_kind, 1 - r.sum()])
    return mass


def disc(peaks, i, side=32):
    """A round object in a photo, as large as a quarter of it, further right in later photos."""
    y, x = (np.indices((side, side)) + 0.5) / side
    return np.hypot(y - 0.5, x - 0.35 - 0.02 * i) < 0.25


@pytest.mark.parametrize("counting", COUNTS)
def test_share__equals_the_loops(graph, unseen, counting):
    peaks = unseen.take(np.arange(8))
    kind = np.resize(["part", "texture", "background"], len(graph))
    graph = with_kinds(graph, kind)
    masks = [disc(peaks, i) for i in range(8)]

    def on_object(i, place, layer):
        """Against every pixel of the object; a pixel is 4 px wide."""
        cell = np.clip(np.floor(np.array(place) / SIDE * 32), 0, 31)
        away = np.linalg.norm(np.argwhere(masks[i]) - cell, axis=1).min() * SIDE / 32
        return away <= np.mean(layer.stride) / 2

    share = getattr(explained_share(graph, peaks, objects=masks), counting)
    first = np.arange(8) % 2 == 0  # names sort in order
    mass = sum(
        loops(graph, peaks, kind, halves, counting, on_object)
        for halves in ((first, ~first), (~first, first))
    )
    for row, own in (*zip(share.layers, mass, strict=True), (share.overall, mass.sum(axis=0))):
        beside, on = own
        wanted = [own[:, :3].sum(), *own[:, :3].sum(axis=0), on.sum()]
        wanted = [value / own.sum() for value in wanted]
        wanted += [on[:3].sum() / on.sum(), beside[:3].sum() / beside.sum()]
        np.testing.assert_allclose(dataclasses.astuple(row), wanted, atol=5e-5)
        assert min(wanted) > 0.005  # all are there to be compared
        # The planted stray peaks are weak: without them all is explained.
        assert (max(wanted) < 0.999) == (counting == "all_peaks")


def test_share__adds_up(graph, unseen):
    kinds = np.resize(["part", "texture", "background"], len(graph))
    share = explained_share(
        with_kinds(graph, kinds), unseen, objects=[disc(unseen, i) for i in range(len(unseen))]
    )
    for counted in (getattr(share, count) for count in COUNTS):
        for row in (*counted.layers, counted.overall):
            assert row.part + row.texture + row.background == pytest.approx(row.explained)
            both = row.on_object * row.of_object + (1 - row.on_object) * row.of_rest
            assert both == pytest.approx(row.explained)


def test_object__is_where_the_photo_shows_it(graph, unseen):
    """A photo seen mirrored has its object where the photo as given has it; frames are kept to."""
    both = dataclasses.replace(unseen, mirrored=tuple(mirror_image(p) for p in unseen.peaks))
    turned = dataclasses.replace(both, peaks=both.mirrored, mirrored=both.peaks)
    masks = [disc(unseen, i) for i in range(len(unseen))]
    shares = [
        explained_share(graph, peaks, objects=objects)
        for peaks, objects in ((both, masks), (turned, [mask[:, ::-1] for mask in masks]))
    ]
    assert shares[0].all_peaks.overall == shares[1].all_peaks.overall
    wrong = explained_share(graph, turned, objects=masks)
    assert wrong.all_peaks.overall.on_object != shares[0].all_peaks.overall.on_object
    # The network saw the lower right quarter of photos twice as large.
    frames = np.tile([[0.5, 0.5 / SIDE], [0.5, 0.5 / SIDE]], (len(unseen), 1, 1))
    large = [np.pad(mask, ((32, 0), (32, 0))) for mask in masks]
    part = explained_share(graph, dataclasses.replace(both, frames=frames), objects=large)
    assert part.all_peaks.overall == shares[0].all_peaks.overall


def test_object__reaches_half_a_cell():
    """A cell is 16 px: peaks 7 px from the object lie on it, those 9 px away do not."""
    graph = hand_graph([MIDDLE])
    mask = np.zeros((SIDE, SIDE), dtype=bool)
    mask[60:69, 60:69] = True
    near, far = [(0, 64.5, 68.5 + 7, 1)], [(0, 64.5, 68.5 + 9, 3)]
    share = explained_share(graph, hand_peaks([near, far]), objects=[mask, mask])
    assert share.all_peaks.overall.on_object == pytest.approx(0.25)
    none = explained_share(graph, hand_peaks([near, far]), objects=[mask & False] * 2)
    assert none.all_peaks.overall.on_object == 0
    assert math.isnan(none.all_peaks.overall.of_object)


def test_share__photos_are_taken_as_the_graph_sees_them(graph, unseen):
    both = dataclasses.replace(unseen, mirrored=tuple(mirror_image(p) for p in unseen.peaks))
    turned = dataclasses.replace(both, peaks=both.mirrored, mirrored=both.peaks)
    alone = dataclasses.replace(turned, mirrored=None)
    shares = [explained_share(graph, peaks).all_peaks.overall for peaks in (both, turned, alone)]
    assert shares[0] == shares[1]
    assert shares[2].explained < shares[0].explained - 0.1


def test_share__of_more_photos_than_one_group(graph, unseen):
    """Twenty times the same photos say the same, if each photo's copies lie in one half."""
    both = dataclasses.replace(unseen, mirrored=tuple(mirror_image(p) for p in unseen.peaks))
    many = both.take(np.tile(np.arange(16), 20))
    assert len(many) > GROUP
    once, often = (explained_share(graph, peaks, groups=peaks.images) for peaks in (both, many))
    for count in COUNTS:
        shares = [getattr(share, count).overall.explained for share in (once, often)]
        np.testing.assert_allclose(*shares, rtol=1e-9)


@pytest.mark.parametrize("threads", [1, 3])
def test_share__does_not_depend_on_threads(graph, unseen, threads):
    before = numba.get_num_threads()
    share = explained_share(graph, unseen)
    numba.set_num_threads(min(threads, before))
    try:
        assert explained_share(graph, unseen) == share
    finally:
        numba.set_num_threads(before)


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
    share = explained_share(graph, unseen, filters=order)
    permuted = permute(unseen, order)
    top, other = explained_share(
        graph, dataclasses.replace(unseen, peaks=permuted)
    ).all_peaks.layers[::-1]
    assert (share.all_peaks.layers[1] == top) == (pose_rank == 0)
    assert share.all_peaks.layers[0] != other
    lower = dataclasses.replace(unseen, peaks=(permuted[0], unseen.peaks[1]))
    assert explained_share(graph, lower).all_peaks.layers[0] == share.all_peaks.layers[0]


def test_share__of_planted_parts_is_above_both_controls(graph, unseen):
    background = planted_peaks(n_images=16, strides=(8, 16), channels=3, seed=7).peaks
    background = dataclasses.replace(background, mirrored=None)
    own, shuffled, other = (
        explained_share(graph, peaks, filters=order).all_peaks.overall.explained
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
    share = explained_share(graph, unseen)
    monkeypatch.setattr("mining.explained.match_peaks", None)
    assert explained_share(graph, unseen, found=found) == share


def test_matches__say_which_photos_are_mirrored(graph, unseen):
    """Told that all photos are mirrored, the graph explains less of them."""
    both = dataclasses.replace(unseen, mirrored=tuple(mirror_image(p) for p in unseen.peaks))
    found = match_peaks(graph, both)
    assert not found.mirrored.any()
    wrong = dataclasses.replace(found, mirrored=np.ones(len(found)))
    right, other = (
        explained_share(graph, both, found=each).all_peaks.overall.explained
        for each in (found, wrong)
    )
    assert other < right - 0.05


def test_matches__of_other_photos_are_refused(graph, unseen):
    found = match_peaks(graph, unseen)
    for photos in (slice(0, 3), np.arange(len(unseen))[::-1]):
        with pytest.raises(ExplGraphError, match="match these peaks, or leave `found` out"):
            explained_share(graph, unseen, found=found.take(np.arange(len(unseen))[photos]))


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
        explained_share(graph, unseen.take(np.zeros(0, dtype=int)))


def test_share__refuses_what_does_not_fit(graph, unseen):
    with pytest.raises(ExplGraphError, match="a mask for each of the 16 photos, got 1"):
        explained_share(graph, unseen, objects=[np.ones((2, 2))])
    with pytest.raises(ExplGraphError, match=r"must have shape \(height, width\), got \(2,\)"):
        explained_share(graph, unseen, objects=[np.ones(2)] * 16)
    with pytest.raises(ExplGraphError, match="groups must have shape"):
        explained_share(graph, unseen, groups=["a", "b"])
    with pytest.raises(ExplGraphError, match="one permutation for each of the 2 layers, got 1"):
        explained_share(graph, unseen, filters=[np.arange(3)])
    with pytest.raises(ExplGraphError, match=r"filters of layer1 must be a permutation of 0\.\.2"):
        explained_share(graph, unseen, filters=[np.arange(3), np.array([0, 0, 1])])
    one_layer = hand_peaks([[(0, *MIDDLE, 1)]] * 2)
    with pytest.raises(ExplGraphError, match="the peaks are of layers"):
        explained_share(graph, one_layer)
