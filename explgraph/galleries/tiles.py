"""The tiles of galleries: patches with a ring, captions, and maps of places."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps

from explgraph.base.arrays import F8, NONE
from explgraph.base.frames import mirrored_yx, to_pixels
from explgraph.base.layer import LayerSpec
from explgraph.drawing.canvas import LINE, Canvas, fitted
from explgraph.drawing.look import EMPTY, FAINT
from explgraph.drawing.overlay import Overlay
from explgraph.drawing.patches import cut_field, field_size, load_each
from explgraph.graphs.graph import ExplanatoryGraph
from explgraph.graphs.matches import Matches
from explgraph.photos.images import ImageSource, LoadedImage

LEAST_SHARE = 0.25
"""A tile shows at least this share of a photo's sides, or nothing could be recognised."""

CAPTION = 2 * LINE + 2
"""Height of the two lines beneath a tile, pixels."""

_RING = 6  # radius, pixels
_EDGE = 1.0  # a field that ends so many pixels inside of the tile has its own frame

Box = tuple[float, float, float, float]


class Place(NamedTuple):
    """A place in one of the matched photos: its index, and (2,) in the photo's unit square."""

    photo: int
    yx: F8


@dataclass(frozen=True, slots=True)
class Tile:
    """What is shown of a place, in the graph's own orientation.

    Attributes
    ----------
    image
        The cut-out.
    yx
        The place, pixels of the image.
    field
        (left, top, right, bottom) of the receptive field where it is not all of the image, pixels.
    is_whole
        Whether the field is larger than the photo, and all of the photo is shown instead.
    is_mirrored
        Whether the photo was mirrored.
    """

    image: Image.Image
    yx: tuple[float, float]
    field: Box | None
    is_whole: bool
    is_mirrored: bool = False

    def mirrored(self) -> Tile:
        """Return the mirrored tile."""
        width, field = self.image.width, self.field
        return replace(
            self,
            image=ImageOps.mirror(self.image),
            yx=(self.yx[0], width - self.yx[1]),
            field=None
            if field is None
            else (width - field[2], field[1], width - field[0], field[3]),
            is_mirrored=True,
        )


def cut_tiles(
    layer: LayerSpec,
    input_size: tuple[int, int],
    found: Matches,
    source: ImageSource,
    places: Sequence[Place],
    room: int,
) -> list[Tile]:
    """Cut the receptive fields about some places out of their photos, each loaded once.

    Parameters
    ----------
    layer
        Whose receptive field.
    input_size
        (H_in, W_in) of the network's input, pixels.
    found
        Names the photos, and tells which the graph sees mirrored: their tiles are mirrored.
    source
        The photos, and perhaps others.
    places
        Where to cut.
    room
        Longest side of a tile, pixels.

    Raises
    ------
    ExplGraphError
        If a photo is not among the source's.
    """
    wanted: dict[str, list[int]] = {}
    for i, place in enumerate(places):
        wanted.setdefault(found.images[place.photo], []).append(i)
    tiles: dict[int, Tile] = {}
    for name, loaded in load_each(source, wanted):
        for i in wanted[name]:
            photo, yx = places[i]
            tile = cut_tile(loaded, yx, field_size(layer, found, photo, input_size), room)
            tiles[i] = tile.mirrored() if found.mirrored[photo] else tile
    return [tiles[i] for i in range(len(places))]


def cut_tile(loaded: LoadedImage, yx: F8, field: tuple[float, float], room: int) -> Tile:
    """Cut a receptive field out of a photo, in the photo's own aspect.

    A field of less than `LEAST_SHARE` of the sides is shown with what is around it. Of a field that
    is larger than the photo, only the photo could be seen: that is shown as a whole.

    Parameters
    ----------
    loaded
        The photo, or an object's box in it.
    yx
        (2,) the place, unit square of the whole photo.
    field
        (height, width) of the field, unit square of the whole photo.
    room
        Longest side of the tile, pixels.
    """
    place, size = np.asarray(yx, dtype=np.float64), np.array(field)
    share = size / loaded.frame[:, 1]
    is_whole = bool(share.min() >= 1)
    centre, window = place, size * max(1.0, LEAST_SHARE / share.max())
    if is_whole:
        centre, window = loaded.frame[:, 0] + loaded.frame[:, 1] / 2, loaded.frame[:, 1]
    cut = cut_field(loaded, centre, (float(window[0]), float(window[1])))
    width, height = (max(round(side * room / max(cut.size)), 1) for side in cut.size)
    y, x = (((place - centre) / window + 0.5) * (height, width)).tolist()
    half_y, half_x = (size / window / 2 * (height, width)).tolist()
    box = (x - half_x, y - half_y, x + half_x, y + half_y)
    is_inside = max(box[0], box[1], width - box[2], height - box[3]) > _EDGE
    image = cut.resize((width, height), Image.Resampling.LANCZOS)
    return Tile(image, (y, x), box if is_inside else None, is_whole)


def add_tile(canvas: Canvas, corner: tuple[int, int], side: int, tile: Tile) -> tuple[int, int]:
    """Draw a tile at the foot of a square cell, with its field's frame and the ring.

    Returns
    -------
    (left, top) of the tile.
    """
    left = corner[0] + (side - tile.image.width) // 2
    top = corner[1] + side - tile.image.height
    marked = Canvas(tile.image.size)  # of its own: marks end where the tile does
    marked.image.paste(tile.image)
    if tile.field is not None:
        marked.frame(tile.field)
    marked.ring((tile.yx[1], tile.yx[0]), _RING)
    canvas.image.paste(marked.image, (left, top))
    return left, top


def add_caption(canvas: Canvas, corner: tuple[int, int], side: int, lines: Sequence[str]) -> None:
    """Write the lines beneath a tile, cut to its width."""
    for i, line in enumerate(lines):
        place = (corner[0], corner[1] + side + 3 + i * (LINE - 2))
        canvas.text(fitted(line, 11, side), 11, place, FAINT)


def group_line(graph: ExplanatoryGraph, node: int) -> list[str]:
    """Return the line that says which part group a node is in; none where it is in none."""
    number = NONE if graph.groups is None else int(graph.groups.node_group[node])
    if graph.groups is None or number == NONE:
        return []
    return [f"group {number}: {graph.groups.title(number)}"]


def field_note(layer: LayerSpec, input_size: tuple[int, int], tiles: Iterable[Tile]) -> str:
    """Say what the tiles of a layer show of the photos."""
    shown = list(tiles)
    note = (
        f"The receptive field of {layer.name}: {layer.field[0]} by {layer.field[1]} of the "
        f"{input_size[0]} by {input_size[1]} pixels of the network's input"
    )
    if any(tile.is_whole for tile in shown):
        note += ", which is larger than the photo: the whole photo is shown"
    elif any(tile.field is not None for tile in shown):
        note += f" (the frame); {LEAST_SHARE:.0%} of the photo's sides are shown around it"
    else:
        note += ", and a tile shows just that"
    if any(tile.is_mirrored for tile in shown):
        note += ". Photos in which the graph found the object mirrored are shown mirrored"
    return note + ". The ring is the place. Grey lies outside of the photo."


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
        share = to_pixels(found.frames, share) / np.array(input_size)
    return mirrored_yx(share, found.mirrored)
