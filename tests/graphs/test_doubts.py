"""What a graph's reader is told to doubt: each kind once where it fires, and just where not."""

import numpy as np
import pytest

from explgraph.base.errors import ExplGraphError
from explgraph.base.formats.material import Material
from explgraph.base.layer import LayerSpec
from explgraph.graphs.doubts import ENOUGH, FEW, find_doubts, refuse, warned_of
from tests.support.plain import plain_graph

LAYERS = tuple(
    LayerSpec(
        name=name, channels=10, grid=(8, 8), stride=(8, 8), offset=(4, 4), field=(8, 8)
    )
    for name in ("low", "top")
)  # fmt: skip
SOUND = {"dead_filters": (0, 0), "nodes": (10, 10)}


def doubts(n=100, *, skipped=(), sureness=None, contrasted=True, **material):
    header = {
        "n_images": n,
        "skipped": list(skipped),
        "material": Material(**SOUND | material).to_json(),
    }
    return find_doubts(header, LAYERS, sureness=sureness, contrasted=contrasted)


def two_nodes(header):
    nodes = np.array([[0, 1], [0, 0], [0, 0]])
    return plain_graph(LAYERS, (64, 64), nodes, mu=np.ones((2, 2)), header=header)


def kinds(found):
    return [(doubt.kind, doubt.severity) for doubt in found]


def unsure(n, share):
    return np.where(np.arange(n) < share * n, 0.2, 0.9).astype(np.float32)


def test_doubts__sound_data_give_none():
    assert doubts(sureness=unsure(100, 0.2)) == ()


def test_doubts__nothing_is_known_of_earlier_files():
    assert find_doubts({"n_images": 2}, LAYERS) == ()
    assert find_doubts({}, LAYERS, contrasted=False) == ()


FIRES = {
    "few photos": (
        {"n": FEW - 1},
        {"n": FEW},
        {"n": ENOUGH},
        "Mined from only 11 different photos:",
    ),
    "repeats": (
        {"repeats": 20, "repeated": ("a.jpg", "b.jpg")},
        {"repeats": 19, "repeated": ("a.jpg", "b.jpg")},
        {},
        "20 of 100 photos nearly repeat an earlier one (a.jpg, b.jpg)",
    ),
    "silent photos": (
        {"silent": 10, "silenced": ("black.png",)},
        {"silent": 1, "silenced": ("black.png",)},
        {},
        "In 10 of 100 photos no filter fires (black.png)",
    ),
    "unreadable photos": (
        {"n": 90, "skipped": [f"{i}.jpg" for i in range(10)]},
        {"n": 91, "skipped": [f"{i}.jpg" for i in range(9)]},
        {},
        "10 of 100 photos could not be read (0.jpg, 1.jpg, 2.jpg)",
    ),
    "small photos": (
        {"enlarged": 50},
        {"enlarged": 49},
        {"enlarged": 10},
        "50 of 100 photos were enlarged more than four times",
    ),
    "orientation": (
        {"sureness": unsure(100, 0.5)},
        {"sureness": unsure(100, 0.49)},
        {"sureness": unsure(100, 0.3)},
        "For 50% of the photos it is near chance which way they face",
    ),
    "dead filters": (
        {"dead_filters": (0, 3)},
        {"dead_filters": (2, 0)},
        {"dead_filters": (1, 1)},
        "In layer top, 30% of the filters fire in no photo",
    ),
    "border": (
        {"border_nodes": 7},
        {"border_nodes": 6},
        {"border_nodes": 5},
        "35% of the nodes lie within a tenth of the side of the border",
    ),
}


@pytest.mark.parametrize("kind", FIRES)
def test_doubts__fire_from_their_limits_on(kind):
    warned, noted, neither, sentence = FIRES[kind]
    found = doubts(**warned)
    assert kinds(found) == [(kind, "warning")]
    assert found[0].sentence.startswith(sentence)
    assert kinds(doubts(**noted)) == [(kind, "note")]
    assert doubts(**neither) == ()


def test_doubts__empty_layers_are_named():
    found = doubts(nodes=(0, 20))
    assert kinds(found) == [("empty layers", "warning")]
    assert "layer low" in found[0].sentence


def test_doubts__of_a_graph_that_is_still_to_be_mined_layers_are_not_empty():
    assert doubts(nodes=()) == ()


def test_doubts__no_background_is_noted():
    assert kinds(doubts(contrasted=False)) == [("no background", "note")]


def test_doubts__copies_are_no_different_photos():
    """C8: six photos that are one."""
    found = doubts(6, repeats=5, repeated=("1.jpg",))
    assert kinds(found) == [("few photos", "warning"), ("repeats", "warning")]
    assert found[0].figure == 1
    assert "only 1 different photo:" in found[0].sentence


def test_doubts__few_photos_are_never_sure_which_way_they_face():
    found = doubts(ENOUGH - 1, sureness=unsure(ENOUGH - 1, 1.0))
    assert kinds(found) == [("few photos", "note"), ("orientation", "note")]


def test_doubts__warnings_come_first_and_are_what_is_refused():
    found = doubts(20, border_nodes=20)
    assert kinds(found) == [("border", "warning"), ("few photos", "note")]
    assert warned_of(found) == found[0].sentence
    with pytest.raises(ExplGraphError, match=r"\(strict\): 100% of the nodes"):
        refuse(found)
    refuse(found[1:])


def test_doubts__figures_come_with_the_limit_that_they_passed():
    (found,) = doubts(repeats=20)
    assert (found.figure, found.threshold) == (0.2, 0.2)
    assert found.to_json()["sentence"] == found.sentence


def test_doubts__a_graph_has_them_and_so_has_a_part_of_it(tmp_path):
    header = {"n_images": 100, "material": Material(**SOUND, repeats=50).to_json()}
    graph = two_nodes(header)
    assert kinds(graph.doubts) == [("repeats", "warning"), ("no background", "note")]
    assert graph.select([1]).doubts == graph.doubts
    graph.save(tmp_path / "graph.safetensors")
    assert type(graph).load(tmp_path / "graph.safetensors").doubts == graph.doubts


@pytest.mark.parametrize(
    "wrong", [{"repeats": -1}, {"repeats": "many"}, {"dead_filters": 3}, [], {"repeated": [1]}]
)
def test_doubts__figures_that_cannot_be_are_refused(wrong):
    with pytest.raises(ExplGraphError, match="material"):
        two_nodes({"material": wrong})
