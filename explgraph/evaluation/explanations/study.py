"""Methods side by side on photos: each explanation of each photo, measured in every way."""

from __future__ import annotations

import logging
import math
import time
import zlib
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from types import MappingProxyType
from typing import NamedTuple

import numpy as np
from torch import Tensor

from explgraph.base.arrays import F8
from explgraph.base.errors import ExplGraphError, require, unknown_name
from explgraph.base.frames import middles, to_pixels
from explgraph.base.renamed import renamed
from explgraph.explanations.answers import methods as all_methods
from explgraph.explanations.questions import Question, ask
from explgraph.networks.backbone import Backbone
from explgraph.photos.annotations import Annotations, photo_of
from explgraph.photos.boxes import Box
from explgraph.photos.images import ImageSource, LoadedImage, open_images

from .checks import (
    Explanation,
    correlation_on,
    explanation,
    noise_changes,
    randomised_networks,
    values_of,
)
from .measures import (
    Grid,
    box_mask,
    energy_in_box,
    grid_cells,
    on_grid,
    pointing_game,
    question_curves,
)
from .scores import MEASURES, ExplanationProtocol, ExplanationStudy

Truth = Annotations | Mapping[str, Sequence[Box]]
"""What explanations should point at: annotated parts with their sizes, or boxes by photo."""

UPPER_HALF = 2
"""Stages of which the first loses its weights."""

_log = logging.getLogger("explgraph")


@renamed(photos="images")
def study_explanations(
    net: Backbone,
    images: Mapping[str, object],
    methods: Sequence[str] | None = None,
    *,
    rows: Mapping[str, Mapping[str, Explanation]] | None = None,
    truth: Mapping[str, Truth] | None = None,
    against: str = "grad_cam",
    protocol: ExplanationProtocol | None = None,
) -> ExplanationStudy:
    """Measure how well methods explain the class that the network gives each photo.

    Parameters
    ----------
    net
        A classifier; it is the same afterwards.
    images
        By category, photos in any form that `open_images` takes.
    methods
        Names of `explgraph.explanations.answers.methods`, each with its defaults, and of
        `CONTROLS`, which know nothing of the network; None: all of both.
    rows
        By category, further explanations by name: functions from a `Question` to an `Attribution`
        or to values (h, w) of the photo as given, such as the graph's own.
    truth
        By category, what explanations should point at: parts with their sizes, or boxes by photo,
        in pixels of the photo. Any of a photo's boxes will do. Categories may be missing.
    against
        The row that others are compared with, photo by photo.
    protocol
        How it is measured; default: `ExplanationProtocol()`.

    Returns
    -------
    Every measure of every method in every photo.

    Raises
    ------
    ExplGraphError
        If there are no photos, a method, layer or category does not exist, a photo cannot be read,
        or the truth has no sizes. An explanation that is not possible is no error: see
        `ExplanationStudy.refused`.
    """
    protocol, rows, truth = protocol or ExplanationProtocol(), rows or {}, truth or {}
    require(len(images) > 0, "study_explanations needs photos of at least one category, got none")
    for category in {**rows, **truth}:
        if category not in images:
            raise unknown_name("category", category, images)
    plain = _explanations(methods)
    known = [*plain, *(row for found in rows.values() for row in found)]
    if against not in known:
        raise unknown_name("row to compare with:", against, known)
    names, scores, refused = {}, {}, {}
    for category, own in images.items():
        source = open_images(own)
        chosen = range(len(source))[: protocol.n_photos]
        measured = {**plain, **rows.get(category, {})}
        _log.info("%s: %d explanations of %d photos", category, len(measured), len(chosen))
        study = _Category(net, source, measured, truth.get(category), protocol)
        results = [study.photo(index) for index in chosen]
        names[category] = tuple(source.names[index] for index in chosen)
        scores[category] = {
            row: np.array([found[row].scores for found in results]) for row in measured
        }
        refused[category] = _refused(results)
    return ExplanationStudy(names, scores, refused, against, protocol)


