"""The parse of a photo: markers lie where nodes are, in their layer's colour, shape and size."""

from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from explgraph.base.errors import ExplGraphError
from explgraph.drawing.look import COLORS
from explgraph.drawing.overlay import SHAPES
from explgraph.galleries.photo import LEAST_DISTANCE, choose_nodes, draw_match
from explgraph.photos.boxes import Box
from explgraph.photos.images import ImageItem, ImageSource
from tests.support.plain import plain_groups, plain_matches
from tests.support.planted import near_border, planted_graph
from tests.support.planted_dots import pixels_of, planted_matches

GREY, MARGIN, ROOM = 100, 28, 720


def source_of(*names, height=100, width=200):
    photo = Image.new("RGB", (width, height), (GREY, GREY, GREY))
    return ImageSource([ImageItem(name, i) for i, name in enumerate(names)], lambda _: photo)


def rgb(color: str) -> np.ndarray:
    return np.array([int(color[i : i + 2], 16) for i in (1, 3, 5)])


def large_photo(path, height=360, width=ROOM) -> np.ndarray:
    return pixels_of(path)[MARGIN : MARGIN + height, MARGIN : MARGIN + width].astype(int)


def has_color(pixels: np.ndarray, color: str, within: int = 12) -> np.ndarray:
    return np.abs(pixels - rgb(color)).max(axis=-1) < within


def two_layers(yx, score, edges=((0, 2), (1, 3))):
    """Nodes 0 and 1 of the lower layer, 2 and 3 above, at (4, 2) places; edges child to parent."""
    graph = planted_graph(2, 2, 1)
    child, parent = (np.array([edge[i] for edge in edges], dtype=int) for i in (0, 1))
    graph = replace(
        graph,
        mu=np.full((4, 2), 112.0),
        score=np.ones(4),
        gain=np.ones(4),
        edge_child=child,
        edge_parent=parent,
        edge_displacement=np.zeros((len(edges), 2)),
        edge_spread=len(edges) - np.arange(len(edges), dtype=float),
        edge_correlation=np.ones(len(edges)),
    )
    found = planted_matches(graph, ("a",), np.zeros((1, 2)))
    return graph, replace(found, yx=np.array([yx]), score=np.array([score]))


PLACES = ((0.2, 0.1), (0.8, 0.2), (0.2, 0.9), (0.8, 0.5))


