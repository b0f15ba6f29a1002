"""`PartLocalizer`: scikit-learn's habits, and a network that sees each photo once."""

import copy
import dataclasses
import gc
import inspect
import os
import pickle
import weakref

import numpy as np
import pandas as pd
import pytest
import sklearn
import torch
from PIL import Image
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.model_selection import GridSearchCV, StratifiedKFold
from sklearn.pipeline import Pipeline

import aog
import explgraph as eg
from explgraph import estimator as cache_module
from explgraph.base.errors import ExplGraphError
from explgraph.base.formats.columns import MATCHES
from explgraph.estimator import PartLocalizer, match_cache
from tests.support.plain import plain_marks

N_FIT = 16
DIAGONAL = 2**0.5


@pytest.fixture
def graph(world):
    """The same graph as an object of its own: nothing is known of it yet."""
    return dataclasses.replace(world.graph)


@pytest.fixture
def seen(monkeypatch):
    """How many pictures were shown to networks, those in the mirror included."""
    counts, capture = [], eg.Backbone.capture

    def counting(self, batch, layers):
        counts.append(len(batch))
        return capture(self, batch, layers)

    monkeypatch.setattr(eg.Backbone, "capture", counting)
    return counts


def labels(world, part, count=3):
    """(N_FIT, 2), all but the first ``count`` rows NaN."""
    points = world.points[part][:N_FIT].copy()
    points[count:] = np.nan
    return points


@pytest.fixture(scope="module")
def fitted(world):
    localizer = PartLocalizer(world.graph, world.net, part="head")
    return localizer.fit(world.photos[:N_FIT], labels(world, "head"))


# -- parameters ------------------------------------------------------------------------------------


def test_parameters__are_the_settings_of_parts_one_by_one():
    parameters = inspect.signature(PartLocalizer).parameters
    defaults = {name: p.default for name, p in parameters.items()}
    assert [*defaults][:3] == ["graph", "net", "part"]
    assert {k: defaults[k] for k in [*defaults][3:]} == aog.PartConfig().to_json()
    assert all(p.kind is p.KEYWORD_ONLY for p in [*parameters.values()][2:])


def test_parameters__are_read_and_set(world):
    localizer = PartLocalizer(world.graph, world.net, part="head", reach=0.2)
    assert localizer.get_params()["reach"] == 0.2
    assert set(localizer.get_params()) == set(inspect.signature(PartLocalizer).parameters)
    assert localizer.set_params(reach=0.3, n_patterns=7) is localizer
    with pytest.raises(ValueError, match="Invalid parameter 'reaches'"):
        localizer.set_params(reaches=1)
    localizer.fit(world.photos[:N_FIT], labels(world, "head"))
    assert localizer.parts_.config == aog.PartConfig(reach=0.3, n_patterns=7)


def test_parameters__wrong_ones_are_refused_by_fit(world):
    localizer = PartLocalizer(world.graph, world.net, reach=-1)
    with pytest.raises(ExplGraphError, match="reach must be positive"):
        localizer.fit(world.photos[:N_FIT], labels(world, "head"))


def test_parameters__of_methods_are_no_metadata(world):
    """Photos and points are scikit-learn's X and y by other names."""
    localizer = PartLocalizer(world.graph, world.net)
    assert not hasattr(localizer, "set_fit_request")
    with sklearn.config_context(enable_metadata_routing=True):
        search = GridSearchCV(localizer, {"reach": [0.1]}, cv=2, error_score="raise")
        search.fit(world.photos[:4], world.points["head"][:4])
    assert search.best_params_ == {"reach": 0.1}


def test_repr__names_what_is_not_default(world):
    text = repr(PartLocalizer(world.graph, world.net, part="head"))
    assert "part='head'" in text
    assert "reach" not in text


# -- clones, copies, pickles -----------------------------------------------------------------------


def test_clone__shares_graph_and_network(world, fitted):
    other = clone(fitted)
    assert other is not fitted
    assert other.graph is world.graph
    assert other.net is world.net
    assert other.part == "head"
    assert not hasattr(other, "parts_")
    inside = clone(Pipeline([("parts", fitted)])).named_steps["parts"]
    assert inside.graph is world.graph
    assert inside.net is world.net


def test_graph__is_its_own_copy_and_can_be_pickled(world, tmp_path):
    assert copy.copy(world.graph) is world.graph
    assert copy.deepcopy({"graph": [world.graph]})["graph"][0] is world.graph
    again = pickle.loads(pickle.dumps(world.graph))
    world.graph.save(tmp_path / "graph")
    again.save(tmp_path / "again")
    assert (tmp_path / "graph").read_bytes() == (tmp_path / "again").read_bytes()


