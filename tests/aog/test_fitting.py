"""Fitting: which nodes a click makes patterns of and how much they weigh, by plain formulas."""

import dataclasses
import math

import numpy as np
import pytest

import explgraph as eg
from aog import PartConfig, fit_clicks
from aog.clicks import Clicks
from aog.evidence import evidence, visible_from
from aog.sight import sight
from explgraph.base.errors import ExplGraphError
from explgraph.graphs.graph_arrays import graph_hash
from tests.support.plain import plain_marks
from tests.support.planted_parts import CHANNELS, LOW, SIDE, TOP, clicks_on, planted_world

# The graph is sure of all views.
CONFIG = PartConfig(reach=0.125, width=0.0625, view=20.0, others=0.0, merge=0.0)


@pytest.fixture(scope="module")
def world():
    return planted_world(14)


def fit(world, rows, config=CONFIG, found=None, **options):
    clicks = clicks_on(world, rows, **options)
    return fit_clicks(world.graph, found or world.found, [clicks], config=config)[clicks.part]


def with_views(world, **changes):
    """The world's matches with other views."""
    views = dataclasses.replace(world.found.views, **changes)
    return dataclasses.replace(world.found, views=views)


def right_view(world):
    """(N, P) scores in the view that is the graph's."""
    return world.found.views.score[np.arange(len(world.mirrored)), world.mirrored.astype(int)]


def naive_weights(world, row, reach):
    """(P,) of a click on the part: by loops over nodes, photos and layers."""
    score = right_view(world).astype(float)
    n, count = score.shape
    layer = world.graph.node_layer
    weights = np.zeros(count)
    for v in range(count):
        if score[row, v] == 0:
            continue
        best = sorted(score[:, v])[::-1][:10]
        share = min(score[row, v] / (sum(best) / len(best)), 1)
        others = [score[i, u] for u in range(count) if layer[u] == layer[v] for i in range(n)]
        strong = math.sqrt(min(score[row, v] / (sum(others) / len(others)), 20))
        far = math.dist(world.mu[v], world.part)
        weights[v] = math.sqrt(share * strong) * math.exp(-(far**2) / (2 * (reach * SIDE) ** 2))
    return weights / weights.sum()


# -- one click -------------------------------------------------------------------------------------


@pytest.mark.parametrize("row", [0, 1], ids=["as given", "mirrored"])
def test_one_click__patterns_are_where_they_were_planted(world, row):
    aog = fit(world, [row])
    assert len(aog) == 1
    assert aog.clicks.tolist() == [1]
    assert aog.node.tolist() == list(range(18))
    np.testing.assert_allclose(aog.displacement, world.part - world.mu, atol=1e-3)
    np.testing.assert_allclose(aog.centre, [world.part + world.shift[row]], atol=1e-4)
    np.testing.assert_allclose(aog.spread, 0.0625 * SIDE)


@pytest.mark.parametrize(("row", "reach"), [(0, 0.125), (1, 0.125), (5, 0.04)])
def test_one_click__weights_equal_the_loops(world, row, reach):
    aog = fit(world, [row], dataclasses.replace(CONFIG, reach=reach))
    np.testing.assert_allclose(aog.weight, naive_weights(world, row, reach), rtol=1e-4)
    assert aog.weight.sum() == pytest.approx(1, rel=1e-5)


def test_one_click__strength_is_capped_at_twenty_times_the_layers_mean(world):
    """Node 0 is found in one photo alone, 10 000 times as strongly as the others."""
    score = world.found.views.score.copy()
    score[:, :, 0] = 0
    score[0, 0, 0] = 1e4
    loud = dataclasses.replace(world, found=with_views(world, score=score))
    mean = right_view(loud)[:, loud.graph.node_layer == 0].mean()
    assert 1e4 / mean > 20
    aog = fit(loud, [0])
    np.testing.assert_allclose(aog.weight, naive_weights(loud, 0, 0.125), rtol=1e-4)


