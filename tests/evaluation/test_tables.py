"""Rows of the evaluation table: raw peaks, the supervised ceiling, and the table itself."""

import json
import logging
import math

import numpy as np
import pytest
from sklearn.linear_model import Ridge
from sklearn.model_selection import GroupKFold

from explgraph.base.arrays import NONE
from explgraph.base.errors import ExplGraphError
from explgraph.base.layer import LayerSpec
from explgraph.evaluation.ceiling import ridge_features, supervised_ceiling
from explgraph.evaluation.tables import evaluate, raw_peaks
from explgraph.evaluation.tracking import location_instability, mirror_agreement, tracking
from explgraph.evaluation.truth import part_truth
from explgraph.peaks.structures import Peaks, PeakSet
from explgraph.photos.annotations import Annotations
from tests.support.plain import plain_marks, plain_matches

HEIGHT, WIDTH = 96, 128


def make_layer(name, channels):
    return LayerSpec(name, channels, (12, 16), (8, 8), (4, 4), (15, 15))


def make_peaks(rng, n=24, channels=(5, 3), k=3, mirrored=True):
    """Random peaks; the mirrored photo's are the photo's own, mirrored."""
    as_given, turned = [], []
    for i, c in enumerate(channels):
        layer = make_layer(f"layer{i}", c)
        yx = rng.random((n, c, k, 2)) * [HEIGHT, WIDTH]
        weight = -np.sort(-rng.random((n, c, k)), axis=-1)
        weight[rng.random((n, c)) < 0.2] = 0
        flipped = np.stack([yx[..., 0], WIDTH - yx[..., 1]], axis=-1)
        as_given.append(Peaks(layer, yx, weight))
        turned.append(Peaks(layer, flipped, weight))
    frames = np.zeros((n, 2, 2))
    frames[:, :, 1] = [1 / HEIGHT, 1 / WIDTH]
    return PeakSet(
        images=tuple(f"{i:03d}.jpg" for i in range(n)),
        frames=frames,
        input_size=(HEIGHT, WIDTH),
        peaks=tuple(as_given),
        mirrored=tuple(turned) if mirrored else None,
        channel_mean=tuple(np.zeros(c) for c in channels),
        channel_scale=tuple(np.ones(c) for c in channels),
    )


def make_annotations(images, yx, part, size=(HEIGHT, WIDTH)):
    return plain_marks(images, part, np.asarray(yx) * size - 0.5)


def joined(a, b):
    return Annotations(
        image=a.image + b.image,
        part=a.part + b.part,
        yx=np.concatenate([a.yx, b.yx]),
        size=np.concatenate([a.size, b.size]),
        group=a.group + b.group,
    )


# --- raw peaks -----------------------------------------------------------------------------------


def test_raw_peaks__strongest_peak_of_each_filter(rng):
    peaks = make_peaks(rng)
    found = raw_peaks(peaks)
    assert found.node_layer.tolist() == [0] * 5 + [1] * 3
    for i in range(len(peaks)):
        for node, (layer, c) in enumerate([(0, c) for c in range(5)] + [(1, c) for c in range(3)]):
            weight = peaks.peaks[layer].weight[i, c, 0]
            assert found.score[i, node] == weight
            assert found.peak[i, node] == (0 if weight > 0 else NONE)
            if weight > 0:
                y, x = peaks.peaks[layer].yx[i, c, 0]
                np.testing.assert_allclose(found.yx[i, node], [y / HEIGHT, x / WIDTH], rtol=1e-6)


def test_raw_peaks__position_in_a_cropped_photo(rng):
    peaks = make_peaks(rng, n=1, channels=(1,))
    frames = np.array([[[0.1, 0.5 / HEIGHT], [0.3, 0.25 / WIDTH]]])
    weight = np.ones((1, 1, 1))
    yx = np.array([[[[48.0, 64.0]]]])
    one = (Peaks(peaks.layers[0], yx, weight),)
    cropped = PeakSet(
        ("a",), frames, (HEIGHT, WIDTH), one, one, peaks.channel_mean, peaks.channel_scale
    )
    np.testing.assert_allclose(raw_peaks(cropped).yx[0, 0], [0.35, 0.425], rtol=1e-6)
    # the same pixels of the mirrored input are the middle too
    np.testing.assert_allclose(raw_peaks(cropped, [1]).yx[0, 0], [0.35, 0.425], rtol=1e-6)


def test_raw_peaks__mirrored_photos_come_back_in_their_own_orientation(rng):
    peaks = make_peaks(rng)
    flip = rng.integers(0, 2, len(peaks))
    plain, turned = raw_peaks(peaks), raw_peaks(peaks, flip)
    assert turned.mirrored.tolist() == flip.tolist()
    fires = plain.score > 0
    np.testing.assert_allclose(turned.yx[fires], plain.yx[fires], atol=1e-6)
    np.testing.assert_array_equal(turned.score, plain.score)


