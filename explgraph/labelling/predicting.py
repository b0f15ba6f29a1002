"""From answers to predictions: what is refitted when, and which photo is asked about next."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from threading import Lock, RLock

import numpy as np

from aog import Localizations, PartConfig, Parts
from aog.asking import Known, clearness, next_photos, photo_features
from aog.clicks import Clicks, check_clicks, hidden_rows
from aog.refitting import Refit
from aog.sight import sight
from explgraph.base.arrays import F4, F8
from explgraph.base.errors import require
from explgraph.graphs.graph import ExplanatoryGraph
from explgraph.graphs.matches import Matches

from .exporting import marks
from .structures import Answer, Progress, Question

_IN_DOUBT = 0.5


@dataclass(slots=True)
class _Fitted:
    """What was predicted for a part last, and from which clicks; ``lock`` is held to change it."""

    lock: RLock = field(default_factory=RLock)
    of: tuple[Answer, ...] | None = None
    settled: Parts | None = None
    where: Localizations | None = None


class Predictor:
    """Predicts parts from answers; any thread may ask.

    Parameters
    ----------
    graph, found, config
        As of `LabelSession`.
    """

    def __init__(self, graph: ExplanatoryGraph, found: Matches, config: PartConfig) -> None:
        self._graph, self._found, self._config = graph, found, config
        self._sizes = found.photo_sizes
        self._refit = Refit(graph, found, config)
        self._fitted: dict[str, _Fitted] = {}
        self._lock = Lock()

    def check_inside(self, part: str, image: str, yx: tuple[float, float]) -> None:
        """Raise `ExplGraphError` if a place lies outside of its photo."""
        self._clicks(part, [Answer(image, "here", yx, None, 0)])

    def check_click(
        self,
        part: str,
        image: str,
        yx: tuple[float, float],
        size: tuple[float, float] | None,
    ) -> None:
        """Raise `ExplGraphError` unless something can be learnt from a click."""
        self._refit.check(self._clicks(part, [Answer(image, "here", yx, size, 0)]))

    def predictions(self, part: str, answers: Sequence[Answer]) -> Localizations | None:
        """Return where a part is in all photos; None before the first click."""
        own = self._of(part)
        taught = _taught(answers)
        with own.lock:
            if own.of != taught:
                own.settled = None
                own.where = None
                if any(answer.kind == "here" for answer in taught):
                    own.where = self._refit.fit(self._clicks(part, taught))
                own.of = taught
            return own.where

    def settle(self, answers: Mapping[str, Sequence[Answer]]) -> Parts:
        """Fit parts from nothing; those without a click are left out."""
        taught = {part: _taught(given) for part, given in answers.items()}
        clicked = {
            part: given
            for part, given in taught.items()
            if any(answer.kind == "here" for answer in given)
        }
        require(
            len(clicked) > 0,
            f"nothing was clicked for {', '.join(map(repr, answers)) or 'any part'}: click it in "
            "one photo at least",
        )
        return self._joined([self._settled(part, given) for part, given in clicked.items()])

    def _settled(self, part: str, taught: tuple[Answer, ...]) -> Parts:
        own = self._of(part)
        with own.lock:
            if own.of != taught or own.settled is None:
                own.settled, own.where = self._refit.settle(self._clicks(part, taught))
                own.of = taught
            return own.settled

    def _joined(self, each: list[Parts]) -> Parts:
        """Put parts that were fitted one by one together: as they are if fitted together."""
        first = each[0]
        aogs = tuple(aog for parts in each for aog in parts.aogs)
        return Parts(first.graph, aogs, first.look_mean, first.config, first.header)

    def questions(self, part: str, answers: Sequence[Answer], n: int) -> tuple[Question, ...]:
        """Return which photos to ask about, at most ``n``, best first."""
        require(n >= 1, f"n must be 1 or more, got {n}")
        where = self.predictions(part, answers)
        if where is None:
            self._refit.prepare()  # while a person looks for the first photo's part
        known = self.known(answers, where)
        value, rows = next_photos(known, n)
        return tuple(
            Question(self._found.images[row], _reason(where, row), float(value[row]))
            for row in rows
        )

    def known(self, answers: Sequence[Answer], where: Localizations | None) -> Known:
        """Return what strategies of asking go by."""
        answered = np.zeros(len(self._found), dtype=bool)
        answered[hidden_rows([answer.image for answer in answers], self._found.images)] = True
        if where is None:
            return Known(self._features, None, answered, self._clear)
        visible = where.visible.astype(bool)
        return Known(self._features, where.confidence, answered, self._clear, visible)

    def progress(self, part: str, answers: Sequence[Answer]) -> Progress:
        """Return how far a part is."""
        total = len(self._found)
        given = [answer.image for answer in answers if answer.kind != "skipped"]
        where = self.predictions(part, answers)
        if where is None:
            return Progress(len(given), total, 0.0, total - len(given))
        confidence = where.confidence.astype(np.float64)
        confidence[hidden_rows(given, self._found.images)] = 1.0
        return Progress(
            answered=len(given),
            photos=total,
            expected_right=float(confidence.mean()),
            in_doubt=int((confidence < _IN_DOUBT).sum()),
        )

    @cached_property
    def _features(self) -> F4:
        return photo_features(sight(self._graph, self._found))

    @cached_property
    def _clear(self) -> F8:
        return clearness(sight(self._graph, self._found))

    def _of(self, part: str) -> _Fitted:
        with self._lock:
            return self._fitted.setdefault(part, _Fitted())

    def _clicks(self, part: str, answers: Sequence[Answer]) -> Clicks:
        """Return clicks as `fit_parts` makes them of annotations and hidden photos."""
        here = [answer for answer in answers if answer.kind == "here"]
        clicks = check_clicks(marks(part, here), part, self._found.images, self._sizes)
        hidden = [answer.image for answer in answers if answer.kind == "hidden"]
        return Clicks(
            part, clicks.index, clicks.yx, clicks.size, hidden_rows(hidden, self._found.images)
        )


def _taught(answers: Sequence[Answer]) -> tuple[Answer, ...]:
    """Return the answers that something is learnt from."""
    return tuple(answer for answer in answers if answer.kind in ("here", "hidden"))


def _reason(where: Localizations | None, row: int) -> str:
    if where is None:
        return "clear: the graph sees it best"
    return f"unlike your answers, {float(where.confidence[row]):.0%} sure"
