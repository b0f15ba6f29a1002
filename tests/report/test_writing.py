"""The report as a file: what is on it, where things lie, what it may not hold."""

import json
import re
from collections import Counter
from dataclasses import replace
from html.parser import HTMLParser
from types import SimpleNamespace

import numpy as np
import pytest

from explgraph.base.errors import ExplGraphError
from explgraph.photos.images import open_images
from explgraph.report.nodes import page_nodes
from explgraph.report.writing import write_report
from tests.support.plain import plain_groups
from tests.support.planted import planted_graph
from tests.support.reporting import (
    FOREIGN,
    NAMED,
    NAMES,
    SCRIPT,
    SILENT,
    magenta_source,
    reported_graph,
    reported_matches,
)

TIMES, DASH = "\N{MULTIPLICATION SIGN}", "\N{EN DASH}"


class Page(HTMLParser):
    """Elements with their attributes, and the text of those of interest."""

    def __init__(self, text):
        super().__init__()
        self.tags, self.text, self._open = [], Counter(), []
        self.words, self.unlabelled = [], []
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        if tag in ("input", "select") and "label" not in self._open:
            self.unlabelled.append(attributes)
        self.tags.append((tag, dict(attributes)))
        if tag not in ("input", "meta", "link", "img"):
            self._open.append(tag)

    def handle_endtag(self, tag):
        while self._open and self._open.pop() != tag:
            pass

    def handle_data(self, data):
        if self._open and self._open[-1] not in ("script", "style"):
            self.words.append(data)


def data_of(text):
    """The data of the page's scripts."""
    found = re.search(r'id="report-data">(.*?)</script>', text, re.DOTALL)
    return json.loads(found[1])


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    path = tmp_path_factory.mktemp("report") / "new" / "report.html"
    graph = reported_graph()
    write_report(graph, reported_matches(graph), magenta_source(), path)
    return path.read_text(encoding="utf-8")


def test_page__loads_nothing(written):
    page = Page(written)
    addresses = [v for _, a in page.tags for k, v in a.items() if k in ("src", "href", "srcset")]
    assert addresses
    assert [a for a in addresses if not a.startswith(("data:", "#"))] == []
    assert not [tag for tag, _ in page.tags if tag in ("iframe", "object", "embed", "base")]
    style = re.search(r"<style>(.*?)</style>", written, re.DOTALL)[1]
    assert "url(" not in style
    assert "@import" not in style
    policy = next(a["content"] for tag, a in page.tags if "http-equiv" in a)
    assert "default-src 'none'" in policy
    assert "http" not in policy


def test_page__is_html_that_people_and_programs_can_find_their_way_in(written):
    page = Page(written)
    tags = Counter(tag for tag, _ in page.tags)
    assert (tags["h1"], tags["main"], tags["header"], tags["aside"]) == (1, 1, 1, 1)
    assert ("html", {"lang": "en"}) in page.tags
    assert any(a.get("name") == "viewport" for _, a in page.tags)
    ids = Counter(a["id"] for _, a in page.tags if "id" in a)
    assert set(ids.values()) == {1}
    assert page.unlabelled == []
    headed = [a["aria-labelledby"] for tag, a in page.tags if tag == "section"]
    assert len(headed) == 8
    assert set(headed) <= set(ids)


def test_page__says_how_many_there_are(written):
    words = " ".join(" ".join(Page(written).words).split())
    assert "Explanatory graph of planted" in words
    assert "72 nodes in 3 layers, 240 edges. All nodes are shown in pictures" in words
    assert "found in 4 photos" in words
    rows = re.findall(r"<tr>(.*?)</tr>", written, re.DOTALL)
    cells = [re.findall(r"<t[hd][^>]*>(.*?)</t[hd]>", row) for row in rows]
    graph = reported_graph()
    is_part = (graph.contrast >= 0.45) & (graph.groups.node_gain > 0.65)
    parts = [str(np.count_nonzero(is_part[graph.node_layer == layer])) for layer in range(3)]
    assert cells[-4:] == [
        ["features.9", f"14 {TIMES} 14", "8", "24", "24", "0", parts[2]],
        ["features.6", f"28 {TIMES} 28", "8", "24", "24", "120", parts[1]],
        ["features.3", f"56 {TIMES} 56", "8", "24", "24", "120", parts[0]],
        ["all layers", "", "24", "72", "72", "240", str(sum(map(int, parts)))],
    ]


def test_page__what_users_wrote_is_text(tmp_path, written):
    # Once in the template and once in the data.
    assert SCRIPT not in written
    assert data_of(written)["nodes"]["name"][0] == SCRIPT
    assert SCRIPT + ".jpg" in [photo["name"] for photo in data_of(written)["photos"]]
    graph = reported_graph()
    layers = tuple(replace(layer, name=f"</script>{SCRIPT}{layer.name}") for layer in graph.layers)
    graph = replace(graph, layers=layers, header={"model": SCRIPT, "seed": "\udcff\n"})
    names = ("a\udc80.jpg", "b")
    write_report(
        graph, reported_matches(graph, names), magenta_source(names), tmp_path / "r", title=SCRIPT
    )
    text = (tmp_path / "r").read_text(encoding="utf-8")
    assert SCRIPT not in text
    scripts = [[tag for tag, _ in Page(page).tags].count("script") for page in (text, written)]
    assert scripts[0] == scripts[1]


