"""The pictures of a report: patches of nodes, and photos with the nodes that fire in them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from PIL import Image

from explgraph.base.arrays import I8
from explgraph.base.frames import to_pixels
from explgraph.base.text import printable
from explgraph.drawing.patches import OUTSIDE, best_photos, load_each, node_patches
from explgraph.drawing.pictures import data_uri
from explgraph.graphs.graph import ExplanatoryGraph
from explgraph.graphs.matches import Matches, fires

from .nodes import Gallery

if TYPE_CHECKING:
    from explgraph.photos.images import ImageSource


PATCHES = 6
"""Most patches in the gallery of a node."""

_SIDE = 72  # of a patch, pixels
_QUALITY, _PHOTO_QUALITY = 65, 80  # of JPEG
_PHOTO_ROOM = 480  # longest side of a photo, pixels


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


def parsed_photos(
    graph: ExplanatoryGraph, found: Matches, source: ImageSource, chosen: I8, photos: I8
) -> list[dict[str, Any]]:
    """Return photos with the nodes that fire in them.

    Parameters
    ----------
    graph, found, source
        P nodes in N photos.
    chosen
        The nodes shown on the page.
    photos
        Which photos: indices into the matches.

    Returns
    -------
    For each photo its ``name``, ``picture`` (``data:`` address), ``size`` (height, width; pixels of
    the picture), whether it is ``mirrored``, and the ``nodes`` that fire in it (places in
    ``chosen``), with their ``y``, ``x`` (unit square of the picture) and ``score``. Of an object's
    box, the picture is the box.

    Raises
    ------
    ExplGraphError
        If a photo is not among the source's.
    """
    firing = fires(found.score[:, chosen].T, graph.score[chosen]).T
    index = {found.images[photo]: photo for photo in photos.tolist()}
    result = []
    for name, loaded in load_each(source, index):
        photo = index[name]
        here = firing[photo].nonzero()[0]
        yx = to_pixels(loaded.frame, found.yx[photo, chosen[here]])
        picture = loaded.image.convert("RGB")
        picture.thumbnail((_PHOTO_ROOM, _PHOTO_ROOM), Image.Resampling.LANCZOS)
        result.append(
            {
                "name": printable(name),
                "picture": data_uri(picture, quality=_PHOTO_QUALITY),
                "size": [picture.height, picture.width],
                "mirrored": bool(found.mirrored[photo]),
                "nodes": here.tolist(),
                "y": yx[:, 0].round(4).tolist(),
                "x": yx[:, 1].round(4).tolist(),
                "score": found.score[photo, chosen[here]].round(4).tolist(),
            }
        )
    return result