def test_raw_peaks__without_a_peak_at_the_filters_mean_in_the_graphs_orientation():
    layer = make_layer("layer", 2)
    yx = np.zeros((3, 2, 1, 2))
    weight = np.zeros((3, 2, 1))
    yx[0, 0, 0], yx[1, 0, 0] = (10, 20), (30, 40)
    weight[:2, 0] = 1
    turned = yx.copy()
    turned[1, 0, 0] = (30, WIDTH - 40)
    frames = np.zeros((3, 2, 2))
    frames[:, :, 1] = [1 / HEIGHT, 1 / WIDTH]
    peaks = PeakSet(
        ("a", "b", "c"),
        frames,
        (HEIGHT, WIDTH),
        (Peaks(layer, yx, weight),),
        (Peaks(layer, turned, weight),),
        (np.zeros(2),),
        (np.ones(2),),
    )
    found = raw_peaks(peaks, np.array([0, 1, 1]))
    # mean of (10, 20) and (30, 88) is (20, 54); photo c is mirrored: 128 - 54 = 74
    np.testing.assert_allclose(found.yx[2, 0], [20 / HEIGHT, 74 / WIDTH], rtol=1e-6)
    assert found.score[2, 0] == 0
    np.testing.assert_allclose(found.yx[:, 1], 0.5)  # a filter that never fires


def test_raw_peaks__bad_input(rng):
    peaks = make_peaks(rng, n=4, mirrored=False)
    assert len(raw_peaks(peaks, np.zeros(4))) == 4
    with pytest.raises(ExplGraphError, match="mirrored peaks are missing"):
        raw_peaks(peaks, np.ones(4))
    with pytest.raises(ExplGraphError, match="mirrored must have shape"):
        raw_peaks(peaks, np.ones(3))


# --- supervised ceiling --------------------------------------------------------------------------


def pooled_by_loops(yx, weight):
    """(C * 16,) one photo's layer: weights ** 1.5 shared linearly over a 4 x 4 grid, length 1."""
    grid = np.zeros((len(weight), 4, 4))
    for c, k in np.ndindex(weight.shape):
        y = min(max(yx[c, k, 0] / HEIGHT * 4 - 0.5, 0), 3)
        x = min(max(yx[c, k, 1] / WIDTH * 4 - 0.5, 0), 3)
        for i in range(4):
            for j in range(4):
                share = max(0, 1 - abs(y - i)) * max(0, 1 - abs(x - j))
                grid[c, i, j] += share * weight[c, k] ** 1.5
    length = np.linalg.norm(grid)
    return grid.ravel() / length if length else grid.ravel()


def test_ridge_features__same_inner_products_as_pooled_peaks(rng):
    peaks = make_peaks(rng, n=6, channels=(70, 3))
    rows = [
        np.concatenate([pooled_by_loops(p.yx[i], p.weight[i]) for p in form])
        for form in (peaks.peaks, peaks.mirrored)
        for i in range(6)
    ]
    features = ridge_features(peaks)
    assert features.values.shape == (2, 6, 12)
    flat = features.values.reshape(12, 12)
    np.testing.assert_allclose(flat @ flat.T, np.array(rows) @ np.array(rows).T, atol=1e-5)


def test_ridge_features__rotation_changes_no_prediction(rng):
    peaks = make_peaks(rng, n=10)
    target = rng.random((8, 2))
    rows = np.array(
        [np.concatenate([pooled_by_loops(p.yx[i], p.weight[i]) for p in peaks.peaks])
         for i in range(10)]
    )  # fmt: skip
    rotated = ridge_features(peaks).values[0]
    predictions = [
        Ridge(alpha=0.3).fit(x[:8], target).predict(x[8:]) for x in (rows, rotated)
    ]  # fmt: skip
    np.testing.assert_allclose(predictions[0], predictions[1], rtol=1e-4)


def planted(rng, n=80):
    """One filter's peak lies on the part; the animal faces right in half of the photos."""
    peaks = make_peaks(rng, n=n, channels=(4,))
    part = peaks.peaks[0].yx[:, 0, 0] / [HEIGHT, WIDTH]
    weight = peaks.peaks[0].weight.copy()
    weight[:, 0] = [1, 0, 0]
    form = [Peaks(p[0].layer, p[0].yx, weight) for p in (peaks.peaks, peaks.mirrored)]
    peaks = PeakSet(
        peaks.images, peaks.frames, peaks.input_size, (form[0],), (form[1],),
        peaks.channel_mean, peaks.channel_scale,
    )  # fmt: skip
    return peaks, make_annotations(peaks.images, part, "head")


