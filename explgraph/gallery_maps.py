"""Small maps for galleries: where in the network's input something is found, photo by photo."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from .canvas import EMPTY
from .images import LoadedImage
from .matches import Matches
from .overlay import Overlay
from .structures import F8

_UNIT = np.array([[0.0, 1.0], [0.0, 1.0]])
_DOT = 1.8  # radius, pixels


def blank_map(input_size: tuple[int, int], room: int) -> Overlay:
    """Return an empty map in the shape of the network's input; places are shares of its sides.

    Parameters
    ----------
    input_size
        (H_in, W_in).
    room
        Longest side of the map, pixels.
    """
    height, width = input_size
    return Overlay(LoadedImage(Image.new("RGB", (width, height), EMPTY), _UNIT, input_size), room)


def add_dots(overlay: Overlay, places: F8, colors: list[str]) -> None:
    """Draw a dot at each of (n, 2) places."""
    for place, color in zip(places, colors, strict=True):
        overlay.dot(place, _DOT, color)


def input_places(found: Matches, nodes: NDArray[np.intp], input_size: tuple[int, int]) -> F8:
    """Return (N, p, 2) where nodes are in the network's input: shares of its sides.

    In the graph's own orientation. Object boxes in a photo are inputs of their own, so that places
    in different boxes can be told in one map. Where the matches do not record how photos were made
    to fit the input, the whole photo is taken to have been stretched.
    """
    share = found.yx[:, nodes].astype(np.float64)
    if found.frames is not None:
        frames = found.frames[:, None]
        share = (share - frames[..., 0]) / frames[..., 1] / np.array(input_size)
    flip = found.mirrored.astype(bool)
    share[flip, :, 1] = 1 - share[flip, :, 1]
    return share
