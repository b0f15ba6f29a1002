"""Prediction fidelity: the network's decision from the cells that nodes claim alone."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from explgraph.base.arrays import F4, F8, I4, NONE
from explgraph.base.errors import require
from explgraph.base.renamed import renamed
from explgraph.explanations.claims import (
    check_same_network,
    claimed_maxima,
    layer_cells,
    seen_photos,
    without_cells,
)
from explgraph.graphs.choice import best_of_layers
from explgraph.graphs.graph import ExplanatoryGraph
from explgraph.graphs.matches import Matches
from explgraph.networks.backbone import Backbone
from explgraph.networks.intervention import Rest, observe

if TYPE_CHECKING:
    import pandas as pd


ALL = "all"
COUNTS = (10, 30, 100, 300, 1000, 3000, 10_000)
N_DRAWS = 3
"""Random selections in each photo."""

_LEAST = 1e-12  # of a photo in which nothing responds, no share is kept


@dataclass(frozen=True, slots=True)
class FidelityPoint:
    """The figures of one number of nodes: means over the photos.

    Attributes
    ----------
    nodes
        Number of nodes used, the best of the layer.
    cells
        Mean number of cells kept.
    cell_share, activation_share
        Of the layer's active cells, and of their response.
    kept
        Share of the photos whose top-1 class is that of the unedited network.
    kept_random
        Control, to beat: as many random active cells.
    kept_strongest
        Control, a ceiling: as many cells, those with the strongest response.
    """

    nodes: int
    cells: float
    cell_share: float
    activation_share: float
    kept: float
    kept_random: float
    kept_strongest: float


@dataclass(frozen=True, slots=True)
class FidelityCurve:
    """Top-1 kept against the share of activation kept, over the number of nodes used.

    Attributes
    ----------
    layer
        Name of the layer.
    photos
        N.
    points
        By rising number of nodes.
    all_nodes
        Number of the layer's nodes.
    """

    layer: str
    photos: int
    points: tuple[FidelityPoint, ...]
    all_nodes: int

    @property
    def table(self) -> pd.DataFrame:
        """One row per number of nodes.

        Columns: ``row``, "best k" or "all", by which the curves of several graphs can be averaged;
        the figures of `FidelityPoint`; ``photos``.
        """
        import pandas as pd

        rows = [
            {"row": self._name(point), **asdict(point), "photos": self.photos}
            for point in self.points
        ]
        return pd.DataFrame(rows)

    def _name(self, point: FidelityPoint) -> str:
        return ALL if point.nodes == self.all_nodes else f"best {point.nodes}"

    def to_json(self) -> dict[str, Any]:
        """Return every figure as JSON values."""
        return asdict(self) | {"points": [asdict(point) for point in self.points]}


@renamed(matches="found")
def fidelity_curve(
    graph: ExplanatoryGraph,
    found: Matches,
    net: Backbone,
    images: object,
    *,
    layer: int = -1,
    counts: Sequence[int] | None = None,
    seed: int = 0,
) -> FidelityCurve:
    """Measure how well the cells that nodes claim carry the network's decision.

    At one mined layer every active cell, one with a response max((a - m_c) / s_c, 0) above 0,
    belongs to the peak to which it ascends. In each photo the cells of the peaks that the used
    nodes were found on are kept. All others are set to the channel's m_c, where the response is 0:
    that is 0 itself for layers that end in a ReLU; for others cells below the mean are raised to
    it, for they carry no response either. Then the rest of the network is run.

    A photo that the graph sees mirrored is run mirrored, unedited and edited alike. Peaks beyond
    the strongest eight of a filter, which matching never sees, belong to no node.

    Parameters
    ----------
    graph
        P nodes. It should be mined from other photos.
    found
        Where they are in N photos. A node without a peak, score 0, claims nothing.
    net
        The network; a classifier.
    images
        These photos, and perhaps others, in any form that `explgraph.open_images` takes.
    layer
        Index among the graph's layers; by default the top one.
    counts
        Numbers of nodes to use, the first of `ExplanatoryGraph.ranking` within the layer; default:
        10, 30, 100, 300, ... and all.
    seed
        Of the random cells.

    Returns
    -------
    One point for each number of nodes.

    Raises
    ------
    ExplGraphError
        If the graph, matches, network and images do not belong together, the layer does not exist
        or has no nodes, a count is not within 1..P, or the network returns no logits.
    """
    check_same_network(graph, found, net)
    require(
        -len(graph.layers) <= layer < len(graph.layers),
        f"there is no layer {layer}: the graph has {len(graph.layers)}",
    )
    index = layer % len(graph.layers)
    ranking = best_of_layers(graph)[index]
    used = _counts(counts, len(ranking))
    name = graph.layers[index].name
    mean = torch.tensor(graph.channel_mean[index], device="cpu")[:, None, None]
    rest, total = Rest(net, name), np.zeros((len(used), 6))
    for batch in seen_photos(found, net, images):
        seen = observe(net, batch.tensor, [name])
        maps = seen.maps[name].cpu()
        cells = layer_cells(maps.numpy(), graph.channel_mean[index], graph.channel_scale[index])
        tops = claimed_maxima(graph, found, batch.rows, cells, ranking)
        first = _first_claims(cells.basin, graph.node_channel[ranking], tops)
        for i, row in enumerate(batch.rows):
            photo = _Photo(cells.response[i], cells.basin[i] != NONE, first[i])
            masks = photo.masks(used, np.random.default_rng([seed, int(row)]))
            edited = without_cells(maps[i], mean, ~masks)
            top = rest.logits(batch.tensor[i : i + 1], edited).argmax(dim=1)
            same = (top == seen.logits[i].argmax()).cpu().numpy()
            total += photo.figures(masks, same)
    means = (total / len(found)).tolist()
    points = [FidelityPoint(k, *row) for k, row in zip(used, means, strict=True)]
    return FidelityCurve(name, len(found), tuple(points), len(ranking))


def _counts(counts: Sequence[int] | None, n_nodes: int) -> list[int]:
    require(n_nodes > 0, "the graph has no nodes in this layer")
    if counts is None:
        return [*(k for k in COUNTS if k < n_nodes), n_nodes]
    wrong = [k for k in counts if not 1 <= k <= n_nodes]
    require(
        len(counts) > 0 and not wrong,
        f"counts must be numbers of nodes within 1..{n_nodes}, got {list(counts)}",
    )
    return sorted(set(counts))


def _first_claims(basin: I4, channel: I4, tops: I4) -> I4:
    """Return (B, C, H, W) the rank of the best node that claims each cell; n where none does.

    ``tops (B, n)`` are the maxima of the n nodes, best first, in the filters ``channel (n,)``.
    """
    photos, channels, height, width = basin.shape
    none = tops.shape[1]
    best = np.full((photos, channels, height * width + 1), none, dtype=np.int32)  # NONE: the last
    photo, rank = np.nonzero(tops != NONE)
    np.minimum.at(best, (photo, channel[rank], tops[photo, rank]), rank)
    flat = basin.reshape(photos, channels, -1)
    return np.take_along_axis(best, flat, axis=2).reshape(basin.shape)


class _Photo(NamedTuple):
    """One photo's layer, (C, H, W) each: responses, active cells, and who claims a cell first."""

    response: F4
    active: NDArray[np.bool_]
    first: I4

    def masks(self, used: Sequence[int], rng: np.random.Generator) -> NDArray[np.bool_]:
        """Return (counts, 2 + draws, C * H * W) the cells to keep: nodes', strongest, random."""
        active = np.flatnonzero(self.active)
        strongest = active[np.argsort(-self.response.ravel()[active], kind="stable")]
        orders = [strongest, *(rng.permutation(active) for _ in range(N_DRAWS))]
        masks = np.zeros((len(used), 1 + len(orders), self.active.size), dtype=bool)
        for point, k in zip(masks, used, strict=True):
            point[0] = self.first.ravel() < k
            n_cells = np.count_nonzero(point[0])
            for mask, order in zip(point[1:], orders, strict=True):
                mask[order[:n_cells]] = True
        return masks

    def figures(self, masks: NDArray[np.bool_], same: NDArray[np.bool_]) -> F8:
        """Return (counts, 6) the figures of `FidelityPoint`, from what was kept and its effect."""
        kept = same.reshape(masks.shape[:2])
        own = masks[:, 0]
        n_cells = own.sum(axis=1)
        response = own @ self.response.ravel().astype(np.float64)
        return np.stack(
            [
                n_cells,
                n_cells / max(np.count_nonzero(self.active), 1),
                response / max(float(self.response.sum(dtype=np.float64)), _LEAST),
                kept[:, 0],
                kept[:, 2:].mean(axis=1),
                kept[:, 1],
            ],
            axis=1,
        )
