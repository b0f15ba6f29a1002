"""Part groups against loops written out, and against groups that are planted."""

from dataclasses import replace

import numpy as np
import pytest

import explgraph as eg
from explgraph.base.arrays import NONE
from explgraph.base.errors import ExplGraphError
from explgraph.base.layer import LayerSpec
from explgraph.graphs.graph import ExplanatoryGraph
from explgraph.groups.coincidence import coincidence
from explgraph.groups.consensus import consensus, followed
from explgraph.groups.observed import Observed, observed
from tests.support.plain import plain_graph, plain_matches
from tests.support.planted import planted_graph

SIDE, N = 100, 60
CENTRES = np.array([[25.0, 25.0], [70.0, 40.0], [45.0, 80.0]])


def some_seen(n_nodes=7, n=9, seed=0):
    rng = np.random.default_rng(seed)
    weight = rng.uniform(0.7, 1.4, (n_nodes, n)) * (rng.random((n_nodes, n)) < 0.6)
    yx = rng.uniform(0, SIDE, (n_nodes, 2, n))
    return Observed(yx.astype(np.float32), weight.astype(np.float32))


# -- formulas --------------------------------------------------------------------------------------


def test_coincidence__is_the_formula():
    seen = some_seen()
    seen.weight[0, 1:] = 0  # fires in one photo, in which node 1 does not
    seen.weight[1, 0] = 0
    found = coincidence(seen, SIDE, 0.2)
    for u in range(7):
        for v in range(7):
            both = seen.weight[u] * seen.weight[v]
            apart = np.minimum(np.hypot(*(seen.yx[u] - seen.yx[v])), 0.2 * SIDE)
            wanted = (both * apart).sum() / (SIDE * both.sum()) if both.any() else 0.2
            assert found[u, v] == pytest.approx(0 if u == v else wanted, abs=1e-6)
    assert found[0, 1] == np.float32(0.2)


def test_consensus__is_the_mean_shift_of_the_formula():
    seen, offset = some_seen(9, 5, seed=1), np.linspace(-9, 9, 18).reshape(9, 2)
    seen.weight[:, 3] = 0
    found = consensus(seen, offset.astype(np.float32), SIDE)
    for i in range(5):
        w, said = seen.weight[:, i].astype(float), seen.yx[:, :, i] - offset
        if i == 3:
            assert np.isnan(found.yx[:, i]).all() and found.mass[i] == 0
            continue
        place = w @ said / w.sum()
        for band in SIDE * np.geomspace(0.24, 0.08, 8):
            near = w * np.exp(-((said - place) ** 2).sum(axis=1) / (2 * band**2))
            place = near @ said / near.sum()
        left = ((said - place) ** 2).sum(axis=1)
        np.testing.assert_allclose(found.yx[:, i], place, atol=1e-3)
        mass = (w * np.exp(-left / (2 * (0.08 * SIDE) ** 2))).sum() / 9
        assert found.mass[i] == pytest.approx(mass, rel=1e-4)


def test_consensus__is_not_drawn_away_by_nodes_that_lie_elsewhere():
    """The mean is, by a fifth of the way."""
    rng = np.random.default_rng(2)
    at = np.full((20, 2, 1), 30.0) + rng.normal(0, 1, (20, 2, 1))
    at[:4] = 90
    seen = Observed(at.astype(np.float32), np.ones((20, 1), np.float32))
    found = consensus(seen, np.zeros((20, 2), np.float32), SIDE)
    assert np.abs(found.yx - 30).max() < 1
    assert np.abs(at.mean(axis=0) - 30).min() > 10


def test_followed__gives_the_spatial_median_and_the_mean_distance_to_it():
    from scipy.optimize import minimize

    seen, place = some_seen(5, 40, seed=3), np.full((2, 40), 7.0, dtype=np.float32)
    place[:, 4] = np.nan
    known = np.isfinite(place[0])
    seen.weight[4] = 0
    offset, error = followed(seen, place, SIDE, 0.2)
    for node in range(4):
        apart, w = (seen.yx[node] - place)[:, known], seen.weight[node, known].astype(float)

        def cost(at, apart=apart, w=w):
            return (w * np.hypot(*(apart - at[:, None]))).sum()

        best = minimize(cost, apart.mean(axis=1), method="Nelder-Mead", options={"xatol": 1e-6})
        assert cost(offset[node]) < 1.002 * best.fun
        away = np.minimum(np.hypot(*(apart - offset[node][:, None])), 0.2 * SIDE)
        assert error[node] == pytest.approx((w * away).sum() / w.sum() / SIDE, rel=1e-4)
    assert (offset[4] == 0).all() and error[4] == np.float32(0.2)


