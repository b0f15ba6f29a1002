"""The report as a file: what is on it, where things lie, what it may not hold."""

import base64
import io
import json
import re
from collections import Counter
from dataclasses import replace
from html.parser import HTMLParser
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image

from explgraph.base.errors import ExplGraphError
from explgraph.photos.images import ImageItem, ImageSource, open_images
from explgraph.report.nodes import edge_columns, layouts, page_nodes
from explgraph.report.pictures import galleries, parsed_photos
from explgraph.report.writing import write_report
from tests.support.plain import plain_groups
from tests.support.planted import planted_graph
from tests.support.reporting import (
    BOX,
    FOREIGN,
    MAGENTA,
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
        self.words = []
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        self.tags.append((tag, dict(attributes)))
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


def picture_of(uri):
    head, _, body = uri.partition(",")
    assert head == "data:image/jpeg;base64"
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(body)))).astype(int)


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
    assert (tags["h1"], tags["main"], tags["header"], tags["select"]) == (1, 1, 1, 1)
    assert ("html", {"lang": "en"}) in page.tags
    assert any(a.get("name") == "viewport" for _, a in page.tags)
    ids = Counter(a["id"] for _, a in page.tags if "id" in a)
    assert set(ids.values()) == {1}
    labels = {a["for"] for tag, a in page.tags if tag == "label"}
    controls = {a["id"] for tag, a in page.tags if tag in ("input", "select")}
    assert labels == controls
    headed = [a["aria-labelledby"] for tag, a in page.tags if tag == "section"]
    assert len(headed) == 5
    assert set(headed) <= set(ids)


def test_page__says_how_many_there_are(written):
    words = " ".join(" ".join(Page(written).words).split())
    assert "Explanatory graph of planted" in words
    assert "72 nodes in 3 layers, 240 edges. This page shows all of them" in words
    assert "found in 4 photos" in words
    rows = re.findall(r"<tr>(.*?)</tr>", written, re.DOTALL)
    cells = [re.findall(r"<t[hd][^>]*>(.*?)</t[hd]>", row) for row in rows]
    assert cells[1:] == [
        ["features.9", f"14 {TIMES} 14", "8", "24", "24", "0"],
        ["features.6", f"28 {TIMES} 28", "8", "24", "24", "120"],
        ["features.3", f"56 {TIMES} 56", "8", "24", "24", "120"],
        ["all layers", "", "24", "72", "72", "240"],
    ]


def test_page__what_users_wrote_is_text(tmp_path, written):
    # Once in the template and once in the data; Bokeh's own script holds "<script" in strings.
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
    graph = reported_graph()
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


@pytest.mark.parametrize(("count", "per_layer"), [(72, 24), (71, 23), (30, 10), (3, 1)])
def test_page_nodes__as_many_of_each_layer(count, per_layer):
    graph = planted_graph(3, 8, 3)
    chosen = page_nodes(graph, count)
    assert Counter(graph.node_layer[chosen].tolist()) == dict.fromkeys(range(3), per_layer)
    top = chosen[graph.node_layer[chosen] == 2]
    inside = [min(x, 1 - x) >= 0.1 for x in (graph.mu / 224).tolist() for x in [min(x), max(x)]]
    inside = np.array(inside).reshape(-1, 2).all(axis=1)
    order = sorted(range(48, 72), key=lambda i: (not inside[i], -graph.gain[i]))
    assert sorted(top.tolist()) == sorted(order[:per_layer])


def test_page_nodes__what_small_layers_leave_goes_to_the_others():
    graph = planted_graph(2, 8, 3)
    graph = graph.select(np.r_[0:24, 24:28])
    assert len(page_nodes(graph, 20)) == 20
    with pytest.raises(ExplGraphError, match="nodes must be at least 2, one for each layer, got 1"):
        page_nodes(graph, 1)