def test_one_click__scale_is_the_mean_of_the_ten_best_photos(world):
    aog = fit(world, [3])
    expected = -np.sort(-right_view(world), axis=0)[:10]
    np.testing.assert_allclose(aog.scale, expected.mean(axis=0), rtol=1e-5)
    few = dataclasses.replace(world, found=world.found.take(np.arange(4)))
    np.testing.assert_allclose(fit(few, [3]).scale, right_view(world)[:4].mean(axis=0), rtol=1e-5)


def test_one_click__a_node_that_never_fires_is_no_pattern(world):
    score = world.found.views.score.copy()
    score[:, :, [2, 11]] = 0
    score[4, :, 7] = 0  # not in the clicked photo
    aog = fit(world, [4], found=with_views(world, score=score))
    assert aog.node.tolist() == [v for v in range(18) if v not in (2, 7, 11)]
    assert aog.weight.sum() == pytest.approx(1, rel=1e-5)


@pytest.mark.parametrize("count", [1, 5])
def test_n_patterns__the_heaviest_are_kept_in_the_order_of_nodes(world, count):
    aog = fit(world, [2], dataclasses.replace(CONFIG, n_patterns=count))
    weights = naive_weights(world, 2, 0.125)
    best = sorted(sorted(range(18), key=lambda v: -weights[v])[:count])
    assert aog.node.tolist() == best
    np.testing.assert_allclose(aog.weight, weights[best] / weights[best].sum(), rtol=1e-4)


def test_reach__the_shorter_the_nearer_are_the_patterns(world):
    def mean_distance(reach):
        aog = fit(world, [2], dataclasses.replace(CONFIG, reach=reach))
        return (aog.weight * np.linalg.norm(aog.displacement, axis=1)).sum()

    assert mean_distance(0.02) < 0.7 * mean_distance(0.1) < 0.7 * mean_distance(10)


def test_group__patterns_of_one_filter_are_alternatives(world):
    """Of 18 nodes the first nine are of the lower layer; filters have two, one has one."""
    assert fit(world, [0]).group.tolist() == [0, 0, 1, 1, 2, 2, 3, 3, 4, 5, 5, 6, 6, 7, 7, 8, 8, 9]
    aog = fit(world, [0, 3], dataclasses.replace(CONFIG, n_patterns=6))
    graph = world.graph
    for t in range(2):
        own = slice(*aog.start[t : t + 2])
        for a, b in np.ndindex(6, 6):
            i, j = aog.node[own][[a, b]]
            same = (graph.node_layer[i], graph.node_channel[i]) == (
                graph.node_layer[j],
                graph.node_channel[j],
            )
            assert (aog.group[own][a] == aog.group[own][b]) == same


def test_size__is_taken_to_network_pixels(world):
    aog = fit(world, [0, 1], size=(0.5, 0.25))
    np.testing.assert_allclose(aog.size, np.tile([0.5 * SIDE, 0.25 * SIDE], (2, 1)))
    assert np.isnan(fit(world, [0]).size).all()


# -- what the top layer sees -----------------------------------------------------------------------


def test_look_mean__is_over_all_cells_of_both_views(world):
    found = fit_clicks(world.graph, world.found, [clicks_on(world, [0])], config=CONFIG).look_mean
    expected = world.found.views.maps.astype(float).reshape(-1, CHANNELS).mean(axis=0)
    np.testing.assert_allclose(found, expected, rtol=1e-5)


@pytest.mark.parametrize("row", [2, 4], ids=["as given", "mirrored"])
def test_look__is_taken_at_the_click_in_the_view_that_the_graph_sees(world, row):
    """A click on the middle of top-layer cell (4, 2) of that view."""
    view = int(world.mirrored[row])
    x = (8 + 2 * 16) / SIDE
    at = np.array([[(8 + 4 * 16) / SIDE, 1 - x if view else x]])
    clicks = Clicks("head", np.array([row]), at, np.full((1, 2), np.nan))
    parts = fit_clicks(world.graph, world.found, [clicks], config=CONFIG)
    cells = world.found.views.maps[row, view].astype(float) - parts.look_mean
    nine = cells[3:6, 1:4].reshape(9, CHANNELS)
    expected = nine / np.linalg.norm(nine, axis=1, keepdims=True)
    np.testing.assert_allclose(parts["head"].look[0], expected, atol=1e-5)
    whole = world.found.views.maps[row, view].astype(float).ravel()
    np.testing.assert_allclose(parts["head"].scene[0], whole / np.linalg.norm(whole), atol=1e-4)


