"""Prediction fidelity, by hand on the hills of `tests.hills` and by loops on a real network."""

import dataclasses
import itertools
import json
import math

import numpy as np
import pytest
import torch
from PIL import Image

from explgraph import extract, load_backbone
from explgraph.base.errors import ExplGraphError
from explgraph.evaluation.fidelity import COUNTS, N_DRAWS, fidelity_curve
from explgraph.evaluation.tables import raw_peaks
from explgraph.photos.images import open_images
from tests.peaks.test_watershed import by_hand
from tests.support.hills import (
    A,
    B,
    S,
    hills_graph,
    hills_matches,
    hills_net,
    hills_photos,
)
from tests.support.plain import plain_graph


@pytest.fixture(scope="module")
def net():
    return hills_net()


def curve(net, matches, photos, **options):
    return fidelity_curve(hills_graph(net), matches, net, photos, **options)


def test_curve__of_hills(net):
    """By rank: hill B alone decides for class 1; with the spot for class 2; with hill A for 0.

    Of the strongest cells two are 200 of hill A and the spot, class 2; three are all of hill A (the
    first of the equal cells) and the spot, class 0.
    """
    found = curve(net, hills_matches(1), hills_photos(1), counts=[1, 2, 3])
    table = found.table
    assert table["row"].tolist() == ["best 1", "best 2", "all"]
    assert table["nodes"].tolist() == [1, 2, 3]
    assert table["photos"].tolist() == [1, 1, 1]
    np.testing.assert_allclose(table["cells"], [2, 3, 5])
    np.testing.assert_allclose(table["cell_share"], [2 / 5, 3 / 5, 1])
    np.testing.assert_allclose(table["activation_share"], [150 / 600, 300 / 600, 1], rtol=1e-5)
    assert table["kept"].tolist() == [0, 0, 1]
    assert table["kept_strongest"].tolist() == [0, 1, 1]
    assert table["kept_random"].iloc[2] == 1


def test_responses__are_over_the_channels_scale(net):
    """Green counts ten times less: hill B has 150 of 450 + 15; the spot is the weakest cell."""
    graph = hills_graph(net, scale=(1, 10))
    found = fidelity_curve(graph, hills_matches(1), net, hills_photos(1), counts=[1, 2]).table
    np.testing.assert_allclose(found["activation_share"], [150 / 465, 165 / 465], rtol=1e-5)
    assert found["kept_strongest"].tolist() == [1, 1]  # 200, 100 and then 100: class 0


def test_random_cells__keep_the_decision_as_often_as_chance_does(net):
    """Against all pairs and triples of the five active cells, within four deviations."""
    values = {(A, 200): 1.0, (A, 100): 1.0, (B, 100): 1.5, (B, 50): 1.5, (S, 150): 1.9}

    def kept(cells):
        logits = [0.0, 1.0, 0.0]
        for node, value in cells:
            logits[node] += values[node, value] * value
        return max(range(3), key=logits.__getitem__) == 0

    n = 200
    found = curve(net, hills_matches(n), hills_photos(n), counts=[1, 2]).table
    for n_cells, share in zip((2, 3), found["kept_random"], strict=True):
        subsets = [kept(cells) for cells in itertools.combinations(values, n_cells)]
        chance = sum(subsets) / len(subsets)
        assert 0 < chance < 1
        assert abs(share - chance) < 4 * math.sqrt(chance * (1 - chance) / (n * N_DRAWS))


def test_seed__decides_the_random_cells_alone(net):
    n = 30
    tables = [
        curve(net, hills_matches(n), hills_photos(n), counts=[1, 2], seed=seed).table
        for seed in (0, 0, 1)
    ]
    assert tables[0].equals(tables[1])
    assert not tables[0]["kept_random"].equals(tables[2]["kept_random"])
    assert tables[0].drop(columns="kept_random").equals(tables[2].drop(columns="kept_random"))


