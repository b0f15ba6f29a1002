"""The drawing of And-Or graphs: what stands in it, and where."""

import itertools
import re
import xml.etree.ElementTree as ET
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from aog.drawing.cards import Card, heaviest, lay_cards
from aog.drawing.draw import draw_parts
from explgraph.base.errors import ExplGraphError
from explgraph.drawing.look import COLORS
from tests.support.painted_photos import DARK, colors, halves, painted, pictures
from tests.support.parts_by_hand import hand_made_parts

SVG = "{http://www.w3.org/2000/svg}"
XLINK = "{http://www.w3.org/1999/xlink}"


def groups(path, kind):
    """The drawn nodes or edges, by title."""
    found = [g for g in ET.parse(path).getroot().iter(f"{SVG}g") if g.get("class") == kind]
    return {g.find(f"{SVG}title").text: g for g in found}


def texts(group):
    return ["".join(text.itertext()) for text in group.iter(f"{SVG}text")]


def box_of(group):
    """(left, top, right, bottom) of a node's ellipse or polygon."""
    ellipse = next(group.iter(f"{SVG}ellipse"), None)
    if ellipse is not None:
        x, y, rx, ry = (float(ellipse.get(key)) for key in ("cx", "cy", "rx", "ry"))
        return x - rx, y - ry, x + rx, y + ry
    points = np.array(
        [p.split(",") for p in next(group.iter(f"{SVG}polygon")).get("points").split()], float
    )
    return (*points.min(axis=0), *points.max(axis=0))


def many_patterns(count=40):
    """One template of ``count`` patterns on 12 nodes' filters, heavier ones first."""
    return hand_made_parts(
        clicks=np.array([1]),
        centre=np.full((1, 2), 112),
        size=np.full((1, 2), 50),
        look=np.zeros((1, 9, 0)),
        scene=np.zeros((1, 0)),
        start=np.array([0, count]),
        node=np.arange(count) % 12,
        group=np.arange(count) % 12 // 2,
        displacement=np.zeros((count, 2)),
        spread=np.ones(count),
        weight=np.linspace(1, 0.1, count),
        scale=np.ones(count),
    )


def test_draw_parts__four_layers_from_part_to_terminals(tmp_path):
    draw_parts(hand_made_parts(), tmp_path / "p.svg")
    nodes, edges = groups(tmp_path / "p.svg", "node"), groups(tmp_path / "p.svg", "edge")
    zero, one = "head / template 0", "head / template 1"
    assert set(edges) == {
        f"head->{zero}",
        f"head->{one}",
        f"{zero}->{zero} / features.3/0",  # nodes 0 and 1 are alternatives
        f"{zero} / features.3/0->{zero} / features.3/0/0",
        f"{zero} / features.3/0->{zero} / features.3/0/1",
        f"{zero} / features.3/0/0->{zero} / peaks of features.3/0",
        f"{zero} / features.3/0/1->{zero} / peaks of features.3/0",
        f"{zero}->{zero} / features.6/0/0",
        f"{zero} / features.6/0/0->{zero} / peaks of features.6/0",
        f"{one}->{one} / features.3/1/0",
        f"{one} / features.3/1/0->{one} / peaks of features.3/1",
        f"{one}->{one} / features.6/0/1",
        f"{one} / features.6/0/1->{one} / peaks of features.6/0",
    }
    assert set(nodes) == {end for edge in edges for end in edge.split("->")}
    assert "2 templates, 3 clicks" in texts(nodes["head"])
    shapes = {name: next(iter(g.iter(f"{SVG}ellipse")), None) is None for name, g in nodes.items()}
    for name, is_box in shapes.items():
        assert is_box == (" / peaks of " in name or name in (zero, one)), name


def test_draw_parts__or_is_round_and_dashed__and_is_square_and_solid(tmp_path):
    draw_parts(hand_made_parts(), tmp_path / "p.svg")
    nodes, edges = groups(tmp_path / "p.svg", "node"), groups(tmp_path / "p.svg", "edge")
    zero = "head / template 0"
    group = f"{zero} / features.3/0"
    for name in ("head", group, f"{zero} / features.3/0/0"):
        assert next(nodes[name].iter(f"{SVG}ellipse"), None) is not None, name
    for name in (zero, "head / template 1"):
        assert next(nodes[name].iter(f"{SVG}polygon"), None) is not None, name
    for title, edge in edges.items():
        start = title.split("->")[0]
        is_dashed = edge.find(f".//{SVG}path").get("stroke-dasharray") is not None
        assert is_dashed == (start not in (zero, "head / template 1")), title


