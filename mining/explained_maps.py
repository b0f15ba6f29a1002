"""Where a graph explains what a network's filters respond to: all cells of the maps, not peaks.

What `mining.explained` sums over peaks is computed here cell by cell, and summed over filters.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from explgraph.base.arrays import F4, F8
from explgraph.base.errors import check_shape
from explgraph.base.jit import jit
from explgraph.base.layer import LayerSpec
from explgraph.base.threads import map_ranges
from explgraph.graphs.graph import ExplanatoryGraph
from explgraph.peaks.structures import Peaks

from ._math import bump, height, part_of
from .em import Nodes
from .matching import LayerMatch, walk_layers

Flags = NDArray[np.bool_]

_ZERO = np.float32(0.0)


class CellMaps(NamedTuple):
    """One layer's response in N photos, summed over filters and divided in two.

    ``explained (N, H, W)`` by the nodes asked for, ``unexplained (N, H, W)`` the rest.
    """

    explained: F4
    unexplained: F4


def explain_cells(
    graph: ExplanatoryGraph,
    peaks: tuple[Peaks, ...],
    responses: Sequence[F4],
    counted: Flags,
) -> tuple[CellMaps, ...]:
    """Divide the response of every cell into what nodes explain and what they do not.

    A cell whose receptive field has its centre at x, and at which filter c responds F_c(x), is
    taken as a peak is: nodes explain the sum of F_c(x) P(V | x), their responsibilities under the
    mixture of Eq. 5, with the photo's own prior. The noise weight pi_0 is the graph's.

    Parameters
    ----------
    graph
        P nodes, L layers.
    peaks
        L layers of N photos, each photo in the orientation in which the graph sees it. They say
        where nodes are expected.
    responses
        L arrays (N, C, H, W) of responses (Eq. 1), of the same photos in the same orientation.
    counted
        (P,) which nodes explain. The others still compete: what they account for is unexplained.

    Returns
    -------
    L pairs of maps, lowest layer first. A pair adds up to the response summed over filters.

    Raises
    ------
    ExplGraphError
        If shapes do not fit together.
    """
    check_shape("counted", counted, (len(graph),))
    for layer, response in zip(graph.layers, responses, strict=True):
        name = f"the response of {layer.name}"
        check_shape(name, response, (len(peaks[0]), layer.channels, *layer.grid))
    area = float(graph.input_size[0] * graph.input_size[1])
    found = sorted(walk_layers(graph, peaks), key=lambda match: match.layer)
    return tuple(
        _divide(graph.layers[match.layer], match, responses[match.layer], counted, area)
        for match in found
    )


class _Reach(NamedTuple):
    """How far the nodes of a layer reach: N(p; predicted, S^2 I) and its weights in each photo.

    ``predicted (P, 2, N)``, ``half_precision (P,)``, ``kappa (P, N)``, ``counted (P,)``.
    """

    predicted: F4
    half_precision: F4
    kappa: F4
    counted: Flags


def _divide(
    layer: LayerSpec, found: LayerMatch, response: F4, counted: Flags, area: float
) -> CellMaps:
    """Divide one layer's responses, a photo in each thread."""
    reach = _Reach(
        found.inference.predicted,
        found.prior.half_precision,
        found.prior.kappa,
        counted[found.rows],
    )
    maps = np.zeros((2, len(response), *layer.grid))
    cells = np.ascontiguousarray(response, dtype=np.float32)
    centres = layer.centres(0), layer.centres(1)

    def some(first: int, last: int) -> None:
        for photo in range(first, last):
            own = maps[0, photo], maps[1, photo]
            _explain(cells[photo], photo, centres, found.mixture.nodes, reach, area, own)

    map_ranges(some, len(response), 1)
    return CellMaps(maps[0].astype(np.float32), maps[1].astype(np.float32))


# CPU loops over one photo: sums run filter by filter, in order.


@jit
def _explain(
    response: F4,
    photo: int,
    centres: tuple[F8, F8],
    nodes: Nodes,
    reach: _Reach,
    area: float,
    maps: tuple[F8, F8],
) -> None:
    """Add the responses (C, H, W) of a photo to what is explained and what is not, (H, W) each."""
    explained, unexplained = maps
    channels, rows, columns = response.shape
    odds, ours = np.empty((rows, columns)), np.empty((rows, columns))
    for c in range(channels):
        odds[:], ours[:] = 0.0, 0.0
        _add_odds(c, photo, centres, nodes, reach, area, (odds, ours))
        for h in range(rows):
            for w in range(columns):
                if response[c, h, w] > _ZERO:
                    density = nodes.noise[c] + odds[h, w]
                    # Only a graph made by hand has no noise at all.
                    share = ours[h, w] / density if density > 0.0 else 0.0
                    explained[h, w] += response[c, h, w] * share
                    unexplained[h, w] += response[c, h, w] * (1.0 - share)


@jit
def _add_odds(
    c: int,
    photo: int,
    centres: tuple[F8, F8],
    nodes: Nodes,
    reach: _Reach,
    area: float,
    maps: tuple[F8, F8],
) -> None:
    """Add sum pi_V N(x; mu_V + nu_V, S_V^2 I) area of a filter's nodes: all, and those counted.

    A normal density is the product of one along y and one along x: so few of them are computed.
    """
    first, last = nodes.start[c], nodes.start[c + 1]
    normaliser = 0.0
    for v in range(first, last):
        normaliser += nodes.weight[v] * reach.kappa[v, photo]
    along = np.empty(len(centres[1]))
    for v in range(first, last):
        precision = reach.half_precision[v]
        y, x = reach.predicted[v, 0, photo], reach.predicted[v, 1, photo]
        whole = (1.0 - nodes.noise[c]) * nodes.weight[v]
        amplitude = part_of(whole, reach.kappa[v, photo], normaliser) * height(precision) * area
        for w in range(len(along)):
            along[w] = bump(0.0, centres[1][w] - x, precision)
        for h in range(len(centres[0])):
            down = amplitude * bump(centres[0][h] - y, 0.0, precision)
            for w in range(len(along)):
                maps[0][h, w] += down * along[w]
            if reach.counted[v]:
                for w in range(len(along)):
                    maps[1][h, w] += down * along[w]