def test_contrast__is_the_ratio_of_mean_scores(world):
    rng = np.random.default_rng(4)
    graph, found = world.graph, world.found
    score = rng.random((5, len(graph)))
    score[:, 3] = 0
    names = [f"{i}.png" for i in range(5)]
    others = plain_matches(names, 0.5, score, node_layer=graph.node_layer)
    wanted = np.log((found.score.mean(axis=0) + 0.001) / (score.mean(axis=0) + 0.001))
    np.testing.assert_allclose(eg.node_contrast(graph, found, others), wanted, rtol=1e-4)
    with pytest.raises(ExplGraphError, match="of the background have no photo"):
        eg.node_contrast(graph, found, others.take(images=np.arange(0)))


# -- planted groups --------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def planted():
    """Three groups of 12 nodes that move each by itself, ten nodes anywhere, ten of no contrast.

    In a third of the photos the object is seen mirrored, and photos are letterboxed.
    """
    rng = np.random.default_rng(5)
    centre = CENTRES[:, None] + rng.normal(0, 9, (3, N, 2))
    place = [
        c + rng.normal(0, 4, 2) + rng.normal(0, 1.5, (N, 2)) for c in centre for _ in range(12)
    ]
    place += [rng.uniform(5, 95, (N, 2)) for _ in range(10)]
    place += [centre[0] + rng.normal(0, 1, (N, 2)) for _ in range(10)]
    yx = np.stack(place, axis=1)  # (N, P, 2) pixels, graph's orientation
    n_nodes = yx.shape[1]
    mirrored = rng.random(N) < 1 / 3
    given = yx.copy()
    given[mirrored, :, 1] = SIDE - given[mirrored, :, 1]
    frames = np.tile(np.array([[0.1, 0.008], [0.0, 0.01]]), (N, 1, 1))
    unit = frames[:, None, :, 0] + frames[:, None, :, 1] * given
    layer = LayerSpec("top", n_nodes, (10, 10), (10, 10), (5, 5), (20, 20))
    nodes = (np.zeros(n_nodes), np.arange(n_nodes), np.zeros(n_nodes))
    gain = np.r_[np.full(12, 1.0), np.full(12, 3.0), np.full(12, 2.0), np.ones(20)]
    contrast = np.r_[np.full(46, 0.9), np.full(10, 0.1)].astype(np.float32)
    graph = plain_graph((layer,), (SIDE, SIDE), nodes, mu=yx.mean(0), gain=gain, contrast=contrast)
    score = rng.uniform(0.6, 2, (N, n_nodes)) * (rng.random((N, n_nodes)) < 0.8)
    names = [f"{i}.png" for i in range(N)]
    found = plain_matches(names, unit, score, mirrored=mirrored, frames=frames, peak_yx=unit)
    return graph, found, centre


def test_part_groups__finds_what_is_planted(planted):
    graph, found, centre = planted
    groups = eg.part_groups(graph, found)
    wanted = np.r_[np.repeat([2, 0, 1], 12), np.full(20, NONE)]  # by falling gain
    assert groups.node_group.tolist() == wanted.tolist()
    assert groups.gain.tolist() == [36, 24, 12]
    shift = groups.yx - np.median(centre[[1, 2, 0]], axis=1)
    assert np.abs(shift).max() < 4  # whatever the mean offset of its nodes is
    assert np.abs(groups.spread - 9).max() < 2
    assert groups.node_gain[:36].min() > 0.8
    assert groups.node_gain[36:46].max() < 0.3
    assert groups.node_gain[46:].min() > 0.8  # in no group, but the first one tells where they are
    offset = np.zeros((46, 2))
    for number, nodes in ((0, range(12, 24)), (1, range(24, 36)), (2, range(12))):
        offset[nodes] = groups.node_offset[nodes] + groups.yx[number]
    usual = np.median(observed(graph, found).yx[:36], axis=2)
    assert np.abs(offset[:36] - usual).max() < 4


def test_part_groups__places_are_in_the_photos_as_given(planted):
    graph, found, centre = planted
    groups = eg.part_groups(graph, found)
    assert groups.places.images == found.images
    for number, own in ((0, 1), (1, 2), (2, 0)):
        y, x = centre[own].T
        x = np.where(found.mirrored, SIDE - x, x)
        unit = np.stack([0.1 + 0.008 * y, 0.01 * x], axis=1)
        away = groups.places.yx[:, number] - unit
        away[found.mirrored.astype(bool), 1] *= -1
        assert np.abs(away - np.median(away, axis=0)).max() < 0.05
        assert np.abs(np.median(away, axis=0)).max() < 0.05
    assert groups.places.sureness.mean() > 0.4