def test_draw_parts__what_is_left_out_is_not_an_alternative(tmp_path):
    draw_parts(many_patterns(), tmp_path / "p.svg", patterns_per_template=3)
    edges = groups(tmp_path / "p.svg", "edge")
    zero = "head / template 0"
    rest, alternative = (
        edges[title].find(f".//{SVG}path").get("stroke-dasharray")
        for title in (f"{zero}->{zero} / others", f"head->{zero}")
    )
    assert rest is not None
    assert rest != alternative


def test_draw_parts__legend_explains_shapes_lines_and_colours(tmp_path):
    draw_parts(hand_made_parts(), tmp_path / "p.svg")
    page = next(ET.parse(tmp_path / "p.svg").getroot().iter(f"{SVG}g"))
    said = ["".join(text.itertext()) for text in page.findall(f"{SVG}text")]
    for text in ("round: OR, one of", "alternatives", "square: AND, all of", "all count"):
        assert text in said
    assert {"features.3", "features.6"} <= set(said)


@pytest.fixture
def pictured():
    """Parts of 12 nodes, the photo in which they were painted, and the matches."""
    parts = hand_made_parts()
    return (parts, *painted(parts.graph, np.zeros(12, dtype=int)))


def test_draw_parts__patterns_as_pictures(tmp_path, pictured):
    parts, photos, found = pictured
    path = tmp_path / "p.svg"
    draw_parts(parts, path, thumbnails=True, found=found, images=photos)
    shown = pictures(path)
    zero = "head / template 0"
    patterns = {
        f"{zero} / features.3/0/0": 0,
        f"{zero} / features.3/0/1": 1,
        f"{zero} / features.6/0/0": 6,
        "head / template 1 / features.3/1/0": 2,
        "head / template 1 / features.6/0/1": 7,
    }
    assert set(shown) == set(patterns)
    nodes = groups(path, "node")
    for name, node in patterns.items():
        middle, picture = shown[name]
        left, right = halves(picture)
        np.testing.assert_allclose(left, colors(12)[node], atol=14)
        np.testing.assert_allclose(right, DARK, atol=14)
        assert picture[0, 0].min() > 240  # cut to a disc
        ellipse = next(nodes[name].iter(f"{SVG}ellipse"))
        assert ellipse.get("rx") == ellipse.get("ry")
        assert ellipse.get("stroke").upper() == COLORS[parts.graph.node_layer[node]]
        np.testing.assert_allclose(
            middle, [float(ellipse.get("cx")), float(ellipse.get("cy"))], atol=0.1
        )
        assert texts(nodes[name]) == [parts.graph.node_id(node)]
        below = float(next(nodes[name].iter(f"{SVG}text")).get("y"))
        assert below > middle[1] + float(ellipse.get("ry"))


def test_draw_parts__pictures_do_not_overlap(tmp_path):
    parts = many_patterns()
    photos, found = painted(parts.graph, np.zeros(12, dtype=int))
    path = tmp_path / "p.svg"
    draw_parts(parts, path, thumbnails=True, found=found, images=photos, patterns_per_template=11)
    boxes = [box_of(g) for name, g in groups(path, "node").items() if not name.endswith("others")]
    for i, a in enumerate(boxes):
        for b in boxes[:i]:
            assert a[2] <= b[0] or b[2] <= a[0] or a[3] <= b[1] or b[3] <= a[1]


@pytest.mark.parametrize("suffix", ["pdf", "png"])
def test_draw_parts__pictures_in_each_format(tmp_path, pictured, suffix):
    parts, photos, found = pictured
    path = tmp_path / f"p.{suffix}"
    draw_parts(parts, path, thumbnails=True, found=found, images=photos)
    if suffix == "pdf":
        assert path.read_bytes().count(b"/Subtype /Image") >= 5
        return
    pixels = np.asarray(Image.open(path).convert("RGB")).astype(int)
    for node in (0, 1, 6, 2, 7):
        assert (np.abs(pixels - colors(12)[node]).max(axis=-1) < 20).sum() > 20


