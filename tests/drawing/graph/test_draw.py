import html
import itertools
import re
import xml.etree.ElementTree as ET
from dataclasses import replace

import numpy as np
import pygraphviz
import pytest

from explgraph.base.errors import ExplGraphError
from explgraph.drawing.dot import attributes, quoted
from explgraph.drawing.graph.draw import draw_graph
from explgraph.drawing.graph.layers_layout import Sizes, lay_out, order_nodes, place_labels
from explgraph.drawing.graph.lines import Scale
from explgraph.drawing.look import COLORS
from explgraph.graphs.effects import EdgeEffects
from tests.support.planted import planted_graph

SVG = "{http://www.w3.org/2000/svg}"
XLINK = "{http://www.w3.org/1999/xlink}"


def groups(path, kind: str) -> dict[str, ET.Element]:
    """The drawn nodes or edges, by title."""
    root = ET.parse(path).getroot()
    found = [g for g in root.iter(f"{SVG}g") if g.get("class") == kind]
    return {g.find(f"{SVG}title").text: g for g in found}


def texts(group: ET.Element) -> list[str]:
    return ["".join(text.itertext()) for text in group.iter(f"{SVG}text")]


def tooltip(group: ET.Element) -> str:
    return next(a for a in group.iter(f"{SVG}a")).get(f"{XLINK}title")


def crossings(place: np.ndarray, child: np.ndarray, parent: np.ndarray) -> int:
    pairs = itertools.combinations(zip(child.tolist(), parent.tolist(), strict=True), 2)
    return sum((place[a] - place[c]) * (place[b] - place[d]) < 0 for (a, b), (c, d) in pairs)


@pytest.mark.parametrize("suffix", ["svg", "dot", "pdf", "png"])
def test_draw_graph__two_thousand_nodes(tmp_path, suffix):
    graph = planted_graph(4, 100, 5, parents=14)
    assert (len(graph), len(graph.edge_child)) == (2000, 21000)
    path = tmp_path / f"g.{suffix}"
    draw_graph(graph, path)
    assert path.stat().st_size > 100_000
    if suffix == "svg":
        assert len(groups(path, "node")) == 2000
        assert len(groups(path, "edge")) == 1500 * 3


def test_draw_graph__nodes_say_layer_filter_and_part(tmp_path):
    graph = planted_graph(3, 4, 2)
    draw_graph(graph, tmp_path / "g.svg")
    drawn = groups(tmp_path / "g.svg", "node")
    assert set(drawn) == {graph.node_id(i) for i in range(24)}
    for identity, group in drawn.items():
        assert "".join(texts(group)) == identity
    clusters = groups(tmp_path / "g.svg", "cluster").values()
    assert [texts(c)[0] for c in clusters] == ["features.3", "features.6", "features.9"]
    headings = " ".join(t for c in clusters for t in texts(c))
    assert "56\u00d756 grid, 4 filters" in headings
    assert "8 of 8 nodes" in headings


def test_draw_graph__edges_tell_steadiness_and_displacement(tmp_path):
    graph = planted_graph(2, 3, 2)
    draw_graph(graph, tmp_path / "g.svg", parents_per_node=2)
    edges = groups(tmp_path / "g.svg", "edge")
    assert len(edges) == 12
    widths = {}
    for e in range(len(graph.edge_child)):
        ends = [graph.node_id(int(i)) for i in (graph.edge_child[e], graph.edge_parent[e])]
        group = edges.get("->".join(ends))
        if group is None:
            continue
        dy, dx = graph.edge_displacement[e]
        label = f"{dy:+.0f}, {dx:+.0f} px"
        assert texts(group) == [label]
        assert label in tooltip(group)
        assert f"steady within {graph.edge_spread[e]:.1f} px" in tooltip(group)
        assert "activation" not in tooltip(group)
        line = group.find(f".//{SVG}path")
        widths[float(graph.edge_spread[e])] = float(line.get("stroke-width", 1))
    in_order = [widths[c] for c in sorted(widths)]
    assert in_order == sorted(in_order, reverse=True)  # the steadier, the wider
    assert in_order[0] > in_order[-1]


def with_effects(graph, rows):
    child, parent, effect = (np.array([row[i] for row in rows]) for i in range(3))
    photos = np.arange(len(rows)) + 5
    return graph.having(effects=EdgeEffects(child, parent, effect, photos))


