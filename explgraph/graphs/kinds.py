"""What a node is: a part, a texture or background, where that can be told; else two figures."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from explgraph.base.arrays import F4
from explgraph.base.text import percent

from .graph import ExplanatoryGraph

if TYPE_CHECKING:
    import pandas as pd


Kind = Literal["part", "texture", "background"]
KINDS: tuple[Kind, ...] = get_args(Kind)
"""What a node may be."""

# Fitted on drawings of fish and birds: docs/quality.md.
BACKGROUND_CONTRAST = 0.45
"""A node of less contrast is background."""

PART_GAIN = 0.65
"""Of the others, a node of more group gain is a part."""

RAREST, MOST = 0.05, 0.9
"""Nodes are told apart if each kind is true of at least, and at most, these shares of them."""


@dataclass(frozen=True, eq=False, slots=True)
class NodeKinds:
    """What is known of P nodes; see `node_kinds`.

    Attributes
    ----------
    contrast
        (P,) `ExplanatoryGraph.contrast`; None where unknown.
    group_gain
        (P,) `PartGroups.node_gain`; None where unknown.
    kind
        (P,) "part", "texture" or "background"; None where nodes cannot be told apart.
    reason
        Why not, in words; empty where they can.
    """

    contrast: F4 | None
    group_gain: F4 | None
    kind: NDArray[np.str_] | None
    reason: str = ""

    def __repr__(self) -> str:
        if self.kind is None:
            return f"<NodeKinds: not told apart, {self.reason}>"
        counts = ", ".join(f"{np.count_nonzero(self.kind == name):,} {name}" for name in KINDS)
        return f"<NodeKinds of {len(self.kind):,} nodes: {counts}>"

    @property
    def reliable(self) -> bool:
        """Whether nodes can be told apart."""
        return self.kind is not None

    @property
    def table(self) -> pd.DataFrame:
        """One row per node, index ``node``: what is known of ``contrast, group_gain, kind``."""
        import pandas as pd

        columns = {"contrast": self.contrast, "group_gain": self.group_gain, "kind": self.kind}
        known = {name: column for name, column in columns.items() if column is not None}
        return pd.DataFrame(known).rename_axis("node")


def node_kinds(graph: ExplanatoryGraph) -> NodeKinds:
    """Tell part nodes, texture nodes and background nodes apart, if this graph allows it.

    A node is *background* if its contrast is below .45: it fires on photos of anything nearly as
    well. Of the others it is a *part* if its group gain is above .65: a part group's place says
    where it is, about twice as well as its own usual place. What remains is *texture*: on the
    object, but now here, now there.

    The two thresholds fit networks that tell the object from its background sharply. For others
    they would call nearly all nodes one and the same: if a kind is true of less than 5 % or of more
    than 90 % of the nodes, there are no kinds, and the two figures are all that can be said. They
    rank nodes as well there, but a limit for them is not known. This is asked of the graph as it
    is, so ask before a part of it is taken.

    Parameters
    ----------
    graph
        P nodes; contrast and part groups are known where it was mined with background photos.

    Returns
    -------
    The kinds, or why there are none, and both figures.

    Examples
    --------
    >>> kinds = eg.node_kinds(graph)  # doctest: +SKIP
    >>> kinds.kind[0] if kinds.reliable else kinds.reason  # doctest: +SKIP
    """
    contrast = graph.contrast
    gain = None if graph.groups is None else graph.groups.node_gain
    if contrast is None or gain is None:
        missing = "contrast: mine with background photos" if contrast is None else "part groups"
        return NodeKinds(contrast, gain, None, f"the graph has no {missing}")
    on_object = np.where(gain > PART_GAIN, "part", "texture")
    kind = np.where(contrast < BACKGROUND_CONTRAST, "background", on_object)
    shares = {name: float(np.mean(kind == name)) if len(kind) else 0.0 for name in KINDS}
    if min(shares.values()) < RAREST or max(shares.values()) > MOST:
        found = ", ".join(f"{percent(share)} {name}" for name, share in shares.items())
        return NodeKinds(
            contrast,
            gain,
            None,
            f"the limits between kinds do not fit this graph (they would make {found}): read "
            "contrast and group gain as numbers",
        )
    return NodeKinds(contrast, gain, kind)
