"""Every hyper-parameter of mining, once."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any, Self

from explgraph.errors import require


@dataclass(frozen=True, slots=True)
class MiningConfig:
    """Settings of `mine`; the defaults serve every category and network.

    Attributes
    ----------
    density_top, density
        Nodes per map cell of each filter, in the layers of the coarsest grid and in the others
        (N_L,d of the paper: .1 and .05).
    n_parents
        M, how many nodes of the layer above predict a node. 0 mines a plain mixture without edges.
    n_candidates
        Upper nodes among which parents are looked for: of the half that moves most, those of
        highest score.
    spread_top, spread
        s, the standard deviation of a node's position about its prediction: in the top layer and
        in layers without parents, and in the layers that have them. Shares of the input's side.
    parent_rounds
        How often parents are chosen anew, at most: choices can cycle.
    max_iter
        EM steps in a block of fixed parents, at most.
    tol
        A block ends when a step adds less than this share of what the block has added so far.
    """

    density_top: float = 0.1
    density: float = 0.05
    n_parents: int = 15
    n_candidates: int = 600
    spread_top: float = 0.15
    spread: float = 0.1
    parent_rounds: int = 3
    max_iter: int = 8
    tol: float = 0.02

    def __post_init__(self) -> None:
        for name in ("density_top", "density", "spread_top", "spread"):
            value = getattr(self, name)
            require(0 < value <= 1, f"MiningConfig.{name} must be in (0, 1], got {value}")
        least_of = {"n_parents": 0, "n_candidates": 0, "parent_rounds": 1, "max_iter": 1}
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
        require(0 <= self.tol < 1, f"MiningConfig.tol must be in [0, 1), got {self.tol}")

    def to_json(self) -> dict[str, Any]:
        """Return the settings as JSON values."""
        return asdict(self)

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> Self:
        """Rebuild the settings from `to_json`'s value; entries of other versions are left out."""
        known = {f.name for f in fields(cls)}
        return cls(**{name: value for name, value in values.items() if name in known})