def test_mirrored_photos__are_run_as_the_graph_sees_them(net):
    """The readout knows the hills by their cells: mirrored, it would see none of them."""
    mirrored = [False, True, True]
    photos = hills_photos(3, mirrored)
    found = curve(net, hills_matches(3, mirrored=mirrored), photos, counts=[1, 2, 3]).table
    alone = curve(net, hills_matches(1), hills_photos(1), counts=[1, 2, 3]).table
    columns = ["cells", "activation_share", "kept", "kept_strongest"]
    np.testing.assert_allclose(found[columns], alone[columns], rtol=1e-6)


def test_matches__of_other_photos_are_refused(net):
    """Hill B of three photos is the filter's second peak; without hill A there is none."""
    others = hills_photos(3)
    others[:, :3, :3, 0] = 0
    with pytest.raises(ExplGraphError, match="3 of the 9 peaks of layer 1 on which"):
        curve(net, hills_matches(3), others)


def test_nodes__with_score_0_claim_nothing(net):
    score = [[1, 0, 1]]  # hill B was not found
    found = curve(net, hills_matches(1, score), hills_photos(1), counts=[1, 2, 3]).table
    assert found["cells"].tolist() == [0, 1, 3]
    assert found["kept"].tolist() == [0, 0, 1]


def test_nodes__on_the_same_peak_claim_it_once(net):
    same = dataclasses.replace(hills_matches(1), peak=np.array([[1, 1, 0]]))
    found = curve(net, same, hills_photos(1), counts=[1, 2, 3]).table
    assert found["cells"].tolist() == [2, 3, 3]


def test_layer__that_may_be_negative_loses_what_is_below_its_mean():
    """All active cells stay, but black cells rise to the mean: to class 1, as the bias is made."""
    net = hills_net(rectified=False)
    with torch.no_grad():
        weight = net.module[3].weight.view(3, 2, 6, 6)
        weight[1, 0, 5] = 3  # six black cells below hill B: at a mean of 40, 720 for class 1
    graph = hills_graph(net, mean=(40 / 255, 0))
    assert not graph.layers[0].rectified
    found = fidelity_curve(graph, hills_matches(1), net, hills_photos(1), counts=[3]).table
    assert found["cells"].tolist() == [5]
    # (160 + 60) + (60 + 10) + 150 of red above 40, and green
    assert found["activation_share"].tolist() == [1]
    assert found["kept"].tolist() == [0]


def test_shares__of_a_layer_that_may_be_negative_are_above_the_mean():
    net = hills_net(rectified=False)
    graph = hills_graph(net, mean=(60 / 255, 0))
    matches = hills_matches(1)
    found = fidelity_curve(graph, matches, net, hills_photos(1), counts=[1, 3]).table
    assert found["cells"].tolist() == [1, 4]  # the 50 of hill B is below the mean
    np.testing.assert_allclose(found["activation_share"], [40 / 370, 1], rtol=1e-5)


def test_photos__are_found_among_others_by_name(net, tmp_path):
    for name, photo in (("a", 255 - hills_photos(1)[0]), ("b", hills_photos(1)[0])):
        Image.fromarray(photo).save(tmp_path / f"{name}.png")
    matches = hills_matches(1)
    named = dataclasses.replace(matches, images=("b.png",))
    expected = curve(net, matches, hills_photos(1))
    assert curve(net, named, tmp_path) == expected
    assert curve(net, named, open_images(tmp_path)) == expected
    with pytest.raises(ExplGraphError, match=r"unknown photo of the matches: '000000'"):
        curve(net, matches, tmp_path)


def test_boxes__are_looked_at_where_they_lie(net, tmp_path):
    """The hills are a box in a larger photo."""
    photo = np.full((20, 10, 3), 255, dtype=np.uint8)
    photo[8:14, 3:9] = hills_photos(1)[0]
    Image.fromarray(photo).save(tmp_path / "a.png")
    (tmp_path / "boxes.csv").write_text("image,x,y,width,height\na.png,5.5,10.5,6,6\n")
    matches = hills_matches(1)
    inside = dataclasses.replace(matches, images=("a.png#0",))
    source = open_images(tmp_path, boxes=tmp_path / "boxes.csv")
    assert curve(net, inside, source) == curve(net, matches, hills_photos(1))


