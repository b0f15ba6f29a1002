"""What a reader of a graph should doubt, and what to do about it.

The limits lie between what was measured on photos of animals and on data that went wrong:
``docs/reading.md`` has the table, the research log (110-112) how they were found.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal, NamedTuple

import numpy as np

from explgraph.base.arrays import F4
from explgraph.base.errors import require
from explgraph.base.formats.material import Material, origin_in
from explgraph.base.layer import LayerSpec
from explgraph.base.text import counted

FEW, ENOUGH = 12, 30
"""Fewer different photos are few; so many are enough for nodes to be found again."""

_UNSURE = 0.25  # a photo's sureness: below, which way it faces is near chance
_WARNING = {  # shares from which on a person is warned, and from which on it is noted
    "repeats": (0.2, 0.0),
    "silent photos": (0.1, 0.0),
    "unreadable photos": (0.1, 0.0),
    "small photos": (0.5, 0.1),
    "orientation": (0.5, 0.3),
    "dead filters": (0.3, 0.1),
    "border": (0.35, 0.25),
}

Severity = Literal["warning", "note"]


@dataclass(frozen=True, slots=True)
class Doubt:
    """A reason to doubt what a graph shows.

    Attributes
    ----------
    kind
        "few photos", "repeats", "silent photos", "unreadable photos", "small photos",
        "orientation", "dead filters", "empty layers", "border" or "no background".
    severity
        "warning": mining warns of it, and refuses it if told to be strict; "note": it is only told.
    figure, threshold
        What was measured, and the limit that it passed: of "few photos" and "empty layers" a
        number, of "no background" 0, else a share.
    sentence
        The same in words, with what to do.
    """

    kind: str
    severity: Severity
    figure: float
    threshold: float
    sentence: str

    def to_json(self) -> dict[str, Any]:
        """Return JSON values."""
        return {
            "kind": self.kind,
            "severity": self.severity,
            "figure": self.figure,
            "threshold": self.threshold,
            "sentence": self.sentence,
        }


class _Known(NamedTuple):
    """What is known of a graph of N photos."""

    photos: int
    skipped: Sequence[str]
    material: Material
    layers: Sequence[LayerSpec]
    sureness: F4 | None
    contrasted: bool


def find_doubts(
    header: Mapping[str, Any],
    layers: Sequence[LayerSpec],
    *,
    sureness: F4 | None = None,
    contrasted: bool = True,
) -> tuple[Doubt, ...]:
    """Return what is to be doubted, warnings first.

    Parameters
    ----------
    header
        Of a graph, also of one to be mined; see `explgraph.base.formats.material.Origin`.
        Without its ``material`` nothing is known.
    layers
        L layers, lowest first.
    sureness
        (N,) `ExplanatoryGraph.photo_sureness`, where it is known.
    contrasted
        Whether nodes were compared with photos of the background.
    """
    origin = origin_in(header)
    if origin.material is None or not origin.n_images:
        return ()
    known = _Known(origin.n_images, origin.skipped, origin.material, layers, sureness, contrasted)
    found = [doubt for rule in _RULES for doubt in rule(known)]
    return tuple(sorted(found, key=lambda doubt: doubt.severity == "note"))


def _by_share(kind: str, share: float, sentence: str) -> Iterator[Doubt]:
    warned, noted = _WARNING[kind]
    if share >= warned:
        yield Doubt(kind, "warning", share, warned, sentence)
    elif share > noted:
        yield Doubt(kind, "note", share, noted, sentence)


def _few(known: _Known) -> Iterator[Doubt]:
    different = known.photos - known.material.repeats
    counts = counted(different, "different photo")
    if different < FEW:
        sentence = (
            f"Mined from only {counts}: others of the same kind would give mostly other nodes. "
            f"Give {ENOUGH} or more."
        )
        yield Doubt("few photos", "warning", different, FEW, sentence)
    elif different < ENOUGH:
        sentence = (
            f"Mined from {counts}: of {ENOUGH} or more, more of the best nodes would be found "
            "again in others of the same kind."
        )
        yield Doubt("few photos", "note", different, ENOUGH, sentence)


def _repeats(known: _Known) -> Iterator[Doubt]:
    own, n = known.material, known.photos
    sentence = (
        f"{own.repeats:,} of {counted(n, 'photo')} nearly repeat an earlier one"
        f"{_examples(own.repeated)}: nodes look surer than they are, for the gain is measured on "
        "copies. Take copies out; of a film, take pictures further apart."
    )
    return _by_share("repeats", own.repeats / n, sentence)


def _silent(known: _Known) -> Iterator[Doubt]:
    own, n = known.material, known.photos
    sentence = (
        f"In {own.silent:,} of {counted(n, 'photo')} no filter fires{_examples(own.silenced)}: the "
        "network sees nothing there. Look at them, and take them out."
    )
    return _by_share("silent photos", own.silent / n, sentence)


def _unreadable(known: _Known) -> Iterator[Doubt]:
    skipped, given = len(known.skipped), known.photos + len(known.skipped)
    sentence = (
        f"{skipped:,} of {counted(given, 'photo')} could not be read"
        f"{_examples(known.skipped)}: mend or replace them, if those left are not like them."
    )
    return _by_share("unreadable photos", skipped / given, sentence)


def _small(known: _Known) -> Iterator[Doubt]:
    own, n = known.material, known.photos
    sentence = (
        f"{own.enlarged:,} of {counted(n, 'photo')} were enlarged more than four times for the "
        "network, which sees them blurred. Give larger photos, or a network for small ones."
    )
    return _by_share("small photos", own.enlarged / n, sentence)


def _orientation(known: _Known) -> Iterator[Doubt]:
    if known.sureness is None or not len(known.sureness):
        return
    share = float(np.mean(known.sureness < _UNSURE))
    sentence = (
        f"For {share:.0%} of the photos it is near chance which way they face: nodes may mix left "
        "and right. That is no harm if both sides look alike; else give more photos, of one "
        "category and cut out around it."
    )
    is_small = known.photos - known.material.repeats < ENOUGH  # few photos are never sure
    for doubt in _by_share("orientation", share, sentence):
        yield replace(doubt, severity="note") if is_small else doubt


def _dead(known: _Known) -> Iterator[Doubt]:
    for layer, dead in zip(known.layers, known.material.dead_filters, strict=False):
        share = dead / max(layer.channels, 1)
        sentence = (
            f"In layer {layer.name}, {share:.0%} of the filters fire in no photo: the photos "
            "hold little of what the network knows. Look at them; if they are right, leave the "
            "layer out."
        )
        yield from _by_share("dead filters", share, sentence)


def _empty(known: _Known) -> Iterator[Doubt]:
    nodes = zip(known.layers, known.material.nodes, strict=False)
    empty = [layer.name for layer, count in nodes if count == 0]
    if empty:
        sentence = (
            f"No node was found in {'layer' if len(empty) == 1 else 'layers'} {', '.join(empty)}: "
            "nothing there keeps its place. Give more photos, or leave the layer out."
        )
        yield Doubt("empty layers", "warning", len(empty), 1, sentence)


def _border(known: _Known) -> Iterator[Doubt]:
    share = known.material.border_nodes / max(sum(known.material.nodes), 1)
    sentence = (
        f"{share:.0%} of the nodes lie within a tenth of the side of the border, where the "
        "network's zero padding makes filters fire: there may be little else in the photos. Look "
        "at them; cut them out around the object."
    )
    return _by_share("border", share, sentence)


def _contrast(known: _Known) -> Iterator[Doubt]:
    if not known.contrasted:
        sentence = (
            "No photos of other things were given, so it is not known which nodes fire on "
            "anything. Give some as background."
        )
        yield Doubt("no background", "note", 0, 1, sentence)


_RULES: tuple[Callable[[_Known], Iterator[Doubt]], ...] = (
    _few,
    _repeats,
    _silent,
    _unreadable,
    _small,
    _orientation,
    _dead,
    _empty,
    _border,
    _contrast,
)


def _examples(names: Sequence[str]) -> str:
    return f" ({', '.join(names[:3])})" if names else ""


def warned_of(doubts: Sequence[Doubt]) -> str:
    """Return the sentences of those that are warned of; "" if there are none."""
    return " ".join(doubt.sentence for doubt in doubts if doubt.severity == "warning")


def refuse(doubts: Sequence[Doubt]) -> None:
    """Raise `ExplGraphError` if any doubt is one that is warned of."""
    told = warned_of(doubts)
    require(not told, f"doubtful data are refused, as asked (strict): {told}")