def test_draw_parts__thumbnails_need_matches_and_photos(tmp_path, pictured):
    parts, photos, found = pictured
    with pytest.raises(ExplGraphError, match="needs found and images"):
        draw_parts(parts, tmp_path / "p.svg", thumbnails=True)
    with pytest.raises(ExplGraphError, match="DOT text cannot hold thumbnails"):
        draw_parts(parts, tmp_path / "p.dot", thumbnails=True, found=found, images=photos)
    assert not list(tmp_path.iterdir())


def test_draw_parts__lines_tell_displacement_and_weight(tmp_path):
    draw_parts(hand_made_parts(), tmp_path / "p.svg")
    edges = groups(tmp_path / "p.svg", "edge")
    zero = "head / template 0"
    wide = edges[f"{zero}->{zero} / features.6/0/0"]
    narrow = edges[f"{zero} / features.3/0->{zero} / features.3/0/0"]
    assert texts(wide) == ["-30, +40 ± 28"]
    assert texts(narrow) == ["+10, -20 ± 14"]
    width = [float(e.find(f".//{SVG}path").get("stroke-width", 1)) for e in (wide, narrow)]
    assert width[0] > 1.5 * width[1]  # weights .5 and .2


def test_draw_parts__patterns_have_their_layers_colour(tmp_path):
    draw_parts(hand_made_parts(), tmp_path / "p.svg")
    nodes = groups(tmp_path / "p.svg", "node")
    for name, color in (("features.3/0/1", COLORS[0]), ("features.6/0/0", COLORS[1])):
        ellipse = next(nodes[f"head / template 0 / {name}"].iter(f"{SVG}ellipse"))
        assert ellipse.get("stroke").upper() == color


@pytest.mark.parametrize("count", [1, 5, 11, 40, 60])
def test_draw_parts__nothing_overlaps_and_all_is_counted(tmp_path, count):
    parts = many_patterns()
    draw_parts(parts, tmp_path / "p.svg", patterns_per_template=count)
    nodes = groups(tmp_path / "p.svg", "node")
    drawn = min(count, 40)
    said = " ".join("".join(t.itertext()) for t in ET.parse(tmp_path / "p.svg").iter(f"{SVG}text"))
    assert f"{drawn} of 40 patterns" in said
    assert re.findall(r"and (\d+) more", said) == [str(40 - drawn)] * (drawn < 40)
    boxes = [box_of(g) for name, g in nodes.items() if not name.endswith("others")]
    for i, a in enumerate(boxes):
        for b in boxes[:i]:
            assert a[2] <= b[0] or b[2] <= a[0] or a[3] <= b[1] or b[3] <= a[1]


def test_heaviest__groups_by_their_weight_together():
    # Group 0 weighs .2 + .3, group 1 .5: a tie keeps the group of the heaviest pattern first.
    aog = hand_made_parts().aogs[0]
    assert heaviest(aog, 0, 8) == (((2,), (1, 0)), 0)
    assert heaviest(aog, 0, 2) == (((2,), (1,)), 1)
    lighter = replace(aog, weight=np.array([0.3, 0.3, 0.4, 0.6, 0.4]))
    assert heaviest(lighter, 0, 3) == (((0,), (2,)), 1)  # a third of the room for each
    assert heaviest(lighter, 0, 4) == (((0, 1), (2,)), 0)
    assert heaviest(lighter, 1, 1) == (((3,),), 1)


def test_lay_cards__below_each_other():
    parts = hand_made_parts(("head", "tail"))
    cards, bottom = lay_cards(parts.aogs, 8)
    assert [(card.aog.part, card.template) for card in cards] == [
        ("head", 0),
        ("head", 1),
        ("tail", 0),
        ("tail", 1),
    ]
    for above, below in itertools.pairwise(cards):
        assert below.top > above.top + above.height
    assert bottom == cards[-1].top + cards[-1].height


def test_card__rows_are_in_its_middle():
    card = Card(hand_made_parts().aogs[0], 0, ((0, 1), (2,)), 0, 100.0)
    assert card.rows == 3
    assert card.row(1) == card.middle == 100 + card.height / 2
    assert card.row(2) - card.row(1) == card.row(1) - card.row(0) > 0