def test_draw_graph__edges_tell_what_a_response_is_made_of(tmp_path):
    rows = [(0, 6, 0.42), (1, 6, -0.4), (2, 6, 0.004), (3, 7, 0.1)]
    graph = with_effects(planted_graph(2, 3, 2), rows)
    draw_graph(graph, tmp_path / "g.svg", edges="is made of", parents_per_node=1)
    edges = groups(tmp_path / "g.svg", "edge")
    assert len(edges) == 3  # the smallest of node 6 is one too many
    widths = []
    for (child, parent, effect), text in zip(
        (rows[0], rows[1], rows[3]), ("42%", "\u221240%", "10%"), strict=True
    ):
        group = edges[f"{graph.node_id(child)}->{graph.node_id(parent)}"]
        assert texts(group) == [text]
        line = group.find(f".//{SVG}path")
        assert ("stroke-dasharray" in line.attrib) == (effect < 0)
        widths.append(float(line.get("stroke-width", 1)))
        said = "carries" if effect > 0 else "inhibits:"
        assert f"{said} {text} of its response\nmean of" in tooltip(group)
    assert widths[0] > widths[1] > widths[2]
    shown = " ".join(legend(tmp_path / "g.svg"))
    assert "inhibits" in shown
    assert "of the parent's response carried by the child's cells" in shown
    assert "3 of 4 edges" in shown
    draw_graph(with_effects(graph, rows[:1]), tmp_path / "g.svg", edges="is made of")
    assert "inhibits" not in " ".join(legend(tmp_path / "g.svg"))


def test_draw_graph__edges_that_are_unknown_are_refused():
    graph = planted_graph(2, 3, 2)
    with pytest.raises(ExplGraphError, match='no edges "is made of": graph'):
        draw_graph(graph, edges="is made of")
    with pytest.raises(ExplGraphError, match="unknown kind of edges 'made of'"):
        draw_graph(graph, edges="made of")


def test_draw_graph__many_edges_have_tooltips_only(tmp_path):
    draw_graph(planted_graph(), tmp_path / "g.svg")
    edges = groups(tmp_path / "g.svg", "edge")
    assert len(edges) == 48 * 3
    assert not any(texts(group) for group in edges.values())
    assert all("steady within" in tooltip(group) for group in edges.values())


@pytest.mark.parametrize(
    "name",
    [
        'say "hi"',
        "<b>bold</b>",
        "<",
        "a & b &amp; &lt;",
        "back\\slash \\N \\G",
        "ends with \\",
        "\\\\",
        "]; } ->",
        "ohr ä 口 é",
        "it's",
        "\\n\\l",
    ],
)
def test_draw_graph__users_names_are_shown_as_given(tmp_path, name):
    graph = planted_graph(2, 3, 2).rename({0: name})
    draw_graph(graph, tmp_path / "g.svg")
    group = groups(tmp_path / "g.svg", "node")["features.3/0/0"]
    assert texts(group) == [name, "features.3/0/0"]
    assert tooltip(group).split("\n")[:2] == [name, "features.3/0/0"]
    draw_graph(graph, tmp_path / "g.dot")
    assert pygraphviz.AGraph(str(tmp_path / "g.dot")).number_of_nodes() == 12


def test_draw_graph__names_become_one_line_of_printable_text(tmp_path):
    graph = planted_graph(2, 3, 2).rename({0: "two\nlines\x00\ud800\x07", 1: "long " * 50})
    draw_graph(graph, tmp_path / "g.svg")
    drawn = groups(tmp_path / "g.svg", "node")
    assert texts(drawn["features.3/0/0"])[0] == "two lines"
    shortened = texts(drawn["features.3/0/1"])[0]
    assert shortened.startswith("long long")
    assert shortened.endswith("…")
    assert len(shortened) <= 18


def test_draw_graph__layer_names_may_be_hostile_too(tmp_path):
    graph = planted_graph(2, 3, 2)
    layers = tuple(replace(s, name=f'"<&{i}>\\"\\') for i, s in enumerate(graph.layers))
    draw_graph(replace(graph, layers=layers), tmp_path / "g.svg")
    assert len(groups(tmp_path / "g.svg", "node")) == 12
    assert any('"<&0>' in text and " → " in text for text in legend(tmp_path / "g.svg"))


