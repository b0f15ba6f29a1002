"""Measures against double loops that share no code with the library."""

import math
import statistics

import numpy as np
import pytest

from explgraph.base.errors import ExplGraphError
from explgraph.evaluation.tracking import (
    DIAG_PX,
    constant_ratio,
    location_instability,
    mirror_agreement,
    ranking,
    t100,
    tracking,
    tracking_ratio,
    tracking_share,
    unique_nodes,
)
from explgraph.evaluation.truth import PartTruth, part_truth
from explgraph.photos.annotation_files import read_annotations
from tests.support.plain import plain_marks, plain_matches


def make_matches(yx, score=None, mirrored=None, layer=None, images=None):
    n, p = yx.shape[:2]
    return plain_matches(
        images or (f"{i:03d}.jpg" for i in range(n)),
        yx,
        np.ones((n, p)) if score is None else score,
        0 if layer is None else layer,
        mirrored=np.zeros(n) if mirrored is None else mirrored,
    )


def make_annotations(rows):
    """rows: (image, part, x_px, y_px, group)."""
    images, parts, x, y, group = zip(*rows, strict=True)
    return plain_marks(images, parts, np.stack([y, x], axis=1), group)


def make_truth(yx, faces_right=None, half=None, part="head"):
    names = tuple(f"{i:03d}.jpg" for i in range(len(yx)))
    return PartTruth(
        part=part,
        images=names,
        yx=yx,
        half=np.arange(len(yx)) % 2 if half is None else half,
        group=names,
        faces_right=np.zeros(len(yx), bool) if faces_right is None else faces_right,
        instance_image=names,
        instance_yx=yx,
    )