def test_pickle__answers_as_before(world, fitted):
    again = pickle.loads(pickle.dumps(fitted))
    assert again.net is not world.net
    expected = fitted.predict(world.photos[N_FIT:])
    np.testing.assert_array_equal(again.predict(world.photos[N_FIT:]), expected)


# -- what it finds ---------------------------------------------------------------------------------


def test_predict__equals_the_path_by_hand(world, fitted):
    """Through annotations in pixels, and one call of `match`."""
    names, yx = ("000000", "000001", "000002"), world.points["head"][:3] * 128 - 0.5
    clicks = plain_marks(names, "head", yx)
    found = eg.match(world.graph, world.net, world.photos, views=True, progress=False)
    parts = eg.fit_parts(world.graph, found.take(np.arange(N_FIT)), clicks, "head")
    expected = eg.locate(parts, found.take(np.arange(N_FIT, 24))).yx
    np.testing.assert_allclose(fitted.predict(world.photos[N_FIT:]), expected, atol=1e-4)


def test_predict__is_nearer_than_the_mean_of_the_labels(world, fitted):
    truth = world.points["head"][N_FIT:]
    distance = np.linalg.norm(fitted.predict(world.photos[N_FIT:]) - truth, axis=1)
    mean = labels(world, "head", 3)[:3].mean(axis=0)
    assert distance.mean() < 0.5 * np.linalg.norm(mean - truth, axis=1).mean()


def test_several_parts__in_the_order_given(world, fitted):
    names = ("tail", "head")
    points = np.stack([labels(world, name) for name in names], axis=1)
    both = PartLocalizer(world.graph, world.net, part=names).fit(world.photos[:N_FIT], points)
    answers = both.predict(world.photos[N_FIT:])
    assert answers.shape == (8, 2, 2)
    np.testing.assert_array_equal(answers[:, 1], fitted.predict(world.photos[N_FIT:]))
    assert both.parts_.names == names
    where = both.locate(world.photos[N_FIT:])
    assert where.parts == names * 8
    np.testing.assert_array_equal(where.yx.reshape(8, 2, 2), answers.astype(np.float32))


def test_several_parts__need_not_be_labelled_in_the_same_photos(world):
    points = np.stack([labels(world, "head", 1), labels(world, "tail", 2)[::-1]], axis=1)
    both = PartLocalizer(world.graph, world.net, part=["head", "tail"])
    both.fit(world.photos[:N_FIT], points)
    assert [int(one.clicks.sum()) for one in both.parts_.aogs] == [1, 2]


def test_fit__labels_belong_to_their_rows(world, fitted):
    """Turned around, photos and labels alike: the same parts."""
    turned = clone(fitted).fit(world.photos[:N_FIT][::-1], labels(world, "head")[::-1])
    np.testing.assert_allclose(
        turned.predict(world.photos[N_FIT:]), fitted.predict(world.photos[N_FIT:]), atol=1e-4
    )


def test_locate__names_arrays_by_number(world, fitted):
    assert fitted.locate(world.photos[N_FIT:18]).images == ("000000", "000001")


def test_one_photo_may_be_given_twice(world, fitted):
    first, second, third = fitted.predict(world.photos[[20, 21, 20]])
    np.testing.assert_array_equal(first, third)
    assert not np.array_equal(first, second)


# -- the score -------------------------------------------------------------------------------------


def test_score__counted_by_hand(world, fitted):
    photos = world.photos[N_FIT : N_FIT + 4]
    answers = fitted.predict(photos)
    assert fitted.score(photos, answers) == 0
    inwards = np.where(answers < 0.5, 1, -1)
    points = answers + inwards * [[0.03, 0.04], [0.0, 0.1], [0.0, 0.0], [0.0, 0.0]]
    points[2:] = np.nan
    # (0.05 + 0.1) / 2 over the diagonal
    assert fitted.score(photos, points) == pytest.approx(-0.075 / DIAGONAL)


def test_score__is_the_mean_over_all_labels_of_all_parts(world):
    names = ("head", "tail")
    points = np.stack([labels(world, name) for name in names], axis=1)
    both = PartLocalizer(world.graph, world.net, part=names).fit(world.photos[:N_FIT], points)
    photos = world.photos[N_FIT : N_FIT + 3]
    truth = both.predict(photos)
    truth[0, 0] += np.where(truth[0, 0] < 0.5, 0.3, -0.3)  # off by 0.3 diagonals
    truth[1, 1] = np.nan
    truth[2] = np.nan
    assert both.score(photos, truth) == pytest.approx(-0.3 / 3)  # three labels are left


