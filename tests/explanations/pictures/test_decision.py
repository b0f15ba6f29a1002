"""The picture of a decision: marks where the nodes are, on decisions made by hand."""

import dataclasses

import numpy as np
import pytest
from PIL import Image

from explgraph.base.errors import ExplGraphError
from explgraph.drawing.look import layer_color
from explgraph.explanations.attribution import Attribution
from explgraph.explanations.decision.decision import Decision
from explgraph.explanations.decision.places import PlaceEffects
from explgraph.explanations.pictures.decision import Page, draw_decision, listed
from explgraph.explanations.targets import ClassTarget
from explgraph.photos.images import LoadedImage
from tests.support.planted import planted_graph

GREY = (128, 128, 128)
WHOLE = np.array([[0.0, 1.0], [0.0, 1.0]])
UNIT = np.array([[0.0, 1 / 96], [0.0, 1 / 96]])


def a_decision(graph=None, **changes) -> Decision:
    """Three nodes of the top layer and one of the lowest; the second and third share a peak."""
    graph = planted_graph() if graph is None else graph
    top = np.flatnonzero(graph.node_layer == len(graph.layers) - 1)[:3]
    grid = graph.layers[-1].grid
    height, width = graph.input_size
    decision = Decision(
        graph=graph,
        image="photo.png",
        target=ClassTarget(7, "fish"),
        mirrored=False,
        logit=12.5,
        probability=0.875,
        predicted=7,
        nodes=np.array([*top, 0]),
        yx=np.array([[0.25, 0.75], [0.75, 0.25], [0.75, 0.25], [0.5, 0.5]]),
        score=np.array([3.0, 2.0, 1.0, 1.0]),
        drop=np.array([4.0, 2.0, 2.0, np.nan]),
        estimate=np.array([4.0, 1.0, 1.0, 0.5]),
        peak=np.array([0, 1, 1, 2]),
        share=np.array([1, 2 / 3, 1 / 3, 1]),
        kept=top[:1],
        kept_predicted=7,
        kept_probability=0.5,
        places=PlaceEffects(*np.ones((3, *grid))),
        map=Attribution(
            np.zeros((height, width)), "graph", "fish (7)", True, {}, "photo.png", UNIT, (60, 80)
        ),
    )
    return dataclasses.replace(decision, **changes)


def drawn(path, decision, size=(80, 60), **options) -> np.ndarray:
    """The picture's pixels, of a plain grey photo."""
    file = path / "decision.png"
    draw_decision(decision, Image.new("RGB", size, GREY), file, **options)
    return np.array(Image.open(file)).astype(int)


def page(decision) -> Page:
    """The page of a plain grey photo."""
    return Page(decision, LoadedImage(Image.new("RGB", (80, 60), GREY), WHOLE, (60, 80)), 15)


def color_at(picture: Image.Image, yx):
    return picture.getpixel((int(yx[1] * picture.width), int(yx[0] * picture.height)))


def test_nodes__are_marked_where_they_are_in_their_layers_colour():
    decision = a_decision()
    kept, listed = page(decision).kept(), page(decision).numbered()
    color = rgb(layer_color(len(decision.graph.layers) - 1))
    assert kept.width / kept.height == pytest.approx(80 / 60, rel=0.01)
    assert color_at(kept, (0.25, 0.75)) == color
    assert color_at(kept, (0.75, 0.25)) == GREY  # not needed to keep it
    assert color_at(listed, (0.25, 0.75)) == color
    assert color_at(listed, (0.75, 0.25)) == color
    assert color_at(listed, (0.5, 0.5)) == GREY  # not measured


def test_area__tells_the_drop():
    """Four times the drop, four times the area, as far as pixels tell."""
    decision = a_decision(drop=np.array([4.0, 1.0, 1.0, np.nan]))
    pixels = np.array(page(decision).numbered()).astype(int)
    color = np.array(rgb(layer_color(len(decision.graph.layers) - 1)))
    mine = np.abs(pixels - color).max(axis=2) < 50
    middle = mine.shape[1] // 2
    assert 3 < mine[:, middle:].sum() / mine[:, :middle].sum() < 5


