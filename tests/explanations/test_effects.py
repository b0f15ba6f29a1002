"""Effects of nodes on nodes above: by hand on a linear network, and by a loop and by removal."""

import dataclasses

import numpy as np
import pytest
import torch
from torch import nn

from explgraph.base.arrays import NONE
from explgraph.base.errors import ExplGraphError
from explgraph.explanations.effects import edge_effects, shared_photos
from explgraph.networks.backbone import Backbone
from explgraph.networks.preprocess import Preprocess
from tests.peaks.test_watershed import by_hand
from tests.support.hills import GREEN, RED, SIDE, UNIT, hills_photos
from tests.support.plain import plain_graph, plain_matches

A, B, S, ON_A, ON_B = range(5)
"""Hill A, hill B and the spot; above them a node for hill A less the spot, and one for hill B."""

PEAKS = (0, 1, 0, 0, 1)


def two_layers(rectified=True):
    """Layer "1" is the photo; layer "3" sums two red cells, less .4 of a green one or plus 50."""
    first = nn.Conv2d(3, 2, 3, padding=1, bias=False)
    second = nn.Conv2d(2, 2, 5, padding=2)
    with torch.no_grad():
        first.weight.zero_()
        first.weight[RED, 0, 1, 1] = first.weight[GREEN, 1, 1, 1] = 1
        second.weight.zero_()
        second.weight[0, RED, 2, 1:3] = 1  # the cell itself and the one to its left
        second.weight[0, GREEN, 2, 4] = -0.4  # two to the right
        second.weight[1, RED, 2, 1:3] = 1
        second.bias.copy_(torch.tensor([0, 50]) / 255)
    middle = nn.ReLU(inplace=True) if rectified else nn.Identity()
    torch.manual_seed(0)
    head = nn.Linear(2 * SIDE * SIDE, 3)
    module = nn.Sequential(first, middle, second, nn.ReLU(inplace=True), nn.Flatten(), head)
    look = Preprocess((SIDE, SIDE), mean=(0, 0, 0), std=(1, 1, 1))
    return Backbone(module, look, name="two layers", device="cpu")


def its_graph(net, mean=(0.0, 0.0), above=(0.0, 0.0)):
    return plain_graph(
        net.select(["1", "3"]),
        (SIDE, SIDE),
        statistics=((np.array(mean), np.array(above)), (np.ones(2), np.full(2, 0.5))),
        nodes=(
            np.array([0, 0, 0, 1, 1]),
            np.array([RED, RED, GREEN, 0, 1]),
            np.array([0, 1, 0, 0, 0]),
        ),
        score=np.full(5, UNIT),
        gain=np.arange(5),
        mu=np.full((5, 2), SIDE / 2),
        header={"model": "two layers", "weight_hash": net.weight_hash},
    )


def its_matches(n_photos, score=None, peaks=PEAKS, **others):
    score = UNIT * (np.ones((n_photos, 5)) if score is None else np.array(score, dtype=float))
    names, peak = (f"{i:06d}" for i in range(n_photos)), np.where(score > 0, peaks, NONE)
    layer = [0, 0, 0, 1, 1]
    return plain_matches(names, 0.5, score, layer, peak=peak, **others)


@pytest.fixture(scope="module")
def net():
    return two_layers()


def effects(net, found, photos, graph=None, **options):
    graph = its_graph(net) if graph is None else graph
    given = {"parents": "all", "n_children": None, "progress": False} | options
    table = edge_effects(graph, found, net, photos, **given).table
    return {(row.child, row.parent): row.effect for row in table.itertuples()}


def test_effect__of_hills_is_their_share_and_inhibition_keeps_its_sign(net):
    """Hill A gives 300 of 240, as the spot takes 60 away; hill B 150 of 200, its bias the rest."""
    found = effects(net, its_matches(1), hills_photos(1))
    assert found[A, ON_A] == pytest.approx(300 / 240)
    assert found[S, ON_A] == pytest.approx(-60 / 240)
    assert found[B, ON_A] == 0
    assert found[B, ON_B] == pytest.approx(150 / 200)
    assert found[A, ON_B] == found[S, ON_B] == 0


