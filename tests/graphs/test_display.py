"""What notebooks show: counts that are right, markup that no name can break, nothing fetched."""

import base64
import re
from dataclasses import replace
from html.parser import HTMLParser
from xml.etree import ElementTree

import numpy as np
import pytest

from explgraph.base.errors import ExplGraphError
from explgraph.graphs.node import Node
from tests.support.parts_by_hand import answers, hand_made_parts
from tests.support.plain import plain_groups, plain_matches
from tests.support.planted import SIDE, planted_graph
from tests.support.planted_peaks import peak_set, random_peaks

VOID = {"img", "br"}


class Page(HTMLParser):
    """Checks that elements are closed in order; collects the cells' text and the pictures."""

    def __init__(self, text):
        super().__init__()
        self.open, self.cells, self.images, self.tags = [], [], [], set()
        self.feed(text)
        assert not self.open

    def handle_starttag(self, tag, attrs):
        self.tags.add(tag)
        if tag == "img":
            self.images.append(dict(attrs))
        if tag not in VOID:
            self.open.append(tag)
        if tag in ("td", "th"):
            self.cells.append("")

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if self.open and self.open[-1] in ("td", "th"):
            self.cells[-1] += data


def svg_of(image):
    kind, code = image["src"].split(",", 1)
    assert kind == "data:image/svg+xml;base64"
    return ElementTree.fromstring(base64.b64decode(code))


def matches_of(graph, images=("a.jpg", "b.jpg")):
    score = np.zeros((len(images), len(graph)))
    score[0, graph.node_layer == 0] = 2
    facing, peak = np.arange(len(images)) % 2, np.where(score > 0, 0, -1)
    return plain_matches(images, 0.5, score, graph.node_layer, peak=peak, mirrored=facing)


def test_graph__shows_its_counts_and_a_picture():
    graph = planted_graph(n_layers=3, channels=4, parts=2)
    page = Page(graph._repr_html_())
    at = page.cells.index("features.3")
    below = int(np.sum(graph.node_layer[graph.edge_child] == 0))
    grid = graph.layers[0].grid
    row = ["features.3", f"{grid[0]} x {grid[1]}", "4", "4", "8", str(below)]
    assert page.cells[at : at + 6] == row
    assert page.cells.index("features.9") < at  # the top layer is above
    (image,) = page.images
    assert "best nodes" in image["alt"]
    assert svg_of(image).tag.endswith("svg")


def test_graph__without_nodes_shows_no_picture():
    graph = planted_graph().select([])
    assert Page(graph._repr_html_()).images == []


@pytest.mark.parametrize("name", ["<script>alert(1)</script>", "a & b", "目"])
def test_names__cannot_break_the_markup(name):
    graph = planted_graph().rename({0: name})
    node = Page(graph.node(name)._repr_html_())
    assert "script" not in node.tags
    assert "script" not in Page(graph._repr_html_()).tags
    assert "script" not in Page(matches_of(graph, (name,))._repr_html_()).tags


def test_node__knows_what_the_graph_knows():
    graph = planted_graph().rename({5: "eye"})
    node = graph.node("eye")
    assert (node.index, node.id, node.name) == (5, graph.node_id(5), "eye")
    row = graph.nodes.loc[5]
    assert [node.layer.name, node.channel, node.part] == row[["layer", "channel", "part"]].tolist()
    np.testing.assert_allclose(node.yx, row[["y", "x"]].astype(float))
    for name in ("spread_px", "score", "support", "gain"):
        assert getattr(node, name) == pytest.approx(row[name])
    assert node == graph.node(5) == graph.node(node.id)
    assert node != graph.node(4)
    assert len({node, graph.node(5), graph.node(4)}) == 2


