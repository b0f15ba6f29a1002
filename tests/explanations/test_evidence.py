"""Class evidence, by hand on the hills of `tests.hills` and by single passes on a real network."""

import dataclasses
import json
import math

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from explgraph import extract, load_backbone
from explgraph.base.errors import ExplGraphError
from explgraph.explanations.evidence import PER_LAYER, class_evidence
from tests.evaluation.test_fidelity import strongest_peaks
from tests.peaks.test_watershed import by_hand
from tests.support.hills import A, B, S, hills_graph, hills_matches, hills_net, hills_photos


@pytest.fixture(scope="module")
def net():
    return hills_net()


def evidence(net, matches, pictures, **options):
    return class_evidence(hills_graph(net), matches, net, pictures, **options)


DROPS = {  # of each class's logit without hill A, hill B and the spot; in 1/255
    0: (300, 0, 0),
    1: (0, 225, 0),
    2: (0, 0, 285),
}


@pytest.mark.parametrize("target", DROPS)
def test_drop__of_hills_is_weights_times_activation(net, target):
    found = evidence(net, hills_matches(1), hills_photos(1), target=target)
    np.testing.assert_allclose(255 * found.drop, DROPS[target], atol=1e-3)
    np.testing.assert_allclose(found.logit, [(300, 226, 285)[target] / 255] * 3, rtol=1e-5)
    assert found.cells.tolist() == [2, 2, 1]
    assert found.photos.tolist() == [1, 1, 1]


@pytest.mark.parametrize("target", [None, 0, 1, 2])
def test_estimate__behind_a_linear_rest_is_the_drop(net, target):
    found = evidence(net, hills_matches(2), hills_photos(2), target=target)
    np.testing.assert_allclose(found.estimate, found.drop, atol=1e-5)
    assert found.correlation == pytest.approx(1)


def test_target__is_by_default_each_photos_own(net):
    """The second photo has no hill A: the spot decides there, for class 2."""
    photos = hills_photos(2)
    photos[1, 1, :3, 0] = 0
    matches = hills_matches(2, [[1, 1, 1], [0, 1, 1]])
    peak = matches.peak.copy()
    peak[1, B] = 0  # without hill A, hill B is the strongest
    found = evidence(net, dataclasses.replace(matches, peak=peak), photos)
    assert found.target is None
    assert found.photos.tolist() == [1, 2, 2]
    np.testing.assert_allclose(255 * found.drop, [300, 0, 285 / 2], atol=1e-3)
    np.testing.assert_allclose(255 * found.logit, [300, 585 / 2, 585 / 2], rtol=1e-5)


def test_control__is_the_same_filters_other_cells(net):
    """Hill A's two cells stand against hill B's, the filter's only others; and the reverse."""
    found = evidence(net, hills_matches(1), hills_photos(1), target=0)
    np.testing.assert_allclose(255 * found.control[[A, B]], [0, 300], atol=1e-3)
    assert found.same_filter.tolist() == [1, 1, 0]


def test_control__is_of_the_layer_where_the_filter_has_no_other_cells(net):
    """The spot stands against one of the four red cells: on average a drop of (200 + 100) / 4."""
    n = 400
    found = evidence(net, hills_matches(n), hills_photos(n), target=0, nodes=[S], photos=n)
    drops = np.array([200, 100, 0, 0])
    assert found.photos[S] == n
    assert abs(255 * found.control[S] - drops.mean()) < 4 * drops.std() / math.sqrt(n)


def test_seed__decides_the_controls_alone(net):
    one, two, other = (
        evidence(net, hills_matches(30), hills_photos(30), target=0, photos=30, seed=seed).table
        for seed in (0, 0, 1)
    )
    assert one.equals(two)
    assert one.loc[S, "control"] != other.loc[S, "control"]
    assert one.drop(columns="control").equals(other.drop(columns="control"))


def test_photos__that_count_are_the_best_in_which_the_node_fires(net):
    """A node's mean score is 1: half of it is enough, less is not. Brighter photos score less."""
    photos = hills_photos(4)
    photos[1] //= 2
    photos[2] //= 5
    score = np.array([[0.5, 1, 9], [2, 1, 8], [3, 1, 7], [0.4, 0, 6]])
    found = evidence(net, hills_matches(4, score), photos, target=0, photos=2)
    assert found.photos.tolist() == [2, 2, 2]
    # Hill A: photos 2 and 1. Hill B: of equal ones the first two. The spot: photos 0 and 1.
    np.testing.assert_allclose(255 * found.drop[A], (300 / 5 + 300 / 2) / 2, rtol=1e-5)
    np.testing.assert_allclose(255 * found.logit[B], (300 + 300 / 2) / 2, rtol=1e-5)
    found = evidence(net, hills_matches(4, score), photos, target=0)
    assert found.photos.tolist() == [3, 3, 4]


def test_node__that_never_fires_has_no_figures(net):
    found = evidence(net, hills_matches(2, [[0, 1, 1], [0.4, 1, 1]]), hills_photos(2))
    table = found.table
    assert table.loc[A, "photos"] == 0
    figures = ["cells", "logit", "estimate", "drop", "control", "same_filter"]
    assert table.loc[A, figures].isna().all()
    assert table.loc[[B, S], figures].notna().all(axis=None)
    silent = evidence(net, hills_matches(2, np.zeros((2, 3))), hills_photos(2))
    assert silent.photos.tolist() == [0, 0, 0]
    assert np.isnan(silent.correlation)


