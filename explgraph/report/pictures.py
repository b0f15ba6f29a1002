"""The pictures of a report: patches of nodes, and photos with the groups and nodes in them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image, ImageOps

from explgraph.base.arrays import I8
from explgraph.base.frames import to_pixels, to_unit
from explgraph.base.text import printable
from explgraph.drawing.patches import (
    GLANCE_SHARE,
    OUTSIDE,
    best_photos,
    group_photos,
    load_each,
    node_patches,
)
from explgraph.drawing.pictures import data_uri
from explgraph.graphs.graph import ExplanatoryGraph
from explgraph.graphs.groups import Group
from explgraph.graphs.matches import Matches, fires
from explgraph.groups.grouping import group_places

from .nodes import Gallery, rounded

if TYPE_CHECKING:
    from explgraph.photos.images import ImageSource


PATCHES, ROW = 6, 8
"""Most patches in the gallery of a node, and in the row of a group."""

_SIDE, _ROW_SIDE = 72, 96  # of a patch, pixels; in the row of a group
_QUALITY, _PHOTO_QUALITY = 65, 80  # of JPEG
_PHOTO_ROOM = 480  # longest side of a photo, pixels
_SEEN_SIDE = 168  # of the photo that groups' places are drawn upon, pixels


def galleries(
    graph: ExplanatoryGraph, found: Matches, source: ImageSource, chosen: I8
) -> dict[int, Gallery]:
    """Cut out the best patches of some nodes; each photo is loaded once.

    Raises
    ------
    ExplGraphError
        If a photo is not among the source's.
    """
    photos = {node: best_photos(found, node, PATCHES) for node in chosen.tolist()}
    tiles = node_patches(graph, found, source, photos, _SIDE)
    return {
        node: _gallery([tiles[node, photo] for photo in mine], found, node, mine)
        for node, mine in photos.items()
    }


def _gallery(
    tiles: Sequence[Image.Image], found: Matches, node: int, photos: Sequence[int]
) -> Gallery:
    if not tiles:
        blank = Image.new("RGB", (_SIDE, _SIDE), OUTSIDE)
        return Gallery(data_uri(blank, quality=_QUALITY), "", ())
    strip = Image.new("RGB", (_SIDE * len(tiles), _SIDE))
    for i, tile in enumerate(tiles):
        strip.paste(tile, (i * _SIDE, 0))
    patches = [
        (found.images[photo], float(found.score[photo, node]), bool(found.mirrored[photo]))
        for photo in photos
    ]
    thumbnail, whole = (data_uri(picture, quality=_QUALITY) for picture in (tiles[0], strip))
    return Gallery(thumbnail, whole, patches)


def row_pictures(
    graph: ExplanatoryGraph, found: Matches, source: ImageSource
) -> dict[int, list[dict[str, Any]]]:
    """Cut out what shows each part group best: by group, ``node``, ``photo`` and ``picture``."""
    groups: Iterable[Group] = () if graph.groups is None else graph.groups
    rows = {g.number: group_photos(graph, found, g.nodes.tolist(), ROW) for g in groups}
    photos: dict[int, list[int]] = {}
    for node, photo in (pair for row in rows.values() for pair in row):
        photos.setdefault(node, []).append(photo)
    tiles = node_patches(graph, found, source, photos, _ROW_SIDE, share=GLANCE_SHARE)
    return {
        number: [
            {
                "node": node,
                "photo": printable(found.images[photo]),
                "picture": data_uri(tiles[node, photo], quality=_QUALITY),
            }
            for node, photo in row
        ]
        for number, row in rows.items()
    }


def seen_photo(graph: ExplanatoryGraph, found: Matches, source: ImageSource, photo: int) -> str:
    """Return what the network sees of a photo, in the graph's orientation, stretched to a square.

    Places in units of the network's input can be drawn upon it.
    """
    corners = np.array([[0.0, 0.0], graph.input_size])
    frame = None if found.frames is None else found.frames[photo]
    unit = corners / graph.input_size if frame is None else to_unit(frame, corners)
    ((_, loaded),) = load_each(source, [found.images[photo]])
    pixels = to_pixels(loaded.frame, unit) * loaded.image.size[::-1]
    (top, left), (bottom, right) = pixels.tolist()
    small = loaded.image.convert("RGB").transform(
        (_SEEN_SIDE, _SEEN_SIDE),
        Image.Transform.EXTENT,
        (left, top, right, bottom),
        Image.Resampling.BILINEAR,
        fillcolor=OUTSIDE,
    )
    return data_uri(ImageOps.mirror(small) if found.mirrored[photo] else small, quality=_QUALITY)


def parsed_photos(
    graph: ExplanatoryGraph, found: Matches, source: ImageSource, photos: I8
) -> list[dict[str, Any]]:
    """Return photos with the groups' places and the nodes that fire in them.

    Parameters
    ----------
    graph, found, source
        P nodes in N photos.
    photos
        Which photos: indices into the matches.

    Returns
    -------
    For each photo its ``name``, ``picture`` (``data:`` address), ``size`` (height, width; pixels of
    the picture), whether it is ``mirrored``, the ``nodes`` that fire in it, with their ``y``, ``x``
    (unit square of the picture) and ``score``; and the ``places`` of all groups: y, x and how well
    their nodes agree. Of an object's box, the picture is the box.

    Raises
    ------
    ExplGraphError
        If a photo is not among the source's.
    """
    chosen = found.take(images=photos)
    firing = fires(chosen.score.T, graph.score).T
    groups = None if graph.groups is None else group_places(graph, chosen)
    index = {name: i for i, name in enumerate(chosen.images)}
    result = []
    for name, loaded in load_each(source, index):
        i = index[name]
        here = firing[i].nonzero()[0]
        yx = to_pixels(loaded.frame, chosen.yx[i, here])
        picture = loaded.image.convert("RGB")
        picture.thumbnail((_PHOTO_ROOM, _PHOTO_ROOM), Image.Resampling.LANCZOS)
        places = []
        if groups is not None:
            at = to_pixels(loaded.frame, groups.yx[i])
            places = [
                [round(y, 4), round(x, 4), round(sure, 3)]
                for (y, x), sure in zip(at.tolist(), groups.sureness[i].tolist(), strict=True)
            ]
        result.append(
            {
                "name": printable(name),
                "picture": data_uri(picture, quality=_PHOTO_QUALITY),
                "size": [picture.height, picture.width],
                "mirrored": bool(chosen.mirrored[i]),
                "nodes": here.tolist(),
                "y": yx[:, 0].round(3).tolist(),
                "x": yx[:, 1].round(3).tolist(),
                "score": rounded(chosen.score[i, here].tolist(), 3),
                "places": places,
            }
        )
    return result
