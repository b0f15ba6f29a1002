import itertools
import json
import xml.etree.ElementTree as ET
from dataclasses import replace
from pathlib import Path
from xml.parsers import expat

import networkx as nx
import numpy as np
import pytest

from explgraph.base.errors import ExplGraphError
from explgraph.drawing.graph.draw import draw_graph
from explgraph.export import export_graph, to_networkx
from explgraph.graphs.choice import choose, find_node
from explgraph.graphs.effects import EdgeEffects
from explgraph.graphs.graph import ExplanatoryGraph
from explgraph.graphs.groups import PartGroups
from tests.support.painted_photos import painted, pictures
from tests.support.parts_by_hand import hand_made_parts
from tests.support.planted import near_border, planted_graph

NASTY = 'a "quote", <b>&amp;</b> \\N\\n \x07 \n é 口 \U0001f469'


@pytest.fixture
def graph() -> ExplanatoryGraph:
    return planted_graph().rename({0: NASTY, 30: "left ear"})


def ids(graph: ExplanatoryGraph) -> set[str]:
    return {graph.node_id(i) for i in range(len(graph))}


def naive_family(graph: ExplanatoryGraph, node: int) -> set[int]:
    """Walk up, then walk down, one edge at a time."""
    pairs = list(zip(graph.edge_child.tolist(), graph.edge_parent.tolist(), strict=True))

    def walk(start: int, way: list[tuple[int, int]]) -> set[int]:
        reached = {start}
        for source, target in way:
            if source == start:
                reached |= walk(target, way)
        return reached

    return walk(node, pairs) | walk(node, [(parent, child) for child, parent in pairs])


def test_to_networkx__has_the_graphs_numbers(graph):
    result = to_networkx(graph)
    assert type(result) is nx.DiGraph
    assert result.number_of_nodes() == len(graph) == 72
    assert result.number_of_edges() == len(graph.edge_child) == 240
    for i in (0, 17, 71):
        attributes = result.nodes[graph.node_id(i)]
        layer = int(graph.node_layer[i])
        assert attributes["layer"] == graph.layers[layer].name
        assert attributes["layer_index"] == layer
        assert attributes["channel"] == graph.node_channel[i]
        assert attributes["part"] == graph.node_part[i]
        assert attributes["y"] == pytest.approx(graph.mu[i, 0] / 224)
        assert attributes["x"] == pytest.approx(graph.mu[i, 1] / 224)
        for key, array in (
            ("spread_px", graph.spread),
            ("weight", graph.weight),
            ("score", graph.score),
            ("support", graph.support),
            ("gain", graph.gain),
        ):
            assert attributes[key] == array[i], key
    assert result.nodes[graph.node_id(30)]["name"] == "left ear"
    assert result.graph == {
        "layers": "features.3,features.6,features.9",
        "input_height": 224,
        "input_width": 224,
        "model": "planted",
        "weight_hash": "0" * 64,
        "seed": 0,
    }


def test_to_networkx__edges_lead_from_child_to_parent(graph):
    result = to_networkx(graph)
    for e in (0, 100, 239):
        child, parent = int(graph.edge_child[e]), int(graph.edge_parent[e])
        assert graph.node_layer[parent] == graph.node_layer[child] + 1
        attributes = result.edges[graph.node_id(child), graph.node_id(parent)]
        assert attributes == {
            "kind": "moves with",
            "dy_px": graph.edge_displacement[e, 0],
            "dx_px": graph.edge_displacement[e, 1],
            "spread_px": graph.edge_spread[e],
            "correlation": graph.edge_correlation[e],
        }
        # Child minus parent.
        assert attributes["dy_px"] == pytest.approx(graph.mu[child, 0] - graph.mu[parent, 0])


def test_to_networkx__has_plain_attributes_only(graph):
    result = to_networkx(graph)
    rows = [result.graph, *result.nodes.values(), *result.edges.values()]
    kinds = {type(value) for row in rows for value in row.values()}
    assert kinds == {int, float, str}


