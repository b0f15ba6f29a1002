"""The segments of a photo, and what a network makes of each of them by itself."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import torch
from torch import Tensor

from explgraph.base.arrays import F4, F8, I4, frozen
from explgraph.base.errors import check_shape, import_extra, require
from explgraph.base.frames import mirrored_frame, to_unit
from explgraph.base.records import Record

from .questions import Question, ask
from .targets import Asked, ClassTarget, class_names

if TYPE_CHECKING:
    import pandas as pd

    from explgraph.graphs.graph import ExplanatoryGraph
    from explgraph.networks.backbone import Backbone


EXTRA = "explain"
"""The extra of the package that brings Captum, scikit-image and zennit."""


class Cutting(NamedTuple):
    """How a photo is cut into segments, after Felzenszwalb and Huttenlocher 2004.

    Attributes
    ----------
    scale
        Larger gives larger segments.
    sigma
        Of the Gaussian that the photo is smoothed by first, network pixels.
    min_size
        Pixels of the smallest segment, at least; None: a two-hundredth of the photo.
    """

    scale: float = 100.0
    sigma: float = 0.8
    min_size: int | None = None

    def least(self, size: Sequence[int]) -> int:
        """Return the pixels of the smallest segment for inputs of ``size`` (H_in, W_in)."""
        return max(size[0] * size[1] // 200, 1) if self.min_size is None else self.min_size


@dataclass(frozen=True, eq=False, slots=True)
class Segments(Record):
    """What a network answers to each of the S segments of a photo, shown by itself.

    Attributes
    ----------
    image
        The photo's name.
    target
        What was asked about, for people.
    labels
        (H_in, W_in) the segment of each network pixel of the photo as given, 0 .. S - 1.
    frame
        (2, 2) from network pixels to the photo's unit square, per axis (y, x).
    score
        (S,) the target's value where nothing but the segment is shown.
    whole, nothing
        The target's value for the whole photo, and where no segment is shown.
    top
        (S,) the class with the largest logit for each segment by itself; None without a classifier.
    probability
        (S,) its softmax; None without a classifier.
    top_whole
        The whole photo's class; None without a classifier.
    names
        What the classes are called; None where that is unknown.
    """

    image: str
    target: str
    labels: I4
    frame: F8
    score: F4
    whole: float
    nothing: float
    top: I4 | None
    probability: F4 | None
    top_whole: int | None
    names: tuple[str, ...] | None

    def __post_init__(self) -> None:
        check_shape("Segments.score", self.score, (int(self.labels.max()) + 1,))
        object.__setattr__(self, "labels", frozen(self.labels, np.int32))
        object.__setattr__(self, "score", frozen(self.score, np.float32))

    def __len__(self) -> int:
        return len(self.score)

    @property
    def table(self) -> pd.DataFrame:
        """One row for each segment, the largest score first.

        Columns ``segment``, ``y``, ``x`` (its mean place, unit square of the photo), ``share`` (of
        the network's input), ``score``, ``gain`` (score less that of nothing), and of a classifier
        ``class``, ``class_name`` ("" if unknown), ``probability``.
        """
        import pandas as pd

        count = np.bincount(self.labels.ravel(), minlength=len(self))
        rows, columns = np.indices(self.labels.shape)
        mean = [np.bincount(self.labels.ravel(), at.ravel()) / count for at in (rows, columns)]
        y, x = to_unit(self.frame, np.stack(mean, axis=-1) + 0.5).T
        frame = pd.DataFrame(
            {
                "segment": np.arange(len(self)),
                "y": y,
                "x": x,
                "share": count / self.labels.size,
                "score": self.score,
                "gain": self.score - np.float32(self.nothing),
            }
        )
        if self.top is not None:
            frame["class"] = self.top
            frame["class_name"] = [self._name(int(index)) for index in self.top]
            frame["probability"] = self.probability
        ranked: pd.DataFrame = frame.sort_values("score", ascending=False, kind="stable")
        return ranked.reset_index(drop=True)

    def class_label(self, index: int) -> str:
        """Return what people call a class: its name, or its number."""
        return self._name(index) or f"class {index}"

    def _name(self, index: int) -> str:
        return self.names[index] if self.names is not None and index < len(self.names) else ""


def score_segments(
    net: Backbone,
    image: object,
    target: Asked = None,
    *,
    graph: ExplanatoryGraph | None = None,
    cutting: Cutting | None = None,
    baseline: str = "mean",
    batch_size: int | None = None,
) -> Segments:
    """Show each segment of a photo to a network by itself.

    Parameters
    ----------
    net
        The network.
    image, target, graph
        As in `explgraph.explain`.
    cutting
        How the photo is cut, see `Cutting`.
    baseline
        What is shown instead of the other segments: "mean" (the photo's mean colour), "black",
        "grey", "white" or "blur".
    batch_size
        Segments in one pass.

    Returns
    -------
    The segments, and what each adds to the answer.

    Raises
    ------
    ExplGraphError
        As `explgraph.explain`, and if scikit-image is not installed.
    """
    question = ask(net, image, target, graph=graph, batch_size=batch_size)
    labels = cut(question, cutting or Cutting())
    shown = shown_alone(question, labels, baseline)
    answers = torch.cat([_answers(question, some) for some in shown])
    (whole,) = _answers(question, question.inputs)
    (nothing,) = _answers(question, question.baseline(baseline))
    target = question.target
    index = target.index if isinstance(target, ClassTarget) else None
    asked = index or 0
    best = answers.softmax(dim=1).max(dim=1)
    frame = question.frame
    if question.mirrored:
        labels, frame = labels[:, ::-1], mirrored_frame(frame, labels.shape[1])
    return Segments(
        image=question.name,
        target=target.label,
        labels=labels,
        frame=frame,
        score=answers[:, asked].numpy(),
        whole=float(whole[asked]),
        nothing=float(nothing[asked]),
        top=best.indices.numpy().astype(np.int32) if index is not None else None,
        probability=best.values.numpy() if index is not None else None,
        top_whole=int(whole.argmax()) if index is not None else None,
        names=class_names(net),
    )


def cut(question: Question, cutting: Cutting) -> I4:
    """Cut the network's input into segments.

    What is cut is what the network sees, its numbers stretched to 0..1 together, so that it does
    not matter how they were normalised.

    Returns
    -------
    (H_in, W_in) the segment of each pixel, from 0 without gaps.

    Raises
    ------
    ExplGraphError
        If a setting is out of range, or scikit-image is not installed.
    """
    require(cutting.scale > 0, f"segments: scale must be above 0, got {cutting.scale}")
    require(cutting.sigma >= 0, f"segments: sigma must not be negative, got {cutting.sigma}")
    least = cutting.least(question.inputs.shape[2:])
    require(least >= 1, f"segments: min_size must be at least 1 pixel, got {least}")
    skimage = import_extra("skimage.segmentation", EXTRA)
    pixels = question.inputs[0].permute(1, 2, 0).cpu().numpy().astype(np.float64)
    low, high = float(pixels.min()), float(pixels.max())
    pixels = (pixels - low) / max(high - low, np.finfo(float).tiny)
    found = skimage.felzenszwalb(
        pixels, scale=cutting.scale, sigma=cutting.sigma, min_size=least, channel_axis=-1
    )
    return np.unique(found, return_inverse=True)[1].reshape(found.shape).astype(np.int32)


def shown_alone(question: Question, labels: I4, baseline: str) -> Iterator[Tensor]:
    """Yield inputs (B, C_in, H_in, W_in) that show one segment each, in batches.

    Everywhere else they are the baseline.
    """
    empty = question.baseline(baseline)
    where = torch.from_numpy(np.ascontiguousarray(labels)).to(question.inputs.device)
    segments = torch.arange(int(labels.max()) + 1, device=where.device)
    for some in torch.split(segments, question.batch_size):
        yield torch.where(where == some[:, None, None, None], question.inputs, empty)


def _answers(question: Question, batch: Tensor) -> Tensor:
    """Return what is said of (B, C_in, H_in, W_in): (B, n_classes) logits, or (B, 1) scores."""
    if not isinstance(question.target, ClassTarget):
        return question.scores(batch)[:, None].cpu()
    with torch.no_grad():
        return question.net.logits(batch).cpu()