def test_layouts__each_has_the_one_before_and_nothing_overlaps():
    graph = planted_graph(3, 8, 4)
    found = layouts(graph)
    assert [layout["per_layer"] for layout in found] == [5, 10, 20, 32]
    before = set()
    for layout in found:
        nodes = layout["nodes"]
        assert before <= set(nodes)
        assert Counter(graph.node_layer[nodes].tolist()) == dict.fromkeys(
            range(3), layout["per_layer"]
        )
        before = set(nodes)
        places = np.stack([layout["y"], layout["x"]], axis=-1)
        apart = np.abs(places[:, None] - places[None]).max(axis=-1)
        assert apart[~np.eye(len(nodes), dtype=bool)].min() >= 64 + 10
        for node, (y, x) in zip(nodes, places, strict=True):
            top, left, bottom, right = layout["bands"][graph.node_layer[node]]
            assert top + 32 < y < bottom - 32
            assert left + 32 < x < right - 32
        height, width = layout["size"]
        assert 0.75 < width / height < 3
        tops = [band[0] for band in layout["bands"]]
        assert tops == sorted(tops, reverse=True)


def test_edge_columns__the_strongest_of_a_child_come_first():
    graph = planted_graph(2, 4, 2)
    edges = edge_columns(graph)
    listed = list(zip(edges["child"], edges["parent"], edges["coactivation"], strict=True))
    wanted = sorted(
        zip(graph.edge_child, graph.edge_parent, graph.edge_coactivation, strict=True),
        key=lambda edge: (edge[0], -edge[2]),
    )
    assert [(c, p) for c, p, _ in listed] == [(c, p) for c, p, _ in wanted]
    np.testing.assert_allclose([v for *_, v in listed], [v for *_, v in wanted], atol=0.006)
    low, high = edges["bounds"]
    middle = [(v - low) / (high - low) for *_, v in listed]
    np.testing.assert_allclose(edges["strength"], np.clip(middle, 0, 1), atol=0.02)
    assert {0.0, 1.0} <= set(edges["strength"])