def test_to_networkx__of_no_nodes_and_without_header():
    empty = planted_graph().select(np.zeros(72, dtype=bool))
    assert to_networkx(empty).number_of_nodes() == 0
    assert set(to_networkx(replace(empty, header={})).graph) == {
        "layers",
        "input_height",
        "input_width",
    }


def with_figures(graph):
    """The graph with groups, contrast, and effects: two along edges, one where there is none."""
    child, parent = graph.edge_child[[3, 40]], graph.edge_parent[[3, 40]]
    pairs = set(zip(graph.edge_child.tolist(), graph.edge_parent.tolist(), strict=True))
    lower, upper = (np.flatnonzero(graph.node_layer == i) for i in (0, 1))
    new = next(p for p in itertools.product(lower, upper) if p not in pairs)
    effects = EdgeEffects(
        child=np.array([*child, new[0]])[(order := np.argsort([*parent, new[1]], kind="stable"))],
        parent=np.array([*parent, new[1]])[order],
        effect=np.array([0.25, -0.125, 0.5]),
        photos=np.array([20, 7, 1]),
    )
    group = np.full(len(graph), -1)
    group[:10], group[50:] = 0, 1
    groups = PartGroups(
        input_size=graph.input_size,
        node_group=group,
        node_offset=np.zeros((len(graph), 2)),
        node_gain=np.linspace(-0.5, 1, len(graph)),
        yx=np.array([[20.0, 20.0], [200.0, 200.0]]),
        spread=np.ones(2),
        sureness=np.ones(2),
        gain=np.array([2.0, 1.0]),
        names=(NASTY, ""),
    )
    contrast = np.linspace(-1, 2, len(graph))
    return graph.having(effects=effects, groups=groups, contrast=contrast)


def read(path):
    if path.suffix == ".graphml":
        return nx.read_graphml(path)
    if path.suffix == ".gexf":
        return nx.read_gexf(path, version="1.3")
    data = json.loads(path.read_text(encoding="utf-8"))
    return nx.node_link_graph(data, edges="edges")


def rows(found, path, wanted):
    """Nodes and edges without what the format itself adds."""
    added = {".gexf": {"id", "label"}, ".graphml": {"id"}, ".json": set()}[path.suffix]
    nodes = {
        node: {key: data[key] for key in data if key not in added or key in wanted.nodes[node]}
        for node, data in found.nodes(data=True)
    }
    edges = [
        (child, parent, sorted((key, data[key]) for key in data if key not in added))
        for child, parent, data in found.edges(data=True)
    ]
    return nodes, sorted(edges)


@pytest.mark.parametrize("make", [lambda graph: graph, with_figures])
@pytest.mark.parametrize("suffix", ["graphml", "json", "gexf"])
def test_export_graph__round_trip(graph, tmp_path, suffix, make):
    graph = make(graph)
    path = tmp_path / "new folder" / f"g.{suffix}"
    export_graph(graph, path)
    found, wanted = read(path), to_networkx(graph)
    assert isinstance(found, nx.DiGraph)
    assert found.is_multigraph() == wanted.is_multigraph()
    assert rows(found, path, wanted) == rows(wanted, path, wanted)
    if suffix != "gexf":  # which has no attributes of the graph
        assert found.graph.items() >= wanted.graph.items()
    assert found.nodes["features.3/0/0"]["name"] == NASTY.replace("\x07", " ")


def dirty(graph):
    """Text that no XML holds in all places where a graph has text."""
    layers = tuple(replace(s, name=f"\x1b{s.name}\ud800") for s in graph.layers)
    header = {**graph.header, "model": "net\x1b[2J\0", "weight_hash": "a\uffff"}
    return replace(with_figures(graph), layers=layers, header=header, names={0: "ear\x07"})


@pytest.mark.parametrize("make", [dirty, with_figures])
@pytest.mark.parametrize("suffix", ["graphml", "gexf"])
def test_export_graph__xml_is_well_formed_whatever_names_and_header_hold(
    graph, tmp_path, suffix, make
):
    path = tmp_path / f"g.{suffix}"
    export_graph(make(graph), path)
    parser = expat.ParserCreate()
    parser.Parse(path.read_bytes(), True)
    assert len(read(path)) == len(graph)


