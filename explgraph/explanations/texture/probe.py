"""Shape or texture: a network and a graph's nodes are shown photos that lack one of them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from collections.abc import Set as AbstractSet
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps

from explgraph.base.arrays import F4, F8, I4, I8, NONE
from explgraph.base.errors import require
from explgraph.base.progress import Progress
from explgraph.graphs.comparison import NEAR
from explgraph.graphs.graph import ExplanatoryGraph
from explgraph.graphs.matches import fires
from explgraph.photos.images import ImageItem, ImageSource, open_images
from explgraph.photos.loading import iterate_batches
from explgraph.photos.masks import PartMasks

from .changes import (
    NEEDS_SKIMAGE,
    UNCHANGED,
    Alter,
    Change,
    Mask,
    has_skimage,
    photo_changes,
    rough_mask,
    silhouettes,
)
from .results import ANSWERS, Survival, TextureProbe

if TYPE_CHECKING:
    from explgraph.graphs.matches import Matches
    from explgraph.networks.backbone import Backbone


Classes = int | AbstractSet[int] | Sequence[int]
"""What is right: a class for all photos, a set of which any is right, or a class for each photo."""

_ORDER = ("grey", "silhouettes", "edges", "shuffled", "low-passed", "high-passed")
_LARGEST = 1024  # longest side of what is changed, pixels
_DIAGONAL = math.sqrt(2)  # of the unit square


def probe_texture(
    net: Backbone,
    images: object,
    *,
    graph: ExplanatoryGraph | None = None,
    classes: Classes | None = None,
    masks: PartMasks | None = None,
    seed: int = 0,
    batch_size: int | None = None,
    progress: Progress = True,
) -> TextureProbe:
    """Ask whether a network goes by shape or by texture, photo by photo and node by node.

    Each photo is shown unchanged, grey, as a silhouette, as edges, with shuffled patches (texture
    without shape), low-passed and high-passed: see `explgraph.explanations.texture.changes`.
    Without true classes, what counts is whether the network's own answer stays.

    With a graph, its nodes are looked for in all of them. A node *survives* a change if it fires
    (see `explgraph.graphs.matches.fires`) where it did in the photo unchanged: nearer than a
    twentieth of the photo's diagonal. Shuffled patches are elsewhere, so there it is enough that it
    fires. Changed photos are seen in the orientation in which the graph sees the unchanged ones.

    Parameters
    ----------
    net
        A classifier.
    images
        N photos, in any form that `open_images` takes. Object boxes are changed each by itself;
        what is larger than 1024 pixels is reduced before.
    graph
        A graph that was mined from this network; best from other photos of the category.
    classes
        What is right, as indices: one class for all photos, a set of classes of which any is right,
        or a class for each photo.
    masks
        Where the objects are, for silhouettes: whatever is not background counts. Photos without a
        mask have no silhouette. None: the object is guessed, roughly
        (`explgraph.explanations.texture.changes.rough_mask`), if scikit-image is installed.
    seed
        Of the orders of patches.
    batch_size
        Photos per run of the network.
    progress
        As in `explgraph.peaks.reading.ReadOptions`.

    Returns
    -------
    Answers in every change, and which nodes survive it.

    Raises
    ------
    ExplGraphError
        If there are no photos, the network returns no logits, a graph is of another network, or
        ``classes`` fit neither the photos nor the network.
    """
    show, opened = _Show(net, batch_size, progress), open_images(images)
    wanted = None if classes is None else _right_classes(classes, len(opened))
    unchanged = show.answers(opened)
    readable = unchanged.rows
    source = _view(opened, readable, _of_handy_size)
    truth = None if wanted is None else tuple(wanted[i] for i in readable)
    _check_classes(truth or (), unchanged.n_classes)
    nodes = None if graph is None else _Nodes(graph, show, source)
    answers = [unchanged._replace(rows=[*range(len(source))])]
    changes, skipped = _changes(opened, source, masks, seed)
    for change in changes:
        rows = [i for i, name in enumerate(source.names) if change.allows(name)]
        changed = _view(source, rows, change.alter)
        answers.append(show.answers(changed)._replace(rows=rows))
        if nodes is not None:
            nodes.add(changed, rows, change)
    best, confidence = _table(answers, len(source))
    return TextureProbe(
        images=source.names,
        changes=(UNCHANGED, *changes),
        skipped=skipped,
        answers=best,
        confidence=confidence,
        n_classes=unchanged.n_classes,
        truth=truth,
        class_names=_class_names(net, unchanged.n_classes),
        graph=graph,
        survival=None if nodes is None else nodes.survival(),
    )


class _Answers(NamedTuple):
    """What the network says to B of the photos.

    ``rows`` B indices of photos; ``best (B, K)`` classes, best first; ``confidence (B,)``.
    """

    rows: list[int]
    best: I4
    confidence: F4
    n_classes: int


class _Show:
    """Shows photos to a network, or to a graph upon it."""

    def __init__(self, net: Backbone, batch_size: int | None, progress: Progress) -> None:
        self.net, self._batch_size, self._progress = net, batch_size, progress

    def answers(self, source: ImageSource) -> _Answers:
        """Classify photos; those that cannot be read are left out."""
        import torch

        net, rows, parts = self.net, list[int](), []
        with (
            iterate_batches(
                source,
                net.preprocess,
                batch_size=net.batch_size(self._batch_size),
                progress=self._progress,
            ) as batches,
            torch.inference_mode(),
        ):
            for batch in batches:
                rows += batch.indices
                parts.append(net.logits(batch.tensor).softmax(dim=1).cpu())
        share, best = torch.cat(parts).topk(min(ANSWERS, parts[0].shape[1]), dim=1)
        best_classes = best.numpy().astype(np.int32)
        return _Answers(rows, best_classes, share[:, 0].numpy(), parts[0].shape[1])

    def nodes(self, graph: ExplanatoryGraph, source: ImageSource, *, mirror: bool) -> Matches:
        """Look for a graph's nodes."""
        from explgraph.pipeline import match

        return match(
            graph,
            self.net,
            source,
            mirror=mirror,
            batch_size=self._batch_size,
            progress=self._progress,
        )


