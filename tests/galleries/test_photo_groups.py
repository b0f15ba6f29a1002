"""Part groups on a photo: one circle each at the agreed place, paler where it is less sure."""

from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from explgraph.base.errors import ExplGraphError
from explgraph.drawing.canvas import Canvas
from explgraph.drawing.look import MANY_COLORS
from explgraph.drawing.overlay import Overlay
from explgraph.galleries.photo import draw_match
from explgraph.galleries.photo_groups import shown_groups
from explgraph.photos.images import ImageItem, ImageSource, LoadedImage
from tests.support.plain import plain_groups, plain_matches
from tests.support.planted import planted_graph

GREY, MARGIN, ROOM = 100, 28, 720
PLACES = ((0.25, 0.25), (0.75, 0.6))
RADIUS = 0.045


def source_of(*names):
    photo = Image.new("RGB", (200, 200), (GREY, GREY, GREY))
    return ImageSource([ImageItem(name, i) for i, name in enumerate(names)], lambda _: photo)


@pytest.fixture
def world():
    """12 nodes: five at the first place, six at the second, one in no group; in two photos."""
    graph = planted_graph(2, 3, 2)
    graph = replace(graph, score=np.ones(12))
    groups = plain_groups(graph, [0] * 5 + [1] * 6 + [-1], sureness=np.full(2, 0.6))
    yx = np.array([[PLACES[0]] * 5 + [PLACES[1]] * 6 + [(0.5, 0.5)]] * 2)
    found = plain_matches(("a", "b"), yx, np.full((2, 12), 1.0), graph.node_layer)
    return graph.having(groups=groups), found


def photo_of(picture):
    return np.asarray(picture)[MARGIN : MARGIN + ROOM, MARGIN : MARGIN + ROOM].astype(int)


def rgb(color):
    return np.array([int(color[i : i + 2], 16) for i in (1, 3, 5)])


def on_circle(photo, place):
    """The pixel at the circle's right."""
    y, x = place
    return photo[round(y * ROOM), round(x * ROOM + RADIUS * ROOM)]


@pytest.mark.parametrize("is_mirrored", [False, True])
def test_draw_match__a_circle_for_each_group_where_its_nodes_agree(world, is_mirrored):
    graph, found = world
    found = replace(found, mirrored=np.full(2, is_mirrored))  # places are the photo's own
    photo = photo_of(draw_match(graph, found, source_of("a", "b"), photo="b"))
    for place, color in zip(PLACES, MANY_COLORS, strict=False):
        assert np.abs(on_circle(photo, place) - rgb(color)).max() < 40
    assert (photo[round(0.5 * ROOM), round((0.5 + RADIUS) * ROOM)] == GREY).all()


def test_draw_match__a_group_is_paler_where_fewer_of_its_nodes_fire(world):
    graph, found = world
    score = found.score.copy()
    score[0, 1:5] = 0  # one of five is left
    found = replace(found, score=score)
    seen = [
        on_circle(photo_of(draw_match(graph, found, source_of("a", "b"), photo=i)), PLACES[0])
        for i in (0, 1)
    ]
    contrast = [np.abs(pixel - GREY).max() for pixel in seen]
    assert 10 < contrast[0] < 0.5 * contrast[1]


def test_shown_groups__what_is_known_of_each(world):
    graph, found = world
    score = found.score.copy()
    score[0, 1:3] = 0.4  # less than half of the mean: they do not fire
    graph = graph.rename(groups={1: "tail"})
    first, second = shown_groups(graph, replace(found, score=score), 0)
    assert (first.firing, first.count, second.firing, second.count) == (3, 5, 6, 6)
    assert (first.title, second.title) == ("group 0", "tail")
    np.testing.assert_allclose(first.yx, PLACES[0], atol=1e-6)
    assert first.sureness == pytest.approx(0.6 / np.sqrt(2), rel=1e-5)  # 3 of 5, of most weight
    assert second.sureness == pytest.approx(1 / np.sqrt(2), rel=1e-5)
    assert first.opacity == pytest.approx(first.sureness / 0.6)
    assert second.opacity == 1


def test_draw_match__level(world, monkeypatch):
    graph, found = world
    said = []
    write = Canvas.text
    monkeypatch.setattr(
        Canvas, "text", lambda self, text, *rest: (said.append(text), write(self, text, *rest))[1]
    )

    def drawn(graph=graph, **options):
        said.clear()
        draw_match(graph, found, source_of("a", "b"), **options)
        return "groups" if "Where its parts are" in said else "nodes"

    assert drawn() == drawn(level="groups") == "groups"
    assert drawn(min_score=None, around=None) == "groups"
    assert drawn(level="nodes") == "nodes"
    for choice in ({"nodes": [1]}, {"around": 3}, {"nodes_per_layer": 2}, {"min_score": 0.5}):
        assert drawn(**choice) == "nodes"
        with pytest.raises(ExplGraphError, match="choose nodes"):
            drawn(level="groups", **choice)
    assert drawn(nodes_per_layer=None) == "nodes"  # all of them
    assert drawn(replace(graph, groups=None)) == "nodes"
    with pytest.raises(ExplGraphError, match="part_groups"):
        drawn(replace(graph, groups=None), level="groups")
    with pytest.raises(ExplGraphError, match="level"):
        drawn(level="group")
    still = graph.having(groups=replace(graph.groups, spread=np.array([20, 1])))
    assert drawn(still) == "groups"
    assert len(shown_groups(still, found, 0)) == 1
    none = graph.having(groups=replace(graph.groups, spread=np.ones(2)))
    assert drawn(none) == "nodes"
    none = graph.having(groups=plain_groups(graph, [-1] * 12))
    assert drawn(none) == "nodes"
    with pytest.raises(ExplGraphError, match="no part groups that move"):
        drawn(none, level="groups")


def test_draw_match__names_of_groups_are_on_the_photo(world, monkeypatch):
    graph, found = world
    said = []
    write = Overlay.label
    monkeypatch.setattr(
        Overlay,
        "label",
        lambda self, place, text, *rest: (said.append(text), write(self, place, text, *rest))[1],
    )
    draw_match(graph.rename(groups={1: "tail"}), found, source_of("a", "b"))
    assert sorted(said) == ["0", "tail"]


def test_overlay__faded_lets_through():
    plain = Overlay(LoadedImage(Image.new("RGB", (40, 40)), np.array([[0, 1.0]] * 2), (40, 40)), 40)
    with plain.faded(0.5):
        plain.dot(np.array([0.5, 0.5]), 10, "#C80000")
    middle = np.asarray(plain.finish())[20, 20]
    np.testing.assert_allclose(middle, (100, 0, 0), atol=2)
