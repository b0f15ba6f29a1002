"""Run somebody else's network and leave it as it was."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from explgraph.base.errors import ExplGraphError


class _AllCaptured(BaseException):
    """Ends a forward pass once every wanted output is there; no network's ``except`` catches it."""


@contextmanager
def evaluation(module: nn.Module) -> Iterator[None]:
    """Put a module into evaluation mode and give every submodule its own mode back."""
    before = [(child, child.training) for child in module.modules()]
    module.eval()
    try:
        yield
    finally:
        for child, training in before:
            child.training = training


def capture_outputs(module: nn.Module, batch: Tensor, names: Sequence[str]) -> dict[str, Tensor]:
    """Run a module and copy the outputs of some of its submodules.

    Parameters
    ----------
    module
        Its modes, flags and hooks are the same afterwards.
    batch
        (B, 3, H_in, W_in).
    names
        Submodules that are called once in a forward pass. The pass ends after the last of them.

    Returns
    -------
    By name, in the order of ``names``, float32. Each is the output as the submodule returned it: a
    copy is made at once, so an in-place ReLU that follows does not change it.
    """
    found: dict[str, Tensor] = {}

    def keep(name: str) -> Callable[[nn.Module, object, Tensor], None]:
        def hook(_module: nn.Module, _inputs: object, output: Tensor) -> None:
            found[name] = output.detach().to(torch.float32, copy=True)
            if len(found) == len(set(names)):
                raise _AllCaptured

        return hook

    handles = []
    try:
        for name in dict.fromkeys(names):
            handles.append(module.get_submodule(name).register_forward_hook(keep(name)))
        with evaluation(module), torch.inference_mode():
            module(batch)
    except _AllCaptured:
        pass
    finally:
        for handle in handles:
            handle.remove()
    missing = [name for name in names if name not in found]
    if missing:
        raise ExplGraphError(
            f"the network did not call {', '.join(missing)} for this batch, though it did for the "
            "probe: choose layers that every image passes through"
        )
    return {name: found[name] for name in names}


@contextmanager
def hooked(
    module: nn.Module, hooks: Mapping[str, Callable[[Tensor], object]]
) -> Iterator[set[str]]:
    """Let functions see the outputs of submodules, and replace them unless they return None.

    Yields the names of those that have been called, as they are.
    """
    called: set[str] = set()

    def hook_of(name: str) -> Callable[[nn.Module, object, Tensor], object]:
        def hook(_module: nn.Module, _inputs: object, output: Tensor) -> object:
            called.add(name)
            return hooks[name](output)

        return hook

    handles = []
    try:
        for name in hooks:
            handles.append(module.get_submodule(name).register_forward_hook(hook_of(name)))
        yield called
    finally:
        for handle in handles:
            handle.remove()
