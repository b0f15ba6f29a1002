"""One decision of a network taken apart by a graph: on which nodes it hangs in one photo."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from explgraph.base.arrays import F8, I8, frozen
from explgraph.base.errors import check_shape
from explgraph.base.figures import correlation
from explgraph.base.records import Record
from explgraph.base.text import plain
from explgraph.explanations.attribution import Attribution
from explgraph.explanations.claims import SeenLayer
from explgraph.explanations.questions import Question, ask
from explgraph.explanations.targets import Asked, ClassTarget
from explgraph.graphs.choice import find_node
from explgraph.graphs.graph import ExplanatoryGraph
from explgraph.graphs.matches import Matches
from explgraph.networks.backbone import Backbone

from .kept import smallest_kept
from .places import PlaceEffects, place_attribution, place_effects
from .removal import SeenPhoto, class_probability, matches_of

if TYPE_CHECKING:
    import pandas as pd


PEAKS_PER_LAYER = 64
"""Peaks of each layer whose removal is measured when no nodes are named."""

_INTS = ("nodes", "peak", "kept")
_PER_NODE = ("nodes", "score", "drop", "estimate", "peak", "share")


@dataclass(frozen=True, eq=False, slots=True)
class Decision(Record):
    """What n nodes that were found in a photo add to the logit of a class.

    All figures are of the photo in the orientation in which the graph sees it, but for ``places``
    and ``map``: these are of the photo as given, with the nodes found in it unmirrored.

    Attributes
    ----------
    graph
        Whose nodes they are.
    image
        The photo's name.
    target
        The class.
    mirrored
        Whether the graph sees the photo mirrored.
    logit, probability
        Of the class, nothing removed; the probability is the softmax.
    predicted
        The class with the largest logit, nothing removed.
    nodes
        (n,) the nodes: those that were measured first, by falling drop; then the others, by falling
        estimate.
    yx
        (n, 2) where they are, unit square of the photo as given. Where a box was cut out of the
        photo, "the photo" is what the box cuts out.
    score
        (n,) response of the node's peak times its responsibility for it, as `Matches.score`.
    drop
        (n,) the logit's drop when the cells that ascend to the node's peak are set to the filter's
        m_c; NaN where it was not measured.
    estimate
        (n,) the same to first order: gradient times output above m_c, summed over these cells.
    peak
        (n,) number of the node's peak, from 0. Nodes with the same number were found on the same
        peak, and have one drop between them.
    share
        (n,) the node's part in its peak: its score over the sum of the scores of all nodes found
        there. ``drop * share`` tells nodes of one peak apart and adds up.
    kept
        (k,) the smallest set of top-layer nodes that was found to keep the prediction when their
        cells are all that is left of that layer: the class stays on top, with at least half of its
        probability. In the order of ``nodes``. Empty if not even all of them together keep it, or
        the class is not the one predicted.
    kept_predicted, kept_probability
        The class predicted from these nodes alone, and the probability of the class in question;
        from all claimed cells where no set keeps the prediction.
    places
        What the nodes of each place of the photo as given add together.
    map
        The same laid over the photo, to be compared with what `explgraph.explain` answers.
    """

    graph: ExplanatoryGraph
    image: str
    target: ClassTarget
    mirrored: bool
    logit: float
    probability: float
    predicted: int
    nodes: I8
    yx: F8
    score: F8
    drop: F8
    estimate: F8
    peak: I8
    share: F8
    kept: I8
    kept_predicted: int
    kept_probability: float
    places: PlaceEffects
    map: Attribution

    def __post_init__(self) -> None:
        n = len(self.nodes)
        shapes: dict[str, tuple[int | None, ...]] = {
            **dict.fromkeys(_PER_NODE, (n,)),
            "yx": (n, 2),
            "kept": (None,),
        }
        for name, shape in shapes.items():
            value = getattr(self, name)
            check_shape(f"Decision.{name}", value, shape)
            kind = np.int64 if name in _INTS else np.float64
            object.__setattr__(self, name, frozen(value, kind))

    def __repr__(self) -> str:
        measured = int(np.isfinite(self.drop).sum())
        return (
            f"<Decision for {self.target.label} in {self.image!r}: {measured} of "
            f"{len(self.nodes)} nodes measured, {len(self.kept)} keep it>"
        )

    @property
    def table(self) -> pd.DataFrame:
        """One row per node, ranked; index ``node``.

        Columns: ``id``, ``name``, ``layer``; ``y``, ``x``, where it is in the photo as given; the
        attributes ``score``, ``drop``, ``estimate``, ``peak``, ``share``; ``kept``.
        """
        import pandas as pd

        graph, nodes = self.graph, self.nodes.tolist()
        return pd.DataFrame(
            {
                "id": [graph.node_id(node) for node in nodes],
                "name": [graph.names.get(node, "") for node in nodes],
                "layer": [graph.layers[graph.node_layer[node]].name for node in nodes],
                "y": self.yx[:, 0],
                "x": self.yx[:, 1],
                "score": self.score,
                "drop": self.drop,
                "estimate": self.estimate,
                "peak": self.peak,
                "share": self.share,
                "kept": np.isin(self.nodes, self.kept),
            },
            index=pd.Index(nodes, name="node"),
        )

    @property
    def correlation(self) -> float:
        """Pearson's, of drop and estimate over the peaks measured; NaN below three."""
        _, first = np.unique(self.peak, return_index=True)
        return correlation(self.drop[first], self.estimate[first])

    def to_json(self) -> dict[str, Any]:
        """Return every figure as JSON values, a row for each node; what does not apply is null."""
        rows = self.table.reset_index().to_dict(orient="records")
        return {
            "image": self.image,
            "target": {"index": self.target.index, "name": self.target.name},
            "mirrored": self.mirrored,
            "logit": self.logit,
            "probability": self.probability,
            "predicted": self.predicted,
            "correlation": plain(self.correlation),
            "kept": [self.graph.node_id(node) for node in self.kept],
            "kept_predicted": self.kept_predicted,
            "kept_probability": self.kept_probability,
            "nodes": [plain(row) for row in rows],
            "places": {name: values.tolist() for name, values in self.places._asdict().items()},
        }


