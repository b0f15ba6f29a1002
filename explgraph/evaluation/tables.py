"""Tables of measures: a graph's figures, and the rows beside which they have to be read."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from explgraph.base.arrays import NONE
from explgraph.base.errors import require
from explgraph.base.frames import mirrored_yx, to_unit
from explgraph.base.text import plain
from explgraph.graphs.matches import Matches
from explgraph.peaks.structures import PeakSet
from explgraph.photos.annotations import PhotoSize

from .ceiling import RidgeFeatures, supervised_ceiling
from .tracking import (
    Instability,
    MirrorAgreement,
    Tracking,
    location_instability,
    mirror_agreement,
    tracking,
)
from .truth import PartTruth, part_truth

if TYPE_CHECKING:
    from explgraph.photos.annotations import Annotations


_log = logging.getLogger("explgraph")


@dataclass(frozen=True, slots=True)
class PartEvaluation:
    """All figures for one part.

    Attributes
    ----------
    part
        Name of the part.
    photos
        Number of photos with exactly one visible instance, in halves A and B.
    tracking, instability
        By row.
    ceiling
        Tracking ratio of a supervised regression on half B; None where it was not asked for.
    """

    part: str
    photos: tuple[int, int]
    tracking: Mapping[str, Tracking]
    instability: Mapping[str, Instability]
    ceiling: float | None


@dataclass(frozen=True, slots=True)
class Evaluation:
    """All figures for one set of photos.

    Attributes
    ----------
    parts
        One entry per part.
    instability
        By row, the mean over all parts as landmarks.
    mirror
        By row, for rows that mirror some photos and where the head is annotated.
    """

    parts: tuple[PartEvaluation, ...]
    instability: Mapping[str, Instability]
    mirror: Mapping[str, MirrorAgreement]

    def to_json(self) -> dict[str, Any]:
        """Return the figures as JSON values; what could not be measured is null."""
        return {name: plain(value) for name, value in asdict(self).items()}


def evaluate(
    rows: Mapping[str, Matches],
    annotations: Annotations,
    *,
    photo_size: PhotoSize | None = None,
    rank: Mapping[str, NDArray[np.floating]] | None = None,
    features: RidgeFeatures | None = None,
    parts: Sequence[str] | None = None,
    head: str = "head",
) -> Evaluation:
    """Measure how well nodes follow annotated parts, for several rows of a table.

    Parameters
    ----------
    rows
        Matches of the same photos under the names to be printed, e.g. raw peaks without and with
        the graph's mirroring (`raw_peaks`), a mixture without edges, the graph.
    annotations
        Parts of these photos. Annotations of other photos are left out, with a warning.
    photo_size
        (height, width) of the photos in pixels, or one pair for each photo's name. None: as they
        were matched in the first row.
    rank
        By row, (P,) the rank of its nodes, e.g. ``graph.gain``; default: the mean score.
    features
        Features for the supervised ceiling (`ceiling.ridge_features`); default: no ceiling.
    parts
        The parts to measure; default: all that are annotated.
    head
        The part that says which way the animal looks.

    Returns
    -------
    `Evaluation`

    Raises
    ------
    ExplGraphError
        If there are no rows, they are of different photos, or a part is annotated in too few.
    """
    photos = _common_photos(rows)
    photo_size = next(iter(rows.values())).photo_sizes if photo_size is None else photo_size
    truths = _truths(annotations, photo_size, photos, parts, head)
    ranks = {name: matches.score.mean(axis=0) for name, matches in rows.items()} | dict(rank or {})
    measured = tuple(
        PartEvaluation(
            part=truth.part,
            photos=(int(np.sum(truth.half == 0)), int(np.sum(truth.half == 1))),
            tracking={name: tracking(m, truth, ranks[name]) for name, m in rows.items()},
            instability={name: location_instability(m, [truth]) for name, m in rows.items()},
            ceiling=None if features is None else supervised_ceiling(features, truth),
        )
        for truth in truths
    )
    heads = [truth for truth in truths if truth.part == head]
    return Evaluation(
        parts=measured,
        instability={name: location_instability(m, truths) for name, m in rows.items()},
        mirror={
            name: mirror_agreement(m, truth)
            for truth in heads
            for name, m in rows.items()
            if m.mirrored.any()
        },
    )


def _common_photos(rows: Mapping[str, Matches]) -> frozenset[str]:
    require(len(rows) > 0, "evaluate needs at least one row of matches, got none")
    sets = {name: frozenset(matches.images) for name, matches in rows.items()}
    (first, photos), *others = sets.items()
    for name, other in others:
        require(
            other == photos,
            f"all rows must be matches of the same photos, but {len(photos ^ other)} photos are "
            f"in only one of {first!r} and {name!r}: match both on the same folder",
        )
    return photos


def _truths(
    annotations: Annotations,
    photo_size: PhotoSize,
    photos: frozenset[str],
    parts: Sequence[str] | None,
    head: str,
) -> list[PartTruth]:
    left_out = set(annotations.image) - photos
    if left_out:
        _log.warning(
            "%d annotated photos were not matched and are left out, e.g. %s",
            len(left_out),
            min(left_out),
        )
    names = annotations.parts() if parts is None else parts
    return [part_truth(annotations, p, photo_size, head=head, images=photos) for p in names]


def raw_peaks(peaks: PeakSet, mirrored: NDArray[Any] | None = None) -> Matches:
    """Take each filter for a node that lies at the filter's strongest peak.

    Parameters
    ----------
    peaks
        N photos, C filters in all layers together.
    mirrored
        (N,) photos to take in their mirrored form, e.g. ``matches.mirrored`` of a graph; default:
        none.

    Returns
    -------
    `Matches` of shape (N, C). A filter without a peak has score 0 and lies at its mean position
    over the photos (in the orientation that ``mirrored`` gives them), or in the middle if it never
    fires.

    Raises
    ------
    ExplGraphError
        If a photo is to be mirrored and the peaks of the mirrored photos are missing.
    """
    flip = (
        np.zeros(len(peaks), dtype=bool) if mirrored is None else np.asarray(mirrored).astype(bool)
    )
    seen = peaks.oriented(flip)
    yx = np.concatenate([one.yx[:, :, 0] for one in seen], axis=1).astype(np.float64)
    score = np.concatenate([one.weight[:, :, 0] for one in seen], axis=1)
    fires = score > 0
    count = fires.sum(axis=0)[:, None]
    total = np.where(fires[..., None], yx, 0).sum(axis=0)
    mean = np.where(count > 0, total / np.maximum(count, 1), np.array(peaks.input_size) / 2)
    yx = np.where(fires[..., None], yx, mean)
    unit = to_unit(peaks.frames, mirrored_yx(yx, flip, peaks.input_size[1]))
    channels = [layer.channels for layer in peaks.layers]
    return Matches(
        images=peaks.images,
        yx=unit.astype(np.float32),
        score=score,
        log_density=np.zeros_like(score),
        peak=np.where(fires, 0, NONE),
        mirrored=flip.astype(np.uint8),
        node_layer=np.repeat(np.arange(len(channels), dtype=np.int32), channels),
        header=peaks.header,
    )
