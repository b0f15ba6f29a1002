"""Run somebody else's network and leave it as it was."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from weakref import WeakSet

import torch
from torch import Tensor, nn

from explgraph.base.errors import ExplGraphError, require

from .shared import AllCalled, evaluation, own_hooks

_IN_ONE_LAYOUT: WeakSet[nn.Module] = WeakSet()  # networks that have refused another


@contextmanager
def hooked(
    module: nn.Module, hooks: Mapping[str, Callable[[Tensor], object]]
) -> Iterator[set[str]]:
    """Let functions see the outputs of submodules, and replace them unless they return None.

    In this thread alone: what others run meanwhile is neither seen nor changed. Yields the names of
    those that have been called, as they are.
    """
    called: set[str] = set()

    def hook_of(name: str) -> Callable[[nn.Module, object, Tensor], object]:
        def hook(_module: nn.Module, _inputs: object, output: Tensor) -> object:
            called.add(name)
            return hooks[name](output)

        return hook

    with own_hooks(
        (module.get_submodule(name).register_forward_hook, hook_of(name)) for name in hooks
    ):
        yield called


def check_called(names: Iterable[str], called: Collection[str]) -> None:
    """Raise `ExplGraphError` when a network did not call some of its submodules for a batch."""
    missing = [name for name in names if name not in called]
    require(
        not missing,
        f"the network did not call {', '.join(missing)} for this batch, though it did for the "
        "probe: choose layers that every image passes through",
    )


def of_type(module: nn.Module, batch: Tensor) -> Tensor:
    """Return a batch in the float type of a module's weights: half precision, for some."""
    kinds = (p.dtype for p in module.parameters() if p.is_floating_point())
    return batch.to(next(kinds, torch.float32))


def noise(shape: Sequence[int]) -> Tensor:
    """Return an input of a network that is the same every time, on the CPU."""
    random = torch.Generator().manual_seed(0)
    return torch.randn(tuple(shape), generator=random, device="cpu", dtype=torch.float32)


def run(module: nn.Module, batch: Tensor) -> object:
    """Run a module in evaluation mode and return what it returns.

    On the CPU the batch is given channels last: convolutions are then up to twice as fast, and turn
    their weights around as they go, so that the module's own keep their layout. A module that calls
    ``view`` where only another layout allows it gets that one.

    Parameters
    ----------
    module
        Its modes, weights and their layout are the same afterwards.
    batch
        (B, C_in, H_in, W_in) on the module's device, of any float type: it is given in that of the
        module's weights. Gradients are recorded where the caller has them recorded.
    """
    batch = of_type(module, batch)
    with evaluation(module):
        if not _channels_last(batch) or module in _IN_ONE_LAYOUT:
            return module(batch)
        try:
            return module(batch.contiguous(memory_format=torch.channels_last))
        except RuntimeError as error:
            if "view size is not compatible" not in str(error):
                raise
        result = module(batch)
        _IN_ONE_LAYOUT.add(module)
        return result


def _channels_last(batch: Tensor) -> bool:
    """Tell whether convolutions are faster on a batch whose channels lie side by side."""
    available: bool = torch.backends.mkldnn.is_available()  # type: ignore[no-untyped-call]
    return batch.device.type == "cpu" and batch.ndim == 4 and available


def copied(output: Tensor) -> Tensor:
    """Return a layer's output (B, C, H, W) as it is now, float32, each map's cells side by side."""
    layout = torch.contiguous_format  # the network may have it channels last
    return output.detach().to(torch.float32, copy=True, memory_format=layout)


def class_logits(module: nn.Module, batch: Tensor) -> Tensor:
    """Run a classifier, as `run` does, and return its logits (B, n_classes), float32.

    Raises
    ------
    ExplGraphError
        If the module returns anything else.
    """
    logits = run(module, batch)
    if not isinstance(logits, Tensor) or logits.ndim != 2:
        kind = tuple(logits.shape) if isinstance(logits, Tensor) else type(logits).__name__
        raise ExplGraphError(
            f"the network must return logits of shape (B, classes), got {kind}: only classifiers "
            "can be asked what they decide. Of other networks, ask about a filter, as "
            "(layer, number)"
        )
    return logits.float()


def capture_outputs(module: nn.Module, batch: Tensor, names: Sequence[str]) -> dict[str, Tensor]:
    """Run a module, as `run` does, and copy the outputs of some of its submodules.

    Parameters
    ----------
    module
        Its modes, flags and hooks are the same afterwards.
    batch
        (B, C_in, H_in, W_in).
    names
        Submodules that are called once in a forward pass. The pass ends after the last of them.

    Returns
    -------
    By name, in the order of ``names``, float32. Each is the output as the submodule returned it: a
    copy is made at once, so an in-place ReLU that follows does not change it.
    """
    found: dict[str, Tensor] = {}

    def keep(name: str) -> Callable[[Tensor], None]:
        def hook(output: Tensor) -> None:
            found[name] = copied(output)
            if len(found) == len(set(names)):
                raise AllCalled

        return hook

    try:
        with hooked(module, {name: keep(name) for name in names}), torch.inference_mode():
            run(module, batch)
    except AllCalled:
        pass
    check_called(names, found)
    return {name: found[name] for name in names}