def test_page__same_arguments_give_the_same_bytes(tmp_path, written):
    graph = reported_graph()
    write_report(graph, reported_matches(graph), magenta_source(), tmp_path / "r.html")
    assert (tmp_path / "r.html").read_text(encoding="utf-8") == written


def test_page__shows_what_was_measured(tmp_path, monkeypatch):
    graph = replace(reported_graph(), contrast=None)
    explained = SimpleNamespace(
        all_peaks=counted(0.25, 0.5, np.nan, 0.375),
        strong_peaks=counted(0.3, 0.6, np.nan, 0.45),
        strongest_peak=counted(0.35, 0.7, 0.9, 0.525),
    )
    kind = np.where(np.arange(72) % 4 == 0, "part", "texture")
    kinds = SimpleNamespace(kind=kind)
    tracking = {
        "raw peaks": SimpleNamespace(nodes=24, t100=0.9, constant=1.0),
        "graph": SimpleNamespace(nodes=72, t100=0.4321, constant=np.nan),
    }
    part = SimpleNamespace(part="<b>head</b>", photos=(3, 4), tracking=tracking)
    figures = SimpleNamespace(
        explained=explained, kinds=kinds, evaluation=SimpleNamespace(parts=(part,))
    )
    monkeypatch.setattr("explgraph.report.writing.measure", lambda *_: figures)
    write_report(graph, reported_matches(graph), magenta_source(), tmp_path / "r.html")
    text = (tmp_path / "r.html").read_text(encoding="utf-8")
    rows = re.findall(r"<tr>(.*?)</tr>", text, re.DOTALL)
    cells = [re.findall(r"<t[hd][^>]*>(.*?)</t[hd]>", row) for row in rows]
    assert [row[-2:] for row in cells[1:5]] == [
        ["6", f"{DASH} / {DASH} / 90%"],
        ["6", "50% / 60% / 70%"],
        ["6", "25% / 30% / 35%"],
        ["18", "38% / 45% / 52%"],
    ]
    assert cells[6:] == [
        ["&lt;b&gt;head&lt;/b&gt;: raw peaks", "24", "0.90", "1.00", "7"],
        ["&lt;b&gt;head&lt;/b&gt;: graph", "72", "0.43", DASH, "7"],
    ]
    assert "kind" not in data_of(text)["nodes"]  # the graph itself does not know them


def counted(*explained):
    """Shares of layers and of all of them."""
    shares = [SimpleNamespace(explained=share) for share in explained]
    return SimpleNamespace(layers=shares[:-1], overall=shares[-1])


def test_page__tells_kinds_of_nodes_where_they_are_known(tmp_path):
    graph = reported_graph()
    rows = np.arange(72)
    groups = plain_groups(graph, np.zeros(72, dtype=int), node_gain=np.where(rows % 2, 1, 0.25))
    graph = graph.having(contrast=np.where(rows % 4 < 2, 1, 0.25), groups=groups)
    write_report(graph, reported_matches(graph), magenta_source(), tmp_path / "r.html")
    text = (tmp_path / "r.html").read_text(encoding="utf-8")
    nodes = data_of(text)["nodes"]
    assert set(nodes["kind"]) == {"part", "texture", "background"}
    wanted = {"part": (1, 1), "texture": (1, 0.25)}
    for kind, contrast, gain in zip(
        nodes["kind"], nodes["contrast"], nodes["group_gain"], strict=True
    ):
        assert wanted.get(kind, (0.25, gain)) == (contrast, gain)
    assert "<em>background</em> node" in text


@pytest.mark.parametrize(
    ("n_photos", "wanted"), [(3, "abd"), (4, "abde"), (5, "abdce"), (8, "abdce"), (1, "a")]
)
def test_write_report__shows_the_usual_photo_the_best_and_the_worst(tmp_path, n_photos, wanted):
    graph = planted_graph(2, 2, 2)
    names = tuple("abcde")
    found = reported_matches(graph, names)
    found = replace(found, score=np.array([1, 3, 2, 3, 0.5])[:, None] * np.ones(8))
    write_report(graph, found, magenta_source(names), tmp_path / "r.html", n_photos=n_photos)
    photos = data_of((tmp_path / "r.html").read_text())["photos"]
    assert [photo["name"] for photo in photos] == list(wanted)


def test_write_report__of_one_node_in_one_photo(tmp_path):
    graph = planted_graph(1, 1, 1)
    write_report(
        graph, reported_matches(graph, ("a",)), magenta_source(("a",)), tmp_path / "r.html"
    )
    text = (tmp_path / "r.html").read_text()
    data = data_of(text)
    assert data["nodes"]["group"] == [-1]
    assert data["edges"]["moves"]["child"] == []
    assert "glance-title" not in text


