"""Every hyper-parameter of mining, once."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Self

from explgraph.base.errors import require
from explgraph.base.json_text import typed

_LEAST = 1e-6  # of shares of lengths: the squares of smaller ones vanish


RESULTS = 2
"""Raised whenever mining finds something else in the same peaks: stages of before are not used."""


@dataclass(frozen=True, slots=True)
class MiningConfig:
    """Settings of `mine`; the defaults serve every category and network.

    Attributes
    ----------
    density_top, density
        Nodes per map cell of each filter to begin with, in the layers of the coarsest grid and in
        the others. Half of the paper's N_L,d: more come to lie together and are merged.
    pose_rank
        Q, how many numbers a photo's pose has. 0 mines without poses.
    pose_terms
        R, principal components of the photos' pooled peaks that a pose may depend on.
    pose_penalty
        Of the regressions on these components, against photos counted by a node's score.
    pose_rounds
        How often poses are fitted; the spread falls from ``spread_start`` to ``spread_top``.
    n_parents
        M, how many nodes of the layer above predict a node. 0 mines without edges.
    n_candidates
        Upper nodes among which parents are looked for: those of highest score.
    parent_rounds
        How often parents are chosen.
    spread_start, spread_top, spread
        s, the standard deviation of a node's position about its prediction: where nothing is known
        but its mean position, where the pose is, and where it has parents. Shares of the input's
        side.
    merge
        Nodes of a filter that lie nearer to one another than this share of the side become one.
    pull
        How far a node's place goes from where it is predicted to the peak that it is found at: a
        peak is often the wrong one, and a prediction misses what only this photo shows. 1 = to the
        peak.
    max_iter
        EM steps in a block of fixed parents, at most.
    tol
        A block ends when a step adds less than this share of what the block has added so far.
    """

    density_top: float = 0.05
    density: float = 0.025
    pose_rank: int = 4
    pose_terms: int = 20
    pose_penalty: float = 3.0
    pose_rounds: int = 2
    n_parents: int = 15
    n_candidates: int = 600
    parent_rounds: int = 2
    spread_start: float = 0.25
    spread_top: float = 0.125
    spread: float = 0.1
    merge: float = 0.05
    pull: float = 0.25
    max_iter: int = 6
    tol: float = 0.02

    def __post_init__(self) -> None:
        for name in ("density_top", "density", "spread_start", "spread_top", "spread", "pull"):
            value = getattr(self, name)
            require(
                _LEAST <= value <= 1, f"MiningConfig.{name} must be in {_LEAST:g}..1, got {value}"
            )
        least_of = {
            **dict.fromkeys(("pose_rank", "n_parents", "n_candidates"), 0),
            **dict.fromkeys(("pose_terms", "pose_rounds", "parent_rounds", "max_iter"), 1),
        }
        for name, least in least_of.items():
            value = getattr(self, name)
            require(
                isinstance(value, int) and value >= least,
                f"MiningConfig.{name} must be a whole number from {least} on, got {value!r}",
            )
        require(
            self.n_candidates >= self.n_parents,
            f"MiningConfig.n_candidates ({self.n_candidates}) must not be less than n_parents "
            f"({self.n_parents})",
        )
        require(
            self.pose_penalty > 0,
            f"MiningConfig.pose_penalty must be more than 0, got {self.pose_penalty}",
        )
        require(0 <= self.merge < 1, f"MiningConfig.merge must be in [0, 1), got {self.merge}")
        require(0 <= self.tol < 1, f"MiningConfig.tol must be in [0, 1), got {self.tol}")

    def to_json(self) -> dict[str, Any]:
        """Return the settings as JSON values."""
        return asdict(self)

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> Self:
        """Rebuild the settings from `to_json`'s value; entries of other versions are left out.

        Raises
        ------
        ExplGraphError
            If a value is of another type, or out of its bounds.
        """
        config: Self = typed(values, "the configuration of mining", cls)
        return config