@pytest.mark.parametrize("is_mirrored", [False, True])
def test_draw_match__markers_and_lines(tmp_path, is_mirrored):
    graph, found = two_layers(PLACES, (4, 4, 4, 4))
    found = replace(
        found, mirrored=np.array([is_mirrored])
    )  # places are the photo's own all the same
    draw_match(graph, found, source_of("a"), tmp_path / "new" / "m.png", "a")
    photo = large_photo(tmp_path / "new" / "m.png")
    for node, (y, x) in enumerate(PLACES):
        assert has_color(photo[round(y * 360), round(x * ROOM)], COLORS[node // 2])
    on_lines = [photo[72, 360], photo[288, 252]]  # halfway
    assert all(has_color(pixel, COLORS[0], 40) for pixel in on_lines)
    elsewhere = [photo[180, 360], photo[288, 500], photo[72, 30]]
    assert all((pixel == GREY).all() for pixel in elsewhere)


def test_draw_match__without_a_file_is_returned(tmp_path):
    graph, found = two_layers(PLACES, (4, 4, 4, 4))
    path = tmp_path / "m.png"
    shown = draw_match(graph, found, source_of("a"), path, "a")
    np.testing.assert_array_equal(np.asarray(shown), np.asarray(Image.open(path)))
    again = draw_match(graph, found, source_of("a"), photo="a")
    np.testing.assert_array_equal(np.asarray(shown), np.asarray(again))
    assert [one.name for one in tmp_path.iterdir()] == ["m.png"]


def test_draw_match__areas_are_as_the_scores(tmp_path):
    places = ((0.2, 0.2), (0.8, 0.2), (0.2, 0.8), (0.8, 0.8))
    graph, found = two_layers(places, (16, 8, 12, 4), edges=())
    draw_match(graph, found, source_of("a", width=100), tmp_path / "m.png", 0)
    photo = large_photo(tmp_path / "m.png", ROOM, ROOM)
    halves = (slice(0, 360), slice(360, 720))
    area = [has_color(photo, COLORS[i])[half].sum() for i in (0, 1) for half in halves]
    radius = np.sqrt(np.array(area) / np.pi)  # smoothing takes something off every border
    np.testing.assert_allclose(radius, 13 * np.sqrt([1, 0.5, 0.75, 0.25]) - 0.4, atol=0.6)


def test_draw_match__steadiest_parents_only(tmp_path):
    # Node 0 moves with 2, and more steadily with 3.
    graph, found = two_layers(PLACES, (4, 4, 4, 4), edges=((0, 2), (0, 3)))
    draw_match(graph, found, source_of("a"), tmp_path / "m.png", 0)
    photo = large_photo(tmp_path / "m.png")
    assert (photo[72, 360] == GREY).all()
    assert has_color(photo[180, 216], COLORS[0], 40)
    draw_match(graph, found, source_of("a"), tmp_path / "m.png", 0, parents_per_node=2)
    assert has_color(large_photo(tmp_path / "m.png")[72, 360], COLORS[0], 40)
    draw_match(graph, found, source_of("a"), tmp_path / "m.png", 0, parents_per_node=0)
    assert (large_photo(tmp_path / "m.png")[180, 216] == GREY).all()


def test_draw_match__each_layer_has_a_photo_of_its_own_and_a_list(tmp_path):
    graph, found = two_layers(PLACES, (4, 4, 4, 4))
    draw_match(graph, found, source_of("a"), tmp_path / "m.png", 0)
    below = pixels_of(tmp_path / "m.png")[MARGIN + 360 :].astype(int)
    half = MARGIN + 340 + 10  # a layer's photo is at most 340 pixels wide
    left, right = has_color(below[:, :half], COLORS[1]), has_color(below[:, half:], COLORS[0])
    assert left.sum() > 200 < right.sum()  # the top layer first
    assert not has_color(below[:, :half], COLORS[0]).any()
    longer = two_layers(PLACES, (4, 4, 4, 0))
    draw_match(*longer, source_of("a"), tmp_path / "n.png", 0)
    assert pixels_of(tmp_path / "n.png").shape == pixels_of(tmp_path / "m.png").shape
    draw_match(*two_layers(PLACES, (4, 0, 4, 0)), source_of("a"), tmp_path / "o.png", 0)
    lost = pixels_of(tmp_path / "m.png").shape[0] - pixels_of(tmp_path / "o.png").shape[0]
    assert lost == 17  # a line of the lists


def test_draw_match__of_a_box_is_placed_by_the_whole_photo(tmp_path):
    photo = Image.new("RGB", (300, 300), (GREY, GREY, GREY))
    source = ImageSource([ImageItem("a", 0, Box(150, 100, 250, 150))], lambda _: photo)
    places = np.array(PLACES) * (1 / 3, 1 / 6) + (0.5, 1 / 3)
    graph, found = two_layers(places, (4, 4, 4, 4))
    draw_match(graph, found, source, tmp_path / "m.png", 0)
    shown = large_photo(tmp_path / "m.png", ROOM, 360)  # the box is twice as high as wide
    for node, (y, x) in enumerate(PLACES):
        assert has_color(shown[round(y * ROOM), round(x * 360)], COLORS[node // 2])


def test_draw_match__around_a_node_that_is_not_found(tmp_path):
    graph, found = two_layers(PLACES, (0, 4, 4, 4))
    draw_match(graph, found, source_of("a"), tmp_path / "m.png", 0, around=graph.node_id(0))
    photo = large_photo(tmp_path / "m.png")
    assert has_color(photo[72, 648], COLORS[1])  # its parent
    assert (photo[288, 360] == GREY).all()  # no relative
    arm = photo[72 - 6 : 72 - 4, 72 - 1 : 72 + 2]
    assert (arm.min(axis=-1) > 215).any()  # the cross
    draw_match(graph, found, source_of("a"), tmp_path / "n.png", 0)
    assert (large_photo(tmp_path / "n.png")[72 - 12 : 72 + 12, 72 - 12 : 72 + 12] == GREY).all()


def test_draw_match__where_nothing_fires(tmp_path):
    graph, found = two_layers(PLACES, (0, 0.4, 0.1, 0))  # less than half of the mean, 1
    draw_match(graph, found, source_of("a"), tmp_path / "m.png", 0)
    assert (large_photo(tmp_path / "m.png") == GREY).all()


def test_draw_match__odd_names_and_photos_do_not_break_it(tmp_path):
    name = "long/" * 25 + "口 é\n.jpg"
    graph = planted_graph(7, 6, 3).rename(dict.fromkeys(range(60), "Голова 頭 " * 9))
    graph = replace(
        graph, layers=tuple(replace(s, name="deep.module." * 6 + "x") for s in graph.layers)
    )
    yx = np.random.default_rng(0).uniform(0, 1, (1, len(graph), 2))
    found = replace(planted_matches(graph, (name,), np.zeros((1, 2))), yx=yx)
    for size in ((1, 400), (400, 1), (7, 9)):
        source = source_of(name, height=size[0], width=size[1])
        draw_match(graph, found, source, tmp_path / "m.png", name, nodes_per_layer=4)
    assert pixels_of(tmp_path / "m.png").shape[1] == 2 * MARGIN + 720 + 20 + 340


def chosen_by_hand(graph, found, photo: int, per_layer: int) -> list[int]:
    """The rule in words, as loops."""
    score, places, chosen = found.score[photo], found.canonical_yx[photo], []
    for layer in reversed(range(len(graph.layers))):
        nodes = [i for i in range(len(graph)) if graph.node_layer[i] == layer]
        nodes.sort(key=lambda i: (near_border(graph, i), -graph.gain[i], i))
        better = set(nodes[: -(-len(nodes) // 2)])
        linked = {i for i in nodes if any(parent in chosen for parent in graph.parents(i).tolist())}
        firing = [i for i in nodes if score[i] > 0 and score[i] >= 0.5 * graph.score[i]]
        firing.sort(key=lambda i: (i not in better, i not in linked, -score[i]))
        mine: list[int] = []
        for i in firing:
            clear = all(np.hypot(*(places[i] - places[j])) >= LEAST_DISTANCE for j in mine)
            if len(mine) < per_layer and clear:
                mine.append(i)
        chosen += mine
    return sorted(chosen)


@pytest.mark.parametrize("seed", range(3))
def test_choose_nodes__against_the_rule_in_loops(seed):
    rng = np.random.default_rng(seed)
    graph = planted_graph(3, 10, 4, seed)
    found = planted_matches(graph, ("a", "b"), np.zeros((2, 2)))
    found = replace(
        found,
        yx=rng.uniform(0.2, 0.8, (2, 120, 2)),
        score=rng.gamma(2, 0.5, (2, 120)),
        mirrored=np.array([0, 1]),
    )
    for photo in (0, 1):
        for per_layer in (3, 12, 40):
            chosen = choose_nodes(graph, found, photo, nodes_per_layer=per_layer)
            assert chosen.tolist() == chosen_by_hand(graph, found, photo, per_layer)
    every = choose_nodes(graph, found, 0, nodes_per_layer=None).tolist()
    assert every == chosen_by_hand(graph, found, 0, 120)
    assert len(every) < 120  # some hide others


def test_choose_nodes__are_of_every_part_group():
    """The ranking has group 1 last, and its nodes score least: without groups none is chosen."""
    graph = planted_graph(2, 30, 2)
    group = np.where(graph.gain < np.quantile(graph.gain, 0.3), 1, 0)
    yx = np.random.default_rng(0).uniform(0, 1, (1, 120, 2))
    score = graph.score * np.where(group == 1, 1, 2)
    found = plain_matches(("a",), yx, score[None], graph.node_layer)
    chosen = choose_nodes(graph, found, 0, nodes_per_layer=6)
    assert set(group[chosen]) == {0}
    groups = plain_groups(graph, group, gain=np.array([2.0, 1.0]))
    chosen = choose_nodes(graph.having(groups=groups), found, 0, nodes_per_layer=6)
    for layer in (0, 1):
        mine = [node for node in chosen if graph.node_layer[node] == layer]
        assert len(mine) == 6
        assert set(group[mine]) == {0, 1}


def test_choose_nodes__of_a_family_and_with_a_least_score():
    rng = np.random.default_rng(0)
    graph = planted_graph(3, 6, 2, parents=2)
    found = planted_matches(graph, ("a",), np.zeros((1, 2)))
    found = replace(found, yx=rng.uniform(0, 1, (1, 36, 2)), score=rng.gamma(3, 1, (1, 36)))
    focus = 15
    relatives, reach = {focus}, [focus]
    while reach:  # upwards
        reach = [p for node in reach for p in graph.parents(node).tolist()]
        relatives |= set(reach)
    reach = [focus]
    while reach:
        reach = [i for i in range(36) if set(graph.parents(i).tolist()) & set(reach)]
        relatives |= set(reach)
    chosen = set(choose_nodes(graph, found, 0, focus, nodes_per_layer=36).tolist())
    assert focus in chosen
    assert 2 < len(chosen) <= len(relatives) < 36
    assert chosen <= relatives
    least = float(np.median(found.score))
    strong = choose_nodes(graph, found, 0, focus, min_score=least).tolist()
    assert {i for i in strong if found.score[0, i] < least} <= {focus}
    named = choose_nodes(graph, found, 0, nodes=sorted(chosen), nodes_per_layer=None)
    assert len(named) > 0
    assert set(named.tolist()) <= chosen
    with pytest.raises(ExplGraphError, match="two ways to choose"):
        choose_nodes(graph, found, 0, focus, nodes=[1])
    alone = choose_nodes(graph, found, 0, focus, nodes_per_layer=1)
    assert (graph.node_layer[alone] == graph.node_layer[focus]).sum() == 1


def test_draw_match__names_what_is_wrong(tmp_path):
    graph, found = two_layers(PLACES, (4, 4, 4, 4))
    source, path = source_of("a"), tmp_path / "m.png"
    with pytest.raises(ExplGraphError, match="match this graph"):
        draw_match(planted_graph(1, 2, 2), found, source, path, 0)
    with pytest.raises(ExplGraphError, match=r"unknown photo 'b'; the nearest are a.*1 photo"):
        draw_match(graph, found, source, path, "b")
    with pytest.raises(ExplGraphError, match=r"there is no photo 1: .* 1 photos were matched"):
        draw_match(graph, found, source, path, 1)
    with pytest.raises(ExplGraphError, match="unknown node 'head'"):
        draw_match(graph, found, source, path, 0, around="head")
    with pytest.raises(ExplGraphError, match="at least 9: the highest is 4"):
        draw_match(graph, found, source, path, 0, min_score=9)
    with pytest.raises(ExplGraphError, match="nodes_per_layer must be at least 1"):
        draw_match(graph, found, source, path, 0, nodes_per_layer=0)
    with pytest.raises(ExplGraphError, match="parents_per_node must not be negative"):
        draw_match(graph, found, source, path, 0, parents_per_node=-1)
    with pytest.raises(ExplGraphError, match=r"unknown picture format '\.gif'"):
        draw_match(graph, found, source, tmp_path / "m.gif", 0)
    with pytest.raises(ExplGraphError, match="1 images were given"):
        draw_match(graph, found, source_of("c"), path, 0)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("shape", SHAPES[1:], ids=lambda shape: shape.name)
def test_shapes__have_the_area_of_the_disc_and_their_rim_is_even(shape):
    y, x = np.array(shape.corners(30, 40, 10, 0)).T[::-1]
    area = abs(np.dot(x, np.roll(y, 1)) - np.dot(y, np.roll(x, 1))) / 2
    assert area == pytest.approx(np.pi * 100)
    assert (x.mean(), y.mean()) == pytest.approx((30, 40))
    inner, outer = (np.array(shape.corners(0, 0, 10, rim)) for rim in (0, 2))
    middle = (inner[0] + inner[1]) / 2, (outer[0] + outer[1]) / 2
    assert np.linalg.norm(middle[1] - middle[0]) == pytest.approx(2)