def explain_decision(
    graph: ExplanatoryGraph,
    net: Backbone,
    image: object,
    target: Asked = None,
    *,
    found: Matches | None = None,
    nodes: Iterable[str | int] | None = None,
    batch_size: int | None = None,
) -> Decision:
    """Measure which nodes of a graph a class's logit hangs on in one photo.

    In the photo, the cells that ascend to the peak on which a node was found are set to the
    channel's m_c, where the response is 0; the rest of the network is run, and the fall of the
    logit is the node's drop. Nodes found on one peak have one drop between them. An estimate to
    first order costs one pass forth and back for all nodes together.

    Where the graph sees the photo mirrored, nodes are measured in the mirrored photo: there they
    are found. The class is that of the photo as given, and so is the map of places, for which see
    `explgraph.explanations.decision.places.place_effects`.

    Parameters
    ----------
    graph
        P nodes.
    net
        The classifier that it was mined from; it is the same afterwards.
    image
        One photo: a PIL image, an array (H, W, 3), or anything that `explgraph.open_images` takes.
    target
        A class by index or name; None: the one with the largest logit.
    found
        The graph's matches, if this photo is among them by name; without, it is matched.
    nodes
        Indices, ids or names of nodes whose exact drop is wanted; those without a peak in the photo
        have none. Default: in each layer, the nodes of the 64 peaks with the largest estimates, for
        or against the class.
    batch_size
        Most variants of a layer's output that are run at once.

    Returns
    -------
    The drops of all nodes in this photo, and the nodes that keep the prediction.

    Raises
    ------
    ExplGraphError
        If there is not exactly one photo, the class or a node does not exist, the graph, matches
        and network do not belong together, or the network returns no logits.

    References
    ----------
    Zeiler and Fergus, "Visualizing and Understanding Convolutional Networks", ECCV 2014, for
    decisions explained by what their loss does; Zhou et al., "Revisiting the Importance of
    Individual Units in CNNs via Ablation", 2018, for units instead of pixels.
    """
    question = ask(net, image, target, batch_size=batch_size)
    return decide(question, graph, found, nodes=nodes)


