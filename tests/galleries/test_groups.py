"""Parts at a glance: which patches a group's row has, its bar of layers, its words."""

from dataclasses import replace

import numpy as np
import pytest

from explgraph.base.errors import ExplGraphError
from explgraph.drawing.canvas import Canvas
from explgraph.drawing.look import layer_color
from explgraph.drawing.patches import group_photos
from explgraph.galleries.groups import draw_groups
from explgraph.photos.images import open_images
from tests.support.plain import plain_groups, plain_matches
from tests.support.planted import planted_graph

TILE, LEFT, LABEL = 104, 28, 198  # pixels: of a patch, the margin, the bar


@pytest.fixture
def grey():
    """(10, H, W, 3) photos that are told apart by their grey."""
    return np.stack([np.full((40, 40, 3), 20 * (1 + i), dtype=np.uint8) for i in range(10)])


@pytest.fixture
def grouped():
    """12 nodes in two layers: a group of 6 + 1, one of 0 + 3, two nodes in none."""
    graph = planted_graph(2, 3, 2)
    return graph.having(groups=plain_groups(graph, [0, 0, 0, 0, 0, 0, 0, 1, 1, 1, -1, -1]))


def matched(graph, score):
    names = tuple(f"{i:06d}" for i in range(len(score)))
    return plain_matches(names, 0.5, score, graph.node_layer)


def by_hand(graph, score, nodes, count):
    """Layers in turn, top layer first; each node the best photo that is left; round and round."""
    queue = {layer: [n for n in nodes if graph.node_layer[n] == layer] for layer in (1, 0)}
    order = []
    while any(queue.values()):
        order += [queue[layer].pop(0) for layer in (1, 0) if queue[layer]]
    taken, chosen = set(), []
    while len(chosen) < count:
        before = len(chosen)
        for node in order:
            free = [i for i in range(len(score)) if i not in taken and score[i, node] > 0]
            if free and len(chosen) < count:
                chosen.append((node, max(free, key=lambda i: (score[i, node], -i))))
                taken.add(chosen[-1][1])
        if len(chosen) == before:
            break
    return chosen


@pytest.mark.parametrize("count", [1, 4, 8, 99])
@pytest.mark.parametrize("nodes", [[0, 3, 8, 1, 9, 2], [7], []])
def test_group_photos__as_by_hand(rng, count, nodes):
    graph = planted_graph(2, 3, 2)
    score = np.round(rng.uniform(0, 3, (10, 12)))  # ties, and photos without a peak
    assert group_photos(graph, matched(graph, score), nodes, count) == by_hand(
        graph, score, nodes, count
    )


def test_draw_groups__a_row_has_the_best_patches_of_its_group_alone(rng, grey, grouped):
    score = rng.uniform(0.1, 3, (10, 12))
    found = matched(grouped, score)
    picture = np.asarray(draw_groups(grouped, found, grey, n_patches=4))
    rows = np.flatnonzero((picture[:, 388] % 20 == 0).all(axis=-1) & (picture[:, 388, 0] > 0))
    tops = [y for y in rows if y - 1 not in rows]
    assert len(tops) == 2
    for group, top in zip(grouped.groups, tops, strict=True):
        expected = group_photos(grouped, found, group.nodes.tolist(), 4)
        strip = picture[top + 40]
        shades = [int(p[0]) // 20 - 1 for p in strip[362 + TILE // 2 :: TILE + 8][:4]]
        assert shades == [photo for _, photo in expected]


def test_draw_groups__the_bar_has_the_layers_of_its_nodes(grey, grouped):
    picture = np.asarray(draw_groups(grouped, matched(grouped, np.ones((10, 12))), grey))
    colors = [[int(layer_color(i)[k : k + 2], 16) for k in (1, 3, 5)] for i in (0, 1)]
    bars = [
        [(row == c).all(axis=-1).sum() for c in colors] for row in picture[:, LEFT : LEFT + LABEL]
    ]
    mixed = {tuple(b) for b in bars if sum(b) > 150}
    assert any(abs(a - LABEL * 6 / 7) < 3 and abs(b - LABEL / 7) < 3 for a, b in mixed)
    assert any(a == 0 and b >= LABEL - 2 for a, b in mixed)


def test_draw_groups__says_the_users_names_or_where_they_are(monkeypatch, grey, grouped):
    said = []
    write = Canvas.text
    monkeypatch.setattr(
        Canvas, "text", lambda self, text, *rest: (said.append(text), write(self, text, *rest))[1]
    )
    graph = replace(grouped, mu=np.full((12, 2), 20.0))
    graph = graph.having(groups=plain_groups(graph, grouped.groups.node_group))
    draw_groups(graph.rename(groups={1: "head"}), matched(graph, np.ones((10, 12))), grey)
    assert "upper left" in said and "head" in said
    assert any(text.startswith("group 0: 7 nodes") for text in said)
    assert said.index("upper left") < said.index("head")
    assert not any(text.startswith("hardly") for text in said)
    assert any(text.startswith("10 of 12 nodes are in 2 groups") for text in said)


def test_draw_groups__groups_that_hardly_move_come_last(monkeypatch, grey, grouped):
    said = []
    write = Canvas.text
    monkeypatch.setattr(
        Canvas, "text", lambda self, text, *rest: (said.append(text), write(self, text, *rest))[1]
    )
    groups = replace(grouped.groups, spread=np.array([0.019, 0.021]) * 224).rename(["a", "b"])
    draw_groups(grouped.having(groups=groups), matched(grouped, np.ones((10, 12))), grey)
    assert [text for text in said if text in ("a", "b")] == ["b", "a"]
    lines = [text for text in said if text.endswith("of the photo's side")]
    assert [text.split()[0] for text in lines] == ["strays", "hardly"]


def test_draw_groups__writes_what_it_returns_and_mirrors_mirrored_photos(tmp_path, grouped):
    photo = np.zeros((40, 40, 3), dtype=np.uint8)
    photo[:, 20:] = 200  # bright on the right
    found = matched(grouped, np.ones((1, 12)))
    shown = draw_groups(grouped, found, photo[None], tmp_path / "new" / "g.png")
    assert (tmp_path / "new" / "g.png").exists()
    turned = draw_groups(grouped, replace(found, mirrored=np.ones(1)), open_images(photo[None]))
    rows = [np.asarray(image).sum(axis=-1)[:, 362 : 362 + TILE] for image in (shown, turned)]
    plain, mirrored = (r[(r < 30).any(axis=1)] for r in rows)
    assert (plain[:, 5] < plain[:, -5]).all() and (mirrored[:, 5] > mirrored[:, -5]).all()


def test_draw_groups__refuses_what_does_not_fit(grey, grouped):
    found = matched(grouped, np.ones((10, 12)))
    bare = replace(grouped, groups=None)
    with pytest.raises(ExplGraphError, match="part_groups"):
        draw_groups(bare, found, grey)
    with pytest.raises(ExplGraphError, match="n_patches"):
        draw_groups(grouped, found, grey, n_patches=0)
    none = bare.having(groups=plain_groups(bare, [-1] * 12))
    with pytest.raises(ExplGraphError, match="no part groups"):
        draw_groups(none, found, grey)
    with pytest.raises(ExplGraphError, match="nodes"):
        draw_groups(grouped.select(range(5)), found, grey)