def test_supervised_ceiling__finds_a_part_that_a_filter_marks(rng):
    peaks, annotations = planted(rng)
    truth = part_truth(annotations, "head", (HEIGHT, WIDTH))
    features = ridge_features(peaks)
    assert supervised_ceiling(features, truth) < 0.5
    as_given = supervised_ceiling(features, truth, np.zeros(len(truth)))
    assert supervised_ceiling(features, truth) < as_given


def test_supervised_ceiling__penalties_and_folds_as_in_scikit_learn(rng):
    """The same ten and five group folds, with scikit-learn's own ridge and grid search."""
    peaks, annotations = planted(rng, 60)
    truth = part_truth(annotations, "head", (HEIGHT, WIDTH))
    features = ridge_features(peaks)
    flip = truth.faces_right
    x = features.values[flip.astype(int), np.arange(60)]
    target = np.where(flip[:, None], truth.yx * [1, -1] + [0, 1], truth.yx)
    groups = np.arange(60)
    error = np.zeros(60)
    for train, test in GroupKFold(10).split(x, groups=groups):
        folds = list(GroupKFold(5).split(train[:, None], groups=groups[train]))
        alphas = np.logspace(-3, 2, 11)
        losses = np.zeros(11)
        for fit, check in folds:
            fit, check = train[fit], train[check]
            for a, alpha in enumerate(alphas):
                model = Ridge(alpha * x[fit].var(axis=0).sum()).fit(x[fit], target[fit])
                losses[a] += np.sum((model.predict(x[check]) - target[check]) ** 2)
        alpha = alphas[losses.argmin()] * x[train].var(axis=0).sum()
        predicted = Ridge(alpha).fit(x[train], target[train]).predict(x[test])
        error[test] = np.linalg.norm(predicted - target[test], axis=1)
    half = truth.half == 1
    spread = np.linalg.norm(target[half] - np.median(target[half], axis=0), axis=1).mean()
    expected = error[half].mean() / spread
    assert supervised_ceiling(features, truth) == pytest.approx(expected, rel=1e-6)


def test_supervised_ceiling__without_information_is_about_one(rng):
    peaks = make_peaks(rng, n=80)
    annotations = make_annotations(peaks.images, 0.4 * rng.random((80, 2)), "head")
    truth = part_truth(annotations, "head", (HEIGHT, WIDTH))
    assert 0.9 < supervised_ceiling(ridge_features(peaks), truth) < 1.2


def test_supervised_ceiling__does_not_learn_from_the_photos_own_group(rng):
    """Each photo comes twice, with features that only say which photo it is."""
    half = make_peaks(rng, n=30)
    peaks = half.take(np.repeat(np.arange(30), 2))
    images = tuple(f"{i:03d}.jpg" for i in range(60))
    peaks = PeakSet(
        images, peaks.frames, peaks.input_size, peaks.peaks, peaks.mirrored,
        peaks.channel_mean, peaks.channel_scale,
    )  # fmt: skip
    centres = np.repeat(rng.random((30, 2)), 2, axis=0) * [1, 0.4]
    leaky = make_annotations(images, centres, "head")
    grouped = Annotations(
        leaky.image, leaky.part, leaky.yx, leaky.size, tuple(f"g{i // 2}" for i in range(60))
    )
    features = ridge_features(peaks)
    ratios = [
        supervised_ceiling(features, part_truth(a, "head", (HEIGHT, WIDTH)))
        for a in (leaky, grouped)
    ]
    assert ratios[0] < 0.7 < ratios[1]


def test_supervised_ceiling__photos_without_any_peak(rng):
    peaks = make_peaks(rng, n=20, channels=(2,))
    layer = peaks.layers[0]
    silent = (Peaks(layer, np.zeros((20, 2, 3, 2)), np.zeros((20, 2, 3))),)
    peaks = PeakSet(
        peaks.images, peaks.frames, peaks.input_size, silent, silent,
        peaks.channel_mean, peaks.channel_scale,
    )  # fmt: skip
    truth = part_truth(
        make_annotations(peaks.images, rng.random((20, 2)), "head"), "head", (HEIGHT, WIDTH)
    )
    assert 0.8 < supervised_ceiling(ridge_features(peaks), truth) < 1.3


def test_supervised_ceiling__bad_input(rng):
    peaks, annotations = planted(rng, 12)
    features = ridge_features(peaks)
    with pytest.raises(ExplGraphError, match="extract with mirror=True"):
        ridge_features(make_peaks(rng, n=4, mirrored=False))
    few = part_truth(annotations.take(np.arange(3)), "head", (HEIGHT, WIDTH))
    with pytest.raises(ExplGraphError, match="at least 4 different groups, got 3"):
        supervised_ceiling(features, few)
    truth = part_truth(annotations, "head", (HEIGHT, WIDTH))
    with pytest.raises(ExplGraphError, match="it has no features"):
        supervised_ceiling(ridge_features(peaks.take(np.arange(6))), truth)


