"""Edges that say what a node's response is made of: the effects of nodes below on it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from explgraph.base.arrays import F4, I4
from explgraph.base.errors import require
from explgraph.base.formats.columns import EFFECTS
from explgraph.base.records import Record
from explgraph.base.schema import conform

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True, eq=False, slots=True)
class EdgeEffects(Record):
    """M edges "is made of", from child to parent (of the next layer above). Arrays are read-only.

    Attributes
    ----------
    child, parent
        (M,) node indices; ordered by parent, then by falling size of the effect.
    effect
        (M,) share of the parent's response that the child's cells carry, mean over photos in which
        both fire; below 0 where the child inhibits it.
    photos
        (M,) how many photos that is the mean of.
    """

    child: I4
    parent: I4
    effect: F4
    photos: I4

    def __post_init__(self) -> None:
        conform(self, EFFECTS, {})
        require(bool(np.all(np.diff(self.parent) >= 0)), "EdgeEffects: edges must be by parent")

    def __len__(self) -> int:
        return len(self.child)

    def __repr__(self) -> str:
        parents = len(np.unique(self.parent))
        return f"<EdgeEffects: {len(self)} edges of {parents} parents>"

    @property
    def parents(self) -> NDArray[np.int32]:
        """The nodes whose children are known, each once."""
        return np.unique(self.parent)

    @property
    def table(self) -> pd.DataFrame:
        """One row per edge: ``child``, ``parent``, ``effect``, ``photos``."""
        import pandas as pd

        return pd.DataFrame({name: getattr(self, name) for name in EFFECTS})

    def take(self, edges: NDArray[Any]) -> EdgeEffects:
        """Return some of the edges, by index or truth value."""
        return EdgeEffects(*(getattr(self, name)[edges] for name in EFFECTS))

    def place(self, place: NDArray[Any]) -> EdgeEffects:
        """Return the edges among nodes that got other numbers: ``place (P,)``, below 0 if gone."""
        kept = self.take((place[self.child] >= 0) & (place[self.parent] >= 0))
        return replace(kept, child=place[kept.child], parent=place[kept.parent])

    def to_arrays(self) -> dict[str, NDArray[Any]]:
        """Return what a file holds, by name."""
        return {name: getattr(self, name) for name in EFFECTS}