def test_without_views__there_is_no_look(world):
    blind = dataclasses.replace(world.found, views=None)
    parts = fit_clicks(world.graph, blind, [clicks_on(world, [0, 1])], config=CONFIG)
    aog = parts["head"]
    assert parts.look_mean.shape == (0,)
    assert aog.look.shape == (2, 9, 0)
    assert aog.scene.shape == (2, 0)
    np.testing.assert_allclose(aog.displacement[:18], world.part - world.mu, atol=1e-3)
    np.testing.assert_allclose(aog.displacement[18:], world.part - world.mu, atol=1e-3)


# -- several clicks, several parts -----------------------------------------------------------------


def test_merge__clicks_that_agree_become_one_template(world):
    """Two on the part, one of them in a mirrored photo; one twenty pixels to the right."""
    beside = clicks_on(world, [5], offset=(0, 20))
    on_it = clicks_on(world, [0, 1])
    three = Clicks(
        "head",
        np.r_[on_it.index, beside.index],
        np.r_[on_it.yx, beside.yx],
        np.full((3, 2), np.nan),
    )
    merged = fit_clicks(world.graph, world.found, [three], config=PartConfig(merge=0.03))["head"]
    assert merged.clicks.tolist() == [2, 1]
    assert merged.start.tolist() == [0, 18, 36]
    np.testing.assert_allclose(merged.displacement[:18], world.part - world.mu, atol=1e-3)
    right = world.part + np.array([0, 20]) - world.mu
    np.testing.assert_allclose(merged.displacement[18:], right, atol=1e-3)
    expected = (naive_weights(world, 0, 0.125) + naive_weights(world, 1, 0.125)) / 2
    np.testing.assert_allclose(merged.weight[:18], expected, rtol=1e-4)
    apart = fit_clicks(world.graph, world.found, [three], config=CONFIG)["head"]
    assert apart.clicks.tolist() == [1, 1, 1]
    assert apart.start.tolist() == [0, 18, 36, 54]


def test_merge__spread_grows_by_what_the_clicks_disagree(world):
    """Two clicks 6 pixels apart, of about equal weight: 3 to either side, on one axis of two."""
    on_it, beside = clicks_on(world, [0]), clicks_on(world, [1], offset=(6, 0))
    both = Clicks("head", np.array([0, 1]), np.r_[on_it.yx, beside.yx], np.full((2, 2), np.nan))
    config = PartConfig(merge=0.2, width=0.05)
    aog = fit_clicks(world.graph, world.found, [both], config=config)["head"]
    assert aog.clicks.tolist() == [2]
    alone = [
        fit_clicks(world.graph, world.found, [one], config=config)["head"].weight.astype(float)
        for one in (on_it, beside)
    ]
    share = alone[1] / (alone[0] + alone[1])
    down = share * 6
    np.testing.assert_allclose(
        aog.displacement - (world.part - world.mu), np.stack([down, 0 * down], 1), atol=1e-3
    )
    variance = (0.05 * SIDE) ** 2 + share * (1 - share) * 6**2 / 2
    np.testing.assert_allclose(aog.spread, np.sqrt(variance), rtol=1e-4)


def test_several_parts__equal_each_on_its_own(world):
    marks = [clicks_on(world, [0, 1], "head"), clicks_on(world, [3], "tail", offset=(10, 5))]
    together = fit_clicks(world.graph, world.found, marks, config=CONFIG)
    assert together.names == ("head", "tail")
    for one in marks:
        alone = fit_clicks(world.graph, world.found, [one], config=CONFIG)[one.part]
        for name in ("node", "displacement", "weight", "look", "scene", "scale", "centre"):
            np.testing.assert_array_equal(getattr(together[one.part], name), getattr(alone, name))