@pytest.mark.parametrize("arrangement", ["layers", "places"])
def test_draw_graph__long_layer_names_lose_their_beginning(tmp_path, arrangement):
    graph = planted_graph(2, 3, 2)
    layers = tuple(replace(s, name="backbone." * 20 + s.name) for s in graph.layers)
    draw_graph(replace(graph, layers=layers), tmp_path / "g.svg", arrangement=arrangement)
    headings = {texts(c)[0] for c in groups(tmp_path / "g.svg", "cluster").values()}
    assert all(heading.startswith("…") for heading in headings)
    assert {heading[-10:] for heading in headings} == {"features.3", "features.6"}


@pytest.mark.parametrize("suffix", ["svg", "pdf", "png"])
@pytest.mark.parametrize(
    "name", ["x" * 16_400, "<" * 5_000, "口" * 20_000, "\\" * 9_001, '"' * 9_000]
)
def test_draw_graph__names_of_any_length(tmp_path, capfd, name, suffix):
    graph = planted_graph(2, 3, 2).rename({0: name})
    layers = tuple(replace(s, name=f"{i}{name}") for i, s in enumerate(graph.layers))
    long = replace(graph, layers=layers, header={**graph.header, "model": name})
    for arrangement in ("layers", "places"):
        draw_graph(long, tmp_path / f"g.{suffix}", arrangement=arrangement)
        assert (tmp_path / f"g.{suffix}").stat().st_size > 1000
    assert capfd.readouterr().err == ""


def test_draw_graph__names_of_any_length_in_dot(tmp_path):
    graph = planted_graph(2, 3, 2).rename({0: "<" * 5_000})
    layers = tuple(replace(s, name=f"{i}" + 'x"' * 10_000) for i, s in enumerate(graph.layers))
    draw_graph(replace(graph, layers=layers), tmp_path / "g.dot")
    drawing = pygraphviz.AGraph(str(tmp_path / "g.dot"))
    assert {len(node) for node in drawing.nodes()} == {20_005}


def test_draw_graph__dot_reads_back(tmp_path):
    graph = planted_graph(3, 4, 2)
    draw_graph(graph, tmp_path / "g.dot")
    drawing = pygraphviz.AGraph(str(tmp_path / "g.dot"))
    assert drawing.directed
    assert set(drawing.nodes()) == {graph.node_id(i) for i in range(24)}
    assert drawing.number_of_edges() == 16 * 3
    for i in range(24):
        attributes = drawing.get_node(graph.node_id(i)).attr
        assert float(attributes["score"]) == pytest.approx(graph.score[i], rel=1e-5)
        assert float(attributes["y"]) == pytest.approx(graph.mu[i, 0] / 224, rel=1e-5)
    for child, parent in drawing.edges():
        # A larger y is further up in DOT: parents are drawn above.
        heights = [float(drawing.get_node(n).attr["pos"].split(",")[1]) for n in (child, parent)]
        assert heights[0] < heights[1]


def test_draw_graph__counts_what_was_left_out(tmp_path):
    graph = planted_graph()
    draw_graph(graph, tmp_path / "g.svg", nodes_per_layer=5)
    text = html.unescape((tmp_path / "g.svg").read_text(encoding="utf-8"))
    assert "15 of 72 nodes" in text
    assert "of 240 edges" in text
    assert "5 of 24 nodes" in text


def test_draw_graph__text_is_the_same_twice(tmp_path):
    for name in ("a.dot", "b.dot"):
        draw_graph(planted_graph(), tmp_path / name)
    assert (tmp_path / "a.dot").read_bytes() == (tmp_path / "b.dot").read_bytes()


@pytest.mark.parametrize(
    "graph", [planted_graph(1, 1, 1), planted_graph(2, 1, 1), planted_graph(9, 1, 1)]
)
def test_draw_graph__smallest_graphs(tmp_path, graph):
    draw_graph(graph, tmp_path / "g.svg")
    assert len(groups(tmp_path / "g.svg", "node")) == len(graph)


def test_draw_graph__skips_layers_without_nodes(tmp_path):
    graph = planted_graph()
    draw_graph(graph.select(graph.node_layer != 1), tmp_path / "g.svg")
    assert len(groups(tmp_path / "g.svg", "cluster")) == 2