def test_effect__is_of_what_lies_above_the_means():
    """Layers that may be negative: hill A has 140 and 40 above 60, the spot 130 above 20."""
    net = two_layers(rectified=False)
    graph = its_graph(net, mean=(60 / 255, 20 / 255), above=(40 / 255, 0))
    found = effects(net, its_matches(1), hills_photos(1), graph)
    assert found[A, ON_A] == pytest.approx(180 / 200)
    assert found[S, ON_A] == pytest.approx(-0.4 * 130 / 200)
    assert found[B, ON_B] == pytest.approx(40 / 200)  # only its top is above 60


def test_effect__is_the_mean_of_photos_in_which_both_fire(net):
    """The second photo has half of hill A, and the peak above it where the spot is not seen."""
    photos = hills_photos(3)
    photos[1, 1, :3, 0] //= 2
    score = np.ones((3, 5))
    score[1:, S] = 0.1
    score[2, ON_A] = 0
    peaks = np.tile(PEAKS, (3, 1))
    peaks[1, ON_A] = 1  # hill B is higher there
    matches = its_matches(3, score, peaks)
    found = effects(net, matches, photos)
    assert found[A, ON_A] == pytest.approx((300 / 240 + 100 / 100) / 2)
    assert found[S, ON_A] == pytest.approx(-60 / 240)
    graph = its_graph(net)
    table = edge_effects(graph, matches, net, photos, parents=[ON_A], progress=False).table
    assert table.child.tolist() == [A, S]  # by falling size; that of B is none
    assert table.photos.tolist() == [2, 1]


def test_photos__that_count_are_those_in_which_most_nodes_fire(net):
    score = np.ones((4, 5))
    score[0, :3] = 0
    score[2, [A, ON_B]] = 0
    counted = shared_photos(its_graph(net), its_matches(4, score), 2)
    assert counted[:, ON_A].tolist() == [False, True, False, True]
    assert counted[:, ON_B].tolist() == [False, True, False, True]
    counted = shared_photos(its_graph(net), its_matches(4, score), 3)
    assert counted[:, ON_A].tolist() == [False, True, True, True]
    assert counted[:, ON_B].tolist() == [True, True, False, True]


def test_parents__are_those_asked_for_and_children_the_largest(net):
    photos, found, graph = hills_photos(1), its_matches(1), its_graph(net)
    assert set(effects(net, found, photos, parents=["3/1/0"])) == {(n, ON_B) for n in (A, B, S)}
    assert list(effects(net, found, photos, n_children=1)) == [(A, ON_A), (B, ON_B)]
    assert list(effects(net, found, photos, n_children=2)) == [
        (A, ON_A),
        (S, ON_A),
        (B, ON_B),
    ]
    assert effects(net, found, photos, parents=[A, S]) == {}
    assert len(effects(net, found, photos, parents=None)) == 6
    named = graph.rename({ON_B: "low"})
    assert set(effects(net, found, photos, named, parents=["low"])) == {
        (n, ON_B) for n in (A, B, S)
    }


def test_mirrored_photos__are_run_as_the_graph_sees_them(net):
    mirrored = np.array([True, False])
    found = effects(net, its_matches(2, mirrored=mirrored), hills_photos(2, mirrored))
    assert found[A, ON_A] == pytest.approx(300 / 240)


def test_graph__keeps_them(net, tmp_path):
    graph = its_graph(net)
    known = edge_effects(graph, its_matches(1), net, hills_photos(1), progress=False)
    graph.having(effects=known).save(tmp_path / "graph.safetensors")
    again = type(graph).load(tmp_path / "graph.safetensors").effects
    assert again.table.equals(known.table)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"parents": "al"}, "unknown parents 'al'"),
        ({"parents": [9]}, "node 9 does not exist"),
        ({"parents": ["3/7/0"]}, "unknown node '3/7/0'"),
        ({"n_photos": 0}, "n_photos must be at least 1, got 0"),
        ({"n_children": 0}, "n_children must be at least 1, got 0"),
    ],
)
def test_options__that_make_no_sense_are_refused(net, options, message):
    with pytest.raises(ExplGraphError, match=message):
        effects(net, its_matches(1), hills_photos(1), **options)