def test_matches_of_another_graph__are_refused(world):
    """Even if it has as many nodes."""
    other = dataclasses.replace(world.graph, mu=world.graph.mu + 1)
    with pytest.raises(ExplGraphError, match="the matches are those of another graph"):
        fit_clicks(other, world.found, [clicks_on(world, [0])])


def test_header__says_what_the_matches_were_made_with(world):
    parts = fit_clicks(world.graph, world.found, [clicks_on(world, [0])])
    assert dict(parts.header) == {
        "graph_hash": graph_hash(world.graph),
        "model": "planted",
        "weight_hash": "0" * 64,
    }
    assert parts.graph is world.graph
    assert parts.config == PartConfig()


# -- frames ----------------------------------------------------------------------------------------


def test_frames__a_click_in_a_photo_of_which_the_network_sees_a_part():
    """It sees the middle half across, and three quarters from a tenth down."""
    frame = [[0.1, 0.75 / SIDE], [0.25, 0.5 / SIDE]]
    world = planted_world(4, frames=np.tile(frame, (4, 1, 1)))
    aog = fit(world, [0, 1], size=(0.15, 0.05))
    np.testing.assert_allclose(aog.displacement[:18], world.part - world.mu, atol=1e-3)
    np.testing.assert_allclose(aog.displacement[18:], world.part - world.mu, atol=1e-3)
    np.testing.assert_allclose(aog.size, np.tile([0.2 * SIDE, 0.1 * SIDE], (2, 1)), rtol=1e-5)


# -- annotations -----------------------------------------------------------------------------------


def annotations(*rows):
    """From rows of photo, part, x and y."""
    names, parts = [f"{row[0]:02d}.jpg" for row in rows], [row[1] for row in rows]
    return plain_marks(names, parts, [(row[3], row[2]) for row in rows])


@pytest.mark.filterwarnings("ignore:the click for")  # these are anywhere
def test_annotations__are_pixels_of_the_photos_as_they_were_matched(world):
    """Photos 0 and 5 are 50 wide and 20 high; the centre of pixel 24 is the middle of 49."""
    sizes = np.full((14, 2), 49)
    sizes[[0, 5]] = [20, 50]
    found = dataclasses.replace(world.found, photo_size=sizes)
    marks = annotations((0, "head", 12, 4.5), (2, "tail", 24, 24), (5, "head", 24.5, 9.5))
    parts = eg.fit_parts(world.graph, found, marks, config=CONFIG)
    assert parts.names == ("head", "tail")
    head = [[0.25 * SIDE, 0.25 * SIDE], [0.5 * SIDE, 0.5 * SIDE]]
    np.testing.assert_allclose(parts["head"].centre, head, rtol=1e-5)
    np.testing.assert_allclose(parts["tail"].centre, [[0.5 * SIDE, 0.5 * SIDE]], rtol=1e-5)
    assert eg.fit_parts(world.graph, found, marks, "tail").names == ("tail",)
    assert eg.fit_parts(world.graph, found, marks, ["tail", "head"]).names == ("tail", "head")
    told = eg.fit_parts(world.graph, found, marks, "tail", photo_size=(98, 98), config=CONFIG)
    np.testing.assert_allclose(told["tail"].centre, [[0.25 * SIDE, 0.25 * SIDE]], rtol=1e-5)