def test_map__is_vermilion_for_and_blue_against():
    values = np.zeros((96, 96))
    values[:48], values[48:] = 1, -1
    picture = page(a_decision(map=dataclasses.replace(a_decision().map, values=values))).by_place()
    red, _, blue = color_at(picture, (0.25, 0.5))
    assert red > blue + 60
    red, _, blue = color_at(picture, (0.75, 0.5))
    assert blue > red + 60


def test_list__has_one_node_of_a_peak_and_as_many_as_asked_for():
    assert [listed(a_decision(), n) for n in (1, 2, 9)] == [[0], [0, 1], [0, 1]]


def rgb(color):
    return tuple(int(color[i : i + 2], 16) for i in (1, 3, 5))


@pytest.mark.parametrize(
    ("changes", "size"),
    [
        ({"kept": np.zeros(0, dtype=int), "predicted": 3, "mirrored": True}, (80, 60)),
        ({"kept": np.zeros(0, dtype=int), "kept_predicted": 1}, (80, 60)),
        ({"drop": np.full(4, np.nan)}, (30, 300)),
        ({"drop": np.full(4, -1.0)}, (300, 30)),
        ({"image": "ein sehr langer Name " * 20 + "狐狸.png"}, (5, 5)),
        ({"target": ClassTarget(7)}, (5, 5)),
    ],
)
def test_picture__is_made_whatever_there_is_to_draw(tmp_path, changes, size):
    assert min(drawn(tmp_path, a_decision(**changes), size).shape[:2]) > 200


def test_picture__has_the_three_photos_and_a_row_for_each_node(tmp_path):
    pixels = drawn(tmp_path, a_decision())
    area, by_place = 320 * 240, page(a_decision()).by_place().getpixel((9, 9))
    for color, many in ((GREY, 2), (by_place, 1)):
        found = (np.abs(pixels - color).max(axis=2) <= 1).sum()
        assert found == pytest.approx(many * area, rel=0.05)
    fewer = drawn(tmp_path, a_decision(drop=np.array([4.0, np.nan, np.nan, np.nan])))
    assert len(fewer) < len(pixels)


def test_names__in_other_scripts_are_drawn(tmp_path):
    graph = planted_graph()
    plain = drawn(tmp_path, a_decision(graph))
    node = int(a_decision(graph).nodes[0])
    named = drawn(tmp_path, a_decision(graph.rename({node: "目 " * 60})))
    assert plain.shape == named.shape
    assert (plain != named).any()


def test_photo__is_found_among_others_by_its_name(tmp_path):
    for name, color in (("other.png", (255, 0, 0)), ("photo.png", GREY)):
        Image.new("RGB", (80, 60), color).save(tmp_path / name)
    draw_decision(a_decision(), tmp_path, tmp_path / "out" / "decision.png")
    pixels = np.array(Image.open(tmp_path / "out" / "decision.png")).astype(int)
    assert not (np.abs(pixels - (255, 0, 0)).max(axis=2) < 9).any()
    assert (np.abs(pixels - GREY).max(axis=2) <= 1).sum() > 100_000
    missing = a_decision(image="none.png")
    with pytest.raises(ExplGraphError, match=r"photo of the matches: 'none\.png'"):
        draw_decision(missing, tmp_path, tmp_path / "decision.png")


def test_arguments__that_make_no_picture_are_refused(tmp_path):
    photo = Image.new("RGB", (8, 8))
    with pytest.raises(ExplGraphError, match="picture format"):
        draw_decision(a_decision(), photo, tmp_path / "decision.txt")
    with pytest.raises(ExplGraphError, match="n_nodes must be at least 1"):
        draw_decision(a_decision(), photo, tmp_path / "decision.png", n_nodes=0)