def discs(path):
    """(n, 2) centres (x, y) of the dots of sketches, and their colours; the legend's lie lower."""
    root = ET.parse(path).getroot()
    in_nodes = {e for g in root.iter(f"{SVG}g") if g.get("class") for e in _own_ellipses(g)}
    lowest = max(box_of(g)[3] for g in root.iter(f"{SVG}g") if g.get("class") == "node")
    found = [
        e for e in root.iter(f"{SVG}ellipse") if e not in in_nodes and float(e.get("cy")) < lowest
    ]
    xy = np.array([[float(e.get("cx")), float(e.get("cy"))] for e in found])
    return xy, [e.get("fill").upper() for e in found]


def _own_ellipses(group):
    return [] if group.get("class") == "graph" else list(group.iter(f"{SVG}ellipse"))


def test_sketch__dots_lie_where_the_patterns_are_around_the_part(tmp_path):
    draw_parts(hand_made_parts(), tmp_path / "p.svg")
    xy, colors = discs(tmp_path / "p.svg")
    assert len(xy) == 5
    # The heaviest of a template comes last: patterns 0, 1, 2, then 4, 3.
    assert colors == [COLORS[i].upper() for i in (0, 0, 1, 1, 0)]
    # Peaks are the centre less the displacement: at (90, 80), (100, 55), (130, 20) of 224 pixels.
    offsets = (xy[1:3] - xy[0]) * 224 / 150
    np.testing.assert_allclose(offsets, [[-25, 10], [-60, 40]], atol=0.2)


def test_draw_parts__one_part_or_all(tmp_path):
    parts = hand_made_parts(("head", "tail"))
    draw_parts(parts, tmp_path / "all.svg")
    draw_parts(parts, tmp_path / "tail.svg", part="tail")
    assert {"head", "tail"} <= set(groups(tmp_path / "all.svg", "node"))
    names = set(groups(tmp_path / "tail.svg", "node"))
    assert "tail" in names
    assert not {name for name in names if name.startswith("head")}


@pytest.mark.parametrize("suffix", ["svg", "dot", "pdf", "png"])
def test_draw_parts__writes_each_format_whole(tmp_path, suffix):
    path = tmp_path / "new" / f"p.{suffix}"
    draw_parts(many_patterns(1500), path)
    magic = {"pdf": b"%PDF", "png": b"\x89PNG", "dot": b"digraph", "svg": b"<?xml"}
    assert path.read_bytes().startswith(magic[suffix])
    if suffix == "dot":  # Graphviz' scanner refuses longer ones
        assert max(map(len, re.findall(r'"[^"]*"', path.read_text()))) < 16384


def test_draw_parts__odd_names_do_not_break_it(tmp_path):
    names = ('a "quote" <b>&amp;</b> \\N \x07\n é 口 \\', "-> ; }", "x" * 90)
    parts = hand_made_parts(names)
    parts = replace(parts, graph=parts.graph.rename({0: "left <ear> & \\"}))
    draw_parts(parts, tmp_path / "p.svg")
    nodes = groups(tmp_path / "p.svg", "node")
    tooltips = [a.get(f"{XLINK}title") for g in nodes.values() for a in g.iter(f"{SVG}a")]
    assert any(tip.startswith('a "quote" <b>&amp;</b> \\N') for tip in tooltips)
    assert sum(re.search(r"/ template \d$", name) is not None for name in nodes) == 6
    assert [t for g in nodes.values() for t in texts(g)].count("left <ear> & \\") == 3


def test_draw_parts__names_what_is_wrong(tmp_path):
    parts = hand_made_parts()
    with pytest.raises(ExplGraphError, match=r"Valid: \.dot, \.svg, \.pdf, \.png"):
        draw_parts(parts, tmp_path / "p.jpg")
    with pytest.raises(ExplGraphError, match="unknown part 'hed'; the nearest are head"):
        draw_parts(parts, tmp_path / "p.svg", part="hed")
    with pytest.raises(ExplGraphError, match="at least 1, got 0"):
        draw_parts(parts, tmp_path / "p.svg", patterns_per_template=0)
    assert not list(tmp_path.iterdir())
