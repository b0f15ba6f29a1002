"""What other processes do in tests: they import this, and `python -m` runs it in a fresh one."""

import multiprocessing
import sys

import torch
from torch.utils.data import DataLoader

import explgraph as eg
from tests.support.together import content


def matched(graph, net, photos):
    """What a child finds, ready to be compared with what its parent does."""
    return content(eg.match(graph, net, photos, batch_size=2, progress=False))


class Drawings:
    """Photos as a map-style dataset."""

    def __init__(self, photos):
        self.photos = photos

    def __len__(self):
        return len(self.photos)

    def __getitem__(self, i):
        return self.photos[i]


class Matching(Drawings):
    """In place of each photo, what a worker of a DataLoader finds in it: node scores and places."""

    def __init__(self, graph, net, photos):
        super().__init__(photos)
        self.graph, self.net = graph, net

    def __getitem__(self, i):
        found = eg.match(self.graph, self.net, self.photos[i : i + 1], progress=False)
        return torch.from_numpy(found.score[0].copy()), torch.from_numpy(found.yx[0].copy())


def by_workers(graph, net, photos, start):
    """All that two workers of a DataLoader find, (N, P) and (N, P, 2); started by fork or spawn."""
    loader = DataLoader(
        Matching(graph, net, photos), batch_size=2, num_workers=2, multiprocessing_context=start
    )
    scores, places = zip(*loader, strict=True)
    return torch.cat(scores), torch.cat(places)


def _forked(threads):
    """Match, fork, and match in the child; a plain convolution in place of it without explgraph."""
    from tests.support.world import WORLD

    torch.set_num_threads(threads)
    graph, net, photos = WORLD.graph, WORLD.net, WORLD.photos[:4]
    wanted = matched(graph, net, photos)
    with multiprocessing.get_context("fork").Pool(2) as pool:
        for found in pool.starmap(matched, [(graph, net, photos)] * 3):
            assert found == wanted
    score, yx = by_workers(graph, net, photos, "fork")
    for i in range(len(photos)):
        alone = eg.match(graph, net, photos[i : i + 1], progress=False)
        assert content(score[i]) == content(alone.score[0])
        assert content(yx[i]) == content(alone.yx[0])
    mined = eg.mine(net, Drawings(photos), layers=("stage4.relu2",), progress=False)
    assert content(mined) == content(eg.mine(net, photos, layers=("stage4.relu2",), progress=False))
    print("equal")


def _convolve(_):
    return float(
        torch.nn.functional.conv2d(torch.ones(8, 16, 64, 64), torch.ones(16, 16, 3, 3))[0, 0, 0, 0]
    )


def _torch_alone(threads):
    """Fork after PyTorch has computed, without anything of explgraph."""
    torch.set_num_threads(threads)
    wanted = _convolve(0)
    with multiprocessing.get_context("fork").Pool(2) as pool:
        assert pool.map(_convolve, range(2)) == [wanted] * 2
    print("equal")


if __name__ == "__main__":
    {"forked": _forked, "torch_alone": _torch_alone}[sys.argv[1]](int(sys.argv[2]))