@pytest.mark.parametrize("suffix", ["graphml", "gexf"])
def test_export_graph__xml_of_parts_is_well_formed(tmp_path, suffix):
    parts = hand_made_parts()
    header = {**parts.graph.header, "model": "net\x1b[2J"}
    aogs = tuple(replace(aog, part=f"{aog.part}\x1b\0") for aog in parts.aogs)
    export_graph(
        replace(parts, aogs=aogs, graph=replace(parts.graph, header=header)),
        tmp_path / f"p.{suffix}",
    )
    expat.ParserCreate().Parse((tmp_path / f"p.{suffix}").read_bytes(), True)


def test_to_networkx__names_that_become_one_are_refused(graph):
    layers = tuple(replace(s, name="a" + "\x01\x02\x03"[i]) for i, s in enumerate(graph.layers))
    with pytest.raises(ExplGraphError, match="differ in control characters alone"):
        to_networkx(replace(graph, layers=layers))


def test_to_networkx__empty_names_are_left_out(graph):
    named = to_networkx(graph)
    assert [known for known in named.nodes.values() if "name" in known] == [
        named.nodes[graph.node_id(0)],
        named.nodes[graph.node_id(30)],
    ]


def test_to_networkx__has_groups_and_both_kinds_of_edges(graph):
    known = with_figures(graph)
    result = to_networkx(known)
    assert type(result) is nx.MultiDiGraph
    assert result.number_of_edges() == 240 + 3
    effects = known.effects
    for child, parent, effect, photos in effects.table.itertuples(index=False):
        ends = known.node_id(child), known.node_id(parent)
        edge = result.edges[*ends, "is made of"]
        assert edge == {"kind": "is made of", "effect": effect, "photos": photos}
        moves = list(zip(known.edge_child, known.edge_parent, strict=True))
        assert ("moves with" in result.get_edge_data(*ends)) == ((child, parent) in moves)
    inside, outside = result.nodes[known.node_id(60)], result.nodes[known.node_id(20)]
    assert (inside["group"], inside["group_name"]) == (1, "lower right")
    assert (outside["group"], outside["group_name"]) == (-1, "")
    assert inside["group_gain"] == known.groups.node_gain[60]
    assert inside["contrast"] == known.contrast[60]
    kinds = {type(value) for row in result.nodes.values() for value in row.values()}
    assert kinds == {int, float, str}


def test_export_graph__gexf_is_as_gephi_wants_it(graph, tmp_path):
    """Edges between the same nodes differ in kind, ids are unique, no day stands in the file."""
    known = with_figures(graph)
    export_graph(known, tmp_path / "a.gexf")
    export_graph(known, tmp_path / "b.gexf")
    assert (tmp_path / "a.gexf").read_bytes() == (tmp_path / "b.gexf").read_bytes()
    root = ET.parse(tmp_path / "a.gexf").getroot()
    space = "{http://gexf.net/1.3}"
    assert root.tag == f"{space}gexf"
    assert "date" not in (tmp_path / "a.gexf").read_text(encoding="utf-8")
    assert "model: planted" in root.find(f"{space}meta/{space}description").text
    edges = list(root.iter(f"{space}edge"))
    assert len({edge.get("id") for edge in edges}) == len(edges) == 243
    assert len({(e.get("source"), e.get("target"), e.get("kind")) for e in edges}) == 243
    assert {edge.get("kind") for edge in edges} == {"moves with", "is made of"}
    nodes = {node.get("id") for node in root.iter(f"{space}node")}
    assert {edge.get(end) for edge in edges for end in ("source", "target")} <= nodes


def test_export_graph__graphml_ids_are_unique_and_without_blanks(graph, tmp_path):
    export_graph(with_figures(graph), tmp_path / "g.graphml")
    root = ET.parse(tmp_path / "g.graphml").getroot()
    found = [e.get("id") for e in root.iter("{http://graphml.graphdrawing.org/xmlns}edge")]
    assert len(set(found)) == len(found) == 243
    assert not any(" " in one for one in found)


