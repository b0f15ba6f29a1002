"""Activation peaks where the maps are: what `finding` does, in torch operations alone.

On a GPU only the peaks travel to the host, K places and weights of each map.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from explgraph.base.arrays import F4
from explgraph.base.errors import require
from explgraph.base.layer import LayerSpec

from .finding import check_maps
from .structures import Peaks


def find_peaks(maps: Tensor, layer: LayerSpec, mean: F4, scale: F4, n_peaks: int = 8) -> Peaks:
    """Find the peaks that `explgraph.peaks.finding.find_peaks` finds, in the same order.

    Parameters
    ----------
    maps
        (N, C, H, W) float32 outputs of the layer, on any device that knows float64.
    layer, mean, scale, n_peaks
        As there.

    Returns
    -------
    Peaks on the host.

    Raises
    ------
    ExplGraphError
        If the maps hold NaN or infinities.
    """
    require(
        tuple(maps.shape[1:]) == (layer.channels, *layer.grid),
        f"maps must have shape (any, {layer.channels}, {layer.grid[0]}, {layer.grid[1]}), "
        f"got {tuple(maps.shape)}",
    )
    check_maps(layer, torch.isfinite(maps).flatten(1).all(dim=1).cpu().numpy())
    padded = functional.pad(maps, (1, 1, 1, 1), value=-torch.inf)
    # In float64 and rounded once, as in the kernel: the order of the peaks hangs on it.
    m, s = (_on(maps, values)[:, None, None] for values in (mean, scale))
    response = ((maps.double() - m) / s).float()
    weight, cell = _strongest(response.where(_is_top(padded) & (response > 0), 0), n_peaks)
    yx = _refined(padded, cell) * _on(maps, layer.stride) + _on(maps, layer.offset)
    found = torch.cat([yx.float(), weight[..., None]], dim=3).where((weight > 0)[..., None], 0)
    missing = n_peaks - cell.shape[2]
    host = functional.pad(found, (0, 0, 0, missing)).cpu().numpy()
    return Peaks(layer, host[..., :2], host[..., 2])


def _on(maps: Tensor, values: Sequence[float] | NDArray[Any]) -> Tensor:
    """Bring numbers to the maps' device, in double precision."""
    return torch.tensor(values, dtype=torch.float64, device=maps.device)


def _is_top(padded: Tensor) -> Tensor:
    """Return (N, C, H, W) whether a cell of maps with a border of -inf is a local maximum.

    Of equal neighbours the lowest index counts: a cell is above all earlier ones.
    """
    rows = padded[..., :-2].maximum(padded[..., 1:-1]).maximum(padded[..., 2:])
    here = padded[..., 1:-1, :]
    earlier = rows[..., :-2, :].maximum(here[..., :-2])
    later = rows[..., 2:, :].maximum(here[..., 2:])
    value = here[..., 1:-1]
    return (value > earlier) & (value >= later)


def _strongest(values: Tensor, n_peaks: int) -> tuple[Tensor, Tensor]:
    """Return the K largest of (N, C, H, W) values, none of them negative, and their cells.

    The bits of such a float32 rise with its value. With the cell's index below them all keys of a
    map are different, and of equal values the lowest cell comes first.
    """
    flat = values.flatten(2)
    last = flat.shape[2] - 1
    rank = torch.arange(last, -1, -1, device=flat.device)
    key = (flat.view(torch.int32).long() << 32) | rank
    best = key.topk(min(n_peaks, last + 1), dim=2).values
    return (best >> 32).int().view(torch.float32), last - (best & 0xFFFFFFFF)


def _refined(padded: Tensor, cell: Tensor) -> Tensor:
    """Return (N, C, K, 2) refined (row, column) of cells; at the map's border the cell's own."""
    height, width = padded.shape[2] - 2, padded.shape[3] - 2
    flat = padded.flatten(2)
    yx = torch.stack([cell // width, cell % width], dim=3)
    centre = (yx[..., 0] + 1) * (width + 2) + yx[..., 1] + 1
    result = yx.double()
    for axis, (size, step) in enumerate(((height, width + 2), (width, 1))):
        left, middle, right = (flat.gather(2, centre + n * step) for n in (-1, 0, 1))
        curvature = left - 2.0 * middle.double() + right
        vertex = (0.5 * (left - right).double() / curvature).clamp(-0.5, 0.5)
        inside = (yx[..., axis] > 0) & (yx[..., axis] < size - 1) & (curvature < 0)
        result[..., axis] += vertex.where(inside, 0)
    return result