# -- the network runs once -------------------------------------------------------------------------


def test_grid_search__runs_the_network_once_for_each_photo(world, graph, seen):
    photos, points = world.photos[:N_FIT], labels(world, "head", 6)
    cv = StratifiedKFold(3).split(points, ~np.isnan(points[:, 0]))
    localizer = PartLocalizer(graph, world.net, part="head")
    search = GridSearchCV(
        localizer, {"reach": [1e-3, 0.15], "look": [0.0, 14.0]}, cv=cv, error_score="raise"
    )
    search.fit(photos, points)
    assert sum(seen) == 2 * N_FIT
    assert search.best_estimator_.graph is graph
    assert np.isfinite(search.cv_results_["mean_test_score"]).all()
    assert len(set(search.cv_results_["mean_test_score"])) > 1
    assert -0.1 < search.best_score_ < 0
    assert search.predict(photos).shape == (N_FIT, 2)
    assert sum(seen) == 2 * N_FIT


def test_grid_search__over_lists_of_files(world, graph, seen, tmp_path):
    files = [tmp_path / f"{i:02d}.png" for i in range(8)]
    for file, photo in zip(files, world.photos, strict=False):
        Image.fromarray(photo).save(file)
    search = GridSearchCV(
        PartLocalizer(graph, world.net), {"vote": [1.0, 2.0]}, cv=2, error_score="raise"
    )
    search.fit(files, world.points["head"][:8])
    assert sum(seen) == 2 * 8
    by_array = clone(search.best_estimator_).fit(world.photos[:8], world.points["head"][:8])
    assert sum(seen) == 4 * 8  # photos from memory are others
    np.testing.assert_allclose(search.predict(files), by_array.predict(world.photos[:8]), atol=1e-4)


def test_files__may_come_as_strings_in_an_array_or_a_series(world, fitted, tmp_path):
    files = [str(tmp_path / f"{i}.png") for i in range(2)]
    for file, photo in zip(files, world.photos[N_FIT:], strict=False):
        Image.fromarray(photo).save(file)
    expected = fitted.predict(world.photos[N_FIT : N_FIT + 2])
    answers = fitted.locate(files)
    assert answers.images == tuple(files)
    np.testing.assert_allclose(answers.yx, expected, atol=1e-4)
    np.testing.assert_array_equal(fitted.predict(np.array(files)), answers.yx)
    series = pd.Series(files, index=[7, 3])
    np.testing.assert_array_equal(fitted.predict(series), answers.yx)
    assert fitted.score(series, expected) == pytest.approx(0, abs=1e-4)


def test_cache__a_file_that_changed_is_seen_again(world, graph, seen, tmp_path):
    file = tmp_path / "photo.bmp"  # of the same size, whatever is on it
    cache = match_cache(graph, world.net)
    answers = []
    for photo in world.photos[:2]:
        Image.fromarray(photo).save(file)
        os.utime(file, ns=(0, len(answers)))  # even if the clock is too coarse to tell
        answers.append(cache.match(graph, world.net, [file]).yx)
    assert sum(seen) == 4
    assert not np.array_equal(*answers)


def test_cache__arrays_are_told_apart_by_shape_and_type(world, graph, seen):
    cache = match_cache(graph, world.net)
    wide = np.zeros((8, 32, 3), np.uint8)
    for photo in (wide, wide.reshape(32, 8, 3), wide.astype(np.float32)):
        cache.match(graph, world.net, [photo])
    assert sum(seen) == 6
    cache.match(graph, world.net, [wide.copy()])
    assert sum(seen) == 6


def test_cache__is_bounded_and_lets_the_oldest_go(world, graph, seen, monkeypatch):
    cache = match_cache(graph, world.net)
    photos = world.photos[:3]
    whole = cache.match(graph, world.net, photos)
    row = whole.take(np.array([0]))
    one = sum(getattr(row, name).nbytes for name in MATCHES) + sum(
        getattr(row.views, name).nbytes for name in ("frames", "yx", "score", "gain", "maps")
    )
    monkeypatch.setattr(cache_module, "CACHE_BYTES", 2 * one)
    cache.match(graph, world.net, photos[:1])  # makes it the youngest: the second is to go
    assert len(cache) == 2
    assert sum(seen) == 6
    cache.match(graph, world.net, photos[[0, 2]])
    assert sum(seen) == 6
    again = cache.match(graph, world.net, photos)  # more than it holds, and right all the same
    assert sum(seen) == 8
    assert len(cache) == 2
    np.testing.assert_allclose(again.yx, whole.yx, atol=1e-4)
    assert again.images == whole.images == ("000000", "000001", "000002")