def test_export_graph__other_networkx_formats_take_the_graph(graph):
    for known in (graph, with_figures(graph)):
        assert nx.nx_agraph.to_agraph(to_networkx(known)).number_of_nodes() == 72


@pytest.mark.parametrize("name", ["g.xls", "g", "g.SVGZ"])
def test_export_graph__unknown_suffix_names_the_valid_ones(graph, tmp_path, name):
    with pytest.raises(ExplGraphError, match="dot, svg, pdf, png, graphml, gexf, json"):
        export_graph(graph, tmp_path / name)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("suffix", ["dot", "svg", "pdf", "png", "graphml", "JSON"])
def test_export_graph__writes_each_format_whole(graph, tmp_path, suffix):
    path = tmp_path / f"g.{suffix}"
    export_graph(graph, path, nodes_per_layer=3)
    begin = path.read_bytes()[:60].lstrip()
    magic = {"pdf": b"%PDF", "png": b"\x89PNG", "dot": b"digraph", "JSON": b"{"}
    assert begin.startswith(magic.get(suffix, b"<?xml"))
    assert list(tmp_path.iterdir()) == [path]


def test_export_graph__prunes(graph, tmp_path):
    export_graph(graph, tmp_path / "g.json", around="left ear", min_score=1.0, nodes_per_layer=2)
    data = json.loads(Path(tmp_path / "g.json").read_text(encoding="utf-8"))
    wanted = choose(graph, around=30, min_score=1.0, nodes_per_layer=2)
    assert {node["id"] for node in data["nodes"]} == ids(wanted)


def test_choose__nodes_per_layer_keeps_the_best_that_hang_together(graph):
    kept = choose(graph, nodes_per_layer=4)
    chosen = set()
    for layer in (2, 1, 0):
        members = [i for i in range(72) if graph.node_layer[i] == layer]
        linked = {i: bool(chosen & set(graph.parents(i).tolist())) for i in members}
        key = {i: (not linked[i], near_border(graph, i), -graph.gain[i]) for i in members}
        chosen |= set(sorted(members, key=key.get)[:4])
    wanted = {graph.node_id(i) for i in chosen}
    assert ids(kept) == wanted
    edges = {
        (graph.node_id(c), graph.node_id(p))
        for c, p in zip(graph.edge_child.tolist(), graph.edge_parent.tolist(), strict=True)
    }
    assert set(to_networkx(kept).edges) == {(c, p) for c, p in edges if {c, p} <= wanted}


def test_choose__min_score(graph):
    wanted = {graph.node_id(i) for i in range(72) if graph.score[i] >= 1.2}
    assert 0 < len(wanted) < 72
    assert ids(choose(graph, min_score=1.2)) == wanted


@pytest.mark.parametrize("node", [0, 30, 71])
def test_choose__family(graph, node):
    wanted = {graph.node_id(i) for i in naive_family(graph, node)}
    assert 1 < len(wanted) < 72
    assert ids(choose(graph, around=node)) == wanted
    assert ids(choose(graph, around=graph.node_id(node))) == wanted


def test_choose__keeps_the_node_whose_family_it_is(graph):
    worst = int(np.argmin(np.where(graph.node_layer == 1, graph.score, np.inf)))
    kept = choose(graph, around=worst, nodes_per_layer=1, min_score=1.0)
    assert graph.score[worst] < 1
    assert graph.node_id(worst) in ids(kept)
    others = ids(kept) - {graph.node_id(worst)}
    assert others <= {graph.node_id(i) for i in naive_family(graph, worst)}
    assert len(others) == 2


def test_choose__without_conditions_is_the_graph(graph):
    assert choose(graph) is graph


