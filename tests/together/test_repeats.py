"""Many times the same: memory, open files, threads and hooks stay level, and so do the answers."""

import gc
import threading

import pytest

import explgraph as eg
from tests.support.together import MANY, content, hooks, memory, open_files
from tests.support.world import LAYERS, MODEL, WORLD

TIMES = 10 if MANY == 1 else 20 * MANY
MIB = 40
"""That memory may grow by, after it has settled; one batch kept in each round would be more."""

PHOTOS = WORLD.photos[:6]


@pytest.fixture
def net():
    return eg.load_backbone(MODEL, device="cpu")


def once(net, path):
    """Mine, match, explain and report; return what came out."""
    graph = eg.mine(net, PHOTOS, background=WORLD.background, layers=LAYERS, progress=False)
    found = eg.match(graph, net, PHOTOS, views=True, progress=False)
    answer = eg.explain(net, PHOTOS[0], graph.node(int(graph.top(1)[0])), "grad_cam", graph=graph)
    eg.write_report(graph, found, PHOTOS, path, n_nodes=8, n_photos=2)
    return content([graph, found, answer]), path.read_bytes()


def left(net):
    gc.collect()
    return {
        "files": open_files(),
        "threads": threading.active_count(),
        "hooks": hooks(net.module),
    }


def test_repeats__leave_nothing_behind(net, tmp_path):
    wanted = once(net, tmp_path / "report.html")
    for _ in range(2):  # allocators settle
        once(net, tmp_path / "report.html")
    before, begin, most = left(net), memory(), 0
    for _ in range(TIMES):
        assert once(net, tmp_path / "report.html") == wanted
        assert left(net) == before
        most = max(most, memory() - begin)
    assert most < MIB
    assert [path.name for path in tmp_path.iterdir()] == ["report.html"]
