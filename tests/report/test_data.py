"""What a report knows, each against a loop over the graph: groups, nodes, edges, pictures."""

from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from explgraph.base.errors import ExplGraphError
from explgraph.graphs.facts import node_facts
from explgraph.groups.grouping import group_places
from explgraph.photos.images import ImageItem, ImageSource, open_images
from explgraph.report.groups import cell_lines, cells, group_rows, grouped, usual_photo
from explgraph.report.nodes import edge_columns, node_columns, page_nodes
from explgraph.report.pictures import galleries, parsed_photos, row_pictures, seen_photo
from tests.support.plain import plain_marks, plain_matches
from tests.support.planted import planted_graph
from tests.support.reporting import (
    BOX,
    MAGENTA,
    NAMES,
    SILENT,
    WING,
    magenta_source,
    picture_of,
    reported_graph,
    reported_matches,
)


def test_page_nodes__are_the_seats_and_the_best_of_each_cell():
    graph = reported_graph()
    chosen = page_nodes(graph, 20).tolist()
    assert chosen[:20] == graph.top(20).tolist()
    best = set()
    for layer in range(3):
        for group in range(4):
            inside = (graph.node_layer == layer) & (graph.groups.node_group == group)
            nodes = np.flatnonzero(inside).tolist()
            best.add(max(nodes, key=lambda n: (graph.groups.node_gain[n], -n)))
    assert set(chosen[20:]) == best - set(chosen[:20])
    assert len(chosen) == len(set(chosen))
    with pytest.raises(ExplGraphError, match="nodes must be at least 1, got 0"):
        page_nodes(graph, 0)


def test_edge_columns__the_steadiest_of_a_child_come_first():
    graph = reported_graph(2, 4, 2)
    kinds = edge_columns(graph)
    moves = kinds["moves"]
    wanted = sorted(
        zip(graph.edge_child, graph.edge_parent, graph.edge_spread, strict=True),
        key=lambda edge: (edge[0], edge[2]),
    )
    listed = list(zip(moves["child"], moves["parent"], moves["value"], strict=True))
    assert [(c, p) for c, p, _ in listed] == [(c, p) for c, p, _ in wanted]
    np.testing.assert_allclose([v for *_, v in listed], [v for *_, v in wanted], atol=0.06)
    made, effects = kinds["made"], graph.effects
    assert made["parent"] == effects.parent.tolist()
    assert made["child"] == effects.child.tolist()
    np.testing.assert_allclose(made["value"], effects.effect, atol=1e-3)
    assert set(edge_columns(replace(graph, effects=None))) == {"moves"}