def test_choose__names_what_is_wrong(graph):
    with pytest.raises(ExplGraphError, match=r"no node has a score of at least 1000.*highest"):
        choose(graph, min_score=1000)
    with pytest.raises(ExplGraphError, match="nodes_per_layer must be at least 1, got 0"):
        choose(graph, nodes_per_layer=0)
    with pytest.raises(ExplGraphError, match="node 72 does not exist"):
        choose(graph, around=72)
    with pytest.raises(ExplGraphError, match=r"nearest are .*left ear"):
        choose(graph, around="left eat")


def test_find_node__index_id_and_name(graph):
    assert find_node(graph, 5) == find_node(graph, "features.3/1/2") == 5
    assert find_node(graph, np.int64(5)) == 5
    assert find_node(graph, "left ear") == 30
    best = next(node for node in graph.ranking() if node in (10, 30))
    assert find_node(graph.rename({10: "left ear"}), "left ear") == best


def of_kind(network: nx.DiGraph, kind: str) -> dict[str, dict]:
    return {key: values for key, values in network.nodes(data=True) if values["kind"] == kind}


def test_to_networkx__and_or_graphs_have_four_layers():
    network = to_networkx(hand_made_parts(("head", "tail")))
    assert type(network) is nx.DiGraph
    assert set(of_kind(network, "part")) == {"part:head", "part:tail"}
    assert set(of_kind(network, "template")) == {
        f"template:{part}/{t}" for part in ("head", "tail") for t in (0, 1)
    }
    assert len(of_kind(network, "pattern")) == 10
    # Nodes 0 and 1 share a filter, and so do 6 and 7 of different templates.
    assert set(of_kind(network, "terminal")) == {
        "peaks:features.3/0",
        "peaks:features.3/1",
        "peaks:features.6/0",
    }
    way = ["part:head", "template:head/0", "pattern:head/0/features.3/0/1", "peaks:features.3/0"]
    relations = [network.edges[ends]["relation"] for ends in itertools.pairwise(way)]
    assert relations == ["one of", "all of", "one peak of"]
    assert nx.is_directed_acyclic_graph(network)


def test_to_networkx__and_or_graphs_attributes_are_plain_and_right():
    parts = hand_made_parts()
    network = to_networkx(parts)
    rows = [network.graph, *network.nodes.values(), *network.edges.values()]
    assert {type(value) for row in rows for value in row.values()} == {int, float, str}
    assert network.nodes["part:head"] == {"kind": "part", "part": "head", "visible_from": -5.0}
    assert network.nodes["template:head/0"] == {
        "kind": "template",
        "part": "head",
        "template": 0,
        "clicks": 1,
        "centre_y_px": 100.0,
        "centre_x_px": 60.0,
        "height_px": 56.0,
        "width_px": 28.0,
    }
    assert "height_px" not in network.nodes["template:head/1"]  # not known
    pattern = network.nodes["pattern:head/0/features.6/0/0"]
    graph = parts.graph
    assert {key: pattern[key] for key in ("node", "group", "layer", "number")} == {
        "node": 6,
        "group": 1,
        "layer": "features.6",
        "number": 0,
    }
    assert (pattern["dy_px"], pattern["dx_px"], pattern["spread_px"]) == (-30, 40, 28)
    assert (pattern["weight"], pattern["scale"]) == (0.5, 2)
    assert pattern["y"] == pytest.approx(graph.mu[6, 0] / 224)
    assert network.graph == to_networkx(graph).graph


def test_to_networkx__patterns_of_a_template_are_tied_as_in_the_graph():
    parts = hand_made_parts()
    graph = parts.graph
    network = to_networkx(parts)
    ties = {ends for ends in network.edges if network.edges[ends]["relation"] == "moves with"}
    wanted = set()
    for template, nodes in enumerate(([0, 1, 6], [2, 7])):
        for child, parent in zip(graph.edge_child, graph.edge_parent, strict=True):
            if child in nodes and parent in nodes:
                ends = (graph.node_id(int(child)), graph.node_id(int(parent)))
                wanted.add(tuple(f"pattern:head/{template}/{end}" for end in ends))
    assert wanted
    assert ties == wanted
    child, parent = next(iter(sorted(ties)))
    own = to_networkx(graph).edges[child.split("/", 2)[-1], parent.split("/", 2)[-1]]
    assert own.pop("kind") == "moves with"
    assert network.edges[child, parent] == {"relation": "moves with", **own}