def test_draw_graph__names_what_is_wrong(tmp_path):
    with pytest.raises(ExplGraphError, match=r"\.svg, \.pdf, \.png"):
        draw_graph(planted_graph(), tmp_path / "g.graphml")
    with pytest.raises(ExplGraphError, match="parents_per_node must not be negative: -1"):
        draw_graph(planted_graph(), tmp_path / "g.svg", parents_per_node=-1)
    with pytest.raises(ExplGraphError, match="no nodes"):
        draw_graph(planted_graph().select(np.zeros(72, dtype=bool)), tmp_path / "g.svg")
    assert not list(tmp_path.iterdir())


def legend(path) -> list[str]:
    """The texts of a drawing that belong to no node, edge or layer."""
    root = ET.parse(path).getroot()
    return texts_of(next(root.iter(f"{SVG}g")))


def texts_of(group: ET.Element) -> list[str]:
    return ["".join(text.itertext()) for text in group.findall(f"{SVG}text")]


def test_scale__the_steadiest_line_is_the_widest():
    scale = Scale.of(np.linspace(2, 12, 11), falling=True)
    assert scale.samples() == pytest.approx(np.linspace(11.5, 2.5, 4))
    widths = [scale.look(value, "#000000")[0] for value in (30, *scale.samples(), 0)]
    assert widths == sorted(widths)
    assert widths[0] == widths[1]  # beyond the bounds all are alike


@pytest.mark.parametrize("spread", [0.0, 1e-5, 0.003, 0.1, 5.0])
def test_draw_graph__no_two_samples_of_the_legend_are_alike(tmp_path, spread):
    graph = planted_graph()
    ramp = np.linspace(0, spread, len(graph.edge_child))
    draw_graph(replace(graph, edge_spread=1 + ramp), tmp_path / "g.svg")
    samples = [text for text in legend(tmp_path / "g.svg") if text.endswith(" px")]
    assert len(samples) == len(set(samples)) >= 1


def test_draw_graph__legend_shows_each_pair_of_layers_in_the_childs_colour(tmp_path):
    draw_graph(planted_graph(3, 4, 2), tmp_path / "g.svg")
    said = legend(tmp_path / "g.svg")
    assert "features.6 → features.9" in said
    assert "features.3 → features.6" in said
    edges = groups(tmp_path / "g.svg", "edge")
    page = next(ET.parse(tmp_path / "g.svg").getroot().iter(f"{SVG}g"))
    samples = {line.get("stroke").upper() for line in page.findall(f"{SVG}polyline")}
    for title, group in edges.items():
        layer = ("features.3", "features.6").index(title.split("/")[0])
        assert next(group.iter(f"{SVG}path")).get("stroke").upper() == COLORS[layer]
        assert COLORS[layer] in samples
    assert COLORS[2] not in samples  # no line begins in the top layer


@pytest.mark.parametrize(
    "model", ["squeezenet1_0", 'C:\\nets\\"a".py:b <&>', "netz 口\n", "", None]
)
def test_draw_graph__title_names_the_model(tmp_path, model):
    graph = replace(planted_graph(2, 3, 2), header={"model": model})
    draw_graph(graph, tmp_path / "g.svg")
    shown = " ".join((model or "").split()).replace("\\", "\u2216")
    title = f"Explanatory graph of {shown}" if shown else "Explanatory graph"
    assert title in legend(tmp_path / "g.svg")
    draw_graph(graph, tmp_path / "g.dot")
    assert pygraphviz.AGraph(str(tmp_path / "g.dot")).number_of_nodes() == 12


def test_draw_graph__unknown_choices_are_refused(tmp_path):
    with pytest.raises(TypeError, match="nodes_per_layr"):
        draw_graph(planted_graph(), tmp_path / "g.svg", nodes_per_layr=3)


