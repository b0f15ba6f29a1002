"""A network cut at some layers: each is differentiated by the layer below alone, many times."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from explgraph.base.arrays import F4, I4, I8, NONE
from explgraph.base.layer import LayerSpec

from .backbone import Backbone
from .hooks import AllCalled, check_called, copied, hooked

PIXELS = ""
"""What lies below the lowest layer."""


class Sections:
    """What a network made of B photos, cut at some layers.

    The photos are run forth once, up to the last of the layers. Going back from a layer ends at the
    one below, so that it costs only what lies between the two.

    Parameters
    ----------
    net
        The network; it is the same afterwards.
    batch
        (B, 3, H_in, W_in), preprocessed.
    layers
        Names, as in `Backbone.layers`, lowest first.
    pixels
        Whether the lowest layer may be differentiated by the photos, as by a layer `PIXELS`.

    Attributes
    ----------
    maps
        By layer, (B, C, H, W) float32: the layer's own output, on the network's device.

    Raises
    ------
    ExplGraphError
        If a layer cannot be mined or is not called.
    """

    def __init__(
        self, net: Backbone, batch: Tensor, layers: Sequence[str], *, pixels: bool = False
    ) -> None:
        maps: dict[str, Tensor] = {}
        self._starts: dict[str, Tensor] = {}
        self._ends: dict[str, Tensor] = {}

        def cut(name: str) -> Callable[[Tensor], Tensor]:
            def hook(output: Tensor) -> Tensor:
                maps[name], self._ends[name] = copied(output), output
                if len(maps) == len(layers):
                    raise AllCalled
                self._starts[name] = output.detach().requires_grad_()
                return self._starts[name].clone()  # what follows may write into it

            return hook

        with torch.inference_mode(False), torch.enable_grad():
            net.select(list(layers))
            photos = self._starts[PIXELS] = batch.clone().requires_grad_(pixels)
            with suppress(AllCalled), hooked(net.module, {name: cut(name) for name in layers}):
                net.run(photos.clone())
        check_called(layers, maps)
        self.maps: Mapping[str, Tensor] = maps

    def gradients(self, layer: str, below: str, cells: Sequence[NDArray[np.integer]]) -> F4:
        """Differentiate the sum of some cells of a layer by the output of the layer below.

        Parameters
        ----------
        layer, below
            Two of the layers.
        cells
            Which cells, in each of the B photos, filter by filter and row by row.

        Returns
        -------
        (B, H, W, C) of the layer below.
        """
        end, start = self._ends[layer], self._starts[below]
        if not (
            end.requires_grad and start.requires_grad
        ):  # nothing leads from the one to the other
            return np.zeros(start.permute(0, 2, 3, 1).shape, dtype=np.float32)
        photo = np.repeat(np.arange(len(cells)), [len(one) for one in cells])
        place = np.unravel_index(np.concatenate(cells), tuple(end.shape[1:]))
        seed = torch.zeros_like(end)
        seed[tuple(map(torch.from_numpy, (photo, *place)))] = 1
        (found,) = torch.autograd.grad(end, start, seed, retain_graph=True, materialize_grads=True)
        return np.asarray(found.permute(0, 2, 3, 1).float().cpu().numpy())


def apart(below: LayerSpec, above: LayerSpec, cells: NDArray[np.integer]) -> I4:
    """Share out cells of a layer so that those of one turn see different cells of the layer below.

    Parameters
    ----------
    below, above
        The two layers.
    cells
        (k,) cells of the upper one, filter by filter and row by row.

    Returns
    -------
    (turns, H, W) for each turn and cell of the lower layer which of the k sees it; `NONE` where
    none does. Where a gate lets each cell see everything, there are k turns.
    """
    rows, columns = (_seen(below, above, axis) for axis in (0, 1))
    owner = np.full((0, *below.grid), NONE, dtype=np.int32)
    for i, cell in enumerate(cells % (above.grid[0] * above.grid[1])):
        y, x = divmod(int(cell), above.grid[1])
        window = (slice(*rows[y]), slice(*columns[x]))
        free = (owner[:, *window] == NONE).all(axis=(1, 2))
        if not free.any():
            owner = np.concatenate([owner, np.full((1, *below.grid), NONE, dtype=np.int32)])
            free = np.arange(len(owner)) == len(owner) - 1
        owner[int(free.argmax()), *window] = i
    return owner


def _seen(below: LayerSpec, above: LayerSpec, axis: int) -> I8:
    """Return (n, 2) the rows (axis 0) or columns from and to which each one above sees."""
    size = below.grid[axis]
    if above.global_context:
        return np.tile([0, size], (above.grid[axis], 1))
    # Half a cell more: rounding in a padded layer may move its centres by so much.
    reach = (above.field[axis] - below.field[axis] + below.stride[axis]) / 2
    at = above.centres(axis)
    first, last = (np.searchsorted(below.centres(axis), at + move) for move in (-reach, reach))
    return np.stack([np.minimum(first, size - 1), np.maximum(last, 1)], axis=1)