def _explanations(names: Sequence[str] | None) -> dict[str, Explanation]:
    """Return methods and controls by name; all of them by default."""
    known = [*all_methods(), *CONTROLS]
    for name in names or ():
        if name not in known:
            raise unknown_name("method", name, known, f"All: {', '.join(known)}")
    chosen = known if names is None else names
    return {name: CONTROLS[name] if name in CONTROLS else explanation(name) for name in chosen}


class _Measured(NamedTuple):
    """One explanation of one photo: `MEASURES`, or NaN and the reason why it is not possible."""

    scores: list[float]
    refused: str | None = None


_Results = dict[str, _Measured]


def _refused(results: Sequence[_Results]) -> dict[str, str]:
    """Say by row why an explanation was not possible, by its first reason, and how often."""
    reasons: dict[str, list[str]] = {}
    for found in results:
        for row, measured in found.items():
            if measured.refused is not None:
                reasons.setdefault(row, []).append(measured.refused)
    return {row: f"{why[0]} ({len(why)} of {len(results)} photos)" for row, why in reasons.items()}


class _Category:
    """Measures the photos of one category, one by one."""

    def __init__(
        self,
        net: Backbone,
        source: ImageSource,
        explanations: Mapping[str, Explanation],
        truth: Truth | None,
        protocol: ExplanationProtocol,
    ) -> None:
        self.net, self.source, self.explanations = net, source, explanations
        self.protocol = protocol
        self.boxes = {} if truth is None else _boxes_by_photo(truth)
        self.grid = _grid(net, protocol)
        self._prepared = False
        self._without_weights: Backbone | None = None

    def photo(self, index: int) -> _Results:
        """Measure every explanation of one photo."""
        loaded, name = self.source.load(index), self.source.names[index]
        question = ask(
            self.net, loaded.image, seed=self.protocol.seed, batch_size=self.protocol.batch_size
        )
        question = replace(question, name=name)
        mine = self.boxes.get(name, self.boxes.get(photo_of(name), ()))
        boxes = boxes_on_input(mine, loaded, question)
        if not self._prepared:
            self._prepare(question)
        (hidden,) = question.baseline(self.protocol.baseline)  # blurred once for all rows
        found = {
            row: self._measured(question, explain, boxes, hidden)
            for row, explain in self.explanations.items()
        }
        _log.info("%s: %s", name, question.target.label)
        return found

    def _prepare(self, question: Question) -> None:
        """Do what is done once, so that it does not count as the first photo's time."""
        for explain in self.explanations.values():
            with suppress(ExplGraphError):  # it will be refused again when it is measured
                explain(question)
        if self.protocol.randomise:
            seed = self.protocol.seed
            stages = randomised_networks(self.net, question, stages=UPPER_HALF, seed=seed)
            self._without_weights = next(stages).net
        self._prepared = True

    def _measured(
        self, question: Question, explain: Explanation, boxes: list[Box], hidden: Tensor
    ) -> _Measured:
        started = time.perf_counter()
        try:
            values = values_of(explain(question))
        except ExplGraphError as error:
            return _Measured([math.nan] * len(MEASURES), str(error))
        seconds = time.perf_counter() - started
        curves = question_curves(
            question, values, baseline=hidden, steps=self.protocol.steps, grid=self.grid
        )
        places = _on_pixels(values, self.grid, self.net.input_size)
        scores = {
            "insertion": curves.insertion,
            "deletion": curves.deletion,
            "difference": curves.difference,
            "pointing": pointing_game(places, boxes) if boxes else math.nan,
            "energy": energy_in_box(places, boxes) if boxes else math.nan,
            "sensitivity": self._sensitivity(question, explain, values),
            "randomised": self._randomised(question, explain, values),
            "seconds": seconds,
        }
        return _Measured([scores[name] for name in MEASURES])

    def _randomised(self, question: Question, explain: Explanation, values: F8) -> float:
        if self._without_weights is None:
            return math.nan
        return correlation_on(self._without_weights, question, explain, values)

    def _sensitivity(self, question: Question, explain: Explanation, values: F8) -> float:
        """Return the largest change under noise; NaN where the noisy photo cannot be explained."""
        if self.protocol.draws == 0:
            return math.nan
        try:
            changes = noise_changes(
                question, explain, values, self.protocol.levels, self.protocol.draws
            )
        except ExplGraphError:
            return math.nan
        return float(changes.max())


