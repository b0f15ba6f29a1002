"""Photos in which every node's place is painted in its own colour, and the matches that say so."""

import base64
import io
import xml.etree.ElementTree as ET

import numpy as np
from PIL import Image

from tests.support.plain import plain_matches

SVG = "{http://www.w3.org/2000/svg}"
XLINK = "{http://www.w3.org/1999/xlink}"
HEIGHT, WIDTH = 240, 320
HALF = 10
"""Half the side of a painted square, pixels: it is in the colour at the left, dark at the right."""

DARK = (20, 20, 20)


def colors(count):
    """Return (count, 3) colours that are far apart, at most 26."""
    steps = [(r, g, b) for r in (60, 150, 240) for g in (60, 150, 240) for b in (60, 150, 240)]
    return np.array([c for c in steps if c != (150, 150, 150)][:count])


def middles(count):
    """Return (count, 2) middles of squares, pixels: a grid of 4 columns, 60 pixels apart."""
    i = np.arange(count)
    return np.stack([40 + 50 * (i // 4), 50 + 70 * (i % 4)], axis=-1)


def painted(graph, best, mirrored=()):
    """Paint photos in which node i is at ``middles(P)[i]``.

    ``best`` gives each node's photo, -1 for a node without a peak; elsewhere it scores less.
    Returns photos (N, HEIGHT, WIDTH, 3) and the matches.
    """
    best = np.asarray(best)
    n = int(best.max()) + 1
    photos = np.full((n, HEIGHT, WIDTH, 3), 128, dtype=np.uint8)
    place = middles(len(best))
    for node, photo in enumerate(best):
        if photo >= 0:
            y, x = place[node]
            rows = slice(y - HALF, y + HALF)
            photos[photo, rows, x - HALF : x] = colors(len(best))[node]
            photos[photo, rows, x : x + HALF] = DARK
    score = np.where(best >= 0, 0.1, 0.0)[None].repeat(n, axis=0)
    score[best[best >= 0], np.flatnonzero(best >= 0)] = 2.0
    names, facing = (f"{i:06d}" for i in range(n)), np.isin(np.arange(n), mirrored)
    yx = place / (HEIGHT, WIDTH)
    return photos, plain_matches(names, yx, score, graph.node_layer, mirrored=facing)


def pictures(path):
    """Return the pictures in an SVG by their node's title: ((x, y) of the middle, RGB array)."""
    found = {}
    for group in ET.parse(path).getroot().iter(f"{SVG}g"):
        if group.get("class") != "node":
            continue
        for image in group.iter(f"{SVG}image"):
            kind, _, data = image.get(f"{XLINK}href").partition(",")
            assert kind == "data:image/jpeg;base64"
            picture = Image.open(io.BytesIO(base64.b64decode(data))).convert("RGB")
            corner, size = (
                np.array([float(image.get(k).removesuffix("px")) for k in keys])
                for keys in (("x", "y"), ("width", "height"))
            )
            found[group.find(f"{SVG}title").text] = corner + size / 2, np.asarray(picture)
    return found


def halves(picture):
    """Return the mean colours left and right of a picture's middle."""
    y, x = picture.shape[0] // 2, picture.shape[1] // 2
    rows = slice(y - 3, y + 3)
    return [picture[rows, x + a : x + a + 4].reshape(-1, 3).mean(axis=0) for a in (-8, 4)]