@pytest.mark.parametrize("counts", [(1,), (20, 20, 20), (3, 0, 50), (500, 400, 300, 7), (1, 11)])
def test_lay_out__top_layer_above_and_no_overlaps(counts):
    layer = np.repeat(np.arange(len(counts), dtype=np.int32), counts)
    order = np.concatenate([np.arange(n) for n in counts])
    cell = (30.0, 50.0)
    layout = lay_out(layer, order, Sizes(cell, margin=100.0, min_width=300.0))
    height, width = layout.size
    y, x = layout.yx.T
    assert x.min() >= 100 + cell[1] / 2
    assert x.max() <= width - cell[1] / 2
    assert y.min() >= 0
    assert y.max() <= height
    for i, (top, left, bottom, right) in enumerate(layout.bands):
        mine = layout.yx[layer == i]
        assert np.all((mine[:, 0] > top) & (mine[:, 0] < bottom))
        assert (left, right) == (0, width)
        if i:
            assert bottom < layout.bands[i - 1, 0]  # a higher layer ends above
    gaps = np.abs(layout.yx[:, None] - layout.yx[None]) / cell
    np.fill_diagonal(gaps[..., 0], np.inf)
    assert np.all(gaps.max(axis=-1) > 1 - 1e-9)


def test_lay_out__neighbours_in_order_stay_neighbours():
    layer = np.zeros(200, dtype=np.int32)
    order = np.random.default_rng(0).permutation(200)
    layout = lay_out(layer, order, Sizes((30.0, 50.0)))
    x = layout.yx[np.argsort(order), 1]
    rows = len(np.unique(layout.yx[:, 0]))
    assert rows > 3
    assert np.all(x[rows * 2 :] > x[: -rows * 2])
    assert 1 < layout.size[1] / layout.size[0] < 2.2


def test_order_nodes__untangles_a_permutation():
    rng = np.random.default_rng(0)
    parent = rng.permutation(12) + 12
    layer = np.repeat(np.arange(2, dtype=np.int32), 12)
    child = np.arange(12)
    place = order_nodes(layer, child, parent, rng.random(24))
    assert crossings(place, child, parent) == 0


def test_order_nodes__crosses_less_than_where_it_began():
    graph = planted_graph(3, 6, 3)
    edges = graph.edge_child, graph.edge_parent
    place = order_nodes(graph.node_layer, *edges, graph.mu[:, 1])
    start = np.argsort(np.argsort(graph.mu[:, 1].reshape(3, 18), axis=1), axis=1).ravel()
    assert crossings(place, *edges) < 0.8 * crossings(start, *edges)
    assert np.all(np.sort(place.reshape(3, 18), axis=1) == np.arange(18))


def test_order_nodes__without_edges_keeps_the_start_and_ties_by_index():
    none = np.zeros(0, dtype=np.int32)
    layer = np.zeros(4, dtype=np.int32)
    place = order_nodes(layer, none, none, np.array([2.0, 1.0, 2.0, 0.0]))
    assert place.tolist() == [2, 1, 3, 0]


def test_place_labels__keeps_labels_apart_and_on_their_lines():
    # Three lines from one place, straight up: only staggered labels fit.
    curves = np.zeros((3, 4, 2))
    curves[:, :, 0] = np.linspace(0, 100, 4)
    places = place_labels(curves, (12.0, 40.0))
    assert np.all(places[:, 1] == 0)
    assert np.all((places[:, 0] >= 25) & (places[:, 0] <= 75))
    assert np.diff(np.sort(places[:, 0])).min() >= 12
    assert place_labels(np.zeros((0, 4, 2)), (12.0, 40.0)).shape == (0, 2)


def test_colors__are_apart():
    assert len(set(COLORS)) == 6
    assert all(re.fullmatch("#[0-9A-F]{6}", color) for color in COLORS)


@pytest.mark.parametrize("number", [2e-5, -1.5e-7, 3e12, 0.25, 7])
def test_dot__graphviz_reads_every_number(number):
    text = f"digraph g {{ a {attributes({'label': 'x', 'weight_of': number})}; }}"
    graph = pygraphviz.AGraph(string=text)  # which its nodes do not keep alive
    assert float(graph.get_node("a").attr["weight_of"]) == pytest.approx(number)


@pytest.mark.parametrize(
    ("text", "read"),
    [
        ('say "hi"', 'say "hi"'),
        ("C:\\new", "C:\\new"),
        ('a\\"b', 'a\u2216"b'),
        ("ends with \\", "ends with \u2216"),
        ('two\\\\"', 'two\\\\"'),
        ("]; } ->", "]; } ->"),
    ],
)
def test_quoted__graphviz_reads_one_name(text, read):
    graph = pygraphviz.AGraph(string=f"digraph g {{ {quoted(text)}; b; }}")
    assert graph.nodes() == [read, "b"]