def test_write_report__a_graph_without_groups_gets_those_of_its_photos(tmp_path, rng):
    graph = planted_graph(1, 10, 2)
    names = tuple(f"{i}" for i in range(12))
    moves = rng.uniform(0.3, 0.7, (12, 1, 2))
    yx = np.repeat(moves, 20, axis=1)
    yx[:, 10:] = rng.uniform(0, 1, (12, 10, 2))  # half of the nodes go together, half wander
    found = replace(reported_matches(graph, names), yx=yx, mirrored=np.zeros(12))
    found = replace(found, score=np.tile(graph.score, (12, 1)))
    write_report(graph, found, magenta_source(names), tmp_path / "r.html")
    text = (tmp_path / "r.html").read_text()
    data = data_of(text)
    assert data["nodes"]["group"] == [0] * 10 + [-1] * 10
    assert "glance-title" in text
    assert len(data["photos"][0]["places"]) == 1


def test_write_report__the_rows_of_groups_stand_in_the_page_itself(written):
    rows = re.findall(
        r'<li class="row" data-group="(\d)">(.*?)</li>\s*(?=<li class="row"|</ol>)',
        written,
        re.DOTALL,
    )
    assert [int(number) for number, _ in rows] == [0, 1, 2, 3]
    assert written.index('data-group="3"') > written.index("<details>")  # at the border
    for number, text in rows:
        nodes = re.findall(r'data-node="(\d+)"', text)
        assert len(nodes) == len(NAMES)
        assert {int(node) % 5 for node in nodes} == {int(number)}
        assert text.count("<circle") == len([n for n in range(72) if n % 5 == int(number)])
    words = " ".join(" ".join(Page(written).words).split())
    assert "It keeps finding 3 places: upper left , wing , lower right ." in words
    assert "upper right · 15 nodes" in words


def test_write_report__columns_are_the_facts_of_all_nodes(tmp_path, written):
    graph, nodes = reported_graph(), data_of(written)["nodes"]
    found = reported_matches(graph)
    assert nodes["id"] == [graph.node_id(i) for i in range(72)]
    assert [nodes["name"][i] for i in NAMED] == list(NAMED.values())
    assert nodes["name"][71] == FOREIGN
    assert nodes["y"][SILENT] is None
    x = np.where(found.mirrored[:, None] == 1, 1 - found.yx[..., 1], found.yx[..., 1])
    mean = (x * found.score).sum(axis=0)[7] / found.score[:, 7].sum()
    assert nodes["x"][7] == pytest.approx(mean, rel=1e-3)
    by_gain = np.argsort([nodes["rank"][i] for i in range(72)])
    assert by_gain.tolist() == graph.ranking().tolist()
    assert nodes["group"] == graph.groups.node_group.tolist()
    np.testing.assert_allclose(nodes["group_gain"], graph.groups.node_gain, rtol=1e-3)
    np.testing.assert_allclose(nodes["contrast"], graph.contrast, rtol=1e-3)
    path = tmp_path / "few.html"
    write_report(graph, found, magenta_source(), path, n_nodes=5, evidence={3: 0.5})
    few = data_of(path.read_text(encoding="utf-8"))
    assert few["nodes"]["id"] == nodes["id"]
    assert len(few["pictures"]["node"]) == len(page_nodes(graph, 5)) < 20
    assert few["nodes"]["evidence"][2:5] == [None, 0.5, None]
    assert few["groups"][3]["evidence"] == {"drop": 0.5, "nodes": 1}


def test_write_report__names_what_is_wrong(tmp_path):
    graph = reported_graph()
    found, source, path = reported_matches(graph), magenta_source(), tmp_path / "r.html"
    with pytest.raises(ExplGraphError, match="match this graph"):
        write_report(planted_graph(2, 2, 2), found, source, path)
    with pytest.raises(ExplGraphError, match="the graph has no nodes"):
        write_report(graph.select([]), found, source, path)
    with pytest.raises(ExplGraphError, match="photos must be at least 1, got 0"):
        write_report(graph, found, source, path, photos=0)
    with pytest.raises(ExplGraphError, match="nodes must be at least 1"):
        write_report(graph, found, source, path, nodes=0)
    with pytest.raises(ExplGraphError, match="Give those of the matches"):
        write_report(graph, found, magenta_source(("other",)), path)
    assert not list(tmp_path.iterdir())


def test_write_report__400_nodes_stay_small(tmp_path, rng):
    # Noise is what JPEG compresses worst: no photos make a larger file.
    graph = planted_graph(4, 20, 5)
    pixels = rng.integers(0, 256, (40, 224, 224, 3), dtype=np.uint8)
    source = open_images(pixels)
    write_report(graph, reported_matches(graph, source.names), source, tmp_path / "r.html")
    assert (tmp_path / "r.html").stat().st_size < 12e6
