"""What `probe_texture` finds: what a network still says, and which nodes still fire."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from explgraph.base.arrays import F4, F8, I4, I8, NONE
from explgraph.base.errors import ExplGraphError, check_shape, require
from explgraph.base.figures import nothing_to_average
from explgraph.base.text import plain
from explgraph.graphs.comparison import MIN_PHOTOS, NEAR
from explgraph.graphs.graph import ExplanatoryGraph

from .changes import Change

if TYPE_CHECKING:
    import pandas as pd


KINDS = ("texture", "shape", "both", "neither", "rare")
"""Kinds of nodes, see `TextureProbe.kinds`."""

ANSWERS = 5
"""Classes that are kept of each photo."""

_HALF = 0.5  # of the photos in which a node fires: if it survives in so many, it survives


@dataclass(frozen=True, eq=False, slots=True)
class Survival:
    """How often P nodes fire in changed photos, of those in which they fire unchanged; M changes.

    Attributes
    ----------
    fired
        (M, P) photos in which the node fires unchanged, among those that could be changed.
    fires
        (M, P) of these, in how many it fires changed, wherever.
    survives
        (M, P) of these, in how many it fires where it did: nearer than `NEAR` diagonals of the
        photo. Where a change moves things, wherever.
    by_photo
        (M, N) share of the nodes that fire in a photo and survive; NaN where there are none.
    by_chance
        (M, N) the same share, had another photo been changed instead; NaN where there is none.
    """

    fired: I8
    fires: I8
    survives: I8
    by_photo: F8
    by_chance: F8


@dataclass(frozen=True, eq=False, slots=True)
class TextureProbe:
    """What `probe_texture` found: N photos shown in M ways, the first of them unchanged.

    Attributes
    ----------
    images
        N names.
    changes
        M ways.
    skipped
        By name, the changes that were not possible, and why.
    answers
        (M, N, K) the K classes of highest probability, 5 at most, best first; `NONE` for photos
        that could not be changed in this way.
    confidence
        (M, N) probability of the first answer; NaN as above.
    n_classes
        How many classes the network knows.
    truth
        By photo, the classes that are right; None where unknown.
    class_names
        Names of the classes; None where unknown.
    graph
        The graph whose nodes were looked for, if any.
    survival
        What became of its nodes.
    """

    images: tuple[str, ...]
    changes: tuple[Change, ...]
    skipped: Mapping[str, str]
    answers: I4
    confidence: F4
    n_classes: int
    truth: tuple[frozenset[int], ...] | None = None
    class_names: tuple[str, ...] | None = None
    graph: ExplanatoryGraph | None = None
    survival: Survival | None = None

    def __len__(self) -> int:
        return len(self.images)

    @property
    def shown(self) -> NDArray[np.bool_]:
        """(M, N) which photos could be changed in which way."""
        shown: NDArray[np.bool_] = self.answers[..., 0] != NONE
        return shown

    def kept(self, best: int = 1) -> F8:
        """Return (M,) the share of photos whose class unchanged is among the best changed."""
        own = self.answers[:1, :, :1]
        return self._share((self.answers[..., :best] == own).any(axis=-1))

    def right(self, best: int = 1) -> F8:
        """Return (M,) the share of photos with a right class among the best; NaN if unknown."""
        if self.truth is None:
            return np.full(len(self.changes), np.nan)
        hits = [
            np.isin(self.answers[:, i, :best], list(truth)).any(axis=-1)
            for i, truth in enumerate(self.truth)
        ]
        return self._share(np.stack(hits, axis=1))

    def _share(self, hits: NDArray[np.bool_]) -> F8:
        return np.array(
            [row[shown].mean() for row, shown in zip(hits, self.shown, strict=True)],
            dtype=np.float64,
        )

    @property
    def table(self) -> pd.DataFrame:
        """One row per way, index ``change``.

        Columns: ``photos``; ``kept_top1`` and ``kept_top5``, the shares of `kept`; ``right_top1``
        and ``right_top5``, those of `right`, where ``classes`` were given; with a graph ``nodes``
        and ``by_chance``, the means over the photos of `Survival.by_photo` and ``by_chance``.
        """
        import pandas as pd

        columns: dict[str, Any] = {"photos": self.shown.sum(axis=1)}
        columns |= {f"kept_top{best}": self.kept(best) for best in (1, ANSWERS)}
        if self.truth is not None:
            columns |= {f"right_top{best}": self.right(best) for best in (1, ANSWERS)}
        if self.survival is not None:
            columns["nodes"] = _means(self.survival.by_photo)
            columns["by_chance"] = _means(self.survival.by_chance)
        names = pd.Index([change.name for change in self.changes], name="change")
        return pd.DataFrame(columns, index=names)

    @property
    def kinds(self) -> NDArray[np.str_]:
        """(P,) each node's kind.

        A node survives a change if it does in at least half of the photos in which it fires
        unchanged. Then it is

        - "texture" if it survives shuffled patches, but neither silhouettes nor edges,
        - "shape" if it survives silhouettes or edges, but not shuffled patches,
        - "both" or "neither" else, and
        - "rare" if it fires in fewer than 3 photos, of which nothing can be said.

        Of changes that were not possible, nothing is asked.

        Raises
        ------
        ExplGraphError
            If no graph was given, or only changes of one sort were possible.
        """
        return self._kinds(self._survival().survives)

    @property
    def kinds_anywhere(self) -> NDArray[np.str_]:
        """(P,) as `kinds`, if wherever a node fires in a silhouette or in edges is good enough.

        Shuffled patches are asked for less than the others in `kinds`, for things are elsewhere in
        them. This asks the same of all: the nodes that are textures in both ways are sure ones.
        """
        return self._kinds(self._survival().fires)

    def _kinds(self, counts: I8) -> NDArray[np.str_]:
        """Return kinds by the photos ``counts (M, P)`` in which nodes are taken to survive."""
        fired = self._survival().fired
        enough = fired >= MIN_PHOTOS
        survived = enough & (counts >= _HALF * fired)
        texture, shape = (self._rows(leaves) for leaves in ("texture", "shape"))
        keeps_texture, keeps_shape = survived[texture].any(axis=0), survived[shape].any(axis=0)
        told = enough[texture].any(axis=0) & enough[shape].any(axis=0)
        kinds = np.where(
            keeps_texture,
            np.where(keeps_shape, "both", "texture"),
            np.where(keeps_shape, "shape", "neither"),
        )
        return np.where(told, kinds, "rare")

    def _survival(self) -> Survival:
        if self.survival is None:
            raise ExplGraphError("the probe was made without a graph: give one as `graph`")
        return self.survival

    def _rows(self, leaves: str) -> list[int]:
        rows = [i for i, change in enumerate(self.changes) if change.leaves == leaves]
        reasons = "; ".join(f"{name}: {reason}" for name, reason in self.skipped.items())
        require(len(rows) > 0, f"no change that leaves {leaves} alone was possible ({reasons})")
        return rows

    @property
    def nodes(self) -> pd.DataFrame:
        """One row per node, index ``node``.

        Columns: ``id``, ``layer`` (name), ``kind`` and ``kind_anywhere`` (of `kinds` and
        `kinds_anywhere`), ``photos`` in which it fires unchanged, and for each change by its name
        the share of them in which it survives; NaN if there are none.
        """
        import pandas as pd

        survival, graph = self._survival(), self._graph()
        fired = np.where(survival.fired > 0, survival.fired, np.nan)
        shares = survival.survives / fired
        columns: dict[str, Any] = {
            "id": [graph.node_id(node) for node in range(len(graph))],
            "layer": [graph.layers[layer].name for layer in graph.node_layer],
            "kind": self.kinds,
            "kind_anywhere": self.kinds_anywhere,
            "photos": survival.fired[0],
        }
        ways = enumerate(self.changes[1:], start=1)
        columns |= {change.name: shares[row] for row, change in ways}
        return pd.DataFrame(columns).rename_axis("node")

    def _graph(self) -> ExplanatoryGraph:
        if self.graph is None:
            raise ExplGraphError("the probe was made without a graph: give one as `graph`")
        return self.graph

    def agreement(self, texture: NDArray[np.bool_]) -> Agreement:
        """Compare "texture" of `kinds` with another definition, such as `node_kinds`.

        Parameters
        ----------
        texture
            (P,) which nodes are textures by it: ``eg.node_kinds(graph).kind == "texture"``.

        Returns
        -------
        Of the nodes that are not rare.

        Raises
        ------
        ExplGraphError
            As `kinds`, or if the definition is of other nodes.
        """
        kinds = self.kinds
        check_shape("texture", texture, kinds.shape)
        told = kinds != "rare"
        return _agreement(kinds[told] == "texture", np.asarray(texture, dtype=bool)[told])

    def to_json(self) -> dict[str, Any]:
        """Return the table, the changes' settings and the numbers of nodes of each kind."""
        rows = self.table.reset_index().to_dict(orient="records")
        result: dict[str, Any] = {
            "photos": len(self),
            "changes": [change.to_json() for change in self.changes],
            "skipped": dict(self.skipped),
            "rows": [plain(row) for row in rows],
        }
        if self.survival is not None:
            result["near"] = NEAR
            for name, kinds in (("kinds", self.kinds), ("kinds_anywhere", self.kinds_anywhere)):
                result[name] = {kind: int((kinds == kind).sum()) for kind in KINDS}
        return result


class Agreement(NamedTuple):
    """How two definitions of texture nodes agree, over some nodes.

    Attributes
    ----------
    nodes
        How many.
    ours, other
        Shares that are textures by each.
    both
        Share that is by both.
    kappa
        Cohen's: 0 = as by chance, 1 = the same nodes; NaN if a definition does not divide them.
    """

    nodes: int
    ours: float
    other: float
    both: float
    kappa: float


def _agreement(ours: NDArray[np.bool_], other: NDArray[np.bool_]) -> Agreement:
    if len(ours) == 0:
        return Agreement(0, *[math.nan] * 4)
    a, b = float(ours.mean()), float(other.mean())
    same = float((ours == other).mean())
    chance = a * b + (1 - a) * (1 - b)
    kappa = (same - chance) / (1 - chance) if chance < 1 else math.nan
    return Agreement(len(ours), a, b, float((ours & other).mean()), kappa)


def _means(shares: F8) -> F8:
    """Return (M,) means over the photos that have a share; NaN where none has."""
    with nothing_to_average():
        return np.asarray(np.nanmean(shares, axis=1))