def test_cache__goes_with_the_graph_or_the_network(world):
    graph = dataclasses.replace(world.graph)
    net = eg.Backbone(world.net.module, world.net.preprocess, name=world.net.name, device="cpu")
    caches = [weakref.ref(match_cache(*pair)) for pair in [(graph, world.net), (world.graph, net)]]
    assert all(cache() is not None for cache in caches)
    del graph, net
    gc.collect()
    assert all(cache() is None for cache in caches)


# -- wrong input -----------------------------------------------------------------------------------


def test_not_fitted__is_scikit_learns_error(world):
    localizer = PartLocalizer(world.graph, world.net)
    for use in (localizer.predict, localizer.locate):
        with pytest.raises(NotFittedError):
            use(world.photos[:1])
    with pytest.raises(NotFittedError):
        localizer.score(world.photos[:1], np.zeros((1, 2)))


@pytest.mark.parametrize(
    ("points", "message"),
    [
        (np.full((2, 2), np.nan), "none of the 2 photos to fit on has a label for 'part'"),
        ([[0.5, np.nan], [0.5, 0.5]], "one number and one NaN"),
        ([[0.5, 0.5], [64, 30]], r"row 1 is \[\[64.0, 30.0\]\]: divide pixels"),
        ([[0.5, 0.5]], r"points must have shape \(2, 2\), got \(1, 2\)"),
        (np.zeros((2, 1, 2)), r"points must have shape \(2, 2\)"),
    ],
)
def test_fit__refuses_wrong_points(world, points, message):
    with pytest.raises(ExplGraphError, match=message):
        PartLocalizer(world.graph, world.net).fit(world.photos[:2], points)


def test_fit__names_the_part_without_a_label(world):
    points = np.stack([labels(world, "head"), np.full((N_FIT, 2), np.nan)], axis=1)
    with pytest.raises(ExplGraphError, match="has a label for 'tail'"):
        PartLocalizer(world.graph, world.net, part=("head", "tail")).fit(
            world.photos[:N_FIT], points
        )


def test_grid_search__a_fold_without_labels_is_a_clear_error(world):
    points = labels(world, "head", 2)  # both in the first of two folds
    search = GridSearchCV(
        PartLocalizer(world.graph, world.net), {"reach": [0.1]}, cv=2, error_score="raise"
    )
    with pytest.raises(ExplGraphError, match="none of the 8 photos to fit on has a label"):
        search.fit(world.photos[:N_FIT], points)


def test_score__without_labels_is_a_clear_error(world, fitted):
    with pytest.raises(ExplGraphError, match="none of the 2 photos to score has a label"):
        fitted.score(world.photos[:2], np.full((2, 2), np.nan))


@pytest.mark.parametrize(
    ("photos", "message"),
    [
        ("photos/", "must be a list of files"),
        (
            np.zeros((8, 8, 3), np.uint8),
            r"photos .* array \(N, H, W, 3\), got an array \(8, 8, 3\)",
        ),
        ([], "there are no photos"),
        (["nowhere.png"], "nowhere.png is not a file"),
        ([torch.zeros(3, 8, 8)], "the path of a file or an array .*got Tensor"),
    ],
)
def test_predict__refuses_what_is_no_photo(fitted, photos, message):
    with pytest.raises(ExplGraphError, match=message):
        fitted.predict(photos)


def test_predict__names_a_photo_that_cannot_be_read(fitted, tmp_path):
    (tmp_path / "broken.png").write_bytes(b"")
    with pytest.raises(ExplGraphError, match=r"broken\.png"):
        fitted.predict([tmp_path / "broken.png"])


def test_fit__refuses_other_weights(world):
    other = copy.deepcopy(world.net.module)
    with torch.no_grad():
        next(other.parameters()).add_(1)
    net = eg.Backbone(other, world.net.preprocess, name=world.net.name, device="cpu")
    with pytest.raises(ExplGraphError, match="mined from other weights"):
        PartLocalizer(world.graph, net).fit(world.photos[:N_FIT], labels(world, "head"))
