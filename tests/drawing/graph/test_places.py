"""Small multiples: each node at its mean place in its layer's panel."""

import html
import re
import xml.etree.ElementTree as ET
from dataclasses import replace

import numpy as np
import pygraphviz
import pytest

from explgraph.base.errors import ExplGraphError
from explgraph.drawing.graph.draw import draw_graph
from explgraph.drawing.look import COLORS
from tests.support.painted_photos import SVG, painted, pictures
from tests.support.planted import SIDE, planted_graph


def drawn(path, graph, **options):
    draw_graph(graph, path, arrangement="places", **options)
    return ET.parse(path).getroot()


def nodes_of(root, kind="node"):
    found = [g for g in root.iter(f"{SVG}g") if g.get("class") == kind]
    return {g.find(f"{SVG}title").text: g for g in found}


def corners(element):
    return np.array([p.split(",") for p in element.get("points").split()], dtype=float)


def frames(root):
    """Return (left, top, side) of the panels' white frames, in the order they were drawn."""
    own = next(root.iter(f"{SVG}g")).findall(f"{SVG}polygon")[1:]  # the first is the page
    boxes = [corners(polygon) for polygon in own]
    return [(*box.min(axis=0), np.ptp(box[:, 0])) for box in boxes]


def middle_of(group):
    ellipse = next(group.iter(f"{SVG}ellipse"))
    return np.array([float(ellipse.get("cx")), float(ellipse.get("cy"))])


def place_in(frame, graph, node):
    """Return where a node's mean place is in a frame, by hand: (x, y)."""
    left, top, side = frame
    y, x = graph.mu[node] / SIDE
    return np.array([left + x * side, top + y * side])


def test_places__dots_lie_at_the_mean_places(tmp_path):
    graph = planted_graph(3, 3, 2)
    root = drawn(tmp_path / "g.svg", graph)
    nodes, panels = nodes_of(root), frames(root)
    assert len(panels) == 3
    for node in range(18):
        group = nodes[f"{graph.node_id(node)} (place)"]
        panel = 2 - int(graph.node_layer[node])  # the top layer is the first
        np.testing.assert_allclose(middle_of(group), place_in(panels[panel], graph, node), atol=0.2)
        fill = next(group.iter(f"{SVG}ellipse")).get("fill").upper()
        assert fill == COLORS[graph.node_layer[node]]


def test_places__circles_show_the_spread(tmp_path):
    graph = planted_graph(1, 2, 2)
    graph = replace(graph, spread=np.array([10, 20, 30, 40]))
    root = drawn(tmp_path / "g.svg", graph)
    (left, top, side) = frames(root)[0]
    own = next(root.iter(f"{SVG}g")).findall(f"{SVG}ellipse")
    found = {
        round(float(e.get("rx")) / side * SIDE): (float(e.get("cx")), float(e.get("cy")))
        for e in own
    }
    for node, spread in enumerate((10, 20, 30, 40)):
        np.testing.assert_allclose(
            found[spread], place_in((left, top, side), graph, node), atol=0.2
        )


def test_places__labels_stand_apart_and_lines_lead_to_their_places(tmp_path):
    graph = planted_graph(2, 6, 3)
    graph = replace(graph, mu=100 + graph.mu / 12)  # crowded
    root = drawn(tmp_path / "g.svg", graph)
    nodes, edges = nodes_of(root), nodes_of(root, "edge")
    assert len(edges) > 5
    for name, group in edges.items():
        label, place = name.split("->")
        assert place == f"{label} (place)"
        path = next(group.iter(f"{SVG}path")).get("d")
        end = np.array(re.findall(r"(-?[\d.]+),(-?[\d.]+)", path)[-1], dtype=float)
        np.testing.assert_allclose(end, middle_of(nodes[place]), atol=0.3)


def test_places__each_label_is_said_once(tmp_path):
    graph = planted_graph(2, 3, 2).rename({0: "left ear", 1: 'a "b" <c>&amp; \\', 3: "耳"})
    root = drawn(tmp_path / "g.svg", graph)
    nodes = nodes_of(root)
    said = {
        name: ["".join(t.itertext()) for t in g.iter(f"{SVG}text")] for name, g in nodes.items()
    }
    assert said["features.3/0/0"] == ["left ear"]
    assert said["features.3/0/1"] == ['a "b" <c>&amp; \\']
    assert said["features.3/1/1"] == ["耳"]
    assert said["features.6/2/1"] == ["2/1"]


