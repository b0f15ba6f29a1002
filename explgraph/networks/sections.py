"""A network cut at some layers: each is differentiated by the layer below alone, many times."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from types import MappingProxyType
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from explgraph.base.arrays import F4, I4, I8, NONE
from explgraph.base.layer import LayerSpec

from .backbone import Backbone
from .hooks import check_called, copied, hooked
from .shared import AllCalled, usual_modes

PIXELS = ""
"""What lies below the lowest layer."""


_WITH_CEILING = (nn.Hardtanh, nn.Tanh)  # ReLU6 is a Hardtanh
_WAY = (0.125, 0.375, 0.625, 0.875)


class _Pass(NamedTuple):
    """One pass forth: by layer its output, where going back ends, and where it begins."""

    maps: dict[str, Tensor]
    starts: dict[str, Tensor]
    ends: dict[str, Tensor]


class Sections:
    """What a network made of B photos, cut at some layers.

    The photos are run forth once, up to the last of the layers. Going back from a layer ends at the
    one below, so that it costs only what lies between the two.

    Parameters
    ----------
    net
        The network; it is the same afterwards.
    batch
        (B, C_in, H_in, W_in), preprocessed.
    layers
        Names, as in `Backbone.layers`, lowest first.
    pixels
        Whether the lowest layer may be differentiated by the photos, as by a layer `PIXELS`.
    rest
        By layer, (C,) what a filter is set to when it falls silent. Where the network has
        activations with a ceiling (ReLU6), gradients by a layer are then means along the way from
        there to its output: at the ceiling itself nothing has a slope.

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
        self,
        net: Backbone,
        batch: Tensor,
        layers: Sequence[str],
        *,
        pixels: bool = False,
        rest: Mapping[str, F4] = MappingProxyType({}),
    ) -> None:
        net.select(list(layers))
        self._net, self._layers, self._pixels = net, tuple(layers), pixels
        self.maps: Mapping[str, Tensor] = {}
        whole = self._run(batch, {})
        self.maps = whole.maps
        # Of each layer the passes through what follows it.
        self._passes = {name: [whole] for name in (PIXELS, *layers)}
        if rest and any(isinstance(child, _WITH_CEILING) for child in net.module.modules()):
            for name in layers[:-1]:
                self._passes[name] = [self._on_the_way(batch, name, rest, t) for t in _WAY]

    def _on_the_way(self, batch: Tensor, layer: str, rest: Mapping[str, F4], share: float) -> _Pass:
        """Run the photos with one layer so far on the way from rest to its output."""
        output = self.maps[layer]
        silent = torch.tensor(rest[layer], device=output.device)[:, None, None]
        found = self._run(batch, {layer: silent + share * (output - silent)})
        above = self._layers[self._layers.index(layer) + 1]
        return _Pass({}, {layer: found.starts[layer]}, {above: found.ends[above]})

    def _run(self, batch: Tensor, instead: Mapping[str, Tensor]) -> _Pass:
        """Run the photos, with some layers' outputs replaced."""
        found = _Pass({}, {}, {})

        def cut(name: str) -> Callable[[Tensor], Tensor]:
            def hook(output: Tensor) -> Tensor:
                found.maps[name], found.ends[name] = copied(output), output
                if len(found.maps) == len(self._layers):
                    raise AllCalled
                start = instead[name].to(output.dtype) if name in instead else output
                found.starts[name] = start.detach().requires_grad_()
                return found.starts[name].clone()  # what follows may write into it

            return hook

        with usual_modes(self._net.device, gradients=True):
            photos = found.starts[PIXELS] = batch.clone().requires_grad_(self._pixels)
            hooks = {name: cut(name) for name in self._layers}
            with suppress(AllCalled), hooked(self._net.module, hooks):
                self._net.run(photos.clone())
        check_called(self._layers, found.maps)
        return found

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
        passes = self._passes[below]
        total = self._slopes(passes[0], layer, below, cells)
        for one in passes[1:]:
            total = total + self._slopes(one, layer, below, cells)
        return total / np.float32(len(passes))

    def _slopes(
        self, one: _Pass, layer: str, below: str, cells: Sequence[NDArray[np.integer]]
    ) -> F4:
        end, start = one.ends[layer], one.starts[below]
        if not (end.requires_grad and start.requires_grad):  # nothing leads from one to the other
            return np.zeros(start.permute(0, 2, 3, 1).shape, dtype=np.float32)
        photo = np.repeat(np.arange(len(cells)), [len(part) for part in cells])
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
