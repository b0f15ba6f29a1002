"""Names of part groups, from masks or annotations of some photos."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from explgraph.base.arrays import F8, I4, NONE
from explgraph.base.errors import require
from explgraph.base.frames import is_inside
from explgraph.graphs.choice import groups_of
from explgraph.graphs.graph import ExplanatoryGraph
from explgraph.graphs.matches import Matches, check_nodes, fires
from explgraph.photos.annotations import Annotations
from explgraph.photos.masks import Labels, PartMasks

from .consensus import BAND

_MOST = 0.5  # of a group's nodes must lie on the part that it is called after
_SIDE = 224  # longest side of a mask, pixels: larger ones are reduced


def name_groups(
    graph: ExplanatoryGraph, found: Matches, truth: PartMasks | Annotations
) -> ExplanatoryGraph:
    """Call part groups after the parts that their nodes lie on.

    A node lies on the part, or on nothing, where most of its score is: in the part's mask, or
    nearer to it than half a cell of the node's layer; of annotations, in the part's box, or within
    .08 of the side of its centre. A group without a name is called after the part that more
    than half of its nodes lie on. The second group on a part is "head 2", and so on.

    Parameters
    ----------
    graph
        A graph with part groups.
    found
        Where its nodes are in N photos.
    truth
        Masks of these photos, in the same order, or annotations of some of them.

    Returns
    -------
    The graph with named groups.

    Raises
    ------
    ExplGraphError
        If the graph has no groups, the matches are not of its nodes, or the truth is not of these
        photos.

    Examples
    --------
    >>> masks = read_masks("photos/masks", found.images)  # doctest: +SKIP
    >>> graph = eg.name_groups(graph, found, masks)  # doctest: +SKIP
    """
    groups = groups_of(graph)
    check_nodes(graph, found)
    parts, node_part = node_parts(graph, found, truth)
    names: dict[int | str, str] = {}
    for number in range(len(groups)):
        mine = node_part[groups.node_group == number]
        votes = np.bincount(mine[mine != NONE], minlength=len(parts))
        if groups.names[number] or votes.max(initial=0) <= _MOST * len(mine):
            continue
        part = parts[int(votes.argmax())]
        taken = {*groups.names, *names.values()}
        free = (f"{part} {i}" if i > 1 else part for i in range(1, len(groups) + 2))
        names[number] = next(name for name in free if name not in taken)
    return graph.rename(groups=names) if names else graph


def node_parts(
    graph: ExplanatoryGraph, found: Matches, truth: PartMasks | Annotations
) -> tuple[tuple[str, ...], I4]:
    """Return K parts, and (P,) which of them most of a node's score lies on, `NONE` for nothing.

    Only photos in which a node fires, and of which something is known, count.
    """
    places = (found.yx if found.peak_yx is None else found.peak_yx).astype(np.float64)
    if isinstance(truth, Annotations):
        parts, known, label = _in_boxes(found, places, truth)
    else:
        parts, known = truth.parts, np.ones(len(found), dtype=bool)
        label = parts_under(graph, found, truth)
    score = found.score * (fires(found.score.T, graph.score).T & known[:, None])
    share = np.stack(
        [(score * (label == part)).sum(axis=0) for part in (*range(len(parts)), NONE)]
    )  # (K + 1, P), the last on nothing
    first = share.argmax(axis=0)
    on_part = (first < len(parts)) & (share.max(axis=0) > 0)
    return parts, np.where(on_part, first, NONE).astype(np.int32)


def parts_under(graph: ExplanatoryGraph, found: Matches, masks: PartMasks) -> Labels:
    """Return (N, P) the part on which each node's peak lies, `NONE` for the background.

    That is the part nearest to the peak, up to half a cell of the node's layer away.

    Raises
    ------
    ExplGraphError
        If the masks are not of the matched photos.
    """
    from scipy.ndimage import distance_transform_edt

    require(
        found.images == masks.images,
        f"the masks are of {len(masks)} photos, not of the {len(found)} matched ones in this "
        "order: read_masks(folder, matches.images)",
    )
    places = (found.yx if found.peak_yx is None else found.peak_yx).astype(np.float64)
    cell = np.array([np.mean(layer.stride) for layer in graph.layers])[graph.node_layer]
    label = np.full(places.shape[:2], NONE, dtype=np.int16)
    for i, whole in enumerate(masks.labels):
        mask = _reduced(whole)
        scale = 1 / np.array(graph.input_size) if found.frames is None else found.frames[i, :, 1]
        reach = cell / 2 * float(np.mean(scale * mask.shape))
        size = np.array(mask.shape)
        y, x = np.clip(places[i] * size, 0, size - 1).astype(np.intp).T
        if not np.any(mask != NONE):
            continue
        away, nearest = distance_transform_edt(mask == NONE, return_indices=True)
        part = mask[nearest[0][y, x], nearest[1][y, x]]
        label[i] = np.where((away[y, x] <= reach) & is_inside(places[i]), part, NONE)
    return label


def _reduced(mask: Labels) -> Labels:
    """Make a large mask smaller: every pixel keeps one part."""
    if max(mask.shape) <= _SIDE:
        return mask
    height, width = (max(round(s * _SIDE / max(mask.shape)), 1) for s in mask.shape)
    small = Image.fromarray(mask).resize((width, height), Image.Resampling.NEAREST)
    return np.asarray(small).astype(np.int16)


def _in_boxes(
    found: Matches, places: F8, marks: Annotations
) -> tuple[tuple[str, ...], NDArray[np.bool_], Labels]:
    """Return the parts, (N,) which photos count, and (N, P) the nearest part marked there."""
    parts = marks.parts()
    known = np.isin(np.array(found.images, dtype=object), np.array(marks.image, dtype=object))
    require(
        bool(known.any()),
        f"the annotations are of other photos ({', '.join(marks.image[:2])}, ...) than the matched "
        f"ones ({', '.join(found.images[:2])}, ...)",
    )
    label = np.full(places.shape[:2], NONE, dtype=np.int16)
    rows: dict[str, list[int]] = {}
    for row, image in enumerate(marks.image):
        rows.setdefault(image, []).append(row)
    for i in np.flatnonzero(known).tolist():
        mine = np.array(rows[found.images[i]])
        shape = np.array(found.photo_sizes[found.images[i]], dtype=np.float64)
        half = np.maximum(np.nan_to_num(marks.size[mine]) / 2 / shape, BAND)
        centre = (marks.yx[mine] + 0.5) / shape
        apart = np.abs(places[i][:, None] - centre[None])
        away = (apart / half[None]).max(axis=-1)  # 1 is the rim of the box
        nearest = away.argmin(axis=1)
        index = np.array([parts.index(marks.part[row]) for row in mine], dtype=np.int16)
        inside = away[np.arange(len(away)), nearest] <= 1
        label[i] = np.where(inside, index[nearest], NONE)
    return parts, known, label