def decide(
    question: Question,
    graph: ExplanatoryGraph,
    found: Matches | None = None,
    *,
    nodes: Iterable[str | int] | None = None,
) -> Decision:
    """Answer a question about a class as `explain_decision` does."""
    asked = None if nodes is None else np.array([find_node(graph, node) for node in nodes])
    seen = SeenPhoto(question, graph, matches_of(question, graph, found))
    as_given = seen
    if seen.mirrored:
        as_given = SeenPhoto(question, graph, matches_of(question, graph, mirror=False))
    effects = place_effects(as_given, seed=question.seed)
    layers = [_measured(seen, layer, asked) for layer in seen.layers]
    kept = smallest_kept(seen, seen.layers[-1], layers[-1].ranked)
    below = sum(len(layer.peaks) for layer in layers[:-1])
    claims = _ranked(_claims(seen, layers))
    return Decision(
        graph=graph,
        image=question.name,
        target=seen.target,
        mirrored=seen.mirrored,
        logit=seen.logit,
        probability=class_probability(seen.logits, seen.target.index),
        predicted=int(seen.logits.argmax()),
        nodes=claims.nodes,
        yx=seen.places(claims.nodes),
        score=claims.score,
        drop=claims.drop,
        estimate=claims.estimate,
        peak=claims.peak,
        share=claims.share,
        kept=_speakers(claims, below + np.searchsorted(layers[-1].peaks, kept.peaks)),
        kept_predicted=kept.predicted,
        kept_probability=kept.probability,
        places=effects,
        map=place_attribution(question, graph, effects),
    )


class _PeakDrops(NamedTuple):
    """The k peaks of a layer that nodes claim, and the fall of the logit without each of them."""

    peaks: I8
    drop: F8
    estimate: F8

    @property
    def ranked(self) -> I8:
        """(k,) the peaks by falling drop, as far as it was measured, else estimate."""
        known = np.where(np.isnan(self.drop), self.estimate, self.drop)
        return self.peaks[np.argsort(-known, kind="stable")]


class _Claims(NamedTuple):
    """Columns of a `Decision`: n nodes."""

    nodes: I8
    score: F8
    drop: F8
    estimate: F8
    peak: I8
    share: F8


def _measured(seen: SeenPhoto, layer: SeenLayer, asked: NDArray[Any] | None) -> _PeakDrops:
    """Take the peaks of the nodes in question away, one by one."""
    peaks = layer.peaks
    estimate = layer.estimates(peaks)
    if asked is None:
        chosen = np.argsort(-np.abs(estimate), kind="stable")[:PEAKS_PER_LAYER]
    else:
        chosen = np.flatnonzero(np.isin(peaks, layer.tops[np.isin(layer.nodes, asked)]))
    drop = np.full(len(peaks), np.nan)
    drop[chosen] = seen.drops(layer, (layer.cells(peaks[[i]]) for i in chosen))
    return _PeakDrops(peaks, drop, estimate)


def _claims(seen: SeenPhoto, layers: list[_PeakDrops]) -> _Claims:
    """Return what was measured of each peak at the nodes that were found on it."""
    claims, first = [], 0
    for layer, measured in zip(seen.layers, layers, strict=True):
        place = np.searchsorted(measured.peaks, layer.tops)
        score = seen.found.score[0, layer.nodes].astype(np.float64)
        total = np.bincount(place, score, len(measured.peaks))
        mine = _Claims(
            nodes=layer.nodes,
            score=score,
            drop=measured.drop[place],
            estimate=measured.estimate[place],
            peak=first + place,
            share=score / total[place],
        )
        claims.append(mine)
        first += len(measured.peaks)
    names = _Claims._fields
    return _Claims(
        **{name: np.concatenate([getattr(one, name) for one in claims]) for name in names}
    )


def _ranked(claims: _Claims) -> _Claims:
    """Put nodes into the order of a `Decision`."""
    order = np.lexsort((-claims.score, -claims.estimate, -claims.drop))  # NaN comes last
    return _Claims(**{name: getattr(claims, name)[order] for name in _Claims._fields})


def _speakers(claims: _Claims, peaks: I8) -> I8:
    """Return for each of some numbers of peaks its node with the highest score, in order."""
    by_score = np.argsort(-claims.score, kind="stable")
    _, first = np.unique(claims.peak[by_score], return_index=True)
    return claims.nodes[np.sort(by_score[first][peaks])]