# --- the table -----------------------------------------------------------------------------------


@pytest.fixture
def scene(rng):
    peaks, head = planted(rng)
    feet = make_annotations(peaks.images[:50], rng.random((50, 2)), "feet")
    flip = head.yx[:, 1] > WIDTH / 2
    rows = {"raw peaks": raw_peaks(peaks), "raw peaks, mirrored": raw_peaks(peaks, flip)}
    return peaks, joined(head, feet), rows


def test_evaluate__has_every_row_and_figure(scene):
    peaks, annotations, rows = scene
    found = evaluate(
        rows, annotations, photo_size=(HEIGHT, WIDTH), features=ridge_features(peaks)
    )  # fmt: skip
    assert [part.part for part in found.parts] == ["feet", "head"]
    truths = [part_truth(annotations, p, (HEIGHT, WIDTH)) for p in ("feet", "head")]
    for part, truth in zip(found.parts, truths, strict=True):
        assert sum(part.photos) == len(truth)
        assert part.ceiling == supervised_ceiling(ridge_features(peaks), truth)
        for name, matches in rows.items():
            rank = matches.score.mean(axis=0)
            assert part.tracking[name] == tracking(matches, truth, rank)
            assert part.instability[name] == location_instability(matches, [truth])
    for name, matches in rows.items():
        assert found.instability[name] == location_instability(matches, truths)
    # only a row that mirrors photos has an orientation to agree with
    turned = "raw peaks, mirrored"
    assert found.mirror == {turned: mirror_agreement(rows[turned], truths[1])}
    assert found.mirror[turned].agreement == 1


def test_evaluate__any_part_may_say_which_way_the_animal_looks(scene):
    _, annotations, rows = scene
    found = evaluate(rows, annotations, photo_size=(HEIGHT, WIDTH), head="feet")
    turned = "raw peaks, mirrored"
    feet = part_truth(annotations, "feet", (HEIGHT, WIDTH), head="feet")
    assert found.mirror == {turned: mirror_agreement(rows[turned], feet)}
    assert found.mirror[turned].agreement < 1  # it is the head after which photos were turned


def test_evaluate__rank_decides_what_the_share_counts(scene, rng):
    _, annotations, rows = scene
    matches = rows["raw peaks"]
    many = matches.take(nodes=np.r_[np.zeros(5000, int), np.full(5000, 1)])
    ranks = [np.r_[np.ones(5000), np.zeros(5000)], np.r_[np.zeros(5000), np.ones(5000)]]
    shares = [
        evaluate(
            {"row": many}, annotations, photo_size=(HEIGHT, WIDTH), rank={"row": rank},
            parts=["head"],
        ).parts[0].tracking["row"].share
        for rank in ranks
    ]  # fmt: skip
    assert shares == [1, 0]


def test_evaluate__annotations_of_other_photos_are_left_out_with_a_warning(scene, caplog):
    _, annotations, rows = scene
    seen = {"graph": rows["raw peaks"].take(images=np.arange(40))}
    with caplog.at_level(logging.WARNING, logger="explgraph"):
        found = evaluate(seen, annotations, photo_size=(HEIGHT, WIDTH))
    assert "40 annotated photos were not matched" in caplog.text
    assert [sum(part.photos) for part in found.parts] == [40, 40]


def test_evaluate__bad_input(scene):
    _, annotations, rows = scene
    with pytest.raises(ExplGraphError, match="at least one row"):
        evaluate({}, annotations, photo_size=(HEIGHT, WIDTH))
    rows["graph"] = rows["raw peaks"].take(images=np.arange(3))
    with pytest.raises(ExplGraphError, match="77 photos are in only one of 'raw peaks' and 'gra"):
        evaluate(rows, annotations, photo_size=(HEIGHT, WIDTH))


def test_evaluation__json_is_strict(rng):
    images = tuple(f"{i}.jpg" for i in range(6))
    still = plain_matches(images, 0.5, np.ones((6, 2)), mirrored=np.ones(6))
    annotations = make_annotations(images, np.full((6, 2), 0.5), "head")
    found = evaluate({"graph": still}, annotations, photo_size=(HEIGHT, WIDTH))
    values = json.loads(json.dumps(found.to_json(), allow_nan=False))
    # the part never moves: an infinite ratio, and no photo has its head away from the middle
    assert math.isinf(found.parts[0].tracking["graph"].t100)
    assert values["parts"][0]["tracking"]["graph"]["t100"] is None
    assert values["mirror"]["graph"] == {"agreement": None, "majority": None, "photos": 0}
    assert values["parts"][0]["photos"] == [3, 3]
