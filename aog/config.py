"""Hyper-parameters of parts: one setting for all categories, networks and parts."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any, Self

from explgraph.base.errors import require, unknown_name
from explgraph.base.json_text import typed
from explgraph.base.schema import LARGEST
from explgraph.graphs.matches import GAIN_ODDS

_NON_NEGATIVE = ("vote", "look", "scene", "view", "others", "doubt", "merge")
_POSITIVE = ("reach", "width", "floor")


@dataclass(frozen=True, slots=True)
class PartConfig:
    """How parts are fitted and located; lengths are shares of the side of the network's input.

    Attributes
    ----------
    n_patterns
        Latent patterns of one click, at most; templates that are merged keep those of both.
    reach
        How far from a part its patterns may lie: standard deviation of their weight.
    width
        Least spread of a pattern's vote: standard deviation per axis.
    floor
        Share of a template's votes that no place goes without: bounds what astray patterns cost.
    vote, look, scene
        Weights of the evidence: log of the votes, likeness of the place, likeness of the photo.
    learnt
        The largest share of the look that is the part's trait, learnt from photos without a click;
        the rest is likeness to the clicked places. The share is this times the square of how sure
        the answers in those photos are without it, on average. 0 learns none.
    view
        What the log odds of a photo's views count, `Matches.facing`; 1 takes them as they are.
    others
        How many photos all photos without a click count for, together, when it is judged which way
        a clicked one is seen.
    doubt
        How many clicks' worth of doubt there is before the first: k clicks count k / (k + doubt).
    merge
        Templates whose patterns vote for places within this much of each other, the distance over
        the share of patterns that they have in common, become one; 0 keeps one for each click.
    """

    n_patterns: int = 1000
    reach: float = 0.125
    width: float = 0.0625
    floor: float = 0.01
    vote: float = 2.5
    look: float = 14.0
    scene: float = 20.0
    learnt: float = 0.5
    view: float = 1.0
    others: float = 2.0
    doubt: float = 0.6
    merge: float = 0.15

    def __post_init__(self) -> None:
        for name in _POSITIVE:
            value = getattr(self, name)
            require(value > 0, f"PartConfig.{name} must be positive, got {value}")
        for name in _NON_NEGATIVE:
            value = getattr(self, name)
            require(value >= 0, f"PartConfig.{name} may not be negative, got {value}")
        for name in (*_POSITIVE, *_NON_NEGATIVE):
            value = getattr(self, name)
            require(value <= LARGEST, f"PartConfig.{name} may be {LARGEST:g} at most, got {value}")
        require(self.width <= 1, f"PartConfig.width must be a share of 1, got {self.width}")
        require(0 <= self.learnt <= 1, f"PartConfig.learnt must be a share of 1, got {self.learnt}")
        require(self.n_patterns >= 1, "PartConfig.n_patterns must be 1 at least")

    def to_json(self) -> dict[str, Any]:
        """Return the fields as JSON values."""
        return asdict(self)

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> Self:
        """Rebuild a configuration from `to_json`'s value.

        Raises
        ------
        ExplGraphError
            If a name is unknown, or a value of another type.
        """
        known = [f.name for f in fields(cls)]
        values = dict(values)
        if "facing" in values:  # of earlier versions: a multiple of what is now said of the views
            values["view"] = values.pop("facing") / GAIN_ODDS
        for name in values:
            if name not in known:
                raise unknown_name("setting of parts", name, known)
        config: Self = typed(values, "the configuration of parts", cls)
        return config