@pytest.mark.parametrize("suffix", ["graphml", "json", "svg"])
def test_export_graph__of_and_or_graphs(tmp_path, suffix):
    path = tmp_path / f"p.{suffix}"
    parts = replace(hand_made_parts((NASTY,), visible_from=-np.inf), header={})
    export_graph(parts, path)
    wanted = to_networkx(parts)
    if suffix == "svg":
        assert path.read_bytes().startswith(b"<?xml")
        return
    if suffix == "graphml":
        found = nx.read_graphml(path)
    else:
        found = nx.node_link_graph(json.loads(path.read_text(encoding="utf-8")), edges="edges")
    assert dict(found.nodes(data=True)) == dict(wanted.nodes(data=True))
    assert sorted(found.edges(data=True), key=str) == sorted(wanted.edges(data=True), key=str)


def test_export_graph__options_are_not_for_and_or_graphs(tmp_path):
    with pytest.raises(ExplGraphError, match=r"\['min_score'\] choose nodes of an explanatory"):
        export_graph(hand_made_parts(), tmp_path / "p.json", min_score=1.0)
    with pytest.raises(ExplGraphError, match="graphml, gexf, json"):
        export_graph(hand_made_parts(), tmp_path / "p.xls")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("arrangement", ["layers", "places"])
def test_export_graph__passes_pictures_on(tmp_path, arrangement):
    graph = planted_graph(2, 3, 2)
    photos, found = painted(graph, np.zeros(12, dtype=int))
    given = {"thumbnails": True, "found": found, "images": photos}
    export_graph(graph, tmp_path / "a.svg", **given, arrangement=arrangement, nodes_per_layer=3)
    draw_graph(graph, tmp_path / "b.svg", **given, arrangement=arrangement, nodes_per_layer=3)
    assert len(pictures(tmp_path / "a.svg")) == 6
    assert (tmp_path / "a.svg").read_bytes() == (tmp_path / "b.svg").read_bytes()


def test_export_graph__passes_pictures_of_parts_on(tmp_path):
    parts = hand_made_parts()
    photos, found = painted(parts.graph, np.zeros(12, dtype=int))
    export_graph(parts, tmp_path / "p.svg", thumbnails=True, found=found, images=photos)
    assert len(pictures(tmp_path / "p.svg")) == 5


@pytest.mark.parametrize("suffix", ["json", "graphml"])
def test_export_graph__data_holds_no_thumbnails(graph, tmp_path, suffix):
    for given in (graph, hand_made_parts()):
        with pytest.raises(ExplGraphError, match=f".{suffix} holds no thumbnails: write .svg"):
            export_graph(given, tmp_path / f"g.{suffix}", thumbnails=True)
    assert not list(tmp_path.iterdir())


def test_export_graph__unknown_choices_are_refused(graph, tmp_path):
    for suffix in ("json", "svg"):
        with pytest.raises(TypeError, match="min_scor"):
            export_graph(graph, tmp_path / f"g.{suffix}", min_scor=1)


def test_choose__takes_the_nodes_that_are_named():
    graph = planted_graph().rename({4: "eye"})
    kept = choose(graph, nodes=["eye", 2, graph.node_id(30)])
    assert [kept.node_id(i) for i in range(3)] == [graph.node_id(i) for i in (2, 4, 30)]
    best = max((2, 4), key=lambda i: graph.gain[i])
    assert len(choose(graph, nodes=[2, 4], nodes_per_layer=1)) == 1
    assert choose(graph, nodes=[2, 4], nodes_per_layer=1).gain[0] == graph.gain[best]
    with pytest.raises(ExplGraphError, match="nodes is empty"):
        choose(graph, nodes=[])
    with pytest.raises(ExplGraphError, match="two ways to choose"):
        choose(graph, nodes=[1], around=1)