def test_group_rows__say_what_each_group_is():
    graph = reported_graph()
    evidence = {0: 1.0, 5: 2.0, 10: np.nan, 1: 7.0}
    rows = group_rows(graph, evidence)
    assert [row["number"] for row in rows] == [0, 1, 2, 3]
    assert [row["name"] for row in rows] == ["", WING, "", ""]
    assert [row["region"] for row in rows] == ["upper left", "upper right", "lower right", "upper"]
    assert [row["folded"] for row in rows] == ["", "", "", "still"]
    for row in rows:
        nodes = [n for n in range(72) if n % 5 == row["number"]]
        assert row["nodes"] == len(nodes)
        assert row["layers"] == [[k, sum(n // 24 == k for n in nodes)] for k in range(3)]
        ranks = {n: i + 1 for i, n in enumerate(graph.ranking().tolist())}
        assert row["best"] == min(ranks[n] for n in nodes)
        px = 6 if row["number"] == 3 else 20
        assert row["spread"] == pytest.approx(px / 224, abs=1e-4)
        places = sorted((round(y, 3), round(x, 3)) for _, y, x in row["dots"])
        wanted = sorted((round(y, 3), round(x, 3)) for y, x in (graph.mu[nodes] / 224).tolist())
        assert np.allclose(places, wanted, atol=2e-3)
    assert [row["evidence"] for row in rows] == [
        {"drop": 1.5, "nodes": 2},
        {"drop": 7.0, "nodes": 1},
        None,
        None,
    ]


def test_grouped__is_named_after_annotations_but_for_own_names():
    graph = reported_graph()
    found = reported_matches(graph)
    yx = np.where((np.arange(72) % 5 < 2)[:, None], 0.25, 0.75) * np.ones((4, 72, 2))
    found = replace(found, yx=yx, photo_size=np.full((4, 2), 100))
    marks = plain_marks([NAMES[0]] * 2, ["head", "tail"], [[24.5, 24.5], [74.5, 74.5]])
    named = grouped(graph, found, marks)
    assert named.groups.names == ("head", WING, "tail", "tail 2")
    assert grouped(graph, found, None) is graph


def test_group_rows__of_little_contrast_are_folded_and_those_alike_are_numbered():
    graph = reported_graph()
    yx = np.full((4, 2), 60.0)
    groups = replace(graph.groups, yx=yx, names=("", "head", "", ""))
    contrast = np.where(np.arange(72) % 5 == 0, 0.1, 1.0)
    rows = group_rows(replace(graph, groups=groups, contrast=contrast), None)
    assert [row["folded"] for row in rows] == ["background", "", "", ""]
    px = np.array([20, 4.4, 4.6, 8.9])  # of 224 .02 is 4.48, and .04 is 8.96
    still = replace(groups, spread=px)
    folded = [row["folded"] for row in group_rows(replace(graph, groups=still), None)]
    assert folded == ["", "still", "", ""]
    yx[0], yx[2:] = (60, 210), (210, 60)  # within a tenth of 224
    border = replace(still, yx=yx)
    folded = [row["folded"] for row in group_rows(replace(graph, groups=border), None)]
    assert folded == ["", "still", "still", "still"]
    moving = replace(border, spread=np.full(4, 9.0))  # what moves is no padding
    assert not any(row["folded"] for row in group_rows(replace(graph, groups=moving), None))
    # The one that is folded comes last.
    wanted = ["upper left 3", "upper left", "upper left 1", "upper left 2"]
    assert [row["region"] for row in rows] == wanted


def test_cells__and_the_lines_between_them():
    graph = reported_graph()
    group, layer = graph.groups.node_group, graph.node_layer
    for cell in cells(graph):
        inside = np.flatnonzero((layer == cell["layer"]) & (group == cell["group"]))
        assert cell["nodes"] == len(inside)
        assert graph.groups.node_gain[cell["best"]] == graph.groups.node_gain[inside].max()
    assert len(cells(graph)) == 12
    lines = cell_lines(graph)
    wanted = {}
    for c, p, px in zip(graph.edge_child, graph.edge_parent, graph.edge_spread, strict=True):
        if group[c] >= 0 and group[p] >= 0:
            wanted.setdefault((layer[c], group[c], layer[p], group[p]), []).append(px)
    assert {tuple(line[:4]): line[4] for line in lines["moves"]} == {
        ends: len(values) for ends, values in wanted.items()
    }
    for *ends, _, steady in lines["moves"]:
        assert steady == pytest.approx(np.median(wanted[tuple(ends)]), abs=0.06)
    effects = graph.effects
    for a, b, c, d, share, parents in lines["made"]:
        above = {p for p in effects.parent.tolist() if (layer[p], group[p]) == (c, d)}
        total = sum(
            e
            for u, v, e in zip(effects.child, effects.parent, effects.effect, strict=True)
            if v in above and (layer[u], group[u]) == (a, b)
        )
        assert parents == len(above)
        assert share == pytest.approx(total / len(above), abs=1e-4)


def test_row_pictures__are_of_the_groups_nodes_and_each_photo_comes_once():
    graph = reported_graph()
    rows = row_pictures(graph, reported_matches(graph), magenta_source())
    assert set(rows) == {0, 1, 2, 3}
    for number, row in rows.items():
        assert len(row) == len(NAMES)
        assert {patch["node"] % 5 for patch in row} == {number}
        assert sorted(patch["photo"] for patch in row) == sorted(NAMES)
        for patch in row:
            assert picture_of(patch["picture"]).shape == (96, 96, 3)


def test_node_columns__mark_those_at_the_border_and_repeats(rng):
    graph = planted_graph(1, 3, 2)
    mu = np.full((6, 2), 100.0)
    mu[4] = (100, 21)  # within a tenth of 224
    graph = replace(graph, mu=mu)
    yx = rng.uniform(0.2, 0.8, (10, 6, 2))
    yx[:9, 3] = yx[:9, 0] + 0.01  # in nine of ten photos beside the first
    yx[:7, 5] = yx[:7, 1] + 0.01  # in seven
    found = plain_matches([str(i) for i in range(10)], yx, np.ones((10, 6)))
    columns = node_columns(graph, found, node_facts(graph, found), np.arange(6))
    assert columns["border"] == [0, 0, 0, 0, 1, 0]
    assert columns["repeats"] == [0, 0, 0, 1, 0, 0]
    columns = node_columns(graph, found, node_facts(graph, found), np.array([3, 0]))
    assert columns["repeats"] == [1, 0, 0, 0, 0, 0]  # of the two that are shown the second


def test_usual_photo__is_the_one_whose_groups_lie_where_they_usually_do():
    graph = replace(reported_graph(), mu=np.full((72, 2), 60.0))
    names = tuple("abcde")
    found = reported_matches(graph, names)
    yx = np.full((5, 72, 2), 0.3)
    yx[0], yx[1], yx[3] = 0.6, 0.1, 0.5
    yx[2, :, 1] = 0.7
    found = replace(found, yx=yx, mirrored=np.array([0, 0, 1, 0, 0]))
    found = replace(found, score=np.array([1, 1, 1, 1, 2])[:, None] * graph.score)
    assert usual_photo(graph, found) == 4  # the third is as usual, but seen mirrored
    weak = replace(found, score=np.array([3, 3, 3, 3, 1])[:, None] * graph.score)
    assert usual_photo(graph, weak) == 3  # the fifth is as usual, but little of it is seen
    assert usual_photo(replace(graph, groups=None), found) == 0


def test_seen_photo__is_stretched_to_the_graphs_square_and_its_orientation():
    graph = planted_graph(1, 1, 1)
    photo = np.zeros((40, 80, 3), dtype=np.uint8)
    photo[:, :40] = (250, 0, 0)
    found = reported_matches(graph, ("000000",))
    for mirrored in (0, 1):
        found = replace(found, mirrored=np.array([mirrored]))
        seen = picture_of(seen_photo(graph, found, open_images(photo[None]), 0))
        assert seen.shape[0] == seen.shape[1]
        half = seen.shape[1] // 2
        left, right = seen[:, : half - 8, 0].mean(), seen[:, half + 8 :, 0].mean()
        assert (left > 200 > 60 > right) if not mirrored else (right > 200 > 60 > left)
    # Only the right half of the photo is seen.
    cropped = replace(found, frames=np.array([[[0, 1 / 224], [0.5, 0.5 / 224]]]))
    assert picture_of(seen_photo(graph, cropped, open_images(photo[None]), 0))[..., 0].mean() < 10


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
    photos = parsed_photos(graph, found, source, np.array([2, 0]))
    assert [photo["name"] for photo in photos] == [NAMES[2], NAMES[0]]
    boxed, whole = photos
    assert (boxed["size"], whole["size"]) == ([100, 100], [120, 200])
    assert (boxed["mirrored"], whole["mirrored"]) == (False, False)
    places = group_places(graph, found)
    for photo, row in ((boxed, 2), (whole, 0)):
        fires = [n for n in range(72) if found.score[row, n] >= graph.score[n] / 2 and n != SILENT]
        assert photo["nodes"] == fires
        for (y, x), wanted in (
            (found.yx[row, fires].T.astype(float), np.array([photo["y"], photo["x"]])),
            (places.yx[row].T.astype(float), np.array(photo["places"])[:, :2].T),
        ):
            if photo is boxed:
                y, x = (y * 120 - BOX.y0) / 100, (x * 200 - BOX.x0) / 100
            np.testing.assert_allclose(wanted, [y, x], atol=2e-3)
        np.testing.assert_allclose(photo["score"], found.score[row, fires], rtol=0.01)
        agreement = [place[2] for place in photo["places"]]
        np.testing.assert_allclose(agreement, places.sureness[row], atol=1e-3)
        np.testing.assert_allclose(picture_of(photo["picture"])[50, 50], MAGENTA, atol=12)


def test_parsed_photos__large_photos_are_reduced_and_weak_nodes_left_out():
    graph = planted_graph(1, 1, 2)
    photo = Image.new("RGB", (1920, 480))
    source = ImageSource([ImageItem("a", 0)], lambda _: photo)
    found = reported_matches(graph, ("a",))
    found = replace(found, score=graph.score[None] * [[0.49, 0.51]])
    (parsed,) = parsed_photos(graph, found, source, np.array([0]))
    assert parsed["size"] == [120, 480]
    assert parsed["nodes"] == [1]
    assert parsed["places"] == []