def test_nodes__that_are_not_asked_for_have_an_estimate(net):
    found = evidence(net, hills_matches(1), hills_photos(1), nodes=[A], target=0)
    np.testing.assert_allclose(255 * found.estimate, [300, 0, 0], atol=1e-3)
    assert np.isfinite(found.drop).tolist() == [True, False, False]
    assert np.isfinite(found.control).tolist() == [True, False, False]


def test_mirrored_photos__are_run_as_the_graph_sees_them(net):
    mirrored = [True, False, True]
    found = evidence(net, hills_matches(3, mirrored=mirrored), hills_photos(3, mirrored), target=0)
    np.testing.assert_allclose(255 * found.drop, [300, 0, 0], atol=1e-3)
    np.testing.assert_allclose(found.logit, [300 / 255] * 3, rtol=1e-5)


def test_layer__that_may_be_negative_falls_to_its_mean():
    """Hill A falls from 200 and 100 to 60 each; hill B from its one cell above 60; green to 20."""
    net = hills_net(rectified=False)
    graph = hills_graph(net, mean=(60 / 255, 20 / 255))
    for target, drops in ((0, (180, 0, 0)), (1, (0, 60, 0)), (2, (0, 0, 247))):
        found = class_evidence(graph, hills_matches(1), net, hills_photos(1), target=target)
        np.testing.assert_allclose(255 * found.drop, drops, atol=1e-3)
        np.testing.assert_allclose(255 * found.estimate, drops, atol=1e-3)
        assert found.cells.tolist() == [2, 1, 1]


class Saturated(nn.Module):
    """The readout of `hills_net`, in which a class's logit cannot exceed 250 / 255."""

    def __init__(self, module):
        super().__init__()
        self.module = module

    def forward(self, x):
        return self.module(x).clamp(max=250 / 255)


def test_drop__is_exact_where_the_estimate_is_not():
    """Class 0 has 300, of which 50 are too much: no slope, but without hill A it loses all 250."""
    net = hills_net()
    net.module[3] = Saturated(net.module[3])
    found = evidence(net, hills_matches(1), hills_photos(1), target=0)
    assert found.estimate[A] == 0
    assert 255 * found.drop[A] == pytest.approx(250, rel=1e-4)


def test_table_and_json__hold_all_figures(net):
    found = evidence(net, hills_matches(1), hills_photos(1), nodes=[A])
    table = found.table
    assert table.index.name == "node"
    assert table["id"].tolist() == ["1/0/0", "1/0/1", "1/1/0"]
    value = json.loads(json.dumps(found.to_json(), allow_nan=False))
    assert value["target"] is None
    assert value["correlation"] is None
    assert [row["node"] for row in value["nodes"]] == [0, 1, 2]
    assert value["nodes"][B]["drop"] is None
    assert value["nodes"][A]["drop"] == found.drop[A]
    assert value["nodes"][A]["photos"] == 1


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"target": 3}, r"there is no class 3: the network has classes 0\.\.2"),
        ({"nodes": [0, 3]}, r"nodes \[3\] do not exist: 0\.\.2 do"),
        ({"photos": 0}, "n_photos must be at least 1, got 0"),
    ],
)
def test_options__that_make_no_sense_are_refused(net, options, message):
    with pytest.raises(ExplGraphError, match=message):
        evidence(net, hills_matches(1), hills_photos(1), **options)


# -- a real network --------------------------------------------------------------------------------


@pytest.mark.shared
def test_drops__of_a_real_network_equal_single_passes(shared):
    """Two layers, a node for each filter: all estimates, and the exact drops of the best."""
    net = load_backbone("squeezenet1_0", shared / "models" / "squeezenet1_0.safetensors")
    net.module.eval()
    photos = [shared / "animalpart" / "zebra" / f"{i:04d}.jpg" for i in (1, 2, 3)]
    names = ["features.10", "features.12"]
    peaks = extract(net, photos, layers=names, mirror=False, progress=False)
    graph, matches = strongest_peaks(peaks)
    found = class_evidence(graph, matches, net, photos)
    exact = np.flatnonzero(np.isfinite(found.drop))
    assert np.bincount(graph.node_layer[exact]).tolist() == [PER_LAYER, PER_LAYER]
    assert np.all(np.isfinite(found.estimate) == (found.photos > 0))
    tail = {names[0]: net.module.features[11:], names[1]: net.module.features[13:]}
    for node in exact[[0, 7, 12, 19]]:
        name, channel = names[graph.node_layer[node]], graph.node_channel[node]
        drops = []
        for i in np.flatnonzero(matches.score[:, node] >= graph.score[node] / 2):
            batch = net.preprocess(Image.open(photos[i]))[0][None]
            maps = net.capture(batch, [name])[name]
            own = (
                by_hand(maps[:, channel : channel + 1].numpy()) == maps[0, channel].argmax().item()
            )
            edited = maps.clone()
            edited[:, channel][torch.from_numpy(own)[:, 0]] = 0
            with torch.inference_mode():
                before, after = (
                    net.module.classifier(tail[name](m.clone())).flatten() for m in (maps, edited)
                )
            drops.append(float(before.max() - after[before.argmax()]))
        assert found.photos[node] == len(drops)
        assert found.drop[node] == pytest.approx(np.mean(drops), rel=1e-2, abs=1e-3)