def test_annotations__that_cannot_be_used(world):
    marks = annotations((0, "head", 5, 5))
    unsized = dataclasses.replace(world.found, photo_size=None)
    with pytest.raises(ExplGraphError, match=r"do not tell how large .* give photo_size=\(height"):
        eg.fit_parts(world.graph, unsized, marks)
    assert eg.fit_parts(world.graph, unsized, marks, photo_size=(SIDE, SIDE)).names == ("head",)
    with pytest.raises(ExplGraphError, match="there are no annotations: mark the part"):
        eg.fit_parts(world.graph, world.found, annotations())
    with pytest.raises(ExplGraphError, match="unknown part 'heads'; the nearest are head"):
        eg.fit_parts(world.graph, world.found, marks, "heads")
    with pytest.raises(ExplGraphError, match=r"unknown image .*'99\.jpg'"):
        eg.fit_parts(world.graph, world.found, annotations((99, "head", 5, 5)))
    with pytest.raises(ExplGraphError, match=r"x = 500, y = 5 .* lies outside of its photo"):
        eg.fit_parts(world.graph, world.found, annotations((0, "head", 500, 5)))


# -- what cannot be fitted -------------------------------------------------------------------------


def test_no_part__is_an_error(world):
    with pytest.raises(ExplGraphError, match="there is no part to fit: give clicks for at least"):
        fit_clicks(world.graph, world.found, [])


def test_no_click__is_an_error_with_the_parts_name(world):
    none = Clicks("tail", np.zeros(0), np.zeros((0, 2)), np.zeros((0, 2)))
    with pytest.raises(ExplGraphError, match="there is no click for the part 'tail'"):
        fit_clicks(world.graph, world.found, [clicks_on(world, [0]), none])


def test_click_beside_what_the_network_sees__is_an_error():
    frame = [[0.1, 0.75 / SIDE], [0.25, 0.5 / SIDE]]
    world = planted_world(3, frames=np.tile(frame, (3, 1, 1)))
    at = np.array([[0.05, 0.5], [0.5, 0.5], [0.5, 0.8]])
    clicks = Clicks("head", np.arange(3), at, np.full((3, 2), np.nan))
    with pytest.raises(
        ExplGraphError, match=r"2 clicks for 'head' lie outside of what the network sees .*stretch"
    ):
        fit_clicks(world.graph, world.found, [clicks])


@pytest.mark.parametrize("side", [49, 107, 112, 187, 224, 227, 299])
def test_click_on_the_rim__is_inside(side):
    """The photo's rim is the network's; rounding must not put it outside."""
    world = planted_world(1)
    frames = np.array([[[0, 1 / side], [0, 1 / side]]])
    views = dataclasses.replace(world.found.views, frames=frames, input_size=(side, side))
    found = dataclasses.replace(world.found, views=views)
    clicks = Clicks("head", np.array([0]), np.array([[1.0, 1.0]]), np.full((1, 2), np.nan))
    fit_clicks(world.graph, found, [clicks])


def test_clicked_photo_in_which_nothing_fires__is_an_error(world):
    score = world.found.views.score.copy()
    score[2] = 0
    with pytest.raises(ExplGraphError, match="no node fires around a click: is it on the object"):
        fit(world, [2], found=with_views(world, score=score))


def test_boxes_without_views__are_an_error(world):
    images = tuple(f"a.jpg#{i}" for i in range(14))
    boxes = dataclasses.replace(world.found, images=images)
    fit_clicks(world.graph, boxes, [clicks_on(world, [0])])
    blind = dataclasses.replace(boxes, views=None)
    with pytest.raises(ExplGraphError, match=r"boxes in photos need .*match\(\.\.\., views=True\)"):
        fit_clicks(world.graph, blind, [clicks_on(world, [0])])


def test_planted_layers__are_those_of_the_graph(world):
    assert world.graph.layers == (LOW, TOP)


def test_visible_from__is_read_off_photos_without_a_click(world):
    """A clicked photo is all too like itself."""
    marks = clicks_on(world, [0, 1])
    others = np.arange(2, len(world.found))
    fitted = fit_clicks(world.graph, world.found, [marks], config=CONFIG)
    seen = sight(world.graph, world.found).take(others)
    expected = visible_from(evidence(fitted["head"], seen, fitted.look_mean, CONFIG))
    assert fitted["head"].visible_from == pytest.approx(expected)
    alone = fit_clicks(world.graph, world.found.take(np.arange(2)), [marks], config=CONFIG)
    assert alone["head"].visible_from == -math.inf
