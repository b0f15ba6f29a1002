"""Mine odd photos and real ones, and print which doubts fire: the table of ``docs/reading.md``.

    python docs/make_doubts.py SHARED NETWORK [PHOTOS ...]

SHARED holds ``models/NETWORK.safetensors`` and ``animalpart``; see CONTRIBUTING.md. "demo" as
NETWORK takes the demo's network and drawings, "-random" behind a name random weights. PHOTOS name
some rows of the table; default: all.
"""

import io
import sys
import warnings
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

import explgraph as eg
from explgraph.demo.animals.drawing import draw_animal, draw_background
from explgraph.demo.run import MODEL

SIDE = 224
REAL = ("bird", "cat", "zebra")
ALL = (*REAL, "dog", "elephant", "giant_panda")
Photos = NDArray[np.uint8]


class Sets:
    """Sets of photos by name, made of a folder of real ones, or of drawings."""

    def __init__(self, folder: Path | None) -> None:
        self._folder = folder
        self.categories = REAL if folder is None else ALL
        self._rng = np.random.default_rng(0)

    @cache  # noqa: B019  lives as long as the script
    def photo(self, category: str, i: int) -> Photos:
        """Return one photo, (SIDE, SIDE, 3)."""
        if self._folder is None:
            image = Image.fromarray(draw_animal(category, 1000 + i).image)
        else:
            image = Image.open(sorted((self._folder / category).glob("*.jpg"))[i]).convert("RGB")
        return np.asarray(image.resize((SIDE, SIDE)))

    def first(self, category: str, count: int) -> Photos:
        """Return so many photos, evenly spread."""
        return np.stack([self.photo(category, i * 150 // count) for i in range(count)])

    def three(self) -> list[Photos]:
        """Return a photo of each of three categories."""
        return [self.photo(category, 10) for category in REAL]

    def cropped(self, image: Photos, most: int) -> Photos:
        """Cut up to so many pixels off each side, at random."""
        top, left, bottom, right = self._rng.integers(0, most + 1, 4)
        cut = image[top : SIDE - bottom, left : SIDE - right]
        return np.asarray(Image.fromarray(cut).resize((SIDE, SIDE), Image.Resampling.BILINEAR))

    def noise(self, count: int) -> Photos:
        """Return noise."""
        return self._rng.integers(0, 256, (count, SIDE, SIDE, 3), dtype=np.uint8)


def compressed(image: Photos, quality: int) -> Photos:
    """Return a photo as JPEG makes it."""
    buffer = io.BytesIO()
    Image.fromarray(image).save(buffer, "JPEG", quality=quality)
    return np.asarray(Image.open(buffer).convert("RGB"))


def small(images: Photos, side: int) -> Photos:
    """Return photos of so many pixels."""
    return np.stack([np.asarray(Image.fromarray(image).resize((side, side))) for image in images])


def alike(images: Photos) -> Photos:
    """Return photos whose right half is the left one, mirrored."""
    left = images[:, :, : SIDE // 2]
    return np.concatenate([left, left[:, :, ::-1]], axis=2)


def rows(sets: Sets) -> Iterator[tuple[str, Callable[[], Photos]]]:
    """Yield the table's rows: what they are called, and how they are made."""
    for category in REAL:
        for count in (150, 75, 50, 20, 8):
            yield f"{category}, {count}", lambda c=category, n=count: sets.first(c, n)
    yield "mirrored, 60", lambda: sets.first("bird", 60)[:, :, ::-1]
    yield (
        "several categories, 60",
        lambda: np.concatenate(
            [sets.first(c, 60 // len(sets.categories)) for c in sets.categories]
        ),
    )
    yield "one photo, 6 times", lambda: np.stack([sets.photo("cat", 10)] * 6)
    yield (
        "three photos, 200 crops by 0-6 px",
        lambda: np.stack([sets.cropped(sets.three()[i % 3], 6) for i in range(200)]),
    )
    yield (
        "three photos, 60 crops by 0-20 px",
        lambda: np.stack([sets.cropped(sets.three()[i % 3], 20) for i in range(60)]),
    )
    yield (
        "three photos, 60 times as JPEG",
        lambda: np.stack([compressed(sets.three()[i % 3], 10 + i) for i in range(60)]),
    )
    yield (
        "30 photos and their mirror images",
        lambda: np.concatenate([sets.first("bird", 30), sets.first("bird", 30)[:, :, ::-1]]),
    )
    yield (
        "grey, 6",
        lambda: np.stack(
            [np.full((SIDE, SIDE, 3), v, np.uint8) for v in (0, 50, 100, 150, 200, 255)]
        ),
    )
    yield "noise, 60", lambda: sets.noise(60)
    yield "both halves alike, 60", lambda: alike(sets.first("cat", 60))
    for side in (112, 56, 28):
        yield f"bird, {side} px, 60", lambda s=side: small(sets.first("bird", 60), s)


def main(shared: str, network: str, *wanted: str) -> None:
    """Print a line for each set of photos."""
    name = network.removesuffix("-random")
    is_demo, folder = name == "demo", Path(shared) / "animalpart"
    if is_demo:
        net = eg.load_backbone(MODEL, device="cpu")
        background: Any = np.stack([draw_background(i, size=SIDE) for i in range(60)])
    else:
        weights = None if network != name else Path(shared) / "models" / f"{name}.safetensors"
        net = eg.load_backbone(name, weights, device="cpu")
        background = folder / "background"
    background = eg.extract(net, background, progress=False)
    warnings.simplefilter("ignore", eg.DoubtfulDataWarning)
    for title, make in rows(Sets(None if is_demo else folder)):
        if wanted and title not in wanted:
            continue
        graph = eg.mine(net, make(), background=background, progress=False)
        told = [f"{d.severity}: {d.kind} {d.figure:.2g}" for d in graph.doubts]
        print(f"| {title} | {len(graph)} | {', '.join(told) or 'none'} |", flush=True)  # noqa: T201


if __name__ == "__main__":
    main(*sys.argv[1:])