def test_json__holds_all_figures(net):
    found = curve(net, hills_matches(1), hills_photos(1))
    value = json.loads(json.dumps(found.to_json()))
    assert value["layer"] == "1"
    assert value["photos"] == 1
    assert value["all_nodes"] == 3
    assert [point["nodes"] for point in value["points"]] == [3]
    assert value["points"][0]["kept"] == 1


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"counts": [1, 4]}, r"counts must be numbers of nodes within 1\.\.3, got \[1, 4\]"),
        ({"counts": []}, "counts must be numbers of nodes"),
        ({"layer": 1}, "there is no layer 1: the graph has 1"),
    ],
)
def test_options__that_make_no_sense_are_refused(net, options, message):
    with pytest.raises(ExplGraphError, match=message):
        curve(net, hills_matches(1), hills_photos(1), **options)


def test_network__other_than_the_graphs_is_refused(net):
    other = hills_net()
    with torch.no_grad():
        other.module[3].bias += 1
    with pytest.raises(ExplGraphError, match="mined from another network"):
        fidelity_curve(hills_graph(net), hills_matches(1), other, hills_photos(1))


def test_matches__of_another_graph_are_refused(net):
    with pytest.raises(ExplGraphError, match="have 2 nodes that are not this graph's 3"):
        curve(net, hills_matches(1).take(nodes=np.array([0, 1])), hills_photos(1))


# -- a real network --------------------------------------------------------------------------------


def strongest_peaks(peaks):
    """A graph with one node for each filter, at its strongest peak, and matches."""
    matches = raw_peaks(peaks)
    channel = np.concatenate([np.arange(layer.channels) for layer in peaks.layers])
    graph = plain_graph(
        peaks.layers,
        peaks.input_size,
        statistics=(peaks.channel_mean, peaks.channel_scale),
        nodes=(matches.node_layer, channel, np.zeros_like(channel)),
        mu=np.full((len(channel), 2), 112.0),
        score=matches.score.mean(axis=0),
        gain=matches.score.mean(axis=0),
    )
    return graph, matches


@pytest.mark.shared
def test_curve__of_a_real_network_equals_the_loops(shared):
    net = load_backbone("squeezenet1_0", shared / "models" / "squeezenet1_0.safetensors")
    net.module.eval()
    photos = [shared / "animalpart" / "bird" / f"{i:04d}.jpg" for i in (1, 2, 3, 4)]
    peaks = extract(net, photos, layers=["features.12"], mirror=False, progress=False)
    graph, matches = strongest_peaks(peaks)
    found = fidelity_curve(graph, matches, net, photos)
    assert found.table["nodes"].tolist() == [*COUNTS[:4], 512]
    cells, share, kept = [], [], []
    for photo in photos:
        batch = net.preprocess(Image.open(photo))[0][None]
        maps = net.capture(batch, ["features.12"])["features.12"]
        response = maps[0].numpy() / graph.channel_scale[0][:, None, None]
        keep = by_hand(maps.numpy())[0] == maps[0].flatten(1).argmax(dim=1).numpy()[:, None, None]
        with torch.inference_mode():
            top = net.module(batch).argmax()
            edited = net.module.classifier(maps * torch.from_numpy(keep)).argmax(dim=1)
        cells.append(keep.sum())
        share.append(response[keep].sum() / response.sum())
        kept.append(float(edited.item() == top))
    last = found.points[-1]
    assert last.cells == pytest.approx(np.mean(cells))
    assert last.activation_share == pytest.approx(np.mean(share), rel=1e-5)
    assert last.kept == np.mean(kept)
    assert found.table["cells"].is_monotonic_increasing
