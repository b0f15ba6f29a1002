"""What a part's clicks say of each other: which way each photo is seen, and which disagrees."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from numpy.typing import NDArray

from explgraph.base.arrays import F4, U1
from explgraph.base.formats.columns import CLICKED
from explgraph.base.records import Record
from explgraph.base.schema import conform

if TYPE_CHECKING:
    from collections.abc import Mapping

    import pandas as pd

_SURE = 0.7  # of a view: below, the photo is named
_ELSEWHERE = 0.95  # of the probability: more than this away from the click, it is named


@dataclass(frozen=True, eq=False, slots=True)
class ClickedPhotos(Record):
    """The A photos that a part was clicked in, each judged by the other clicks and all photos.

    Attributes
    ----------
    images
        Their names.
    mirrored
        (A,) 1 where the photo counts more as seen mirrored.
    view_probability
        (A,) how probable that view is, given those of the other clicked photos.
    turned
        (A,) 1 where the graph alone sees the photo the other way round.
    distance
        (A,) from the click to where the other clicks find the part, in diagonals of the network's
        input; NaN if there is no other.
    elsewhere
        (A,) how probable it is, to the other clicks, that the part is where they expect it more
        than at the click; NaN if there is no other.
    """

    images: tuple[str, ...]
    mirrored: U1
    view_probability: F4
    turned: U1
    distance: F4
    elsewhere: F4

    def __post_init__(self) -> None:
        conform(self, CLICKED, {"A": len(self.images)})

    def __len__(self) -> int:
        return len(self.images)

    @property
    def disagrees(self) -> NDArray[np.bool_]:
        """(A,) whether a click is to be looked at again.

        The photo is turned against what the graph alone says, or its view has a probability below
        .7, or the other clicks expect the part elsewhere with a probability above .95.
        """
        unsure = self.view_probability < _SURE
        return np.asarray(self.turned.astype(bool) | unsure | self._is_astray)

    @property
    def _is_astray(self) -> NDArray[np.bool_]:
        return np.asarray(np.nan_to_num(self.elsewhere) > _ELSEWHERE)

    @property
    def table(self) -> pd.DataFrame:
        """One row per click, with the fields above as columns, and ``disagrees``."""
        import pandas as pd

        columns: dict[str, Any] = {"image": self.images}
        columns |= {name: getattr(self, name) for name in CLICKED}
        columns["mirrored"], columns["turned"] = self.mirrored > 0, self.turned > 0
        return pd.DataFrame({**columns, "disagrees": self.disagrees})

    def doubts(self) -> list[str]:
        """Return a sentence for each click that disagrees."""
        return [self._doubt(row) for row in np.flatnonzero(self.disagrees).tolist()]

    def _doubt(self, row: int) -> str:
        reasons = []
        if self._is_astray[row]:
            reasons.append(
                f"the other clicks find the part {self.distance[row]:.0%} of the diagonal from it"
            )
        if self.turned[row]:
            reasons.append("the graph alone sees the photo the other way round than the others do")
        elif self.view_probability[row] < _SURE:
            reasons.append("which way round the photo is to be seen is not known")
        return f"{self.images[row]!r}: {', and '.join(reasons)}"

    def to_arrays(self) -> dict[str, NDArray[Any]]:
        """Return the arrays as a file holds them, by name."""
        return {name: getattr(self, name) for name in CLICKED}

    @classmethod
    def from_arrays(cls, images: list[str], arrays: Mapping[str, NDArray[Any]]) -> Self:
        """Rebuild from names and `to_arrays`'s value."""
        return cls(tuple(images), **{name: arrays[name] for name in CLICKED})
