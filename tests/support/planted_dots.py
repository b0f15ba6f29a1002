"""Photos with a dot in a known place, and matches that say that every node is on it."""

from pathlib import Path

import numpy as np
from PIL import Image

from explgraph.graphs.graph import ExplanatoryGraph
from explgraph.graphs.matches import Matches
from tests.support.plain import plain_matches

MAGENTA = (255, 0, 255)


def photo_with_dot(y: int, x: int, height: int = 120, width: int = 160) -> np.ndarray:
    """Noise in green, and a magenta square of 5 by 5 pixels whose centre is pixel (y, x)."""
    pixels = np.zeros((height, width, 3), dtype=np.uint8)
    pixels[..., 1] = np.random.default_rng(y * width + x).integers(60, 200, (height, width))
    pixels[y - 2 : y + 3, x - 2 : x + 3] = MAGENTA
    return pixels


def pixels_of(path: Path) -> np.ndarray:
    with Image.open(path) as image:
        return np.asarray(image)


def is_magenta(pixels: np.ndarray) -> np.ndarray:
    red, green, blue = np.moveaxis(pixels.astype(int), -1, 0)
    return (red > 200) & (blue > 200) & (green < 60)


def planted_matches(graph: ExplanatoryGraph, names: tuple[str, ...], yx: np.ndarray) -> Matches:
    """Every node is at the photo's dot (N, 2), and scores higher in later photos."""
    shape = (len(names), len(graph))
    score = np.broadcast_to(np.arange(1.0, len(names) + 1)[:, None], shape)
    return plain_matches(names, yx[:, None], score, graph.node_layer)