@pytest.fixture
def world(rng):
    """23 photos, 40 nodes in 2 layers; scores tie, photos are mirrored and nodes repeat."""
    n, p = 23, 40
    yx = rng.random((n, p, 2))
    yx[:, 20:30] = yx[:, :10] + rng.normal(0, 0.01, (n, 10, 2))
    score = rng.integers(0, 5, (n, p)) / 4
    layer = np.repeat([0, 1], p // 2)
    matches = make_matches(yx, score, rng.integers(0, 2, n), layer)
    centre = 0.3 + 0.5 * rng.random((n, 2))
    return matches, make_truth(centre, rng.random(n) < 0.5)


# --- oracles -------------------------------------------------------------------------------------


def point_px(yx, flip):
    y, x = float(yx[0]) * 224, float(yx[1]) * 224
    return (y, 224 - x) if flip else (y, x)


def mean_from_median(points):
    my = statistics.median(p[0] for p in points)
    mx = statistics.median(p[1] for p in points)
    return sum(math.hypot(p[0] - my, p[1] - mx) for p in points) / len(points)


def oracle_ratio(matches, truth, node, half):
    row = {name: i for i, name in enumerate(matches.images)}
    members = [k for k in range(len(truth.images)) if truth.half[k] == half]
    members.sort(key=lambda k: (-matches.score[row[truth.images[k]], node], truth.images[k]))
    offsets, labels = [], []
    for k in members[: (len(members) + 1) // 2]:
        i = row[truth.images[k]]
        flip = bool(matches.mirrored[i])
        c, p = point_px(truth.yx[k], flip), point_px(matches.yx[i, node], flip)
        offsets.append((c[0] - p[0], c[1] - p[1]))
        labels.append(point_px(truth.yx[k], truth.faces_right[k]))
    return mean_from_median(offsets) / mean_from_median(labels)


def repeats(matches, a, b):
    near = 0
    for i in range(len(matches.images)):
        dy, dx = (matches.yx[i, a] - matches.yx[i, b]) * 224
        near += math.hypot(dy, dx) <= 0.02 * 224 * math.sqrt(2)
    return near > 0.8 * len(matches.images)


def oracle_unique(matches, order, count):
    taken = []
    for node in order:
        if len(taken) < count and not any(repeats(matches, node, other) for other in taken):
            taken.append(node)
    return taken


def oracle_instability(matches, landmarks, best_images=20, best_nodes=167):
    per_layer = []
    for layer in sorted(set(matches.node_layer.tolist())):
        nodes = [v for v in range(matches.yx.shape[1]) if matches.node_layer[v] == layer]
        best = {
            v: sorted(
                range(len(matches.images)),
                key=lambda i, v=v: (-matches.score[i, v], matches.images[i]),
            )[:best_images]
            for v in nodes
        }
        nodes.sort(key=lambda v: -sum(float(matches.score[i, v]) for i in best[v]))
        per_node = [node_deviation(matches, landmarks, v, best[v]) for v in nodes[:best_nodes]]
        per_node = [pair for pair in per_node if pair]
        per_layer.append([statistics.fmean(pair[j] for pair in per_node) for j in (0, 1)])
    return [statistics.fmean(pair[j] for pair in per_layer) / DIAG_PX for j in (0, 1)]


def node_deviation(matches, landmarks, v, images):
    flip = [bool(matches.mirrored[i]) for i in images]
    at = [point_px(matches.yx[i, v], f) for i, f in zip(images, flip, strict=True)]
    mean = tuple(statistics.fmean(p[k] for p in at) for k in (0, 1))
    pairs = []
    for truth in landmarks:
        moving, frozen = [], []
        for i, f, p in zip(images, flip, at, strict=True):
            marks = [
                point_px(yx, f)
                for name, yx in zip(truth.instance_image, truth.instance_yx, strict=True)
                if name == matches.images[i]
            ]
            if marks:
                moving.append(min(math.dist(p, c) for c in marks))
                frozen.append(min(math.dist(mean, c) for c in marks))
        if len(moving) > 1:
            pairs.append((statistics.stdev(moving), statistics.stdev(frozen)))
    return [statistics.fmean(pair[k] for pair in pairs) for k in (0, 1)] if pairs else None


# --- truth ---------------------------------------------------------------------------------------


def test_part_truth__keeps_photos_with_one_instance_and_halves_groups():
    rows = [
        ("d", "head", 0, 0, "g10"),
        ("c", "head", 0, 0, "g9"),
        ("b", "head", 1, 1, "g1"),
        ("b", "head", 2, 2, "g1"),
        ("a", "head", 0, 0, "g2"),
        ("e", "head", 0, 0, "g2"),
        ("f", "feet", 0, 0, "g3"),
    ]
    truth = part_truth(make_annotations(rows), "head", (10, 10))
    # b has two heads, f none; the groups that are left sort as strings: g10 A, g2 B, g9 A
    assert truth.images == ("a", "c", "d", "e")
    assert truth.half.tolist() == [1, 0, 0, 1]
    assert sorted(truth.instance_image) == ["a", "b", "b", "c", "d", "e"]


def test_part_truth__integers_are_pixel_centres():
    rows = [("a", "head", 0, 4, "a"), ("b", "head", 19, 9, "b")]
    truth = part_truth(make_annotations(rows), "head", {"a": (10, 20), "b": (10, 40)})
    np.testing.assert_allclose(truth.yx, [[0.45, 0.025], [0.95, 0.4875]])


def test_part_truth__label_orientation_from_nearest_head_or_part():
    rows = [
        ("a", "feet", 10, 5, "a"),
        ("a", "head", 15, 0, "a"),
        ("b", "feet", 15, 5, "b"),
        ("c", "feet", 2, 5, "c"),
        ("c", "head", 1, 0, "c"),
        ("c", "head", 19, 0, "c"),
        ("d", "feet", 2, 5, "d"),
    ]
    truth = part_truth(make_annotations(rows), "feet", (10, 20))
    assert truth.faces_right.tolist() == [True, True, False, False]


def test_part_truth__only_given_images():
    rows = [(name, "head", 1, 1, name) for name in "abcd"]
    truth = part_truth(make_annotations(rows), "head", (10, 10), images=["d", "b"])
    assert truth.images == ("b", "d")
    assert truth.half.tolist() == [0, 1]


@pytest.mark.parametrize(
    ("part", "size", "message"),
    [
        ("nose", (10, 10), "unknown part 'nose'"),
        ("head", {"a": (10, 10)}, "unknown photo 'b'"),
        ("tail", (10, 10), "at least 2 different groups, got 1"),
    ],
)
def test_part_truth__bad_input(part, size, message):
    rows = [("a", "head", 1, 1, "a"), ("b", "head", 1, 1, "b"), ("a", "tail", 1, 1, "a")]
    with pytest.raises(ExplGraphError, match=message):
        part_truth(make_annotations(rows), part, size)


# --- tracking ratio ------------------------------------------------------------------------------


def test_tracking_ratio__matches_double_loop(world):
    matches, truth = world
    expected = [[oracle_ratio(matches, truth, v, half) for v in range(40)] for half in (0, 1)]
    np.testing.assert_allclose(tracking_ratio(matches, truth), expected, rtol=1e-5)


def test_tracking_ratio__by_hand():
    # Half A holds photos 0, 2, 4; its two best are 0 and 4 (photo 2 has no peak).
    centre = np.array([[0.5, 0.1], [0, 0], [0.9, 0.9], [0.3, 0.3], [0.5, 0.3]])
    node = np.array([[0.5, 0.4], [0, 0], [0.1, 0.1], [0, 0], [0.5, 0.5]])[:, None]
    score = np.array([[3], [1], [0], [2], [1]])
    matches = make_matches(node, score)
    # c - p = -.3 and -.2: mean distance .05 from their median; the part's own is .1
    assert tracking_ratio(matches, make_truth(centre))[0, 0] == pytest.approx(0.5, rel=1e-5)


def test_tracking_ratio__follower_is_zero_and_constant_is_one(rng):
    centre = 0.1 + 0.4 * rng.random((30, 2))
    right = rng.random(30) < 0.5
    photo = centre.copy()
    photo[right, 1] = 1 - photo[right, 1]
    follower = centre + np.array([0.2, 0.3])
    constant = np.full((30, 2), 0.25)
    yx = np.stack([follower, constant], axis=1)
    yx[right, :, 1] = 1 - yx[right, :, 1]
    matches = make_matches(yx, mirrored=right)
    np.testing.assert_allclose(
        tracking_ratio(matches, make_truth(photo, right)), [[0, 1], [0, 1]], atol=1e-5
    )


def test_tracking_ratio__wrong_mirroring_does_not_shrink_the_yardstick(rng):
    centre = 0.1 + 0.3 * rng.random((30, 2))
    constant = np.full((30, 1, 2), 0.5)
    half_wrong = np.arange(30) % 4 < 2
    ratio = tracking_ratio(make_matches(constant, mirrored=half_wrong), make_truth(centre))
    assert (ratio > 1.5).all()


def test_tracking_ratio__order_of_photos_does_not_matter(world, rng):
    matches, truth = world
    shuffled = matches.take(images=rng.permutation(len(matches)))
    np.testing.assert_array_equal(tracking_ratio(shuffled, truth), tracking_ratio(matches, truth))
    assert location_instability(shuffled, [truth]) == location_instability(matches, [truth])
    assert mirror_agreement(shuffled, truth) == mirror_agreement(matches, truth)


def test_tracking_ratio__many_nodes_in_chunks(rng):
    yx = rng.random((9, 5000, 2))
    matches, truth = make_matches(yx, rng.random((9, 5000))), make_truth(rng.random((9, 2)))
    for node in (0, 2047, 2048, 4999):
        alone = tracking_ratio(matches.take(nodes=np.array([node])), truth)
        np.testing.assert_array_equal(tracking_ratio(matches, truth)[:, [node]], alone)


def test_tracking_ratio__part_that_never_moves_is_infinite(rng):
    matches = make_matches(rng.random((8, 3, 2)))
    assert np.isinf(tracking_ratio(matches, make_truth(np.full((8, 2), 0.5)))).all()


def test_tracking_ratio__bad_input(rng):
    matches = make_matches(rng.random((8, 3, 2)))
    truth = make_truth(rng.random((9, 2)))
    with pytest.raises(ExplGraphError, match=r"unknown photo '008\.jpg'"):
        tracking_ratio(matches, truth)
    yx = rng.random((9, 3, 2))
    yx[4, 1] = np.nan
    with pytest.raises(ExplGraphError, match=r"Matches\.yx must be finite"):
        tracking_ratio(make_matches(yx), truth)


def test_constant_ratio__is_a_still_node_over_all_of_half_b(world):
    matches, truth = world
    row = {name: i for i, name in enumerate(matches.images)}
    half = [k for k in range(len(truth)) if truth.half[k] == 1]
    flips = [matches.mirrored[row[truth.images[k]]] for k in half]
    own = [point_px(truth.yx[k], f) for k, f in zip(half, flips, strict=True)]
    label = [point_px(truth.yx[k], truth.faces_right[k]) for k in half]
    expected = mean_from_median(own) / mean_from_median(label)
    assert constant_ratio(matches, truth) == pytest.approx(expected)
    still = make_truth(np.full((23, 2), 0.5))
    assert math.isinf(constant_ratio(matches, still))


def test_constant_ratio__an_orientation_that_folds_the_part_is_found_out(rng):
    feet = rng.random((40, 2)) * [0.1, 1]
    truth = make_truth(feet, faces_right=rng.random(40) < 0.5)
    folded = make_matches(np.full((40, 1, 2), 0.5), mirrored=feet[:, 1] > 0.5)
    assert constant_ratio(folded, truth) < 0.7
    assert tracking_ratio(folded, truth)[1, 0] < 0.7  # a node that never moves


# --- summaries -----------------------------------------------------------------------------------


def test_t100__chooses_on_half_a_and_scores_on_half_b(rng):
    ratio = rng.random((2, 500))
    chosen = sorted(range(500), key=lambda v: (ratio[0, v], v))[:100]
    assert t100(ratio) == pytest.approx(sum(ratio[1, v] for v in chosen) / 100)
    assert t100(ratio[:, :7]) == pytest.approx(ratio[1, :7].mean())


def test_ranking__tie_goes_to_lowest_index():
    assert ranking(np.array([[0.5, 0.2, 0.5, 0.2], [0, 0, 0, 0]])).tolist() == [1, 3, 0, 2]


@pytest.mark.parametrize("count", [5, 25, 100])
def test_unique_nodes__matches_double_loop(world, count):
    matches, truth = world
    order = ranking(tracking_ratio(matches, truth))
    expected = oracle_unique(matches, order, count)
    assert unique_nodes(matches, order, count).tolist() == expected
    assert len(expected) == min(count, 30)


def test_unique_nodes__more_than_eighty_percent():
    yx = np.full((10, 3, 2), 0.5)
    yx[:2, 1] = 0.9  # near node 0 on exactly 80 % of the photos: not a repetition
    yx[:1, 2] = 0.1  # on 90 %: a repetition
    assert unique_nodes(make_matches(yx), np.arange(3)).tolist() == [0, 1]


def test_tracking_share__counts_nodes_of_highest_rank(rng):
    ratio = rng.random((2, 6000)) * 1.6
    rank = rng.random(6000)
    top = sorted(range(6000), key=lambda v: -rank[v])[:5000]
    expected = sum(ratio[1, v] < 0.8 for v in top) / 5000
    assert tracking_share(ratio, rank) == pytest.approx(expected)
    with pytest.raises(ExplGraphError, match="rank must have shape"):
        tracking_share(ratio, rank[:5])


def test_tracking__collects_the_figures(world):
    matches, truth = world
    ratio = np.array([[oracle_ratio(matches, truth, v, h) for v in range(40)] for h in (0, 1)])
    found = tracking(matches, truth, matches.score.mean(axis=0))
    unique = oracle_unique(matches, sorted(range(40), key=lambda v: ratio[0, v]), 100)
    assert (found.nodes, found.unique) == (40, 30)
    assert found.t100 == pytest.approx(ratio[1].mean(), rel=1e-5)
    assert found.t100_unique == pytest.approx(ratio[1, unique].mean(), rel=1e-5)
    assert found.share == pytest.approx((ratio[1] < 0.8).mean())
    assert found.constant == constant_ratio(matches, truth)


def test_tracking__needs_a_node(world):
    matches, truth = world
    with pytest.raises(ExplGraphError, match="at least one node"):
        tracking(matches.take(nodes=np.array([], int)), truth, np.array([]))


# --- mirror agreement ----------------------------------------------------------------------------


def test_mirror_agreement__fixed_on_a_scored_on_b():
    x = np.array([0.1, 0.1, 0.9, 0.9, 0.9, 0.9, 0.1, 0.9, 0.52, 0.55])
    truth = make_truth(np.stack([np.full(10, 0.5), x], axis=1))
    right = x > 0.5
    mirrored = ~right  # the graph calls the other side left ...
    mirrored[5] = True  # ... and errs on one of half B's four clear photos
    found = mirror_agreement(make_matches(np.zeros((10, 1, 2)), mirrored=mirrored), truth)
    assert found.photos == 4
    assert found.agreement == pytest.approx(3 / 4)
    assert found.majority == pytest.approx(3 / 4)


def test_mirror_agreement__head_at_least_22_px_from_the_middle():
    x = 0.5 + np.array([-22, 22, -21.9, 21.9]) / 224
    truth = make_truth(np.stack([np.full(4, 0.5), x], axis=1), half=np.ones(4))
    found = mirror_agreement(
        make_matches(np.zeros((4, 1, 2)), mirrored=np.array([0, 1, 1, 0])), truth
    )
    assert (found.photos, found.agreement, found.majority) == (2, 1, 0.5)


def test_mirror_agreement__without_photos_is_nan():
    found = mirror_agreement(make_matches(np.zeros((4, 1, 2))), make_truth(np.full((4, 2), 0.5)))
    assert found.photos == 0
    assert math.isnan(found.agreement)


# --- location instability ------------------------------------------------------------------------


def test_location_instability__matches_double_loop(rng):
    n, p = 31, 400
    yx, score = rng.random((n, p, 2)), rng.random((n, p))
    matches = make_matches(yx, score, rng.integers(0, 2, n), np.repeat([0, 1], [300, 100]))
    landmarks = []
    for part, missing in (("head", 0.2), ("feet", 0.6)):
        rows = [
            (name, part, *(rng.random(2) * 50), name)
            for name in matches.images
            for _ in range(rng.choice([1, 2]))
            if rng.random() > missing
        ]
        landmarks.append(part_truth(make_annotations(rows), part, (50, 50)))
    found = location_instability(matches, landmarks)
    expected = oracle_instability(matches, landmarks)
    np.testing.assert_allclose([found.nodes, found.frozen], expected, rtol=1e-5)


def test_location_instability__follower_beats_its_control_and_a_fixed_point_equals_it(rng):
    centre = rng.random((25, 2))
    truth = make_truth(centre)
    follower = location_instability(make_matches(centre[:, None]), [truth])
    assert follower.nodes == pytest.approx(0, abs=1e-6)
    assert follower.frozen > 0.05
    fixed = location_instability(make_matches(np.full((25, 1, 2), 0.3)), [truth])
    assert fixed.nodes == pytest.approx(fixed.frozen)


def test_location_instability__layer_without_landmarks_does_not_count(rng):
    score = np.zeros((50, 2))
    score[:25, 0] = score[25:, 1] = 1
    matches = make_matches(rng.random((50, 2, 2)), score, layer=[0, 1])
    truth = make_truth(rng.random((25, 2)))
    alone = location_instability(matches.take(nodes=np.array([0])), [truth])
    assert location_instability(matches, [truth]) == alone


def test_location_instability__nothing_to_measure_is_nan(rng):
    matches = make_matches(rng.random((5, 2, 2)), images=[f"other{i}" for i in range(5)])
    assert math.isnan(location_instability(matches, [make_truth(rng.random((9, 2)))]).nodes)


# --- the reference photos ------------------------------------------------------------------------


@pytest.mark.shared
def test_part_truth__on_the_reference_annotations(shared):
    annotations = read_annotations(shared / "animalpart" / "zebra" / "annotations.csv")
    truth = part_truth(annotations, "head", (224, 224))
    # its README: 177 crops with a head, 15 of them with several
    assert len(truth) == 162
    assert len(truth.instance_image) == 192
    groups = [{g for g, h in zip(truth.group, truth.half, strict=True) if h == k} for k in (0, 1)]
    assert not groups[0] & groups[1]
    assert abs(len(groups[0]) - len(groups[1])) <= 1
