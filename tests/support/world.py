"""The world that tests share: drawn fishes whose parts are known, and all that is made of them.

Each thing is made once in a process, when it is first asked for, and never written into.
"""

from functools import cache, cached_property

import numpy as np
from PIL import Image

import explgraph as eg
from explgraph.demo.animals.drawing import SEEDS, draw_animal, draw_background
from explgraph.demo.run import MODEL, DemoSizes
from explgraph.photos.annotation_files import write_annotations
from explgraph.photos.annotations import pixel_yx
from explgraph.photos.images import ImageItem, ImageSource
from explgraph.photos.masks import PartMasks, write_masks
from explgraph.pipeline import grouped
from mining import mine_peaks
from tests.support.plain import plain_marks

LAYERS = ("stage3.relu2", "stage4.relu2")
LAYER = LAYERS[-1]
SIDE = 128
N_PHOTOS, N_BACKGROUND, N_CLICKS = 24, 6, 2
N_MINED = 12
"""Photos in each folder of `Files.zoo`."""

N_UNSEEN = 40
SMALL_DEMO = DemoSizes(mined=16, background=8, unseen=16)

SMALL_NET = """
import sys
import time
from collections import OrderedDict

import torch
from torch import nn

from explgraph import Preprocess

def net():
    print("noise on stdout")
    torch.manual_seed(0)
    widths, parts = (3, 8, 12, 16), OrderedDict()
    for i in (1, 2, 3):
        parts[f"conv{i}"] = nn.Conv2d(widths[i - 1], widths[i], 4, 2, 1)
        parts[f"relu{i}"] = nn.ReLU()
    parts |= {"pool": nn.AdaptiveAvgPool2d(1), "flat": nn.Flatten(), "top": nn.Linear(16, 5)}
    return nn.Sequential(parts), Preprocess((64, 64))

def slow():
    print("ready", file=sys.stderr, flush=True)
    time.sleep(60)
"""
SMALL_LAYERS, SMALL_SEED, SMALL_BATCH = ("relu2", "relu3"), 2, 5


@cache
def unseen_drawings(species):
    """Drawings that the demo network was not trained on."""
    return tuple(draw_animal(species, seed) for seed in SEEDS["test"][:N_UNSEEN])


def file_names(count):
    return tuple(f"{i:02d}.png" for i in range(count))


class World:
    """Drawings with their truth, the demo network, and what the library makes of both."""

    names = file_names(N_PHOTOS)

    @cached_property
    def drawings(self):
        return tuple(draw_animal("fish", 100 + i) for i in range(N_PHOTOS))

    @cached_property
    def photos(self):
        """(N, SIDE, SIDE, 3)."""
        return np.stack([drawing.image for drawing in self.drawings])

    @cached_property
    def source(self):
        """The photos with the names that they have in `Files`."""
        items = [ImageItem(name, i) for i, name in enumerate(self.names)]
        return ImageSource(items, lambda i: Image.fromarray(self.photos[i]))

    @cached_property
    def background(self):
        """(N_BACKGROUND, SIDE, SIDE, 3)."""
        return np.stack([draw_background(i, size=SIDE) for i in range(N_BACKGROUND)])

    @cached_property
    def points(self):
        """By part, (N, 2) its places in the unit square; NaN where it is hidden."""
        parts = self.drawings[0].parts
        return {p: np.stack([d.centres[i] for d in self.drawings]) for i, p in enumerate(parts)}

    @cached_property
    def marks(self):
        """All that is visible of heads and tails; two photos make a group."""
        rows = [
            (i, part, yx)
            for part in ("head", "tail")
            for i, yx in enumerate(self.points[part])
            if not np.isnan(yx[0])
        ]
        photo, parts, unit = zip(*rows, strict=True)
        return plain_marks(
            [self.names[i] for i in photo],
            parts,
            pixel_yx(np.stack(unit), (SIDE, SIDE)),
            group=[f"photo {i // 2}" for i in photo],
        )

    @cached_property
    def clicks(self):
        """Heads and tails in the first photos."""
        return self.marks.take(np.isin(self.marks.image, self.names[:N_CLICKS]))

    @cached_property
    def masks(self):
        labels = tuple(drawing.part_mask.astype(np.int16) for drawing in self.drawings)
        return PartMasks(self.names, self.drawings[0].parts, labels)

    @cached_property
    def net(self):
        return eg.load_backbone(MODEL, device="cpu")

    @cached_property
    def peaks(self):
        return eg.extract(
            self.net, self.source, background=self.background, layers=LAYERS, progress=False
        )

    @cached_property
    def graph(self):
        others = eg.extract(
            self.net, self.background, background=self.peaks, mirror=False, progress=False
        )
        return grouped(mine_peaks(self.peaks), self.peaks, background=others)

    @cached_property
    def found(self):
        """With views."""
        return eg.match(self.graph, self.net, self.source, views=True, progress=False)


WORLD = World()


def made(make):
    """Make what a method writes when it is first asked for, and note how it looks then."""

    def get(files):
        path = make(files)
        files.made |= {each: each.stat().st_mtime_ns for each in [path, *path.rglob("*")]}
        return path

    get.__doc__ = make.__doc__
    return cached_property(get)


class Files:
    """The world in a folder, from which tests read or copy."""

    def __init__(self, world, folder):
        self.folder, self._world, self.made = folder, world, {}

    def check(self):
        """Nothing was written into the folder since, nor taken from it."""
        now = {path: path.stat().st_mtime_ns for path in self.folder.rglob("*")}
        changed = {path for path, _ in now.items() ^ self.made.items()}
        assert not changed, f"a test wrote into the files that all share: {sorted(changed)}"

    def _save(self, images, name):
        folder = self.folder / name
        folder.mkdir(parents=True)
        for image, file in zip(images, file_names(len(images)), strict=True):
            Image.fromarray(image).save(folder / file)
        return folder

    @made
    def photos(self):
        return self._save(self._world.photos, "photos")

    @made
    def background(self):
        return self._save(self._world.background, "background")

    @made
    def zoo(self):
        """Two folders, of fishes and of cats."""
        self._save(self._world.photos[:N_MINED], "zoo/fish")
        cats = [draw_animal("cat", 500 + i).image for i in range(N_MINED)]
        return self._save(cats, "zoo/cat").parent

    @made
    def annotated(self):
        """The photos with annotations.csv beside them."""
        folder = self._save(self._world.photos, "annotated")
        write_annotations(folder / "annotations.csv", self._world.marks)
        return folder

    @made
    def masks(self):
        write_masks(self.folder / "masks", self._world.masks)
        return self.folder / "masks"

    @made
    def clicks(self):
        write_annotations(self.folder / "clicks.csv", self._world.clicks)
        return self.folder / "clicks.csv"

    @made
    def graph(self):
        self._world.graph.save(self.folder / "graph.safetensors")
        return self.folder / "graph.safetensors"

    @made
    def small_net(self):
        (self.folder / "net.py").write_text(SMALL_NET)
        return self.folder / "net.py"

    @property
    def small_model(self):
        """``--model`` of a user's network in a file; it is mined in a moment."""
        return f"{self.small_net}:net"

    @made
    def small_graph(self):
        """What that network's mining makes of the zoo's fishes."""
        eg.mine(
            eg.load_backbone(self.small_model, device="cpu"),
            self.zoo / "fish",
            background=self.background,
            layers=SMALL_LAYERS,
            seed=SMALL_SEED,
            batch_size=SMALL_BATCH,
            progress=False,
        ).save(self.folder / "small.safetensors")
        return self.folder / "small.safetensors"