def test_matches_networks_and_photos__that_are_foreign_are_refused(net):
    photos = hills_photos(1)
    with pytest.raises(ExplGraphError, match="not this graph's"):
        effects(net, its_matches(1).take(nodes=np.arange(3)), photos)
    graph = dataclasses.replace(its_graph(net), header={"weight_hash": "another"})
    with pytest.raises(ExplGraphError, match="mined from another network"):
        effects(net, its_matches(1), photos, graph)
    with pytest.raises(ExplGraphError, match="matches are of other photos"):
        effects(net, its_matches(1, peaks=(3, 3, 3, 3, 3)), photos)


# -- a trained network ----------------------------------------------------------------------------


def removed(net, graph, names, batch, child, parent):
    """What a parent's cell has, and without the child's cells; ``child`` is filter and mask."""
    out, kept = [], {}
    for empty in (False, True):

        def edit(_module, _inputs, output, empty=empty):
            kept["below"] = output.detach().clone()
            if empty:
                channel, mask = child
                output = output.clone()
                output[0, channel][torch.from_numpy(mask)] = float(graph.channel_mean[0][channel])
            return output

        handles = [
            net.module.get_submodule(names[0]).register_forward_hook(edit),
            net.module.get_submodule(names[1]).register_forward_hook(
                lambda _m, _i, output: kept.__setitem__("above", output.detach().clone())
            ),
        ]
        with torch.no_grad():
            net.module.eval()(batch)
        for handle in handles:
            handle.remove()
        channel, cell = parent
        out.append(float(kept["above"][0, channel].flatten()[cell]))
    return out


def test_effects__of_a_trained_network_are_what_removal_takes(world):
    """One photo: every effect on some parents beside a pass without the child's cells."""
    graph, net = world.graph, world.net
    names = [layer.name for layer in graph.layers]
    photo = int((world.found.score > 0).sum(axis=1).argmax())
    found = world.found.take(images=np.array([photo]))
    uppers = np.flatnonzero(graph.node_layer == 1)
    firing = (found.score[0] > 0) & (found.score[0] >= graph.score / 2)
    parents = uppers[firing[uppers]][::7][:8]
    known = edge_effects(
        graph, found, net, world.source, parents=parents.tolist(), n_children=None, progress=False
    )
    batch = net.preprocess(world.source.load(photo).image)[0][None]
    batch = batch.flip(3) if found.mirrored[0] else batch
    maps = {name: net.capture(batch, [name])[name][0].numpy() for name in names}
    table, exact = known.table.iloc[::5], []
    for row in table.itertuples():
        peaks = []
        for node in (row.child, row.parent):
            layer, channel = graph.node_layer[node], graph.node_channel[node]
            own = maps[names[layer]][channel]
            mean = float(graph.channel_mean[layer][channel])
            basin = by_hand(own[None, None], np.array([mean]))[0, 0]
            tops = np.unique(basin[basin != NONE]).tolist()
            tops.sort(key=lambda t, own=own: -own.flatten()[t])
            top = tops[found.peak[0, node]]
            peaks.append((channel, basin == top, top, mean))
        (channel, mask, _, _), (above, _, top, mean) = peaks
        before, after = removed(net, graph, names, batch, (channel, mask), (above, top))
        exact.append((before - after) / (before - mean))
    exact = np.array(exact)
    assert len(exact) > 200
    large = np.abs(exact) > 0.02
    assert large.sum() > 20
    assert np.corrcoef(exact, table.effect)[0, 1] > 0.97
    assert (np.sign(exact[large]) == np.sign(table.effect[large])).mean() > 0.95


def test_effects__are_the_same_again_and_whoever_else_is_asked(world):
    graph, net = world.graph, world.net
    options = {"n_photos": 4, "progress": False}
    one, two = (
        edge_effects(graph, world.found, net, world.source, **options).table for _ in range(2)
    )
    assert one.equals(two)
    parent = int(one.parent.iloc[0])
    alone = edge_effects(graph, world.found, net, world.source, parents=[parent], **options).table
    beside = one[one.parent == parent]
    assert alone.child.tolist() == beside.child.tolist()
    np.testing.assert_allclose(alone.effect, beside.effect, rtol=1e-3, atol=1e-5)
