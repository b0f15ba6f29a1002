"""The graph of groups: its cells, the edges that a line sums up, what is drawn when."""

import html
from collections import Counter
from dataclasses import replace

import numpy as np
import pygraphviz
import pytest

from explgraph.base.errors import ExplGraphError
from explgraph.drawing.graph.draw import MOST_NODES, draw_graph
from explgraph.drawing.graph.group_lines import Cells, group_lines
from explgraph.drawing.patches import best_photos
from explgraph.drawing.thumbnails import open_thumbnails
from explgraph.graphs.effects import EdgeEffects
from tests.support.painted_photos import painted
from tests.support.plain import plain_groups
from tests.support.planted import planted_graph


def grouped(n_layers=3, channels=8, parts=3, groups=4, seed=1):
    """Nodes in groups at random; a fifth in none."""
    graph = planted_graph(n_layers, channels, parts)
    rng = np.random.default_rng(seed)
    group = rng.integers(0, groups, len(graph))
    group[rng.random(len(graph)) < 0.2] = -1
    return graph.having(groups=plain_groups(graph, group, node_gain=rng.normal(0, 1, len(graph))))


def edges_by_hand(graph):
    """By (layer, group) of child and of parent: the spreads of the edges."""
    group = graph.groups.node_group
    found = {}
    for child, parent, spread in zip(
        graph.edge_child, graph.edge_parent, graph.edge_spread, strict=True
    ):
        if group[child] >= 0 and group[parent] >= 0:
            ends = tuple((int(graph.node_layer[i]), int(group[i])) for i in (child, parent))
            found.setdefault(ends, []).append(float(spread))
    return found


def test_cells__hold_every_node_that_is_in_a_group():
    graph = grouped()
    cells = Cells.of(graph)
    group = graph.groups.node_group
    keys = Counter(
        (int(graph.node_layer[i]), int(group[i])) for i in range(len(graph)) if group[i] >= 0
    )
    assert dict(zip(zip(cells.layer, cells.group, strict=True), cells.count, strict=True)) == keys
    for cell in range(len(cells)):
        mine = [i for i in range(len(graph)) if cells.node_cell[i] == cell]
        assert {(graph.node_layer[i], group[i]) for i in mine} == {
            (cells.layer[cell], cells.group[cell])
        }
        assert cells.best[cell] == max(mine, key=lambda i: graph.groups.node_gain[i])


@pytest.mark.parametrize("parents", [0, 1, 2, 9])
def test_lines__are_the_cells_strongest_sums(parents):
    graph = grouped(parts=5)
    cells = Cells.of(graph)
    lines = group_lines(graph, cells, "moves with", parents)
    by_hand = edges_by_hand(graph)
    names = list(zip(cells.layer.tolist(), cells.group.tolist(), strict=True))
    expected = {}
    for child in names:
        mine = {ends: found for ends, found in by_hand.items() if ends[0] == child}
        total = sum(map(len, mine.values()))
        order = sorted(mine, key=lambda ends: (-len(mine[ends]), ends))[:parents]
        expected |= {e: mine[e] for e in order if len(mine[e]) >= 0.15 * total}
    drawn = {
        (names[child], names[parent]): (count, detail)
        for child, parent, count, detail in zip(
            lines.child, lines.parent, lines.value, lines.detail, strict=True
        )
    }
    assert set(drawn) == set(expected)
    for ends, (count, detail) in drawn.items():
        assert count == len(expected[ends])
        assert f"within {np.median(expected[ends]):.1f} px" in detail
    counts = [sum(map(len, edges.values())) for edges in (expected, by_hand)]
    assert f"{counts[0]:,} of the {counts[1]:,} edges" in lines.note