def _grid(net: Backbone, protocol: ExplanationProtocol) -> Grid | None:
    if isinstance(protocol.grid, str):
        (layer,) = net.select([protocol.grid])
        return layer
    return protocol.grid


def _on_pixels(values: F8, grid: Grid | None, size: tuple[int, int]) -> F8:
    """Return (H_in, W_in) the values that are compared: each pixel has its cell's."""
    cells = on_grid(values, grid, size)
    return cells if grid is None else cells.ravel()[grid_cells(grid, size)]


def _boxes_by_photo(truth: Truth) -> dict[str, list[Box]]:
    """Return boxes in pixels of the photo, by the name of a photo or item."""
    if not isinstance(truth, Annotations):
        return {name: list(boxes) for name, boxes in truth.items()}
    sized = np.isfinite(truth.size).all(axis=1)
    require(
        bool(sized.any()),
        f"none of the {len(truth)} annotations has a width and height: an explanation is held "
        "against boxes, so give the sizes of parts or boxes of objects",
    )
    boxes: dict[str, list[Box]] = {}
    for i in np.flatnonzero(sized):
        (y, x), (height, width) = truth.yx_from_corner[i], truth.size[i] / 2
        box = Box(float(y - height), float(x - width), float(y + height), float(x + width))
        boxes.setdefault(truth.image[i], []).append(box)
    return boxes


def boxes_on_input(boxes: Sequence[Box], loaded: LoadedImage, question: Question) -> list[Box]:
    """Bring boxes in pixels of a whole photo to pixels of the network's input.

    Parameters
    ----------
    boxes
        In the upright photo.
    loaded
        The photo, or an object's box in it.
    question
        About what was loaded.

    Returns
    -------
    Those that the network sees, if only in part: the centre of some pixel lies inside.
    """
    on_input = []
    for box in boxes:
        corners = np.array([[box.y0, box.x0], [box.y1, box.x1]]) / loaded.photo_size
        px = to_pixels(question.frame, to_pixels(loaded.frame, corners))
        found = Box(*px.ravel().tolist())
        if box_mask(found, question.net.input_size).any():
            on_input.append(found)
    return on_input


_CENTRE = 0.25  # deviation of the bump in the middle, as a share of the side


def random_order(question: Question) -> F8:
    """Return noise (H_in, W_in): the same for the same photo's name and seed."""
    rng = np.random.default_rng([question.seed, zlib.crc32(question.name.encode())])
    return rng.random(question.net.input_size)


def centre(question: Question) -> F8:
    """Return a bump (H_in, W_in) in the middle of the network's input, where most objects are."""
    y, x = ((middles(length) - 0.5) / _CENTRE for length in question.net.input_size)
    return np.asarray(np.exp(-(y[:, None] ** 2 + x**2) / 2))


def edge_strength(question: Question) -> F8:
    """Return how strongly the photo's brightness changes at each pixel (H_in, W_in).

    An edge detector has never seen the network, yet people take its pictures for explanations
    (Adebayo et al., 2018).
    """
    brightness = question.inputs[0].mean(dim=0).cpu().double().numpy()
    found: F8 = np.hypot(*np.gradient(brightness))
    return found[:, ::-1] if question.mirrored else found


CONTROLS: Mapping[str, Explanation] = MappingProxyType(
    {"random": random_order, "centre": centre, "edges": edge_strength}
)
"""By the name of their row."""