def _scattered(planted):
    graph, found, _ = planted
    rng = np.random.default_rng(6)
    return graph, replace(found, peak_yx=rng.random(found.yx.shape))


def test_part_groups__of_nodes_that_lie_anywhere_there_are_none(planted):
    groups = eg.part_groups(*_scattered(planted))
    assert len(groups) == 0 and (groups.node_group == NONE).all()
    assert np.abs(groups.node_gain).max() == 0
    assert groups.table.empty
    graph = planted[0].having(groups=groups)
    assert graph.top(5).tolist() == graph.ranking()[:5].tolist()
    assert eg.group_places(graph, planted[1]).yx.shape == (N, 0, 2)


def test_part_groups__without_contrast_groups_all_nodes(planted):
    graph, found, _ = planted
    groups = eg.part_groups(replace(graph, contrast=None), found)
    assert (groups.node_group[46:] == groups.node_group[0]).all()
    given = eg.part_groups(graph, found, contrast=np.full(len(graph), 0.9))
    assert given.node_group.tolist() == groups.node_group.tolist()


def test_group_places__of_the_same_photos_are_the_same(planted):
    graph, found, _ = planted
    groups = eg.part_groups(graph, found)
    known = graph.having(groups=groups)
    again = eg.group_places(known, found)
    np.testing.assert_array_equal(again.yx, groups.places.yx)
    np.testing.assert_array_equal(again.sureness, groups.places.sureness)
    one = eg.group_places(known, found.take(images=np.array([7])))
    np.testing.assert_allclose(one.yx[0], groups.places.yx[7], atol=1e-6)
    silent = replace(found, score=np.zeros_like(found.score))
    lost = eg.group_places(known, silent)
    assert (lost.sureness == 0).all()
    usual = 0.1 + 0.008 * groups.yx[:, 0]
    np.testing.assert_allclose(lost.yx[0, :, 0], usual, atol=1e-5)
    table = again.table
    assert len(table) == 3 * N and table["image"][3] == "1.png" and table["group"][4] == 1


def test_group_places__need_groups(planted):
    graph, found, _ = planted
    with pytest.raises(ExplGraphError, match="has no part groups"):
        eg.group_places(graph, found)
    with pytest.raises(ExplGraphError, match="are not this graph's"):
        eg.part_groups(graph, found.take(nodes=np.arange(5)))
    with pytest.raises(ExplGraphError, match="at least one matched photo"):
        eg.part_groups(graph, found.take(images=np.arange(0)))
    with pytest.raises(ExplGraphError, match="contrast must have shape"):
        eg.part_groups(graph, found, contrast=np.ones(3))


# -- in the graph ----------------------------------------------------------------------------------


def test_graph__keeps_groups_and_contrast_in_its_file(planted, tmp_path):
    graph, found, _ = planted
    known = graph.having(groups=eg.part_groups(graph, found)).rename({}, groups={0: "tail"})
    known.save(tmp_path / "graph.safetensors")
    again = ExplanatoryGraph.load(tmp_path / "graph.safetensors")
    assert np.array_equal(again.contrast, graph.contrast)
    for name in ("node_group", "node_offset", "node_gain", "yx", "spread", "sureness", "gain"):
        assert np.array_equal(getattr(again.groups, name), getattr(known.groups, name)), name
    assert again.groups.labels[0] == "tail" and again.groups.labels[2] == "upper left, 12 nodes"
    assert {"contrast", "group", "group_gain"} < set(again.nodes.columns)
    plain = replace(graph, contrast=None)
    plain.save(tmp_path / "plain.safetensors")
    assert ExplanatoryGraph.load(tmp_path / "plain.safetensors").groups is None


def test_group__has_its_best_nodes_first_and_is_found_by_name(planted):
    graph, found, _ = planted
    groups = eg.part_groups(graph, found).rename({1: "head", 0: "tail"})
    head = groups["head"]
    assert head.number == 1 and set(head.nodes) == set(range(24, 36))
    assert (np.diff(groups.node_gain[head.nodes]) <= 0).all()
    assert [group.number for group in groups] == [0, 1, 2]
    assert groups.table["name"].tolist()[:2] == ["tail", "head"]
    with pytest.raises(ExplGraphError, match=r"unknown group 'haed'; the nearest are head"):
        groups.find("haed")
    with pytest.raises(ExplGraphError, match="2 groups are called 'head'"):
        groups.rename({0: "head"}).find("head")
    with pytest.raises(ExplGraphError, match="group 3 does not exist"):
        groups.find(3)


