"""Any number of photos, made of some when they are asked for: moved, scaled, of other colours."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from PIL import Image

from explgraph.demo.animals.drawing import SEEDS, draw_animal
from explgraph.photos.images import ImageItem, ImageSource, open_images
from tests.bench.workload import shared_folder

_MOVE, _SCALE, _COLOUR = 0.06, 0.12, 0.15  # at most, shares of the side, of the scale, of a colour


@dataclass(frozen=True, eq=False, slots=True)
class Varied:
    """Gives a photo by its index; each is another, and always the same."""

    photos: ImageSource
    seed: int

    def __call__(self, index: int) -> Image.Image:
        """Return a photo."""
        image = self.photos.load(index % len(self.photos)).image
        rng = np.random.default_rng([self.seed, index])
        width, height = image.size
        scale = 1 + rng.uniform(-_SCALE, _SCALE)
        y, x = rng.uniform(-_MOVE, _MOVE, 2) * (height, width)
        corner = (width * (1 - scale) / 2 + x, height * (1 - scale) / 2 + y)
        moved = image.transform(
            image.size,
            Image.Transform.AFFINE,
            (scale, 0.0, corner[0], 0.0, scale, corner[1]),
            Image.Resampling.BILINEAR,
        )
        gain = 1 + rng.uniform(-_COLOUR, _COLOUR, 3)
        pixels = np.asarray(moved, dtype=np.float32) * gain.astype(np.float32)
        return Image.fromarray(np.clip(pixels, 0, 255).astype(np.uint8))


def many_photos(kind: str, n: int, seed: int = 0) -> ImageSource:
    """Return n photos of a category of the reference material, or drawings where it is missing."""
    shared = shared_folder()
    if shared is None:
        seeds = SEEDS["mine"][:24]
        source = open_images(np.stack([draw_animal("fish", own).image for own in seeds]))
    else:
        source = open_images(shared / "animalpart" / kind)
    return ImageSource([ImageItem(f"{i:08d}", i) for i in range(n)], Varied(source, seed))