def with_effects(graph, seed=0):
    """Of half of the nodes above the lowest layer seven children are known, some inhibit."""
    rng = np.random.default_rng(seed)
    above = np.flatnonzero(graph.node_layer > 0)
    rows = []
    for parent in sorted(rng.choice(above, len(above) // 2, replace=False).tolist()):
        below = np.flatnonzero(graph.node_layer == graph.node_layer[parent] - 1)
        rows += [(child, parent) for child in rng.choice(below, 7, replace=False).tolist()]
    child, parent = np.array(rows).T
    effect = rng.normal(0.02, 0.05, len(rows))
    photos = rng.integers(1, 21, len(rows))
    return graph.having(effects=EdgeEffects(child, parent, effect, photos))


@pytest.mark.parametrize("children", [0, 1, 3])
def test_lines__of_effects_are_what_a_cells_nodes_are_made_of(children):
    graph = with_effects(grouped(parts=5))
    cells = Cells.of(graph)
    lines = group_lines(graph, cells, "is made of", children)
    effects, cell = graph.effects, cells.node_cell
    sums, parents = {}, {}
    for c, p, e, n in effects.table[["child", "parent", "effect", "photos"]].to_numpy():
        c, p, e = int(c), int(p), e * n / effects.photos[effects.parent == p].max()
        if cell[p] >= 0:
            parents.setdefault(int(cell[p]), set()).add(int(p))
            if cell[c] >= 0:
                ends = int(cell[c]), int(cell[p])
                sums[ends] = sums.get(ends, 0.0) + float(e)
    share = {ends: total / len(parents[ends[1]]) for ends, total in sums.items()}
    expected = {}
    for above in parents:
        mine = {ends: value for ends, value in share.items() if ends[1] == above}
        total = sum(map(abs, mine.values()))
        order = sorted(mine, key=lambda ends: -abs(mine[ends]))[:children]
        expected |= {e: mine[e] for e in order if abs(mine[e]) >= 0.15 * total}
    drawn = dict(zip(zip(lines.child, lines.parent, strict=True), lines.value, strict=True))
    assert drawn == pytest.approx(expected)


def test_draw_graph__groups_by_what_they_are_made_of(tmp_path):
    graph = with_effects(grouped())
    draw_graph(graph, tmp_path / "g.dot", level="groups", edges="is made of")
    drawing = pygraphviz.AGraph(str(tmp_path / "g.dot"))
    effects = [float(edge.attr["effect"]) for edge in drawing.edges()]
    styles = [edge.attr["style"] for edge in drawing.edges()]
    assert min(effects) < 0 < max(effects)
    assert styles == ["dashed" if effect < 0 else "solid" for effect in effects]
    with pytest.raises(ExplGraphError, match="edge_effects"):
        draw_graph(grouped(), level="groups", edges="is made of")
    with pytest.raises(ExplGraphError, match="kind of edges"):
        draw_graph(graph, level="groups", edges="moves")


def test_draw_graph__groups_are_cells_in_rows_and_columns(tmp_path):
    graph = grouped().rename(groups={1: "fin <&>"})
    draw_graph(graph, tmp_path / "g.dot", level="groups")
    drawing = pygraphviz.AGraph(str(tmp_path / "g.dot"))
    cells = Cells.of(graph)
    assert len(drawing.nodes()) == len(cells)
    x, y = {}, {}
    for cell in range(len(cells)):
        layer, group = int(cells.layer[cell]), int(cells.group[cell])
        attr = drawing.get_node(f"{graph.layers[layer].name}/group {group}").attr
        assert int(attr["nodes"]) == cells.count[cell]
        place = [float(v) for v in attr["pos"].split(",")]
        x.setdefault(group, set()).add(place[0])
        y.setdefault(layer, set()).add(place[1])
    assert all(len(v) == 1 for v in [*x.values(), *y.values()])
    assert [min(x[g]) for g in sorted(x)] == sorted(min(v) for v in x.values())
    assert [min(y[k]) for k in sorted(y)] == sorted(min(v) for v in y.values())  # top layer above
    assert len(drawing.edges()) == len(group_lines(graph, cells, "moves with", 3))


@pytest.mark.parametrize("suffix", ["svg", "png", "pdf", "dot"])
def test_draw_graph__groups_in_every_format(tmp_path, suffix):
    draw_graph(grouped(), tmp_path / f"g.{suffix}", level="groups")
    assert (tmp_path / f"g.{suffix}").stat().st_size > 5000


def test_draw_graph__groups_have_their_names_and_the_counts(tmp_path):
    graph = grouped().rename(groups={1: "fin <&>"})
    draw_graph(graph, tmp_path / "g.svg", level="groups", nodes_per_layer=12)
    text = html.unescape(html.unescape((tmp_path / "g.svg").read_text(encoding="utf-8")))
    assert "fin <&>" in text
    kept = graph.best(12, linked=True)
    assert f"{np.sum(kept.groups.node_group >= 0)} of 72 nodes are in" in text
    assert f"1: {np.sum(kept.groups.node_group == 1)} nodes" in text


def is_groups(drawing):
    return "part groups beside each other" in str(drawing)


def test_draw_graph__many_nodes_are_drawn_as_groups_unless_told_otherwise():
    graph = grouped()
    assert len(graph) > MOST_NODES
    assert is_groups(draw_graph(graph))
    assert not is_groups(draw_graph(graph, level="nodes"))
    assert not is_groups(draw_graph(graph, arrangement="places"))
    assert not is_groups(draw_graph(graph, nodes_per_layer=20))  # 60 of them
    assert is_groups(draw_graph(graph, nodes_per_layer=21))
    assert is_groups(draw_graph(graph, nodes_per_layer=3, level="groups"))
    assert not is_groups(draw_graph(replace(graph, groups=None)))
    assert not is_groups(draw_graph(graph.having(groups=plain_groups(graph, [-1] * 72))))


def test_draw_graph__groups_that_cannot_be_drawn_are_refused():
    graph = grouped()
    with pytest.raises(ExplGraphError, match="part_groups"):
        draw_graph(replace(graph, groups=None), level="groups")
    with pytest.raises(ExplGraphError, match="places"):
        draw_graph(graph, level="groups", arrangement="places")
    with pytest.raises(ExplGraphError, match="level"):
        draw_graph(graph, level="group")
    alone = np.flatnonzero(graph.groups.node_group == -1)[:2].tolist()
    with pytest.raises(ExplGraphError, match="part group"):
        draw_graph(graph, level="groups", nodes=alone)


def test_draw_graph__a_single_group_in_a_single_layer(tmp_path):
    graph = planted_graph(1, 1, 1)
    graph = graph.having(groups=plain_groups(graph, [0]))
    draw_graph(graph, tmp_path / "g.svg", level="groups")
    assert "group 0" in (tmp_path / "g.svg").read_text(encoding="utf-8")


def test_draw_graph__cells_have_pictures(tmp_path):
    graph = grouped(2, 3, 2, groups=2)
    photos, found = painted(graph, np.arange(12) % 2, mirrored=[1])
    draw_graph(
        graph, tmp_path / "g.svg", level="groups", thumbnails=True, found=found, images=photos
    )
    text = (tmp_path / "g.svg").read_text(encoding="utf-8")
    assert text.count("<image") == len(Cells.of(graph))


def test_cut_apart__a_column_shows_photos_that_differ():
    graph = grouped(3, 3, 2, groups=1)
    photos, found = painted(graph, np.arange(18) % 2, mirrored=[])
    best = Cells.of(graph).best.tolist()
    found = replace(found, score=np.stack([np.full(18, 2.0), np.full(18, 1.0)]))
    assert {best_photos(found, node, 1) for node in best} == {(0,)}
    with open_thumbnails(graph, found, photos) as tiles:
        cut = tiles.cut_apart(graph, [best])
    assert set(cut) == set(best)
    shown = [np.asarray(cut[node]).astype(int).mean(axis=(0, 1)).round() for node in best]
    assert len({tuple(color) for color in shown}) == 3  # two photos, and "no peak" for the third
