"""What the network's answer loses without a piece of the photo, or keeps with nothing else."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from explgraph.base.errors import import_extra, require
from explgraph.explanations.questions import Question
from explgraph.explanations.segments import EXTRA, Cutting, cut, shown_alone

from .method import Method

_WINDOW = 1 / 7  # of the input's shorter side
_STRIDE = 3 / 8  # of the window


def _settle_windows(question: Question, options: Mapping[str, Any]) -> dict[str, Any]:
    window, stride = options["window"], options["stride"]
    if window is None:
        window = max(round(_WINDOW * min(question.inputs.shape[2:])), 1)
    if stride is None:
        stride = max(round(_STRIDE * window), 1)
    return {**options, "window": window, "stride": stride}


def _occlusion(question: Question, options: Mapping[str, Any]) -> Tensor:
    window, stride = options["window"], options["stride"]
    shorter = min(question.inputs.shape[2:])
    require(
        1 <= stride <= window <= shorter,
        "occlusion needs 1 <= stride <= window <= the input's shorter side, so that every pixel is "
        f"covered: stride {stride}, window {window}, side {shorter} pixels",
    )
    captum = import_extra("captum.attr", EXTRA)
    channels = question.net.channels
    with torch.no_grad():
        lost = captum.Occlusion(question.objective).attribute(
            question.inputs,
            sliding_window_shapes=(channels, window, window),
            strides=(channels, stride, stride),
            baselines=question.baseline(options["baseline"]),
            perturbations_per_eval=question.batch_size,
        )
    return _plane(lost)


def _cutting(options: Mapping[str, Any]) -> Cutting:
    return Cutting(options["scale"], options["sigma"], options["min_size"])


def _settle_segments(question: Question, options: Mapping[str, Any]) -> dict[str, Any]:
    return {**options, "min_size": _cutting(options).least(question.inputs.shape[2:])}


def _leave_one_out(question: Question, options: Mapping[str, Any]) -> Tensor:
    captum = import_extra("captum.attr", EXTRA)
    labels = torch.from_numpy(cut(question, _cutting(options))).to(question.inputs.device)
    with torch.no_grad():
        lost = captum.FeatureAblation(question.objective).attribute(
            question.inputs,
            baselines=question.baseline(options["baseline"]),
            feature_mask=labels[None, None].long(),
            perturbations_per_eval=question.batch_size,
        )
    return _plane(lost)


def _segments(question: Question, options: Mapping[str, Any]) -> Tensor:
    labels, baseline = cut(question, _cutting(options)), options["baseline"]
    alone = torch.cat([question.scores(shown) for shown in shown_alone(question, labels, baseline)])
    gain = alone - question.scores(question.baseline(baseline))
    return gain.float().cpu()[torch.from_numpy(labels).long()]


def _plane(found: Tensor) -> Tensor:
    """Return the map of what is the same in all channels: they are covered together."""
    return found[0, 0].detach().float().cpu()


_SEGMENTS = {"scale": 100.0, "sigma": 0.8, "min_size": None, "baseline": "mean"}

METHODS = (
    Method(
        name="occlusion",
        title="Occlusion",
        run=_occlusion,
        refuse=lambda question, options: None,
        defaults={"window": None, "stride": None, "baseline": "mean"},
        signed=True,
        source="Zeiler, Fergus 2014: Visualizing and understanding convolutional networks",
        settle=_settle_windows,
    ),
    Method(
        name="leave_one_out",
        title="Leave one segment out",
        run=_leave_one_out,
        refuse=lambda question, options: None,
        defaults=_SEGMENTS,
        signed=True,
        source="Li, Monroe, Jurafsky 2016: Understanding neural networks through representation "
        "erasure; segments by Felzenszwalb, Huttenlocher 2004",
        settle=_settle_segments,
    ),
    Method(
        name="segments",
        title="Segments by themselves",
        run=_segments,
        refuse=lambda question, options: None,
        defaults=_SEGMENTS,
        signed=True,
        source="segments by Felzenszwalb, Huttenlocher 2004: Efficient graph-based image "
        "segmentation",
        settle=_settle_segments,
    ),
)
"""Methods of this module: the network is shown changed photos, and nothing inside it is looked at.

occlusion
    A square ``window`` (pixels; by default a seventh of the input's shorter side) is moved over the
    photo in steps of ``stride`` (three eighths of it), with the ``baseline`` in it. A pixel's value
    is what the answer loses, the mean of all windows that cover the pixel. By Captum.
leave_one_out
    The same, for each of the photo's segments in place of the window. By Captum.
segments
    A pixel's value is what its segment, by itself on the baseline, adds to the answer for the
    baseline.

``baseline`` is "mean" (the photo's mean colour), "black", "grey", "white" or "blur"; ``scale``,
``sigma`` and ``min_size`` are those of `explgraph.explanations.segments.Cutting`.
"""
