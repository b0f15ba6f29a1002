"""Names of groups: planted nodes on parts of drawn masks, and on marked boxes."""

from dataclasses import replace

import numpy as np
import pytest

from explgraph.base.errors import ExplGraphError
from explgraph.base.layer import LayerSpec
from explgraph.graphs.groups import PartGroups
from explgraph.groups.naming import name_groups
from explgraph.photos.masks import PartMasks
from tests.support.plain import plain_graph, plain_marks, plain_matches

SIDE, NAMES = 80, ("a", "b", "c")
LAYER = LayerSpec("conv", 12, (10, 10), (8.0, 8.0), (4.0, 4.0), (20, 20))
# Rows 20..40 of the photo are the head, rows 40..60 the tail.
LABELS = np.full((SIDE, SIDE), -1, dtype=np.int16)
LABELS[20:40, 20:60], LABELS[40:60, 20:60] = 0, 1
MASKS = PartMasks(NAMES, ("head", "tail"), (LABELS,) * 3)


def world(ys, group):
    """Nodes at x = .5 and some y, pixels of a photo; the same in three photos."""
    n = len(ys)
    nodes = (np.zeros(n, int), np.arange(n), np.zeros(n, int))
    graph = plain_graph((LAYER,), (SIDE, SIDE), nodes, mu=np.full((n, 2), 40.0))
    count = max(group) + 1
    groups = PartGroups(
        (SIDE, SIDE),
        np.array(group),
        np.zeros((n, 2)),
        np.zeros(n),
        np.full((count, 2), 40.0),
        *(np.ones(count) for _ in range(3)),
    )
    yx = np.stack([np.array(ys) / SIDE, np.full(n, 0.5)], axis=-1)
    found = plain_matches(NAMES, np.broadcast_to(yx, (3, n, 2)), np.ones((3, n)))
    return graph.having(groups=groups), found


def names_of(graph):
    return graph.groups.names


def test_name_groups__most_nodes_decide_and_half_is_not_enough():
    graph, found = world([30, 30, 70, 50, 70, 70, 50, 30], [0, 0, 0, 1, 1, 2, 2, 2])
    # Two of three on the head; one of two on the tail; three places: nothing, tail, head.
    assert names_of(name_groups(graph, found, MASKS)) == ("head", "", "")


@pytest.mark.parametrize(("y", "name"), [(20 - 3.5, "head"), (20 - 5.5, ""), (41, "tail")])
def test_name_groups__half_a_cell_beside_the_part_still_lies_on_it(y, name):
    graph, found = world([y], [0])
    assert names_of(name_groups(graph, found, MASKS)) == (name,)


def test_name_groups__places_count_by_score_and_where_the_node_fires():
    graph, found = world([30], [0])
    yx = np.array(found.yx)
    yx[1:, 0, 0] = 50 / SIDE  # on the tail in two photos
    by_score = replace(found, yx=yx, score=np.array([[5.0], [2.0], [2.0]]))
    assert names_of(name_groups(graph, by_score, MASKS)) == ("head",)
    silent = replace(found, yx=yx, score=np.array([[0.4], [1.0], [1.0]]))  # fires from .5 on
    assert names_of(name_groups(graph, silent, MASKS)) == ("tail",)


def test_name_groups__several_on_one_part_are_numbered_and_own_names_stay():
    graph, found = world([30, 32, 50, 70], [0, 1, 2, 3])
    graph = graph.rename(groups={2: "fin", 3: "sky"})
    assert names_of(name_groups(graph, found, MASKS)) == ("head", "head 2", "fin", "sky")


def test_name_groups__peaks_rather_than_drawn_places():
    graph, found = world([30], [0])
    found = replace(found, peak_yx=np.full((3, 1, 2), [50 / SIDE, 0.5]))
    assert names_of(name_groups(graph, found, MASKS)) == ("tail",)


def test_name_groups__from_marks_in_some_photos():
    graph, found = world([30, 50, 70], [0, 1, 2])
    found = replace(found, photo_size=np.full((3, 2), SIDE))
    marks = plain_marks(["a", "a"], ["head", "tail"], [[27.5, 39.5], [52.5, 39.5]])
    assert names_of(name_groups(graph, found, marks)) == ("head", "tail", "")
    wide = replace(marks, size=np.array([[10.0, 10.0], [50.0, 10.0]]))  # reaches to y = 78
    assert names_of(name_groups(graph, found, wide)) == ("head", "tail", "tail 2")


def test_name_groups__names_what_does_not_fit():
    graph, found = world([30], [0])
    with pytest.raises(ExplGraphError, match="read_masks"):
        name_groups(graph, found, replace(MASKS, images=("a", "c", "b")))
    with pytest.raises(ExplGraphError, match="annotations are of other photos"):
        name_groups(graph, found, plain_marks(["x"], "head", [[1, 1]]))
    with pytest.raises(ExplGraphError, match="no part groups"):
        name_groups(replace(graph, groups=None), found, MASKS)