def test_places__a_picture_not_moved_has_its_middle_at_its_place(tmp_path):
    graph = planted_graph(1, 2, 1)
    graph = replace(graph, mu=np.array([[60, 50], [170, 180]]))
    photos, found = painted(graph, np.zeros(2, dtype=int))
    path = tmp_path / "g.svg"
    root = drawn(path, graph, thumbnails=True, found=found, images=photos)
    frame = frames(root)[0]
    assert not nodes_of(root, "edge")
    assert set(nodes_of(root)) == {"features.3/0/0", "features.3/1/0"}
    for node, (middle, _) in enumerate(pictures(path).values()):
        np.testing.assert_allclose(middle, place_in(frame, graph, node), atol=0.6)


def test_places__what_has_no_room_is_a_dot_and_is_counted(tmp_path):
    graph = planted_graph(1, 10, 6)
    graph = replace(graph, mu=np.full((60, 2), 100))
    photos, found = painted(graph, np.where(np.arange(60) < 8, 0, -1))
    path = tmp_path / "g.svg"
    root = drawn(path, graph, thumbnails=True, found=found, images=photos)
    shown = pictures(path)
    assert 8 < len(shown) < 60
    text = html.unescape(re.sub(r"data:[^\"]*", "", path.read_text(encoding="utf-8")))
    assert f"60 of 60 nodes. {len(shown)} of them have room for a picture" in text
    nodes = nodes_of(root)
    assert {graph.node_id(i) for i in range(60)} <= set(nodes)
    dots = set(nodes) - set(shown) - {f"{name} (place)" for name in shown}
    assert len(dots) == 60 - len(shown)
    best = [graph.node_id(int(i)) for i in graph.ranking()[:3]]
    assert set(best) <= set(shown)


def test_places__headings_name_layers_and_count(tmp_path):
    graph = planted_graph(3, 8, 3)
    root = drawn(tmp_path / "g.svg", graph, nodes_per_layer=5)
    clusters = nodes_of(root, "cluster").values()
    said = [["".join(t.itertext()) for t in c.iter(f"{SVG}text")] for c in clusters]
    assert [lines[0] for lines in said] == ["features.9", "features.6", "features.3"]
    assert all("5 of 24 nodes" in " ".join(lines) for lines in said)
    assert len(nodes_of(root)) == 2 * 15


def test_places__frames_have_the_networks_aspect(tmp_path):
    graph = planted_graph(1, 2, 2)
    wide = replace(graph, input_size=(SIDE, 2 * SIDE))
    root = drawn(tmp_path / "g.svg", wide)
    own = next(root.iter(f"{SVG}g")).findall(f"{SVG}polygon")[1:]
    (width, height), *others = [np.ptp(corners(p), axis=0) for p in own]
    assert not others
    assert width / height == pytest.approx(2, rel=0.01)


def test_places__dot_reads_back(tmp_path):
    graph = planted_graph(2, 3, 2)
    draw_graph(graph, tmp_path / "g.dot", arrangement="places")
    drawing = pygraphviz.AGraph(str(tmp_path / "g.dot"))
    node = drawing.get_node("features.3/1/0")
    assert float(node.attr["score"]) == pytest.approx(graph.score[2], rel=1e-5)


@pytest.mark.parametrize("suffix", ["svg", "pdf", "png", "dot"])
def test_places__writes_each_format(tmp_path, suffix):
    path = tmp_path / f"g.{suffix}"
    draw_graph(planted_graph(4, 10, 5), path, arrangement="places")
    begin = {"svg": b"<?xml", "pdf": b"%PDF", "png": b"\x89PNG", "dot": b"digraph"}
    assert path.read_bytes().startswith(begin[suffix])


def test_places__unknown_arrangement(tmp_path):
    with pytest.raises(ExplGraphError, match="unknown arrangement 'place'; the nearest are places"):
        draw_graph(planted_graph(), tmp_path / "g.svg", arrangement="place")
    assert not list(tmp_path.iterdir())