def test_node__has_its_relatives():
    graph = planted_graph(n_layers=2, channels=3, parts=4)
    for i in range(len(graph)):
        node = graph.node(i)
        up = {p for c, p in zip(graph.edge_child, graph.edge_parent, strict=True) if c == i}
        down = {c for c, p in zip(graph.edge_child, graph.edge_parent, strict=True) if p == i}
        assert {n.index for n in node.parents} == up
        assert {n.index for n in node.children} == down
        same = {i // 4 * 4 + k for k in range(4)} - {i}
        assert {n.index for n in node.siblings} == same


def test_node__shows_where_it_lies():
    graph = planted_graph()
    node = graph.node(0)
    page = Page(node._repr_html_())
    (image,) = page.images
    circles = [dict(e.attrib) for e in svg_of(image) if e.tag.endswith("circle")]
    assert len(circles) == len(node.parents) + 2
    y, x = graph.mu[0] / SIDE * 150
    ring = circles[-1]
    assert (float(ring["cy"]), float(ring["cx"])) == pytest.approx((y, x), abs=0.06)
    assert float(circles[-2]["r"]) == pytest.approx(graph.spread[0] / SIDE * 150, abs=0.06)


def test_node__unknown_names_are_refused():
    with pytest.raises(ExplGraphError, match="unknown node 'nose'"):
        planted_graph().node("nose")
    with pytest.raises(ExplGraphError, match="node 999 does not exist"):
        planted_graph().node(999)


def test_node__repr_says_which():
    graph = planted_graph().rename({1: "ear"})
    assert re.match(r"<Node 1: features\.3/0/1 \('ear'\), score .*%.*>", repr(graph.node(1)))
    assert isinstance(graph.node(1), Node)


def test_node__knows_its_group_and_what_that_tells():
    graph = planted_graph()
    bare = graph.node(0)
    assert (bare.group, bare.group_gain, bare.contrast) == (None, None, None)
    assert "group" not in repr(bare)
    known = graph.having(
        groups=plain_groups(graph, [0, 1, *[-1] * 70]).rename({0: "<ear>"}),
        contrast=np.linspace(0, 1, 72),
    )
    node = known.node(0)
    assert node.group.name == "<ear>"
    assert (node.group_gain, node.contrast) == (1, 0)
    assert repr(node).endswith("part group '<ear>', contrast 0.00, group gain 1.00>")
    page = Page(node._repr_html_())
    for name, value in (("part group", "<ear>"), ("contrast", "0.00"), ("group gain", "1.00")):
        assert page.cells[page.cells.index(name) + 1] == value
    assert known.node(5).group is None
    assert "part group" not in repr(known.node(5))
    assert repr(known).endswith("2 part groups>")


def test_graph__lists_its_part_groups_first():
    graph = planted_graph()
    groups = plain_groups(graph, [0] * 3 + [1] * 69).rename({1: "ear <b>"})
    for shown in (graph.having(groups=groups), groups):
        page = Page(shown._repr_html_())
        at = page.cells.index("ear <b>")
        assert page.cells[at + 1] == "69"
        assert "b" not in page.tags
        if shown is not groups:
            assert at < page.cells.index("features.3")
    assert "72 of 72 nodes in 2 groups" in groups._repr_html_()


def test_node__of_several_of_one_name_is_the_best():
    graph = planted_graph()
    nodes = [3, 20, 41, 66]
    named = graph.rename(dict.fromkeys(nodes, "eye"))
    order = graph.ranking().tolist()
    assert named.node("eye").index == min(nodes, key=order.index)
    assert named.node("eye").index != min(nodes)


def test_matches__show_each_layers_share():
    graph = planted_graph(n_layers=2, channels=2, parts=2)
    matches = matches_of(graph)
    page = Page(matches._repr_html_())
    # Layer 1 is above and never found; layer 0 is found in one of two photos, with score 2.
    assert page.cells[4:] == ["1", "4", "0%", "0", "0", "4", "50%", "1"]
    assert "1 of them seen mirrored" in matches._repr_html_()
    assert repr(matches) == "<Matches of 8 nodes in 2 photos>"
    assert "no photos" in matches.take(images=np.array([], dtype=int))._repr_html_()


def test_parts__show_themselves():
    parts = hand_made_parts(("head", "tail"))
    cells = Page(parts._repr_html_()).cells
    for i, aog in enumerate(parts.aogs):
        figures = map(str, (len(aog), aog.n_clicks, len(aog.node)))
        assert cells[4 * i + 4 : 4 * i + 8] == [aog.part, *figures]
    assert repr(parts) == "<Parts head, tail>"


def test_answers__show_how_sure_they_are():
    found = answers(("a.jpg", "b.jpg"), confidence=np.array([0.5, 1.0]), visible=np.array([1, 0]))
    assert Page(found._repr_html_()).cells[4:] == ["head", "2", "50%", "75%"]
    assert repr(found) == "<Localizations of head in 2 photos>"


def test_peaks__show_how_many_there_are(rng):
    peaks = peak_set((random_peaks(rng, n_images=5),), mirror=False)
    (one,) = peaks.peaks
    cells = Page(peaks._repr_html_()).cells
    assert cells[5] == one.layer.name
    assert cells[8] == f"{(one.weight > 0).sum(axis=2).mean():.3g}"
    assert cells[9] == f"{(one.weight[..., 0] > 0).mean():.0%}"
    assert "5 photos" in peaks._repr_html_()
    assert "photos as given" in peaks._repr_html_()
    assert repr(peaks) == f"<PeakSet of 5 photos, layers {one.layer.name}>"


def test_graph__shows_what_to_doubt():
    graph = planted_graph()
    header = {"n_images": 4, "material": {"repeats": 3, "repeated": ["<b>.jpg"]}}
    page = Page(replace(graph, header=header)._repr_html_())
    told = " ".join(page.cells)
    assert "Mined from only 1 different photo" in told
    assert "(<b>.jpg)" in told
    assert "to doubt" not in Page(graph._repr_html_()).cells
