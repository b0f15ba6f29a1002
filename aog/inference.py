"""From evidence to answers: where each part is in each photo, how surely, and whether at all."""

from __future__ import annotations

import numpy as np

from explgraph.base.arrays import F4
from explgraph.base.errors import require
from explgraph.base.frames import to_unit
from explgraph.base.threads import one_blas_thread
from explgraph.graphs.matches import Matches

from .answers import mass_near, nearest_point, posterior
from .evidence import as_given, evidence, expected_likeness
from .sight import Sight, sight, warn_without_views
from .structures import AndOrGraph, Localizations, Parts


def locate(parts: Parts, found: Matches) -> Localizations:
    """Find parts in photos.

    A photo's answers do not depend on the other photos or on the number of threads, to the last
    bit.

    Parameters
    ----------
    parts
        And-Or graphs of one or several parts.
    found
        The matches of their graph in N photos: ``match(..., views=True)``. Without views parts are
        found less surely, and a warning says so.

    Returns
    -------
    One answer for each photo and part, all parts of a photo together.

    Raises
    ------
    ExplGraphError
        If the matches are those of another graph, or their maps of another layer.

    Examples
    --------
    >>> found = eg.match(parts.graph, net, "photos/new", views=True)  # doctest: +SKIP
    >>> where = eg.locate(parts, found)  # doctest: +SKIP
    >>> eg.write_answers("heads.csv", where, found.photo_sizes)  # doctest: +SKIP
    """
    seen = sight(parts.graph, found)
    _check_maps(parts, seen)
    warn_without_views(found)
    with one_blas_thread():  # several round a photo's products as they share its rows out
        each = [_locate(aog, seen, parts, found.images) for aog in parts.aogs]
    return _interleaved(each)


def _check_maps(parts: Parts, seen: Sight) -> None:
    """Raise `ExplGraphError` unless parts know how maps such as those of the matches look."""
    if seen.maps is None:
        return
    *_, height, width, channels = seen.maps.shape
    scenes = {aog.scene.shape[1] for aog in parts.aogs}
    require(
        len(parts.look_mean) in (0, channels) and scenes <= {0, height * width * channels},
        f"the matches have maps ({height}, {width}, {channels}) of {seen.layer.name}, which are "
        "not those of the layer that the parts were fitted with: match with parts.graph",
    )


def _locate(aog: AndOrGraph, seen: Sight, parts: Parts, images: tuple[str, ...]) -> Localizations:
    found = evidence(aog, seen, parts.look_mean, parts.config)
    probability = posterior(as_given(found, seen))
    answer = nearest_point(probability).yx
    frames = seen.unit_frames
    share = np.exp(found.template - found.template.max(axis=(1, 2), keepdims=True))
    template = share.sum(axis=1).argmax(axis=1)
    view = share.sum(axis=2).argmax(axis=1)
    sizes = known_sizes(aog.size) / np.array(seen.input_size)
    alike = expected_likeness(found).astype(np.float32)
    return Localizations(
        images=images,
        parts=(aog.part,) * len(images),
        yx=to_unit(frames, answer).astype(np.float32),
        size=sizes[template] * np.abs(frames[..., 1]),
        confidence=mass_near(probability, answer).astype(np.float32),
        evidence=alike,
        visible=(alike >= np.float32(aog.visible_from)).astype(np.uint8),
        template=template.astype(np.int32),
        mirrored=seen.turned[np.arange(len(seen)), view].astype(np.uint8),
        probability=probability.astype(np.float32),
        frames=frames.astype(np.float32),
    )


def known_sizes(size: F4) -> F4:
    """Return (T, 2) sizes of templates; one without takes the others' mean."""
    known = np.asarray(np.isfinite(size).all(axis=1))
    if not known.any():
        return size
    return np.where(known[:, None], size, size[known].mean(axis=0))


def _interleaved(each: list[Localizations]) -> Localizations:
    """Put the answers for several parts together, those of a photo side by side."""
    n, count = len(each[0]), len(each)
    order = np.arange(n * count).reshape(count, n).T.ravel()
    arrays = [f for f in Localizations.__slots__ if f not in ("images", "parts")]
    return Localizations(
        images=tuple(name for one in each for name in one.images),
        parts=tuple(name for one in each for name in one.parts),
        **{f: np.concatenate([getattr(one, f) for one in each]) for f in arrays},
    ).take(order)
