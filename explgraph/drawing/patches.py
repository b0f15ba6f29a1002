"""Patches: what a filter sees at a place in a photo, cut out to be shown."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps

from explgraph.base.frames import to_pixels
from explgraph.base.layer import LayerSpec
from explgraph.graphs.graph import ExplanatoryGraph
from explgraph.graphs.matches import Matches
from explgraph.photos.images import LoadedImage, open_images

if TYPE_CHECKING:
    from explgraph.photos.images import ImageSource


OUTSIDE = "#D9DBDF"
"""Colour of what lies outside of a photo."""

GLANCE_SHARE = 0.32
"""Of a photo's shorter side that patches of part groups show, whatever the layer: they can be
compared."""

_UNIT = np.array([[0.0, 1.0], [0.0, 1.0]])  # the frame of a whole photo
_LEAST_SHARE, _MOST_SHARE = 0.25, 0.6  # of the photo that a square patch shows


def patch_share(layer: LayerSpec, input_size: tuple[int, int]) -> float:
    """Return the share of a photo's shorter side that a square patch of a layer shows.

    It is what the receptive field takes of the network's input, but at least 25 % (or nothing
    could be recognised) and at most 60 % (or all patches would be the same photo).
    """
    share = float(np.mean([f / s for f, s in zip(layer.field, input_size, strict=True)]))
    return min(max(share, _LEAST_SHARE), _MOST_SHARE)


def cut_patch(loaded: LoadedImage, yx: NDArray[np.floating], share: float) -> Image.Image:
    """Cut a square out of a photo, whole pixels, grey where the photo ends.

    Parameters
    ----------
    loaded
        The photo, or an object's box in it.
    yx
        (2,) centre of the square, unit square of the whole photo. It is shifted by less than half
        a pixel to where whole pixels allow.
    share
        Side of the square over the shorter side of the photo or box.
    """
    side = max(round(share * min(loaded.image.size)), 1)
    return _cut(loaded, yx, (side, side))


def cut_field(
    loaded: LoadedImage, yx: NDArray[np.floating], size: tuple[float, float]
) -> Image.Image:
    """Cut a rectangle out of a photo, such as a receptive field, in the photo's own aspect.

    Parameters
    ----------
    loaded
        The photo, or an object's box in it.
    yx
        (2,) centre, unit square of the whole photo. It is shifted by less than half a pixel to
        where whole pixels allow.
    size
        (height, width), unit square of the whole photo. Grey is what lies outside of the photo.
    """
    pixels = (
        max(round(share / length * side), 1)
        for share, length, side in zip(
            size, loaded.frame[:, 1].tolist(), loaded.image.size[::-1], strict=True
        )
    )
    height, width = pixels
    return _cut(loaded, yx, (height, width))


def _cut(loaded: LoadedImage, yx: NDArray[np.floating], size: tuple[int, int]) -> Image.Image:
    width, height = loaded.image.size
    centre = to_pixels(loaded.frame, np.asarray(yx, dtype=np.float64)) * (height, width)
    top, left = (int(np.floor(c - s / 2 + 0.5)) for c, s in zip(centre, size, strict=True))
    patch = Image.new("RGB", (size[1], size[0]), OUTSIDE)
    patch.paste(loaded.image, (-left, -top))
    return patch


def field_size(
    layer: LayerSpec, matches: Matches, photo: int, input_size: tuple[int, int]
) -> tuple[float, float]:
    """Return (height, width) of a layer's receptive field, unit square of one of the photos.

    Where the matches do not record how photos were made to fit the network's input, the whole
    photo is taken to have been stretched.
    """
    frames = matches.frames
    scale = 1 / np.array(input_size) if frames is None else frames[photo, :, 1]
    height, width = (scale * layer.field).tolist()
    return height, width


def best_photos(matches: Matches, node: int, count: int) -> tuple[int, ...]:
    """Return the photos, at most ``count``, in which a node scores best, best first.

    On a tie the first photo comes first. Photos without a peak of the node (score 0) are left out.
    """
    score = matches.score[:, node]
    order = np.argsort(-score, kind="stable")[:count]
    return tuple(int(photo) for photo in order if score[photo] > 0)


def group_photos(
    graph: ExplanatoryGraph, matches: Matches, nodes: Sequence[int], count: int
) -> list[tuple[int, int]]:
    """Return what shows a part group best: its nodes, and the photo to cut each of them out of.

    Layers take turns, within a layer nodes come in the order given: each has the photo in which it
    scores best among those that no node before it has. Where there are fewer nodes than places,
    they have further turns.

    Parameters
    ----------
    graph, matches
        P nodes in N photos.
    nodes
        The group's nodes, best first: `Group.nodes`.
    count
        How many, at most: there is one place in each photo at most.
    """
    score = matches.score.copy()
    chosen: list[tuple[int, int]] = []
    turns = _by_turns(graph, nodes)
    while turns and len(chosen) < count:
        left = []
        for node in turns[: count - len(chosen)]:
            photo = int(score[:, node].argmax()) if len(score) else 0
            if len(score) and score[photo, node] > 0:
                chosen.append((node, photo))
                left.append(node)
                score[photo] = 0
        turns = left
    return chosen


def _by_turns(graph: ExplanatoryGraph, nodes: Sequence[int]) -> list[int]:
    """Return nodes, the first of each layer first, top layer before the others."""
    turn: dict[int, int] = {}
    order = []
    for place, node in enumerate(nodes):
        layer = int(graph.node_layer[node])
        turn[layer] = turn.get(layer, -1) + 1
        order.append((turn[layer], -layer, place))
    return [int(nodes[place]) for _, _, place in sorted(order)]


def load_each(source: ImageSource, names: Iterable[str]) -> Iterator[tuple[str, LoadedImage]]:
    """Load photos of a source by name, each once, in the order of their first mention.

    Raises
    ------
    ExplGraphError
        If a name is not among the source's, before any is loaded.
    """
    wanted = source.named(dict.fromkeys(names), of="matches")
    for index, name in enumerate(wanted.names):
        yield name, wanted.load(index)


def only_photo(image: object, name: str) -> LoadedImage:
    """Return a photo, or what a box cuts out of it, as a photo of its own.

    Parameters
    ----------
    image
        The photo, alone or among others, in any form that `open_images` takes; or a PIL image.
    name
        Which one it is, where there are several.

    Raises
    ------
    ExplGraphError
        If it is not among several images.
    """
    source = open_images([image] if isinstance(image, Image.Image) else image)
    if len(source) == 1:
        loaded = source.load(0)
    else:
        ((_, loaded),) = load_each(source, [name])
    return LoadedImage(loaded.image.convert("RGB"), _UNIT, loaded.image.size[::-1])


def node_patches(
    graph: ExplanatoryGraph,
    matches: Matches,
    source: ImageSource,
    photos: Mapping[int, Sequence[int]],
    side: int,
    *,
    share: float | None = None,
) -> dict[tuple[int, int], Image.Image]:
    """Cut square patches around nodes.

    Parameters
    ----------
    graph, matches
        P nodes in N photos.
    source
        The photos; each is loaded once at most.
    photos
        By node, the photos to cut it out of: indices into the matches.
    side
        Of a patch, pixels.
    share
        Of a photo's shorter side that patches show; None: what is their layer's, `patch_share`.

    Returns
    -------
    By (node, photo), the patch in the graph's own orientation: mirrored photos are mirrored.

    Raises
    ------
    ExplGraphError
        If a photo is not among the source's.
    """
    wanted: dict[str, list[tuple[int, int]]] = {}
    for node, mine in photos.items():
        for photo in mine:
            wanted.setdefault(matches.images[photo], []).append((node, photo))
    result = {}
    for name, loaded in load_each(source, wanted):
        for node, photo in wanted[name]:
            layer = graph.layers[graph.node_layer[node]]
            shown = patch_share(layer, graph.input_size) if share is None else share
            patch = cut_patch(loaded, matches.yx[photo, node], shown)
            patch = patch.resize((side, side), Image.Resampling.LANCZOS)
            is_mirrored = bool(matches.mirrored[photo])
            result[node, photo] = ImageOps.mirror(patch) if is_mirrored else patch
    return result