class _Nodes:
    """Counts in which changed photos a graph's nodes fire."""

    def __init__(self, graph: ExplanatoryGraph, show: _Show, source: ImageSource) -> None:
        self._graph, self._show = graph, show
        found = show.nodes(graph, source, mirror=True)
        self._mirrored = found.mirrored.astype(bool)
        self._yx, self._fires = found.canonical_yx, self._firing(found)
        self._counts: list[I8] = []
        self._shares: list[F8] = []
        self._add(np.arange(len(found)), self._fires, self._yx, moves=False)

    def add(self, changed: ImageSource, rows: Sequence[int], change: Change) -> None:
        """Look for the nodes in changed photos, of which ``rows`` are the indices unchanged."""
        index = np.asarray(rows)
        seen = _turned(changed, self._mirrored[index])
        found = self._show.nodes(self._graph, seen, mirror=False)
        self._add(index, self._firing(found), found.yx, moves=change.moves)

    def survival(self) -> Survival:
        """Return what was counted."""
        return Survival(*np.stack(self._counts, axis=1), *np.stack(self._shares, axis=1))

    def _firing(self, found: Matches) -> NDArray[np.bool_]:
        """Return (B, P) where nodes fire."""
        return fires(found.score.T, self._graph.score).T

    def _add(
        self, rows: NDArray[np.intp], firing: NDArray[np.bool_], yx: F4, *, moves: bool
    ) -> None:
        """Count B photos: ``firing (B, P)`` and ``yx (B, P, 2)`` changed, as the graph sees."""
        before, places = self._fires[rows], self._yx[rows]

        def survives(order: NDArray[np.intp]) -> NDArray[np.bool_]:
            still = before & firing[order]
            if moves:
                return still
            way = np.linalg.norm(yx[order] - places, axis=-1) / _DIAGONAL
            near: NDArray[np.bool_] = still & (way < NEAR)
            return near

        own = np.arange(len(rows))
        same, other = survives(own), survives(np.roll(own, len(own) // 2))
        self._counts.append(np.stack([m.sum(axis=0) for m in (before, before & firing, same)]))
        shares = np.full((2, len(self._fires)), np.nan)
        count = before.sum(axis=1)
        count_or_nan = np.where(count > 0, count, np.nan)
        shares[0, rows] = same.sum(axis=1) / count_or_nan
        if len(rows) > 1:
            shares[1, rows] = other.sum(axis=1) / count_or_nan
        self._shares.append(shares)


def _view(source: ImageSource, rows: Sequence[int], alter: Alter) -> ImageSource:
    """Return some items of a source, altered, as photos of their own."""
    names = [source.names[row] for row in rows]
    items = [ImageItem(name, i) for i, name in enumerate(names)]
    return ImageSource(items, lambda i: alter(source.load(rows[i]).image, names[i]))


def _of_handy_size(image: Image.Image, _: str) -> Image.Image:
    """Reduce photos that are much larger than a network's input: some changes need much memory."""
    scale = _LARGEST / max(image.size)
    if scale >= 1:
        return image
    size = max(round(image.width * scale), 1), max(round(image.height * scale), 1)
    return image.resize(size, Image.Resampling.LANCZOS)


def _turned(source: ImageSource, mirrored: NDArray[np.bool_]) -> ImageSource:
    """Mirror some of the photos; ``mirrored (B,)``."""
    flip = dict(zip(source.names, mirrored.tolist(), strict=True))

    def turn(image: Image.Image, name: str) -> Image.Image:
        return ImageOps.mirror(image) if flip[name] else image

    return _view(source, range(len(source)), turn)


def _changes(
    opened: ImageSource, source: ImageSource, masks: PartMasks | None, seed: int
) -> tuple[list[Change], dict[str, str]]:
    """Return the changes that are possible, and why others are not."""
    possible, skipped = photo_changes(seed), dict[str, str]()
    if has_skimage():
        objects = _guessed_objects(source) if masks is None else _objects(opened, source, masks)
    else:
        del possible["edges"]
        skipped["edges"] = NEEDS_SKIMAGE
        objects = {} if masks is None else _objects(opened, source, masks)
    if masks is None and not has_skimage():
        skipped["silhouettes"] = f"without masks, {NEEDS_SKIMAGE}"
    elif not objects:
        skipped["silhouettes"] = "no object was found in any of the photos"
    else:
        possible["silhouettes"] = silhouettes(objects, "guessed" if masks is None else "given")
    return [possible[name] for name in _ORDER if name in possible], skipped


def _guessed_objects(source: ImageSource) -> dict[str, Mask]:
    """Guess by photo where its object is; photos that seem to have none are left out."""
    found = ((name, rough_mask(source.load(i).image)) for i, name in enumerate(source.names))
    return {name: mask for name, mask in found if mask.any()}


def _objects(opened: ImageSource, source: ImageSource, masks: PartMasks) -> dict[str, Mask]:
    """Return by photo where its object is; that of a box "photo#k" is cut out of its photo's."""
    known = dict(zip(masks.images, masks.labels, strict=True))
    items = {item.name: (i, item) for i, item in enumerate(opened.items)}
    result = {}
    for name in source.names:
        i, item = items[name]
        labels = known.get(name if item.box is None else name.rpartition("#")[0])
        if labels is not None:
            result[name] = _cut(labels != NONE, opened.load(i).frame)
    return {name: mask for name, mask in result.items() if mask.any()}


def _cut(mask: Mask, frame: F8) -> Mask:
    """Cut a window, as in `LoadedImage.frame`, out of a mask of the whole photo."""
    start, stop = frame[:, 0], frame.sum(axis=1)
    (top, bottom), (left, right) = (
        (math.floor(low * side), math.ceil(high * side))
        for low, high, side in zip(start, stop, mask.shape, strict=True)
    )
    return mask[top:bottom, left:right]


def _right_classes(classes: Classes, count: int) -> list[frozenset[int]]:
    """Return the classes that are right, for each photo."""
    if isinstance(classes, int):
        return [frozenset([classes])] * count
    if isinstance(classes, AbstractSet):
        require(len(classes) > 0, "classes is an empty set: name at least one class, or None")
        return [frozenset(classes)] * count
    require(
        len(classes) == count,
        f"classes must be a class for each photo: got {len(classes)} for {count} photos. Give a "
        "set for classes of which any is right in any photo",
    )
    return [frozenset([one]) for one in classes]


def _check_classes(truth: Sequence[frozenset[int]], n_classes: int) -> None:
    wrong = sorted({one for right in truth for one in right if not 0 <= one < n_classes})
    require(
        not wrong, f"there are no classes {wrong[:3]}: the network has classes 0..{n_classes - 1}"
    )


def _table(answers: Sequence[_Answers], count: int) -> tuple[I4, F4]:
    """Put M times the answers for some photos into (M, N, K) and (M, N)."""
    best: I4 = np.full((len(answers), count, answers[0].best.shape[1]), NONE, dtype=np.int32)
    confidence: F4 = np.full((len(answers), count), np.nan, dtype=np.float32)
    for i, one in enumerate(answers):
        best[i, one.rows], confidence[i, one.rows] = one.best, one.confidence
    return best, confidence


def _class_names(net: Backbone, n_classes: int) -> tuple[str, ...] | None:
    from explgraph.explanations.questions import class_names

    names = class_names(net)
    return names if names is not None and len(names) == n_classes else None
