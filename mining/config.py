"""Every hyper-parameter of mining, once."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

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
    spread_start
        Standard deviation of a node before anything is known of it, share of the input's side.
    spread_max
        The largest one that the top layer may take, share of the side.
    parent_rounds
        How often parents are chosen anew, at most: choices can cycle.
    max_iter
        EM steps in a block of fixed parents, at most.
    tol
        A block ends when a step improves the objective by less than this share of it.
    min_mass
        Nodes that explain less than this share of a photo's mean response in their filter go.
    """

    density_top: float = 0.1
    density: float = 0.05
    n_parents: int = 15
    spread_start: float = 0.15
    spread_max: float = 0.25
    parent_rounds: int = 5
    max_iter: int = 10
    tol: float = 1e-4
    min_mass: float = 0.0

    def to_json(self) -> dict[str, Any]:
        """Return the settings as JSON values."""
        return asdict(self)