def test_select__keeps_what_is_known_of_the_nodes(planted):
    graph, found, _ = planted
    known = graph.having(groups=eg.part_groups(graph, found))
    part = known.select([0, 30, 40])
    assert part.groups.node_group.tolist() == [2, 1, NONE]
    assert np.array_equal(part.contrast, graph.contrast[[0, 30, 40]])
    assert len(part.groups) == 3


def test_ranking__by_every_figure(planted):
    graph, found, _ = planted
    known = graph.having(groups=eg.part_groups(graph, found))
    inside = known.ranking("group gain")
    border = ((known.mu / SIDE < 0.1) | (known.mu / SIDE > 0.9)).any(axis=1)
    order = known.groups.node_gain[inside[~border[inside]]]
    assert (np.diff(order) <= 0).all()
    by_contrast = known.ranking("contrast")
    assert (by_contrast[~border[by_contrast]][-10:] >= 46).all()
    assert border[known.ranking("contrast")[-border.sum() :]].all()
    with pytest.raises(ExplGraphError, match="unknown figure 'gains'"):
        known.ranking("gains")
    with pytest.raises(ExplGraphError, match="ranked by group gain: the graph has no part groups"):
        graph.ranking("group gain")


def test_top__gives_every_group_seats_by_the_root_of_its_gain(planted):
    """36, 24 and 12: roots 6, 4.9 and 3.5; Sainte-Lague's divisors are 1, 3, 5."""
    graph, found, _ = planted
    known = graph.having(groups=eg.part_groups(graph, found))
    top = known.top(6)
    assert known.groups.node_group[top].tolist() == [0, 1, 2, 0, 1, 0]
    first = known.groups[0].nodes
    assert top[[0, 3, 5]].tolist() == first[:3].tolist()
    assert len(known.top(1000)) == len(graph) and len(set(known.top(1000))) == len(graph)
    assert (known.groups.node_group[known.top(1000)[36:]] == NONE).all()


def test_names__are_read_from_the_file_that_a_page_saves(planted, tmp_path):
    graph, found, _ = planted
    known = graph.having(groups=eg.part_groups(graph, found))
    path = tmp_path / "names.json"
    path.write_text('{"nodes": {"top/7/0": "eye"}, "groups": {"1": "head"}}')
    named = known.rename(path)
    assert named.names == {7: "eye"} and named.groups.names == ("", "head", "")
    for text, message in (
        ("{", "is no JSON"),
        ("[" * 100_000, "lists and objects lie more than|Expected `object`"),
        ('{"nodes": ' + '{"a": ' * 100_000, "is no JSON|lie more than|Expected"),
        ('{"nodes": {"a": 1' + "0" * 5000 + "}}", "Expected `str`|out of range"),
        ('{"node": {}}', "must hold"),
        ('{"groups": {"\u00b2": "head"}}', "unknown group"),
        ('{"groups": {"1": 3}}', "Expected `str`, got `int`"),
        ('{"nodes": {"top/99/0": "eye"}}', "unknown node 'top/99/0'"),
        ('{"groups": {"9": "head"}}', "group 9 does not exist"),
    ):
        path.write_text(text)
        with pytest.raises(ExplGraphError, match=message):
            known.rename(path)
    with pytest.raises(ExplGraphError, match="does not exist"):
        known.rename(tmp_path / "none.json")
    with pytest.raises(ExplGraphError, match="has no part groups"):
        graph.rename({}, groups={0: "x"})


def test_graph__refuses_figures_of_other_nodes(planted):
    graph, found, _ = planted
    other = planted_graph()
    with pytest.raises(ExplGraphError, match="the groups' nodes must have shape"):
        other.having(groups=eg.part_groups(graph, found))
    with pytest.raises(ExplGraphError, match="contrast must have shape"):
        other.having(contrast=np.ones(3))


# -- mined -----------------------------------------------------------------------------------------


def test_mine__stores_what_the_functions_give(world):
    """The graph knows the contrast and the groups of the photos that it was mined from."""
    graph = world.graph
    others = eg.match(graph, world.net, world.background, mirror=False, progress=False)
    np.testing.assert_allclose(
        graph.contrast, eg.node_contrast(graph, world.found, others), atol=1e-3
    )
    again = eg.part_groups(graph, world.found)
    assert np.array_equal(again.node_group, graph.groups.node_group)
    np.testing.assert_allclose(again.node_gain, graph.groups.node_gain, atol=1e-3)
    assert graph.groups.places is not None
    assert len(graph.groups) >= 3
