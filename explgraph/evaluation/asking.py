"""Which photo should a person be asked about next? Strategies against a simulated person."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from aog.asking import STRATEGIES, Known, Strategy, clearest, clearness, next_photos, photo_features
from aog.clicks import Clicks
from aog.config import PartConfig
from aog.refitting import Refit
from aog.sight import sight
from explgraph.base.arrays import F4, F8
from explgraph.base.errors import require, unknown_name
from explgraph.base.text import plain
from explgraph.graphs.graph import ExplanatoryGraph
from explgraph.graphs.matches import Matches

from .truth import PartTruth

if TYPE_CHECKING:
    import pandas as pd

RANDOM = "random order"
"""The control."""

NEAR = (0.1, 0.2)
"""Of PCK: shares of the diagonal."""


@dataclass(frozen=True, slots=True)
class AskingStudy:
    """How errors fall with the number of answers, by strategy.

    Attributes
    ----------
    category
        What the photos show.
    rows
        One for each part, strategy, seed and number of answers, see `table`.
    """

    category: str
    rows: tuple[Mapping[str, Any], ...]

    @property
    def table(self) -> pd.DataFrame:
        """One row for each part, strategy (``row``), seed and number of ``answers``.

        Columns: ``clicks``, how many of the answers were places; ``error``, the mean distance from
        the true centre over the photo's diagonal; ``pck10`` and ``pck20``, the shares nearer than
        .1 and .2; NaN before the first click. Over photos that nobody is asked about.
        """
        import pandas as pd

        return pd.DataFrame(list(self.rows)).assign(category=self.category)

    def to_json(self) -> dict[str, Any]:
        """Return every figure as JSON values."""
        return {"category": self.category, "rows": [plain(dict(row)) for row in self.rows]}


class _Person(NamedTuple):
    """What a simulated person answers: ``yx (N, 2)`` true centres, unit square, NaN if hidden."""

    part: str
    yx: F8
    shape: F8

    def distances(self, yx: F4) -> F8:
        """Return (N,) from the true centres, over the photos' diagonals."""
        off = (yx.astype(np.float64) - self.yx) * self.shape
        result: F8 = np.linalg.norm(off, axis=1) / np.linalg.norm(self.shape, axis=1)
        return result


class _Photos(NamedTuple):
    """What does not change while answers come in."""

    refit: Refit
    features: F4
    clear: F8
    asked: NDArray[np.bool_]


def study_asking(
    graph: ExplanatoryGraph,
    found: Matches,
    truths: Sequence[PartTruth],
    *,
    strategies: Sequence[str] | None = None,
    answers: int = 8,
    seeds: Sequence[int] = (0, 1, 2, 3, 4),
    category: str = "photos",
) -> AskingStudy:
    """Let a simulated person answer, and measure what each answer was worth.

    Groups of photos are halved at random: one half may be asked about, and errors are measured in
    the other, so that no strategy gains by taking what is difficult out of what is measured. Both
    are seen without their labels. Every answer is a click on the true centre, or that the part is
    not visible, and parts are refitted after each.

    Parameters
    ----------
    graph
        Mined without labels.
    found
        Its matches in N photos, with views.
    truths
        The parts.
    strategies
        Names of `aog.asking.STRATEGIES`; None: all. `RANDOM`, the control, is always measured.
    answers
        How many questions are asked.
    seeds
        Of the halves, and of the random order.
    category
        What the study is called.

    Raises
    ------
    ExplGraphError
        If there is no such strategy, or there are fewer photos than questions.

    References
    ----------
    Q. Zhang, R. Cao, Y. N. Wu and S.-C. Zhu, "Mining Object Parts from CNNs via Active
    Question-Answering", CVPR 2017.
    """
    names = list(STRATEGIES) if strategies is None else list(strategies)
    for name in names:
        if name not in STRATEGIES:
            raise unknown_name("strategy", name, STRATEGIES)
    refit, seen = Refit(graph, found, PartConfig()), sight(graph, found)
    features, clear = photo_features(seen), clearness(seen)
    rows: list[Mapping[str, Any]] = []
    for truth in truths:
        person = _person(truth, found)
        for seed in seeds:
            photos = _Photos(refit, features, clear, _asked(truth, found, seed, answers))
            for name in (RANDOM, *names):
                strategy = _shuffled(len(found), seed) if name == RANDOM else _from_first(name)
                head = {"part": truth.part, "row": name, "seed": int(seed)}
                rows += [head | row for row in _session(person, photos, strategy, answers)]
    return AskingStudy(category, tuple(rows))


def _person(truth: PartTruth, found: Matches) -> _Person:
    place = {name: i for i, name in enumerate(found.images)}
    yx = np.full((len(found), 2), np.nan)
    for name, centre in zip(truth.images, truth.yx, strict=True):
        if name in place:
            yx[place[name]] = centre
    shape = np.array([found.photo_sizes[name] for name in found.images], dtype=np.float64)
    return _Person(truth.part, yx, shape)


def _asked(truth: PartTruth, found: Matches, seed: int, answers: int) -> NDArray[np.bool_]:
    """Return (N,) which photos may be asked about: those of half of the groups."""
    group_of = dict(zip(truth.images, truth.group, strict=True))
    groups = np.array([group_of.get(name, name) for name in found.images], dtype=object)
    distinct = np.unique(groups)
    chosen = np.random.default_rng([seed, 1]).permutation(len(distinct))[: len(distinct) // 2]
    result = np.isin(groups, distinct[chosen])
    count = int(result.sum())
    require(count >= answers, f"{count} photos may be asked about, fewer than {answers} questions")
    return result


def _shuffled(n: int, seed: int) -> Strategy:
    order = np.random.default_rng([seed, 2]).permutation(n).astype(np.float64)
    return lambda known: order


def _from_first(name: str) -> Strategy:
    """Return a strategy that begins with the clearest photo, as long as nothing is known."""

    def strategy(known: Known) -> F8:
        return (clearest if known.confidence is None else STRATEGIES[name])(known)

    return strategy


def _session(
    person: _Person, photos: _Photos, strategy: Strategy, answers: int
) -> Iterator[dict[str, Any]]:
    """Yield the figures after each answer."""
    answered = np.zeros(len(photos.asked), dtype=bool)
    confidence = visible = None
    given: list[int] = []
    measured = ~photos.asked & np.isfinite(person.yx[:, 0])
    for count in range(1, answers + 1):
        known = Known(photos.features, confidence, answered, photos.clear, visible)
        given += next_photos(known, 1, strategy, photos.asked)[1]
        answered[given] = True
        clicks = _clicks(person, given)
        row: dict[str, Any] = {"answers": count, "clicks": len(clicks)}
        if len(clicks) == 0:
            yield row | {"error": np.nan, "pck10": np.nan, "pck20": np.nan}
            continue
        where = photos.refit.fit(clicks)
        confidence, visible = where.confidence, where.visible.astype(bool)
        off = person.distances(where.yx)[measured]
        near = {f"pck{round(100 * share)}": float((off < share).mean()) for share in NEAR}
        yield row | {"error": float(off.mean())} | near


def _clicks(person: _Person, rows: Sequence[int]) -> Clicks:
    index = np.array(rows, dtype=np.int64)
    hidden = np.isnan(person.yx[index, 0])
    here = index[~hidden]
    return Clicks(
        person.part, here, person.yx[here], np.full((len(here), 2), np.nan), index[hidden]
    )
