"""The network with one layer's output changed, and how its logits hang on that output."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from functools import cached_property
from types import MappingProxyType
from typing import NamedTuple

import torch
from torch import Tensor

from explgraph.base.errors import require

from .backbone import Backbone
from .hooks import check_called, copied, hooked, noise
from .shared import AllCalled, usual_modes

Edit = Callable[[Tensor], Tensor]
"""From a layer's output (B, C, H, W), float32, to what takes its place."""

VARIANTS = 32
"""Of a layer's output in one pass: `Rest` splits what is more."""


class Observation(NamedTuple):
    """What a network made of B photos.

    Attributes
    ----------
    maps
        By layer, (B, C, H, W) float32: the layer's own output, on the network's device.
    logits
        (B, n_classes) float32, on the network's device.
    """

    maps: Mapping[str, Tensor]
    logits: Tensor


class Gradients(NamedTuple):
    """An `Observation`, and what the logits in question would gain with each cell.

    Attributes
    ----------
    maps, logits
        As in `Observation`.
    target
        (B,) the class in question.
    gradients
        By layer, (B, C, H, W): the derivative of that class's logit by the layer's output.
    """

    maps: Mapping[str, Tensor]
    logits: Tensor
    target: Tensor
    gradients: Mapping[str, Tensor]


def observe(net: Backbone, batch: Tensor, layers: Sequence[str]) -> Observation:
    """Run the network to its logits and copy the outputs of some layers on the way.

    Parameters
    ----------
    net
        A classifier. It is the same afterwards: no hooks, its own modes and flags.
    batch
        (B, C_in, H_in, W_in), preprocessed.
    layers
        Names, as in `Backbone.layers`.

    Raises
    ------
    ExplGraphError
        If a layer cannot be mined, is not called, or the network does not return logits (B, n).
    """
    maps: dict[str, Tensor] = {}

    def keep(name: str) -> Callable[[Tensor], None]:
        def hook(output: Tensor) -> None:
            maps[name] = copied(output)

        return hook

    logits = _run(net, batch, {name: keep(name) for name in layers})
    return Observation(maps, logits)


def logit_gradients(
    net: Backbone, batch: Tensor, layers: Sequence[str], target: int | None = None
) -> Gradients:
    """Differentiate a class's logit by the outputs of some layers, in one pass back.

    Parameters
    ----------
    net, batch, layers
        As in `observe`. No gradient is left in the network's parameters.
    target
        The class; None: each photo's own top-1.

    Raises
    ------
    ExplGraphError
        As `observe`, and if there is no such class.
    """
    maps: dict[str, Tensor] = {}
    added: dict[str, Tensor] = {}

    def add_zero(name: str) -> Edit:
        def hook(output: Tensor) -> Tensor:
            # The derivative by what is added is that by the output, whether or not anything in
            # front of the layer has gradients.
            maps[name] = copied(output)
            added[name] = torch.zeros_like(output, requires_grad=True)
            return output + added[name]

        return hook

    with usual_modes(net.device, gradients=True):
        hooks = {name: add_zero(name) for name in layers}
        logits = _run(net, batch.clone(), hooks, gradients=True)
        chosen = _target(logits, target)
        wanted = logits.gather(1, chosen[:, None]).sum()
        found = torch.autograd.grad(wanted, list(added.values()), materialize_grads=True)
    gradients = {name: one.float() for name, one in zip(added, found, strict=True)}
    return Gradients(maps, logits.detach(), chosen, gradients)


class Rest:
    """The network behind one layer, asked again and again about one photo.

    The photo is run in front of the layer once for up to 32 variants of the layer's output, if the
    network lets a batch grow inside of it; this is tried out on noise. Where it does not, the photo
    is repeated.

    Parameters
    ----------
    net
        A classifier; it is the same after every call.
    layer
        Name, as in `Backbone.layers`.
    """

    def __init__(self, net: Backbone, layer: str) -> None:
        self.net, self.layer = net, layer

    def logits(self, photo: Tensor, variants: Tensor) -> Tensor:
        """Run one photo (1, C_in, H_in, W_in) with each of the outputs (V, C, H, W) in its place.

        Returns
        -------
        (V, n_classes) float32, on the network's device.
        """
        parts = torch.split(variants, VARIANTS)
        return torch.cat([self._logits(photo, part, self._grows) for part in parts])

    def maps(self, photo: Tensor, variants: Tensor, layer: str) -> Tensor:
        """Run the photo with each of the outputs (V, C, H, W) in its place, up to another layer.

        Returns
        -------
        (V, C', H', W') float32: that layer's output, on the network's device.
        """
        found: list[Tensor] = []

        def keep(output: Tensor) -> None:
            found.append(copied(output))
            raise AllCalled

        for part in torch.split(variants, VARIANTS):
            before = len(found)
            with suppress(AllCalled):
                self._logits(photo, part, self._grows, {layer: keep})
            check_called([layer], [layer] * (len(found) - before))
        return torch.cat(found)

    def _logits(
        self,
        photo: Tensor,
        variants: Tensor,
        grow: bool,
        hooks: Mapping[str, Callable[[Tensor], object]] = MappingProxyType({}),
    ) -> Tensor:
        def replace(output: Tensor) -> Tensor:
            return variants.to(output.device, output.dtype, copy=True)

        repeated = photo if grow else photo.expand(len(variants), -1, -1, -1)
        return _run(self.net, repeated, {self.layer: replace, **hooks})

    def settle(self) -> None:
        """Find out how batches may grow now, before anything else changes the network."""
        _ = self._grows

    @cached_property
    def _grows(self) -> bool:
        """Whether a batch of one may become one of many at the layer, to the same effect."""
        photo = noise((1, self.net.channels, *self.net.input_size))
        output = observe(self.net, photo, [self.layer]).maps[self.layer]
        variants = torch.cat([output, output.roll(1, dims=1)])
        repeated = self._logits(photo, variants, grow=False)
        try:
            once = self._logits(photo, variants, grow=True)
        except Exception:  # whatever a network raises whose ways past the layer do not fit it
            return False
        close = 1e-4 * float(repeated.abs().max())
        return once.shape == repeated.shape and torch.allclose(once, repeated, 1e-3, close)


def _run(
    net: Backbone,
    batch: Tensor,
    hooks: Mapping[str, Callable[[Tensor], object]],
    *,
    gradients: bool = False,
) -> Tensor:
    """Return the logits (B, n) of a pass in which functions see, and may replace, outputs."""
    net.select(list(hooks))
    with (
        usual_modes(net.device, gradients=gradients),
        torch.inference_mode(not gradients),
        hooked(net.module, hooks) as called,
    ):
        logits = net.logits(batch)
    check_called(hooks, called)
    return logits


def _target(logits: Tensor, target: int | None) -> Tensor:
    if target is None:
        return logits.detach().argmax(dim=1)
    require(
        0 <= target < logits.shape[1],
        f"there is no class {target}: the network has classes 0..{logits.shape[1] - 1}",
    )
    return torch.full((len(logits),), target, device=logits.device)