def test_galleries__the_best_photos_side_by_side(rng):
    # Photos are plain, each of another grey.
    graph = planted_graph(1, 2, 2)
    photos = np.stack([np.full((40, 60, 3), 20 * (1 + i), dtype=np.uint8) for i in range(8)])
    source = open_images(photos)
    found = reported_matches(graph, source.names)
    score = np.round(rng.uniform(0, 4, (8, 4)))
    score[:, 2] = 0
    score[1:, 3] = 0
    found = replace(found, score=score, yx=np.full((8, 4, 2), 0.5))
    cut = galleries(graph, found, source, np.arange(4))
    for node in range(4):
        order = sorted(range(8), key=lambda i, node=node: (-score[i, node], i))
        wanted = [i for i in order if score[i, node] > 0][:6]
        assert [patch[0] for patch in cut[node].patches] == [f"{i:06d}" for i in wanted]
        assert [patch[1:] for patch in cut[node].patches] == [
            (score[i, node], i % 2 == 1) for i in wanted
        ]
        if wanted:
            strip = picture_of(cut[node].strip)
            side = strip.shape[0]
            assert strip.shape[1] == side * len(wanted)
            seen = strip[side // 2, side // 2 :: side, 0]
            np.testing.assert_allclose(seen, [20 * (1 + i) for i in wanted], atol=3)
            assert abs(picture_of(cut[node].thumbnail)[10, 30, 0] - seen[0]) < 4
    assert cut[2].strip == ""
    assert np.ptp(picture_of(cut[2].thumbnail)) < 12  # a plain grey


def test_parsed_photos__places_are_those_of_the_photo_or_box():
    graph = reported_graph()
    found, source = reported_matches(graph), magenta_source()
    chosen = np.array([3, SILENT, 40])
    photos = parsed_photos(graph, found, source, chosen, np.array([2, 0]))
    assert [photo["name"] for photo in photos] == [NAMES[2], NAMES[0]]
    boxed, whole = photos
    assert (boxed["size"], whole["size"]) == ([100, 100], [120, 200])
    assert (boxed["mirrored"], whole["mirrored"]) == (False, False)
    assert boxed["nodes"] == whole["nodes"] == [0, 2]  # the silent one fires nowhere
    for photo, row in ((boxed, 2), (whole, 0)):
        y, x = found.yx[row, [3, 40]].T
        if photo is boxed:
            y = (y * 120 - BOX.y0) / 100
            x = (x * 200 - BOX.x0) / 100
        np.testing.assert_allclose(photo["y"], y, atol=1e-3)
        np.testing.assert_allclose(photo["x"], x, atol=1e-3)
        np.testing.assert_allclose(photo["score"], found.score[row, [3, 40]], atol=1e-3)
        np.testing.assert_allclose(picture_of(photo["picture"])[50, 50], MAGENTA, atol=12)


def test_parsed_photos__large_photos_are_reduced_and_weak_nodes_left_out():
    graph = planted_graph(1, 1, 2)
    photo = Image.new("RGB", (1920, 480))
    source = ImageSource([ImageItem("a", 0)], lambda _: photo)
    found = reported_matches(graph, ("a",))
    found = replace(found, score=graph.score[None] * [[0.49, 0.51]])
    (parsed,) = parsed_photos(graph, found, source, np.arange(2), np.array([0]))
    assert parsed["size"] == [120, 480]
    assert parsed["nodes"] == [1]


def test_write_report__shows_the_photos_of_highest_mean_score(tmp_path):
    graph = reported_graph(2, 2, 2)
    names = tuple("abcde")
    found = reported_matches(graph, names)
    found = replace(found, score=np.array([1, 3, 2, 3, 0.5])[:, None] * np.ones(8))
    write_report(graph, found, magenta_source(names), tmp_path / "r.html", photos=3)
    photos = data_of((tmp_path / "r.html").read_text())["photos"]
    assert [photo["name"] for photo in photos] == ["b", "d", "c"]


def test_write_report__of_one_node_in_one_photo(tmp_path):
    graph = planted_graph(1, 1, 1)
    write_report(
        graph, reported_matches(graph, ("a",)), magenta_source(("a",)), tmp_path / "r.html"
    )
    data = data_of((tmp_path / "r.html").read_text())
    assert len(data["layouts"]) == 1
    assert data["edges"]["child"] == []


def test_write_report__columns_are_the_nodes_facts(written):
    graph, nodes = reported_graph(), data_of(written)["nodes"]
    found = reported_matches(graph)
    assert nodes["id"] == [graph.node_id(i) for i in range(72)]
    assert [nodes["name"][i] for i in NAMED] == list(NAMED.values())
    assert nodes["name"][71] == FOREIGN
    assert nodes["y"][SILENT] is None
    x = np.where(found.mirrored[:, None] == 1, 1 - found.yx[..., 1], found.yx[..., 1])
    mean = (x * found.score).sum(axis=0)[7] / found.score[:, 7].sum()
    assert nodes["x"][7] == pytest.approx(mean, rel=1e-3)
    assert nodes["parents"][0] == [graph.node_id(i) for i in graph.parents(0)]
    assert nodes["others"][0] in (
        [nodes["id"][1], nodes["id"][2]],
        [nodes["id"][2], nodes["id"][1]],
    )
    by_gain = np.argsort([nodes["rank"][i] for i in range(72)])
    assert by_gain.tolist() == graph.ranking().tolist()


def test_write_report__names_what_is_wrong(tmp_path):
    graph = reported_graph()
    found, source, path = reported_matches(graph), magenta_source(), tmp_path / "r.html"
    with pytest.raises(ExplGraphError, match="match this graph"):
        write_report(planted_graph(2, 2, 2), found, source, path)
    with pytest.raises(ExplGraphError, match="the graph has no nodes"):
        write_report(graph.select([]), found, source, path)
    with pytest.raises(ExplGraphError, match="photos must be at least 1, got 0"):
        write_report(graph, found, source, path, photos=0)
    with pytest.raises(ExplGraphError, match="nodes must be at least 3"):
        write_report(graph, found, source, path, nodes=2)
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
